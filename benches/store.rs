//! Append, select and windows of the store, commits that a log on disk takes, and reading it back: `cargo bench --bench store`.
//!
//! Appending is measured as scrapes are: one commit of a sample for each series of a target. Selecting is what a rule over a
//! short window does, and a window over sealed chunks.
//! `ALMENARA_RECOVERY=100000x240` reads back that many series with that many samples each.

// Sizes stand beside the times in what the benchmark prints.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use almenara::disk::Disk;
use almenara::model::{Labels, MatchOp, Matcher, Timestamp};
use almenara::store::{Row, SeriesRef, Store, StoreOptions, Window};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SERIES: usize = 1_000;
const INTERVAL_MS: i64 = 15_000;

/// Series and samples of each that are read back, unless the environment says otherwise: two hours at 30 s.
const RECOVERED: (usize, i64) = (1_000, 240);

fn labels(index: usize) -> Labels {
    let pairs = [("__name__", "http_requests_total".to_owned()), ("job", "api".to_owned())];
    Labels::from_pairs(pairs.into_iter().chain([("instance", format!("host-{index}:80")), ("code", "200".to_owned())]))
}

fn store() -> (Store, Vec<SeriesRef>) {
    let store = Store::new(StoreOptions { retention: Duration::from_secs(24 * 3600) });
    let refs = (0..SERIES).map(|index| store.series_ref(&labels(index))).collect();
    (store, refs)
}

/// A counter that grows by 0 to 15 a scrape.
fn scrape(refs: &[SeriesRef], slot: i64) -> Vec<Row> {
    let value = |index: usize| (slot * 8 + (slot * 7_919 + index as i64) % 8) as f64;
    let at = Timestamp::from_ms(slot * INTERVAL_MS);
    refs.iter().enumerate().map(|(index, series)| Row::new(*series, at, value(index))).collect()
}

fn append(criterion: &mut Criterion) {
    let (store, refs) = store();
    let mut slot = 0;
    let mut group = criterion.benchmark_group("commit");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("a scrape of 1000 series", |bencher| {
        bencher.iter_batched(
            || {
                slot += 1;
                scrape(&refs, slot)
            },
            |rows| black_box(store.commit(&rows)),
            criterion::BatchSize::SmallInput,
        );
    });
    group.bench_function("handles of 1000 known series", |bencher| {
        let labels: Vec<Labels> = (0..SERIES).map(labels).collect();
        bencher.iter(|| labels.iter().map(|labels| store.series_ref(labels).0).sum::<u64>());
    });
    group.finish();
}

fn select(criterion: &mut Criterion) {
    let (store, refs) = store();
    let slots = 1_440;
    for slot in 0..slots {
        store.commit(&scrape(&refs, slot));
    }
    let name = Matcher::equal("__name__", "http_requests_total");
    let regex = Matcher::new(MatchOp::Regex, "instance", "host-1.*:80").expect("a valid pattern");
    let end = Timestamp::from_ms(slots * INTERVAL_MS);
    let mut group = criterion.benchmark_group("select");
    for (title, matchers, back_ms) in [
        ("5m of 1000 series", vec![name.clone()], 5 * 60_000),
        ("6h of 1000 series", vec![name.clone()], 6 * 3_600_000),
        ("5m of 111 of 1000 series by regex", vec![name.clone(), regex], 5 * 60_000),
        ("6h of one series", vec![name, Matcher::equal("instance", "host-7:80")], 6 * 3_600_000),
    ] {
        let samples: usize = store.select(&matchers, end.plus_ms(-back_ms), end).iter().map(|s| s.samples.len()).sum();
        group.throughput(Throughput::Elements(samples as u64));
        group.bench_function(title, |bencher| {
            bencher.iter(|| black_box(store.select(&matchers, end.plus_ms(-back_ms), end)));
        });
    }
    group.finish();
}

/// The same commit with a log on disk.
fn log(criterion: &mut Criterion) {
    let (store, refs) = store();
    let store = Arc::new(store);
    let folder = tempfile::tempdir().expect("a folder");
    let (disk, _) = Disk::open(folder.path(), &store, Timestamp::MIN).expect("a disk");
    let mut slot = 0;
    let mut group = criterion.benchmark_group("commit to disk");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("a scrape of 1000 series", |bencher| {
        bencher.iter_batched(
            || {
                slot += 1;
                scrape(&refs, slot)
            },
            |rows| black_box(store.commit(&rows)),
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
    let bytes = disk.bytes().expect("a folder") as f64;
    println!("{:.2} bytes a sample in the log", bytes / store.stats().samples as f64);
}

/// What a rate needs, and a sum, over windows of any length of a counter at 30 s.
fn windows(criterion: &mut Criterion) {
    const DAY_MS: i64 = 24 * 3_600_000;
    let store = Store::new(StoreOptions { retention: Duration::MAX });
    let series = store.series_ref(&labels(0));
    let slots = 91 * DAY_MS / 30_000;
    let rows: Vec<Row> = (0..slots)
        .map(|slot| Row::new(series, Timestamp::from_ms(slot * 30_000), (slot * 8 + slot * 7_919 % 8) as f64))
        .collect();
    store.commit(&rows);
    let stats = store.stats();
    println!("{:.2} bytes a sample in memory", stats.bytes as f64 / stats.samples as f64);
    let mut scratch = Window::default();
    let mut at = 0;
    // Ever new windows, all but the newest in sealed chunks.
    let mut end = || {
        at = (at + 7_919_000) % (12 * 3_600_000);
        Timestamp::from_ms(slots * 30_000 - at)
    };
    let mut group = criterion.benchmark_group("window");
    for (title, length_ms) in [("5m", 300_000), ("1d", DAY_MS), ("30d", 30 * DAY_MS), ("90d", 90 * DAY_MS)] {
        group.bench_function(format!("rate over {title}"), |bencher| {
            bencher.iter(|| {
                let end = end();
                black_box(store.reader().edges(series, end.plus_ms(-length_ms), end, &mut scratch))
            });
        });
        group.bench_function(format!("sum over {title}"), |bencher| {
            bencher.iter(|| {
                let end = end();
                black_box(store.reader().sums(series, end.plus_ms(-length_ms), end))
            });
        });
    }
    group.finish();
    println!("{:.2} bytes a sample of summaries", store.summary_bytes() as f64 / stats.samples as f64);
}

/// Reading back, once, what is in logs as far as the disk leaves it there, and what is in segments.
fn recovery(_: &mut Criterion) {
    let asked = std::env::var("ALMENARA_RECOVERY").ok();
    let asked = asked.as_deref().and_then(|text| text.split_once('x'));
    let asked = asked.and_then(|(series, samples)| Some((series.parse().ok()?, samples.parse().ok()?)));
    let (series, samples) = asked.unwrap_or(RECOVERED);
    let options = StoreOptions { retention: Duration::MAX };
    for has_segments in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        {
            let store = Arc::new(Store::new(options));
            let (disk, _) = Disk::open(folder.path(), &store, Timestamp::MIN).expect("a disk");
            let refs: Vec<SeriesRef> = (0..series).map(|index| store.series_ref(&labels(index))).collect();
            for slot in 0..samples {
                refs.chunks(SERIES).for_each(|target| assert!(store.commit(&scrape(target, slot)).refused.is_empty()));
            }
            if has_segments {
                disk.checkpoint().expect("a checkpoint");
            }
        }
        let store = Arc::new(Store::new(options));
        let began = Instant::now();
        let (_disk, recovered) = Disk::open(folder.path(), &store, Timestamp::MIN).expect("a disk");
        let (took, stats) = (began.elapsed(), store.stats());
        assert_eq!(stats.samples, series as u64 * samples as u64);
        println!(
            "{series} series of {samples} samples: {} logs, {} segments, {:.2} bytes a sample, read in {took:.2?}",
            recovered.logs,
            recovered.segments,
            recovered.bytes as f64 / stats.samples as f64,
        );
    }
}

criterion_group!(benches, append, select, log, windows, recovery);
criterion_main!(benches);
