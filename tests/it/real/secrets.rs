//! Secrets of the configuration are in none of the places where people and programs look.

use super::deployment::Deployment;
use super::process::{get, wait_for};
use super::server::{Behaviour, Server};

/// All of them; each is a word that stands nowhere else.
const SECRETS: [&str; 8] = ["pa55word", "cr3dential", "bear3r", "w3bhook", "p4rameter", "us3rinfo", "amp4ss", "h3ader"];

fn configuration(failing: u16, nobody: u16) -> String {
    format!(
        r#"global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: basic
    basic_auth: {{username: u, password: pa55word}}
    static_configs: [{{targets: ["127.0.0.1:{failing}"]}}]
  - job_name: authorization
    authorization: {{credentials: cr3dential}}
    http_headers: {{X-Key: {{secrets: [h3ader]}}}}
    static_configs: [{{targets: ["127.0.0.1:{nobody}"]}}]
  - job_name: bearer
    bearer_token: bear3r
    static_configs: [{{targets: ["127.0.0.1:{failing}"]}}]
  - job_name: probe
    params: {{token: [p4rameter], target: ["http://user:us3rinfo@127.0.0.1/x"]}}
    static_configs: [{{targets: ["127.0.0.1:{nobody}"]}}]
alerting:
  alertmanagers:
    - basic_auth: {{username: u, password: amp4ss}}
      static_configs: [{{targets: ["127.0.0.1:{nobody}"]}}]
router:
  route: {{receiver: hook, group_wait: 0s, group_interval: 1s}}
  receivers:
    - name: hook
      webhook_configs: [{{url: "http://127.0.0.1:{failing}/w3bhook?token=w3bhook"}}, {{url: "http://user:us3rinfo@127.0.0.1:{nobody}/w3bhook"}}]
"#
    )
}

fn assert_clean(place: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} stands in {place}: {text}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    let failing = Server::start(Behaviour::Fails);
    let nobody = super::process::free_port();
    let good = configuration(failing.port, nobody);
    let rules = "groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]\n";
    let deployment = Deployment::start(&[("almenara.yml", &good), ("rules.yml", rules)], &["--log.level=debug"]);
    wait_for("all targets are down", || (deployment.values("count(up == 0)") == [4.0]).then_some(()));
    wait_for("both webhooks failed", || {
        (deployment.daemon.output().matches("notification failed, will be tried again").count() >= 2).then_some(())
    });
    wait_for("the Alertmanager failed", || {
        (deployment.sum_of_metric("prometheus_notifications_errors_total") > 0.0).then_some(())
    });
    let everywhere = || {
        for path in ["/api/v1/status/config", "/api/v2/status", "/", "/metrics", "/api/v1/status/flags"] {
            assert_clean(path, &deployment.text(path));
        }
        for path in ["/api/v1/alertmanagers", "/api/v2/receivers", "/api/v2/alerts/groups", "/api/v1/rules"] {
            assert_clean(path, &deployment.text(path));
        }
        assert_clean("the log", &deployment.daemon.output());
    };
    everywhere();
    let shown = deployment.data("/api/v1/status/config");
    let shown = shown["yaml"].as_str().expect("yaml");
    assert!(shown.contains("password: <secret>") && shown.contains("http://user:<secret>@127.0.0.1/x"), "{shown}");

    // Every secret at a place where it is wrong, and mistakes of YAML right behind one.
    let broken = good
        .replace("password: pa55word", "password: pa55word, password_file: f")
        .replace("credentials: cr3dential", "credentials: [cr3dential]")
        .replace("secrets: [h3ader]", "secrets: {a: h3ader}")
        .replace("bearer_token: bear3r", "bearer_token: {b: bear3r}")
        .replace("params: {token: [p4rameter]", "params: {token: {a: p4rameter}")
        .replace("http://127.0.0.1:", "htp://127.0.0.1:")
        .replace("http://user:us3rinfo@127.0.0.1:", "http//user:us3rinfo@127.0.0.1:");
    for text in [broken, good.replace("password: pa55word}", "password: pa55word"), good.replace("bear3r", "\"bear3r")]
    {
        deployment.write("almenara.yml", &text);
        let (status, answer) = deployment.reload();
        assert_eq!(status, 500, "{answer}");
        assert!(answer.contains("almenara.yml:"), "{answer}");
        assert_clean("the answer to a reload", &answer);
        everywhere();
    }
    assert_clean("an error", &get(deployment.port, "/api/v1/query?query=up(").1);
}
