//! Days of samples by a clock of the test's own: what is on the disk stays bounded, and what is shown is not touched.

use std::sync::Arc;

use crate::disk::{Disk, Recovered};
use crate::model::{Labels, METRIC_NAME, Matcher};
use crate::store::{Demand, Rank, Reach, Row, StoreOptions};

use super::*;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn labels(name: &str, number: i64) -> Labels {
    Labels::from_pairs([(METRIC_NAME, name.to_owned()), ("n", number.to_string())])
}

/// A store that keeps `slo` for 5 days, `rule` for 2, everything else for one.
fn open(folder: &std::path::Path) -> (Arc<Store>, Disk, Recovered) {
    let store = Arc::new(Store::new(StoreOptions { retention: Duration::from_secs(86_400) }));
    let demand = |name: &str, days: u64, rank| Demand {
        matchers: vec![Matcher::equal(METRIC_NAME, name)],
        reach: Reach { window: Duration::from_secs(days * 86_400), since: None },
        rank,
        reader: name.into(),
    };
    store.demand(vec![demand("slo", 5, Rank::Slo), demand("rule", 2, Rank::Rule)]);
    let (disk, recovered) = Disk::open(folder, &store, Timestamp::MIN).expect("a folder");
    (store, disk, recovered)
}

/// Stores a sample a minute of each series from `from` to `to`, with a checkpoint every two hours.
fn live(store: &Store, disk: &Disk, from: i64, to: i64) {
    for ms in (from..to).step_by(MINUTE as usize) {
        let mut rows = Vec::new();
        for (name, count) in [("slo", 2), ("rule", 4), ("unread", 20)] {
            // One of those that nothing reads lives for a day at most, then another does.
            let generation = if name == "unread" { ms / DAY * 100 } else { 0 };
            let value = |number: i64| ((ms / MINUTE * (number + 3)) as f64).sqrt();
            rows.extend(
                (0..count).map(|number| {
                    Row::new(store.series_ref(&labels(name, generation + number)), at(ms), value(number))
                }),
            );
        }
        assert_eq!(store.commit(&rows).refused, []);
        if ms % (120 * MINUTE) == 0 {
            store.expire(at(ms));
            disk.checkpoint().unwrap();
        }
    }
}

fn shown(store: &Store) -> String {
    format!("{:?}", store.select(&[], Timestamp::MIN, Timestamp::MAX))
}

#[test]
fn the_disk_holds_what_is_kept_and_little_more() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk, _) = open(folder.path());
    let mut bytes = Vec::new();
    for day in 0..12 {
        live(&store, &disk, day * DAY, (day + 1) * DAY);
        bytes.push(disk.bytes().unwrap());
    }
    // From the sixth day on as much expires as comes.
    let (least, most) = (bytes[6..].iter().min().unwrap(), bytes[6..].iter().max().unwrap());
    assert!(most * 10 <= least * 11, "{bytes:?}");
    let live_bytes = store.memory().sample_bytes;
    assert!(*most < 2 * live_bytes, "{most} bytes on disk, {live_bytes} in memory");
    let segments = recovery::files(folder.path()).unwrap().segments.len();
    assert!(segments <= 32, "older ones are put together: {segments}");

    // A new process shows the same.
    let before = shown(&store);
    disk.close().unwrap();
    drop(store);
    let (store, disk, recovered) = open(folder.path());
    assert_eq!(recovered.losses, []);
    store.expire(at(12 * DAY - 120 * MINUTE));
    assert!(shown(&store) == before, "what is shown has changed");

    // A copy made meanwhile is a folder like any other, with all that had been stored.
    live(&store, &disk, 12 * DAY, 12 * DAY + 130 * MINUTE);
    let copy = folder.path().join("copies/one");
    disk.snapshot(&copy).unwrap();
    let then = shown(&store);
    live(&store, &disk, 12 * DAY + 130 * MINUTE, 12 * DAY + 400 * MINUTE);
    let (copied, _disk, recovered) = open(&copy);
    assert_eq!((recovered.losses.len(), recovered.interrupted_bytes), (0, 0));
    copied.expire(at(12 * DAY + 120 * MINUTE));
    assert!(shown(&copied) == then, "the copy shows something else");
    assert!(disk.snapshot(&copy).is_err(), "a copy is never made over another");
}

#[test]
fn what_expired_is_out_of_the_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk, _) = open(folder.path());
    live(&store, &disk, 0, 4 * DAY);
    disk.close().unwrap();
    drop(store);
    // Nothing is asked of this store, so it shows all that the files hold.
    let all = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
    let (_disk, _) = Disk::open(folder.path(), &all, Timestamp::MIN).unwrap();
    let oldest = |name: &str| {
        let found = all.select(&[Matcher::equal(METRIC_NAME, name)], Timestamp::MIN, Timestamp::MAX);
        found.iter().map(|series| series.samples[0].at.as_ms()).min().unwrap() / (120 * MINUTE)
    };
    assert_eq!(oldest("slo"), 0);
    // Ideally 23 and 36; it takes half a day until segments are written again, for each length of time anew.
    assert!((5..=23).contains(&oldest("rule")), "{}", oldest("rule"));
    assert!((28..=36).contains(&oldest("unread")), "{}", oldest("unread"));
}
