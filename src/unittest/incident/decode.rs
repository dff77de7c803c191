//! The file of an incident, checked.

use std::time::Duration;

use super::{Incident, Outage, Told};
use crate::model::{Labels, Timestamp, Value};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::{self, Node};
use crate::source::{Diagnostics, SourceFile};
use crate::unittest::notation;
use crate::unittest::series::{SeriesValue, parse_labels, parse_values};

/// An incident, and the configuration that it is played to.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The configuration file, relative to the incident's.
    pub config: String,
    /// Variables that the configuration may use.
    pub environment: Vec<(String, String)>,
    /// What happens and what is expected.
    pub incident: Incident,
}

impl Scenario {
    /// Reads an incident file; all mistakes at once.
    pub fn parse(source: &SourceFile) -> (Option<Scenario>, Diagnostics) {
        let (root, mut diagnostics) = yaml::parse(source);
        let Some(root) = root else { return (None, diagnostics) };
        let mut decoder = Decoder::new(source);
        let scenario = decode(&mut decoder, &root);
        diagnostics.extend(decoder.finish());
        (scenario.filter(|_| !diagnostics.has_errors()), diagnostics)
    }
}

fn decode(decoder: &mut Decoder<'_>, root: &Node) -> Option<Scenario> {
    let mut fields = decoder.fields(root, "incident")?;
    let config = fields.required("config", Decoder::non_empty_string);
    let environment = fields.or("environment", Vec::new(), |decoder, node| {
        let pairs = decoder.map(node, Decoder::string)?;
        Some(pairs.into_iter().map(|(name, _, value)| (name, value)).collect())
    });
    let start = fields.required("start", instant);
    let step = fields.required("step", Decoder::positive_duration);
    let until = fields.required("until", Decoder::positive_duration);
    let clock = start.zip(step);
    let samples = fields
        .or("series", Vec::new(), |decoder, node| decoder.list(node, |decoder, node| series(decoder, node, clock)));
    let outages = fields.or("outages", Vec::new(), |decoder, node| decoder.list(node, outage));
    let expected = fields.or("expect", Vec::new(), |decoder, node| decoder.list(node, told));
    fields.finish();
    let incident = Incident { start: start?, until: until?, samples, outages, expected };
    Some(Scenario { config: config?, environment, incident })
}

fn instant(decoder: &mut Decoder<'_>, node: &Node) -> Option<Timestamp> {
    let parsed = node.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    if parsed.is_none() {
        decoder.error_with_help(node.span, "not an instant", "write RFC 3339, such as 2026-03-02T09:00:00Z");
    }
    parsed.map(|instant| Timestamp::from_ms(instant.as_millisecond()))
}

type Samples = (Labels, Vec<(Timestamp, Value)>);

fn series(decoder: &mut Decoder<'_>, node: &Node, clock: Option<(Timestamp, Duration)>) -> Option<Samples> {
    let mut fields = decoder.fields(node, "series")?;
    let labels = fields.required("series", |decoder, node| notation::read(decoder, node, parse_labels));
    let values = fields.required("values", |decoder, node| notation::read(decoder, node, parse_values));
    fields.finish();
    let (start, step) = clock?;
    let mut at = start;
    let mut samples = Vec::new();
    for value in values? {
        let value = match value {
            SeriesValue::Missing => None,
            SeriesValue::Float(value) => Some(Value::Float(value)),
            SeriesValue::Histogram { histogram, .. } => Some(Value::Histogram(histogram)),
        };
        samples.extend(value.map(|value| (at, value)));
        at = at + step;
    }
    Some((labels?, samples))
}

fn outage(decoder: &mut Decoder<'_>, node: &Node) -> Option<Outage> {
    let mut fields = decoder.fields(node, "outage")?;
    let receiver = fields.required("receiver", Decoder::non_empty_string);
    let from = fields.required("from", Decoder::duration);
    let until = fields.required("until", Decoder::positive_duration);
    fields.finish();
    Some(Outage { receiver: receiver?, from: from?, until: until? })
}

fn told(decoder: &mut Decoder<'_>, node: &Node) -> Option<Told> {
    let mut fields = decoder.fields(node, "expectation")?;
    let at = fields.required("at", Decoder::duration);
    let to = fields.required("to", Decoder::non_empty_string);
    let firing = alerts(&mut fields, "firing");
    let resolved = alerts(&mut fields, "resolved");
    fields.finish();
    Some(Told { at: at?, to: to?, firing, resolved })
}

/// Alerts in any order and spelling of labels, brought into the one in which they are compared.
fn alerts(fields: &mut Fields<'_, '_, '_>, key: &'static str) -> Vec<String> {
    let mut alerts = fields.or(key, Vec::new(), |decoder, node| {
        decoder.list(node, |decoder, node| Some(notation::read(decoder, node, parse_labels)?.to_string()))
    });
    alerts.sort();
    alerts
}
