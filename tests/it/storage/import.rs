//! From a real Prometheus to us, sample for sample; and back, as a Prometheus reads from us.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use almenara::disk::Disk;
use almenara::model::{Timestamp, Value, stale_nan};
use almenara::remote::message::{Count, Histogram, LabelV1, RequestV1, Sample, SeriesV1, Span, ZeroCount};
use almenara::store::{Store, StoreOptions};

use crate::peers::{peer, start_prometheus};
use crate::real::deployment::Deployment;
use crate::real::process::{Running, almenara, get, wait_for};
use crate::remote::{V1, pack, send};

/// Samples of each series, a minute apart, that end now.
const SAMPLES: i64 = 700;

/// Series by the text of their labels: times, and values by their bits.
type Contents = BTreeMap<String, Vec<(i64, String)>>;

fn labels(pairs: &[(&'static str, String)]) -> Vec<LabelV1> {
    pairs.iter().map(|(name, value)| LabelV1 { name: (*name).into(), value: value.clone().into() }).collect()
}

fn sample(timestamp: i64, value: f64) -> Sample {
    Sample { value, timestamp, start_timestamp: 0 }
}

/// Counters with restarts, gauges of full precision, constants, irregular times, gaps, staleness markers, special values; native histograms
/// with whole and with fractional counts.
fn series(first: i64) -> Vec<SeriesV1> {
    let times = |step: i64| first + step * 60_000;
    let one = |number: usize, value: &dyn Fn(i64) -> Option<(i64, f64)>| SeriesV1 {
        labels: labels(&[("__name__", "m".to_owned()), ("job", "import".to_owned()), ("n", number.to_string())]),
        samples: (0..SAMPLES).filter_map(value).map(|(at, value)| sample(at, value)).collect(),
        ..SeriesV1::default()
    };
    let mut all = vec![
        one(0, &|step| Some((times(step), (step % 97 * 13) as f64))),
        one(1, &|step| Some((times(step), (step as f64).sin() * 1e-7))),
        one(2, &|step| Some((times(step), 7.0))),
        one(3, &|step| Some((times(step) + step * step % 4999, step as f64 * 0.1))),
        one(4, &|step| (step % 50 < 20).then(|| (times(step), step as f64))),
        one(5, &|step| Some((times(step), if step % 100 == 99 { stale_nan() } else { step as f64 }))),
        one(6, &|step| {
            let special = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -1.0, f64::MIN_POSITIVE, 1e308, 5e-324];
            Some((times(step), special[step as usize % special.len()]))
        }),
    ];
    // Each minute ten requests, one of which fails.
    all.extend([("200", 9), ("500", 1)].map(|(code, each)| SeriesV1 {
        labels: labels(&[
            ("__name__", "requests_total".to_owned()),
            ("code", code.to_owned()),
            ("job", "shop".to_owned()),
        ]),
        samples: (0..SAMPLES).map(|step| sample(times(step), (step * each) as f64)).collect(),
        ..SeriesV1::default()
    }));
    let histogram = |step: i64, is_whole: bool| {
        let buckets = [step, step * 2, 3];
        let total = buckets.iter().sum::<i64>() + 1;
        Histogram {
            count: Some(if is_whole { Count::Whole(total as u64) } else { Count::Fractional(total as f64) }),
            zero_count: Some(if is_whole { ZeroCount::Whole(1) } else { ZeroCount::Fractional(1.0) }),
            sum: step as f64 * 1.5,
            schema: 3,
            zero_threshold: 0.001,
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
            positive_deltas: if is_whole {
                vec![buckets[0], buckets[1] - buckets[0], buckets[2] - buckets[1]]
            } else {
                vec![]
            },
            positive_counts: if is_whole { vec![] } else { buckets.map(|count| count as f64).to_vec() },
            timestamp: times(step),
            ..Histogram::default()
        }
    };
    for (name, is_whole) in [("whole", true), ("fractional", false)] {
        all.push(SeriesV1 {
            labels: labels(&[("__name__", "h".to_owned()), ("job", "import".to_owned()), ("kind", name.to_owned())]),
            histograms: (0..SAMPLES).map(|step| histogram(step, is_whole)).collect(),
            ..SeriesV1::default()
        });
    }
    all
}

/// A Prometheus with these series, which adds a label when it is read from, and the time of the first sample.
fn source(folder: &Path) -> Option<(Running, u16, i64)> {
    let program = peer("prometheus")?;
    std::fs::write(folder.join("prometheus.yml"), "global: {external_labels: {region: eu}}\n").expect("file");
    let flags = ["--web.enable-remote-write-receiver", "--enable-feature=native-histograms"];
    let (running, port) = start_prometheus(&program, folder, &flags);
    let now = almenara::clock::now().as_ms() / 1000 * 1000;
    let first = now - (SAMPLES + 1) * 60_000;
    let all = series(first);
    // In order of time, and not all at once.
    for part in 0..7 {
        let range = |at: i64| (at - first) / 60_000 / 101 == part;
        let cut = |one: &SeriesV1| SeriesV1 {
            samples: one.samples.iter().copied().filter(|sample| range(sample.timestamp)).collect(),
            histograms: one.histograms.iter().filter(|one| range(one.timestamp)).cloned().collect(),
            ..one.clone()
        };
        let request = RequestV1 { series: all.iter().map(cut).collect(), metadata: Vec::new() };
        let sent = send(port, V1, &pack(&request));
        assert_eq!(sent.status, 204, "{}", sent.body);
    }
    Some((running, port, first))
}

fn import(folder: &Path, arguments: &[&str]) -> String {
    let output =
        almenara().args(["store", "import", "--storage.path"]).arg(folder).args(arguments).output().expect("import");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text
}

/// What lies in the folder.
fn contents(folder: &Path) -> Contents {
    let store = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
    let (_disk, recovered) = Disk::open(&folder.join("samples"), &store, Timestamp::MIN).expect("a folder");
    assert_eq!(recovered.losses, []);
    let value = |value: &Value| match value {
        Value::Float(value) => format!("{:x}", value.to_bits()),
        Value::Histogram(histogram) => {
            format!(
                "{} {} {:?} {:?}",
                histogram.count, histogram.sum, histogram.positive_spans, histogram.positive_buckets
            )
        }
    };
    let all = store.select(&[], Timestamp::MIN, Timestamp::MAX);
    let samples = |one: &almenara::model::Series| one.samples.iter().map(|s| (s.at.as_ms(), value(&s.value))).collect();
    all.iter()
        .filter(|one| one.labels.get("job") == Some("import"))
        .map(|one| (one.labels.to_string(), samples(one)))
        .collect()
}

fn assert_same(found: &Contents, expected: &Contents) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, all) in found {
        let differing = all.iter().zip(&expected[key]).find(|(found, expected)| found != expected);
        assert!(differing.is_none() && all.len() == expected[key].len(), "{key}: {differing:?}");
    }
}

fn expected(first: i64) -> Contents {
    let text = |one: &SeriesV1, of: &str| {
        let found = one.labels.iter().find(|label| label.name == of)?;
        Some(String::from_utf8_lossy(&found.value).into_owned())
    };
    let mut all = Contents::new();
    let is_imported = |one: &SeriesV1| one.labels.iter().any(|label| &*label.value == b"import");
    for one in series(first).into_iter().filter(is_imported) {
        let (name, n, kind) = (text(&one, "__name__").expect("a name"), text(&one, "n"), text(&one, "kind"));
        let last = n.map(|n| format!("n=\"{n}\"")).or(kind.map(|kind| format!("kind=\"{kind}\""))).expect("a label");
        let key = format!("{name}{{job=\"import\",{last}}}");
        let histogram = |h: &Histogram| {
            let step = (h.timestamp - first) / 60_000;
            let (count, buckets) = (step * 3 + 4, vec![step as f64, step as f64 * 2.0, 3.0]);
            let spans = h
                .positive_spans
                .iter()
                .map(|span| almenara::model::HistogramSpan { offset: span.offset, length: span.length });
            format!("{count} {} {:?} {buckets:?}", h.sum, spans.collect::<Vec<_>>())
        };
        let numbers = one.samples.iter().map(|s| (s.timestamp, format!("{:x}", s.value.to_bits())));
        all.insert(key, numbers.chain(one.histograms.iter().map(|h| (h.timestamp, histogram(h)))).collect());
    }
    all
}

/// A window that ends now and is shorter than the history.
const SLO: &str = r#"slos:
- {name: shop, objective: 95, window: 10h, indicator: {errors: {bad: 'requests_total{code="500"}', total: requests_total}}}
"#;

#[test]
fn a_budget_beside_a_prometheus_is_right_from_the_first_minute() {
    let folder = tempfile::tempdir().expect("folder");
    let Some((_prometheus, port, _)) = source(folder.path()) else { return };
    let (ours, objectives) = (folder.path().join("ours"), folder.path().join("slo.yml"));
    std::fs::write(&objectives, SLO).expect("file");
    let from = ["--from", &format!("http://127.0.0.1:{port}"), "--slo", objectives.to_str().expect("a path")];
    let told = import(&ours, &from);
    assert!(contents(&ours).is_empty(), "what no objective reads came too: {told}");
    let files = [("almenara.yml", "slo_files: [slo.yml]\n"), ("slo.yml", SLO)];
    let deployment = Deployment::start(&files, &[&format!("--storage.path={}", ours.display())]);
    let window = wait_for("the objective is evaluated", || {
        let data = deployment.data("/api/almenara/v1/slos/shop/burn_rates");
        (data[0]["evaluated"] == true).then_some(())?;
        data[0]["windows"].as_array()?.last().cloned()
    });
    let figure = |name: &str| window[name].as_f64().unwrap_or_else(|| panic!("{window}"));
    // Ten hours less the minute or two since the last sample.
    let minutes = figure("total") / 10.0;
    assert!((597.0..=600.0).contains(&minutes), "{window}");
    assert_eq!(figure("total") - figure("good"), minutes, "{window}");
    assert!(figure("coverage") > 0.99, "{window}");
}

#[test]
fn what_prometheus_has_is_ours_sample_for_sample() {
    let folder = tempfile::tempdir().expect("folder");
    let Some((_prometheus, port, first)) = source(folder.path()) else { return };
    let (url, ours) = (format!("http://127.0.0.1:{port}"), folder.path().join("ours"));
    let from = ["--from", &url, "--match", "{job=\"import\"}", "--start", "2d"];
    let total: usize = expected(first).values().map(Vec::len).sum();

    let half = (first + SAMPLES / 2 * 60_000) / 1000;
    let told = import(&ours, &[&from[..], &["--end", &half.to_string()]].concat());
    assert!(told.contains(" 0 there already, 0 refused"), "{told}");
    let told = import(&ours, &from);
    assert!(told.contains("there already, 0 refused"), "{told}");
    assert_same(&contents(&ours), &expected(first));
    // Once more: nothing new.
    let told = import(&ours, &from);
    assert!(told.contains(" 0 samples in") && told.contains(&format!("{total} there already, 0 refused")), "{told}");

    // By queries there are no staleness markers and no histograms, and the rest is equal.
    let queried = folder.path().join("queried");
    let told = import(&queried, &[&from[..], &["--api", "query"]].concat());
    assert!(told.contains(&format!("{} native histograms are left out", 2 * SAMPLES)), "{told}");
    let mut numbers = expected(first);
    numbers.retain(|key, _| key.starts_with('m'));
    let stale = format!("{:x}", stale_nan().to_bits());
    numbers.values_mut().for_each(|all| all.retain(|(_, value)| *value != stale));
    // NaN loses its bits in JSON.
    let plain = |mut all: Contents| {
        let nan = |bits: &str| u64::from_str_radix(bits, 16).is_ok_and(|bits| f64::from_bits(bits).is_nan());
        all.values_mut().flatten().filter(|(_, value)| nan(value)).for_each(|(_, value)| *value = "NaN".to_owned());
        all
    };
    assert_same(&plain(contents(&queried)), &plain(numbers));
}

#[test]
fn a_prometheus_reads_from_us_what_we_have() {
    let folder = tempfile::tempdir().expect("folder");
    let Some((_prometheus, port, _)) = source(folder.path()) else { return };
    let url = format!("http://127.0.0.1:{port}");
    let deployment = {
        let data = folder.path().join("ours");
        import(&data, &["--from", &url, "--match", "{job=\"import\"}", "--start", "2d"]);
        Deployment::start(&[("almenara.yml", "{}")], &[&format!("--storage.path={}", data.display())])
    };
    let reader = folder.path().join("reader");
    std::fs::create_dir(&reader).expect("folder");
    let config =
        format!("remote_read: [{{url: 'http://127.0.0.1:{}/api/v1/read', read_recent: true}}]\n", deployment.port);
    std::fs::write(reader.join("prometheus.yml"), config).expect("file");
    let Some(program) = peer("prometheus") else { return };
    let (_reader, reading) = start_prometheus(&program, &reader, &["--enable-feature=native-histograms"]);
    let now = almenara::clock::now().as_ms() / 1000 - 60;
    for query in ["m", "h", "rate(m[10m])", "histogram_quantile(0.9,rate(h[10m]))", "count_over_time(m[11h])"] {
        let encoded: String = url_encoded(query);
        let range = format!("/api/v1/query_range?query={encoded}&start={}&end={now}&step=300", now - 10 * 3600);
        let (ours, theirs) = (get(deployment.port, &range), get(reading, &range));
        assert!(ours.1.len() > 1000, "{query}: {}", ours.1);
        assert_eq!(ours, theirs, "{query}");
    }
}

fn url_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[test]
fn an_import_that_fails_says_why() {
    let folder = tempfile::tempdir().expect("folder");
    let run = |arguments: &[&str]| {
        let output = almenara()
            .args(["store", "import", "--storage.path"])
            .arg(folder.path())
            .args(arguments)
            .output()
            .expect("import");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run(&["--from", "http://127.0.0.1:1"]);
    assert!(code == Some(1) && text.contains("run it again to go on"), "{text}");
    let (code, text) = run(&["--from", "http://127.0.0.1:1", "--match", "{"]);
    assert!(code == Some(1) && text.contains("--match {"), "{text}");
    let (code, text) = run(&["--from", "http://127.0.0.1:1", "--start", "yesterday"]);
    assert!(code == Some(1) && text.contains("neither a time nor a duration"), "{text}");
}

/// The objective's window as the API shows it once it has been evaluated and `is_done` says so of total and coverage.
fn window_of(deployment: &Deployment, name: &str, is_done: impl Fn(f64, f64) -> bool) -> (f64, f64, f64) {
    let path = format!("/api/almenara/v1/slos/{name}");
    wait_for("the objective has its history", || {
        let (status, _) = get(deployment.port, &path);
        let data = (status == 200).then(|| deployment.data(&path))?;
        data[0]["evaluated"].as_bool().filter(|is_evaluated| *is_evaluated)?;
        let window = data[0]["windows"].as_array()?.last()?.clone();
        let figure = |name: &str| window[name].as_f64();
        let found = (figure("total")?, figure("total")? - figure("good")?, figure("coverage")?);
        is_done(found.0, found.2).then_some(found)
    })
}

#[test]
fn the_daemon_reads_the_history_of_objectives_that_begin() {
    let folder = tempfile::tempdir().expect("folder");
    let Some((_prometheus, port, _)) = source(folder.path()) else { return };
    let config = |port: u16, api: &str| {
        format!(
            "global: {{evaluation_interval: 1s}}\nslo_files: [slo*.yml]\nslo_history: {{url: 'http://127.0.0.1:{port}', api: {api}, wait: 1h}}\n"
        )
    };
    let ours = folder.path().join("ours");
    let files = [("almenara.yml", &*config(port, "read")), ("slo.yml", SLO)];
    let mut deployment = Deployment::start(&files, &[&format!("--storage.path={}", ours.display())]);
    let (total, bad, coverage) = window_of(&deployment, "shop", |_, _| true);
    // At its first evaluation it has all: ten hours less the minute or two since the last sample.
    let minutes = total / 10.0;
    assert!((597.0..=600.0).contains(&minutes) && bad == minutes && coverage > 0.99, "{total} {bad} {coverage}");
    assert!(deployment.values("count_over_time(requests_total[11h])").is_empty(), "samples of others are not stored");
    assert_eq!(deployment.metric("almenara_slo_history_filled_total"), 1.0);
    assert_eq!(get(deployment.port, "/-/ready"), (200, "Almenara is Ready.\n".to_owned()));

    // A server that is not there: told, and the objective is evaluated without.
    let other = SLO.replace("shop,", "other,").replace("code=\"500\"", "code=~\"5..\"");
    deployment.write("slo2.yml", &other);
    deployment.write("almenara.yml", &config(1, "read"));
    deployment.reload();
    let (total, ..) = window_of(&deployment, "other", |_, _| true);
    assert_eq!(total, 0.0);
    let ready = wait_for("the failure is told", || {
        let (_, text) = get(deployment.port, "/-/ready");
        text.contains("cannot be read from 127.0.0.1:1").then_some(text)
    });
    assert!(ready.starts_with("Almenara is Ready.\nThe history of 1 objectives"), "{ready}");
    assert!(deployment.metric("almenara_slo_history_failures_total") >= 1.0);

    // The right one, by queries.
    deployment.write("almenara.yml", &config(port, "query"));
    deployment.reload();
    let (total, bad, _) = window_of(&deployment, "other", |total, _| total > 0.0);
    assert!((597.0..=600.0).contains(&(total / 10.0)) && bad == total / 10.0, "{total} {bad}");

    // It outlives a kill, whose successor asks nobody.
    deployment.write("almenara.yml", &config(1, "read"));
    deployment.daemon.signal("KILL");
    deployment.daemon.wait();
    deployment.start_again();
    let (total, ..) = window_of(&deployment, "shop", |_, _| true);
    assert!(total > 5900.0, "{total}");
    assert_eq!(deployment.metric("almenara_slo_history_objectives"), 0.0);
}
