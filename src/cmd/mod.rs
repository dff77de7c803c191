//! The subcommands.

pub mod check_slo;
