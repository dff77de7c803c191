//! Drivers that step the core by a scripted clock.
//!
//! In the flow: `almenara test` reads files and hands their texts in. **No I/O, no clock.**

mod histogram_notation;
pub mod incident;
mod metric_notation;
mod notation;
pub mod promqltest;
pub mod rule_test;
pub mod series;
