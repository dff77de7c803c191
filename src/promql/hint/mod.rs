//! What to write instead: help for the common mistakes, beside Prometheus's own message.
//!
//! In the flow: lexer, parser and type check ask here when they report. A hint is one sentence without a final stop; where
//! it can, it shows the user's own expression put right.
//!
//! **Invariants.** A suggested expression that is shown whole parses. None where we would only guess.
//! **Limits.** [`SHOWN_LEN_MAX`].

mod character;
mod grouping;
mod operand;
mod token;

pub(super) use character::{Inside, for_lexer};
pub(super) use grouping::for_misplaced_grouping;
pub(super) use operand::{
    MovedTime, for_aggregated_type, for_argument_type, for_misplaced_time, for_missing_quotes, for_operand_type,
    for_range_of_expression,
};
pub(super) use token::for_token;

use crate::source::suggest;

use super::ast::{AggregateOp, Expr};
use super::functions::{FUNCTIONS, Function};
use super::token::TokenKind;
use grouping::is_classic_histogram_function;

/// Bytes of an expression repeated in a hint; a longer one would hide the advice.
const SHOWN_LEN_MAX: usize = 200;

/// `expr` as printed, or a stand-in where that would be too long.
fn shown(expr: &Expr) -> String {
    let text = expr.to_string();
    if text.len() <= SHOWN_LEN_MAX { text } else { "…".to_owned() }
}

/// What functions are called elsewhere or were called before, and here.
const RENAMED: &[(&str, &str)] = &[
    ("average", "avg"),
    ("bottom", "bottomk"),
    ("count_distinct", "count"),
    ("day", "day_of_month"),
    ("derivative", "deriv"),
    ("distinct", "count"),
    ("histogram_percentile", "histogram_quantile"),
    ("holt_winters", "double_exponential_smoothing"),
    ("increase_over_time", "increase"),
    ("label_set", "label_replace"),
    ("log", "ln"),
    ("mean", "avg"),
    ("mean_over_time", "avg_over_time"),
    ("moving_average", "avg_over_time"),
    ("now", "time"),
    ("percentile", "quantile"),
    ("percentile_over_time", "quantile_over_time"),
    ("rate_over_time", "rate"),
    ("rollup_rate", "rate"),
    ("std", "stddev"),
    ("top", "topk"),
];

/// Functions of other languages that are something else here.
const FOREIGN: &[(&str, &str)] = &[
    ("coalesce", "write `a or b`"),
    ("if", "there is no `if`; a comparison leaves out what does not hold, and `bool` gives 0 or 1"),
    (
        "label_values",
        "this belongs to the variables of Grafana; `group by (label) (metric)` gives the values of a label",
    ),
    ("median", "write `quantile(0.5, metric)`"),
    ("median_over_time", "write `quantile_over_time(0.5, metric[5m])`"),
    ("query_result", "this belongs to the variables of Grafana; write the expression alone"),
    ("range_quantile", "write `quantile_over_time(0.9, metric[5m])`"),
    ("using", "write `on (…)` or `ignoring (…)`"),
];

/// The word at the end of `text`, empty where something else stands there.
fn last_word(text: &str) -> &str {
    text.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// For a parenthesis at `open` that nothing closes.
pub(super) fn unclosed(text: &str, open: usize) -> String {
    let mut before = last_word(&text[..open]);
    // `sum by (job) (` is known by its beginning.
    let head = text[..open].trim_end();
    if before.is_empty() && head.ends_with(')') {
        let labels = head.rfind('(').unwrap_or(0);
        let keyword = head[..labels].trim_end();
        let (aggregation, keyword) = keyword.split_at(keyword.len() - last_word(keyword).len());
        let is_grouping = ["by", "without"].iter().any(|word| keyword.eq_ignore_ascii_case(word));
        let aggregation = aggregation.trim_end();
        let start = aggregation.len() - last_word(aggregation).len();
        if is_grouping && start < aggregation.len() {
            before = &text[start..open];
        }
    }
    let (line, column) =
        (text[..open].matches('\n').count() + 1, open - text[..open].rfind('\n').map_or(0, |n| n + 1) + 1);
    format!("the parenthesis opened by `{before}(` at {line}:{column} is not closed")
}

/// For a parenthesis that closes nothing.
pub(super) fn unopened() -> String {
    "there is one `)` too many, or its `(` is missing".to_owned()
}

/// For the name of a function that does not exist.
pub(super) fn for_unknown_function(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if name != lower && FUNCTIONS.iter().any(|function| function.name == lower) {
        return Some(format!("functions are written in lower case: `{lower}`"));
    }
    if let Some((_, advice)) = FOREIGN.iter().find(|(foreign, _)| *foreign == lower) {
        return Some((*advice).to_owned());
    }
    let renamed = RENAMED.iter().find(|(foreign, _)| *foreign == lower).map(|(_, known)| *known);
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
