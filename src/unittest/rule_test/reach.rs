//! Which rules a test can reach: those that see a series of the test, or of a rule that does, and those that speak without data.
//!
//! Everything else gives nothing at every instant and cannot fail, so that leaving it out changes no verdict: that is what makes a
//! file of 500 rules with 500 tests cost 500 evaluations a step and not 250,000.
//!
//! **Invariant.** The answer errs on one side: a rule that is left out has no selector that could match, and none of the
//! functions that give something, or may fail, where there is no data.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::{Labels, MatchOp, Matcher};
use crate::rules::reads::{Reads, names_of, written_by};
use crate::rules::{RuleConfig, RuleKind};

/// What there is to see: series by metric name.
pub(super) struct Sight<'a> {
    by_name: HashMap<&'a str, Vec<&'a Labels>>,
    /// Names of metrics that reached rules write.
    written: HashSet<Arc<str>>,
}

impl<'a> Sight<'a> {
    /// The series of a test.
    pub(super) fn of(input: impl Iterator<Item = &'a Labels>) -> Self {
        let mut by_name: HashMap<&str, Vec<&Labels>> = HashMap::new();
        for labels in input {
            by_name.entry(labels.metric_name()).or_default().push(labels);
        }
        Sight { by_name, written: HashSet::new() }
    }

    /// Marks the rules that are reached, in the order given, until no rule reaches a further one.
    pub(super) fn reach(&mut self, rules: &[(&RuleConfig, &Reads)]) -> Vec<bool> {
        let mut reached = vec![false; rules.len()];
        loop {
            let mut is_new = false;
            for (reached, (config, reads)) in reached.iter_mut().zip(rules) {
                if !*reached && self.sees(reads) {
                    *reached = true;
                    is_new = true;
                    self.write(config);
                }
            }
            if !is_new {
                return reached;
            }
        }
    }

    fn write(&mut self, config: &RuleConfig) {
        match config.kind {
            RuleKind::Recording => {
                self.written.insert(config.name.clone());
            }
            RuleKind::Alerting => self.written.extend(written_by(config).into_iter().map(Arc::from)),
        }
    }

    /// Whether an expression with these selectors may give anything.
    pub(super) fn sees(&self, reads: &Reads) -> bool {
        reads.speaks || reads.selectors.iter().any(|matchers| self.has(matchers))
    }

    fn has(&self, matchers: &[Matcher]) -> bool {
        let names: Vec<&Matcher> = names_of(matchers).collect();
        let passes = |labels: &&Labels| matchers.iter().all(|matcher| matcher.matches_labels(labels));
        if let Some(equal) = names.iter().find(|matcher| matcher.op == MatchOp::Equal) {
            return self.written.contains(&equal.value)
                || self.by_name.get(&*equal.value).is_some_and(|series| series.iter().any(passes));
        }
        // What a rule writes beside the name is known only when it has run.
        self.written.iter().any(|name| names.iter().all(|matcher| matcher.matches(name)))
            || self.by_name.values().flatten().any(passes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleFile;
    use crate::source::SourceFile;
    use crate::unittest::series::parse_labels;

    /// The names of the rules that are reached from `series`.
    fn check(rules: &str, series: &[&str], expected: &[&str]) {
        let text = format!("groups: [{{name: g, rules: [{rules}]}}]");
        let (file, diagnostics) = RuleFile::parse(&SourceFile::new("r.yml", text));
        let file = file.unwrap_or_else(|| panic!("{diagnostics}"));
        let rules = &file.groups[0].rules;
        let reads: Vec<Reads> = rules.iter().map(|rule| Reads::of(&rule.expr)).collect();
        let input: Vec<Labels> = series.iter().map(|text| parse_labels(text).unwrap()).collect();
        let pairs: Vec<(&RuleConfig, &Reads)> = rules.iter().zip(&reads).collect();
        let reached = Sight::of(input.iter()).reach(&pairs);
        let names: Vec<&str> =
            rules.iter().zip(reached).filter(|(_, reached)| *reached).map(|(rule, _)| &*rule.name).collect();
        assert_eq!(names, expected, "{text}", text = file.source.text);
    }

    #[test]
    fn follows_names_and_labels() {
        let rules = "{alert: A, expr: 'a{job=\"x\"} > 1'}, {alert: B, expr: b > 1}, {record: c, expr: sum(a)}";
        check(rules, &["a{job=\"x\"}"], &["A", "c"]);
        check(rules, &["a{job=\"y\"}"], &["c"]);
        check(rules, &["b"], &["B"]);
        check(rules, &[], &[]);
    }

    #[test]
    fn follows_what_rules_write() {
        let rules =
            "{alert: Late, expr: d > 0}, {record: d, expr: c * 2}, {record: c, expr: a}, {alert: Other, expr: e > 0}";
        check(rules, &["a"], &["Late", "d", "c"]);
        let meta = "{alert: A, expr: a > 0}, {alert: Meta, expr: 'count(ALERTS) > 1'}";
        check(meta, &["a"], &["A", "Meta"]);
        check(meta, &["b"], &[]);
        check("{record: 'x:a', expr: a}, {record: y, expr: '{__name__=~\"x:.*\"}'}", &["a"], &["x:a", "y"]);
    }

    #[test]
    fn some_speak_without_data() {
        for expr in ["absent(a)", "vector(1)", "1", "time()", "hour() > 5", "label_replace(a, \"(\", \"\", \"\", \"\")"]
        {
            check(&format!("{{record: r, expr: '{expr}'}}"), &["b"], &["r"]);
        }
        for expr in ["a > 5", "sum(rate(a[5m])) / sum(rate(c[5m])) > 0.5", "topk(3, a)", "time() - a > 5"] {
            check(&format!("{{record: r, expr: '{expr}'}}"), &["b"], &[]);
        }
    }
}
