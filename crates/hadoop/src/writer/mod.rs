//! How a file of HDFS is written.
//!
//! [`FileMachine`] knows the rules: blocks, packets, acknowledgements, and what to do when a DataNode fails. It has no
//! clock and does no I/O; its inputs are calls, its outputs [`Effect`]s, so that a simulation can run it through thousands
//! of faults. The driver beside it owns the sockets and the time.

mod effects;
mod machine;
mod packets;
mod recovery;
#[cfg(test)]
mod simulation;

pub use effects::{
    BlockCall, CallAnswer, CallFailure, Effect, NodeAnswer, PipelineNode, SetUpFailure,
    SetUpRequest, TransferRequest, WriteFailure, WriteSettings,
};
pub use machine::FileMachine;
pub use packets::OutgoingPacket;
