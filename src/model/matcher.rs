//! Tests on one label.

use std::fmt;
use std::sync::Arc;

use super::{Anchoring, Labels, Pattern, PatternError, quote};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// A test on one label. A label that is not set counts as the empty string. Regular expressions are anchored at both
/// ends and `.` matches a line break, as in Prometheus; their syntax is Go's.
#[derive(Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: Arc<str>,
    /// How to compare.
    pub op: MatchOp,
    /// With what: a text, or a regular expression.
    pub value: Arc<str>,
    regex: Option<Pattern>,
}

impl Matcher {
    /// Compiles a matcher. Fails only for a bad regular expression.
    pub fn new(op: MatchOp, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Result<Self, PatternError> {
        let (name, value) = (name.into(), value.into());
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Pattern::new(Arc::clone(&value), Anchoring::Whole)?),
        };
        Ok(Matcher { name, op, value, regex })
    }

    /// `name="value"`.
    pub fn equal(name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Matcher { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// Whether a label of this value passes (the empty string for a label that is not set).
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => *self.value == *value,
            MatchOp::NotEqual => *self.value != *value,
            MatchOp::Regex => self.is_regex_match(value),
            MatchOp::NotRegex => !self.is_regex_match(value),
        }
    }

    /// Whether `labels` pass.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }

    /// Whether a series without this label passes.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    fn is_regex_match(&self, value: &str) -> bool {
        self.regex.as_ref().expect("BUG: a regex matcher was built without its regex").is_match(value)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if super::is_legacy_name(&self.name) && !self.name.contains(':') {
            write!(f, "{}{}{}", self.name, self.op.as_str(), quote(&self.value))
        } else {
            write!(f, "{}{}{}", quote(&self.name), self.op.as_str(), quote(&self.value))
        }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_label_is_empty() {
        let labels = Labels::from_pairs([("a", "1\n2")]);
        let test = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap().matches_labels(&labels);
        assert!(test(MatchOp::Equal, "b", ""));
        assert!(test(MatchOp::NotEqual, "b", "x"));
        assert!(test(MatchOp::Regex, "a", "1.2"));
        assert!(!test(MatchOp::Regex, "a", "1"));
        assert!(test(MatchOp::NotRegex, "a", "1|2"));
    }

    #[test]
    fn regex_mistakes_in_the_words_of_go() {
        for (pattern, text) in [
            ("b(", "missing closing ): `b(`"),
            ("b)", "unexpected ): `b)`"),
            ("*b", "missing argument to repetition operator: `*`"),
            ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ] {
            let error = Matcher::new(MatchOp::Regex, "a", pattern).unwrap_err().to_string();
            assert_eq!(error, format!("error parsing regexp: {text}"));
        }
    }
}
