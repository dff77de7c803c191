//! `/api/v1/rules` and `/api/v1/alerts` beside Prometheus's own, over the same rule files and targets: the same bytes, times and tokens of pages aside.

use std::fmt::Write;
use std::fs;

use regex::Regex;

use crate::peers::{peer, start_prometheus};
use crate::real::process::{Running, almenara, free_port, get, wait_for};
use crate::real::server::{Behaviour, Server};

const METRICS: &str = "m{i=\"1\"} 1\nm{i=\"2\"} 2\nm{i=\"<3>\"} 3\n";

/// In two files: every state, health and kind, labels of groups and rules, templates, an error, names out of order.
const FILES: [(&str, &str); 2] = [
    (
        "b.yml",
        r#"groups:
- name: zeta
  interval: 1s
  labels: {team: a, tier: gold}
  rules:
  - {alert: Fires, expr: m > 1, labels: {severity: page, tier: '{{ $labels.i }}'}, annotations: {summary: 'at {{ $value }} & <more>'}}
  - {alert: Waits, expr: m >= 1, for: 1h, keep_firing_for: 90s}
  - {alert: Never, expr: m > 100, for: 1m30s}
  - {record: 'm:sum', expr: sum by (i) (m)}
  - {record: 'm:labelled', expr: 'sum(m) / 3', labels: {x: y, a: b}}
  - {record: 'm:failing', expr: m, labels: {i: same}}
- name: alpha
  interval: 2s
  limit: 10
  rules: [{alert: Fires, expr: 'm == 2'}]
"#,
    ),
    (
        "a.yml",
        r#"groups:
- name: late
  interval: 1h
  rules: [{alert: Unknown, expr: m > 0}, {record: 'late:m', expr: m}]
- name: empty
  interval: 1h
"#,
    ),
];

const QUERIES: &[&str] = &[
    "rules",
    "rules?type=alert",
    "rules?type=record",
    "rules?type=ALERT",
    "rules?rule_name[]=Fires",
    "rules?rule_name[]=Fires&rule_name[]=m:sum",
    "rules?rule_name[]=None",
    "rules?rule_group[]=alpha",
    "rules?rule_group[]=alpha&rule_group[]=late&type=alert",
    "rules?file[]=FOLDER/a.yml",
    "rules?file[]=FOLDER/a.yml&rule_name[]=Unknown",
    "rules?file[]=a.yml",
    "rules?exclude_alerts=true",
    "rules?exclude_alerts=0&type=alert",
    "rules?match[]={severity=\"page\"}",
    "rules?match[]={tier=\"gold\"}",
    "rules?match[]={x=\"y\"}&match[]={severity=~\"pa.*\"}",
    "rules?match[]={tier=~\".*labels.*\"}",
    "rules?group_limit=1",
    "rules?group_limit=2",
    "rules?group_limit=3",
    "rules?group_limit=100",
    "rules?group_limit=1&type=record",
    "rules?group_limit=-1",
    "rules?group_limit=x",
    "rules?group_next_token=aaaa",
    "rules?group_limit=1&group_next_token=aaaa",
    "rules?match[]=x{",
    "rules?exclude_alerts=2",
    "alerts",
    "alertmanagers",
];

#[test]
fn rules_and_alerts_are_shown_as_in_prometheus() {
    let Some(prometheus) = peer("prometheus") else { return };
    let target = Server::start(Behaviour::Answers(METRICS));
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nrule_files: [{0}/b.yml, {0}/a.yml]\nalerting:\n  alertmanagers: [{{path_prefix: /x, \
         static_configs: [{{targets: ['127.0.0.1:1']}}]}}]\nscrape_configs:\n- job_name: m\n  static_configs: [{{targets: ['127.0.0.1:{1}']}}]\n",
        folder.path().display(),
        target.port
    );
    fs::write(folder.path().join("prometheus.yml"), &config).unwrap();
    for (name, text) in FILES {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let (_theirs, theirs) = start_prometheus(&prometheus, folder.path(), &[]);
    let ours = free_port();
    let _ours = Running::start(
        almenara()
            .arg("serve")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{ours}"))
            .arg(format!("--storage.path={}", folder.path().join("ours").display())),
        &folder.path().join("almenara.log"),
    );
    for port in [theirs, ours] {
        wait_for("all groups that are due were evaluated", || {
            let body = get(port, "/api/v1/rules").1;
            let is_there =
                body.matches("\"state\":\"pending\"").count() == 4 && body.matches("\"state\":\"firing\"").count() == 5;
            (is_there && body.contains("same labelset")).then_some(())
        });
    }
    let mut different = String::new();
    for query in QUERIES {
        let path = format!("/api/v1/{}", query.replace("FOLDER", &folder.path().display().to_string()));
        let path = path.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        let [theirs, ours] =
            [theirs, ours].map(|port| get(port, &path)).map(|(status, body)| (status, ordered(&masked(&body))));
        if theirs != ours {
            write!(different, "\n{query}\n  Prometheus: {theirs:?}\n  Almenara:   {ours:?}").unwrap();
        }
    }
    assert!(different.is_empty(), "{different}");
    // The token of a page leads to the next: all pages together are everything.
    let [theirs, ours] = [theirs, ours].map(|port| {
        let (mut names, mut token) = (Vec::new(), String::new());
        loop {
            let next = if token.is_empty() { String::new() } else { format!("&group_next_token={token}") };
            let page: serde_json::Value =
                serde_json::from_str(&get(port, &format!("/api/v1/rules?group_limit=1{next}")).1).unwrap();
            names.extend(page["data"]["groups"].as_array().unwrap().iter().map(|group| group["name"].to_string()));
            match page["data"]["groupNextToken"].as_str() {
                Some(next) => token = next.to_owned(),
                None => return names,
            }
        }
    });
    assert_eq!(theirs, ours);
    assert!(ours.len() >= 3);
}

/// Without what the clock decides; as Prometheus has it since 3.8 (`unknown`) and 3.13 (tokens).
fn masked(body: &str) -> String {
    let time = Regex::new(r#""(lastEvaluation|activeAt|keepFiringSince)":"[^"]*""#).unwrap();
    let took = Regex::new(r#""evaluationTime":[-+0-9.e]+"#).unwrap();
    let token = Regex::new(r#""groupNextToken":"[0-9a-f]+""#).unwrap();
    let body = time.replace_all(body, "\"$1\":\"T\"");
    let body = took.replace_all(&body, "\"evaluationTime\":0");
    let body = token.replace_all(&body, "\"groupNextToken\":0");
    body.replace("\"state\":\"unknown\"", "\"state\":\"inactive\"")
}

/// With alerts in an order of their own: Prometheus gives them in that of a Go map.
fn ordered(body: &str) -> String {
    fn sort(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(items) => items.iter_mut().for_each(sort),
            serde_json::Value::Object(members) => {
                for (key, member) in members {
                    sort(member);
                    if let (true, Some(alerts)) = (key == "alerts", member.as_array_mut()) {
                        alerts.sort_by_key(ToString::to_string);
                    }
                }
            }
            _ => {}
        }
    }
    let mut value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {body}"));
    sort(&mut value);
    value.to_string()
}
