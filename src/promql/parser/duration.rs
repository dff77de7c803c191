//! Brackets after an operand, and durations.
//!
//!
//! **Differs:** duration expressions are computed while parsing, so the printer shows `[10m]` for `[5m * 2]`; `step()` and
//! `range()` in them, which depend on the query that runs, are refused.

use crate::promql::ast::{BinaryOp, ExprKind, Subquery};
use crate::promql::hint;
use crate::promql::literal;
use crate::promql::token::{Keyword, Token, TokenKind};
use crate::source::{Span, parse_duration};

use super::{Abort, Node, Parsed, Parser};

/// Seconds that fit into Go's `time.Duration`, 2^63 nanoseconds.
const DURATION_SECS_MAX: f64 = (1u64 << 63) as f64 / 1e9;

/// A duration and its place.
#[derive(Clone, Copy, Debug)]
struct DurationValue {
    secs: f64,
    span: Span,
}

impl DurationValue {
    /// Whole milliseconds, cut as Prometheus cuts its nanoseconds.
    fn as_ms(self) -> i64 {
        (self.secs * 1e9).round() as i64 / 1_000_000
    }
}

impl Parser<'_> {
    /// A number or a duration as its seconds, and whether it was a duration. A bad value is reported and read as 0.
    pub(super) fn number_or_duration(&mut self) -> Parsed<(f64, bool)> {
        let token = self.peek();
        let parsed = match token.kind {
            TokenKind::Number => literal::parse_number(self.slice(token.span)).map(|value| (value, false)),
            TokenKind::Duration => parse_duration(self.slice(token.span))
                .map(|duration| (duration.as_secs_f64(), true))
                .map_err(|error| error.to_string()),
            _ => return Err(self.unexpected()),
        };
        self.next();
        Ok(parsed.unwrap_or_else(|message| {
            let help = hint::for_literal(self.slice(token.span), token.kind);
            self.report_with_help(token.span, message, help);
            (0.0, token.kind == TokenKind::Duration)
        }))
    }

    /// `[5m]` or `[30m:1m]` after `node`.
    pub(super) fn range(&mut self, node: Node) -> Parsed<Node> {
        let open = self.next();
        let parsed = self.brackets();
        let Ok((range, step)) = parsed else {
            self.skip_past(TokenKind::RightBracket);
            return Err(Abort);
        };
        let brackets = Span::new(open.span.start, self.last_end);
        let span = Span::new(node.expr.span.start, self.last_end);
        let Node { expr, height } = node;
        if let Some(step) = step {
            let (range_ms, step_ms) = (range.as_ms(), step.map(DurationValue::as_ms));
            let subquery = Subquery { expr, range_ms, step_ms, offset_ms: 0, at: None };
            return self.grown(span, ExprKind::Subquery(Box::new(subquery)), height);
        }
        let (message, help) = match expr.kind {
            ExprKind::VectorSelector(selector) if selector.offset_ms != 0 => {
                ("no offset modifiers allowed before range", "put the range first: `metric[5m] offset 1h`".to_owned())
            }
            ExprKind::VectorSelector(selector) if selector.at.is_some() => {
                ("no @ modifiers allowed before range", "put the range first: `metric[5m] @ end()`".to_owned())
            }
            ExprKind::VectorSelector(selector) => {
                return self.grown(span, ExprKind::MatrixSelector { selector, range_ms: range.as_ms() }, height);
            }
            _ => ("ranges only allowed for vector selectors", hint::for_range_of_expression(self.slice(brackets))),
        };
        self.report_with_help(brackets, message, Some(help));
        Err(Abort)
    }

    /// The inside of brackets with the closing one: the range, and for a subquery its step if one is written.
    fn brackets(&mut self) -> Parsed<(DurationValue, Option<Option<DurationValue>>)> {
        let expected = "number, duration, step(), or range()";
        let range = self.within("subquery or range selector", expected, Self::positive_duration)?;
        if self.take(TokenKind::RightBracket).is_some() {
            return Ok((range, None));
        }
        self.within("subquery or range", "\":\" or \"]\"", |p| p.expect(TokenKind::Colon))?;
        if self.take(TokenKind::RightBracket).is_some() {
            return Ok((range, Some(None)));
        }
        let expected = "number, duration, step(), range(), or \"]\"";
        let step = self.within("subquery selector", expected, Self::positive_duration)?;
        self.within("subquery selector", "\"]\"", |p| p.expect(TokenKind::RightBracket))?;
        Ok((range, Some(Some(step))))
    }

    fn positive_duration(&mut self) -> Parsed<DurationValue> {
        let value = self.duration_expression(0)?;
        if value.as_ms() <= 0 {
            let help = Some("write a duration such as 5m".to_owned());
            self.report_with_help(value.span, "duration must be greater than 0", help);
        }
        Ok(value)
    }

    /// Arithmetic on durations, computed.
    fn duration_expression(&mut self, min: u8) -> Parsed<DurationValue> {
        self.nested(|parser| {
            let lhs = parser.duration_operand()?;
            parser.rest_of_duration_expression(lhs, min)
        })
    }

    fn rest_of_duration_expression(&mut self, mut lhs: DurationValue, min: u8) -> Parsed<DurationValue> {
        use BinaryOp::{Add, Div, Mod, Mul, Pow, Sub};
        loop {
            let token = self.peek();
            let op = match token.kind {
                TokenKind::Operator(op @ (Add | Sub | Mul | Div | Mod | Pow)) if op.precedence() >= min => op,
                _ => return Ok(lhs),
            };
            self.next();
            let rhs = self.duration_expression(if op == Pow { op.precedence() } else { op.precedence() + 1 })?;
            self.require_duration_expressions(lhs.span);
            let secs = match op {
                Add => lhs.secs + rhs.secs,
                Sub => lhs.secs - rhs.secs,
                Mul => lhs.secs * rhs.secs,
                Div | Mod if rhs.secs == 0.0 => {
                    self.report(token.span, if op == Div { "division by zero" } else { "modulo by zero" });
                    return Err(Abort);
                }
                Div => lhs.secs / rhs.secs,
                Mod => lhs.secs % rhs.secs,
                _ => lhs.secs.powf(rhs.secs),
            };
            lhs = self.checked_duration(secs, lhs.span.to(rhs.span));
        }
    }

    fn duration_operand(&mut self) -> Parsed<DurationValue> {
        let token = self.peek();
        match token.kind {
            TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.next();
                let operand = self.duration_expression(BinaryOp::Pow.precedence())?;
                let secs = if op == BinaryOp::Sub { -operand.secs } else { operand.secs };
                Ok(DurationValue { secs, span: token.span.to(operand.span) })
            }
            TokenKind::LeftParen => self.duration_paren(),
            TokenKind::Keyword(Keyword::MaxOf | Keyword::MinOf | Keyword::Step | Keyword::Range) => {
                self.duration_function(token)
            }
            _ => {
                let (secs, _) = self.number_or_duration()?;
                Ok(self.checked_duration(secs, token.span))
            }
        }
    }

    fn checked_duration(&mut self, secs: f64, span: Span) -> DurationValue {
        if secs.is_nan() || secs.abs() > DURATION_SECS_MAX {
            self.report(span, "duration out of range");
        }
        DurationValue { secs, span }
    }

    fn duration_paren(&mut self) -> Parsed<DurationValue> {
        let open = self.next();
        let inner = self.duration_expression(0)?;
        self.expect(TokenKind::RightParen)?;
        self.require_duration_expressions(inner.span);
        Ok(DurationValue { secs: inner.secs, span: Span::new(open.span.start, self.last_end) })
    }

    /// `max_of(a, b)`, `min_of(a, b)`.
    fn duration_function(&mut self, name: Token) -> Parsed<DurationValue> {
        self.next();
        self.expect(TokenKind::LeftParen)?;
        if matches!(name.kind, TokenKind::Keyword(Keyword::Step | Keyword::Range)) {
            self.expect(TokenKind::RightParen)?;
            let span = Span::new(name.span.start, self.last_end);
            self.require_duration_expressions(span);
            let word = self.slice(name.span);
            let help = Some("write the duration itself".to_owned());
            self.report_with_help(span, format!("{word}() is not supported in durations"), help);
            return Err(Abort);
        }
        let a = self.duration_expression(0)?;
        self.expect(TokenKind::Comma)?;
        let b = self.duration_expression(0)?;
        self.expect(TokenKind::RightParen)?;
        let span = Span::new(name.span.start, self.last_end);
        self.require_duration_expressions(span);
        let is_max = name.kind == TokenKind::Keyword(Keyword::MaxOf);
        let secs = if is_max { a.secs.max(b.secs) } else { a.secs.min(b.secs) };
        Ok(DurationValue { secs, span })
    }

    fn require_duration_expressions(&mut self, span: Span) {
        if !self.features.duration_expressions {
            let help = Some("write the duration as one, such as 90m".to_owned());
            self.report_with_help(span, "experimental duration expression is not enabled", help);
        }
    }

    /// The duration after `offset`: one, signed or not; only parentheses hold arithmetic.
    pub(super) fn offset_duration(&mut self) -> Parsed<i64> {
        let first = self.peek();
        let signed = matches!(first.kind, TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub));
        let negate = self.sign();
        let mut value = self.duration_operand()?;
        if first.kind == TokenKind::LeftParen {
            value = self.rest_of_duration_expression(value, 0)?;
        } else if signed {
            value =
                DurationValue { secs: if negate { -value.secs } else { value.secs }, span: first.span.to(value.span) };
        }
        Ok(value.as_ms())
    }
}
