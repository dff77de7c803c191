//! A report as one page that needs nothing else: a timeline of every alert, and a table of its lives behind it.

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::model::Timestamp;
use crate::source::format_duration;

use super::report::{Report, Told};
use super::text::{counted, held, name, percent, without_name};
use super::{Episode, Pair, RuleReplay};

/// Alerts that get a row of their own; a page of more than this is not read.
const ROWS_MAX: usize = 500;
/// Lives in the table of an alert.
const LISTED_MAX: usize = 200;
/// Bars in a row.
const BARS_MAX: usize = 2_000;
/// Marks of the time's axis, about.
const TICKS: i64 = 8;
/// Width of a timeline in its own units.
const WIDTH: f64 = 1000.0;

/// The whole page.
pub fn html(report: &Report) -> String {
    let title = match &report.versions[..] {
        [only] => only.replay.label.clone(),
        [after, before, ..] => format!("{} against {}", after.replay.label, before.replay.label),
        [] => String::new(),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                link rel="icon" href="data:,";
                title { "Backtest: " (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header {
                    h1 { "Backtest: " (title) }
                    p { (day_and_time(report.start)) " to " (day_and_time(report.end)) " UTC, "
                        (format_duration(report.end.since(report.start)))
                        @if let Some(step) = report.step { ", evaluated every " (format_duration(step)) } }
                }
                main { (body(report)) }
            }
        }
    };
    page.into_string()
}

fn body(report: &Report) -> Markup {
    let Some(told) = report.versions.first() else { return html! {} };
    html! {
        (tiles(told))
        @if let Some(comparison) = &report.comparison {
            @let different: Vec<&Pair> = comparison.pairs.iter().filter(|pair| !pair.is_same()).collect();
            h2 { "What differs" }
            p.muted { (comparison.pairs.len() - different.len()) " alerts fire at the same times in both versions."
                @if !different.is_empty() { " Upper bar: before; lower bar: now." } }
            (timeline(report, &different.iter().take(ROWS_MAX).map(|pair| compared(report, pair)).collect::<Vec<_>>()))
        }
        h2 { "Alerts" }
        @let active = told.active();
        @if active.is_empty() { p { "No alert was pending or fired." } }
        @else {
            p.legend { span.key.pending {} " pending " span.key.firing {} " firing " span.muted { "Open a row for its lives." } }
            (timeline(report, &active.iter().take(ROWS_MAX).map(|index| alone(report, told, *index)).collect::<Vec<_>>()))
            @if active.len() > ROWS_MAX { p.muted { "and " (active.len() - ROWS_MAX) " more, which fired less" } }
        }
        (overlaps(told))
        (failures(told))
        @let quiet = told.quiet();
        @if !quiet.is_empty() {
            h2 { "Never pending" }
            p.names { @for index in quiet { code { (name(&told.replay.rules[index])) } " " } }
        }
        footer { (counted(told.replay.evaluations, "evaluation")) " over " (counted(told.replay.series, "series")) " and "
            (counted(told.replay.samples, "sample")) " by Almenara " (env!("CARGO_PKG_VERSION")) }
    }
}

fn tiles(told: &Told) -> Markup {
    let sum = |of: &dyn Fn(&super::Figures) -> usize| told.figures.iter().map(of).sum::<usize>() as u64;
    let tile = |value: String, what: &str| html! { div.tile { b { (value) } span { (what) } } };
    let count = |number: u64| counted(number, "").trim_end_matches([' ', 's']).to_owned();
    html! {
        div.tiles {
            (tile(count(sum(&|figures| figures.fired)), "times fired"))
            (tile(count(sum(&|figures| figures.only_pending)), "times pending only"))
            (tile(count(sum(&|figures| figures.flaps)), "flaps"))
            (tile(count(told.overlaps.at_once_max.map_or(0, |(most, _)| most as u64)), "at once at most"))
            (tile(count(told.active().len() as u64), "alerts active"))
            (tile(count(told.quiet().len() as u64), "never pending"))
        }
    }
}

/// A row of the timeline and what is behind it.
struct Row {
    name: String,
    /// Under the name.
    note: String,
    /// One rule, or the one before and the one now.
    lanes: Vec<Markup>,
    details: Markup,
}

fn timeline(report: &Report, rows: &[Row]) -> Markup {
    if rows.is_empty() {
        return html! {};
    }
    html! {
        div.timeline {
            (axis(report))
            @for row in rows {
                details {
                    summary {
                        span.name { b { (row.name) } small { (row.note) } }
                        span.lanes { @for lane in &row.lanes { (lane) } }
                    }
                    (row.details)
                }
            }
        }
    }
}

fn alone(report: &Report, told: &Told, index: usize) -> Row {
    let (rule, figures) = (&told.replay.rules[index], &told.figures[index]);
    let mut note = format!("fired {}×", figures.fired);
    for (figure, what) in [(held(figures.firing_for), "in all"), (held(figures.longest), "longest")] {
        if !figure.is_empty() {
            note += &format!(", {figure} {what}");
        }
    }
    if figures.flaps > 0 {
        note += &format!(", flaps {}×", figures.flaps);
    }
    Row { name: name(rule), note, lanes: vec![lane(report, rule)], details: lives(report, rule) }
}

fn compared(report: &Report, pair: &Pair) -> Row {
    let rule = |version: usize, index: Option<usize>| index.map(|index| &report.versions[version].replay.rules[index]);
    let (after, before) = (rule(0, pair.after), rule(1, pair.before));
    let part = |time: Duration, what: &str| (!time.is_zero()).then(|| format!("{} {what}", format_duration(time)));
    let note = match (before, after) {
        (None, _) => "new".to_owned(),
        (_, None) => "gone".to_owned(),
        _ => [part(pair.only_before, "only before"), part(pair.only_after, "only now"), part(pair.both, "in both")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", "),
    };
    let lanes = [before, after].map(|rule| rule.map_or_else(|| html! { svg.lane {} }, |rule| lane(report, rule)));
    let details = html! {
        @for (what, rule) in [("before", before), ("now", after)] {
            @if let Some(rule) = rule { h3 { (what) } (lives(report, rule)) }
        }
    };
    Row { name: after.or(before).map(name).unwrap_or_default(), note, lanes: lanes.to_vec(), details }
}

/// Bars over the time asked about.
fn lane(report: &Report, rule: &RuleReplay) -> Markup {
    html! {
        svg.lane viewBox=(format!("0 0 {WIDTH} 10")) preserveAspectRatio="none" {
            @for episode in rule.episodes.iter().take(BARS_MAX) {
                @let end = episode.ended_at.unwrap_or(report.end);
                (bar(report, "pending", (episode.active_at, episode.fired_at.unwrap_or(end)), episode))
                @if let Some((from, to)) = episode.firing(report.end) { (bar(report, "firing", (from, to), episode)) }
            }
        }
    }
}

fn bar(report: &Report, class: &str, (from, to): (Timestamp, Timestamp), episode: &Episode) -> Markup {
    let (from, to) = (from.max(report.start), to.min(report.end));
    if to <= from {
        return html! {};
    }
    let (left, right) = (position(report, from), position(report, to));
    let told = format!(
        "{} {class} {} to {} ({})",
        without_name(&episode.labels),
        day_and_time(from),
        day_and_time(to),
        format_duration(to.since(from))
    );
    html! {
        rect class=(class) x=(format!("{left:.2}")) y="0" width=(format!("{:.2}", (right - left).max(1.0))) height="10" { title { (told) } }
    }
}

fn position(report: &Report, at: Timestamp) -> f64 {
    let whole = report.end.ms_since(report.start).max(1) as f64;
    at.ms_since(report.start) as f64 / whole * WIDTH
}

/// Days, hours or minutes, whatever gives a readable number of marks.
fn axis(report: &Report) -> Markup {
    const STEPS_MIN: [i64; 14] = [1, 5, 15, 30, 60, 180, 360, 720, 1440, 2880, 7200, 14_400, 43_200, 144_000];
    let whole = report.end.ms_since(report.start);
    let step_ms = STEPS_MIN.iter().map(|minutes| minutes * 60_000).find(|step| whole / step <= TICKS);
    let step_ms = step_ms.unwrap_or(whole / TICKS).max(1);
    let first = report.start.as_ms().div_euclid(step_ms) + i64::from(report.start.as_ms().rem_euclid(step_ms) > 0);
    let marks = (first..).map(|number| Timestamp::from_ms(number * step_ms)).take_while(|at| *at <= report.end);
    html! {
        div.axis {
            span.name {}
            span.lanes {
                @for at in marks.take(100) {
                    @let left = position(report, at) / WIDTH * 100.0;
                    span.tick style=(format!("left:{left:.2}%")) { (short_time(at, step_ms)) }
                }
            }
        }
    }
}

fn lives(report: &Report, rule: &RuleReplay) -> Markup {
    let listed = rule.episodes.iter().take(LISTED_MAX);
    let more = rule.episodes.len().saturating_sub(LISTED_MAX) as u64 + rule.dropped;
    html! {
        div.lives {
            p { code { (rule.query) }
                @for (time, what) in [(rule.hold_duration, "for"), (rule.keep_firing_for, "keep_firing_for")] {
                    @if !time.is_zero() { " " (what) " " (format_duration(time)) }
                }
                span.muted { " " (rule.file) ", group " (rule.group) }
            }
            table {
                thead { tr { th { "Labels" } th { "Pending" } th { "Firing" } th { "Over" } th { "Fired for" } th { "Value" } th { "Annotations" } } }
                tbody {
                    @for episode in listed {
                        tr {
                            td { code { (without_name(&episode.labels)) } }
                            td { (day_and_time(episode.active_at)) }
                            td { @if let Some(at) = episode.fired_at { (day_and_time(at)) } @else { "–" } }
                            td { @if let Some(at) = episode.ended_at { (day_and_time(at)) } @else { "still lives" } }
                            td { @if let Some((from, to)) = episode.firing(report.end) { (format_duration(to.since(from))) } }
                            td { (episode.value) }
                            td { @for label in &episode.annotations { div { span.muted { (label.name) ": " } (label.value) } } }
                        }
                    }
                }
            }
            @if more > 0 { p.muted { "and " (more) " more" } }
        }
    }
}

fn overlaps(told: &Told) -> Markup {
    let pairs = &told.overlaps.pairs;
    if pairs.is_empty() {
        return html! {};
    }
    let rule = |index: usize| name(&told.replay.rules[index]);
    html! {
        h2 { "Fire together" }
        table {
            thead { tr { th { "Alert" } th { "Together with" } th { "For" } th { "Of its time" } } }
            tbody { @for pair in pairs {
                tr { td { code { (rule(pair.rules.0)) } } td { code { (rule(pair.rules.1)) } } td { (format_duration(pair.together)) } td { (percent(pair.ratio)) } }
            } }
        }
        @if told.overlaps.is_cut { p.muted { "Too many alerts fired to compare all pairs of them." } }
    }
}

fn failures(told: &Told) -> Markup {
    let failed = told.failed();
    if failed.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Failed" }
        table {
            thead { tr { th { "Rule" } th { "Evaluations" } th { "First" } th { "Error" } } }
            tbody { @for index in failed {
                @let rule = &told.replay.rules[index];
                @let (at, reason) = rule.failures.first.clone().unwrap_or_default();
                tr { td { code { (name(rule)) } } td { (rule.failures.count) } td { (day_and_time(at)) } td { (reason) } }
            } }
        }
    }
}

/// `2026-01-31 07:05`, with seconds where there are any.
fn day_and_time(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    let text = text.trim_end_matches('Z').replacen('T', " ", 1);
    text.strip_suffix(":00").map_or(text.clone(), str::to_owned)
}

/// The day, or the time of day where marks are closer than a day.
fn short_time(at: Timestamp, step_ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    let text = day_and_time(at);
    let (day, time) = text.split_once(' ').unwrap_or((&text, ""));
    let day = day.get(5..).unwrap_or(day);
    if step_ms % DAY_MS == 0 || at.as_ms() % DAY_MS == 0 { day.to_owned() } else { time.to_owned() }
}
