//! The messages, read as far as they are needed.
//!
//! What repeats on the wire is kept as its place in the body; a scalar that repeats counts as it stands last.
//! **Source.** Prometheus 3.14 `prompb/io/prometheus/client/metrics.proto`.

use super::error::{ProtobufError, shown};
use super::wire::{Fields, zigzag};
use crate::exposition::number::normal_nan;
use crate::exposition::{LABELS_MAX, LabelPair};
use crate::model::{HistogramSpan, MetricKind};

/// What a family says of all its metrics.
#[derive(Clone, Copy, Debug)]
pub struct FamilyHead<'a> {
    /// Not empty.
    pub name: &'a str,
    /// May be empty.
    pub help: &'a str,
    /// May be empty.
    pub unit: &'a str,
    /// The type of its metrics.
    pub kind: MetricKind,
}

impl<'a> FamilyHead<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let (mut name, mut help, mut unit, mut kind): (&[u8], &[u8], &[u8], _) = (&[], &[], &[], 0);
        for field in Fields::of("MetricFamily", bytes) {
            let field = field?;
            match field.number {
                1 => name = field.bytes("Name")?,
                2 => help = field.bytes("Help")?,
                3 => kind = field.number("Type")? as i32,
                4 => drop(field.bytes("Metric")?),
                5 => unit = field.bytes("Unit")?,
                _ => {}
            }
        }
        let name = match str::from_utf8(name) {
            Ok(valid) if !valid.is_empty() => valid,
            _ => return Err(ProtobufError::MetricName(shown(name))),
        };
        let said = || shown(name.as_bytes());
        let help = str::from_utf8(help).map_err(|_| ProtobufError::Help { name: said(), help: shown(help) })?;
        let unit = str::from_utf8(unit).map_err(|_| ProtobufError::Unit { name: said() })?;
        let kind = match kind {
            0 => MetricKind::Counter,
            1 => MetricKind::Gauge,
            2 => MetricKind::Summary,
            3 => MetricKind::Unknown,
            4 => MetricKind::Histogram,
            5 => MetricKind::GaugeHistogram,
            number => return Err(ProtobufError::MetricType { name: said(), number: number.into() }),
        };
        Ok(FamilyHead { name, help, unit, kind })
    }
}

/// One metric of a family: its labels and where its value stands.
#[derive(Debug, Default)]
pub(super) struct Metric<'a> {
    pub(super) labels: Vec<&'a [u8]>,
    gauge: &'a [u8],
    counter: &'a [u8],
    summary: &'a [u8],
    untyped: &'a [u8],
    histogram: &'a [u8],
    timestamp_ms: i64,
}

impl<'a> Metric<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut metric = Metric::default();
        for field in Fields::of("Metric", bytes) {
            let field = field?;
            match field.number {
                1 => metric.labels.push(field.bytes("Label")?),
                2 => metric.gauge = field.bytes("Gauge")?,
                3 => metric.counter = field.bytes("Counter")?,
                4 => metric.summary = field.bytes("Summary")?,
                5 => metric.untyped = field.bytes("Untyped")?,
                6 => metric.timestamp_ms = field.number("TimestampMs")? as i64,
                7 => metric.histogram = field.bytes("Histogram")?,
                _ => {}
            }
            if metric.labels.len() > LABELS_MAX {
                return Err(ProtobufError::TooManyLabels);
            }
        }
        Ok(metric)
    }

    /// The epoch means that there is none, as in the source.
    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        Some(self.timestamp_ms).filter(|ms| *ms != 0)
    }

    /// The value of a counter, gauge or metric without a type.
    pub(super) fn scalar(&self, kind: MetricKind) -> Result<Scalar<'a>, ProtobufError> {
        match kind {
            MetricKind::Counter => Scalar::read("Counter", self.counter),
            MetricKind::Gauge => Scalar::read("Gauge", self.gauge),
            _ => Scalar::read("Untyped", self.untyped),
        }
    }

    pub(super) fn summary(&self) -> Result<Summary, ProtobufError> {
        Summary::read(self.summary)
    }

    pub(super) fn histogram(&self) -> Result<WireHistogram<'a>, ProtobufError> {
        WireHistogram::read(self.histogram)
    }
}

/// A single number.
#[derive(Debug, Default)]
pub(super) struct Scalar<'a> {
    pub(super) value: f64,
    pub(super) exemplar: Option<&'a [u8]>,
    pub(super) start_ms: i64,
}

impl<'a> Scalar<'a> {
    fn read(message: &'static str, bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut scalar = Scalar::default();
        for field in Fields::of(message, bytes) {
            let field = field?;
            match field.number {
                1 => scalar.value = field.double("Value")?,
                2 if message == "Counter" => scalar.exemplar = Some(field.bytes("Exemplar")?),
                3 if message == "Counter" => scalar.start_ms = instant_ms(field.bytes("StartTimestamp")?)?,
                _ => {}
            }
        }
        Ok(scalar)
    }
}

#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Quantile and value.
    pub(super) quantiles: Vec<(f64, f64)>,
    pub(super) start_ms: i64,
}

impl Summary {
    fn read(bytes: &[u8]) -> Result<Self, ProtobufError> {
        let mut summary = Summary::default();
        for field in Fields::of("Summary", bytes) {
            let field = field?;
            match field.number {
                1 => summary.count = field.number("SampleCount")?,
                2 => summary.sum = field.double("SampleSum")?,
                3 => summary.quantiles.push(quantile(field.bytes("Quantile")?)?),
                4 => summary.start_ms = instant_ms(field.bytes("StartTimestamp")?)?,
                _ => {}
            }
        }
        Ok(summary)
    }
}

fn quantile(bytes: &[u8]) -> Result<(f64, f64), ProtobufError> {
    let mut pair = (0.0, 0.0);
    for field in Fields::of("Quantile", bytes) {
        let field = field?;
        match field.number {
            1 => pair.0 = field.double("Quantile")?,
            2 => pair.1 = field.double("Value")?,
            _ => {}
        }
    }
    Ok(pair)
}

/// A classic bucket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket<'a> {
    pub(super) upper_bound: f64,
    whole: u64,
    fractional: f64,
    pub(super) exemplar: Option<&'a [u8]>,
}

impl<'a> Bucket<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut bucket = Bucket::default();
        for field in Fields::of("Bucket", bytes) {
            let field = field?;
            match field.number {
                1 => bucket.whole = field.number("CumulativeCount")?,
                2 => bucket.upper_bound = field.double("UpperBound")?,
                3 => bucket.exemplar = Some(field.bytes("Exemplar")?),
                4 => bucket.fractional = field.double("CumulativeCountFloat")?,
                _ => {}
            }
        }
        Ok(bucket)
    }

    /// Observations up to its bound.
    pub(super) fn count(&self) -> f64 {
        either(self.fractional, self.whole)
    }
}

/// The counts of a native histogram.
#[derive(Clone, PartialEq, Debug)]
pub enum NativeCounts {
    /// Whole numbers; buckets as differences from the one before.
    Whole {
        /// All observations.
        count: u64,
        /// Those in the zero bucket.
        zero_count: u64,
        /// Of the positive buckets.
        positive: Vec<i64>,
        /// Of the negative buckets.
        negative: Vec<i64>,
    },
    /// Any numbers, each by itself.
    Fractional {
        /// All observations.
        count: f64,
        /// Those in the zero bucket.
        zero_count: f64,
        /// Of the positive buckets.
        positive: Vec<f64>,
        /// Of the negative buckets.
        negative: Vec<f64>,
    },
}

/// A native histogram as it was exposed: spans fit their buckets, nothing else is checked.
#[derive(Clone, PartialEq, Debug)]
pub struct NativeHistogram {
    /// Whether it goes up and down.
    pub is_gauge: bool,
    /// Resolution.
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Of all observations.
    pub sum: f64,
    /// Where the positive buckets lie.
    pub positive_spans: Vec<HistogramSpan>,
    /// Where the negative buckets lie.
    pub negative_spans: Vec<HistogramSpan>,
    /// How many observations.
    pub counts: NativeCounts,
}

/// Classic and native histograms are one message.
#[derive(Debug, Default)]
pub(super) struct WireHistogram<'a> {
    count: u64,
    count_float: f64,
    pub(super) sum: f64,
    pub(super) buckets: Vec<Bucket<'a>>,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    negative_spans: Vec<HistogramSpan>,
    negative_deltas: Vec<i64>,
    negative_counts: Vec<f64>,
    positive_spans: Vec<HistogramSpan>,
    positive_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    pub(super) start_ms: i64,
    exemplars: Vec<&'a [u8]>,
}

impl<'a> WireHistogram<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut read = WireHistogram::default();
        for field in Fields::of("Histogram", bytes) {
            let field = field?;
            match field.number {
                1 => read.count = field.number("SampleCount")?,
                2 => read.sum = field.double("SampleSum")?,
                3 => read.buckets.push(Bucket::read(field.bytes("Bucket")?)?),
                4 => read.count_float = field.double("SampleCountFloat")?,
                5 => read.schema = zigzag(field.number("Schema")?) as i32,
                6 => read.zero_threshold = field.double("ZeroThreshold")?,
                7 => read.zero_count = field.number("ZeroCount")?,
                8 => read.zero_count_float = field.double("ZeroCountFloat")?,
                9 => read.negative_spans.push(span(field.bytes("NegativeSpan")?)?),
                10 => field.signed("NegativeDelta", &mut read.negative_deltas)?,
                11 => field.doubles("NegativeCount", &mut read.negative_counts)?,
                12 => read.positive_spans.push(span(field.bytes("PositiveSpan")?)?),
                13 => field.signed("PositiveDelta", &mut read.positive_deltas)?,
                14 => field.doubles("PositiveCount", &mut read.positive_counts)?,
                15 => read.start_ms = instant_ms(field.bytes("StartTimestamp")?)?,
                16 => read.exemplars.push(field.bytes("Exemplars")?),
                _ => {}
            }
        }
        Ok(read)
    }

    /// Observations as the classic histogram has them.
    pub(super) fn count(&self) -> f64 {
        either(self.count_float, self.count)
    }

    /// Whether there is anything native about it. One without observations has an empty span to say so.
    pub(super) fn is_native(&self) -> bool {
        !self.positive_spans.is_empty()
            || !self.negative_spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero_count > 0
    }

    /// Its own exemplars; where it has none, those of its classic buckets.
    pub(super) fn native_exemplars(&self) -> Vec<&'a [u8]> {
        match self.exemplars.is_empty() {
            true => self.buckets.iter().filter_map(|bucket| bucket.exemplar).collect(),
            false => self.exemplars.clone(),
        }
    }

    pub(super) fn into_native(self, family: &FamilyHead<'_>) -> Result<NativeHistogram, ProtobufError> {
        let counts = if self.count_float > 0.0 || self.zero_count_float > 0.0 {
            NativeCounts::Fractional {
                count: self.count_float,
                zero_count: self.zero_count_float,
                positive: self.positive_counts,
                negative: self.negative_counts,
            }
        } else {
            NativeCounts::Whole {
                count: self.count,
                zero_count: self.zero_count,
                positive: self.positive_deltas,
                negative: self.negative_deltas,
            }
        };
        let (positive, negative) = match &counts {
            NativeCounts::Whole { positive, negative, .. } => (positive.len(), negative.len()),
            NativeCounts::Fractional { positive, negative, .. } => (positive.len(), negative.len()),
        };
        for (side, spans, found) in
            [("positive", &self.positive_spans, positive), ("negative", &self.negative_spans, negative)]
        {
            let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
            if needed != found as u64 {
                return Err(ProtobufError::Spans { name: shown(family.name.as_bytes()), side, needed, found });
            }
        }
        Ok(NativeHistogram {
            is_gauge: family.kind == MetricKind::GaugeHistogram,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum: normal_nan(self.sum),
            positive_spans: self.positive_spans,
            negative_spans: self.negative_spans,
            counts,
        })
    }
}

/// A count has two fields; the fractional one counts where it is not zero.
fn either(fractional: f64, whole: u64) -> f64 {
    if fractional == 0.0 { whole as f64 } else { fractional }
}

fn span(bytes: &[u8]) -> Result<HistogramSpan, ProtobufError> {
    let mut span = HistogramSpan { offset: 0, length: 0 };
    for field in Fields::of("BucketSpan", bytes) {
        let field = field?;
        match field.number {
            1 => span.offset = zigzag(field.number("Offset")?) as i32,
            2 => span.length = field.number("Length")? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// `google.protobuf.Timestamp`, cut to milliseconds.
fn instant_ms(bytes: &[u8]) -> Result<i64, ProtobufError> {
    let (mut secs, mut nanos) = (0i64, 0i32);
    for field in Fields::of("Timestamp", bytes) {
        let field = field?;
        match field.number {
            1 => secs = field.number("Seconds")? as i64,
            2 => nanos = field.number("Nanos")? as i32,
            _ => {}
        }
    }
    Ok(secs.wrapping_mul(1000).wrapping_add(i64::from(nanos / 1_000_000)))
}

/// An example of what was counted.
#[derive(Clone, PartialEq, Debug)]
pub struct ProtobufExemplar<'a> {
    /// In the order they stand there.
    pub labels: Vec<LabelPair<'a>>,
    /// What the example measured.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
}

impl<'a> ProtobufExemplar<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut exemplar = ProtobufExemplar { labels: Vec::new(), value: 0.0, timestamp_ms: None };
        for field in Fields::of("Exemplar", bytes) {
            let field = field?;
            match field.number {
                1 => exemplar.labels.push(label(field.bytes("Label")?)?),
                2 => exemplar.value = field.double("Value")?,
                3 => exemplar.timestamp_ms = Some(instant_ms(field.bytes("Timestamp")?)?),
                _ => {}
            }
            if exemplar.labels.len() > LABELS_MAX {
                return Err(ProtobufError::TooManyLabels);
            }
        }
        Ok(exemplar)
    }
}

/// A label, borrowed and checked.
pub(super) fn label(bytes: &[u8]) -> Result<LabelPair<'_>, ProtobufError> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields::of("LabelPair", bytes) {
        let field = field?;
        match field.number {
            1 => name = field.bytes("Name")?,
            2 => value = field.bytes("Value")?,
            _ => {}
        }
    }
    let name = match str::from_utf8(name) {
        Ok(valid) if !valid.is_empty() => valid,
        _ => return Err(ProtobufError::LabelName(shown(name))),
    };
    let value = str::from_utf8(value).map_err(|_| ProtobufError::LabelValue(shown(value)))?;
    Ok(LabelPair { name: name.into(), value: value.into() })
}
