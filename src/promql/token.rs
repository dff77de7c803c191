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

/// Bytes of the longest word of the language.
const WORD_LEN_MAX: usize = 12;

/// The words of the language in lower case, in order; the lexer ignores case.
const WORDS: [(&str, TokenKind); 39] = [
    ("anchored", TokenKind::Keyword(Keyword::Anchored)),
    ("and", TokenKind::Operator(BinaryOp::And)),
    ("atan2", TokenKind::Operator(BinaryOp::Atan2)),
    ("avg", TokenKind::Aggregate(AggregateOp::Avg)),
    ("bool", TokenKind::Keyword(Keyword::Bool)),
    ("bottomk", TokenKind::Aggregate(AggregateOp::Bottomk)),
    ("by", TokenKind::Keyword(Keyword::By)),
    ("count", TokenKind::Aggregate(AggregateOp::Count)),
    ("count_values", TokenKind::Aggregate(AggregateOp::CountValues)),
    ("end", TokenKind::Keyword(Keyword::End)),
    ("fill", TokenKind::Keyword(Keyword::Fill)),
    ("fill_left", TokenKind::Keyword(Keyword::FillLeft)),
    ("fill_right", TokenKind::Keyword(Keyword::FillRight)),
    ("group", TokenKind::Aggregate(AggregateOp::Group)),
    ("group_left", TokenKind::Keyword(Keyword::GroupLeft)),
    ("group_right", TokenKind::Keyword(Keyword::GroupRight)),
    ("ignoring", TokenKind::Keyword(Keyword::Ignoring)),
    ("inf", TokenKind::Number),
    ("limit_ratio", TokenKind::Aggregate(AggregateOp::LimitRatio)),
    ("limitk", TokenKind::Aggregate(AggregateOp::Limitk)),
    ("max", TokenKind::Aggregate(AggregateOp::Max)),
    ("max_of", TokenKind::Keyword(Keyword::MaxOf)),
    ("min", TokenKind::Aggregate(AggregateOp::Min)),
    ("min_of", TokenKind::Keyword(Keyword::MinOf)),
    ("nan", TokenKind::Number),
    ("offset", TokenKind::Keyword(Keyword::Offset)),
    ("on", TokenKind::Keyword(Keyword::On)),
    ("or", TokenKind::Operator(BinaryOp::Or)),
    ("quantile", TokenKind::Aggregate(AggregateOp::Quantile)),
    ("range", TokenKind::Keyword(Keyword::Range)),
    ("smoothed", TokenKind::Keyword(Keyword::Smoothed)),
    ("start", TokenKind::Keyword(Keyword::Start)),
    ("stddev", TokenKind::Aggregate(AggregateOp::Stddev)),
    ("stdvar", TokenKind::Aggregate(AggregateOp::Stdvar)),
    ("step", TokenKind::Keyword(Keyword::Step)),
    ("sum", TokenKind::Aggregate(AggregateOp::Sum)),
    ("topk", TokenKind::Aggregate(AggregateOp::Topk)),
    ("unless", TokenKind::Operator(BinaryOp::Unless)),
    ("without", TokenKind::Keyword(Keyword::Without)),
];

/// What `word` is in the language, whatever its case; `None` for a name.
fn known_word(word: &str) -> Option<TokenKind> {
    let mut lower = [0; WORD_LEN_MAX];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    let at = WORDS.binary_search_by(|(known, _)| known.as_bytes().cmp(lower)).ok()?;
    Some(WORDS[at].1)
}

impl Keyword {
    /// The keyword spelt `word`, whatever its case.
    pub(super) fn from_name(word: &str) -> Option<Self> {
        match known_word(word) {
            Some(TokenKind::Keyword(keyword)) => Some(keyword),
            _ => None,
        }
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
    known_word(word).unwrap_or_else(|| match word.contains(':') {
        true => TokenKind::MetricIdentifier,
        false => TokenKind::Identifier,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_order_and_found_whatever_their_case() {
        assert!(WORDS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(WORDS.iter().map(|(word, _)| word.len()).max(), Some(WORD_LEN_MAX));
        for (word, kind) in WORDS {
            assert_eq!(classify_word(&word.to_ascii_uppercase()), kind, "{word}");
        }
        assert!(AggregateOp::names().all(|name| matches!(classify_word(name), TokenKind::Aggregate(_))));
        assert_eq!(classify_word("summ"), TokenKind::Identifier);
        assert_eq!(classify_word("a_long_name:sum"), TokenKind::MetricIdentifier);
    }
}
