//! The rules that we ship about ourselves: each alert of `rules/almenara.yml` fires and ends in a timeline of
//! `fixtures/own-rules`, at the minute that the timeline says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn timelines() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/own-rules");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| !file.ends_with("almenara.yml") && !file.ends_with("alertmanager.yml"));
    files.sort();
    files
}

fn run(arguments: &[&str], files: &[PathBuf]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_almenara")).args(arguments).args(files).output().expect("almenara runs");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{text}");
    text
}

fn yaml(file: &Path) -> Value {
    serde_yaml::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn each_timeline_goes_as_written() {
    let files = timelines();
    let text = run(&["test", "e2e"], &files);
    assert!(text.ends_with(&format!("{} passed, 0 failed\n", files.len())), "{text}");
}

#[test]
fn every_alert_has_a_timeline_in_which_it_fires_and_ends() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/almenara.yml");
    run(&["check", "rules"], std::slice::from_ref(&rules));
    let groups = yaml(&rules);
    let rules = groups["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let alerts: BTreeSet<String> = rules.filter_map(|rule| rule["alert"].as_str().map(str::to_owned)).collect();
    let told = |key: &str| {
        let mut names = BTreeSet::new();
        for file in timelines() {
            for message in yaml(&file)["expect"].as_array().unwrap() {
                let list = message[key].as_array().cloned().unwrap_or_default();
                names.extend(list.iter().map(|alert| alert.as_str().unwrap().split('{').next().unwrap().to_owned()));
            }
        }
        names
    };
    assert!(alerts.len() >= 9);
    assert_eq!(told("firing"), alerts);
    assert_eq!(told("resolved"), alerts);
}
