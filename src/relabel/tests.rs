//! Tables of rules, before and after. The expected results are those of Prometheus 3.5, whose targets page and
//! `promtool check config` were asked where the documentation leaves room.

use super::*;
use crate::source::decode::Decoder;
use crate::source::{SourceFile, yaml};

fn decode(text: &str) -> (Vec<RelabelConfig>, Vec<String>) {
    let source = SourceFile::new("r.yml", text);
    let (node, problems) = yaml::parse(&source);
    assert!(problems.is_empty(), "{problems}");
    let mut decoder = Decoder::new(&source);
    let rules = decoder.list(&node.unwrap(), RelabelConfig::decode).unwrap();
    (rules, decoder.finish().iter().map(ToString::to_string).collect())
}

/// `rules` is a YAML list; `input` and `expected` are `name=value` pairs with spaces between, `dropped` for no result.
fn check(rules: &str, input: &str, expected: &str) {
    let (rules, problems) = decode(rules);
    assert!(problems.is_empty(), "{problems:?}");
    let pairs = |text: &str| Labels::from_pairs(text.split_whitespace().map(|pair| pair.split_once('=').unwrap()));
    match process(&pairs(input), &rules) {
        None => assert_eq!(expected, "dropped", "{rules:?}"),
        Some(labels) => assert_eq!(labels, pairs(expected), "{rules:?}"),
    }
}

#[test]
fn replaces() {
    for (rules, input, expected) in [
        (
            "[{source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-ch${1}'}]",
            "a=foo",
            "a=foo d=choo-choo",
        ),
        (
            "[{source_labels: [a, b], regex: 'f(.*);(.*)r', target_label: a, replacement: 'b${1}${2}m'}]",
            "a=foo b=bar",
            "a=boobam b=bar",
        ),
        ("[{source_labels: [a], regex: 'o', target_label: d}]", "a=foo", "a=foo"), // anchored: no match, no change
        ("[{source_labels: [a], target_label: b, replacement: '$1x'}]", "a=1 b=2", "a=1"), // the group named 1x is empty
        ("[{source_labels: [a], target_label: b, replacement: '$$1'}]", "a=1", "a=1 b=$1"),
        ("[{source_labels: [a], target_label: b, replacement: 'x$-y'}]", "a=1", "a=1 b=x$-y"),
        ("[{source_labels: [a], target_label: b, replacement: '${1'}]", "a=1", "a=1 b=${1"),
        ("[{source_labels: [a], target_label: b, replacement: '$0$2'}]", "a=1", "a=1 b=1"),
        (
            "[{source_labels: [a], regex: '(?P<host>[^:]+):(?P<port>\\d+)', target_label: '${host}', replacement: '$port'}]",
            "a=h:80",
            "a=h:80 h=80",
        ),
        ("[{source_labels: [a], target_label: 'x_$1'}]", "a=foo", "a=foo x_foo=foo"),
        ("[{source_labels: [none], target_label: b}]", "b=1", ""), // an empty result removes the label
        ("[{target_label: b, replacement: fixed}]", "a=1", "a=1 b=fixed"),
        ("[{target_label: b, replacement: }]", "a=1 b=2", "a=1"),
        ("[{source_labels: [a, b], separator: , target_label: c}]", "a=1 b=2", "a=1 b=2 c=12"),
        ("[{source_labels: [none], regex: '.+', target_label: b, replacement: x}]", "a=1", "a=1"),
        ("[{source_labels: [a], target_label: 'my.label'}]", "a=1", "a=1 my.label=1"),
        ("[{source_labels: [a], target_label: '$2'}]", "a=1", "a=1"), // an empty name changes nothing
    ] {
        check(rules, input, expected);
    }
}

#[test]
fn keeps_and_drops() {
    for (rules, input, expected) in [
        ("[{action: keep, source_labels: [a], regex: 'f.*'}]", "a=foo", "a=foo"),
        ("[{action: Keep, source_labels: [a], regex: 'o'}]", "a=foo", "dropped"),
        ("[{action: drop, source_labels: [a], regex: 'f|foo'}]", "a=foo", "dropped"),
        ("[{action: drop, source_labels: [a], regex: 'f|o'}]", "a=foo", "a=foo"),
        ("[{action: drop, source_labels: [none]}]", "a=foo", "dropped"),
        ("[{action: keepequal, source_labels: [a], target_label: b}]", "a=1 b=1", "a=1 b=1"),
        ("[{action: keepequal, source_labels: [a], target_label: b}]", "a=1 b=2", "dropped"),
        ("[{action: dropequal, source_labels: [a], target_label: b}]", "a=1 b=1", "dropped"),
        ("[{action: dropequal, source_labels: [a, b], target_label: c}]", "a=1 b=2 c=1;2", "dropped"),
        ("[{action: drop, source_labels: [a], regex: x}, {target_label: b, replacement: y}]", "a=foo", "a=foo b=y"),
    ] {
        check(rules, input, expected);
    }
}

#[test]
fn maps_hashes_and_folds() {
    for (rules, input, expected) in [
        // The last eight bytes of md5("foo") and md5(""), as md5sum prints them, modulo 1000.
        ("[{action: hashmod, source_labels: [a], modulus: 1000, target_label: d}]", "a=foo", "a=foo d=696"),
        ("[{action: hashmod, source_labels: [none], modulus: 1000, target_label: d}]", "a=x", "a=x d=958"),
        ("[{action: labelmap, regex: 'meta_(.+)'}]", "meta_a=1 meta_b=2 c=3", "meta_a=1 meta_b=2 a=1 b=2 c=3"),
        ("[{action: labelmap, regex: 'x_(.*)', replacement: 'x_x_${1}'}]", "x_a=1", "x_a=1 x_x_a=1"),
        ("[{action: labeldrop, regex: 'b.*'}]", "a=1 b1=2 b2=3 cb=4", "a=1 cb=4"),
        ("[{action: labelkeep, regex: 'b.*'}]", "a=1 b1=2 b2=3 cb=4", "b1=2 b2=3"),
        ("[{action: lowercase, source_labels: [a], target_label: a}]", "a=FoO", "a=foo"),
        ("[{action: uppercase, source_labels: [a, b], target_label: c}]", "a=fo b=ß", "a=fo b=ß c=FO;ß"),
        ("[{action: labeldrop}]", "a=1", ""),
    ] {
        check(rules, input, expected);
    }
}

#[test]
fn refuses_with_the_text_of_prometheus() {
    for (rules, message) in [
        (
            "[{action: hashmod, source_labels: [a], target_label: b}]",
            "relabel configuration for hashmod requires non-zero modulus",
        ),
        ("[{source_labels: [a]}]", "relabel configuration for replace action requires 'target_label' value"),
        (
            "[{action: keepequal, source_labels: [a]}]",
            "relabel configuration for keepequal action requires 'target_label' value",
        ),
        (
            "[{action: lowercase, source_labels: [a], target_label: b, replacement: x}]",
            "'replacement' can not be set for lowercase action",
        ),
        (
            "[{action: dropequal, source_labels: [a], target_label: b, regex: '(.*)'}]",
            "dropequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
        (
            "[{action: labeldrop, regex: a, source_labels: [a]}]",
            "labeldrop action requires only 'regex', and no other fields",
        ),
        (
            "[{action: labelkeep, regex: a, target_label: a}]",
            "labelkeep action requires only 'regex', and no other fields",
        ),
        ("[{action: labelmap, replacement: ''}]", "\"\" is invalid 'replacement' for labelmap action"),
        ("[{action: }]", "relabel action cannot be empty"),
        ("[{action: replcae, target_label: b}]", "unknown relabel action \"replcae\"; did you mean \"replace\"?"),
        ("[{regex: 'a(', target_label: b}]", "r.yml:1:3: error parsing regexp: missing closing ): `a(`"),
        ("[{regex: 'a)(b', target_label: b}]", "error parsing regexp: unexpected ): `a)(b`"),
        ("[{source_labels: [''], target_label: b}]", "\"\" is not a valid label name"),
        (
            "[{sourcelabels: [a], target_label: b}]",
            "unknown key \"sourcelabels\" in relabel config; did you mean \"source_labels\"?",
        ),
    ] {
        let (_, problems) = decode(rules);
        assert!(problems.len() == 1 && problems[0].contains(message), "{rules}: {problems:?}");
    }
}

#[test]
fn errors_stand_at_the_key_and_all_are_told() {
    let (rules, problems) = decode("- action: hashmod\n  target_label: a\n- regex: '['\n  actoin: keep\n");
    assert!(rules.is_empty());
    assert!(problems[0].starts_with("r.yml:1:3: relabel configuration for hashmod"), "{problems:?}");
    assert!(problems[1].starts_with("r.yml:3:3: error parsing regexp"), "{problems:?}");
    assert!(problems[2].starts_with("r.yml:4:3: unknown key \"actoin\""), "{problems:?}");
}
