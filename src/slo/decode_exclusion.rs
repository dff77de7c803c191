//! Exclusions of a file: times that do not count, with who says so and why.
//!
//! In the flow: [`super::decode`] calls it for the key `exclusions`, which may also stand in a file of its own.
//!
//! ```yaml
//! exclusions:
//!   - reason: the provider's network was down, ticket 4711
//!     author: ana@example.org
//!     from: 2026-06-01T02:00:00Z
//!     to: 2026-06-01T04:00:00Z          # or duration: 2h
//!   - reason: weekly maintenance
//!     author: platform
//!     from: 2026-01-04T02:00:00         # the first time, local in time_zone
//!     duration: 2h
//!     time_zone: Europe/Madrid          # default UTC
//!     rrule: FREQ=WEEKLY;BYDAY=SU
//!     slos: [checkout-requests]         # default: all objectives
//!     match: {region: eu}               # labels of the objective or its group
//! ```

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::{Labels, Timestamp};
use crate::source::Span;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

use super::decode_window::zone;
use super::exclusion::{Exclusion, When};
use super::recurrence::Recurrence;

/// More exclusions than this in one file are not looked at one by one any more.
const EXCLUSIONS_MAX: usize = 10_000;
/// The longest that one lasts: a quarter.
const DURATION_MAX: Duration = Duration::from_secs(92 * 86_400);

/// Reads `exclusions`. Each comes with the place of its `slos`, whose names are known only later.
pub(super) fn exclusions(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<(Exclusion, Span)>> {
    let all = decoder.list(node, exclusion)?;
    if all.len() > EXCLUSIONS_MAX {
        decoder.error(node.span, format!("more than {EXCLUSIONS_MAX} exclusions"));
    }
    Some(all)
}

fn exclusion(decoder: &mut Decoder<'_>, node: &Node) -> Option<(Exclusion, Span)> {
    let mut fields = decoder.fields(node, "exclusion")?;
    let reason = fields.required("reason", Decoder::non_empty_string);
    let author = fields.required("author", Decoder::non_empty_string);
    let zone = fields.optional("time_zone", zone).unwrap_or(TimeZone::UTC);
    let rule = fields.optional("rrule", |decoder, node| {
        let text = decoder.non_empty_string(node)?;
        let rule = Recurrence::parse(&text);
        rule.map_err(|why| decoder.error_with_help(node.span, why, "write a rule such as FREQ=WEEKLY;BYDAY=SU")).ok()
    });
    let when = when(&mut fields, &zone, rule);
    let slos_span = fields.node("slos").map_or(fields.span, |node| node.span);
    let slos = fields.or("slos", Vec::new(), Decoder::strings);
    let scope = fields.or("match", Vec::new(), |decoder, node| decoder.map(node, Decoder::string));
    fields.finish();
    let exclusion = Exclusion {
        reason: reason?.into(),
        author: author?.into(),
        when: when?,
        slos: slos.into_iter().map(Into::into).collect(),
        scope: Labels::from_pairs(scope.into_iter().map(|(name, _, value)| (name, value))),
    };
    Some((exclusion, slos_span))
}

fn when(fields: &mut Fields<'_, '_, '_>, zone: &TimeZone, rule: Option<Recurrence>) -> Option<When> {
    let span = fields.span;
    let from = fields.required("from", |decoder, node| instant(decoder, node, zone));
    let to = fields.optional("to", |decoder, node| instant(decoder, node, zone));
    let duration = fields.optional("duration", |decoder, node| {
        let duration = decoder.positive_duration(node)?;
        if duration > DURATION_MAX {
            decoder.error(node.span, "an exclusion lasts at most 92d");
            return None;
        }
        Some(duration)
    });
    let (has_to, has_duration) = (fields.key_span("to").is_some(), fields.key_span("duration").is_some());
    let has_rule = fields.key_span("rrule").is_some();
    if has_to == has_duration || has_rule && !has_duration {
        let help = if has_rule { "write duration: 2h" } else { "write to: 2026-06-01T04:00:00Z, or duration: 2h" };
        fields.decoder.error_with_help(span, "an exclusion needs an end: to or duration, one of them", help);
        return None;
    }
    let (local, start) = from?;
    if has_rule {
        return Some(When::Recurring { first: local, zone: zone.clone(), duration: duration?, rule: rule? });
    }
    let end = match (to, duration) {
        (Some((_, end)), _) => end,
        (None, Some(duration)) => start + duration,
        (None, None) => return None,
    };
    if end <= start || end.since(start) > DURATION_MAX {
        fields.decoder.error(span, "an exclusion ends after its start, at most 92d later");
        return None;
    }
    Some(When::Span { start, end })
}

/// RFC 3339, or a local time without offset; as a local time and as an instant.
fn instant(decoder: &mut Decoder<'_>, node: &Node, zone: &TimeZone) -> Option<(DateTime, Timestamp)> {
    let text = decoder.non_empty_string(node)?;
    let absolute = text.parse::<jiff::Timestamp>().ok().map(|at| (at.to_zoned(zone.clone()).datetime(), at));
    let local = || {
        let local = text.parse::<DateTime>().ok()?;
        Some((local, zone.to_ambiguous_timestamp(local).compatible().ok()?))
    };
    let found = absolute.or_else(local);
    if found.is_none() {
        let help = "write 2026-06-01T02:00:00Z, or 2026-06-01T02:00:00 for a local time";
        decoder.error_with_help(node.span, format!("{text:?} is not an instant"), help);
    }
    found.map(|(local, at)| (local, Timestamp::from_ms(at.as_millisecond())))
}
