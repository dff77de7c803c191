//! What else may happen while alerts live: a clock that jumps, a disk that is full, receivers that hang while we are killed.

use std::fs;
use std::time::Duration;

use super::continuity::{STEADY, Stage, assert_steady, told};
use super::deployment::bears_limits;
use super::process::wait_for;
use super::server::Behaviour;
use crate::peers::peer_library;

const HOUR_SECS: i64 = 3600;

/// Names and last slots of the rules, as `/rules/outcomes` has them: (name, slots).
fn slots(stage: &Stage) -> Vec<(String, Vec<String>)> {
    let data = stage.deployment.data("/api/almenara/v1/rules/outcomes");
    let groups = data["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    rules
        .map(|rule| {
            let outcomes = rule["outcomes"].as_array().expect("outcomes").iter();
            (text(&rule["name"]), outcomes.map(|outcome| text(&outcome["at"])).collect())
        })
        .collect()
}

/// The clock goes an hour forth, an hour back, and forth again, as one does that was set wrongly.
#[test]
fn a_clock_that_jumps_is_invisible() {
    let Some(library) = peer_library("faketime/libfaketimeMT.so.1") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let (next, file) = (folder.path().join("next"), folder.path().join("clock"));
    let set = |hours: i64| {
        // Nobody must read half a file.
        fs::write(&next, format!("{:+}\n", hours * HOUR_SECS)).expect("write");
        fs::rename(&next, &file).expect("rename");
    };
    set(0);
    let set_in = |name: &str, value: &str| format!("{name}={value}");
    let under = [
        "env".to_owned(),
        set_in("LD_PRELOAD", &library.display().to_string()),
        set_in("FAKETIME_TIMESTAMP_FILE", &file.display().to_string()),
        set_in("FAKETIME_NO_CACHE", "1"),
        set_in("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let stage = Stage::start_under(&under);
    // What was waited stays waited, and what nobody saw of an hour does not count; so what waits is active since later.
    let states = || {
        let mut states = stage.lasting();
        states.get_mut("Waits").expect("it waits").1.clear();
        states
    };
    let before = states();
    let behind = || stage.deployment.metric("almenara_clock_behind_seconds");
    let passes = || {
        let before = slots(&stage);
        wait_for("groups are evaluated", || {
            let now = slots(&stage);
            now.iter().zip(&before).all(|(now, before)| now.1.last() > before.1.last()).then_some(())
        });
    };
    let said = |text: &str| stage.deployment.daemon.output().matches(text).count();
    let count = || stage.alertmanager.received_from(0).len();
    passes();
    assert_eq!(behind(), 0.0);

    set(1);
    wait_for("it is an hour later", || {
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(30);
        (slots(&stage)[0].1.last()? > &later.to_string()).then_some(())
    });
    passes();
    assert_eq!(states(), before, "after an hour that never was");

    set(0);
    wait_for("the step back is seen", || (behind() > 3500.0).then_some(()));
    let (seen, told_before) = (slots(&stage), count());
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(slots(&stage), seen, "evaluated while the clock is behind");
    assert_eq!(count(), told_before, "told while the clock is behind");
    assert_eq!(said("the clock has been set back"), 1);
    assert_eq!(states(), before, "while the clock is behind");

    set(1);
    passes();
    assert_eq!(states(), before, "after the clock is right again");
    assert_eq!((behind(), said("the clock has reached the last evaluation again")), (0.0, 1));
    for (name, slots) in slots(&stage) {
        assert!(slots.is_sorted_by(|a, b| a < b), "{name} is evaluated twice at a slot: {slots:?}");
    }
    let all = told(&stage.alertmanager.received_from(0));
    for name in STEADY {
        let told = &all[name];
        assert!(told.iter().all(|one| one.starts_at == told[0].starts_at), "{name} begins anew");
        // An end would be told with the instant of a slot, which lies before that until which it was last believed.
        assert!(told.is_sorted_by_key(|one| one.ends_at_ms), "{name} was resolved");
        assert!(told.last().expect("told").ends_at_ms - told[0].ends_at_ms > HOUR_SECS * 1000, "{name} was told anew");
    }
    for post in stage.receiver.received() {
        assert!(!post.contains("\"status\":\"resolved\""), "{post}");
    }
}

fn wait_until_healthy(stage: &Stage, healthy: f64) {
    wait_for("the disk is known", || (stage.deployment.metric("almenara_storage_healthy") == healthy).then_some(()));
}

fn kill_and_start(stage: &mut Stage) {
    stage.deployment.daemon.signal("KILL");
    assert_eq!(stage.deployment.daemon.wait(), Some(-1));
    stage.deployment.start_again();
}

fn wait_until_told(stage: &Stage, name: &str, fires: bool) {
    wait_for("an Alertmanager is told", || {
        let told = told(&stage.alertmanager.received_from(0));
        let last = told.get(name)?.last()?;
        ((last.ends_at_ms > last.at_ms) == fires).then_some(())
    });
}

#[test]
fn a_full_disk_forgets_no_alert() {
    let mut stage = Stage::start_under(&bears_limits());
    let before = stage.lasting();
    stage.deployment.limit_files("0");
    wait_until_healthy(&stage, 0.0);
    // What begins meanwhile is told, and stored once there is room.
    stage.serve(0, 1);
    wait_until_told(&stage, "Comes", true);
    let comes = stage.states()["Comes"].clone();
    assert_eq!(stage.lasting(), before, "while the disk is full");
    stage.deployment.limit_files("unlimited");
    wait_until_healthy(&stage, 1.0);
    kill_and_start(&mut stage);
    assert_eq!(stage.states().get("Comes"), Some(&comes), "what began while the disk was full");
    assert_eq!(stage.lasting(), before, "after there was room again");
    // Killed while the disk is full: what was stored before goes on.
    stage.deployment.limit_files("0");
    wait_until_healthy(&stage, 0.0);
    stage.serve(0, 0);
    wait_until_told(&stage, "Comes", false);
    kill_and_start(&mut stage);
    assert_eq!(stage.lasting(), before, "killed while the disk was full");
    wait_until_told(&stage, "Comes", false);
    assert_steady(&stage);
}

#[test]
fn receivers_that_hang_across_a_kill_are_told() {
    let mut stage = Stage::start_under(&[]);
    let before = stage.lasting();
    for server in [&stage.alertmanager, &stage.receiver] {
        server.behave(Behaviour::Hangs);
    }
    stage.serve(0, 1);
    wait_for("it comes", || stage.states().contains_key("Comes").then_some(()));
    // The message is under way.
    std::thread::sleep(Duration::from_secs(2));
    kill_and_start(&mut stage);
    assert_eq!(stage.lasting(), before, "receivers that hang are in nobody's way");
    let count = stage.alertmanager.received_from(0).len();
    for server in [&stage.alertmanager, &stage.receiver] {
        server.behave(Behaviour::Answers(""));
    }
    wait_until_told(&stage, "Comes", true);
    let first = stage.alertmanager.received_from(count).into_iter().next().expect("told");
    assert!(STEADY.iter().all(|name| told(std::slice::from_ref(&first)).contains_key(*name)), "{}", first.body);
    wait_for("the receiver is told", || {
        let is_about = |post: &String| post.contains("\"groupLabels\":{\"alertname\":\"Comes\"}");
        stage.receiver.received().iter().any(is_about).then_some(())
    });
    // What ends while they hang is told as well, though the process has ended in between.
    for server in [&stage.alertmanager, &stage.receiver] {
        server.behave(Behaviour::Hangs);
    }
    stage.serve(0, 0);
    wait_for("it goes", || (!stage.states().contains_key("Comes")).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    kill_and_start(&mut stage);
    for server in [&stage.alertmanager, &stage.receiver] {
        server.behave(Behaviour::Answers(""));
    }
    wait_until_told(&stage, "Comes", false);
    wait_for("the receiver knows the end", || {
        let is_end = |post: &String| {
            post.contains("\"groupLabels\":{\"alertname\":\"Comes\"}") && post.contains("\"status\":\"resolved\"")
        };
        stage.receiver.received().iter().any(is_end).then_some(())
    });
    assert_eq!(stage.lasting(), before);
}
