//! Evaluation: walks a tree node by node, each over all steps of its grid, and gives Prometheus's answer.
//!
//! In the flow: rules, API, unit tests and backtests call [`eval_instant`] or [`eval_range`] with a parsed and checked
//! [`Expr`] and a [`Querier`]. This evaluator is the plain one: it reads samples and does what the definition says; what is
//! faster must agree with it.
//!
//! **Invariants.** No clock: the instant is a value passed in. Each selector asks the querier once per query (a selector
//! inside a subquery too, since a subquery is evaluated on one grid for all outer steps). The order of results is defined:
//! matrices by label set, instant vectors in the order in which their first operand gave them.
//! **Units.** Milliseconds inside, seconds where PromQL says so.
//! **Cost.** Linear in samples times windows that hold them; a window function looks at each sample of each window.
//! **Source.** Prometheus 3.14 `promql/engine.go`, `functions.go`, `quantile.go`.
//!
//! **Differs:** where upstream's order is that of a Go map (`count_values`, `histogram_quantile`), ours is that of the input.
//! **Differs:** the range of a query that needs forced monotonicity at several steps counts each sample once.

pub(super) mod absent;
pub(super) mod aggregate;
mod annotations;
pub(super) mod binary;
mod bounds;
pub(super) mod buckets;
pub(super) mod calendar;
mod call;
pub(super) mod elementary;
mod error;
pub(super) mod evaluator;
mod extended;
pub(super) mod grid;
pub(super) mod histogram_functions;
mod hyperbolic;
mod info;
pub(super) mod label_functions;
pub(super) mod matching;
pub(super) mod math;
pub(super) mod matrix;
pub(crate) mod native;
mod native_layout;
mod native_quantile;
mod native_sum;
mod native_text;
mod native_trim;
pub(super) mod number;
pub(super) mod over_time;
mod query_stats;
pub(super) mod rate;
pub(super) mod regression;
pub(super) mod sampling;
pub(super) mod selector;
mod smoothed;
pub(super) mod sorting;
pub(super) mod statistics;
pub(super) mod step_invariant;
mod topk;
mod trigonometric;
pub(super) mod window;

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Series, Timestamp, Value};

use super::Querier;
use super::ast::{Expr, ExprKind, ValueType};

pub use error::EvalError;
pub use native_layout::{Bucket, all_buckets};
pub(crate) use native_text::histogram_text;
pub use number::{almost_equal, format_go_float};
pub use query_stats::QueryStats;

use evaluator::{Evaluator, QueryRange};
use grid::Grid;
use matrix::Row;

/// Upstream's default of `--query.max-samples`: what one query may hold in memory at a time.
pub const MAX_SAMPLES_DEFAULT: usize = 50_000_000;

/// Why a running query must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Nobody waits for the answer any more.
    Canceled,
    /// It ran longer than it may.
    Timeout,
}

/// What an evaluation needs to know besides the tree and the samples.
#[derive(Clone, Copy)]
pub struct QueryOptions<'a> {
    /// How far back an instant selector looks (`--query.lookback-delta`).
    pub lookback_delta: Duration,
    /// The step of subqueries that name none (`global.evaluation_interval`).
    pub default_subquery_step: Duration,
    /// The most samples in memory at a time (`--query.max-samples`).
    pub max_samples: usize,
    /// Whether metric names are dropped at the end of the query instead of at each operation
    /// (`--enable-feature=promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Whether functions of counters and `start_timestamp()` heed start times (`--enable-feature=use-start-timestamps`).
    pub use_start_timestamps: bool,
    /// The text of the query, for the positions in warnings; empty gives warnings without position.
    pub text: &'a str,
    /// Asked now and then; an answer ends the query.
    pub interrupt: Option<&'a dyn Fn() -> Option<Interrupt>>,
}

impl Default for QueryOptions<'_> {
    fn default() -> Self {
        QueryOptions {
            lookback_delta: Duration::from_secs(5 * 60),
            default_subquery_step: Duration::from_secs(60),
            max_samples: MAX_SAMPLES_DEFAULT,
            delayed_name_removal: false,
            use_start_timestamps: false,
            text: "",
            interrupt: None,
        }
    }
}

/// An answer and what there is to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// The answer.
    pub value: QueryValue,
    /// `PromQL warning: … (1:6)`, each text once, in the order in which they arose.
    pub warnings: Vec<String>,
    /// `PromQL info: … (1:6)`, likewise.
    pub infos: Vec<String>,
    /// What it read and held.
    pub stats: QueryStats,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    /// A number.
    Scalar {
        /// The instant of evaluation.
        at: Timestamp,
        /// The number.
        value: f64,
    },
    /// A text.
    String {
        /// The instant of evaluation.
        at: Timestamp,
        /// The text.
        value: Arc<str>,
    },
    /// Elements at one instant.
    Vector(Vec<VectorElement>),
    /// Series over a range, by label set.
    Matrix(Vec<Series>),
}

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorElement {
    /// What identifies it.
    pub labels: Labels,
    /// The instant of evaluation.
    pub at: Timestamp,
    /// Its value.
    pub value: Value,
}

/// Evaluates `expr` at one instant.
pub fn eval_instant(
    expr: &Expr,
    at: Timestamp,
    querier: &dyn Querier,
    options: &QueryOptions<'_>,
) -> Result<QueryResult, EvalError> {
    let value_type = expr.value_type();
    if let ExprKind::String(text) = &expr.unparenthesised().kind {
        let value = QueryValue::String { at, value: text.clone() };
        let stats = QueryStats::of_steps([at].into_iter());
        return Ok(QueryResult { value, warnings: Vec::new(), infos: Vec::new(), stats });
    }
    if let ExprKind::Bytes(bytes) = &expr.unparenthesised().kind {
        // As the API shows it, whose JSON holds nothing but UTF-8.
        let shown =
            |chunk: std::str::Utf8Chunk<'_>| chunk.valid().to_owned() + &"\u{fffd}".repeat(chunk.invalid().len());
        let value = bytes.utf8_chunks().map(shown).collect::<String>().into();
        let stats = QueryStats::of_steps([at].into_iter());
        return Ok(QueryResult {
            value: QueryValue::String { at, value },
            warnings: Vec::new(),
            infos: Vec::new(),
            stats,
        });
    }
    let expr = expr.for_query(0, 0)?;
    let mut evaluator = Evaluator::new(querier, options, QueryRange { start: at, end: at, step_ms: 0 });
    let rows = evaluator.eval_query(&expr, Grid::instant(at))?;
    let stats = std::mem::take(&mut evaluator.stats);
    let value = match value_type {
        ValueType::Scalar => {
            let sample = rows.first().and_then(|row| row.samples.first());
            let value = sample.and_then(|sample| sample.value.as_float()).expect("BUG: a scalar without a number");
            QueryValue::Scalar { at, value }
        }
        ValueType::Matrix => QueryValue::Matrix(sorted_series(rows)),
        ValueType::Vector | ValueType::String => {
            QueryValue::Vector(rows.into_iter().map(|row| element(row, at)).collect())
        }
    };
    let (warnings, infos) = evaluator.into_annotations().into_texts(options.text);
    Ok(QueryResult { value, warnings, infos, stats })
}

/// Evaluates `expr` at `start`, `start + step`, … up to `end`; the value is a matrix. A step of zero counts as 1 ms.
#[allow(clippy::too_many_arguments)] // the API's own parameters of a range query
pub fn eval_range(
    expr: &Expr,
    start: Timestamp,
    end: Timestamp,
    step: Duration,
    querier: &dyn Querier,
    options: &QueryOptions<'_>,
) -> Result<QueryResult, EvalError> {
    let value_type = expr.value_type();
    if matches!(value_type, ValueType::Matrix | ValueType::String) {
        return Err(EvalError::NotRangeable(value_type));
    }
    let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
    let expr = expr.for_query(step_ms, end.ms_since(start))?;
    let mut evaluator = Evaluator::new(querier, options, QueryRange { start, end, step_ms });
    let rows = evaluator.eval_query(&expr, Grid::range(start, end, step_ms))?;
    let stats = std::mem::take(&mut evaluator.stats);
    let value = QueryValue::Matrix(sorted_series(rows));
    let (warnings, infos) = evaluator.into_annotations().into_texts(options.text);
    Ok(QueryResult { value, warnings, infos, stats })
}

/// What the plain evaluator gives of a part of an expression.
pub(super) struct PlainRows {
    pub(super) rows: Vec<Row>,
    /// Whether there is anything to say about them.
    pub(super) is_noted: bool,
    /// The most samples held at a time.
    pub(super) peak_samples: usize,
}

/// The rows of `expr` on a grid of its own inside `query`, for plans that do not know a part of their expression.
pub(super) fn rows_inside(
    expr: &Expr,
    grid: Grid,
    query: QueryRange,
    querier: &dyn Querier,
    options: &QueryOptions<'_>,
) -> Result<PlainRows, EvalError> {
    let mut evaluator = Evaluator::new(querier, options, query);
    let rows = evaluator.eval(expr, grid)?;
    let peak_samples = evaluator.stats.peak_samples;
    let (warnings, infos) = evaluator.into_annotations().into_texts("");
    Ok(PlainRows { rows, is_noted: !warnings.is_empty() || !infos.is_empty(), peak_samples })
}

fn element(row: Row, at: Timestamp) -> VectorElement {
    let sample = row.samples.into_iter().next().expect("BUG: a row without a sample");
    VectorElement { labels: row.labels, at, value: sample.value }
}

fn sorted_series(mut rows: Vec<Row>) -> Vec<Series> {
    rows.sort_by(|a, b| a.labels.cmp(&b.labels));
    rows.into_iter().map(|row| Series::new(row.labels, row.samples)).collect()
}

#[cfg(test)]
mod tests;
