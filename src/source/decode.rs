//! From YAML nodes to typed values, collecting every mistake instead of stopping at the first.
//!
//! A [`Decoder`] carries the file and the diagnostics; [`Fields`] walks one mapping and, at [`Fields::finish`], turns every
//! key that nobody asked for into an error with the nearest known key. Each reader returns `None` after it has reported.
//!
//! ```
//! use almenara::source::{SourceFile, decode::Decoder, yaml};
//! let source = SourceFile::new("f.yml", "interval: 15x\nnmae: a\n");
//! let (node, _) = yaml::parse(&source);
//! let mut decoder = Decoder::new(&source);
//! let mut fields = decoder.fields(node.as_ref().unwrap(), "group").unwrap();
//! fields.optional("interval", Decoder::duration);
//! fields.optional("name", Decoder::string);
//! fields.finish();
//! let text: Vec<String> = decoder.finish().iter().map(|d| d.to_string()).collect();
//! assert_eq!(text[0], "f.yml:1:11: unknown unit \"x\" in duration \"15x\"; write a number and a unit, such as 30s, 5m or 1h30m");
//! assert_eq!(text[1], "f.yml:2:1: unknown key \"nmae\" in group; did you mean \"name\"?");
//! ```

use std::time::Duration;

use super::keys::{Fate, Section};
use super::yaml::{Node, NodeKind};
use super::{Diagnostic, Diagnostics, Secret, SourceFile, Span, parse_bytes, parse_duration, suggest};

/// Reads nodes of one file and gathers what is wrong with them.
#[derive(Debug)]
pub struct Decoder<'a> {
    source: &'a SourceFile,
    diagnostics: Diagnostics,
    unknown_keys: UnknownKeys,
}

/// What becomes of keys that nobody asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UnknownKeys {
    /// They are errors.
    #[default]
    Refuse,
    /// They are passed over, for files that other programs extend.
    Ignore,
}

impl<'a> Decoder<'a> {
    /// A decoder for nodes of `source`.
    pub fn new(source: &'a SourceFile) -> Self {
        Decoder { source, diagnostics: Diagnostics::default(), unknown_keys: UnknownKeys::Refuse }
    }

    /// A decoder that treats unknown keys as `unknown_keys` says.
    pub fn with_unknown_keys(source: &'a SourceFile, unknown_keys: UnknownKeys) -> Self {
        Decoder { unknown_keys, ..Decoder::new(source) }
    }

    /// The file being read.
    pub fn source(&self) -> &'a SourceFile {
        self.source
    }

    /// What was wrong, in order of position.
    pub fn finish(self) -> Diagnostics {
        let mut all: Vec<Diagnostic> = self.diagnostics.into_iter().collect();
        all.sort_by_key(|diagnostic| diagnostic.at.as_ref().map_or(0, |(_, span)| span.start));
        let mut sorted = Diagnostics::default();
        all.into_iter().for_each(|diagnostic| sorted.push(diagnostic));
        sorted
    }

    /// Whether an error was reported so far.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.has_errors()
    }

    /// Reports any diagnostic.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports an error.
    pub fn error(&mut self, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::error(self.source, span, message));
    }

    /// Reports an error together with what to write instead.
    pub fn error_with_help(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.report(Diagnostic::error(self.source, span, message).with_help(help));
    }

    /// Reports a warning.
    pub fn warning(&mut self, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::warning(self.source, span, message));
    }

    fn expected(&mut self, node: &Node, what: &str) {
        self.error(node.span, format!("expected {what}, found {}", node.kind_name()));
    }

    /// Any plain value as text; a number or boolean keeps its spelling. Nothing is the empty string.
    pub fn string(&mut self, node: &Node) -> Option<String> {
        match &node.kind {
            NodeKind::Scalar { text, .. } => Some(text.clone()),
            NodeKind::Null => Some(String::new()),
            _ => {
                self.expected(node, "a text");
                None
            }
        }
    }

    /// A text that must never be shown.
    pub fn secret(&mut self, node: &Node) -> Option<Secret> {
        self.string(node).map(Secret::new)
    }

    /// A text that is not empty.
    pub fn non_empty_string(&mut self, node: &Node) -> Option<String> {
        let text = self.string(node)?;
        if text.is_empty() {
            self.error(node.span, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// `true` or `false`, also the words of YAML 1.1.
    pub fn bool(&mut self, node: &Node) -> Option<bool> {
        match node.as_str() {
            Some("true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y") => Some(true),
            Some("false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N") => Some(false),
            _ => {
                self.error_with_help(node.span, "not a boolean", "write true or false");
                None
            }
        }
    }

    /// A whole number in `range`.
    pub fn integer(&mut self, node: &Node, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let value = node.as_str().and_then(|text| text.replace('_', "").parse::<i64>().ok());
        match value.filter(|value| range.contains(value)) {
            Some(value) => Some(value),
            None => {
                let (low, high) = (*range.start(), *range.end());
                let bound =
                    if high == i64::MAX { format!("of at least {low}") } else { format!("from {low} to {high}") };
                self.error(node.span, format!("expected a whole number {bound}"));
                None
            }
        }
    }

    /// A whole number that is not negative.
    pub fn count(&mut self, node: &Node) -> Option<u64> {
        self.integer(node, 0..=i64::MAX).map(|value| value as u64)
    }

    /// A finite number.
    pub fn float(&mut self, node: &Node) -> Option<f64> {
        match node.as_str().and_then(|text| text.parse::<f64>().ok()).filter(|value| value.is_finite()) {
            Some(value) => Some(value),
            None => {
                self.error(node.span, "expected a number");
                None
            }
        }
    }

    /// A Prometheus duration such as `1h30m`.
    pub fn duration(&mut self, node: &Node) -> Option<Duration> {
        let Some(text) = node.as_str() else {
            self.expected(node, "a duration such as 30s");
            return None;
        };
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                let help = "write a number and a unit, such as 30s, 5m or 1h30m";
                self.error_with_help(node.span, error.to_string(), help);
                None
            }
        }
    }

    /// A duration above zero.
    pub fn positive_duration(&mut self, node: &Node) -> Option<Duration> {
        let duration = self.duration(node)?;
        if duration.is_zero() {
            self.error(node.span, "must be longer than zero");
            return None;
        }
        Some(duration)
    }

    /// A size in bytes: `512`, `10KB`, `1MiB`, `0` for no limit. Prometheus reads both spellings as powers of 1024.
    pub fn bytes(&mut self, node: &Node) -> Option<u64> {
        let parsed = node.as_str().and_then(parse_bytes);
        if parsed.is_none() {
            self.error_with_help(node.span, "not a size", "write bytes with a unit, such as 512KB, 10MB or 1GB");
        }
        parsed
    }

    /// A list; nothing is the empty list. Items that fail are reported and left out.
    pub fn list<'n, T>(
        &mut self,
        node: &'n Node,
        mut item: impl FnMut(&mut Self, &'n Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        match &node.kind {
            NodeKind::Sequence(nodes) => Some(nodes.iter().filter_map(|node| item(self, node)).collect()),
            NodeKind::Null => Some(Vec::new()),
            _ => {
                self.expected(node, "a list");
                None
            }
        }
    }

    /// A list of texts.
    pub fn strings(&mut self, node: &Node) -> Option<Vec<String>> {
        self.list(node, Self::string)
    }

    /// A mapping of free keys; nothing is the empty mapping. Each entry is the key, its place, and the value.
    pub fn map<T>(
        &mut self,
        node: &Node,
        mut value: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Option<Vec<(String, Span, T)>> {
        match &node.kind {
            NodeKind::Mapping(pairs) => Some(
                pairs
                    .iter()
                    .filter_map(|(key, node)| {
                        let name = self.string(key)?;
                        Some((name, key.span, value(self, node)?))
                    })
                    .collect(),
            ),
            NodeKind::Null => Some(Vec::new()),
            _ => {
                self.expected(node, "a mapping");
                None
            }
        }
    }

    /// The fields of a mapping with known keys. `what` names it in messages ("scrape config"). Nothing is an empty mapping.
    pub fn fields<'d, 'n>(&'d mut self, node: &'n Node, what: &'static str) -> Option<Fields<'d, 'a, 'n>> {
        let pairs: &'n [(Node, Node)] = match &node.kind {
            NodeKind::Mapping(pairs) => pairs,
            NodeKind::Null => &[],
            _ => {
                self.expected(node, &format!("a mapping ({what})"));
                return None;
            }
        };
        Some(Fields {
            decoder: self,
            span: node.span,
            what,
            pairs,
            section: None,
            known: Vec::new(),
            refused: Vec::new(),
        })
    }

    /// The fields of a mapping whose keys stand in Prometheus's table: what the table refuses is an error with its reason.
    pub fn section<'d, 'n>(&'d mut self, node: &'n Node, section: &'static Section) -> Option<Fields<'d, 'a, 'n>> {
        Some(Fields { section: Some(section), ..self.fields(node, section.what)? })
    }
}

/// One mapping being read. Ask for keys, then call [`Fields::finish`].
#[derive(Debug)]
pub struct Fields<'d, 'a, 'n> {
    /// To report and to read nested nodes.
    pub decoder: &'d mut Decoder<'a>,
    /// The mapping's place.
    pub span: Span,
    what: &'static str,
    pairs: &'n [(Node, Node)],
    section: Option<&'static Section>,
    known: Vec<&'static str>,
    refused: Vec<(&'static str, String)>,
}

impl<'a, 'n> Fields<'_, 'a, 'n> {
    /// The node under `key`, if it is there and not null.
    pub fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        let is_in_table =
            self.section.is_none_or(|section| section.key(key).is_some_and(|key| key.fate == Fate::ActedOn));
        debug_assert!(is_in_table, "BUG: {key:?} is read in {}, but the table of keys does not act on it", self.what);
        self.known.push(key);
        self.pairs.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value).filter(|v| !v.is_null())
    }

    /// The place of the key itself, for errors about the pair.
    pub fn key_span(&self, key: &str) -> Option<Span> {
        self.pairs.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(name, _)| name.span)
    }

    /// The value of `key`, `None` where it is not there or wrong (then reported).
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Decoder<'a>, &Node) -> Option<T>,
    ) -> Option<T> {
        let node = self.node(key)?;
        read(self.decoder, node)
    }

    /// As [`Fields::optional`] with a default.
    pub fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&mut Decoder<'a>, &Node) -> Option<T>,
    ) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// The value of `key`; an error where it is not there.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Decoder<'a>, &Node) -> Option<T>,
    ) -> Option<T> {
        let Some(node) = self.node(key) else {
            let what = self.what;
            self.decoder.error(self.span, format!("the key {key:?} is missing in {what}"));
            return None;
        };
        read(self.decoder, node)
    }

    /// Declares a key that exists in the field but is not supported here: an error that says why, never silence.
    pub fn unsupported(&mut self, key: &'static str, why: impl Into<String>) {
        self.refused.push((key, why.into()));
    }

    /// Reports every key that nobody asked for. Call it last.
    pub fn finish(self) {
        for (key, value) in self.pairs {
            let Some(name) = key.as_str() else {
                self.decoder.error(key.span, "a key must be a plain text");
                continue;
            };
            if self.known.contains(&name) || self.decoder.unknown_keys == UnknownKeys::Ignore {
                continue;
            }
            match self.section.and_then(|section| section.key(name)).map(|key| key.fate) {
                Some(Fate::Refused(why)) => {
                    self.decoder.error(key.span, format!("the key {name:?} in {} is not supported: {why}", self.what));
                    continue;
                }
                Some(Fate::Neutral { value: neutral, why }) => {
                    if !value.is_null() && value.as_str() != Some(neutral) {
                        let message = format!("the key {name:?} in {} is not supported: {why}", self.what);
                        self.decoder.error_with_help(value.span, message, format!("remove it or write {neutral}"));
                    }
                    continue;
                }
                Some(Fate::ActedOn) | None => {}
            }
            if let Some((_, why)) = self.refused.iter().find(|(refused, _)| *refused == name) {
                self.decoder.error(key.span, format!("the key {name:?} in {} is not supported: {why}", self.what));
                continue;
            }
            let mut diagnostic =
                Diagnostic::error(self.decoder.source, key.span, format!("unknown key {name:?} in {}", self.what));
            if let Some(near) = suggest::nearest(name, self.known.iter().copied()) {
                diagnostic = diagnostic.with_help(format!("did you mean {near:?}?"));
            }
            self.decoder.report(diagnostic);
        }
    }
}
