//! Tests against real parts: our own binary, Alertmanager with amtool, node_exporter. Everything on loopback, on free ports, ended
//! when the test ends. They wait by polling with a deadline, since real programs have their own clocks.

pub(crate) mod deployment;
pub(crate) mod process;
pub(crate) mod server;

mod continuity;
mod faults;
mod full_disk;
mod hardships;
mod kills;
mod main_job;
mod mini_market;
mod queries;
mod reload;
mod rotation;
mod secrets;
mod silences;
mod slo_kills;
mod start;
mod web_config;
