//! Rules over the past: when each alert would have been pending, firing and over, on a virtual clock.
//!
//! In the flow: `almenara backtest` reads rule files and a [`Store`](crate::store::Store) full of history; [`replay`] steps the daemon's own
//! groups over it; [`Figures`], [`Overlaps`] and [`Comparison`] say what came out, and [`text`], [`json`] and [`html`] show it.
//!
//! ```text
//! history ──► Feed: samples up to the slot ──► live store ◄──► rules::Group (prepared plans)
//!                                                                │ outcome
//!                                                     Watch ◄────┘ ──► episodes of alerts
//! ```
//!
//! **Invariants.** Nothing sees a sample before the virtual clock has reached it, as in the daemon. What the rules record themselves takes
//! the place of what the history has under these names from the start on. **No I/O, no clock.**
//! **Limits.** [`EPISODES_MAX`] episodes of a rule are kept, further ones are counted; [`PAIRS_MAX`] pairs of rules are compared for overlaps.
//! **Cost.** Each sample is decoded, stored and forgotten once, so that memory beside the history is that of the rules' longest window; a slot
//! costs what it costs the daemon. `benches/backtest.sh` measures.
//! **Differs:** every slot is evaluated as in the daemon; vmalert's replay asks range queries, without `keep_firing_for`, `limit` and templates that query; promtool
//! replays recording rules only.

mod compare;
mod drive;
mod episode;
mod feed;
mod figures;
pub mod html;
pub mod json;
mod overlap;
mod report;
pub mod text;
mod watch;

#[cfg(test)]
mod tests;

pub use compare::{Comparison, Pair};
pub use drive::{Replay, RuleReplay, Settings, Version, replay};
pub use episode::{Episode, Failures};
pub use feed::Demand;
pub use figures::Figures;
pub use overlap::{Overlap, Overlaps};
pub use report::{Report, Told};

/// Episodes kept of one rule. A rule with more is broken, and its first ten thousand say why.
pub const EPISODES_MAX: usize = 10_000;

/// Pairs of rules that are compared for overlaps.
pub const PAIRS_MAX: usize = 200_000;
