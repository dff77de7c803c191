//! `almenara query instant|range`: asks a Prometheus-compatible API, ours or any other. Output as promtool prints it.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

use super::{FAILED, FINE};
use crate::http::{Client, ClientConfig, HttpError};

/// How long the server may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(150);
/// How long its answer may be.
pub(super) const ANSWER_BYTES_MAX: usize = 1 << 30;
pub(super) const USER_AGENT: &str = concat!("almenara/", env!("CARGO_PKG_VERSION"));

pub(super) fn command() -> Command {
    let format = || {
        Arg::new("format")
            .long("format")
            .short('o')
            .default_value("promql")
            .value_parser(["promql", "json"])
            .help("promql: one element a line; json: the server's result")
    };
    let url = || Arg::new("url").value_name("URL").required(true).help("Such as http://127.0.0.1:9597");
    let expr = || Arg::new("expr").value_name("EXPR").required(true).help("PromQL");
    Command::new("query")
        .about("Ask a Prometheus-compatible API")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("instant")
                .about("Evaluate at one instant")
                .arg(format())
                .arg(url())
                .arg(expr())
                .arg(Arg::new("time").long("time").help("RFC 3339 or Unix seconds [default: now]")),
        )
        .subcommand(
            Command::new("range")
                .about("Evaluate over a range")
                .arg(format())
                .arg(url())
                .arg(expr())
                .arg(Arg::new("start").long("start").help("RFC 3339 or Unix seconds [default: five minutes ago]"))
                .arg(Arg::new("end").long("end").help("RFC 3339 or Unix seconds [default: now]"))
                .arg(Arg::new("step").long("step").help("Duration or seconds [default: range / 250]")),
        )
}

pub(super) fn run(matches: &ArgMatches) -> u8 {
    let (kind, matches) = matches.subcommand().expect("BUG: `query` without a subcommand");
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let mut form = vec![("query", text("expr").unwrap_or_default())];
    let path = match kind {
        "instant" => {
            form.extend(text("time").map(|time| ("time", time)));
            "api/v1/query"
        }
        _ => {
            let now = crate::clock::now().as_secs_f64();
            let end = text("end").unwrap_or_else(|| now.to_string());
            let start = text("start").unwrap_or_else(|| (now - 300.0).to_string());
            let step = text("step").unwrap_or_else(|| default_step(&start, &end));
            form.extend([("start", start), ("end", end), ("step", step)]);
            "api/v1/query_range"
        }
    };
    let base = text("url").unwrap_or_default();
    let answer = match ask(base.trim_end_matches('/'), path, &form) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("query error: {error}");
            return FAILED;
        }
    };
    if answer["status"] != "success" {
        let text = |key: &str| answer[key].as_str().unwrap_or("no answer in Prometheus's form").to_owned();
        eprintln!("query error: {}: {}", text("errorType"), text("error"));
        return FAILED;
    }
    for key in ["warnings", "infos"] {
        for remark in answer[key].as_array().into_iter().flatten() {
            eprintln!("{}: {}", key.trim_end_matches('s'), remark.as_str().unwrap_or_default());
        }
    }
    let result = &answer["data"]["result"];
    match text("format").as_deref() {
        Some("json") => say!("{result}"),
        _ => print_result(&answer["data"]),
    }
    FINE
}

/// A 250th of the range, at least a second, as promtool chooses it.
fn default_step(start: &str, end: &str) -> String {
    let seconds = |text: &str| {
        let parsed = text.parse::<f64>().ok();
        parsed.or_else(|| text.parse::<jiff::Timestamp>().ok().map(|instant| instant.as_millisecond() as f64 / 1000.0))
    };
    match (seconds(start), seconds(end)) {
        (Some(start), Some(end)) => ((end - start) / 250.0).floor().max(1.0).to_string(),
        _ => "1".to_owned(),
    }
}

/// The JSON that `base` answers under `path`.
pub(super) fn ask(base: &str, path: &str, form: &[(&str, String)]) -> Result<Value, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let parameters = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form.iter().map(|(name, value)| (*name, value.as_str())))
        .finish();
    let url = format!("{base}/{path}?{parameters}");
    let body = runtime.block_on(async {
        let client = Client::new(ClientConfig::default(), USER_AGENT)?;
        client.get(&url, &[], TIMEOUT).await?.bytes(ANSWER_BYTES_MAX).await
    });
    let body = body.map_err(|error: HttpError| error.to_string())?;
    serde_json::from_slice(&body).map_err(|_| format!("{base} did not answer in Prometheus's form"))
}

fn print_result(data: &Value) {
    let point = |point: &Value| format!("{} @[{}]", point[1].as_str().unwrap_or_default(), point[0]);
    match data["resultType"].as_str() {
        Some("vector") => {
            for element in data["result"].as_array().into_iter().flatten() {
                say!("{} => {}", labels(&element["metric"]), point(&element["value"]));
            }
        }
        Some("matrix") => {
            for series in data["result"].as_array().into_iter().flatten() {
                say!("{} =>", labels(&series["metric"]));
                for value in series["values"].as_array().into_iter().flatten() {
                    say!("{}", point(value));
                }
            }
        }
        Some("scalar") => say!("scalar: {}", point(&data["result"])),
        _ => say!("{}", data["result"][1].as_str().unwrap_or_default()),
    }
}

/// `name{a="1", b="2"}`, as Prometheus's client library prints a metric.
fn labels(metric: &Value) -> String {
    let mut name = String::new();
    let mut pairs = Vec::new();
    for (label, value) in metric.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if label == crate::model::METRIC_NAME {
            name = value.to_owned();
        } else {
            pairs.push(format!("{label}={value:?}"));
        }
    }
    pairs.sort();
    if pairs.is_empty() && !name.is_empty() { name } else { format!("{name}{{{}}}", pairs.join(", ")) }
}
