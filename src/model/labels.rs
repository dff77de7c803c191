//! Label sets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{METRIC_NAME, quote};

/// One name and its value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Label {
    /// The name; unique in its set.
    pub name: Arc<str>,
    /// The value; never empty in a [`Labels`].
    pub value: Arc<str>,
}

/// A label set, sorted by name. Cloning shares it.
///
/// **Invariants.** Names strictly increase bytewise; no value is empty (an empty value means "not there").
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[Label]>);

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Labels(Arc::from([]))
    }

    /// Sorts `labels`, drops empty values; of equal names the last one stays.
    pub fn new(mut labels: Vec<Label>) -> Self {
        if !labels.is_sorted_by(|a, b| a.name < b.name) {
            labels.sort_by(|a, b| a.name.cmp(&b.name)); // stable, so the last of equals stays last
            labels.reverse();
            labels.dedup_by(|a, b| a.name == b.name);
            labels.reverse();
        }
        labels.retain(|label| !label.value.is_empty());
        Labels(labels.into())
    }

    /// For tests and constants.
    pub fn from_pairs<N: Into<Arc<str>>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Labels::new(pairs.into_iter().map(|(name, value)| Label { name: name.into(), value: value.into() }).collect())
    }

    /// The value of `name`, `None` where it is not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_arc(name).map(|value| &**value)
    }

    /// As [`Labels::get`], shared.
    pub fn get_arc(&self, name: &str) -> Option<&Arc<str>> {
        let index = self.0.binary_search_by(|label| (*label.name).cmp(name)).ok()?;
        Some(&self.0[index].value)
    }

    /// The metric name, empty where there is none.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// The labels in order of name.
    pub fn iter(&self) -> std::slice::Iter<'_, Label> {
        self.0.iter()
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those labels for which `keep` holds.
    pub fn filtered(&self, mut keep: impl FnMut(&Label) -> bool) -> Labels {
        Labels(self.0.iter().filter(|label| keep(label)).cloned().collect())
    }

    /// All but the metric name.
    pub fn without_metric_name(&self) -> Labels {
        if self.get(METRIC_NAME).is_none() { self.clone() } else { self.filtered(|label| &*label.name != METRIC_NAME) }
    }

    /// A builder that starts from these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder(self.0.iter().map(|label| (label.name.clone(), label.value.clone())).collect())
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = &'a Label;
    type IntoIter = std::slice::Iter<'a, Label>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Labels::empty()
    }
}

/// `name{a="1",b="2"}`, as Prometheus prints a series.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let bare_name = is_legacy_name(name);
        if bare_name {
            f.write_str(name)?;
        }
        let mut first = true;
        let mut separate = |f: &mut fmt::Formatter<'_>| {
            let text = if std::mem::take(&mut first) { "{" } else { "," };
            f.write_str(text)
        };
        if !bare_name && !name.is_empty() {
            separate(f)?;
            f.write_str(&quote(name))?;
        }
        for label in self.iter().filter(|label| &*label.name != METRIC_NAME) {
            separate(f)?;
            if is_legacy_label_name(&label.name) {
                f.write_str(&label.name)?
            } else {
                f.write_str(&quote(&label.name))?
            }
            f.write_str("=")?;
            f.write_str(&quote(&label.value))?;
        }
        match (first, name.is_empty()) {
            (true, true) => f.write_str("{}"),
            (true, false) => Ok(()),
            (false, _) => f.write_str("}"),
        }
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether `name` is a metric name that needs no quotes: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legacy_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    !name.is_empty() && name.chars().all(legal) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn is_legacy_label_name(name: &str) -> bool {
    is_legacy_name(name) && !name.contains(':')
}

/// Label sets under construction.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder(BTreeMap<Arc<str>, Arc<str>>);

impl LabelsBuilder {
    /// Sets `name`; an empty value removes it.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> &mut Self {
        let (name, value) = (name.into(), value.into());
        if value.is_empty() {
            self.0.remove(&name);
        } else {
            self.0.insert(name, value);
        }
        self
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.0.remove(name);
        self
    }

    /// The value of `name`, empty where it is not set.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value)
    }

    /// Keeps the labels for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut Self {
        self.0.retain(|name, value| keep(name, value));
        self
    }

    /// Name and value in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter()
    }

    /// The finished set.
    pub fn build(&self) -> Labels {
        Labels(self.0.iter().map(|(name, value)| Label { name: name.clone(), value: value.clone() }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_drops_empty_and_keeps_the_last_of_equals() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "x"), ("b", "2"), ("c", "")]);
        assert_eq!(labels.to_string(), r#"{a="x", b="2"}"#.replace(", ", ","));
        assert_eq!(labels.get("c"), None);
    }

    #[test]
    fn prints_as_prometheus() {
        for (pairs, text) in [
            (vec![], "{}"),
            (vec![("__name__", "up")], "up"),
            (vec![("__name__", "up"), ("job", "a\"b")], r#"up{job="a\"b"}"#),
            (vec![("__name__", "http.time"), ("x", "1")], r#"{"http.time",x="1"}"#),
            (vec![("my.label", "1")], r#"{"my.label"="1"}"#),
        ] {
            assert_eq!(Labels::from_pairs(pairs).to_string(), text);
        }
    }
}
