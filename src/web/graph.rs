//! `/graph`: where the link in an alert leads. Shows what the alert's expression gives now.
//!
//! **Differs:** Prometheus draws; this page lists the elements of the instant query, and says where a graph is to be had.

use maud::{Markup, html};
use serde_json::Value;

use super::frame::{framed, label_chips};

/// Renders the form and, for an expression, the answer of `/api/v1/query` to it.
pub fn render_graph(expr: &str, answer: Option<&Value>) -> Markup {
    framed(
        "Query",
        &html! {
            section {
                h2 { "Query" }
                form action="/graph" method="get" {
                    textarea name="g0.expr" rows="3" aria-label="expression" { (expr) }
                    button type="submit" { "Evaluate now" }
                }
            }
            @if let Some(answer) = answer { section { (result(answer)) } }
        },
    )
}

fn result(answer: &Value) -> Markup {
    let data = &answer["data"];
    html! {
        @for remark in ["warnings", "infos"].iter().flat_map(|key| answer[*key].as_array().into_iter().flatten()) {
            p.quiet { (remark.as_str().unwrap_or_default()) }
        }
        @if answer["status"] != "success" {
            p.error style="margin:0" { (answer["error"].as_str().unwrap_or("the query could not be evaluated")) }
        } @else if data["resultType"] == "scalar" || data["resultType"] == "string" {
            p style="margin:0" { code { (data["result"][1].as_str().unwrap_or_default()) } }
        } @else {
            (elements(data["result"].as_array().map_or(&[], Vec::as_slice)))
        }
    }
}

fn elements(elements: &[Value]) -> Markup {
    html! {
        h2 { "Result" span.count { (elements.len()) " elements" } }
        table { tbody { @for element in elements { tr {
            td { (label_chips(pairs(&element["metric"]))) }
            td.number { code {
                @match element["values"].as_array() {
                    Some(points) => { (points.len()) " samples" },
                    None => { (element["value"][1].as_str().unwrap_or("histogram")) },
                }
            } }
        } } } }
    }
}

fn pairs(metric: &Value) -> impl Iterator<Item = (&str, &str)> {
    metric.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::render_graph;

    #[test]
    fn shows_elements_errors_and_nothing_unescaped() {
        let vector = serde_json::json!({"status": "success", "data": {"resultType": "vector", "result": [
            {"metric": {"__name__": "up", "job": "<b>"}, "value": [1, "0"]}]}});
        let page = render_graph("up == <0>", Some(&vector)).into_string();
        for text in ["up == &lt;0&gt;", "job=&lt;b&gt;", "1 elements", ">0<"] {
            assert!(page.contains(text), "{text}: {page}");
        }
        let wrong = serde_json::json!({"status": "error", "error": "parse error"});
        assert!(render_graph("(", Some(&wrong)).into_string().contains("parse error"));
    }
}
