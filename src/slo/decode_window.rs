//! What the budget of a specification is for: the window, and whether events or slices of time are counted.
//!
//! In the flow: [`super::decode`] calls it for each objective.
//!
//! ```yaml
//! window: month                  # or day, week, quarter, year; or rolling, such as 30d
//! time_zone: Europe/Madrid       # of a calendar's boundaries; default UTC
//! budgeting:                     # default: occurrences
//!   time_slices: {slice: 5m, target: 99}   # a slice is good if 99 % of its events are
//!   # ratio_time_slices: {slice: 5m}       # a slice is as good as the share of its good events
//! ```

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::source::decode::{Decoder, Fields};
use crate::source::format_duration;
use crate::source::yaml::Node;

use super::decode::{WINDOW_MAX, WINDOW_MIN};
use super::spec::Budgeting;
use super::window::{Calendar, Unit, Window, time_zone};

/// Reads `window` and `time_zone`. What is wrong is told and `default` taken.
pub(super) fn read(fields: &mut Fields<'_, '_, '_>, default: Duration) -> Window {
    let zone = fields.optional("time_zone", zone);
    let window = fields.or("window", Window::Rolling(default), |decoder, node| {
        let unit = node.as_str().and_then(|word| Unit::ALL.into_iter().find(|unit| unit.as_str() == word));
        match unit {
            Some(unit) => Some(Window::Calendar(Calendar::of(unit, zone.clone().unwrap_or(TimeZone::UTC)))),
            None => rolling(decoder, node).map(Window::Rolling),
        }
    });
    if let (Window::Rolling(_), Some(span)) = (&window, fields.key_span("time_zone")) {
        let help = "leave it out, or write window: month (day, week, quarter, year)";
        fields.decoder.error_with_help(span, "a rolling window has no time zone", help);
    }
    window
}

fn rolling(decoder: &mut Decoder<'_>, node: &Node) -> Option<Duration> {
    let window = decoder.positive_duration(node)?;
    if !(WINDOW_MIN..=WINDOW_MAX).contains(&window) {
        let (least, most) = (format_duration(WINDOW_MIN), format_duration(WINDOW_MAX));
        decoder.error(node.span, format!("a window lasts from {least} to {most}"));
        return None;
    }
    Some(window)
}

/// A time zone by its IANA name.
pub(super) fn zone(decoder: &mut Decoder<'_>, node: &Node) -> Option<TimeZone> {
    let name = decoder.non_empty_string(node)?;
    let zone = time_zone(&name);
    if zone.is_none() {
        decoder.error_with_help(
            node.span,
            format!("{name:?} is not a time zone"),
            "write an IANA name, such as Europe/Madrid",
        );
    }
    zone
}

/// Reads `budgeting`.
pub(super) fn budgeting(decoder: &mut Decoder<'_>, node: &Node, window: &Window) -> Option<Budgeting> {
    if node.as_str() == Some("occurrences") {
        return Some(Budgeting::Occurrences);
    }
    let help = "write occurrences, {time_slices: {slice: 5m, target: 99}} or {ratio_time_slices: {slice: 5m}}";
    if node.as_str().is_some() {
        decoder.error_with_help(node.span, "not a way of budgeting", help);
        return None;
    }
    let mut fields = decoder.fields(node, "budgeting")?;
    let span = fields.span;
    let time_slices = fields.optional("time_slices", |decoder, node| {
        let mut fields = decoder.fields(node, "time_slices")?;
        let slice = fields.required("slice", |decoder, node| slice(decoder, node, window));
        let target_percent = fields.required("target", target);
        fields.finish();
        Some(Budgeting::TimeSlices { slice: slice?, target_ratio: target_percent? / 100.0 })
    });
    let ratio_time_slices = fields.optional("ratio_time_slices", |decoder, node| {
        let mut fields = decoder.fields(node, "ratio_time_slices")?;
        let slice = fields.required("slice", |decoder, node| slice(decoder, node, window));
        fields.finish();
        Some(Budgeting::RatioTimeSlices { slice: slice? })
    });
    let is_one = fields.key_span("time_slices").is_some() != fields.key_span("ratio_time_slices").is_some();
    fields.finish();
    if !is_one {
        decoder.error_with_help(span, "expected one way of budgeting", help);
        return None;
    }
    time_slices.or(ratio_time_slices)
}

/// The length of a slice: a window that holds no whole one could never be measured.
pub(super) fn slice(decoder: &mut Decoder<'_>, node: &Node, window: &Window) -> Option<Duration> {
    let slice = decoder.positive_duration(node)?;
    if slice > window.nominal() / 2 {
        decoder.error(node.span, format!("a slice is at most half of the window ({window})"));
        return None;
    }
    Some(slice)
}

/// The share of a slice's events that must be good, in percent: above 0, and 100 is allowed.
fn target(decoder: &mut Decoder<'_>, node: &Node) -> Option<f64> {
    let percent = decoder.float(node)?;
    if !(percent > 0.0 && percent <= 100.0) {
        decoder.error_with_help(
            node.span,
            "a slice's target lies above 0 and at most at 100 percent",
            "write percent, such as 99",
        );
        return None;
    }
    Some(percent)
}
