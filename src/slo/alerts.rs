//! The alerts of a group of objectives: which are raised, held, suppressed and resolved, and when they are sent.
//!
//! In the flow: [`super::SloGroup`] hands the figures of each objective and group to [`Alerts::step`], and sends what [`Alerts::finish`]
//! returns.
//!
//! | alert | while |
//! |---|---|
//! | `SLOErrorBudgetBurn`, one per severity | a tier of that severity holds |
//! | `SLOErrorBudgetSpent`, one per severity | a condition on the budget of that severity holds |
//! | `SLOPartlyMeasured`, one for a file | a tier's window was seen in part only, for reasons of our own: [`super::partly`] |
//! | `SLONotMeasured` | every target is down for as long as a tier takes to see a hundred percent of errors; no target was scraped for longer than the fastest tier's short window, though we were awake; or never; or a latency's bucket is missing; or the query over that window gives nothing |
//!
//! `SLONotMeasured` has the severity of the fastest tier, which is then blind, while targets are down or no group of the objective is
//! measured at all. A group whose targets are gone while others are measured, an objective that was never measured, and a missing bucket
//! beside others that are there, make a ticket.
//!
//! **Invariants.** An alert's identity is its labels: objective, group and severity, never the tier, so that a faster tier does not make a
//! second alert. A ticket does not start while the page of its group lives; one that was sent before goes on. Missing coverage keeps an
//! alert from resolving, never from firing. An alert whose objective, group or labels vanish resolves.
//! **Limits.** [`NEVER_MEASURED`].
//! Resending and `endsAt` are those of rules: [`crate::rules::RESOLVED_RETENTION`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{ALERT_NAME, Alert, Labels, METRIC_NAME, Series, Timestamp};
use crate::rules::{Change, Environment, Recorded, Transition, sending};

use super::figures::{Figures, SCRAPE_COVERS};
use super::partly::{Notice, PartlySeen};
use super::policy::{BudgetCondition, NotMeasured, Severity, Tier};
use super::spec::Slo;
use super::texts;

/// The alert for a burning budget.
pub const BURN_ALERT: &str = "SLOErrorBudgetBurn";
/// The alert for what is left of the budget.
pub const SPENT_ALERT: &str = "SLOErrorBudgetSpent";
/// The alert for an objective that nobody measures.
pub const NOT_MEASURED_ALERT: &str = "SLONotMeasured";
/// The alert for objectives of which we saw a part only.
pub const PARTLY_MEASURED_ALERT: &str = "SLOPartlyMeasured";

/// An objective whose total was not seen for this long after we woke raises a ticket: the selector is wrong, or nothing is deployed.
pub const NEVER_MEASURED: Duration = Duration::from_secs(3600);

/// After a downtime of ours longer than this, alerts start anew (Prometheus: `--rules.alert.for-outage-tolerance`).
pub(super) const OUTAGE_TOLERANCE: Duration = Duration::from_secs(3600);

/// Which alert of an objective's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Burn(Severity),
    Spent(Severity),
    NotMeasured(Severity),
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Burn(_) => BURN_ALERT,
            Kind::Spent(_) => SPENT_ALERT,
            Kind::NotMeasured(_) => NOT_MEASURED_ALERT,
        }
    }

    /// Page or ticket.
    pub(super) fn severity(self) -> Severity {
        match self {
            Kind::Burn(severity) | Kind::Spent(severity) | Kind::NotMeasured(severity) => severity,
        }
    }
}

/// Why an alert is raised.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cause {
    /// A tier holds, or is the one that is blind.
    Tier(Tier),
    /// A condition on the budget holds.
    Budget(BudgetCondition),
    /// Nothing is measured, and no tier is the reason.
    Nothing,
}

impl Cause {
    /// What the annotation `tier` says.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Cause::Tier(tier) => Some(&tier.name),
            Cause::Budget(condition) => Some(&condition.name),
            Cause::Nothing => None,
        }
    }
}

/// What is known about an alert's cause.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    /// It is there; what shows it fastest.
    Holds(Cause),
    /// It cannot be seen whether it is still there.
    Unknown,
}

/// What lies around one group's figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    /// Since when slots follow each other without a pause.
    pub(super) awake_since: Timestamp,
    /// How many groups of the objective are measured now.
    pub(super) measured_groups: usize,
}

/// The alerts that may live now, more urgent ones first. Those left out are clear.
fn conditions(slo: &Slo, figures: &Figures, around: Surroundings) -> Vec<(Kind, Condition)> {
    let of = |severity| [burn(slo, figures, severity), spent(slo, figures, severity)];
    Severity::ALL.into_iter().flat_map(of).flatten().chain(not_measured(slo, figures, around)).collect()
}

fn burn(slo: &Slo, figures: &Figures, severity: Severity) -> Option<(Kind, Condition)> {
    let tiers = slo.policy.tiers.iter().zip(&figures.holding).filter(|(tier, _)| tier.severity == severity);
    let condition = match tiers.clone().find(|(_, holds)| **holds) {
        Some((tier, _)) => Condition::Holds(Cause::Tier(tier.clone())),
        None if tiers.clone().any(|(tier, _)| figures.is_blind_for(tier.short)) => Condition::Unknown,
        None => return None,
    };
    Some((Kind::Burn(severity), condition))
}

fn spent(slo: &Slo, figures: &Figures, severity: Severity) -> Option<(Kind, Condition)> {
    let mut of_severity =
        slo.policy.budget.iter().zip(&figures.budget_holding).filter(|(condition, _)| condition.severity == severity);
    let condition = match of_severity.clone().find(|(_, holds)| **holds) {
        Some((condition, _)) => Condition::Holds(Cause::Budget(condition.clone())),
        None if of_severity.next().is_some() && figures.is_blind_for(Duration::ZERO) => Condition::Unknown,
        None => return None,
    };
    Some((Kind::Spent(severity), condition))
}

fn not_measured(slo: &Slo, figures: &Figures, around: Surroundings) -> Option<(Kind, Condition)> {
    if slo.policy.not_measured == NotMeasured::StateOnly || figures.is_excluded {
        return None;
    }
    if let Some(tier) = tier_of_outage(slo, figures) {
        return Some((Kind::NotMeasured(tier.severity), Condition::Holds(Cause::Tier(tier.clone()))));
    }
    let fastest = slo.policy.tiers.iter().min_by_key(|tier| (tier.short, tier.severity))?;
    let awake_for = figures.at.since(around.awake_since);
    if !figures.is_measured {
        let is_due = figures.missing_bucket.is_some() || awake_for >= NEVER_MEASURED;
        // What was told before a restart has not ended by it.
        let condition = if is_due { Condition::Holds(Cause::Nothing) } else { Condition::Unknown };
        return Some((Kind::NotMeasured(Severity::Ticket), condition));
    }
    if !figures.is_blind_for(fastest.short) {
        let is_partly_blind = figures.missing_bucket.is_some();
        return is_partly_blind.then_some((Kind::NotMeasured(Severity::Ticket), Condition::Holds(Cause::Nothing)));
    }
    let is_urgent = figures.is_down() || around.measured_groups == 0;
    let severity = if is_urgent { fastest.severity } else { Severity::Ticket };
    // After a pause of ours, targets get as long to be scraped as they would have had otherwise.
    let is_their_fault = awake_for >= fastest.short.max(SCRAPE_COVERS);
    let cause = Cause::Tier(fastest.clone());
    let condition = if is_their_fault { Condition::Holds(cause) } else { Condition::Unknown };
    Some((Kind::NotMeasured(severity), condition))
}

/// The fastest tier that would hold by now if every event had failed since all targets went down. That we tried to scrape them says that we
/// were awake.
fn tier_of_outage<'a>(slo: &'a Slo, figures: &Figures) -> Option<&'a Tier> {
    let down_for = figures.at.since(figures.outage_since?);
    let detected = slo.policy.tiers.iter().filter_map(|tier| Some((tier.detection(slo.objective)?, tier)));
    detected
        .filter(|(after, _)| *after <= down_for)
        .min_by_key(|(after, tier)| (tier.severity, *after))
        .map(|(_, tier)| tier)
}

/// One alert that fires, or has ended not long ago.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LiveAlert {
    /// Empty of the one that is for a whole file.
    pub(super) slo: Arc<str>,
    pub(super) group: Labels,
    pub(super) severity: Severity,
    pub(super) name: &'static str,
    /// What the annotation `tier` says.
    pub(super) tier: Option<String>,
    pub(super) annotations: Labels,
    pub(super) active_at: Timestamp,
    pub(super) resolved_at: Option<Timestamp>,
    last_sent_at: Option<Timestamp>,
    /// What the history knows of it.
    noted: Option<Change>,
    /// The last slot at which its cause was there or could not be seen.
    confirmed_at: Timestamp,
}

impl LiveAlert {
    fn new(name: &'static str, severity: Severity, active_at: Timestamp) -> Self {
        LiveAlert {
            slo: "".into(),
            group: Labels::empty(),
            severity,
            name,
            tier: None,
            annotations: Labels::empty(),
            active_at,
            resolved_at: None,
            last_sent_at: None,
            noted: None,
            confirmed_at: active_at,
        }
    }

    fn is_due(&self, slot: Timestamp, resend_delay: Duration) -> bool {
        sending::is_due(self.last_sent_at, self.resolved_at, slot, resend_delay)
    }

    fn as_sent(&self, labels: &Labels, valid_until: Timestamp, environment: &Environment) -> Alert {
        Alert {
            labels: labels.clone(),
            annotations: self.annotations.clone(),
            starts_at: self.active_at,
            ends_at: self.resolved_at.unwrap_or(valid_until),
            generator_url: match &*self.slo {
                "" => format!("{}/slos", environment.external_url),
                slo => format!("{}/slos?slo={slo}", environment.external_url),
            },
        }
    }

    /// What the history does not know of it yet.
    fn news(&mut self, labels: &Labels) -> Option<Transition> {
        let change = if self.resolved_at.is_none() { Change::Firing } else { Change::Resolved };
        (self.noted.replace(change) != Some(change)).then(|| Transition {
            rule: self.name.into(),
            labels: labels.clone(),
            annotations: self.annotations.clone(),
            change,
            active_at: self.active_at,
            // As its series `ALERTS`.
            value: 1.0.into(),
        })
    }
}

/// The alerts of all objectives of a group, by their labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Alerts {
    live: BTreeMap<Labels, LiveAlert>,
}

impl Alerts {
    /// Takes what is known at `figures.at` of one objective's group.
    pub(super) fn step(&mut self, slo: &Slo, group: &Labels, figures: &Figures, around: Surroundings) {
        let mut is_paging = false;
        for (kind, condition) in conditions(slo, figures, around) {
            let (name, severity) = (kind.name(), kind.severity());
            let labels = alert_labels(slo, group, name, severity);
            let firing = self.live.get_mut(&labels).filter(|alert| alert.resolved_at.is_none());
            match (condition, firing) {
                (Condition::Unknown, None) => continue,
                (Condition::Unknown, Some(alert)) => {
                    alert.confirmed_at = figures.at;
                    alert.annotations = texts::held(slo, &alert.annotations, figures);
                }
                (Condition::Holds(cause), Some(alert)) => {
                    alert.confirmed_at = figures.at;
                    alert.annotations = texts::annotations(slo, group, figures, kind, &cause);
                    alert.tier = cause.name().map(str::to_owned);
                }
                (Condition::Holds(_), None) if is_suppressed(kind, is_paging) => continue,
                (Condition::Holds(cause), None) => {
                    let alert = LiveAlert {
                        slo: slo.name.clone(),
                        group: group.clone(),
                        annotations: texts::annotations(slo, group, figures, kind, &cause),
                        tier: cause.name().map(str::to_owned),
                        ..LiveAlert::new(name, severity, figures.at)
                    };
                    self.live.insert(labels, alert);
                }
            }
            is_paging |= matches!(kind, Kind::Burn(Severity::Page) | Kind::Spent(Severity::Page));
        }
    }

    /// Takes what is known at `at` of the objectives that were measured in part only; empty: of none. What fires stays while `is_known` is not said of
    /// all.
    pub(super) fn step_partly(
        &mut self,
        notice: &Notice,
        concerned: &[(Arc<str>, Arc<[PartlySeen]>)],
        is_known: bool,
        at: Timestamp,
    ) {
        let firing = self.live.get_mut(&notice.labels).filter(|alert| alert.resolved_at.is_none());
        match firing {
            Some(alert) if !concerned.is_empty() => {
                alert.annotations = texts::partly_measured(notice, concerned);
                alert.confirmed_at = at;
            }
            Some(alert) if !is_known => alert.confirmed_at = at,
            None if !concerned.is_empty() => {
                let annotations = texts::partly_measured(notice, concerned);
                let new = LiveAlert::new(PARTLY_MEASURED_ALERT, Severity::Ticket, at);
                self.live.insert(notice.labels.clone(), LiveAlert { annotations, ..new });
            }
            _ => {}
        }
    }

    /// Takes up the alerts of an objective that fired before a restart, from their `ALERTS_FOR_STATE`, so that they go on with their own
    /// start, stay while nothing can be seen, and are resolved when they have ended.
    pub(super) fn restore(&mut self, slo: &Slo, series: &[Series]) {
        for (labels, alert) in taken_up(series, &[BURN_ALERT, SPENT_ALERT, NOT_MEASURED_ALERT]) {
            let group = labels.filtered(|label| slo.group_by.contains(&label.name));
            let annotations = texts::restored(slo, &group);
            self.live.insert(labels, LiveAlert { slo: slo.name.clone(), group, annotations, ..alert });
        }
    }

    /// Takes up that of a file, likewise.
    pub(super) fn restore_partly(&mut self, series: &[Series]) {
        for (labels, alert) in taken_up(series, &[PARTLY_MEASURED_ALERT]) {
            let annotations = texts::restored_summary(PARTLY_MEASURED_ALERT);
            self.live.insert(labels, LiveAlert { annotations, ..alert });
        }
    }

    /// What fired before a restart, as it must be told again at once. It does not count as sent: the first slot knows more about it.
    pub(super) fn remind(&self, now: Timestamp, interval: Duration, environment: &Environment) -> Vec<Alert> {
        let valid_until = sending::valid_until(now, interval.max(environment.resend_delay));
        self.firing().map(|(labels, alert)| alert.as_sent(labels, valid_until, environment)).collect()
    }

    /// Keeps the alerts of an objective that could not be evaluated as they are.
    pub(super) fn hold(&mut self, slo: &str, slot: Timestamp) {
        self.live.values_mut().filter(|alert| &*alert.slo == slo).for_each(|alert| alert.confirmed_at = slot);
    }

    /// Resolves what nobody confirmed at `slot`.
    pub(super) fn resolve(&mut self, slot: Timestamp) {
        let ended = self.live.values_mut().filter(|alert| alert.resolved_at.is_none() && alert.confirmed_at < slot);
        ended.for_each(|alert| alert.resolved_at = Some(slot));
    }

    /// Resolves what nobody confirmed at `slot`; returns what is to be sent now and what has changed, in order of labels.
    pub(super) fn finish(
        &mut self,
        slot: Timestamp,
        interval: Duration,
        environment: &Environment,
    ) -> (Vec<Alert>, Vec<Transition>) {
        let valid_until = sending::valid_until(slot, interval.max(environment.resend_delay));
        self.resolve(slot);
        let (mut due, mut news) = (Vec::new(), Vec::new());
        for (labels, alert) in &mut self.live {
            news.extend(alert.news(labels));
            if alert.is_due(slot, environment.resend_delay) {
                alert.last_sent_at = Some(slot);
                due.push(alert.as_sent(labels, valid_until, environment));
            }
        }
        self.live.retain(|_, alert| alert.resolved_at.is_none_or(|at| sending::is_remembered(at, slot)));
        (due, news)
    }

    /// Those that fire, in order of labels.
    pub(super) fn firing(&self) -> impl Iterator<Item = (&Labels, &LiveAlert)> {
        self.live.iter().filter(|(_, alert)| alert.resolved_at.is_none())
    }

    /// `ALERTS` and `ALERTS_FOR_STATE` as rules record them.
    pub(super) fn record(&self, at: Timestamp, recorded: &mut Vec<Recorded>) {
        for (labels, alert) in self.firing() {
            let mut series = labels.to_builder();
            series.set(METRIC_NAME, "ALERTS_FOR_STATE");
            let active_at_secs = alert.active_at.as_secs_f64().floor();
            recorded.push(Recorded { labels: series.build(), series: None, at, value: active_at_secs.into() });
            series.set(METRIC_NAME, "ALERTS").set("alertstate", "firing");
            recorded.push(Recorded { labels: series.build(), series: None, at, value: 1.0.into() });
        }
    }
}

/// The alerts of these names whose `ALERTS_FOR_STATE` are among `series`: they fire, nobody has confirmed them, and the history knows of them.
fn taken_up(series: &[Series], names: &[&'static str]) -> Vec<(Labels, LiveAlert)> {
    let of = |Series { labels, samples, .. }: &Series| {
        let active_at_secs = samples.last()?.value.as_float().filter(|secs| secs.is_finite())?;
        let name = names.iter().copied().find(|name| labels.get(ALERT_NAME) == Some(name))?;
        let severity = Severity::ALL.into_iter().find(|severity| labels.get("severity") == Some(severity.as_str()))?;
        let alert = LiveAlert::new(name, severity, Timestamp::from_secs_f64(active_at_secs));
        let alert = LiveAlert { noted: Some(Change::Firing), confirmed_at: Timestamp::MIN, ..alert };
        Some((labels.without_metric_name(), alert))
    };
    series.iter().filter_map(of).collect()
}

/// Whether the page that lives says it all already. Blindness is never kept silent.
fn is_suppressed(kind: Kind, is_paging: bool) -> bool {
    is_paging && matches!(kind, Kind::Burn(Severity::Ticket) | Kind::Spent(Severity::Ticket))
}

/// The identity of an alert of a group.
pub(super) fn alert_labels(slo: &Slo, group: &Labels, name: &str, severity: Severity) -> Labels {
    let mut labels = slo.labels.to_builder();
    for label in slo.policy.texts(severity).labels.iter().chain(group) {
        labels.set(label.name.clone(), label.value.clone());
    }
    labels.set(ALERT_NAME, name).set("slo", slo.name.clone()).set("severity", severity.as_str());
    labels.build()
}
