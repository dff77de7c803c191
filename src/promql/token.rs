//! The words of the query language.
//!
//! In the flow: [`super::lexer`] cuts them from the text, [`super::parser`] puts them together.
//! **Source.** Prometheus 3.14 `promql/parser/lex.go`; descriptions in messages are Prometheus's.

use crate::model::quote;
use crate::source::Span;

use super::ast::{AggregateOp, BinaryOp};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    EndOfInput,
    /// Where the lexer gave up; it has reported why.
    Invalid,
    Comma,
    Colon,
    /// `=`, which compares labels only.
    Equal,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    /// An operator between expressions; `!=` also compares labels.
    Operator(BinaryOp),
    /// `=~`
    RegexMatch,
    /// `!~`
    RegexNotMatch,
    At,
    Aggregate(AggregateOp),
    Keyword(Keyword),
    /// A name without a colon, which may be a function, a metric or a label.
    Identifier,
    /// A name with a colon, which can only be a metric.
    MetricIdentifier,
    String,
    Number,
    Duration,
}

/// Words with a meaning in some places; in others most of them are names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// Keywords by their spelling in lower case; the lexer ignores case.
const KEYWORDS: [(&str, Keyword); 19] = [
    ("offset", Keyword::Offset),
    ("smoothed", Keyword::Smoothed),
    ("anchored", Keyword::Anchored),
    ("by", Keyword::By),
    ("without", Keyword::Without),
    ("on", Keyword::On),
    ("ignoring", Keyword::Ignoring),
    ("group_left", Keyword::GroupLeft),
    ("group_right", Keyword::GroupRight),
    ("fill", Keyword::Fill),
    ("fill_left", Keyword::FillLeft),
    ("fill_right", Keyword::FillRight),
    ("bool", Keyword::Bool),
    ("start", Keyword::Start),
    ("end", Keyword::End),
    ("step", Keyword::Step),
    ("range", Keyword::Range),
    ("max_of", Keyword::MaxOf),
    ("min_of", Keyword::MinOf),
];

impl Keyword {
    /// The keyword spelt `word` in lower case.
    pub(super) fn from_name(word: &str) -> Option<Self> {
        KEYWORDS.iter().find(|(name, _)| *name == word).map(|(_, keyword)| *keyword)
    }

    /// Whether it stands in a duration or names a function: Prometheus calls these preprocessors, and quotes them in messages.
    pub(super) fn is_preprocessor(self) -> bool {
        use Keyword::{End, MaxOf, MinOf, Range, Start, Step};
        matches!(self, Start | End | Step | Range | MaxOf | MinOf)
    }

    /// Whether a metric may bear this name without quotes.
    pub(super) fn is_metric_name(self) -> bool {
        use Keyword::{Bool, GroupLeft, GroupRight, Ignoring, On};
        !matches!(self, Bool | On | Ignoring | GroupLeft | GroupRight)
    }

    /// Whether it may stand in a list of labels without quotes. Only `without` may not, an accident of Prometheus's grammar.
    pub(super) fn is_grouping_label(self) -> bool {
        self != Keyword::Without
    }
}

/// The kind of a bare word outside braces.
pub(super) fn classify_word(word: &str) -> TokenKind {
    let lower = word.to_ascii_lowercase();
    if let Some(op) = AggregateOp::from_name(&lower) {
        return TokenKind::Aggregate(op);
    }
    if let Some(keyword) = Keyword::from_name(&lower) {
        return TokenKind::Keyword(keyword);
    }
    match lower.as_str() {
        "and" => TokenKind::Operator(BinaryOp::And),
        "or" => TokenKind::Operator(BinaryOp::Or),
        "unless" => TokenKind::Operator(BinaryOp::Unless),
        "atan2" => TokenKind::Operator(BinaryOp::Atan2),
        "inf" | "nan" => TokenKind::Number,
        _ if word.contains(':') => TokenKind::MetricIdentifier,
        _ => TokenKind::Identifier,
    }
}

/// A token and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
}

/// How many characters of a long token a message shows.
const SHOWN_CHARS_MAX: usize = 10;

impl Token {
    /// The token as a message names it: `identifier "foo"`, `<by>`, `end of input`.
    pub(super) fn describe(self, text: &str) -> String {
        let word = &text[self.span.start..self.span.end];
        match self.kind {
            TokenKind::EndOfInput => "end of input".to_owned(),
            TokenKind::Identifier => format!("identifier {}", quote(word)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quote(word)),
            TokenKind::String => format!("string {}", shortened(word)),
            TokenKind::Number => format!("number {}", shortened(word)),
            TokenKind::Duration => format!("duration {}", shortened(word)),
            TokenKind::Operator(_) | TokenKind::RegexMatch | TokenKind::RegexNotMatch | TokenKind::At => {
                format!("<op:{word}>")
            }
            TokenKind::Aggregate(_) => format!("<aggr:{word}>"),
            TokenKind::Keyword(keyword) if !keyword.is_preprocessor() => format!("<{word}>"),
            _ => quote(word),
        }
    }
}

fn shortened(word: &str) -> String {
    if word.len() <= SHOWN_CHARS_MAX {
        return quote(word);
    }
    let start: String = word.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{}...", quote(&start))
}
