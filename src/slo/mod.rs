//! Service level objectives: specs, counters, budgets, burn-rate policies.
