//! Files of OpenMetrics text with timestamps, plain or gzip, read block by block: a month of samples need not fit in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use rustc_hash::FxHashMap;

use super::imported::Imported;
use crate::exposition::{Entry, Format, Parser};
use crate::model::{Labels, Timestamp};
use crate::store::{Row, SeriesRef, Store};

/// First bytes of a gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Text that is parsed at once. A longer line is refused by the parser.
const BLOCK_BYTES: usize = 4 << 20;
/// Rows that are committed at once.
const ROWS_AT_ONCE: usize = 16 * 1024;
/// The line that ends a file.
const END: &[u8] = b"# EOF\n";
/// Begins the line that says what kind of metric the lines after it are.
const TYPE: &[u8] = b"# TYPE ";

/// Reads `path` into `store`, but for series that are not wanted. `progress` is told how much of the file has been read: 0 to 1.
pub(super) fn import(
    store: &Store,
    path: &Path,
    wants: &dyn Fn(&Labels) -> bool,
    progress: &mut dyn FnMut(f64),
) -> Result<Imported, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| named(&error))?;
    let length = file.metadata().map_or(0, |metadata| metadata.len()).max(1);
    let counted = Counted { inner: file, read: Arc::default() };
    let read = counted.read.clone();
    let mut told = || progress(read.load(Ordering::Relaxed) as f64 / length as f64);
    import_from(BufReader::with_capacity(1 << 16, counted), store, wants, &mut told).map_err(|error| named(&error))
}

fn import_from(
    mut reader: impl BufRead + 'static,
    store: &Store,
    wants: &dyn Fn(&Labels) -> bool,
    progress: &mut dyn FnMut(),
) -> Result<Imported, String> {
    let is_gzip = reader.fill_buf().map_err(|error| error.to_string())?.starts_with(&GZIP_MAGIC);
    let text: Box<dyn Read> = if is_gzip { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
    let mut blocks = Blocks { text, rest: Vec::new(), block: Vec::new(), family: Vec::new(), lines: 0, has_end: false };
    let mut import =
        Import { store, wants, known: FxHashMap::default(), rows: Vec::new(), imported: Imported::default() };
    while blocks.next().map_err(|error| error.to_string())? {
        import.read(&blocks.block, blocks.lines)?;
        blocks.done();
        progress();
    }
    import.commit();
    if !blocks.has_end {
        return Err("data does not end with # EOF: the file may have been cut".to_owned());
    }
    Ok(import.imported)
}

/// Counts what is read.
struct Counted {
    inner: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Cuts a text into blocks of whole lines, each of which is a text of its own: it begins with the type of the family that goes on and
/// ends as a whole text does.
struct Blocks {
    text: Box<dyn Read>,
    /// The beginning of a line.
    rest: Vec<u8>,
    block: Vec<u8>,
    /// The last line that told a type.
    family: Vec<u8>,
    /// Before the block, less the line that was added.
    lines: usize,
    has_end: bool,
}

impl Blocks {
    /// Makes the next block; `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        self.block.clear();
        self.block.extend_from_slice(&self.family);
        let own = self.block.len();
        self.block.append(&mut self.rest);
        let mut limited = self.text.by_ref().take(BLOCK_BYTES as u64);
        if limited.read_to_end(&mut self.block)? == 0 {
            if self.block.len() == own {
                return Ok(false);
            }
            // The last line may lack its end.
            self.block.push(b'\n');
        } else if let Some(end) = self.block[own..].iter().rposition(|byte| *byte == b'\n') {
            self.rest = self.block.split_off(own + end + 1);
        }
        self.has_end = self.block[own..].ends_with(END);
        if !self.has_end {
            self.block.extend_from_slice(END);
        }
        Ok(true)
    }

    /// Notes what the next block must know of this one.
    fn done(&mut self) {
        let added = usize::from(!self.family.is_empty()) + usize::from(!self.has_end);
        self.lines += self.block.iter().filter(|byte| **byte == b'\n').count() - added;
        let mut lines = self.block.split_inclusive(|byte| *byte == b'\n');
        if let Some(family) = lines.rfind(|line| line.starts_with(TYPE)) {
            self.family = family.to_vec();
        }
    }
}

struct Import<'a> {
    store: &'a Store,
    wants: &'a dyn Fn(&Labels) -> bool,
    /// By text; `None` is not wanted.
    known: FxHashMap<Box<[u8]>, Option<SeriesRef>>,
    rows: Vec<Row>,
    imported: Imported,
}

impl Import<'_> {
    /// `lines`: those before the block.
    fn read(&mut self, block: &[u8], lines: usize) -> Result<(), String> {
        let is_continued = lines > 0 && block.starts_with(TYPE);
        let mut parser = Parser::new(block, Format::OpenMetrics);
        // Files of history have a series' samples one after the other.
        let mut last: (&[u8], Option<SeriesRef>) = (&[], None);
        while let Some(entry) = parser.next_expecting(last.0) {
            let entry = entry.map_err(|mut error| {
                error.line = (error.line + lines).saturating_sub(usize::from(is_continued)).max(1);
                error.to_string()
            })?;
            let Entry::Series(series) = entry else { continue };
            if last.0 != series.text {
                last = (series.text, self.handle(&series));
            }
            let Some(at) = series.timestamp_ms else {
                return Err(format!("a sample of {} has no timestamp", String::from_utf8_lossy(series.text)));
            };
            let Some(handle) = last.1 else {
                self.imported.passed_over += 1;
                continue;
            };
            self.rows.push(Row::new(handle, Timestamp::from_ms(at), series.value));
            if self.rows.len() == ROWS_AT_ONCE {
                self.commit();
            }
        }
        Ok(())
    }

    fn handle(&mut self, series: &crate::exposition::Series<'_>) -> Option<SeriesRef> {
        if let Some(known) = self.known.get(series.text) {
            return *known;
        }
        let labels = Labels::from_pairs(series.labels().map(|pair| (pair.name, pair.value)));
        let handle = (self.wants)(&labels).then(|| self.store.series_ref(&labels));
        self.known.insert(series.text.into(), handle);
        handle
    }

    fn commit(&mut self) {
        self.imported.commit(self.store, &self.rows);
        self.rows.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::StoreOptions;

    /// Gives a byte at a time, so that every block but the last is as small as it can be.
    fn import_text(text: &str) -> Result<(Imported, Store), String> {
        let store = Store::new(StoreOptions { retention: Duration::MAX });
        let reader = io::Cursor::new(text.as_bytes().to_vec());
        import_from(reader, &store, &|labels| labels.metric_name() != "unwanted", &mut || ())
            .map(|found| (found, store))
    }

    #[test]
    fn blocks_are_cut_at_lines_and_keep_types_and_line_numbers() {
        let lines = 2 * BLOCK_BYTES / 40;
        let mut text = "# TYPE h histogram\n".to_owned();
        for second in 0..lines {
            text += &format!("h_bucket{{le=\"1\",x=\"some label value\"}} {second} {second}\n");
        }
        text += "unwanted 1 1\n# EOF\n";
        assert!(text.len() > 2 * BLOCK_BYTES);
        let (imported, store) = import_text(&text).unwrap();
        assert_eq!(imported, Imported { samples: lines, passed_over: 1, ..Imported::default() });
        assert_eq!(store.stats().series, 1, "the bound is read as a bound in every block");
        assert_eq!(store.label_values("le").first().map(|value| &**value), Some("1.0"));

        let broken = text.replace("unwanted 1 1", "unwanted one 1");
        let error = import_text(&broken).err().unwrap();
        assert!(error.contains(&format!("at line {}, ", lines + 2)), "{error}");
    }

    #[test]
    fn what_cannot_be_history_is_refused() {
        assert!(import_text("a 1 1\n").err().unwrap().contains("# EOF"));
        assert!(import_text("a 1 1").err().unwrap().contains("# EOF"));
        assert!(import_text("").err().unwrap().contains("# EOF"));
        assert!(import_text("a 1\n# EOF\n").err().unwrap().contains("a sample of a has no timestamp"));
        assert_eq!(import_text("a 1 2\na 1 1\na 1 3\n# EOF").unwrap().0.refused, 1);
    }
}
