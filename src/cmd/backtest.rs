//! `almenara backtest FILE… --source SOURCE`: when would these rules have fired?
//!
//! Exit code 0 when it ran, 1 when a file could not be read, a rule is wrong, or the source has nothing to say.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::progress::Progress;
use super::slo::input::instant;
use super::{FAILED, FINE, feature_flag, history};
use crate::backtest::{self, Demand, Report, Settings, Version};
use crate::model::{Labels, Timestamp};
use crate::rules::{Environment, GroupDefaults, RuleFile};
use crate::source::decode::UnknownKeys;
use crate::source::{SourceFile, format_duration, parse_duration};
use crate::store::Store;

/// As in the daemon, for groups that name none and without `--step`.
const INTERVAL: Duration = Duration::from_secs(60);
/// As in the daemon without flags.
const LOOKBACK_DELTA: &str = "5m";
/// Alerts are sent once, when they begin and when they end: nobody receives them.
const RESEND_DELAY: Duration = Duration::from_secs(100 * 365 * 86_400);
/// More slots than this are a mistake in `--step`: a year by the second.
const SLOTS_MAX: u128 = 32_000_000;

pub(super) fn command() -> Command {
    let text = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    let files = |name: &'static str| Arg::new(name).value_name("FILE").value_parser(clap::value_parser!(PathBuf));
    Command::new("backtest")
        .about("Replay rule files over history: when each alert would have been pending, firing and over")
        .after_help(
            "SOURCE is a file of OpenMetrics text with timestamps (plain or gzip, ending in `# EOF`), the storage folder of a daemon\n\
             that does not run, or the address of a Prometheus-compatible API such as http://127.0.0.1:9090.",
        )
        .arg(feature_flag::arg())
        .arg(files("files").required(true).action(ArgAction::Append).help("Rule files"))
        .arg(text("source", "SOURCE").required(true).help("Where the samples are"))
        .arg(
            files("against")
                .long("against")
                .action(ArgAction::Append)
                .help("Rule files of another version, to be compared with; may be repeated"),
        )
        .arg(text("start", "T").help("The first instant: RFC 3339 or Unix seconds [default: the oldest sample]"))
        .arg(text("end", "T").help("The last instant: RFC 3339 or Unix seconds [default: the newest sample]"))
        .arg(text("step", "D").help("Evaluate all groups at this distance [default: each group's interval, else 1m]"))
        .arg(
            text("query.lookback-delta", "D")
                .default_value(LOOKBACK_DELTA)
                .help("How far back an instant selector looks"),
        )
        .arg(text("external-url", "URL").default_value("").help("Our own address, for templates"))
        .arg(
            text("external-label", "NAME=VALUE")
                .action(ArgAction::Append)
                .value_parser(external_label)
                .help("An external label, for templates; may be repeated"),
        )
        .arg(
            text("format", "FORMAT")
                .default_value("text")
                .value_parser(["text", "json", "html"])
                .help("text: for people; json: every life of every alert; html: a page with a timeline"),
        )
        .arg(
            text("output", "PATH")
                .short('o')
                .value_parser(clap::value_parser!(PathBuf))
                .help("Write there instead of to standard output"),
        )
}

/// Runs the command and returns its exit code.
pub(super) fn run(matches: &ArgMatches) -> u8 {
    match backtest(matches) {
        Ok(()) => FINE,
        Err(message) => {
            eprintln!("{message}");
            FAILED
        }
    }
}

fn backtest(matches: &ArgMatches) -> Result<(), String> {
    let paths = |name: &str| matches.get_many::<PathBuf>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let mut versions = vec![version(&paths("files"), matches)?];
    if matches.contains_id("against") {
        versions.push(version(&paths("against"), matches)?);
        // Of files of the same name the folders tell which is which.
        if versions[0].label == versions[1].label {
            versions[1].label += " (before)";
        }
    }
    let lookback_delta = duration("query.lookback-delta", text("query.lookback-delta").unwrap_or(LOOKBACK_DELTA))?;
    let demand = Demand::of(&versions);
    let asked = Asked {
        start: text("start").map(|text| instant("start", text)).transpose()?,
        end: text("end").map(|text| instant("end", text)).transpose()?,
    };
    let source = text("source").expect("BUG: clap requires the source");
    let lookback_ms = i64::try_from(lookback_delta.as_millis()).unwrap_or(i64::MAX);
    let before_ms = demand.reach_ms(lookback_ms).map(|reach| reach.saturating_add(longest_hold_ms(&versions)));
    let store = history::read(source, &demand, (asked.start, asked.end, before_ms))?;
    let settings = settings(matches, &asked, &store, lookback_delta)?;
    let report = replay_all(&versions, &store, &settings);
    let shown = match text("format") {
        Some("json") => backtest::json::json(&report),
        Some("html") => backtest::html::html(&report),
        _ => backtest::text::text(&report),
    };
    match matches.get_one::<PathBuf>("output") {
        Some(path) => fs::write(path, shown).map_err(|error| format!("{}: {error}", path.display())),
        None => {
            use std::io::Write;
            // A closed pipe is no failure of ours: whoever reads has seen enough.
            let _ = std::io::stdout().lock().write_all(shown.as_bytes());
            Ok(())
        }
    }
}

/// What the command line says about time.
struct Asked {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

fn settings(matches: &ArgMatches, asked: &Asked, store: &Store, lookback_delta: Duration) -> Result<Settings, String> {
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let stats = store.stats();
    let none = || "the source has no sample that these rules read; --start and --end say what to replay".to_owned();
    let start = asked.start.or(stats.oldest).ok_or_else(none)?;
    let end = asked.end.or(stats.newest).ok_or_else(none)?;
    if end < start {
        return Err(format!("--end: {} is before {}", end.to_rfc3339(), start.to_rfc3339()));
    }
    let step = text("step").map(|text| duration("step", text)).transpose()?;
    if end.since(start).as_millis() / step.unwrap_or(INTERVAL).as_millis().max(1) > SLOTS_MAX {
        return Err(format!("--step: more than {SLOTS_MAX} slots from start to end; choose a longer step"));
    }
    Ok(Settings {
        start,
        end,
        step,
        defaults: GroupDefaults { interval: INTERVAL, query_offset: Duration::ZERO },
        environment: Environment {
            external_labels: Labels::from_pairs(
                matches.get_many::<(String, String)>("external-label").into_iter().flatten().cloned(),
            ),
            external_url: text("external-url").unwrap_or_default().trim_end_matches('/').into(),
            lookback_delta,
            default_subquery_step: INTERVAL,
            dialect: feature_flag::read(matches),
            resend_delay: RESEND_DELAY,
        },
    })
}

/// Each version on a processor of its own.
fn replay_all(versions: &[Version], store: &Store, settings: &Settings) -> Report {
    let whole = settings.end.ms_since(settings.start).max(1) as f64;
    let mut progress = Progress::start(format!("replaying {}", format_duration(settings.end.since(settings.start))));
    let mut tell = |at: Timestamp| {
        progress.at(at.ms_since(settings.start) as f64 / whole);
        true
    };
    let (after, before) = std::thread::scope(|scope| {
        let before = versions
            .get(1)
            .map(|version| scope.spawn(move || backtest::replay(version, store, settings, &mut |_| true)));
        let after = backtest::replay(&versions[0], store, settings, &mut tell);
        (after, before.map(|before| before.join().expect("BUG: a replay panicked")))
    });
    Report::new(settings, after, before)
}

fn longest_hold_ms(versions: &[Version]) -> i64 {
    let longest = versions.iter().flat_map(Version::rules).map(|rule| rule.hold_duration).max().unwrap_or_default();
    i64::try_from(longest.as_millis()).unwrap_or(i64::MAX)
}

/// The files as a version; what is wrong with any of them, all at once.
fn version(paths: &[PathBuf], matches: &ArgMatches) -> Result<Version, String> {
    let features = feature_flag::read(matches).features;
    let (mut files, mut wrong) = (Vec::new(), Vec::new());
    for path in paths {
        match read_rules(path, features) {
            Ok(file) => files.push(file),
            Err(text) => wrong.push(text),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    let label = match paths {
        [only] => only.display().to_string(),
        _ => format!("{} and {} more", paths[0].display(), paths.len() - 1),
    };
    Ok(Version { label, files })
}

fn read_rules(path: &Path, features: crate::promql::Features) -> Result<RuleFile, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let source = SourceFile::new(path.display().to_string(), text);
    let (file, diagnostics) = RuleFile::parse_with(&source, UnknownKeys::Refuse, features);
    if file.is_some() && !diagnostics.is_empty() {
        eprintln!("{diagnostics}");
    }
    file.ok_or_else(|| diagnostics.to_string())
}

fn external_label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn duration(name: &str, text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| format!("--{name}: {error}"))?;
    if duration.is_zero() { Err(format!("--{name}: must be above zero")) } else { Ok(duration) }
}
