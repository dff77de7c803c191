//! The `alerting` part of a specification: tiers, and what pages and tickets carry.
//!
//! In the flow: [`super::decode`] calls it for each objective, also where nothing is written.
//! A tier that could never hold is an error where the file names it, and is left out with a warning where it is one of the defaults.

use std::time::Duration;

use crate::model::Labels;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;
use crate::source::{Span, format_duration};

use super::decode::{TIERS_MAX, labels};
use super::guard::Guard;
use super::policy::{AlertTexts, BudgetCondition, BudgetWhen, NotMeasured, Policy, Severity, Tier, default_tiers};
use super::spec::Objective;

/// Reads `alerting` over `policy`, the one where nothing is written but for the tiers. The objective comes with its place, where warnings about default tiers belong.
pub(super) fn policy(
    decoder: &mut Decoder<'_>,
    node: Option<&Node>,
    (objective, objective_span): (Objective, Span),
    window: Duration,
    mut policy: Policy,
) -> Option<Policy> {
    let mut tiers = None;
    let mut is_disabled = [false; 2];
    if let Some(node) = node {
        let mut fields = decoder.fields(node, "alerting")?;
        let common = texts(&mut fields);
        let mut page = fields.optional("page", channel).unwrap_or_default();
        let mut ticket = fields.optional("ticket", channel).unwrap_or_default();
        is_disabled = [page.is_disabled, ticket.is_disabled];
        policy.page = common.overridden_by(std::mem::take(&mut page.texts));
        policy.ticket = common.overridden_by(std::mem::take(&mut ticket.texts));
        match fields.optional("not_measured", switch) {
            Some(true) => policy.not_measured = NotMeasured::Alert,
            Some(false) => policy.not_measured = NotMeasured::StateOnly,
            None => {}
        }
        let wants_partly_measured = fields.optional("partly_measured", switch);
        // Without tickets there is nothing to tell it by, unless it is wanted all the same.
        policy.tells_partly_measured =
            wants_partly_measured.unwrap_or(policy.tells_partly_measured && !ticket.is_disabled);
        if let Some(guard) = fields.optional("guard", |decoder, node| guard(decoder, node, policy.guard)) {
            policy.guard = guard;
        }
        policy.budget = fields.or("budget", Vec::new(), |decoder, node| budget(decoder, node, window));
        tiers = fields.optional("tiers", |decoder, node| read_tiers(decoder, node, objective, window));
        for key in ["name", "page_alert", "ticket_alert"] {
            fields.unsupported(key, "write page or ticket; the alerts' names are fixed");
        }
        fields.finish();
    }
    let is_default = tiers.is_none();
    let mut tiers = tiers.unwrap_or_else(|| default_tiers(window));
    let is_wanted = |severity| !is_disabled[usize::from(severity == Severity::Ticket)];
    tiers.retain(|tier| is_wanted(tier.severity));
    if is_default {
        tiers.retain(|tier| tier.is_reachable(objective) || warn_unreachable(decoder, objective_span, tier, objective));
    }
    policy.tiers = tiers;
    policy.budget.retain(|condition| is_wanted(condition.severity));
    Some(policy)
}

fn warn_unreachable(decoder: &mut Decoder<'_>, span: Span, tier: &Tier, objective: Objective) -> bool {
    decoder.warning(span, format!("the default tier {} is left out: {}", tier.name, never_holds(tier, objective)));
    false
}

/// Why a tier cannot hold, with the bound to stay under.
pub(super) fn never_holds(tier: &Tier, objective: Objective) -> String {
    let ceiling = 1.0 / objective.budget_ratio();
    let percent = objective.percent();
    let number = super::texts::number;
    // Rounded up: at the bound itself it cannot hold either.
    let lowest = (1e4 * (1.0 - 1.0 / tier.factor)).ceil() / 1e2;
    format!(
        "{} cannot fire below an objective of {}%, since at {percent}% a burn rate is at most {}",
        number(tier.factor),
        number(lowest),
        number(ceiling),
    )
}

/// Warns of the tiers of another tool's file that cannot hold; they are kept as written.
pub(super) fn warn_of_unreachable(decoder: &mut Decoder<'_>, span: Span, tiers: &[Tier], objective: Objective) {
    for tier in tiers.iter().filter(|tier| !tier.is_reachable(objective)) {
        decoder
            .warning(span, format!("the tier {} is kept as written, but {}", tier.name, never_holds(tier, objective)));
    }
}

/// What a long window must have seen: `{bad_events: 5, confidence: 95}`; what is not written is as in `default`.
fn guard(decoder: &mut Decoder<'_>, node: &Node, default: Option<Guard>) -> Option<Option<Guard>> {
    let default = default.unwrap_or(Guard::OF_EVENTS);
    let mut fields = decoder.fields(node, "guard")?;
    let is_disabled = fields.or("disable", false, Decoder::bool);
    let bad_events_min = fields.or("bad_events", default.bad_events_min, positive);
    let confidence_ratio = match fields.node("confidence") {
        None => default.confidence_ratio,
        Some(node) if node.as_str() == Some("none") => None,
        Some(node) => {
            let percent = fields.decoder.float(node)?;
            if !(50.0..100.0).contains(&percent) {
                let help = "write percent, such as 95, or none";
                fields.decoder.error_with_help(node.span, "a confidence lies from 50 to below 100 percent", help);
            }
            Some(percent / 100.0)
        }
    };
    fields.finish();
    Some((!is_disabled).then_some(Guard { bad_events_min, confidence_ratio }))
}

fn budget(decoder: &mut Decoder<'_>, node: &Node, window: Duration) -> Option<Vec<BudgetCondition>> {
    let mut conditions: Vec<BudgetCondition> = Vec::new();
    decoder.list(node, |decoder, node| {
        let condition = budget_condition(decoder, node, window)?;
        if conditions.iter().any(|other| other.name == condition.name) {
            decoder.error(node.span, format!("the condition {:?} stands twice", condition.name));
        }
        conditions.push(condition);
        Some(())
    })?;
    if conditions.len() > TIERS_MAX {
        decoder.error(node.span, format!("more than {TIERS_MAX} conditions"));
    }
    Some(conditions)
}

fn budget_condition(decoder: &mut Decoder<'_>, node: &Node, window: Duration) -> Option<BudgetCondition> {
    let mut fields = decoder.fields(node, "condition on the budget")?;
    let span = fields.span;
    let name = fields.optional("name", Decoder::non_empty_string);
    let severity = fields.required("severity", severity);
    let spent = fields.optional("spent", positive);
    let remaining = fields.optional("remaining_below", Decoder::float);
    let within = fields.optional("exhausted_within", Decoder::positive_duration);
    let given = ["spent", "remaining_below", "exhausted_within"];
    let given: Vec<&str> = given.into_iter().filter(|key| fields.key_span(key).is_some()).collect();
    fields.finish();
    let [key] = given[..] else {
        let help = "write spent: 50, remaining_below: 10 (percent) or exhausted_within: 3d";
        decoder.error_with_help(
            span,
            "a condition on the budget is one of spent, remaining_below and exhausted_within",
            help,
        );
        return None;
    };
    let (when, value) = match (spent, remaining, within) {
        (Some(percent), ..) => (BudgetWhen::Spent(percent / 100.0), super::texts::number(percent)),
        (_, Some(percent), _) if percent > 100.0 => {
            decoder.error(span, "more than 100 percent of a budget are never left");
            return None;
        }
        (_, Some(percent), _) => (BudgetWhen::RemainingBelow(percent / 100.0), super::texts::number(percent)),
        (_, _, Some(within)) if within > window => {
            decoder.error(span, format!("a forecast reaches no further than the window ({})", format_duration(window)));
            return None;
        }
        (_, _, Some(within)) => (BudgetWhen::ExhaustedWithin(within), format_duration(within)),
        _ => return None,
    };
    let name = name.unwrap_or_else(|| format!("{}-{value}", key.replace('_', "-")));
    Some(BudgetCondition { name, severity: severity?, when })
}

#[derive(Default)]
struct Channel {
    is_disabled: bool,
    texts: AlertTexts,
}

fn channel(decoder: &mut Decoder<'_>, node: &Node) -> Option<Channel> {
    let mut fields = decoder.fields(node, "page or ticket")?;
    let is_disabled = fields.or("disable", false, Decoder::bool);
    let texts = texts(&mut fields);
    fields.finish();
    Some(Channel { is_disabled, texts })
}

/// `{disable: true}`; gives whether it is on.
fn switch(decoder: &mut Decoder<'_>, node: &Node) -> Option<bool> {
    let mut fields = decoder.fields(node, "not_measured")?;
    let is_disabled = fields.or("disable", false, Decoder::bool);
    fields.finish();
    Some(!is_disabled)
}

fn texts(fields: &mut Fields<'_, '_, '_>) -> AlertTexts {
    let own_labels = fields.or("labels", Vec::new(), labels);
    let annotations = fields.or("annotations", Vec::new(), annotations);
    let pairs =
        |all: Vec<(String, Span, String)>| Labels::from_pairs(all.into_iter().map(|(name, _, text)| (name, text)));
    AlertTexts { labels: pairs(own_labels), annotations: pairs(annotations) }
}

/// Annotations are plain texts: what an alert says about its figures is ours. A template would be sent as it stands, so it is refused.
fn annotations(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<(String, Span, String)>> {
    decoder.map(node, |decoder, node| {
        let text = decoder.string(node)?;
        if text.contains("{{") {
            decoder.error(node.span, "templates in annotations of SLOs are not built yet; write plain text");
            return None;
        }
        Some(text)
    })
}

impl AlertTexts {
    fn overridden_by(&self, own: AlertTexts) -> AlertTexts {
        let over = |base: &Labels, own: &Labels| Labels::new(base.iter().chain(own).cloned().collect());
        AlertTexts { labels: over(&self.labels, &own.labels), annotations: over(&self.annotations, &own.annotations) }
    }
}

fn read_tiers(decoder: &mut Decoder<'_>, node: &Node, objective: Objective, window: Duration) -> Option<Vec<Tier>> {
    let mut names: Vec<String> = Vec::new();
    let tiers = decoder.list(node, |decoder, node| tier(decoder, node, &mut names, objective, window))?;
    if tiers.len() > TIERS_MAX {
        decoder.error(node.span, format!("more than {TIERS_MAX} tiers"));
    }
    Some(tiers)
}

fn tier(
    decoder: &mut Decoder<'_>,
    node: &Node,
    names: &mut Vec<String>,
    objective: Objective,
    window: Duration,
) -> Option<Tier> {
    let mut fields = decoder.fields(node, "tier")?;
    let span = fields.span;
    let name = fields.required("name", Decoder::non_empty_string);
    let severity = fields.required("severity", severity);
    let short = fields.required("short", Decoder::positive_duration);
    let long = fields.required("long", Decoder::positive_duration);
    let factor = fields.required("factor", positive);
    let name_span = node.get("name").map_or(span, |node| node.span);
    let long_span = node.get("long").map_or(span, |node| node.span);
    let factor_span = node.get("factor").map_or(span, |node| node.span);
    fields.finish();
    let tier = Tier::new(name?, severity?, (short?, long?), factor?);

    if names.contains(&tier.name) {
        decoder.error(name_span, format!("the tier {:?} stands twice", tier.name));
    }
    names.push(tier.name.clone());
    if tier.short >= tier.long {
        decoder.error(long_span, "the long window must be longer than the short one");
    }
    if tier.long > window {
        let window = format_duration(window);
        decoder.error(long_span, format!("the long window is longer than the window of the objective ({window})"));
    }
    if !tier.is_reachable(objective) {
        let why = never_holds(&tier, objective);
        let help = format!("choose a factor below {}", super::texts::number(1.0 / objective.budget_ratio()));
        decoder.error_with_help(factor_span, format!("the tier {:?} can never fire: {why}", tier.name), help);
    }
    Some(tier)
}

fn severity(decoder: &mut Decoder<'_>, node: &Node) -> Option<Severity> {
    let severity = node.as_str().and_then(|text| Severity::ALL.into_iter().find(|severity| severity.as_str() == text));
    if severity.is_none() {
        decoder.error_with_help(node.span, "not a severity", "write page or ticket");
    }
    severity
}

fn positive(decoder: &mut Decoder<'_>, node: &Node) -> Option<f64> {
    let value = decoder.float(node)?;
    if value <= 0.0 {
        decoder.error(node.span, "must be above zero");
        return None;
    }
    Some(value)
}
