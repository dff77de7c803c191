//! `/alerts/history`, `/alerts/explain`, `/rules/outcomes`: what happened to alerts, why they are as they are, and what rules did.
//!
//! In the flow: the answers of our own API in, HTML out.

use maud::{Markup, html};
use serde_json::Value;

use super::frame::{framed, label_chips};
use crate::model::{ALERT_NAME, Labels};

/// Where an alert is explained.
pub(super) fn explain_link(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|label| format!("{:?}={}", label.name, crate::model::quote(&label.value))).collect();
    let selector = format!("{{{}}}", pairs.join(","));
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("match[]", &selector).finish();
    format!("/alerts/explain?{query}")
}

/// Renders the answer of `/api/almenara/v1/alerts/history`; `selector` is what was asked for.
pub fn render_history(selector: &str, answer: &Value) -> Markup {
    let events = list(&answer["data"]["events"]);
    framed(
        "History of alerts",
        &html! {
            section {
                h2 { "History of alerts" span.count { (events.len()) " events, the newest first" @if answer["data"]["is_cut"] == true { "; there are more" } } }
                form action="/alerts/history" method="get" {
                    textarea name="match[]" rows="1" aria-label="selector" placeholder="{alertname=\"…\"}" { (selector) }
                    button type="submit" { "Show" }
                }
                @if let Some(error) = answer["error"].as_str() { p.error { (error) } }
                (events_table(events))
            }
        },
    )
}

fn events_table(events: &[Value]) -> Markup {
    html! {
        @if events.is_empty() { p.quiet style="margin:0" { "Nothing happened." } } @else {
            table {
                thead { tr { th { "When" } th { "What" } th { "Alert" } th { "Detail" } } }
                tbody { @for event in events { tr {
                    td { (text(&event["at"])) }
                    td { (badge(text(&event["event"]))) }
                    td { strong { (text(&event["labels"][ALERT_NAME])) } " " (chips(&event["labels"])) }
                    td { (text(&event["destination"])) " " (text(&event["detail"]))
                        @if let Some(value) = event["value"].as_str() { span.quiet { " value " (value) } }
                    }
                } } }
            }
        }
    }
}

/// Renders the answer of `/api/almenara/v1/alerts/explain`.
pub fn render_explanations(answer: &Value) -> Markup {
    let alerts = list(&answer["data"]["alerts"]);
    framed(
        "Why",
        &html! {
            @if let Some(error) = answer["error"].as_str() { section { p.error style="margin:0" { (error) } } }
            @else if alerts.is_empty() { section { p.quiet style="margin:0" { "No such alert is pending or firing." } } }
            @for alert in alerts { (explanation(alert)) }
        },
    )
}

fn explanation(alert: &Value) -> Markup {
    let rule = &alert["rule"];
    html! {
        section {
            h2 { (text(&alert["labels"][ALERT_NAME])) " " (badge(text(&alert["state"]))) }
            p { (chips(&alert["labels"])) }
            p { (text(&alert["because"])) }
            p { "Rule in force, " (text(&rule["file"])) " · " (text(&rule["group"])) ":" br; code { (text(&rule["query"])) } }
            @if let Some(error) = rule["lastError"].as_str() { p.error { (error) } }
            h3 { "Values at the last slots" }
            table {
                thead { tr { th { "Slot" } th.number { code { (text(&alert["condition"]["left"])) } } th.number { (text(&alert["condition"]["op"])) " " code { (text(&alert["condition"]["right"])) } } } }
                tbody { @for row in list(&alert["values"]) { tr {
                    td { (text(&row["at"])) }
                    td.number { (row["left"].as_str().unwrap_or("–")) }
                    td.number { (row["right"].as_str().unwrap_or("–")) }
                } } }
            }
            @if !list(&alert["routes"]).is_empty() {
                h3 { "Who is told" }
                table { tbody { @for route in list(&alert["routes"]) { tr {
                    td { strong { (text(&route["receiver"])) } " " (chips(&route["group"])) }
                    td { "last " (route["lastFlush"].as_str().unwrap_or("–")) ", next " (text(&route["nextFlush"])) }
                } } } }
                @for silence in list(&alert["silencedBy"]) { p { "Silenced by " (text(silence)) } }
                @if let Some(source) = alert["inhibitedBy"].as_str() { p { "Inhibited by " (source) } }
            }
            h3 { "What happened" }
            (events_table(list(&alert["events"])))
        }
    }
}

/// Renders the answer of `/api/almenara/v1/rules/outcomes`.
pub fn render_outcomes(answer: &Value) -> Markup {
    framed(
        "Evaluations",
        &html! {
            @if let Some(error) = answer["error"].as_str() { section { p.error style="margin:0" { (error) } } }
            @for group in list(&answer["data"]["groups"]) {
                section {
                    h2 { (text(&group["name"])) span.count { (text(&group["file"])) } }
                    @for rule in list(&group["rules"]) {
                        h3 { (text(&rule["name"])) " " @if rule["hasMatched"] == false { (badge("never matched a series")) } }
                        @for warning in list(&rule["warnings"]) { p.error { (text(warning)) } }
                        table {
                            thead { tr { th { "Slot" } th.number { "Took" } th.number { "Series in" } th.number { "out" } th { "Error" } } }
                            tbody { @for outcome in list(&rule["outcomes"]).iter().rev() { tr {
                                td { (text(&outcome["at"])) }
                                td.number { (format!("{:.2} ms", outcome["duration"].as_f64().unwrap_or(0.0) * 1000.0)) }
                                td.number { (outcome["seriesIn"]) }
                                td.number { (outcome["seriesOut"]) }
                                td.error { (text(&outcome["error"])) }
                            } } }
                        }
                    }
                }
            }
        },
    )
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn chips(labels: &Value) -> Markup {
    let pairs = labels.as_object().into_iter().flatten().filter(|(name, _)| *name != ALERT_NAME);
    label_chips(pairs.map(|(name, value)| (name.as_str(), text(value))))
}

fn badge(word: &str) -> Markup {
    let kind = match word {
        "firing" | "refused" => "bad",
        "pending" | "kept" | "held" | "demoted" | "never matched a series" => "warn",
        "resolved" | "removed" | "sent" => "good",
        _ => "",
    };
    html! { span class={ "badge " (kind) } { (word) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_show_what_the_api_says_and_nothing_unescaped() {
        let event = serde_json::json!({"at": "2026-01-01T00:00:00Z", "event": "refused", "labels": {"alertname": "A", "x": "<b>"},
            "destination": "http://am", "detail": "500 <i>", "value": "1e+00"});
        let history = serde_json::json!({"status": "success", "data": {"events": [event], "is_cut": true}});
        let page = render_history("{x=\"<\"}", &history).into_string();
        for part in ["x=&lt;b&gt;", "500 &lt;i&gt;", "there are more", "badge bad", "{x=&quot;&lt;&quot;}"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let why = serde_json::json!({"data": {"alerts": [{"labels": {"alertname": "A"}, "state": "firing", "because": "It <must>.",
            "rule": {"query": "up < 1"}, "condition": {"left": "up", "op": "<", "right": "1"},
            "values": [{"at": "t", "left": "0e+00", "right": "1e+00"}], "events": [event]}]}});
        let page = render_explanations(&why).into_string();
        for part in ["It &lt;must&gt;.", "up &lt; 1", "0e+00", "refused"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let outcomes = serde_json::json!({"data": {"groups": [{"name": "g", "file": "f", "rules": [{"name": "R", "hasMatched": false,
            "warnings": ["summary: <bad>"],
            "outcomes": [{"at": "t", "duration": 0.0015, "seriesIn": 7, "seriesOut": 1}]}]}]}});
        let page = render_outcomes(&outcomes).into_string();
        for part in ["never matched a series", "summary: &lt;bad&gt;", "1.50 ms", ">7<"] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn links_carry_all_labels() {
        let labels = Labels::from_pairs([("alertname", "A"), ("x", "a\"b")]);
        assert_eq!(
            explain_link(&labels),
            "/alerts/explain?match%5B%5D=%7B%22alertname%22%3D%22A%22%2C%22x%22%3D%22a%5C%22b%22%7D"
        );
    }
}
