//! The samples that a script has loaded.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::model::{
    CounterResetHint, Histogram, HistogramSpan, Labels, METRIC_NAME, Matcher, Sample, Series, StartTime, Timestamp,
    Value,
};
use crate::promql::eval::native::{CUSTOM_SCHEMA, is_reset};
use crate::promql::{Querier, QuerierError};
use crate::store::{Row, Store, StoreOptions};

/// A script's samples are never too old.
const RETENTION: Duration = Duration::MAX;

/// Series by label set. Later loads add to earlier ones and win where both have a sample.
#[derive(Default)]
pub(super) struct Samples {
    series: BTreeMap<Labels, BTreeMap<Timestamp, Loaded>>,
    /// The same in a store, made when first asked for.
    store: OnceLock<Arc<Store>>,
}

/// A sample without its time.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) value: Value,
    pub(super) start: Option<StartTime>,
}

impl Samples {
    pub(super) fn clear(&mut self) {
        *self = Samples::default();
    }

    /// A store that holds them, for plans.
    pub(super) fn store(&self) -> &Arc<Store> {
        self.store.get_or_init(|| {
            let store = Store::new(StoreOptions { retention: RETENTION });
            for (labels, samples) in &self.series {
                let series = store.series_ref(labels);
                let row = |(at, loaded): (&Timestamp, &Loaded)| Row {
                    series,
                    at: *at,
                    value: loaded.value.clone(),
                    start: loaded.start,
                };
                store.commit(&samples.iter().map(row).collect::<Vec<_>>());
            }
            Arc::new(store)
        })
    }

    pub(super) fn add(&mut self, labels: &Labels, samples: impl IntoIterator<Item = (Timestamp, Loaded)>) {
        self.store = OnceLock::new();
        self.series.entry(labels.clone()).or_default().extend(samples);
    }

    /// Adds, for each classic histogram among `loaded`, the native histogram with custom buckets that says the same.
    pub(super) fn add_custom_histograms(&mut self, loaded: &[(Labels, Vec<(Timestamp, Loaded)>)]) {
        let mut histograms: BTreeMap<Labels, BTreeMap<Timestamp, Classic>> = BTreeMap::new();
        for (labels, samples) in loaded {
            let Some((base, part)) = classic_part(labels) else { continue };
            let by_time = histograms.entry(base).or_default();
            for (at, sample) in samples {
                let Some(value) = sample.value.as_float() else { continue };
                let classic = by_time.entry(*at).or_default();
                match part {
                    Part::Bucket(bound) => classic.buckets.push((bound, value)),
                    Part::Sum => classic.sum = Some(value),
                    Part::Count => classic.count = Some(value),
                }
            }
        }
        for (labels, by_time) in histograms {
            let sample = |(at, classic): (_, Classic)| (at, Loaded { value: classic.into_value(), start: None });
            self.add(&labels, by_time.into_iter().map(sample));
        }
    }
}

impl Querier for Samples {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QuerierError> {
        let mut selected = Vec::new();
        if end < start {
            return Ok(selected);
        }
        for (labels, samples) in &self.series {
            if !matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
                continue;
            }
            let sample = |(at, loaded): (&Timestamp, &Loaded)| Sample { at: *at, value: loaded.value.clone() };
            let mut all: Vec<Sample> = samples.iter().map(sample).collect();
            give_reset_hints(&mut all);
            all.retain(|sample| (start..=end).contains(&sample.at));
            if !all.is_empty() {
                let starts = samples.range(start..=end).map(|(_, loaded)| loaded.start).collect();
                selected.push(Series { labels: labels.clone(), samples: all, starts });
            }
        }
        Ok(selected)
    }
}

/// A store that compares histograms on arrival knows that one continues the one before it. At a reset it begins a new
/// chunk, of whose first sample it claims nothing.
fn give_reset_hints(samples: &mut [Sample]) {
    for index in 1..samples.len() {
        let [earlier, later] = &mut samples[index - 1..=index] else { continue };
        let (Value::Histogram(earlier), Value::Histogram(later)) = (&earlier.value, &mut later.value) else { continue };
        let is_counter = [earlier, &*later].iter().all(|h| h.counter_reset_hint != CounterResetHint::Gauge);
        let is_known = later.counter_reset_hint != CounterResetHint::Unknown;
        if is_counter && !is_known && !is_reset(later, earlier) {
            Arc::make_mut(later).counter_reset_hint = CounterResetHint::NotReset;
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    Bucket(f64),
    Sum,
    Count,
}

/// The labels of the histogram to which a series of a classic histogram belongs, and what it holds of it.
fn classic_part(labels: &Labels) -> Option<(Labels, Part)> {
    let name = labels.metric_name();
    let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
        let bound: f64 = labels.get("le")?.parse().ok()?;
        (base, Part::Bucket(bound))
    } else if let Some(base) = name.strip_suffix("_sum") {
        (base, Part::Sum)
    } else {
        (name.strip_suffix("_count")?, Part::Count)
    };
    Some((labels.to_builder().set(METRIC_NAME, base).remove("le").build(), part))
}

/// What is known of a classic histogram at an instant.
#[derive(Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

impl Classic {
    fn into_value(mut self) -> Value {
        self.buckets.retain(|(bound, _)| !bound.is_nan());
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let highest = self.buckets.last().map_or(0.0, |(_, count)| *count);
        let count = self.count.unwrap_or(highest);
        let bounds: Vec<f64> = self.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).collect();
        let mut cumulative: Vec<f64> = self.buckets[..bounds.len()].iter().map(|(_, count)| *count).collect();
        cumulative.push(count);
        let mut below = 0.0;
        let differences = cumulative.into_iter().map(|count| count - std::mem::replace(&mut below, count));
        let buckets: Vec<f64> = differences.collect();
        let length = u32::try_from(buckets.len()).unwrap_or(u32::MAX);
        Value::Histogram(Arc::new(Histogram {
            schema: CUSTOM_SCHEMA,
            count,
            sum: self.sum.unwrap_or(0.0),
            positive_spans: vec![HistogramSpan { offset: 0, length }],
            positive_buckets: buckets,
            custom_values: bounds,
            ..Histogram::default()
        }))
    }
}
