//! The tree as text, in the spacing of Prometheus.
//!
//! In the flow: the rules API and messages show expressions in this form, as Prometheus does in its own.
//!
//! **Invariants.** Parsing the text again gives an equal tree but for places, and for a sign: `Inf ^ x` is printed `+Inf ^ x`,
//! as Prometheus does, which reads as `+(Inf ^ x)`.
//! **Source.** Prometheus 3.14 `promql/parser/printer.go`.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{METRIC_NAME, MatchOp, format_exponent, format_float, is_legacy_name, quote, quote_bytes};
use crate::source::format_duration;

use super::ast::{
    Aggregate, AtModifier, Binary, Cardinality, Expr, ExprKind, Subquery, VectorMatching, VectorSelector,
};
use super::duration::{Durations, WrittenDuration};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(value) => f.write_str(&format_float(*value)),
            ExprKind::Duration(secs) => write_duration(f, (secs * 1000.0).round() as i64),
            ExprKind::String(text) => f.write_str(&quote(text)),
            ExprKind::Bytes(bytes) => f.write_str(&quote_bytes(bytes)),
            ExprKind::VectorSelector(selector) => {
                write_series(f, selector)?;
                write_at(f, selector.at)?;
                write_extension(f, selector)?;
                write_offset(f, selector.offset_ms, selector.durations.as_deref())
            }
            ExprKind::MatrixSelector { selector, range_ms } => {
                write_series(f, selector)?;
                f.write_str("[")?;
                let computed = selector.durations.as_ref().and_then(|durations| durations.range.as_ref());
                write_computed(f, *range_ms, computed)?;
                f.write_str("]")?;
                write_extension(f, selector)?;
                write_at(f, selector.at)?;
                write_offset(f, selector.offset_ms, selector.durations.as_deref())
            }
            ExprKind::Subquery(subquery) => write_subquery(f, subquery),
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                for (index, arg) in call.args.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{arg}")?;
                }
                f.write_str(")")
            }
            ExprKind::Aggregate(aggregate) => write_aggregate(f, aggregate),
            ExprKind::Binary(binary) => write_binary(f, binary),
            ExprKind::Unary { negate, operand } => write!(f, "{}{operand}", if *negate { "-" } else { "+" }),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

fn write_series(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    let name = selector.name.as_deref().unwrap_or("");
    f.write_str(name)?;
    let mut matchers: Vec<String> = selector
        .matchers
        .iter()
        .filter(|m| !(&*m.name == METRIC_NAME && m.op == MatchOp::Equal && &*m.value == name && !name.is_empty()))
        .map(|matcher| matcher.to_string())
        .collect();
    if matchers.is_empty() {
        // Only `info` takes a selector without a name and matchers; nothing at all would not parse again.
        return if name.is_empty() { f.write_str("{}") } else { Ok(()) };
    }
    matchers.sort();
    write!(f, "{{{}}}", matchers.join(","))
}

fn write_extension(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    selector.extension.map_or(Ok(()), |extension| write!(f, " {}", extension.as_str()))
}

fn write_at(f: &mut Formatter<'_>, at: Option<AtModifier>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(AtModifier::Start) => f.write_str(" @ start()"),
        Some(AtModifier::End) => f.write_str(" @ end()"),
        Some(AtModifier::Time(time)) => write!(f, " @ {:.3}", time.as_secs_f64()),
    }
}

fn write_offset(f: &mut Formatter<'_>, offset_ms: i64, durations: Option<&Durations>) -> fmt::Result {
    let computed = durations.and_then(|durations| durations.offset.as_ref());
    if offset_ms == 0 && computed.is_none() {
        return Ok(());
    }
    f.write_str(" offset ")?;
    write_computed(f, offset_ms, computed)
}

fn write_computed(f: &mut Formatter<'_>, ms: i64, computed: Option<&WrittenDuration>) -> fmt::Result {
    match computed {
        Some(duration) => write!(f, "{}", duration.expr),
        None => write_duration(f, ms),
    }
}

fn write_duration(f: &mut Formatter<'_>, ms: i64) -> fmt::Result {
    let sign = if ms < 0 { "-" } else { "" };
    write!(f, "{sign}{}", format_duration(Duration::from_millis(ms.unsigned_abs())))
}

fn write_subquery(f: &mut Formatter<'_>, subquery: &Subquery) -> fmt::Result {
    write!(f, "{}", subquery.expr)?;
    write_subquery_range(f, subquery)
}

/// What follows the expression of a subquery.
pub(super) fn write_subquery_range(f: &mut Formatter<'_>, subquery: &Subquery) -> fmt::Result {
    let durations = subquery.durations.as_deref();
    f.write_str("[")?;
    write_computed(f, subquery.range_ms, durations.and_then(|durations| durations.range.as_ref()))?;
    f.write_str(":")?;
    if let Some(step_ms) = subquery.step_ms {
        write_computed(f, step_ms, durations.and_then(|durations| durations.step.as_ref()))?;
    }
    f.write_str("]")?;
    write_at(f, subquery.at)?;
    write_offset(f, subquery.offset_ms, durations)
}

fn write_aggregate(f: &mut Formatter<'_>, aggregate: &Aggregate) -> fmt::Result {
    write_grouping(f, aggregate)?;
    f.write_str("(")?;
    if let Some(param) = &aggregate.param {
        write!(f, "{param}, ")?;
    }
    write!(f, "{})", aggregate.expr)
}

/// An aggregation up to its opening parenthesis.
pub(super) fn write_grouping(f: &mut Formatter<'_>, aggregate: &Aggregate) -> fmt::Result {
    f.write_str(aggregate.op.as_str())?;
    if aggregate.without || !aggregate.grouping.is_empty() {
        f.write_str(if aggregate.without { " without " } else { " by " })?;
        write_labels(f, &aggregate.grouping)?;
        f.write_str(" ")?;
    }
    Ok(())
}

fn write_labels(f: &mut Formatter<'_>, labels: &[Arc<str>]) -> fmt::Result {
    f.write_str("(")?;
    for (index, label) in labels.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        if is_legacy_name(label) {
            f.write_str(label)?;
        } else {
            f.write_str(&quote(label))?;
        }
    }
    f.write_str(")")
}

fn write_binary(f: &mut Formatter<'_>, binary: &Binary) -> fmt::Result {
    write!(f, "{} ", binary.lhs)?;
    write_operator(f, binary)?;
    write!(f, " {}", binary.rhs)
}

/// An operator with all that stands between its operands.
pub(super) fn write_operator(f: &mut Formatter<'_>, binary: &Binary) -> fmt::Result {
    f.write_str(binary.op.as_str())?;
    if binary.return_bool {
        f.write_str(" bool")?;
    }
    binary.matching.as_ref().map_or(Ok(()), |matching| write_matching(f, matching))
}

fn write_matching(f: &mut Formatter<'_>, matching: &VectorMatching) -> fmt::Result {
    let group = match matching.cardinality {
        Cardinality::ManyToOne => Some(" group_left "),
        Cardinality::OneToMany => Some(" group_right "),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if !matching.labels.is_empty() || matching.on || group.is_some() {
        f.write_str(if matching.on { " on " } else { " ignoring " })?;
        write_labels(f, &matching.labels)?;
    }
    if let Some(group) = group {
        f.write_str(group)?;
        write_labels(f, &matching.include)?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", shortest(left)),
        (left, right) => {
            left.map_or(Ok(()), |value| write!(f, " fill_left ({})", shortest(value)))?;
            right.map_or(Ok(()), |value| write!(f, " fill_right ({})", shortest(value)))
        }
    }
}

/// As Go's `%v`: like [`format_float`] but with an exponent below 1e-4 and from 1e21 on.
fn shortest(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || magnitude == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return format_float(value);
    }
    format_exponent(value)
}
