//! Runs scripts of Prometheus's `promqltest` language.
//!
//! In the flow: `almenara test promql` reads the files; [`run`] gets a script's text and says which of its evaluations give what
//! the script expects. Experimental syntax and delayed name removal are on, as in upstream's runner.
//!
//! Each `eval` is one check. An instant evaluation is checked more than once, as upstream does: at its instant, with `@`
//! added to all selectors at five other instants, and as the middle step of a range query. Where a prepared plan has an answer
//! too, it must be the expected one.
//!
//! **Source.** Prometheus 3.14 `promql/promqltest/README.md`.
//! **Differs:** a command that cannot be read fails the evaluations that depend on it instead of ending the script; a
//! position in an expected warning refers to the query as written, with `@` added too.

mod at_everywhere;
mod compare;
mod samples;
mod script;
mod start_line;

use std::time::Duration;

use crate::model::{Sample, Timestamp};
use crate::promql::ast::Expr;
use crate::promql::eval::{QueryOptions, QueryResult, QueryValue, VectorElement, eval_instant, eval_range};
use crate::promql::plan::{Engine, Notes, Question, RangeQuestion};
use crate::promql::{Dialect, Features, parse_with};
use crate::source::SourceFile;

use compare::{check_annotations, check_failure, compare};
use samples::Samples;
use script::{Command, Eval, When};

/// What became of a script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// How many evaluations gave what was expected.
    pub passed: usize,
    /// The others, in order.
    pub failures: Vec<Failure>,
}

/// An evaluation that did not give what was expected, or a command that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// From 1.
    pub line: usize,
    /// The difference.
    pub message: String,
}

/// Runs all commands of a script, each whatever became of those before it.
pub fn run(source: &SourceFile) -> Report {
    let mut report = Report::default();
    let mut samples = Samples::default();
    // Why the evaluations since the last `clear` cannot be trusted, if a load failed.
    let mut broken_load: Option<String> = None;
    for command in script::parse(&source.text) {
        match command {
            Command::Clear => {
                samples.clear();
                broken_load = None;
            }
            Command::Load(load) => load.store(&mut samples),
            Command::Broken { line, message, is_load } => {
                if is_load {
                    broken_load.get_or_insert(format!("the data of line {line} could not be loaded: {message}"));
                } else {
                    report.failures.push(Failure { line, message });
                }
            }
            Command::Eval(eval) => {
                let outcome = match &broken_load {
                    Some(reason) => Err(reason.clone()),
                    None => check(&eval, &samples),
                };
                match outcome {
                    Ok(()) => report.passed += 1,
                    Err(message) => {
                        let message = format!("{}: {message}", eval.query);
                        report.failures.push(Failure { line: eval.line, message });
                    }
                }
            }
        }
    }
    report
}

fn options(text: &str) -> QueryOptions<'_> {
    QueryOptions { delayed_name_removal: true, use_start_timestamps: true, text, ..QueryOptions::default() }
}

fn check(eval: &Eval, samples: &Samples) -> Result<(), String> {
    let expr = match parse_with(&eval.query, Features::ALL) {
        Ok(expr) => expr,
        Err(errors) => return check_failure(eval, &errors[0].to_string()),
    };
    match eval.when {
        When::Range { start, end, step } => {
            let options = options(&eval.query);
            let result = eval_range(&expr, start, end, step, samples, &options);
            check_result(eval, result.map_err(|error| error.to_string()))?;
            let question = RangeQuestion { start, end, step, options: &options, notes: Notes::Ignored };
            check_planned(eval, engine(samples).planned_range(&expr, &question))
        }
        When::Instant(at) => {
            check_instant(eval, &expr, at, samples)?;
            let Some(fixed) = at_everywhere::with_at(&expr, at) else { return Ok(()) };
            for other in at_everywhere::other_instants(at) {
                check_instant(eval, &fixed, other, samples)
                    .map_err(|message| format!("{message} (with @ {} at {})", at.as_secs_f64(), other.as_secs_f64()))?;
            }
            Ok(())
        }
    }
}

/// Checks an instant query, and a range query that has it as its middle step.
fn check_instant(eval: &Eval, expr: &Expr, at: Timestamp, samples: &Samples) -> Result<(), String> {
    let options = options(&eval.query);
    let result = eval_instant(expr, at, samples, &options).map_err(|error| error.to_string());
    let result = check_result(eval, result)?;
    let engine = engine(samples);
    let question = Question { at, overlay: None, options: &options, notes: Notes::Ignored };
    check_planned(eval, engine.planned_instant(&engine.prepare(expr), &question))?;
    let Some(result) = result else { return Ok(()) };
    let is_step_dependent = ["start()", "end()", "range()", "step()"].iter().any(|call| eval.query.contains(call));
    if eval.is_ordered() || eval.is_instant_only() || is_step_dependent {
        return Ok(());
    }
    let minute = Duration::from_secs(60);
    let (start, end) = (at - minute, at + minute);
    let range = eval_range(expr, start, end, minute, samples, &options)
        .map_err(|error| format!("as a range query: {error}"))?;
    let question = RangeQuestion { start, end, step: minute, options: &options, notes: Notes::Ignored };
    let planned = engine.planned_range(expr, &question);
    for (range, how) in [(Some(range), ""), (planned, " by a plan")] {
        let Some(range) = range else { continue };
        compare(eval, &middle_step(range.value, at, matches!(result.value, QueryValue::Scalar { .. })))
            .map_err(|message| format!("as a range query{how}: {message}"))?;
    }
    Ok(())
}

fn engine(samples: &Samples) -> Engine {
    let dialect = Dialect { features: Features::ALL, delayed_name_removal: true, use_start_timestamps: true };
    Engine::of_dialect(samples.store().clone(), &dialect)
}

/// Compares what a plan gives, where it gives anything.
fn check_planned(eval: &Eval, planned: Option<QueryResult>) -> Result<(), String> {
    match planned {
        None => Ok(()),
        Some(_) if eval.is_fail() => Err("a plan has an answer where an error is expected".to_owned()),
        Some(result) => compare(eval, &result.value).map_err(|message| format!("by a plan: {message}")),
    }
}

/// Compares a result, or an error where one is expected; gives the result back unless it was an error.
fn check_result(eval: &Eval, result: Result<QueryResult, String>) -> Result<Option<QueryResult>, String> {
    match result {
        Err(error) => check_failure(eval, &error).map(|()| None),
        Ok(_) if eval.is_fail() => Err("expected an error but got none".to_owned()),
        Ok(result) => {
            check_annotations(eval, &result)?;
            compare(eval, &result.value)?;
            Ok(Some(result))
        }
    }
}

fn middle_step(value: QueryValue, at: Timestamp, is_scalar: bool) -> QueryValue {
    let QueryValue::Matrix(series) = value else { return value };
    let is_middle = |sample: &Sample| sample.at == at;
    let element = |series: crate::model::Series| {
        let sample = series.samples.into_iter().find(is_middle)?;
        Some(VectorElement { labels: series.labels, at, value: sample.value })
    };
    let vector: Vec<VectorElement> = series.into_iter().filter_map(element).collect();
    match vector.first().and_then(|element| element.value.as_float()) {
        Some(value) if is_scalar => QueryValue::Scalar { at, value },
        _ => QueryValue::Vector(vector),
    }
}

#[cfg(test)]
mod tests;
