//! Old segments without what has expired in them, and fewer of them.
//!
//! In the flow: a checkpoint ends with it. A segment holds series that are kept for a day beside others that are kept for three months; once
//! all of it is older than some series are kept, it is written again without these, together with its neighbours.
//!
//! **Invariants.** Only what the store no longer shows is left out. The new file takes the name of the last one that it replaces, so a crash
//! in between leaves samples twice, which reading does not mind, and never none.
//! **Cost.** What has expired stays for half a day more. Each segment is written again once for each length of time for which series are kept, at most [`COMPACTED_BYTES_MAX`] at each
//! checkpoint.
//! **Limits.** [`SEGMENT_LEN_AIM`]: a file that is that long takes no further neighbour.

use std::fs;
use std::io;
use std::time::Duration;

use super::Shared;
use super::recovery::{self, Numbered};
use super::segment::{self, Header, SegmentWriter};
use crate::model::Timestamp;
use crate::store::{Exported, Piece, Store};

/// Bytes that are read and written again after a checkpoint: about half a second of work each two hours.
const COMPACTED_BYTES_MAX: u64 = 256 << 20;

/// Neighbours are put together up to this length, which fits into memory beside the store.
const SEGMENT_LEN_AIM: u64 = 32 << 20;

/// Shorter ones wait until they are from so far apart: one at a time, files would never become fewer.
const SPAN_MIN: Duration = Duration::from_secs(10 * 3600);

/// A segment that is to be written again.
struct Candidate {
    file: Numbered,
    header: Header,
    len: u64,
    /// What is kept for no longer than this is to be left out.
    thinned: Duration,
}

impl Shared {
    /// Writes segments again that hold much that has expired.
    pub(super) fn compact(&self) -> io::Result<()> {
        let mut budget = COMPACTED_BYTES_MAX;
        let mut group: Vec<Candidate> = Vec::new();
        for file in recovery::files(&self.folder)?.segments {
            let candidate = self.candidate(file)?;
            match candidate {
                Some(candidate) => {
                    let fits = group.first().is_none_or(|first| first.thinned == candidate.thinned);
                    if !fits || is_full(&group) {
                        self.rewrite(std::mem::take(&mut group))?;
                    }
                    if candidate.len > budget {
                        break;
                    }
                    budget -= candidate.len;
                    group.push(candidate);
                }
                None => self.rewrite(std::mem::take(&mut group))?,
            }
        }
        self.rewrite(group)
    }

    fn candidate(&self, file: Numbered) -> io::Result<Option<Candidate>> {
        // A damaged one stays as it is: what it has is for people to look at.
        let Some(header) = recovery::header_of(&file.path)? else { return Ok(None) };
        let passed = self.store.kept().into_iter().filter(|(_, floor)| *floor > header.newest);
        let Some(thinned) = passed.map(|(window, _)| window).max().filter(|window| *window > header.thinned) else {
            return Ok(None);
        };
        let len = fs::metadata(&file.path)?.len();
        Ok(Some(Candidate { file, header, len, thinned }))
    }

    /// Puts the candidates, which are neighbours, into one segment, if that pays.
    fn rewrite(&self, group: Vec<Candidate>) -> io::Result<()> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        if last.header.newest.since(first.header.newest) < SPAN_MIN && !is_full(&group) {
            return Ok(());
        }
        let newest = group.iter().map(|one| one.header.newest).max().unwrap_or(Timestamp::MIN);
        let header = Header { format: segment::FORMAT, covers: last.header.covers, newest, thinned: last.thinned };
        let mut writer = SegmentWriter::new();
        for Candidate { file, header, .. } in &group {
            let bytes = fs::read(&file.path)?;
            let Ok((Header { format, .. }, frames)) = segment::header(&bytes) else { return Ok(()) };
            let read = segment::each(format, frames, |_, exported| {
                if let Some(kept) = thinned(&self.store, exported, header.newest) {
                    writer.push(&kept);
                }
                Ok(())
            });
            if read.is_err() {
                return Ok(());
            }
        }
        self.write_segment(last.file.number, &writer.finish(header))?;
        for Candidate { file, .. } in &group[..group.len() - 1] {
            fs::remove_file(&file.path)?;
        }
        Ok(())
    }
}

fn is_full(group: &[Candidate]) -> bool {
    group.iter().map(|one| one.len).sum::<u64>() >= SEGMENT_LEN_AIM
}

/// What the store still shows of a series; `newest` is the newest time of its segment.
fn thinned(store: &Store, exported: Exported, newest: Timestamp) -> Option<Exported> {
    // A series that is gone has nothing that is shown.
    let floor = match store.floor_of(&exported.labels)? {
        None => return Some(exported),
        Some(floor) => floor,
    };
    if newest < floor {
        return None;
    }
    let Exported { mut sealed, mut starts, .. } = exported;
    // A piece ends before the next one begins.
    let begins = sealed.iter().skip(1).map(Piece::first).chain([exported.open.first()]);
    let dead = begins.take_while(|next| *next <= floor).count().min(sealed.len());
    sealed.drain(..dead);
    // What is known of the first one left was measured from the one before.
    if dead > 0
        && let Some(Piece::Floats { facts, .. }) = sealed.first_mut()
    {
        *facts = None;
    }
    let before = starts.partition_point(|(from, _)| *from <= floor);
    starts.drain(..before.saturating_sub(1));
    Some(Exported { sealed, starts, ..exported })
}

#[cfg(test)]
mod tests;
