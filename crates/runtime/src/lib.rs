//! From plan to running agent: assemble, supervise, reload, monitor.
