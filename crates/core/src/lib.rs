//! The vocabulary of the agent: events, the traits components implement, and how a component
//! declares its configuration. No file, socket or thread is touched in this crate.

mod back_off;
mod channel;
mod codes;
pub mod component;
pub mod config;
mod deserializer;
pub mod diagnostic;
mod event;
mod fall_back;
pub mod foreign;
mod frame_reservation;
mod handle;
mod hold;
mod http_handler;
mod memory_queue;
pub mod metrics;
mod outlet;
mod processor;
pub mod props;
mod recipe;
pub mod registry;
mod room;
mod rotation;
mod runner;
mod scalar;
pub mod secrets;
mod sink;
mod source;
pub mod spans;
mod state;
mod stop;
mod succession;
pub mod tap;

// The derive names this crate by its outside name.
extern crate self as flume_core;

pub use back_off::BackOff;
pub use channel::{
    Channel, ChannelError, ChannelStats, EventStore, Settled, StoreRelation, Take, Want, extract,
};
pub use codes::{Code, CodePage};
pub use component::{AgentInfo, BuildError, Component, Context};
pub use config::Config;
pub use deserializer::{EventDeserializer, FileEvent, FileText, OnMalformed, Undecodable};
pub use diagnostic::{Diagnostic, Severity, Span};
pub use event::{Event, Headers, Str, detach_small_part};
pub use flume_derive::Config;
pub use frame_reservation::FrameReservation;
pub use handle::{Burying, ChannelHandle};
pub use hold::Hold;
pub use http_handler::{HandlerError, HttpHandler, HttpMessage};
pub use memory_queue::{ByteLimit, MemoryQueue, QueueLimits};
pub use outlet::{
    ChannelSelector, InterceptError, Interceptor, OnceStored, Outlet, PutError, Route, Throttled,
    Wiring,
};
pub use processor::{SinkProcessor, SinkStep, run_sinks};
pub use recipe::Recipe;
pub use registry::{Registration, Registry};
pub use room::{Reserved, Room, Stock, TakeProgress, move_front};
pub use rotation::{Rotation, RotationOrder};
pub use runner::{RunnerConfig, SinkRunner};
pub use sink::{Cause, Delivered, EventSerializer, Kept, Rejected, Sink, SinkError};
pub use source::{ListenPort, Origin, Reservation, Source, SourceContext, SourceError};
pub use state::{State, StateChange, StateHandle, with_causes};
pub use stop::{Phase, Stop, Switch};
pub use succession::{Rebuild, ReplaceError};
pub use tap::{Passage, TapPoint};
