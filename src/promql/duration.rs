//! Durations that are computed: `[step() * 4]`, `offset (1h / 2)` (experimental).
//!
//! In the flow: the parser keeps them beside the milliseconds of their selector; those that depend on the query are settled by
//! [`Expr::for_query`] when evaluation begins.
//!
//! **Units.** Seconds while computing, as written; milliseconds once settled.
//! **Source.** Prometheus 3.14 `promql/durations.go`.
//! **Differs:** a duration that is impossible for every query (`[5m - 5m]`) is refused while parsing, not when it is evaluated.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::model::format_float;
use crate::source::{Span, format_duration};

use super::ast::{BinaryOp, Expr, ExprKind};
use super::eval::elementary;

/// Seconds that fit into Go's `time.Duration`, 2^63 nanoseconds.
pub(super) const DURATION_SECS_MAX: f64 = (1u64 << 63) as f64 / 1e9;

/// The durations of a selector or subquery that are more than a number.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Durations {
    /// Between the brackets.
    pub range: Option<WrittenDuration>,
    /// After the colon of a subquery.
    pub step: Option<WrittenDuration>,
    /// After `offset`.
    pub offset: Option<WrittenDuration>,
}

/// A computed duration and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenDuration {
    /// How it is computed.
    pub expr: DurationExpr,
    /// Bytes of the text.
    pub span: Span,
}

/// Arithmetic on durations.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// `300`
    Number(f64),
    /// `5m`, in seconds.
    Duration(f64),
    /// `step()`: the resolution of the query, 0 for an instant query.
    Step,
    /// `range()`: from the first to the last step of the query.
    Range,
    /// `max_of(a, b)`
    Max(Box<DurationExpr>, Box<DurationExpr>),
    /// `min_of(a, b)`
    Min(Box<DurationExpr>, Box<DurationExpr>),
    /// `-a`
    Negate(Box<DurationExpr>),
    /// `a + b`, also `-`, `*`, `/`, `%`, `^`.
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
    /// `(a)`
    Paren(Box<DurationExpr>),
}

/// A duration that a query makes impossible. Its text is Prometheus's, with the bytes of the duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationExprError {
    /// Bytes of the text.
    pub span: Span,
    /// What is wrong with it.
    pub message: &'static str,
}

impl Display for DurationExprError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.span.start, self.span.end, self.message)
    }
}

impl std::error::Error for DurationExprError {}

/// The times of a query on which durations may depend.
#[derive(Clone, Copy, Debug, Default)]
struct QueryTimes {
    step_secs: f64,
    range_secs: f64,
}

impl DurationExpr {
    /// Whether it is a number or duration alone, perhaps with a sign.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self, DurationExpr::Number(_) | DurationExpr::Duration(_))
    }

    /// Whether its value differs from query to query.
    pub fn depends_on_query(&self) -> bool {
        match self {
            DurationExpr::Number(_) | DurationExpr::Duration(_) => false,
            DurationExpr::Step | DurationExpr::Range => true,
            DurationExpr::Negate(inner) | DurationExpr::Paren(inner) => inner.depends_on_query(),
            DurationExpr::Max(a, b) | DurationExpr::Min(a, b) | DurationExpr::Binary(_, a, b) => {
                a.depends_on_query() || b.depends_on_query()
            }
        }
    }

    fn secs(&self, query: QueryTimes) -> Result<f64, &'static str> {
        Ok(match self {
            DurationExpr::Number(secs) | DurationExpr::Duration(secs) => *secs,
            DurationExpr::Step => query.step_secs,
            DurationExpr::Range => query.range_secs,
            DurationExpr::Max(a, b) => a.secs(query)?.max(b.secs(query)?),
            DurationExpr::Min(a, b) => a.secs(query)?.min(b.secs(query)?),
            DurationExpr::Negate(inner) => -inner.secs(query)?,
            DurationExpr::Paren(inner) => inner.secs(query)?,
            DurationExpr::Binary(op, a, b) => {
                let (a, b) = (a.secs(query)?, b.secs(query)?);
                match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Sub => a - b,
                    BinaryOp::Mul => a * b,
                    BinaryOp::Div if b == 0.0 => return Err("division by zero"),
                    BinaryOp::Div => a / b,
                    BinaryOp::Mod if b == 0.0 => return Err("modulo by zero"),
                    BinaryOp::Mod => a % b,
                    BinaryOp::Pow => elementary::pow(a, b),
                    _ => unreachable!("BUG: the parser let {op:?} into a duration"),
                }
            }
        })
    }
}

impl Durations {
    fn depend_on_query(&self) -> bool {
        [&self.range, &self.step, &self.offset].into_iter().flatten().any(|duration| duration.expr.depends_on_query())
    }
}

impl WrittenDuration {
    /// Its milliseconds where they are the same for every query, cut as Prometheus cuts them.
    pub(super) fn constant_ms(&self) -> Option<Result<i64, DurationExprError>> {
        if self.expr.is_literal() {
            let secs = self.expr.secs(QueryTimes::default());
            return Some(
                secs.map(|secs| (secs * 1e9).round() as i64 / 1_000_000).map_err(|message| self.error(message)),
            );
        }
        (!self.expr.depends_on_query()).then(|| self.ms(QueryTimes::default()))
    }

    fn ms(&self, query: QueryTimes) -> Result<i64, DurationExprError> {
        let secs = self.expr.secs(query).map_err(|message| self.error(message))?;
        if !secs.is_finite() {
            return Err(self.error("duration is NaN or infinite"));
        }
        if secs.abs() > DURATION_SECS_MAX {
            return Err(self.error("duration is out of range"));
        }
        Ok((secs * 1000.0) as i64)
    }

    fn positive_ms(&self, query: QueryTimes) -> Result<i64, DurationExprError> {
        let ms = self.ms(query)?;
        if ms > 0 { Ok(ms) } else { Err(self.error("duration must be greater than 0")) }
    }

    fn error(&self, message: &'static str) -> DurationExprError {
        DurationExprError { span: self.span, message }
    }
}

impl Expr {
    /// The expression for a query of this step (0 for an instant query) and this time from its first step to its last: itself,
    /// or where durations depend on these, a copy in which they are settled.
    pub fn for_query(&self, step_ms: i64, range_ms: i64) -> Result<Cow<'_, Expr>, DurationExprError> {
        if !self.has_open_durations() {
            return Ok(Cow::Borrowed(self));
        }
        let mut settled = self.clone();
        settled.resolve_durations(step_ms, range_ms)?;
        Ok(Cow::Owned(settled))
    }

    fn has_open_durations(&self) -> bool {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => false,
            ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => {
                selector.durations.as_ref().is_some_and(|durations| durations.depend_on_query())
            }
            ExprKind::Subquery(subquery) => {
                subquery.durations.as_ref().is_some_and(|durations| durations.depend_on_query())
                    || subquery.expr.has_open_durations()
            }
            ExprKind::Call(call) => call.args.iter().any(Expr::has_open_durations),
            ExprKind::Aggregate(aggregate) => {
                aggregate.param.as_ref().is_some_and(Expr::has_open_durations) || aggregate.expr.has_open_durations()
            }
            ExprKind::Binary(binary) => binary.lhs.has_open_durations() || binary.rhs.has_open_durations(),
            ExprKind::Unary { operand, .. } => operand.has_open_durations(),
            ExprKind::Paren(inner) => inner.has_open_durations(),
        }
    }

    /// Settles the durations that depend on the query, as [`Expr::for_query`] in place; it can be called again for another
    /// query.
    pub fn resolve_durations(&mut self, step_ms: i64, range_ms: i64) -> Result<(), DurationExprError> {
        let query = QueryTimes { step_secs: step_ms as f64 / 1000.0, range_secs: range_ms as f64 / 1000.0 };
        self.resolve(query)
    }

    fn resolve(&mut self, query: QueryTimes) -> Result<(), DurationExprError> {
        match &mut self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => Ok(()),
            ExprKind::VectorSelector(selector) => resolve_offset(&mut selector.offset_ms, &selector.durations, query),
            ExprKind::MatrixSelector { selector, range_ms } => {
                if let Some(range) = selector.durations.as_ref().and_then(|durations| durations.range.as_ref()) {
                    *range_ms = range.positive_ms(query)?;
                }
                resolve_offset(&mut selector.offset_ms, &selector.durations, query)
            }
            ExprKind::Subquery(subquery) => {
                resolve_offset(&mut subquery.offset_ms, &subquery.durations, query)?;
                if let Some(durations) = &subquery.durations {
                    if let Some(step) = &durations.step {
                        subquery.step_ms = Some(step.positive_ms(query)?);
                    }
                    if let Some(range) = &durations.range {
                        subquery.range_ms = range.positive_ms(query)?;
                    }
                }
                subquery.expr.resolve(query)
            }
            ExprKind::Call(call) => call.args.iter_mut().try_for_each(|arg| arg.resolve(query)),
            ExprKind::Aggregate(aggregate) => {
                aggregate.param.iter_mut().try_for_each(|param| param.resolve(query))?;
                aggregate.expr.resolve(query)
            }
            ExprKind::Binary(binary) => {
                binary.lhs.resolve(query)?;
                binary.rhs.resolve(query)
            }
            ExprKind::Unary { operand, .. } => operand.resolve(query),
            ExprKind::Paren(inner) => inner.resolve(query),
        }
    }
}

fn resolve_offset(
    offset_ms: &mut i64,
    durations: &Option<Box<Durations>>,
    query: QueryTimes,
) -> Result<(), DurationExprError> {
    if let Some(offset) = durations.as_ref().and_then(|durations| durations.offset.as_ref()) {
        *offset_ms = offset.ms(query)?;
    }
    Ok(())
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationExpr::Number(value) => f.write_str(&format_float(*value)),
            DurationExpr::Duration(secs) => {
                let sign = if *secs < 0.0 { "-" } else { "" };
                write!(f, "{sign}{}", format_duration(Duration::from_millis((secs.abs() * 1000.0).round() as u64)))
            }
            DurationExpr::Step => f.write_str("step()"),
            DurationExpr::Range => f.write_str("range()"),
            DurationExpr::Max(a, b) => write!(f, "max_of({a}, {b})"),
            DurationExpr::Min(a, b) => write!(f, "min_of({a}, {b})"),
            DurationExpr::Negate(inner) => write!(f, "-{inner}"),
            DurationExpr::Binary(op, a, b) => write!(f, "{a} {} {b}", op.as_str()),
            DurationExpr::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::promql::{Features, parse_with};

    #[test]
    fn computed_for_each_query() {
        for (text, step_ms, range_ms, settled) in [
            ("a[5m * 2]", 0, 0, "a[10m]"),
            ("a[step() + 1]", 5_000, 60_000, "a[6s]"),
            ("a[(step() - 5) * 2 + 1ms]", 7_000, 0, "a[4s1ms]"),
            ("a[max_of(min_of(step() + 1, 1h), 1ms)]", 5_000, 0, "a[6s]"),
            ("a offset -step()", 5_000, 0, "a offset -5s"),
            ("a offset (1m + 30s)", 0, 0, "a offset 1m30s"),
            ("a offset min_of(range(), 8s)", 1_000, 60_000, "a offset 8s"),
            ("a[range() + 0:step()] offset -(step() / 2)", 4_000, 60_000, "a[1m:4s] offset -2s"),
            ("a offset step() * 2", 5_000, 0, "a offset 5s * 2"),
            ("a offset -2 ^ 2", 0, 0, "a offset -2s ^ 2"),
            ("a[2 ^ 3 ^ 2]", 0, 0, "a[8m32s]"),
            ("a[-1m + 2m]", 0, 0, "a[1m]"),
        ] {
            let mut expr = parse_with(text, Features::ALL).unwrap_or_else(|errors| panic!("{text}: {}", errors[0]));
            let printed = expr.to_string();
            assert_eq!(parse_with(&printed, Features::ALL).unwrap().to_string(), printed, "{text}");
            expr.resolve_durations(step_ms, range_ms).unwrap();
            let mut expected = parse_with(settled, Features::ALL).unwrap();
            expected.resolve_durations(0, 0).unwrap();
            strip(&mut expr);
            assert_eq!(expr.to_string(), expected.to_string(), "{text}");
        }
    }

    /// Takes the computed forms out, so that the printer shows the settled milliseconds.
    fn strip(expr: &mut super::Expr) {
        use super::ExprKind;
        match &mut expr.kind {
            ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => selector.durations = None,
            ExprKind::Subquery(subquery) => {
                subquery.durations = None;
                strip(&mut subquery.expr);
            }
            ExprKind::Binary(binary) => strip(&mut binary.lhs),
            _ => {}
        }
    }

    #[test]
    fn copied_only_where_needed() {
        use std::borrow::Cow;
        for (text, owned) in
            [("sum(rate(a[5m * 2])) + b offset (1m)", false), ("abs(-(sum(b) + rate(a[5m:1s + step()])))", true)]
        {
            let expr = parse_with(text, Features::ALL).unwrap();
            assert_eq!(matches!(expr.for_query(1_000, 0).unwrap(), Cow::Owned(_)), owned, "{text}");
        }
    }

    #[test]
    fn impossible_for_a_query() {
        let mut expr = parse_with("a[1m / step()]", Features::ALL).unwrap();
        assert_eq!(expr.resolve_durations(0, 0).unwrap_err().to_string(), "2:13: division by zero");
        let mut expr = parse_with("a[range()]", Features::ALL).unwrap();
        assert_eq!(expr.resolve_durations(0, 0).unwrap_err().to_string(), "2:9: duration must be greater than 0");
    }

    #[test]
    fn refused_while_parsing() {
        for (text, expected) in [
            ("a[5m - 5m]", "1:3: parse error: duration must be greater than 0"),
            ("a[5m / 0]", "1:6: parse error: division by zero"),
            ("a[5m % 0]", "1:6: parse error: modulo by zero"),
            ("a[5m / (1 - 1)]", "1:3: parse error: division by zero"),
            ("a[300y]", "1:3: parse error: duration out of range"),
            (
                "a[max_of(1m)]",
                "1:12: parse error: unexpected \")\" in subquery or range selector, expected number, duration, step(), or range()",
            ),
            ("a offset step() offset 5m", "1:1: parse error: offset may not be set multiple times"),
            ("a offset step()[5m]", "1:16: parse error: no offset modifiers allowed before range"),
        ] {
            assert_eq!(parse_with(text, Features::ALL).unwrap_err()[0].to_string(), expected, "{text}");
        }
    }
}
