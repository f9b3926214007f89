//! Servers of a cluster that die, stand still or change places while an agent writes: what is lost, which must be
//! nothing, what is written twice, and how long nothing flows.

mod strike;
mod trial;

use anyhow::Result;
use flume_cluster::{Cluster, Layout};

use self::{
    strike::{Fault, Harm},
    trial::{Moment, Trial},
};
use crate::report::Report;

/// The first, middle and last DataNode of a pipeline.
const POSITIONS: [usize; 3] = [0, 1, 2];

/// A block ends twice a second.
const SMALL_BLOCK: &str = "8192";

/// Five DataNodes with small disks. A dead one is known to be one after some seconds instead of ten minutes.
fn layout() -> Layout {
    Layout::simple(5)
        .with("dfs.heartbeat.interval", "1")
        .with("dfs.namenode.heartbeat.recheck-interval", "2000")
}

/// Each harm to the DataNode at each position, at each moment.
pub fn data_nodes(report: &mut Report) -> Result<()> {
    let at = |moment: Moment| {
        let harms = Harm::ALL.iter();
        harms.flat_map(move |harm| POSITIONS.map(|at| Trial::of(harm.to(&[at]), moment)))
    };
    let open = [Moment::Load, Moment::Idle, Moment::Close];
    let disks = layout().with_small_disks();
    on(
        report,
        disks.clone().with("dfs.blocksize", "4194304"),
        open.into_iter().flat_map(at),
    )?;
    on(
        report,
        disks.with("dfs.blocksize", SMALL_BLOCK),
        at(Moment::BlockEnds),
    )
}

/// Fewer replicas, and fewer DataNodes, down to one.
pub fn few_data_nodes(report: &mut Report) -> Result<()> {
    let harms = [Harm::Kill, Harm::Pause, Harm::CutOff];
    let load = |harm: &Harm, at: &[usize]| Trial::of(harm.to(at), Moment::Load);
    let of_two = harms
        .iter()
        .flat_map(|harm| [0, 1].map(|at| load(harm, &[at])));
    on(report, layout().with_replication(2), of_two)?;
    // Its block is on no other node: the flow goes on in another file.
    let of_one = load(&Harm::Kill, &[0]).in_files(2);
    on(
        report,
        layout().with_replication(1),
        [of_one, load(&Harm::Upgrade, &[0])],
    )?;
    let three = Layout {
        datanodes: 3,
        ..layout()
    };
    let survivors = [[0, 1], [1, 2], [0, 2]];
    on(
        report,
        three,
        harms
            .iter()
            .flat_map(|harm| survivors.map(|two| load(harm, &two))),
    )
}

/// Those of NameNodes.
pub fn name_nodes(report: &mut Report) -> Result<()> {
    let faults = [
        Fault::RestartNameNode,
        Fault::PauseNameNode,
        Fault::FailOver,
        Fault::KillNameNode,
    ];
    let trials = faults.map(|fault| Trial::of(fault, Moment::Load));
    on(report, layout().with_ha(), trials)
}

/// One of each kind that a client meets often, without the time.
pub fn slice(report: &mut Report) -> Result<()> {
    let trials = [Harm::Kill.to(&[1]), Fault::FailOver];
    let untimed = trials.map(|fault| Trial::of(fault, Moment::Load).untimed());
    on(report, layout().with_ha(), untimed)
}

fn on(report: &mut Report, layout: Layout, trials: impl IntoIterator<Item = Trial>) -> Result<()> {
    let mut cluster = Cluster::start(layout)?;
    let mut active = "nn1";
    for (number, trial) in trials.into_iter().enumerate() {
        let path = format!("/user/flume/fault{number}");
        trial.run(report, &mut cluster, &mut active, &path)?;
    }
    Ok(())
}
