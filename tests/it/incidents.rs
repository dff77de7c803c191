//! The incidents under `fixtures/`: each system's configuration, rules, SLOs and router, played under a virtual clock.

use std::path::Path;
use std::process::Command;

#[test]
fn everybody_is_told_what_and_when() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for system in ["aurora-stack", "conecta360", "eterna", "mini-market", "novatech"] {
        let output = Command::new(env!("CARGO_BIN_EXE_almenara"))
            .args(["test", "e2e"])
            .arg(fixtures.join(system).join("incident.yml"))
            .output()
            .expect("almenara runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{system}:\n{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.ends_with("1 passed, 0 failed\n"), "{text}");
    }
}

/// A wrong expectation fails, and the difference says what was told instead.
#[test]
fn a_wrong_expectation_fails() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mini-market");
    let folder = tempfile::tempdir().expect("folder");
    for part in ["almenara.yml", "alertmanager.yml", "rules/mini_market.yml", "slo/dashboard.yml"] {
        let to = folder.path().join(part);
        std::fs::create_dir_all(to.parent().expect("parent")).expect("folder");
        std::fs::copy(fixtures.join(part), to).expect("copy");
    }
    let incident = std::fs::read_to_string(fixtures.join("incident.yml")).expect("fixture");
    let wrong = incident.replacen("to: slack-emergencies", "to: nobody", 1);
    assert_ne!(wrong, incident);
    std::fs::write(folder.path().join("incident.yml"), wrong).expect("write");
    let output = Command::new(env!("CARGO_BIN_EXE_almenara"))
        .args(["test", "e2e"])
        .arg(folder.path().join("incident.yml"))
        .output()
        .expect("almenara runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("expected, but not told:\n  - at: 21m\n    to: nobody"), "{text}");
    assert!(text.contains("told, but not expected:\n  - at: 21m\n    to: slack-emergencies"), "{text}");
}
