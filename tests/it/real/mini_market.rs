//! Mini Market's configuration against a real Alertmanager behind mutual TLS: alerts arrive, certificates of a new authority are put
//! in place while we run, alerts arrive again; and the runbook's `curl`s are answered.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::{Running, almenara, free_port, get, wait_for};
use super::server::Sink;
use crate::authority::{Authority, Validity, put};
use crate::peers::peer;

#[test]
fn certificates_change_while_we_run() {
    let Some(alertmanager) = peer("prometheus-alertmanager") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let (own, am, dashboard) = (free_port(), free_port(), free_port());
    let sink = Sink::start();
    deploy(folder, am, dashboard, sink.port);
    write_certificates(&folder.join("tls"));

    let start_alertmanager = || {
        Running::start(
            Command::new(&alertmanager)
                .arg(format!("--config.file={}", folder.join("am.yml").display()))
                .arg(format!("--storage.path={}", folder.join("am").display()))
                .arg(format!("--web.config.file={}", folder.join("am-web.yml").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{am}"))
                .arg("--cluster.listen-address="),
            &folder.join("am.log"),
        )
    };
    let first = start_alertmanager();
    let _daemon = Running::start(
        almenara()
            .arg("serve")
            .arg(format!("--config.file={}", folder.join("almenara.yml").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{own}"))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg("--rules.alert.resend-delay=1s"),
        &folder.join("almenara.log"),
    );
    // Nothing listens where the dashboard should be.
    let by_external =
        |json: &serde_json::Value| json["receiver"] == "external" && names(json).contains(&"DashboardDown");
    sink.wait_for("DashboardDown through Alertmanager", by_external);

    write_certificates(&folder.join("tls"));
    drop(first);
    let _second = start_alertmanager();
    sink.wait_for("DashboardDown with the new certificates", by_external);

    answers_the_runbook(own);
}

/// The fixture with the addresses of this test and seconds instead of minutes.
fn deploy(folder: &Path, am: u16, dashboard: u16, sink: u16) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mini-market");
    for part in ["almenara.yml", "alertmanager.yml", "rules/mini_market.yml", "slo/dashboard.yml"] {
        let text = fs::read_to_string(fixture.join(part)).expect("fixture");
        let text = text
            .replace("alertmanager:9093", &format!("127.0.0.1:{am}"))
            .replace("dashboard:8080\"", &format!("127.0.0.1:{dashboard}\""))
            .replace("_interval: 15s", "_interval: 1s\n  scrape_timeout: 1s")
            .replacen(
                "\n  scrape_timeout: 1s\n  evaluation_interval: 1s\n  scrape_timeout: 1s",
                "\n  scrape_timeout: 1s\n  evaluation_interval: 1s",
                1,
            )
            .replace("for: 1m", "for: 1s");
        let path = folder.join(part);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(path, text).expect("write");
    }
    let route = "route: {receiver: external, group_wait: 0s, group_interval: 1s}";
    let receiver = format!("{{name: external, webhook_configs: [{{url: 'http://127.0.0.1:{sink}/external'}}]}}");
    fs::write(folder.join("am.yml"), format!("{route}\nreceivers: [{receiver}]\n")).expect("write");
    let tls = folder.join("tls");
    fs::create_dir_all(&tls).expect("folder");
    let tls = tls.display();
    fs::write(
        folder.join("am-web.yml"),
        format!(
            "tls_server_config:\n  cert_file: {tls}/alertmanager.crt\n  key_file: {tls}/alertmanager.key\n  client_ca_file: {tls}/ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
        ),
    )
    .expect("write");
}

/// A new authority and what it signs: nothing of the authority before is trusted any more.
fn write_certificates(folder: &Path) {
    let authority = Authority::new("Mini Market CA");
    for name in ["alertmanager", "prometheus"] {
        let signed = authority.sign("127.0.0.1", Validity::Current);
        put(folder, &format!("{name}.crt"), &signed.certificate);
        put(folder, &format!("{name}.key"), &signed.key);
    }
    put(folder, "ca.crt", &authority.pem());
}

fn names(json: &serde_json::Value) -> Vec<&str> {
    json["alerts"].as_array().into_iter().flatten().filter_map(|alert| alert["labels"]["alertname"].as_str()).collect()
}

/// What the person on call types, with the ports of the runbook answered by one process.
fn answers_the_runbook(own: u16) {
    let json = |path: &str| -> serde_json::Value {
        let (status, body) = get(own, path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"))
    };
    assert_eq!(get(own, "/-/healthy").0, 200);
    assert_eq!(json("/api/v1/query?query=up")["status"], "success");
    assert_eq!(json("/api/v1/query?query=rate(http_requests_total%5B5m%5D)")["status"], "success");
    let quantile = "histogram_quantile(0.95,+rate(http_request_duration_seconds_bucket%5B5m%5D))";
    assert_eq!(json(&format!("/api/v1/query?query={quantile}"))["status"], "success");
    assert!(json("/api/v2/status")["versionInfo"]["version"].is_string());
    wait_for("the alert is in /api/v2/alerts", || {
        names(&serde_json::json!({"alerts": json("/api/v2/alerts")})).contains(&"DashboardDown").then_some(())
    });

    let broken = "histogram_quantile(0.95,+rate(http_request_duration_seconds_bucket%7Bendpoint=~%22%2Fapi%2F.*%22%7D%5B5m%5D))+by+(endpoint)";
    let (status, body) = get(own, &format!("/api/v1/query?query={broken}"));
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("sum by (endpoint, le) (rate(http_request_duration_seconds_bucket{endpoint=~"), "{body}");
}
