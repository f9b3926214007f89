//! What happens to servers, and how they are brought back.

use std::{thread::sleep, time::Duration};

use anyhow::{Context, Result};
use flume_cluster::{Cluster, CutOff, FullDisk, SlowDown};

/// The flow must be back within this time, whatever has happened.
pub const PATIENCE: Duration = Duration::from_secs(150);
/// A NameNode stands still so long.
const PAUSED: Duration = Duration::from_secs(20);
/// Between one DataNode and the next.
const APART: Duration = Duration::from_secs(20);

/// What happens to the cluster.
#[derive(Clone, Debug)]
pub enum Fault {
    /// To the DataNodes at these positions of the open file's pipeline, one after the other.
    DataNodes(Harm, Vec<usize>),
    /// The active NameNode is stopped and started again.
    RestartNameNode,
    /// The standby becomes active, the other one lives.
    FailOver,
    /// The active NameNode is killed, and the standby becomes active.
    KillNameNode,
    /// SIGSTOP of the active NameNode for a while.
    PauseNameNode,
}

/// What happens to a DataNode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Pause,
    /// Its disk is full.
    FullDisk,
    /// It has a tenth of its time, as over a disk that is as slow.
    Slow,
    /// No packet to or from its port arrives.
    CutOff,
    /// It ends for an upgrade, and says so.
    Upgrade,
}

impl Harm {
    pub const ALL: [Harm; 6] = [
        Harm::Kill,
        Harm::Pause,
        Harm::FullDisk,
        Harm::Slow,
        Harm::CutOff,
        Harm::Upgrade,
    ];

    /// To the DataNodes at these positions.
    pub fn to(self, positions: &[usize]) -> Fault {
        Fault::DataNodes(self, positions.to_vec())
    }
}

impl Fault {
    pub fn is_of_data_node(&self) -> bool {
        matches!(self, Fault::DataNodes(..))
    }

    /// The longest time without a flow.
    pub fn promise(&self) -> Duration {
        match self {
            Fault::DataNodes(Harm::Kill | Harm::FullDisk | Harm::Upgrade, _) => {
                Duration::from_secs(1)
            }
            Fault::DataNodes(Harm::Pause | Harm::CutOff | Harm::Slow, _) => Duration::from_secs(15),
            Fault::PauseNameNode => PAUSED + Duration::from_secs(2),
            Fault::RestartNameNode | Fault::FailOver | Fault::KillNameNode => PATIENCE,
        }
    }

    /// Lets it happen.
    pub fn strike(
        &self,
        cluster: &mut Cluster,
        active: &mut &'static str,
        file: &str,
    ) -> Result<Vec<Wound>> {
        let standby = if *active == "nn1" { "nn2" } else { "nn1" };
        match self {
            Fault::DataNodes(harm, positions) => return harm_all(cluster, *harm, positions, file),
            Fault::PauseNameNode => {
                cluster.server(active)?.pause()?;
                sleep(PAUSED);
                cluster.server(active)?.resume()?;
            }
            Fault::RestartNameNode => {
                cluster.server(active)?.kill();
                cluster.server(active)?.up()?;
                cluster.activate(active)?;
            }
            Fault::FailOver => {
                cluster.fail_over(active, standby)?;
                *active = standby;
            }
            Fault::KillNameNode => {
                let killed = Wound::Down(active.to_string());
                cluster.server(active)?.kill();
                cluster.fail_over(active, standby)?;
                *active = standby;
                return Ok(vec![killed]);
            }
        }
        Ok(vec![])
    }
}

fn harm_all(
    cluster: &mut Cluster,
    harm: Harm,
    positions: &[usize],
    file: &str,
) -> Result<Vec<Wound>> {
    let pipeline = cluster.pipeline(file)?;
    let mut wounds = vec![];
    for (number, at) in positions.iter().enumerate() {
        if number > 0 {
            sleep(APART);
        }
        let node = pipeline
            .get(*at)
            .with_context(|| format!("the pipeline of {file} is short"))?;
        wounds.push(harm.strike(cluster, node)?);
    }
    Ok(wounds)
}

impl Harm {
    fn strike(self, cluster: &mut Cluster, node: &str) -> Result<Wound> {
        let server = node.to_string();
        Ok(match self {
            Harm::Kill => {
                cluster.server(node)?.kill();
                Wound::Down(server)
            }
            Harm::Pause => {
                cluster.server(node)?.pause()?;
                Wound::Paused(server)
            }
            Harm::FullDisk => Wound::FullDisk(cluster.fill_disk(node)?),
            Harm::Slow => Wound::Slow(cluster.server(node)?.slow_down()?),
            Harm::CutOff => Wound::CutOff(cluster.cut_off(node)?),
            Harm::Upgrade => {
                cluster.shut_down_for_upgrade(node)?;
                Wound::Down(server)
            }
        })
    }
}

/// What a strike has left.
pub enum Wound {
    /// The server has ended.
    Down(String),
    /// It stands still.
    Paused(String),
    FullDisk(FullDisk),
    Slow(SlowDown),
    CutOff(CutOff),
}

impl Wound {
    /// Brings back what was hit.
    pub fn heal(self, cluster: &mut Cluster) -> Result<()> {
        match self {
            Wound::Down(server) => cluster.server(&server)?.up()?,
            Wound::Paused(server) => cluster.server(&server)?.resume()?,
            Wound::FullDisk(trouble) => drop(trouble),
            Wound::Slow(trouble) => drop(trouble),
            Wound::CutOff(trouble) => drop(trouble),
        }
        Ok(())
    }
}
