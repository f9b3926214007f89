//! The vocabulary of the agent: events, the traits components implement, and how a component
//! declares its configuration. No file, socket or thread is touched in this crate.

mod channel;
pub mod component;
pub mod config;
mod event;
pub mod metrics;
mod outlet;
pub mod props;
mod runner;
mod sink;
mod source;
mod state;

// The derive names this crate by its outside name.
extern crate self as flume_core;

pub use flume_derive::Config;
pub use channel::{Channel, ChannelError, ChannelStats, Settled, Take, Want, extract};
pub use component::{Component, Context, Registration, Registry};
pub use config::Config;
pub use event::{Event, Headers, Str};
pub use outlet::{ChannelSelector, InterceptError, Interceptor, Outlet, PutError, Route, Wiring};
pub use runner::{RunnerConfig, Single, SinkProcessor, SinkRunner, Step, run_sinks};
pub use sink::{Cause, Delivered, EventSerializer, Rejected, Sink, SinkError};
pub use source::{Reservation, Source, SourceContext, SourceError, Stop};
pub use state::{State, StateHandle};
