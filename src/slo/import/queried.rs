//! Queries of other tools that are not made of counters, as indicators of queries over windows.
//!
//! In the flow: the importers try [`super::terms`] first, so that whatever can be counted is counted; each query that is not tells why.

use std::sync::Arc;

use crate::promql::ast::{Expr, ValueType};
use crate::source::Span;
use crate::source::decode::Decoder;
use crate::source::yaml::Node;

use super::super::decode_query::{Read, grouping_of, of_two, parse, warn_of_subqueries};
use super::super::query::{Queried, Query, places};
use super::super::spec::{Indicator, PartIs};
use super::terms::{self, NoCount};

/// What an importer makes of a query: an indicator, and the labels that tell its groups apart.
pub(super) type Sli = (Indicator, Vec<Arc<str>>);

/// A query as the other tool has it.
pub(super) struct Given {
    pub(super) span: Span,
    /// As written.
    pub(super) text: String,
    /// With some window where it has places for one.
    pub(super) expr: Expr,
}

impl Given {
    /// Reads the query of `node`.
    pub(super) fn read(decoder: &mut Decoder<'_>, node: &Node) -> Option<Given> {
        let text = decoder.non_empty_string(node)?;
        let expr = match parse(&text) {
            Ok(expr) => expr,
            Err(errors) => {
                errors.iter().for_each(|error| decoder.error(node.span, format!("{} in `{text}`", error.message)));
                return None;
            }
        };
        Some(Given { span: node.span, text, expr })
    }

    /// Whether it is evaluated over a window that somebody gives.
    pub(super) fn has_window(&self) -> bool {
        !places(&self.text).is_empty()
    }

    /// Whether it gives a number, and no elements.
    pub(super) fn is_scalar(&self) -> bool {
        self.expr.value_type() == ValueType::Scalar
    }

    /// As it is.
    pub(super) fn as_written(&self) -> Read {
        Read { query: Query::new(&self.text), expr: self.expr.clone() }
    }

    /// Its mean over the window, where it has no window of its own. What is no number counts only where there is nothing else: an idle time is no
    /// unknown one, and must not make a month unknown.
    pub(super) fn mean(&self) -> Read {
        let written = &self.expr;
        let vector = if self.is_scalar() { format!("vector({written})") } else { format!("({written})") };
        let text = format!("avg_over_time(({vector} >= -Inf)[$window:1m]) or avg_over_time({vector}[$window:1m])");
        let expr = parse(&text).unwrap_or_else(|_| written.clone());
        Read { query: Query::new(&text), expr }
    }

    /// Tells that it is not counted, and why.
    pub(super) fn tell(&self, decoder: &mut Decoder<'_>, why: &NoCount) {
        let why = why.told(&self.text);
        decoder.warning(
            self.span,
            format!("{why}: it is evaluated as a query over each window, and not counted event by event"),
        );
    }

    /// Tells that its mean counts.
    pub(super) fn tell_of_mean(&self, decoder: &mut Decoder<'_>) {
        let message = "the query has no window: what counts is its mean over each window, every minute alike, and not event by event";
        decoder.warning(self.span, message);
    }

    /// Whether it gives elements or a number, and so can be asked.
    pub(super) fn is_vector(&self, decoder: &mut Decoder<'_>) -> bool {
        let found = self.expr.value_type();
        let is_vector = matches!(found, ValueType::Vector | ValueType::Scalar);
        if is_vector {
            warn_of_subqueries(decoder, self.span, &self.expr);
        } else {
            decoder.error(
                self.span,
                format!("expected a query of an instant vector or a scalar, found a {}", found.documented()),
            );
        }
        is_vector
    }
}

/// Two queries as events: counters where both are made of them, else queries over windows.
pub(super) fn events(
    decoder: &mut Decoder<'_>,
    node: &Node,
    part: &Given,
    part_is: PartIs,
    total: &Given,
) -> Option<Sli> {
    let (part_count, total_count) = (terms::count(&part.expr), terms::count(&total.expr));
    for (given, count) in [(part, &part_count), (total, &total_count)] {
        count.as_ref().err().into_iter().for_each(|why| given.tell(decoder, why));
    }
    if let (Ok(part), Ok(total)) = (part_count, total_count) {
        return counted(decoder, node, part, part_is, total);
    }
    asked(decoder, node, (part, part.as_written()), part_is, (total, total.as_written()))
}

/// An indicator of counters.
pub(super) fn counted(
    decoder: &mut Decoder<'_>,
    node: &Node,
    part: terms::Count,
    part_is: PartIs,
    total: terms::Count,
) -> Option<Sli> {
    if part.terms == total.terms && part_is == PartIs::Bad {
        decoder.error(node.span, "error and total are the same query, so that every event would be bad");
        return None;
    }
    let group_by = super::grouping(decoder, node, part.grouping.as_deref(), total.grouping.as_deref())?;
    Some((Indicator::Errors { part: part.terms, part_is, total: total.terms }, group_by))
}

/// An indicator of two queries, each with what is asked for it.
pub(super) fn asked(
    decoder: &mut Decoder<'_>,
    node: &Node,
    (part, part_read): (&Given, Read),
    part_is: PartIs,
    (total, total_read): (&Given, Read),
) -> Option<Sli> {
    if !part.is_vector(decoder) | !total.is_vector(decoder) {
        return None;
    }
    let groupings = [part, total].map(|given| grouping_of(&given.expr));
    let group_by = super::grouping(decoder, node, groupings[0].as_deref(), groupings[1].as_deref())?;
    Some((of_two(decoder, node.span, part_read, part_is, total_read)?, group_by))
}

/// A query of the share of bad events.
pub(super) fn ratio(decoder: &mut Decoder<'_>, given: &Given, read: Read) -> Option<Sli> {
    let group_by = grouping_of(&given.expr).unwrap_or_default();
    given.is_vector(decoder).then_some((Indicator::Queried(Queried::Ratio(read.query)), group_by))
}
