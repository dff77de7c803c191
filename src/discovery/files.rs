//! Reading the files of file discovery.
//!
//! **Invariants.** [`FileSet::scan`] never forgets the groups of a file that is there but broken.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::config::{FileSdConfig, decode_group};
use super::{DiscoveryMetrics, META_FILEPATH, TargetGroup};
use crate::clock::Stopwatch;
use crate::source::decode::Decoder;
use crate::source::{Diagnostic, Diagnostics, SourceFile, yaml};

/// Bytes of one file: about a million targets. A wrong path (a log, a device) must not fill the memory.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// The files of some configurations and what was last read from each.
#[derive(Debug)]
pub(super) struct FileSet {
    patterns: Vec<PathBuf>,
    last_good: BTreeMap<PathBuf, Vec<TargetGroup>>,
}

impl FileSet {
    pub(super) fn new(configs: &[FileSdConfig]) -> Self {
        let patterns = configs.iter().flat_map(|config| config.files.clone()).collect();
        FileSet { patterns, last_good: BTreeMap::new() }
    }

    /// The directories in which files appear.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.patterns.iter().map(|pattern| match pattern.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        })
    }

    /// Reads all files again and gives the groups in order of path.
    pub(super) fn scan(&mut self, metrics: &DiscoveryMetrics) -> Vec<TargetGroup> {
        let stopwatch = Stopwatch::start();
        let mut groups = BTreeMap::new();
        for path in self.paths() {
            match read_groups(&path) {
                Ok(read) => {
                    groups.insert(path, read);
                }
                Err(diagnostics) => {
                    metrics.read_errors.fetch_add(1, Ordering::Relaxed);
                    for diagnostic in &diagnostics {
                        tracing::error!(error = %diagnostic, "target file cannot be used, its last good targets stay");
                    }
                    if let Some(last) = self.last_good.remove(&path) {
                        groups.insert(path, last);
                    }
                }
            }
        }
        self.last_good = groups;
        metrics.scan.record(stopwatch.elapsed());
        self.last_good.values().flatten().cloned().collect()
    }

    /// The files that are there now, without those named twice.
    fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for pattern in &self.patterns {
            match glob::glob(&go_pattern(&pattern.to_string_lossy())) {
                Ok(found) => paths.extend(found.filter_map(Result::ok)),
                Err(error) => tracing::error!(pattern = %pattern.display(), %error, "error expanding glob"),
            }
        }
        paths.sort();
        paths.dedup();
        paths
    }
}

/// `**` means directories to the library, and no more than `*` to Go.
fn go_pattern(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        if c != '*' || !out.ends_with('*') {
            out.push(c);
        }
    }
    out
}

fn read_groups(path: &Path) -> Result<Vec<TargetGroup>, Diagnostics> {
    let name = path.to_string_lossy();
    let fail = |reason: &str| {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(Diagnostic::error_without_place(format!("{name}: {reason}")));
        diagnostics
    };
    let text = read_text(path).map_err(|reason| fail(&reason))?;
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if is_json && text.trim().is_empty() {
        // No JSON, and most likely about to be written; an empty YAML file, however, is an empty list.
        return Err(fail("unexpected end of JSON input"));
    }
    // JSON may be indented by tabs, YAML not. No JSON string holds a bare tab, and positions stay as they are.
    let text = if is_json { text.replace('\t', " ") } else { text };
    parse_groups(&SourceFile::new(&*name, text))
}

fn read_text(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

pub(super) fn parse_groups(source: &SourceFile) -> Result<Vec<TargetGroup>, Diagnostics> {
    let (node, mut diagnostics) = yaml::parse(source);
    let Some(node) = node else { return Err(diagnostics) };
    let mut decoder = Decoder::new(source);
    let groups = decoder.list(&node, |decoder, node| {
        if node.is_null() {
            decoder.error(node.span, "a target group must not be empty");
            return None;
        }
        decode_group(decoder, node)
    });
    diagnostics.extend(decoder.finish());
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let mut groups = groups.unwrap_or_default();
    for (index, group) in groups.iter_mut().enumerate() {
        group.labels = group.labels.to_builder().set(META_FILEPATH, &*source.name).build();
        group.source = format!("{}:{index}", source.name);
    }
    Ok(groups)
}
