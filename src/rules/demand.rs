//! What the rules of a file need kept, so that the store keeps it.
//!
//! **Limits.** A template may put a query together at run time; queries that stand in it as texts are known, others find what is there.

use std::sync::Arc;
use std::time::Duration;

use super::{GroupDefaults, RuleConfig, RuleFile, RuleKind};
use crate::model::{METRIC_NAME, Matcher};
use crate::promql::{self, reach};
use crate::store::{Demand, Rank, Reach};

/// After a restart alerts go on from what was recorded of them within this time. **Source.** Prometheus's
/// `rules.alert.for-outage-tolerance`.
const RESTORED_FROM: Duration = Duration::from_secs(3600);

impl RuleFile {
    /// What its rules read, each by its group's and its own name.
    pub fn demands(&self, lookback_delta: Duration, defaults: GroupDefaults) -> Vec<Demand> {
        let mut demands = Vec::new();
        for group in &self.groups {
            let query_offset = group.query_offset.unwrap_or(defaults.query_offset);
            for rule in &group.rules {
                let reader: Arc<str> = format!("rule {}/{}", group.name, rule.name).into();
                let mut of_rule = reads_of(rule, lookback_delta);
                of_rule.iter_mut().for_each(|(_, reach)| reach.window += query_offset);
                let demand = |(matchers, reach)| Demand { matchers, reach, rank: Rank::Rule, reader: reader.clone() };
                demands.extend(of_rule.into_iter().map(demand));
            }
        }
        demands
    }
}

fn reads_of(rule: &RuleConfig, lookback_delta: Duration) -> Vec<(Vec<Matcher>, Reach)> {
    let mut reads = reach::reads(&rule.expr, lookback_delta);
    if rule.kind == RuleKind::Alerting {
        let own = [("ALERTS_FOR_STATE", METRIC_NAME), (&*rule.name, "alertname")];
        let matchers = own.map(|(value, name)| Matcher::equal(name, value)).to_vec();
        reads.extend(rule.recover_when.iter().flat_map(|expr| reach::reads(expr, lookback_delta)));
        reads.push(reach::Reads { matchers, reach: Reach { window: RESTORED_FROM, since: None } });
        let templates = rule.labels.iter().chain(&rule.annotations).filter(|entry| entry.template.is_some());
        let queries = templates.flat_map(|entry| queries_in(&entry.value)).filter_map(|text| promql::parse(&text).ok());
        reads.extend(queries.flat_map(|expr| reach::reads(&expr, lookback_delta)));
    }
    reads.into_iter().map(|reads| (reads.matchers, reads.reach)).collect()
}

/// The texts that stand after the word `query` in a template.
fn queries_in(template: &str) -> Vec<String> {
    let after = template.split("query").skip(1).map(str::trim_start);
    after
        .filter_map(|rest| match rest.as_bytes().first()? {
            b'`' => rest[1..].split('`').next().map(str::to_owned),
            b'"' => {
                let mut text = String::new();
                let mut letters = rest[1..].chars();
                loop {
                    match letters.next()? {
                        '"' => return Some(text),
                        '\\' => text.push(letters.next()?),
                        letter => text.push(letter),
                    }
                }
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceFile;

    #[test]
    fn expressions_offsets_alerts_and_templates() {
        let text = r#"
groups:
- name: g
  query_offset: 1m
  rules:
  - record: a:rate
    expr: rate(a[1h])
  - alert: A
    expr: a:rate > 1
    annotations:
      summary: '{{ with query "max(b{x=\"1\"} offset 1h)" }}{{ . | first | value }}{{ end }}'
"#;
        let file = RuleFile::parse(&SourceFile::new("r.yml", text)).0.unwrap();
        let defaults = GroupDefaults { interval: Duration::from_secs(60), query_offset: Duration::ZERO };
        let found: Vec<String> = file
            .demands(Duration::from_secs(300), defaults)
            .iter()
            .map(|demand| format!("{}: {:?} {}", demand.reader, demand.matchers, demand.reach.window.as_secs()))
            .collect();
        assert_eq!(
            found,
            [
                r#"rule g/a:rate: [__name__="a"] 3660"#,
                r#"rule g/A: [__name__="a:rate"] 360"#,
                r#"rule g/A: [__name__="ALERTS_FOR_STATE", alertname="A"] 3660"#,
                r#"rule g/A: [x="1", __name__="b"] 3960"#,
            ]
        );
    }
}
