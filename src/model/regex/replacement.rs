//! Replacement texts: literal parts and references to groups, as Go's `regexp.Expand` reads them.
//!
//! `$1` and `$name` take the longest run of letters, digits and underscores, so `$1x` is the group named `1x`; `${1}x` is
//! group one and an `x`; `$$` is a dollar sign; a dollar sign before anything else stands for itself. A group that does not
//! exist, or did not take part in the match, is empty.
//!
//! In the flow: relabelling parses its replacements once, `label_replace` and templates for each call.
//! **Source.** Go `regexp.Expand`.

use std::sync::Arc;

use regex::Captures;

use super::Pattern;

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Index(usize),
    Name(String),
}

/// A text with references, parsed once.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// As written.
    pub text: Arc<str>,
    /// `None` where the text has no dollar sign and is taken as it is.
    parts: Option<Vec<Part>>,
}

impl Replacement {
    /// Any text is a replacement.
    pub fn new(text: &str) -> Self {
        Replacement { text: Arc::from(text), parts: text.contains('$').then(|| parse(text)) }
    }

    /// The text for a match of `pattern`.
    pub fn expand(&self, pattern: &Pattern, captures: &Captures<'_>) -> Arc<str> {
        self.expand_with(|part| match part {
            Part::Literal(text) => text,
            Part::Index(index) => captures.get(*index).map_or("", |group| group.as_str()),
            Part::Name(name) => pattern.group(name, captures).unwrap_or(""),
        })
    }

    /// The text for a match of `(.*)` on `value`, without running it.
    pub fn expand_whole(&self, value: &str) -> Arc<str> {
        self.expand_with(|part| match part {
            Part::Literal(text) => text,
            Part::Index(0 | 1) => value,
            Part::Index(_) | Part::Name(_) => "",
        })
    }

    fn expand_with<'a>(&'a self, text_of: impl Fn(&'a Part) -> &'a str) -> Arc<str> {
        match &self.parts {
            None => self.text.clone(),
            Some(parts) => parts.iter().map(text_of).collect::<String>().into(),
        }
    }
}

fn parse(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        literal.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            literal.push('$');
            rest = after;
            continue;
        }
        let Some((name, after)) = reference(rest) else {
            literal.push('$');
            continue;
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(match group_index(name) {
            Some(index) => Part::Index(index),
            None => Part::Name(name.to_owned()),
        });
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    parts
}

/// `name` or `{name}` at the start of `text`, and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (braced, inner) = match text.strip_prefix('{') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let end = inner.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inner.len());
    let (name, after) = inner.split_at(end);
    let after = if braced { after.strip_prefix('}')? } else { after };
    (!name.is_empty()).then_some((name, after))
}

/// Go reads a name of digits alone as a number, except one with a leading zero or beyond a hundred million.
fn group_index(name: &str) -> Option<usize> {
    const INDEX_END: usize = 100_000_000;
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    is_number.then(|| name.parse().ok()).flatten().filter(|index| *index < INDEX_END)
}
