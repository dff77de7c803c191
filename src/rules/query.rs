//! Expressions of rules and of their templates, evaluated.

use crate::model::{Labels, Timestamp, Value};
use crate::promql::eval::{QueryOptions, QueryValue, eval_instant};
use crate::promql::{self, Expr, Querier};

use super::Environment;

/// The elements of an expression's value: a vector's, or a number as one element without labels.
pub(super) fn elements(
    expr: &Expr,
    at: Timestamp,
    querier: &dyn Querier,
    environment: &Environment,
) -> Result<Vec<(Labels, Value)>, String> {
    let options = environment.dialect.applied(QueryOptions {
        lookback_delta: environment.lookback_delta,
        default_subquery_step: environment.default_subquery_step,
        ..QueryOptions::default()
    });
    let result = eval_instant(expr, at, querier, &options).map_err(|error| error.to_string())?;
    match result.value {
        QueryValue::Vector(elements) => {
            Ok(elements.into_iter().map(|element| (element.labels, element.value)).collect())
        }
        QueryValue::Scalar { value, .. } => Ok(vec![(Labels::empty(), Value::Float(value))]),
        QueryValue::String { .. } | QueryValue::Matrix(_) => Err("rule result is not a vector or scalar".to_owned()),
    }
}

/// As [`elements`], for the text that a template hands to `query`.
pub(super) fn elements_of_text(
    text: &str,
    at: Timestamp,
    querier: &dyn Querier,
    environment: &Environment,
) -> Result<Vec<(Labels, Value)>, String> {
    let expr = promql::parse_with(text, environment.dialect.features).map_err(|errors| errors[0].to_string())?;
    elements(&expr, at, querier, environment)
}
