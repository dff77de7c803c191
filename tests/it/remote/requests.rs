//! Good, broken and partly good requests to a real Prometheus and to us: status, headers and body must be equal, and afterwards what is
//! stored. Where we differ on purpose, the case says how.

use almenara::remote::message::{
    Count, ExemplarV1, ExemplarV2, Histogram, LabelV1, MetadataV2, RequestV1, RequestV2, Sample, SeriesV1, SeriesV2,
    Span, ZeroCount,
};
use bytes::Bytes;

use super::peer::{Pair, V1, V2, pack, send};
use crate::real::process::get;

/// One request, and what we answer other than Prometheus.
struct Case {
    name: &'static str,
    headers: String,
    body: Vec<u8>,
    ours: Option<Ours>,
}

/// What we answer where we differ on purpose.
#[derive(Clone, Copy)]
enum Ours {
    /// The status is the same, the text another.
    OtherText,
    /// This status, and a text that begins so.
    Answer(u16, &'static str),
}

#[test]
fn answers_and_samples_are_those_of_prometheus() {
    let Some(pair) = Pair::start("native-histograms,exemplar-storage", "") else { return };
    let now = almenara::clock::now().as_ms() / 1000 * 1000;
    let cases = cases(now);
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for Case { name, headers, body, ours } in &cases {
        let theirs = send(pair.theirs, headers, body);
        let got = send(pair.ours, headers, body);
        let is_fine = match ours {
            None => got == theirs,
            Some(Ours::OtherText) => {
                (got.status, &got.headers) == (theirs.status, &theirs.headers) && got.body != theirs.body
            }
            Some(Ours::Answer(status, text)) => got != theirs && got.status == *status && got.body.starts_with(text),
        };
        if !is_fine {
            wrong.push(format!("{name}\n  Prometheus: {theirs:?}\n  Almenara:   {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    for query in ["{__name__=~\"m.*\"}[10m]", "{__name__=~\"h.*\"}[10m]"] {
        let path = format!("/api/v1/query?time={}&query={}", now / 1000 + 60, percent(query));
        assert_eq!(series_of(&get(pair.ours, &path).1), series_of(&get(pair.theirs, &path).1), "{query}");
    }
    let path =
        format!("/api/v1/query_exemplars?start={}&query={}", now / 1000 - 600, percent("{__name__=~\"m.*\"} + up"));
    assert_eq!(get(pair.ours, &path), get(pair.theirs, &path));
    for path in ["/api/v1/query_exemplars?query=1", "/api/v1/query_exemplars?query=up&start=9&end=1"] {
        assert_eq!(get(pair.ours, path), get(pair.theirs, path), "{path}");
    }
}

pub(super) fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The series of an answer in order of their text, each as it is written.
pub(super) fn series_of(answer: &str) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_str(answer).expect("JSON");
    let mut series: Vec<String> =
        json["data"]["result"].as_array().expect("result").iter().map(ToString::to_string).collect();
    series.sort();
    series
}

fn case(name: &'static str, headers: &str, body: Vec<u8>) -> Case {
    Case { name, headers: headers.to_owned(), body, ours: None }
}

fn differs(name: &'static str, headers: &str, body: Vec<u8>, ours: Ours) -> Case {
    Case { ours: Some(ours), ..case(name, headers, body) }
}

fn sample(timestamp: i64, value: f64) -> Sample {
    Sample { value, timestamp, start_timestamp: 0 }
}

pub(super) fn v1(labels: &[(&'static str, &'static str)], samples: &[(i64, f64)]) -> SeriesV1 {
    SeriesV1 {
        labels: labels.iter().map(|(name, value)| LabelV1 { name: (*name).into(), value: (*value).into() }).collect(),
        samples: samples.iter().map(|(at, value)| sample(*at, *value)).collect(),
        ..Default::default()
    }
}

pub(super) fn one(series: &[SeriesV1]) -> Vec<u8> {
    pack(&RequestV1 { series: series.to_vec(), metadata: Vec::new() })
}

/// Series of version 2 with their table of texts.
pub(super) fn two(series: Vec<(SeriesV2, &[(&'static str, &'static str)])>) -> Vec<u8> {
    let mut symbols = vec![Bytes::new(), Bytes::from_static(b"a help"), Bytes::from_static(b"seconds")];
    let mut refer = |text: &'static str| {
        symbols.push(text.into());
        symbols.len() as u32 - 1
    };
    let series = series.into_iter().map(|(series, labels)| {
        let labels_refs = labels.iter().flat_map(|(name, value)| [refer(name), refer(value)]).collect();
        SeriesV2 { labels_refs, metadata: Some(series.metadata.unwrap_or_default()), ..series }
    });
    let series = series.collect();
    pack(&RequestV2 { symbols, series })
}

pub(super) fn v2(samples: &[(i64, f64)]) -> SeriesV2 {
    SeriesV2 { samples: samples.iter().map(|(at, value)| sample(*at, *value)).collect(), ..Default::default() }
}

pub(super) fn whole(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::Whole(9)),
        sum: 12.5,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: Some(ZeroCount::Whole(2)),
        negative_spans: vec![Span { offset: -1, length: 1 }],
        negative_deltas: vec![1],
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 3, length: 1 }],
        positive_deltas: vec![1, 2, -1],
        timestamp,
        ..Default::default()
    }
}

fn fractional(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::Fractional(4.75)),
        zero_count: Some(ZeroCount::Fractional(0.25)),
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_counts: vec![1.5, 3.0],
        reset_hint: 3,
        sum: 3.25,
        timestamp,
        ..Default::default()
    }
}

fn custom(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::Whole(6)),
        schema: -53,
        sum: 5.0,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_deltas: vec![1, 1, 1],
        custom_values: vec![0.5, 1.0],
        timestamp,
        ..Default::default()
    }
}

fn histograms(list: &[Histogram]) -> SeriesV2 {
    SeriesV2 { histograms: list.to_vec(), ..Default::default() }
}

fn cases(now: i64) -> Vec<Case> {
    let mut cases = heads(now);
    cases.extend(version_1(now));
    cases.extend(version_2(now));
    cases.extend(references(now));
    cases.extend(native(now));
    cases
}

/// Content negotiation and bodies that are none.
fn heads(now: i64) -> Vec<Case> {
    let good = |name| one(&[v1(&[("__name__", name)], &[(now, 1.0)])]);
    let head = |kind: &str| format!("Content-Type: {kind}\r\nContent-Encoding: snappy\r\n");
    let v1_kind = "application/x-protobuf;proto=prometheus.WriteRequest";
    let huge = snap::raw::Encoder::new().compress_vec(&vec![0; (32 << 20) + 1]).expect("snappy");
    vec![
        case("no headers", "", good("m_plain")),
        case("named version 1", &head(v1_kind), good("m_named")),
        case("other parameter", &head("application/x-protobuf;charset=utf-8"), good("m_parameter")),
        case("other media type", &head("application/json"), good("m_json")),
        case("empty media type", &head("  ;x=y"), good("m_empty")),
        case("broken parameter", &head("application/x-protobuf;proto"), good("m_broken")),
        case("unknown message", &head("application/x-protobuf;proto=io.prometheus.write.v3.Request"), good("m_v3")),
        case("upper case encoding", "Content-Encoding: SNAPPY\r\n", good("m_upper")),
        differs(
            "gzip",
            "Content-Encoding: gzip\r\n",
            b"\x1f\x8b".to_vec(),
            Ours::Answer(
                415,
                "gzip encoding (compression) is not accepted by this server; only snappy is acceptable\n",
            ),
        ),
        case("empty body", V1, Vec::new()),
        case("no snappy", V1, b"hello, world".to_vec()),
        case("cut snappy", V1, good("m_cut")[..9].to_vec()),
        case("huge when decoded", V1, huge),
        case("empty message", V1, one(&[])),
        case("empty message of version 2", V2, two(vec![])),
        case("version 1 said to be 2", V2, good("m_swapped")),
        case("version 2 said to be 1", V1, two(vec![(v2(&[(now, 1.0)]), &[("__name__", "m_swapped")])])),
        differs(
            "no message",
            V1,
            snap::raw::Encoder::new().compress_vec(b"\x0a\x05ab").expect("snappy"),
            Ours::OtherText,
        ),
        differs(
            "no message of version 2",
            V2,
            snap::raw::Encoder::new().compress_vec(b"\x2a\x02\x0a\x09").expect("snappy"),
            Ours::OtherText,
        ),
    ]
}

fn version_1(now: i64) -> Vec<Case> {
    let name = ("__name__", "m_one");
    let other = |value| [("__name__", "m_one_other"), ("a", value)];
    let bytes = |name: &'static [u8], value: &'static [u8]| SeriesV1 {
        labels: vec![
            LabelV1 { name: "__name__".into(), value: "m_bytes".into() },
            LabelV1 { name: Bytes::from_static(name), value: Bytes::from_static(value) },
        ],
        samples: vec![sample(now, 1.0)],
        ..Default::default()
    };
    let exemplar = |trace: &'static str, value: f64, timestamp: i64| ExemplarV1 {
        labels: vec![LabelV1 { name: "trace_id".into(), value: trace.into() }],
        value,
        timestamp,
    };
    let exemplified = |exemplars: &[ExemplarV1], at: i64| SeriesV1 {
        exemplars: exemplars.to_vec(),
        ..v1(&[("__name__", "m_exemplars")], &[(at, 1.0)])
    };
    vec![
        case("samples in order", V1, one(&[v1(&[name], &[(now, 1.0), (now + 1000, 2.5)])])),
        case("the same again", V1, one(&[v1(&[name], &[(now + 1000, 2.5)])])),
        case("another value", V1, one(&[v1(&[name], &[(now + 1000, 1e-7)])])),
        case("out of order", V1, one(&[v1(&[name], &[(now + 500, 1.0)])])),
        case("too far ahead", V1, one(&[v1(&[name], &[(now + 3_600_000, 1.0)])])),
        case("stale marker", V1, one(&[v1(&[name], &[(now + 2000, f64::from_bits(almenara::model::STALE_NAN_BITS))])])),
        case(
            "not numbers",
            V1,
            one(&[v1(&[name], &[(now + 3000, f64::NAN), (now + 4000, f64::INFINITY), (now + 5000, -0.0)])]),
        ),
        case("number over NaN", V1, one(&[v1(&[name], &[(now + 5000, f64::NAN)])])),
        case("labels in any order", V1, one(&[v1(&[("z", "1"), ("__name__", "m_order"), ("a", "2")], &[(now, 1.0)])])),
        case("empty value", V1, one(&[v1(&[("__name__", "m_empty"), ("a", "")], &[(now, 1.0)])])),
        case("UTF-8 names", V1, one(&[v1(&[("__name__", "m näme"), ("a b", "é")], &[(now, 1.0)])])),
        case("no metric name", V1, one(&[v1(&[("a", "1")], &[(now, 1.0)]), v1(&other("x"), &[(now, 1.0)])])),
        case("label twice", V1, one(&[v1(&[name, ("a", "1"), ("a", "2")], &[(now + 9000, 1.0)])])),
        case("no UTF-8", V1, one(&[bytes(b"a", b"\xff"), bytes(b"\xff", b"a"), bytes(b"a", b"b")])),
        case("no samples", V1, one(&[v1(&[("__name__", "m_none")], &[])])),
        case("exemplars", V1, one(&[exemplified(&[exemplar("t1", 0.5, now), exemplar("t2", 1.5, now + 10)], now)])),
        case(
            "exemplar out of order",
            V1,
            one(&[exemplified(&[exemplar("t0", 0.5, now - 10), exemplar("t3", 2.5, now + 20)], now + 1000)]),
        ),
        case("exemplar with long labels", V1, one(&[exemplified(&[exemplar(LONG, 0.5, now + 30)], now + 2000)])),
    ]
}

const LONG: &str = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

fn version_2(now: i64) -> Vec<Case> {
    let name: &[_] = &[("__name__", "m_two"), ("a", "1")];
    let other: &[_] = &[("__name__", "m_two_other")];
    let metadata = Some(MetadataV2 { kind: 1, help_ref: 1, unit_ref: 2 });
    vec![
        case("2: samples in order", V2, two(vec![(v2(&[(now, 1.0), (now + 1000, 2.5)]), name)])),
        case(
            "2: with metadata and a start",
            V2,
            two(vec![(SeriesV2 { metadata, created_timestamp: now - 5000, ..v2(&[(now, 1.0)]) }, other)]),
        ),
        case("2: the same again", V2, two(vec![(v2(&[(now + 1000, 2.5)]), name)])),
        case(
            "2: another value, and a good series",
            V2,
            two(vec![(v2(&[(now + 1000, 1234567.0), (now + 2000, 3.0)]), name), (v2(&[(now + 1000, 7.0)]), other)]),
        ),
        case(
            "2: out of order, twice",
            V2,
            two(vec![(v2(&[(now, 1.0), (now + 1500, 1.0), (now + 3000, 1.0)]), name), (v2(&[(now, 0.5)]), other)]),
        ),
        differs(
            "2: out of order within",
            V2,
            two(vec![(v2(&[(now + 5000, 1.0), (now + 4000, 2.0)]), name)]),
            Ours::Answer(400, "out of order sample for series {__name__=\"m_two\", a=\"1\"}\n"),
        ),
        case("2: too far ahead", V2, two(vec![(v2(&[(now + 6000, 1.0), (now + 3_600_000, 1.0)]), name)])),
        case(
            "2: invalid labels among good ones",
            V2,
            two(vec![
                (v2(&[(now, 1.0)]), &[("a", "1")]),
                (v2(&[(now + 2000, 1.0)]), other),
                (v2(&[(now, 1.0)]), &[("__name__", "m_x"), ("", "1")]),
            ]),
        ),
        case("2: label twice", V2, two(vec![(v2(&[(now, 1.0)]), &[("__name__", "m_x"), ("b", "1"), ("b", "2")])])),
        case(
            "2: stale marker",
            V2,
            two(vec![(v2(&[(now + 7000, f64::from_bits(almenara::model::STALE_NAN_BITS))]), name)]),
        ),
    ]
}

/// Exemplars, and references of version 2.
fn references(now: i64) -> Vec<Case> {
    let exemplar = |timestamp, value| ExemplarV2 { labels_refs: vec![1, 2], value, timestamp };
    let exemplified = |exemplars: &[ExemplarV2], at| SeriesV2 { exemplars: exemplars.to_vec(), ..v2(&[(at, 1.0)]) };
    let refs = |refs: &[u32]| {
        let symbols = ["", "__name__", "m_refs"].map(Bytes::from).to_vec();
        pack(&RequestV2 { symbols, series: vec![SeriesV2 { labels_refs: refs.to_vec(), ..v2(&[(now, 1.0)]) }] })
    };
    vec![
        case(
            "2: exemplars",
            V2,
            two(vec![(
                exemplified(&[exemplar(now, 0.5), exemplar(now + 1, 0.5)], now),
                &[("__name__", "m_two_exemplars")],
            )]),
        ),
        case(
            "2: exemplars out of order",
            V2,
            two(vec![(
                exemplified(&[exemplar(now + 1, 0.5), exemplar(now, 0.5)], now + 1000),
                &[("__name__", "m_two_exemplars")],
            )]),
        ),
        differs(
            "2: odd references",
            V2,
            refs(&[1, 2, 0]),
            Ours::Answer(400, "parsing labels for series [1 2 0]: invalid labelRefs length 3\n"),
        ),
        differs(
            "2: reference beyond the texts",
            V2,
            refs(&[1, 3]),
            Ours::Answer(
                400,
                "parsing labels for series [1 3]: labelRefs 1 (name) = 3 (value) outside of symbols table (size 3)\n",
            ),
        ),
    ]
}

fn native(now: i64) -> Vec<Case> {
    let name: &[_] = &[("__name__", "h_whole")];
    let with = |list: &[Histogram], name: &'static str| {
        let labels = vec![LabelV1 { name: "__name__".into(), value: name.into() }];
        one(&[SeriesV1 { labels, histograms: list.to_vec(), ..Default::default() }])
    };
    let refused = |name, text, histogram: Histogram| {
        differs(name, V2, two(vec![(histograms(&[histogram]), &[("__name__", "h_refused")])]), Ours::Answer(400, text))
    };
    vec![
        case("histograms", V1, with(&[whole(now), whole(now + 1000)], "h_one")),
        case("fractional histograms", V1, with(&[fractional(now)], "h_one_fractional")),
        case(
            "2: histograms",
            V2,
            two(vec![
                (histograms(&[whole(now)]), name),
                (histograms(&[fractional(now)]), &[("__name__", "h_fractional")]),
                (histograms(&[custom(now)]), &[("__name__", "h_custom")]),
            ]),
        ),
        case("2: the same again", V2, two(vec![(histograms(&[whole(now)]), name)])),
        case("2: another histogram", V2, two(vec![(histograms(&[Histogram { sum: 1.0, ..whole(now) }]), name)])),
        case("2: number over histogram", V2, two(vec![(v2(&[(now, 2.0)]), name)])),
        case(
            "2: stale histogram",
            V2,
            two(vec![(v2(&[(now + 1000, f64::from_bits(almenara::model::STALE_NAN_BITS))]), name)]),
        ),
        case("2: histogram out of order", V2, two(vec![(histograms(&[whole(now - 1000)]), name)])),
        differs(
            "contradiction",
            V1,
            with(&[Histogram { count: Some(Count::Whole(1)), ..whole(now + 2000) }], "h_one"),
            Ours::Answer(
                400,
                "9 observations found in buckets, but the Count field is 1: histogram's observation count should equal",
            ),
        ),
        refused(
            "2: spans that do not fit",
            "positive side: spans need 3 buckets, have 1 buckets: histogram spans specify different number of buckets than provided for series {__name__=\"h_refused\"}\n",
            Histogram { positive_deltas: vec![1], ..whole(now) },
        ),
        refused(
            "2: negative count",
            "positive side: bucket number 2 has observation count of -1: ",
            Histogram { positive_deltas: vec![1, -2, 1], ..whole(now) },
        ),
        refused(
            "2: bounds out of order",
            "custom buckets: previous bound is 1.000000 and current is 0.500000: ",
            Histogram { custom_values: vec![1.0, 0.5], ..custom(now) },
        ),
    ]
}
