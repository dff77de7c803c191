//! Holds the shape of the source: which module may name which, what the pure ones may not touch, how long a file may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules in reading order and what each may name, as DESIGN has it. `*pure*` modules come first.
const CORE: &[&str] =
    &["model", "source", "exposition", "relabel", "store", "promql", "template", "rules", "slo", "router"];

const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("source", &[]),
    ("exposition", &["model"]),
    ("relabel", &["model", "source"]),
    ("store", &["model"]),
    ("promql", &["model", "source", "store"]),
    ("template", &["model", "source"]),
    ("rules", &["model", "source", "store", "promql", "template"]),
    // `exposition`: a backtest reads recorded samples.
    ("slo", &["model", "source", "exposition", "store", "promql", "template", "rules"]),
    ("router", &["model", "source", "template", "relabel"]),
    ("backtest", CORE),
    ("unittest", CORE),
    // `exposition` is pure: the clock's latencies are handed out as metric families.
    ("clock", &["model", "source", "exposition"]),
    ("disk", &["model", "store"]),
    ("http", &["model", "source", "clock"]),
];

/// What no pure module may touch: files, network, environment, threads, clocks, the runtime, the log.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "SystemTime",
    "Instant::now",
    "tokio",
    "reqwest",
    "hyper::",
    "axum",
    "tracing::",
    "Timestamp::now",
    "Zoned::now",
    "println!",
    "eprintln!",
];

/// Names that say nothing about what a file holds.
const NAMELESS: &[&str] = &["types.rs", "utils.rs", "util.rs", "helpers.rs", "common.rs", "misc.rs"];

/// Lines of a source file without its tests.
const LINES_MAX: usize = 800;

/// Longer files, each with its reason.
const LONG: &[(&str, &str)] = &[];

#[test]
fn modules_name_only_what_lies_below() {
    let order = module_order();
    let mut wrong = Vec::new();
    for (position, module) in order.iter().enumerate() {
        let below: Vec<&str> = match ALLOWED.iter().find(|(name, _)| name == module) {
            Some((_, allowed)) => allowed.to_vec(),
            None => order[..position].iter().map(String::as_str).collect(),
        };
        for file in sources(module) {
            for named in named_modules(&code_of(&file)) {
                if named != *module && order.contains(&named) && !below.contains(&named.as_str()) {
                    wrong.push(format!("{}: `{module}` names `{named}`", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for module in CORE {
        for file in sources(module) {
            let code = code_of(&file);
            wrong.extend(
                IMPURE.iter().filter(|word| code.contains(*word)).map(|word| format!("{}: {word}", file.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_clock_reads_the_clock() {
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")) {
        let code = code_of(&file);
        let reads = ["SystemTime::now", "Timestamp::now()", "Zoned::now"].iter().any(|word| code.contains(word));
        if reads && !file.starts_with(root().join("src/clock")) {
            wrong.push(file.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short_and_named_for_what_they_hold() {
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")).into_iter().chain(rust_files(&root().join("tests"))) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if NAMELESS.contains(&name.as_str()) {
            wrong.push(format!("{}: name it for what it holds", file.display()));
        }
        let excused = LONG.iter().any(|(path, _)| file.ends_with(path));
        let lines = code_of(&file).lines().count();
        if lines > LINES_MAX && !excused && name != "tests.rs" {
            wrong.push(format!("{}: {lines} lines; look for the second idea in it", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<String> = rust_files(&root().join("src"))
        .into_iter()
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//!"))
        .map(|file| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "without a head: {}", silent.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The `pub mod` lines of `src/lib.rs`.
fn module_order() -> Vec<String> {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

fn sources(module: &str) -> Vec<PathBuf> {
    rust_files(&root().join("src").join(module))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file without comments and without its tests.
fn code_of(file: &Path) -> String {
    if file.file_name().is_some_and(|name| name == "tests.rs")
        || file.components().any(|part| part.as_os_str() == "tests") && !file.starts_with(root().join("tests"))
    {
        return String::new();
    }
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// `X` of every `crate::X`, also of `crate::{X, …}`.
fn named_modules(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let mut named = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => named.insert(word(after)),
            Some(list) => {
                let mut depth = 1;
                let mut item = String::new();
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 1 => {
                            named.insert(word(item.trim()));
                            item.clear();
                            continue;
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                    item.push(c);
                }
                named.insert(word(item.trim()))
            }
        };
    }
    named
}
