//! Only what rules and objectives read is taken in, from the moment on at which they do; and the program says who asks for what.

use crate::real::deployment::Deployment;
use crate::real::process::{almenara, wait_for};
use crate::real::server::{Behaviour, Server};

const RULES: &str = "groups: [{name: g, rules: [{record: 'r:a', expr: 'rate(a[1h])'}]}]";
const MORE: &str =
    "groups: [{name: g, rules: [{record: 'r:a', expr: 'rate(a[1h])'}, {alert: B, expr: 'max_over_time(b[2d]) > 9'}]}]";
const SLO: &str =
    "slos:\n- {name: up, service: s, indicator: {availability: 'c{x=\"1\"}'}, objective: 99, window: 30d}\n";

#[test]
fn only_what_is_read_is_taken_in() {
    let target = Server::start(Behaviour::Answers("a 1\nb 2\nc{x=\"1\"} 3\nc{x=\"2\"} 4\nd 5\n"));
    let config = format!(
        "global: {{scrape_interval: 300ms, scrape_timeout: 300ms, evaluation_interval: 1s}}\n\
         storage: {{mode: rules}}\nrule_files: [rules.yml]\nslo_files: [slo.yml]\n\
         scrape_configs: [{{job_name: j, static_configs: [{{targets: ['127.0.0.1:{}']}}]}}]\n",
        target.port
    );
    let files = [("almenara.yml", &*config), ("rules.yml", RULES), ("slo.yml", SLO)];
    let mut deployment = Deployment::start(&files, &[]);
    let names = |deployment: &Deployment| {
        let names = deployment.data("/api/v1/label/__name__/values");
        let all = names.as_array().expect("names").iter().filter_map(|name| name.as_str());
        all.filter(|name| name.len() == 1).map(str::to_owned).collect::<Vec<_>>()
    };
    wait_for("the first scrape", || (names(&deployment) == ["a", "c"]).then_some(()));
    assert_eq!(deployment.values("c"), [3.0], "of a metric the series that are read");
    assert_eq!(deployment.values("up{job=\"j\"}"), [1.0], "what is said of scrapes is there");
    let unread = "almenara_store_series_refused_total{scrape_job=\"j\",reason=\"unread\"}";
    // Each line is looked at once, then it is known to be left out.
    assert_eq!(deployment.metric(unread), 3.0);

    // A rule that reads more gets it at the next scrape.
    deployment.write("rules.yml", MORE);
    assert_eq!(deployment.reload().0, 200);
    wait_for("what is read now", || (names(&deployment) == ["a", "b", "c"]).then_some(()));

    let explain = |format: &str| {
        let url = format!("http://127.0.0.1:{}", deployment.port);
        let output =
            almenara().args(["explain", "--memory", "--url", &url, "--format", format]).output().expect("explain");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let json: serde_json::Value = serde_json::from_str(&explain("json")).expect("JSON");
    let told = |metric: &str| {
        let all = json["metrics"].as_array().expect("metrics").iter();
        let found = all.into_iter().find(|one| one["metric"] == metric).unwrap_or_else(|| panic!("{metric} in {json}"));
        (found["reader"].clone(), found["read_by"].clone(), found["kept_seconds"].as_f64().expect("a number"))
    };
    assert_eq!(told("a"), ("rule g/r:a".into(), "rule".into(), 4200.0));
    assert_eq!(told("b"), ("rule g/B".into(), "rule".into(), 2.0 * 86_400.0 + 600.0));
    assert_eq!(told("c"), ("slo up".into(), "slo".into(), 30.0 * 86_400.0 + 1200.0));
    let text = explain("text");
    assert!(text.contains("rule g/B") && text.contains("slo up") && text.contains("30d20m"), "{text}");

    // What has vanished from the rules is kept, and taken in, for a week: also after a restart.
    deployment.write("rules.yml", "groups: []");
    assert_eq!(deployment.reload().0, 200);
    deployment.daemon.signal("KILL");
    deployment.daemon.wait();
    deployment.start_again();
    assert_eq!(names(&deployment), ["a", "b", "c"]);
    let count = || deployment.values("count_over_time(b[1h])").first().copied().unwrap_or(0.0);
    let before = count();
    wait_for("further samples of what was read", || (count() > before).then_some(()));
}
