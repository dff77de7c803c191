//! `almenara slo report SPEC… --source FILE [--period week|month|quarter] [--at T] [--time-zone Z] [--format markdown|html|csv]`: how objectives
//! did in a period of the calendar.
//!
//! Attainment and budget are of the period itself; incidents are what the alert policies would have told in it. The period is the one that `--at` lies
//! in, by default that of the last sample.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Command};

use super::input::{self, given, text};
use super::report_output;
use crate::model::{Labels, Timestamp};
use crate::slo::{self, Calendar, Counts, Grid, Notified, Point, Slo, Unit, Window, time_zone};

/// The distance of instants at which alerts are stepped.
const STEP: Duration = Duration::from_secs(60);

pub(super) fn command() -> Command {
    Command::new("report")
        .about("Tell how objectives did in a week, month or quarter")
        .arg(input::specs())
        .arg(input::source().required(true))
        .arg(
            text("period", "PERIOD")
                .default_value("month")
                .value_parser(["week", "month", "quarter"])
                .help("Of the calendar"),
        )
        .arg(text("at", "T").help("An instant of the period: RFC 3339 or Unix seconds [default: the last sample]"))
        .arg(text("time-zone", "ZONE").default_value("UTC").help("Where the period begins: an IANA name"))
        .arg(
            text("format", "FORMAT")
                .default_value("markdown")
                .value_parser(["markdown", "html", "csv"])
                .help("What is printed"),
        )
}

/// A report.
pub(super) struct Report {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// The least budget first.
    pub(super) lines: Vec<Line>,
}

/// One objective's group in the period.
pub(super) struct Line {
    pub(super) name: Arc<str>,
    pub(super) group: Labels,
    pub(super) service: String,
    pub(super) objective_percent: f64,
    pub(super) budget_ratio: f64,
    pub(super) point: Point,
    /// Without exclusions; `None` where there are none.
    pub(super) with_excluded: Option<Counts>,
    /// Why what was excluded, by whom.
    pub(super) exclusions: Vec<String>,
    pub(super) told: Vec<Notified>,
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), String> {
    let slos = input::slos(matches)?;
    let source = matches.get_one::<PathBuf>("source").expect("BUG: clap requires the source");
    let recording = input::recording(source)?;
    let Some((_, last)) = recording.range() else { return Err(format!("{}: there are no samples", source.display())) };
    let at = match given(matches, "at") {
        "" => last,
        text => input::instant("at", text)?,
    };
    let zone = time_zone(given(matches, "time-zone"))
        .ok_or_else(|| format!("--time-zone: {:?} is not a time zone", given(matches, "time-zone")))?;
    let unit = Unit::ALL
        .into_iter()
        .find(|unit| unit.as_str() == given(matches, "period"))
        .expect("BUG: clap checks the period");
    let period = Window::Calendar(Calendar::of(unit, zone));
    let (start, end) = (period.start(at), period.horizon(at.plus_ms(-1)).min(last.max(at)));
    let instant = Grid { start: end, end, step: STEP };

    // Alerts go by the objective's own window, what was attained by the period.
    let with = |exclusions: bool| -> Vec<Slo> {
        let of = |slo: &Slo| Slo {
            window: period.clone(),
            exclusions: if exclusions { slo.exclusions.clone() } else { Arc::default() },
            policy: Default::default(),
            ..slo.clone()
        };
        slos.iter().map(of).collect()
    };
    let attained = slo::backtest_all(&with(true), &recording, instant)?;
    let excluded = slos.iter().any(|slo| !slo.exclusions.is_empty());
    let raw = if excluded { slo::backtest_all(&with(false), &recording, instant)? } else { Vec::new() };
    let told = slo::backtest_all(&slos, &recording, Grid { start, end, step: STEP })?;
    let mut lines = Vec::new();
    for (index, result) in attained {
        let slo = &slos[index];
        let same = |(of, other): &&(usize, slo::Backtest)| *of == index && other.group == result.group;
        let Some(point) = result.points.last().copied() else { continue };
        let exclusions = slo.exclusions.iter().filter(|exclusion| exclusion.is_for(slo, &result.group));
        let exclusions = exclusions
            .filter(|exclusion| exclusion.spans(start, end).iter().any(|(from, to)| *to > start && *from < end));
        lines.push(Line {
            name: slo.name.clone(),
            service: slo.labels.get("service").unwrap_or_default().to_owned(),
            objective_percent: slo.objective.percent(),
            budget_ratio: slo.objective.budget_ratio(),
            point,
            with_excluded: raw.iter().find(same).and_then(|(_, other)| other.points.last()).map(|point| point.counts),
            exclusions: exclusions.map(|exclusion| format!("{} ({})", exclusion.reason, exclusion.author)).collect(),
            told: told.iter().find(same).map(|(_, other)| other.notifications.clone()).unwrap_or_default(),
            group: result.group,
        });
    }
    lines.sort_by(|a, b| {
        let left = |line: &Line| line.point.budget_remaining.unwrap_or(f64::INFINITY);
        left(a).total_cmp(&left(b)).then_with(|| (&a.name, &a.group).cmp(&(&b.name, &b.group)))
    });
    let report = Report { start, end, lines };
    super::print(&match given(matches, "format") {
        "html" => report_output::html(&report),
        "csv" => report_output::csv(&report),
        _ => report_output::markdown(&report),
    });
    Ok(())
}
