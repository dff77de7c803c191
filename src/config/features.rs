//! `--enable-feature`: what the daemon does beyond the stable part, by Prometheus's names.
//!
//! In the flow: `serve` reads the names once at its start and tells of each in the log. **Source.** Prometheus 3.14
//! `cmd/prometheus/main.go`, `setFeatureListOptions`.
//! **Differs:** names that Prometheus knows and that mean nothing here are told as such, with a warning.

use crate::promql::dialect::{self, Dialect};

/// What is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureFlags {
    /// The language.
    pub dialect: Dialect,
    /// `promql-per-step-stats`
    pub per_step_stats: bool,
    /// `st-storage`
    pub start_time_storage: bool,
}

/// What there is to say about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureNote {
    /// It is on from here on.
    Enabled,
    /// It is always on.
    AlwaysOn,
    /// It is a flag of Prometheus for something that there is not here.
    NotHere,
    /// Nobody knows it.
    Unknown,
}

/// Flags for what is always so here, or in Prometheus by now.
const ALWAYS_ON: &[&str] = &["exemplar-storage", "promql-duration-expr", "native-histograms", "ooo-native-histograms"];

/// Flags of Prometheus 3.14 without a meaning here.
const NOT_HERE: &[&str] = &[
    "auto-reload-config",
    "concurrent-rule-eval",
    "created-timestamp-zero-ingestion",
    "delayed-compaction",
    "extra-scrape-metrics",
    "fast-startup",
    "histograms-st-encoding",
    "memory-snapshot-on-shutdown",
    "metadata-wal-records",
    "old-ui",
    "otlp-deltatocumulative",
    "otlp-native-delta-ingestion",
    "search-api",
    "st-synthesis",
    "type-and-unit-labels",
    "use-uncached-io",
    "xor2-encoding",
];

impl FeatureFlags {
    /// Turns on what `names` say, and says of each what that did, in order.
    pub fn read(names: &[String]) -> (FeatureFlags, Vec<(String, FeatureNote)>) {
        let mut flags = FeatureFlags::default();
        let notes = names.iter().map(|name| (name.clone(), flags.enable(name))).collect();
        (flags, notes)
    }

    fn enable(&mut self, name: &str) -> FeatureNote {
        match name {
            "promql-per-step-stats" => self.per_step_stats = true,
            "st-storage" => self.start_time_storage = true,
            _ if ALWAYS_ON.contains(&name) => return FeatureNote::AlwaysOn,
            _ if NOT_HERE.contains(&name) => return FeatureNote::NotHere,
            _ if self.dialect.enable(name).is_none() => return FeatureNote::Unknown,
            _ => {}
        }
        FeatureNote::Enabled
    }
}

/// The names that do something, in order, for help and messages.
pub fn feature_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = dialect::FLAGS.iter().map(|flag| flag.name).collect();
    names.extend(["promql-per-step-stats", "st-storage"]);
    names.retain(|name| !ALWAYS_ON.contains(name));
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_told_of() {
        let names = ["promql-experimental-functions", "promql-duration-expr", "old-ui", "promql-time-travel"];
        let (flags, notes) = FeatureFlags::read(&names.map(str::to_owned));
        let notes: Vec<FeatureNote> = notes.into_iter().map(|(_, note)| note).collect();
        use FeatureNote::{AlwaysOn, Enabled, NotHere, Unknown};
        assert_eq!(notes, [Enabled, AlwaysOn, NotHere, Unknown]);
        assert!(flags.dialect.features.experimental_functions);
    }

    #[test]
    fn names_that_do_something_are_enabled() {
        for name in feature_names() {
            let (flags, notes) = FeatureFlags::read(&[name.to_owned()]);
            assert_eq!(notes[0].1, FeatureNote::Enabled, "{name}");
            assert_ne!(flags, FeatureFlags::default(), "{name}");
        }
        assert!(NOT_HERE.is_sorted());
    }
}
