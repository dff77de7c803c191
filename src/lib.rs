//! Almenara: a Prometheus-compatible alert-rule and SLO evaluator.
//!
//! This file is the map. Modules stand in reading order; each may name only those above it, and of those only what
//! `tests/it/layers.rs` allows. The pure core (down to `router`) does no I/O and sees no clock: it is stepped by time, so
//! that daemon, unit test and backtest run the same code.
//!
//! ```text
//!               SLO files ──► slo ─────────────────┐ (an SLO is one more kind of rule)
//!                                                  ▼
//! targets ──► scrape ──┐                        rules ──► router ──► deliver ──► receivers
//! senders ──► remote ──┼──► store ──► promql ──►  │   └──► notifier ──► external Alertmanagers
//!                      │      ▲                   │
//!                      │      └─ recorded samples ┘
//! drivers: serve (real clock) · unittest (scripted) · backtest (recorded)
//! ```

pub mod model;
pub mod source;

pub mod exposition;
pub mod relabel;
pub mod store;

pub mod promql;
pub mod router;
pub mod rules;
pub mod slo;
pub mod template;

pub mod backtest;
pub mod unittest;

pub mod clock;
pub mod disk;
pub mod http;

pub mod discovery;
pub mod remote;
pub mod scrape;

pub mod deliver;
pub mod notifier;

pub mod config;

pub mod api;
pub mod web;

pub mod serve;

pub mod cmd;
