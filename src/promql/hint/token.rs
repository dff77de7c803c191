//! Help for a word that cannot stand where it is.

use super::character::SECONDS;
use super::last_word;
use crate::promql::ast::{AggregateOp, BinaryOp};
use crate::promql::functions;
use crate::promql::token::{Keyword, Token, TokenKind};

/// A token that cannot stand where it is, and what is around it.
struct Found<'a> {
    kind: TokenKind,
    word: &'a str,
    /// The text before and after, without the space between.
    before: &'a str,
    after: &'a str,
}

impl Found<'_> {
    /// The word right before, if there is one.
    fn word_before(&self) -> &str {
        last_word(self.before)
    }

    fn after_operand(&self) -> bool {
        self.before
            .ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, ')' | ']' | '}' | '_' | '"' | '\'' | '`'))
    }

    /// Whether the innermost open parenthesis is that of a call. Quotes are not looked at: it is help, not a judgement.
    fn is_in_call(&self) -> bool {
        let mut closed = 0usize;
        for (at, c) in self.before.char_indices().rev() {
            match (c, closed) {
                (')', _) => closed += 1,
                ('(', 0) => {
                    return self.before[..at].trim_end().ends_with(|c: char| c.is_ascii_alphanumeric() || c == ')');
                }
                ('(', _) => closed -= 1,
                _ => {}
            }
        }
        false
    }
}

/// For a token that cannot stand where it is; `context` is the one the message names.
pub(in crate::promql) fn for_token(text: &str, token: Token, context: &str) -> Option<String> {
    let found = Found {
        kind: token.kind,
        word: &text[token.span.start..token.span.end],
        before: text[..token.span.start].trim_end(),
        after: text[token.span.end..].trim_start(),
    };
    match context {
        "label matching" => for_matcher(&found),
        "grouping opts" => for_grouping(&found),
        "offset" => Some(match found.kind {
            TokenKind::String => "a duration stands without quotes: `metric offset 5m`".to_owned(),
            _ => "write a duration: `metric offset 5m`".to_owned(),
        }),
        "@" => Some(for_at(&found)),
        "subquery or range" if found.kind == TokenKind::Comma => {
            Some("put a colon between range and step: [30m:1m]".to_owned())
        }
        "subquery or range selector" if found.kind == TokenKind::RightBracket => {
            Some("write a duration, such as [5m]".to_owned())
        }
        _ => for_operator(&found),
    }
}

fn for_matcher(found: &Found<'_>) -> Option<String> {
    let (word, before) = (found.word, found.before);
    let value_expected = before.ends_with(['=', '~']);
    let help = match found.kind {
        TokenKind::Equal if before.ends_with(['{', ',']) => "name the label first: `{label=\"value\"}`",
        TokenKind::Equal => "inside braces a single `=` compares: `{label=\"value\"}`",
        TokenKind::Identifier if value_expected => return Some(format!("put the value in quotes: \"{word}\"")),
        TokenKind::Identifier => match word {
            "and" => "separate matchers by commas; all of them must hold",
            "or" => "write a regular expression of the values, `label=~\"a|b\"`, or join two selectors by `or`",
            "in" => "write a regular expression of the values: `label=~\"a|b\"`",
            _ => "separate matchers by commas",
        },
        TokenKind::String if before.ends_with(['"', '\'', '`']) => "separate matchers by commas",
        TokenKind::String => "compare the label: `{label=\"value\"}`",
        TokenKind::RightBrace | TokenKind::Comma if value_expected => "write the value in quotes: `{label=\"value\"}`",
        TokenKind::Comma if before.ends_with(['{', ',']) => "one comma between two matchers is enough",
        TokenKind::RightBrace | TokenKind::Comma => "compare the label: `{label=\"value\"}`",
        _ => return None,
    };
    Some(help.to_owned())
}

fn for_grouping(found: &Found<'_>) -> Option<String> {
    let keyword = found.word_before().to_ascii_lowercase();
    let help = match found.kind {
        TokenKind::Identifier if matches!(keyword.as_str(), "by" | "without" | "on" | "ignoring") => {
            return Some(format!("labels stand in parentheses: ({})", found.word));
        }
        TokenKind::Identifier if !found.before.ends_with([',', '(']) => "separate labels by commas",
        TokenKind::Keyword(Keyword::GroupLeft | Keyword::GroupRight) => {
            "one of `group_left` and `group_right` is enough"
        }
        TokenKind::Keyword(Keyword::By | Keyword::Without) => "one of `by` and `without` is enough",
        TokenKind::LeftParen => "close the list of labels before this: `by (job) (…)`",
        TokenKind::Equal | TokenKind::Operator(_) => {
            "only names of labels stand here; a matcher goes into the braces of a metric"
        }
        TokenKind::Number | TokenKind::Duration => "labels have names, not numbers",
        TokenKind::Comma => "one comma between two labels is enough",
        TokenKind::EndOfInput => "labels stand in parentheses: (job)",
        _ => return None,
    };
    Some(help.to_owned())
}

fn for_at(found: &Found<'_>) -> String {
    match (found.word_before().to_ascii_lowercase().as_str(), found.word) {
        (keyword @ ("start" | "end"), _) => format!("write `metric @ {keyword}()`"),
        (_, "now") => "leave it out: without `@` the time is that of the query".to_owned(),
        _ if found.kind == TokenKind::String => SECONDS.to_owned(),
        _ => "write seconds since 1970, `start()` or `end()`".to_owned(),
    }
}

fn for_operator(found: &Found<'_>) -> Option<String> {
    let (word, before, after) = (found.word, found.before, found.after);
    let help = match found.kind {
        TokenKind::Equal => for_equal(before, after),
        TokenKind::Operator(op) => return for_operator_twice(found, op),
        TokenKind::Keyword(Keyword::GroupLeft | Keyword::GroupRight) => {
            return Some(format!("`{word}` follows `on (…)` or `ignoring (…)`"));
        }
        TokenKind::Keyword(Keyword::Bool) if before.ends_with(')') => {
            "`bool` stands right after the operator: `a > bool on (…) b`"
        }
        TokenKind::Keyword(Keyword::On | Keyword::Ignoring | Keyword::Bool) => {
            return Some(format!("`{word}` follows a binary operator: `a * {word} …`"));
        }
        TokenKind::EndOfInput
            if before.ends_with('%') && before[..before.len() - 1].ends_with(|c: char| c.is_ascii_digit()) =>
        {
            "`%` is the remainder of a division; ratios are written as such: 0.5"
        }
        TokenKind::EndOfInput => "the expression ends too early",
        TokenKind::RightParen if before.ends_with('(') => "write an expression into the parentheses",
        TokenKind::RightParen => "an operand is missing before the parenthesis",
        TokenKind::LeftBracket => "a range follows a metric: `metric[5m]`",
        TokenKind::LeftBrace if before.ends_with('}') => "write all matchers into one pair of braces",
        TokenKind::Comma if before.ends_with(['(', ',']) => "an argument is missing before the comma",
        TokenKind::Comma
            if before.ends_with(|c: char| c.is_ascii_digit()) && after.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            "write a number without commas, such as 1000 or 1_000"
        }
        TokenKind::Comma if !found.is_in_call() => "write one expression; `or` joins the series of two",
        TokenKind::String => "texts stand only as arguments and as label values",
        _ => return for_word(found),
    };
    Some(help.to_owned())
}

fn for_equal(before: &str, after: &str) -> &'static str {
    if after.starts_with(['"', '\'', '`']) {
        return "labels are compared inside braces: `metric{label=\"value\"}`";
    }
    match after.chars().next() {
        Some('>') => "write `>=`",
        Some('<') => "write `<=`",
        _ if before.ends_with("==") => "write `==`",
        _ if before.ends_with("!=") => "write `!=`",
        _ => "`=` compares labels inside braces; write `==` to compare values",
    }
}

fn for_operator_twice(found: &Found<'_>, op: BinaryOp) -> Option<String> {
    let before = found.before;
    let help = match op {
        _ if before.ends_with('<') => "write `!=` for \"not equal\"",
        BinaryOp::Mul if before.ends_with('*') => "write `^` for a power",
        BinaryOp::Div if before.ends_with('/') => "write one `/`; `floor(a / b)` rounds down",
        BinaryOp::Mul if before.ends_with('/') => "a comment begins with #",
        op if op.is_comparison() && before.ends_with(['=', '>']) => "write one comparison: ==, !=, >, <, >= or <=",
        _ if !found.after_operand() => return Some(format!("an operand is missing before `{}`", found.word)),
        _ => return None,
    };
    Some(help.to_owned())
}

/// For a name, a number or a selector where an operator could stand.
fn for_word(found: &Found<'_>) -> Option<String> {
    let word = found.word;
    let is_value = matches!(
        found.kind,
        TokenKind::Identifier | TokenKind::Number | TokenKind::LeftBrace | TokenKind::Aggregate(_)
    );
    if !is_value {
        return None;
    }
    let operators = "the operators are + - * / % ^ == != > < >= <= and or unless";
    let before = found.word_before();
    Some(match word.to_ascii_lowercase().as_str() {
        "not" | "in" | "where" | "xor" => format!("there is no `{word}`; {operators}"),
        "is" => "write `==`".to_owned(),
        "mod" => "write `%`".to_owned(),
        "if" => "write `and`".to_owned(),
        "between" => "write two comparisons: `metric >= 1 <= 2`".to_owned(),
        "like" | "matches" => "regular expressions match labels, inside braces: `metric{label=~\"a.*\"}`".to_owned(),
        "as" => "a result gets its name by `record:` of a rule".to_owned(),
        "for" => "`for` is a key of the alert, beside `expr`".to_owned(),
        "join" => "write an operator with `on (…)`, such as `a * on (job) b`".to_owned(),
        "group" | "groupby" | "group_by" if found.after.starts_with(['b', '(']) => {
            "write `by (…)` alone, right after the aggregation".to_owned()
        }
        _ if before.eq_ignore_ascii_case("not") => format!("there is no `{before}`; {operators}"),
        _ if before.eq_ignore_ascii_case("select") => "write the metric alone: there are no statements".to_owned(),
        _ if found.before.ends_with(':') => "write the expression alone, without the key before it".to_owned(),
        _ if is_function(before) => format!("put the argument in parentheses: `{before}({word})`"),
        _ if is_set_operator(before) => format!("an operand is missing before `{before}`"),
        _ if !found.after_operand() => return None,
        _ if found.is_in_call() => format!("put a comma or an operator before `{word}`"),
        _ => format!("put an operator before `{word}`"),
    })
}

fn is_function(word: &str) -> bool {
    functions::lookup(word).is_some() || AggregateOp::from_name(&word.to_ascii_lowercase()).is_some()
}

fn is_set_operator(word: &str) -> bool {
    ["and", "or", "unless", "atan2"].iter().any(|operator| word.eq_ignore_ascii_case(operator))
}
