//! Inhibition: an alert keeps others quiet while it fires.
//!
//! In the flow: a flush asks which of its alerts are muted; the API shows by which alert.
//!
//! **Invariants.** An alert that matches both sides of a rule is not inhibited by another one that also matches both.
//! A label that is not set equals the empty one. Inhibition looks at active alerts only, whether notified or not.
//! **Cost.** The sources are indexed once per step that flushes, O(alerts × rules); a question is O(rules) and the sources
//! with equal labels.
//! **Source.** Alertmanager 0.33 `inhibit/inhibit.go`.
//! **Differs:** upstream's index keeps one source per set of equal labels, so that the end of one source unmutes targets
//! while another is still active; ours keeps all.

use std::collections::HashMap;
use std::sync::Arc;

use super::route::MatcherKeys;
use crate::model::{Alert, Fingerprint, Labels, Matcher};
use crate::source::decode::Decoder;
use crate::source::yaml::Node;

/// While an alert passes `source`, alerts that pass `target` and agree with it on `equal` are not notified.
#[derive(Clone, Debug, PartialEq)]
pub struct InhibitRule {
    /// For people; may be empty.
    pub name: String,
    /// What inhibits.
    pub source: Vec<Matcher>,
    /// What is inhibited.
    pub target: Vec<Matcher>,
    /// Labels that both must share.
    pub equal: Vec<String>,
}

impl InhibitRule {
    /// Reads one rule.
    pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<InhibitRule> {
        let mut fields = decoder.fields(node, "inhibit rule")?;
        let name = fields.or("name", String::new(), Decoder::string);
        let source = MatcherKeys { list: "source_matchers", equal: "source_match", regex: "source_match_re" };
        let source = source.read(&mut fields);
        let target = MatcherKeys { list: "target_matchers", equal: "target_match", regex: "target_match_re" };
        let target = target.read(&mut fields);
        let equal = fields.or("equal", Vec::new(), |decoder, node| {
            decoder.list(node, |decoder, item| {
                let name = decoder.string(item)?;
                if name.is_empty() {
                    decoder.error(item.span, format!("invalid label name {name:?} in equal list"));
                }
                Some(name)
            })
        });
        fields.finish();
        Some(InhibitRule { name, source, target, equal })
    }

    fn equal_values(&self, labels: &Labels) -> Vec<Arc<str>> {
        self.equal.iter().map(|name| labels.get_arc(name).cloned().unwrap_or_else(|| Arc::from(""))).collect()
    }
}

fn passes(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}

/// A source of one rule. `is_two_sided`: it also passes the rule's target side.
struct Source {
    fingerprint: Fingerprint,
    is_two_sided: bool,
}

/// The active sources of every rule at one instant.
pub(crate) struct Inhibitor<'a> {
    rules: &'a [InhibitRule],
    sources: Vec<HashMap<Vec<Arc<str>>, Vec<Source>>>,
}

impl<'a> Inhibitor<'a> {
    /// Indexes `active`, which must come in order of fingerprint so that answers do not depend on chance.
    pub(crate) fn new(
        rules: &'a [InhibitRule],
        active: impl Iterator<Item = (Fingerprint, &'a Alert)> + Clone,
    ) -> Inhibitor<'a> {
        let sources = rules
            .iter()
            .map(|rule| {
                let mut by_equal: HashMap<_, Vec<Source>> = HashMap::new();
                for (fingerprint, alert) in active.clone().filter(|(_, alert)| passes(&rule.source, &alert.labels)) {
                    let is_two_sided = passes(&rule.target, &alert.labels);
                    let source = Source { fingerprint, is_two_sided };
                    by_equal.entry(rule.equal_values(&alert.labels)).or_default().push(source);
                }
                by_equal
            })
            .collect();
        Inhibitor { rules, sources }
    }

    /// An active alert that mutes one with `labels`.
    pub(crate) fn inhibited_by(&self, labels: &Labels) -> Option<Fingerprint> {
        self.rules.iter().zip(&self.sources).find_map(|(rule, sources)| {
            if sources.is_empty() || !passes(&rule.target, labels) {
                return None;
            }
            let skips_two_sided = passes(&rule.source, labels);
            let candidates = sources.get(&rule.equal_values(labels))?;
            candidates.iter().find(|source| !(skips_two_sided && source.is_two_sided)).map(|source| source.fingerprint)
        })
    }
}
