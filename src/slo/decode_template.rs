//! Defaults and templates: what many objectives have in common is written once, so that a hundred services are a hundred short lines.
//!
//! In the flow: [`super::decode`] expands the list `slos` before it reads it; what comes out is as if it had been written in full.
//!
//! ```yaml
//! defaults: {window: 28d, owner: platform}      # under every objective of the file
//! templates:
//!   http:
//!     name: ${service}-requests
//!     objective: 99.9
//!     indicator:
//!       errors: {bad: 'http_requests_total{job="${service}",code=~"5.."}', total: 'http_requests_total{job="${service}"}'}
//! slos:
//!   - {template: http, service: cart}
//!   - {template: http, service: search, objective: 99.5, with: {job: search-api}}
//! ```
//!
//! What an objective says itself wins over its template, and that over the defaults; mappings are joined key by key, but an indicator of another
//! kind takes the place of the one before. `${key}` stands for a plain value of the objective itself or of its `with`.
//! **Invariants.** Mistakes in a template are told at their place in the template, once.

use crate::source::decode::Decoder;
use crate::source::suggest;
use crate::source::yaml::{Node, NodeKind};

/// What a file says once.
pub(super) struct Templates<'n> {
    defaults: Option<&'n Node>,
    named: &'n [(Node, Node)],
}

impl<'n> Templates<'n> {
    /// The keys `defaults` and `templates` of a file.
    pub(super) fn of(decoder: &mut Decoder<'_>, defaults: Option<&'n Node>, templates: Option<&'n Node>) -> Self {
        let mut mapping = |node: Option<&'n Node>| match node.map(|node| (&node.kind, node.span)) {
            Some((NodeKind::Mapping(pairs), _)) => pairs.as_slice(),
            Some((_, span)) => {
                decoder.error(span, "expected a mapping");
                &[]
            }
            None => &[],
        };
        let named = mapping(templates);
        mapping(defaults);
        Templates { defaults: defaults.filter(|node| matches!(node.kind, NodeKind::Mapping(_))), named }
    }

    /// The objective as if it had been written in full; `None` where that cannot be told.
    pub(super) fn expand(&self, decoder: &mut Decoder<'_>, node: &Node) -> Option<Node> {
        let NodeKind::Mapping(_) = &node.kind else { return Some(node.clone()) };
        let mut full = node.clone();
        let mut is_expanded = false;
        if let Some(template) = node.get("template") {
            let name = decoder.non_empty_string(template)?;
            let found = self.named.iter().find(|(key, _)| key.as_str() == Some(&name));
            let Some((_, found)) = found else {
                let known = self.named.iter().filter_map(|(key, _)| key.as_str());
                let help = suggest::nearest(&name, known)
                    .map_or("add it under templates".to_owned(), |near| format!("did you mean {near:?}?"));
                decoder.error_with_help(template.span, format!("there is no template {name:?}"), help);
                return None;
            };
            full = merged(found, &full);
            is_expanded = true;
        }
        if let Some(defaults) = self.defaults {
            full = merged(defaults, &full);
            is_expanded = true;
        }
        if !is_expanded && node.get("with").is_none() {
            return Some(full);
        }
        let parameters = parameters(&full);
        let NodeKind::Mapping(pairs) = full.kind else { return None };
        let own = pairs.into_iter().filter(|(key, _)| !matches!(key.as_str(), Some("template" | "with")));
        let filled = own.map(|(key, value)| Some((key, fill(decoder, value, &parameters)?)));
        Some(Node { span: node.span, kind: NodeKind::Mapping(filled.collect::<Option<Vec<_>>>()?) })
    }
}

/// `over` laid on `under`.
fn merged(under: &Node, over: &Node) -> Node {
    let (NodeKind::Mapping(low), NodeKind::Mapping(high)) = (&under.kind, &over.kind) else { return over.clone() };
    let mut pairs = high.clone();
    for (key, value) in low {
        match pairs.iter_mut().find(|(name, _)| name.as_str() == key.as_str()) {
            None => pairs.push((key.clone(), value.clone())),
            Some((name, own)) if name.as_str() != Some("indicator") || is_same_kind(value, own) => {
                *own = merged(value, own)
            }
            Some(_) => {}
        }
    }
    Node { span: over.span, kind: NodeKind::Mapping(pairs) }
}

/// Whether two indicators have their first key in common.
fn is_same_kind(a: &Node, b: &Node) -> bool {
    let first = |node: &Node| match &node.kind {
        NodeKind::Mapping(pairs) => pairs.first().and_then(|(key, _)| key.as_str()).map(str::to_owned),
        _ => None,
    };
    first(a) == first(b)
}

/// The plain values of the objective and of its `with`, which come first.
fn parameters(node: &Node) -> Vec<(String, String)> {
    let plain = |node: &Node| match &node.kind {
        NodeKind::Mapping(pairs) => pairs
            .iter()
            .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), value.as_str()?.to_owned())))
            .collect(),
        _ => Vec::new(),
    };
    let mut all = node.get("with").map(plain).unwrap_or_default();
    all.extend(plain(node));
    all
}

/// The node with `${key}` filled in.
fn fill(decoder: &mut Decoder<'_>, node: Node, parameters: &[(String, String)]) -> Option<Node> {
    let span = node.span;
    let kind = match node.kind {
        NodeKind::Scalar { text, plain, block } => {
            NodeKind::Scalar { text: fill_text(decoder, span, text, parameters)?, plain, block }
        }
        NodeKind::Sequence(nodes) => {
            let filled = nodes.into_iter().map(|node| fill(decoder, node, parameters));
            NodeKind::Sequence(filled.collect::<Option<_>>()?)
        }
        NodeKind::Mapping(pairs) => {
            let filled = pairs.into_iter().map(|(key, value)| Some((key, fill(decoder, value, parameters)?)));
            NodeKind::Mapping(filled.collect::<Option<_>>()?)
        }
        NodeKind::Null => NodeKind::Null,
    };
    Some(Node { span, kind })
}

fn fill_text(
    decoder: &mut Decoder<'_>,
    span: crate::source::Span,
    text: String,
    parameters: &[(String, String)],
) -> Option<String> {
    if !text.contains("${") {
        return Some(text);
    }
    let mut filled = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { break };
        let Some((_, value)) = parameters.iter().find(|(key, value)| key == name && !value.contains("${")) else {
            let help = format!("write {name} in the objective, or with: {{{name}: …}}");
            decoder.error_with_help(span, format!("`${{{name}}}` is not given by every objective that uses it"), help);
            return None;
        };
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}
