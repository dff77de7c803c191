//! The main job on real input: scrape node_exporter, Alertmanager and ourselves each second with real rules loaded; stop
//! node_exporter; the alert arrives at a real Alertmanager and at a webhook; start it again; both resolve.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::{Running, almenara, free_port, get, post_form, wait_for};
use super::server::Sink;
use crate::peers::peer;

const RULES: &str = r#"groups:
  - name: own
    rules:
      - alert: NodeExporterDown
        expr: up{job="node"} == 0
        for: 2s
        labels: {severity: page}
        annotations:
          summary: "{{ $labels.instance }} does not answer"
"#;

#[test]
fn an_exporter_goes_and_comes_back() {
    let (Some(node_exporter), Some(alertmanager), Some(amtool)) =
        (peer("prometheus-node-exporter"), peer("prometheus-alertmanager"), peer("amtool"))
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let (own, node, am) = (free_port(), free_port(), free_port());
    let sink = Sink::start();
    fs::write(folder.join("almenara.yml"), configuration(own, node, am, sink.port)).expect("write");
    fs::write(folder.join("rules.yml"), RULES).expect("write");
    fs::write(folder.join("am.yml"), "route: {receiver: none}\nreceivers: [{name: none}]\n").expect("write");

    let _alertmanager = Running::start(
        Command::new(alertmanager)
            .arg(format!("--config.file={}", folder.join("am.yml").display()))
            .arg(format!("--storage.path={}", folder.join("am").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{am}"))
            .arg("--cluster.listen-address="),
        &folder.join("am.log"),
    );
    let start_node = || {
        let address = format!("--web.listen-address=127.0.0.1:{node}");
        Running::start(Command::new(&node_exporter).arg(address), &folder.join("node.log"))
    };
    let exporter = start_node();
    wait_for("node_exporter answers", || (get(node, "/metrics").0 == 200).then_some(()));
    wait_for("Alertmanager answers", || (get(am, "/-/ready").0 == 200).then_some(()));
    let mut daemon = Running::start(
        almenara()
            .arg("serve")
            .arg(format!("--config.file={}", folder.join("almenara.yml").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{own}"))
            .arg(format!("--storage.path={}", folder.join("data").display())),
        &folder.join("almenara.log"),
    );
    wait_for("Almenara is ready", || (get(own, "/-/ready").0 == 200).then_some(()));
    wait_for("all three targets are up", || (value_of(own, "sum(up)") == Some(3.0)).then_some(()));
    rules_are_healthy(own);
    answers_as_grafana_asks(own);

    drop(exporter);
    let page = sink.wait_for("the page", |json| json["status"] == "firing");
    assert_eq!(page["alerts"][0]["labels"]["alertname"], "NodeExporterDown");
    assert_eq!(page["version"], "4");
    let query = || {
        let mut command = Command::new(&amtool);
        command.arg(format!("--alertmanager.url=http://127.0.0.1:{am}")).args(["alert", "query", "NodeExporterDown"]);
        String::from_utf8_lossy(&command.output().expect("amtool").stdout).into_owned()
    };
    wait_for("amtool sees the alert", || query().contains("NodeExporterDown").then_some(()));

    let _exporter = start_node();
    let resolved = sink.wait_for("the resolve", |json| json["status"] == "resolved");
    assert_eq!(resolved["alerts"][0]["labels"]["alertname"], "NodeExporterDown");
    wait_for("the alert is over in Alertmanager", || (!query().contains("NodeExporterDown")).then_some(()));

    daemon.signal("TERM");
    assert_eq!(daemon.wait(), Some(0), "a drained daemon exits with 0");
}

fn configuration(own: u16, node: u16, am: u16, sink: u16) -> String {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/mixins");
    let mixins: String = ["node-exporter", "alertmanager"]
        .iter()
        .map(|name| corpus.join(name).join("alerts.yaml"))
        .filter(|path| path.exists())
        .map(|path| format!("  - {}\n", path.display()))
        .collect();
    format!(
        r#"global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files:
  - rules.yml
{mixins}
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["127.0.0.1:{am}"]}}]
router:
  route: {{receiver: hook, group_wait: 0s, group_interval: 1s, routes: [{{matchers: ['alertname="NodeExporterDown"'], receiver: hook}}, {{receiver: quiet, matchers: ['alertname!="NodeExporterDown"']}}]}}
  receivers:
    - name: hook
      webhook_configs: [{{url: "http://127.0.0.1:{sink}/hook"}}]
    - name: quiet
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{node}"]}}]
  - job_name: alertmanager
    static_configs: [{{targets: ["127.0.0.1:{am}"]}}]
  - job_name: almenara
    static_configs: [{{targets: ["127.0.0.1:{own}"]}}]
"#
    )
}

/// The value of a query with one element.
fn value_of(port: u16, query: &str) -> Option<f64> {
    let (status, body) = post_form(port, "/api/v1/query", &format!("query={query}"));
    let json: serde_json::Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
    json["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

fn rules_are_healthy(port: u16) {
    wait_for("every rule was evaluated", || {
        let (_, body) = get(port, "/api/v1/rules");
        let json: serde_json::Value = serde_json::from_str(&body).ok()?;
        let groups = json["data"]["groups"].as_array()?;
        let rules: Vec<_> = groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{body}");
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")).then_some(())
    });
}

/// A panel's request: a form POST of `query_range` with whole seconds and a step. The last second may lie before the first
/// scrape of a target, so it is asked until all three are there.
fn answers_as_grafana_asks(port: u16) {
    wait_for("a panel shows all three jobs", || {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("clock");
        let now = since_epoch.as_secs();
        let form = format!("query=sum+by+%28job%29+%28up%29&start={}&end={now}&step=15", now - 900);
        let (status, body) = post_form(port, "/api/v1/query_range", &form);
        assert_eq!(status, 200, "{body}");
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(json["data"]["resultType"], "matrix");
        let series = json["data"]["result"].as_array().expect("series");
        let jobs: Vec<_> = series.iter().map(|series| &series["metric"]["job"]).collect();
        (jobs == ["alertmanager", "almenara", "node"]).then_some(())
    });
}
