//! What to write instead: help for the common mistakes, beside Prometheus's own message.
//!
//! In the flow: lexer, parser and type check ask here when they report. A hint is one sentence without a final stop; where
//! it can, it shows the user's own expression put right.
//!
//! **Invariants.** A suggested expression that is shown whole parses. None where we would only guess.
//! **Limits.** [`SHOWN_LEN_MAX`].

use std::sync::Arc;

use crate::source::{Span, suggest};

use super::ast::{Aggregate, AggregateOp, Call, Expr, ExprKind, ValueType};
use super::functions::{self, FUNCTIONS, Function, FunctionId};
use super::token::{Keyword, Token, TokenKind};

/// Bytes of an expression repeated in a hint; a longer one would hide the advice.
const SHOWN_LEN_MAX: usize = 200;

/// `expr` as printed, or a stand-in where that would be too long.
fn shown(expr: &Expr) -> String {
    let text = expr.to_string();
    if text.len() <= SHOWN_LEN_MAX { text } else { "…".to_owned() }
}

/// For a parenthesis at `open` that nothing closes.
pub(super) fn unclosed(text: &str, open: usize) -> String {
    let before = text[..open].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
    let (line, column) =
        (text[..open].matches('\n').count() + 1, open - text[..open].rfind('\n').map_or(0, |n| n + 1) + 1);
    format!("the parenthesis opened by `{before}(` at {line}:{column} is not closed")
}

/// For a character that cannot stand at `start`.
pub(super) fn for_lexer(text: &str, start: usize, in_braces: bool, in_brackets: bool) -> Option<String> {
    let rest = &text[start..];
    let c = rest.chars().next();
    let help = match c {
        Some('$') => "variables such as `$__rate_interval` belong to Grafana; write a duration or value, such as 5m",
        Some('&') => "write `and`",
        Some('|') => "write `or`",
        Some('!') if in_braces => "write `!=` or `!~`",
        Some('!') => "write `!=` to compare, or `unless` to take series out",
        Some('=') if rest.starts_with("=~") => {
            "regular expressions match labels, inside braces: `metric{label=~\"a|b\"}`"
        }
        Some(';') => "an expression ends without a semicolon",
        Some('.') if !in_brackets => "put a name with dots in quotes, inside braces: `{\"my.metric\"}`",
        Some('“' | '”' | '‘' | '’') => "write plain quotes: \"…\"",
        Some('–' | '—' | '−') => "write a plain minus: -",
        Some('"' | '\'') => "write `\\\\` for a backslash, or put the text in backquotes",
        Some(c) if in_brackets && c.is_ascii_alphabetic() => "a range is a number and a unit, such as [5m]",
        Some(c) if in_braces && c.is_ascii_digit() => "put the value in quotes: `{label=\"1\"}`",
        Some(c) if c.is_ascii_digit() => {
            "write a number, or a duration with the units y, w, d, h, m, s, ms in this order, such as 1h30m"
        }
        None if in_braces => "close the braces: }",
        None if in_brackets => "close the bracket: ]",
        _ => return None,
    };
    Some(help.to_owned())
}

/// For a token that cannot stand where it is; `context` is the one the message names.
pub(super) fn for_token(text: &str, token: Token, context: &str) -> Option<String> {
    let word = &text[token.span.start..token.span.end];
    let before = text[..token.span.start].trim_end();
    match context {
        "label matching" => for_matcher_token(token, word, before),
        "grouping opts" if token.kind == TokenKind::Identifier => for_grouping_token(word, before),
        _ => for_operator_token(token, word, before),
    }
}

fn for_matcher_token(token: Token, word: &str, before: &str) -> Option<String> {
    let value_expected = before.ends_with(['=', '~']);
    let help = match token.kind {
        TokenKind::Equal => "inside braces a single `=` compares: `{label=\"value\"}`".to_owned(),
        TokenKind::Identifier if value_expected => format!("put the value in quotes: \"{word}\""),
        TokenKind::Identifier | TokenKind::String => "separate matchers by commas".to_owned(),
        TokenKind::RightBrace | TokenKind::Comma if value_expected => {
            "write the value in quotes: `{label=\"value\"}`".to_owned()
        }
        TokenKind::RightBrace | TokenKind::Comma => "compare the label: `{label=\"value\"}`".to_owned(),
        _ => return None,
    };
    Some(help)
}

fn for_grouping_token(word: &str, before: &str) -> Option<String> {
    if before.ends_with([',', '(']) {
        return None;
    }
    if ends_with_grouping_keyword(before) {
        return Some(format!("labels stand in parentheses: ({word})"));
    }
    Some("separate labels by commas".to_owned())
}

fn for_operator_token(token: Token, word: &str, before: &str) -> Option<String> {
    let after_operand = before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, ')' | ']' | '}' | '_'));
    let help = match token.kind {
        TokenKind::Equal => "`=` compares labels inside braces; write `==` to compare values".to_owned(),
        TokenKind::Operator(_) if before.ends_with('<') => "write `!=` for \"not equal\"".to_owned(),
        TokenKind::Operator(op) if op.is_comparison() && before.ends_with(['=', '>']) => {
            "write one comparison: ==, !=, >, <, >= or <=".to_owned()
        }
        TokenKind::Keyword(Keyword::GroupLeft | Keyword::GroupRight) => {
            format!("`{word}` follows `on (…)` or `ignoring (…)`")
        }
        TokenKind::Keyword(Keyword::On | Keyword::Ignoring | Keyword::Bool) => {
            format!("`{word}` follows a binary operator: `a * {word} …`")
        }
        TokenKind::EndOfInput => "the expression ends too early".to_owned(),
        TokenKind::Identifier if matches!(word.to_ascii_lowercase().as_str(), "not" | "in" | "where" | "xor") => {
            format!("there is no `{word}`; the operators are + - * / % ^ == != > < >= <= and or unless")
        }
        TokenKind::Identifier | TokenKind::Number | TokenKind::LeftBrace | TokenKind::Aggregate(_) if after_operand => {
            format!("put an operator before `{word}`")
        }
        _ => return None,
    };
    Some(help)
}

fn ends_with_grouping_keyword(before: &str) -> bool {
    let word = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
    ["by", "without", "on", "ignoring"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// For `by` or `without` after something that is not an aggregation; `keyword` is its place, `expr` what stands before.
pub(super) fn for_misplaced_grouping(text: &str, expr: &Expr, keyword: Span) -> String {
    let word = &text[keyword.start..keyword.end];
    let without = word.eq_ignore_ascii_case("without");
    let labels: Vec<Arc<str>> = labels_after(&text[keyword.end..]);
    let subject = match &expr.kind {
        ExprKind::Call(call) => format!("`{}`", call.function.name),
        _ => "an expression".to_owned(),
    };
    let fixed = match &expr.kind {
        ExprKind::Call(call) if is_classic_histogram_function(call.function.id) => {
            grouped_histogram(expr, call, labels, without)
        }
        _ => aggregated(expr.clone(), labels, without),
    };
    let fixed = fixed.to_string();
    // What stands before may be wrong in itself, which the type check has not seen yet.
    if fixed.len() > SHOWN_LEN_MAX || super::parse(&fixed).is_err() {
        return format!(
            "`{word}` follows the aggregation, not {subject}; write it after a `sum` or another aggregation"
        );
    }
    format!("`{word}` follows the aggregation, not {subject}; write `{fixed}`")
}

/// The labels in the parentheses at the start of `text`, as far as they can be read.
fn labels_after(text: &str) -> Vec<Arc<str>> {
    let Some(inside) = text.trim_start().strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
        return Vec::new();
    };
    let labels = inside.0.split(',').map(|label| label.trim().trim_matches('"'));
    labels.filter(|label| !label.is_empty()).map(Arc::from).collect()
}

fn is_classic_histogram_function(id: FunctionId) -> bool {
    matches!(id, FunctionId::HistogramQuantile | FunctionId::HistogramFraction | FunctionId::HistogramQuantiles)
}

/// The call with its buckets aggregated by `labels`; classic buckets keep their `le`.
fn grouped_histogram(expr: &Expr, call: &Call, mut labels: Vec<Arc<str>>, without: bool) -> Expr {
    let mut call = call.clone();
    let Some(buckets) = call.args.iter_mut().find(|arg| arg.value_type() == ValueType::Vector) else {
        return aggregated(expr.clone(), labels, without);
    };
    if without {
        labels.retain(|label| &**label != "le");
    } else if buckets.to_string().contains("_bucket") && !labels.iter().any(|label| &**label == "le") {
        labels.push("le".into());
    }
    match &mut buckets.kind {
        ExprKind::Aggregate(aggregate) if aggregate.grouping.is_empty() && !aggregate.without => {
            (aggregate.grouping, aggregate.without) = (labels, without);
        }
        _ => *buckets = aggregated(buckets.clone(), labels, without),
    }
    Expr { span: expr.span, kind: ExprKind::Call(call) }
}

fn aggregated(expr: Expr, grouping: Vec<Arc<str>>, without: bool) -> Expr {
    let span = expr.span;
    let aggregate = Aggregate { op: AggregateOp::Sum, expr, param: None, grouping, without };
    Expr { span, kind: ExprKind::Aggregate(Box::new(aggregate)) }
}

/// For the name of a function that does not exist.
pub(super) fn for_unknown_function(name: &str) -> Option<String> {
    let renamed = match name {
        "holt_winters" => Some("double_exponential_smoothing"),
        "mean_over_time" => Some("avg_over_time"),
        "percentile_over_time" => Some("quantile_over_time"),
        "increase_over_time" => Some("increase"),
        "mean" | "average" => Some("avg"),
        "log" => Some("ln"),
        "percentile" => Some("quantile"),
        "top" => Some("topk"),
        "bottom" => Some("bottomk"),
        "distinct" | "count_distinct" => Some("count"),
        _ => None,
    };
    let known = FUNCTIONS.iter().map(|function| function.name).chain(AggregateOp::names());
    let near = renamed.or_else(|| suggest::nearest(name, known))?;
    Some(format!("did you mean `{near}`?"))
}

/// What the aggregation takes.
pub(super) fn for_aggregate_arguments(op: AggregateOp) -> Option<String> {
    let name = op.as_str();
    let param = match op {
        AggregateOp::CountValues => "\"label\", ",
        AggregateOp::Quantile => "0.9, ",
        AggregateOp::LimitRatio => "0.5, ",
        _ if op.has_param() => "5, ",
        _ => "",
    };
    Some(format!("write `{name}({param}metric)`"))
}

/// The arguments of a function by type.
pub(super) fn signature(function: &Function) -> String {
    let mut args: Vec<&str> = function.args.iter().map(|arg| arg.documented()).collect();
    let last = match function.variadic {
        0 => "",
        1 => ", the last of which may be left out",
        _ => ", the last of which may be left out or repeated",
    };
    if args.is_empty() {
        args.push("no arguments");
    }
    format!("`{}` takes {}{last}", function.name, args.join(", "))
}

/// For a regular expression that does not compile.
pub(super) fn for_regex(pattern: &str) -> Option<String> {
    if pattern.starts_with(['*', '+', '?']) {
        return Some(format!("write \".{pattern}\": the pattern is a regular expression, not a file pattern"));
    }
    if ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|look| pattern.contains(look)) {
        return Some("there is no look-around; use a second matcher such as `!~`".to_owned());
    }
    None
}

/// For a number or duration whose value cannot be read.
pub(super) fn for_literal(kind: TokenKind) -> Option<String> {
    (kind == TokenKind::Duration)
        .then(|| "write units from large to small, each once and whole: 1h30m, 1m30s, 500ms".to_owned())
}

/// For a range after something that is not a selector; `brackets` are as written.
pub(super) fn for_range_of_expression(brackets: &str) -> String {
    let inside = brackets.trim_matches(['[', ']']).trim();
    format!("put the range directly after the metric, or write a subquery: `(…)[{inside}:]`")
}

/// For an argument of the wrong type.
pub(super) fn for_argument_type(function: &Function, wanted: ValueType, arg: &Expr) -> Option<String> {
    let name = function.name;
    match (wanted, arg.value_type()) {
        (ValueType::Matrix, ValueType::Vector) => Some(for_missing_range(name, arg)),
        (ValueType::Vector, ValueType::Matrix) => Some(format!(
            "`{name}` takes the current value; remove the range, or put a function such as `rate` around it"
        )),
        (ValueType::Vector, ValueType::Scalar) => Some(format!("write `vector({})`", shown(arg))),
        (ValueType::Scalar, ValueType::Vector) => Some(format!("write `scalar({})`", shown(arg))),
        (ValueType::String, _) => Some("put the text in quotes".to_owned()),
        _ => Some(signature(function)),
    }
}

fn for_missing_range(function: &str, arg: &Expr) -> String {
    match &arg.unparenthesised().kind {
        ExprKind::VectorSelector(_) if functions::lookup(function).is_some_and(|function| function.args.len() > 1) => {
            format!("write `{}[5m]` there", shown(arg.unparenthesised()))
        }
        ExprKind::VectorSelector(selector) if selector.offset_ms == 0 && selector.at.is_none() => {
            format!("write `{function}({}[5m])`", shown(arg.unparenthesised()))
        }
        ExprKind::VectorSelector(_) => "put a range such as [5m] after the metric, before `offset` and `@`".to_owned(),
        ExprKind::Aggregate(aggregate)
            if aggregate.param.is_none() && matches!(aggregate.expr.kind, ExprKind::VectorSelector(_)) =>
        {
            let inner = shown(&aggregate.expr);
            format!(
                "take `{function}` of each series first, then aggregate: `{}({function}({inner}[5m]))`",
                aggregate.op.as_str()
            )
        }
        ExprKind::Binary(_) | ExprKind::Unary { .. } => {
            format!("write a subquery: `{function}(({})[5m:])`", shown(arg.unparenthesised()))
        }
        _ => format!("write a subquery: `{function}({}[5m:])`", shown(arg.unparenthesised())),
    }
}

/// For an aggregation over something that is not an instant vector.
pub(super) fn for_aggregated_type(op: AggregateOp, expr: &Expr) -> Option<String> {
    match expr.value_type() {
        ValueType::Matrix => {
            let range = shown(expr);
            Some(format!("put a function over the range first: `{}(rate({range}))` for a counter", op.as_str()))
        }
        ValueType::Scalar => Some(format!("write `vector({})`", shown(expr))),
        _ => None,
    }
}

/// For a side of an operator that is neither a number nor an instant vector.
pub(super) fn for_operand_type(expr: &Expr) -> Option<String> {
    match expr.value_type() {
        ValueType::Matrix => Some(format!("put a function over the range, such as `rate({})`", shown(expr))),
        ValueType::String => Some("texts stand only as arguments and as label values".to_owned()),
        _ => None,
    }
}
