//! Our tree against that of `promql-parser`: both are written in one notation, and the texts must be equal.
//!
//! Every expression of the corpus and thousands of mutations go through both. Where they disagree, the reason stands in [`DIFFERENT`], and the
//! real Prometheus, to which `parser_peer` holds us on the same mutations, is right.

use std::fmt::Write;

use almenara::model::{MatchOp, format_float};
use almenara::promql::ast::{AtModifier, Cardinality, Expr, ExprKind, VectorMatching, VectorSelector};
use almenara::promql::parse;
use promql_parser::label::{MatchOp as TheirOp, Matchers};
use promql_parser::parser::{
    self as theirs, AtModifier as TheirAt, Expr as Their, LabelModifier, Offset, VectorMatchCardinality,
};
use regex::Regex;

use crate::corpus;
use crate::mutate::Mutator;

/// Mutations of the corpus, all seeded.
const MUTATIONS: usize = 20_000;

/// Where the crate differs: a pattern of the expression, and why. Prometheus 3.5 judges each as we do.
const DIFFERENT: &[(&str, &str)] = &[
    (r"</|>/", "Prometheus 3.14 has the operators; 3.5 and the crate have not"),
    (r"\\x|\\[0-7]", "a byte escape is a byte to Prometheus, and a character to the crate"),
    (
        r#"\+\s*["'`]"#,
        "the crate drops a plus sign before it checks what it stands at; Prometheus refuses a text there",
    ),
    (r"\+\s*[a-zA-Z_:][\w:]*\s*(\{[^}]*\}\s*)?\[", "and a range"),
    (r"\[\s*\+", "a range may have a sign"),
    (r"\[\s*0+\s*[\]:]", "a range of 0 is refused"),
    (r"\([^()]*:[^()]*\)", "a label of a grouping may have a colon"),
    (r"\(\s*[-+]\s*[0-9]", "a number with a sign is a number, no vector"),
    (r"@\s*(start|end)\s*\(\s*\)\s*\[", "`@ end()` may stand before the range"),
    (r"offset\s*[-+]\s*[-+]", "an offset may have two signs"),
];

#[test]
#[expect(clippy::print_stderr, reason = "the figures are worth seeing")]
fn both_accept_the_same_and_read_it_alike() {
    let different: Vec<Regex> = DIFFERENT.iter().map(|(pattern, _)| Regex::new(pattern).unwrap()).collect();
    let expressions = corpus::expressions();
    let good: Vec<&String> = expressions.iter().filter(|text| parse(text).is_ok()).collect();
    let mut mutator = Mutator::new(20_261_125);
    let mutated = (0..MUTATIONS).map(|number| mutator.mutate_expression(good[number * 7_919 % good.len()]));
    let (mut accepted, mut refused, mut experimental, mut explained) = (0, 0, 0, 0);
    let mut wrong = String::new();
    for text in expressions.iter().cloned().chain(mutated) {
        // The crate panics on some durations, which counts as refusing.
        let theirs = std::panic::catch_unwind(|| theirs::parse(&text)).unwrap_or_else(|_| Err("it panics".to_owned()));
        match (parse(&text), theirs) {
            (Ok(ours), Ok(theirs)) if of_ours(&ours) == of_theirs(&theirs) => accepted += 1,
            (Err(_), Err(_)) => refused += 1,
            (Err(errors), Ok(_)) if is_experimental(&errors[0].message) => experimental += 1,
            _ if different.iter().any(|pattern| pattern.is_match(&text)) => explained += 1,
            (Ok(ours), Ok(theirs)) => {
                writeln!(wrong, "{text:?}\n  ours:   {}\n  theirs: {}", of_ours(&ours), of_theirs(&theirs)).unwrap();
            }
            (Ok(ours), Err(error)) => writeln!(wrong, "{text:?} is {ours} to us, and refused: {error}").unwrap(),
            (Err(errors), Ok(theirs)) => {
                writeln!(wrong, "{text:?} is refused, {}, and accepted: {theirs}", errors[0]).unwrap()
            }
        }
    }
    eprintln!(
        "{accepted} trees equal, {refused} refused by both, {experimental} not of the stable language, {explained} explained"
    );
    assert!(wrong.is_empty(), "{wrong}");
    assert!(accepted > 1_000 && refused > MUTATIONS / 4, "too little was compared");
}

/// What Prometheus has behind a feature flag is always on in the crate.
fn is_experimental(message: &str) -> bool {
    message.contains("experimental") || message.starts_with("function ") && message.ends_with(" is not enabled")
}

/// Our tree in the common notation.
fn of_ours(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Number(value) | ExprKind::Duration(value) => format!("number {}", format_float(*value)),
        ExprKind::String(text) => format!("text {text:?}"),
        ExprKind::Bytes(bytes) => format!("bytes {bytes:?}"),
        ExprKind::VectorSelector(selector) => our_selector(selector),
        ExprKind::MatrixSelector { selector, range_ms } => format!("{} over {range_ms}", our_selector(selector)),
        ExprKind::Subquery(subquery) => format!(
            "[{}] over {} by {:?} at {} back {}",
            of_ours(&subquery.expr),
            subquery.range_ms,
            subquery.step_ms,
            our_at(subquery.at),
            subquery.offset_ms
        ),
        ExprKind::Call(call) => {
            let args: Vec<String> = call.args.iter().map(of_ours).collect();
            format!("{}({})", call.function.name, args.join("; "))
        }
        ExprKind::Aggregate(aggregate) => {
            let word = if aggregate.without { "without" } else { "by" };
            let param = aggregate.param.as_ref().map(of_ours);
            let inner = of_ours(&aggregate.expr);
            format!("{} {word} {} ({param:?}; {inner})", aggregate.op.as_str(), sorted(&aggregate.grouping))
        }
        ExprKind::Binary(binary) => {
            let matching = binary.matching.as_ref().map(our_matching).unwrap_or_default();
            let (lhs, rhs) = (of_ours(&binary.lhs), of_ours(&binary.rhs));
            format!("({lhs} {}{} {matching} {rhs})", binary.op.as_str(), if binary.return_bool { " bool" } else { "" })
        }
        // The crate drops a plus sign.
        ExprKind::Unary { negate: true, operand } => format!("-{}", of_ours(operand)),
        ExprKind::Unary { negate: false, operand } => of_ours(operand),
        ExprKind::Paren(inner) => format!("<{}>", of_ours(inner)),
    }
}

fn sorted(labels: &[impl AsRef<str>]) -> String {
    let mut labels: Vec<&str> = labels.iter().map(AsRef::as_ref).collect();
    labels.sort_unstable();
    labels.dedup();
    format!("{labels:?}")
}

fn our_at(at: Option<AtModifier>) -> String {
    match at {
        None => "now".to_owned(),
        Some(AtModifier::Start) => "start".to_owned(),
        Some(AtModifier::End) => "end".to_owned(),
        Some(AtModifier::Time(time)) => time.as_ms().to_string(),
    }
}

fn our_selector(selector: &VectorSelector) -> String {
    let op = |op| match op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    let mut matchers: Vec<String> =
        selector.matchers.iter().map(|m| format!("{}{}{:?}", m.name, op(m.op), m.value)).collect();
    matchers.sort();
    // A matcher that stands twice says nothing new; the crate keeps names apart, which may repeat one too.
    matchers.dedup();
    format!("{{{}}} at {} back {}", matchers.join(","), our_at(selector.at), selector.offset_ms)
}

fn our_matching(matching: &VectorMatching) -> String {
    let mut text = match matching.cardinality {
        Cardinality::OneToOne => "1:1".to_owned(),
        Cardinality::ManyToMany => "n:n".to_owned(),
        Cardinality::ManyToOne => format!("n:1 {}", sorted(&matching.include)),
        Cardinality::OneToMany => format!("1:n {}", sorted(&matching.include)),
    };
    let word = if matching.on { "on" } else { "ignoring" };
    write!(text, " {word} {}", sorted(&matching.labels)).unwrap();
    text
}

/// The crate's tree in the common notation.
fn of_theirs(expr: &Their) -> String {
    match expr {
        Their::NumberLiteral(number) => format!("number {}", format_float(number.val)),
        Their::StringLiteral(text) => format!("text {:?}", text.val),
        Their::VectorSelector(selector) => their_selector(selector),
        Their::MatrixSelector(matrix) => format!("{} over {}", their_selector(&matrix.vs), matrix.range.as_millis()),
        Their::Subquery(subquery) => format!(
            "[{}] over {} by {:?} at {} back {}",
            of_theirs(&subquery.expr),
            subquery.range.as_millis(),
            subquery.step.map(|step| step.as_millis()),
            their_at(subquery.at.as_ref()),
            their_offset(subquery.offset.as_ref())
        ),
        Their::Call(call) => {
            let args: Vec<String> = call.args.args.iter().map(|arg| of_theirs(arg)).collect();
            format!("{}({})", call.func.name, args.join("; "))
        }
        Their::Aggregate(aggregate) => {
            let (word, labels) = match &aggregate.modifier {
                Some(LabelModifier::Exclude(labels)) => ("without", labels.labels.as_slice()),
                Some(LabelModifier::Include(labels)) => ("by", labels.labels.as_slice()),
                None => ("by", [].as_slice()),
            };
            let param = aggregate.param.as_ref().map(|param| of_theirs(param));
            format!("{} {word} {} ({param:?}; {})", aggregate.op, sorted(labels), of_theirs(&aggregate.expr))
        }
        Their::Binary(binary) => their_binary(binary),
        Their::Unary(unary) => format!("-{}", of_theirs(&unary.expr)),
        Their::Paren(paren) => format!("<{}>", of_theirs(&paren.expr)),
        Their::Extension(_) => "an extension".to_owned(),
    }
}

fn their_selector(selector: &theirs::VectorSelector) -> String {
    let Matchers { matchers, .. } = &selector.matchers;
    let mut texts: Vec<String> = matchers
        .iter()
        .map(|matcher| {
            let op = match &matcher.op {
                TheirOp::Equal => "=",
                TheirOp::NotEqual => "!=",
                TheirOp::Re(_) => "=~",
                TheirOp::NotRe(_) => "!~",
            };
            format!("{}{op}{:?}", matcher.name, matcher.value)
        })
        .collect();
    texts.extend(selector.name.iter().map(|name| format!("__name__={name:?}")));
    texts.sort();
    texts.dedup();
    let (at, offset) = (their_at(selector.at.as_ref()), their_offset(selector.offset.as_ref()));
    format!("{{{}}} at {at} back {offset}", texts.join(","))
}

fn their_at(at: Option<&TheirAt>) -> String {
    match at {
        None => "now".to_owned(),
        Some(TheirAt::Start) => "start".to_owned(),
        Some(TheirAt::End) => "end".to_owned(),
        Some(TheirAt::At(time)) => match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => after.as_millis().to_string(),
            Err(before) => format!("-{}", before.duration().as_millis()),
        },
    }
}

fn their_offset(offset: Option<&Offset>) -> i128 {
    match offset {
        None => 0,
        Some(Offset::Pos(duration)) => duration.as_millis() as i128,
        Some(Offset::Neg(duration)) => -(duration.as_millis() as i128),
    }
}

fn their_binary(binary: &theirs::BinaryExpr) -> String {
    let is_vector = |expr: &Their| expr.value_type() == theirs::value::ValueType::Vector;
    let modifier = binary.modifier.as_ref();
    let mut matching = String::new();
    if is_vector(&binary.lhs) && is_vector(&binary.rhs) {
        let is_set = binary.op.is_set_operator();
        matching = match modifier.map(|modifier| &modifier.card) {
            _ if is_set => "n:n".to_owned(),
            None | Some(VectorMatchCardinality::OneToOne) => "1:1".to_owned(),
            Some(VectorMatchCardinality::ManyToMany) => "n:n".to_owned(),
            Some(VectorMatchCardinality::ManyToOne(labels)) => format!("n:1 {}", sorted(&labels.labels)),
            Some(VectorMatchCardinality::OneToMany(labels)) => format!("1:n {}", sorted(&labels.labels)),
        };
        let (word, labels) = match modifier.and_then(|modifier| modifier.matching.as_ref()) {
            Some(LabelModifier::Include(labels)) => ("on", labels.labels.as_slice()),
            Some(LabelModifier::Exclude(labels)) => ("ignoring", labels.labels.as_slice()),
            None => ("ignoring", [].as_slice()),
        };
        write!(matching, " {word} {}", sorted(labels)).unwrap();
    }
    let is_bool = if modifier.is_some_and(|modifier| modifier.return_bool) { " bool" } else { "" };
    format!("({} {}{is_bool} {matching} {})", of_theirs(&binary.lhs), binary.op, of_theirs(&binary.rhs))
}
