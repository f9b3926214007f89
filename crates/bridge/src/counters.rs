//! The counters of Java components. Flume's classes keep them as MBeans of the JVM; once a second they are copied to the
//! metrics of their components, under the same names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    thread,
    time::Duration,
};

use flume_core::{Str, metrics::Metrics};
use parking_lot::Mutex;

use crate::{
    connection::{BlockingLane, HostConnection, HostError},
    frame::FrameKind,
};

const PERIOD: Duration = Duration::from_secs(1);
/// What the JVM says of itself; each of its components shows it.
const JVM_BEAN: &str = "JVM.host";
/// Most names of counters that are not known when this program is built. Further ones are not shown.
const MAX_NAMES: usize = 2000;
/// The agent knows these itself.
const PASSED_OVER: &[&str] = &["Type", "StartTime", "StopTime"];

/// A component that shows what its bean says.
struct Shown {
    metrics: Metrics,
    /// The names that come from the JVM. The agent counts the others itself, and its numbers stand.
    names: BTreeSet<&'static str>,
}

static COMPONENTS: Mutex<BTreeMap<String, Shown>> = Mutex::new(BTreeMap::new());
static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// From now on a component shows the counters of a bean: `SINK.k1`.
pub(crate) fn show(bean: String, metrics: &Metrics) {
    let metrics = metrics.clone();
    let names = BTreeSet::new();
    let mut components = COMPONENTS.lock();
    let known = components.get(&bean).map(|shown| shown.names.clone());
    let names = known.unwrap_or(names);
    components.insert(bean, Shown { metrics, names });
}

/// Reads the counters of a JVM until it ends.
pub(crate) fn follow(connection: &Arc<HostConnection>) {
    let lane = connection.control_lane();
    let connection = connection.clone();
    let followed = thread::Builder::new()
        .name("host-counters".into())
        .spawn(move || {
            while connection.is_alive() {
                thread::sleep(PERIOD);
                if read(&lane).is_err() {
                    return;
                }
            }
        });
    if let Err(error) = followed {
        tracing::error!("failed to start the thread host-counters: {error}");
    }
}

fn read(lane: &BlockingLane) -> Result<(), HostError> {
    let mut frame = lane.ask(lane.frame(FrameKind::Metrics), FrameKind::Readings)?;
    let beans = frame.readings()?;
    let mut components = COMPONENTS.lock();
    for (bean, readings) in &beans {
        if &bean[..] == JVM_BEAN {
            let named = readings.iter();
            let named: Vec<(Str, Str)> = named
                .map(|(name, value)| (Str::from(format!("Jvm{name}")), value.clone()))
                .collect();
            components.values_mut().for_each(|shown| shown.take(&named));
        } else if let Some(shown) = owner(&mut components, bean) {
            shown.take(readings);
        }
    }
    Ok(())
}

/// The component of a bean. A class may put words before its name: `SOURCE.SQL.r1` belongs to `SOURCE.r1`.
fn owner<'c>(components: &'c mut BTreeMap<String, Shown>, bean: &str) -> Option<&'c mut Shown> {
    let kind = bean.split('.').next().unwrap_or_default();
    let name = bean.rsplit('.').next().unwrap_or_default();
    let short = format!("{kind}.{name}");
    components.get_mut(&short)
}

impl Shown {
    fn take(&mut self, readings: &[(Str, Str)]) {
        let counted: BTreeSet<&str> = self.metrics.read().iter().map(|known| known.name).collect();
        for (name, value) in readings {
            let is_own = counted.contains(&name[..]) && !self.names.contains(&name[..]);
            if is_own || PASSED_OVER.contains(&&name[..]) {
                continue;
            }
            let Some(name) = lasting(name) else {
                continue;
            };
            self.names.insert(name);
            match value.parse::<usize>() {
                Ok(number) => self.metrics.gauge(name).set(number),
                Err(_) => self.metrics.text(name).set(&value[..]),
            }
        }
    }
}

/// A name that lives as long as the program. There are few, and each is kept once.
fn lasting(name: &str) -> Option<&'static str> {
    let mut names = NAMES.lock();
    if let Some(known) = names.get(name) {
        return Some(known);
    }
    if names.len() >= MAX_NAMES {
        return None;
    }
    let kept: &'static str = Box::leak(name.to_string().into_boxed_str());
    names.insert(kept);
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bean_with_more_words_belongs_to_its_component() {
        let shown = || Shown {
            metrics: Metrics::default(),
            names: BTreeSet::new(),
        };
        let mut components = BTreeMap::from([("SOURCE.r1".to_string(), shown())]);
        for (bean, is_owned) in [
            ("SOURCE.r1", true),
            ("SOURCE.SQL.r1", true),
            ("SINK.r1", false),
            ("SOURCE.r2", false),
            ("custom", false),
        ] {
            assert_eq!(owner(&mut components, bean).is_some(), is_owned, "{bean}");
        }
    }

    #[test]
    fn what_the_agent_counts_stands_and_the_rest_is_shown() {
        let metrics = Metrics::default();
        metrics.counter("EventDrainSuccessCount").add(5);
        let mut shown = Shown {
            metrics: metrics.clone(),
            names: BTreeSet::new(),
        };
        let readings = |opened: &str| {
            [
                ("EventDrainSuccessCount", "7"),
                ("ConnectionCreatedCount", opened),
                ("Rate", "0.5"),
                ("Type", "SINK"),
            ]
            .map(|(name, value)| (Str::from(name), Str::from(value)))
        };
        shown.take(&readings("1"));
        shown.take(&readings("3"));
        assert_eq!(metrics.number("EventDrainSuccessCount"), 5);
        assert_eq!(metrics.number("ConnectionCreatedCount"), 3);
        let names: Vec<_> = metrics.read().iter().map(|known| known.name).collect();
        assert_eq!(
            names,
            ["ConnectionCreatedCount", "EventDrainSuccessCount", "Rate"]
        );
    }
}
