//! All slots of a rule at once, for drivers that have the samples of all of them before the first.
//!
//! A rule of a week at one minute is evaluated 10,080 times; as one range query it reads its series once. The life of its alerts is
//! the one of [`alerting::step`], slot by slot.
//!
//! **Invariant.** What comes out is what [`Evaluator::eval`](super::Evaluator::eval) gives slot by slot, as long as no rule reads
//! the future or what a later rule, or itself, writes; the caller has to see to that. An error says only that something fails somewhere:
//! the caller then evaluates slot by slot.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{Labels, METRIC_NAME, Series, Timestamp, Value};

use super::alerting::{self, Absence, ActiveAlert, Moment};

use super::{EvalContext, Expansions, Group, Health, Recorded, Rule, RuleKind, query};
use crate::rules::{AlertStatus, Policy};

/// `start`, `start + step`, … up to `end`.
#[derive(Clone, Copy, Debug)]
pub struct ReplaySlots {
    /// The first.
    pub start: Timestamp,
    /// None is later.
    pub end: Timestamp,
    /// At least a millisecond.
    pub step: Duration,
}

/// What a rule made of all slots.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// To commit; the samples of a series are in order of time.
    pub recorded: Vec<Recorded>,
    /// The alerts at each of the instants asked about.
    pub alerts: Vec<(Timestamp, Vec<AlertStatus>)>,
}

impl Group {
    /// Evaluates the rule of that index at all `slots`. `asked` are some of them, in order. `query_offset` and `limit` must be 0.
    pub fn replay(
        &mut self,
        index: usize,
        slots: ReplaySlots,
        asked: &[Timestamp],
        context: &EvalContext<'_>,
    ) -> Result<Replayed, String> {
        debug_assert!(self.query_offset.is_zero() && self.limit == 0, "BUG: replayed with an offset or a limit");
        let rule = &mut self.rules[index];
        if rule.config.policy != Policy::default() || rule.config.recover_when.is_some() {
            return Err("a policy needs one evaluation after the other".to_owned());
        }
        let (querier, environment) = (context.querier, context.environment);
        let rows = query::elements_of_range(&rule.config.expr, slots, querier, environment)?;
        rule.state.health = Health::Ok;
        rule.state.evaluated_at = Some(slots.end);
        match rule.config.kind {
            RuleKind::Recording => rule.replay_recording(rows, slots),
            RuleKind::Alerting => rule.replay_alerts(&rows, slots, asked, context),
        }
    }
}

impl Rule {
    fn replay_recording(&self, rows: Vec<Series>, slots: ReplaySlots) -> Result<Replayed, String> {
        let mut seen = BTreeSet::new();
        let mut recorded = Vec::new();
        for row in rows {
            let mut builder = row.labels.to_builder();
            builder.set(METRIC_NAME, self.config.name.clone());
            for entry in &self.config.labels {
                builder.set(entry.name.clone(), entry.value.clone());
            }
            let labels = builder.build();
            if !seen.insert(labels.clone()) {
                return Err("vector contains metrics with the same labelset after applying rule labels".to_owned());
            }
            let mut samples = row.samples.into_iter().peekable();
            while let Some(sample) = samples.next() {
                let next = sample.at + slots.step;
                recorded.push(Recorded { labels: labels.clone(), series: None, at: sample.at, value: sample.value });
                if next <= slots.end && samples.peek().is_none_or(|sample| sample.at != next) {
                    recorded.push(Recorded::end_of(labels.clone(), next));
                }
            }
        }
        Ok(Replayed { recorded, alerts: Vec::new() })
    }

    fn replay_alerts(
        &mut self,
        rows: &[Series],
        slots: ReplaySlots,
        asked: &[Timestamp],
        context: &EvalContext<'_>,
    ) -> Result<Replayed, String> {
        let environment = context.environment;
        let mut left: Vec<(&Labels, std::slice::Iter<'_, _>)> =
            rows.iter().map(|row| (&row.labels, row.samples.iter())).collect();
        let mut asked = asked.iter().peekable();
        let mut replayed = Replayed::default();
        let mut written: BTreeSet<Labels> = BTreeSet::new();
        let mut slot = slots.start;
        while slot <= slots.end {
            let here = |samples: &mut std::slice::Iter<'_, crate::model::Sample>| {
                let sample = samples.as_slice().first().filter(|sample| sample.at == slot)?;
                samples.next();
                Some(sample.value.clone())
            };
            let elements: Vec<_> =
                left.iter_mut().filter_map(|(labels, samples)| Some(((*labels).clone(), here(samples)?))).collect();
            if !elements.is_empty() || !self.state.alerts.is_empty() || !written.is_empty() {
                let query = |text: &str| query::elements_of_text(text, slot, context.querier, environment);
                let moment = Moment { now: slot, environment, query: &query, expansions: &Expansions::default() };
                let candidates = alerting::candidates(&self.config, elements, &moment)?;
                let ends = |_: &ActiveAlert| Absence::Ends;
                alerting::step(self.config.terms(), &mut self.state.alerts, candidates, &ends, slot);
                let series: BTreeMap<Labels, Value> = alerting::series(&self.state.alerts).collect();
                let before = std::mem::replace(&mut written, series.keys().cloned().collect());
                let ended = before.into_iter().filter(|labels| !written.contains(labels));
                let alive =
                    series.into_iter().map(|(labels, value)| Recorded { labels, series: None, at: slot, value });
                replayed.recorded.extend(alive.chain(ended.map(|labels| Recorded::end_of(labels, slot))));
            }
            if asked.next_if(|asked| **asked == slot).is_some() {
                replayed.alerts.push((slot, self.alerting_status().alerts));
            }
            slot = slot + slots.step;
        }
        Ok(replayed)
    }
}
