//! Reload: what changed is changed, what did not goes on; a bad configuration changes nothing and is shown.

use super::deployment::Deployment;
use super::process::wait_for;
use super::server::{Behaviour, Server};

const STAYS: &str = r#"groups:
  - name: stays
    rules:
      - {alert: Waiting, expr: m == 1, for: 1h}
"#;
const GOES: &str = r#"groups: [{name: goes, rules: [{record: "goes:m", expr: m}, {alert: Gone, expr: m == 1}]}]"#;
const COMES: &str = r#"groups: [{name: comes, rules: [{record: "comes:m", expr: m}]}]"#;
const SLO: &str = r#"slos:
  - name: target
    service: shop
    indicator: {availability: 'up{job="m"}'}
    objective: 99
    window: 1h
    alerting:
      tiers: [{name: fast, severity: page, short: 5m, long: 30m, factor: 5}]
"#;

fn configuration(target: u16) -> String {
    format!(
        r#"global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["rules/*.yml"]
slo_files: ["slo/*.yml"]
scrape_configs:
  - job_name: m
    static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
"#
    )
}

fn start(target: &Server) -> Deployment {
    let files = [
        ("almenara.yml", &*configuration(target.port)),
        ("rules/stays.yml", STAYS),
        ("rules/goes.yml", GOES),
        ("slo/slo.yml", SLO),
    ];
    let deployment = Deployment::start(&files, &[]);
    wait_for("the target is up", || (deployment.values("up") == [1.0]).then_some(()));
    wait_for("what goes is there", || (deployment.values("goes:m") == [1.0]).then_some(()));
    deployment
}

/// When the pending alert became active.
fn active_at(deployment: &Deployment) -> String {
    wait_for("the alert is pending", || {
        let alerts = deployment.data("/api/v1/alerts");
        let alert =
            alerts["alerts"].as_array()?.iter().find(|alert| alert["labels"]["alertname"] == "Waiting")?.clone();
        assert_eq!(alert["state"], "pending");
        alert["activeAt"].as_str().map(str::to_owned)
    })
}

fn group_names(deployment: &Deployment) -> Vec<String> {
    let rules = deployment.data("/api/v1/rules");
    let groups = rules["groups"].as_array().expect("groups").iter();
    groups.map(|group| group["name"].as_str().expect("name").to_owned()).collect()
}

/// The counter of evaluations of the group that stays.
fn iterations(deployment: &Deployment) -> f64 {
    let key = format!("{};stays", deployment.path("rules/stays.yml").display());
    deployment.metric(&format!("prometheus_rule_group_iterations_total{{rule_group=\"{key}\"}}"))
}

#[test]
fn what_did_not_change_goes_on() {
    let target = Server::start(Behaviour::Answers("m 1\n"));
    let mut deployment = start(&target);
    let since = active_at(&deployment);
    let before = iterations(&deployment);
    assert_eq!(deployment.values("ALERTS{alertname=\"Gone\"}"), [1.0]);

    deployment.remove("rules/goes.yml");
    deployment.write("rules/comes.yml", COMES);
    deployment.daemon.signal("HUP");
    wait_for("the groups changed", || (group_names(&deployment) == ["comes", "stays"]).then_some(()));
    // Well within the look-back of 5 minutes, so staleness markers end them.
    for query in ["goes:m", "ALERTS{alertname=\"Gone\"}", "ALERTS_FOR_STATE{alertname=\"Gone\"}"] {
        wait_for("the series of the removed group end", || deployment.values(query).is_empty().then_some(()));
    }
    wait_for("the new group records", || (deployment.values("comes:m") == [1.0]).then_some(()));
    assert_eq!(active_at(&deployment), since);
    assert!(iterations(&deployment) >= before, "the counter of a group that stays begins anew");

    // A rule more changes the group; the state of its rules goes over, and its counters go on.
    let before = iterations(&deployment);
    deployment.write("rules/stays.yml", &format!("{STAYS}      - {{record: \"more:m\", expr: m}}\n"));
    assert_eq!(deployment.reload(), (200, String::new()));
    wait_for("the new rule records", || (deployment.values("more:m") == [1.0]).then_some(()));
    assert_eq!(active_at(&deployment), since);
    assert!(iterations(&deployment) >= before, "the counter of a changed group begins anew");
    assert!(deployment.values("goes:m").is_empty(), "a removed group still records");

    let slos = deployment.data("/api/almenara/v1/slos");
    assert_eq!((&slos[0]["name"], &slos[0]["objective"]), (&"target".into(), &99.into()), "{slos}");
    assert_eq!((&slos[0]["state"], &slos[0]["error_ratio"]), (&"met".into(), &0.into()), "{slos}");
    let log = deployment.daemon.output();
    assert!(!log.contains("refused"), "{log}");
    deployment.daemon.signal("TERM");
    assert_eq!(deployment.daemon.wait(), Some(0));
}

#[test]
fn a_bad_configuration_changes_nothing() {
    let target = Server::start(Behaviour::Answers("m 1\n"));
    let deployment = start(&target);
    let good = configuration(target.port);
    let is_good = "prometheus_config_last_reload_successful";
    assert_eq!(deployment.metric(is_good), 1.0);

    deployment.write("almenara.yml", &format!("{good}router: {{route: {{receiver: a}}}}\nstorge: {{}}\n"));
    deployment.write("rules/comes.yml", "groups: [{name: comes, rules: [{record: \"comes:m\", expr: \"sum(m\"}]}]\n");
    deployment.write("rules/goes.yml", "groups: [{name: x, rules: [{alert: A, expr: up, for: later}]}]\n");
    deployment.write("slo/slo.yml", &SLO.replace("objective: 99", "objective: 101"));
    let (status, answer) = deployment.reload();
    assert_eq!(status, 500);
    assert!(answer.starts_with("failed to reload config: "), "{answer}");
    let place = |file: &str, at: &str| format!("{}:{at}: ", deployment.path(file).display());
    let mistakes = [
        place("almenara.yml", "7:28"),
        place("almenara.yml", "8:1"),
        place("rules/comes.yml", "1:64"),
        place("rules/goes.yml", "1:54"),
        place("slo/slo.yml", "5:16"),
    ];
    let page = deployment.text("/");
    let log = deployment.daemon.output();
    for mistake in &mistakes {
        assert!(answer.contains(mistake), "{mistake} is not in {answer}");
        assert!(page.contains(mistake), "{mistake} is not on the page");
        assert!(log.contains(mistake), "{mistake} is not in the log");
    }
    assert!(page.contains("The last reload was refused."), "{page}");
    assert_eq!(deployment.metric(is_good), 0.0);
    assert_eq!(deployment.data("/api/v1/status/runtimeinfo")["reloadConfigSuccess"], false);
    assert_eq!(group_names(&deployment), ["goes", "stays"]);
    let before = iterations(&deployment);
    wait_for("the old rules are evaluated", || (iterations(&deployment) > before + 1.0).then_some(()));
    assert_eq!(deployment.values("goes:m"), [1.0]);

    deployment.write("almenara.yml", "global: {scrape_interval: 1s\n");
    deployment.daemon.signal("HUP");
    wait_for("the page shows the mistake of YAML", || {
        deployment.text("/").contains(": not valid YAML: ").then_some(())
    });

    deployment.write("almenara.yml", &good);
    deployment.write("rules/comes.yml", COMES);
    deployment.write("rules/goes.yml", GOES);
    deployment.write("slo/slo.yml", SLO);
    assert_eq!(deployment.reload(), (200, String::new()));
    assert_eq!(deployment.metric(is_good), 1.0);
    assert!(!deployment.text("/").contains("The last reload was refused."));
    assert_eq!(group_names(&deployment), ["comes", "goes", "stays"]);
}
