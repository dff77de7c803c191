//! Sloth's specifications: `prometheus/v1`, and the custom resource `PrometheusServiceLevel`.
//!
//! **Source.** Sloth 0.16 `pkg/prometheus/api/v1`, `pkg/kubernetes/api/sloth/v1`.
//! **Differs:** an objective of 100 is refused. Plugins are refused, which would be programs. The period is 30 days, Sloth's default.

use std::time::Duration;

use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

use super::super::decode_alerting::warn_of_unreachable;
use super::super::policy::{AlertTexts, Policy, Severity, default_tiers};
use super::super::spec::{About, Budgeting, PartIs, Slo};
use super::super::window::Window;
use super::queried::{self, Given, Sli};
use super::{annotations, joined, labels, objective, terms};

/// Sloth's default period.
const PERIOD: Duration = Duration::from_secs(30 * 86_400);

/// The names of keys: the file has them with underscores, the resource in camel case.
struct Keys {
    slo_plugins: &'static str,
    error_query: &'static str,
    total_query: &'static str,
    error_ratio_query: &'static str,
    page_alert: &'static str,
    ticket_alert: &'static str,
}

const FILE: Keys = Keys {
    slo_plugins: "slo_plugins",
    error_query: "error_query",
    total_query: "total_query",
    error_ratio_query: "error_ratio_query",
    page_alert: "page_alert",
    ticket_alert: "ticket_alert",
};

const RESOURCE: Keys = Keys {
    slo_plugins: "sloPlugins",
    error_query: "errorQuery",
    total_query: "totalQuery",
    error_ratio_query: "errorRatioQuery",
    page_alert: "pageAlert",
    ticket_alert: "ticketAlert",
};

/// What all SLOs of a file have in common.
struct Service {
    name: Option<String>,
    labels: Vec<(String, String)>,
}

/// Reads a file.
pub(super) fn read(decoder: &mut Decoder<'_>, root: &Node) -> Option<Vec<Slo>> {
    let mut fields = decoder.fields(root, "Sloth file")?;
    fields.node("version");
    let slos = service(&mut fields, &FILE);
    fields.finish();
    slos
}

/// Reads a custom resource.
pub(super) fn read_resource(decoder: &mut Decoder<'_>, root: &Node) -> Option<Vec<Slo>> {
    let mut fields = decoder.fields(root, "PrometheusServiceLevel")?;
    for key in ["apiVersion", "kind", "metadata", "status"] {
        fields.node(key);
    }
    let slos = fields.required("spec", |decoder, node| {
        let mut fields = decoder.fields(node, "spec")?;
        let slos = service(&mut fields, &RESOURCE);
        fields.finish();
        slos
    });
    fields.finish();
    slos
}

fn service(fields: &mut Fields<'_, '_, '_>, keys: &'static Keys) -> Option<Vec<Slo>> {
    let service = Service {
        name: fields.required("service", Decoder::non_empty_string),
        labels: fields.or("labels", Vec::new(), labels),
    };
    fields.unsupported(keys.slo_plugins, "plugins are programs of Sloth");
    fields.required("slos", |decoder, node| decoder.list(node, |decoder, node| slo(decoder, node, &service, keys)))
}

fn slo(decoder: &mut Decoder<'_>, node: &Node, service: &Service, keys: &'static Keys) -> Option<Slo> {
    let mut fields = decoder.fields(node, "SLO")?;
    let name = fields.required("name", Decoder::non_empty_string);
    let description = fields.or("description", String::new(), Decoder::string);
    let objective = fields.required("objective", |decoder, node| {
        let percent = decoder.float(node)?;
        objective(decoder, node, percent)
    });
    let own_labels = fields.or("labels", Vec::new(), labels);
    fields.unsupported("plugins", "plugins are programs of Sloth");
    let sli = fields.required("sli", |decoder, node| sli(decoder, node, keys));
    let mut policy = fields.or("alerting", Policy::default(), |decoder, node| alerting(decoder, node, keys));
    let has_alerting = fields.key_span("alerting").is_some();
    fields.finish();
    let objective = objective?;
    if !has_alerting {
        policy.tiers = default_tiers(PERIOD);
    }
    warn_of_unreachable(decoder, node.get("objective").map_or(node.span, |node| node.span), &policy.tiers, objective);
    let (indicator, group_by) = sli?;
    Some(Slo {
        name: name?.into(),
        about: About { description, ..About::default() },
        labels: joined(&[&service.labels, &own_labels], service.name.as_deref()),
        indicator,
        group_by,
        copies: Default::default(),
        objective,
        window: Window::Rolling(PERIOD),
        budgeting: Budgeting::Occurrences,
        policy,
        exclusions: Default::default(),
        levels: Vec::new(),
    })
}

fn sli(decoder: &mut Decoder<'_>, node: &Node, keys: &'static Keys) -> Option<Sli> {
    let mut fields = decoder.fields(node, "sli")?;
    let span = fields.span;
    let events = fields.optional("events", |decoder, node| events(decoder, node, keys));
    let raw = fields.optional("raw", |decoder, node| raw(decoder, node, keys));
    let given = ["events", "raw"].into_iter().filter(|kind| fields.key_span(kind).is_some()).count();
    fields.unsupported("plugin", "plugins are programs of Sloth; write their queries under events");
    let has_plugin = fields.key_span("plugin").is_some();
    if given != 1 && !has_plugin {
        fields.decoder.error(span, "an sli is one of events and raw");
    }
    fields.finish();
    events.or(raw)
}

fn events(decoder: &mut Decoder<'_>, node: &Node, keys: &'static Keys) -> Option<Sli> {
    let mut fields = decoder.fields(node, "events")?;
    let error = fields.required(keys.error_query, given);
    let total = fields.required(keys.total_query, given);
    fields.finish();
    queried::events(decoder, node, &error?, PartIs::Bad, &total?)
}

/// A ratio query that is made of two counts is counted like events.
fn raw(decoder: &mut Decoder<'_>, node: &Node, keys: &'static Keys) -> Option<Sli> {
    let mut fields = decoder.fields(node, "raw")?;
    let ratio = fields.required(keys.error_ratio_query, given);
    fields.finish();
    let given = ratio?;
    match terms::ratio(&given.expr) {
        Ok(ratio) => {
            let part_is = if ratio.is_complement { PartIs::Good } else { PartIs::Bad };
            queried::counted(decoder, node, ratio.part, part_is, ratio.total)
        }
        Err(why) => {
            given.tell(decoder, &why);
            queried::ratio(decoder, &given, given.as_written())
        }
    }
}

/// A query, which has a window and nothing else to fill in.
fn given(decoder: &mut Decoder<'_>, node: &Node) -> Option<Given> {
    let text = decoder.non_empty_string(node)?;
    let insides = text.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0));
    if let Some(inside) = insides.into_iter().find(|inside| inside.trim() != ".window") {
        let message = format!("`{{{{{inside}}}}}` is not filled in");
        decoder.error_with_help(node.span, message, "write {{.window}}, and all else in full");
        return None;
    }
    let given = Given::read(decoder, node)?;
    if !given.has_window() {
        decoder.error_with_help(node.span, "the query has no window", "write the range as [{{.window}}]");
        return None;
    }
    Some(given)
}

fn alerting(decoder: &mut Decoder<'_>, node: &Node, keys: &'static Keys) -> Option<Policy> {
    let mut fields = decoder.fields(node, "alerting")?;
    fields.optional("name", Decoder::string);
    let own_labels = fields.or("labels", Vec::new(), labels);
    let own_annotations = fields.or("annotations", Vec::new(), annotations);
    let page = fields.or(keys.page_alert, Channel::default(), channel);
    let ticket = fields.or(keys.ticket_alert, Channel::default(), channel);
    fields.finish();
    let texts = |channel: &Channel| AlertTexts {
        labels: joined(&[&own_labels, &channel.labels], None),
        annotations: joined(&[&own_annotations, &channel.annotations], None),
    };
    let is_wanted = |severity| match severity {
        Severity::Page => !page.is_disabled,
        Severity::Ticket => !ticket.is_disabled,
    };
    let tiers = default_tiers(PERIOD).into_iter().filter(|tier| is_wanted(tier.severity)).collect();
    Some(Policy { tiers, page: texts(&page), ticket: texts(&ticket), ..Policy::default() })
}

#[derive(Default)]
struct Channel {
    is_disabled: bool,
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
}

fn channel(decoder: &mut Decoder<'_>, node: &Node) -> Option<Channel> {
    let mut fields = decoder.fields(node, "page or ticket alert")?;
    let channel = Channel {
        is_disabled: fields.or("disable", false, Decoder::bool),
        labels: fields.or("labels", Vec::new(), labels),
        annotations: fields.or("annotations", Vec::new(), annotations),
    };
    fields.finish();
    Some(channel)
}
