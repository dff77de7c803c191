//! The same samples in a real Prometheus and in our store, the same requests to both: the answers must be equal byte for byte,
//! but for the order of vectors whose order Prometheus leaves to its maps.
//!
//! Needs `prometheus` and `promtool` (3.5); see `peers`.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use almenara::api::{AppState, Live, Queries, QuerySettings, router};
use almenara::clock;
use almenara::model::{Labels, Timestamp};
use almenara::promql::Dialect;
use almenara::store::{ExemplarStore, MetadataStore, Row, Store, StoreOptions};
use parking_lot::RwLock;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::peers::{peer, start_prometheus};
use crate::real::process::Running;

/// The first scrape, in seconds.
const START: i64 = 1_700_000_000;
const SCRAPES: i64 = 80;
const INTERVAL_SECS: i64 = 15;
const END: i64 = START + (SCRAPES - 1) * INTERVAL_SECS;

/// Evaluated at one instant and over a range.
const QUERIES: &[&str] = &[
    "up",
    "up{job=\"a\"} == 1",
    "up{zone!=\"\"}",
    "up{zone=\"\"}",
    "{__name__=~\"u.|requests_total\",job!~\"b\"}",
    "requests_total[1m]",
    "rate(requests_total[2m])",
    "sum by (code) (increase(requests_total[5m]))",
    "histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket[5m])))",
    "temperature * 1e-9",
    "temperature ^ 2",
    "requests_total * 1e20",
    "-temperature",
    "avg_over_time(temperature[3m:20s])",
    "deriv(temperature[5m])",
    "count_values(\"value\", up)",
    "absent(nothing{a=\"b\"})",
    "topk(1, requests_total)",
    "up * on (instance) group_left (zone) up{job=\"a\"}",
    "label_replace(up, \"copy\", \"<$1>\", \"instance\", \"(.*):.*\")",
    "scalar(count(up))",
    "time()",
    "1e21",
    "1 / 0",
    "\"<text>\"",
    "vector(1e-7)",
    "rate(up[1m])",
    "up offset 1m",
    "temperature @ 1700000100",
    "up + on () group_left () vector(1)",
    "up and on (job) up{job=\"b\"} unless up == 0",
    "rate(requests_total)",
    "sum(",
    "up{job=}",
    "up ==",
    "foo bar",
    "abs(\"a\")",
    "",
];

/// Paths with their parameters, in our own spelling.
const REQUESTS: &[&str] = &[
    "query?query=up&time=abc",
    "query?query=up&time=2023-11-14T22:20:00Z&limit=1",
    "query?query=up&limit=x",
    "query?query=up&timeout=x",
    "query?query=up&lookback_delta=x",
    "query?query=1&time=1.005",
    "query_range?query=up&start=1700000000&end=1700000100",
    "query_range?query=up&start=1700000000&end=1700000100&step=0",
    "query_range?query=up&start=1700000100&end=1700000000&step=15",
    "query_range?query=up&start=1700000000&end=1700011001&step=1",
    "query_range?query=up&start=1700000000&end=1700000100&step=1m&limit=2",
    "query_range?query=up[1m]&start=1700000000&end=1700000100&step=15",
    "series",
    "series?match[]=up&start=1700000000&end=1700001000",
    "series?match[]=up&match[]={job=\"b\"}&start=1700000000&end=1700001000&limit=3",
    "series?match[]={}&start=1700000000",
    "series?match[]=up(&start=1700000000",
    "labels?start=1700000000&end=1700001000",
    "labels?match[]=up&start=1700000000&end=1700001000",
    "labels?start=x",
    "label/job/values?start=1700000000&end=1700001000",
    "label/instance/values?match[]=up{job=\"a\"}&start=1700000000&end=1700001000",
    "label/nothing/values",
    "metadata?limit=x",
    "format_query?query=sum(rate(requests_total{code=~\"5..\"}[5m]))by(job,instance)/sum(rate(requests_total[5m]))by(job,instance)",
    "rules?type=x",
    "rules?group_limit=0",
    "rules?group_next_token=x",
    "rules",
    "alerts",
    "status/tsdb?limit=0",
    "query_exemplars?query=up&start=0&end=1",
    "nothing",
];

/// A parse error is Prometheus's to the letter, and our help follows after a semicolon.
fn has_help_after(expected: &str, got: &str) -> bool {
    let message = expected.strip_suffix("\"}").filter(|text| text.contains("parse error: "));
    message.and_then(|message| got.strip_prefix(message)).is_some_and(|help| help.starts_with("; "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_prometheus() {
    let (Some(prometheus), Some(promtool)) = (peer("prometheus"), peer("promtool")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_running, theirs) = start(&prometheus, &promtool, folder.path());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router(state())).await });

    let different = tokio::task::spawn_blocking(move || {
        let mut different = String::new();
        for path in all_paths() {
            let (expected, got) = (ask(theirs, &path), ask(ours, &path));
            if sorted(&expected) != sorted(&got) && !has_help_after(&expected, &got) {
                write!(different, "\n{path}\n  Prometheus: {expected}\n  Almenara:   {got}").unwrap();
            }
        }
        different
    });
    let different = different.await.unwrap();
    assert!(different.is_empty(), "{different}");
}

fn all_paths() -> Vec<String> {
    let encoded = |query: &str| utf8_percent_encode(query, NON_ALPHANUMERIC).to_string();
    let of_query = |query: &&str| {
        let query = encoded(query);
        [
            format!("query?query={query}&time={END}.5"),
            format!("query_range?query={query}&start={}&end={END}&step=47.5", END - 600),
            format!("format_query?query={query}"),
        ]
    };
    let of_request = |request: &&str| match request.split_once('?') {
        None => (*request).to_owned(),
        Some((path, params)) => {
            let pairs = params.split('&').map(|pair| pair.split_once('=').expect("name=value"));
            let pairs: Vec<String> =
                pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
            format!("{path}?{}", pairs.join("&"))
        }
    };
    QUERIES.iter().flat_map(of_query).chain(REQUESTS.iter().map(of_request)).collect()
}

/// Name with labels as both formats write them, and the value at a scrape.
fn samples(scrape: i64) -> Vec<(&'static str, f64)> {
    let n = scrape as f64;
    let counter = |per_scrape: f64| ((scrape % 50) as f64 * per_scrape).floor();
    vec![
        (r#"up{instance="x:1",job="a",zone="<z>"}"#, f64::from(u8::from(scrape % 9 != 3))),
        (r#"up{instance="y:1",job="b"}"#, 1.0),
        (r#"requests_total{code="200",instance="x:1",job="a"}"#, counter(7.3)),
        (r#"requests_total{code="500",instance="x:1",job="a"}"#, counter(0.4)),
        (r#"requests_total{code="200",instance="y:1",job="b"}"#, n * 1e6),
        (r#"latency_seconds_bucket{le="0.1"}"#, n * 5.0),
        (r#"latency_seconds_bucket{le="1"}"#, n * 8.0),
        (r#"latency_seconds_bucket{le="+Inf"}"#, n * 9.0),
        (r#"temperature{place="é\"\\"}"#, (n / 7.0).sin() * 30.0),
        (r#"temperature{place="off"}"#, if scrape % 2 == 0 { f64::NAN } else { f64::INFINITY }),
    ]
}

pub(crate) fn state() -> AppState {
    let store = Store::new(StoreOptions { retention: Duration::from_secs(3600) });
    for scrape in 0..SCRAPES {
        let at = Timestamp::from_ms((START + scrape * INTERVAL_SECS) * 1000);
        let row = |(series, value): (&str, f64)| Row::new(store.series_ref(&labels(series)), at, value);
        let rows: Vec<Row> = samples(scrape).into_iter().map(row).collect();
        assert_eq!(store.commit(&rows).appended, rows.len());
    }
    let settings = QuerySettings {
        lookback_delta: Duration::from_secs(300),
        timeout: Duration::from_secs(60),
        max_samples: 1_000_000,
        max_concurrency: 4,
        dialect: Dialect::default(),
    };
    let live = Live {
        config_yaml: "".into(),
        flags: Vec::new(),
        external_url: "http://localhost".into(),
        external_labels: Labels::empty(),
        default_subquery_step: Duration::from_secs(60),
        retention: Duration::from_secs(3600),
        started_at: clock::now(),
        config_loaded_at: clock::now(),
        is_config_good: true,
        is_ready: true,
    };
    AppState {
        store: Arc::new(store),
        metadata: Arc::new(MetadataStore::new()),
        exemplars: Arc::new(ExemplarStore::new()),
        receiver: None,
        queries: Arc::new(Queries::new(settings)),
        live: Arc::new(RwLock::new(live)),
        rules: Arc::new(Vec::new),
        slos: Arc::new(Vec::new),
        targets: Arc::new(Default::default),
        alertmanagers: Arc::new(Default::default),
        reload: None,
        collectors: Arc::new([]),
    }
}

/// Through our own parser, so that both sides read the same text.
fn labels(series: &str) -> Labels {
    let matchers = almenara::promql::parse_metric_selector(series).unwrap();
    Labels::from_pairs(matchers.iter().map(|matcher| (matcher.name.clone(), matcher.value.clone())))
}

/// Puts the samples into a block of Prometheus's own and starts it over that. Gives its port.
fn start(prometheus: &Path, promtool: &Path, folder: &Path) -> (Running, u16) {
    let mut text = String::new();
    let first = samples(0);
    for (index, (series, _)) in first.iter().enumerate() {
        for scrape in 0..SCRAPES {
            let value = format!("{}", samples(scrape)[index].1).replace("inf", "+Inf");
            writeln!(text, "{series} {value} {}", START + scrape * INTERVAL_SECS).unwrap();
        }
    }
    text.push_str("# EOF\n");
    std::fs::write(folder.join("samples"), text).unwrap();
    std::fs::write(folder.join("prometheus.yml"), "{}").unwrap();
    let filled = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics", "-q", "samples", "data"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));

    start_prometheus(prometheus, folder, &["--storage.tsdb.retention.time=100y"])
}

fn ask(port: u16, path: &str) -> String {
    let (code, body) = exchange(port, &format!("/api/v1/{path}")).expect("an answer");
    format!("{code} {body}")
}

/// One request by HTTP/1.0, whose answer ends with the connection.
fn exchange(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// An answer with the elements of a vector in order of text.
fn sorted(answer: &str) -> String {
    let Some((head, elements)) = answer.split_once(r#""resultType":"vector","result":["#) else {
        return answer.to_owned();
    };
    let end = elements.find("]}]}").map_or(0, |at| at + 2);
    let mut list: Vec<&str> =
        elements[..end].split(r#",{"metric":"#).map(|e| e.trim_start_matches(r#"{"metric":"#)).collect();
    list.sort_unstable();
    format!("{head}{}{}", list.join("|"), &elements[end..])
}
