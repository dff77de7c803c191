//! `offset`, `@`, `anchored` and `smoothed` after an operand.

use crate::model::{Timestamp, format_float};
use crate::promql::ast::{AtModifier, ExprKind, RangeExtension, Subquery, VectorSelector};
use crate::promql::duration::Durations;
use crate::promql::hint::{self, MovedTime};
use crate::promql::token::{Keyword, TokenKind};
use crate::source::Span;

use super::{Abort, Node, Parsed, Parser};

/// The offset and the `@` of an operand that can have them.
struct TimeModifiers<'n> {
    offset_ms: &'n mut i64,
    at: &'n mut Option<AtModifier>,
    durations: &'n mut Option<Box<Durations>>,
}

impl TimeModifiers<'_> {
    fn of(kind: &mut ExprKind) -> Option<TimeModifiers<'_>> {
        match kind {
            ExprKind::VectorSelector(VectorSelector { offset_ms, at, durations, .. })
            | ExprKind::MatrixSelector { selector: VectorSelector { offset_ms, at, durations, .. }, .. } => {
                Some(TimeModifiers { offset_ms, at, durations })
            }
            ExprKind::Subquery(subquery) => {
                let Subquery { offset_ms, at, durations, .. } = &mut **subquery;
                Some(TimeModifiers { offset_ms, at, durations })
            }
            _ => None,
        }
    }

    fn has_offset(&self) -> bool {
        *self.offset_ms != 0 || self.durations.as_ref().is_some_and(|durations| durations.offset.is_some())
    }
}

const NOT_A_SELECTOR: &str =
    "modifier must be preceded by an instant vector selector or range vector selector or a subquery";

impl Parser<'_> {
    /// `offset 5m` after `node`.
    pub(super) fn offset(&mut self, mut node: Node) -> Parsed<Node> {
        self.next();
        let new = self.within("offset", "number, duration, step(), or range()", Self::offset_duration)?;
        let span = node.expr.span;
        match TimeModifiers::of(&mut node.expr.kind) {
            None => {
                let help = hint::for_misplaced_time(&node.expr, MovedTime::Offset(new.ms));
                self.report_with_help(span, format!("offset {NOT_A_SELECTOR}"), Some(help));
                return Err(Abort);
            }
            Some(modifiers) if !modifiers.has_offset() => {
                *modifiers.offset_ms = new.ms;
                if new.computed.is_some() {
                    modifiers.durations.get_or_insert_default().offset = new.computed;
                }
            }
            Some(_) => {
                let help = Some("write one offset, their sum".to_owned());
                self.report_with_help(span, "offset may not be set multiple times", help);
            }
        }
        node.expr.span.end = self.last_end;
        Ok(node)
    }

    /// `@ 1609746000`, `@ start()` or `@ end()` after `node`.
    pub(super) fn at(&mut self, mut node: Node) -> Parsed<Node> {
        self.next();
        let span = node.expr.span;
        let new = self.within("@", "timestamp", |parser| parser.instant(span))?;
        match TimeModifiers::of(&mut node.expr.kind) {
            None => {
                let help = hint::for_misplaced_time(&node.expr, MovedTime::At(new));
                self.report_with_help(span, format!("@ {NOT_A_SELECTOR}"), Some(help));
                return Err(Abort);
            }
            Some(modifiers) if modifiers.at.is_none() => *modifiers.at = Some(new),
            Some(_) => self.report(span, "@ <timestamp> may not be set multiple times"),
        }
        node.expr.span.end = self.last_end;
        Ok(node)
    }

    fn instant(&mut self, span: Span) -> Parsed<AtModifier> {
        if let TokenKind::Keyword(keyword @ (Keyword::Start | Keyword::End)) = self.peek().kind {
            self.next();
            self.expect(TokenKind::LeftParen)?;
            self.expect(TokenKind::RightParen)?;
            return Ok(if keyword == Keyword::Start { AtModifier::Start } else { AtModifier::End });
        }
        let negate = self.sign();
        let (value, _) = self.number_or_duration()?;
        let secs = if negate { -value } else { value };
        if !secs.is_finite() || secs.abs() >= i64::MAX as f64 {
            let shown = if secs.is_finite() { format!("{secs:.6}") } else { format_float(secs) };
            self.report(span, format!("timestamp out of bounds for @ modifier: {shown}"));
        }
        Ok(AtModifier::Time(Timestamp::from_secs_f64(secs)))
    }

    /// `anchored` or `smoothed` after `node`.
    pub(super) fn extension(&mut self, mut node: Node) -> Parsed<Node> {
        let token = self.next();
        let new = if token.kind == TokenKind::Keyword(Keyword::Anchored) {
            RangeExtension::Anchored
        } else {
            RangeExtension::Smoothed
        };
        let (span, word) = (node.expr.span, new.as_str());
        if !self.features.extended_range_selectors {
            self.report(span, format!("{word} modifier is experimental and not enabled"));
            return Err(Abort);
        }
        match &mut node.expr.kind {
            ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => {
                let VectorSelector { extension, .. } = selector;
                if extension.replace(new).is_some_and(|old| old != new) {
                    self.report(span, "anchored and smoothed modifiers cannot be used together");
                }
            }
            ExprKind::Subquery(_) => {
                self.report(span, format!("{word} modifier is not supported for subqueries"));
                return Err(Abort);
            }
            _ => {
                self.report(span, format!("{word} modifier not implemented"));
                return Err(Abort);
            }
        }
        node.expr.span.end = self.last_end;
        Ok(node)
    }
}
