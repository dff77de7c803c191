//! Rules in real time beside a real Prometheus 3.5: the same exporter, the same rules, a fake Alertmanager each that writes down what it
//! is told. The same alerts in the same states with the same texts; the same lives; `startsAt`, `endsAt` and the distance of repetitions as
//! Prometheus reckons them; the same names of metrics about rules and notifications.
//!
//! Both run at intervals of one second, but not in the same slots, and a busy machine may miss one: instants are compared to within
//! [`TOLERANCE_MS`], what is reckoned from one instant within a program to the millisecond.
//!
//! Needs `prometheus`; see `peers`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use crate::loopback::{Request, Server, response};
use crate::peers::{peer, start_prometheus};
use crate::real::deployment::Deployment;
use crate::real::process::{get, post_form, wait_for};

/// The resend delay of both, in milliseconds.
const RESEND_MS: i64 = 2_000;
/// An alert is sent again when more than the resend delay has passed: at the next slot.
const CADENCE_MS: i64 = 3_000;
/// How far the two may be apart: their scrapes and slots fall differently into a second, and one of each may be late.
const TOLERANCE_MS: i64 = 5_000;
/// How long the two may take to come to the same state.
const PATIENCE: Duration = Duration::from_secs(30);

/// `HOLD` is what reloads change. `Pair` is over its limit while two series are high.
const RULES: &str = r#"groups:
- name: lives
  labels: {team: ops}
  rules:
  - alert: AtOnce
    expr: at_once > 1
    labels: {severity: page, shard: 's{{ $labels.i }}', empty: '{{ with $labels.nothing }}x{{ end }}'}
    annotations:
      summary: '{{ $labels.job }} {{ $labels.i }} is at {{ $value | humanize }} in {{ $externalLabels.cluster }}'
      first: '{{ with query "at_once" }}{{ . | first | value }}{{ end }}'
      broken: '{{ humanize $labels.job }}'
      link: '{{ pathPrefix }} {{ externalURL }}'
  - alert: Held
    expr: held > 0
    for: HOLD
    annotations: {text: 'for HOLD'}
  - alert: Kept
    expr: kept > 0
    keep_firing_for: 5s
  - alert: KeptAndHeld
    expr: kept > 0
    for: 2s
    keep_firing_for: 4s
  - alert: Vanishing
    expr: vanishing > 0
  - alert: Gone
    expr: absent(vanishing) unless on () absent(kept)
    for: 2s
  - alert: Meta
    expr: count by (alertname) (ALERTS{alertstate="firing", alertname="AtOnce"}) > 0
    labels: {seen: '{{ $labels.alertname }}'}
  - alert: Twice
    expr: at_once > 1
    labels: {i: same}
- name: limited
  limit: 1
  rules:
  - alert: Pair
    expr: at_once > 1
- name: offset
  query_offset: 1s
  rules:
  - record: late:at_once
    expr: at_once * 2
  - alert: Late
    expr: late:at_once > 2
"#;

/// The exporter's pages, one after the other, each with the value of `HOLD`, and which alerts then live in which state.
const PHASES: &[(&str, &str, &str)] = &[
    ("at_once{i=\"1\"} 0\nheld 0\nkept 0\nvanishing 0\n", "600s", ""),
    (
        "at_once{i=\"1\"} 5\nheld 1\nkept 1\nvanishing 1\n",
        "600s",
        "AtOnce=firing Held=pending Kept=firing KeptAndHeld=firing Late=firing Meta=firing Pair=firing Twice=firing \
         Vanishing=firing",
    ),
    // `for` becomes shorter; a second series breaks the limit, and the rule with a label that is the same for both.
    (
        "at_once{i=\"1\"} 5\nat_once{i=\"2\"} 7000\nheld 1\nkept 1\nvanishing 1\n",
        "3s",
        "AtOnce=firing AtOnce=firing Held=firing Kept=firing KeptAndHeld=firing Late=firing Late=firing Meta=firing \
         Twice=firing Vanishing=firing",
    ),
    // One series recovers and one goes away: what is kept goes on for a while, and then ends.
    (
        "at_once{i=\"1\"} 0\nat_once{i=\"2\"} 7000\nheld 1\nkept 0\n",
        "3s",
        "AtOnce=firing Gone=firing Held=firing Late=firing Meta=firing Pair=firing Twice=firing",
    ),
    // All return: each is a new alert, and waits for its `for` anew.
    (
        "at_once{i=\"1\"} 3\nheld 0\nkept 1\nvanishing 4\n",
        "3s",
        "AtOnce=firing Kept=firing KeptAndHeld=firing Late=firing Meta=firing Pair=firing Twice=firing Vanishing=firing",
    ),
    // `for` becomes longer while the alert is new. (Of one that fires, Prometheus 3.5 and 3.11 make different things.)
    ("at_once{i=\"1\"} 0\nheld 1\nkept 0\nvanishing 0\n", "600s", "Held=pending"),
    ("at_once{i=\"1\"} 0\nheld 0\nkept 0\nvanishing 0\n", "600s", ""),
];

/// What an alert was said to be.
#[derive(Clone, Debug)]
struct Told {
    starts_ms: i64,
    ends_ms: i64,
    annotations: String,
}

/// What a fake Alertmanager was told, by the labels of alerts.
fn told(server: &Server) -> BTreeMap<String, Vec<Told>> {
    let mut all: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for Request { head, body } in server.requests() {
        assert!(head.starts_with("post /api/v2/alerts "), "{head}");
        let alerts: Vec<Value> = serde_json::from_str(&body).expect("JSON");
        for alert in alerts {
            let ms = |key: &str| {
                let text = alert[key].as_str().expect("an instant");
                text.parse::<jiff::Timestamp>().expect("RFC 3339").as_millisecond()
            };
            let url = alert["generatorURL"].as_str().expect("a link");
            assert!(url.starts_with("http://prometheus.example/prefix/graph?g0.expr="), "{url}");
            let labels = sorted(&alert["labels"]);
            let list = all.entry(format!("{labels} {url}")).or_default();
            list.push(Told {
                starts_ms: ms("startsAt"),
                ends_ms: ms("endsAt"),
                annotations: sorted(&alert["annotations"]),
            });
        }
    }
    all
}

fn sorted(object: &Value) -> String {
    let pairs: BTreeMap<&String, &Value> = object.as_object().into_iter().flatten().collect();
    format!("{pairs:?}")
}

/// One life of an alert, as its receiver saw it.
#[derive(Debug)]
struct Life {
    starts_ms: i64,
    /// `endsAt` of each message that it fires.
    valid_ms: Vec<i64>,
    /// `endsAt` of the messages that it is over; they all say the same.
    ended_ms: Option<i64>,
    ends: usize,
    annotations: BTreeSet<String>,
}

/// `endsAt` less the instant of the message is four resend delays while it fires.
fn lives(told: &[Told]) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for told in told {
        if lives.last().is_none_or(|life| life.starts_ms != told.starts_ms) {
            lives.push(Life {
                starts_ms: told.starts_ms,
                valid_ms: Vec::new(),
                ended_ms: None,
                ends: 0,
                annotations: BTreeSet::new(),
            });
        }
        let life = lives.last_mut().expect("just added");
        let sent_ms = told.ends_ms - 4 * RESEND_MS;
        // A message of the end repeats an instant that is over; one of a firing alert lies ahead of all before.
        let fires = life.ended_ms.is_none() && life.valid_ms.last().is_none_or(|last| told.ends_ms > *last);
        if fires && (life.valid_ms.is_empty() && sent_ms == told.starts_ms || !life.valid_ms.is_empty()) {
            life.valid_ms.push(told.ends_ms);
            life.annotations.insert(told.annotations.clone());
        } else {
            life.ended_ms.get_or_insert(told.ends_ms);
            assert_eq!(life.ended_ms, Some(told.ends_ms), "an end is told as one instant: {life:?}");
            life.ends += 1;
        }
    }
    lives
}

/// What must hold of every life within one program.
fn check_arithmetic(who: &str, labels: &str, life: &Life) {
    let about = || format!("{who}: {labels}: {life:?}");
    assert_eq!(
        life.valid_ms.first(),
        Some(&(life.starts_ms + 4 * RESEND_MS)),
        "sent when it begins to fire: {}",
        about()
    );
    let gaps: Vec<i64> = life.valid_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= CADENCE_MS && gap % 1000 == 0), "repeated too early: {}", about());
    if gaps.len() >= 3 {
        let usual = gaps.iter().filter(|gap| **gap == CADENCE_MS).count();
        assert!(usual * 2 > gaps.len(), "repeated every {CADENCE_MS} ms but for late slots: {}", about());
    }
    if let Some(ended) = life.ended_ms {
        assert!(ended > life.starts_ms && (ended - life.starts_ms) % 1000 == 0, "ends at a slot: {}", about());
    }
}

/// Name, state, labels, annotations and value of each alert, and health and kind of each rule, as the APIs show them.
fn state(port: u16) -> Option<(Vec<String>, Vec<String>)> {
    let read = |path: &str| serde_json::from_str::<Value>(&get(port, path).1).ok().map(|mut json| json["data"].take());
    let alerts = read("/api/v1/alerts")?;
    let show = |alert: &Value| {
        format!("{} {} {} {}", sorted(&alert["labels"]), alert["state"], sorted(&alert["annotations"]), alert["value"])
    };
    let mut alerts: Vec<String> = alerts["alerts"].as_array()?.iter().map(show).collect();
    alerts.sort();
    let mut rules = Vec::new();
    for group in read("/api/v1/rules")?["groups"].as_array()? {
        for rule in group["rules"].as_array()? {
            let fields = ["type", "name", "query", "state", "duration", "keepFiringFor", "health", "lastError"];
            let fields = fields.map(|field| rule[field].to_string()).join(" ");
            rules.push(format!("{} {} {fields} {}", group["name"], group["limit"], sorted(&rule["labels"])));
        }
    }
    rules.sort();
    Some((alerts, rules))
}

/// `ALERTS` and `ALERTS_FOR_STATE`, without the instants.
fn alert_series(port: u16) -> Option<Vec<String>> {
    let query = "query={__name__=~\"ALERTS|ALERTS_FOR_STATE|late:.*\"}";
    let mut json: Value = serde_json::from_str(&post_form(port, "/api/v1/query", query).1).ok()?;
    // Prometheus shows the template here where it renders to nothing.
    for series in json["data"]["result"].as_array_mut()? {
        series["metric"].as_object_mut()?.remove("empty");
    }
    let mut series: Vec<String> = json["data"]["result"].as_array()?.iter().map(|s| sorted(&s["metric"])).collect();
    series.sort();
    Some(series)
}

/// `AtOnce=firing …` of what the API shows.
fn summary(port: u16) -> Option<String> {
    let json: Value = serde_json::from_str(&get(port, "/api/v1/alerts").1).ok()?;
    let show = |alert: &Value| Some(format!("{}={}", alert["labels"]["alertname"].as_str()?, alert["state"].as_str()?));
    let mut all: Vec<String> = json["data"]["alerts"].as_array()?.iter().map(show).collect::<Option<_>>()?;
    all.sort();
    Some(all.join(" "))
}

/// The names of metrics about rules, templates and notifications.
fn metric_names(port: u16) -> BTreeSet<String> {
    let text = get(port, "/metrics").1;
    let names = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next());
    let is_asked = |name: &&str| {
        ["prometheus_rule_", "prometheus_notifications_", "prometheus_template_"].iter().any(|p| name.starts_with(p))
    };
    names.filter(is_asked).map(str::to_owned).collect()
}

fn configuration(exporter: &str, alertmanager: &str) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s, external_labels: {{cluster: c1, replica: a}}}}\n\
         rule_files: [rules.yml]\n\
         scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{exporter}']}}], \
         metric_relabel_configs: [{{regex: instance, action: labeldrop}}]}}]\n\
         alerting:\n  alert_relabel_configs: [{{regex: replica, action: labeldrop}}]\n  \
         alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}], \
         alert_relabel_configs: [{{target_label: via, replacement: first}}]}}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_live_as_beside_prometheus() {
    let Some(program) = peer("prometheus") else { return };
    let page: Arc<Mutex<&str>> = Arc::new(Mutex::new(PHASES[0].0));
    let shown = page.clone();
    let exporter = Server::start(move |_, _| {
        Some(response("200 OK", "content-type: text/plain; version=0.0.4\r\n", *shown.lock()))
    })
    .await;
    let fake = || Server::start(|_, _| Some(response("200 OK", "", "")));
    let (theirs, ours) = (fake().await, fake().await);
    let flags = ["--rules.alert.resend-delay=2s", "--web.external-url=http://prometheus.example/prefix"];
    let rules = |hold: &str| RULES.replace("HOLD", hold);
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("prometheus.yml"), configuration(&exporter.address, &theirs.address)).expect("write");
    fs::write(folder.path().join("rules.yml"), rules(PHASES[0].1)).expect("write");
    let with_reload = [&flags[..], &["--web.enable-lifecycle", "--web.route-prefix=/"]].concat();
    let (_prometheus, their_port) = start_prometheus(&program, folder.path(), &with_reload);
    let configuration = configuration(&exporter.address, &ours.address);
    let deployment = Deployment::start(&[("almenara.yml", &configuration), ("rules.yml", &rules(PHASES[0].1))], &flags);
    let our_port = deployment.port;

    // Prometheus looks for Alertmanagers every five seconds, and loses what it has to tell before.
    wait_for("both know their Alertmanagers", || {
        let knows = |port: &u16| get(*port, "/api/v1/alertmanagers").1.contains("/api/v2/alerts");
        [their_port, our_port].iter().all(knows).then_some(())
    });
    let mut hold = PHASES[0].1;
    for (number, (text, next_hold, expected)) in PHASES.iter().enumerate() {
        *page.lock() = text;
        if expected.contains("AtOnce=firing") {
            let warning = "broken: error executing template __alert_AtOnce: template: __alert_AtOnce:1:115: ";
            wait_for("the failure of a template is a warning", || {
                let outcomes = deployment.text("/api/almenara/v1/rules/outcomes");
                (outcomes.contains(warning) && deployment.text("/").contains(warning)).then_some(())
            });
        }
        if *next_hold != hold {
            hold = next_hold;
            fs::write(folder.path().join("rules.yml"), rules(hold)).expect("write");
            deployment.write("rules.yml", &rules(hold));
            assert_eq!((post_form(their_port, "/-/reload", "").0, deployment.reload().0), (200, 200));
        }
        let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
        let end = Instant::now() + PATIENCE;
        loop {
            let both = [their_port, our_port].map(|port| (summary(port), state(port), alert_series(port)));
            let is_done = both.iter().all(|(summary, ..)| summary.as_ref() == Some(&expected));
            if is_done && both[0] == both[1] {
                break;
            }
            assert!(
                Instant::now() < end,
                "phase {number}: expected {expected}\nPrometheus {:#?}\nAlmenara {:#?}",
                both[0],
                both[1]
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // Some messages of each state.
        tokio::time::sleep(Duration::from_millis(3_500)).await;
    }
    compare_metric_names(their_port, our_port);
    assert!(deployment.metric("prometheus_template_text_expansion_failures_total") > 0.0);
    assert!(deployment.daemon.output().contains("template of a rule failed"));
    compare_messages(&told(&theirs), &told(&ours));
}

fn compare_metric_names(their_port: u16, our_port: u16) {
    let (theirs, ours) = (metric_names(their_port), metric_names(our_port));
    let missing: Vec<_> = theirs.difference(&ours).collect();
    assert!(missing.is_empty(), "metrics that Prometheus has and we have not: {missing:?}");
}

fn compare_messages(theirs: &BTreeMap<String, Vec<Told>>, ours: &BTreeMap<String, Vec<Told>>) {
    assert_eq!(theirs.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>(), "the same alerts were told of");
    assert!(theirs.len() >= 12, "{theirs:?}");
    assert!(theirs.keys().all(|labels| labels.contains("\"cluster\": String(\"c1\")") && labels.contains("\"via\"")));
    for (labels, their_messages) in theirs {
        let (a, b) = (lives(their_messages), lives(&ours[labels]));
        let ends = |lives: &[Life]| lives.iter().map(|life| life.ended_ms.is_some()).collect::<Vec<_>>();
        assert_eq!(ends(&a), ends(&b), "{labels}: as many lives, and which have ended\n{a:?}\n{b:?}");
        for (a, b) in a.iter().zip(&b) {
            check_arithmetic("Prometheus", labels, a);
            check_arithmetic("Almenara", labels, b);
            assert_eq!(a.annotations, b.annotations, "{labels}");
            assert!((a.starts_ms - b.starts_ms).abs() <= TOLERANCE_MS, "{labels}: begins at\n{a:?}\n{b:?}");
            if let (Some(x), Some(y)) = (a.ended_ms, b.ended_ms) {
                assert!((x - y).abs() <= TOLERANCE_MS, "{labels}: ends at\n{a:?}\n{b:?}");
            }
            // The end is repeated as the beginning is: as often, but for one that has not come yet or was late.
            let (more, less) = (a.ends.max(b.ends), a.ends.min(b.ends));
            assert!(more - less <= 2 + more / 3, "{labels}: the end is told {} and {} times", a.ends, b.ends);
        }
    }
}
