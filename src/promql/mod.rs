//! The query language: text to tree, tree to value.
//!
//! In the flow: rules, SLO imports and the HTTP API hand in text; samples come through [`Querier`].
//! **No clock.** Evaluation takes its instant; the same call gives the same answer in daemon, unit test and backtest.

pub mod ast;
pub mod functions;
mod querier;

pub use querier::{Querier, QuerierError};
