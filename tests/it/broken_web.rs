//! Every mistake in a web configuration is found at its place: `fixtures/broken/web/*.yml` beside what is said of each.
//! `UPDATE_FIXTURES=1` writes the expectations anew; the difference is then reviewed as a change of behaviour.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use almenara::serve::WebConfig;

use crate::peers::peer;

/// Relative, as a user would write it; tests run at the root of the package.
const FOLDER: &str = "fixtures/broken/web";

/// What Prometheus accepts, and we with it.
const ACCEPTED: [&str; 1] = ["empty.yml"];

#[test]
fn says_what_is_wrong_and_where() {
    let mut files: Vec<PathBuf> = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    assert!(files.len() >= 12);
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let (config, diagnostics) = WebConfig::load(&file);
        assert_eq!(config.is_none(), diagnostics.has_errors(), "{name}");
        assert_eq!(config.is_some(), ACCEPTED.contains(&name), "{name}: {diagnostics}");
        let said = if diagnostics.is_empty() { String::new() } else { format!("{diagnostics}\n") };
        assert!(!said.contains("s3cret"), "{name}: a secret is repeated: {said}");
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

/// Prometheus's own check takes and refuses the same files.
#[test]
fn promtool_refuses_the_same_files() {
    let Some(promtool) = peer("promtool") else { return };
    for file in fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "yml") {
            let checked = Command::new(&promtool).args(["check", "web-config"]).arg(&file).output().expect("run");
            let is_accepted = ACCEPTED.contains(&file.file_name().unwrap().to_str().unwrap());
            assert_eq!(checked.status.success(), is_accepted, "{}", file.display());
        }
    }
}
