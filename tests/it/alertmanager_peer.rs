//! The same configuration and the same alerts at the same times, in the real Alertmanager and in our router: the messages
//! must be equal byte by byte, in the same order, at the same time; and so must the answers of the API.
//!
//! Needs `prometheus-alertmanager` (0.33); see `peers`. Takes sixteen seconds, since the real one cannot be stepped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use almenara::api::v2::{self, RouterHandle, SilenceWrites};
use almenara::model::{Labels, Timestamp};
use almenara::router::{Event, Message, PostedAlert, Router, RouterConfig};
use almenara::source::SourceFile;
use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt;

use crate::peers::peer;
use crate::real::process::{Running, free_port};
use crate::real::server::read_request;

/// How far apart the same message may be: ticks are three seconds apart and alerts come in their middle.
const TOLERANCE: Duration = Duration::from_millis(900);

const CONFIG: &str = r#"
route:
  receiver: web.hook
  group_by: [alertname]
  group_wait: 1s
  group_interval: 3s
  repeat_interval: 1h
  routes:
  - {matchers: [scenario="group"], receiver: group, group_by: [cluster, job]}
  - {matchers: [scenario="two"], receiver: two-a, continue: true}
  - {match: {scenario: two}, receiver: two-b}
  - {matchers: [scenario="repeat"], receiver: repeat, repeat_interval: 5s}
  - matchers: [scenario="nested"]
    routes:
    - {matchers: ['x!="y"', 'sev=~"p|q\\d"', '"spa ce"!=a'], receiver: nested, group_by: ['...']}
  - {matchers: [scenario="none"], receiver: none, group_by: []}
inhibit_rules:
- {source_matchers: [kind="src"], target_matchers: [kind="dst"], equal: [cluster]}
receivers:
- {name: web.hook, webhook_configs: [{url: 'http://SINK/fallback'}]}
- {name: group, webhook_configs: [{url: 'http://SINK/group'}]}
- {name: two-a, webhook_configs: [{url: 'http://SINK/two-a'}]}
- {name: two-b, webhook_configs: [{url: 'http://SINK/two-b', send_resolved: false, max_alerts: 1}, {url: 'http://SINK/two-b1', max_alerts: 1}]}
- {name: repeat, webhook_configs: [{url: 'http://SINK/repeat'}]}
- {name: nested, webhook_configs: [{url: 'http://SINK/nested'}]}
- {name: none, webhook_configs: [{url: 'http://SINK/none'}]}
"#;

/// At how many ms: which alerts (labels), and whether they end then.
const SCRIPT: &[(u64, bool, &[&str])] = &[
    (
        0,
        false,
        &[
            "alertname=A scenario=group cluster=x job=b instance=2",
            "alertname=B scenario=group cluster=x job=b instance=1",
            "alertname=C scenario=group cluster=<y>&\"\\",
            "alertname=D scenario=two i=1",
            "alertname=R scenario=repeat",
            "alertname=N scenario=nested sev=p",
            "alertname=M scenario=nested sev=q7 text=ü☃",
            "alertname=L scenario=nested sev=z",
            "alertname=G scenario=none",
            "alertname=F z=1",
            "alertname=F a=1",
            "alertname=T kind=dst cluster=x",
            "alertname=U kind=dst cluster=y",
            "alertname=Short",
        ],
    ),
    (500, true, &["alertname=Short"]),
    (
        2500,
        false,
        &[
            "alertname=E scenario=group cluster=x job=b",
            "alertname=D scenario=two i=2",
            "alertname=H scenario=none",
            "alertname=S kind=src cluster=x",
            "alertname=V kind=dst cluster=x",
        ],
    ),
    (5500, true, &["alertname=A scenario=group cluster=x job=b instance=2", "alertname=D scenario=two i=1"]),
    (
        8500,
        true,
        &[
            "alertname=B scenario=group cluster=x job=b instance=1",
            "alertname=E scenario=group cluster=x job=b",
            "alertname=D scenario=two i=2",
            "alertname=U kind=dst cluster=y",
            "alertname=S kind=src cluster=x",
        ],
    ),
    (11500, false, &["alertname=A scenario=group cluster=x job=b instance=2", "alertname=D scenario=two i=1"]),
];
const SCRIPT_END_MS: u64 = 15_000;

/// Asked of both at the end.
const QUESTIONS: &[&str] = &[
    "/api/v2/alerts",
    "/api/v2/alerts?filter=scenario%3D%22nested%22&filter=sev!~%22q.%2B%22",
    "/api/v2/alerts?filter=scenario=&inhibited=false",
    "/api/v2/alerts?receiver=two-.",
    "/api/v2/alerts?receiver=two",
    "/api/v2/alerts?filter=a",
    "/api/v2/alerts?filter=%7Ba=b%7D",
    "/api/v2/alerts/groups",
    "/api/v2/alerts/groups?receiver=two-a&filter=i%3D1",
    "/api/v2/receivers",
    "/api/v2/receivers?receiver_matchers=name%3D~%22two.*%22",
    "/api/v2/silences",
];

/// A message: when, and its body.
type Got = (Duration, String);
type Messages = BTreeMap<String, Vec<Got>>;

pub(crate) fn start(program: &Path, folder: &Path, config: &str) -> (Running, String) {
    let file = folder.join("alertmanager.yml");
    std::fs::write(&file, config).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let running = Running::start(
        Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--cluster.listen-address=", "--web.external-url=http://am.example/prefix"]),
        &folder.join("alertmanager.log"),
    );
    let started = Instant::now();
    while request(&address, "GET", "/prefix/-/ready", "").is_none_or(|(status, _)| status != 200) {
        assert!(started.elapsed() < Duration::from_secs(20), "the real Alertmanager does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
    (running, address)
}

/// Status and body of the reply. HTTP 1.0, so that the body comes in one piece.
pub(crate) fn request(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let (length, kind) = (body.len(), "Content-Type: application/json");
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n{kind}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// A message that came: when, to which path, with which body.
pub(crate) type Received = (Instant, String, String);

/// Takes every message, says when it came and answers `ok`, as Slack does. As a proxy, it is every server itself.
pub(crate) fn sink() -> (String, mpsc::Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = mpsc::channel();
    let (tls, _) = crate::smtp::tls_server();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, sender, tls) = (stream.unwrap(), sender.clone(), tls.clone());
            std::thread::spawn(move || {
                if take(&mut stream, &sender) == Wants::Tunnel {
                    let connection = rustls::ServerConnection::new(tls).unwrap();
                    take(&mut rustls::StreamOwned::new(connection, stream), &sender);
                }
            });
        }
    });
    (address, receiver)
}

/// What a client wants when it says no more.
#[derive(PartialEq)]
enum Wants {
    Nothing,
    Tunnel,
}

fn take(stream: &mut (impl Read + Write), sender: &mpsc::Sender<Received>) -> Wants {
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = read_request(&mut reader) {
        // CONNECT names a host and a port.
        if !path.starts_with('/') {
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok();
            return Wants::Tunnel;
        }
        if sender.send((Instant::now(), path, String::from_utf8(body).unwrap())).is_err() {
            return Wants::Nothing;
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
        reader.get_mut().write_all(answer).ok();
    }
    Wants::Nothing
}

/// The alerts of one line of the script at `now`. The start of an alert is when it was first posted since its last end.
fn posted(line: &(u64, bool, &[&str]), now: Timestamp, starts: &mut BTreeMap<String, Timestamp>) -> Vec<PostedAlert> {
    let (_, is_end, alerts) = line;
    alerts
        .iter()
        .map(|text| {
            let pairs: Vec<(&str, &str)> = text.split(' ').map(|pair| pair.split_once('=').unwrap()).collect();
            let name = pairs[0].1;
            let annotations = [("summary", "one & <all>".to_owned()), ("name", name.to_owned())];
            let starts_at = *starts.entry((*text).to_owned()).or_insert(now);
            if *is_end {
                starts.remove(*text);
            }
            PostedAlert {
                labels: Labels::from_pairs(pairs),
                annotations: Labels::from_pairs(annotations),
                starts_at: Some(starts_at),
                ends_at: Some(if *is_end { now } else { now + Duration::from_secs(3600) }),
                generator_url: format!("http://prom/graph?g0.expr=a+%3E+1&name={name}"),
            }
        })
        .collect()
}

pub(crate) fn body(alerts: &[PostedAlert]) -> String {
    let object = |labels: &Labels| -> serde_json::Value {
        labels
            .iter()
            .map(|label| (label.name.to_string(), json!(*label.value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let alerts: Vec<_> = alerts
        .iter()
        .map(|alert| {
            json!({
                "labels": object(&alert.labels), "annotations": object(&alert.annotations),
                "startsAt": alert.starts_at.unwrap().to_rfc3339(), "endsAt": alert.ends_at.unwrap().to_rfc3339(),
                "generatorURL": alert.generator_url,
            })
        })
        .collect();
    json!(alerts).to_string()
}

/// What the real one did: its messages, what was posted when, and its answers to [`QUESTIONS`] at the end.
struct Theirs {
    messages: Messages,
    inputs: Vec<(Timestamp, Vec<PostedAlert>)>,
    answers: Vec<String>,
}

fn run_theirs(program: &Path, config: &str, got: &mpsc::Receiver<Received>) -> Theirs {
    let folder = tempfile::tempdir().unwrap();
    let (_running, address) = start(program, folder.path(), config);
    let (began, began_at) = (Instant::now(), almenara::clock::now());
    let (mut inputs, mut starts) = (Vec::new(), BTreeMap::new());
    for line in SCRIPT {
        std::thread::sleep((began + Duration::from_millis(line.0)).saturating_duration_since(Instant::now()));
        let now = began_at + began.elapsed();
        let alerts = posted(line, now, &mut starts);
        let reply = request(&address, "POST", "/prefix/api/v2/alerts", &body(&alerts));
        assert_eq!(reply, Some((200, String::new())));
        inputs.push((now, alerts));
    }
    std::thread::sleep((began + Duration::from_millis(SCRIPT_END_MS)).saturating_duration_since(Instant::now()));
    let mut messages = Messages::new();
    for (at, path, body) in got.try_iter() {
        messages.entry(path).or_default().push((at - began, body));
    }
    let ask = |question: &&str| request(&address, "GET", &format!("/prefix{question}"), "").unwrap().1;
    Theirs { messages, inputs, answers: QUESTIONS.iter().map(ask).collect() }
}

fn run_ours(config: &str, inputs: &[(Timestamp, Vec<PostedAlert>)]) -> (Messages, Router) {
    let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("router.yml", config));
    let began_at = inputs[0].0;
    let config = config.unwrap_or_else(|| panic!("{diagnostics}"));
    let mut router = Router::new(config, "http://am.example/prefix", began_at);
    let mut messages = Messages::new();
    let mut inputs = inputs.iter().cloned().peekable();
    let end = began_at + Duration::from_millis(SCRIPT_END_MS);
    let mut delivered = Vec::new();
    loop {
        let input_at = inputs.peek().map(|(at, _)| *at);
        let Some(now) = router.next_wakeup().into_iter().chain(input_at).min().filter(|now| *now < end) else {
            return (messages, router);
        };
        let mut events: Vec<Event> = std::mem::take(&mut delivered);
        if input_at == Some(now) {
            events.extend(inputs.next().map(|(_, alerts)| Event::Posted(alerts)));
        }
        for notification in router.step(now, events) {
            delivered.push(Event::Delivered(notification.id));
            let Message::Webhook { url, body } = notification.message else { panic!("only webhooks are configured") };
            let path = url.splitn(4, '/').nth(3).unwrap_or_default();
            messages.entry(format!("/{path}")).or_default().push((now.since(began_at), body));
        }
        router.ingest(now, std::mem::take(&mut delivered));
    }
}

fn difference(theirs: &Messages, ours: &Messages) -> String {
    let mut text = String::new();
    let paths: std::collections::BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    for path in paths {
        // Several groups of one receiver flush at the same instant in any order.
        let sorted = |messages: &Messages| {
            let mut all = messages.get(path).cloned().unwrap_or_default();
            all.sort_by_key(|(at, body)| ((at.as_millis() + 250) / 500, body.clone()));
            all
        };
        let (theirs, ours) = (sorted(theirs), sorted(ours));
        for index in 0..theirs.len().max(ours.len()) {
            let (a, b) = (theirs.get(index), ours.get(index));
            let is_equal = a.zip(b).is_some_and(|(a, b)| a.1 == b.1 && a.0.abs_diff(b.0) <= TOLERANCE);
            if !is_equal {
                writeln!(text, "{path} {index}\n  theirs {a:?}\n  ours   {b:?}").unwrap();
            }
        }
    }
    text
}

#[test]
fn the_messages_are_those_of_alertmanager() {
    let Some(program) = peer("prometheus-alertmanager") else { return };
    let (address, got) = sink();
    let config = CONFIG.replace("SINK", &address);
    let theirs = run_theirs(&program, &config, &got);
    let (messages, router) = run_ours(&config, &theirs.inputs);
    let count = |messages: &Messages| messages.values().map(Vec::len).sum::<usize>();
    assert!(count(&theirs.messages) >= 30, "the script says little: {}", count(&theirs.messages));
    let difference = difference(&theirs.messages, &messages);
    assert!(difference.is_empty(), "{difference}");
    for ((question, theirs), ours) in QUESTIONS.iter().zip(&theirs.answers).zip(answers_of(router)) {
        assert_eq!(without_arrival(theirs), without_arrival(&ours), "{question}");
    }
}

fn answers_of(router: Router) -> Vec<String> {
    let api: axum::Router = v2::routes(RouterHandle::new(router, almenara::clock::now), SilenceWrites::Allowed);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ask = |question: &&str| {
        let request = Request::get(*question).body(Body::empty()).unwrap();
        runtime.block_on(async {
            let response = api.clone().oneshot(request).await.unwrap();
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        })
    };
    QUESTIONS.iter().map(ask).collect()
}

/// The answer with its keys in order, without the time of arrival, which differs by the way of the request. Which of the
/// characters `<>&` are escaped is left open: upstream escapes them inside of alerts and not elsewhere.
fn without_arrival(answer: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{answer}: {error}"));
    regex::Regex::new(r#""updatedAt":"[^"]*""#).unwrap().replace_all(&value.to_string(), "").into_owned()
}
