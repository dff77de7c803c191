//! What templates of messages can say; what Alertmanager says with them is compared in `tests/it/receivers_peer.rs`.

use super::*;
use crate::model::Timestamp;

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000); // 2023-11-14T22:13:20Z

fn alert(pairs: &[(&'static str, &'static str)], summary: &'static str, ends_in_secs: i64) -> Alert {
    Alert {
        labels: Labels::from_pairs(pairs.iter().copied()),
        annotations: Labels::from_pairs([("summary", summary)]),
        starts_at: NOW.plus_ms(-3_600_000),
        ends_at: NOW.plus_ms(ends_in_secs * 1000),
        generator_url: "http://prom/?a=1&b".into(),
    }
}

/// The text of `template` about two alerts of one group, and what went wrong.
fn render(template: &str, default: &'static str, form: Form) -> (String, Option<String>) {
    let group_labels = Labels::from_pairs([("alertname", "Full"), ("zone", "a")]);
    let envelope = Envelope {
        receiver: "web.hook",
        reason: "first notification",
        group_key: "{}:{}",
        group_labels: &group_labels,
        external_url: "http://am",
        now: NOW,
    };
    let alerts = [
        alert(&[("alertname", "Full"), ("zone", "a"), ("disk", "1"), ("Team", "x & y")], "<b>", 60),
        alert(&[("alertname", "Full"), ("zone", "a"), ("disk", "2"), ("Team", "x & y")], "c", 0),
    ];
    let mut renderer = Renderer::new(&envelope, &alerts);
    let field = TextTemplate::parse("field", template, default).unwrap_or_else(|error| panic!("{error}"));
    let text = renderer.render(&field, form);
    (text, renderer.problems())
}

fn check(template: &str, expected: &str) {
    assert_eq!(render(template, "", Form::Text), (expected.to_owned(), None), "{template}");
}

#[test]
fn data_and_methods() {
    check("plain }}", "plain }}");
    check(
        "{{ .Receiver }} {{ .Status }} {{ .NotificationReason }} {{ .ExternalURL }}",
        "web\\.hook firing first notification http://am",
    );
    check("{{ .GroupLabels }} | {{ .CommonLabels }}", "alertname=Full, zone=a | alertname=Full, Team=x & y, zone=a");
    check("{{ .CommonLabels.SortedPairs.Names }} {{ .CommonLabels.missing }}", "[alertname Team zone] ");
    check("{{ (.CommonLabels.Remove .GroupLabels.Names).Values.Join \"-\" }}", "x & y");
    check("{{ range .Alerts }}{{ .Labels.disk }}{{ .Status }} {{ end }}", "1firing 2resolved ");
    check(
        "{{ len .Alerts.Firing }}{{ len .Alerts.Resolved }}{{ len .CommonAnnotations }}{{ len .RouteLabels }}",
        "1100",
    );
    check("{{ (index .Alerts 0).EndsAt.IsZero }} {{ (index .Alerts 1).EndsAt }}", "true 2023-11-14 22:13:20 +0000 UTC");
    check("{{ since (index .Alerts 0).StartsAt }} {{ now.Unix }}", "1h0m0s 1700000000");
}

#[test]
fn functions_of_034() {
    check("{{ base64encode \"hello?>\" }} {{ base64decode \"aGk=\" }}{{ routeLabels \"x\" }}", "aGVsbG8_Pg== hi");
    check("{{ toDate \"2006-01-02 15:04\" \"2024-03-01 07:08\" | date \"Jan 2 15:04\" }}", "Mar 1 07:08");
    check("{{ (mustToDate \"2006-01-02T15:04:05Z07:00\" \"2024-03-01T01:00:00+02:00\").Unix }}", "1709247600");
    check("{{ (toDate \"2006\" \"never\").IsZero }} {{ tz \"UTC\" now | date \"MST\" }}", "true UTC");
    check(
        "{{ toJson (index .Alerts 0).Annotations }} {{ toJson (index .CommonLabels.SortedPairs 0) }}",
        "{\"summary\":\"\\u003cb\\u003e\"} {\"Name\":\"alertname\",\"Value\":\"Full\"}",
    );
}

#[test]
fn default_texts() {
    check(r#"{{ template "slack.default.title" . }}"#, "[FIRING:1] Full a (x & y)");
    check(r#"{{ template "slack.default.color" . }}"#, "danger");
    let link = "http://am/#/alerts?receiver=web%5C.hook";
    check(r#"{{ template "slack.default.fallback" . }}"#, &format!("[FIRING:1] Full a (x & y) | {link}"));
    let list = "Labels:\n - alertname = Full\n - Team = x & y\n - disk = 2\n - zone = a\nAnnotations:\n - summary = c\nSource: \
                http://prom/?a=1&b\n";
    check(r#"{{ template "pagerduty.default.instances" .Alerts.Resolved }}"#, list);
    let (page, problems) = render(r#"{{ template "email.default.html" . }}"#, "", Form::Html);
    assert_eq!(problems, None);
    for expected in [
        "<title>[FIRING:1] Full a (x &amp; y)</title>",
        "2 alerts for alertname=Full zone=a</h1>",
        "[1] Firing",
        "[1] Resolved",
        "summary = &lt;b&gt;<br>",
        "?a=1&amp;b\">Source",
    ] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
}

#[test]
fn html_is_escaped_unless_marked() {
    let check = |template: &str, expected: &str| assert_eq!(render(template, "", Form::Html).0, expected, "{template}");
    check(
        "<p title=\"{{ .CommonLabels.Team }}\">{{ (index .Alerts 0).Annotations.summary }}",
        "<p title=\"x &amp; y\">&lt;b&gt;",
    );
    check("{{ safeHtml \"<i>\" }}{{ \"1+1\" }}{{ .GroupLabels }}", "<i>1&#43;1alertname=Full, zone=a");
}

#[test]
fn a_failing_template_gives_the_default_and_says_so() {
    let (text, problems) = render("x {{ .Nope }}", r#"{{ template "slack.default.title" . }}"#, Form::Text);
    assert_eq!(text, "[FIRING:1] Full a (x & y)");
    let problems = problems.unwrap();
    assert!(
        problems.starts_with("template error: field: template: field:1:") && problems.contains("Nope"),
        "{problems}"
    );
    for bad in [
        "{{ tz \"Europe/Rome\" now }}",
        "{{ mustToDate \"2006\" \"x\" }}",
        "{{ template \"none\" }}",
        "{{ join \",\" 1 }}",
    ] {
        let (text, problems) = render(bad, "", Form::Text);
        assert!(text.is_empty() && problems.is_some(), "{bad}");
    }
    assert!(TextTemplate::parse("field", "{{ nope }}", "").unwrap_err().contains("function \"nope\" not defined"));
}

#[test]
fn cuts_are_marked() {
    assert_eq!(truncated("äbc".to_owned(), 3), "äbc");
    assert_eq!(truncated("äbcd".to_owned(), 3), "äb…");
}
