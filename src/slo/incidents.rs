//! How a policy did against incidents that people know of: when it told of each, how long after the end it went on, what it missed, and what it
//! told of that was none.
//!
//! In the flow: `almenara slo backtest --incidents FILE` reads them and hands them in with a [`Backtest`].
//!
//! ```yaml
//! incidents:
//!   - {name: database, start: 2026-06-01T10:00:00Z, end: 2026-06-01T10:40:00Z}
//!   - {name: bad release, start: 2026-06-03T09:00:00Z, end: 2026-06-03T09:20:00Z, slos: [checkout-requests]}
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::model::Timestamp;
use crate::source::decode::Decoder;
use crate::source::yaml::{self, Node};
use crate::source::{Diagnostics, SourceFile};

use super::backtest::{Backtest, Notified};

/// What begins within this time after an incident is its aftermath: the slow tiers, once the page has gone.
const AFTERMATH: Duration = Duration::from_secs(6 * 3600);

/// A time in which users suffered.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// For people.
    pub name: Arc<str>,
    /// When it began.
    pub start: Timestamp,
    /// When it was over.
    pub end: Timestamp,
    /// The objectives that it touched; empty: all.
    pub slos: Vec<Arc<str>>,
}

/// What became of one incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Detected {
    /// The incident.
    pub name: Arc<str>,
    /// From its start to the first notification; `None`: it was missed.
    pub detection: Option<Duration>,
    /// Whether the first one was a page.
    pub is_page: bool,
    /// From its end to the end of the last notification that began while it lasted; `None`: it was missed, or the notification did not end.
    pub reset: Option<Duration>,
    /// How often an alert came back while it lasted.
    pub flaps: usize,
}

/// A policy against all incidents of an objective.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// In order of the file.
    pub incidents: Vec<Detected>,
    /// Notifications that belong to no incident.
    pub false_alarms: usize,
}

impl Score {
    /// Judges the notifications of `result`, a replay of the objective `slo`.
    pub fn of(slo: &str, result: &Backtest, incidents: &[Incident]) -> Score {
        let own: Vec<&Incident> = incidents
            .iter()
            .filter(|incident| incident.slos.is_empty() || incident.slos.iter().any(|name| **name == *slo))
            .collect();
        let belongs = |told: &Notified| {
            own.iter().any(|incident| told.start >= incident.start && told.start <= incident.end + AFTERMATH)
        };
        let false_alarms = result.notifications.iter().filter(|told| !belongs(told)).count();
        Score {
            incidents: own.iter().map(|incident| detected(incident, &result.notifications)).collect(),
            false_alarms,
        }
    }
}

fn detected(incident: &Incident, notifications: &[Notified]) -> Detected {
    let during: Vec<&Notified> =
        notifications.iter().filter(|told| told.start >= incident.start && told.start <= incident.end).collect();
    // One that was firing already has told of it too, at once.
    let before =
        notifications.iter().any(|told| told.start < incident.start && told.end.is_none_or(|end| end > incident.start));
    let first = during.first();
    let detection = if before { Some(Duration::ZERO) } else { first.map(|told| told.start.since(incident.start)) };
    let ends: Option<Vec<Timestamp>> = during.iter().map(|told| told.end).collect();
    let reset = ends.and_then(|ends| ends.into_iter().max()).map(|end| end.since(incident.end));
    let same = |a: &Notified, b: &Notified| a.name == b.name && a.severity == b.severity;
    let comes_back = |(index, told): (usize, &&Notified)| during[..index].iter().any(|earlier| same(earlier, told));
    Detected {
        name: incident.name.clone(),
        detection,
        is_page: first.is_some_and(|told| told.severity == super::Severity::Page),
        reset,
        flaps: during.iter().enumerate().filter(|pair| comes_back(*pair)).count(),
    }
}

/// Reads a file of incidents.
pub fn parse_incidents(source: &SourceFile) -> (Option<Vec<Incident>>, Diagnostics) {
    let (root, mut diagnostics) = yaml::parse(source);
    let Some(root) = root.filter(|_| !diagnostics.has_errors()) else { return (None, diagnostics) };
    let mut decoder = Decoder::new(source);
    let incidents = decoder.fields(&root, "file of incidents").and_then(|mut fields| {
        let incidents = fields.required("incidents", |decoder, node| decoder.list(node, incident));
        fields.finish();
        incidents
    });
    let is_usable = !decoder.has_errors();
    diagnostics.extend(decoder.finish());
    (incidents.filter(|_| is_usable), diagnostics)
}

fn incident(decoder: &mut Decoder<'_>, node: &Node) -> Option<Incident> {
    let mut fields = decoder.fields(node, "incident")?;
    let name = fields.required("name", Decoder::non_empty_string);
    let start = fields.required("start", instant);
    let end = fields.required("end", instant);
    let slos = fields.or("slos", Vec::new(), Decoder::strings);
    let span = fields.span;
    fields.finish();
    let (start, end) = (start?, end?);
    if end <= start {
        decoder.error(span, "an incident ends after its start");
        return None;
    }
    Some(Incident { name: name?.into(), start, end, slos: slos.into_iter().map(Into::into).collect() })
}

fn instant(decoder: &mut Decoder<'_>, node: &Node) -> Option<Timestamp> {
    let instant = node.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    if instant.is_none() {
        decoder.error_with_help(node.span, "not an instant", "write RFC 3339, such as 2026-06-01T10:00:00Z");
    }
    instant.map(|at| Timestamp::from_ms(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use crate::slo::Severity;

    #[test]
    fn delays_misses_flaps_and_false_alarms() {
        let at = |minute: i64| Timestamp::from_ms(60_000 * minute);
        let told = |severity, start, end: i64| Notified {
            name: "SLOErrorBudgetBurn",
            tier: None,
            severity,
            start: at(start),
            end: Some(at(end)).filter(|_| end > 0),
            budget_spent_at_start: None,
            reason: String::new(),
        };
        let result = Backtest {
            group: Labels::empty(),
            points: Vec::new(),
            runs: Vec::new(),
            notifications: vec![
                told(Severity::Page, 12, 20),
                told(Severity::Page, 25, 45),
                told(Severity::Ticket, 45, 90),
                told(Severity::Page, 2_000, 2_010),
            ],
            is_measured_at_end: true,
            held_back: Vec::new(),
            partly_measured: Vec::new(),
        };
        let incident =
            |name: &str, start, end| Incident { name: name.into(), start: at(start), end: at(end), slos: Vec::new() };
        let incidents = [incident("one", 10, 40), incident("two", 500, 510)];
        let score = Score::of("a", &result, &incidents);
        let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
        let one = Detected { name: "one".into(), detection: minutes(2), is_page: true, reset: minutes(5), flaps: 1 };
        let two = Detected { name: "two".into(), detection: None, is_page: false, reset: None, flaps: 0 };
        assert_eq!(score, Score { incidents: vec![one, two], false_alarms: 1 });
    }

    #[test]
    fn a_file_of_incidents_is_read_and_its_mistakes_are_told() {
        let read = |text: &str| parse_incidents(&SourceFile::new("i.yml", text));
        let good = "incidents: [{name: a, start: 2026-06-01T10:00:00Z, end: 2026-06-01T11:00:00Z}]";
        assert_eq!(read(good).0.map(|all| all.len()), Some(1));
        let wrong = "incidents: [{name: a, start: yesterday, end: 2026-06-01T11:00:00Z}]";
        assert_eq!(
            read(wrong).1.to_string(),
            "i.yml:1:30: not an instant; write RFC 3339, such as 2026-06-01T10:00:00Z"
        );
    }
}
