//! Retention by demand and limits, by a clock of the test's own.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{METRIC_NAME, Matcher, stale_nan};
use crate::store::{Reach, Refusal, Row, StoreOptions};

const HOUR: i64 = 3_600_000;

fn store() -> Store {
    Store::new(StoreOptions { retention: Duration::from_secs(24 * 3600) })
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn labels(job: &str, name: &str, number: u64) -> Labels {
    Labels::from_pairs([(METRIC_NAME, name), ("job", job), ("n", &number.to_string())])
}

fn demand(name: &str, hours: u64, rank: Rank) -> Demand {
    let reach = Reach { window: Duration::from_secs(hours * 3600), since: None };
    Demand { matchers: vec![Matcher::equal(METRIC_NAME, name)], reach, rank, reader: format!("{name} {hours}h").into() }
}

/// The times of the oldest sample of each metric, in hours.
fn oldest_hours(store: &Store, name: &str) -> Option<i64> {
    let found = store.select(&[Matcher::equal(METRIC_NAME, name)], Timestamp::MIN, Timestamp::MAX);
    found.first().map(|series| series.samples[0].at.as_ms() / HOUR)
}

#[test]
fn each_series_is_kept_as_long_as_its_furthest_reader_asks_for() {
    let store = store();
    store.demand(vec![demand("short", 1, Rank::Rule), demand("long", 720, Rank::Slo), demand("long", 2, Rank::Rule)]);
    let names = ["short", "long", "unread"];
    for hour in 0..1000 {
        // Handles are asked for anew, as series that expire come back.
        let rows: Vec<Row> = names
            .iter()
            .map(|name| Row::new(store.series_ref(&labels("j", name, 0)), at(hour * HOUR), hour as f64))
            .collect();
        assert_eq!(store.commit(&rows).refused, []);
        store.expire(at(hour * HOUR));
    }
    // Ten minutes more than the window, so the sample at its very edge is there.
    assert_eq!(names.map(|name| oldest_hours(&store, name)), [Some(975), Some(279), Some(975)]);
    let samples = store.stats().samples;
    assert!(samples < 1000 + 2 * 24 + 3 * 120, "{samples} samples are in memory");
    assert_eq!(store.floor(), Some(at(279 * HOUR) - Duration::from_secs(600)));

    // Demand grows: from now on more is kept, and what is left of before shows again.
    store.demand(vec![demand("short", 48, Rank::Rule), demand("long", 720, Rank::Slo)]);
    store.expire(at(1000 * HOUR));
    assert!(oldest_hours(&store, "short").unwrap() <= 975);
    // It shrinks: a driver lets it only after the grace.
    store.demand(vec![]);
    store.expire(at(1000 * HOUR));
    assert_eq!(names.map(|name| oldest_hours(&store, name)), [Some(976); 3]);
}

#[test]
fn where_only_what_is_read_is_taken_in_windows_alone_decide() {
    let store = store();
    store.demand(vec![demand("short", 1, Rank::Rule)]);
    store.limit(Limits::NONE, Intake::Read);
    assert_eq!(store.admit(&labels("j", "unread", 0)), Err(Denial::Unread));
    let short = store.admit(&labels("j", "short", 0)).unwrap();
    let up = store.series_ref(&labels("j", "up", 0));
    for hour in 0..100 {
        store.commit(&[Row::new(short, at(hour * HOUR), 1.0), Row::new(up, at(hour * HOUR), 1.0)]);
    }
    store.expire(at(99 * HOUR));
    assert_eq!((oldest_hours(&store, "short"), oldest_hours(&store, "up")), (Some(98), Some(75)));
    assert_eq!(store.denials(), [("j".into(), Denial::Unread, 1)]);
    assert_eq!(store.commit(&[Row::new(short, at(97 * HOUR), 1.0)]).refused, [(0, Refusal::TooOld)]);
}

#[test]
fn a_flood_of_one_job_is_refused_by_name_and_others_go_on() {
    let store = store();
    store.limit(Limits { series_per_job: 100, series: 150, ..Limits::NONE }, Intake::All);
    store.demand(vec![demand("slo", 720, Rank::Slo)]);
    let admitted = |job: &str, name: &str, count: u64| {
        (0..count).filter(|number| store.admit(&labels(job, name, *number)).is_ok()).count()
    };
    assert_eq!(admitted("quiet", "a", 10), 10);
    assert_eq!(admitted("bomb", "a", 1000), 100);
    assert_eq!(admitted("bomb", "slo", 1000), 25, "an objective has a quarter more");
    assert_eq!(admitted("quiet", "a", 20), 20, "of another job there is room");
    assert_eq!(admitted("late", "a", 10), 5, "until all of it is taken");
    let denials = [("bomb".into(), Denial::Job, 900 + 975), ("late".into(), Denial::Series, 5)];
    assert_eq!(store.denials(), denials);
    assert!(store.admit(&labels("bomb", "a", 7)).is_ok(), "what is there goes on");
    assert_eq!(store.series_by_rank(), [(Rank::Unread, 125), (Rank::Rule, 0), (Rank::Slo, 25)]);
}

/// Commits a sample of each of `count` series at each minute of `hours`.
fn fill(store: &Store, name: &str, count: u64, hours: std::ops::Range<i64>) {
    let series: Vec<SeriesRef> = (0..count).map(|number| store.series_ref(&labels("j", name, number))).collect();
    for minute in hours.start * 60..hours.end * 60 {
        // Of full precision, so that it does not compress.
        let value = (minute as f64).sqrt();
        let rows: Vec<Row> = series.iter().map(|series| Row::new(*series, at(minute * 60_000), value)).collect();
        assert_eq!(store.commit(&rows).refused, []);
    }
}

#[test]
fn when_memory_is_short_what_nothing_reads_goes_first() {
    let store = store();
    store.demand(vec![demand("slo", 720, Rank::Slo), demand("rule", 1, Rank::Rule)]);
    for name in ["slo", "rule", "unread"] {
        fill(&store, name, 20, 0..24);
    }
    store.expire(at(24 * HOUR));
    let full = store.memory().total();
    assert_eq!(store.relieve(), Relief::default(), "no limit, no relief");

    // History first: the series stay.
    let limit = |bytes| store.limit(Limits { memory_bytes: bytes, ..Limits::NONE }, Intake::All);
    limit(full * 9 / 10);
    let relief = store.relieve();
    assert!(relief.removed == 0 && relief.unread_kept.unwrap() < Duration::from_secs(24 * 3600), "{relief:?}");
    assert!(store.memory().total() <= full * 9 / 10);
    assert!(oldest_hours(&store, "unread").unwrap() > 0);
    assert_eq!([oldest_hours(&store, "slo"), oldest_hours(&store, "rule")], [Some(0); 2]);

    // Then the series themselves, never those that are read.
    let before = store.memory().total();
    limit(before / 2);
    assert_eq!(store.admit(&labels("j", "further", 0)), Err(Denial::Memory));
    let relief = store.relieve();
    assert_eq!((relief.removed, relief.unread_kept), (20, Some(Duration::from_secs(600))));
    assert_eq!(store.series_by_rank(), [(Rank::Unread, 0), (Rank::Rule, 20), (Rank::Slo, 20)]);
    assert_eq!([oldest_hours(&store, "slo"), oldest_hours(&store, "rule")], [Some(0); 2]);

    // Above the limit by more than a quarter even objectives get no further series.
    limit(store.memory().total() * 9 / 10);
    let further = ["unread", "rule", "slo"].map(|name| store.admit(&labels("j", name, 99)).map(|_| ()));
    assert_eq!(further, [Err(Denial::Memory), Ok(()), Ok(())]);
    limit(store.memory().total() / 2);
    assert_eq!(store.admit(&labels("j", "slo", 100)), Err(Denial::Memory));

    // Room again: history grows back to the retention time.
    limit(full * 2);
    for _ in 0..400 {
        store.relieve();
    }
    assert_eq!(store.relieve(), Relief::default());
}

#[test]
fn what_each_metric_takes_adds_up_and_names_its_furthest_reader() {
    let store = store();
    store.demand(vec![demand("a", 1, Rank::Rule), demand("a", 720, Rank::Slo), demand("b", 2, Rank::Rule)]);
    fill(&store, "a", 3, 0..10);
    fill(&store, "b", 2, 0..10);
    fill(&store, "c", 1, 0..10);
    store.expire(at(10 * HOUR));
    let users = store.memory_users();
    let facts: Vec<_> = users
        .iter()
        .map(|user| (&*user.metric, user.series, user.samples, user.rank, user.reader.as_deref(), user.readers))
        .collect();
    assert_eq!(
        facts,
        [
            ("a", 3, 1800, Rank::Slo, Some("a 720h"), 2),
            ("b", 2, 1200, Rank::Rule, Some("b 2h"), 1),
            ("c", 1, 600, Rank::Unread, None, 0)
        ]
    );
    let memory = store.memory();
    assert_eq!(users.iter().map(|user| user.memory.sample_bytes).sum::<u64>(), memory.sample_bytes);
    assert!(users.iter().map(|user| user.memory.total()).sum::<u64>() < memory.total(), "texts are shared");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// What is held is what the series hold, whatever happened, and nothing is left when all is gone.
    #[test]
    fn the_sums_never_drift(
        steps in prop::collection::vec((0..6u64, 1..200i64, prop::bool::weighted(0.1), prop::bool::weighted(0.05)), 1..60),
    ) {
        let store = store();
        store.demand(vec![demand("m", 1, Rank::Rule)]);
        let mut now = 0;
        for (number, minutes, stale, expire) in steps {
            let name = if number % 2 == 0 { "m" } else { "n" };
            for _ in 0..minutes {
                now += 60_000;
                let value = if stale { stale_nan() } else { (now % 7_777) as f64 };
                store.commit(&[Row::new(store.series_ref(&labels("j", name, number)), at(now), value)]);
            }
            if expire {
                store.limit(Limits { memory_bytes: store.memory().total() * 3 / 4, ..Limits::NONE }, Intake::Read);
                store.expire(at(now));
                store.relieve();
            }
            let users = store.memory_users();
            prop_assert_eq!(users.iter().map(|user| user.samples).sum::<u64>(), store.stats().samples);
            prop_assert_eq!(users.iter().map(|user| user.memory.sample_bytes).sum::<u64>(), store.memory().sample_bytes);
        }
        store.truncate(at(now + 1));
        prop_assert_eq!((store.stats().samples, store.stats().series), (0, 0));
        prop_assert_eq!(store.memory().total(), 0);
    }
}
