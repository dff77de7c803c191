//! Sharing, windows, counts and classes of small expressions over a small store.

use std::time::Duration;

use super::*;
use crate::model::METRIC_NAME;
use crate::promql::{Features, parse_with};
use crate::store::{Row, Store, StoreOptions};

const AT: Timestamp = Timestamp::from_ms(600_000);

/// Three counters, a sample every 15 s for ten minutes.
fn store() -> Store {
    let store = Store::new(StoreOptions { retention: Duration::from_secs(3600) });
    for (name, job) in [("a_total", "x"), ("a_total", "y"), ("b_total", "x")] {
        let series = store.series_ref(&Labels::from_pairs([(METRIC_NAME, name), ("job", job)]));
        for scrape in 0..=40 {
            store.commit(&[Row::new(series, Timestamp::from_ms(scrape * 15_000), scrape as f64)]);
        }
    }
    store
}

fn explained(texts: &[&str]) -> Explanation {
    let parsed = |text: &&str| ((*text).to_owned(), parse_with(text, Features::ALL).expect(text));
    let expressions: Vec<(String, Expr)> = texts.iter().map(parsed).collect();
    explain(&expressions, AT, &store(), &QueryOptions::default()).expect("an explanation")
}

fn node<'e>(explanation: &'e Explanation, text: &str) -> &'e Node {
    explanation.nodes.iter().find(|node| node.text == text).unwrap_or_else(|| panic!("no node {text}"))
}

#[test]
fn equal_parts_are_one_node() {
    let explanation =
        explained(&["rate(a_total[5m]) / rate(a_total[5m])", "sum by (job) (rate(a_total[5m])) > 0.01", "a_total"]);
    let shared = node(&explanation, "rate(a_total[5m])");
    assert_eq!((shared.uses, shared.elements, shared.operation.as_str()), (3, Some(2), "rate"));
    assert_eq!(node(&explanation, "a_total[5m]").uses, 1);
    let sum = node(&explanation, "sum by (job) (rate(a_total[5m]))");
    assert_eq!((sum.operation.as_str(), sum.uses, sum.elements), ("sum by (job)", 1, Some(2)));
    assert!(explanation.nodes.iter().enumerate().all(|(index, node)| node.inputs.iter().all(|input| *input < index)));
    assert_eq!(explanation.roots[2].samples, 2);
}

#[test]
fn windows_and_samples() {
    let check = |text: &str, selector: &str, (after, until): (i64, i64), (series, samples): (usize, usize)| {
        let explanation = explained(&[text]);
        let reads = node(&explanation, selector).reads.clone().expect("a selector");
        assert_eq!((reads.after.as_ms(), reads.until.as_ms()), (after * 1000, until * 1000), "{text}");
        assert_eq!((reads.series, reads.samples), (series, samples), "{text}");
    };
    check("a_total", "a_total", (300, 600), (2, 40));
    check("rate(a_total[1m])", "a_total[1m]", (540, 600), (2, 8));
    check("rate(a_total[1m] offset 2m)", "a_total[1m] offset 2m", (420, 480), (2, 8));
    check("b_total @ 60", "b_total @ 60.000", (-240, 60), (1, 5));
    check("max_over_time(rate(b_total[1m])[5m:1m])", "b_total[1m]", (240, 600), (1, 24));
    check("nothing", "nothing", (300, 600), (0, 0));
}

#[test]
fn kinds_and_exactness() {
    let check = |text: &str, kind: Kind, exactness: Exactness| {
        let explanation = explained(&[text]);
        let root = &explanation.nodes[explanation.roots[0].node];
        assert_eq!((root.kind, root.exactness), (kind, exactness), "{text}");
    };
    check("increase(a_total[5m])", Kind::Static, Exactness::BitEqual);
    check("avg_over_time(a_total[5m])", Kind::Static, Exactness::Summed);
    check("deriv(a_total[5m])", Kind::Static, Exactness::Bounded);
    check("quantile_over_time(0.5, a_total[5m])", Kind::Static, Exactness::Decoded);
    check("max_over_time(a_total[5m:1m])", Kind::Static, Exactness::Decoded);
    check("rate(a_total[5m] anchored)", Kind::Dynamic, Exactness::BitEqual);
    check("count_values(\"v\", a_total)", Kind::Dynamic, Exactness::BitEqual);
    check("a_total * on (job) group_left () b_total", Kind::Static, Exactness::BitEqual);
    check("a_total * on (job) group_left (zone) b_total", Kind::Candidates, Exactness::BitEqual);
}

#[test]
fn errors_stand_where_they_arise() {
    let explanation = explained(&["sum(b_total * on () a_total)"]);
    assert!(explanation.roots[0].error.is_some());
    let product = explanation.nodes.iter().find(|node| node.operation.starts_with('*')).expect("the product");
    assert!(matches!(product.error, Some(EvalError::DuplicateMatch { .. })));
    assert_eq!(node(&explanation, "a_total").error, None);
}
