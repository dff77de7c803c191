//! From a body to samples, as a text of the same metrics would have them.

use std::borrow::Cow;

use super::error::ProtobufError;
use super::message::{FamilyHead, Metric, NativeHistogram, ProtobufExemplar, WireHistogram, label};
use super::wire::{Fields, varint};
use crate::exposition::number::{format_bound, normal_nan};
use crate::exposition::{ClassicHistogram, ENTRY_BYTES_MAX, EXPANDED_BYTES_MAX, LabelPair};
use crate::model::{Histogram, METRIC_NAME, MetricKind};

/// Bytes of the longest length of a family that is taken, as in the source.
const LENGTH_BYTES_MAX: usize = 5;
/// Bytes of a key before the metric's own: part and bound.
const KEY_START_BYTES: usize = 1 + size_of::<f64>();

/// Which histograms are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HistogramHandling {
    /// Native ones are read as such; otherwise a histogram is its classic part.
    pub reads_native: bool,
    /// The classic part is read also where it is read as a native one.
    pub keeps_classic: bool,
    /// Classic histograms become native ones with custom buckets.
    pub makes_custom: bool,
}

/// What a body holds.
#[derive(Debug)]
pub enum Item<'i> {
    /// A family with at least one metric, before its samples.
    Family(FamilyHead<'i>),
    /// A sample.
    Sample(ProtobufSample<'i>),
}

/// What a sample holds.
#[derive(Clone, PartialEq, Debug)]
pub enum Measured {
    /// A number; a NaN is Prometheus's ordinary one.
    Float(f64),
    /// A native histogram, not checked yet.
    Native(Box<NativeHistogram>),
    /// A classic histogram with its bounds as custom buckets.
    Custom(Box<Histogram>),
}

/// A sample, and where its labels stand in the body.
#[derive(Debug)]
pub struct ProtobufSample<'i> {
    /// Tells its series from all others of its type. No series of a text format is written like this.
    pub key: &'i [u8],
    /// That of its family.
    pub kind: MetricKind,
    /// What.
    pub value: Measured,
    /// Milliseconds since the epoch, where it has a time of its own.
    pub timestamp_ms: Option<i64>,
    /// Since when it has counted, in milliseconds since the epoch, where that is known.
    pub start_ms: Option<i64>,
    family: &'i str,
    part: Part,
    metric_labels: &'i [&'i [u8]],
    exemplars: &'i [&'i [u8]],
}

impl<'i> ProtobufSample<'i> {
    /// Its labels, the metric's name first.
    pub fn labels(&self) -> Result<Vec<LabelPair<'i>>, ProtobufError> {
        let name = match self.part.suffix() {
            "" => Cow::Borrowed(self.family),
            suffix => Cow::Owned(format!("{}{suffix}", self.family)),
        };
        let mut labels = Vec::with_capacity(self.metric_labels.len() + 2);
        labels.push(LabelPair { name: METRIC_NAME.into(), value: name });
        for bytes in self.metric_labels {
            labels.push(label(bytes)?);
        }
        let bound = match self.part {
            Part::Bucket(bound) => Some(("le", bound)),
            Part::Quantile(quantile) => Some(("quantile", quantile)),
            _ => None,
        };
        labels.extend(bound.map(|(name, bound)| LabelPair { name: name.into(), value: format_bound(bound).into() }));
        Ok(labels)
    }

    /// Examples of what it counts. Those of a native histogram must have a time; the others are left out.
    pub fn exemplars(&self) -> Result<Vec<ProtobufExemplar<'i>>, ProtobufError> {
        let mut read = Vec::new();
        for bytes in self.exemplars {
            let exemplar = ProtobufExemplar::read(bytes)?;
            if exemplar.timestamp_ms.is_some() || self.part != Part::Histogram {
                read.push(exemplar);
            }
        }
        Ok(read)
    }
}

/// Which of the series of a metric a sample belongs to.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Part {
    Scalar,
    Histogram,
    Count,
    Sum,
    Bucket(f64),
    Quantile(f64),
}

impl Part {
    fn suffix(self) -> &'static str {
        match self {
            Part::Scalar | Part::Histogram | Part::Quantile(_) => "",
            Part::Count => "_count",
            Part::Sum => "_sum",
            Part::Bucket(_) => "_bucket",
        }
    }

    /// The first byte is none that a series of a text format begins with.
    fn key_start(self) -> [u8; KEY_START_BYTES] {
        let (number, bound) = match self {
            Part::Scalar => (0, 0.0),
            Part::Histogram => (1, 0.0),
            Part::Count => (2, 0.0),
            Part::Sum => (3, 0.0),
            Part::Bucket(bound) => (4, bound),
            Part::Quantile(quantile) => (5, quantile),
        };
        let mut start = [number; KEY_START_BYTES];
        start[1..].copy_from_slice(&bound.to_bits().to_le_bytes());
        start
    }
}

/// Reads `body`, metric by metric, and hands each item to `sink`; ends with the first error of either.
pub fn read_protobuf<E: From<ProtobufError>>(
    body: &[u8],
    handling: HistogramHandling,
    sink: &mut dyn FnMut(Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut walk = Walk { handling, sink, expanded: 0, key: Vec::new() };
    let mut rest = body;
    while !rest.is_empty() {
        let family = next_family(&mut rest)?;
        walk.family(family)?;
    }
    Ok(())
}

fn next_family<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], ProtobufError> {
    let mut after = *rest;
    let length = varint(&mut after).map_err(|_| ProtobufError::FamilyLength)?;
    let length_bytes = rest.len() - after.len();
    if length_bytes > LENGTH_BYTES_MAX {
        return Err(ProtobufError::FamilyLength);
    }
    // Five bytes hold 35 bits.
    let length = usize::try_from(length).map_err(|_| ProtobufError::FamilyLength)?;
    let Some((family, after)) = after.split_at_checked(length) else {
        return Err(ProtobufError::FamilyCut { expected: length_bytes + length, got: rest.len() });
    };
    *rest = after;
    Ok(family)
}

struct Walk<'s, E> {
    handling: HistogramHandling,
    sink: &'s mut dyn FnMut(Item<'_>) -> Result<(), E>,
    /// Bytes of all keys so far.
    expanded: usize,
    /// Of the current sample; what follows [`KEY_START_BYTES`] is the same for all samples of a metric.
    key: Vec<u8>,
}

/// What the samples of a metric share.
struct Shared<'i> {
    family: FamilyHead<'i>,
    labels: &'i [&'i [u8]],
    timestamp_ms: Option<i64>,
    start_ms: i64,
}

impl<E: From<ProtobufError>> Walk<'_, E> {
    fn family(&mut self, bytes: &[u8]) -> Result<(), E> {
        let mut head = None;
        for field in Fields::of("MetricFamily", bytes) {
            let field = field?;
            if field.number != 4 {
                continue;
            }
            let metric = field.bytes("Metric")?;
            let family = match head {
                Some(family) => family,
                // A family without metrics is passed over, whatever it says.
                None => self.begin(bytes)?,
            };
            head = Some(family);
            if metric.len() > ENTRY_BYTES_MAX {
                return Err(ProtobufError::EntryTooLong.into());
            }
            self.metric(family, &Metric::read(metric)?)?;
        }
        Ok(())
    }

    fn begin<'b>(&mut self, bytes: &'b [u8]) -> Result<FamilyHead<'b>, E> {
        let family = FamilyHead::read(bytes)?;
        if [family.name, family.help, family.unit].iter().any(|text| text.len() > ENTRY_BYTES_MAX) {
            return Err(ProtobufError::EntryTooLong.into());
        }
        (self.sink)(Item::Family(family))?;
        Ok(family)
    }

    fn metric(&mut self, family: FamilyHead<'_>, metric: &Metric<'_>) -> Result<(), E> {
        self.begin_key(family.name, &metric.labels);
        let timestamp_ms = metric.timestamp_ms();
        let mut shared = Shared { family, labels: &metric.labels, timestamp_ms, start_ms: 0 };
        match family.kind {
            MetricKind::Histogram | MetricKind::GaugeHistogram => {
                let histogram = metric.histogram()?;
                shared.start_ms = histogram.start_ms;
                self.histogram(&shared, histogram)
            }
            MetricKind::Summary => {
                let summary = metric.summary()?;
                shared.start_ms = summary.start_ms;
                self.float(&shared, Part::Count, summary.count as f64, None)?;
                self.float(&shared, Part::Sum, summary.sum, None)?;
                for (quantile, value) in summary.quantiles {
                    self.float(&shared, Part::Quantile(quantile + 0.0), value, None)?;
                }
                Ok(())
            }
            kind => {
                let scalar = metric.scalar(kind)?;
                shared.start_ms = scalar.start_ms;
                self.float(&shared, Part::Scalar, scalar.value, scalar.exemplar)
            }
        }
    }

    fn histogram(&mut self, shared: &Shared<'_>, histogram: WireHistogram<'_>) -> Result<(), E> {
        let HistogramHandling { reads_native, keeps_classic, makes_custom } = self.handling;
        let is_native = reads_native && histogram.is_native();
        let is_classic =
            if is_native { keeps_classic && !histogram.buckets.is_empty() } else { keeps_classic || !makes_custom };
        if is_classic {
            self.classic(shared, &histogram)?;
        }
        let exemplars = histogram.native_exemplars();
        if is_native {
            let native = Measured::Native(Box::new(histogram.into_native(&shared.family)?));
            self.sample(shared, Part::Histogram, native, &exemplars)
        } else if makes_custom && let Some(custom) = custom(&shared.family, &histogram) {
            self.sample(shared, Part::Histogram, Measured::Custom(Box::new(custom)), &exemplars)
        } else {
            Ok(())
        }
    }

    fn classic(&mut self, shared: &Shared<'_>, histogram: &WireHistogram<'_>) -> Result<(), E> {
        self.float(shared, Part::Count, histogram.count(), None)?;
        self.float(shared, Part::Sum, histogram.sum, None)?;
        for bucket in &histogram.buckets {
            // Zero has one spelling.
            let part = Part::Bucket(bucket.upper_bound + 0.0);
            self.float(shared, part, bucket.count(), bucket.exemplar)?;
            if bucket.upper_bound == f64::INFINITY {
                return Ok(());
            }
        }
        self.float(shared, Part::Bucket(f64::INFINITY), histogram.count(), None)
    }

    fn float(&mut self, shared: &Shared<'_>, part: Part, value: f64, exemplar: Option<&[u8]>) -> Result<(), E> {
        self.sample(shared, part, Measured::Float(normal_nan(value)), exemplar.as_slice())
    }

    fn sample(&mut self, shared: &Shared<'_>, part: Part, value: Measured, exemplars: &[&[u8]]) -> Result<(), E> {
        self.key[..KEY_START_BYTES].copy_from_slice(&part.key_start());
        self.expanded += self.key.len();
        if self.expanded > EXPANDED_BYTES_MAX {
            return Err(ProtobufError::Expanded.into());
        }
        (self.sink)(Item::Sample(ProtobufSample {
            key: &self.key,
            kind: shared.family.kind,
            value,
            timestamp_ms: shared.timestamp_ms,
            start_ms: Some(shared.start_ms).filter(|ms| *ms != 0),
            family: shared.family.name,
            part,
            metric_labels: shared.labels,
            exemplars,
        }))
    }

    /// Every piece with its length, so that no two metrics have the same key.
    fn begin_key(&mut self, name: &str, labels: &[&[u8]]) {
        self.key.clear();
        self.key.resize(KEY_START_BYTES, 0);
        for piece in std::iter::once(name.as_bytes()).chain(labels.iter().copied()) {
            let length = u32::try_from(piece.len()).expect("BUG: a metric over its limit");
            self.key.extend_from_slice(&length.to_le_bytes());
            self.key.extend_from_slice(piece);
        }
    }
}

fn custom(family: &FamilyHead<'_>, histogram: &WireHistogram<'_>) -> Option<Histogram> {
    let mut classic = ClassicHistogram::default();
    classic.set_count(histogram.count());
    classic.set_sum(normal_nan(histogram.sum));
    for bucket in &histogram.buckets {
        classic.set_bucket(bucket.upper_bound, bucket.count());
    }
    classic.convert(family.kind)
}
