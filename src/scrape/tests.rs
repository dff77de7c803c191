//! Tables: jobs from YAML, targets from groups, rows from bodies. Expected texts, labels and URLs are those of
//! Prometheus 3.5 (`promtool check config`, its targets page and its answers to queries).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::discovery::TargetGroup;
use crate::model::{Labels, METRIC_NAME, Timestamp, Value, format_float, is_stale};
use crate::source::decode::Decoder;
use crate::source::{SourceFile, yaml};
use crate::store::{Store, StoreOptions};

fn decode(text: &str) -> (Vec<ScrapeConfig>, Vec<String>) {
    let source = SourceFile::new("f.yml", text);
    let (node, problems) = yaml::parse(&source);
    assert!(problems.is_empty(), "{problems}");
    let mut decoder = Decoder::new(&source);
    let node = node.unwrap();
    let defaults = match node.get("global") {
        Some(global) => {
            let mut fields = decoder.section(global, &crate::source::keys::GLOBAL).unwrap();
            let defaults = ScrapeDefaults::decode(&mut fields);
            fields.finish();
            defaults
        }
        None => ScrapeDefaults::default(),
    };
    let jobs = node.get("scrape_configs").expect("BUG: the test has no jobs");
    let configs = ScrapeConfig::decode_list(&mut decoder, jobs, &defaults, &mut HashSet::new()).unwrap_or_default();
    (configs, decoder.finish().iter().map(ToString::to_string).collect())
}

/// The job `a` with further keys.
fn job(keys: &str) -> ScrapeConfig {
    let (mut configs, problems) = decode(&format!("scrape_configs: [{{job_name: a, {keys}}}]"));
    assert!(problems.is_empty(), "{keys}: {problems:?}");
    configs.remove(0)
}

#[test]
fn defaults_and_inheritance() {
    let config = job("");
    assert_eq!((config.scrape_interval.as_secs(), config.scrape_timeout.as_secs()), (60, 10));
    assert_eq!((config.metrics_path.as_str(), config.scheme.as_str()), ("/metrics", "http"));
    assert!(config.honor_timestamps && !config.honor_labels && config.enable_compression);
    for (text, interval_secs, timeout_secs) in [
        ("global: {scrape_interval: 5s}\nscrape_configs: [{job_name: a}]", 5, 5),
        ("global: {scrape_interval: 5s}\nscrape_configs: [{job_name: a, scrape_interval: 0s}]", 5, 5),
        ("global: {scrape_timeout: 20s}\nscrape_configs: [{job_name: a, scrape_interval: 15s}]", 15, 15),
        ("global: {scrape_timeout: 20s}\nscrape_configs: [{job_name: a, scrape_timeout: 7s}]", 60, 7),
    ] {
        let (configs, problems) = decode(text);
        assert!(problems.is_empty(), "{problems:?}");
        let got = (configs[0].scrape_interval.as_secs(), configs[0].scrape_timeout.as_secs());
        assert_eq!(got, (interval_secs, timeout_secs), "{text}");
    }
    let (configs, _) = decode(
        "global: {sample_limit: 5, body_size_limit: 1MB}\nscrape_configs: [{job_name: a}, {job_name: b, sample_limit: 7}]",
    );
    assert_eq!((configs[0].limits.samples, configs[1].limits.samples), (5, 7));
    assert_eq!(configs[1].limits.body_bytes, 1 << 20);
}

#[test]
fn refuses_jobs_with_the_texts_of_prometheus() {
    for (jobs, expected) in [
        (
            "[{job_name: a, scrape_interval: 10s, scrape_timeout: 20s}]",
            "f.yml:1:54: scrape timeout greater than scrape interval for scrape config with job name \"a\"",
        ),
        ("[{scrape_interval: 10s}]", "job_name is empty"),
        ("[{job_name: a}, {job_name: a}]", "found multiple scrape configs with job name \"a\""),
        ("[null]", "empty or null scrape config section"),
        ("[{job_name: a, scheme: ftp}]", "unsupported protocol scheme \"ftp\"; write http or https"),
        ("[{job_name: a, scrape_protocols: [Foo]}]", "unknown scrape protocol Foo, supported: [OpenMetricsText0.0.1"),
        (
            "[{job_name: a, scrape_protocols: [PrometheusText0.0.4, PrometheusText0.0.4]}]",
            "duplicated protocol in scrape_protocols",
        ),
        (
            "[{job_name: a, scrape_protocols: []}]",
            "scrape_protocols cannot be empty for scrape config with job name \"a\"",
        ),
        ("[{job_name: a, metric_relabel_configs: [null]}]", "empty or null metric relabeling rule in scrape config"),
        (
            "[{job_name: a, relabel_configs: [{action: keepp}]}]",
            "unknown relabel action \"keepp\"; did you mean \"keep\"?",
        ),
        ("[{job_name: a, foo: bar}]", "unknown key \"foo\" in scrape config"),
        ("[{job_name: a, honour_labels: true}]", "did you mean \"honor_labels\"?"),
        ("[{job_name: a, params: {a: b}}]", "expected a list, found a plain value"),
        (
            "[{job_name: a, consul_sd_configs: [{server: a}]}]",
            "the key \"consul_sd_configs\" in scrape config is not supported",
        ),
        (
            "[{job_name: a, metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8}]",
            "utf8 metric names requested but validation scheme is not set to UTF8",
        ),
        (
            "[{job_name: a, metric_name_escaping_scheme: utf8}]",
            "must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got utf8",
        ),
    ] {
        let (_, problems) = decode(&format!("scrape_configs: {jobs}"));
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{jobs}: {problems:?}");
    }
    let (_, problems) = decode("global: {scrape_interval: 1s, scrape_timeout: 2s}\nscrape_configs: []");
    assert!(problems[0].contains("global scrape timeout greater than scrape interval"), "{problems:?}");
}

#[test]
fn asks_for_formats_as_prometheus() {
    assert_eq!(
        protocol::accept_header(&job("").scrape_protocols, NameEscaping::AllowUtf8),
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    );
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,";
    let text_only = "scrape_protocols: [PrometheusText0.0.4]";
    let native = "scrape_native_histograms: true";
    for (global, keys, is_first) in [
        ("", native, true),
        (native, "", true),
        (native, "scrape_native_histograms: false", false),
        (native, text_only, false),
        (text_only, native, false),
        ("", "scrape_protocols: [PrometheusProto]", true),
    ] {
        let (configs, problems) = decode(&format!("global: {{{global}}}\nscrape_configs: [{{job_name: a, {keys}}}]"));
        assert!(problems.is_empty(), "{problems:?}");
        let header = protocol::accept_header(&configs[0].scrape_protocols, configs[0].names.escaping);
        assert_eq!(header.starts_with(protobuf), is_first, "{global} {keys}: {header}");
    }
}

#[test]
fn names_are_asked_for_and_checked_as_configured() {
    let check = |global: &str, job: &str, validation, escaping| {
        let (jobs, problems) = decode(&format!("global: {{{global}}}\nscrape_configs: [{{job_name: a, {job}}}]"));
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(jobs[0].names, Names { validation, escaping }, "{global} | {job}");
    };
    check("", "", NameValidation::Utf8, NameEscaping::AllowUtf8);
    check("metric_name_validation_scheme: legacy", "", NameValidation::Legacy, NameEscaping::Underscores);
    let both = "metric_name_validation_scheme: legacy, metric_name_escaping_scheme: dots";
    check(both, "", NameValidation::Legacy, NameEscaping::Dots);
    check(both, "metric_name_validation_scheme: utf8", NameValidation::Utf8, NameEscaping::Dots);
    check("", "metric_name_escaping_scheme: values", NameValidation::Utf8, NameEscaping::Values);
    let labels = |name: &str, label: &str| Labels::from_pairs([(METRIC_NAME, name), (label, "1")]);
    for (name, label, is_allowed) in
        [("a:b_1", "c_1", true), ("a.b", "c", false), ("1a", "c", false), ("a", "c:d", false), ("a", "c d", false)]
    {
        assert_eq!(NameValidation::Legacy.allows(&labels(name, label)), is_allowed, "{name} {label}");
        assert!(NameValidation::Utf8.allows(&labels(name, label)));
    }
}

fn group(targets: &[&str], labels: &[(&str, &str)]) -> TargetGroup {
    TargetGroup {
        targets: targets.iter().map(|address| Labels::from_pairs([("__address__", *address)])).collect(),
        labels: Labels::from_pairs(labels.iter().copied()),
        source: "0".to_owned(),
    }
}

/// Public labels and URL of each target, then what was dropped and what failed.
fn targets(keys: &str, group: &TargetGroup) -> Vec<String> {
    let sorted = targets_of(&job(keys), std::slice::from_ref(group));
    let active = sorted.targets.iter().map(|target| format!("{} {}", target.public_labels(), target.url));
    let dropped = sorted.dropped.iter().map(|labels| format!("dropped {}", labels.get("__address__").unwrap()));
    active.chain(dropped).chain(sorted.failed.iter().cloned()).collect()
}

#[test]
fn makes_targets() {
    let one = group(&["h:1"], &[]);
    for (keys, group, expected) in [
        ("", &one, vec![r#"{instance="h:1",job="a"} http://h:1/metrics"#]),
        ("scheme: https, metrics_path: /x", &group(&["h"], &[]), vec![r#"{instance="h",job="a"} https://h/x"#]),
        ("metrics_path: x", &one, vec![r#"{instance="h:1",job="a"} http://h:1/x"#]),
        ("metrics_path: '/x?y=ü'", &one, vec![r#"{instance="h:1",job="a"} http://h:1/x%3Fy=%C3%BC"#]),
        ("", &group(&["h:1", "h:1"], &[]), vec![r#"{instance="h:1",job="a"} http://h:1/metrics"#]),
        (
            "",
            &group(&["h:1"], &[("job", "b"), ("__meta_x", "y"), ("env", "p")]),
            vec![r#"{env="p",instance="h:1",job="b"} http://h:1/metrics"#],
        ),
        (
            "params: {b: ['x y', z], a: ['1']}, relabel_configs: [{target_label: __param_a, replacement: q}]",
            &one,
            vec![r#"{instance="h:1",job="a"} http://h:1/metrics?a=q&b=x+y&b=z"#],
        ),
        (
            "relabel_configs: [{source_labels: [__address__], target_label: __param_target}, {target_label: __address__, replacement: 'e:9'}]",
            &one,
            vec![r#"{instance="e:9",job="a"} http://e:9/metrics?target=h%3A1"#],
        ),
        (
            "relabel_configs: [{action: drop, source_labels: [__address__], regex: 'h:1'}]",
            &group(&["h:1", "h:2"], &[]),
            vec![r#"{instance="h:2",job="a"} http://h:2/metrics"#, "dropped h:1"],
        ),
        (
            "relabel_configs: [{target_label: __scrape_timeout__, replacement: 5m}]",
            &one,
            vec![r#"instance 0 in group 0: scrape timeout cannot be greater than scrape interval ("5m" > "1m")"#],
        ),
        (
            "relabel_configs: [{target_label: __scrape_interval__, replacement: 0s}]",
            &one,
            vec!["instance 0 in group 0: scrape interval cannot be 0"],
        ),
        (
            "relabel_configs: [{target_label: __address__, replacement: }]",
            &one,
            vec!["instance 0 in group 0: no address"],
        ),
        (
            "",
            &group(&["h:1", "a/b"], &[]),
            vec![
                r#"{instance="h:1",job="a"} http://h:1/metrics"#,
                r#"instance 1 in group 0: "a/b" is not a valid hostname"#,
            ],
        ),
    ] {
        assert_eq!(targets(keys, group), expected, "{keys}");
    }
}

#[test]
fn slots_are_regular_and_spread() {
    let addresses: Vec<String> = (0..200).map(|index| format!("h{index}:1")).collect();
    let names: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let sorted = targets_of(&job("scrape_interval: 10s"), &[group(&names, &[])]);
    let now = Timestamp::from_ms(1_700_000_000_123);
    let mut offsets = Vec::new();
    for target in &sorted.targets {
        let slot = target.next_slot(now);
        assert!((1..=10_000).contains(&slot.ms_since(now)));
        assert_eq!(target.next_slot(slot).ms_since(slot), 10_000);
        assert_eq!(target.next_slot(slot.plus_ms(-1)), slot);
        let next = slot.plus_ms(10_000);
        for (last, now, due) in [
            (None, slot, next),
            (Some(slot), slot.plus_ms(9_999), next),
            (Some(slot), next, next),
            (Some(slot), next.plus_ms(9_999), next),
            (Some(slot), next.plus_ms(25_000), next.plus_ms(20_000)),
            (Some(next), next.plus_ms(1), next.plus_ms(10_000)),
        ] {
            assert_eq!(target.due_slot(last, now), due, "{last:?} {now:?}");
        }
        offsets.push(slot.ms_since(now) / 1000);
    }
    for second in 0..10 {
        let count = offsets.iter().filter(|offset| **offset == second).count();
        assert!((5..=40).contains(&count), "{count} of 200 targets in second {second}");
    }
}

/// A target `{instance="i",job="j"}` and its store.
struct Bench {
    store: Store,
    state: TargetState,
    at: Timestamp,
}

const TEXT: &str = "text/plain";

impl Bench {
    fn new(keys: &str) -> Bench {
        let labels = Labels::from_pairs([("instance", "i"), ("job", "j")]);
        Bench {
            store: Store::new(StoreOptions { retention: Duration::from_secs(3600) }),
            state: TargetState::new(Arc::new(job(keys)), labels),
            at: Timestamp::from_ms(1_700_000_000_000),
        }
    }

    /// One scrape, ten seconds after the last; what the rows say, without reports.
    fn scrape(&mut self, body: &str) -> (Batch, Result<(), String>, Vec<String>) {
        let (batch, result) = self.scrape_uncommitted(body);
        let said = self.commit(&batch.rows);
        (batch, result.map_err(|error| error.to_string()), said)
    }

    fn scrape_uncommitted(&mut self, body: &str) -> (Batch, Result<(), ScrapeError>) {
        self.at = self.at.plus_ms(10_000);
        self.state.ingest(
            &self.store,
            &Answer { body: body.as_bytes(), content_type: TEXT, at: self.at, created: CreatedLines::Series },
        )
    }

    fn commit(&self, rows: &[crate::store::Row]) -> Vec<String> {
        self.store.commit(rows);
        let all = self.store.select(&[], Timestamp::MIN, Timestamp::MAX);
        let of = |row: &crate::store::Row| {
            let labels = all.iter().find(|series| self.store.series_ref(&series.labels) == row.series).unwrap();
            let value = match row.value {
                Value::Float(value) if is_stale(value) => "stale".to_owned(),
                Value::Float(value) => format_float(value),
                Value::Histogram(_) => "histogram".to_owned(),
            };
            let late = row.at.ms_since(self.at);
            let late = if late == 0 { String::new() } else { format!(" @{late}") };
            format!("{} {value}{late}", labels.labels.metric_name())
        };
        rows.iter().map(of).collect()
    }

    fn said(&mut self, body: &str) -> Vec<String> {
        self.scrape(body).2
    }
}

#[test]
fn joins_labels() {
    for (keys, body, expected) in [
        ("", "m 1\n", "m{instance=\"i\",job=\"j\"} 1"),
        ("", "m{x=\"1\"} 1\n", "m{instance=\"i\",job=\"j\",x=\"1\"} 1"),
        ("", "m{job=\"own\"} 1\n", "m{exported_job=\"own\",instance=\"i\",job=\"j\"} 1"),
        (
            "",
            "m{job=\"own\",exported_job=\"two\"} 1\n",
            "m{exported_exported_job=\"own\",exported_job=\"two\",instance=\"i\",job=\"j\"} 1",
        ),
        ("honor_labels: true", "m{job=\"own\"} 1\n", "m{instance=\"i\",job=\"own\"} 1"),
        ("honor_labels: true", "m{job=\"\"} 1\n", "m{instance=\"i\"} 1"),
        ("metric_relabel_configs: [{action: labeldrop, regex: 'job|instance'}]", "m{x=\"1\"} 1\n", "m{x=\"1\"} 1"),
        (
            "metric_relabel_configs: [{source_labels: [__name__], target_label: __name__, replacement: 'p_$1'}]",
            "m 1\n",
            r#"p_m{instance="i",job="j"} 1"#,
        ),
        ("", "m 1 1700000009500\n", "m{instance=\"i\",job=\"j\"} 1 @-500"),
        ("honor_timestamps: false", "m 1 5000\n", "m{instance=\"i\",job=\"j\"} 1"),
        ("", "# TYPE h histogram\nh_bucket{le=\"1\"} 2\n", "h_bucket{instance=\"i\",job=\"j\",le=\"1.0\"} 2"),
    ] {
        let mut bench = Bench::new(keys);
        let (batch, result) = bench.scrape_uncommitted(body);
        assert_eq!((result, bench.store.commit(&batch.rows).appended), (Ok(()), 1), "{keys} {body}");
        let stored = bench.store.select(&[], Timestamp::MIN, Timestamp::MAX).remove(0);
        let late = stored.samples[0].at.ms_since(bench.at);
        let late = if late == 0 { String::new() } else { format!(" @{late}") };
        let value = format_float(stored.samples[0].value.as_float().unwrap());
        assert_eq!(format!("{} {value}{late}", stored.labels), expected, "{keys} {body}");
    }
}

#[test]
fn marks_what_vanishes() {
    let mut bench = Bench::new("");
    assert_eq!(bench.said("a 1\nb 2\n"), ["a 1", "b 2"]);
    assert_eq!(bench.said("a 1\nb 2\n"), ["a 1", "b 2"]);
    assert_eq!(bench.said("b 3\n"), ["b 3", "a stale"]);
    assert_eq!(bench.said("c 1\nb 3\n"), ["c 1", "b 3"]);
    let (batch, result, said) = bench.scrape("c 1\nbroken\n");
    assert_eq!(said, ["c stale", "b stale"]);
    assert_eq!((batch.scraped, batch.kept), (1, 1));
    assert!(result.unwrap_err().contains("expected value after metric at line 2, column 7"));
    assert!(bench.said("x").is_empty(), "what is stale is not marked again");
    assert_eq!(bench.said("c 1\nb 3\n"), ["c 1", "b 3"]);
    bench.at = bench.at.plus_ms(1);
    let rows = bench.state.fail(bench.at).rows;
    assert_eq!(bench.commit(&rows), ["c stale", "b stale"]);
    assert_eq!(bench.said("b 3\nb 4\n"), ["b 3"]);
    assert_eq!(bench.said(""), ["b stale"]);
}

#[test]
fn own_timestamps_are_not_marked_unless_tracked() {
    let ms = 1_700_000_009_000i64;
    let line = format!("a 1 {ms}\n");
    let mut bench = Bench::new("");
    assert_eq!(bench.said(&line), ["a 1 @-1000"]);
    assert!(bench.said("").is_empty());
    let mut bench = Bench::new("track_timestamps_staleness: true");
    assert_eq!(bench.said(&line), ["a 1 @-1000"]);
    assert_eq!(bench.said(""), ["a stale"]);
    let mut bench = Bench::new("");
    let ahead = bench.at.plus_ms(11 * 60_000).as_ms();
    let (batch, result, said) = bench.scrape(&format!("a 1 {ahead}\n"));
    assert_eq!((batch.out_of_bounds, result, said.len()), (1, Ok(()), 0));
}

#[test]
fn counts_as_prometheus() {
    let mut bench = Bench::new("metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: d}]");
    let counts = |batch: &Batch| (batch.scraped, batch.kept, batch.added, batch.duplicates);
    assert_eq!(counts(&bench.scrape("a 1\nd 1\na 2\nb 1\n").0), (4, 3, 2, 1));
    assert_eq!(counts(&bench.scrape("a 1\nd 1\nb 1\n").0), (3, 2, 0, 0));
    assert_eq!(counts(&bench.scrape("b 1\nc 1\n").0), (2, 2, 1, 0));
    // After a failure the series are known still, after a scrape without them they are new again.
    assert_eq!(bench.scrape("!").0.scraped, 0);
    assert_eq!(counts(&bench.scrape("b 1\na 1\n").0), (2, 2, 1, 0));
}

#[test]
fn limits_fail_the_scrape() {
    for (keys, body, error) in [
        ("sample_limit: 1", "a 1\nb 1\n", "sample limit exceeded"),
        ("label_limit: 3", "m{x=\"1\"} 1\n", "label_limit exceeded (metric: m, number of labels: 4, limit: 3)"),
        (
            "label_name_length_limit: 8",
            "m{long_name=\"1\"} 1\n",
            "label_name_length_limit exceeded (metric: m, label name: long_name, length: 9, limit: 8)",
        ),
        (
            "label_value_length_limit: 2",
            "m{x=\"123\"} 1\n",
            "label_value_length_limit exceeded (metric: m, label name: x, value: \"123\", length: 3, limit: 2)",
        ),
        ("", "m{a=\"1\",a=\"2\"} 1\n", "label name \"a\" is not unique: invalid sample"),
        ("", "m{__name__=\"x\"} 1\n", "label name \"__name__\" is not unique: invalid sample"),
        (
            "metric_relabel_configs: [{action: labeldrop, regex: __name__}]",
            "m 1\n",
            "missing metric name (__name__ label)",
        ),
    ] {
        let (_, result, said) = Bench::new(keys).scrape(body);
        assert_eq!(result, Err(error.to_owned()), "{keys}");
        assert!(said.is_empty());
    }
    assert_eq!(Bench::new("sample_limit: 2").said("a 1\nb 1\n").len(), 2);
}

#[test]
fn reports_and_ends() {
    let mut bench = Bench::new("");
    let (mut batch, ..) = bench.scrape("a 1\nb 1\n");
    let outcome = Outcome { up: true, duration: Duration::from_millis(250) };
    batch.rows.clear();
    bench.state.report(&bench.store, &mut batch, bench.at, outcome);
    let said = bench.commit(&batch.rows);
    let expected = [
        "up 1",
        "scrape_duration_seconds 0.25",
        "scrape_samples_scraped 2",
        "scrape_samples_post_metric_relabeling 2",
        "scrape_series_added 2",
    ];
    assert_eq!(said, expected);
    bench.at = bench.at.plus_ms(1);
    let state = std::mem::replace(&mut bench.state, TargetState::new(Arc::new(job("")), Labels::empty()));
    let said = bench.commit(&state.end(bench.at));
    assert_eq!(said.len(), 7);
    assert!(said.iter().all(|text| text.ends_with(" stale")), "{said:?}");
}

#[test]
fn a_changed_job_goes_on_with_its_series() {
    let mut bench = Bench::new("");
    bench.said("a 1\nb 1\n");
    let rules = "metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: a}]";
    let state = std::mem::replace(&mut bench.state, TargetState::new(Arc::new(job("")), Labels::empty()));
    bench.state = state.reconfigured(Arc::new(job(rules)));
    assert_eq!(bench.said("a 1\nb 1\n"), ["b 1", "a stale"]);
}

#[test]
fn tells_metadata_once_and_when_it_changes() {
    let mut bench = Bench::new("");
    let families = |batch: &Batch| {
        batch
            .metadata
            .iter()
            .map(|(name, data)| format!("{name} {} {}", data.kind.as_str(), data.help))
            .collect::<Vec<_>>()
    };
    let body = "# HELP a First.\n# TYPE a counter\na 1\n# TYPE b gauge\nb 1\n";
    assert_eq!(families(&bench.scrape(body).0), ["a counter First.", "b gauge "]);
    assert!(bench.scrape(body).0.metadata.is_empty());
    assert_eq!(families(&bench.scrape("# HELP a Second.\na 1\n").0), ["a counter Second."]);
}

#[test]
fn a_handle_that_is_gone_is_asked_for_again() {
    let mut bench = Bench::new("");
    let (batch, ..) = bench.scrape("a 1\n");
    let old = batch.rows[0].series;
    bench.store.truncate(bench.at.plus_ms(100_000));
    bench.at = bench.at.plus_ms(200_000);
    let (batch, ..) = bench.scrape_uncommitted("a 1\n");
    assert_eq!(batch.rows[0].series, old);
    assert_eq!(bench.store.commit(&batch.rows).refused, [(0, crate::store::Refusal::Gone)]);
    bench.state.forget(&[old].into());
    assert_eq!(bench.said("a 1\n"), ["a 1"]);
}

mod properties {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// One scrape: series in some order, or a failure.
    fn scrapes() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
        proptest::collection::vec(proptest::option::weighted(0.8, proptest::collection::vec(0u8..6, 0..8)), 1..12)
    }

    /// Bodies of lines that differ in all that the cache compares.
    fn bodies() -> impl Strategy<Value = Vec<String>> {
        let types = ["", "# TYPE h histogram\n", "# HELP h One.\n# TYPE h untyped\n", "\n"];
        let lines = [
            "h{le=\"1\"} 1\n",
            "h{le=\"2\"} 17.25\n",
            "h 2e3\n",
            "h  4\n",
            "# HELP a Another.\na 5\n",
            "a 6\n",
            "a{b=\"c\"} NaN\n",
            "b 7 1700000009000\n",
            "b 8\n",
            "c 123456789012345678\n",
            " d -0.5\n",
            "# a comment\n",
            "e 1\ne 2\n",
            "f{x=\"1\"} +Inf\n",
        ];
        let body = (0..types.len(), proptest::collection::vec(0..lines.len(), 0..9), 0..40u8).prop_map(move |chosen| {
            let body: String = chosen.1.iter().map(|line| lines[*line]).collect();
            format!("{}{body}{}", types[chosen.0], if chosen.2 == 0 { "broken" } else { "" })
        });
        // The same body again and again, and another one now and then.
        let repeated = (body, 1..4usize).prop_map(|(body, times)| vec![body; times]);
        proptest::collection::vec(repeated, 1..6).prop_map(|bodies| bodies.concat())
    }

    /// What a body says by itself: the samples to be stored, and the series to be marked when they vanish.
    fn alone(body: &str, at: Timestamp) -> Option<(Vec<String>, Vec<String>)> {
        let (mut rows, mut tracked, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for entry in crate::exposition::Parser::new(body.as_bytes(), crate::exposition::Format::Text) {
            let crate::exposition::Entry::Series(series) = entry.ok()? else { continue };
            let is_repeated = !seen.insert(series.text);
            let pairs = series.labels().map(|pair| (pair.name.into_owned(), pair.value.into_owned()));
            let labels =
                Labels::from_pairs(pairs).to_builder().set("instance", "i").set("job", "j").build().to_string();
            let time = series.timestamp_ms.unwrap_or(at.as_ms());
            if !is_repeated || series.timestamp_ms.is_some() {
                rows.push(format!("{labels} {} @{time}", format_float(series.value)));
            }
            if series.timestamp_ms.is_none() && !tracked.contains(&labels) {
                tracked.push(labels);
            }
        }
        Some((rows, tracked))
    }

    proptest! {
        /// Whatever a target answered before, a body means what it says.
        #[test]
        fn a_body_means_what_it_means_alone(bodies in bodies()) {
            let mut bench = Bench::new("");
            let mut tracked: Vec<String> = Vec::new();
            for body in &bodies {
                let (batch, result) = bench.scrape_uncommitted(body);
                let alone = alone(body, bench.at);
                prop_assert_eq!(result.is_ok(), alone.is_some());
                let (mut expected, current) = alone.unwrap_or_default();
                let vanished = tracked.iter().filter(|labels| !current.contains(labels));
                expected.extend(vanished.map(|labels| format!("{labels} stale")));
                let reader = bench.store.reader();
                let said: Vec<String> = batch.rows.iter().map(|row| {
                    let labels = reader.labels(row.series).expect("a known series");
                    match row.value {
                        Value::Float(value) if is_stale(value) => format!("{labels} stale"),
                        Value::Float(value) => format!("{labels} {} @{}", format_float(value), row.at.as_ms()),
                        Value::Histogram(_) => unreachable!("text has no histograms"),
                    }
                }).collect();
                prop_assert_eq!(said, expected, "{:?}", body);
                tracked = current;
            }
        }

        /// The cache must not be seen: the naive model writes what is there, and a marker for what was and is not.
        #[test]
        fn rows_are_those_of_the_naive_model(scrapes in scrapes()) {
            let mut bench = Bench::new("");
            let mut live: BTreeMap<String, ()> = BTreeMap::new();
            for (round, scrape) in scrapes.iter().enumerate() {
                let (body, fails) = match scrape {
                    Some(series) => (series.iter().map(|id| format!("s{id} {round}\n")).collect::<String>(), false),
                    None => ("s0 1\ns9\n".to_owned(), true),
                };
                let (_, result, mut said) = bench.scrape(&body);
                prop_assert_eq!(result.is_err(), fails);
                let now: BTreeMap<String, ()> =
                    scrape.iter().flatten().map(|id| (format!("s{id}"), ())).collect();
                let mut expected: Vec<String> = now.keys().map(|name| format!("{name} {round}")).collect();
                expected.extend(live.keys().filter(|name| !now.contains_key(*name)).map(|name| format!("{name} stale")));
                expected.sort();
                said.sort();
                prop_assert_eq!(said, expected);
                live = now;
            }
        }
    }
}

#[test]
fn created_lines_are_start_times_where_asked_for_and_exemplars_are_kept() {
    let body = "# TYPE a counter\n\
                a_total{c=\"x\"} 5 # {trace_id=\"t\"} 1.5 1700000005.5\na_created{c=\"x\"} 1600000000.123\n\
                a_total{c=\"y\"} 6\n\
                # TYPE h histogram\n\
                h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3 # {} 7\nh_count 3\nh_sum 9\nh_created 1600000001\n\
                # TYPE g gauge\ng_created 1\n# EOF\n";
    let check = |created: CreatedLines, expected: &[(&str, i64)]| {
        let mut bench = Bench::new("");
        let answer =
            Answer { body: body.as_bytes(), content_type: "application/openmetrics-text", at: bench.at, created };
        let (batch, result) = bench.state.ingest(&bench.store, &answer);
        result.expect("a good body");
        let name = |series| bench.store.reader().labels(series).expect("a known series").metric_name().to_owned();
        let found: Vec<(String, i64)> =
            batch.rows.iter().map(|row| (name(row.series), row.start.map_or(0, |start| start.at().as_ms()))).collect();
        let expected: Vec<(String, i64)> = expected.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect();
        assert_eq!(found, expected, "{created:?}");
        let exemplars: Vec<(String, f64, i64)> = batch
            .exemplars
            .iter()
            .map(|(series, exemplar)| (name(*series), exemplar.value, exemplar.at.as_ms()))
            .collect();
        let expected = [("a_total", 1.5, 1_700_000_005_500), ("h_bucket", 7.0, 1_700_000_000_000)];
        assert_eq!(exemplars, expected.map(|(name, value, ms)| (name.to_owned(), value, ms)));
    };
    let (a, h) = (1_600_000_000_123, 1_600_000_001_000);
    check(
        CreatedLines::StartTimes,
        &[
            ("a_total", a),
            ("a_total", 0),
            ("h_bucket", h),
            ("h_bucket", h),
            ("h_count", h),
            ("h_sum", h),
            ("g_created", 0),
        ],
    );
    let names =
        ["a_total", "a_created", "a_total", "h_bucket", "h_bucket", "h_count", "h_sum", "h_created", "g_created"];
    check(CreatedLines::Series, &names.map(|name| (name, 0)));
}
