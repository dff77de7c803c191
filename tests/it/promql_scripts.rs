//! Runs the scripts under `fixtures/promql`: values, order, errors, warnings and infos of PromQL.
//!
//! The expected values were computed by Prometheus 3.5; where 3.14 differs, by its documentation and sources.

use std::fs;
use std::path::Path;

use almenara::source::SourceFile;
use almenara::unittest::promqltest;

/// Fewer evaluations than this mean that scripts were not found.
const EVALUATIONS_MIN: usize = 200;

#[test]
fn scripts_pass() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/promql");
    let mut paths: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "test"));
    paths.sort();
    let mut passed = 0;
    let mut failures = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let report = promqltest::run(&SourceFile::new(name.clone(), fs::read_to_string(&path).unwrap()));
        passed += report.passed;
        failures
            .extend(report.failures.into_iter().map(|failure| format!("{name}:{}: {}", failure.line, failure.message)));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(passed >= EVALUATIONS_MIN, "only {passed} evaluations");
}
