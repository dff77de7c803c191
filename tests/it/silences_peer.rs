//! The same requests about silences to the real Alertmanager and to us: status and JSON of every answer must be equal, but for
//! ids and times; and the real `amtool` must work with both alike.
//!
//! Needs `prometheus-alertmanager` (0.33) and `amtool`; see `peers`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use almenara::model::Timestamp;
use serde_json::{Value, json};

use crate::peers::peer;
use crate::real::process::{Running, almenara, exchange_json, free_port, get, wait_for};

const CONFIG: &str = "route: {receiver: team}\nreceivers: [{name: team}]\n";

/// Theirs and ours, each on its port.
struct Pair {
    _running: [Running; 2],
    ports: [u16; 2],
    _folder: tempfile::TempDir,
}

fn start() -> Option<Pair> {
    let alertmanager = peer("prometheus-alertmanager")?;
    let folder = tempfile::tempdir().expect("folder");
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("alertmanager.yml"), CONFIG).expect("write");
    std::fs::write(file("almenara.yml"), "router: alertmanager.yml\n").expect("write");
    let ports = [free_port(), free_port()];
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let address = |port: u16| format!("--web.listen-address=127.0.0.1:{port}");
    let theirs = Running::start(
        Command::new(alertmanager)
            .args([flag("config.file", &file("alertmanager.yml")), flag("storage.path", &file("theirs"))])
            .args([address(ports[0]), "--cluster.listen-address=".to_owned()]),
        &file("theirs.log"),
    );
    let ours = Running::start(
        almenara()
            .arg("serve")
            .args([flag("config.file", &file("almenara.yml")), flag("storage.path", &file("ours"))])
            .arg(address(ports[1])),
        &file("ours.log"),
    );
    for port in ports {
        wait_for("both answer", || (get(port, "/-/ready").0 == 200).then_some(()));
    }
    Some(Pair { _running: [theirs, ours], ports, _folder: folder })
}

impl Pair {
    /// Sends the same to both and compares. `body` is made with the ids that each of them gave so far.
    fn compare(&self, method: &str, path: &str, body: &Value, known: &mut [BTreeMap<String, String>; 2]) {
        let mut answers = Vec::new();
        for (port, known) in self.ports.iter().zip(known.iter_mut()) {
            let name = |text: &str| known.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id));
            let (status, text) = exchange_json(*port, method, &name(path), &name(&body.to_string()));
            let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            if let Some(id) = answer["silenceID"].as_str()
                && !known.values().any(|other| other == id)
            {
                known.insert(format!("ID{}", known.len()), id.to_owned());
            }
            let shown = known.iter().fold(answer.to_string(), |text, (name, id)| text.replace(id, name));
            answers.push((status, without_times(&shown)));
        }
        assert_eq!(answers[0], answers[1], "{method} {path} {body}: theirs, ours");
    }
}

/// Times within a minute of now become `NOW`, those of an end that the server filled in (the resolve timeout of five minutes from now)
/// `LATER`: the two servers are asked one after the other. The silences of the test lie whole hours away.
fn without_times(text: &str) -> String {
    let now = almenara::clock::now();
    let pattern = regex::Regex::new(r#""\d{4}-[^"]*Z""#).expect("a pattern");
    pattern
        .replace_all(text, |found: &regex::Captures<'_>| {
            let instant: jiff::Timestamp = found[0].trim_matches('"').parse().expect("a time");
            let at = Timestamp::from_ms(instant.as_millisecond());
            match at.ms_since(now) {
                -60_000..60_000 => "\"NOW\"".to_owned(),
                240_000..360_000 => "\"LATER\"".to_owned(),
                _ => found[0].to_owned(),
            }
        })
        .into_owned()
}

#[test]
fn answers_are_those_of_alertmanager() {
    let Some(pair) = start() else { return };
    let now = almenara::clock::now();
    let hours = |count: i64| Timestamp::from_ms(now.as_ms() / 1000 * 1000).plus_ms(count * 3_600_000).to_rfc3339();
    let silence = |matchers: Value, from: i64, to: i64| json!({"matchers": matchers, "startsAt": hours(from), "endsAt": hours(to), "createdBy": "me", "comment": "c"});
    let matcher = |name: &str, value: &str| json!({"name": name, "value": value, "isRegex": false, "isEqual": true});
    let with = |mut silence: Value, key: &str, value: Value| {
        silence[key] = value;
        silence
    };
    let ab = || json!([matcher("a", "b")]);
    let posts = [
        silence(ab(), 0, 1),
        with(silence(ab(), -1, 2), "annotations", json!({"k": "v"})),
        silence(json!([matcher("b", "<2>"), matcher("a", "1"), {"name": "c", "value": "x.*", "isRegex": true}]), 2, 3),
        silence(json!([{"name": "ü b", "value": "", "isRegex": true, "isEqual": false}]), 0, 4),
        // Changes: of the end, of the comment, of a matcher, of a start that has passed, of a pending start, of what has expired.
        with(silence(ab(), 0, 5), "id", json!("ID0")),
        with(with(silence(ab(), 0, 5), "id", json!("ID1")), "comment", json!("other")),
        with(silence(json!([matcher("a", "c")]), 0, 6), "id", json!("ID3")),
        with(silence(ab(), 4, 7), "id", json!("ID2")),
        with(silence(ab(), 0, 7), "id", json!("ID3")),
        // Refusals.
        silence(json!([]), 0, 1),
        silence(json!([matcher("a", "")]), 0, 1),
        silence(json!([matcher("", "b")]), 0, 1),
        silence(json!([{"name": "a", "value": "(", "isRegex": true}]), 0, 1),
        silence(json!([{"name": "a", "value": "x"}]), 0, 1),
        silence(ab(), 1, 1),
        silence(ab(), -2, -1),
        json!({}),
        with(silence(ab(), 0, 1), "comment", Value::Null),
        with(silence(ab(), 0, 1), "id", json!("f47ac10b-58cc-4372-a567-0e02b2c3d479")),
        with(silence(ab(), 0, 1), "id", json!("nope")),
    ];
    let mut known = [BTreeMap::new(), BTreeMap::new()];
    for body in &posts {
        pair.compare("POST", "/api/v2/silences", body, &mut known);
    }
    assert!(known[0].len() >= 6, "{known:?}");
    let alerts = json!([{"labels": {"alertname": "X", "a": "c"}}, {"labels": {"alertname": "Y"}}]);
    pair.compare("POST", "/api/v2/alerts", &alerts, &mut known);
    for (method, path) in [
        ("GET", "/api/v2/silences"),
        ("GET", "/api/v2/silences?filter=a%3D%22b%22"),
        ("GET", "/api/v2/silences?filter=a"),
        ("GET", "/api/v2/silence/ID0"),
        ("GET", "/api/v2/silence/nope"),
        ("GET", "/api/v2/silence/f47ac10b-58cc-4372-a567-0e02b2c3d479"),
        ("DELETE", "/api/v2/silence/nope"),
        ("DELETE", "/api/v2/silence/f47ac10b-58cc-4372-a567-0e02b2c3d479"),
        ("DELETE", "/api/v2/silence/ID1"),
        ("DELETE", "/api/v2/silence/ID1"),
        ("DELETE", "/api/v2/silence/ID4"),
        ("GET", "/api/v2/silence/ID4"),
        ("GET", "/api/v2/silences"),
        ("GET", "/api/v2/alerts?active=false&filter=alertname%3DX"),
    ] {
        pair.compare(method, path, &Value::Null, &mut known);
    }
}

/// Runs `amtool` against both with each one's ids and compares what it prints, ids and times masked.
fn compare_amtool(amtool: &Path, pair: &Pair, arguments: &[&str], ids: &mut [Vec<String>; 2]) {
    let mask = regex::Regex::new(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").expect("a pattern");
    let times = regex::Regex::new(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| UTC)").expect("a pattern");
    let mut printed = Vec::new();
    for (port, ids) in pair.ports.iter().zip(ids.iter_mut()) {
        let arguments = arguments.iter().map(|argument| match argument.strip_prefix('#') {
            Some(index) => ids[index.parse::<usize>().expect("an index")].clone(),
            None => (*argument).to_owned(),
        });
        let output = Command::new(amtool)
            .arg(format!("--alertmanager.url=http://127.0.0.1:{port}"))
            .args(arguments)
            .output()
            .expect("amtool runs");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        let text = text.trim().to_owned();
        ids.extend(mask.find_iter(&text).next().map(|found| found.as_str().to_owned()));
        let masked = mask.replace_all(&text, "ID").into_owned();
        // The two are asked one after the other.
        let masked = times.replace_all(&masked, "AT").into_owned();
        printed.push((output.status.success(), masked));
    }
    assert_eq!(printed[0], printed[1], "amtool {arguments:?}: theirs, ours");
}

#[test]
fn amtool_cannot_tell_us_apart() {
    let (Some(amtool), Some(pair)) = (peer("amtool"), start()) else { return };
    let folder = tempfile::tempdir().expect("folder");
    let import = folder.path().join("import.json");
    let one = json!([{
        "matchers": [{"name": "from", "value": "file", "isRegex": false, "isEqual": true}],
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2120-01-01T00:00:00Z", "createdBy": "me", "comment": "imported",
    }]);
    std::fs::write(&import, one.to_string()).expect("write");
    let mut ids = [Vec::new(), Vec::new()];
    for arguments in [
        &["silence", "query"][..],
        &["silence", "add", "alertname=Disk", "b=~c.*", "--author=me", "--comment=full", "--duration=2h"],
        &["silence", "query"],
        &["silence", "query", "-o", "extended", "alertname=Disk"],
        &["silence", "update", "#0", "--comment=still full", "--duration=3h"],
        &["silence", "query", "-o", "json", "alertname=Disk"],
        &["silence", "add", "a!=b", "--author=me", "--comment=two", "--duration=1h"],
        &["silence", "query", "-q", "a!=b"],
        &["alert", "add", "alertname=Disk", "b=cd"],
        &["alert", "query"],
        &["alert", "query", "-s"],
        &["silence", "expire", "#0"],
        &["silence", "query", "--expired"],
        &["silence", "query", "--within=90m"],
        &["silence", "expire", "nope"],
        &["silence", "expire", "f47ac10b-58cc-4372-a567-0e02b2c3d479"],
        &["silence", "import", import.to_str().expect("a path")],
        &["silence", "query", "from=file"],
        &["silence", "add", "a=", "--author=me", "--comment=c", "--duration=1h"],
    ] {
        compare_amtool(&amtool, &pair, arguments, &mut ids);
    }
    assert!(!ids[0].is_empty() && ids[0] != ids[1]);
}
