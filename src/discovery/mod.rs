//! Where targets come from: lists in the configuration, and files that others write.
//!
//! In the flow: `scrape` and `notifier` take [`SdConfigs`] out of their own mappings, [`watch()`] them, and relabel the
//! [`TargetGroup`]s that appear.
//!
//! **Invariants.** The first value of a watch is complete: files were read once. A file that breaks keeps its last good groups
//! and is counted; a file that vanishes takes its groups with it. Groups come in a defined order: static ones as written, then
//! files by path. Dropping the [`Discovery`] stops its task.
//! **Limits.** [`FILE_BYTES_MAX`] per file.
//! **Source.** Prometheus v3.5 `discovery/file/file.go`, `discovery/targetgroup/targetgroup.go`.
//! **Differs:** every other `*_sd_configs` is refused with its position. Several file configurations of one mapping share the
//! shortest of their refresh intervals. JSON files are read as YAML, of which JSON is a part.

mod config;
mod files;
mod metrics;
#[cfg(test)]
mod tests;
mod watch;

pub use config::{FileSdConfig, SdConfigs};
pub use files::FILE_BYTES_MAX;
pub use metrics::DiscoveryMetrics;
pub use watch::{Discovery, watch};

use crate::model::Labels;

/// The label that holds a target's `host:port`.
pub const ADDRESS: &str = "__address__";
/// The label that holds the file a target came from.
pub const META_FILEPATH: &str = "__meta_filepath";

/// Targets with what they have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// Each target's own labels; [`ADDRESS`] is one.
    pub targets: Vec<Labels>,
    /// Labels of all of them.
    pub labels: Labels,
    /// Where the group is from: its index in the configuration, or `file:index`. Unique in one [`Discovery`].
    pub source: String,
}
