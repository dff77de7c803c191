//! What may stand between a binary operator and its right side, and lists of labels.

use std::borrow::Cow;
use std::sync::Arc;

use crate::model::quote;
use crate::promql::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::promql::literal;
use crate::promql::token::{Keyword, TokenKind};

use super::expression::starts_expression;
use super::{Parsed, Parser};

/// `bool on (…) group_left (…) fill (…)`, as written.
#[derive(Debug)]
pub(super) struct BinaryModifiers {
    pub(super) return_bool: bool,
    pub(super) matching: VectorMatching,
}

impl Parser<'_> {
    pub(super) fn binary_modifiers(&mut self) -> Parsed<BinaryModifiers> {
        let return_bool = self.take_keyword(Keyword::Bool).is_some();
        let mut matching = VectorMatching {
            cardinality: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        if let TokenKind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) = self.peek().kind {
            self.next();
            matching.on = keyword == Keyword::On;
            matching.labels = self.grouping_labels()?;
            if let TokenKind::Keyword(keyword @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.peek().kind {
                self.next();
                matching.cardinality =
                    if keyword == Keyword::GroupLeft { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                // Without labels the right side follows; anything else is taken for a mistake in the labels.
                let next = self.peek().kind;
                if next == TokenKind::LeftParen || !starts_expression(next) {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        self.fill_modifiers(&mut matching)?;
        Ok(BinaryModifiers { return_bool, matching })
    }

    /// `fill (v)`, or `fill_left (v)` and `fill_right (v)` in either order, each at most once.
    fn fill_modifiers(&mut self, matching: &mut VectorMatching) -> Parsed<()> {
        if self.take_keyword(Keyword::Fill).is_some() {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
            return Ok(());
        }
        loop {
            if matching.fill_left.is_none() && self.take_keyword(Keyword::FillLeft).is_some() {
                matching.fill_left = Some(self.fill_value()?);
            } else if matching.fill_right.is_none() && self.take_keyword(Keyword::FillRight).is_some() {
                matching.fill_right = Some(self.fill_value()?);
            } else {
                return Ok(());
            }
        }
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect(TokenKind::LeftParen)?;
        let negate = self.sign();
        let (value, _) = self.number_or_duration()?;
        self.expect(TokenKind::RightParen)?;
        Ok(if negate { -value } else { value })
    }

    /// An optional `+` or `-`; whether it was minus.
    pub(super) fn sign(&mut self) -> bool {
        if self.take(TokenKind::Operator(BinaryOp::Sub)).is_some() {
            return true;
        }
        self.take(TokenKind::Operator(BinaryOp::Add));
        false
    }

    /// `(a, b, "c d",)`
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<Arc<str>>> {
        self.within("grouping opts", "\"(\"", |parser| parser.expect(TokenKind::LeftParen))?;
        let mut labels = Vec::new();
        while self.take(TokenKind::RightParen).is_none() {
            labels.push(self.within("grouping opts", "label", Self::grouping_label)?);
            if self.take(TokenKind::Comma).is_none() {
                self.within("grouping opts", "\",\" or \")\"", |parser| parser.expect(TokenKind::RightParen))?;
                break;
            }
        }
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Parsed<Arc<str>> {
        let token = self.peek();
        let is_name = match token.kind {
            TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
            TokenKind::Operator(op) => op.is_set() || op == BinaryOp::Atan2,
            TokenKind::Keyword(keyword) => keyword.is_grouping_label(),
            _ => false,
        };
        if is_name {
            self.next();
            return Ok(self.names.of(self.slice(token.span)));
        }
        let token = self.expect(TokenKind::String)?;
        let label = match literal::unquote(self.slice(token.span)) {
            Ok(label) => label,
            Err(message) => {
                self.report(token.span, message);
                Cow::Borrowed("")
            }
        };
        if label.is_empty() {
            self.report(token.span, format!("invalid label name for grouping: {}", quote(&label)));
        }
        Ok(self.names.of(&label))
    }
}
