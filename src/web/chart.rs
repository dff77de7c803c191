//! Small charts as SVG: a line over time with the spans of alerts under it. No script; colours follow the page.
//!
//! Texts stand beside the drawing, so that they keep their size on a phone while the drawing shrinks.

use maud::{Markup, html};

use crate::model::Timestamp;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;

/// A span of time to be marked.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// From…
    pub start: Timestamp,
    /// … to.
    pub end: Timestamp,
    /// The class: `bad`, `warn` or empty.
    pub kind: &'static str,
}

/// A line through `points`, broken where there is no value, with the level 0 drawn in. `label` says what it shows; values outside of
/// `floor..=1` are drawn at the edge.
pub fn line(label: &str, points: &[(Timestamp, Option<f64>)], marks: &[Mark], floor: f64) -> Markup {
    let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else { return html! {} };
    let length_ms = last.ms_since(*first).max(1) as f64;
    let x = |at: Timestamp| (at.ms_since(*first) as f64 / length_ms).clamp(0.0, 1.0) * WIDTH;
    let lowest = points.iter().filter_map(|(_, value)| *value).fold(0.0_f64, f64::min).max(floor);
    let y = |value: f64| (1.0 - value.clamp(lowest, 1.0)) / (1.0 - lowest) * HEIGHT;
    let mut path = String::new();
    let mut is_open = false;
    for (at, value) in points {
        let Some(value) = value else {
            is_open = false;
            continue;
        };
        path.push_str(&format!("{}{:.1} {:.1} ", if is_open { "L" } else { "M" }, x(*at), y(*value)));
        is_open = true;
    }
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
                @for mark in marks {
                    rect class=(mark.kind) x=(format!("{:.1}", x(mark.start))) y="0" height=(HEIGHT)
                        width=(format!("{:.1}", (x(mark.end) - x(mark.start)).max(1.0))) {}
                }
                line.zero x1="0" x2=(WIDTH) y1=(format!("{:.1}", y(0.0))) y2=(format!("{:.1}", y(0.0))) {}
                path d=(path) {}
            }
            figcaption { span { (first.to_rfc3339()) } span { (label) } span { (last.to_rfc3339()) } }
        }
    }
}

/// The rules of the sheet for charts, for pages that stand alone.
pub const STYLE: &str = include_str!("chart.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_where_nothing_is_known() {
        let at = |secs: i64| Timestamp::from_ms(1000 * secs);
        let points = [(at(0), Some(1.0)), (at(50), None), (at(100), Some(-1.0)), (at(200), Some(0.0))];
        let marks = [Mark { start: at(100), end: at(200), kind: "bad" }];
        let drawn = line("budget <left>", &points, &marks, -1.0).into_string();
        for text in [
            "M0.0 0.0 M300.0 120.0 L600.0 60.0",
            r#"<rect class="bad" x="300.0""#,
            "budget &lt;left&gt;",
            "1970-01-01T00:03:20Z",
        ] {
            assert!(drawn.contains(text), "{text}: {drawn}");
        }
        assert!(line("", &[], &[], -1.0).into_string().is_empty());
    }
}
