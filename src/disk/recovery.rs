//! Reading a folder back: segments in order, then the logs that they do not cover.
//!
//! **Invariants.** Damage costs what comes after it in its file, and is told; never the start. A record that was being written when the
//! process ended is no damage: its commit had not returned. Reading what is there already changes nothing, so that logs may overlap
//! segments.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::frame::{Damage, Frames};
use super::log;
use super::record::{self, Record};
use super::segment::{self, Fault, Header};
use crate::model::Timestamp;
use crate::store::{Exported, Lateness, Row, Store};

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Numbered {
    /// The log, or the last log that a segment was meant to cover; then the part of the segment.
    pub(super) number: (u64, u64),
    pub(super) path: PathBuf,
}

/// The files of a folder, each kind in order.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) segments: Vec<Numbered>,
    pub(super) logs: Vec<Numbered>,
}

/// What could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Of which file.
    pub path: PathBuf,
    /// Bytes that are not read, as far as that is known.
    pub bytes: u64,
    /// Why.
    pub reason: LossReason,
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// It is not a file of ours.
    Foreign,
    /// Its checksum is wrong.
    Checksum,
    /// Its end is missing.
    Cut,
    /// Another version of this program wrote it.
    Version,
    /// The system does not give it.
    Unreadable(String),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loss { path, bytes, reason } = self;
        write!(f, "{}: ", path.display())?;
        match reason {
            LossReason::Foreign => write!(f, "not a file of samples; {bytes} bytes are not read"),
            LossReason::Checksum => write!(f, "damaged: a checksum is wrong; {bytes} bytes are not read"),
            LossReason::Cut => write!(f, "damaged: its end is missing; {bytes} bytes are not read"),
            LossReason::Version => write!(f, "written by another version; {bytes} bytes are not read"),
            LossReason::Unreadable(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments read.
    pub segments: usize,
    /// Logs read.
    pub logs: usize,
    /// Bytes read.
    pub bytes: u64,
    /// What could not be read, in order of reading.
    pub losses: Vec<Loss>,
    /// Bytes at the end of the last log that are no whole record: one that was being written when the process ended.
    pub interrupted_bytes: u64,
    /// What other parts have put.
    pub(super) states: BTreeMap<String, Vec<u8>>,
}

/// Takes what is read.
pub(super) trait Sink {
    /// A series of a segment.
    fn series(&mut self, exported: Exported) -> Result<(), Fault>;
    /// A record of a log. The first of a log comes with `is_first`.
    fn record(&mut self, record: Record<'_>, place: Place);
}

/// Where a record stands in its log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    First,
    Later,
}

/// The files of `folder`. Others are left alone.
pub(super) fn files(folder: &Path) -> io::Result<Files> {
    let mut files = Files::default();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = |text: &str| text.parse::<u64>().ok();
        if let Some(number) = name.strip_prefix("log-").and_then(number) {
            files.logs.push(Numbered { number: (number, 0), path });
        } else if let Some((covered, part)) = name.strip_prefix("segment-").and_then(|rest| rest.split_once('-'))
            && let (Some(covered), Some(part)) = (number(covered), number(part))
        {
            files.segments.push(Numbered { number: (covered, part), path });
        }
    }
    files.segments.sort();
    files.logs.sort();
    Ok(files)
}

/// What a segment says of itself, if its header is whole.
pub(super) fn header_of(path: &Path) -> io::Result<Option<Header>> {
    let mut start = Vec::new();
    fs::File::open(path)?.take(segment::HEADER_LEN_MAX as u64).read_to_end(&mut start)?;
    Ok(segment::header(&start).ok().map(|(header, _)| header))
}

impl Recovered {
    /// Reads a segment into `sink`, unless all of it is before `floor`. Gives the last log that it covers.
    pub(super) fn read_segment(&mut self, file: &Numbered, floor: Timestamp, sink: &mut dyn Sink) -> u64 {
        let Some(bytes) = self.read(&file.path) else { return 0 };
        self.segments += 1;
        let (header, frames) = match segment::header(&bytes) {
            Ok(read) => read,
            Err(fault) => {
                self.lose(&file.path, bytes.len() as u64, fault);
                return 0;
            }
        };
        if header.newest >= floor {
            let mut left = bytes.len();
            let read = segment::each(header.format, frames, |at, exported| {
                left = bytes.len().saturating_sub(at);
                sink.series(exported)
            });
            if let Err(fault) = read {
                self.lose(&file.path, left as u64, fault);
            }
        }
        header.covers
    }

    /// Reads a log into `sink`.
    pub(super) fn read_log(&mut self, file: &Numbered, is_last: bool, sink: &mut dyn Sink) {
        let Some(bytes) = self.read(&file.path) else { return };
        self.logs += 1;
        if bytes.is_empty() {
            // The process ended before it had begun.
            return;
        }
        let Some(rest) = bytes.strip_prefix(log::MAGIC) else {
            // The process ended while it began this log.
            if is_last && log::MAGIC.starts_with(&bytes) {
                self.interrupted_bytes = bytes.len() as u64;
            } else {
                self.lose(&file.path, bytes.len() as u64, Fault::Magic);
            }
            return;
        };
        let mut frames = Frames::new(rest);
        let mut place = Place::First;
        while let Some(frame) = frames.next() {
            let fault = match frame.map_err(Fault::from).and_then(|frame| Ok(record::read(frame)?)) {
                Ok(Record::States { changes, are_all }) => {
                    if are_all {
                        self.states.clear();
                    }
                    for (name, state) in changes {
                        match state {
                            Some(state) => self.states.insert(name.to_owned(), state.to_vec()),
                            None => self.states.remove(name),
                        };
                    }
                    continue;
                }
                Ok(record) => {
                    sink.record(record, place);
                    place = Place::Later;
                    continue;
                }
                Err(Fault::Damaged(Damage::Torn)) if is_last => {
                    self.interrupted_bytes = (rest.len() - frames.position()) as u64;
                    return;
                }
                Err(fault) => fault,
            };
            self.lose(&file.path, (rest.len() - frames.position()) as u64, fault);
            return;
        }
    }

    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        match fs::read(path) {
            Ok(bytes) => {
                self.bytes += bytes.len() as u64;
                Some(bytes)
            }
            Err(error) => {
                let reason = LossReason::Unreadable(error.to_string());
                self.losses.push(Loss { path: path.to_owned(), bytes: 0, reason });
                None
            }
        }
    }

    fn lose(&mut self, path: &Path, bytes: u64, fault: Fault) {
        let reason = match fault {
            Fault::Magic => LossReason::Foreign,
            Fault::Damaged(Damage::Checksum) => LossReason::Checksum,
            Fault::Damaged(Damage::Torn) => LossReason::Cut,
            Fault::Malformed => LossReason::Version,
        };
        self.losses.push(Loss { path: path.to_owned(), bytes, reason });
    }
}

/// Puts what is read into a store.
pub(super) struct IntoStore<'a> {
    store: &'a Store,
    /// The series of the log that is being read.
    by_number: HashMap<u64, crate::store::SeriesRef>,
}

impl<'a> IntoStore<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        IntoStore { store, by_number: HashMap::new() }
    }
}

impl Sink for IntoStore<'_> {
    fn series(&mut self, exported: Exported) -> Result<(), Fault> {
        self.store.restore(exported).map_err(|_| Fault::Malformed)
    }

    fn record(&mut self, record: Record<'_>, place: Place) {
        let Record::Commit { defined, rows } = record else { return };
        if place == Place::First {
            self.by_number.clear();
        }
        for (number, labels) in defined {
            self.by_number.insert(number, self.store.series_ref(&labels));
        }
        let known = rows.into_iter().filter_map(|row| {
            let series = *self.by_number.get(&row.series)?;
            Some(Row { series, at: row.at, value: row.value, start: row.start })
        });
        // What is refused is there already.
        self.store.commit_late(&known.collect::<Vec<_>>(), Lateness::Unbounded);
    }
}
