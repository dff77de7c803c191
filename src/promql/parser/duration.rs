//! Brackets after an operand, and durations.

use crate::promql::ast::{AtModifier, BinaryOp, Expr, ExprKind, Subquery};
use crate::promql::duration::{DURATION_SECS_MAX, DurationExpr, Durations, WrittenDuration};
use crate::promql::hint;
use crate::promql::literal;
use crate::promql::token::{Keyword, Token, TokenKind};
use crate::source::{Span, parse_duration};

use super::{Abort, DEPTH_MAX, Node, Parsed, Parser};

/// A duration being read.
#[derive(Debug)]
struct Term {
    expr: DurationExpr,
    span: Span,
    height: usize,
}

/// A duration that has been read.
#[derive(Debug)]
pub(super) struct Settled {
    /// Its milliseconds, 0 where they depend on the query.
    pub(super) ms: i64,
    /// How it is computed, where it is more than a number.
    pub(super) computed: Option<WrittenDuration>,
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
            let help = hint::for_literal(token.kind);
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
            let (step_ms, step) = step.map_or((None, None), |step| (Some(step.ms), step.computed));
            let is_computed = range.computed.is_some() || step.is_some();
            let durations = is_computed.then(|| Box::new(Durations { range: range.computed, step, offset: None }));
            let subquery = Subquery { expr, range_ms: range.ms, step_ms, offset_ms: 0, at: None, durations };
            return self.grown(span, ExprKind::Subquery(Box::new(subquery)), height);
        }
        let (message, help) = match expr.kind {
            ExprKind::VectorSelector(selector) if selector.offset_ms != 0 || selector.durations.is_some() => {
                ("no offset modifiers allowed before range", "put the range first: `metric[5m] offset 1h`".to_owned())
            }
            // Prometheus overlooks `@ start()` and `@ end()`, which it keeps in another field.
            ExprKind::VectorSelector(selector) if matches!(selector.at, Some(AtModifier::Time(_))) => {
                ("no @ modifiers allowed before range", "put the range first: `metric[5m] @ end()`".to_owned())
            }
            ExprKind::VectorSelector(mut selector) => {
                if range.computed.is_some() {
                    selector.durations.get_or_insert_default().range = range.computed;
                }
                return self.grown(span, ExprKind::MatrixSelector { selector, range_ms: range.ms }, height);
            }
            kind => {
                let expr = Expr { span: expr.span, kind };
                let help = hint::for_range_of_expression(&expr, range.ms, self.slice(brackets));
                ("ranges only allowed for vector selectors", help)
            }
        };
        self.report_with_help(brackets, message, Some(help));
        Err(Abort)
    }

    /// The inside of brackets with the closing one: the range, and for a subquery its step if one is written.
    fn brackets(&mut self) -> Parsed<(Settled, Option<Option<Settled>>)> {
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

    fn positive_duration(&mut self) -> Parsed<Settled> {
        let errors_before = self.errors.len();
        let term = self.duration_expression(0)?;
        let span = term.span;
        let settled = self.settle(term)?;
        // What could not be read counts as 0, which is no second mistake.
        if self.errors.len() > errors_before {
            return Ok(settled);
        }
        let is_constant = settled.computed.as_ref().is_none_or(|duration| !duration.expr.depends_on_query());
        if is_constant && settled.ms <= 0 {
            let help = Some("write a duration such as 5m".to_owned());
            self.report_with_help(span, "duration must be greater than 0", help);
        }
        Ok(settled)
    }

    fn settle(&mut self, term: Term) -> Parsed<Settled> {
        let written = WrittenDuration { expr: term.expr, span: term.span };
        match written.constant_ms() {
            Some(Err(error)) => {
                self.report(error.span, error.message);
                Err(Abort)
            }
            Some(Ok(ms)) if written.expr.is_literal() => Ok(Settled { ms, computed: None }),
            Some(Ok(ms)) => Ok(Settled { ms, computed: Some(written) }),
            None => Ok(Settled { ms: 0, computed: Some(written) }),
        }
    }

    /// Arithmetic on durations.
    fn duration_expression(&mut self, min: u8) -> Parsed<Term> {
        self.nested(|parser| {
            let lhs = parser.duration_operand()?;
            parser.rest_of_duration_expression(lhs, min)
        })
    }

    fn rest_of_duration_expression(&mut self, mut lhs: Term, min: u8) -> Parsed<Term> {
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
            if matches!(rhs.expr, DurationExpr::Number(0.0) | DurationExpr::Duration(0.0)) && matches!(op, Div | Mod) {
                self.report(token.span, if op == Div { "division by zero" } else { "modulo by zero" });
                return Err(Abort);
            }
            let (span, height) = (lhs.span.to(rhs.span), lhs.height.max(rhs.height));
            lhs = self.grown_term(DurationExpr::Binary(op, Box::new(lhs.expr), Box::new(rhs.expr)), span, height)?;
        }
    }

    /// A term above others of at most `height`.
    fn grown_term(&mut self, expr: DurationExpr, span: Span, height: usize) -> Parsed<Term> {
        if height >= DEPTH_MAX {
            self.report_depth(span);
            return Err(Abort);
        }
        Ok(Term { expr, span, height: height + 1 })
    }

    fn duration_operand(&mut self) -> Parsed<Term> {
        let token = self.peek();
        match token.kind {
            TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.next();
                let operand = self.duration_expression(BinaryOp::Pow.precedence())?;
                self.signed(token.span, op == BinaryOp::Sub, operand)
            }
            TokenKind::LeftParen => self.duration_paren(),
            TokenKind::Keyword(Keyword::MaxOf | Keyword::MinOf | Keyword::Step | Keyword::Range) => {
                self.duration_function(token)
            }
            _ => {
                let (secs, is_duration) = self.number_or_duration()?;
                if secs.is_nan() || secs.abs() > DURATION_SECS_MAX {
                    self.report(token.span, "duration out of range");
                    return Err(Abort);
                }
                let expr = if is_duration { DurationExpr::Duration(secs) } else { DurationExpr::Number(secs) };
                Ok(Term { expr, span: token.span, height: 1 })
            }
        }
    }

    /// `operand` under the sign at `sign`.
    fn signed(&mut self, sign: Span, negate: bool, operand: Term) -> Parsed<Term> {
        let (span, height) = (sign.to(operand.span), operand.height);
        let expr = match operand.expr {
            expr if !negate => expr,
            DurationExpr::Number(secs) => DurationExpr::Number(-secs),
            DurationExpr::Duration(secs) => DurationExpr::Duration(-secs),
            expr => return self.grown_term(DurationExpr::Negate(Box::new(expr)), span, height),
        };
        Ok(Term { expr, span, height })
    }

    fn duration_paren(&mut self) -> Parsed<Term> {
        let open = self.next();
        let inner = self.duration_expression(0)?;
        self.expect(TokenKind::RightParen)?;
        self.require_duration_expressions(inner.span);
        let span = Span::new(open.span.start, self.last_end);
        self.grown_term(DurationExpr::Paren(Box::new(inner.expr)), span, inner.height)
    }

    /// `step()`, `range()`, `max_of(a, b)`, `min_of(a, b)`.
    fn duration_function(&mut self, name: Token) -> Parsed<Term> {
        self.next();
        self.expect(TokenKind::LeftParen)?;
        let (expr, height) = match name.kind {
            TokenKind::Keyword(Keyword::Step) => (DurationExpr::Step, 0),
            TokenKind::Keyword(Keyword::Range) => (DurationExpr::Range, 0),
            kind => {
                let a = self.duration_expression(0)?;
                self.expect(TokenKind::Comma)?;
                let b = self.duration_expression(0)?;
                let (height, a, b) = (a.height.max(b.height), Box::new(a.expr), Box::new(b.expr));
                let is_max = kind == TokenKind::Keyword(Keyword::MaxOf);
                (if is_max { DurationExpr::Max(a, b) } else { DurationExpr::Min(a, b) }, height)
            }
        };
        self.expect(TokenKind::RightParen)?;
        let span = Span::new(name.span.start, self.last_end);
        self.require_duration_expressions(span);
        self.grown_term(expr, span, height)
    }

    fn require_duration_expressions(&mut self, span: Span) {
        if !self.features.duration_expressions {
            let help = Some("write the duration as one, such as 90m".to_owned());
            self.report_with_help(span, "experimental duration expression is not enabled", help);
        }
    }

    /// The duration after `offset`: one, signed or not; only parentheses hold arithmetic.
    pub(super) fn offset_duration(&mut self) -> Parsed<Settled> {
        let first = self.peek();
        let is_signed = matches!(first.kind, TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub));
        let negate = self.sign();
        let mut term = self.duration_operand()?;
        if is_signed {
            term = self.signed(first.span, negate, term)?;
        } else if first.kind == TokenKind::LeftParen {
            term = self.rest_of_duration_expression(term, 0)?;
        }
        self.settle(term)
    }
}
