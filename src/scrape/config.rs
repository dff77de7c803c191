//! One entry of `scrape_configs`, and what `global` gives to all of them, with Prometheus's defaults, checks and texts.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::histogram;
use super::names::{NameKeys, Names};
use super::protocol::{self, ScrapeProtocol};
use crate::discovery::SdConfigs;
use crate::exposition::HistogramHandling;
use crate::http::ClientConfig;
use crate::relabel::RelabelConfig;
use crate::source::decode::{Decoder, Fields};
use crate::source::keys;
use crate::source::yaml::Node;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds on what one scrape, or one pool, may bring. Zero is no bound, as in Prometheus; except for the body, see
/// [`super::BODY_BYTES_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Bytes of a body, after decompression.
    pub body_bytes: u64,
    /// Samples of one scrape, after relabelling.
    pub samples: u64,
    /// Labels of one sample, the metric's name included.
    pub labels: u64,
    /// Bytes of a label's name.
    pub label_name_bytes: u64,
    /// Bytes of a label's value.
    pub label_value_bytes: u64,
    /// Targets of one pool.
    pub targets: u64,
    /// Dropped targets that are remembered for the API.
    pub dropped_targets: u64,
}

impl Limits {
    /// Takes the keys of limits out of a larger mapping.
    fn decode(fields: &mut Fields<'_, '_, '_>, defaults: &Limits) -> Limits {
        // Zero means "not set" to Prometheus, so that a job cannot lift the global limit.
        let mut or = |key, default: u64| match fields.or(key, 0, Decoder::count) {
            0 => default,
            limit => limit,
        };
        let mut limits = Limits {
            body_bytes: 0,
            samples: or("sample_limit", defaults.samples),
            labels: or("label_limit", defaults.labels),
            label_name_bytes: or("label_name_length_limit", defaults.label_name_bytes),
            label_value_bytes: or("label_value_length_limit", defaults.label_value_bytes),
            targets: or("target_limit", defaults.targets),
            dropped_targets: or("keep_dropped_targets", defaults.dropped_targets),
        };
        limits.body_bytes = match fields.or("body_size_limit", 0, Decoder::bytes) {
            0 => defaults.body_bytes,
            bytes => bytes,
        };
        limits
    }
}

/// What `global` says about scraping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScrapeDefaults {
    /// Between two scrapes.
    pub scrape_interval: Duration,
    /// For one scrape.
    pub scrape_timeout: Duration,
    /// In order of preference, where they are configured.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// Which histograms are read.
    pub histograms: HistogramHandling,
    /// See [`Limits`].
    pub limits: Limits,
    pub(super) names: NameKeys,
}

impl Default for ScrapeDefaults {
    fn default() -> Self {
        ScrapeDefaults {
            scrape_interval: DEFAULT_INTERVAL,
            scrape_timeout: DEFAULT_TIMEOUT,
            scrape_protocols: None,
            histograms: HistogramHandling::default(),
            limits: Limits::default(),
            names: NameKeys::default(),
        }
    }
}

impl ScrapeDefaults {
    /// Takes the keys of scraping out of the `global` mapping. Mistakes are reported.
    pub fn decode(fields: &mut Fields<'_, '_, '_>) -> ScrapeDefaults {
        let interval = fields.or("scrape_interval", Duration::ZERO, Decoder::duration);
        let interval = if interval.is_zero() { DEFAULT_INTERVAL } else { interval };
        let timeout = fields.or("scrape_timeout", Duration::ZERO, Decoder::duration);
        if timeout > interval {
            let span = fields.key_span("scrape_timeout").unwrap_or(fields.span);
            let help = "write a scrape_timeout of at most the scrape_interval";
            fields.decoder.error_with_help(span, "global scrape timeout greater than scrape interval", help);
        }
        let timeout = if timeout.is_zero() { DEFAULT_TIMEOUT.min(interval) } else { timeout };
        ScrapeDefaults {
            scrape_interval: interval,
            scrape_timeout: timeout,
            scrape_protocols: protocol::decode_list(fields, "global config"),
            histograms: decode_histograms(fields, HistogramHandling::default()),
            limits: Limits::decode(fields, &Limits::default()),
            names: NameKeys::decode(fields),
        }
    }
}

/// One job: where its targets come from, how they are asked, what is done with the answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScrapeConfig {
    /// Unique in a configuration.
    pub job_name: String,
    /// Between two scrapes.
    pub scrape_interval: Duration,
    /// For one scrape; at most the interval.
    pub scrape_timeout: Duration,
    /// `/metrics` unless told otherwise.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Of the query, in order of name.
    pub params: Vec<(String, Vec<String>)>,
    /// Whether labels of the sample win over those of the target.
    pub honor_labels: bool,
    /// Whether timestamps of the body count.
    pub honor_timestamps: bool,
    /// Whether series with timestamps of their own are marked stale, too.
    pub track_timestamps_staleness: bool,
    /// Whether gzip is asked for.
    pub enable_compression: bool,
    /// In order of preference.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// Which histograms are read.
    pub histograms: HistogramHandling,
    /// Buckets of a native histogram, which is read at a lower resolution where it has more; zero is no bound.
    pub histogram_buckets_max: u64,
    /// The highest resolution that native histograms are kept at.
    pub histogram_schema_max: i32,
    /// What a body is taken for whose `Content-Type` says nothing.
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// See [`Limits`].
    pub limits: Limits,
    /// How names are asked for and checked.
    pub names: Names,
    /// Where targets come from.
    pub discovery: SdConfigs,
    /// Applied to targets.
    pub relabel_configs: Vec<RelabelConfig>,
    /// Applied to samples.
    pub metric_relabel_configs: Vec<RelabelConfig>,
    /// How targets are spoken to.
    pub client: ClientConfig,
}

impl ScrapeConfig {
    /// Reads a list `scrape_configs`. Mistakes are reported and their jobs left out; `names` are those of all lists so far.
    pub fn decode_list(
        decoder: &mut Decoder<'_>,
        node: &Node,
        defaults: &ScrapeDefaults,
        names: &mut HashSet<String>,
    ) -> Option<Vec<ScrapeConfig>> {
        decoder.list(node, |decoder, node| {
            if node.is_null() {
                decoder.error(node.span, "empty or null scrape config section");
                return None;
            }
            let config = ScrapeConfig::decode(decoder, node, defaults)?;
            if !names.insert(config.job_name.clone()) {
                let message = format!("found multiple scrape configs with job name {:?}", config.job_name);
                decoder.error(node.get("job_name").map_or(node.span, |name| name.span), message);
                return None;
            }
            Some(config)
        })
    }

    /// Reads one job. `None` when it is no mapping or has no name.
    pub fn decode(decoder: &mut Decoder<'_>, node: &Node, defaults: &ScrapeDefaults) -> Option<ScrapeConfig> {
        let mut fields = decoder.section(node, &keys::SCRAPE)?;
        let job_name = fields.optional("job_name", Decoder::string).unwrap_or_default();
        if job_name.is_empty() {
            let span = fields.key_span("job_name").unwrap_or(fields.span);
            fields.decoder.error_with_help(span, "job_name is empty", "write job_name: NAME");
        }
        let (scrape_interval, scrape_timeout) = decode_times(&mut fields, &job_name, defaults);
        let histograms = decode_histograms(&mut fields, defaults.histograms);
        let protocols = protocol::decode_list(&mut fields, &format!("scrape config with job name {job_name:?}"));
        let config = ScrapeConfig {
            scrape_interval,
            scrape_timeout,
            metrics_path: fields.or("metrics_path", "/metrics".to_owned(), Decoder::string),
            scheme: fields.or("scheme", "http".to_owned(), decode_scheme),
            params: decode_params(&mut fields),
            honor_labels: fields.or("honor_labels", false, Decoder::bool),
            honor_timestamps: fields.or("honor_timestamps", true, Decoder::bool),
            track_timestamps_staleness: fields.or("track_timestamps_staleness", false, Decoder::bool),
            enable_compression: fields.or("enable_compression", true, Decoder::bool),
            scrape_protocols: protocols
                .or_else(|| defaults.scrape_protocols.clone())
                .unwrap_or_else(|| protocol::defaults(histograms)),
            histograms,
            histogram_buckets_max: fields.or("native_histogram_bucket_limit", 0, Decoder::count),
            histogram_schema_max: histogram::schema_of_factor(fields.or(
                "native_histogram_min_bucket_factor",
                0.0,
                Decoder::float,
            )),
            fallback_scrape_protocol: fields.optional("fallback_scrape_protocol", protocol::decode),
            limits: Limits::decode(&mut fields, &defaults.limits),
            names: NameKeys::decode_job(&mut fields, defaults.names),
            discovery: SdConfigs::decode(&mut fields),
            relabel_configs: decode_rules(
                &mut fields,
                "relabel_configs",
                "empty or null target relabeling rule in scrape config",
            ),
            metric_relabel_configs: decode_rules(
                &mut fields,
                "metric_relabel_configs",
                "empty or null metric relabeling rule in scrape config",
            ),
            client: ClientConfig::decode(&mut fields),
            job_name,
        };
        fields.finish();
        (!config.job_name.is_empty()).then_some(config)
    }

    /// Makes relative file names relative to `directory`, that of the configuration file.
    pub fn resolve_paths(&mut self, directory: &Path) {
        self.discovery.resolve_paths(directory);
        self.client.resolve_paths(directory);
    }
}

fn decode_histograms(fields: &mut Fields<'_, '_, '_>, defaults: HistogramHandling) -> HistogramHandling {
    HistogramHandling {
        reads_native: fields.or("scrape_native_histograms", defaults.reads_native, Decoder::bool),
        keeps_classic: fields.or("always_scrape_classic_histograms", defaults.keeps_classic, Decoder::bool),
        makes_custom: fields.or("convert_classic_histograms_to_nhcb", defaults.makes_custom, Decoder::bool),
    }
}

fn decode_times(fields: &mut Fields<'_, '_, '_>, job: &str, defaults: &ScrapeDefaults) -> (Duration, Duration) {
    let interval = fields.or("scrape_interval", Duration::ZERO, Decoder::duration);
    let interval = if interval.is_zero() { defaults.scrape_interval } else { interval };
    let timeout = fields.or("scrape_timeout", Duration::ZERO, Decoder::duration);
    if timeout > interval {
        let span = fields.key_span("scrape_timeout").unwrap_or(fields.span);
        let message = format!("scrape timeout greater than scrape interval for scrape config with job name {job:?}");
        fields.decoder.error_with_help(span, message, "write a scrape_timeout of at most the scrape_interval");
    }
    let timeout = if timeout.is_zero() { defaults.scrape_timeout.min(interval) } else { timeout };
    (interval, timeout)
}

fn decode_scheme(decoder: &mut Decoder<'_>, node: &Node) -> Option<String> {
    let scheme = decoder.string(node)?;
    if matches!(scheme.as_str(), "http" | "https") {
        return Some(scheme);
    }
    decoder.error_with_help(node.span, format!("unsupported protocol scheme {scheme:?}"), "write http or https");
    None
}

fn decode_params(fields: &mut Fields<'_, '_, '_>) -> Vec<(String, Vec<String>)> {
    let params = fields.or("params", Vec::new(), |decoder, node| decoder.map(node, Decoder::strings));
    let mut params: Vec<(String, Vec<String>)> = params.into_iter().map(|(name, _, values)| (name, values)).collect();
    params.sort();
    params
}

fn decode_rules(fields: &mut Fields<'_, '_, '_>, key: &'static str, empty: &str) -> Vec<RelabelConfig> {
    fields.or(key, Vec::new(), |decoder, node| {
        decoder.list(node, |decoder, node| {
            if node.is_null() {
                decoder.error(node.span, empty);
                return None;
            }
            RelabelConfig::decode(decoder, node)
        })
    })
}
