//! Scraping: from discovered targets to samples in the store.
//!
//! In the flow: `config` decodes [`ScrapeConfig`]s, `serve` hands them to a [`Manager`], which runs one task per job (it
//! follows the discovery) and one per target (it waits, asks, reads, commits); `api` and `web` show [`Manager::targets`].
//! What can be pure is: [`targets_of`] makes targets, [`TargetState`] makes rows of a body; tables test both without sockets.
//!
//! ```text
//! discovery ─► pool ─► targets_of ─► one loop per target ─► fetch ─► TargetState::ingest ─► Store::commit
//! ```
//!
//! **Invariants.** No target delays another or grows memory without bound, whatever it sends. A scrape is one commit. What
//! vanishes is marked stale: a series, all of a failed scrape, all of a target that is gone (not at shutdown). Neither log nor
//! error shows a credential, nor the log a query.
//! **Units.** Timestamps are those of the slot that a scrape belongs to, when it starts within 2 ms of it.
//! **Cost.** A sample that stands where it stood in the last scrape: one comparison of bytes, its number, a row ([`cache`]).
//! **Limits.** A body: [`BODY_BYTES_MAX`] unless `body_size_limit` says otherwise; those of all targets: [`BODIES_BYTES_MAX`]; [`AHEAD_MAX`]; those of `exposition`.
//! **Source.** Prometheus 3.5 `scrape/scrape.go`, `scrape/target.go`, `scrape/manager.go`, `config/config.go`.
//! **Differs:** a target that is gone is marked stale at once; Prometheus waits up to two intervals.
//! **Differs:** a client that cannot be built (a missing certificate) fails each scrape, visibly; Prometheus drops the job.

mod cache;
mod config;
mod created;
mod custom;
mod error;
mod exposed;
mod fetch;
mod histogram;
mod ingest;
mod manager;
mod metrics;
mod names;
mod pool;
mod protocol;
mod room;
mod sample_labels;
mod status;
mod target;
mod target_loop;
#[cfg(test)]
mod tests;

pub use config::{Limits, ScrapeConfig, ScrapeDefaults};
pub use created::CreatedLines;
pub use error::ScrapeError;
pub use ingest::{AHEAD_MAX, Answer, Batch, Outcome, TargetState};
pub use manager::{Destination, Manager};
pub use names::{NameEscaping, NameValidation, Names};
pub use protocol::ScrapeProtocol;
pub use status::{DroppedTarget, Families, Health, LastScrape, TargetStatus, Targets};
pub use target::{Sorted, Target, targets_of};

/// Bytes of a body, before and after decompression, where `body_size_limit` is not set. The largest that are known, of
/// kube-state-metrics on clusters of thousands of nodes, have some 100 MB.
pub const BODY_BYTES_MAX: usize = 256 << 20;
/// Bytes of the large bodies of all targets at once, as they came and unpacked: four of the largest that are known.
pub const BODIES_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;
/// Plain bodies up to this size are read on the runtime's own threads: some 50 µs.
const INLINE_BYTES_MAX: usize = 32 << 10;
