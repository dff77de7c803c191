//! The rules that the tests of a file run against: read and analysed once, shared by all its test groups.

use std::collections::HashSet;
use std::sync::Arc;

use crate::rules::reads::Reads;
use crate::rules::{GroupConfig, RuleConfig, RuleFile, RuleKind};

use super::reach::Sight;
use super::{TestFile, TestGroup};

/// A rule file and what its rules read.
#[derive(Clone, Debug)]
pub struct AnalysedFile {
    /// As parsed.
    pub file: RuleFile,
    /// Of each rule of each group.
    reads: Vec<Vec<Reads>>,
}

impl AnalysedFile {
    /// Analyses a file.
    pub fn new(file: RuleFile) -> Self {
        let reads = file.groups.iter().map(|group| group.rules.iter().map(|rule| Reads::of(&rule.expr)).collect());
        AnalysedFile { reads: reads.collect(), file }
    }
}

/// Where a rule stands in a [`RuleSet`]: file, group, rule.
pub type RuleId = (usize, usize, usize);

/// The rules of some files, in the order in which groups are evaluated.
#[derive(Clone, Debug)]
pub struct RuleSet {
    /// In order of the patterns, each once.
    pub files: Vec<Arc<AnalysedFile>>,
    /// File and group in the order of evaluation.
    order: Vec<(usize, usize)>,
    alert_names: HashSet<Arc<str>>,
}

/// A group of rules with those that a test reaches, and where they come from.
pub(super) struct ReachedGroup {
    pub(super) file_name: Arc<str>,
    pub(super) config: GroupConfig,
    /// Of each rule of `config`.
    pub(super) ids: Vec<RuleId>,
    /// Likewise.
    pub(super) reads: Vec<Reads>,
}

impl RuleSet {
    /// Groups named in the file's `group_eval_order` come in that order. Others rank with the first of those named, as in
    /// promtool, but in order of file instead of a random one.
    pub fn new(files: Vec<Arc<AnalysedFile>>, tests: &TestFile) -> Self {
        let mut order: Vec<(usize, usize)> = Vec::new();
        for (index, analysed) in files.iter().enumerate() {
            order.extend((0..analysed.file.groups.len()).map(|group| (index, group)));
        }
        order.sort_by_key(|(file, group)| {
            let name = &files[*file].file.groups[*group].name;
            tests.group_eval_order.iter().position(|listed| **listed == **name).unwrap_or(0)
        });
        let rules = files.iter().flat_map(|analysed| &analysed.file.groups).flat_map(|group| &group.rules);
        let alerts = rules.filter(|rule| rule.kind == RuleKind::Alerting);
        let alert_names = alerts.map(|rule| rule.name.clone()).collect();
        RuleSet { files, order, alert_names }
    }

    /// Whether there is an alerting rule of this name.
    pub fn has_alert(&self, name: &str) -> bool {
        self.alert_names.contains(name)
    }

    /// The groups with the rules that the series of `test` reach; groups without any are left out.
    pub(super) fn reached(&self, test: &TestGroup) -> Vec<ReachedGroup> {
        let mut rules: Vec<(&RuleConfig, &Reads)> = Vec::new();
        for (file, group) in &self.order {
            let analysed = &self.files[*file];
            rules.extend(analysed.file.groups[*group].rules.iter().zip(&analysed.reads[*group]));
        }
        let mut reached = Sight::of(test.input.iter().map(|series| &series.labels)).reach(&rules).into_iter();
        let mut groups = Vec::new();
        for (file, group) in &self.order {
            let analysed = &self.files[*file];
            let config = &analysed.file.groups[*group];
            let marks: Vec<bool> = reached.by_ref().take(config.rules.len()).collect();
            if !marks.contains(&true) {
                continue;
            }
            let indices: Vec<usize> = (0..marks.len()).filter(|index| marks[*index]).collect();
            let rules = indices.iter().map(|index| config.rules[*index].clone()).collect();
            groups.push(ReachedGroup {
                file_name: analysed.file.source.name.clone(),
                reads: indices.iter().map(|index| analysed.reads[*group][*index].clone()).collect(),
                config: GroupConfig { name: config.name.clone(), rules, ..*config },
                ids: indices.into_iter().map(|index| (*file, *group, index)).collect(),
            });
        }
        groups
    }
}
