//! Texts in the notations of series, read out of YAML: a mistake is placed inside the text.

use crate::rules::place_of;
use crate::source::decode::Decoder;
use crate::source::yaml::Node;
use crate::source::{Diagnostic, Span};

use super::series::SeriesError;

/// Reads the text of `node` with `parse`, which counts within the text.
pub(super) fn read<T>(
    decoder: &mut Decoder<'_>,
    node: &Node,
    parse: impl FnOnce(&str) -> Result<T, SeriesError>,
) -> Option<T> {
    let text = decoder.string(node)?;
    match parse(&text) {
        Ok(value) => Some(value),
        Err(error) => {
            let start = place_of(decoder.source(), node, error.span.start).start;
            let span = Span::new(start, node.span.end.max(start));
            decoder.report(Diagnostic::error(decoder.source(), span, error.message));
            None
        }
    }
}
