//! Files of sealed samples: what a store had that no earlier segment has.
//!
//! ```text
//! magic
//! frame: format of columns, the last log it covers, the newest time
//! frame: texts …  series …                         again and again, up to about 1 MiB each
//!   series: pairs of numbers of texts, changes of start time, sealed pieces, open piece
//!   piece:  0  distance of its first time to the piece before, samples, columns
//!           1  samples: distance of times, histogram …
//! frame: end
//! ```
//!
//! **Invariants.** A segment is written under another name, synchronised, and then given its own: one that bears its name is whole, or
//! was damaged later. The newest samples of a series, its open run, may stand in several segments; those of a later one replace them.
//! **Cost.** Columns as in memory and about 6 bytes a piece; a label text once a frame.

use std::collections::HashMap;
use std::sync::Arc;

use super::frame::{self, Damage, Frames};
use crate::model::wire::{Malformed, Read, Write};
use crate::model::{Label, Labels, StartTime, Timestamp, Value};
use crate::store::{CHUNK_FORMAT, Exported, Piece, Saved, SeriesRef};

/// First bytes of a segment.
pub(super) const MAGIC: &[u8; 8] = b"ALMSEG1\n";

/// Enough bytes of a file to read its header.
pub(super) const HEADER_LEN_MAX: usize = 64;

/// A frame is closed when it is this long. Damage costs frames, and texts are told once in each.
const FRAME_LEN_AIM: usize = 1 << 20;

const FLOATS: u8 = 0;
const HISTOGRAMS: u8 = 1;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// All records of this log and those before it are in this segment or an earlier one.
    pub(super) covers: u64,
    /// No sample is newer.
    pub(super) newest: Timestamp,
}

/// Builds a segment in memory.
#[derive(Default)]
pub(super) struct SegmentWriter {
    frames: Vec<u8>,
    series: Vec<u8>,
    count: u64,
    texts: HashMap<Arc<str>, u64>,
    text_bytes: Vec<u8>,
}

impl SegmentWriter {
    pub(super) fn new() -> Self {
        SegmentWriter::default()
    }

    /// Bytes of the closed frames.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn push(&mut self, exported: &Exported) {
        let pairs = exported.labels.iter().count();
        self.series.varint(pairs as u64);
        for label in exported.labels.iter() {
            let numbers = [self.text(&label.name), self.text(&label.value)];
            numbers.into_iter().for_each(|number| self.series.varint(number));
        }
        let out = &mut self.series;
        out.varint(exported.starts.len() as u64);
        for (from, start) in &exported.starts {
            out.signed(from.as_ms());
            out.signed(start.map_or(0, |start| start.at().as_ms()));
        }
        out.varint(exported.sealed.len() as u64);
        let mut before = Timestamp::EPOCH;
        for piece in exported.sealed.iter().chain([&exported.open]) {
            before = write_piece(out, piece, before);
        }
        self.count += 1;
        if self.series.len() + self.text_bytes.len() >= FRAME_LEN_AIM {
            self.close_frame();
        }
    }

    /// The bytes of the file.
    pub(super) fn finish(mut self, header: Header) -> Vec<u8> {
        self.close_frame();
        let mut file = MAGIC.to_vec();
        frame::write(&mut file, |out| {
            out.varint(CHUNK_FORMAT);
            out.varint(header.covers);
            out.signed(header.newest.as_ms());
        });
        file.append(&mut self.frames);
        // An empty frame: nothing is missing.
        frame::write(&mut file, |_| {});
        file
    }

    fn text(&mut self, text: &Arc<str>) -> u64 {
        if let Some(number) = self.texts.get(text) {
            return *number;
        }
        let number = self.texts.len() as u64;
        self.texts.insert(text.clone(), number);
        self.text_bytes.bytes(text.as_bytes());
        number
    }

    fn close_frame(&mut self) {
        if self.count == 0 {
            return;
        }
        let (texts, series, count) = (self.texts.len() as u64, &self.series, self.count);
        let text_bytes = &self.text_bytes;
        frame::write(&mut self.frames, |out| {
            out.varint(texts);
            out.extend_from_slice(text_bytes);
            out.varint(count);
            out.extend_from_slice(series);
        });
        self.texts.clear();
        self.text_bytes.clear();
        self.series.clear();
        self.count = 0;
    }
}

fn write_piece(out: &mut Vec<u8>, piece: &Piece, before: Timestamp) -> Timestamp {
    match piece {
        Piece::Floats { first, len, columns } => {
            out.push(FLOATS);
            out.signed(first.as_ms().wrapping_sub(before.as_ms()));
            out.push(*len as u8);
            out.bytes(columns);
            *first
        }
        Piece::Histograms(samples) => {
            out.push(HISTOGRAMS);
            out.varint(samples.len() as u64);
            let mut at = before;
            for (next, histogram) in samples {
                out.signed(next.as_ms().wrapping_sub(at.as_ms()));
                out.value(&Value::Histogram(histogram.clone()));
                at = *next;
            }
            at
        }
    }
}

/// Why a segment was not read, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not one.
    Magic,
    /// Its bytes are not those that were written.
    Damaged(Damage),
    /// Another version wrote it.
    Malformed,
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Fault::Malformed
    }
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        Fault::Damaged(damage)
    }
}

/// What a segment says of itself.
pub(super) fn header(bytes: &[u8]) -> Result<(Header, Frames<'_>), Fault> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Fault::Magic)?;
    let mut frames = Frames::new(rest);
    let mut read = Read(frames.next().ok_or(Damage::Torn)??);
    if read.varint()? != CHUNK_FORMAT {
        return Err(Fault::Malformed);
    }
    let header = Header { covers: read.varint()?, newest: Timestamp::from_ms(read.signed()?) };
    Ok((header, frames))
}

/// Gives each series of `frames`, and how many bytes hold what was given before it, until one cannot be read.
pub(super) fn each(
    mut frames: Frames<'_>,
    mut take: impl FnMut(usize, Exported) -> Result<(), Fault>,
) -> Result<(), Fault> {
    loop {
        let position = MAGIC.len() + frames.position();
        let Some(frame) = frames.next() else { break };
        let mut read = Read(frame?);
        if read.is_empty() {
            return Ok(());
        }
        let mut texts: Vec<Arc<str>> = Vec::new();
        for _ in 0..read.count()? {
            texts.push(read.text()?.into());
        }
        for _ in 0..read.count()? {
            take(position, read_series(&mut read, &texts)?)?;
        }
    }
    // The frame that says that nothing is missing is missing.
    Err(Fault::Damaged(Damage::Torn))
}

fn read_series(read: &mut Read<'_>, texts: &[Arc<str>]) -> Result<Exported, Malformed> {
    let mut labels = Vec::new();
    for _ in 0..read.count()? {
        let mut text = || {
            let index = usize::try_from(read.varint()?).map_err(|_| Malformed)?;
            texts.get(index).cloned().ok_or(Malformed)
        };
        labels.push(Label { name: text()?, value: text()? });
    }
    let mut starts = Vec::new();
    for _ in 0..read.count()? {
        let from = Timestamp::from_ms(read.signed()?);
        starts.push((from, StartTime::new(Timestamp::from_ms(read.signed()?))));
    }
    let count = read.count()?;
    let mut sealed = Vec::with_capacity(count + 1);
    let mut before = Timestamp::EPOCH;
    for _ in 0..=count {
        let (piece, last) = read_piece(read, before)?;
        before = last;
        sealed.push(piece);
    }
    let open = sealed.pop().ok_or(Malformed)?;
    let labels = Labels::new(labels);
    Ok(Exported { series: SeriesRef(0), labels, sealed, open, starts, saved: Saved::NOTHING })
}

fn read_piece(read: &mut Read<'_>, before: Timestamp) -> Result<(Piece, Timestamp), Malformed> {
    match read.byte()? {
        FLOATS => {
            let first = Timestamp::from_ms(before.as_ms().wrapping_add(read.signed()?));
            let len = usize::from(read.byte()?);
            Ok((Piece::Floats { first, len, columns: read.bytes()?.to_vec() }, first))
        }
        HISTOGRAMS => {
            let mut samples = Vec::new();
            let mut at = before;
            for _ in 0..read.count()? {
                at = Timestamp::from_ms(at.as_ms().wrapping_add(read.signed()?));
                let Value::Histogram(histogram) = read.value()? else { return Err(Malformed) };
                samples.push((at, histogram));
            }
            Ok((Piece::Histograms(samples), at))
        }
        _ => Err(Malformed),
    }
}
