//! A start that cannot succeed says why, all of it, and exits with 1; and the checks answer as promtool does.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use super::process::{Running, almenara};
use crate::peers::peer;

/// Exit code and output of a start that ends by itself.
fn start(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut running = Running::start(almenara().arg("serve").args(arguments).current_dir(folder), &folder.join("log"));
    (running.wait(), running.output())
}

fn check(files: &[(&str, &str)], arguments: &[&str], expected: &[&str]) {
    let folder = tempfile::tempdir().expect("folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("write");
    }
    let (code, said) = start(folder.path(), arguments);
    assert_eq!(code, Some(1), "{arguments:?}: {said}");
    for text in expected {
        assert!(said.contains(text), "{arguments:?}: {text:?} is not in {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

const ANYWHERE: &str = "--web.listen-address=127.0.0.1:0";

#[test]
fn every_mistake_is_said() {
    let broken = "globl: {}\nrule_files: [rules.yml, none.yml]\nscrape_configs: [{job_name: a, scrape_interval: 1x}]\n";
    let rules = "groups: [{name: g, rules: [{record: \"a:b\", expr: \"sum(m\"}]}]\n";
    let expected = [
        "almenara.yml:1:1: unknown key",
        "almenara.yml:2:25: \"none.yml\" does not point",
        "almenara.yml:3:49: ",
        "rules.yml:1:56: ",
    ];
    check(&[("almenara.yml", broken), ("rules.yml", rules)], &[ANYWHERE, "--config.file=almenara.yml"], &expected);
    check(&[], &[ANYWHERE, "--config.file=none.yml"], &["cannot read none.yml: No such file"]);
}

#[test]
fn flags_and_addresses_that_cannot_be_used() {
    check(&[], &["--web.listen-adress=127.0.0.1:0"], &["--web.listen-adress", "--web.listen-address"]);
    check(&[], &[ANYWHERE, "--web.config.file=web.yml"], &["cannot read web.yml: No such file"]);
    check(
        &[],
        &[ANYWHERE, "--query.timeout=5", "--query.max-samples=few"],
        &["flag --query.timeout: ", "flag --query.max-samples: "],
    );
    check(&[], &[ANYWHERE, "--log.level=loud"], &["loud", "debug, info, warn, error"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("address").to_string();
    let expected = format!("cannot listen on {address}: Address already in use");
    check(&[], &[&format!("--web.listen-address={address}")], &[&expected]);
    check(&[], &["--web.listen-address=nowhere"], &["cannot listen on nowhere: "]);
}

#[test]
fn every_mistake_of_the_web_configuration_is_said() {
    let broken = "tls_server_config: {cert_file: a.crt, min_version: TLS9}\nbasic_auth_users: {alice: pa55word}\n";
    let expected = [
        "web.yml:1:52: unknown TLS version: TLS9",
        "web.yml:1:20: missing one of key or key_file",
        "web.yml:2:27: the password of user \"alice\" is not a bcrypt hash",
    ];
    check(&[("web.yml", broken)], &[ANYWHERE, "--web.config.file=web.yml"], &expected);
    let users = "basic_auth_users: {alice: $2y$04$......................eKNmjzXHSPlm9rTkhnAdAg.dqGHxNSK}\n";
    let expected = ["demands that callers authenticate", "give a --config.file"];
    check(&[("web.yml", users)], &[ANYWHERE, "--web.config.file=web.yml"], &expected);
}

/// Same lines on the same streams, same exit code.
#[test]
fn a_good_configuration_is_checked_as_promtool_does() {
    let Some(promtool) = peer("promtool") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let rules = "groups: [{name: a, rules: [{record: \"a:b\", expr: up}, {record: \"a:c\", expr: up}]}]\n";
    for (name, text) in [
        ("rules.yml", rules),
        ("more.yml", &rules.replace("a:", "b:")),
        ("good.yml", "global: {scrape_interval: 15s}\nrule_files: [rules.yml, more.yml]\n"),
        ("plain.yml", "scrape_configs: [{job_name: a, static_configs: [{targets: [\"h:1\"]}]}]\n"),
        ("empty.yml", ""),
        ("bad.yml", "global: {scrape_interval: 15}\n"),
    ] {
        fs::write(folder.path().join(name), text).expect("write");
    }
    let run = |mut command: std::process::Command, files: &[&str]| -> Output {
        command.current_dir(folder.path()).args(["check", "config"]).args(files).output().expect("run")
    };
    for files in [&["good.yml"][..], &["plain.yml"], &["empty.yml"], &["plain.yml", "good.yml", "empty.yml"]] {
        let (ours, theirs) = (run(almenara(), files), run(std::process::Command::new(&promtool), files));
        assert_eq!(ours, theirs, "{files:?}");
    }
    let files = ["plain.yml", "bad.yml", "good.yml"];
    let (ours, theirs) = (run(almenara(), &files), run(std::process::Command::new(&promtool), &files));
    assert_eq!((ours.status, ours.stdout), (theirs.status, theirs.stdout));
    let said = String::from_utf8_lossy(&ours.stderr);
    assert!(
        said.starts_with("  FAILED:") && said.contains("bad.yml:1:27: not a valid duration string: \"15\""),
        "{said}"
    );
}
