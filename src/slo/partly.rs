//! Tiers whose window we saw in part only, for reasons of our own: we were down, or the objective is new and its windows are still filling.
//!
//! In the flow: [`super::SloGroup`] and the backtest ask for the stretches that were [`unseen`], and which tiers are [`concerned`]; the group makes
//! one `SLOPartlyMeasured` of what is told of all objectives of its file ([`Notice`]).
//!
//! **What counts.** A stretch in which no target of the objective was tried and no slot was evaluated, or the time before its first sample. A tier is
//! concerned from [`SETTLING`] after such a stretch of at least half of its long window until that window has left the stretch behind. So restarts
//! and deployments of ours are nothing; and it follows from stored samples and from when we were awake, so that a restart does not change
//! it, history that is imported ends it, and a backtest finds the same.
//! **Why one alert for a file.** Whose windows fill, or whether we were down, is one fact for all objectives of a daemon that starts, and one
//! command mends it: a thousand tickets would say the same. A file is what a team owns and what its labels route to.
//! **Why a ticket, never a page.** What is measured alerts as ever; what is missing lies in the past, where nobody can do anything about it at
//! night. Where tickets are disabled the state alone shows it.
//! **Cost.** Nothing while there was no downtime within reach: a look at the first sample of each group.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, METRIC_NAME, Matcher, Timestamp};

use super::accounting::Accounting;
use super::alerts::{PARTLY_MEASURED_ALERT, alert_labels};
use super::coverage::Coverage;
use super::policy::{Severity, Tier};
use super::spec::Slo;

/// Samples of senders that were held up by our downtime come within this time.
pub(super) const SETTLING: Duration = Duration::from_secs(600);

/// A stretch of time in which nobody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unseen {
    /// `None`: all the time before the first sample.
    pub(super) since: Option<Timestamp>,
    pub(super) end: Timestamp,
}

/// A tier whose long window was seen in part only.
#[derive(Clone, Debug, PartialEq)]
pub struct PartlySeen {
    /// The tier's name.
    pub tier: Arc<str>,
    /// When we went down; `None`: the time before the first sample is what is missing.
    pub since: Option<Timestamp>,
    /// When we were back, or the first sample.
    pub end: Timestamp,
    /// When its window is full again.
    pub until: Timestamp,
}

/// How far back from an instant stretches matter: one of half a window's length may end as early as a window before.
pub(super) fn reach(tiers: &[Tier]) -> Duration {
    2 * tiers.iter().map(|tier| tier.long).max().unwrap_or_default()
}

/// The stretches between `from` and `at`, increasing; `awake` is when slots were evaluated. None of an objective that was never measured, which is another
/// matter.
pub(super) fn unseen(accounting: &Accounting, awake: &Coverage, (from, at): (Timestamp, Timestamp)) -> Vec<Unseen> {
    let Some(first) = accounting.first_seen().filter(|first| *first <= at) else { return Vec::new() };
    let before = (first > from).then_some(Unseen { since: None, end: first });
    let gaps = accounting.untried(awake.gaps(first.max(from), at));
    before.into_iter().chain(gaps.into_iter().map(|(since, end)| Unseen { since: Some(since), end })).collect()
}

/// The tiers that stretches concern at `at`, in order of the policy.
pub(super) fn concerned(slo: &Slo, stretches: &[Unseen], at: Timestamp) -> Vec<PartlySeen> {
    let of = |tier: &Tier| {
        let is_long = |stretch: &Unseen| stretch.since.is_none_or(|since| 2 * stretch.end.since(since) >= tier.long);
        let is_within = |stretch: &Unseen| stretch.end + SETTLING <= at && at < stretch.end + tier.long;
        let last = stretches.iter().rfind(|stretch| is_long(stretch) && is_within(stretch))?;
        Some(PartlySeen {
            tier: tier.name.as_str().into(),
            since: last.since,
            end: last.end,
            until: last.end + tier.long,
        })
    };
    slo.policy.tiers.iter().filter_map(of).collect()
}

/// The alert of one file.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    /// Its identity: what the alerts of all objectives that it is for have in common, and the file.
    pub(super) labels: Labels,
    /// What the annotations of their tickets have in common.
    pub(super) annotations: Labels,
    pub(super) file: Arc<str>,
    /// The names of the objectives that it is for.
    pub(super) objectives: Vec<Arc<str>>,
}

/// The label that tells the files apart.
pub(super) const FILE_LABEL: &str = "slo_file";

impl Notice {
    /// For those of a file's objectives that want it; `None` where none does.
    pub(super) fn of<'a>(file: &str, slos: impl Iterator<Item = &'a Slo>) -> Option<Notice> {
        let all: Vec<&Slo> = slos.filter(|slo| slo.policy.tells_partly_measured).collect();
        let labels = |slo: &&Slo| alert_labels(slo, &Labels::empty(), PARTLY_MEASURED_ALERT, Severity::Ticket);
        let mut labels = all.iter().map(labels).reduce(|a, b| in_common(&a, &b))?.to_builder();
        labels.set(FILE_LABEL, file);
        let annotations = |slo: &&Slo| {
            let mut texts = slo.policy.ticket.annotations.to_builder();
            texts.set("owner", slo.about.owner.as_str());
            texts.build()
        };
        let annotations = all.iter().map(annotations).reduce(|a, b| in_common(&a, &b))?;
        let objectives = all.iter().map(|slo| slo.name.clone()).collect();
        Some(Notice { labels: labels.build(), annotations, file: file.into(), objectives })
    }

    /// Whether it is for the objective of this name.
    pub(super) fn tells(&self, name: &str) -> bool {
        self.objectives.iter().any(|of| **of == *name)
    }
}

/// What finds the alert of a file as it was recorded.
pub(super) fn fired(file: &str) -> Vec<Matcher> {
    vec![Matcher::equal(METRIC_NAME, "ALERTS_FOR_STATE"), Matcher::equal(FILE_LABEL, file)]
}

fn in_common(a: &Labels, b: &Labels) -> Labels {
    a.filtered(|label| b.get(&label.name) == Some(&label.value))
}
