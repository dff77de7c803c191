//! Whether two trees mean the same, wherever they were written.
//!
//! In the flow: the formatter proves with it that it has changed nothing. `==` would compare places too, and finds NaN unequal to itself.
//! A plus sign in front counts for nothing: Prometheus prints `Inf ^ x` as `+Inf ^ x`.

use super::ast::{Aggregate, Binary, Expr, ExprKind, Subquery, VectorMatching, VectorSelector};
use super::duration::{Durations, WrittenDuration};

impl Expr {
    /// Whether `other` means the same.
    pub fn means_the_same(&self, other: &Expr) -> bool {
        use ExprKind::*;
        match (&without_plus(self).kind, &without_plus(other).kind) {
            (Number(a), Number(b)) | (Duration(a), Duration(b)) => same_number(*a, *b),
            (String(a), String(b)) => a == b,
            (Bytes(a), Bytes(b)) => a == b,
            (VectorSelector(a), VectorSelector(b)) => same_selector(a, b),
            (MatrixSelector { selector: a, range_ms: a_ms }, MatrixSelector { selector: b, range_ms: b_ms }) => {
                a_ms == b_ms && same_selector(a, b)
            }
            (Subquery(a), Subquery(b)) => same_subquery(a, b),
            (Call(a), Call(b)) => a.function == b.function && same_list(&a.args, &b.args),
            (Aggregate(a), Aggregate(b)) => same_aggregate(a, b),
            (Binary(a), Binary(b)) => same_binary(a, b),
            (Unary { negate: a, operand: x }, Unary { negate: b, operand: y }) => a == b && x.means_the_same(y),
            (Paren(a), Paren(b)) => a.means_the_same(b),
            _ => false,
        }
    }
}

fn without_plus(expr: &Expr) -> &Expr {
    let mut expr = expr;
    while let ExprKind::Unary { negate: false, operand } = &expr.kind {
        expr = operand;
    }
    expr
}

fn same_number(a: f64, b: f64) -> bool {
    a == b && a.is_sign_negative() == b.is_sign_negative() || a.is_nan() && b.is_nan()
}

fn same_list(a: &[Expr], b: &[Expr]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.means_the_same(b))
}

/// The order of matchers has no meaning, and a name may stand before the braces or inside.
fn same_selector(a: &VectorSelector, b: &VectorSelector) -> bool {
    let sorted = |selector: &VectorSelector| {
        let mut matchers: Vec<String> = selector.matchers.iter().map(ToString::to_string).collect();
        matchers.sort();
        matchers
    };
    sorted(a) == sorted(b)
        && (a.offset_ms, a.at, a.extension) == (b.offset_ms, b.at, b.extension)
        && same_durations(a.durations.as_deref(), b.durations.as_deref())
}

fn same_durations(a: Option<&Durations>, b: Option<&Durations>) -> bool {
    let same = |a: &Option<WrittenDuration>, b: &Option<WrittenDuration>| match (a, b) {
        (Some(a), Some(b)) => a.expr == b.expr,
        (a, b) => a.is_none() && b.is_none(),
    };
    match (a, b) {
        (Some(a), Some(b)) => same(&a.range, &b.range) && same(&a.step, &b.step) && same(&a.offset, &b.offset),
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn same_subquery(a: &Subquery, b: &Subquery) -> bool {
    (a.range_ms, a.step_ms, a.offset_ms, a.at) == (b.range_ms, b.step_ms, b.offset_ms, b.at)
        && same_durations(a.durations.as_deref(), b.durations.as_deref())
        && a.expr.means_the_same(&b.expr)
}

fn same_aggregate(a: &Aggregate, b: &Aggregate) -> bool {
    let same_param = match (&a.param, &b.param) {
        (Some(a), Some(b)) => a.means_the_same(b),
        (a, b) => a.is_none() && b.is_none(),
    };
    (a.op, &a.grouping, a.without) == (b.op, &b.grouping, b.without) && same_param && a.expr.means_the_same(&b.expr)
}

fn same_binary(a: &Binary, b: &Binary) -> bool {
    let same_matching = match (&a.matching, &b.matching) {
        (Some(a), Some(b)) => same_matching(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    (a.op, a.return_bool) == (b.op, b.return_bool)
        && same_matching
        && a.lhs.means_the_same(&b.lhs)
        && a.rhs.means_the_same(&b.rhs)
}

fn same_matching(a: &VectorMatching, b: &VectorMatching) -> bool {
    let same_fill = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => same_number(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    (a.cardinality, &a.labels, a.on, &a.include) == (b.cardinality, &b.labels, b.on, &b.include)
        && same_fill(a.fill_left, b.fill_left)
        && same_fill(a.fill_right, b.fill_right)
}

#[cfg(test)]
mod tests {
    use crate::promql::{Features, parse_with};

    #[test]
    fn only_what_matters_counts() {
        for (a, b, same) in [
            ("a{b=\"c\",d!=\"e\"}", "a { d != 'e', b = `c` }", true),
            ("{__name__=\"a\"}", "a", true),
            ("sum(a) by (b)", "sum by(b)(a)", true),
            ("NaN", "nan", true),
            ("Inf ^ 2", "+Inf ^ 2", true),
            ("300", "5m", false),
            ("a[5m] offset 1m", "a[5m] offset 2m", false),
            ("a[5m:1m]", "a[5m:]", false),
            ("a[5m * 2]", "a[10m]", false),
            ("a[5m * 2]", "a[ 5m*2 ]", true),
            ("a * on (b) c", "a * ignoring (b) c", false),
            ("a * on () c", "a * c", false),
            ("a > bool b", "a > b", false),
            ("a + fill (0) b", "a + fill_left(0) fill_right (0) b", true),
            ("a + fill (0) b", "a + fill (-0) b", false),
            ("(a)", "a", false),
            ("-a", "a", false),
            ("topk(1, a)", "topk(2, a)", false),
            ("\"\\xff\"", "'\\xff'", true),
            ("a @ end()", "a @ start()", false),
        ] {
            let parse = |text| parse_with(text, Features::ALL).unwrap_or_else(|errors| panic!("{text}: {}", errors[0]));
            assert_eq!(parse(a).means_the_same(&parse(b)), same, "{a} {b}");
        }
    }
}
