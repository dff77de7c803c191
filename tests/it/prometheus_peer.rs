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

/// Evaluated at one instant and over a range. What Prometheus 3.14 answers otherwise than the 3.5 that is compared with is left out.
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
    "sum(requests_total)",
    "avg without (instance) (requests_total)",
    "min by (job) (requests_total)",
    "max(requests_total) by (code)",
    "count(up) by (zone)",
    "group(up) by (job)",
    "stddev(requests_total)",
    "stdvar by (code) (requests_total)",
    "quantile(0.5, requests_total)",
    "quantile(1.5, requests_total)",
    "quantile(NaN, requests_total)",
    "bottomk(2, requests_total)",
    "topk(0, up)",
    "topk(1e30, up)",
    "topk by (code) (1, requests_total)",
    "count_values without (instance) (\"v\", up)",
    "count_values(\"\", up)",
    "count_values(\"a-b\", up)",
    "irate(requests_total[2m])",
    "idelta(temperature[2m])",
    "delta(temperature[5m])",
    "increase(requests_total[100s])",
    "resets(requests_total[20m])",
    "changes(up[10m])",
    "min_over_time(temperature[3m])",
    "max_over_time(temperature[3m])",
    "sum_over_time(temperature[3m])",
    "count_over_time(up[3m])",
    "last_over_time(up[3m])",
    "present_over_time(up[3m])",
    "absent_over_time(up[3m])",
    "stddev_over_time(requests_total[3m])",
    "stdvar_over_time(requests_total[3m])",
    "quantile_over_time(0.9, requests_total[3m])",
    "quantile_over_time(2, requests_total[3m])",
    "predict_linear(requests_total[5m], 3600)",
    "deriv(requests_total[5m])[3m:30s]",
    "max_over_time(rate(requests_total[1m])[5m:30s])",
    "sum_over_time(up[5m:1m] offset 1m)",
    "up[5m:]",
    "rate(up[5m:])",
    "histogram_quantile(1.5, latency_seconds_bucket)",
    "histogram_quantile(0.5, rate(latency_seconds_bucket[1m]))",
    "histogram_count(up)",
    "label_join(up, \"new\", \"-\", \"job\", \"instance\")",
    "label_replace(up, \"\", \"x\", \"job\", \".*\")",
    "label_replace(up, \"job\", \"x\", \"job\", \"(\")",
    "label_replace(up, \"job\", \"\", \"job\", \".*\")",
    "label_replace(requests_total, \"code\", \"x\", \"code\", \".*\")",
    "label_replace(requests_total, \"instance\", \"x\", \"instance\", \".*\")",
    "clamp(temperature, -10, 10)",
    "clamp(temperature, 10, -10)",
    "clamp_min(temperature, 0)",
    "clamp_max(temperature, 0)",
    "round(temperature, 0.1)",
    "round(temperature)",
    "floor(temperature) + ceil(temperature)",
    "sgn(temperature)",
    "abs(temperature)",
    "sqrt(temperature)",
    "exp(up)",
    "ln(requests_total)",
    "log2(requests_total)",
    "log10(requests_total)",
    "day_of_week()",
    "hour(vector(1700000000))",
    "days_in_month(vector(1709251200))",
    "timestamp(up)",
    "timestamp(up offset 1m)",
    "timestamp(up + 0)",
    "vector(scalar(up))",
    "scalar(up)",
    "pi() * 2",
    "time() % 7",
    "requests_total % 5",
    "requests_total / 0",
    "-1 ^ 2",
    "2 ^ 3 ^ 2",
    "1 > bool 2",
    "1 > 2",
    "up > bool 0",
    "up < up",
    "requests_total > on (job, instance) group_left () up",
    "requests_total / on (job, instance) group_left (zone) up",
    "requests_total / up",
    "up or vector(7)",
    "up unless on (job) requests_total{code=\"500\"}",
    "up == 1 or up == 0",
    "(up and requests_total) or on () vector(1)",
    "up @ start()",
    "up @ end()",
    "rate(requests_total[2m] @ 1700000600)",
    "up offset -1m",
    "sum(up) + sum(up offset 1h)",
    "{job=\"a\"}",
    "{job=~\"a|b\",instance!~\"y.*\"}",
    "{job=\"\"}",
    "{}",
    "up{job=~\"(\"}",
    "up[0s]",
    "rate(up[5m]",
    "sum by (job (up)",
    "sum(up) by",
    "up{a=\"b\" c=\"d\"}",
    "unknown_function(up)",
    "mad_over_time(up[5m])",
    "limitk(1, up)",
    "rate(up)",
    "rate(up[5m], 1)",
    "sum(1)",
    "sum(\"a\")",
    "-\"a\"",
    "\"a\" + 1",
    "up + \"a\"",
    "1 and 2",
    "1 == 1",
    "up bool 1",
    "up + bool up",
    "up[5m] + 1",
    "up[5m][5m]",
    "up @ up",
    "up offset 5",
    "1 +",
    "+",
    "0x1F + 0b1",
    "1_000 + 1e3",
    "Inf - Inf",
    "NaN == NaN",
    "vector(NaN)",
    "\"\\xff\"",
    "'\\n\\t\\u00e9<>&'",
    "`raw\\n`",
    "# only a comment",
    "up # with a comment",
    "sum(rate(requests_total{code=~\"5..\"}[5m])) / sum(rate(requests_total[5m])) > 0.01",
    "avg_over_time((requests_total > 100)[5m:1m])",
    "requests_total > 100 < 300",
    "absent(up)",
    "absent(sum(nothing))",
    "sum by (le) (latency_seconds_bucket) / ignoring (le) group_left () sum(latency_seconds_bucket{le=\"+Inf\"})",
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
    "query?query=up&time=1700000600&timeout=1s&lookback_delta=30s",
    "query?query=up&time=1700000600&lookback_delta=0",
    "query?query=up&time=1700000600&limit=0",
    "query?query=up&time=1700000600&limit=-1",
    "query?query=up&time=-1",
    "query?query=up&time=1e9",
    "query?query=up&time=NaN",
    "query?query=requests_total[1m]&time=1700000600&limit=1",
    "query?query=1&limit=1&time=5",
    "query?query=up&timeout=-1s",
    "query?query=up&timeout=1d2h",
    "query?query=up&timeout=1.5",
    "query",
    "query_range",
    "query_range?query=up",
    "query_range?query=up&start=x&end=1700000100&step=15",
    "query_range?query=up&start=1700000000&end=x&step=15",
    "query_range?query=up&start=1700000000&end=1700000100&step=x",
    "query_range?query=up&start=1700000000&end=1700000100&step=-1",
    "query_range?query=up&start=1700000000&end=1700000000&step=1",
    "query_range?query=up&start=1700000000.123&end=1700000100.456&step=33.3",
    "query_range?query=up&start=2023-11-14T22:13:20Z&end=2023-11-14T22:15:00+00:00&step=1m30s",
    "query_range?query=up&start=1700000000&end=1700000100&step=15&timeout=x",
    "query_range?query=up&start=1700000000&end=1700000100&step=15&limit=0",
    "query_range?query=up&start=1700000000&end=1700000100&step=15&limit=1&stats=all",
    "query_range?query=\"a\"&start=1700000000&end=1700000100&step=15",
    "query_range?query=sum(&start=1700000000&end=1700000100&step=15",
    "query_range?query=nothing&start=1700000000&end=1700000100&step=15",
    "query_exemplars?query=up",
    "query_exemplars?query=up&start=x",
    "query_exemplars?query=up&start=5&end=1",
    "query_exemplars?query=sum(&start=0&end=1",
    "query_exemplars?query=1&start=0&end=1",
    "series?match[]=nothing&start=1700000000",
    "series?match[]=up&start=x",
    "series?match[]=up&end=x",
    "series?match[]=up&limit=x",
    "series?match[]=up&limit=1&start=1700000000&end=1700001000",
    "series?match[]=up{job=~\"(\"}",
    "series?match[]={__name__=~\".+\"}&start=1700000000&end=1700001000",
    "labels?match[]=nothing&start=1700000000&end=1700001000",
    "labels?limit=2&start=1700000000&end=1700001000",
    "labels?limit=x",
    "labels?match[]=up(",
    "label/__name__/values?start=1700000000&end=1700001000",
    "label/__name__/values?limit=2&start=1700000000&end=1700001000",
    "label/job/values?match[]={}",
    "label/U__a_2e_b/values",
    "label/a-b/values",
    "metadata",
    "metadata?metric=up",
    "metadata?limit_per_metric=x",
    "format_query",
    "format_query?query=sum(",
    "parse_query?query=up",
    "parse_query",
    "targets?state=active",
    "scrape_pools",
    "alertmanagers",
    "rules?type=alert",
    "rules?exclude_alerts=x",
    "rules?match[]=up(",
    "status/tsdb?limit=x",
    "status/nothing",
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
        assert!(all_paths().len() > 900, "{} requests", all_paths().len());
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
        vec![
            format!("query?query={query}&time={END}.5"),
            format!("query_range?query={query}&start={}&end={END}&step=47.5", END - 600),
            format!("format_query?query={query}"),
            format!("query?query={query}&time={END}&stats=all"),
            format!("query_range?query={query}&start={}&end={END}&step=60&stats=1", END - 300),
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
        per_step_stats: false,
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
        alert_events: Arc::new(|_| Ok(Vec::new())),
        router: None,
        slos: Arc::new(Vec::new),
        targets: Arc::new(Default::default),
        alertmanagers: Arc::new(Default::default),
        storage_problem: Arc::new(|| None),
        snapshot: None,
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
    format!("{code} {}", without_timings(body))
}

/// How long a query took is the machine's business.
fn without_timings(body: String) -> String {
    let Some((head, rest)) = body.split_once(r#""timings":{"#) else { return body };
    let (timings, rest) = rest.split_once('}').expect("timings are an object");
    let names: Vec<&str> = timings.split(',').filter_map(|pair| pair.split(':').next()).collect();
    format!("{head}\"timings\":{{{}}}{rest}", names.join(","))
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
    let end = elements.find("]}]").map_or(0, |at| at + 2);
    let mut list: Vec<&str> =
        elements[..end].split(r#",{"metric":"#).map(|e| e.trim_start_matches(r#"{"metric":"#)).collect();
    list.sort_unstable();
    format!("{head}{}{}", list.join("|"), &elements[end..])
}
