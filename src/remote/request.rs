//! From the bytes of a message to label sets and samples. Pure: no store, no clock.
//!
//! Series are decoded one after the other, so that the request never stands in memory twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::content::Version;
use super::fields::{Fields, Malformed};
use super::message::{ExemplarV1, ExemplarV2, Histogram, MetadataV1, MetadataV2, Sample, SeriesV1, SeriesV2, field};
use super::{ITEMS_MAX, histogram, labels};
use crate::model::{Exemplar, Labels, METRIC_NAME, Metadata, MetricKind, StartTime, Timestamp, Value};

/// A request that could be read.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) series: Vec<Incoming>,
    /// Of each family the last that was said.
    pub(super) metadata: BTreeMap<Arc<str>, Metadata>,
}

/// One series of a request.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Or why the whole series is not stored.
    pub(super) labels: Result<Labels, String>,
    /// Numbers, then histograms.
    pub(super) samples: Vec<IncomingSample>,
    pub(super) exemplars: Vec<Exemplar>,
}

/// One sample of a request.
#[derive(Debug)]
pub(super) struct IncomingSample {
    pub(super) at: Timestamp,
    /// Since when it has counted.
    pub(super) start: Option<StartTime>,
    /// Or why it is not stored.
    pub(super) value: Result<Value, String>,
}

/// Reads a whole message, or says why it is none.
pub(super) fn read(version: Version, message: Bytes) -> Result<Request, String> {
    let mut budget = ITEMS_MAX;
    match version {
        Version::V1 => read_v1(message, &mut budget),
        Version::V2 => read_v2(message, &mut budget),
    }
}

fn read_v1(message: Bytes, budget: &mut usize) -> Result<Request, String> {
    let mut request = Request::default();
    for field in Fields::new(message) {
        let field = field.map_err(malformed)?;
        match (field.number, field.payload) {
            (field::V1_SERIES, Some(series)) => request.series.push(series_v1(decode(series, budget)?)),
            (field::V1_METADATA, Some(metadata)) => {
                let (family, metadata) = metadata_v1(&decode(metadata, budget)?);
                request.metadata.insert(family, metadata);
            }
            (field::V1_SERIES | field::V1_METADATA, None) => return Err(malformed(Malformed)),
            _ => {}
        }
    }
    Ok(request)
}

/// Texts may stand after the series that refer to them, so they are gathered first.
fn read_v2(message: Bytes, budget: &mut usize) -> Result<Request, String> {
    let mut symbols = Vec::new();
    for field in Fields::new(message.clone()) {
        let field = field.map_err(malformed)?;
        if field.number == field::V2_SYMBOLS {
            spend(budget, 1)?;
            symbols.push(field.payload.ok_or_else(|| malformed(Malformed))?);
        }
    }
    let mut request = Request::default();
    for field in Fields::new(message).flatten().filter(|field| field.number == field::V2_SERIES) {
        let series: SeriesV2 = decode(field.payload.ok_or_else(|| malformed(Malformed))?, budget)?;
        let (series, metadata) = series_v2(series, &symbols);
        request.metadata.extend(metadata);
        request.series.push(series);
    }
    Ok(request)
}

/// Decodes a part of the request after counting what it holds.
fn decode<M: Message + Default>(part: Bytes, budget: &mut usize) -> Result<M, String> {
    spend(budget, 1 + Fields::new(part.clone()).count())?;
    M::decode(part).map_err(|error| error.to_string())
}

fn spend(budget: &mut usize, items: usize) -> Result<(), String> {
    let left = budget.checked_sub(items);
    *budget = left.ok_or_else(|| format!("the request has more than {ITEMS_MAX} labels, samples and texts"))?;
    Ok(())
}

fn malformed(_: Malformed) -> String {
    "the body is no protocol buffer".to_owned()
}

fn series_v1(series: SeriesV1) -> Incoming {
    let pairs =
        |labels: Vec<super::message::LabelV1>| labels.into_iter().map(|label| (label.name, label.value)).collect();
    let exemplar = |exemplar: ExemplarV1| example(pairs(exemplar.labels), exemplar.value, exemplar.timestamp);
    Incoming {
        labels: labels::read(pairs(series.labels)).map_err(|invalid| invalid.0),
        samples: samples(series.samples, series.histograms, 0),
        exemplars: series.exemplars.into_iter().filter_map(exemplar).collect(),
    }
}

fn series_v2(series: SeriesV2, symbols: &[Bytes]) -> (Incoming, Option<(Arc<str>, Metadata)>) {
    let labels = pairs_of(&series.labels_refs, symbols);
    let labels = labels.and_then(|pairs| labels::read(pairs).map_err(|invalid| invalid.0));
    let exemplar = |exemplar: ExemplarV2| {
        example(pairs_of(&exemplar.labels_refs, symbols).ok()?, exemplar.value, exemplar.timestamp)
    };
    let metadata = match (&labels, series.metadata) {
        (Ok(labels), Some(metadata)) => metadata_v2(labels, metadata, symbols),
        _ => None,
    };
    let incoming = Incoming {
        labels,
        samples: samples(series.samples, series.histograms, series.created_timestamp),
        exemplars: series.exemplars.into_iter().filter_map(exemplar).collect(),
    };
    (incoming, metadata)
}

/// The texts that a list of references means. **Source.** Prometheus 3.14 for the message.
fn pairs_of(refs: &[u32], symbols: &[Bytes]) -> Result<Vec<(Bytes, Bytes)>, String> {
    let say = |problem: String| {
        format!(
            "parsing labels for series [{}]: {problem}",
            refs.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
        )
    };
    if !refs.len().is_multiple_of(2) {
        return Err(say(format!("invalid labelRefs length {}", refs.len())));
    }
    let text = |index: u32| symbols.get(index as usize).cloned();
    let pair = |pair: &[u32]| {
        text(pair[0]).zip(text(pair[1])).ok_or_else(|| {
            let (name, value, count) = (pair[0], pair[1], symbols.len());
            say(format!("labelRefs {name} (name) = {value} (value) outside of symbols table (size {count})"))
        })
    };
    refs.chunks_exact(2).map(pair).collect()
}

/// `created` holds for samples that do not say themselves since when they have counted.
fn samples(numbers: Vec<Sample>, histograms: Vec<Histogram>, created: i64) -> Vec<IncomingSample> {
    let start = |own: i64| StartTime::new(Timestamp::from_ms(if own == 0 { created } else { own }));
    let numbers = numbers.into_iter().map(|sample| IncomingSample {
        at: Timestamp::from_ms(sample.timestamp),
        start: start(sample.start_timestamp),
        value: Ok(sample.value.into()),
    });
    let histograms = histograms.into_iter().map(|wire| IncomingSample {
        at: Timestamp::from_ms(wire.timestamp),
        start: start(wire.start_timestamp),
        value: histogram::read(wire).map(|histogram| Value::Histogram(Arc::new(histogram))),
    });
    numbers.chain(histograms).collect()
}

/// `None` where its labels are no texts.
fn example(pairs: Vec<(Bytes, Bytes)>, value: f64, timestamp: i64) -> Option<Exemplar> {
    let text = |bytes: Bytes| String::from_utf8(bytes.into()).ok();
    let pairs: Option<Vec<(String, String)>> =
        pairs.into_iter().map(|(name, value)| text(name).zip(text(value))).collect();
    Some(Exemplar { labels: Labels::from_pairs(pairs?), value, at: Timestamp::from_ms(timestamp) })
}

fn metadata_v1(wire: &MetadataV1) -> (Arc<str>, Metadata) {
    let text = |bytes: &Bytes| Arc::<str>::from(String::from_utf8_lossy(bytes));
    (text(&wire.family), Metadata { kind: kind(wire.kind), help: text(&wire.help), unit: text(&wire.unit) })
}

/// `None` where nothing is said.
fn metadata_v2(labels: &Labels, wire: MetadataV2, symbols: &[Bytes]) -> Option<(Arc<str>, Metadata)> {
    let text = |index: u32| {
        Arc::<str>::from(symbols.get(index as usize).map_or("".into(), |bytes| String::from_utf8_lossy(bytes)))
    };
    let kind = kind(wire.kind);
    let metadata = Metadata { kind, help: text(wire.help_ref), unit: text(wire.unit_ref) };
    let says_something = kind != MetricKind::Unknown || !metadata.help.is_empty() || !metadata.unit.is_empty();
    says_something.then(|| (family(labels.get(METRIC_NAME).unwrap_or_default(), kind).into(), metadata))
}

/// The family of a series: histograms and summaries have several with suffixes of their own.
fn family(name: &str, kind: MetricKind) -> &str {
    let suffixes: &[&str] = match kind {
        MetricKind::Histogram | MetricKind::GaugeHistogram => &["_bucket", "_count", "_sum"],
        MetricKind::Summary => &["_count", "_sum"],
        _ => &[],
    };
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn kind(number: i32) -> MetricKind {
    match number {
        1 => MetricKind::Counter,
        2 => MetricKind::Gauge,
        3 => MetricKind::Histogram,
        4 => MetricKind::GaugeHistogram,
        5 => MetricKind::Summary,
        6 => MetricKind::Info,
        7 => MetricKind::StateSet,
        _ => MetricKind::Unknown,
    }
}
