//! The HTTP API.

pub mod v2;
