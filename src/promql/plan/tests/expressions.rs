//! Random expressions as texts. Not all of them parse: types are right, but for instance `fill` stands where it may not.

use proptest::prelude::*;
use proptest::sample::select;

fn pick(texts: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(texts).prop_map(str::to_owned)
}

fn selector() -> impl Strategy<Value = String> + Clone {
    pick(&[
        "a",
        "a",
        "b",
        "c_total",
        "a{job=\"x\"}",
        "a{job!=\"x\"}",
        "b{i=~\"1|2\"}",
        "{__name__=~\"a|b\"}",
        "{job=\"y\"}",
        "d_bucket",
        "nothing",
    ])
}

fn modifier() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        12 => Just(String::new()),
        1 => pick(&[" offset 30s", " offset -20s", " offset 5m", " @ 1030", " @ start()", " @ end() offset 15s"]),
    ]
}

fn instant() -> impl Strategy<Value = String> + Clone {
    (selector(), modifier()).prop_map(|(selector, modifier)| selector + &modifier)
}

fn window() -> impl Strategy<Value = String> + Clone {
    let range = pick(&["[30s]", "[1m]", "[1m]", "[2m]", "[10m]"]);
    (selector(), range, modifier()).prop_map(|(selector, range, modifier)| selector + &range + &modifier)
}

fn range_function() -> impl Strategy<Value = String> + Clone {
    let name = pick(&[
        "rate",
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "deriv",
        "sum_over_time",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "stddev_over_time",
        "stdvar_over_time",
        "mad_over_time",
        "last_over_time",
        "first_over_time",
        "present_over_time",
        "absent_over_time",
        "changes",
        "resets",
        "ts_of_max_over_time",
        "ts_of_min_over_time",
        "ts_of_first_over_time",
        "ts_of_last_over_time",
    ]);
    let number = pick(&["0.5", "0.9", "-1", "1.5", "60", "time() - 1000"]);
    prop_oneof![
        8 => (name, window()).prop_map(|(name, window)| format!("{name}({window})")),
        1 => (number.clone(), window()).prop_map(|(q, window)| format!("quantile_over_time({q}, {window})")),
        1 => (number, window()).prop_map(|(after, window)| format!("predict_linear({window}, {after})")),
        1 => window().prop_map(|window| format!("double_exponential_smoothing({window}, 0.5, 0.3)")),
        1 => window().prop_map(|window| format!("rate({} anchored)", window.replace(" @ start()", ""))),
    ]
}

fn scalar(vector: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        6 => pick(&["0", "1", "2", "0.5", "-1", "NaN", "Inf", "1e300"]),
        1 => pick(&["time()", "pi()", "hour()", "start()", "1 + 2 * 3", "2 > bool 1", "max_of(1, 2)"]),
        1 => vector.prop_map(|vector| format!("scalar({vector})")),
    ]
}

fn grouping() -> impl Strategy<Value = String> + Clone {
    pick(&[
        "",
        "",
        " by (job)",
        " by (job, i)",
        " without (i)",
        " by (__name__)",
        " without (job, le)",
        " by (le, job)",
    ])
}

fn matching() -> impl Strategy<Value = String> + Clone {
    pick(&[
        "",
        "",
        " on (job)",
        " on (job, i)",
        " ignoring (i)",
        " ignoring (le, i)",
        " on (__name__)",
        " on (job) group_left ()",
        " on (job) group_left (i)",
        " on (job) group_right (i, v)",
        " on (i) group_left (job)",
        " ignoring (job) group_left ()",
        " ignoring (v, i) group_right (i)",
        " on (job, i) fill (0)",
    ])
}

const FUNCTIONS: &[&str] = &[
    "abs",
    "-",
    "+",
    "ceil",
    "sqrt",
    "ln",
    "exp",
    "sgn",
    "hour",
    "day_of_week",
    "timestamp",
    "absent",
    "sort",
    "sort_desc",
    "round",
    "deg",
    "floor",
];

const OF_SUBQUERIES: &[&str] = &[
    "max_over_time",
    "rate",
    "absent_over_time",
    "avg_over_time",
    "last_over_time",
    "changes",
    "stddev_over_time",
    "sum_over_time",
    "count_over_time",
    "deriv",
];

/// Any instant vector.
pub(super) fn vector() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![3 => instant().boxed(), 3 => range_function().boxed()].boxed();
    leaf.prop_recursive(4, 24, 3, |inner| {
        let number = scalar(inner.clone()).boxed();
        let function = pick(FUNCTIONS);
        let aggregation = pick(&["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"]);
        let operator =
            pick(&["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "> bool", "== bool"]);
        let set = pick(&["and", "or", "unless"]);
        let set_matching = pick(&["", "", " on (job)", " ignoring (i)", " on ()", " on (job, i)", " ignoring (le, v)"]);
        let k = pick(&["0", "1", "2", "3", "1.7", "-1"]);
        let q = pick(&["0.5", "0.9", "0", "1", "1.5", "NaN"]);
        let replace = pick(&[
            "\"job\", \"$1\", \"i\", \"(.*)\"",
            "\"v\", \"new-$1\", \"job\", \"(x|y)\"",
            "\"__name__\", \"a\", \"job\", \".*\"",
            "\"i\", \"\", \"i\", \".*\"",
            "\"le\", \"$1\", \"i\", \"(.)\"",
        ]);
        let of_subqueries = pick(OF_SUBQUERIES);
        let buckets = pick(&[
            "d_bucket",
            "rate(d_bucket[1m])",
            "sum by (le, job) (d_bucket)",
            "sum by (le) (rate(d_bucket[2m]))",
        ]);
        prop_oneof![
            3 => (function, inner.clone()).prop_map(|(function, v)| format!("{function}({v})")),
            4 => (aggregation, grouping(), inner.clone()).prop_map(|(op, by, v)| format!("{op}{by} ({v})")),
            4 => (inner.clone(), operator.clone(), matching(), inner.clone())
                .prop_map(|(l, op, on, r)| format!("({l}) {op}{on} ({r})")),
            2 => (inner.clone(), operator.clone(), number.clone()).prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
            1 => (number.clone(), operator, inner.clone()).prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
            2 => (inner.clone(), set, set_matching, inner.clone())
                .prop_map(|(l, op, on, r)| format!("({l}) {op}{on} ({r})")),
            1 => (pick(&["topk", "bottomk", "limitk"]), k, grouping(), inner.clone())
                .prop_map(|(op, k, by, v)| format!("{op}{by} ({k}, {v})")),
            1 => (pick(&["quantile", "limit_ratio"]), q.clone(), grouping(), inner.clone())
                .prop_map(|(op, q, by, v)| format!("{op}{by} ({q}, {v})")),
            2 => (q, prop_oneof![3 => buckets.boxed(), 1 => inner.clone().boxed()])
                .prop_map(|(q, v)| format!("histogram_quantile({q}, {v})")),
            1 => inner.clone().prop_map(|v| format!("histogram_fraction(0.5, 2, {v})")),
            1 => (inner.clone(), replace).prop_map(|(v, args)| format!("label_replace({v}, {args})")),
            1 => inner.clone().prop_map(|v| format!("label_join({v}, \"v\", \"-\", \"job\", \"i\")")),
            1 => (inner.clone(), number.clone()).prop_map(|(v, n)| format!("clamp_max({v}, {n})")),
            1 => (inner.clone(), number.clone()).prop_map(|(v, n)| format!("clamp({v}, {n}, 2)")),
            1 => (inner.clone(), number.clone()).prop_map(|(v, n)| format!("round({v}, {n})")),
            1 => number.prop_map(|n| format!("vector({n})")),
            1 => inner.clone().prop_map(|v| format!("count_values(\"v\", {v})")),
            2 => (of_subqueries, inner, pick(&["[1m:15s]", "[2m:10s]", "[30s:]", "[1m:7s] offset 20s", "[1m:20s] @ 1040"]))
                .prop_map(|(f, v, window)| format!("{f}(({v}){window})")),
        ]
    })
}
