//! From the words of an expression to its tree: recursive descent, with precedence climbing for operators.
//!
//! In the flow: [`super::lexer`] gives tokens; the finished tree goes through [`super::check`]. A mistake is reported in
//! Prometheus's words, with what to write instead from [`super::hint`]; after one, parsing goes on at the next argument or matcher.
//!
//! **Invariants.** The first error is the one Prometheus reports. A tree is given only where nothing was reported.
//! **Limits.** [`TEXT_LEN_MAX`], [`DEPTH_MAX`].
//! **Source.** Prometheus 3.14 `promql/parser/generated_parser.y`, `parse.go`. Messages name the context in which yacc's
//! recovery would find an `error` rule: the innermost, `Parser::context`.
//! **Differs:** texts over `TEXT_LEN_MAX` and trees deeper than `DEPTH_MAX` are refused; errors after the first are our own choice.

mod duration;
mod expression;
mod matching;
mod modifier;
mod names;
mod selector;
#[cfg(test)]
mod tests;

use crate::model::Matcher;
use crate::source::Span;

use super::ast::{Expr, ExprKind};
use super::error::ParseError;
use super::hint;
use super::lexer::Lexer;
use super::token::{Keyword, Token, TokenKind};
use names::Names;

/// Bytes of an expression. The longest in the public rule packs have 5 KiB; a megabyte is an accident or an attack.
pub const TEXT_LEN_MAX: usize = 1 << 20;

/// Levels of an expression's tree. Parsing, checking and evaluating recurse, so this bounds their stack; the public rule packs
/// stay below 30.
pub const DEPTH_MAX: usize = 256;

/// Which parts of the language beyond the stable one are on. Each is a feature flag of Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Features {
    /// `promql-experimental-functions`: functions and aggregations marked experimental.
    pub experimental_functions: bool,
    /// `promql-duration-expr`: `foo[5m * 2]`.
    pub duration_expressions: bool,
    /// `promql-extended-range-selectors`: `anchored`, `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
}

impl Features {
    /// The stable language of Prometheus 3.5.
    pub const STABLE: Features = Features {
        experimental_functions: false,
        duration_expressions: false,
        extended_range_selectors: false,
        fill_modifiers: false,
    };
    /// What Prometheus 3.14 parses without a flag.
    pub const DEFAULT: Features = Features { duration_expressions: true, ..Features::STABLE };
    /// Everything, as Prometheus's own test scripts have it.
    pub const ALL: Features = Features {
        experimental_functions: true,
        duration_expressions: true,
        extended_range_selectors: true,
        fill_modifiers: true,
    };
}

/// A mistake has been reported; there is no tree.
#[derive(Debug)]
pub(super) struct Abort;

type Parsed<T> = Result<T, Abort>;

/// A tree and its height, which [`DEPTH_MAX`] bounds.
#[derive(Debug)]
struct Node {
    expr: Expr,
    height: usize,
}

/// Where a mistake is, in the words of messages: `unexpected … in CONTEXT, expected EXPECTED`.
#[derive(Clone, Copy, Debug)]
struct Context {
    name: &'static str,
    expected: &'static str,
}

pub(super) struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    lookahead: Option<Token>,
    features: Features,
    errors: Vec<ParseError>,
    names: Names,
    /// The innermost one.
    context: Option<Context>,
    /// How many calls of `binary` are active.
    depth: usize,
    /// Help for an unexpected token at this place, found while what stands before it was at hand.
    prepared_help: Option<(usize, String)>,
    /// The end of the last token taken.
    last_end: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, features: Features) -> Self {
        Parser {
            text,
            lexer: Lexer::new(text),
            lookahead: None,
            features,
            errors: Vec::new(),
            names: Names::default(),
            context: None,
            depth: 0,
            prepared_help: None,
            last_end: 0,
        }
    }

    /// The whole text as one expression, not type-checked.
    pub(super) fn expression(mut self) -> Result<Expr, Vec<ParseError>> {
        if self.refuse_length() {
            return Err(self.errors);
        }
        if self.peek().kind == TokenKind::EndOfInput {
            let help = Some("write an expression, such as `up == 0`".to_owned());
            self.report_with_help(Span::default(), "no expression found in input", help);
            return Err(self.errors);
        }
        let node = self.binary(0).and_then(|node| self.end().map(|()| node));
        match node {
            Ok(node) if self.errors.is_empty() => Ok(node.expr),
            _ => Err(self.errors),
        }
    }

    /// The whole text as one vector selector, not checked for an empty one.
    pub(super) fn metric_selector(mut self) -> Result<Vec<Matcher>, Vec<ParseError>> {
        if self.refuse_length() {
            return Err(self.errors);
        }
        let node = self.vector_selector().and_then(|node| self.end().map(|()| node));
        match node {
            Ok(Node { expr: Expr { kind: ExprKind::VectorSelector(selector), .. }, .. }) if self.errors.is_empty() => {
                Ok(selector.matchers)
            }
            _ => Err(self.errors),
        }
    }

    fn refuse_length(&mut self) -> bool {
        let too_long = self.text.len() > TEXT_LEN_MAX;
        if too_long {
            self.report(Span::default(), format!("expression is longer than {TEXT_LEN_MAX} bytes"));
        }
        too_long
    }

    fn end(&mut self) -> Parsed<()> {
        if self.peek().kind == TokenKind::EndOfInput { Ok(()) } else { Err(self.unexpected()) }
    }

    /// The next token, not taken.
    fn peek(&mut self) -> Token {
        if let Some(token) = self.lookahead {
            return token;
        }
        let token = match self.lexer.next_token() {
            Ok(token) => token,
            Err(error) => {
                self.report_with_help(error.span, error.message, error.help);
                Token { kind: TokenKind::Invalid, span: error.span }
            }
        };
        self.lookahead = Some(token);
        token
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.lookahead = None;
        self.last_end = token.span.end;
        token
    }

    fn take(&mut self, kind: TokenKind) -> Option<Token> {
        (self.peek().kind == kind).then(|| self.next())
    }

    fn take_keyword(&mut self, keyword: Keyword) -> Option<Token> {
        self.take(TokenKind::Keyword(keyword))
    }

    fn expect(&mut self, kind: TokenKind) -> Parsed<Token> {
        self.take(kind).ok_or(()).map_err(|()| self.unexpected())
    }

    fn slice(&self, span: Span) -> &'a str {
        &self.text[span.start..span.end]
    }

    /// Runs `parse` in a context that messages about unexpected tokens name.
    fn within<T>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let outer = self.context.replace(Context { name, expected });
        let parsed = parse(self);
        self.context = outer;
        parsed
    }

    fn report(&mut self, span: Span, message: impl Into<String>) {
        self.report_with_help(span, message, None);
    }

    fn report_with_help(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.errors.push(ParseError::new(self.text, span, message).with_help(help));
    }

    /// Reports the next token as out of place. Where the lexer gave up, it has said so already.
    fn unexpected(&mut self) -> Abort {
        let token = self.peek();
        if token.kind == TokenKind::Invalid {
            return Abort;
        }
        let context = self.context;
        let mut message = format!("unexpected {}", token.describe(self.text));
        if let Some(Context { name, expected }) = context {
            message.push_str(&format!(" in {name}"));
            if !expected.is_empty() {
                message.push_str(&format!(", expected {expected}"));
            }
        }
        let prepared = self.prepared_help.take().filter(|(place, _)| *place == token.span.start).map(|(_, help)| help);
        let help = prepared.or_else(|| hint::for_token(self.text, token, context.map_or("", |context| context.name)));
        self.report_with_help(token.span, message, help);
        Abort
    }

    /// After a mistake inside parentheses or brackets: skips what is left of them.
    fn skip_past(&mut self, close: TokenKind) {
        while self.resume_in_list(close) {
            if self.take(close).is_some() {
                return;
            }
            self.next();
        }
    }

    /// After a mistake: skips to the next `,` or closing token of the list it is in, so that the rest of the list is read too.
    /// False where there is none.
    fn resume_in_list(&mut self, close: TokenKind) -> bool {
        let mut nesting = 0usize;
        loop {
            let kind = self.peek().kind;
            match kind {
                TokenKind::EndOfInput | TokenKind::Invalid => return false,
                TokenKind::Comma if nesting == 0 => return true,
                kind if kind == close && nesting == 0 => return true,
                TokenKind::LeftParen | TokenKind::LeftBrace | TokenKind::LeftBracket => nesting += 1,
                TokenKind::RightParen | TokenKind::RightBrace | TokenKind::RightBracket => {
                    let Some(outer) = nesting.checked_sub(1) else { return false };
                    nesting = outer;
                }
                _ => {}
            }
            self.next();
        }
    }
}
