//! Every mistake in a router configuration is found at its place: `fixtures/broken/router/*.yml` beside what is said of each.
//! `UPDATE_FIXTURES=1` writes the expectations anew; the difference is then reviewed as a change of behaviour.

use std::fs;
use std::path::{Path, PathBuf};

use almenara::cmd::check_router;
use almenara::source::SourceFile;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/broken/router");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    files
}

#[test]
fn says_what_is_wrong_and_where() {
    let files = fixtures();
    assert!(files.len() >= 12);
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let (config, diagnostics) = check_router::check(&SourceFile::new(name, fs::read_to_string(&file).unwrap()));
        assert!(config.is_none() && diagnostics.has_errors(), "{name} is accepted");
        let said = format!("{diagnostics}\n");
        assert!(!said.contains("s3cret"), "{name}: a secret is repeated");
        let expectation = file.with_extension("expected");
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::write(&expectation, &said).unwrap();
        }
        let expected = fs::read_to_string(&expectation).unwrap_or_default();
        if said != expected {
            wrong.push(format!("--- {name}, expected:\n{expected}--- found:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_command_answers_for_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.yml");
    let text = "route: {receiver: a, routes: [{matchers: [x=y]}]}\nreceivers: [{name: a, webhook_configs: [{url: \
                'http://h/'}]}, {name: b}]\ninhibit_rules: [{source_matchers: [a=b], target_matchers: [c=d]}]\n";
    fs::write(&good, text).unwrap();
    let run = |files: &[PathBuf]| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check_router::run(files, &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let summary = format!(
        "Checking {}  SUCCESS\n  2 routes\n  2 receivers with 1 integration\n  1 inhibit rule\n",
        good.display()
    );
    assert_eq!(run(std::slice::from_ref(&good)), (0, summary.clone(), String::new()));
    let missing = folder.path().join("missing.yml");
    let (code, out, err) = run(&[missing.clone(), good]);
    assert_eq!(code, 1);
    assert_eq!(out, format!("Checking {}  FAILED\n{summary}", missing.display()));
    assert!(err.starts_with(&format!("cannot read {}", missing.display())), "{err}");
}
