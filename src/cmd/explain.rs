//! `almenara explain EXPR|FILE`: what an expression, or each rule of a file, reads and does, part by part.
//!
//! Asks a running daemon (`--url`), or reads samples from an exposition file (`--file`); without either the store is empty and only
//! the plan is told of. Both ways give the JSON of `/api/almenara/v1/explain`, of which the text for people is made.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::query::{ANSWER_BYTES_MAX, TIMEOUT, USER_AGENT};
use super::{FAILED, FINE, explain_memory, feature_flag};
use crate::api::explanation_json;
use crate::exposition::{Entry, Format, Parser};
use crate::http::{Client, ClientConfig, HttpError};
use crate::model::{Labels, Timestamp};
use crate::promql::eval::QueryOptions;
use crate::promql::explain::explain;
use crate::promql::{Dialect, Expr, parse_with};
use crate::rules::RuleFile;
use crate::source::SourceFile;
use crate::source::decode::UnknownKeys;
use crate::store::{Row, Store, StoreOptions};

/// Longer than any file of samples reaches back.
const RETENTION: Duration = Duration::from_secs(100 * 366 * 86_400);
/// Where a daemon listens unless it is told otherwise.
const URL_DEFAULT: &str = "http://127.0.0.1:9597";
/// Servers refuse longer addresses.
const URL_LEN_MAX: usize = 60_000;

pub(super) fn command() -> Command {
    Command::new("explain")
        .about("Say what an expression, or each rule of a file, reads and does: shared parts, series, windows, samples, cost")
        .arg(feature_flag::arg())
        .arg(
            Arg::new("what")
                .value_name("EXPR|FILE")
                .required_unless_present("memory")
                .help("PromQL, or a rule file"),
        )
        .arg(
            Arg::new("memory")
                .long("memory")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["what", "file", "time"])
                .help("Say instead who uses how much memory of the daemon, and which rule or SLO asks for it"),
        )
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .default_value("50")
                .value_parser(clap::value_parser!(u32))
                .help("With --memory: how many metrics, the largest first"),
        )
        .arg(Arg::new("url").long("url").value_name("URL").help("A running Almenara whose samples are looked at"))
        .arg(
            Arg::new("file")
                .long("file")
                .value_name("FILE")
                .conflicts_with("url")
                .help("Samples in the text format or as OpenMetrics instead"),
        )
        .arg(Arg::new("time").long("time").value_name("TIME").help(
            "RFC 3339 or Unix seconds [default: now; with --file: its newest sample]",
        ))
        .arg(
            Arg::new("format")
                .long("format")
                .value_parser(["text", "json"])
                .default_value("text")
                .help("text for people; json as /api/almenara/v1/explain gives it"),
        )
}

pub(super) fn run(matches: &ArgMatches) -> u8 {
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let dialect = feature_flag::read(matches);
    if matches.get_flag("memory") {
        let limit = matches.get_one::<u32>("limit").expect("BUG: an argument with a default");
        return memory(text("url").unwrap_or(URL_DEFAULT), *limit, text("format") == Some("json"));
    }
    let what = text("what").expect("BUG: a required argument is missing");
    let explained = expressions(what, dialect).and_then(|expressions| match text("url") {
        Some(url) => ask(url.trim_end_matches('/'), &expressions, text("time")),
        None => look(text("file"), &expressions, text("time"), dialect),
    });
    match explained {
        Ok(explanation) => {
            match text("format") {
                Some("json") => say!("{explanation}"),
                _ => print(&explanation),
            }
            FINE
        }
        Err(message) => {
            eprintln!("{message}");
            FAILED
        }
    }
}

fn memory(url: &str, limit: u32, as_json: bool) -> u8 {
    let url = url.trim_end_matches('/');
    match data_of(url, &format!("{url}/api/almenara/v1/memory?limit={limit}")) {
        Ok(memory) if as_json => say!("{memory}"),
        Ok(memory) => say!("{}", explain_memory::text(&memory)),
        Err(message) => {
            eprintln!("{message}");
            return FAILED;
        }
    }
    FINE
}

/// The expression, or those of the rules of a file, each with its name.
fn expressions(what: &str, dialect: Dialect) -> Result<Vec<(String, Expr)>, String> {
    if !Path::new(what).is_file() {
        let expr = parse_with(what, dialect.features).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(crate::promql::ParseError::text_with_help).collect();
            lines.join("\n")
        })?;
        return Ok(vec![("expression".to_owned(), expr)]);
    }
    let text = fs::read_to_string(what).map_err(|error| format!("cannot read {what}: {error}"))?;
    let (file, diagnostics) = RuleFile::parse_with(&SourceFile::new(what, text), UnknownKeys::Refuse, dialect.features);
    let file = file.ok_or_else(|| diagnostics.to_string())?;
    let rules = file.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
    Ok(rules.map(|(group, rule)| (format!("{}/{}", group.name, rule.name), rule.expr.clone())).collect())
}

/// Asks a daemon.
fn ask(base: &str, expressions: &[(String, Expr)], time: Option<&str>) -> Result<Value, String> {
    let mut parameters = url::form_urlencoded::Serializer::new(String::new());
    for (name, expr) in expressions {
        parameters.append_pair("query", &expr.to_string()).append_pair("name", name);
    }
    if let Some(time) = time {
        parameters.append_pair("time", time);
    }
    let url = format!("{base}/api/almenara/v1/explain?{}", parameters.finish());
    if url.len() > URL_LEN_MAX {
        return Err(format!("the expressions are too long for one request: {} bytes; ask for fewer rules", url.len()));
    }
    data_of(base, &url)
}

/// The `data` of what a daemon at `base` answers.
fn data_of(base: &str, url: &str) -> Result<Value, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let body = runtime.block_on(async {
        let client = Client::new(ClientConfig::default(), USER_AGENT)?;
        client.get(url, &[], TIMEOUT).await?.bytes(ANSWER_BYTES_MAX).await
    });
    let body = body.map_err(|error: HttpError| error.to_string())?;
    let mut answer: Value =
        serde_json::from_slice(&body).map_err(|_| format!("{base} does not explain; is it an Almenara?"))?;
    match answer["status"].as_str() {
        Some("success") => Ok(answer["data"].take()),
        _ => Err(answer["error"].as_str().unwrap_or("the answer has no form that is known here").to_owned()),
    }
}

/// Explains over the samples of a file, or over none.
fn look(
    file: Option<&str>,
    expressions: &[(String, Expr)],
    time: Option<&str>,
    dialect: Dialect,
) -> Result<Value, String> {
    let store = Store::new(StoreOptions { retention: RETENTION });
    let now = crate::clock::now();
    let newest = file.map(|file| load(&store, file, now)).transpose()?;
    let at = match time {
        Some(time) => instant(time).ok_or_else(|| format!("--time: {time:?} is no time"))?,
        None => newest.flatten().unwrap_or(now),
    };
    let options = dialect.applied(QueryOptions::default());
    let explanation = explain(expressions, at, &store, &options).map_err(|error| error.to_string())?;
    Ok(serde_json::from_str(&explanation_json(&explanation)).expect("BUG: our own JSON cannot be read"))
}

pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let seconds = text.parse().ok().map(Timestamp::from_secs_f64);
    seconds.or_else(|| Some(Timestamp::from_ms(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())))
}

/// Puts the samples of an exposition file into the store; those without a time of their own are taken now. Gives the newest time.
fn load(store: &Store, file: &str, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let body = fs::read(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    let is_open_metrics = body.trim_ascii_end().ends_with(b"# EOF");
    let format = if is_open_metrics { Format::OpenMetrics } else { Format::Text };
    let mut rows: Vec<(Timestamp, Labels, f64)> = Vec::new();
    for entry in Parser::new(&body, format) {
        if let Entry::Series(series) = entry.map_err(|error| format!("{file}: {error}"))? {
            let at = series.timestamp_ms.map_or(now, Timestamp::from_ms);
            let labels = series.labels().map(|pair| (pair.name, pair.value));
            rows.push((at, Labels::from_pairs(labels), series.value));
        }
    }
    // A file may tell one series after the other; the store wants each in order of time.
    rows.sort_by_key(|(at, ..)| *at);
    let newest = rows.last().map(|(at, ..)| *at);
    let rows: Vec<Row> =
        rows.into_iter().map(|(at, labels, value)| Row::new(store.series_ref(&labels), at, value)).collect();
    store.commit(&rows);
    Ok(newest)
}

/// Each expression as a tree. What was shown once is referred to by its number.
fn print(explanation: &Value) {
    let nodes = explanation["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let mut shown = vec![false; nodes.len()];
    for root in explanation["expressions"].as_array().into_iter().flatten() {
        let name = root["name"].as_str().unwrap_or_default();
        let id = index(&root["node"]);
        say!("{name}: {}", nodes.get(id).and_then(|node| node["expr"].as_str()).unwrap_or_default());
        say!("  reads {} samples, holds {} at a time", root["samples"], root["peak_samples"]);
        if let Some(error) = root["error"].as_str() {
            say!("  fails: {error}");
        }
        print_node(nodes, id, 1, &mut shown);
        say!();
    }
    let shared = nodes.iter().filter(|node| node["uses"].as_u64() > Some(1)).count();
    let sum = |key: &str| nodes.iter().filter_map(|node| node[key].as_u64()).sum::<u64>();
    let (micros, bytes) = (sum("estimated_ns").div_ceil(1000), sum("estimated_bytes"));
    say!("{} nodes, {shared} of them shared; about {micros} µs and {bytes} bytes an evaluation", nodes.len());
    if explanation["is_cut"] == true {
        say!("there are more parts than are told of");
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn index(value: &Value) -> usize {
    value.as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX)
}

fn print_node(nodes: &[Value], id: usize, depth: usize, shown: &mut [bool]) {
    let Some(node) = nodes.get(id) else { return };
    let indent = "  ".repeat(depth);
    let text = |key: &str| node[key].as_str().unwrap_or_default();
    let operation = match text("operation") {
        "selector" | "window" | "number" => text("expr"),
        operation => operation,
    };
    if std::mem::replace(&mut shown[id], true) {
        say!("{indent}#{id} {operation} (see above)");
        return;
    }
    let mut facts = vec![text("kind").to_owned(), text("exactness").to_owned()];
    facts.extend(node["elements"].as_u64().map(|elements| counted(elements, "element", "elements")));
    facts.extend(node["uses"].as_u64().filter(|uses| *uses > 1).map(|uses| format!("shared by {uses}")));
    say!("{indent}#{id} {operation}  [{}]", facts.join(", "));
    if let Some(error) = node["error"].as_str() {
        say!("{indent}   fails: {error}");
    }
    let reads = &node["reads"];
    if reads.is_object() {
        let time = |key: &str| Timestamp::from_secs_f64(reads[key].as_f64().unwrap_or_default()).to_rfc3339();
        let (series, samples) = (&reads["series"], reads["samples"].as_u64().unwrap_or_default());
        let samples = counted(samples, "sample", "samples");
        say!("{indent}   {series} series, {samples} in ({}, {}]", time("after"), time("until"));
        for example in reads["examples"].as_array().into_iter().flatten() {
            say!("{indent}   {}", example.as_str().unwrap_or_default());
        }
        let examples = reads["examples"].as_array().map_or(0, Vec::len) as u64;
        if let Some(more) = series.as_u64().and_then(|series| series.checked_sub(examples)).filter(|more| *more > 0) {
            say!("{indent}   and {more} more");
        }
    }
    for input in node["inputs"].as_array().into_iter().flatten() {
        print_node(nodes, index(input), depth + 1, shown);
    }
}
