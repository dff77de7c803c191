//! Files of sealed samples: what a store had that no earlier segment has.
//!
//! ```text
//! magic
//! frame: format, the last log it covers, the newest time, for how long series are kept at most that are left out
//! frame: texts …  series …                         again and again, up to about 1 MiB each
//!   series: pairs of numbers of texts, changes of start time, sample before, sealed pieces, open piece
//!   piece:  0  distance of its first time to the piece before, samples, columns
//!           1  samples: distance of times, histogram …
//!           2  as 0, facts before the columns: live samples if bit 2 is set; as many resets as bits 3 to 5 say, with the number of the
//!              later sample and the value before; bit 6 if there are more
//! frame: end
//! ```
//!
//! **Invariants.** A segment is written under another name, synchronised, and then given its own: one that bears its name is whole, or
//! was damaged later. The newest samples of a series, its open run, may stand in several segments; those of a later one replace them.
//! **Cost.** Columns as in memory and about 6 bytes a piece; a label text once a frame. Reading back copies columns, and reads none.
//! **Formats.** 1 has no facts and no sample before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::frame::{self, Damage, Frames};
use crate::model::wire::{Malformed, Read, Write};
use crate::model::{Label, Labels, StartTime, Timestamp, Value};
use crate::store::{CHUNK_FORMAT, Exported, Facts, Piece, RunResets, Saved, SeriesRef};

/// First bytes of a segment.
pub(super) const MAGIC: &[u8; 8] = b"ALMSEG1\n";

/// Enough bytes of a file to read its header.
pub(super) const HEADER_LEN_MAX: usize = 64;

/// A frame is closed when it is this long. Damage costs frames, and texts are told once in each.
const FRAME_LEN_AIM: usize = 1 << 20;

const FLOATS: u8 = 0;
const HISTOGRAMS: u8 = 1;
const KNOWN_FLOATS: u8 = 2;
/// Of the first byte of a piece.
const KIND_MASK: u8 = 0b11;
const HAS_STALE: u8 = 1 << 2;
const RESETS_SHIFT: u32 = 3;
const RESETS_MAX: usize = 0b111;
const MANY_RESETS: u8 = 1 << 6;

/// The format without facts.
const FORMAT_WITHOUT_FACTS: u64 = 1;
/// The format that is written. It names that of columns, too.
pub(super) const FORMAT: u64 = CHUNK_FORMAT + 1;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// See the module head.
    pub(super) format: u64,
    /// All records of this log and those before it are in this segment or an earlier one.
    pub(super) covers: u64,
    /// No sample is newer.
    pub(super) newest: Timestamp,
    /// It was written again without the series that are kept for no longer than this.
    pub(super) thinned: Duration,
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
        out.varint(u64::from(exported.follows.is_some()));
        exported.follows.into_iter().for_each(|at| out.signed(at.as_ms()));
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
            out.varint(FORMAT);
            out.varint(header.covers);
            out.signed(header.newest.as_ms());
            out.varint(u64::try_from(header.thinned.as_millis()).unwrap_or(u64::MAX));
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
        Piece::Floats { first, len, columns, facts } => {
            out.push(facts.as_ref().map_or(FLOATS, |facts| kind_of(facts, *len)));
            out.signed(first.as_ms().wrapping_sub(before.as_ms()));
            out.push(*len as u8);
            if let Some(facts) = facts {
                write_facts(out, facts, *len);
            }
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

/// The first byte of a piece with facts.
fn kind_of(facts: &Facts, len: usize) -> u8 {
    let stale = if facts.live < len { HAS_STALE } else { 0 };
    let resets = match &facts.resets {
        RunResets::Few(few) => {
            assert!(few.len() <= RESETS_MAX, "BUG: {} resets of one run are noted", few.len());
            (few.len() as u8) << RESETS_SHIFT
        }
        RunResets::Many => MANY_RESETS,
    };
    KNOWN_FLOATS | stale | resets
}

fn write_facts(out: &mut Vec<u8>, facts: &Facts, len: usize) {
    if facts.live < len {
        out.push(facts.live as u8);
    }
    if let RunResets::Few(few) = &facts.resets {
        for (index, before) in few {
            out.push(*index);
            out.float(*before);
        }
    }
}

fn read_facts(read: &mut Read<'_>, kind: u8, len: usize) -> Result<Facts, Malformed> {
    let live = if kind & HAS_STALE > 0 { usize::from(read.byte()?) } else { len };
    if kind & MANY_RESETS > 0 {
        return Ok(Facts { live, resets: RunResets::Many });
    }
    let count = usize::from(kind >> RESETS_SHIFT) & RESETS_MAX;
    let mut few = Vec::with_capacity(count);
    for _ in 0..count {
        few.push((read.byte()?, read.float()?));
    }
    Ok(Facts { live, resets: RunResets::Few(few) })
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
    let format = read.varint()?;
    if ![FORMAT_WITHOUT_FACTS, FORMAT].contains(&format) {
        return Err(Fault::Malformed);
    }
    let (covers, newest) = (read.varint()?, Timestamp::from_ms(read.signed()?));
    // Earlier versions do not say it.
    let thinned = if read.is_empty() { Duration::ZERO } else { Duration::from_millis(read.varint()?) };
    Ok((Header { format, covers, newest, thinned }, frames))
}

/// Gives each series of `frames`, and how many bytes hold what was given before it, until one cannot be read.
pub(super) fn each(
    format: u64,
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
            take(position, read_series(format, &mut read, &texts)?)?;
        }
    }
    // The frame that says that nothing is missing is missing.
    Err(Fault::Damaged(Damage::Torn))
}

fn read_series(format: u64, read: &mut Read<'_>, texts: &[Arc<str>]) -> Result<Exported, Malformed> {
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
    let follows = match format {
        FORMAT_WITHOUT_FACTS => None,
        _ if read.varint()? == 0 => None,
        _ => Some(Timestamp::from_ms(read.signed()?)),
    };
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
    Ok(Exported { series: SeriesRef(0), labels, sealed, open, starts, follows, saved: Saved::NOTHING })
}

fn read_piece(read: &mut Read<'_>, before: Timestamp) -> Result<(Piece, Timestamp), Malformed> {
    let kind = read.byte()?;
    match kind & KIND_MASK {
        FLOATS | KNOWN_FLOATS => {
            let first = Timestamp::from_ms(before.as_ms().wrapping_add(read.signed()?));
            let len = usize::from(read.byte()?);
            let facts = (kind & KIND_MASK == KNOWN_FLOATS).then(|| read_facts(read, kind, len)).transpose()?;
            Ok((Piece::Floats { first, len, columns: read.bytes()?.to_vec(), facts }, first))
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
