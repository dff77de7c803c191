//! The daemon: wiring, reload, drain.
