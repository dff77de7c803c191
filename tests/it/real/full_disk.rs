//! A disk that takes no more: evaluation goes on from memory, everybody is told, and when there is room again nothing is missing on it.

use super::deployment::Deployment;
use super::process::wait_for;
use super::server::{Behaviour, Server};

const PROBLEM: &str = "Samples do not reach the disk";

const RULES: &str = "groups: [{name: g, rules: [{record: recorded, expr: count(m)}]}]\n";

fn start(target: &Server, file_len_max: u64) -> Deployment {
    let configuration = format!(
        "global: {{evaluation_interval: 100ms}}\nrule_files: [rules.yml]\nscrape_configs:\n- job_name: a\n  scrape_interval: 20ms\n  \
         scrape_timeout: 20ms\n  static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        target.port
    );
    Deployment::start_on_small_disk(&[("almenara.yml", &configuration), ("rules.yml", RULES)], file_len_max)
}

/// The times of the samples of a series, as written.
fn times(deployment: &Deployment, name: &str) -> Vec<String> {
    let data = deployment.data(&format!("/api/v1/query?query={name}%5B1h%5D"));
    let values = data["result"][0]["values"].as_array().cloned().unwrap_or_default();
    values.iter().map(|sample| sample[0].to_string()).collect()
}

/// From a disk that fails to one that holds everything.
fn fails_tells_and_recovers(deployment: &mut Deployment) {
    wait_for("the problem is told", || deployment.text("/-/ready").contains(PROBLEM).then_some(()));
    assert_eq!(deployment.metric("almenara_storage_healthy"), 0.0);
    assert!(deployment.text("/").contains(PROBLEM));
    let before = times(deployment, "recorded").len();
    wait_for("rules are evaluated from memory", || (times(deployment, "recorded").len() > before + 3).then_some(()));
    let missed = || deployment.metric("almenara_storage_missed_samples");
    wait_for("samples are counted that are in memory only", || (missed() > 0.0).then_some(()));

    deployment.lift_limit();
    wait_for("it recovers by itself", || {
        (deployment.text("/-/ready") == "Almenara is Ready.\n" && deployment.metric("almenara_storage_healthy") == 1.0)
            .then_some(())
    });
    assert_eq!(deployment.metric("almenara_storage_missed_samples"), 0.0);
    assert!(!deployment.text("/").contains(PROBLEM));

    let shown = ["m", "recorded"].map(|name| times(deployment, name));
    deployment.daemon.signal("KILL");
    deployment.daemon.wait();
    deployment.start_again();
    let after = ["m", "recorded"].map(|name| times(deployment, name));
    for (shown, after) in shown.iter().zip(&after) {
        assert!(!shown.is_empty() && after.starts_with(shown), "{} of {} are there", after.len(), shown.len());
    }
}

#[test]
fn a_disk_that_gets_full_is_told_and_left_behind() {
    let target = Server::start(Behaviour::Answers("m 1\n"));
    let mut deployment = start(&target, 16 << 10);
    fails_tells_and_recovers(&mut deployment);
    let log = deployment.daemon.output();
    assert!(log.contains("samples do not reach the disk; evaluation goes on from memory"), "{log}");
    assert!(log.contains("samples reach the disk again"), "{log}");
}
