//! `almenara slo gate --url URL | SPEC… --source FILE [--at T]`: whether a release may go out, by the budget policies of the objectives.
//!
//! Exit code 0 when it may, [`super::BLOCKED`] (3) when it has to wait, 1 when that could not be told. Each objective that speaks against it is a line
//! on stdout, with the reason.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::input::{self, given, text};
use super::{BLOCKED, FINE};
use crate::cmd::query::ask;
use crate::slo::{self, Grid, level_of};

pub(super) fn command() -> Command {
    Command::new("gate")
        .about("Say whether a release may go out: exit 0 when it may, 3 when it has to wait")
        .arg(input::specs().required(false).conflicts_with("url"))
        .arg(input::source().requires("spec"))
        .arg(text("at", "T").help("With --source: the instant, RFC 3339 or Unix seconds [default: the last sample]"))
        .arg(text("url", "URL").required_unless_present("spec").help("Of a daemon, such as http://127.0.0.1:9597"))
        .arg(text("service", "SERVICE").action(ArgAction::Append).help("Only objectives of this service"))
        .arg(text("slo", "NAME").action(ArgAction::Append).help("Only this objective"))
        .arg(
            Arg::new("allow-not-measured")
                .long("allow-not-measured")
                .action(ArgAction::SetTrue)
                .help("Let releases out while an objective is not measured"),
        )
}

/// How one objective's group stands.
struct Standing {
    name: String,
    service: String,
    group: String,
    is_measured: bool,
    remaining: Option<f64>,
    /// Name, action, whether it blocks.
    level: Option<(String, String, bool)>,
    forecast: String,
}

pub(super) fn run(matches: &ArgMatches) -> Result<u8, String> {
    let url = given(matches, "url");
    let all = if url.is_empty() { replayed(matches)? } else { asked(url)? };
    let wanted = |key: &str, value: &str| {
        let given: Vec<&String> = matches.get_many::<String>(key).into_iter().flatten().collect();
        given.is_empty() || given.iter().any(|want| *want == value)
    };
    let own: Vec<Standing> =
        all.into_iter().filter(|one| wanted("service", &one.service) && wanted("slo", &one.name)).collect();
    if own.is_empty() {
        return Err("no objective fits: nothing speaks for the release, nothing against it".to_owned());
    }
    let allows_blindness = matches.get_flag("allow-not-measured");
    let reasons: Vec<String> = own.iter().filter_map(|one| one.speaks_against(allows_blindness)).collect();
    if reasons.is_empty() {
        say!("go: {} objectives, none speaks against it", own.len());
        return Ok(FINE);
    }
    reasons.iter().for_each(|reason| say!("{reason}"));
    say!("wait: {} of {} objectives speak against it", reasons.len(), own.len());
    Ok(BLOCKED)
}

impl Standing {
    fn speaks_against(&self, allows_blindness: bool) -> Option<String> {
        let name = format!("{}{}", self.name, self.group);
        if !self.is_measured && !allows_blindness {
            return Some(format!("{name}: it is not measured, so that nobody would see what the release does"));
        }
        let (level, action, _) = self.level.as_ref().filter(|(.., blocks)| *blocks)?;
        let left = self.remaining.map_or("an unknown part".to_owned(), |ratio| format!("{:.2}%", 100.0 * ratio));
        let action = if action.is_empty() { String::new() } else { format!(": {action}") };
        Some(format!("{name}: {left} of its error budget is left, level {level}{action}{}", self.forecast))
    }
}

/// From samples, as of an instant.
fn replayed(matches: &ArgMatches) -> Result<Vec<Standing>, String> {
    let slos = input::slos(matches)?;
    let Some(source) = matches.get_one::<PathBuf>("source") else {
        return Err("--source: the samples are missing".to_owned());
    };
    let recording = input::recording(source)?;
    let at = match given(matches, "at") {
        "" => recording.range().map(|(_, last)| last).ok_or("--source: there are no samples")?,
        text => input::instant("at", text)?,
    };
    let grid = Grid { start: at, end: at, step: std::time::Duration::from_secs(60) };
    let standing = |(index, result): (usize, slo::Backtest)| {
        let (slo, point) = (&slos[index], result.points.last());
        let remaining = point.and_then(|point| point.budget_remaining);
        Standing {
            name: slo.name.to_string(),
            service: slo.labels.get("service").unwrap_or_default().to_owned(),
            group: if result.group.is_empty() { String::new() } else { result.group.to_string() },
            is_measured: result.is_measured_at_end,
            remaining,
            level: level_of(&slo.levels, remaining)
                .map(|level| (level.name.to_string(), level.action.to_string(), level.blocks)),
            forecast: String::new(),
        }
    };
    Ok(slo::backtest_all(&slos, &recording, grid)?.into_iter().map(standing).collect())
}

/// From a daemon, as of now.
fn asked(url: &str) -> Result<Vec<Standing>, String> {
    let answer = ask(url.trim_end_matches('/'), "api/almenara/v1/slos", &[])?;
    let Some(all) = answer["data"].as_array().filter(|_| answer["status"] == "success") else {
        return Err(format!("{url} did not tell of objectives"));
    };
    let standing = |one: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let group = one["group"].as_object().filter(|group| !group.is_empty());
        let pairs = group
            .map(|group| group.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","));
        let level = &one["level"];
        let exhausted = text(&one["forecast"]["text"]);
        Standing {
            name: text(&one["name"]),
            service: text(&one["labels"]["service"]),
            group: pairs.map_or(String::new(), |pairs| format!("{{{pairs}}}")),
            is_measured: one["state"] != "not_measured",
            remaining: one["budget_remaining"].as_f64(),
            level: level.is_object().then(|| (text(&level["name"]), text(&level["action"]), level["block"] == true)),
            forecast: if exhausted.is_empty() { String::new() } else { format!(". {exhausted}") },
        }
    };
    Ok(all.iter().map(standing).collect())
}
