//! The notifier against the real Alertmanager, over TLS with client certificates that are replaced while both run: what fires
//! appears, what ends disappears, as `amtool` sees it.
//!
//! Needs `prometheus-alertmanager` and `amtool`; see `peers`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use almenara::clock;
use almenara::discovery::DiscoveryMetrics;
use almenara::model::{Alert, Labels, Timestamp};
use almenara::notifier::{AlertingConfig, Notifier, QueueLimits};
use almenara::source::decode::Decoder;
use almenara::source::{SourceFile, yaml};

use crate::authority::issue;
use crate::loopback::eventually;
use crate::peers::peer;
use crate::real::process::{Running, free_port};

fn start_alertmanager(program: &Path, directory: &Path, port: u16) -> Running {
    std::fs::write(directory.join("am.yml"), "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
    let tls = "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt, \
               client_auth_type: RequireAndVerifyClientCert}\n";
    std::fs::write(directory.join("web.yml"), tls).unwrap();
    Running::start(
        Command::new(program)
            .current_dir(directory)
            .args(["--config.file=am.yml", "--storage.path=data"])
            .args(["--cluster.listen-address=", "--web.config.file=web.yml"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        &directory.join("am.log"),
    )
}

fn alert(ended: Option<Timestamp>) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", "DiskFull"), ("text", "ü \"quoted\"")]),
        annotations: Labels::from_pairs([("summary", "full")]),
        starts_at: clock::now().plus_ms(-60_000),
        ends_at: ended.unwrap_or_else(|| clock::now().plus_ms(300_000)),
        generator_url: "http://127.0.0.1:9597/graph?g0.expr=up&g0.tab=1".to_owned(),
    }
}

/// What `amtool alert query` lists, as `labels -> summary`; `None` while it cannot ask.
fn query(amtool: &Path, directory: &Path, port: u16) -> Option<Vec<String>> {
    let output = Command::new(amtool)
        .current_dir(directory)
        .args(["alert", "query", "--output=json", "--http.config.file=amtool.yml"])
        .arg(format!("--alertmanager.url=https://127.0.0.1:{port}"))
        .output()
        .expect("amtool starts");
    let alerts: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
    let show = |alert: &serde_json::Value| format!("{} -> {}", alert["labels"], alert["annotations"]["summary"]);
    output.status.success().then(|| alerts.iter().map(show).collect())
}

fn notifier(directory: &Path, port: u16) -> Notifier {
    let text = format!(
        "alertmanagers: [{{scheme: https, static_configs: [{{targets: ['127.0.0.1:{port}']}}], \
         tls_config: {{ca_file: ca.crt, cert_file: client.crt, key_file: client.key}}}}]"
    );
    let source = SourceFile::new("alerting.yml", text);
    let node = yaml::parse(&source).0.expect("YAML");
    let mut decoder = Decoder::new(&source);
    let mut config = AlertingConfig::decode(&mut decoder, &node).expect("a mapping");
    assert!(decoder.finish().is_empty());
    config.resolve_paths(directory);
    let limits = QueueLimits::default();
    let notifier = Notifier::new("Almenara/test", limits, Arc::new(DiscoveryMetrics::default()));
    notifier.apply(config, Labels::from_pairs([("cluster", "c1")])).expect("the certificates are fine");
    notifier
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_reach_the_real_alertmanager_while_certificates_change() {
    let (Some(alertmanager), Some(amtool)) = (peer("prometheus-alertmanager"), peer("amtool")) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    issue(directory, "first");
    let client = "tls_config: {ca_file: ca.crt, cert_file: client.crt, key_file: client.key}\n";
    std::fs::write(directory.join("amtool.yml"), client).unwrap();
    let port = free_port();
    let notifier = notifier(directory, port);
    // Nobody listens yet: the first attempts fail and the alert must wait.
    notifier.send(vec![alert(None)]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _running = start_alertmanager(&alertmanager, directory, port);

    let listed = |expected: &[&str]| query(&amtool, directory, port).is_some_and(|alerts| alerts == expected);
    let firing = r#"{"alertname":"DiskFull","cluster":"c1","text":"ü \"quoted\""} -> "full""#;
    eventually("the alert is listed", || listed(&[firing])).await;

    issue(directory, "second");
    let ended = clock::now();
    notifier.send(vec![Alert { starts_at: ended.plus_ms(-60_000), ..alert(Some(ended)) }]);
    eventually("the alert is gone", || listed(&[])).await;
    notifier.send(vec![alert(None)]);
    eventually("it is back", || listed(&[firing])).await;
    notifier.shutdown(Duration::from_secs(5)).await;
}
