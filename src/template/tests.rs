//! Templates against outputs recorded from Prometheus, and what the recording cannot hold.

use super::*;
use crate::model;

fn labels() -> Labels {
    Labels::from_pairs([("__name__", "m"), ("instance", "host.example.com:9090"), ("job", "api")])
}

/// The series of the recording; knows the expressions that its templates use.
fn query(expr: &str) -> Result<Vec<(Labels, model::Value)>, String> {
    let sample = |n: &str, value: f64| (Labels::from_pairs([("__name__", "q"), ("n", n)]), model::Value::Float(value));
    match expr {
        "q" | "sort(q)" => Ok(vec![sample("a", 1.0), sample("b", 2.0)]),
        "q{n=\"a\"}" | "q{n='a'}" => Ok(vec![sample("a", 1.0)]),
        "q{n='b'}" => Ok(vec![sample("b", 2.0)]),
        "sum(" => Err("1:5: parse error: unclosed left parenthesis".to_owned()),
        _ => Ok(Vec::new()),
    }
}

fn render(template: &str) -> Result<String, TemplateError> {
    let data = alert_data(
        &labels(),
        &Labels::from_pairs([("region", "eu")]),
        "http://p.example/pre",
        &model::Value::Float(1234567.5),
    );
    let host = Host { query: &query, now: Timestamp::from_ms(1_500), external_url: "http://p.example/pre" };
    let text = format!("{ALERT_PREAMBLE}{template}");
    let rendered = Template::parse_after(alert_prelude(), "__alert_A", text.clone(), ALERT_FUNCTIONS)
        .and_then(|template| template.render(data.clone(), &host));
    let at_once = Template::parse("__alert_A", text, ALERT_FUNCTIONS).and_then(|template| template.render(data, &host));
    assert_eq!(rendered, at_once, "a prelude changes nothing");
    rendered
}

/// The form in which Prometheus puts a failure into an annotation.
fn shown(template: &str) -> String {
    match render(template) {
        Ok(text) => text,
        Err(error) => format!("<error expanding template: error executing template __alert_A: {error}>"),
    }
}

#[test]
fn as_prometheus() {
    let recorded = include_str!("../../fixtures/template/alert.txt");
    let mut failed = Vec::new();
    let blocks: Vec<&str> = recorded.split("\n%%\n").skip(1).collect();
    for block in &blocks {
        let (template, expected) = block.split_once("\n=>\n").expect("a block has `=>`");
        let expected =
            if block.len() == blocks.last().unwrap().len() { expected.trim_end_matches('\n') } else { expected };
        let got = shown(template);
        if got != expected {
            failed.push(format!("{template}\n  expected {expected:?}\n  got      {got:?}"));
        }
    }
    assert!(blocks.len() > 80, "only {} blocks", blocks.len());
    assert!(failed.is_empty(), "{} of {} differ:\n{}", failed.len(), blocks.len(), failed.join("\n"));
}

/// What Prometheus 3.5 does not have, or has in other words.
#[test]
fn beyond_the_recording() {
    for (template, expected) in [
        ("{{ now }} {{ urlQueryEscape \"a b\" }} {{ parseDuration \"-1h30m\" }}", "1.5 a+b -5400"),
        ("{{ externalURL }} {{ pathPrefix }}", "http://p.example/pre /pre"),
        ("{{ 3661.5 | toDuration }} {{ (toDuration 90).Minutes }} {{ toDuration 0.0015 }}", "1h1m1.5s 1.5 1.5ms"),
        (
            "{{ toDuration 1e30 }} {{ humanizeDuration -1e21 }}",
            "-2562047h47m16.854775808s --106751991167300d -15h -30m -8s",
        ),
        ("{{ printf \"%b %+.1d %6.2f\" 1.5 2.5 \"abc\" }}", "6755399441055744p-52 %!d(float64=+2) %!f(string=    ab)"),
        ("{{ toDuration -0.000001 }} {{ humanize (toDuration 1.5) }}", "-1µs 1.5"),
        ("{{ block \"x\" 1 }}[{{ . }}]{{ end }}{{ define \"y\" }}{{ $ }}{{ end }}{{ template \"y\" 2 }}", "[1]2"),
    ] {
        assert_eq!(shown(template), expected, "{template}");
    }
}

#[test]
fn refused_when_parsed() {
    for (template, expected) in [
        ("{{ $label }}", "template: __alert_A:1: undefined variable \"$label\""),
        ("{{ nope 1 }}", "template: __alert_A:1: function \"nope\" not defined"),
        ("{{ 1 | 2 }}", "template: __alert_A:1: non executable command in pipeline stage 2"),
        ("{{ if true }}", "template: __alert_A:1: unexpected EOF"),
        ("{{ end }}", "template: __alert_A:1: unexpected {{end}}"),
        ("{{ if true }}{{ else }}{{ else }}{{ end }}", "template: __alert_A:1: expected end; found {{else}}"),
        ("{{ .x", "template: __alert_A:1: unclosed action"),
        ("a\n{{ .x\n\n", "template: __alert_A:4: unclosed action started at __alert_A:2"),
        ("{{ (1 }}", "template: __alert_A:1: unclosed left paren"),
        ("{{ \"a }}", "template: __alert_A:1: unterminated quoted string"),
        ("{{/* a }}", "template: __alert_A:1: unclosed comment"),
        ("{{ }}", "template: __alert_A:1: missing value for command"),
        ("{{ break }}", "template: __alert_A:1: {{break}} outside {{range}}"),
        ("{{ 1.x }}", "template: __alert_A:1: bad number syntax: \"1.x\""),
        ("{{ true.x }}", "template: __alert_A:1: unexpected . after term \"true\""),
        ("{{ $a, $b := 1 }}", "template: __alert_A:1: too many declarations in command"),
        ("{{ template x }}", "template: __alert_A:1: unexpected \"x\" in template clause"),
        ("{{ if }}x{{ end }}", "template: __alert_A:1: missing value for if"),
    ] {
        assert_eq!(render(template).unwrap_err().to_string(), expected, "{template}");
    }
}

#[test]
fn a_template_cannot_exhaust_us() {
    for (template, expected) in [
        ("{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}", "exceeded maximum template depth"),
        ("{{ range 2000000 }}{{ end }}", "more than 1000000 steps"),
        ("{{ range 1000 }}{{ range 1000 }}{{ end }}{{ end }}", "more than 1000000 steps"),
        ("{{ range 1000 }}{{ printf \"%9999d\" 1 }}{{ end }}", "the output is longer than"),
    ] {
        let error = render(template).unwrap_err().to_string();
        assert!(error.contains(expected), "{template}: {error}");
    }
    let blocks =
        format!("{}{{{{ template \"r\" }}}}{}", "{{ if (and (or (not false))) }}".repeat(40), "{{ end }}".repeat(40));
    let error = render(&format!("{{{{ define \"r\" }}}}{blocks}{{{{ end }}}}{{{{ template \"r\" }}}}")).unwrap_err();
    assert!(error.to_string().contains("evaluated deeper than"), "{error}");
    let deep = format!("{}1{}", "(".repeat(500), ")".repeat(500));
    assert!(render(&format!("{{{{ {deep} }}}}")).unwrap_err().to_string().contains("nested deeper than"));
}

#[test]
fn definitions_of_an_earlier_text_stay() {
    let base = Template::parse("base", "{{ define \"a\" }}one{{ end }}", &[]).unwrap();
    let host = Host { query: &query, now: Timestamp::EPOCH, external_url: "" };
    let next = base.with("", "{{ template \"a\" }}").unwrap();
    assert_eq!(next.render(Value::Nil, &host).unwrap(), "one");
    let replaced =
        base.with("more", "{{ define \"a\" }}two{{ end }}").unwrap().with("", "{{ template \"a\" }}").unwrap();
    assert_eq!(replaced.render(Value::Nil, &host).unwrap(), "two");
}
