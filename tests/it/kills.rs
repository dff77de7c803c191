//! `kill -9` of a process that commits and makes checkpoints all the time, again and again on one folder.
//!
//! The child is this test program itself. It tells each commit on its standard output once the store has returned, so what the parent has
//! read is what was acknowledged. `ALMENARA_KILLS=500` kills that often instead of [`KILLS`].

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use almenara::disk::Disk;
use almenara::model::{Labels, Timestamp, Value};
use almenara::store::{Row, Store, StoreOptions};

/// How often, unless the environment says otherwise.
const KILLS: u64 = 25;

/// Series of one commit.
const SERIES: usize = 40;

/// A checkpoint is made after so many commits.
const CHECKPOINT_EVERY: i64 = 50;

/// Names the folder to the child.
const FOLDER: &str = "ALMENARA_KILLED_FOLDER";

/// How often to kill.
pub(crate) fn kills(default: u64) -> u64 {
    std::env::var("ALMENARA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Moments that differ from kill to kill, and are the same in each run.
pub(crate) fn spread(kill: u64, below: u64) -> u64 {
    kill.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) % below
}

fn open(folder: &Path) -> (Arc<Store>, Disk) {
    let store = Arc::new(Store::new(StoreOptions { retention: Duration::from_secs(1 << 30) }));
    let (disk, recovered) = Disk::open(folder, &store, Timestamp::MIN).expect("the start");
    assert_eq!(recovered.losses, [], "nothing was damaged");
    (store, disk)
}

/// What commit `step` holds: every series at one time, with one value.
fn rows(store: &Store, step: i64) -> Vec<Row> {
    let series =
        |index: usize| store.series_ref(&Labels::from_pairs([("__name__", "m"), ("i", index.to_string().as_str())]));
    (0..SERIES).map(|index| Row::new(series(index), Timestamp::from_ms(step * 1000), step as f64)).collect()
}

/// How many whole commits the store holds.
fn commits(store: &Store) -> i64 {
    let all = store.select(&[], Timestamp::MIN, Timestamp::MAX);
    assert!(all.is_empty() || all.len() == SERIES, "{} series", all.len());
    let Some(first) = all.first() else { return 0 };
    for series in &all {
        assert_eq!(series.samples, first.samples, "half a commit: {} is not {}", series.labels, first.labels);
    }
    for (step, sample) in (0..).zip(&first.samples) {
        assert_eq!((sample.at.as_ms(), &sample.value), (step * 1000, &Value::Float(step as f64)));
    }
    first.samples.len() as i64
}

/// Not a test of its own: what the parent kills.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let (store, disk) = open(&folder);
    let mut told = std::io::stdout();
    for step in commits(&store).. {
        assert_eq!(store.commit(&rows(&store, step)).appended, SERIES);
        writeln!(told, "committed {step}").and_then(|()| told.flush()).expect("the parent listens");
        if step % CHECKPOINT_EVERY == CHECKPOINT_EVERY - 1 {
            disk.checkpoint().expect("a checkpoint");
        }
    }
}

#[test]
fn every_acknowledged_commit_outlives_kills() {
    let folder = tempfile::tempdir().expect("folder");
    let mut known = 0;
    for kill in 0..kills(KILLS) {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "kills::child", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let reader = std::thread::spawn(move || {
            let steps = output.lines().map_while(Result::ok);
            steps.filter_map(|line| line.strip_prefix("committed ")?.parse::<i64>().ok()).last()
        });
        // Some die while they still read what the ones before have left.
        std::thread::sleep(Duration::from_micros(spread(kill, 120_000)));
        child.kill().expect("kill");
        child.wait().expect("its end");
        let acknowledged = reader.join().expect("reader").map_or(known, |step| step + 1);
        let (store, disk) = open(folder.path());
        let found = commits(&store);
        // One may have been stored and not told.
        assert!((acknowledged..=acknowledged + 1).contains(&found), "kill {kill}: {found} of {acknowledged}");
        known = found;
        disk.close().expect("close");
    }
    assert!(known > 0, "nothing was ever committed");
}
