//! Indicators of arbitrary PromQL: queries with a place for the window, and what they give.
//!
//! In the flow: [`super::decode_query`] and the importers make a [`Query`]; [`super::SloGroup`] and the backtest ask it at each instant, once for
//! each window, through the plans that rules use. [`super::View`] reads the [`Answers`], so that figures, alerts and series are those of counters.
//!
//! ```text
//! events: {bad: sum(rate(bad[$window])), total: sum(rate(all[$window]))}     bad / total, whatever their unit
//! ratio: 1 - avg_over_time(success[$window])                                the share of bad events, 0 to 1
//! ```
//!
//! | answer | means |
//! |---|---|
//! | an element of the total, of the ratio | the window was measured |
//! | no such element | not measured over this window: alerts are held |
//! | NaN, a total of 0 | no events |
//! | no element of bad (or good) beside a total | no such events |
//! | a ratio below 0 or above 1, bad above total | the nearest share |
//! | several elements of a group | are added up; of a ratio it is an error |
//!
//! **Not event-exact.** What a query makes of resets, births, gaps and the edges of a window is its own. There are no counters, so that coverage,
//! exclusions, forecast and guard do not exist.
//! **A new process** asks at up to [`HELD_ASKS_MAX`] earlier instants also, over the longest `for` of a tier: since when a condition is met is
//! not counted anew after a restart. In between those instants nobody looked.
//! **Slices of time** are steps of a subquery; a window asks for those that lie in it as a whole, and a shorter one than a slice has no events.
//! **Limits.** [`GROUPS_MAX`] groups. A group is remembered for the objective's window after its total was last there.
//! **Cost.** One evaluation per query, window and instant. Windows of a fixed length are prepared once; that of a calendar changes all the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Timestamp, Value};
use crate::promql::ast::ValueType;
use crate::promql::plan::Overlay;
use crate::promql::{self, Dialect, Expr};
use crate::rules::{EvalContext, RulePlan, Source};
use crate::source::format_duration;

use super::accounting::GROUPS_MAX;
use super::curve::Counts;
use super::figures;
use super::spec::{Indicator, PartIs, Slo};
use super::window::Window;

/// At so many earlier instants a new process asks at most.
pub(super) const HELD_ASKS_MAX: u32 = 60;

/// A query with a place for the window, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    text: Arc<str>,
    /// Of a share of slices of time: their length.
    slice: Option<Duration>,
}

/// What is asked for each window.
#[derive(Clone, Debug, PartialEq)]
pub enum Queried {
    /// The share of bad events.
    Ratio(Query),
    /// Some events, and all.
    Events {
        /// Some of them.
        part: Query,
        /// Whether those are the good or the bad ones.
        part_is: PartIs,
        /// All of them.
        total: Query,
    },
}

impl Queried {
    /// The queries with the keys that they have in our own form: first that of a part, then that of all.
    pub fn queries(&self) -> Vec<(&'static str, &Query)> {
        match self {
            Queried::Ratio(query) => vec![("ratio", query)],
            Queried::Events { part, part_is: PartIs::Bad, total } => vec![("bad", part), ("total", total)],
            Queried::Events { part, part_is: PartIs::Good, total } => vec![("good", part), ("total", total)],
        }
    }
}

impl Queried {
    /// The share of bad events over `window` as one expression, an element for each group; none where there were no events.
    pub(super) fn error_ratio(&self, group_by: &[Arc<str>], window: Duration) -> String {
        let by = if group_by.is_empty() { String::new() } else { format!(" by ({})", group_by.join(", ")) };
        let of = |query: &Query, aggregation: &str| {
            let text = query.over(window);
            let is_scalar = query.expr(window).is_ok_and(|expr| expr.value_type() == ValueType::Scalar);
            let vector = if is_scalar { format!("vector({text})") } else { text };
            format!("{aggregation}{by} ({vector})")
        };
        match self {
            Queried::Ratio(query) => format!("clamp({}, 0, 1)", of(query, "max")),
            Queried::Events { part, part_is, total } => {
                let (part, total) = (of(part, "sum"), of(total, "sum"));
                let filled = format!("({part} or 0 * {total})");
                let bad = if *part_is == PartIs::Bad { filled } else { format!("({total} - {filled})") };
                format!("clamp({bad} / ({total} > 0), 0, 1)")
            }
        }
    }
}

/// The places for the window in a text, each with its first byte and its length: `$window`, and Sloth's `{{.window}}`.
pub(super) fn places(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find(['$', '{']) {
        let start = at + offset;
        let rest = &text[start..];
        let in_braces = || rest.strip_prefix("{{")?.split_once("}}").filter(|(inside, _)| inside.trim() == ".window");
        let len = match rest.strip_prefix("$window") {
            Some(after) if !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') => "$window".len(),
            _ => in_braces().map_or(0, |(inside, _)| inside.len() + "{{}}".len()),
        };
        if len > 0 {
            found.push((start, len));
        }
        at = start + len.max(1);
    }
    found
}

impl Query {
    /// `text` has a place for the window and is PromQL once it is filled.
    pub(super) fn new(text: &str) -> Self {
        Query { text: text.into(), slice: None }
    }

    /// The same for a text in which the window is the range of a subquery whose steps are ends of slices: it gets those of whole slices only.
    pub(super) fn of_slices(text: &str, slice: Duration) -> Self {
        Query { text: text.into(), slice: Some(slice) }
    }

    /// Between two texts.
    pub(super) fn within(self, before: &str, after: &str) -> Self {
        Query { text: format!("{before}{}{after}", self.text).into(), ..self }
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text over `window`.
    pub fn over(&self, window: Duration) -> String {
        // From the end of the first slice that begins with the window or later; the start of a range is not in it.
        let of_slices = |slice| window.saturating_sub(slice) + Duration::from_millis(1);
        let length = format_duration(self.slice.map_or(window, of_slices));
        let mut text = String::with_capacity(self.text.len());
        let mut done = 0;
        for (start, len) in places(&self.text) {
            text.push_str(&self.text[done..start]);
            text.push_str(&length);
            done = start + len;
        }
        text.push_str(&self.text[done..]);
        text
    }

    /// The query over `window`.
    pub(super) fn expr(&self, window: Duration) -> Result<Expr, String> {
        promql::parse_with(&self.over(window), Dialect::default().features).map_err(|errors| errors[0].to_string())
    }
}

/// A query over one window, prepared.
#[derive(Clone, Debug)]
struct Prepared {
    expr: Expr,
    plan: RulePlan,
}

/// Elements by group.
type ByGroup = BTreeMap<Labels, f64>;

/// What the queries of one objective gave at some instants.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    queried: Queried,
    group_by: Vec<Arc<str>>,
    window: Window,
    /// Those besides the objective's own, increasing.
    windows: Vec<Duration>,
    /// For how long a new process looks back for conditions that are met.
    held: Duration,
    /// By window, the own one last where its length is fixed; each with a query or two.
    prepared: Vec<Vec<Prepared>>,
    /// Increasing.
    instants: Vec<Timestamp>,
    groups: BTreeMap<Labels, OfGroup>,
    has_looked_back: bool,
    /// Groups refused because there were too many.
    refused: u64,
    adjusted: Adjusted,
}

/// Answers, each of one group over one window, that could not be taken as they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adjusted {
    /// A share above 1, or more of some events than of all; taken as 1.
    pub above: u64,
    /// A share or a count below 0; taken as 0.
    pub below: u64,
    /// Not a number; taken as no events.
    pub not_a_number: u64,
}

impl Adjusted {
    /// With the reasons as labels.
    pub fn by_reason(self) -> [(&'static str, u64); 3] {
        [("above_one", self.above), ("below_zero", self.below), ("not_a_number", self.not_a_number)]
    }

    fn note(&mut self, part: f64, total: f64) {
        self.not_a_number += u64::from(part.is_nan() || total.is_nan());
        self.below += u64::from(part < 0.0 || total < 0.0);
        self.above += u64::from(part > total && part > 0.0);
    }
}

/// What is known of one group.
#[derive(Clone, Debug)]
struct OfGroup {
    /// By instant, then by window, the own one last: `None` where it was not measured.
    counts: Vec<Option<Counts>>,
    /// By instant: the last one up to it at which the shortest window was measured.
    measured: Vec<Option<Timestamp>>,
    /// The same before the first instant.
    measured_before: Option<Timestamp>,
    /// The first instant at which any window was measured.
    first: Option<Timestamp>,
    /// The last one, or when the group was told.
    last: Timestamp,
}

impl OfGroup {
    fn measured_by_now(&self) -> Option<Timestamp> {
        self.measured.last().copied().unwrap_or(self.measured_before)
    }
}

impl Answers {
    /// Nothing asked yet; `None` where the indicator is no query.
    pub(super) fn of(slo: &Slo) -> Option<Self> {
        let Indicator::Queried(queried) = &slo.indicator else { return None };
        let mut answers = Answers {
            queried: queried.clone(),
            group_by: slo.group_by.clone(),
            window: slo.window.clone(),
            windows: figures::windows(slo),
            held: slo.policy.tiers.iter().map(|tier| tier.hold).max().unwrap_or_default(),
            prepared: Vec::new(),
            instants: Vec::new(),
            groups: BTreeMap::new(),
            has_looked_back: false,
            refused: 0,
            adjusted: Adjusted::default(),
        };
        if slo.group_by.is_empty() {
            answers.know(&Labels::empty(), Timestamp::MAX);
        }
        Some(answers)
    }

    /// Takes over what was known of groups before a reload.
    pub(super) fn adopt(&mut self, old: Answers) {
        self.adjusted = old.adjusted;
        for (group, old) in old.groups {
            let measured_before = old.measured_by_now();
            self.groups.insert(group, OfGroup { counts: Vec::new(), measured: Vec::new(), measured_before, ..old });
        }
    }

    /// Remembers a group of which nothing has been measured yet, from `at` on.
    pub(super) fn know(&mut self, group: &Labels, at: Timestamp) {
        let (counts, measured) =
            (vec![None; self.instants.len() * (self.windows.len() + 1)], vec![None; self.instants.len()]);
        let new = || OfGroup { counts, measured, measured_before: None, first: None, last: at };
        self.groups.entry(group.clone()).or_insert_with(new);
    }

    /// Whether nothing has been asked yet.
    pub(super) fn is_new(&self) -> bool {
        self.instants.is_empty()
    }

    /// Asks at `slot`, and lets earlier answers go. The first time it asks as far back as tiers hold. After an error nothing has changed.
    pub(super) fn look(
        &mut self,
        slot: Timestamp,
        interval: Duration,
        context: &EvalContext<'_>,
    ) -> Result<(), String> {
        let now = self.evaluate(slot, context)?;
        let mut found = Vec::new();
        if !self.has_looked_back && !self.held.is_zero() {
            let step = interval.max(self.held / HELD_ASKS_MAX).max(Duration::from_millis(1));
            let steps = u32::try_from(self.held.as_nanos().div_ceil(step.as_nanos())).unwrap_or(HELD_ASKS_MAX);
            for at in (1..=steps).rev().map(|back| slot - step * back) {
                // Where a query failed then, nobody knows, as at a slot at which it fails.
                found.extend(self.evaluate(at, context).ok().map(|answer| (at, answer)));
            }
        }
        found.push((slot, now));
        self.has_looked_back = true;
        self.instants.clear();
        let forgotten = slot - self.window.longest();
        self.groups.retain(|_, known| known.last >= forgotten);
        for known in self.groups.values_mut() {
            known.measured_before = known.measured_by_now();
            known.counts.clear();
            known.measured.clear();
        }
        found.into_iter().for_each(|(at, found)| self.note(at, found));
        Ok(())
    }

    /// Asks at `at`, an instant later than those before, and keeps the earlier answers.
    pub(super) fn ask(&mut self, at: Timestamp, context: &EvalContext<'_>) -> Result<(), String> {
        let found = self.evaluate(at, context)?;
        self.note(at, found);
        Ok(())
    }

    /// What each window counts, by group.
    fn evaluate(&mut self, at: Timestamp, context: &EvalContext<'_>) -> Result<Vec<BTreeMap<Labels, Counts>>, String> {
        if self.prepared.is_empty() {
            let own = match &self.window {
                Window::Rolling(length) => Some(*length),
                Window::Calendar(_) => None,
            };
            let fixed = self.windows.iter().copied().chain(own);
            self.prepared = fixed.map(|window| prepare(&self.queried, window)).collect::<Result<_, String>>()?;
        }
        let mut found = Vec::with_capacity(self.windows.len() + 1);
        for index in 0..=self.windows.len() {
            let own = at.since(self.window.start(at));
            let length = self.windows.get(index).copied().unwrap_or(own);
            let mut of_now;
            let prepared = match self.prepared.get_mut(index) {
                Some(prepared) => prepared,
                None => {
                    of_now = prepare(&self.queried, length)?;
                    &mut of_now
                }
            };
            let mut counts = counts((&self.queried, &self.group_by), prepared, at, context, &mut self.adjusted)
                .map_err(|error| format!("over {}: {error}", format_duration(length)))?;
            if self.queried.queries().iter().any(|(_, query)| query.slice.is_some_and(|slice| length < slice)) {
                counts.values_mut().for_each(|counts| *counts = Counts::default()); // no slice fits in
            }
            found.push(counts);
        }
        Ok(found)
    }

    fn note(&mut self, at: Timestamp, found: Vec<BTreeMap<Labels, Counts>>) {
        for group in found.iter().flat_map(BTreeMap::keys) {
            if self.groups.len() < GROUPS_MAX {
                self.know(group, at);
            } else if !self.groups.contains_key(group) {
                self.refused += 1;
            }
        }
        self.instants.push(at);
        for (group, known) in &mut self.groups {
            let before = known.measured_by_now();
            known.counts.extend(found.iter().map(|of_window| of_window.get(group).copied()));
            let is_measured = found.first().is_some_and(|shortest| shortest.contains_key(group));
            known.measured.push(if is_measured { Some(at) } else { before });
            if found.iter().any(|of_window| of_window.contains_key(group)) {
                known.first = known.first.or(Some(at));
                known.last = known.last.max(at);
            }
        }
    }

    /// The groups, in order. Without `group_by` there is always one, with no labels.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Labels> {
        self.groups.keys()
    }

    /// Whether `group` is among [`Answers::groups`].
    pub(super) fn is_known(&self, group: &Labels) -> bool {
        self.groups.contains_key(group)
    }

    /// Whether any window of `group` was measured by `at`.
    pub(super) fn is_measured(&self, group: &Labels, at: Timestamp) -> bool {
        self.groups.get(group).and_then(|known| known.first).is_some_and(|first| first <= at)
    }

    /// The last instant up to `at` at which the shortest window of `group` was measured.
    pub(super) fn last_measured(&self, group: &Labels, at: Timestamp) -> Option<Timestamp> {
        let known = self.groups.get(group)?;
        match self.instants.partition_point(|instant| *instant <= at) {
            0 => known.measured_before,
            count => known.measured.get(count - 1).copied().flatten(),
        }
    }

    /// What counts of `group` in `(start, end]`; `None` where that was not measured, and for windows that were not asked.
    pub(super) fn counts(&self, group: &Labels, start: Timestamp, end: Timestamp) -> Option<Counts> {
        let instant = self.instants.binary_search(&end).ok()?;
        let length = end.since(start);
        let window = match self.windows.binary_search(&length) {
            Ok(index) => index,
            Err(_) => (self.window.start(end) == start).then_some(self.windows.len())?,
        };
        *self.groups.get(group)?.counts.get(instant * (self.windows.len() + 1) + window)?
    }

    /// The instants that were asked at.
    pub(super) fn instants(&self) -> &[Timestamp] {
        &self.instants
    }

    /// How many answers could not be taken as they were.
    pub(super) fn adjusted(&self) -> Adjusted {
        self.adjusted
    }

    /// How many groups were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

fn prepare(queried: &Queried, window: Duration) -> Result<Vec<Prepared>, String> {
    let prepare = |(_, query): (_, &Query)| Ok(Prepared { expr: query.expr(window)?, plan: RulePlan::default() });
    queried.queries().into_iter().map(prepare).collect()
}

/// What one window counts, by group.
fn counts(
    (queried, group_by): (&Queried, &[Arc<str>]),
    prepared: &mut [Prepared],
    at: Timestamp,
    context: &EvalContext<'_>,
    adjusted: &mut Adjusted,
) -> Result<BTreeMap<Labels, Counts>, String> {
    let overlay = Overlay::default();
    let source = Source { context, overlay: &overlay };
    let mut elements = prepared.iter_mut().map(|Prepared { expr, plan }| plan.elements(expr, at, source));
    let mut next = || elements.next().unwrap_or_else(|| Ok(Vec::new()));
    Ok(match queried {
        Queried::Ratio(_) => {
            let shares = alone(group_by, next()?)?;
            shares.values().for_each(|share| adjusted.note(*share, 1.0));
            shares.into_iter().map(|(group, share)| (group, of_share(share))).collect()
        }
        Queried::Events { part_is, .. } => {
            let (part, total) = (added_up(group_by, next()?)?, added_up(group_by, next()?)?);
            let mut of = |(group, total): (Labels, f64)| {
                let part = part.get(&group).copied().unwrap_or(0.0);
                adjusted.note(part, total);
                let counts =
                    if part.is_nan() || total.is_nan() { Counts::default() } else { Counts::of(part, total, *part_is) };
                (group, counts)
            };
            total.into_iter().map(&mut of).collect()
        }
    })
}

/// A share as counts of one event; none where it is no number.
fn of_share(share: f64) -> Counts {
    if share.is_nan() { Counts::default() } else { Counts::of(share, 1.0, PartIs::Bad) }
}

/// The elements by group, added up.
fn added_up(group_by: &[Arc<str>], elements: Vec<(Labels, Value)>) -> Result<ByGroup, String> {
    let mut groups = ByGroup::new();
    for (labels, value) in elements {
        let value = number(&labels, value)?;
        if value.is_infinite() {
            return Err(format!("{labels} has infinitely many events"));
        }
        *groups.entry(group_of(group_by, &labels)).or_default() += value;
    }
    Ok(groups)
}

/// The elements by group, of which each has one.
fn alone(group_by: &[Arc<str>], elements: Vec<(Labels, Value)>) -> Result<ByGroup, String> {
    let mut groups: BTreeMap<Labels, (Labels, f64)> = BTreeMap::new();
    for (labels, value) in elements {
        let value = number(&labels, value)?;
        let group = group_of(group_by, &labels);
        if let Some((first, _)) = groups.get(&group) {
            return Err(format!(
                "two ratios for the group {group}: {first} and {labels}; aggregate them in the query, or add what tells them apart to group_by"
            ));
        }
        groups.insert(group, (labels, value));
    }
    Ok(groups.into_iter().map(|(group, (_, value))| (group, value)).collect())
}

fn group_of(group_by: &[Arc<str>], labels: &Labels) -> Labels {
    labels.filtered(|label| group_by.contains(&label.name))
}

fn number(labels: &Labels, value: Value) -> Result<f64, String> {
    value.as_float().ok_or_else(|| format!("{labels} is a native histogram and no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_put_in_wherever_it_stands() {
        let query = Query::new("a[$window] offset {{.window}} + b[{{ .window }}] + $windows + {{ .other }}");
        let expected = "a[1h30m] offset 1h30m + b[1h30m] + $windows + {{ .other }}";
        assert_eq!(query.over(Duration::from_secs(5_400)), expected);
        assert_eq!(places("$"), []);
        assert_eq!(places("é{{é$window"), [(6, 7)]);
    }
}
