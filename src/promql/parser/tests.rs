//! The parser against tables of what is accepted and refused, and against another parser.

mod accepted;
mod oracle;
mod refused;

use crate::promql::{DEPTH_MAX, Features, TEXT_LEN_MAX, parse, parse_metric_selector, parse_with};

fn printed(text: &str) -> String {
    parse(text).unwrap_or_else(|errors| panic!("{text}: {}", errors[0])).to_string()
}

#[test]
fn refuses_in_the_words_of_prometheus() {
    for (text, expected) in refused::REFUSED {
        match parse(text) {
            Ok(expr) => panic!("{text:?} is accepted as {expr}"),
            Err(errors) => assert_eq!(errors[0].to_string(), *expected, "{text:?}"),
        }
    }
}

#[test]
fn accepts_and_formats_as_prometheus() {
    for (text, expected) in accepted::ACCEPTED {
        assert_eq!(printed(text), *expected, "{text:?}");
        assert_eq!(printed(expected), *expected, "{text:?} again");
    }
}

/// Where Prometheus 3.14 differs from 3.5, its newer form is ours.
#[test]
fn refuses_in_the_words_of_the_newest_prometheus() {
    for (text, expected) in [
        (
            "foo[]",
            r#"1:5: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()"#,
        ),
        ("foo[5m:", "1:8: unclosed left bracket"),
        ("foo[5m foo]", "1:8: unexpected character: 'f', expected ':'"),
        ("rate(foo[5 m])", "1:12: unexpected character: 'm', expected ':'"),
        ("rate(foo[5 M 3])", "1:12: unexpected character: 'M', expected ':'"),
        ("rate(foo[5m:1 m])", "1:15: unexpected character: 'm', expected ':'"),
        ("rate(foo[0x5 # minutes\n m])", "2:2: unexpected character: 'm', expected ':'"),
        (
            "foo offset bar",
            r#"1:12: unexpected identifier "bar" in offset, expected number, duration, step(), or range()"#,
        ),
        ("foo[step()]", "1:5: experimental duration expression is not enabled"),
        ("foo anchored", "1:1: anchored modifier is experimental and not enabled"),
        ("foo[5m] smoothed", "1:1: smoothed modifier is experimental and not enabled"),
        ("foo + fill(0) bar", "1:1: binop fill modifiers are experimental and not enabled"),
        ("start()", r#"1:1: function "start" is not enabled"#),
        ("@ 5", "1:1: unexpected <op:@>"),
    ] {
        let expected = expected.replacen(": ", ": parse error: ", 1);
        assert_eq!(parse(text).unwrap_err()[0].to_string(), expected, "{text:?}");
    }
}

#[test]
fn reports_every_mistake() {
    for (text, expected) in [
        (
            "rate(foo) + sum(bar[5m]) > sort(1)",
            vec![
                r#"1:6: expected type range vector in call to function "rate", got instant vector"#,
                "1:17: expected type instant vector in aggregation expression, got range vector",
                r#"1:33: expected type instant vector in call to function "sort", got scalar"#,
            ],
        ),
        (
            "foo{a=b, c~\"d\", e=\"f\"}",
            vec![
                r#"1:7: unexpected identifier "b" in label matching, expected string"#,
                "1:11: unexpected character inside braces: '~'",
            ],
        ),
        (
            "max(ratee(foo[5m]), (a b, c), foo{x}) * clamp(a =, -) ",
            vec![
                r#"1:5: unknown function with name "ratee""#,
                r#"1:24: unexpected identifier "b" in aggregation"#,
                r#"1:36: unexpected "}" in label matching, expected label matching operator"#,
            ],
        ),
        (
            "clamp(a b, topk(), c[5m] offset)",
            vec![
                r#"1:9: unexpected identifier "b""#,
                "1:12: no arguments for aggregate expression provided",
                r#"1:32: unexpected ")" in offset, expected number, duration, step(), or range()"#,
            ],
        ),
    ] {
        let expected: Vec<String> = expected.iter().map(|text| text.replacen(": ", ": parse error: ", 1)).collect();
        let errors: Vec<String> = parse(text).unwrap_err().iter().map(|error| error.to_string()).collect();
        assert_eq!(errors, expected, "{text:?}");
    }
}

#[test]
fn help_looks_back_over_any_text() {
    for text in ["g#é\nx", "( #éby (x)\n("] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn depth_and_length_are_limited() {
    let nested = |levels: usize| format!("{}a{}", "(".repeat(levels), ")".repeat(levels));
    let chain = |terms: usize| vec!["a"; terms].join(" or ");
    let signs = |count: usize| format!("{}a", "-".repeat(count));
    for (text, accepted) in [
        (nested(DEPTH_MAX - 1), true),
        (nested(DEPTH_MAX), false),
        (nested(100 * DEPTH_MAX), false),
        (chain(DEPTH_MAX), true),
        (chain(DEPTH_MAX + 1), false),
        (chain(100 * DEPTH_MAX), false),
        (signs(DEPTH_MAX - 1), true),
        (signs(100 * DEPTH_MAX), false),
        (vec!["2"; 100 * DEPTH_MAX].join("^"), false),
        (format!("a{}", " ".repeat(TEXT_LEN_MAX - 1)), true),
        (format!("a{}", " ".repeat(TEXT_LEN_MAX)), false),
    ] {
        let outcome = parse(&text);
        assert_eq!(outcome.is_ok(), accepted, "{:.40}…: {:?}", text, outcome.err());
    }
}

#[test]
fn help_says_what_to_write() {
    for (text, expected) in [
        ("foo = 1", "`=` compares labels inside braces; write `==` to compare values"),
        ("foo{a==\"b\"}", "inside braces a single `=` compares: `{label=\"value\"}`"),
        ("foo{a=b}", "put the value in quotes: \"b\""),
        ("foo{a=\"b\" c=\"d\"}", "separate matchers by commas"),
        ("rate(foo)", "write `rate(foo[5m])`"),
        ("rate(sum(foo))", "take `rate` of each series first, then aggregate: `sum(rate(foo[5m]))`"),
        ("max_over_time(rate(foo[5m]))", "write a subquery: `max_over_time(rate(foo[5m])[5m:])`"),
        ("rate(a + b)", "write a subquery: `rate((a + b)[5m:])`"),
        ("sum(foo[5m])", "put a function over the range first: `sum(rate(foo[5m]))` for a counter"),
        ("histogram_quantil(0.9, foo)", "did you mean `histogram_quantile`?"),
        ("holt_winters(foo[5m], 1, 2)", "did you mean `double_exponential_smoothing`?"),
        ("1 == 1", "write `== bool`, which gives 0 or 1"),
        ("{}", "name a metric, or a label with a value that is not empty: `{job=\"node\"}`"),
        ("foo && bar", "write `and`"),
        ("foo <> 1", "write `!=` for \"not equal\""),
        ("sum by job (foo)", "labels stand in parentheses: (job)"),
        ("sum by (a b) (foo)", "separate labels by commas"),
        ("foo bar", "put an operator before `bar`"),
        ("foo offset 5m [5m]", "put the range first: `metric[5m] offset 1h`"),
        ("sum(rate(foo[5m])", "the parenthesis opened by `sum(` at 1:4 is not closed"),
        (
            "rate(foo[$__rate_interval])",
            "variables such as `$__rate_interval` belong to Grafana; write a duration or value, such as 5m",
        ),
        ("http.requests > 1", "put a name with dots in quotes, inside braces: `{\"my.metric\"}`"),
        ("foo{a=~\"*b\"}", "write \".*b\": the pattern is a regular expression, not a file pattern"),
        ("topk(foo)", "write `topk(5, metric)`"),
        ("foo by (a)", "`by` follows the aggregation, not an expression; write `sum by (a) (foo)`"),
        ("rate(foo) by (a)", "`by` follows the aggregation, not `rate`; write it after a `sum` or another aggregation"),
        ("foo{a=1}", "put the value in quotes: \"1\""),
        ("foo not bar", "there is no `not`; the operators are + - * / % ^ == != > < >= <= and or unless"),
        ("foo on (a) bar", "`on` follows a binary operator: `a * on …`"),
        ("clamp(foo, 1)", "`clamp` takes instant vector, scalar, scalar"),
    ] {
        let errors = parse(text).unwrap_err();
        assert_eq!(errors[0].help.as_deref(), Some(expected), "{text:?}: {}", errors[0]);
    }
}

#[test]
fn prints_as_prometheus() {
    for (text, expected) in [
        ("sum(rate(x[5m]))by(job)", "sum by (job) (rate(x[5m]))"),
        ("-2^2", "-2 ^ 2"),
        ("foo[90m:] @ end() offset -1h", "foo[1h30m:] @ end() offset -1h"),
        ("a*on(x)group_left b", "a * on (x) group_left () b"),
        ("{\"my.metric\",b=\"c\"}", "{__name__=\"my.metric\",b=\"c\"}"),
        ("time() - foo > 90m", "time() - foo > 1h30m"),
        ("AND and OR", "AND and OR"),
    ] {
        assert_eq!(printed(text), expected);
        assert_eq!(printed(expected), expected);
    }
}

#[test]
fn grouping_after_a_function_is_put_right() {
    for (text, expected) in [
        (
            "histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m])) by (endpoint)",
            "histogram_quantile(0.95, sum by (endpoint, le) (rate(http_request_duration_seconds_bucket[5m])))",
        ),
        ("histogram_quantile(0.9, sum(rate(b[5m]))) by (le)", "histogram_quantile(0.9, sum by (le) (rate(b[5m])))"),
        ("rate(foo[5m]) without (pod)", "sum without (pod) (rate(foo[5m]))"),
    ] {
        let errors = parse(text).unwrap_err();
        let help = errors[0].help.as_deref().unwrap();
        assert!(help.ends_with(&format!("write `{expected}`")), "{help}");
        assert_eq!(printed(expected), expected);
    }
}

#[test]
fn a_selector_may_match_everything() {
    assert_eq!(format!("{:?}", parse_metric_selector("up{a!=\"b\"}").unwrap()), "[a!=\"b\", __name__=\"up\"]");
    assert_eq!(parse_metric_selector("{}"), Ok(Vec::new()));
    assert!(parse_metric_selector("up + 1").is_err());
}

#[test]
fn experimental_parts_need_their_feature() {
    for text in ["mad_over_time(a[5m])", "a[5m * 2]", "rate(a[5m] smoothed)", "a + fill (0) b", "limitk(2, a)"] {
        assert!(parse(text).is_err(), "{text}");
        assert!(parse_with(text, Features::ALL).is_ok(), "{text}");
    }
}
