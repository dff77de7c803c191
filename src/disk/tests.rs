//! Folders that lose their ends, their bits, or their disk, against what was committed.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::{Histogram, Labels, StartTime, Value, stale_nan};
use crate::store::{Lateness, Refusal, Row, StoreOptions};

fn store() -> Arc<Store> {
    Arc::new(Store::new(StoreOptions { retention: Duration::from_secs(3600) }))
}

fn open(folder: &Path) -> (Arc<Store>, Disk, Recovered) {
    let store = store();
    let (disk, recovered) = Disk::open(folder, &store, Timestamp::MIN).expect("a folder");
    (store, disk, recovered)
}

fn labels(index: usize) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("i", index.to_string())])
}

/// One sample of each of three series.
fn commit(store: &Store, step: i64) {
    let rows: Vec<Row> = (0..3)
        .map(|index| {
            let at = Timestamp::from_ms(step * 1000);
            Row {
                start: StartTime::new(Timestamp::from_ms(step / 7)),
                ..Row::new(store.series_ref(&labels(index)), at, (step * 3 + index as i64) as f64)
            }
        })
        .collect();
    assert_eq!(store.commit(&rows).appended, 3);
}

/// All that a store holds, in a form in which NaN equals itself.
fn contents(store: &Store) -> String {
    format!("{:?}", store.select(&[], Timestamp::MIN, Timestamp::MAX))
}

/// What the store holds after each of `steps` commits.
fn prefixes(steps: i64) -> Vec<String> {
    let store = store();
    let mut prefixes = vec![contents(&store)];
    for step in 0..steps {
        commit(&store, step);
        prefixes.push(contents(&store));
    }
    prefixes
}

#[test]
fn a_log_that_ends_anywhere_gives_whole_commits() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, _disk, _) = open(folder.path());
        (0..6).for_each(|step| commit(&store, step));
    }
    let prefixes = prefixes(6);
    let whole = fs::read(log::path(folder.path(), 1)).unwrap();
    let mut seen = Vec::new();
    for len in 0..=whole.len() {
        let cut = tempfile::tempdir().unwrap();
        fs::write(log::path(cut.path(), 1), &whole[..len]).unwrap();
        let (store, disk, recovered) = open(cut.path());
        let commits =
            prefixes.iter().position(|prefix| *prefix == contents(&store)).expect("a whole number of commits");
        assert_eq!(recovered.losses, [], "a record that was being written is no damage");
        assert!(recovered.interrupted_bytes < 200);
        seen.push(commits);
        if recovered.interrupted_bytes > 0 {
            let torn = fs::read(cut.path().join(log::INTERRUPTED)).unwrap();
            assert_eq!(torn, whole[len - torn.len()..len], "nothing is thrown away");
            assert_eq!(torn.len() as u64, recovered.interrupted_bytes);
        }
        drop((store, disk));
        let (store, _disk, recovered) = open(cut.path());
        assert_eq!((recovered.losses, recovered.interrupted_bytes), (Vec::new(), 0), "nor is it in the next life");
        assert_eq!(prefixes[commits], contents(&store));
    }
    assert!(seen.is_sorted());
    assert_eq!((seen[0], seen[whole.len()]), (0, 6));
    seen.dedup();
    assert_eq!(seen.len(), 7);
}

#[test]
fn a_flipped_bit_is_told_and_costs_what_follows() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, disk, _) = open(folder.path());
        (0..200).for_each(|step| commit(&store, step));
        disk.checkpoint().unwrap();
        (200..206).for_each(|step| commit(&store, step));
    }
    let names: Vec<PathBuf> = {
        let files = recovery::files(folder.path()).unwrap();
        files.segments.into_iter().chain(files.logs).map(|file| file.path).collect()
    };
    assert_eq!(names.len(), 2);
    for name in names {
        let whole = fs::read(&name).unwrap();
        for position in (0..whole.len()).step_by(7) {
            let copy = tempfile::tempdir().unwrap();
            for other in fs::read_dir(folder.path()).unwrap() {
                let other = other.unwrap().path();
                fs::copy(&other, copy.path().join(other.file_name().unwrap())).unwrap();
            }
            let mut damaged = whole.clone();
            damaged[position] ^= 1 << (position % 8);
            fs::write(copy.path().join(name.file_name().unwrap()), damaged).unwrap();
            let (store, _disk, recovered) = open(copy.path());
            assert!(
                !recovered.losses.is_empty() || recovered.interrupted_bytes > 0,
                "{} at {position}",
                name.display()
            );
            // What is there is right, whatever is missing.
            for series in store.select(&[], Timestamp::MIN, Timestamp::MAX) {
                let index: i64 = series.labels.get("i").unwrap().parse().unwrap();
                assert!(
                    series.samples.iter().all(|s| s.value.as_float() == Some((s.at.as_ms() / 1000 * 3 + index) as f64))
                );
            }
        }
    }
}

#[test]
fn what_a_failing_disk_misses_comes_with_the_next_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, disk, _) = open(folder.path());
        (0..130).for_each(|step| commit(&store, step));
        assert_eq!(disk.health(), Health::Good);
        disk.put(vec![("gone".to_owned(), Some(Vec::new()))]);
        disk.shared.writer.lock().fail(&io::Error::other("no space left"));
        (130..140).for_each(|step| commit(&store, step));
        disk.put(vec![("kept".to_owned(), Some(b"in memory".to_vec())), ("gone".to_owned(), None)]);
        assert_eq!(disk.health(), Health::Failing { error: "no space left".to_owned(), missed: 30 });
        // As long as a directory stands where the segment would be written, the disk fails.
        let blocked = folder.path().join("unfinished");
        fs::create_dir(&blocked).unwrap();
        disk.checkpoint().unwrap_err();
        commit(&store, 140);
        assert!(matches!(disk.health(), Health::Failing { .. }), "the gap is still there");
        fs::remove_dir(&blocked).unwrap();
        disk.checkpoint().unwrap();
        assert_eq!(disk.health(), Health::Good);
        (141..145).for_each(|step| commit(&store, step));
    }
    let (store, disk, recovered) = open(folder.path());
    assert_eq!((recovered.losses.len(), recovered.interrupted_bytes), (0, 0));
    assert_eq!(contents(&store), prefixes(145)[145]);
    assert_eq!(
        disk.states(""),
        [("kept".to_owned(), b"in memory".to_vec())],
        "what was removed while the disk failed stays so"
    );
}

#[test]
fn states_outlive_logs_and_a_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, disk, _) = open(folder.path());
        let state = |name: &str, state: &str| (name.to_owned(), Some(state.as_bytes().to_vec()));
        disk.put(vec![state("x/a", "1"), state("x/b", "2"), state("y", "4"), state("x/c", "5")]);
        disk.put(vec![state("x/a", "3")]);
        disk.put(vec![("x/c".to_owned(), None)]);
        disk.checkpoint().unwrap();
        assert!(matches!(Disk::open(folder.path(), &store, Timestamp::MIN), Err(DiskError::Locked(_))));
    }
    let (_store, disk, _) = open(folder.path());
    let expected = [("x/a", "3"), ("x/b", "2")].map(|(name, state)| (name.to_owned(), state.as_bytes().to_vec()));
    assert_eq!(disk.states("x/"), expected);
    assert_eq!(disk.states("").len(), 3);
}

#[test]
fn a_look_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, _disk, _) = open(folder.path());
        commit(&store, 0);
    }
    (0..3).for_each(|_| drop(open(folder.path())));
    assert_eq!(recovery::files(folder.path()).unwrap().logs.len(), 1);
}

#[test]
fn segments_that_retention_has_emptied_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk, _) = open(folder.path());
    commit(&store, 0);
    disk.checkpoint().unwrap();
    commit(&store, 10);
    store.truncate(Timestamp::from_ms(5_000));
    disk.checkpoint().unwrap();
    let files = recovery::files(folder.path()).unwrap();
    assert_eq!((files.segments.len(), files.logs.len()), (1, 1));
}

/// A folder that appears late: what was committed before and what it holds from an earlier life come together.
#[test]
fn a_folder_may_be_opened_with_samples_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (store, disk, _) = open(folder.path());
        (0..150).for_each(|step| commit(&store, step));
        disk.checkpoint().unwrap();
        (150..160).for_each(|step| commit(&store, step));
    }
    let store = store();
    (160..300).for_each(|step| commit(&store, step));
    {
        let (disk, _) = Disk::open(folder.path(), &store, Timestamp::MIN).unwrap();
        assert_eq!(contents(&store), prefixes(300)[300]);
        disk.checkpoint().unwrap();
        (300..305).for_each(|step| commit(&store, step));
    }
    assert_eq!(contents(&open(folder.path()).0), prefixes(305)[305]);
}

#[derive(Clone, Debug)]
enum Step {
    /// Series, kind of value and lateness in milliseconds of each row.
    Commit(Vec<(usize, u8, i64)>),
    Checkpoint,
    Reopen,
    Truncate,
}

fn step() -> impl Strategy<Value = Step> {
    let lateness = prop_oneof![20 => Just(0i64), 1 => 1..2_000i64, 1 => 1..120_000i64];
    prop_oneof![
        20 => prop::collection::vec((0..4usize, 0..12u8, lateness), 1..60).prop_map(Step::Commit),
        2 => Just(Step::Checkpoint),
        2 => Just(Step::Reopen),
        1 => Just(Step::Truncate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_store_comes_back_as_it_was(steps in prop::collection::vec(step(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, mut disk, _) = open(folder.path());
        let (mut now, mut floor) = (0, Timestamp::MIN);
        for step in steps {
            match step {
                Step::Commit(rows) => {
                    let row = |(index, kind, lateness): (usize, u8, i64)| {
                        now += 250;
                        let value = match kind {
                            0 => Value::Float(stale_nan()),
                            1 => Value::Histogram(Histogram { count: now as f64, positive_buckets: vec![1.0; index], ..Histogram::default() }.into()),
                            2 => Value::Float(1.0 / now as f64),
                            _ => Value::Float((now % 60_000) as f64),
                        };
                        let start = StartTime::new(Timestamp::from_ms(now / 5_000)).filter(|_| index == 2);
                        Row { start, ..Row::new(store.series_ref(&labels(index)), Timestamp::from_ms(now - lateness), value) }
                    };
                    let rows: Vec<Row> = rows.into_iter().map(row).collect();
                    let refused = store.commit_late(&rows, Lateness::Unbounded).refused;
                    prop_assert!(
                        refused.iter().all(|(index, why)| rows[*index].at < floor || *why == Refusal::Duplicate),
                        "{:?}",
                        refused
                    );
                }
                Step::Checkpoint => disk.checkpoint().unwrap(),
                Step::Truncate => {
                    floor = Timestamp::from_ms(now - 40_000);
                    store.truncate(floor);
                }
                Step::Reopen => {
                    let before = contents(&store);
                    let resets: Vec<_> = windows(&store, now);
                    drop(disk);
                    let recovered;
                    (store, disk, recovered) = open(folder.path());
                    prop_assert_eq!((recovered.losses.len(), recovered.interrupted_bytes), (0, 0));
                    store.truncate(floor);
                    prop_assert_eq!(contents(&store), before);
                    prop_assert_eq!(windows(&store, now), resets);
                }
            }
        }
    }
}

/// The edges of some windows, for which resets and ordinals must have come back too.
fn windows(store: &Store, now: i64) -> Vec<String> {
    let reader = store.reader();
    let mut scratch = crate::store::Window::default();
    let mut found = Vec::new();
    for index in 0..4 {
        let series = store.select(&[], Timestamp::MIN, Timestamp::MAX).into_iter().find(|s| s.labels == labels(index));
        let Some(series) = series.and_then(|series| store.find(&series.labels)) else { continue };
        for length in [1_000, 20_000, 35_000] {
            let end = Timestamp::from_ms(now);
            found.push(format!("{:?}", reader.edges(series, end.plus_ms(-length), end, &mut scratch)));
        }
    }
    found
}
