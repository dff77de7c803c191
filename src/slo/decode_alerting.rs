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
use super::policy::{AlertTexts, NotMeasured, Policy, Severity, Tier, default_tiers};
use super::spec::Objective;

/// Reads `alerting`. The objective comes with its place, where warnings about default tiers belong.
pub(super) fn policy(
    decoder: &mut Decoder<'_>,
    node: Option<&Node>,
    (objective, objective_span): (Objective, Span),
    window: Duration,
) -> Option<Policy> {
    let mut policy = Policy::default();
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
        if fields.optional("not_measured", switch) == Some(false) {
            policy.not_measured = NotMeasured::StateOnly;
        }
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
    Some(policy)
}

fn warn_unreachable(decoder: &mut Decoder<'_>, span: Span, tier: &Tier, objective: Objective) -> bool {
    decoder.warning(span, format!("the default tier {} is left out: {}", tier.name, never_holds(tier, objective)));
    false
}

/// Why a tier cannot hold, with the bound to stay under.
fn never_holds(tier: &Tier, objective: Objective) -> String {
    let ceiling = 1.0 / objective.budget_ratio();
    let percent = objective.percent();
    let number = super::texts::number;
    format!(
        "at an objective of {percent}% a burn rate is at most {}, never above {}",
        number(ceiling),
        number(tier.factor)
    )
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
