//! What scripts cannot say: limits, interruption, how the querier is asked, positions.

mod angles;

use std::sync::Mutex;

use super::*;
use crate::model::{Matcher, Sample};
use crate::promql::{QuerierError, parse};

/// One series `up` with the value of its second every 10 s; notes the ranges that are asked for.
#[derive(Default)]
struct Counting {
    asked: Mutex<Vec<(i64, i64)>>,
}

impl Querier for Counting {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QuerierError> {
        self.asked.lock().unwrap().push((start.as_ms(), end.as_ms()));
        let labels = Labels::from_pairs([("__name__", "up")]);
        if !matchers.iter().all(|matcher| matcher.matches_labels(&labels)) {
            return Err(QuerierError("no such store".to_owned()));
        }
        let times = (0..100).map(|index| Timestamp::from_ms(index * 10_000)).filter(|at| (start..=end).contains(at));
        Ok(vec![Series::new(labels, times.map(|at| Sample::float(at, at.as_secs_f64())).collect())])
    }
}

fn range(text: &str, options: &QueryOptions<'_>) -> (Result<QueryResult, EvalError>, Vec<(i64, i64)>) {
    let querier = Counting::default();
    let (start, end) = (Timestamp::from_ms(300_000), Timestamp::from_ms(900_000));
    let result = eval_range(&parse(text).unwrap(), start, end, Duration::from_secs(60), &querier, options);
    (result, querier.asked.into_inner().unwrap())
}

#[test]
fn each_selector_is_asked_once() {
    let check = |text: &str, expected: &[(i64, i64)]| {
        let (result, asked) = range(text, &QueryOptions::default());
        assert_eq!((result.is_ok(), asked.as_slice()), (true, expected), "{text}");
    };
    check("up", &[(1, 900_000)]);
    check("up + up offset 1m", &[(1, 900_000), (-59_999, 840_000)]);
    check("sum_over_time(up[2m])", &[(180_001, 900_000)]);
    check("max_over_time(sum_over_time(up[1m])[5m:1m])", &[(1, 900_000)]);
    check("up @ 100", &[(-199_999, 100_000)]);
    check("sum_over_time(up[1m] @ end())", &[(840_001, 900_000)]);
}

#[test]
fn limits_end_a_query() {
    let few = QueryOptions { max_samples: 10, ..QueryOptions::default() };
    assert_eq!(range("up", &few).0, Err(EvalError::TooManySamples));
    assert_eq!(range("sum_over_time(up[5m])", &few).0, Err(EvalError::TooManySamples));
    assert!(range("1", &QueryOptions { max_samples: 100, ..few }).0.is_ok());
    for (interrupt, error) in [(Interrupt::Canceled, EvalError::Canceled), (Interrupt::Timeout, EvalError::Timeout)] {
        let stop = || Some(interrupt);
        let options = QueryOptions { interrupt: Some(&stop), ..QueryOptions::default() };
        assert_eq!(range("up", &options).0, Err(error));
    }
}

#[test]
fn errors_say_what_upstream_says() {
    let check = |text: &str, expected: &str| {
        assert_eq!(range(text, &QueryOptions::default()).0.unwrap_err().to_string(), expected);
    };
    check("down", "expanding series: no such store");
    check("up[5m]", "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector");
    check("\"a\"", "invalid expression type \"string\" for range query, must be Scalar or instant Vector");
    check("topk(1e30, up)", "Scalar value 1e+30 overflows int64");
    check("label_join(up, \"\", \"-\")", "invalid destination label name in label_join(): ");
}

#[test]
fn warnings_know_their_place() {
    let text = "1 +\n  sum(quantile(2,\n up))";
    let with_text = range(text, &QueryOptions { text, ..QueryOptions::default() }).0.unwrap();
    assert_eq!(with_text.warnings, ["PromQL warning: quantile value should be between 0 and 1, got 2 (2:16)"]);
    let without = range(text, &QueryOptions::default()).0.unwrap();
    assert_eq!(without.warnings, ["PromQL warning: quantile value should be between 0 and 1, got 2"]);
}

#[test]
fn an_instant_answer_has_its_type() {
    let at = Timestamp::from_ms(300_000);
    let value = |text: &str| {
        eval_instant(&parse(text).unwrap(), at, &Counting::default(), &QueryOptions::default()).unwrap().value
    };
    assert_eq!(value("1 + 1"), QueryValue::Scalar { at, value: 2.0 });
    assert_eq!(value("(\"x\")"), QueryValue::String { at, value: "x".into() });
    let element = VectorElement { labels: Labels::from_pairs([("__name__", "up")]), at, value: Value::Float(300.0) };
    assert_eq!(value("up"), QueryValue::Vector(vec![element]));
    let QueryValue::Matrix(series) = value("up[25s]") else { panic!("not a matrix") };
    assert_eq!(series[0].samples.iter().map(|sample| sample.at.as_ms() / 1000).collect::<Vec<_>>(), [280, 290, 300]);
}
