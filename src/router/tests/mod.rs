//! Timelines under virtual time, and the promise that no end is lost.

mod config;
mod lossless;
mod timeline;
