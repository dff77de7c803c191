//! Regular expressions as users of Prometheus write them: Go's syntax, run by Rust's engine.
//!
//! In the flow: matchers, relabelling, `label_replace`, templates and test scripts compile what users write with
//! [`Pattern`] and expand replacement texts with [`Replacement`]; nobody else hands a user's text to the `regex` crate.
//!
//! The two dialects differ where it hurts: `\d`, `\w`, `\s` and `\b` are ASCII in Go, `[a&&b]` and `[a[b]` are plain
//! sets of characters, `{x}` is literal text, `a**` is a mistake. A small parser reads the pattern by Go's rules, reports
//! mistakes in Go's words, and writes the same expression in Rust's syntax.
//!
//! **Invariants.** A pattern that compiles means the same in Go, for every text that is UTF-8. Groups keep their numbers.
//! **Cost and limits.** Translation is one pass, small beside compilation. A compiled pattern takes at most
//! [`COMPILED_BYTES_MAX`]; matching is linear in the text, as in Go.
//! **Source.** Go `regexp/syntax` (documentation and behaviour, Perl flags), as Prometheus 3.5 uses it.
//! **Differs:** regular expressions that need more than 10 MiB when compiled, such as `\pL{1000}`, or nest deeper than 250
//! levels of groups, repetitions and sequences, are refused; Go's own limits are wider.
//! **Differs:** a regular expression must be valid by itself; relabelling and `label_replace` of Prometheus accept `a)(b`,
//! whose parentheses pair with those of the anchors, refuse `\Q` without `\E`, and quote the anchors in their messages.
//! **Differs:** a script's name in `\p{…}` may lack its underscores (`\p{Olditalic}`); tables of Unicode are Rust's.

mod class;
mod escape;
mod replacement;
mod translator;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex::{Captures, Regex, RegexBuilder};

pub use replacement::Replacement;
use translator::Flags;

/// A compiled expression may not need more than this many bytes: patterns come from users.
const COMPILED_BYTES_MAX: usize = 10 << 20;
/// A longer expression is compiled when it is read.
const LAZY_BYTES_MAX: usize = 256;
/// The same of one that reads alike in both dialects ([`is_plain`]): the costliest part of it, a dot, compiles to some 500 bytes.
const LAZY_PLAIN_BYTES_MAX: usize = 4 << 10;
/// Deepest nesting of groups, repetitions, alternations and sequences: compilation is recursive.
const NESTING_MAX: u32 = 250;

/// Which part of a text a pattern has to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchoring {
    /// All of it; `.` matches a line break too. For matchers and relabelling.
    Whole,
    /// Any part. For templates and test scripts.
    Anywhere,
}

/// Why a pattern cannot be used, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    mistake: &'static str,
    /// The part of the pattern that is meant.
    part: String,
}

impl PatternError {
    fn new(mistake: &'static str, part: &str) -> Self {
        PatternError { mistake, part: part.to_owned() }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.mistake, self.part)
    }
}

impl std::error::Error for PatternError {}

/// A checked expression. Clones share what is compiled.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Arc<str>,
    compiled: Arc<Compiled>,
    /// Names of groups with the groups' numbers, in the order of the groups; Go lets several share one name.
    names: Box<[(String, usize)]>,
}

/// An expression in Rust's syntax. A short one is compiled when it is first matched: most of those in a rule file that is checked,
/// or whose rules a test does not reach, never are, and to compile one takes longer than to read the rule around it.
#[derive(Debug)]
struct Compiled {
    source: Source,
    regex: OnceLock<Regex>,
}

#[derive(Debug)]
enum Source {
    /// The pattern itself, which needs no translation.
    Plain(Arc<str>, Anchoring),
    Translated(Box<str>),
}

impl Compiled {
    fn plain(text: Arc<str>, anchoring: Anchoring) -> Compiled {
        Compiled { source: Source::Plain(text, anchoring), regex: OnceLock::new() }
    }

    fn translated(source: String) -> Result<Compiled, regex::Error> {
        // Without repetition by number and without classes of Unicode so short a text stays far below all limits.
        let has_unicode_class = source.contains(r"\p") || source.contains(r"\P");
        let is_small = source.len() <= LAZY_BYTES_MAX && !source.contains('{') && !has_unicode_class;
        let regex = if is_small { OnceLock::new() } else { OnceLock::from(build(&source)?) };
        Ok(Compiled { source: Source::Translated(source.into()), regex })
    }

    fn regex(&self) -> &Regex {
        let build = || match &self.source {
            Source::Plain(text, anchoring) => build(&anchored(text, *anchoring)),
            Source::Translated(source) => build(source),
        };
        self.regex.get_or_init(|| build().unwrap_or_else(|error| panic!("BUG: a small expression is refused: {error}")))
    }
}

fn anchored(source: &str, anchoring: Anchoring) -> String {
    match anchoring {
        Anchoring::Whole => format!("^(?s:{source})$"),
        Anchoring::Anywhere => source.to_owned(),
    }
}

/// Whether `text` is surely a pattern, and one that both dialects write alike: letters, digits and some marks, dots, bars, and what
/// repeats one of them once. Most patterns of matchers are so: `5..`, `.+`, `api|web`.
fn is_plain(text: &str) -> bool {
    let mut can_repeat = false;
    text.len() <= LAZY_PLAIN_BYTES_MAX
        && text.bytes().all(|byte| {
            let could_repeat = std::mem::replace(&mut can_repeat, false);
            match byte {
                b'*' | b'+' | b'?' => could_repeat,
                b'|' => true,
                b'.' | b'_' | b'-' | b':' | b'/' | b',' | b'=' | b' ' => {
                    can_repeat = true;
                    true
                }
                _ => {
                    can_repeat = true;
                    byte.is_ascii_alphanumeric()
                }
            }
        })
}

fn build(source: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source).size_limit(COMPILED_BYTES_MAX).nest_limit(NESTING_MAX).build()
}

impl Pattern {
    /// Checks `text`, and compiles it where it may be too large.
    pub fn new(text: impl Into<Arc<str>>, anchoring: Anchoring) -> Result<Pattern, PatternError> {
        let text = text.into();
        if is_plain(&text) {
            let compiled = Arc::new(Compiled::plain(Arc::clone(&text), anchoring));
            return Ok(Pattern { text, compiled, names: Box::default() });
        }
        let is_dot_all = anchoring == Anchoring::Whole;
        let translated = translator::translate(&text, Flags { is_dot_all, ..Flags::default() })?;
        let compiled = Compiled::translated(anchored(&translated.source, anchoring)).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::new("expression too large", &text),
            // The translator writes nothing else that the engine refuses; a test over random patterns holds this.
            _ => PatternError::new("expression nests too deeply", &text),
        })?;
        Ok(Pattern { text, compiled: Arc::new(compiled), names: translated.names.into() })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.regex().is_match(text)
    }

    /// The first match in `text` and its groups.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.compiled.regex().captures(text)
    }

    /// `text` with every match replaced.
    pub fn replace_all(&self, text: &str, replacement: &Replacement) -> String {
        let expand = |captures: &Captures<'_>| replacement.expand(self, captures);
        self.compiled.regex().replace_all(text, expand).into_owned()
    }

    /// The first group of this name that took part in the match.
    fn group<'t>(&self, name: &str, captures: &Captures<'t>) -> Option<&'t str> {
        let mut numbers = self.names.iter().filter(|(known, _)| known == name).map(|(_, number)| *number);
        numbers.find_map(|number| captures.get(number)).map(|group| group.as_str())
    }
}
