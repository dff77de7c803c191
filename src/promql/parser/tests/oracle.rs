//! Random expressions: what our parser makes of them against `promql-parser`, and against its own printer.
//!
//! Both agree on the stable language; where the oracle is wrong, [`is_known_difference`] says how.

use proptest::prelude::*;

use crate::promql::{Features, parse, parse_with};

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    proptest::sample::select(words).prop_map(str::to_owned)
}

fn duration() -> impl Strategy<Value = String> + Clone {
    one_of(&["5m", "1h30m", "30s", "1d", "250ms", "1w2d"])
}

fn labels() -> impl Strategy<Value = String> + Clone {
    proptest::collection::vec(one_of(&["job", "le", "instance", "by", "sum", "offset"]), 0..3)
        .prop_map(|labels| format!("({})", labels.join(", ")))
}

fn selector() -> impl Strategy<Value = String> {
    let value = one_of(&["\"a\"", "'b|c'", "`d.*`", "\"\\n\\u00e9\"", "\"\""]);
    let matcher = (one_of(&["job", "le", "on"]), one_of(&["=", "!=", "=~", "!~"]), value)
        .prop_map(|(name, op, value)| format!("{name}{op}{value}"));
    let name = one_of(&["up", "a:b", "http_requests_total", "sum", "offset_total"]);
    (name, proptest::collection::vec(matcher, 0..3)).prop_map(|(name, matchers)| {
        if matchers.is_empty() { name } else { format!("{name}{{{}}}", matchers.join(", ")) }
    })
}

fn modifiers() -> impl Strategy<Value = String> {
    let at = one_of(&["", "", " @ 1609746000", " @ start()", " @ -5.5", " @ end()"]);
    let offset = prop_oneof![
        Just(String::new()),
        duration().prop_map(|d| format!(" offset {d}")),
        duration().prop_map(|d| format!(" offset -{d}"))
    ];
    (at, offset, any::<bool>()).prop_map(|(at, offset, at_first)| if at_first { at + &offset } else { offset + &at })
}

fn scalar() -> impl Strategy<Value = String> {
    one_of(&["1", "0.5", "1e3", "0x1F", "(Inf)", "NaN", "-2", "time()", "(3)", "pi()"])
}

/// Well-typed instant vectors.
fn vector() -> impl Strategy<Value = String> {
    let leaf = (selector(), modifiers()).prop_map(|(selector, modifiers)| selector + &modifiers);
    leaf.prop_recursive(5, 40, 3, |inner| {
        let range = (selector(), duration(), modifiers()).prop_map(|(s, d, m)| format!("{s}[{d}]{m}"));
        let subquery = (inner.clone(), duration(), prop_oneof![Just(String::new()), duration()], modifiers())
            .prop_map(|(v, range, step, m)| format!("({v})[{range}:{step}]{m}"));
        let matrix = prop_oneof![range, subquery];
        let grouping =
            (one_of(&["by", "without", "BY"]), labels()).prop_map(|(word, labels)| format!("{word} {labels}"));
        let aggregate = one_of(&["sum", "avg", "count", "min", "max", "stddev", "group", "SUM"]);
        let operator = one_of(&["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<=", "and", "or", "unless"]);
        let matching = prop_oneof![
            Just(String::new()),
            (one_of(&["on", "ignoring"]), labels()).prop_map(|(word, labels)| format!("{word} {labels}")),
        ];
        prop_oneof![
            (one_of(&["rate", "increase", "max_over_time", "absent_over_time"]), matrix)
                .prop_map(|(function, matrix)| format!("{function}({matrix})")),
            (one_of(&["abs", "sort_desc", "absent", "timestamp"]), inner.clone())
                .prop_map(|(function, v)| format!("{function}({v})")),
            (scalar(), inner.clone()).prop_map(|(q, v)| format!("histogram_quantile({q}, {v})")),
            inner.clone().prop_map(|v| format!("label_replace({v}, \"a\", \"$1\", \"b\", \"(.*)\")")),
            (aggregate.clone(), grouping.clone(), inner.clone()).prop_map(|(op, by, v)| format!("{op} {by} ({v})")),
            (aggregate, grouping, inner.clone()).prop_map(|(op, by, v)| format!("{op}({v}) {by}")),
            (one_of(&["topk", "bottomk", "quantile"]), scalar(), inner.clone())
                .prop_map(|(op, param, v)| format!("{op}({param}, {v})")),
            (inner.clone(), operator, matching, inner.clone()).prop_map(|(a, op, on, b)| format!("{a} {op} {on} {b}")),
            (inner.clone(), one_of(&["==", ">", "< bool", "!= bool"]), scalar())
                .prop_map(|(v, op, s)| format!("({v} {op} {s})")),
            (scalar(), one_of(&["+", "*", "^", "atan2"]), inner.clone())
                .prop_map(|(s, op, v)| format!("({s} {op} {v})")),
            (
                inner.clone(),
                one_of(&["* on (job) group_left ()", "/ ignoring (le) group_right (instance)"]),
                inner.clone()
            )
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|v| format!("-{v}")),
            inner.prop_map(|v| format!("({v})")),
        ]
    })
}

/// `text` with one token taken out, doubled or put elsewhere.
fn mutated() -> impl Strategy<Value = String> {
    (vector(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3usize).prop_map(
        |(text, from, to, how)| {
            let mut tokens = tokens(&text);
            let (from, to) = (from.index(tokens.len()), to.index(tokens.len()));
            match how {
                0 => drop(tokens.remove(from)),
                1 => tokens.insert(to, tokens[from].clone()),
                _ => tokens.swap(from, to),
            }
            tokens.join(" ")
        },
    )
}

/// Words, quoted texts and single other characters, which is near enough to tokens.
fn tokens(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' | '\'' | '`' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            c if c.is_ascii_alphanumeric() || "_:.".contains(c) => {
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_:.".contains(c))).unwrap_or(rest.len())
            }
            '=' | '!' | '<' | '>' if rest[1..].starts_with(['=', '~']) => 2,
            c => c.len_utf8(),
        };
        out.push(rest[..len].to_owned());
        rest = rest[len..].trim_start();
    }
    out
}

/// The oracle panics on some durations (`offset NaN`), which counts as refusing.
fn oracle_accepts(text: &str) -> bool {
    std::panic::catch_unwind(|| promql_parser::parser::parse(text).is_ok()).unwrap_or(false)
}

/// What the oracle refuses and Prometheus accepts: two signs in an offset, labels with a colon in a grouping, and `@ end()` before a
/// range.
fn is_known_difference(text: &str) -> bool {
    let words: Vec<&str> = text.split(' ').collect();
    let is_sign = |word: &str| matches!(word, "+" | "-");
    words.windows(3).any(|w| w[0] == "offset" && is_sign(w[1]) && is_sign(w[2]))
        || words.contains(&"a:b")
        || words.windows(4).any(|w| matches!(w[0], "start" | "end") && w[1..] == ["(", ")", "["])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_accept_the_stable_language(text in vector()) {
        prop_assert!(oracle_accepts(&text), "the oracle refuses {text}");
        let ours = parse(&text);
        prop_assert!(ours.is_ok(), "{text}: {}", ours.unwrap_err()[0]);
    }

    #[test]
    fn printing_and_parsing_again_changes_nothing(text in vector()) {
        let printed = parse(&text).unwrap().to_string();
        prop_assert_eq!(parse(&printed).unwrap().to_string(), printed);
    }

    #[test]
    fn both_judge_broken_text_alike(text in mutated()) {
        let (ours, theirs) = (parse(&text).is_ok(), oracle_accepts(&text));
        let explained = ours && !theirs && is_known_difference(&text);
        prop_assert!(ours == theirs || explained, "{text:?}: ours {ours}, oracle {theirs}");
    }

    #[test]
    fn no_text_panics(text in "[a-z0-9 (){}\\[\\],:=!~<>@#'\"`\\\\+*/^%.$é\n-]{0,40}") {
        for features in [Features::STABLE, Features::ALL] {
            if let Err(errors) = parse_with(&text, features) {
                prop_assert!(!errors.is_empty());
                prop_assert!(errors.iter().all(|e| text.get(e.span.start..e.span.end).is_some()));
            }
        }
    }
}
