//! What the API and the pages show of targets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Metadata, Timestamp};

/// Type, help and unit of the metric families of one target, by name.
pub type Families = BTreeMap<Arc<str>, Metadata>;

/// Whether a target answered last time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Health {
    /// Not asked yet.
    #[default]
    Unknown,
    /// It answered.
    Up,
    /// It did not, or not readably.
    Down,
}

impl Health {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// A target that is scraped.
#[derive(Clone, PartialEq, Debug)]
pub struct TargetStatus {
    /// The name of its job's configuration.
    pub scrape_pool: String,
    /// The labels that its samples get.
    pub labels: Labels,
    /// Its labels before relabelling.
    pub discovered_labels: Labels,
    /// Where it is asked.
    pub scrape_url: String,
    /// Between two scrapes.
    pub scrape_interval: Duration,
    /// For one scrape.
    pub scrape_timeout: Duration,
    /// How the last scrape went.
    pub last: LastScrape,
    /// What it declares of its metrics.
    pub families: Arc<Families>,
}

/// How the last scrape of a target went.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LastScrape {
    /// Whether it answered.
    pub health: Health,
    /// Why not; empty when it did.
    pub error: String,
    /// When it was asked; `None` before the first time.
    pub at: Option<Timestamp>,
    /// How long it took.
    pub duration: Duration,
    /// Samples that it gave.
    pub samples: u64,
}

/// A target that relabelling dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DroppedTarget {
    /// The name of its job's configuration.
    pub scrape_pool: String,
    /// Its labels before relabelling.
    pub discovered_labels: Labels,
}

/// All targets, in order of job, URL and labels.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Targets {
    /// Those that are scraped.
    pub active: Vec<TargetStatus>,
    /// Those that relabelling dropped, as many as the configuration keeps.
    pub dropped: Vec<DroppedTarget>,
    /// How many were dropped, by job.
    pub dropped_counts: Vec<(String, u64)>,
}
