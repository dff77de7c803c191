//! `info()` (experimental): adds the labels of info metrics, such as `target_info`, to the series of the same target.
//!
//! A target is known by `instance` and `job`. The second argument says which info metrics and which of their labels.
//! **Source.** Prometheus 3.14 `promql/info.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};
use crate::promql::ast::{AtModifier, Expr, ExprKind, VectorSelector};

use super::error::EvalError;
use super::evaluator::Evaluator;
use super::grid::Grid;
use super::matrix::{Collector, Cursor, Element, Row};

/// The info metric where none is named.
const DEFAULT_INFO: &str = "target_info";
/// The labels by which a target is known.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// What the second argument asks for.
struct Wanted {
    /// On the metric's name; never empty.
    names: Vec<Matcher>,
    /// On the labels to add, by label; if there are none, all labels are added.
    data: BTreeMap<Arc<str>, Vec<Matcher>>,
}

impl Wanted {
    fn of(selector: Option<&VectorSelector>) -> Self {
        let (mut names, mut data) = (Vec::new(), BTreeMap::<Arc<str>, Vec<Matcher>>::new());
        for matcher in selector.iter().flat_map(|selector| &selector.matchers) {
            if &*matcher.name == METRIC_NAME {
                names.push(matcher.clone());
            } else {
                data.entry(matcher.name.clone()).or_default().push(matcher.clone());
            }
        }
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, DEFAULT_INFO));
        } else if !names.iter().any(|matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regex)) {
            // What a name is not says too little of what it is.
            names.push(Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info").expect("BUG: a constant regex is bad"));
        }
        Wanted { names, data }
    }

    /// Whether a series without info labels passes all the same.
    fn allows_missing(&self) -> bool {
        self.data.values().flatten().all(Matcher::matches_empty)
    }

    fn adds(&self, label: &str) -> bool {
        label != METRIC_NAME && (self.data.is_empty() || self.data.contains_key(label))
    }
}

/// What identifies the target of a series.
fn target(labels: &Labels) -> Labels {
    labels.filtered(|label| IDENTIFYING.contains(&&*label.name))
}

impl Evaluator<'_> {
    pub(super) fn info(&mut self, args: &[Expr], grid: Grid) -> Result<Vec<Row>, EvalError> {
        let base_arg = args[0].unparenthesised();
        let base = self.eval(base_arg, grid)?;
        let selector = args.get(1).and_then(|arg| match &arg.unparenthesised().kind {
            ExprKind::VectorSelector(selector) => Some(selector),
            _ => None,
        });
        let wanted = Wanted::of(selector);
        // Info metrics themselves stay as they are.
        let is_info = |labels: &Labels| wanted.names.iter().all(|matcher| matcher.matches(labels.metric_name()));
        let ignored: FxHashSet<usize> =
            base.iter().enumerate().filter(|(_, row)| is_info(&row.labels)).map(|(index, _)| index).collect();
        let (at, offset_ms) = first_selector_time(base_arg).unwrap_or((None, 0));
        let others = base.iter().enumerate().filter(|(index, _)| !ignored.contains(index));
        let targets: Vec<&Labels> = others.map(|(_, row)| &row.labels).collect();
        let info = self.info_rows(&targets, &wanted, (at, offset_ms), grid)?;
        let (mut base_cursor, mut info_cursor) = (Cursor::new(&base), Cursor::new(&info));
        // Unlike other functions, this one refuses equal label sets of an instant query under delayed name removal too.
        let mut collector = Collector::new(grid, false);
        for step in grid.steps() {
            self.check_interrupt()?;
            let newest = newest_infos(info_cursor.advance(step))?;
            let mut vector = Vec::new();
            for element in base_cursor.advance(step) {
                if ignored.contains(&element.row) {
                    vector.push(element);
                } else if let Some(labels) = enriched(&element.labels, &newest, &wanted)? {
                    vector.push(Element { labels, ..element });
                }
            }
            self.hold_samples(vector.len())?;
            collector.push(step, vector)?;
        }
        Ok(collector.finish())
    }

    /// The info series of `targets`; each value is the time of its sample.
    fn info_rows(
        &mut self,
        targets: &[&Labels],
        wanted: &Wanted,
        (at, offset_ms): (Option<AtModifier>, i64),
        grid: Grid,
    ) -> Result<Vec<Row>, EvalError> {
        let mut matchers = wanted.names.clone();
        matchers.extend(wanted.data.values().flatten().cloned());
        let mut is_identified = false;
        for name in IDENTIFYING {
            let values: BTreeSet<String> =
                targets.iter().filter_map(|labels| labels.get(name)).map(regex::escape).collect();
            if !values.is_empty() {
                is_identified = true;
                let pattern = values.into_iter().collect::<Vec<_>>().join("|");
                matchers.push(Matcher::new(MatchOp::Regex, name, pattern).expect("BUG: an escaped regex is bad"));
            }
        }
        if !is_identified {
            return Ok(Vec::new());
        }
        let selector = VectorSelector { name: None, matchers, offset_ms, at, extension: None, durations: None };
        self.info_times(&selector, grid)
    }
}

/// The info series by metric name and target; of several the one whose sample is newest.
fn newest_infos(vector: Vec<Element>) -> Result<BTreeMap<String, FxHashMap<Labels, Element>>, EvalError> {
    let mut newest: BTreeMap<String, FxHashMap<Labels, Element>> = BTreeMap::new();
    for element in vector {
        let by_target = newest.entry(element.labels.metric_name().to_owned()).or_default();
        let key = target(&element.labels);
        let secs = |element: &Element| element.float().unwrap_or(f64::NAN);
        match by_target.get(&key) {
            Some(existing) if secs(existing) > secs(&element) => {}
            Some(existing) if secs(existing) == secs(&element) => {
                return Err(EvalError::DuplicateInfo {
                    series: [
                        super::matching::label_list(&existing.labels),
                        super::matching::label_list(&element.labels),
                    ],
                    at_ms: (secs(&element) * 1000.0).round() as i64,
                });
            }
            _ => {
                by_target.insert(key, element);
            }
        }
    }
    Ok(newest)
}

/// The labels with those of the info series added; `None` if the element is to go, since its info labels do not match.
fn enriched(
    labels: &Labels,
    newest: &BTreeMap<String, FxHashMap<Labels, Element>>,
    wanted: &Wanted,
) -> Result<Option<Labels>, EvalError> {
    let key = target(labels);
    let infos: Vec<&Element> = newest.values().filter_map(|by_target| by_target.get(&key)).collect();
    if infos.is_empty() {
        return Ok(wanted.allows_missing().then(|| labels.clone()));
    }
    let mut added = LabelsBuilder::default();
    for info in infos {
        for label in info.labels.iter().filter(|label| wanted.adds(&label.name)) {
            let known = added.get(&label.name);
            if !known.is_empty() && *known != *label.value {
                return Err(EvalError::ConflictingInfoLabel(label.name.to_string()));
            }
            if labels.get(&label.name).is_none() {
                added.set(label.name.clone(), label.value.clone());
            }
        }
    }
    let mut builder = labels.to_builder();
    for (name, value) in added.iter() {
        builder.set(name.clone(), value.clone());
    }
    Ok(Some(builder.build()))
}

/// `@` and offset of the first selector, those of the subqueries around it included up to the first that has `@`.
fn first_selector_time(expr: &Expr) -> Option<(Option<AtModifier>, i64)> {
    match &expr.kind {
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => {
            Some((selector.at, selector.offset_ms))
        }
        ExprKind::Subquery(subquery) => {
            let (at, offset_ms) = first_selector_time(&subquery.expr)?;
            Some(if at.is_some() { (at, offset_ms) } else { (subquery.at, offset_ms + subquery.offset_ms) })
        }
        ExprKind::Call(call) => call.args.iter().find_map(first_selector_time),
        ExprKind::Aggregate(aggregate) => {
            first_selector_time(&aggregate.expr).or_else(|| aggregate.param.as_ref().and_then(first_selector_time))
        }
        ExprKind::Binary(binary) => first_selector_time(&binary.lhs).or_else(|| first_selector_time(&binary.rhs)),
        ExprKind::Unary { operand, .. } => first_selector_time(operand),
        ExprKind::Paren(inner) => first_selector_time(inner),
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => None,
    }
}
