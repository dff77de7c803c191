//! Odd lines with what Prometheus 3.5 makes of them, and properties.

use super::*;
use crate::model::{Labels, MetricKind};
use proptest::prelude::*;

const TEXT: Format = Format::Text;
const OM: Format = Format::OpenMetrics;

fn labels(series: &Series<'_>) -> Labels {
    Labels::from_pairs(series.labels().map(|pair| (pair.name.into_owned(), pair.value.into_owned())))
}

/// The samples of a body, one `labels value [timestamp]` each, joined by `; `; or the error.
fn samples(format: Format, body: &[u8]) -> String {
    let mut out = Vec::new();
    for entry in Parser::new(body, format) {
        match entry {
            Ok(Entry::Series(series)) => {
                let timestamp = series.timestamp_ms.map_or(String::new(), |ms| format!(" @{ms}"));
                out.push(format!("{} {}{timestamp}", labels(&series), crate::model::format_float(series.value)));
            }
            Ok(_) => {}
            Err(error) => return format!("{} at {}:{}", error.problem, error.line, error.column),
        }
    }
    out.join("; ")
}

fn check(format: Format, cases: &[(&str, &str)]) {
    for (body, expected) in cases {
        assert_eq!(samples(format, body.as_bytes()), *expected, "{body:?}");
    }
}

#[test]
fn text_accepts() {
    check(
        TEXT,
        &[
            ("", ""),
            ("foo 1\n", "foo 1"),
            ("foo 1", "foo 1"),
            ("foo 1 \n\n \t\nbar 2\n", "foo 1; bar 2"),
            (" \tfoo 1\n", "foo 1"),
            ("foo { a = \"b\" , } 1 2000\n", "foo{a=\"b\"} 1 @2000"),
            ("foo {a=\"b\"} 1\n", "foo{a=\"b\"} 1"),
            ("foo{a=\"b\"}1\n", "foo{a=\"b\"} 1"),
            ("foo{a=\"b\" c=\"d\"} 1\n", "foo{a=\"b\",c=\"d\"} 1"),
            ("foo{} 1\n", "foo 1"),
            ("a:b 1\n", "a:b 1"),
            ("foo infinity\nbar -Inf\nbaz nAn\n", "foo +Inf; bar -Inf; baz NaN"),
            ("foo .5\nbar 5.\nbaz +1\nqux 1e-999\n", "foo 0.5; bar 5; baz 1; qux 0"),
            ("# HELP\nfoo 1\n", "foo 1"),
            ("# HELP foo\n#\tHELP\tbar\tx\nfoo 1\n", "foo 1"),
            ("#\n#x\n# y\n# EOF\n# UNIT x y\nfoo 1\n", "foo 1"),
            ("# TYPE \"my.foo\" counter\n{\"my.foo\"} 1\n", "{\"my.foo\"} 1"),
            ("foo{\"a.b\"=\"c\"} 1\n", "foo{\"a.b\"=\"c\"} 1"),
            ("{a=\"b\",\"bar\"} 1\n", "bar{a=\"b\"} 1"),
            ("foo{a=\"x\ny\"} 1\n", "foo{a=\"x\\ny\"} 1"),
            ("foo{a=\"\\x\\\"\\n\\\\\"} 1\n", "foo{a=\"\\\\x\\\"\\n\\\\\"} 1"),
            ("foo{a=\"}\",b=\",\"} 1\n", "foo{a=\"}\",b=\",\"} 1"),
            ("foo{a=\"\"} 1\n", "foo 1"),
            (
                "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1000000\"} 2\n",
                "h_bucket{le=\"1.0\"} 1; h_bucket{le=\"1e+06\"} 2",
            ),
            ("# TYPE s summary\ns{quantile=\"1\"} 1\n", "s{quantile=\"1.0\"} 1"),
            ("# TYPE g gauge\ng{le=\"1\"} 1\n", "g{le=\"1\"} 1"),
        ],
    );
    assert_eq!(samples(TEXT, b"#  \xff\nfoo 1\n"), "foo 1");
}

#[test]
fn text_refuses() {
    check(
        TEXT,
        &[
            ("foo{,} 1\n", "expected label name at 1:5"),
            ("foo 1 -5\n", "expected timestamp or new record at 1:7"),
            ("foo 1 1.5\n", "expected next entry after timestamp at 1:8"),
            ("foo 1 2000 3\n", "expected next entry after timestamp at 1:12"),
            ("foo 1 99999999999999999999\n", "number out of range at 1:7"),
            ("foo 1 # {a=\"b\"} 1\n", "expected timestamp or new record at 1:7"),
            ("foo 1{ 2\n", "expected timestamp or new record at 1:6"),
            ("foo 0x10\n", "invalid number at 1:5"),
            ("foo 0x1p-2\n", "unsupported character in float at 1:5"),
            ("foo 1_0\n", "unsupported character in float at 1:5"),
            ("foo +NaN\n", "invalid number at 1:5"),
            ("foo 1e999\n", "number out of range at 1:5"),
            ("# HELP  \nfoo 1\n", "expected metric name at 1:9"),
            ("# HELP 0x y\n", "expected metric name at 1:8"),
            ("# TYPE foo\n", "invalid metric type at 1:11"),
            ("# TYPE foo  counter\n", "invalid metric type at 1:12"),
            ("# TYPE foo counter \n", "invalid metric type at 1:12"),
            ("# TYPE foo unknown\n", "invalid metric type at 1:12"),
            ("foo{\"bar\"} 1\n", "metric name already set at 1:6"),
            ("{\"a\",\"b\"} 1\n", "metric name already set at 1:6"),
            ("{a=\"b\"} 1\n", "metric name not set at 1:1"),
            ("{} 1\n", "metric name not set at 1:1"),
            ("{\"\"} 1\n", "empty name at 1:3"),
            ("foo{\"\"=\"x\"} 1\n", "empty name at 1:6"),
            ("foo{a:b=\"1\"} 1\n", "expected equal at 1:6"),
            ("{foo,a=\"b\"} 1\n", "expected equal at 1:5"),
            ("foo\n", "expected value after metric at 1:4"),
            ("foo{}\n", "expected value after metric at 1:6"),
            ("foo 1\n!!!\n", "expected a valid start token at 2:1"),
            ("foo{a=\"b 1\n", "expected label value at 1:7"),
            ("foo{a=\"b\\", "expected label value at 1:7"),
            ("foo{a=\"b\" 1\n", "expected label name at 1:11"),
            ("foo{ü=\"b\"} 1\n", "expected label name at 1:5"),
        ],
    );
    for (body, expected) in [
        (&b"foo{a=\"\xff\"} 1\n"[..], "invalid UTF-8 at 1:8"),
        (b"{\"\xff\"} 1\n", "invalid UTF-8 at 1:3"),
        (b"# HELP foo \xff\nfoo 1\n", "invalid UTF-8 at 1:12"),
        (b"foo 1\n\0bar 2\n", "expected a valid start token at 2:1"),
    ] {
        assert_eq!(samples(TEXT, body), expected);
    }
    let carriage_return = Problem::CarriageReturn;
    for body in ["foo 1\r\n", "foo 1\n\r\n", "foo 1 5\r\n", "# TYPE foo counter\r\n"] {
        assert!(samples(TEXT, body.as_bytes()).starts_with(&carriage_return.to_string()), "{body:?}");
    }
}

#[test]
fn open_metrics_accepts() {
    check(
        OM,
        &[
            ("foo 1\n# EOF\n", "foo 1"),
            ("foo 1\n# EOF", "foo 1"),
            ("# EOF\n", ""),
            ("foo 1 1700000000.5\nbar 1 -1\n# EOF\n", "foo 1 @1700000000500; bar 1 @-1000"),
            ("foo{a=\"b\",} 1\n# EOF\n", "foo{a=\"b\"} 1"),
            ("{\"foo\",} 1\n# EOF\n", "foo 1"),
            ("{\"x\ny\"} 1\n# EOF\n", "{\"x\\ny\"} 1"),
            ("# TYPE foo unknown\nfoo 1\n# EOF\n", "foo 1"),
            ("# HELP foo \n# UNIT foo \nfoo 1\n# EOF\n", "foo 1"),
            ("# UNIT foo_seconds seconds\nfoo_seconds 1\n# EOF\n", "foo_seconds 1"),
            ("# TYPE foo counter\nfoo_total 1\nfoo_created 1700000000\n# EOF\n", "foo_total 1; foo_created 1700000000"),
            ("foo 1 # {a=\"b\"} 0.5 1700000000\n# EOF\n", "foo 1"),
            ("foo 1 1700000000 # {} 0.5\n# EOF\n", "foo 1 @1700000000000"),
            ("foo 1 # {\"a.b\"=\"x\"} 0.5\n# EOF\n", "foo 1"),
        ],
    );
}

#[test]
fn open_metrics_refuses() {
    check(
        OM,
        &[
            ("foo 1\n", "data does not end with # EOF at 2:1"),
            ("foo 1", "data does not end with # EOF at 1:6"),
            ("", "data does not end with # EOF at 1:1"),
            ("# EOF\nfoo 1\n", "unexpected data after # EOF at 1:6"),
            ("# EOF \n", "unexpected data after # EOF at 1:6"),
            ("# EOF\n\n", "unexpected data after # EOF at 1:6"),
            ("\nfoo 1\n# EOF\n", "expected a valid start token at 1:1"),
            ("# hi\n# EOF\n", "expected a valid start token at 1:1"),
            ("foo  1\n# EOF\n", "expected value after metric at 1:5"),
            ("foo\t1\n# EOF\n", "expected value after metric at 1:4"),
            ("foo{a=\"b\"}1\n# EOF\n", "expected value after metric at 1:11"),
            ("foo 1 \n# EOF\n", "expected timestamp at 1:7"),
            ("foo 1 NaN\n# EOF\n", "invalid timestamp at 1:7"),
            ("foo 1 # {\"x\"} 0.5\n# EOF\n", "expected label name at 1:11"),
            ("foo 1 #{a=\"b\"} 0.5\n# EOF\n", "invalid number at 1:7"),
            ("foo 1 # {a=\"b\"}\n# EOF\n", "expected value after exemplar labels at 1:16"),
            ("foo{a=\"b\", c=\"d\"} 1\n# EOF\n", "expected label name at 1:11"),
            ("foo{a=\"b\"c=\"d\"} 1\n# EOF\n", "expected comma or brace close at 1:10"),
            ("foo{a=\"x\ny\"} 1\n# EOF\n", "expected label value at 1:7"),
            ("# TYPE foo untyped\n# EOF\n", "invalid metric type at 1:12"),
            ("# UNIT foo seconds\n# EOF\n", "unit is not a suffix of the metric's name at 1:12"),
            ("# UNIT seconds seconds\n# EOF\n", "unit is not a suffix of the metric's name at 1:16"),
            ("# HELP foo\n# EOF\n", "expected text after the metric name at 1:11"),
            ("# HELP foo x", "data does not end with # EOF at 1:13"),
        ],
    );
}

#[test]
fn gives_metadata_and_exemplars() {
    let body = b"# HELP a x\\\\y\\nz\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds 1 # {id=\"x\"} 0.5 2.5\n# EOF\n";
    let entries: Vec<Entry<'_>> = Parser::new(body, OM).collect::<Result<_, _>>().unwrap();
    assert_eq!(entries[0], Entry::Help { name: "a".into(), text: "x\\y\nz".into() });
    assert_eq!(entries[1], Entry::Type { name: "a_seconds".into(), kind: MetricKind::Counter });
    assert_eq!(entries[2], Entry::Unit { name: "a_seconds".into(), unit: "seconds".into() });
    let Entry::Series(series) = &entries[3] else { panic!("{entries:?}") };
    let exemplar = series.exemplar.as_ref().unwrap();
    assert_eq!((exemplar.value, exemplar.timestamp_ms), (0.5, Some(2500)));
    let pair = exemplar.labels().next().unwrap();
    assert_eq!((&*pair.name, &*pair.value), ("id", "x"));
    assert_eq!(entries[4], Entry::Eof);
}

#[test]
fn limits_hold_and_errors_are_short() {
    let long = format!("foo{{a=\"{}\"}} 1\n", "x".repeat(ENTRY_BYTES_MAX));
    let error = Parser::new(long.as_bytes(), TEXT).next().unwrap().unwrap_err();
    assert_eq!(error.problem, Problem::EntryTooLong);
    assert!(error.text.chars().count() <= 121);
    let many: String = (0..=LABELS_MAX).map(|index| format!("a{index}=\"\",")).collect();
    assert!(samples(TEXT, format!("foo{{{many}}} 1").as_bytes()).starts_with("more than 1024 labels"));
}

#[test]
fn an_expected_series_is_taken_only_where_it_ends() {
    for (body, expected, text) in [
        ("foo{a=\"b\"} 1\n", "foo{a=\"b\"}", "foo{a=\"b\"} 1"),
        ("foo 1\n", "fo", "foo 1"),
        ("foo {a=\"b\"} 1\n", "foo", "foo{a=\"b\"} 1"),
        ("# x\n\nfoo 1\n", "foo", "foo 1"),
        ("foo1 1\n", "foo", "foo1 1"),
    ] {
        let mut parser = Parser::new(body.as_bytes(), TEXT);
        let series = loop {
            match parser.next_expecting(expected.as_bytes()) {
                Some(Ok(Entry::Series(series))) => break series,
                Some(Ok(_)) => {}
                other => panic!("{body:?}: {other:?}"),
            }
        };
        assert_eq!(format!("{} {}", labels(&series), series.value), text, "{body:?}");
    }
}

#[test]
fn content_types() {
    let (text, om) = (BodyFormat::Text(TEXT), BodyFormat::Text(OM));
    for (content_type, fallback, expected) in [
        ("text/plain", None, Ok(text)),
        ("text/plain; version=0.0.4; charset=utf-8", None, Ok(text)),
        ("Application/OpenMetrics-Text; version=1.0.0", None, Ok(om)),
        ("", Some(text), Ok(text)),
        ("text/html", Some(om), Ok(om)),
        ("", Some(BodyFormat::Protobuf), Ok(BodyFormat::Protobuf)),
        ("", None, Err(ContentTypeError::Blank)),
        (";;;", None, Err(ContentTypeError::Malformed(";;;".to_owned()))),
        ("text/html", None, Err(ContentTypeError::Unsupported("text/html".to_owned()))),
        ("application/vnd.google.protobuf; encoding=delimited", Some(text), Ok(BodyFormat::Protobuf)),
    ] {
        assert_eq!(BodyFormat::from_content_type(content_type, fallback), expected, "{content_type:?}");
    }
}

#[test]
fn writes_families_in_order() {
    let mut late = Family::new("b_total", "Second\nline \\.", FamilyKind::Counter);
    late.point(vec![("x", "a\"b\\c\nd".to_owned()), ("y", "1".to_owned())], 2.0);
    let early = Family::single("a", "First.", FamilyKind::Gauge, f64::INFINITY);
    let unused = Family::new("c", "Nothing.", FamilyKind::Gauge);
    let again = Family::single("b_total", "Second.", FamilyKind::Counter, 3.0);
    let expected = "# HELP a First.\n# TYPE a gauge\na +Inf\n# HELP b_total Second\\nline \\\\.\n# TYPE b_total counter\n\
                    b_total{x=\"a\\\"b\\\\c\\nd\",y=\"1\"} 2\nb_total 3\n";
    let text = write_text(&[late, early, unused, again]);
    assert_eq!(text, expected);
    assert_eq!(samples(TEXT, text.as_bytes()), "a +Inf; b_total{x=\"a\\\"b\\\\c\\nd\",y=\"1\"} 2; b_total 3");
}

/// Name, labels and value of one generated sample.
type Generated = (String, Vec<(String, String)>, f64);

/// Well-formed text on which prometheus-parse is right: no escapes, no commas or braces in values, no empty braces.
fn well_formed() -> impl Strategy<Value = Vec<Generated>> {
    let label = ("[a-z][a-z0-9_]{0,5}", "[a-zA-Z0-9/.:_ ü-]{1,8}");
    let labels = proptest::collection::btree_map(label.0, label.1, 0..4);
    let series = ("m_[a-z0-9_]{0,8}", labels, proptest::num::f64::NORMAL | proptest::num::f64::ZERO);
    let series = series.prop_map(|(name, labels, value)| (name, labels.into_iter().collect(), value));
    proptest::collection::vec(series, 0..20)
}

proptest! {
    #[test]
    fn agrees_with_prometheus_parse(lines in well_formed()) {
        let mut text = String::from("# HELP m_x y\n\n");
        for (name, labels, value) in &lines {
            let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let set = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
            text.push_str(&format!("{name}{set} {value} 1000\n"));
        }
        let theirs = prometheus_parse::Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
        let ours: Vec<Series<'_>> = Parser::new(text.as_bytes(), TEXT)
            .filter_map(|entry| match entry.unwrap() { Entry::Series(series) => Some(series), _ => None })
            .collect();
        prop_assert_eq!(ours.len(), theirs.samples.len());
        for (our, their) in ours.iter().zip(&theirs.samples) {
            let mut expected: Vec<(String, String)> = their.labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
            expected.push(("__name__".to_owned(), their.metric.clone()));
            prop_assert_eq!(labels(our), Labels::from_pairs(expected));
            prop_assert_eq!(our.timestamp_ms, Some(their.timestamp.timestamp_millis()));
            let prometheus_parse::Value::Untyped(value) = their.value else { panic!("{:?}", their.value) };
            prop_assert_eq!(our.value.to_bits(), value.to_bits());
        }
    }

    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300), expected in "[a-c{}\"=]{0,5}") {
        walk(&body, expected.as_bytes());
    }

    #[test]
    fn no_near_misses_panic(body in "([ab#{}\"=,\\\\ \t\n1.]|# (HELP|TYPE|UNIT|EOF)|a\\{b=\"|\"\\} 1\n| # \\{){0,40}") {
        walk(body.as_bytes(), b"");
    }

    /// A second scrape of the same body, each series expected, reads the same.
    #[test]
    fn expecting_changes_nothing(body in "((a|b|ab)( ?\\{(a=\"[x}]?\",?)?\\})? [0-9]\n){0,8}") {
        let plain: Vec<_> = Parser::new(body.as_bytes(), TEXT).collect();
        let mut parser = Parser::new(body.as_bytes(), TEXT);
        for entry in &plain {
            let expected = match entry { Ok(Entry::Series(series)) => series.text, _ => &[] };
            let again = parser.next_expecting(expected);
            prop_assert_eq!(again.as_ref(), Some(entry));
        }
    }
}

/// Reads everything that a body offers, in both formats.
fn walk(body: &[u8], expected: &[u8]) {
    for format in [TEXT, OM] {
        let mut parser = Parser::new(body, format);
        while let Some(entry) = parser.next_expecting(&[]) {
            match entry {
                Ok(Entry::Series(series)) => {
                    series.labels().for_each(drop);
                    if let Some(exemplar) = &series.exemplar {
                        exemplar.labels().for_each(drop);
                    }
                }
                Ok(_) => {}
                Err(error) => assert!(error.line >= 1 && error.column >= 1),
            }
        }
        // What was not returned by the parser may be expected, too: it must only not panic.
        Parser::new(body, format).next_expecting(expected);
    }
}
