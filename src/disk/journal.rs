//! Records in order of time that are kept for a while: the history of alerts.
//!
//! ```text
//! journal-0000000007    magic, frames of (instant, payload)      the newest is appended to
//! ```
//!
//! **Invariants.** What was appended survives the end of the process, and a second later that of the machine is survived as the system
//! writes it out. A damaged file costs what comes after the damage. A new life begins a new file.
//! **Limits.** [`FILE_LEN_MAX`] bytes a file; the oldest file goes when all its records are too old, or when all are longer than
//! [`FILES_LEN_MAX`].
//! **Cost.** An append is one write. Reading back goes from the newest file to the oldest, each read whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::frame::{self, Frames};
use crate::model::Timestamp;
use crate::model::wire::{Read, Write};

const MAGIC: &[u8; 8] = b"ALMJRN1\n";

/// A longer file is followed by another.
pub const FILE_LEN_MAX: u64 = 4 << 20;

/// More bytes than these cost the oldest records, however young.
pub const FILES_LEN_MAX: u64 = 256 << 20;

/// Bounds of a [`Journal`].
#[derive(Clone, Copy, Debug)]
pub struct JournalLimits {
    /// Of a file.
    pub file_len_max: u64,
    /// Of all together.
    pub files_len_max: u64,
}

impl Default for JournalLimits {
    fn default() -> Self {
        JournalLimits { file_len_max: FILE_LEN_MAX, files_len_max: FILES_LEN_MAX }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    limits: JournalLimits,
    /// In order; the last is open, once something has been appended.
    files: Vec<Known>,
    open: Option<File>,
}

/// A file, and what is known of it.
#[derive(Debug)]
struct Known {
    number: u64,
    len: u64,
    newest: Timestamp,
}

impl Journal {
    /// The journal of a folder, which is made if need be.
    pub fn open(folder: &Path, limits: JournalLimits) -> io::Result<Journal> {
        fs::create_dir_all(folder)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("journal-")?.parse::<u64>().ok());
            if let Some(number) = number {
                let path = entry.path();
                let mut newest = Timestamp::MIN;
                records(&fs::read(&path)?, |at, _| newest = newest.max(at));
                files.push(Known { number, len: entry.metadata()?.len(), newest });
            }
        }
        files.sort_by_key(|file| file.number);
        Ok(Journal { folder: folder.to_owned(), limits, files, open: None })
    }

    /// Appends records of the instant `at`.
    pub fn append(&mut self, at: Timestamp, payloads: &[Vec<u8>]) -> io::Result<()> {
        if payloads.is_empty() {
            return Ok(());
        }
        let is_full = self.files.last().is_some_and(|file| file.len > self.limits.file_len_max);
        let mut bytes = Vec::new();
        if self.open.is_none() || is_full {
            let number = self.files.last().map_or(1, |file| file.number + 1);
            let file = OpenOptions::new().create_new(true).append(true).open(self.path(number))?;
            self.files.push(Known { number, len: 0, newest: Timestamp::MIN });
            self.open = Some(file);
            bytes.extend_from_slice(MAGIC);
        }
        for payload in payloads {
            frame::write(&mut bytes, |out| {
                out.instant(at);
                out.extend_from_slice(payload);
            });
        }
        let (file, known) = (self.open.as_mut(), self.files.last_mut());
        let (file, known) = file.zip(known).expect("BUG: no file is open");
        if let Err(error) = file.write_all(&bytes) {
            // A torn record would hide what follows it.
            self.open = None;
            return Err(error);
        }
        known.len += bytes.len() as u64;
        known.newest = known.newest.max(at);
        Ok(())
    }

    /// Removes files without a record from `floor` on, and the oldest ones beyond the limit. Gives how many the limit has cost.
    pub fn expire(&mut self, floor: Timestamp) -> io::Result<usize> {
        let mut cost = 0;
        while self.files.len() > 1 {
            let is_long = self.bytes() > self.limits.files_len_max;
            if !is_long && self.files[0].newest >= floor {
                break;
            }
            fs::remove_file(self.path(self.files[0].number))?;
            cost += usize::from(self.files[0].newest >= floor);
            self.files.remove(0);
        }
        Ok(cost)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }

    /// Hands out records, the newest first, until `visit` breaks.
    pub fn read_back(&self, mut visit: impl FnMut(Timestamp, &[u8]) -> ControlFlow<()>) -> io::Result<()> {
        for file in self.files.iter().rev() {
            let bytes = fs::read(self.path(file.number))?;
            let mut found = Vec::new();
            records(&bytes, |at, payload| found.push((at, payload)));
            for (at, payload) in found.into_iter().rev() {
                if visit(at, payload).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("journal-{number:010}"))
    }
}

/// Calls `each` for what is whole, in order.
fn records<'a>(bytes: &'a [u8], mut each: impl FnMut(Timestamp, &'a [u8])) {
    let Some(rest) = bytes.strip_prefix(MAGIC) else { return };
    for frame in Frames::new(rest) {
        let Ok(frame) = frame else { return };
        let mut read = Read(frame);
        if let Ok(at) = read.instant() {
            each(at, read.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_ms(secs * 1000)
    }

    fn all(journal: &Journal) -> Vec<(i64, String)> {
        let mut found = Vec::new();
        let visit = |at: Timestamp, payload: &[u8]| {
            found.push((at.as_ms() / 1000, String::from_utf8(payload.to_vec()).unwrap()));
            ControlFlow::Continue(())
        };
        journal.read_back(visit).unwrap();
        found
    }

    #[test]
    fn the_newest_come_first_over_files_and_lives() {
        let folder = tempfile::tempdir().unwrap();
        let limits = JournalLimits { file_len_max: 40, files_len_max: 10_000 };
        let expected: Vec<(i64, String)> = (0..20).rev().map(|n| (n, format!("record {n}"))).collect();
        for life in 0..4 {
            let mut journal = Journal::open(folder.path(), limits).unwrap();
            assert_eq!(all(&journal), expected[20 - 5 * life..]);
            for n in 5 * life as i64..5 * life as i64 + 5 {
                journal.append(at(n), &[format!("record {n}").into_bytes()]).unwrap();
            }
        }
        let mut journal = Journal::open(folder.path(), limits).unwrap();
        assert_eq!(all(&journal), expected);
        assert_eq!(journal.expire(at(10)).unwrap(), 0);
        let left = all(&journal);
        assert!(left.len() >= 10 && left.len() < 14, "{left:?}");
        journal.limits.files_len_max = 100;
        assert!(journal.expire(at(10)).unwrap() > 0, "the limit has cost something");
        assert!(journal.bytes() <= 100);
        let mut seen = 0;
        let visit = |_: Timestamp, _: &[u8]| {
            seen += 1;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        journal.read_back(visit).unwrap();
        assert_eq!(seen, 2);
    }

    #[test]
    fn damage_costs_what_comes_after_it_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let append = |n: i64| {
            let mut journal = Journal::open(folder.path(), JournalLimits::default()).unwrap();
            journal.append(at(n), &[b"a".to_vec(), b"b".to_vec()]).unwrap();
        };
        (0..2).for_each(append);
        let path = folder.path().join("journal-0000000001");
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        let journal = Journal::open(folder.path(), JournalLimits::default()).unwrap();
        assert_eq!(all(&journal), [(1, "b".to_owned()), (1, "a".to_owned()), (0, "a".to_owned())]);
    }
}
