//! Bodies written byte by byte, the samples that they are, and what is made of broken ones.

use super::*;
use crate::exposition::ENTRY_BYTES_MAX;
use proptest::prelude::*;

fn number(field: u32, number: u64) -> Vec<u8> {
    [varint(u64::from(field) << 3), varint(number)].concat()
}

fn double(field: u32, value: f64) -> Vec<u8> {
    [varint(u64::from(field) << 3 | 1), value.to_bits().to_le_bytes().to_vec()].concat()
}

fn message(field: u32, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [varint(u64::from(field) << 3 | 2), varint(content.len() as u64), content].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn label(field: u32, name: &str, value: &str) -> Vec<u8> {
    message(field, &[&message(1, &[name.as_bytes()]), &message(2, &[value.as_bytes()])])
}

fn family(name: &str, kind: u64, metrics: &[&[u8]]) -> Vec<u8> {
    let head = [message(1, &[name.as_bytes()]), message(2, &[b"Help."]), number(3, kind)].concat();
    delimited(&[head, metrics.concat()].concat())
}

fn delimited(content: &[u8]) -> Vec<u8> {
    [&varint(content.len() as u64), content].concat()
}

fn bucket(bound: f64, count: u64) -> Vec<u8> {
    message(3, &[&number(1, count), &double(2, bound)])
}

/// Two buckets and, in the native part, three observations in buckets 1 and 2.
fn histogram(parts: &[&[u8]]) -> Vec<u8> {
    let classic = [number(1, 3), double(2, 4.5), bucket(1.0, 1), bucket(1e6, 3)].concat();
    let native = [number(5, 2), message(12, &[&number(1, 2), &number(2, 2)]), message(13, &[&[4, 1]])].concat();
    message(4, &[&message(7, &[&classic, &native, &parts.concat()])])
}

const CLASSIC: HistogramHandling = HistogramHandling { reads_native: false, keeps_classic: false, makes_custom: false };
const NATIVE: HistogramHandling = HistogramHandling { reads_native: true, ..CLASSIC };
const BOTH: HistogramHandling = HistogramHandling { keeps_classic: true, ..NATIVE };
const CUSTOM: HistogramHandling = HistogramHandling { makes_custom: true, ..CLASSIC };

/// Each sample as text, joined by `; `; or the error.
fn said(body: &[u8], handling: HistogramHandling) -> String {
    let mut out = Vec::new();
    let read = read_protobuf::<ProtobufError>(body, handling, &mut |item| {
        let Item::Sample(sample) = item else { return Ok(()) };
        let mut labels = sample.labels()?;
        let name = labels.remove(0).value;
        let labels: Vec<String> = labels.iter().map(|pair| format!("{}={:?}", pair.name, pair.value)).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let value = match &sample.value {
            Measured::Float(value) => value.to_string(),
            Measured::Native(native) => format!("{:?}", native.counts),
            Measured::Custom(custom) => format!("{:?} {:?}", custom.custom_values, custom.positive_buckets),
        };
        let at = sample.timestamp_ms.map_or(String::new(), |ms| format!(" @{ms}"));
        let start = sample.start_ms.map_or(String::new(), |ms| format!(" since {ms}"));
        let exemplars = sample.exemplars()?;
        let exemplars: String =
            exemplars.iter().map(|exemplar| format!(" # {} {:?}", exemplar.value, exemplar.timestamp_ms)).collect();
        out.push(format!("{name}{labels} {value}{at}{start}{exemplars}"));
        Ok(())
    });
    match read {
        Ok(()) => out.join("; "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn metrics_become_the_samples_of_a_text() {
    let gauge = family("g", 1, &[&message(4, &[&label(1, "a", "b"), &message(2, &[&double(1, 2.5)]), &number(6, 77)])]);
    assert_eq!(said(&gauge, CLASSIC), r#"g{a="b"} 2.5 @77"#);
    let start = message(3, &[&number(1, 5), &number(2, 7_999_999)]);
    let exemplar = message(2, &[&double(2, 9.0), &message(3, &[&number(1, 1)])]);
    let counter = family("c_total", 0, &[&message(4, &[&message(3, &[&double(1, 7.0), &start, &exemplar])])]);
    assert_eq!(said(&counter, CLASSIC), "c_total 7 since 5007 # 9 Some(1000)");
    let untyped = family("u", 3, &[&message(4, &[&message(5, &[&double(1, f64::NAN)])]), &message(4, &[])]);
    assert_eq!(said(&untyped, CLASSIC), "u NaN; u 0");
    let quantile = message(3, &[&double(1, 1.0), &double(2, 0.25)]);
    let summary = family("s", 2, &[&message(4, &[&message(4, &[&number(1, 2), &double(2, 0.5), &quantile])])]);
    assert_eq!(said(&summary, CLASSIC), r#"s_count 2; s_sum 0.5; s{quantile="1.0"} 0.25"#);
    let two = [gauge, summary].concat();
    assert_eq!(said(&two, CLASSIC).split("; ").count(), 4);
}

#[test]
fn histograms_are_handled_as_asked() {
    let one = family("h", 4, &[&histogram(&[])]);
    let classic = r#"h_count 3; h_sum 4.5; h_bucket{le="1.0"} 1; h_bucket{le="1e+06"} 3; h_bucket{le="+Inf"} 3"#;
    let native = "h Whole { count: 3, zero_count: 0, positive: [2, -1], negative: [] }";
    assert_eq!(said(&one, CLASSIC), classic);
    assert_eq!(said(&one, NATIVE), native);
    assert_eq!(said(&one, BOTH), format!("{classic}; {native}"));
    assert_eq!(said(&one, CUSTOM), "h [1.0, 1000000.0] [1.0, 2.0]");
    assert_eq!(
        said(&one, HistogramHandling { keeps_classic: true, ..CUSTOM }),
        format!("{classic}; h [1.0, 1000000.0] [1.0, 2.0]")
    );
    // Nothing native about it: no spans, no zero bucket.
    let bare = family("h", 4, &[&message(4, &[&message(7, &[&number(1, 3), &bucket(f64::INFINITY, 3)])])]);
    assert_eq!(said(&bare, NATIVE), r#"h_count 3; h_sum 0; h_bucket{le="+Inf"} 3"#);
    // One fractional count makes all of them fractional.
    let float = family(
        "h",
        5,
        &[&message(4, &[&message(7, &[&double(4, 1.5), &message(12, &[&number(2, 1)]), &double(14, 1.5)])])],
    );
    assert_eq!(said(&float, NATIVE), "h Fractional { count: 1.5, zero_count: 0.0, positive: [1.5], negative: [] }");
    // Exemplars of native histograms have a time or are left out.
    let exemplars = [message(16, &[&double(2, 1.0)]), message(16, &[&double(2, 2.0), &message(3, &[&number(1, 3)])])];
    let with_exemplars = family("h", 4, &[&histogram(&[&exemplars.concat()])]);
    assert_eq!(said(&with_exemplars, NATIVE), format!("{native} # 2 Some(3000)"));
}

#[test]
fn keys_tell_series_apart_and_stay() {
    let keys = |body: &[u8]| {
        let mut keys = Vec::new();
        read_protobuf::<ProtobufError>(body, BOTH, &mut |item| {
            if let Item::Sample(sample) = item {
                keys.push(sample.key.to_vec());
            }
            Ok(())
        })
        .expect("a body");
        keys
    };
    let gauge = |name: &str, labels: &[&[u8]], value: f64| {
        family(name, 1, &[&message(4, &[&labels.concat(), &message(2, &[&double(1, value)])])])
    };
    let (a, b) = (label(1, "x", "1"), label(1, "y", "2"));
    assert_eq!(keys(&gauge("g", &[&a, &b], 1.0)), keys(&gauge("g", &[&a, &b], 2.0)));
    let different = [
        gauge("g", &[&a], 1.0),
        gauge("g", &[&b], 1.0),
        gauge("g", &[&a, &b], 1.0),
        gauge("gg", &[], 1.0),
        family("g", 4, &[&histogram(&[])]),
    ];
    let mut all = keys(&different.concat());
    assert_eq!(all.len(), 10);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 10);
}

#[test]
fn broken_bodies_are_named_as_prometheus_names_them() {
    let metric = |parts: &[&[u8]]| family("m", 1, &[&message(4, parts)]);
    let named = |name: &[u8], kind| delimited(&[message(1, &[name]), number(3, kind), message(4, &[])].concat());
    for (body, expected) in [
        (vec![0x80; 4], "clientpb: invalid varint encountered"),
        (varint(1 << 40), "clientpb: invalid varint encountered"),
        (
            [varint(1 << 30), vec![0; 3]].concat(),
            "clientpb: insufficient length of buffer, expected at least 1073741829 bytes, got 8 bytes",
        ),
        (delimited(&[0x80]), "unexpected EOF"),
        (delimited(&[0xff; 12]), "proto: integer overflow"),
        (
            delimited(&[[0x0a].as_slice(), &[0xff; 9], &[1]].concat()),
            "proto: negative length found during unmarshaling",
        ),
        (delimited(&[0x0a, 0x7f]), "unexpected EOF"),
        (delimited(&[0x0c]), "proto: MetricFamily: wiretype end group for non-group"),
        (delimited(&[0x0f]), "proto: illegal wireType 7"),
        (delimited(&[0x00, 0x00]), "proto: MetricFamily: illegal tag 0 (wire type 0)"),
        (delimited(&[&message(4, &[]), [0x08, 0x01].as_slice()].concat()), "proto: wrong wireType = 0 for field Name"),
        (named(b"", 1), "invalid metric name: "),
        (named(b"\xff", 1), "invalid metric name: \u{fffd}"),
        (named(b"m", 9), "unknown metric type for metric \"m\": 9"),
        (metric(&[&label(1, "", "x")]), "invalid label name: "),
        (metric(&[&message(1, &[&message(1, &[b"a"]), &message(2, &[b"\xfe"])])]), "invalid label value: \u{fffd}"),
        (metric(&[&vec![0; ENTRY_BYTES_MAX + 1]]), "metric longer than 1048576 bytes"),
        (metric(&[&label(1, "a", "b").repeat(1025)]), "more than 1024 labels"),
        (
            family("h", 4, &[&histogram(&[&message(13, &[&[2]])])]),
            "histogram \"h\": positive side: spans require 2 buckets, have 3",
        ),
    ] {
        assert_eq!(said(&body, NATIVE), expected, "{:?}", &body[..body.len().min(20)]);
    }
    // An unread field, a group of groups, and a family without metrics say nothing.
    let deep = [[0xf3, 0x01].repeat(100_000), [0xf4, 0x01].repeat(100_000)].concat();
    assert_eq!(said(&delimited(&deep), NATIVE), "");
    assert_eq!(said(&delimited(&[0xf3, 0x01].repeat(100_000)), NATIVE), "unexpected EOF");
}

#[test]
fn a_short_body_does_not_stand_for_endless_samples() {
    let name = "n".repeat(ENTRY_BYTES_MAX);
    let metrics = message(4, &[]).repeat(10_000);
    let mut count = 0;
    let read = read_protobuf::<ProtobufError>(&family(&name, 1, &[&metrics]), NATIVE, &mut |item| {
        count += usize::from(matches!(item, Item::Sample(_)));
        Ok(())
    });
    assert_eq!(read, Err(ProtobufError::Expanded));
    assert_eq!(count, 255);
}

proptest! {
    /// Whatever comes, there is an end and no panic; and a good body stays one when what nobody reads is put between.
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        said(&bytes, BOTH);
        let mut body = [
            family("h", 4, &[&histogram(&[&message(16, &[&label(1, "a", "b")])])]),
            family("g", 1, &[&message(4, &[&label(1, "a", "b"), &message(2, &[&double(1, 2.5)])])]),
        ].concat();
        for (index, byte) in flips {
            let at = index.index(body.len());
            body[at] = byte;
        }
        for handling in [CLASSIC, NATIVE, BOTH, CUSTOM] {
            said(&body, handling);
            said(&body[..body.len() / 2], handling);
        }
    }
}
