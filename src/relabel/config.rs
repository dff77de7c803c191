//! One relabelling rule, from YAML, with Prometheus's checks and texts.

use std::sync::{Arc, LazyLock};

use regex::Captures;

use crate::model::{Anchoring, Pattern, PatternError, Replacement};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;
use crate::source::{Span, keys, suggest};

const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REPLACEMENT: &str = "$1";

/// What a rule does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Sets the target label to the expanded replacement where the expression matches.
    Replace,
    /// Drops label sets whose joined value does not match.
    Keep,
    /// Drops label sets whose joined value matches.
    Drop,
    /// Drops label sets whose joined value is not the target label's.
    KeepEqual,
    /// Drops label sets whose joined value is the target label's.
    DropEqual,
    /// Sets the target label to a hash of the joined value, modulo the modulus.
    HashMod,
    /// Copies labels whose name matches to the name that the replacement gives.
    LabelMap,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Removes labels whose name does not match.
    LabelKeep,
    /// Sets the target label to the joined value in lower case.
    Lowercase,
    /// Sets the target label to the joined value in upper case.
    Uppercase,
}

/// Every action with its word.
const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

impl Action {
    /// The word in configuration files.
    pub fn as_str(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).expect("BUG: an action without a word").0
    }
}

/// An expression anchored at both ends, in which `.` matches a line break too.
#[derive(Clone, Debug)]
pub(super) struct Anchored {
    pattern: Pattern,
    /// Whether this is [`DEFAULT_REGEX`], which always matches.
    pub(super) is_match_all: bool,
}

impl Anchored {
    fn compile(text: &str) -> Result<Self, PatternError> {
        static MATCH_ALL: LazyLock<Pattern> = LazyLock::new(|| {
            Pattern::new(DEFAULT_REGEX, Anchoring::Whole).expect("BUG: the default expression does not compile")
        });
        let is_match_all = text == DEFAULT_REGEX;
        let pattern = if is_match_all { MATCH_ALL.clone() } else { Pattern::new(text, Anchoring::Whole)? };
        Ok(Anchored { pattern, is_match_all })
    }

    pub(super) fn is_match(&self, value: &str) -> bool {
        self.is_match_all || self.pattern.is_match(value)
    }

    pub(super) fn captures<'v>(&self, value: &'v str) -> Option<Captures<'v>> {
        self.pattern.captures(value)
    }

    /// `replacement` for a match of this expression.
    pub(super) fn expand(&self, replacement: &Replacement, captures: &Captures<'_>) -> Arc<str> {
        replacement.expand(&self.pattern, captures)
    }
}

/// One rule, checked.
#[derive(Clone, Debug)]
pub struct RelabelConfig {
    /// What it does.
    pub action: Action,
    /// Whose values are joined.
    pub source_labels: Vec<Arc<str>>,
    /// Stands between the joined values.
    pub separator: String,
    /// For [`Action::HashMod`]; above zero there.
    pub modulus: u64,
    pub(super) regex: Anchored,
    pub(super) target_label: Replacement,
    pub(super) replacement: Replacement,
}

/// Rules are equal when they were written with equal values.
impl PartialEq for RelabelConfig {
    fn eq(&self, other: &Self) -> bool {
        self.action == other.action
            && self.source_labels == other.source_labels
            && self.separator == other.separator
            && self.modulus == other.modulus
            && self.regex.pattern.as_str() == other.regex.pattern.as_str()
            && self.target_label.text == other.target_label.text
            && self.replacement.text == other.replacement.text
    }
}

impl Eq for RelabelConfig {}

impl RelabelConfig {
    /// Reads one rule. `None` after every mistake in it was reported.
    pub fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<RelabelConfig> {
        let mut fields = decoder.section(node, &keys::RELABEL)?;
        let span = fields.span;
        let source_labels = fields.optional("source_labels", |d, n| d.list(n, label_name));
        let separator = text_or(&mut fields, "separator", DEFAULT_SEPARATOR);
        let regex_text = text_or(&mut fields, "regex", DEFAULT_REGEX);
        let modulus = fields.optional("modulus", Decoder::count).unwrap_or(0);
        let target_label = text_or(&mut fields, "target_label", "");
        let replacement = text_or(&mut fields, "replacement", DEFAULT_REPLACEMENT);
        let action_text = text_or(&mut fields, "action", "replace");
        let place = |fields: &Fields<'_, '_, '_>, key: &str| fields.key_span(key).unwrap_or(span);
        let (action_span, regex_span) = (place(&fields, "action"), place(&fields, "regex"));
        let has_regex = fields.key_span("regex").is_some();
        let has_source_labels = fields.key_span("source_labels").is_some();
        fields.finish();

        let regex = Anchored::compile(&regex_text);
        if let Err(error) = &regex {
            decoder.error(regex_span, error.to_string());
        }
        let action = read_action(decoder, action_span, &action_text)?;
        let rule = RelabelConfig {
            action,
            source_labels: source_labels.unwrap_or_default(),
            separator,
            modulus,
            regex: regex.ok()?,
            target_label: Replacement::new(&target_label),
            replacement: Replacement::new(&replacement),
        };
        let given = Given { regex: has_regex, source_labels: has_source_labels };
        match rule.problem(&given) {
            None => Some(rule),
            Some((message, help)) => {
                decoder.error_with_help(action_span, message, help);
                None
            }
        }
    }

    /// What is wrong with the rule as a whole, and what to write instead.
    fn problem(&self, given: &Given) -> Option<(String, String)> {
        use Action::{DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace, Uppercase};
        let word = self.action.as_str();
        let needs_target = matches!(self.action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        let default_replacement = &*self.replacement.text == DEFAULT_REPLACEMENT;
        let default_rest = self.modulus == 0 && self.separator == DEFAULT_SEPARATOR && default_replacement;
        let found = |message: String, help: &str| Some((message, help.to_owned()));
        match self.action {
            HashMod if self.modulus == 0 => found(
                "relabel configuration for hashmod requires non-zero modulus".to_owned(),
                "write modulus: N, the number of shards",
            ),
            _ if needs_target && self.target_label.text.is_empty() => found(
                format!("relabel configuration for {word} action requires 'target_label' value"),
                "write target_label: NAME, the label to set or compare",
            ),
            Lowercase | Uppercase | KeepEqual | DropEqual if !default_replacement => {
                found(format!("'replacement' can not be set for {word} action"), "remove the key replacement")
            }
            LabelMap if self.replacement.text.is_empty() => found(
                format!("{:?} is invalid 'replacement' for {word} action", &*self.replacement.text),
                "write the new name, such as $1",
            ),
            KeepEqual | DropEqual if given.regex || !default_rest => found(
                format!("{word} action requires only 'source_labels' and `target_label`, and no other fields"),
                "remove the other keys",
            ),
            LabelDrop | LabelKeep if given.source_labels || !self.target_label.text.is_empty() || !default_rest => {
                found(format!("{word} action requires only 'regex', and no other fields"), "remove the other keys")
            }
            _ => None,
        }
    }
}

/// Which keys were written at all, where writing the default is an error too.
struct Given {
    regex: bool,
    source_labels: bool,
}

fn label_name(decoder: &mut Decoder<'_>, node: &Node) -> Option<Arc<str>> {
    let name = decoder.string(node)?;
    if name.is_empty() {
        decoder.error_with_help(node.span, "\"\" is not a valid label name", "write the name of a label");
        return None;
    }
    Some(name.into())
}

/// A text with a default. A key without a value is the empty text, as in Prometheus: `replacement:` removes the label.
fn text_or(fields: &mut Fields<'_, '_, '_>, key: &'static str, default: &str) -> String {
    match fields.optional(key, Decoder::string) {
        Some(text) => text,
        None if fields.key_span(key).is_some() => String::new(),
        None => default.to_owned(),
    }
}

fn read_action(decoder: &mut Decoder<'_>, span: Span, text: &str) -> Option<Action> {
    let lower = text.to_lowercase();
    if let Some((_, action)) = ACTIONS.iter().find(|(word, _)| *word == lower) {
        return Some(*action);
    }
    let words = ACTIONS.map(|(word, _)| word);
    let help = match suggest::nearest(&lower, words) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("write one of {}", words.join(", ")),
    };
    let message = if text.is_empty() {
        "relabel action cannot be empty".to_owned()
    } else {
        format!("unknown relabel action {text:?}")
    };
    decoder.error_with_help(span, message, help);
    None
}
