//! Every mistake in a configuration, and in the files that it names, is found at its place: `fixtures/broken/config/*.yml` beside
//! what is said of each. `UPDATE_FIXTURES=1` writes the expectations anew; the difference is then reviewed as a change of behaviour.

use std::fs;
use std::path::PathBuf;

use almenara::config::Config;
use almenara::promql::Features;

/// Relative, as a user would write it; tests run at the root of the package.
const FOLDER: &str = "fixtures/broken/config";

/// What Prometheus accepts, and we with it; some of them with a warning.
const ACCEPTED: [&str; 3] = ["empty.yml", "only_comments.yml", "two_documents.yml"];

#[test]
fn says_what_is_wrong_and_where() {
    let mut files: Vec<PathBuf> = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    assert!(files.len() >= 20);
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let (config, diagnostics) = Config::load(&file, &|_| None, Features::DEFAULT);
        assert_eq!(config.is_none(), diagnostics.has_errors(), "{name}");
        assert_eq!(config.is_some(), ACCEPTED.contains(&name), "{name}: {diagnostics}");
        let said = if diagnostics.is_empty() { String::new() } else { format!("{diagnostics}\n") };
        assert!(!said.contains("s3cret"), "{name}: a secret is repeated");
        let unplaced: Vec<_> = diagnostics.iter().filter(|diagnostic| diagnostic.position().is_none()).collect();
        assert!(unplaced.is_empty(), "{name}: {unplaced:?}");
        let expectation = file.with_extension("expected");
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::write(&expectation, &said).unwrap();
        }
        let expected = fs::read_to_string(&expectation).unwrap_or_else(|error| format!("no expectation: {error}"));
        if said != expected {
            wrong.push(format!("--- {name}, expected:\n{expected}--- found:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
