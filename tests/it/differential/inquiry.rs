//! Where a difference begins: a query whose answers differ is taken apart, and both servers are asked for its parts, down to those whose
//! own parts have equal answers. A rule must account for each of these by what was answered; what lies above follows from them.

use std::collections::BTreeSet;

use almenara::model::Timestamp;
use almenara::promql::ast::{AtModifier, Expr, ExprKind, ValueType};
use almenara::promql::functions::FunctionId;
use almenara::promql::{Features, parse_with};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer::{Answer, Read};
use super::rules;
use super::server::Connection;

/// When an expression is evaluated, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Times {
    At(i64),
    Steps { start: i64, end: i64, step: i64 },
}

/// The step of a subquery that has none of its own: the evaluation interval of both servers.
const DEFAULT_STEP_MS: i64 = 60_000;

impl Times {
    fn bounds(self) -> (i64, i64) {
        match self {
            Times::At(at) => (at, at),
            Times::Steps { start, end, .. } => (start, end),
        }
    }

    pub(super) fn path(self, query: &str) -> String {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        match self {
            Times::At(at) => format!("/api/v1/query?query={query}&time={}", secs(at)),
            Times::Steps { start, end, step } => {
                let [start, end, step] = [start, end, step].map(secs);
                format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}")
            }
        }
    }
}

/// They have more than one answer to the same question.
const VARIES: &str = "an answer that 3.5 too gives when it is asked again";
/// How often a question is asked anew.
const ATTEMPTS: usize = 10;
/// 3.5 answers `quantile(scalar(x @ start()), y)` over steps with other parameters from the second step on.
const PINNED: &str = "3.5 answers otherwise where start() and end() are written as the times they stand for, we do not";

/// Milliseconds as seconds.
fn secs(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// What both answer.
pub(super) struct Both {
    pub(super) theirs: Answer,
    pub(super) ours: Answer,
}

/// What both say to the same, read.
pub(super) struct Pair {
    pub(super) theirs: Read,
    pub(super) ours: Read,
}

impl Pair {
    pub(super) fn of(both: &Both) -> Option<Pair> {
        Some(Pair { theirs: Read::of(&both.theirs)?, ours: Read::of(&both.ours)? })
    }
}

/// A part of a query, whose own parts get equal answers.
pub(super) struct Node<'n> {
    pub(super) expr: &'n Expr,
    /// As it was asked for.
    pub(super) text: &'n str,
    pub(super) times: Times,
    pub(super) pair: &'n Pair,
    /// Its parts in order, ranges of series left out.
    pub(super) parts: &'n [Part<'n>],
}

pub(super) struct Part<'n> {
    pub(super) expr: &'n Expr,
    pub(super) both: Both,
    pub(super) read: Read,
}

/// What accounts for a difference.
pub(super) type Rules = BTreeSet<&'static str>;

/// Asks both.
pub(super) struct Inquiry<'c> {
    pub(super) their: &'c mut Connection,
    pub(super) our: &'c mut Connection,
    /// The last part that nothing accounted for, and its answers.
    pub(super) blamed: String,
}

impl Inquiry<'_> {
    /// The rules that account for the answers of `query`; `None` where something remains.
    pub(super) fn account(&mut self, query: &str, times: Times, both: &Both) -> Option<Rules> {
        if let Some(rule) = rules::of_refusals(query, &Pair::of(both)?) {
            return Some(Rules::from([rule]));
        }
        let features = Features { experimental_functions: true, ..Features::DEFAULT };
        let mut expr = parse_with(query, features).ok()?;
        let (start, end) = times.bounds();
        pin(&mut expr, start, end);
        // Where the order of a map decides, a part may by chance get the answer that its whole did not.
        for _ in 0..ATTEMPTS {
            let Some(rules) = self.explain(&expr, times, None) else { continue };
            if !rules.is_empty() {
                return Some(rules);
            }
            if Read::of(&self.their.get(&times.path(query))) == Read::of(&both.ours) {
                return Some(Rules::from([VARIES]));
            }
        }
        let (ours, pinned) = (Read::of(&both.ours)?, Pair::of(&self.ask(&expr.to_string(), times))?);
        (ours.has_data_of(&pinned.ours) && ours.has_data_of(&pinned.theirs)).then(|| Rules::from([PINNED]))
    }

    pub(super) fn ask(&mut self, query: &str, times: Times) -> Both {
        let path = times.path(query);
        Both { theirs: self.their.get(&path), ours: self.our.get(&path) }
    }

    /// The rules that account for the difference at `expr`, none where there is no difference.
    fn explain(&mut self, expr: &Expr, times: Times, asked: Option<&Both>) -> Option<Rules> {
        let expr = expr.unparenthesised();
        let text = expr.to_string();
        let fresh;
        let both = match asked {
            Some(both) => both,
            None => {
                fresh = self.ask(&text, times);
                &fresh
            }
        };
        if both.theirs == both.ours {
            return Some(Rules::new());
        }
        let pair = Pair::of(both)?;
        if pair.theirs == pair.ours {
            let rule = rules::of_order(expr, both);
            if rule.is_none() {
                self.blamed = format!("the order of {text} {times:?}");
            }
            return rule.map(|rule| Rules::from([rule]));
        }
        let (mut found, mut parts) = (Rules::new(), Vec::new());
        for (part, times) in parts_of(expr, times) {
            let both = self.ask(&part.unparenthesised().to_string(), times);
            found.extend(self.explain(part, times, Some(&both))?);
            let read = Read::of(&both.theirs)?;
            parts.push(Part { expr: part, both, read });
        }
        found.remove(rules::ORDER);
        if found.is_empty() {
            let node = Node { expr, text: &text, times, pair: &pair, parts: &parts };
            found = rules::of_node(self, &node).or_else(|| {
                self.blamed =
                    format!("{text} {times:?}\n    Prometheus: {:?}\n    Almenara:   {:?}", both.theirs, both.ours);
                None
            })?;
        }
        Some(found)
    }
}

/// `start()` and `end()` as the times they stand for, since a part is asked for at other times.
fn pin(expr: &mut Expr, start: i64, end: i64) {
    let pinned = |at: &mut Option<AtModifier>| {
        *at = at.map(|at| match at {
            AtModifier::Start => AtModifier::Time(Timestamp::from_ms(start)),
            AtModifier::End => AtModifier::Time(Timestamp::from_ms(end)),
            at => at,
        });
    };
    match &mut expr.kind {
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => pinned(&mut selector.at),
        ExprKind::Subquery(subquery) => {
            pinned(&mut subquery.at);
            pin(&mut subquery.expr, start, end);
        }
        ExprKind::Call(call) => call.args.iter_mut().for_each(|arg| pin(arg, start, end)),
        ExprKind::Aggregate(aggregate) => {
            pin(&mut aggregate.expr, start, end);
            aggregate.param.iter_mut().for_each(|param| pin(param, start, end));
        }
        ExprKind::Binary(binary) => {
            pin(&mut binary.lhs, start, end);
            pin(&mut binary.rhs, start, end);
        }
        ExprKind::Unary { operand: inner, .. } | ExprKind::Paren(inner) => pin(inner, start, end),
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
    }
}

/// The operands of `expr` that can be asked for by themselves, and when each is evaluated.
fn parts_of(expr: &Expr, times: Times) -> Vec<(&Expr, Times)> {
    match &expr.kind {
        ExprKind::Call(call) => {
            // The second argument of `info` selects labels, and nothing is evaluated.
            let count = if call.function.id == FunctionId::Info { 1 } else { call.args.len() };
            call.args[..count].iter().flat_map(|arg| operand(arg, times)).collect()
        }
        ExprKind::Aggregate(aggregate) => {
            let all = aggregate.param.iter().chain([&aggregate.expr]);
            all.flat_map(|part| operand(part, times)).collect()
        }
        ExprKind::Binary(binary) => {
            [&binary.lhs, &binary.rhs].into_iter().flat_map(|part| operand(part, times)).collect()
        }
        ExprKind::Unary { operand: inner, .. } => operand(inner, times),
        ExprKind::Subquery(_) => operand(expr, times),
        _ => Vec::new(),
    }
}

fn operand(expr: &Expr, times: Times) -> Vec<(&Expr, Times)> {
    match (&expr.unparenthesised().kind, expr.value_type()) {
        (ExprKind::Subquery(subquery), _) => {
            let (first, last) = match (subquery.at, times.bounds()) {
                (Some(AtModifier::Time(at)), _) => (at.as_ms(), at.as_ms()),
                (_, bounds) => bounds,
            };
            let step = subquery.step_ms.unwrap_or(DEFAULT_STEP_MS);
            // A window is open to its left.
            let before = first - subquery.offset_ms - subquery.range_ms;
            let (start, end) = (before.div_euclid(step) * step + step, last - subquery.offset_ms);
            if start > end { Vec::new() } else { vec![(&subquery.expr, Times::Steps { start, end, step })] }
        }
        (ExprKind::Number(_) | ExprKind::Duration(_), _) | (_, ValueType::String | ValueType::Matrix) => Vec::new(),
        _ => vec![(expr, times)],
    }
}
