//! Putting labels together, named as in Prometheus.

use super::objects::Meta;
use crate::discovery::ADDRESS;
use crate::model::{Label, Labels};

/// Labels as they come; of equal names the last one counts.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelSet(Vec<Label>);

impl LabelSet {
    /// A target at an address.
    pub(super) fn at(address: impl Into<String>) -> LabelSet {
        LabelSet(vec![Label { name: ADDRESS.into(), value: address.into().into() }])
    }

    /// Sets `__meta_kubernetes_NAME`.
    pub(super) fn put(&mut self, name: impl std::fmt::Display, value: impl Into<String>) {
        self.put_plain(&format!("__meta_kubernetes_{name}"), value);
    }

    /// Sets a label of this very name.
    pub(super) fn put_plain(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(Label { name: name.into(), value: value.into().into() });
    }

    /// Sets a label only if there is something to say.
    pub(super) fn put_some(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.put(name, value.to_string());
        }
    }

    /// The object's name, labels and annotations.
    pub(super) fn put_meta(&mut self, kind: &str, meta: &Meta) {
        self.put(format_args!("{kind}_name"), meta.name.as_str());
        self.put_described(kind, meta);
    }

    /// The object's labels and annotations.
    pub(super) fn put_described(&mut self, kind: &str, meta: &Meta) {
        for (what, pairs) in [("label", &meta.labels), ("annotation", &meta.annotations)] {
            for (name, value) in pairs {
                let name = sanitized(name);
                self.put(format_args!("{kind}_{what}_{name}"), value.as_str());
                self.put(format_args!("{kind}_{what}present_{name}"), "true");
            }
        }
    }

    /// Adds all of `other`, which wins.
    pub(super) fn extend(&mut self, other: &LabelSet) {
        self.0.extend(other.0.iter().cloned());
    }

    pub(super) fn build(self) -> Labels {
        Labels::new(self.0)
    }
}

/// What may not stand in a label's name becomes `_`.
pub(super) fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}
