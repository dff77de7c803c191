//! The same pages, in protobuf and in text, scraped by a real Prometheus and by our daemon: what either asks for, and what either
//! answers afterwards, must be the same.
//!
//! Samples have times of their own, so that answers to range queries can be compared byte by byte. The pages are encoded by `prost`,
//! of which our reader uses nothing. Needs `prometheus` (3.5); see `peers`.

// What was compared.
#![allow(clippy::print_stderr)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use prost::Message;
use serde_json::Value;

use crate::peers::{peer, start_prometheus};
use crate::real::process::{Running, almenara, free_port, get, wait_for};

#[derive(Clone, PartialEq, Message)]
struct Family {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Scalar>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Scalar>,
    #[prost(message, optional, tag = "4")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "5")]
    untyped: Option<Scalar>,
    #[prost(int64, tag = "6")]
    timestamp_ms: i64,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    sum: f64,
    #[prost(message, repeated, tag = "3")]
    quantiles: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(double, tag = "1")]
    quantile: f64,
    #[prost(double, tag = "2")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    sum: f64,
    #[prost(message, repeated, tag = "3")]
    buckets: Vec<Bucket>,
    #[prost(double, tag = "4")]
    count_float: f64,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(double, tag = "8")]
    zero_count_float: f64,
    #[prost(message, repeated, tag = "9")]
    negative_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "10")]
    negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "11")]
    negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "12")]
    positive_spans: Vec<Span>,
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "14")]
    positive_counts: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    bound: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// Scrapes that are compared.
const SCRAPES: i64 = 12;
/// Each job, with its further keys and whether it succeeds.
const JOBS: &[(&str, &str, bool)] = &[
    ("plain", "", true),
    ("classic_too", "always_scrape_classic_histograms: true", true),
    ("custom", "convert_classic_histograms_to_nhcb: true", true),
    ("custom_and_classic", "convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true", true),
    ("few_buckets", "native_histogram_bucket_limit: 6", true),
    ("no_buckets", "native_histogram_bucket_limit: 1", false),
    ("coarse", "native_histogram_min_bucket_factor: 2", true),
    ("text", "scrape_protocols: [PrometheusText0.0.4], convert_classic_histograms_to_nhcb: true", true),
    (
        "text_and_classic",
        "scrape_protocols: [PrometheusText1.0.0], convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true",
        true,
    ),
    (
        "relabelled",
        "metric_relabel_configs: [{source_labels: [__name__], regex: 't_native|t_mixed', action: drop}, \
         {source_labels: [__name__], regex: 't_(.*)', target_label: __name__, replacement: 't_new_$1'}]",
        true,
    ),
    ("too_many", "sample_limit: 5", false),
    ("just_enough", "sample_limit: 26", true),
    ("untyped_header", "fallback_scrape_protocol: PrometheusProto", true),
];

fn families(round: i64, at_ms: i64) -> Vec<Family> {
    let n = round as u64 + 1;
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let metric = |labels: Vec<Label>| Metric { labels, timestamp_ms: at_ms, ..Metric::default() };
    let family =
        |name: &str, kind, metrics| Family { name: name.to_owned(), help: "Things.".to_owned(), kind, metrics };
    let scalar = |value| Some(Scalar { value });
    let buckets =
        |counts: &[(f64, u64)]| counts.iter().map(|(bound, count)| Bucket { bound: *bound, count: *count }).collect();
    let classic = Histogram {
        count: 6 * n,
        sum: 7.5 * n as f64,
        buckets: buckets(&[(0.1, n), (1.0, n), (2.5, 3 * n), (1e6, 5 * n)]),
        ..Histogram::default()
    };
    let native = Histogram {
        schema: 3,
        zero_threshold: 1e-3,
        zero_count: n,
        count: 17 * n,
        positive_spans: vec![Span { offset: -3, length: 4 }, Span { offset: 2, length: 3 }],
        positive_deltas: [1, 1, -1, 0, 2, -3, 1].iter().map(|delta| delta * n as i64).collect(),
        negative_spans: vec![Span { offset: 5, length: 3 }],
        negative_deltas: vec![2 * n as i64, 0, n as i64],
        sum: 3.25 * n as f64,
        buckets: buckets(&[(1.0, 9 * n), (f64::INFINITY, 17 * n)]),
        ..Histogram::default()
    };
    let fractional = Histogram {
        schema: 0,
        count_float: 2.5 * n as f64,
        zero_count_float: 0.5,
        zero_threshold: 0.25,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_counts: vec![n as f64, 1.5 * n as f64 - 0.5],
        sum: -1.0,
        ..Histogram::default()
    };
    let empty = Histogram { positive_spans: vec![Span { offset: 0, length: 0 }], ..Histogram::default() };
    let summary = Summary {
        count: n,
        sum: 0.5,
        quantiles: [0.5, 0.99, 1.0].map(|quantile| Pair { quantile, value: quantile * n as f64 }).to_vec(),
    };
    let with = |labels, histogram: &Histogram| Metric { histogram: Some(histogram.clone()), ..metric(labels) };
    vec![
        family(
            "t_total",
            0,
            vec![Metric { counter: scalar(n as f64), ..metric(vec![label("ü", "\"x\"\n"), label("a", "")]) }],
        ),
        family("t.gauge", 1, vec![Metric { gauge: scalar(-0.5), ..metric(vec![label("job", "own")]) }]),
        family("t_untyped", 3, vec![Metric { untyped: scalar(1e21), ..metric(vec![]) }]),
        family("t_summary", 2, vec![Metric { summary: Some(summary), ..metric(vec![]) }]),
        family("t_classic", 4, vec![with(vec![label("x", "1")], &classic), with(vec![label("x", "2")], &classic)]),
        family("t_native", 4, vec![with(vec![label("x", "1")], &native), with(vec![label("x", "2")], &empty)]),
        family("t_float", 4, vec![with(vec![], &fractional)]),
        family("t_gauge_histogram", 5, vec![with(vec![], &native)]),
    ]
}

fn protobuf_page(round: i64, at_ms: i64) -> Vec<u8> {
    families(round, at_ms).iter().flat_map(Message::encode_length_delimited_to_vec).collect()
}

/// Two histograms, one of which others part, and one that contradicts itself.
fn text_page(round: i64, at_ms: i64) -> Vec<u8> {
    let n = round + 1;
    let mut page = String::from("# TYPE t_total counter\n");
    let mut line = |series: &str, value: i64| page.push_str(&format!("{series} {value} {at_ms}\n"));
    line("t_total", n);
    line("# TYPE t_classic histogram\n#", 0);
    for x in ["1", "2"] {
        for (le, count) in [("0.1", n), ("1", n), ("2.5", 3 * n), ("+Inf", 6 * n)] {
            line(&format!("t_classic_bucket{{le=\"{le}\",x=\"{x}\"}}"), count);
        }
        line(&format!("t_classic_sum{{x=\"{x}\"}}"), 7 * n);
        line(&format!("t_classic_count{{x=\"{x}\"}}"), 6 * n);
    }
    line("t_other", n);
    line("# TYPE t_false histogram\n#", 0);
    line("t_false_bucket{le=\"1\"}", 9 * n);
    line("t_false_bucket{le=\"+Inf\"}", 5 * n);
    line("t_false_count", 5 * n);
    page.into_bytes()
}

/// What was asked, by path: the `Accept` header.
type Asked = Arc<Mutex<BTreeMap<String, String>>>;

/// Serves page after page, a row of its own for each path.
fn serve(start_ms: i64) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let asked = Asked::default();
    let log = asked.clone();
    let rounds: Arc<Mutex<BTreeMap<String, i64>>> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (log, rounds) = (log.clone(), rounds.clone());
            std::thread::spawn(move || answer(stream, start_ms, &log, &rounds));
        }
    });
    (address, asked)
}

fn answer(stream: std::net::TcpStream, start_ms: i64, asked: &Asked, rounds: &Mutex<BTreeMap<String, i64>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut stream = stream;
    loop {
        let (mut path, mut accept, mut line) = (String::new(), String::new(), String::new());
        loop {
            line.clear();
            if !matches!(reader.read_line(&mut line), Ok(length) if length > 0) {
                return;
            }
            match line.trim_end().split_once(' ') {
                None => break,
                Some(("GET", rest)) => path = rest.split(' ').next().unwrap_or_default().to_owned(),
                Some((name, value)) if name.eq_ignore_ascii_case("accept:") => accept = value.to_owned(),
                Some(_) => {}
            }
        }
        let round = {
            let mut rounds = rounds.lock();
            let round = rounds.entry(path.clone()).or_insert(0);
            *round += 1;
            (*round - 1).min(SCRAPES - 1)
        };
        let at_ms = start_ms + round * 1000;
        let kind = if path.ends_with("/untyped_header") {
            ""
        } else {
            "Content-Type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited\r\n"
        };
        let (kind, page) = match accept.starts_with("text/plain") {
            true => ("Content-Type: text/plain; version=0.0.4\r\n", text_page(round, at_ms)),
            false => (kind, protobuf_page(round, at_ms)),
        };
        asked.lock().insert(path, accept);
        let head = format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: {}\r\n\r\n", page.len());
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&page)).is_err() {
            return;
        }
    }
}

fn configuration(global: &str, address: &str, whose: &str) -> String {
    let jobs: String = JOBS
        .iter()
        .map(|(name, keys, _)| {
            format!(
                "- {{job_name: {name}, metrics_path: /{whose}/{name}, static_configs: [{{targets: ['{address}'], labels: {{instance: i}}}}], {keys}}}\n"
            )
        })
        .collect();
    format!("global: {{scrape_interval: 300ms, scrape_timeout: 300ms{global}}}\nscrape_configs:\n{jobs}")
}

fn json(port: u16, path: &str) -> Value {
    let (status, body) = get(port, path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// The series of an answer by their labels, since the order of a vector is nobody's promise.
fn series(answer: &Value) -> BTreeMap<String, Value> {
    let all = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let labels = |series: &Value| -> BTreeMap<String, String> {
        serde_json::from_value(series["metric"].clone()).expect("labels")
    };
    all.iter().map(|series| (format!("{:?}", labels(series)), series.clone())).collect()
}

/// Health, error and number of samples of each job.
fn targets(port: u16) -> BTreeMap<String, (String, String)> {
    let answer = json(port, "/api/v1/targets?state=active");
    let of = |target: &Value, key: &str| target[key].as_str().unwrap_or_default().to_owned();
    let targets = answer["data"]["activeTargets"].as_array().expect("targets").clone();
    targets.iter().map(|target| (of(target, "scrapePool"), (of(target, "health"), of(target, "lastError")))).collect()
}

#[test]
fn scraped_protobuf_is_answered_as_by_prometheus() {
    let Some(prometheus) = peer("prometheus") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let start_ms = now_ms / 1000 * 1000 - 60_000;
    let (address, asked) = serve(start_ms);
    std::fs::write(folder.join("prometheus.yml"), configuration("", &address, "theirs")).expect("a file");
    let native = ", scrape_native_histograms: true";
    std::fs::write(folder.join("almenara.yml"), configuration(native, &address, "ours")).expect("a file");
    let (_theirs, theirs) = start_prometheus(&prometheus, folder, &["--enable-feature=native-histograms"]);
    let ours = free_port();
    let _ours = Running::start(
        almenara()
            .arg("serve")
            .arg(format!("--config.file={}", folder.join("almenara.yml").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{ours}"))
            .arg(format!("--storage.path={}", folder.join("own").display())),
        &folder.join("almenara.log"),
    );
    wait_for("Almenara is ready", || (get(ours, "/-/ready").0 == 200).then_some(()));
    let scrapes = format!("/api/v1/query?query=min(count_over_time(scrape_samples_scraped[1h]))%20%3E%20{SCRAPES}");
    for port in [theirs, ours] {
        wait_for("all scrapes", || (!series(&json(port, &scrapes)).is_empty()).then_some(()));
    }

    let expected: BTreeMap<String, bool> = JOBS.iter().map(|(name, _, is_up)| ((*name).to_owned(), *is_up)).collect();
    let (their_targets, our_targets) = (targets(theirs), targets(ours));
    for (job, is_up) in &expected {
        assert_eq!(our_targets[job].0 == "up", *is_up, "{job}: {:?}", our_targets[job]);
    }
    assert_eq!(our_targets, their_targets);

    let end_ms = start_ms + (SCRAPES - 1) * 1000;
    let range = format!("start={}&end={}&step=1", start_ms / 1000, end_ms / 1000);
    let mut compared = 0;
    for query in [
        "%7B__name__=~%22t.%2B%22%7D",
        "rate(t_native[5s])",
        "rate(t_classic[5s])",
        "rate(t_new_classic_bucket[5s])",
        "increase(t_float[5s])",
        "delta(t_gauge_histogram[5s])",
        "resets(t_native[5s])",
        "histogram_quantile(0.9,t_native)",
        "histogram_quantile(0.9,t_classic)",
        "histogram_fraction(0,1,t_float)",
        "sum%20by(job)(t_native)",
        "sum(t_classic%7Bjob=%22custom%22%7D)",
    ] {
        let path = format!("/api/v1/query_range?query={query}&{range}");
        let (their_series, our_series) = (series(&json(theirs, &path)), series(&json(ours, &path)));
        let names = |series: &BTreeMap<String, Value>| series.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&our_series), names(&their_series), "{query}");
        for (labels, their_one) in &their_series {
            assert_eq!(our_series[labels], *their_one, "{query} {labels}");
        }
        compared += their_series.len();
    }
    assert!(compared > 300, "only {compared} series");
    let counts = "/api/v1/query?query=last_over_time(%7B__name__=~%22scrape_samples_.%2B%22%7D[10s])";
    let values = |port| -> BTreeMap<String, String> {
        series(&json(port, counts)).into_iter().map(|(labels, one)| (labels, one["value"][1].to_string())).collect()
    };
    assert_eq!(values(ours), values(theirs));

    let asked = asked.lock();
    for (job, ..) in JOBS {
        assert_eq!(asked[&format!("/ours/{job}")], asked[&format!("/theirs/{job}")], "{job}");
    }
    eprintln!("{compared} series in range queries, {} jobs: equal", JOBS.len());
}
