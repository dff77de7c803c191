//! The one page: what fires, how the objectives stand, whether rules and targets are healthy.
//!
//! In the flow: [`View`] in, HTML out; `maud` escapes every text. Ordered by what a person on call needs first.

use std::time::Duration;

use maud::{DOCTYPE, Markup, html};

use super::alerts::explain_link;
use super::chart::{self, Mark};
use super::frame::{head, label_chips};
use super::text::{duration_text, labels_without, percent, since_text};
use crate::model::{ALERT_NAME, Labels, Timestamp};
use crate::slo::{Budgeting, SloStatus, State, Verdict, WindowFigures, outlook};

/// Budgets are drawn down to here: twice overspent.
const CHART_FLOOR: f64 = -2.0;

/// How often the page loads itself again.
const REFRESH_SECS: u32 = 15;

/// Everything the page shows, as of one instant.
#[derive(Clone, Debug)]
pub struct View {
    /// Now.
    pub now: Timestamp,
    /// Our version.
    pub version: &'static str,
    /// When the process started.
    pub started_at: Timestamp,
    /// What is wrong with the configuration that was refused at the last reload, if it was.
    pub reload_error: Option<String>,
    /// What is wrong with the samples on disk.
    pub storage_problem: Option<String>,
    /// Alerts that fire or wait, of rules and SLOs.
    pub alerts: Vec<AlertLine>,
    /// Active silences.
    pub silences: Vec<SilenceLine>,
    /// Objectives, one for each group.
    pub slos: Vec<SloStatus>,
    /// Rule groups.
    pub groups: Vec<GroupLines>,
    /// Targets by job.
    pub jobs: Vec<JobLines>,
    /// External Alertmanagers and receivers of the router.
    pub destinations: Vec<String>,
}

/// One alert.
#[derive(Clone, Debug)]
pub struct AlertLine {
    /// Whether it fires; else it waits for its `for`.
    pub is_firing: bool,
    /// All labels.
    pub labels: Labels,
    /// The text for people.
    pub summary: String,
    /// Since when the condition holds.
    pub active_at: Timestamp,
    /// Whether a silence keeps it from being notified.
    pub is_silenced: bool,
}

/// One active silence.
#[derive(Clone, Debug)]
pub struct SilenceLine {
    /// As people write them: `name="value"`.
    pub matchers: Vec<String>,
    /// Who wants it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Until when.
    pub ends_at: Timestamp,
}

/// One rule group.
#[derive(Clone, Debug)]
pub struct GroupLines {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// How often it is evaluated.
    pub interval: Duration,
    /// How long the last evaluation took.
    pub took: Option<Duration>,
    /// Its rules.
    pub rules: Vec<RuleLine>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RuleLine {
    /// The alert's or the recorded series' name.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// `ok`, `err` or `unknown`.
    pub health: &'static str,
    /// Why its last evaluation failed.
    pub error: Option<String>,
    /// Templates that failed in it.
    pub warnings: Vec<String>,
    /// Whether its expression has found a series to read, ever.
    pub has_matched: bool,
    /// `firing`, `pending`, `inactive`; `None` for a recording rule.
    pub state: Option<&'static str>,
}

/// The targets of one job.
#[derive(Clone, Debug)]
pub struct JobLines {
    /// Its name.
    pub job: String,
    /// Its targets.
    pub targets: Vec<TargetLine>,
}

/// One target.
#[derive(Clone, Debug)]
pub struct TargetLine {
    /// Where it is scraped.
    pub url: String,
    /// Its labels.
    pub labels: Labels,
    /// `up`, `down` or `unknown`.
    pub health: &'static str,
    /// Why its last scrape failed.
    pub error: Option<String>,
    /// When it was last scraped.
    pub last_scrape: Option<Timestamp>,
    /// How long that took.
    pub took: Duration,
}

/// Renders the page.
pub fn render(view: &View) -> Markup {
    let firing = view.alerts.iter().filter(|alert| alert.is_firing).count();
    let title = if firing > 0 { format!("({firing}) Almenara") } else { "Almenara".to_owned() };
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&title, Some(REFRESH_SECS)))
            body {
                header {
                    h1 { "Almenara" }
                    nav { a href="#alerts" { "Alerts" } a href="#slos" { "SLOs" } a href="#rules" { "Rules" } a href="#targets" { "Targets" } a href="/alerts/history" { "History" } a href="/rules/outcomes" { "Evaluations" } a href="/graph" { "Query" } }
                    span.facts { "version " (view.version) " · up " (since_text(view.now, view.started_at)) }
                }
                main {
                    @if let Some(error) = &view.reload_error {
                        div.banner.bad { strong { "The last reload was refused." } " The configuration before it is in force." pre { (error) } }
                    }
                    @if let Some(problem) = &view.storage_problem {
                        div.banner.bad { strong { "A restart would lose samples." } pre { (problem) } }
                    }
                    (alerts(view, firing))
                    (slos(&view.slos))
                    (rules(&view.groups))
                    (targets(view))
                }
                footer {
                    "Notifies: "
                    @if view.destinations.is_empty() { "nobody; configure alerting or router" } @else { (view.destinations.join(" · ")) }
                    ". Every figure is also in " a href="/metrics" { "/metrics" } " and behind the Prometheus API at /api/v1."
                }
            }
        }
    }
}

fn badge(kind: &str, text: &str) -> Markup {
    html! { span class={ "badge " (kind) } { (text) } }
}

fn label_set(labels: &Labels, hidden: &[&str]) -> Markup {
    label_chips(labels_without(labels, hidden))
}

fn alerts(view: &View, firing: usize) -> Markup {
    let pending = view.alerts.len() - firing;
    html! {
        section id="alerts" {
            h2 { "Alerts" span.count { (firing) " firing, " (pending) " pending" } }
            @if view.alerts.is_empty() {
                p.quiet style="margin:0" { "Nothing fires." }
            } @else {
                table {
                    thead { tr { th { "State" } th { "Alert" } th { "Summary" } th { "Since" } } }
                    tbody {
                        @for alert in &view.alerts {
                            tr {
                                td {
                                    @if alert.is_firing { (badge("bad", "firing")) } @else { (badge("warn", "pending")) }
                                    @if alert.is_silenced { " " (badge("", "silenced")) }
                                }
                                td { strong { a href=(explain_link(&alert.labels)) { (alert.labels.get(ALERT_NAME).unwrap_or_default()) } } br; (label_set(&alert.labels, &[ALERT_NAME])) }
                                td { (alert.summary) }
                                td data-name="since" { (since_text(view.now, alert.active_at)) }
                            }
                        }
                    }
                }
            }
            @for silence in &view.silences { (silence_line(silence, view.now)) }
        }
    }
}

fn silence_line(silence: &SilenceLine, now: Timestamp) -> Markup {
    html! {
        p.quiet {
            (badge("", "silence")) " "
            span.labels { @for matcher in &silence.matchers { span { (matcher) } " " } }
            "ends in " (since_text(silence.ends_at, now)) " · by " (silence.created_by)
            @if !silence.comment.is_empty() { ": " (silence.comment) }
        }
    }
}

fn slos(slos: &[SloStatus]) -> Markup {
    let well = slos.iter().filter(|slo| slo.figures.state == State::Met).count();
    html! {
        section id="slos" {
            h2 { "Service level objectives" span.count { (well) " of " (slos.len()) " met and not at risk" } }
            @if slos.is_empty() { p.quiet style="margin:0" { "None is configured: add slo_files." } }
            @for slo in slos { (objective(slo)) }
        }
    }
}

fn objective(slo: &SloStatus) -> Markup {
    let (kind, word) = match slo.figures.state {
        State::Met => ("good", "met"),
        State::AtRisk => ("warn", "at risk"),
        State::Breached => ("bad", "breached"),
        State::NotMeasured => ("", "not measured"),
    };
    let remaining = slo.figures.budget_remaining_ratio;
    let width = remaining.unwrap_or(0.0).clamp(0.0, 1.0) * 100.0;
    let whole = &slo.figures.whole;
    html! {
        div.slo {
            div.line {
                span.name { (slo.name) } (badge(kind, word)) (label_set(&slo.group, &[]))
                span.quiet { (slo.objective_percent) " % " (slo.window.phrase()) }
            }
            @if !slo.about.description.is_empty() { div.quiet { (slo.about.description) } }
            @if !slo.is_evaluated { div.quiet { "not evaluated yet since the start; as of " (slo.figures.at.to_rfc3339()) } }
            div class={ "bar " (kind) } role="img" aria-label={ "budget left " (percent(remaining)) } { i style={ "width:" (format!("{width:.2}")) "%" } {} }
            div.burns {
                span { strong { (percent(remaining)) } " of the budget left" }
                @if slo.is_event_exact {
                    span { (whole.counts.bad) " bad of " (whole.counts.total) @if slo.budgeting == Budgeting::Occurrences { " events" } @else { " slices of time" } }
                    span { "coverage " (percent(whole.coverage_ratio)) }
                } @else {
                    span { (percent(whole.error_ratio)) " bad" }
                    span { "by a query over each window: not event-exact" }
                }
            }
            @if slo.trend.iter().any(|point| point.remaining.is_some()) { (budget_chart(slo)) }
            div.burns {
                "burn rate"
                @for window in &slo.figures.windows {
                    (burn_rate(&duration_text(window.window), window))
                }
                (burn_rate(&slo.window.to_string(), whole))
            }
            @if let Some(window) = &slo.figures.with_excluded {
                div.quiet { "without exclusions " (percent(window.burn_rate.map(|burn_rate| 1.0 - burn_rate))) " of the budget would be left: "
                    @for (index, exclusion) in slo.exclusions.iter().enumerate() { @if index > 0 { "; " } (exclusion.reason) " (" (exclusion.author) ")" } }
            }
            @if let Some(forecast) = &slo.figures.forecast { div.quiet { (outlook(forecast)) } }
            @if let Some(level) = &slo.level { div.error { "budget policy: " (level.name) @if !level.action.is_empty() { ": " (level.action) } } }
            @if !slo.partly_seen.is_empty() {
                div.quiet { "seen in part only; full again: " @for (index, seen) in slo.partly_seen.iter().enumerate() { @if index > 0 { ", " } (seen.tier) " at " time { (seen.until.to_rfc3339()) } } }
            }
            @for verdict in slo.figures.verdicts.iter().flatten().filter(|verdict| **verdict != Verdict::Enough) { div.quiet { "an alert is " (verdict) } }
            @for alert in &slo.alerts { div.error { (alert.severity.as_str()) ": " (alert.annotations.get("summary").unwrap_or(alert.name)) } }
        }
    }
}

/// How the budget went since the window began, with what burned faster than the budget marked.
fn budget_chart(slo: &SloStatus) -> Markup {
    let points: Vec<_> = slo.trend.iter().map(|point| (point.at, point.remaining)).collect();
    let burned = slo.trend.windows(2).filter(|pair| pair[1].burn_rate > Some(1.0));
    let marks: Vec<Mark> = burned.map(|pair| Mark { start: pair[0].at, end: pair[1].at, kind: "warn" }).collect();
    chart::line("budget left; marked: burned faster than it may", &points, &marks, CHART_FLOOR)
}

fn rules(groups: &[GroupLines]) -> Markup {
    let all = groups.iter().map(|group| group.rules.len()).sum::<usize>();
    let failing = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.health == "err").count();
    html! {
        section id="rules" {
            h2 { "Rules" span.count { (all) " in " (groups.len()) " groups, " (failing) " failing" } }
            @if groups.is_empty() { p.quiet style="margin:0" { "None is configured: add rule_files." } }
            @for group in groups {
                h3 {
                    (group.name) " · " (group.file) " · every " (duration_text(group.interval))
                    @if let Some(took) = group.took { " · took " (format!("{:.1} ms", took.as_secs_f64() * 1000.0)) }
                }
                table { tbody { @for rule in &group.rules { (rule_line(rule)) } } }
            }
        }
    }
}

fn rule_line(rule: &RuleLine) -> Markup {
    let health = match rule.health {
        "ok" => "good",
        "err" => "bad",
        _ => "",
    };
    html! {
        tr {
            td { (badge(health, rule.health)) " " strong { (rule.name) }
                @match rule.state { Some("firing") => { " " (badge("bad", "firing")) }, Some("pending") => { " " (badge("warn", "pending")) }, _ => {} }
                @if !rule.has_matched && rule.health == "ok" { " " (badge("warn", "never matched a series")) }
                @if let Some(error) = &rule.error { div.error { (error) } }
                @for warning in &rule.warnings { div.error { (warning) } }
            }
            td { code { (rule.query) } }
        }
    }
}

fn targets(view: &View) -> Markup {
    let all: Vec<&TargetLine> = view.jobs.iter().flat_map(|job| &job.targets).collect();
    let up = all.iter().filter(|target| target.health == "up").count();
    html! {
        section id="targets" {
            h2 { "Targets" span.count { (up) " of " (all.len()) " up" } }
            @if all.is_empty() { p.quiet style="margin:0" { "None is configured: add scrape_configs." } }
            @for job in &view.jobs {
                h3 { (job.job) }
                table { tbody { @for target in &job.targets { (target_line(target, view.now)) } } }
            }
        }
    }
}

fn target_line(target: &TargetLine, now: Timestamp) -> Markup {
    let health = match target.health {
        "up" => "good",
        "down" => "bad",
        _ => "",
    };
    html! {
        tr {
            td { (badge(health, target.health)) " " code { (target.url) }
                @if let Some(error) = &target.error { div.error { (error) } }
            }
            td { (label_set(&target.labels, &["job"])) }
            td.number data-name="last scrape" {
                @if let Some(at) = target.last_scrape { (since_text(now, at)) " ago, " (format!("{:.0} ms", target.took.as_secs_f64() * 1000.0)) }
            }
        }
    }
}
fn burn_rate(length: &str, window: &WindowFigures) -> Markup {
    html! { span { (length) " " @match window.burn_rate { Some(rate) => { (format!("{rate:.2}")) }, None => { "–" } } } }
}
