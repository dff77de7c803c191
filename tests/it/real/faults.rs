//! What hangs or fails costs itself and nobody else: receivers, targets, ourselves.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::deployment::Deployment;
use super::process::{PATIENCE, Running, almenara, free_port, get, wait_for};
use super::server::{Behaviour, Server};

/// What a drain may take: its bound in the daemon, and time for a busy machine.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10 + 3);

const FIRES: &str = "groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]\n";

/// Every alert goes to all receivers at once.
fn routed_to(receivers: &[(&str, u16)]) -> String {
    let routes: String = receivers.iter().map(|(name, _)| format!("{{receiver: {name}, continue: true}}, ")).collect();
    let configs: String = receivers
        .iter()
        .map(|(name, port)| {
            format!("    - name: {name}\n      webhook_configs: [{{url: \"http://127.0.0.1:{port}/\"}}]\n")
        })
        .collect();
    format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\nrouter:\n  route: {{receiver: {}, group_wait: 0s, \
         group_interval: 1s, routes: [{routes}]}}\n  receivers:\n{configs}",
        receivers[0].0
    )
}

#[test]
fn receivers_that_hang_or_fail_delay_nobody() {
    let (hangs, fails) = (Server::start(Behaviour::Hangs), Server::start(Behaviour::Fails));
    let good = Server::start(Behaviour::Answers(""));
    let configuration = routed_to(&[("hangs", hangs.port), ("fails", fails.port), ("good", good.port)]);
    let mut deployment = Deployment::start(&[("almenara.yml", &configuration), ("rules.yml", FIRES)], &[]);
    let is_firing = |body: &String| body.contains("\"status\":\"firing\"") && body.contains("\"Always\"");
    wait_for("the good receiver has the alert", || good.received().iter().any(is_firing).then_some(()));
    assert!(fails.received().is_empty() && hangs.received().is_empty());

    let before = deployment.sum_of_metric("prometheus_rule_group_iterations_total");
    let began = Instant::now();
    wait_for("five more evaluations", || {
        (deployment.sum_of_metric("prometheus_rule_group_iterations_total") >= before + 5.0).then_some(())
    });
    assert!(began.elapsed() < Duration::from_secs(15), "evaluation is delayed: {:?}", began.elapsed());
    assert_eq!(deployment.sum_of_metric("prometheus_rule_group_iterations_missed_total"), 0.0);

    fails.behave(Behaviour::Answers(""));
    wait_for("the one that failed gets the alert", || fails.received().iter().any(is_firing).then_some(()));
    assert!(hangs.received().is_empty());

    let began = Instant::now();
    deployment.daemon.signal("TERM");
    assert_eq!(deployment.daemon.wait(), Some(0));
    assert!(began.elapsed() < DRAIN_TIME_MAX, "the drain took {:?}", began.elapsed());
}

#[test]
fn a_target_that_hangs_delays_no_other() {
    let (hangs, good) = (Server::start(Behaviour::Hangs), Server::start(Behaviour::Answers("m 1\n")));
    let configuration = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: a\n    static_configs: \
         [{{targets: [\"127.0.0.1:{}\"], labels: {{is: hung}}}}, {{targets: [\"127.0.0.1:{}\"], labels: {{is: good}}}}]\n",
        hangs.port, good.port
    );
    let deployment = Deployment::start(&[("almenara.yml", &configuration)], &[]);
    wait_for("the hung target is down", || (deployment.values("up{is=\"hung\"}") == [0.0]).then_some(()));
    wait_for("the good one was scraped each second", || {
        let counts =
            deployment.values("count_over_time(up{is=\"good\"}[5s]) and sum_over_time(up{is=\"good\"}[5s]) >= 4");
        (counts.first() >= Some(&4.0)).then_some(())
    });
    let targets = deployment.data("/api/v1/targets");
    let hung = targets["activeTargets"].as_array().expect("targets").iter().find(|t| t["labels"]["is"] == "hung");
    let hung = hung.expect("the hung target");
    assert_eq!(hung["health"], "down");
    let address = format!("http://127.0.0.1:{}/metrics", hangs.port);
    assert_eq!(hung["lastError"], format!("Get \"{address}\": context deadline exceeded"));
    let page = deployment.text("/");
    assert!(page.contains("context deadline exceeded") && page.contains(&address), "{page}");

    // It was down for several scrapes; the log says so once, and once that it is back.
    wait_for("it is asked each second, although an answer takes as long", || {
        (deployment.values("count_over_time(up{is=\"hung\"}[8s])").first() >= Some(&6.0)).then_some(())
    });
    let count = |text: &str| deployment.daemon.output().lines().filter(|line| line.contains(text)).count();
    assert_eq!((count("target is down"), count("target is up again")), (1, 0));
    hangs.behave(Behaviour::Answers("m 2\n"));
    wait_for("the target is up again", || (deployment.values("up{is=\"hung\"}") == [1.0]).then_some(()));
    wait_for("the log says so", || (count("target is up again") == 1).then_some(()));
    assert_eq!(count("target is down"), 1);
    hangs.behave(Behaviour::Fails);
    wait_for("the log tells of the next failure", || (count("target is down") == 2).then_some(()));
    assert!(deployment.text("/").contains("server returned HTTP status 500"));
}

#[test]
fn a_kill_does_no_harm() {
    let good = Server::start(Behaviour::Answers(""));
    let configuration = routed_to(&[("good", good.port)]);
    let mut deployment = Deployment::start(&[("almenara.yml", &configuration), ("rules.yml", FIRES)], &[]);
    wait_for("the alert arrives", || (!good.received().is_empty()).then_some(()));
    deployment.daemon.signal("KILL");
    assert_eq!(deployment.daemon.wait(), Some(-1));
    assert_eq!(get(deployment.port, "/-/ready").0, 0);
    let before = good.received().len();
    deployment.start_again();
    wait_for("the rule is evaluated again", || {
        (deployment.sum_of_metric("prometheus_rule_group_iterations_total") >= 3.0).then_some(())
    });
    // Once more only if the kill came before its answer.
    assert!(good.received().len() <= before + 1, "the receiver is told again: {:?}", good.received());
    deployment.daemon.signal("INT");
    assert_eq!(deployment.daemon.wait(), Some(0));
}

/// What a query has shown is there after `kill -9`, once and whole.
#[test]
fn samples_outlive_kills() {
    const KILLS: u32 = 8;
    let target = Server::start(Behaviour::Answers("m_a 1\nm_b 2\n"));
    let configuration = format!(
        "scrape_configs:\n- job_name: a\n  scrape_interval: 50ms\n  scrape_timeout: 50ms\n  static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        target.port
    );
    let mut deployment = Deployment::start(&[("almenara.yml", &configuration)], &[]);
    let times = |deployment: &Deployment, name: &str| -> Vec<String> {
        let data = deployment.data(&format!("/api/v1/query?query={name}%5B1h%5D"));
        let values = data["result"][0]["values"].as_array().cloned().unwrap_or_default();
        values.iter().map(|sample| sample[0].to_string()).collect()
    };
    let mut known: Vec<String> = Vec::new();
    for kill in 0..KILLS {
        let shown =
            wait_for("more samples", || Some(times(&deployment, "m_a")).filter(|shown| shown.len() > known.len() + 2));
        // At another moment between two scrapes each time.
        std::thread::sleep(Duration::from_millis(u64::from(7 * kill)));
        deployment.daemon.signal("KILL");
        assert_eq!(deployment.daemon.wait(), Some(-1));
        deployment.start_again();
        let after = times(&deployment, "m_a");
        assert_eq!(after[..shown.len().min(after.len())], shown, "kill {kill}");
        let of_both = [after, times(&deployment, "m_b")].map(|times| times[..shown.len()].to_vec());
        assert_eq!(of_both[0], of_both[1], "half a scrape");
        known = shown;
    }
    let distinct: std::collections::BTreeSet<&String> = known.iter().collect();
    assert_eq!(distinct.len(), known.len(), "a sample is there twice");
}

/// Whoever manages the configuration may signal before we are ready.
#[test]
fn a_signal_during_the_start_does_not_kill() {
    let folder = tempfile::tempdir().expect("folder");
    let port = free_port();
    let address = format!("--web.listen-address=127.0.0.1:{port}");
    let mut daemon = Running::start(almenara().arg("serve").arg(address), &folder.path().join("log"));
    // The port is bound before the configuration is read.
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < PATIENCE, "nobody listens");
    }
    daemon.signal("HUP");
    wait_for("the reload is done", || daemon.output().contains("configuration loaded").then_some(()));
    daemon.signal("TERM");
    assert_eq!(daemon.wait(), Some(0));
}
