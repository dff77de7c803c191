//! Samples on disk: a log of commits, segments of sealed chunks, and reading both back.
//!
//! In the flow: a driver opens a [`Disk`] on its store before anything is scraped or evaluated; from then on every commit is in the
//! operating system before it returns.
//!
//! ```text
//! samples/lock                     held while a process has the folder
//!         log-0000000007           records of commits since the last checkpoint
//!         segment-0000000006-000   what was sealed up to the end of log 6; older ones before it
//! ```
//!
//! A *checkpoint* begins a new log, writes what no segment has into a new segment, and removes the logs that it covers. It is made when the
//! log is long ([`LOG_LEN_MAX`]) or old ([`LOG_AGE_MAX`]), and when writing goes on after it has failed.
//!
//! **Invariants.** What a commit has stored survives `kill -9`; what was stored a second ago survives a loss of power. Reading back gives
//! whole commits. A damaged file costs what comes after the damage, is told, and never keeps the start. While the disk fails, evaluation
//! goes on from memory; [`Disk::health`] says so, and the disk is tried again every [`RETRY_EVERY`].
//! **Cost.** 43 M samples of 500 series (30 days at 30 s, counters and histograms) took 1.16 bytes each on disk and 0.65 s of one core to read
//! back, on a busy virtual machine, while every sample was decoded; now only the newest run of a series is, and the first of each segment
//! that does not follow on what is there. What the others are like from outside stands beside them, under the same checksum.
//! **Samples that came late** are in the log as others are. A checkpoint tells all of a series again from the oldest late sample on that
//! no segment has; reading back takes from that what is missing.
//! **Not here.** When samples expire: segments all of whose samples the store has truncated are removed, others are written again without
//! what has expired (`compact`).
//! **Why files of our own.** A commit of 1,000 samples takes one write and no index to keep up; an embedded key-value store writes
//! each sample, or each commit, a second time when it merges, and knows neither our columns nor our retention.

mod compact;
mod frame;
mod journal;
mod log;
mod record;
mod recovery;
mod segment;
mod snapshot;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::model::Timestamp;
use crate::store::{Saved, SeriesRef, Store};
use log::LogWriter;
use recovery::IntoStore;
use segment::{Header, SegmentWriter};

pub use journal::{FILE_LEN_MAX, FILES_LEN_MAX, Journal, JournalLimits};
pub use recovery::{Loss, LossReason, Recovered};

/// A log longer than this is replaced by a segment. Reading it back takes about a second.
pub const LOG_LEN_MAX: u64 = 128 << 20;

/// So is an older one: then its samples are small, and few are read twice.
pub const LOG_AGE_MAX: Duration = Duration::from_secs(2 * 3600);

/// How often what was written is synchronised.
const SYNC_EVERY: Duration = Duration::from_millis(500);

/// How often a disk that fails is tried again.
pub const RETRY_EVERY: Duration = Duration::from_secs(5);

/// A segment longer than this is continued in a further part, since it is built in memory.
const PART_LEN_MAX: usize = 256 << 20;

/// Series that are copied out under one look at the store.
const EXPORTED_AT_ONCE: usize = 128;

/// A folder of samples that this process has. Ends when it is dropped; [`Disk::close`] tells whether that went well.
pub struct Disk {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    folder: PathBuf,
    store: Arc<Store>,
    writer: Mutex<LogWriter>,
    /// One checkpoint at a time.
    checkpoint: Mutex<Checkpoint>,
    health: Mutex<Health>,
    is_closing: Mutex<bool>,
    wake: Condvar,
    /// Locked until the end.
    _lock: File,
}

struct Checkpoint {
    /// What segments have of each series, by slot.
    saved: Vec<Option<(SeriesRef, Saved)>>,
    /// The last log that segments cover.
    covers: u64,
    last: Instant,
    /// Whether a failure has left out samples that only a checkpoint can bring.
    is_owed: bool,
}

/// A name, and what holds under it from now on.
pub type StateChange = (String, Option<Vec<u8>>);

/// Whether samples reach the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// They do.
    #[default]
    Good,
    /// They do not, and would be lost if the process ended.
    Failing {
        /// What the system says.
        error: String,
        /// Samples that are in memory only.
        missed: u64,
    },
}

/// Why a folder could not be opened.
#[derive(Debug)]
pub enum DiskError {
    /// Another process has it.
    Locked(PathBuf),
    /// The system says so.
    System(PathBuf, io::Error),
}

impl std::fmt::Display for DiskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DiskError::Locked(path) => write!(f, "{}: another process has this folder", path.display()),
            DiskError::System(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for DiskError {}

impl Disk {
    /// Reads what `folder` holds into `store`, but for segments before `floor`, and from then on writes every commit there. What the store
    /// holds already is written too. A folder that can be read but not written is a disk that fails, and is tried again.
    pub fn open(folder: &Path, store: &Arc<Store>, floor: Timestamp) -> Result<(Disk, Recovered), DiskError> {
        let system = |error| DiskError::System(folder.to_owned(), error);
        fs::create_dir_all(folder).map_err(system)?;
        let lock = lock(folder)?;
        let files = recovery::files(folder).map_err(system)?;
        let is_owed = store.stats().samples > 0;
        let mut recovered = Recovered::default();
        let mut sink = IntoStore::new(store);
        let mut covers = 0;
        for file in &files.segments {
            covers = covers.max(recovered.read_segment(file, floor, &mut sink));
        }
        let mut saved = Vec::new();
        store.settle();
        let held = store.held();
        if !is_owed {
            store.confirm(&held);
            held.into_iter().for_each(|(series, held)| note_saved(&mut saved, series, held));
        }
        let uncovered = files.logs.iter().filter(|file| file.number.0 > covers);
        let last = files.logs.last().map_or(0, |file| file.number.0).max(covers);
        for file in uncovered {
            recovered.read_log(file, file.number.0 == last, &mut sink);
        }
        if recovered.interrupted_bytes > 0 {
            // If the disk takes no writing, beginning the next log will tell, and nothing is cut.
            let _ = log::cut(&log::path(folder, last), recovered.interrupted_bytes);
        }
        let writer = LogWriter::create(folder, last + 1, recovered.states.clone());
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            store: store.clone(),
            writer: Mutex::new(writer),
            checkpoint: Mutex::new(Checkpoint { saved, covers, last: Instant::now(), is_owed }),
            health: Mutex::default(),
            is_closing: Mutex::new(false),
            wake: Condvar::new(),
            _lock: lock,
        });
        // Weak, since the store is what holds the closure.
        let log = Arc::downgrade(&shared);
        store.log_to(Box::new(move |store, rows, committed| {
            if let Some(shared) = log.upgrade() {
                shared.writer.lock().append(store, rows, committed);
            }
        }));
        let upkeep = shared.clone();
        let thread =
            std::thread::Builder::new().name("disk".to_owned()).spawn(move || upkeep.keep_up()).map_err(system)?;
        Ok((Disk { shared, thread: Some(thread) }, recovered))
    }

    /// Whether samples reach the disk.
    pub fn health(&self) -> Health {
        self.shared.look_after();
        self.shared.health.lock().clone()
    }

    /// Brings all that is in memory into segments.
    pub fn checkpoint(&self) -> io::Result<()> {
        self.shared.checkpoint()
    }

    /// Notes the states of other parts, each under a name; the newest holds, and `None` removes it. All of them or none survive the
    /// end of the process once this returns, unless the disk fails.
    pub fn put(&self, states: Vec<StateChange>) {
        self.shared.writer.lock().put(states);
    }

    /// What was last put under each name that begins with `prefix`, in this life or an earlier one, in order of name.
    pub fn states(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.shared.writer.lock().states(prefix)
    }

    /// Bytes of the files.
    pub fn bytes(&self) -> io::Result<u64> {
        let entries = fs::read_dir(&self.shared.folder)?;
        entries.map(|entry| Ok(entry?.metadata()?.len())).sum()
    }

    /// Has the operating system write out what it was given.
    pub fn flush(&self) -> io::Result<()> {
        self.shared.sync()
    }

    /// Writes out what was written and lets the folder go.
    pub fn close(mut self) -> io::Result<()> {
        self.end();
        self.shared.sync()
    }

    fn end(&mut self) {
        *self.shared.is_closing.lock() = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported; there is nothing left to do about it.
            let _ = thread.join();
            self.shared.writer.lock().discard_if_empty();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// The thread of the disk.
    fn keep_up(&self) {
        let mut tried = Instant::now();
        let mut closing = self.is_closing.lock();
        while !*closing {
            self.wake.wait_for(&mut closing, SYNC_EVERY);
            drop(closing);
            // What fails is in the health.
            let _ = self.sync();
            let is_due = {
                let checkpoint = self.checkpoint.lock();
                let len = self.writer.lock().len();
                let is_failing = checkpoint.is_owed || self.writer.lock().failure().is_some();
                let is_long = len > LOG_LEN_MAX || checkpoint.last.elapsed() > LOG_AGE_MAX;
                (is_long || is_failing) && tried.elapsed() >= RETRY_EVERY
            };
            if is_due {
                tried = Instant::now();
                let _ = self.checkpoint();
            }
            self.look_after();
            closing = self.is_closing.lock();
        }
    }

    fn sync(&self) -> io::Result<()> {
        let Some(file) = self.writer.lock().take_dirty() else { return Ok(()) };
        // Commits go on meanwhile.
        let outcome = file.sync_data();
        if let Err(error) = &outcome {
            self.writer.lock().fail(error);
        }
        outcome
    }

    /// Keeps the health up to date, and tells the log of the program when it changes.
    fn look_after(&self) {
        let failure = self.writer.lock().failure().map(|(error, missed)| (error.to_owned(), missed));
        let mut health = self.health.lock();
        if let Some((error, missed)) = failure {
            if *health == Health::Good {
                tracing::error!(error, "samples do not reach the disk; evaluation goes on from memory");
            }
            *health = Health::Failing { error, missed };
        }
    }

    fn checkpoint(&self) -> io::Result<()> {
        let mut checkpoint = self.checkpoint.lock();
        self.look_after();
        let outcome = self.write_checkpoint(&mut checkpoint);
        let mut health = self.health.lock();
        match &outcome {
            Ok(()) => {
                checkpoint.is_owed = false;
                if std::mem::take(&mut *health) != Health::Good {
                    tracing::info!("samples reach the disk again; nothing in memory is missing there");
                }
            }
            Err(error) => match &mut *health {
                // The logs are still there and go on; only they grow.
                Health::Good if !checkpoint.is_owed => {
                    tracing::warn!(%error, "a checkpoint of the samples failed, the log goes on");
                }
                health => {
                    let missed = self.writer.lock().missed();
                    *health = Health::Failing { error: error.to_string(), missed };
                    checkpoint.is_owed = true;
                }
            },
        }
        outcome
    }

    fn write_checkpoint(&self, checkpoint: &mut Checkpoint) -> io::Result<()> {
        // What is merged before need not be told again by the next checkpoint.
        self.store.settle();
        let (covered, missed) = {
            let mut writer = self.writer.lock();
            (writer.rotate()?, writer.missed())
        };
        let newest = self.store.stats().newest.unwrap_or(Timestamp::MIN);
        let mut saved = Vec::new();
        let mut part = 0;
        let mut header = Header { format: segment::FORMAT, covers: checkpoint.covers, newest, thinned: Duration::ZERO };
        let mut writer = SegmentWriter::new();
        let slots = self.store.slots_len();
        for from in (0..slots).step_by(EXPORTED_AT_ONCE) {
            let known = |series: SeriesRef| match checkpoint.saved.get(series.slot()) {
                Some(Some((known, saved))) if *known == series => *saved,
                _ => Saved::NOTHING,
            };
            for exported in self.store.export(from..from + EXPORTED_AT_ONCE, known) {
                writer.push(&exported);
                saved.push((exported.series, exported.saved));
            }
            if writer.len() > PART_LEN_MAX {
                // Only the last part says that it covers the logs: without it, they are still needed.
                let full = std::mem::replace(&mut writer, SegmentWriter::new());
                self.write_segment((covered, part), &full.finish(header))?;
                part += 1;
            }
        }
        header.covers = covered;
        self.write_segment((covered, part), &writer.finish(header))?;
        self.writer.lock().make_up(missed);
        checkpoint.covers = covered;
        checkpoint.last = Instant::now();
        self.store.confirm(&saved);
        saved.into_iter().for_each(|(series, held)| note_saved(&mut checkpoint.saved, series, held));
        self.remove_unneeded(covered)?;
        self.compact()
    }

    fn write_segment(&self, (covered, part): (u64, u64), bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(format!("segment-{covered:010}-{part:03}"));
        let unfinished = self.folder.join("unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&unfinished, &path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Removes the logs that segments cover, and the segments that retention has emptied.
    fn remove_unneeded(&self, covered: u64) -> io::Result<()> {
        let files = recovery::files(&self.folder)?;
        for log in files.logs.iter().filter(|log| log.number.0 <= covered) {
            fs::remove_file(&log.path)?;
        }
        let floor = self.store.floor().unwrap_or(Timestamp::MIN);
        for segment in files.segments {
            if recovery::header_of(&segment.path)?.is_some_and(|header| header.newest < floor) {
                fs::remove_file(&segment.path)?;
            }
        }
        Ok(())
    }
}

fn note_saved(table: &mut Vec<Option<(SeriesRef, Saved)>>, series: SeriesRef, saved: Saved) {
    if table.len() <= series.slot() {
        table.resize(series.slot() + 1, None);
    }
    table[series.slot()] = Some((series, saved));
}

/// Takes the folder for this process. Where no file can be made, what stands for it is the file that is there, or else the folder.
fn lock(folder: &Path) -> Result<File, DiskError> {
    let path = folder.join("lock");
    let file = File::create(&path).or_else(|error| {
        File::open(&path).or_else(|_| File::open(folder)).map_err(|_| DiskError::System(path.clone(), error))
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(DiskError::Locked(folder.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(DiskError::System(path, error)),
    }
}

#[cfg(test)]
mod tests;
