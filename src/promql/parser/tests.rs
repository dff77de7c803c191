use crate::promql::{Features, parse, parse_metric_selector, parse_with};

fn printed(text: &str) -> String {
    parse(text).unwrap_or_else(|errors| panic!("{text}: {}", errors[0])).to_string()
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
