//! Alerts on their way to Alertmanagers that hang, fail, refuse, come and go: none is lost, none waits for another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use almenara::clock;
use almenara::discovery::DiscoveryMetrics;
use almenara::exposition::Family;
use almenara::model::{Alert, Labels};
use almenara::notifier::{AlertingConfig, Notifier, QueueLimits};
use almenara::source::decode::Decoder;
use almenara::source::{SourceFile, yaml};

use crate::loopback::{Server, eventually, refused_address, response};

fn config(text: &str) -> AlertingConfig {
    let source = SourceFile::new("alerting.yml", text);
    let node = yaml::parse(&source).0.expect("YAML");
    let mut decoder = Decoder::new(&source);
    let config = AlertingConfig::decode(&mut decoder, &node).expect("a mapping");
    let diagnostics = decoder.finish();
    assert!(diagnostics.is_empty(), "{diagnostics}");
    config
}

fn targets(addresses: &[&str]) -> AlertingConfig {
    config(&format!("alertmanagers: [{{timeout: 1s, static_configs: [{{targets: {addresses:?}}}]}}]"))
}

fn notifier(config: AlertingConfig, limits: QueueLimits) -> Notifier {
    let notifier = Notifier::new("Almenara/test", limits, Arc::new(DiscoveryMetrics::default()));
    notifier.apply(config, Labels::empty()).expect("clients");
    notifier
}

/// Fires for five more minutes, or ended just now.
fn alert(name: &str, ended: Option<()>) -> Alert {
    let now = clock::now();
    Alert {
        labels: Labels::from_pairs([("alertname", name)]),
        annotations: Labels::from_pairs([("summary", "s")]),
        starts_at: almenara::model::Timestamp::from_ms(1_000),
        ends_at: if ended.is_some() { now } else { now.plus_ms(300_000) },
        generator_url: "http://here/graph".to_owned(),
    }
}

fn firing(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Alert> {
    names.into_iter().map(|name| alert(name.as_ref(), None)).collect()
}

/// The names in the bodies that the server answered, first request first.
fn names(bodies: impl IntoIterator<Item = String>) -> Vec<Vec<String>> {
    let read = |body: String| {
        let alerts: Vec<serde_json::Value> = serde_json::from_str(&body).expect("JSON");
        alerts.iter().map(|alert| alert["labels"]["alertname"].as_str().expect("a name").to_owned()).collect()
    };
    bodies.into_iter().map(read).collect()
}

fn bodies(server: &Server) -> Vec<String> {
    server.requests().into_iter().map(|request| request.body).collect()
}

fn metric(notifier: &Notifier, name: &str, address: &str) -> f64 {
    let mut families: Vec<Family> = Vec::new();
    notifier.collect(&mut families);
    let family = families.iter().find(|family| family.name == name).expect("the family is there");
    let url = format!("http://{address}/api/v2/alerts");
    let of_url = |labels: &[(&str, String)]| labels.iter().all(|(_, value)| *value == url);
    family.points.iter().find(|point| of_url(&point.labels)).map_or(f64::NAN, |point| point.value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_or_slow_alertmanager_delays_no_other() {
    let hanging = Server::start(|_, _| None).await;
    let failing = Server::start(|number, _| {
        Some(if number < 2 { response("500 Internal Server Error", "", "no") } else { response("200 OK", "", "") })
    })
    .await;
    let healthy = Server::start(|_, _| Some(response("200 OK", "", ""))).await;
    let refused = refused_address();
    let notifier = notifier(
        targets(&[&hanging.address, &failing.address, &healthy.address, &refused]),
        QueueLimits { batch_size_max: 2, ..QueueLimits::default() },
    );
    let started = Instant::now();
    notifier.send(firing(["a", "b", "c"]));
    assert!(started.elapsed() < Duration::from_secs(1), "sending only queues");
    eventually("the healthy one has all", || bodies(&healthy).len() == 2).await;
    assert_eq!(names(bodies(&healthy)), [vec!["a", "b"], vec!["c"]]);
    let head = &healthy.requests()[0].head;
    assert!(head.starts_with("post /api/v2/alerts http/1.1"), "{head}");
    assert!(head.contains("content-type: application/json") && head.contains("user-agent: almenara/test"), "{head}");

    eventually("the failing one recovered and has all", || bodies(&failing).len() == 4).await;
    assert_eq!(names(bodies(&failing)), [vec!["a", "b"], vec!["a", "b"], vec!["a", "b"], vec!["c"]]);
    let of = |name, address| metric(&notifier, name, address);
    eventually("the last answer is counted", || of("prometheus_notifications_sent_total", &failing.address) == 7.0)
        .await;
    assert_eq!(of("prometheus_notifications_errors_total", &failing.address), 4.0);
    assert_eq!(of("prometheus_notifications_dropped_total", &failing.address), 0.0);
    assert!(of("prometheus_notifications_errors_total", &refused) >= 2.0);

    // The one that was not there starts: everything is still waiting for it.
    let late = Server::start_at(&refused, |_, _| Some(response("200 OK", "", ""))).await;
    eventually("the late one has all", || names(bodies(&late)).concat() == ["a", "b", "c"]).await;
    assert_eq!(of("prometheus_notifications_dropped_total", &refused), 0.0);
    assert!(notifier.alertmanagers().active.len() == 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn news_take_the_place_of_what_could_not_be_sent() {
    let address = refused_address();
    let notifier = notifier(targets(&[&address]), QueueLimits::default());
    notifier.send(firing(["a", "b"]));
    eventually("a first attempt failed", || {
        metric(&notifier, "prometheus_notifications_errors_total", &address) >= 2.0
    })
    .await;
    notifier.send(vec![alert("a", Some(()))]);
    let server = Server::start_at(&address, |_, _| Some(response("200 OK", "", ""))).await;
    eventually("both arrived", || names(bodies(&server)).concat().len() >= 2).await;
    let alerts: Vec<serde_json::Value> = serde_json::from_str(&bodies(&server)[0]).unwrap();
    let ends = |name: &str| {
        let alert = alerts.iter().find(|alert| alert["labels"]["alertname"] == name).expect("it arrived");
        alert["endsAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()
    };
    assert_eq!(alerts.len(), 2, "one state each");
    assert!(ends("a") <= jiff::Timestamp::now() && ends("b") > jiff::Timestamp::now());
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_content_is_given_up_and_a_full_queue_loses_the_oldest() {
    let picky = Server::start(|_, request| {
        let bad = request.body.contains("bad");
        Some(response(if bad { "400 Bad Request" } else { "202 Accepted" }, "", "because"))
    })
    .await;
    let refused = refused_address();
    let notifier =
        notifier(targets(&[&picky.address, &refused]), QueueLimits { capacity: 3, ..QueueLimits::default() });
    let of = |name, address| metric(&notifier, name, address);
    notifier.send(firing(["bad"]));
    eventually("it was given up", || of("prometheus_notifications_dropped_total", &picky.address) == 1.0).await;
    notifier.send(firing(["good"]));
    eventually("the next one arrived", || bodies(&picky).len() == 2).await;
    notifier.send(firing(["1", "2", "3", "4"]));
    eventually("the oldest are gone", || of("prometheus_notifications_dropped_total", &refused) == 3.0).await;
    let late = Server::start_at(&refused, |_, _| Some(response("200 OK", "", ""))).await;
    eventually("the rest arrived", || names(bodies(&late)).concat() == ["2", "3", "4"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_queues_and_alertmanagers_that_go_are_still_told() {
    let address = refused_address();
    let notifier = notifier(targets(&[&address]), QueueLimits::default());
    notifier.send(firing(["before"]));
    eventually("a first attempt failed", || {
        metric(&notifier, "prometheus_notifications_errors_total", &address) >= 1.0
    })
    .await;
    // Another timeout makes another entry, but the URL is the same.
    let changed = config(&format!("alertmanagers: [{{timeout: 2s, static_configs: [{{targets: [\"{address}\"]}}]}}]"));
    notifier.apply(changed.clone(), Labels::from_pairs([("cluster", "x")])).unwrap();
    notifier.send(firing(["after"]));
    let broken = config("alertmanagers: [{tls_config: {ca_file: /no/such/file}}]");
    assert!(notifier.apply(broken, Labels::empty()).is_err());
    assert_eq!(notifier.alertmanagers().active, [format!("http://{address}/api/v2/alerts")], "nothing changed");

    let server = Server::start_at(&address, |_, _| Some(response("200 OK", "", ""))).await;
    eventually("both arrived", || names(bodies(&server)).concat().len() >= 2).await;
    let arrived: BTreeSet<String> = names(bodies(&server)).concat().into_iter().collect();
    assert_eq!(arrived.into_iter().collect::<Vec<_>>(), ["after", "before"]);
    let before = serde_json::from_str::<serde_json::Value>(&bodies(&server)[0]).unwrap();
    assert_eq!(before[0]["labels"]["alertname"], "before", "the older one went first");

    notifier.send(firing(["last"]));
    notifier.apply(AlertingConfig::default(), Labels::empty()).unwrap();
    assert!(notifier.alertmanagers().active.is_empty());
    eventually("the last one arrived", || names(bodies(&server)).concat().contains(&"last".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_sends_what_waits_within_its_time() {
    let hanging = Server::start(|_, _| None).await;
    let healthy = Server::start(|_, _| Some(response("200 OK", "", ""))).await;
    let limits = QueueLimits { batch_size_max: 1, ..QueueLimits::default() };
    let notifier = notifier(targets(&[&hanging.address, &healthy.address]), limits);
    notifier.send(firing((0..20).map(|number| number.to_string())));
    let started = Instant::now();
    notifier.shutdown(Duration::from_secs(2)).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(bodies(&healthy).len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_state_of_every_alert_arrives_over_failures() {
    let shaky = Server::start(|number, _| {
        Some(if number % 3 == 0 { response("502 Bad Gateway", "", "") } else { response("200 OK", "", "") })
    })
    .await;
    let limits = QueueLimits { batch_size_max: 20, ..QueueLimits::default() };
    let notifier = notifier(targets(&[&shaky.address]), limits);
    let alerts: Vec<String> = (0..50).map(|number| format!("alert-{number}")).collect();
    for state in ["first", "second", "last"] {
        let annotated = |name: &String| {
            let annotations = Labels::from_pairs([("state", state)]);
            Alert { annotations, ..alert(name, (state == "last").then_some(())) }
        };
        notifier.send(alerts.iter().map(annotated).collect());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    notifier.shutdown(Duration::from_secs(30)).await;
    // In the order they were accepted: what was told last is what an Alertmanager believes.
    let mut believed = std::collections::BTreeMap::new();
    for (_, body) in bodies(&shaky).iter().enumerate().filter(|(number, _)| number % 3 != 0) {
        for alert in serde_json::from_str::<Vec<serde_json::Value>>(body).unwrap() {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            believed.insert(text(&alert["labels"]["alertname"]), text(&alert["annotations"]["state"]));
        }
    }
    assert_eq!(believed.len(), 50);
    assert!(believed.values().all(|state| state == "last"), "{believed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_discovery() {
    let (one, two) = (
        Server::start(|_, _| Some(response("200 OK", "", ""))).await,
        Server::start(|_, _| Some(response("200 OK", "", ""))).await,
    );
    let directory = tempfile::tempdir().unwrap();
    let write = |address: &str| {
        let (new, file) = (directory.path().join("new"), directory.path().join("am.json"));
        std::fs::write(&new, format!("[{{\"targets\": [\"{address}\"]}}]")).unwrap();
        std::fs::rename(new, file).unwrap();
    };
    write(&one.address);
    let mut config =
        config("alertmanagers: [{path_prefix: am, file_sd_configs: [{files: [am.json], refresh_interval: 1s}]}]");
    config.resolve_paths(directory.path());
    let notifier = notifier(config, QueueLimits::default());
    notifier.send(firing(["a"]));
    eventually("the first has it", || names(bodies(&one)) == [["a"]]).await;
    write(&two.address);
    let url = format!("http://{}/am/api/v2/alerts", two.address);
    eventually("the second was discovered", || notifier.alertmanagers().active == [url.clone()]).await;
    notifier.send(firing(["b"]));
    eventually("the second has it", || names(bodies(&two)) == [["b"]]).await;
    assert_eq!(names(bodies(&one)), [["a"]]);
}
