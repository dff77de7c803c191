//! What alerts say, written to be understood at three in the morning: what burns, how fast, how much is left, when it is gone.
//!
//! In the flow: [`super::alerts`] asks for the annotations whenever an alert's cause is there. Annotations of the specification win over ours.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, LabelsBuilder, Timestamp};
use crate::source::format_duration;

use super::alerts::{Cause, Kind};
use super::figures::Figures;
use super::forecast::{Exhaustion, Forecast};
use super::guard::{EVIDENT, Guard};
use super::partly::{Notice, PartlySeen};
use super::policy::{BudgetCondition, BudgetWhen, Tier};
use super::spec::Slo;

/// The annotation that says why an alert does not resolve; part of the description would repeat itself at every slot.
const HELD: &str = "held";
/// The annotation that marks what comes from queries.
const EXACTNESS: &str = "exactness";
/// What to do about windows that are filling.
const FILL: &str = " The history of a Prometheus fills them: slo_history in the configuration before objectives begin, or, with the daemon \
                    stopped, almenara store import --storage.path DIR --from URL --slo FILE.";
/// So many objectives, or tiers, are named in an alert that is for several.
const NAMED_MAX: usize = 10;

/// The annotations of an alert whose cause is there.
pub(super) fn annotations(slo: &Slo, group: &Labels, figures: &Figures, kind: Kind, cause: &Cause) -> Labels {
    let mut texts = LabelsBuilder::default();
    match (kind, cause) {
        (Kind::Burn(_), Cause::Tier(tier)) => burn(&mut texts, slo, group, figures, tier),
        (Kind::Spent(_), Cause::Budget(condition)) => spent(&mut texts, slo, group, figures, condition),
        _ => not_measured(&mut texts, slo, group, figures),
    }
    if slo.indicator.is_queried() {
        texts.set(EXACTNESS, "not event-exact: evaluated as a query over each window");
    }
    texts.set("owner", slo.about.owner.as_str());
    texts.set("runbook_url", slo.about.runbook.as_str());
    for label in &slo.policy.texts(kind.severity()).annotations {
        texts.set(label.name.clone(), label.value.clone());
    }
    texts.build()
}

/// The annotations of an alert that fired before a restart, until its cause is seen again or it has ended.
pub(super) fn restored(slo: &Slo, group: &Labels) -> Labels {
    let mut texts = restored_summary(&title(slo, group)).to_builder();
    texts.set("owner", slo.about.owner.as_str()).set("runbook_url", slo.about.runbook.as_str());
    texts.build()
}

/// The summary alone.
pub(super) fn restored_summary(title: &str) -> Labels {
    Labels::from_pairs([("summary", format!("{title} was firing before a restart of Almenara"))])
}

/// The annotations of an alert that cannot be seen to have ended.
pub(super) fn held(slo: &Slo, annotations: &Labels, figures: &Figures) -> Labels {
    let mut texts = annotations.to_builder();
    let since = figures.last_measured.map_or_else(|| "the beginning".to_owned(), |at| at.to_rfc3339());
    let what = if slo.indicator.is_queried() { "the query has given nothing" } else { "no scrape has succeeded" };
    texts.set(HELD, format!("{what} since {since}, so an end of this alert could not be seen"));
    texts.build()
}

fn burn(texts: &mut LabelsBuilder, slo: &Slo, group: &Labels, figures: &Figures, tier: &Tier) {
    let long = figures.burn_rate(tier.long).unwrap_or(0.0);
    let short = figures.burn_rate(tier.short).unwrap_or(0.0);
    let ratio = |window| figures.window(window).and_then(|figures| figures.error_ratio).unwrap_or(0.0);
    let remaining = figures.budget_remaining_ratio.unwrap_or(1.0);
    let budget = match time_left(figures, long) {
        Some(left) => {
            let left = coarse(left);
            format!("{} of the error budget is left; at this pace it is gone in {left}", percent(remaining))
        }
        None => format!("the error budget is spent: {} of it is left", percent(remaining)),
    };
    if let Some(guard) = slo.policy.guard.and_then(|guard| passed(guard, slo, figures, tier)) {
        texts.set("guard", guard);
    }
    texts.set("summary", format!("{} burns its error budget {} times too fast", title(slo, group), number(long)));
    texts.set(
        "description",
        format!(
            "{} of events were bad in the last {} and {} in the last {}: burn rates {} and {}, above {} ({}). \
             The objective is {}% {}: {budget}.",
            percent(ratio(tier.long)),
            format_duration(tier.long),
            percent(ratio(tier.short)),
            format_duration(tier.short),
            number(long),
            number(short),
            number(tier.factor),
            tier.name,
            slo.objective.percent(),
            slo.window.phrase(),
        ),
    );
    texts.set("tier", tier.name.as_str());
    texts.set("burn_rate_long", number(long)).set("burn_rate_short", number(short));
    texts.set("budget_remaining", percent(remaining));
}

/// When the budget is gone if it burns on at `burn_rate` and traffic stays as it was over the window. `None` where it does not burn or nothing
/// is left.
fn time_left(figures: &Figures, burn_rate: f64) -> Option<Duration> {
    let remaining = figures.budget_remaining_ratio.filter(|remaining| *remaining > 0.0)?;
    Duration::try_from_secs_f64(figures.whole.window.as_secs_f64() * remaining / burn_rate).ok()
}

/// Why the guard let the tier through.
fn passed(guard: Guard, slo: &Slo, figures: &Figures, tier: &Tier) -> Option<String> {
    let counts = figures.window(tier.long)?.counts;
    let seen =
        format!("{} of {} events in {} were bad", number(counts.bad), number(counts.total), format_duration(tier.long));
    let threshold = percent(tier.threshold_ratio(slo.objective));
    Some(match guard.confidence_ratio.filter(|_| counts.bad < EVIDENT) {
        Some(confidence) => format!("{seen}: more than {threshold} with {} confidence", percent(confidence)),
        None => format!("{seen}, at least {} are needed", number(guard.bad_events_min)),
    })
}

fn spent(texts: &mut LabelsBuilder, slo: &Slo, group: &Labels, figures: &Figures, condition: &BudgetCondition) {
    let remaining = figures.budget_remaining_ratio.unwrap_or(1.0);
    texts.set("summary", format!("{} has {} of its error budget left", title(slo, group), percent(remaining)));
    let why = match condition.when {
        BudgetWhen::Spent(share) => format!("{} or more of it is spent", percent(share)),
        BudgetWhen::RemainingBelow(share) => format!("less than {} of it is left", percent(share)),
        BudgetWhen::ExhaustedWithin(within) => format!("it will be gone within {}", format_duration(within)),
    };
    let counts = figures.whole.counts;
    let bad = match figures.whole.error_ratio.filter(|_| slo.indicator.is_queried()) {
        Some(ratio) => format!("{} of events", percent(ratio)),
        None => format!("{} of {}", number(counts.bad), number(counts.total)),
    };
    let forecast = figures.forecast.map_or_else(String::new, |forecast| format!(" {}", outlook(&forecast)));
    texts.set(
        "description",
        format!(
            "{why} ({}): {bad} were bad {}. The objective is {}%.{forecast}",
            condition.name,
            slo.window.phrase(),
            slo.objective.percent(),
        ),
    );
    texts.set("tier", condition.name.as_str()).set("budget_remaining", percent(remaining));
}

/// A forecast as a sentence.
pub fn outlook(forecast: &Forecast) -> String {
    let at = |exhaustion: Exhaustion| match exhaustion {
        Exhaustion::Now => "now".to_owned(),
        Exhaustion::At(at) => at.to_rfc3339(),
        Exhaustion::NotBefore(at) => format!("not before {}", at.to_rfc3339()),
    };
    match forecast.expected {
        Exhaustion::Now => "The budget is spent.".to_owned(),
        Exhaustion::At(_) => format!(
            "At the pace of the last hours it is gone at {} (earliest {}, latest {}).",
            at(forecast.expected),
            at(forecast.earliest),
            at(forecast.latest)
        ),
        Exhaustion::NotBefore(_) => format!(
            "At the pace of the last hours it is not gone before the end of what can be told (earliest {}); {} will be left then.",
            at(forecast.earliest),
            percent(forecast.remaining_at_horizon)
        ),
    }
}

fn not_measured(texts: &mut LabelsBuilder, slo: &Slo, group: &Labels, figures: &Figures) {
    texts.set("summary", format!("{} is not measured", title(slo, group)));
    if let Some(missing) = &figures.missing_bucket {
        let help = "Events without that bucket are not counted. Choose a threshold that is a bound, or add the bucket.";
        texts.set("description", format!("{missing}. {help}"));
        return;
    }
    let is_queried = slo.indicator.is_queried();
    let description = match figures.last_measured.filter(|_| figures.is_measured) {
        Some(last) if is_queried => format!(
            "The query of this objective has given nothing over {} since {}: what it reads is gone. Errors now would not be seen.",
            figures.windows.first().map_or_else(String::new, |shortest| format_duration(shortest.window)),
            last.to_rfc3339(),
        ),
        None if is_queried => {
            "The query of this objective gives nothing: what it reads is gone, or was never there.".to_owned()
        }
        Some(last) => {
            let why = if figures.is_down() { "scrapes fail" } else { "its targets are gone" };
            let since = last.to_rfc3339();
            format!("No target of this objective has been scraped since {since}: {why}. Errors now would not be seen.")
        }
        None => "No sample of the total was ever seen: the selector finds nothing, or nothing is deployed.".to_owned(),
    };
    texts.set("description", description);
}

/// The annotations of the alert for what was seen in part only, of these objectives.
pub(super) fn partly_measured(notice: &Notice, concerned: &[(Arc<str>, Arc<[PartlySeen]>)]) -> Labels {
    let seen = || concerned.iter().flat_map(|(_, tiers)| tiers.iter());
    let is_filling = seen().any(|seen| seen.since.is_none());
    let mut names: Vec<&str> = concerned.iter().take(NAMED_MAX).map(|(name, _)| &**name).collect();
    let more = format!("{} more", concerned.len().saturating_sub(NAMED_MAX));
    names.extend((concerned.len() > NAMED_MAX).then_some(more.as_str()));
    let mut texts = LabelsBuilder::default();
    texts.set(
        "summary",
        match concerned {
            [(name, _)] => format!("{name} is measured in part only"),
            _ => format!(
                "{} of {} objectives of {} are measured in part only",
                concerned.len(),
                notice.objectives.len(),
                notice.file
            ),
        },
    );
    texts.set("description", partly_seen(concerned) + if is_filling { FILL } else { "" });
    texts.set("objectives", names.join(", "));
    texts.set("tiers", full_again(seen()));
    if let Some(until) = seen().map(|seen| seen.until).max() {
        texts.set("until", until.to_rfc3339());
    }
    for label in &notice.annotations {
        texts.set(label.name.clone(), label.value.clone());
    }
    texts.build()
}

/// What was not seen, what that means, and what to do.
pub(super) fn partly_seen(concerned: &[(Arc<str>, Arc<[PartlySeen]>)]) -> String {
    let seen = || concerned.iter().flat_map(|(_, tiers)| tiers.iter());
    let mut text = String::new();
    let down = seen().filter_map(|seen| Some((seen.since?, seen.end)));
    if let Some((since, end)) = down.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) {
        let _ = write!(text, "No scrape was tried from {} to {}. ", since.to_rfc3339(), end.to_rfc3339());
    }
    let first = seen().filter(|seen| seen.since.is_none()).map(|seen| seen.end).max();
    if let Some(first) = first {
        let _ = write!(text, "There are no samples from before {}, so windows are still filling. ", first.to_rfc3339());
    }
    let full = full_again(seen());
    let _ = write!(
        text,
        "Full again: {full}. Until then errors of that time are missing there; what is measured alerts as ever."
    );
    text
}

/// The tiers, each with the instant at which its windows are full.
fn full_again<'a>(seen: impl Iterator<Item = &'a PartlySeen>) -> String {
    let mut by_tier: Vec<(&str, Timestamp)> = Vec::new();
    for seen in seen {
        match by_tier.iter_mut().find(|(tier, _)| *tier == &*seen.tier) {
            Some((_, until)) => *until = seen.until.max(*until),
            None => by_tier.push((&seen.tier, seen.until)),
        }
    }
    by_tier.sort_by_key(|(_, until)| *until);
    let texts: Vec<String> =
        by_tier.iter().take(NAMED_MAX).map(|(tier, until)| format!("{tier} at {}", until.to_rfc3339())).collect();
    texts.join(", ")
}

fn title(slo: &Slo, group: &Labels) -> String {
    if group.is_empty() { slo.name.to_string() } else { format!("{}{group}", slo.name) }
}

/// A share as percent with three significant digits, or two decimals from 1 % on.
pub(super) fn percent(ratio: f64) -> String {
    format!("{}%", number(ratio * 100.0))
}

/// A number for people: at most two decimals, three significant digits below one, no trailing zeros.
pub(super) fn number(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = if magnitude >= 100.0 {
        0
    } else if magnitude >= 1.0 || magnitude == 0.0 {
        2
    } else {
        (2 - magnitude.log10().floor() as i32).clamp(2, 9) as usize
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A duration with no more precision than a forecast has: seconds below an hour in minutes, minutes below two days, else hours.
fn coarse(duration: Duration) -> String {
    let secs = duration.as_secs();
    let step = match secs {
        0..60 => 1,
        60..172_800 => 60,
        _ => 3600,
    };
    format_duration(Duration::from_secs(secs / step * step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (14.4, "14.4"),
            (500.0, "500"),
            (1234.6, "1235"),
            (0.0, "0"),
            (0.012_345, "0.0123"),
            (-26.0, "-26"),
            (1.0, "1"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(percent(0.5), "50%");
        assert_eq!(coarse(Duration::from_secs(200_000)), "2d7h");
    }
}
