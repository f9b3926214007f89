//! Components that run in another process: Java classes in a JVM beside the agent, and programs in any language.
//!
//! Both speak the frames of `docs/format/component-host.md`, one crossing per batch, over pipes. Transactions stay where
//! they are: a Java sink is a [`Sink`](flume_core::Sink) here, a Java source a [`Source`](flume_core::Source).
//!
//! | module | what it is for |
//! |---|---|
//! | [`frame`] | the frames, without I/O |
//! | `connection` | the frames of a child process that runs components: its lanes |
//! | `host_process` | that process itself: how it ends, and how many there may be |
//! | `counters` | what the MBeans of Java components count, shown as the components' metrics |
//! | `jvm` | the one JVM of an agent: when it is started, and again after it ended |
//! | `launch` | the JVM's command line and class path, as Flume's script makes them |
//! | `sink`, `source`, `interceptor`, `serializer` | components of the agent whose work is done in another process |
//! | `trial` | `validate --java`: classes loaded and configured, nothing started |
//! | `worker` | what they have in common, and `type = process`: such a component from any program |

mod connection;
mod counters;
pub mod frame;
mod host_process;
mod interceptor;
mod jvm;
mod launch;
mod serializer;
mod sink;
mod source;
mod trial;
mod worker;

use flume_core::{
    EventSerializer, Interceptor, Registration, Registry, Sink, Source,
    foreign::{ForeignConfig, ForeignHost},
};
pub use host_process::end_processes;
pub use launch::{JavaOptions, set_java_options};
pub use trial::{Trial, Unread, record_components, try_recorded};
use worker::ProcessConfig;

/// Every Java class that is not part of this program runs in a JVM.
const JVM: ForeignHost = ForeignHost {
    name: "a JVM",
    takes: launch::takes,
    components: &IN_A_JVM,
};

const IN_A_JVM: Registry = Registry {
    sources: &[Registration::<dyn Source>::source::<
        source::ForeignSource<ForeignConfig>,
    >("", "")],
    sinks: &[Registration::<dyn Sink>::sink::<
        sink::ForeignSink<ForeignConfig>,
    >("", "")],
    interceptors: &[Registration::<dyn Interceptor>::interceptor::<
        interceptor::ForeignInterceptor<ForeignConfig>,
    >("", "")],
    serializers: &[Registration::<dyn EventSerializer>::serializer::<
        serializer::ForeignSerializer<ForeignConfig>,
    >("", "")],
    ..Registry::EMPTY
};

/// What this crate brings.
pub const REGISTRY: Registry = Registry {
    sources: &[Registration::<dyn Source>::source::<
        source::ForeignSource<ProcessConfig>,
    >("process", "")],
    sinks: &[Registration::<dyn Sink>::sink::<
        sink::ForeignSink<ProcessConfig>,
    >("process", "")],
    interceptors: &[Registration::<dyn Interceptor>::interceptor::<
        interceptor::ForeignInterceptor<ProcessConfig>,
    >("process", "")],
    serializers: &[Registration::<dyn EventSerializer>::serializer::<
        serializer::ForeignSerializer<ProcessConfig>,
    >("process", "")],
    hosts: &[JVM],
    ..Registry::EMPTY
};
