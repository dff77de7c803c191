//! History for objectives that begin: counted aside from what another server has, up to our own first sample.
//!
//! In the flow: the daemon asks [`SloGroup::await_history`] at a start or reload, feeds each [`Warming`] slice by slice, and hands it back with
//! [`SloGroup::take_history`]. From there on the objective counts its own samples, so that it is as if it had seen them all.
//!
//! **Invariants.** Of another server nothing counts at or after our own first sample. Objectives that wait are neither evaluated nor are their
//! alerts resolved. Counters that go on from an earlier process or configuration never wait.
//! **Limits.** A window that lacks less than [`LACKING_RATIO`] of its length is left as it is. Indicators of queries read samples, not counters: they are
//! evaluated over what is stored.

use std::time::Duration;

use crate::model::{Matcher, Timestamp};
use crate::promql::{Querier, QuerierError};

use super::accounting::{Accounting, MARGIN_MS, Role};
use super::feed::{self, sources};
use super::fold::History;
use super::group::SloGroup;
use super::spec::Slo;

/// Less of a window is not worth asking for.
const LACKING_RATIO: f64 = 0.01;
/// Our own first sample is looked for in steps of this, so that little is read at once.
const STEP: Duration = Duration::from_secs(6 * 3600);

/// The counters of one objective, while they are being filled.
#[derive(Debug)]
pub struct Warming {
    pub(super) slo: Slo,
    pub(super) accounting: Accounting,
    sources: Vec<(Role, Vec<Matcher>)>,
    fed_through: Timestamp,
    through: Timestamp,
}

impl Warming {
    /// Nothing counted yet; `None` where its window needs no history, or cannot have one.
    pub(super) fn of(
        slo: &Slo,
        reach: Duration,
        querier: &dyn Querier,
        now: Timestamp,
    ) -> Result<Option<Self>, QuerierError> {
        let sources = sources(&slo.indicator);
        if sources.is_empty() {
            return Ok(None);
        }
        let from = (now - reach).plus_ms(-MARGIN_MS);
        let through = first_sample(&sources, querier, (from, now))?.unwrap_or(now).plus_ms(-1);
        let is_lacking = through.since(from).as_secs_f64() > LACKING_RATIO * reach.as_secs_f64();
        let accounting = Accounting::reaching(slo, reach);
        Ok(is_lacking.then(|| Warming { slo: slo.clone(), accounting, sources, fed_through: from, through }))
    }

    /// What to ask for.
    pub fn selectors(&self) -> impl Iterator<Item = &[Matcher]> {
        self.sources.iter().map(|(_, matchers)| matchers.as_slice())
    }

    /// The first and the last instant that are wanted.
    pub fn range(&self) -> (Timestamp, Timestamp) {
        (self.fed_through.plus_ms(1), self.through)
    }

    /// Counts what `querier` has up to `through`, and not beyond what is wanted; what was counted before is not looked at again.
    pub fn feed(&mut self, querier: &dyn Querier, through: Timestamp) -> Result<(), QuerierError> {
        let through = through.min(self.through);
        if through > self.fed_through {
            let span = (self.fed_through, through);
            feed::feed_slice(&mut self.accounting, &self.sources, querier, span, History::Retained)?;
            self.accounting.settle();
            self.fed_through = through;
        }
        Ok(())
    }
}

/// The first own sample of what is counted.
fn first_sample(
    sources: &[(Role, Vec<Matcher>)],
    querier: &dyn Querier,
    (from, now): (Timestamp, Timestamp),
) -> Result<Option<Timestamp>, QuerierError> {
    let is_own = |role: &Role| matches!(role, Role::Total | Role::TotalLess | Role::Part | Role::PartLess);
    let mut start = from;
    while start <= now {
        let end = (start + STEP).min(now);
        let mut first: Option<Timestamp> = None;
        for (_, matchers) in sources.iter().filter(|(role, _)| is_own(role)) {
            let found = querier.select(matchers, start, end)?;
            first = found.iter().filter_map(|series| Some(series.samples.first()?.at)).chain(first).min();
        }
        if first.is_some() {
            return Ok(first);
        }
        start = end.plus_ms(1);
    }
    Ok(None)
}

impl SloGroup {
    /// The objectives whose counters begin now and whose windows reach back before our own samples. They are not evaluated before
    /// `until`, or before [`SloGroup::take_history`] or [`SloGroup::end_waiting`].
    pub fn await_history(&mut self, querier: &dyn Querier, now: Timestamp, until: Timestamp) -> Vec<Warming> {
        let mut all = Vec::new();
        for tracked in &mut self.objectives {
            let begins = tracked.accounting.settled_through().is_none();
            if !begins && !tracked.wants_history {
                continue;
            }
            // What cannot be read now is evaluated as it is.
            let found = Warming::of(&tracked.slo, tracked.accounting.reach(), querier, now).ok().flatten();
            tracked.wants_history = found.is_some();
            tracked.waits_until = found.is_some().then_some(until).filter(|_| begins);
            all.extend(found);
        }
        all
    }

    /// Puts counters with history in the place of those without, if the objective is still the same. At the next slot it counts on from there.
    pub fn take_history(&mut self, warming: &Warming) -> bool {
        let Warming { slo, accounting, .. } = warming;
        let same = |tracked: &&mut super::group::Tracked| {
            let of = &tracked.slo;
            tracked.wants_history
                && (&of.name, &of.indicator, &of.group_by, of.budgeting)
                    == (&slo.name, &slo.indicator, &slo.group_by, slo.budgeting)
                && tracked.accounting.reach() <= accounting.reach()
        };
        let Some(tracked) = self.objectives.iter_mut().find(same) else { return false };
        tracked.accounting = accounting.clone();
        tracked.accounting.bear_late(self.late);
        (tracked.wants_history, tracked.waits_until) = (false, None);
        tracked.groups.clear();
        true
    }

    /// Evaluates what waits, without history for now.
    pub fn end_waiting(&mut self) {
        self.objectives.iter_mut().for_each(|tracked| tracked.waits_until = None);
    }
}
