//! The subcommands.

pub mod check_router;
pub mod check_rules;
pub mod check_slo;
pub mod test_promql;
