//! Numbers, texts and histograms as bytes.
//!
//! In the flow: what must survive the process (samples, alerts, groups, the history) is written and read with these.
//! **Invariants.** Reading never panics and never allocates more than the input is long: what does not fit is [`Malformed`].

use std::sync::Arc;

use super::{CounterResetHint, Histogram, HistogramSpan, Label, Labels, Timestamp, Value};

/// Bytes that are not what they should be, although their checksum is right: another version wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Appends to bytes.
pub trait Write {
    /// A number, short where it is small.
    fn varint(&mut self, value: u64);
    /// A number, short where it is near zero.
    fn signed(&mut self, value: i64);
    /// A length and as many bytes.
    fn bytes(&mut self, bytes: &[u8]);
    /// A float, to the bit.
    fn float(&mut self, value: f64);
    /// A float or a histogram.
    fn value(&mut self, value: &Value);
    /// A label set.
    fn labels(&mut self, labels: &Labels);

    /// A text.
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// An instant.
    fn instant(&mut self, at: Timestamp) {
        self.signed(at.as_ms());
    }

    /// What may be absent.
    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.varint(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// A number of things, one after the other.
    fn list<T>(&mut self, items: impl ExactSizeIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.varint(items.len() as u64);
        items.for_each(|item| write(self, item));
    }
}

impl Write for Vec<u8> {
    fn varint(&mut self, mut value: u64) {
        while value >= 1 << 7 {
            self.push(1 << 7 | value as u8);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn signed(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.extend_from_slice(bytes);
    }

    /// Small integers have few bits set, all of them high: with the bytes turned round they are short.
    fn float(&mut self, value: f64) {
        self.varint(value.to_bits().swap_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Float(value) => {
                self.push(0);
                self.float(*value);
            }
            Value::Histogram(histogram) => {
                self.push(1);
                write_histogram(self, histogram);
            }
        }
    }

    fn labels(&mut self, labels: &Labels) {
        self.varint(labels.iter().count() as u64);
        for label in labels.iter() {
            self.bytes(label.name.as_bytes());
            self.bytes(label.value.as_bytes());
        }
    }
}

fn write_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    out.push(match histogram.counter_reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    });
    out.signed(i64::from(histogram.schema));
    for float in [histogram.zero_threshold, histogram.zero_count, histogram.count, histogram.sum] {
        out.float(float);
    }
    for spans in [&histogram.positive_spans, &histogram.negative_spans] {
        out.varint(spans.len() as u64);
        for span in spans {
            out.signed(i64::from(span.offset));
            out.varint(u64::from(span.length));
        }
    }
    for floats in [&histogram.positive_buckets, &histogram.negative_buckets, &histogram.custom_values] {
        out.varint(floats.len() as u64);
        floats.iter().for_each(|float| out.float(*float));
    }
}

/// Takes from the front of bytes.
#[derive(Clone, Copy)]
pub struct Read<'a>(pub &'a [u8]);

impl<'a> Read<'a> {
    /// Whether all was taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    /// See [`Write::varint`].
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 1 << 7 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// See [`Write::signed`].
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A number of things that follow, each of at least one byte.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        if count > self.0.len() { Err(Malformed) } else { Ok(count) }
    }

    /// See [`Write::bytes`].
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = {
            let len = self.count()?;
            self.0.split_at(len)
        };
        self.0 = rest;
        Ok(bytes)
    }

    /// See [`Write::text`].
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// See [`Write::float`].
    pub fn float(&mut self) -> Result<f64, Malformed> {
        Ok(f64::from_bits(self.varint()?.swap_bytes()))
    }

    /// See [`Write::value`].
    pub fn value(&mut self) -> Result<Value, Malformed> {
        match self.byte()? {
            0 => Ok(Value::Float(self.float()?)),
            1 => Ok(Value::Histogram(Arc::new(self.histogram()?))),
            _ => Err(Malformed),
        }
    }

    /// See [`Write::labels`].
    pub fn labels(&mut self) -> Result<Labels, Malformed> {
        let mut labels = Vec::new();
        for _ in 0..self.count()? {
            labels.push(Label { name: self.text()?.into(), value: self.text()?.into() });
        }
        Ok(Labels::new(labels))
    }

    /// See [`Write::instant`].
    pub fn instant(&mut self) -> Result<Timestamp, Malformed> {
        self.signed().map(Timestamp::from_ms)
    }

    /// See [`Write::option`].
    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Malformed>) -> Result<Option<T>, Malformed> {
        match self.varint()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Malformed),
        }
    }

    /// See [`Write::list`].
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let count = self.count()?;
        (0..count).map(|_| read(self)).collect()
    }

    fn histogram(&mut self) -> Result<Histogram, Malformed> {
        let counter_reset_hint = match self.byte()? {
            0 => CounterResetHint::Unknown,
            1 => CounterResetHint::Reset,
            2 => CounterResetHint::NotReset,
            3 => CounterResetHint::Gauge,
            _ => return Err(Malformed),
        };
        Ok(Histogram {
            counter_reset_hint,
            schema: i32::try_from(self.signed()?).map_err(|_| Malformed)?,
            zero_threshold: self.float()?,
            zero_count: self.float()?,
            count: self.float()?,
            sum: self.float()?,
            positive_spans: self.spans()?,
            negative_spans: self.spans()?,
            positive_buckets: self.floats()?,
            negative_buckets: self.floats()?,
            custom_values: self.floats()?,
        })
    }

    fn spans(&mut self) -> Result<Vec<HistogramSpan>, Malformed> {
        let count = self.count()?;
        let span = |_| {
            let offset = i32::try_from(self.signed()?).map_err(|_| Malformed)?;
            Ok(HistogramSpan { offset, length: u32::try_from(self.varint()?).map_err(|_| Malformed)? })
        };
        (0..count).map(span).collect()
    }

    fn floats(&mut self) -> Result<Vec<f64>, Malformed> {
        let count = self.count()?;
        (0..count).map(|_| self.float()).collect()
    }
}
