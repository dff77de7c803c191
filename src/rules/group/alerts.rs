//! An alerting rule at a slot: from the result of its expression, or the want of one, to alerts.
//!
//! In the flow: [`Group::eval`](super::Group) steps each rule; here the policies of a rule decide what an absence means before
//! [`alerting::step`] moves its alerts.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Labels, Timestamp, Value};
use crate::rules::alerting::{self, Absence, ActiveAlert, Candidate, Moment, Terms};
use crate::rules::complaint::{self, Complaint, Kind};
use crate::rules::pause::{Outage, Pause};
use crate::rules::policy::{LimitPolicy, NoData, OnError};
use crate::rules::presence::Look;
use crate::rules::query::{self, Source};
use crate::rules::transition::{Change, Held, Transition};
use crate::rules::{AlertState, Outcome, RuleConfig, RuleState};

use super::{Made, Rule, Step};

/// What the expression gave.
struct Result {
    candidates: BTreeMap<Labels, Candidate>,
    /// Why there is none.
    error: Option<String>,
}

impl Rule {
    /// Steps the alerts. The second value is an error where there is something wrong, also if alerts went on all the same.
    pub(super) fn eval_alerts(
        &mut self,
        step: &Step<'_>,
        source: Source<'_>,
        outcome: &mut Outcome,
    ) -> (Made, std::result::Result<(), String>) {
        // Templates look at the slot itself, whatever the query offset.
        let query = |text: &str| query::elements_of_text(text, step.slot, &source.querier(), step.context.environment);
        let environment = step.context.environment;
        let moment = Moment { now: step.slot, environment, query: &query, expansions: &step.expansions };
        let elements = self.plan.elements(&self.config.expr, step.at, source);
        let candidates = elements.and_then(|elements| alerting::candidates(&self.config, elements, &moment));
        let policy = self.config.policy;
        let result = match (candidates, policy.error) {
            (Ok(candidates), _) => Result { candidates, error: None },
            (Err(reason), None) => return (Made::Nothing, Err(reason)),
            (Err(reason), Some(_)) => Result { candidates: BTreeMap::new(), error: Some(reason) },
        };
        let mut wrong = result.error.clone();
        let is_unknown = wrong.is_some();
        let mut complaints = Vec::new();
        let candidates = self.judged((step, source), result, &moment, &mut complaints);
        let candidates = self.within_limit(step, candidates, &mut complaints, &mut wrong);
        let stepped = {
            let querier = source.querier();
            let recovered = self.recovered(step, source);
            let absent = Absent { is_unknown, look: self.look(step, &querier), recovered, pause: step.pause };
            let (config, alerts) = (&self.config, &mut self.state.alerts);
            let absence = |alert: &ActiveAlert| absent.of(config, alert);
            alerting::step(config.terms(), alerts, candidates, &absence, step.slot)
        };
        outcome.transitions.extend(stepped.transitions);
        let mut is_changed = stepped.is_changed;
        if let Err(reason) = self.check_limit(step, outcome) {
            self.store_state(true, outcome);
            return (Made::Nothing, Err(reason));
        }
        is_changed |= self.complain(step, complaints, &moment, outcome);
        self.write_series();
        if !self.state.alerts.is_empty() || !self.state.complaints.is_empty() {
            let url = self.state.generator_url(&step.context.environment.external_url);
            for alerts in [&mut self.state.alerts, &mut self.state.complaints] {
                let due = alerting::take_due(alerts, &moment, step.validity, &url);
                is_changed |= !due.is_empty();
                outcome.alerts.extend(due);
            }
        }
        self.store_state(is_changed, outcome);
        (Made::Series, wrong.map_or(Ok(()), Err))
    }

    /// The candidates of a result, or those that stand for its absence.
    fn judged(
        &self,
        (step, source): (&Step<'_>, Source<'_>),
        result: Result,
        moment: &Moment<'_>,
        complaints: &mut Vec<Complaint>,
    ) -> BTreeMap<Labels, Candidate> {
        let Result { candidates, error } = result;
        let policy = self.config.policy;
        let fires = match error {
            Some(reason) => {
                if policy.error == Some(OnError::Alert) {
                    complaints.push((Kind::Error, reason));
                }
                policy.error == Some(OnError::Fire)
            }
            None if candidates.is_empty() && matches!(policy.no_data, NoData::Fire | NoData::Alert) => {
                let querier = source.querier();
                let has_data = self.look(step, &querier).has_data(&self.config.expr, &Labels::empty()).unwrap_or(true);
                if !has_data && policy.no_data == NoData::Alert {
                    complaints.push((Kind::NoData, format!("{} reads series that are not there.", self.query)));
                }
                !has_data && policy.no_data == NoData::Fire
            }
            None => false,
        };
        if !fires || self.state.live_len() > 0 && !self.is_alone() {
            return candidates;
        }
        alerting::candidates(&self.config, vec![(Labels::empty(), Value::Float(f64::NAN))], moment).unwrap_or_default()
    }

    /// Whether all it has is the alert that stands for the absence of a result.
    fn is_alone(&self) -> bool {
        alerting::live(&self.state.alerts).all(|(_, alert)| alert.stands_for_nothing())
    }

    /// With `limit_policy: keep`, the new candidates that there is room for.
    fn within_limit(
        &self,
        step: &Step<'_>,
        mut candidates: BTreeMap<Labels, Candidate>,
        complaints: &mut Vec<Complaint>,
        wrong: &mut Option<String>,
    ) -> BTreeMap<Labels, Candidate> {
        if step.limit == 0 || self.config.policy.limit == LimitPolicy::Drop {
            return candidates;
        }
        let mut room = usize::try_from(step.limit).unwrap_or(usize::MAX).saturating_sub(self.state.live_len());
        let count = candidates.len();
        candidates.retain(|labels, _| {
            if self.state.alerts.get(labels).is_some_and(|alert| alert.state != AlertState::Inactive) {
                return true;
            }
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        });
        let refused = count - candidates.len();
        if refused > 0 {
            let text = format!("exceeded limit of {} with {count} alerts, {refused} new ones are refused", step.limit);
            complaints.push((Kind::LimitExceeded, text.clone()));
            wrong.get_or_insert(text);
        }
        candidates
    }

    /// With the policy of Prometheus, more alerts than the limit are forgotten.
    fn check_limit(&mut self, step: &Step<'_>, outcome: &mut Outcome) -> std::result::Result<(), String> {
        let count = self.state.live_len();
        if step.limit == 0 || count as u64 <= step.limit || self.config.policy.limit == LimitPolicy::Keep {
            return Ok(());
        }
        let forgotten = std::mem::take(&mut self.state.alerts);
        let told = forgotten.iter().filter(|(_, alert)| alert.state == AlertState::Firing);
        outcome.transitions.extend(told.map(|(labels, alert)| Transition::new(labels, alert, Change::Forgotten)));
        Err(format!("exceeded limit of {} with {count} alerts", step.limit))
    }

    /// Raises, keeps and ends the alerts about the rule itself. Whether any changed.
    fn complain(
        &mut self,
        step: &Step<'_>,
        complaints: Vec<Complaint>,
        moment: &Moment<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        if complaints.is_empty() && self.state.complaints.is_empty() {
            return false;
        }
        let candidates = complaint::candidates(&self.config, &step.group, complaints, moment);
        let ends = |_: &ActiveAlert| Absence::Ends;
        let stepped = alerting::step(Terms::default(), &mut self.state.complaints, candidates, &ends, step.slot);
        outcome.transitions.extend(stepped.transitions);
        stepped.is_changed
    }

    fn write_series(&mut self) {
        let RuleState { alerts, complaints, outputs, .. } = &mut self.state;
        outputs.begin();
        // By label set, as they are committed.
        let series: BTreeMap<Labels, Value> = alerting::series(alerts).chain(alerting::series(complaints)).collect();
        for (labels, value) in series {
            assert!(outputs.write(labels, value), "BUG: two alerts of a rule have the same labels");
        }
    }

    fn store_state(&mut self, is_changed: bool, outcome: &mut Outcome) {
        if is_changed {
            outcome.states.extend(self.state.change_to_store(self.nth));
        }
    }

    /// The label sets that `recover_when` gives; `None` without one, or if it cannot be evaluated.
    fn recovered(&mut self, step: &Step<'_>, source: Source<'_>) -> Option<BTreeSet<Labels>> {
        let expr = self.config.recover_when.as_ref()?;
        if self.state.live_len() == 0 {
            return None;
        }
        let elements = self.recover_plan.elements(expr, step.at, source).unwrap_or_default();
        Some(elements.into_iter().map(|(labels, _)| labels.without_metric_name()).collect())
    }

    /// The alerts of before a pause are unconfirmed, and those that waited may have to wait longer.
    pub(super) fn wake(&mut self, pause: Pause, (slot, seamless): (Timestamp, std::time::Duration), outage: Outage) {
        let (hold, is_bearable) = (self.config.hold_duration, pause.is_bearable(outage));
        self.state.alerts.retain(|_, alert| {
            alert.is_unconfirmed = is_bearable;
            if alert.state != AlertState::Pending {
                return true;
            }
            let active_at = pause.active_at(alert.active_at, hold, (slot, seamless), outage);
            alert.active_at = active_at.unwrap_or(alert.active_at);
            active_at.is_some()
        });
        let RuleState { alerts, complaints, outputs, .. } = &mut self.state;
        if outputs.written_last_len() == 0 {
            // After a restart: what ends now must end in the store, too.
            let before = alerting::series(alerts).chain(alerting::series(complaints));
            outputs.assume_written(before.map(|(labels, _)| labels));
        }
    }
}

/// What decides what the absence of an alert from the result means.
struct Absent<'a> {
    /// Whether there is no result.
    is_unknown: bool,
    look: Look<'a>,
    recovered: Option<BTreeSet<Labels>>,
    pause: Option<(Pause, Timestamp)>,
}

impl Absent<'_> {
    fn of(&self, config: &RuleConfig, alert: &ActiveAlert) -> Absence {
        let policy = config.policy;
        if self.is_unknown {
            return match policy.error {
                Some(OnError::Fire) => Absence::Holds(Held::ErrorFires),
                _ => Absence::Stays(Held::Error),
            };
        }
        if alert.is_unconfirmed
            && let Some((pause, settles_at)) = self.pause
            && pause.hides(settles_at, &config.expr, &alert.element, self.look)
        {
            return Absence::Stays(Held::Pause);
        }
        let asks_for_data = policy.no_data != NoData::Resolve || config.recover_when.is_some();
        if asks_for_data && !self.look.has_data(&config.expr, &alert.element).unwrap_or(true) {
            return match policy.no_data {
                NoData::Resolve => Absence::Ends,
                NoData::Keep | NoData::Alert => Absence::Stays(Held::NoData),
                NoData::Fire => Absence::Holds(Held::NoDataFires),
            };
        }
        match &self.recovered {
            Some(recovered)
                if alert.state == AlertState::Firing
                    && !alert.stands_for_nothing()
                    && !recovered.contains(&alert.element) =>
            {
                Absence::Stays(Held::NotRecovered)
            }
            _ => Absence::Ends,
        }
    }
}
