//! From stored samples to the accounting: which series to read, in which slices, and what to read again.
//!
//! In the flow: [`super::SloGroup`] calls [`advance`] at each slot, before it asks for windows.
//!
//! **Late samples.** A scrape is stamped with its start and committed at its end, so that a slot in between does not see it. What lies
//! within [`LATE_MS`] of the slot is therefore counted provisionally and read again at the next slot. Of samples that come later than that the
//! store tells ([`Querier::amended`]): what was counted from them on is taken back and read again, as far back as `out_of_order_time_window`
//! reaches. Yet later ones are skipped; since counters accumulate, the next scrape counts what they would have.
//! **Cost.** Per slot: the samples of the last minute and a copy of the accounting's memory of series. At the first slot: all stored
//! samples of the window, in slices of [`SLICE_MS`], so that memory does not depend on the window. A latency reads all buckets of its
//! histogram, because bounds are compared by value, and remembers only those of its threshold.

use crate::model::{Labels, METRIC_NAME, Matcher, Series, Timestamp};
use crate::promql::{Querier, QuerierError};

use super::accounting::{Accounting, MARGIN_MS, Role};
use super::fold::History;
use super::spec::{Indicator, Selector, Slo, Term};

/// Samples that become visible this long after their timestamp are still counted there: six of the usual scrape time-outs.
pub const LATE_MS: i64 = 60 * 1000;

/// The longest stretch of time read at once.
const SLICE_MS: i64 = 6 * 3600 * 1000;

/// Counts the samples up to and including `slot`. What was stored up to `warm_through`, the first slot, may have lost its beginning.
/// After an error the accounting stands before the first slice that could not be read, and the next call goes on from there.
pub(super) fn advance(
    slo: &Slo,
    accounting: &mut Accounting,
    querier: &dyn Querier,
    slot: Timestamp,
    warm_through: Timestamp,
) -> Result<(), QuerierError> {
    let sources = sources(&slo.indicator);
    if sources.is_empty() {
        return Ok(()); // a composite: its members are counted
    }
    let slice = |accounting: &mut Accounting, from: Timestamp, through: Timestamp| {
        let history = if through <= warm_through { History::Retained } else { History::Complete };
        feed_slice(accounting, &sources, querier, (from, through), history)
    };
    accounting.rewind();
    let mut from = accounting.settled_through().unwrap_or((slot - accounting.reach()).plus_ms(-MARGIN_MS));
    let settle_through = slot.plus_ms(-LATE_MS);
    while from < settle_through {
        let through = from.plus_ms(SLICE_MS).min(settle_through);
        slice(accounting, from, through)?;
        accounting.settle();
        from = through;
    }
    slice(accounting, from, slot)
}

/// Counts the samples after `after` up to `through`.
pub(super) fn feed_slice(
    accounting: &mut Accounting,
    sources: &[(Role, Vec<Matcher>)],
    querier: &dyn Querier,
    (after, through): (Timestamp, Timestamp),
    history: History,
) -> Result<(), QuerierError> {
    let mut read: Vec<(Role, Vec<Series>)> = Vec::with_capacity(sources.len());
    for (role, matchers) in sources {
        read.push((*role, querier.select(matchers, after.plus_ms(1), through)?));
    }
    let batch: Vec<(Role, &[Series])> = read.iter().map(|(role, series)| (*role, series.as_slice())).collect();
    accounting.feed(&batch, through, history);
    Ok(())
}

/// Takes back what was counted from samples on that came late since; `None`: there were more than is remembered.
pub(super) fn take_back(slo: &Slo, accounting: &mut Accounting, amended: Option<&[(Labels, Timestamp)]>) {
    let Some(amended) = amended else { return accounting.return_far() };
    if amended.is_empty() {
        return;
    }
    let sources = sources(&slo.indicator);
    let is_read = |labels: &Labels| {
        sources.iter().any(|(_, matchers)| matchers.iter().all(|matcher| matcher.matches_labels(labels)))
    };
    if let Some(oldest) = amended.iter().filter(|(labels, _)| is_read(labels)).map(|(_, at)| *at).min() {
        accounting.return_before(oldest);
    }
}

/// What an indicator reads: its own series, and what tells scrapes and restarts of their targets.
pub fn sources(indicator: &Indicator) -> Vec<(Role, Vec<Matcher>)> {
    let selected = |role, selector: &Selector| (role, selector.matchers.clone());
    let (mut sources, total) = match indicator {
        Indicator::Availability(gauge) => return vec![selected(Role::Total, gauge)],
        Indicator::Errors { part, total, .. } => {
            let role = |term: &Term, added, subtracted| if term.is_subtracted { subtracted } else { added };
            let of_part = part.iter().map(|term| selected(role(term, Role::Part, Role::PartLess), &term.selector));
            let of_total = total.iter().map(|term| selected(role(term, Role::Total, Role::TotalLess), &term.selector));
            (of_part.chain(of_total).collect::<Vec<_>>(), total.iter().map(|term| &term.selector).collect())
        }
        Indicator::Freshness { gauge, .. } => (vec![selected(Role::Total, gauge)], vec![gauge]),
        Indicator::Throughput(terms) => {
            let role = |term: &Term| if term.is_subtracted { Role::TotalLess } else { Role::Total };
            let sources = terms.iter().map(|term| selected(role(term), &term.selector)).collect();
            (sources, terms.iter().map(|term| &term.selector).collect())
        }
        // Its members are counted, each by itself; queries are asked.
        Indicator::Composite { .. } | Indicator::Queried(_) => return Vec::new(),
        Indicator::Latency { buckets, total, .. } => {
            (vec![selected(Role::Part, buckets), selected(Role::Total, total)], vec![total])
        }
    };
    for total in total {
        sources.push((Role::Up, of_targets("up", total)));
        sources.push((Role::StartTime, of_targets("process_start_time_seconds", total)));
    }
    sources
}

/// The series `name` of the targets that `selector` can find: its tests on `job` and `instance` hold for them too.
fn of_targets(name: &str, selector: &Selector) -> Vec<Matcher> {
    let on_target = selector.matchers.iter().filter(|matcher| matches!(&*matcher.name, "job" | "instance"));
    std::iter::once(Matcher::equal(METRIC_NAME, name)).chain(on_target.cloned()).collect()
}
