//! Timelines under virtual time, and the promise that no end is lost.

mod config;
mod durable;
mod heartbeat;
mod lossless;
mod receivers;
mod silence;
mod timeline;
