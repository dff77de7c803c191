//! `almenara alerts history|explain`: asks a running Almenara what happened to alerts, and why they are as they are.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::query::{ANSWER_BYTES_MAX, TIMEOUT, USER_AGENT};
use super::{FAILED, FINE};
use crate::http::{Client, ClientConfig, HttpError};

pub(super) fn command() -> Command {
    let format = || {
        Arg::new("format")
            .long("format")
            .short('o')
            .default_value("text")
            .value_parser(["text", "json"])
            .help("text: a line for each; json: the server's answer")
    };
    let url = || Arg::new("url").value_name("URL").required(true).help("Such as http://127.0.0.1:9597");
    let selector = || {
        Arg::new("match")
            .long("match")
            .value_name("SELECTOR")
            .action(ArgAction::Append)
            .help("Labels, such as '{alertname=\"Down\"}'; may be repeated: any may pass")
    };
    Command::new("alerts")
        .about("Ask a running Almenara about its alerts")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("history")
                .about("What happened to alerts and who was told, the newest first")
                .arg(format())
                .arg(url())
                .arg(selector())
                .arg(
                    Arg::new("event")
                        .long("event")
                        .action(ArgAction::Append)
                        .help("Only events of this kind, such as firing, resolved, sent, refused; may be repeated"),
                )
                .arg(Arg::new("start").long("start").help("RFC 3339 or Unix seconds [default: all that is kept]"))
                .arg(Arg::new("end").long("end").help("RFC 3339 or Unix seconds [default: now]"))
                .arg(Arg::new("limit").long("limit").default_value("100").help("Most events, up to 10000")),
        )
        .subcommand(
            Command::new("explain")
                .about("Why pending and firing alerts are as they are")
                .arg(format())
                .arg(url())
                .arg(selector()),
        )
}

pub(super) fn run(matches: &ArgMatches) -> u8 {
    let (kind, matches) = matches.subcommand().expect("BUG: `alerts` without a subcommand");
    let mut parameters = url::form_urlencoded::Serializer::new(String::new());
    let all = |name: &str| matches.get_many::<String>(name).into_iter().flatten();
    for selector in all("match") {
        parameters.append_pair("match[]", selector);
    }
    if kind == "history" {
        for name in ["event", "start", "end", "limit"] {
            for value in all(name) {
                parameters.append_pair(name, value);
            }
        }
    }
    let base = matches.get_one::<String>("url").map_or("", String::as_str).trim_end_matches('/');
    let answer = match ask(base, &format!("alerts/{kind}?{}", parameters.finish())) {
        Ok(answer) if answer["status"] == "success" => answer,
        Ok(answer) => {
            eprintln!("almenara: error: {}", answer["error"].as_str().unwrap_or("no answer in Almenara's form"));
            return FAILED;
        }
        Err(error) => {
            eprintln!("almenara: error: {error}");
            return FAILED;
        }
    };
    let data = &answer["data"];
    match (matches.get_one::<String>("format").map(String::as_str), kind) {
        (Some("json"), _) => say!("{data}"),
        (_, "history") => {
            list(&data["events"]).iter().for_each(|event| say!("{}", event_line(event)));
            if data["is_cut"] == true {
                eprintln!("there are more; raise --limit or give --end");
            }
        }
        _ => list(&data["alerts"]).iter().for_each(print_explanation),
    }
    FINE
}

fn ask(base: &str, path: &str) -> Result<Value, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let url = format!("{base}/api/almenara/v1/{path}");
    let body = runtime.block_on(async {
        let client = Client::new(ClientConfig::default(), USER_AGENT)?;
        client.get(&url, &[], TIMEOUT).await?.bytes(ANSWER_BYTES_MAX).await
    });
    let body = body.map_err(|error: HttpError| error.to_string())?;
    serde_json::from_slice(&body).map_err(|_| format!("{base} did not answer in Almenara's form"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `2026-01-01T00:00:00Z firing Down{instance="a"} value 1e+00`.
fn event_line(event: &Value) -> String {
    let mut line = format!("{} {} {}", text(&event["at"]), text(&event["event"]), alert_name(&event["labels"]));
    for (word, key) in [(" value ", "value"), (" by ", "destination"), (": ", "detail")] {
        match text(&event[key]) {
            "" => {}
            value => line.extend([word, value]),
        }
    }
    line
}

/// `Down{instance="a"}`.
fn alert_name(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten().filter(|(name, _)| *name != crate::model::ALERT_NAME);
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={:?}", text(value))).collect();
    format!("{}{{{}}}", text(&labels[crate::model::ALERT_NAME]), pairs.join(", "))
}

fn print_explanation(alert: &Value) {
    say!("{} is {}.", alert_name(&alert["labels"]), text(&alert["state"]));
    say!("  {}", text(&alert["because"]));
    let rule = &alert["rule"];
    say!("  rule: {} ({}, group {})", text(&rule["query"]), text(&rule["file"]), text(&rule["group"]));
    let condition = &alert["condition"];
    for row in list(&alert["values"]) {
        let side = |key: &str| row[key].as_str().unwrap_or("nothing").to_owned();
        let right = match text(&condition["op"]) {
            "" => String::new(),
            op => format!(" {op} {}", side("right")),
        };
        say!("  {}  {}{right}", text(&row["at"]), side("left"));
    }
    for route in list(&alert["routes"]) {
        let last = route["lastFlush"].as_str().unwrap_or("never");
        say!("  told to {}: last {last}, next {}", text(&route["receiver"]), text(&route["nextFlush"]));
    }
    for silence in list(&alert["silencedBy"]) {
        say!("  silenced by {}", text(silence));
    }
    if let Some(source) = alert["inhibitedBy"].as_str() {
        say!("  inhibited by {source}");
    }
    list(&alert["events"]).iter().for_each(|event| say!("  {}", event_line(event)));
}

#[cfg(test)]
mod tests {
    use super::event_line;

    #[test]
    fn lines() {
        let event = serde_json::json!({"at": "t", "event": "sent", "labels": {"alertname": "A", "x": "y"}, "value": "1e+00",
            "destination": "http://am", "detail": "that it fires"});
        assert_eq!(event_line(&event), "t sent A{x=\"y\"} value 1e+00 by http://am: that it fires");
        let event = serde_json::json!({"at": "t", "event": "pending", "labels": {"alertname": "A"}});
        assert_eq!(event_line(&event), "t pending A{}");
    }
}
