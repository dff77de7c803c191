//! From discovered labels to targets: defaults, relabelling, the URL, the place in the interval.
//!
//! **Source.** Prometheus 3.5 `scrape/target.go` (`PopulateLabels`, `TargetsFromGroup`, `offset`); no port is added to an
//! address without one.
//! **Differs:** the offset has no seed of the server's own: two replicas ask a target at the same instant of their clocks.

use std::collections::BTreeSet;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::config::ScrapeConfig;
use crate::discovery::{ADDRESS, TargetGroup};
use crate::model::{Fingerprint, Labels, LabelsBuilder, Timestamp};
use crate::relabel;
use crate::source::{format_duration, parse_duration};

const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const SCRAPE_INTERVAL: &str = "__scrape_interval__";
const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
const RESERVED_PREFIX: &str = "__";
const JOB: &str = "job";
const INSTANCE: &str = "instance";

/// What Go leaves as it is in a query, besides letters and digits.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What Go leaves as it is in a path.
const PATH: &AsciiSet = &QUERY
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// Something to scrape.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// All labels after relabelling but the `__meta_` ones; with the URL they are the target's identity.
    pub labels: Labels,
    /// The labels before relabelling.
    pub discovered_labels: Labels,
    /// Where it is asked.
    pub url: String,
    /// Between two scrapes.
    pub interval: Duration,
    /// For one scrape.
    pub timeout: Duration,
}

impl Target {
    /// The labels that its samples get: those that do not begin with `__`.
    pub fn public_labels(&self) -> Labels {
        self.labels.filtered(|label| !label.name.starts_with(RESERVED_PREFIX))
    }

    /// When to scrape next, `last` being the slot of the scrape before. A slot that passed during a slow scrape is made up for at
    /// once, as Prometheus's ticker does; of several, the latest. Else a target whose timeout is its interval, and that
    /// hangs, would be looked at every other slot only.
    pub(super) fn due_slot(&self, last: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let next = self.next_slot(now);
        let passed = next - self.interval;
        if last.is_some_and(|last| last < passed) { passed } else { next }
    }

    /// The first slot after `now`. A target's slots lie its interval apart, on a place in the interval that only depends on
    /// its labels and URL: targets spread out, and a restart scrapes at the same instants.
    pub(super) fn next_slot(&self, now: Timestamp) -> Timestamp {
        let interval_ms = (self.interval.as_millis() as i64).max(1);
        let offset_ms = (self.hash() % interval_ms as u64) as i64;
        let past_slot_ms = now.plus_ms(-offset_ms).as_ms().rem_euclid(interval_ms);
        now.plus_ms(interval_ms - past_slot_ms)
    }

    /// FNV-1a, 64 bit.
    fn hash(&self) -> u64 {
        let fingerprint = format!("{:016}", Fingerprint::of(&self.labels).0);
        let bytes = fingerprint.bytes().chain(self.url.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

/// What became of the discovered labels.
#[derive(Debug, Default)]
pub struct Sorted {
    /// To be scraped; no two are equal in labels and URL.
    pub targets: Vec<Target>,
    /// Discovered labels of what relabelling dropped.
    pub dropped: Vec<Labels>,
    /// Why some cannot be scraped.
    pub failed: Vec<String>,
}

/// Makes targets of everything that was discovered for a job.
pub fn targets_of(config: &ScrapeConfig, groups: &[TargetGroup]) -> Sorted {
    let mut sorted = Sorted::default();
    let mut seen = BTreeSet::new();
    for group in groups {
        for (index, own) in group.targets.iter().enumerate() {
            let discovered = discovered_labels(config, group, own);
            match target_of(config, discovered.clone()) {
                Ok(Some(target)) => {
                    if seen.insert((target.labels.clone(), target.url.clone())) {
                        sorted.targets.push(target);
                    }
                }
                Ok(None) => sorted.dropped.push(discovered),
                Err(reason) => sorted.failed.push(format!("instance {index} in group {}: {reason}", group.source)),
            }
        }
    }
    sorted
}

/// The target's own labels over those of its group, and the job's defaults where neither says anything.
fn discovered_labels(config: &ScrapeConfig, group: &TargetGroup, own: &Labels) -> Labels {
    let mut builder = group.labels.to_builder();
    for label in own {
        builder.set(label.name.clone(), label.value.clone());
    }
    let defaults = [
        (JOB, config.job_name.clone()),
        (SCRAPE_INTERVAL, format_duration(config.scrape_interval)),
        (SCRAPE_TIMEOUT, format_duration(config.scrape_timeout)),
        (METRICS_PATH, config.metrics_path.clone()),
        (SCHEME, config.scheme.clone()),
    ];
    for (name, value) in defaults {
        if builder.get(name).is_empty() {
            builder.set(name, value);
        }
    }
    for (name, values) in &config.params {
        if let Some(first) = values.first() {
            builder.set(format!("{PARAM_PREFIX}{name}"), first.as_str());
        }
    }
    builder.build()
}

fn target_of(config: &ScrapeConfig, discovered: Labels) -> Result<Option<Target>, String> {
    let mut builder = discovered.to_builder();
    if !relabel::process_builder(&mut builder, &config.relabel_configs) {
        return Ok(None);
    }
    let address = builder.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let interval = duration_of(&builder, SCRAPE_INTERVAL, "interval")?;
    let timeout = duration_of(&builder, SCRAPE_TIMEOUT, "timeout")?;
    if timeout > interval {
        let (timeout, interval) = (builder.get(SCRAPE_TIMEOUT), builder.get(SCRAPE_INTERVAL));
        return Err(format!("scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})"));
    }
    builder.retain(|name, _| !name.starts_with(META_PREFIX));
    if builder.get(INSTANCE).is_empty() {
        builder.set(INSTANCE, address.as_str());
    }
    let url = url_of(config, &builder, &address);
    Ok(Some(Target { labels: builder.build(), discovered_labels: discovered, url, interval, timeout }))
}

fn duration_of(builder: &LabelsBuilder, label: &str, what: &str) -> Result<Duration, String> {
    match parse_duration(builder.get(label)) {
        Err(error) => Err(format!("error parsing scrape {what}: {error}")),
        Ok(duration) if duration.is_zero() => Err(format!("scrape {what} cannot be 0")),
        Ok(duration) => Ok(duration),
    }
}

fn url_of(config: &ScrapeConfig, builder: &LabelsBuilder, address: &str) -> String {
    let mut params: Vec<(String, Vec<String>)> = config.params.clone();
    for (name, value) in builder.iter() {
        let Some(param) = name.strip_prefix(PARAM_PREFIX) else { continue };
        match params.iter_mut().find(|(name, _)| name == param) {
            Some((_, values)) if !values.is_empty() => values[0] = value.to_string(),
            Some((_, values)) => values.push(value.to_string()),
            None => params.push((param.to_owned(), vec![value.to_string()])),
        }
    }
    params.sort_by(|a, b| a.0.cmp(&b.0));
    let escape = |text: &str| utf8_percent_encode(text, QUERY).to_string().replace("%20", "+");
    let pairs: Vec<String> = params
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| format!("{}={}", escape(name), escape(value))))
        .collect();
    let path = utf8_percent_encode(builder.get(METRICS_PATH), PATH).to_string();
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
    format!("{}://{address}{slash}{path}{query}", builder.get(SCHEME))
}
