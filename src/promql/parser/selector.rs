//! Vector selectors: `metric{label="value"}`.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use crate::model::{METRIC_NAME, MatchOp, Matcher};
use crate::promql::ast::{BinaryOp, Expr, ExprKind, VectorSelector};
use crate::promql::hint;
use crate::promql::literal;
use crate::promql::token::{Token, TokenKind};
use crate::source::Span;

use super::{Abort, Node, Parsed, Parser};

impl<'a> Parser<'a> {
    /// A metric name, label matchers in braces, or both.
    pub(super) fn vector_selector(&mut self) -> Parsed<Node> {
        let first = self.peek();
        if first.kind != TokenKind::LeftBrace && !is_metric_name(first.kind) {
            return Err(self.unexpected());
        }
        self.next();
        self.rest_of_selector(first)
    }

    /// The selector whose first token, a name or a brace, has been taken.
    pub(super) fn rest_of_selector(&mut self, first: Token) -> Parsed<Node> {
        let named = first.kind != TokenKind::LeftBrace;
        let mut matchers = Vec::new();
        if !named || self.take(TokenKind::LeftBrace).is_some() {
            matchers = self.label_matchers()?;
        }
        let name: Option<Arc<str>> = named.then(|| self.names.of(self.slice(first.span)));
        if let Some(name) = &name {
            matchers.reserve_exact(1);
            matchers.push(Matcher::equal(metric_name(), name.clone()));
        }
        let span = Span::new(first.span.start, self.last_end);
        let selector = VectorSelector { name, matchers, offset_ms: 0, at: None, extension: None, durations: None };
        Ok(Node { expr: Expr { span, kind: ExprKind::VectorSelector(selector) }, height: 1 })
    }

    /// The matchers after `{`, with the closing brace. A bad one is reported and the next ones are read.
    fn label_matchers(&mut self) -> Parsed<Vec<Matcher>> {
        let mut matchers = Vec::new();
        let mut failed = false;
        while self.take(TokenKind::RightBrace).is_none() {
            match self.label_matcher() {
                Ok(matcher) => matchers.extend(matcher),
                Err(Abort) => {
                    failed = true;
                    if !self.resume_in_list(TokenKind::RightBrace) {
                        return Err(Abort);
                    }
                }
            }
            if self.take(TokenKind::Comma).is_some() {
                continue;
            }
            let closed = self.within("label matching", "\",\" or \"}\"", |p| p.expect(TokenKind::RightBrace));
            match closed {
                Ok(_) => break,
                Err(Abort) => {
                    failed = true;
                    if !self.resume_in_list(TokenKind::RightBrace) {
                        return Err(Abort);
                    }
                    self.take(TokenKind::Comma);
                }
            }
        }
        if failed { Err(Abort) } else { Ok(matchers) }
    }

    /// One matcher; `None` where it was read and found wrong.
    fn label_matcher(&mut self) -> Parsed<Option<Matcher>> {
        let label = self.peek();
        let name = match label.kind {
            TokenKind::Identifier => {
                self.next();
                self.names.of(self.slice(label.span))
            }
            TokenKind::String => {
                self.next();
                let name = self.unquoted(label)?;
                self.names.of(&name)
            }
            _ => return self.within("label matching", "identifier or \"}\"", |p| Err(p.unexpected())),
        };
        let op = match self.peek().kind {
            TokenKind::Equal => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::Ne) => MatchOp::NotEqual,
            TokenKind::RegexMatch => MatchOp::Regex,
            TokenKind::RegexNotMatch => MatchOp::NotRegex,
            // A text alone is the metric's name.
            _ if label.kind == TokenKind::String => return Ok(Some(Matcher::equal(metric_name(), name))),
            _ => return self.within("label matching", "label matching operator", |p| Err(p.unexpected())),
        };
        self.next();
        let value = self.within("label matching", "string", |p| p.expect(TokenKind::String))?;
        let text = self.unquoted(value)?;
        match Matcher::new(op, name, &*text) {
            Ok(matcher) => Ok(Some(matcher)),
            Err(error) => {
                let help = hint::for_regex(&text);
                self.report_with_help(label.span.to(value.span), error.to_string(), help);
                Ok(None)
            }
        }
    }

    pub(super) fn unquoted(&mut self, token: Token) -> Parsed<Cow<'a, str>> {
        literal::unquote(self.slice(token.span)).map_err(|message| {
            self.report(token.span, message);
            Abort
        })
    }
}

/// `__name__`, which most selectors test.
fn metric_name() -> Arc<str> {
    static NAME: LazyLock<Arc<str>> = LazyLock::new(|| METRIC_NAME.into());
    Arc::clone(&NAME)
}

/// Whether such a token may be the name of a metric where an operand is expected.
pub(super) fn is_metric_name(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
        TokenKind::Operator(op) => op.is_set(),
        TokenKind::Keyword(keyword) => keyword.is_metric_name(),
        _ => false,
    }
}
