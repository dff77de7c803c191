//! Selectors in specifications: plain ones, read by the parser of the query language.
//!
//! In the flow: [`super::decode`] calls it for each counter and gauge. Mistakes stand at their place inside the text.

use std::collections::BTreeSet;

use crate::model::{MatchOp, Matcher, format_float};
use crate::promql;
use crate::promql::ast::ExprKind;
use crate::source::Span;
use crate::source::decode::Decoder;
use crate::source::yaml::{Node, NodeKind};

use super::latency::BOUND;
use super::spec::Selector;

/// Reads a plain selector such as `up{job="x"}`: no range, no offset, nothing around it.
pub(super) fn read(decoder: &mut Decoder<'_>, node: &Node) -> Option<Selector> {
    let text = decoder.non_empty_string(node)?;
    let expr = match promql::parse(&text) {
        Ok(expr) => expr,
        Err(errors) => {
            tell(decoder, node, &text, errors);
            return None;
        }
    };
    let span = place(decoder, node, &text, expr.span);
    match expr.kind {
        ExprKind::VectorSelector(selector) if selector.offset_ms == 0 && selector.at.is_none() => {
            Some(Selector { text: text.into(), matchers: selector.matchers })
        }
        ExprKind::VectorSelector(_) => {
            decoder.error_with_help(span, "an indicator counts samples where they are", "leave out offset and @");
            None
        }
        ExprKind::MatrixSelector { selector, .. } => {
            let help =
                format!("write `{}`: windows are the objective's", promql_selector(&text, selector.name.as_deref()));
            decoder.error_with_help(span, "expected a selector without a range", help);
            None
        }
        _ => {
            let help = "name the counter or gauge itself, such as `http_requests_total{job=\"api\"}`: increases are counted exactly, \
                        and group_by splits them";
            decoder.error_with_help(span, "expected a plain selector, found an expression", help);
            None
        }
    }
}

/// The selector with tests on `le` that find a bound however it is spelled: `1` and `1.0` are one. Prometheus 3 writes the second, files
/// that are older than it the first.
pub(super) fn with_any_spelling(mut selector: Selector) -> Selector {
    for test in &mut selector.matchers {
        let bound = test.value.parse::<f64>().ok().filter(|bound| bound.is_finite());
        let (Some(bound), MatchOp::Equal, BOUND) = (bound, test.op, &*test.name) else { continue };
        let spellings: BTreeSet<String> =
            [test.value.to_string(), bound.to_string(), format!("{bound:?}"), format_float(bound)].into();
        let pattern = spellings.iter().map(|spelling| regex::escape(spelling)).collect::<Vec<_>>().join("|");
        *test = Matcher::new(MatchOp::Regex, BOUND, pattern).expect("BUG: escaped numbers are no pattern");
    }
    selector
}

/// The selector before the brackets; its text where that is easy to cut, else its name.
fn promql_selector<'a>(text: &'a str, name: Option<&'a str>) -> &'a str {
    text.rsplit_once('[').map(|(before, _)| before.trim()).or(name).unwrap_or(text)
}

/// Tells what is wrong with the PromQL of `node`, whose text is `text`, at its place.
pub(super) fn tell(decoder: &mut Decoder<'_>, node: &Node, text: &str, errors: Vec<promql::ParseError>) {
    for error in errors {
        let span = place(decoder, node, text, error.span);
        match error.help {
            Some(help) => decoder.error_with_help(span, error.message, help),
            None => decoder.error(span, error.message),
        }
    }
}

/// The place in the file of a place in the text. A text whose bytes do not stand in the file as they are (escapes, blocks) is one place.
pub(super) fn place(decoder: &Decoder<'_>, node: &Node, text: &str, span: Span) -> Span {
    let NodeKind::Scalar { block: false, .. } = node.kind else { return node.span };
    let written = decoder.source().text.get(node.span.start..node.span.end).unwrap_or_default();
    match written.find(text) {
        Some(offset) => span.shifted(node.span.start + offset),
        None => node.span,
    }
}
