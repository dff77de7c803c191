//! The log that commits are appended to.
//!
//! In the flow: the store hands over each commit under its own lock, so records have the order of commits. A record is written before
//! the commit returns, which is enough to survive the end of the process; a thread of [`Disk`](super::Disk) synchronises within a second,
//! which is enough to survive the end of the machine.
//!
//! **Invariants.** A file holds whole records, then at most one torn one. After a write that failed nothing more is appended, for a
//! record that is missing would be missed: a checkpoint begins a new file and brings what is in memory.
//! **Cost.** One write of the system a commit. `cargo bench --bench store` has the figures.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StateChange;
use super::frame;
use super::record::{self, CommitWriter};
use crate::model::Labels;
use crate::store::{Committed, Row, Store};

/// First bytes of a log.
pub(super) const MAGIC: &[u8; 8] = b"ALMLOG1\n";

/// A buffer that one large commit has made longer than this is given back.
const BUFFER_KEPT: usize = 1 << 20;

/// Appends records to the newest log.
pub(super) struct LogWriter {
    folder: PathBuf,
    number: u64,
    /// `None` until a first one could be begun.
    file: Option<Arc<File>>,
    /// Bytes of whole records.
    len: u64,
    is_dirty: bool,
    /// Which series of which generation the file has defined, by slot; one more than the generation.
    defined: Vec<u32>,
    /// What each log begins with.
    states: BTreeMap<String, Vec<u8>>,
    buffer: Vec<u8>,
    /// Why nothing is appended any more.
    failure: Option<String>,
    /// Samples that did not reach the log since it fails.
    missed: u64,
}

/// The file of a log.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("log-{number:010}"))
}

/// Where the bytes are that were last taken from the end of a log.
pub(super) const INTERRUPTED: &str = "interrupted";

/// Takes `bytes` from the end of a log: a record that was being written when the process ended. In a log that is not the last one the next
/// start would take them for damage. They are kept in [`INTERRUPTED`], for damage to the length of a record looks the same.
pub(super) fn cut(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let whole = file.metadata()?.len().saturating_sub(bytes);
    let mut torn = Vec::new();
    file.seek(io::SeekFrom::Start(whole))?;
    file.read_to_end(&mut torn)?;
    fs::write(path.with_file_name(INTERRUPTED), torn)?;
    file.set_len(whole)
}

impl LogWriter {
    /// Begins the log `number`, which must not exist. If that fails, the writer says so as if a later write had.
    pub(super) fn create(folder: &Path, number: u64, states: BTreeMap<String, Vec<u8>>) -> Self {
        let begun = begin(folder, number, Some(&states).filter(|states| !states.is_empty()));
        let failure = begun.as_ref().err().map(io::Error::to_string);
        let (file, len) = begun.map_or((None, 0), |(file, len)| (Some(Arc::new(file)), len));
        LogWriter {
            folder: folder.to_owned(),
            number,
            is_dirty: file.is_some(),
            file,
            len,
            defined: Vec::new(),
            states,
            buffer: Vec::new(),
            failure,
            missed: 0,
        }
    }

    /// Ends this log and begins the next. Gives the number of the one that ended; see [`LogWriter::make_up`].
    pub(super) fn rotate(&mut self) -> io::Result<u64> {
        if let Some(file) = self.file.as_ref().filter(|_| self.failure.is_none()) {
            file.sync_data()?;
        }
        let next = self.number + 1;
        let (file, len) = begin(&self.folder, next, Some(&self.states))?;
        (self.file, self.len, self.is_dirty) = (Some(Arc::new(file)), len, true);
        self.defined.clear();
        self.failure = None;
        Ok(std::mem::replace(&mut self.number, next))
    }

    /// Appends the rows of a commit that were stored.
    pub(super) fn append(&mut self, store: &Store, rows: &[Row], committed: &Committed) {
        let mut refused = committed.refused.iter().map(|(index, _)| *index).peekable();
        let stored: Vec<&Row> =
            (0..).zip(rows).filter(|(i, _)| refused.next_if_eq(i).is_none()).map(|(_, r)| r).collect();
        if stored.is_empty() {
            return;
        }
        if self.failure.is_some() {
            self.missed += stored.len() as u64;
            return;
        }
        let defined = self.undefined(store, &stored);
        let mut buffer = std::mem::take(&mut self.buffer);
        frame::write(&mut buffer, |out| {
            let mut writer = CommitWriter::new(out, &defined, stored.len());
            stored.iter().for_each(|row| writer.row(row.series.0, row.at, &row.value, row.start));
        });
        if !self.write(buffer) {
            self.missed += stored.len() as u64;
        }
    }

    /// Notes the states of other parts in one record; the newest of a name holds.
    pub(super) fn put(&mut self, changes: Vec<StateChange>) {
        let mut buffer = std::mem::take(&mut self.buffer);
        frame::write(&mut buffer, |out| record::write_states(out, &changes));
        for (name, state) in changes {
            match state {
                Some(state) => self.states.insert(name, state),
                None => self.states.remove(&name),
            };
        }
        if self.failure.is_none() {
            self.write(buffer);
        }
    }

    /// The states of names that begin with `prefix`.
    pub(super) fn states(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let from = self.states.range(prefix.to_owned()..);
        from.take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, state)| (name.clone(), state.clone()))
            .collect()
    }

    /// Removes the file if nothing was written to it, at the end: a look at a folder should leave no trace.
    pub(super) fn discard_if_empty(&self) {
        if self.len == MAGIC.len() as u64 {
            // An empty log that stays does no harm.
            let _ = fs::remove_file(path(&self.folder, self.number));
        }
    }

    /// What to synchronise, if something was written since the last time.
    pub(super) fn take_dirty(&mut self) -> Option<Arc<File>> {
        self.file.clone().filter(|_| std::mem::take(&mut self.is_dirty))
    }

    /// Notes that what was written may not be on the disk.
    pub(super) fn fail(&mut self, error: &io::Error) {
        self.failure.get_or_insert_with(|| error.to_string());
    }

    /// Why nothing is appended any more, and how many samples that has cost.
    pub(super) fn failure(&self) -> Option<(&str, u64)> {
        self.failure.as_deref().map(|error| (error, self.missed))
    }

    /// Samples that are in no log and, as far as this knows, in no segment.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    /// Notes that so many of them are in a segment now.
    pub(super) fn make_up(&mut self, missed: u64) {
        self.missed -= missed;
    }

    /// Bytes of the newest log.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of whole records of the log `number`; of one that has ended, all.
    pub(super) fn len_of(&self, number: u64) -> u64 {
        if number == self.number { self.len } else { u64::MAX }
    }

    /// The series of `rows` that this log has not defined, which it is taken to do now.
    fn undefined(&mut self, store: &Store, rows: &[&Row]) -> Vec<(u64, Labels)> {
        let mut reader = None;
        let mut undefined = Vec::new();
        for row in rows {
            let (slot, mark) = (row.series.slot(), row.series.generation().wrapping_add(1));
            if self.defined.len() <= slot {
                self.defined.resize(slot + 1, 0);
            }
            if std::mem::replace(&mut self.defined[slot], mark) == mark {
                continue;
            }
            let reader = reader.get_or_insert_with(|| store.reader());
            // Gone already, if retention was faster: then its rows are too old to matter, and a series without labels is left out
            // when the log is read.
            if let Some(labels) = reader.labels(row.series) {
                undefined.push((row.series.0, labels));
            }
        }
        undefined
    }

    /// Writes a record, or leaves the file as it was and says why from now on.
    fn write(&mut self, mut buffer: Vec<u8>) -> bool {
        let Some(file) = &self.file else { return false };
        let outcome = (&**file).write_all(&buffer);
        match &outcome {
            Ok(()) => {
                self.len += buffer.len() as u64;
                self.is_dirty = true;
            }
            Err(error) => {
                self.failure = Some(error.to_string());
                // If this fails too, the torn record is passed over when the log is read.
                let _ = file.set_len(self.len);
            }
        }
        buffer.clear();
        buffer.shrink_to(BUFFER_KEPT);
        self.buffer = buffer;
        outcome.is_ok()
    }
}

/// A new file with the states. A file of this number that a failed attempt left is begun anew.
fn begin(folder: &Path, number: u64, states: Option<&BTreeMap<String, Vec<u8>>>) -> io::Result<(File, u64)> {
    let mut bytes = MAGIC.to_vec();
    if let Some(states) = states {
        frame::write(&mut bytes, |out| record::write_all_states(out, states));
    }
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(path(folder, number))?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    File::open(folder)?.sync_all()?;
    Ok((file, bytes.len() as u64))
}
