//! Random data of every kind that a server meets: counters with restarts, gauges, NaN and infinities, staleness markers, classic and native
//! histograms, series that pause, and series that come and go.
//!
//! Series are made in the order of their label sets: Prometheus adds up series in the order in which they were made, we in the order of
//! label sets, and the last digit of a sum may depend on that.

use std::collections::BTreeMap;

use almenara::model::STALE_NAN_BITS;
use almenara::remote::message::{Count, Histogram, LabelV1, RequestV1, Sample, SeriesV1, Span, ZeroCount};

use super::random::Random;

/// The first scrape, in milliseconds.
pub(super) const START_MS: i64 = 1_760_000_000_000;
/// Scrapes of each target.
pub(super) const SCRAPES: i64 = 160;
/// Between two scrapes.
pub(super) const INTERVAL_MS: i64 = 15_000;
/// The last scrape.
pub(super) const END_MS: i64 = START_MS + (SCRAPES - 1) * INTERVAL_MS;

/// What the metrics hold; the generator of expressions asks.
pub(super) const COUNTERS: &[&str] = &["c_requests_total", "c_bytes_total"];
pub(super) const GAUGES: &[&str] = &["g_temp", "g_load", "one", "w_weird", "z_churn"];
pub(super) const CLASSIC: &[&str] = &["lat_bucket"];
pub(super) const NATIVE: &[&str] = &["nh_seconds", "nh_gauge", "nhcb", "x_mixed"];
/// Labels that several metrics have.
pub(super) const LABELS: &[&str] = &["job", "instance", "code", "le", "zone", "pod"];

const JOBS: [&str; 2] = ["api", "db"];
const INSTANCES: [&str; 3] = ["i1:80", "i2:80", "i3:80"];

enum Point {
    Number(f64),
    Histogram(Box<Histogram>),
}

/// All samples of a series, in order of time.
#[derive(Default)]
struct Stream(Vec<(i64, Point)>);

type Streams = BTreeMap<Vec<(String, String)>, Stream>;

/// The requests that bring all the data, in the order in which they must be sent.
pub(super) fn requests(seed: u64) -> Vec<RequestV1> {
    let mut random = Random::new(seed);
    let mut streams = Streams::new();
    for job in JOBS {
        for instance in INSTANCES {
            let target = [("job", job), ("instance", instance)];
            plain(&mut streams, &mut random, &target);
            histograms(&mut streams, &mut random, &target);
        }
    }
    churn(&mut streams, &mut random);
    by_time(&streams)
}

fn series<'a>(streams: &'a mut Streams, name: &str, labels: &[(&str, &str)], more: &[(&str, &str)]) -> &'a mut Stream {
    let name = ("__name__", name);
    let all = std::iter::once(&name).chain(labels).chain(more);
    let mut key: Vec<(String, String)> = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    key.sort();
    streams.entry(key).or_default()
}

/// When each scrape happens: not to the millisecond, and not always.
fn scrapes(random: &mut Random, missed_percent: usize) -> Vec<i64> {
    let shift = random.between(0, 4_000);
    let jitter = if random.percent(50) { 0 } else { 40 };
    let times = (0..SCRAPES).map(|scrape| START_MS + scrape * INTERVAL_MS + shift);
    let times: Vec<i64> = times.map(|at| at + random.between(0, jitter)).collect();
    // The first is never missed, so that all series are made in order.
    times
        .into_iter()
        .enumerate()
        .filter(|(scrape, _)| *scrape == 0 || !random.percent(missed_percent))
        .map(|(_, at)| at)
        .collect()
}

fn plain(streams: &mut Streams, random: &mut Random, target: &[(&str, &str)]) {
    let times = scrapes(random, 3);
    for code in ["200", "404", "500"] {
        counter(series(streams, "c_requests_total", target, &[("code", code)]), random, &times, 12.0, Whole::Yes);
    }
    counter(series(streams, "c_bytes_total", target, &[]), random, &times, 1_500.5, Whole::No);
    let mut value = random.unit() * 40.0 - 20.0;
    let gauge = series(streams, "g_temp", target, &[("zone", if random.percent(50) { "a" } else { "b" })]);
    for at in &times {
        value += random.unit() * 2.0 - 1.0;
        gauge.0.push((*at, Point::Number((value * 100.0).round() / 100.0)));
    }
    let load = series(streams, "g_load", target, &[]);
    for at in scrapes(random, 25) {
        load.0.push((at, Point::Number(random.unit().powi(3))));
    }
    for at in &times {
        series(streams, "one", target, &[]).0.push((*at, Point::Number(1.0)));
        series(streams, "target_info", target, &[("version", "v1"), ("zone", "a")]).0.push((*at, Point::Number(1.0)));
    }
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e308, -1e308, 5e-324, 1.0, -3.5, 1e15, 0.1];
    let weird = series(streams, "w_weird", target, &[]);
    for at in scrapes(random, 10) {
        weird.0.push((at, Point::Number(special[random.below(special.len())])));
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Whole {
    Yes,
    No,
}

/// Grows, starts anew now and then, and pauses with a staleness marker.
fn counter(stream: &mut Stream, random: &mut Random, times: &[i64], step: f64, whole: Whole) {
    let mut value = random.unit() * 1e6;
    for at in times {
        let growth = random.unit() * step;
        value = if random.percent(2) { growth } else { value + growth };
        if whole == Whole::Yes {
            value = value.floor();
        }
        let number = if random.percent(1) { f64::from_bits(STALE_NAN_BITS) } else { value };
        stream.0.push((*at, Point::Number(number)));
    }
}

fn histograms(streams: &mut Streams, random: &mut Random, target: &[(&str, &str)]) {
    let times = scrapes(random, 2);
    let bounds = ["0.05", "0.1", "0.25", "1", "2.5", "+Inf"];
    let mut counts = [0.0; 6];
    for at in &times {
        if random.percent(1) {
            counts = [0.0; 6];
        }
        let mut below = 0.0;
        for count in &mut counts {
            below += random.between(0, 9) as f64;
            *count += below;
        }
        for (bound, count) in bounds.iter().zip(counts) {
            series(streams, "lat_bucket", target, &[("le", bound)]).0.push((*at, Point::Number(count)));
        }
        series(streams, "lat_count", target, &[]).0.push((*at, Point::Number(counts[5])));
        series(streams, "lat_sum", target, &[]).0.push((*at, Point::Number((counts[5] * 0.37 * 1e3).round() / 1e3)));
    }
    native(series(streams, "nh_seconds", target, &[]), random, &times, Native::Counter);
    native(series(streams, "nh_gauge", target, &[]), random, &times, Native::Gauge);
    native(series(streams, "nhcb", target, &[]), random, &times, Native::Custom);
    native(series(streams, "x_mixed", target, &[]), random, &times, Native::Mixed);
}

#[derive(Clone, Copy, PartialEq)]
enum Native {
    Counter,
    Gauge,
    Custom,
    /// Numbers among them.
    Mixed,
}

fn native(stream: &mut Stream, random: &mut Random, times: &[i64], kind: Native) {
    let bounds = [0.1, 0.5, 1.0, 5.0];
    let mut schema = random.between(-1, 3) as i32;
    let mut counts = [0i64; 6];
    let mut zero = 0;
    for at in times {
        if random.percent(2) {
            (counts, zero) = ([0; 6], 0);
        }
        if random.percent(2) && kind != Native::Custom {
            (schema, counts, zero) = (random.between(-1, 3) as i32, [0; 6], 0);
        }
        counts.iter_mut().for_each(|count| *count += random.between(0, 5));
        zero += random.between(0, 2);
        if random.percent(1) {
            stream.0.push((*at, Point::Number(f64::from_bits(STALE_NAN_BITS))));
            continue;
        }
        if kind == Native::Mixed && random.percent(20) {
            stream.0.push((*at, Point::Number(random.between(0, 50) as f64)));
            continue;
        }
        let histogram = match kind {
            Native::Custom => custom(*at, &counts[..bounds.len() + 1], &bounds),
            Native::Gauge => fractional(*at, &counts, random),
            Native::Counter | Native::Mixed => exponential(*at, schema, &counts, zero),
        };
        stream.0.push((*at, Point::Histogram(Box::new(histogram))));
    }
}

fn deltas(counts: &[i64]) -> Vec<i64> {
    let mut last = 0;
    counts.iter().map(|count| count - std::mem::replace(&mut last, *count)).collect()
}

/// Two spans of positive buckets and one of negative ones.
fn exponential(timestamp: i64, schema: i32, counts: &[i64; 6], zero: i64) -> Histogram {
    let total: i64 = counts.iter().sum::<i64>() + zero;
    Histogram {
        count: Some(Count::Whole(total as u64)),
        sum: (total as f64 * 0.7 * 1e3).round() / 1e3,
        schema,
        zero_threshold: 0.001,
        zero_count: Some(ZeroCount::Whole(zero as u64)),
        positive_spans: vec![Span { offset: -1, length: 3 }, Span { offset: 2, length: 1 }],
        positive_deltas: deltas(&counts[..4]),
        negative_spans: vec![Span { offset: 0, length: 2 }],
        negative_deltas: deltas(&counts[4..]),
        timestamp,
        ..Default::default()
    }
}

fn fractional(timestamp: i64, counts: &[i64; 6], random: &mut Random) -> Histogram {
    let counts: Vec<f64> = counts[..3].iter().map(|count| (count % 40) as f64 * 0.25).collect();
    Histogram {
        count: Some(Count::Fractional(counts.iter().sum())),
        sum: random.unit() * 10.0,
        schema: 0,
        zero_threshold: 0.01,
        zero_count: Some(ZeroCount::Fractional(0.0)),
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_counts: counts,
        reset_hint: 3,
        timestamp,
        ..Default::default()
    }
}

fn custom(timestamp: i64, counts: &[i64], bounds: &[f64]) -> Histogram {
    let total: i64 = counts.iter().sum();
    Histogram {
        count: Some(Count::Whole(total as u64)),
        sum: total as f64 * 0.5,
        schema: -53,
        positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
        positive_deltas: deltas(counts),
        custom_values: bounds.to_vec(),
        timestamp,
        ..Default::default()
    }
}

/// Pods that live for some minutes, most of which say goodbye.
fn churn(streams: &mut Streams, random: &mut Random) {
    for pod in 0..30i64 {
        let born = START_MS + pod * SCRAPES * INTERVAL_MS / 30;
        let lives = random.between(4, 30);
        let name = format!("p{pod:02}");
        let stream = series(streams, "z_churn", &[("pod", &name)], &[("job", "api")]);
        for scrape in 0..lives {
            let at = born + scrape * INTERVAL_MS;
            if at <= END_MS {
                stream.0.push((at, Point::Number((pod + scrape) as f64)));
            }
        }
        let end = born + lives * INTERVAL_MS;
        if random.percent(70) && end <= END_MS {
            stream.0.push((end, Point::Number(f64::from_bits(STALE_NAN_BITS))));
        }
    }
}

/// A request for each interval; the first names every series that it has in order of label set.
fn by_time(streams: &Streams) -> Vec<RequestV1> {
    let mut requests: BTreeMap<i64, RequestV1> = BTreeMap::new();
    for (labels, stream) in streams {
        let mut slots: BTreeMap<i64, SeriesV1> = BTreeMap::new();
        for (at, point) in &stream.0 {
            let slot = slots.entry((at - START_MS) / INTERVAL_MS).or_default();
            match point {
                Point::Number(value) => slot.samples.push(Sample { value: *value, timestamp: *at, start_timestamp: 0 }),
                Point::Histogram(histogram) => slot.histograms.push((**histogram).clone()),
            }
        }
        for (slot, mut series) in slots {
            let label =
                |(name, value): &(String, String)| LabelV1 { name: name.clone().into(), value: value.clone().into() };
            series.labels = labels.iter().map(label).collect();
            requests.entry(slot).or_default().series.push(series);
        }
    }
    requests.into_values().collect()
}
