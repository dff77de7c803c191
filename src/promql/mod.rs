//! The query language: text to tree, tree to value.
//!
//! In the flow: rules, SLO imports and the HTTP API hand in text; samples come through [`Querier`].
//! **No clock.** Evaluation takes its instant; the same call gives the same answer in daemon, unit test and backtest.

pub mod ast;
mod check;
mod comments;
pub mod dialect;
mod duration;
mod error;
pub mod eval;
pub mod explain;
pub mod functions;
mod hint;
mod lexer;
mod literal;
mod parser;
pub mod plan;
mod pretty;
mod printer;
mod querier;
pub mod reach;
mod same;
mod token;

use crate::model::Matcher;

pub use ast::Expr;
pub use dialect::Dialect;
pub use duration::{DurationExpr, DurationExprError, Durations, WrittenDuration};
pub use error::ParseError;
pub use parser::{DEPTH_MAX, Features, TEXT_LEN_MAX};
pub use querier::{Querier, QuerierError};

/// Reads and type-checks an expression of the stable language. An error list is never empty; its first entry is what
/// Prometheus reports.
///
/// ```
/// let expr = almenara::promql::parse("sum(rate(http_requests_total[5m]))by(job)").unwrap();
/// assert_eq!(expr.to_string(), "sum by (job) (rate(http_requests_total[5m]))");
///
/// let errors = almenara::promql::parse("rate(http_requests_total)").unwrap_err();
/// let text = "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector";
/// assert_eq!(errors[0].to_string(), text);
/// assert_eq!(errors[0].help.as_deref(), Some("write `rate(http_requests_total[5m])`"));
/// ```
pub fn parse(text: &str) -> Result<Expr, Vec<ParseError>> {
    parse_with(text, Features::STABLE)
}

/// As [`parse`], with parts of the language that are still experimental.
pub fn parse_with(text: &str, features: Features) -> Result<Expr, Vec<ParseError>> {
    let mut expr = parser::Parser::new(text, features).expression()?;
    let errors = check::check(text, &mut expr);
    if errors.is_empty() { Ok(expr) } else { Err(errors) }
}

/// Reads a series selector as `match[]` of the HTTP API takes it: `up{job="node"}`. That it matches everything is no error here.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, Vec<ParseError>> {
    parser::Parser::new(text, Features::STABLE).metric_selector()
}
