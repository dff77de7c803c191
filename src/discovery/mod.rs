//! Where targets come from: lists in the configuration, files that others write, the answers of HTTP servers,
//! DNS, and Kubernetes.
//!
//! In the flow: `scrape` and `notifier` take [`SdConfigs`] out of their own mappings, [`watch()`] them, and relabel the
//! [`TargetGroup`]s that appear.
//!
//! **Invariants.** The first value of a watch holds what is on this machine: files were read once. What comes over the network
//! follows as soon as it is there, so that nobody waits for a server. A source that fails keeps its last good groups and is
//! counted; a file that vanishes takes its groups with it. Groups come in a defined order: kind by kind as [`SdConfigs`] has
//! them, static ones first, each kind as written, files by path. Dropping the [`Discovery`] stops its tasks.
//! **Limits.** [`FILE_BYTES_MAX`] per file and per answer.
//! **Source.** Prometheus v3.5 `discovery/file`, `discovery/http`, `discovery/dns`, `discovery/targetgroup/targetgroup.go`.
//! **Differs:** every other `*_sd_configs` is refused with its position. Several file configurations of one mapping share the
//! shortest of their refresh intervals. JSON files are read as YAML, of which JSON is a part. `prometheus_sd_refresh_*` tells
//! mechanisms apart, not jobs.

mod board;
mod config;
mod dns;
mod files;
mod follow;
mod http;
mod kubernetes;
mod metrics;
mod refresh;
mod resolver;
#[cfg(test)]
mod tests;
mod watch;

pub use config::{FileSdConfig, SdConfigs};
pub use dns::{DnsRecordType, DnsSdConfig};
pub use files::FILE_BYTES_MAX;
pub use http::HttpSdConfig;
pub use kubernetes::{AttachMetadata, KubernetesRole, KubernetesSdConfig, Namespaces, Selector};
pub use metrics::DiscoveryMetrics;
pub use watch::{Discovery, watch};

use crate::model::Labels;

/// The label that holds a target's `host:port`.
pub const ADDRESS: &str = "__address__";
/// The label that holds the file a target came from.
pub const META_FILEPATH: &str = "__meta_filepath";
/// The label that holds the URL a target came from.
pub const META_URL: &str = "__meta_url";

/// How discoveries name themselves to servers.
const USER_AGENT: &str = concat!("Almenara/", env!("CARGO_PKG_VERSION"));

/// Targets with what they have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// Each target's own labels; [`ADDRESS`] is one.
    pub targets: Vec<Labels>,
    /// Labels of all of them.
    pub labels: Labels,
    /// Where the group is from, for messages: its index in the configuration, `file:index`, `URL:index`.
    pub source: String,
}

/// An IPv6 address needs brackets in front of a port.
fn join_host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
