//! Values that are measured and not counted: OpenSLO's threshold metrics and raw ratios, as shares of minutes or of slices of time.
//!
//! In the flow: [`super::openslo`] hands in a query and what its objective says of it; out comes an indicator of one query.
//!
//! | budgeting method | the share of what is good |
//! |---|---|
//! | `Occurrences` | of the minutes at which the value compares with the objective's as it should; the mean of a raw ratio |
//! | `Timeslices` | of the slices of which at least `timeSliceTarget` is good in this sense |
//! | `RatioTimeslices` | the mean of that over the slices |
//!
//! Slices are aligned to the epoch in UTC; one counts where it lies in the window as a whole ([`Query::of_slices`]) and had a number, as slices of
//! events do. What is no number counts nowhere, so that an idle time is not an unknown one.
//! **Cost.** Each window asks for each of its minutes; see [`super::super::query`].

use std::time::Duration;

use crate::model::format_float;
use crate::source::Span;
use crate::source::decode::Decoder;
use crate::source::format_duration;

use super::super::decode_query::{Read, parse};
use super::super::policy::Comparison;
use super::super::query::Query;
use super::super::spec::Budgeting;
use super::queried::{self, Given, Sli};

/// An indicator as OpenSLO has it.
pub(super) enum Measured {
    /// Events, or queries for them.
    Events(Sli),
    /// A query of the share of good or of bad events.
    Raw { ratio: Given, is_success: bool },
    /// A query of a value that an objective compares.
    Threshold(Given),
}

/// What a value must be to be good.
#[derive(Clone, Copy)]
pub(super) struct Threshold {
    pub(super) comparison: Comparison,
    pub(super) value: f64,
}

impl Threshold {
    fn operator(self) -> &'static str {
        match self.comparison {
            Comparison::Above => ">",
            Comparison::AtLeast => ">=",
            Comparison::Below => "<",
            Comparison::AtMost => "<=",
        }
    }
}

/// The indicator of one objective; `span` is that of the budgeting method.
pub(super) fn indicator(
    decoder: &mut Decoder<'_>,
    measured: &Measured,
    threshold: Option<Threshold>,
    (budgeting, span): (Budgeting, Span),
) -> Option<Sli> {
    match measured {
        Measured::Events((indicator, _)) if indicator.is_queried() && budgeting.is_of_slices() => {
            let message =
                "slices of time need counters, a raw ratio or a measured value: two queries give no share of a slice";
            decoder.error(span, message);
            None
        }
        Measured::Events(sli) => Some(sli.clone()),
        Measured::Raw { ratio, is_success } if !budgeting.is_of_slices() => raw(decoder, ratio, *is_success),
        Measured::Raw { ratio, is_success } => {
            let share = |text: String| if *is_success { text } else { format!("1 - {text}") };
            let slice = format_duration(length(budgeting)?);
            let (good, any) = if ratio.has_window() {
                // On a line of its own, should the query end in a comment.
                let text = format!("\n{}\n", Query::new(&ratio.text).over(length(budgeting)?));
                let written = vector(&text, ratio);
                (share(format!("({written} >= -Inf)")), written)
            } else {
                let mean = |text: &str| format!("avg_over_time({text}[{slice}:1m])");
                let written = vector(&ratio.expr.to_string(), ratio);
                (share(mean(&format!("({written} >= -Inf)"))), mean(&written))
            };
            tell_of_slices(decoder, ratio.span);
            good_share(decoder, ratio, &of_slices(&good, &any, budgeting), budgeting)
        }
        Measured::Threshold(value) => compared(decoder, value, threshold?, budgeting),
    }
}

/// A raw ratio over a window that it names itself, or its mean.
fn raw(decoder: &mut Decoder<'_>, ratio: &Given, is_success: bool) -> Option<Sli> {
    let share = if ratio.has_window() {
        decoder.warning(ratio.span, "a ratio is evaluated as a query over each window, and not counted event by event");
        ratio.as_written()
    } else {
        ratio.tell_of_mean(decoder);
        ratio.mean()
    };
    let share = if is_success { share.complement() } else { share };
    queried::ratio(decoder, ratio, share)
}

/// A value that is compared minute by minute.
fn compared(decoder: &mut Decoder<'_>, value: &Given, threshold: Threshold, budgeting: Budgeting) -> Option<Sli> {
    if value.has_window() {
        let help = "write a range of its own, such as [5m]";
        decoder.error_with_help(
            value.span,
            "a measured value is compared minute by minute, and not over a window",
            help,
        );
        return None;
    }
    let written = vector(&value.expr.to_string(), value);
    let is_good = format!("(({written} >= -Inf) {} bool {})", threshold.operator(), format_float(threshold.value));
    let over = |text: &str, range: &str| format!("avg_over_time({text}[{range}:1m])");
    let text = match length(budgeting) {
        None => format!("{} or {} * NaN", over(&is_good, "$window"), over(&written, "5m")),
        Some(slice) => {
            let slice = format_duration(slice);
            of_slices(&over(&is_good, &slice), &over(&written, &slice), budgeting)
        }
    };
    let holds = format!("{} {}", threshold.operator(), format_float(threshold.value));
    let message = format!(
        "a measured value has no events: what counts is the share of minutes at which it is {holds}, every minute with a number alike"
    );
    decoder.warning(value.span, message);
    if budgeting.is_of_slices() {
        tell_of_slices(decoder, value.span);
    }
    good_share(decoder, value, &text, budgeting)
}

/// The share of good slices, or of what is good in them; `any` is there where something was measured, though it be no number.
fn of_slices(good: &str, any: &str, budgeting: Budgeting) -> String {
    let (each, slice) = match budgeting {
        Budgeting::TimeSlices { slice, target_ratio } => {
            (format!("(({good}) >= bool {})", format_float(target_ratio)), slice)
        }
        _ => (format!("({good})"), length(budgeting).unwrap_or_default()),
    };
    format!("avg_over_time({each}[$window:{}]) or {any} * NaN", format_duration(slice))
}

fn good_share(decoder: &mut Decoder<'_>, given: &Given, text: &str, budgeting: Budgeting) -> Option<Sli> {
    let expr = parse(text).unwrap_or_else(|_| given.expr.clone());
    let query = match length(budgeting) {
        None => Query::new(text),
        Some(slice) => Query::of_slices(text, slice),
    };
    queried::ratio(decoder, given, Read { query, expr }.complement())
}

/// The text of a query as an instant vector.
fn vector(text: &str, given: &Given) -> String {
    if given.is_scalar() { format!("vector({text})") } else { format!("({text})") }
}

fn length(budgeting: Budgeting) -> Option<Duration> {
    match budgeting {
        Budgeting::TimeSlices { slice, .. } | Budgeting::RatioTimeSlices { slice } => Some(slice),
        _ => None,
    }
}

fn tell_of_slices(decoder: &mut Decoder<'_>, span: Span) {
    let message = "a slice is as good as its minutes are, where OpenSLO may ask once for each: slices are aligned to the epoch in UTC, and \
                   count where they lie in a window as a whole";
    decoder.warning(span, message);
}
