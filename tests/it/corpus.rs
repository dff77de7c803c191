//! Expressions that people wrote: those of our own rules, fixtures and scripts, and of the collections beside the project where they
//! are there (`../shared`, or the folder that `ALMENARA_SHARED` names).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file with expressions.
pub(crate) struct CorpusFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// In file order.
    pub(crate) expressions: Vec<String>,
}

/// All files with expressions, in order of path.
pub(crate) fn files() -> Vec<CorpusFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("ALMENARA_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let folders = [
        root.join("rules"),
        root.join("fixtures"),
        shared.join("corpus/mixins"),
        shared.join("conformance/promqltest"),
    ];
    let mut paths = BTreeSet::new();
    folders.iter().for_each(|folder| walk(folder, &mut paths));
    let files: Vec<CorpusFile> = paths.into_iter().filter_map(read).collect();
    assert!(files.len() > 20, "only {} files with expressions", files.len());
    files
}

/// Every expression once, in order of text.
pub(crate) fn expressions() -> Vec<String> {
    let all: BTreeSet<String> = files().into_iter().flat_map(|file| file.expressions).collect();
    all.into_iter().collect()
}

fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.insert(path);
        }
    }
}

fn read(path: PathBuf) -> Option<CorpusFile> {
    let text = match path.extension()?.to_str()? {
        "yml" | "yaml" | "test" => fs::read_to_string(&path).ok()?,
        _ => return None,
    };
    let expressions = match path.extension()?.to_str()? {
        "test" => of_script(&text),
        _ => of_rules(&text),
    };
    (!expressions.is_empty()).then_some(CorpusFile { path, text, expressions })
}

/// The values of all keys `expr`, whatever stands around them.
fn of_rules(text: &str) -> Vec<String> {
    fn collect(value: &serde_yaml::Value, found: &mut Vec<String>) {
        match value {
            serde_yaml::Value::Sequence(items) => items.iter().for_each(|item| collect(item, found)),
            serde_yaml::Value::Mapping(pairs) => {
                for (key, value) in pairs {
                    match (key.as_str(), value.as_str()) {
                        (Some("expr"), Some(expr)) => found.push(expr.to_owned()),
                        _ => collect(value, found),
                    }
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_yaml::from_str(text) {
        collect(&value, &mut found);
    }
    found
}

/// The queries of a script in Prometheus's `promqltest` language: what follows the times of an `eval` line.
fn of_script(text: &str) -> Vec<String> {
    let eval = regex::Regex::new(
        r"^eval(?:_\w+)?\s+(?:instant\s+(?:at\s+\S+\s+)?|range\s+from\s+\S+\s+to\s+\S+\s+step\s+\S+\s+)(.*)$",
    )
    .expect("a valid pattern");
    text.lines().filter_map(|line| Some(eval.captures(line.trim())?[1].to_owned())).collect()
}
