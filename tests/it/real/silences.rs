//! Silences survive a crash, a damaged file is no obstacle, and heartbeats are heard from the first second on.

use serde_json::{Value, json};

use super::deployment::Deployment;
use super::process::{exchange_json, wait_for};
use super::server::Sink;

#[test]
fn silences_survive_a_crash() {
    let sink = Sink::start();
    let config = format!(
        r#"global: {{evaluation_interval: 1s}}
rule_files: [rules.yml]
router:
  route: {{receiver: team}}
  receivers: [{{name: team, webhook_configs: [{{url: "http://127.0.0.1:{}/"}}]}}]
  heartbeats: [{{name: Alive, receiver: team, interval: 1h}}]
"#,
        sink.port
    );
    let rules = "groups: [{name: g, rules: [{alert: Disk, expr: vector(1), labels: {disk: sda}}]}]\n";
    let mut deployment = Deployment::start(&[("almenara.yml", &config), ("rules.yml", rules)], &[]);
    sink.wait_for("the first heartbeat", |message| message["alerts"][0]["labels"]["alertname"] == "Alive");

    let silence = json!({
        "matchers": [{"name": "disk", "value": "sd.", "isRegex": true}],
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2120-01-01T00:00:00Z", "createdBy": "me <b>", "comment": "full",
    });
    let post = |deployment: &Deployment| {
        let (status, answer) = exchange_json(deployment.port, "POST", "/api/v2/silences", &silence.to_string());
        assert_eq!(status, 200, "{answer}");
    };
    post(&deployment);
    let before = deployment.text("/api/v2/silences");
    wait_for("the page says so", || {
        let page = deployment.text("/");
        let parts = [">silenced<", "disk=~&quot;sd.&quot;", "by me &lt;b&gt;: full"];
        parts.iter().all(|part| page.contains(part)).then_some(())
    });
    assert_eq!(deployment.metric("alertmanager_silences{state=\"active\"}"), 1.0);

    deployment.daemon.signal("KILL");
    deployment.daemon.wait();
    deployment.start_again();
    assert_eq!(deployment.text("/api/v2/silences"), before);
    wait_for("the alert is suppressed from its first evaluation on", || {
        let alerts: Value = serde_json::from_str(&deployment.text("/api/v2/alerts")).ok()?;
        alerts[0]["status"]["state"].as_str().map(|state| assert_eq!(state, "suppressed"))
    });

    deployment.daemon.signal("KILL");
    deployment.daemon.wait();
    deployment.write("data/silences.json", &before[..before.len() / 2]);
    deployment.start_again();
    assert_eq!(deployment.text("/api/v2/silences").trim(), "[]");
    let log = deployment.daemon.output();
    assert!(log.contains("silences are damaged; the file was set aside"), "{log}");
    assert!(!deployment.path("data/silences.json").exists());
    post(&deployment);
    assert!(deployment.path("data/silences.json").exists());
}
