//! What is counted: the indicator of a specification.
//!
//! In the flow: [`super::decode`] calls it for each objective.
//!
//! ```yaml
//! indicator:                     # exactly one of
//!   errors: {bad: SELECTOR, total: SELECTOR}      # counters; bad or good, and total
//!   availability: up{job="checkout"}              # a gauge of 0 and 1; each sample is an event
//!   latency: {histogram: SELECTOR, threshold: 300ms}   # see `decode_latency`
//!   freshness: {timestamp: last_success_timestamp_seconds, max_age: 1h}   # a gauge of Unix seconds; each sample is an event
//!   throughput: {counter: SELECTOR, at_least: 5, slice: 5m}   # events per second, judged by slices of time
//!   composite:                                    # of other objectives of the file
//!     members: [{slo: checkout-requests, weight: 3}, {slo: checkout-latency}]
//!     joined_by: weights                          # or worst
//!   events: {bad: QUERY, total: QUERY}            # of arbitrary PromQL, see `decode_query`: not event-exact
//!   ratio: QUERY                                  # likewise: the share of bad events
//! ```

use std::time::Duration;

use crate::source::decode::Decoder;
use crate::source::yaml::{self, Node};

use super::decode_latency::{Implied, latency};
use super::decode_query;
use super::decode_window::slice;
use super::selector;
use super::spec::{Budgeting, Indicator, JoinedBy, Member, PartIs};
use super::window::Window;

/// The kinds of indicators.
const KINDS: [&str; 8] =
    ["availability", "errors", "latency", "freshness", "throughput", "composite", "events", "ratio"];

/// Slices of time in which throughput is judged by default.
const THROUGHPUT_SLICE: Duration = Duration::from_secs(300);

/// More members than this make no composite that anybody understands.
pub(super) const MEMBERS_MAX: usize = 100;

/// An indicator with what it brings along.
#[derive(Default)]
pub(super) struct Read {
    pub(super) indicator: Option<Indicator>,
    /// The objective that a short form stands for.
    pub(super) implied: Option<Implied>,
    /// The budgeting that the indicator needs.
    pub(super) budgeting: Option<Budgeting>,
}

/// Reads `indicator`.
pub(super) fn indicator(decoder: &mut Decoder<'_>, node: &Node, window: &Window) -> Read {
    let Some(mut fields) = decoder.fields(node, "indicator") else { return Read::default() };
    let span = fields.span;
    let given = KINDS.into_iter().filter(|kind| fields.node(kind).is_some()).count();
    let availability =
        fields.optional("availability", |decoder, node| Some(Indicator::Availability(selector::read(decoder, node)?)));
    let errors = fields.optional("errors", errors);
    let latency = fields.optional("latency", |decoder, node| Some(latency(decoder, node)));
    let freshness = fields.optional("freshness", freshness);
    let throughput = fields.optional("throughput", |decoder, node| throughput(decoder, node, window));
    let composite = fields.optional("composite", composite);
    let events = fields.optional("events", decode_query::events);
    let ratio = fields.optional("ratio", decode_query::ratio);
    for key in ["query", "threshold", "raw", "plugin"] {
        let why = "write counters under errors, where events are counted from raw samples; or a query of the share of bad events under ratio, \
                   with [$window] for its range";
        fields.unsupported(key, why);
    }
    let is_other = matches!(&node.kind, yaml::NodeKind::Mapping(pairs) if !pairs.is_empty()) && given == 0;
    match given {
        0 if !is_other => fields.decoder.error(span, format!("an indicator needs one of {}", KINDS.join(", "))),
        0 | 1 => {}
        _ => fields.decoder.error(span, format!("an indicator is one of {}, not several", KINDS.join(", "))),
    }
    fields.finish();
    let (latency, implied) = latency.unwrap_or_default();
    let (throughput, budgeting) = throughput.unzip();
    let indicator = availability.or(errors).or(latency).or(freshness).or(throughput).or(composite).or(events).or(ratio);
    Read { indicator, implied, budgeting }
}

/// Reads `bad` or `good`, and `total`, each of which is a `noun`.
pub(super) fn parts<T>(
    decoder: &mut Decoder<'_>,
    node: &Node,
    (what, noun): (&'static str, &str),
    read: impl Fn(&mut Decoder<'_>, &Node) -> Option<T>,
) -> Option<(T, PartIs, T)> {
    let mut fields = decoder.fields(node, what)?;
    let span = fields.span;
    let given = [fields.node("bad").is_some(), fields.node("good").is_some()];
    let bad = fields.optional("bad", &read);
    let good = fields.optional("good", &read);
    let total = fields.required("total", &read);
    match given {
        [true, true] => fields.decoder.error(span, "write bad or good, not both: the other is the rest of total"),
        [false, false] => fields.decoder.error(span, format!("the {noun} of bad or of good events is missing")),
        _ => {}
    }
    fields.finish();
    match (bad, good) {
        (Some(bad), None) => Some((bad, PartIs::Bad, total?)),
        (None, Some(good)) => Some((good, PartIs::Good, total?)),
        _ => None,
    }
}

fn errors(decoder: &mut Decoder<'_>, node: &Node) -> Option<Indicator> {
    let (part, part_is, total) = parts(decoder, node, ("errors indicator", "counter"), selector::read)?;
    if part.matchers == total.matchers {
        let (these, all) = if part_is == PartIs::Bad { ("bad", "bad") } else { ("good", "good") };
        let message = format!("{these} and total are the same counters, so that every event would be {all}");
        decoder.error_with_help(
            node.span,
            message,
            "give bad or good a test that tells them apart, such as code=~\"5..\"",
        );
        return None;
    }
    Some(Indicator::Errors { part: vec![part.into()], part_is, total: vec![total.into()] })
}

fn freshness(decoder: &mut Decoder<'_>, node: &Node) -> Option<Indicator> {
    let mut fields = decoder.fields(node, "freshness indicator")?;
    let gauge = fields.required("timestamp", selector::read);
    let age_max = fields.required("max_age", Decoder::positive_duration);
    fields.finish();
    Some(Indicator::Freshness { gauge: gauge?, age_max_ms: i64::try_from(age_max?.as_millis()).ok()? })
}

fn throughput(decoder: &mut Decoder<'_>, node: &Node, window: &Window) -> Option<(Indicator, Budgeting)> {
    let mut fields = decoder.fields(node, "throughput indicator")?;
    let counter = fields.required("counter", selector::read);
    let per_second = fields.required("at_least", |decoder, node| {
        let rate = decoder.float(node)?;
        if rate <= 0.0 {
            decoder.error(node.span, "must be above zero, in events per second");
            return None;
        }
        Some(rate)
    });
    let slice = fields.or("slice", THROUGHPUT_SLICE, |decoder, node| slice(decoder, node, window));
    fields.finish();
    let least = per_second? * slice.as_secs_f64();
    Some((Indicator::Throughput(vec![counter?.into()]), Budgeting::Throughput { slice, least }))
}

fn composite(decoder: &mut Decoder<'_>, node: &Node) -> Option<Indicator> {
    let mut fields = decoder.fields(node, "composite indicator")?;
    let span = fields.span;
    let joined_by = fields.or("joined_by", JoinedBy::Weights, |decoder, node| match node.as_str() {
        Some("weights") => Some(JoinedBy::Weights),
        Some("worst") => Some(JoinedBy::Worst),
        _ => {
            decoder.error_with_help(node.span, "not a way to join objectives", "write weights or worst");
            None
        }
    });
    let members = fields.required("members", |decoder, node| decoder.list(node, member));
    fields.finish();
    let members = members?;
    if !(2..=MEMBERS_MAX).contains(&members.len()) {
        decoder.error(span, format!("a composite has from 2 to {MEMBERS_MAX} members"));
        return None;
    }
    Some(Indicator::Composite { members, joined_by })
}

/// A name, or a name with a weight.
fn member(decoder: &mut Decoder<'_>, node: &Node) -> Option<Member> {
    if let Some(name) = node.as_str() {
        return Some(Member { slo: name.into(), weight: 1.0 });
    }
    let mut fields = decoder.fields(node, "member")?;
    let slo = fields.required("slo", Decoder::non_empty_string);
    let weight = fields.or("weight", 1.0, |decoder, node| {
        let weight = decoder.float(node)?;
        if weight <= 0.0 {
            decoder.error(node.span, "must be above zero");
            return None;
        }
        Some(weight)
    });
    fields.finish();
    Some(Member { slo: slo?.into(), weight })
}
