//! The formats that a target may answer in, and how they are asked for.

use std::fmt::Write;

use super::names::NameEscaping;
use crate::exposition::{BodyFormat, Format, HistogramHandling};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

/// A format with its version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScrapeProtocol {
    /// `PrometheusProto`
    Protobuf,
    /// `OpenMetricsText1.0.0`
    OpenMetrics1,
    /// `OpenMetricsText0.0.1`
    OpenMetrics0,
    /// `PrometheusText1.0.0`
    Text1,
    /// `PrometheusText0.0.4`
    Text0,
}

/// Prometheus's order of preference where native histograms are not scraped.
const DEFAULTS: [ScrapeProtocol; 4] =
    [ScrapeProtocol::OpenMetrics1, ScrapeProtocol::OpenMetrics0, ScrapeProtocol::Text1, ScrapeProtocol::Text0];

/// Native histograms come by protobuf only.
const PROTOBUF_FIRST: [ScrapeProtocol; 5] = [
    ScrapeProtocol::Protobuf,
    ScrapeProtocol::OpenMetrics1,
    ScrapeProtocol::OpenMetrics0,
    ScrapeProtocol::Text1,
    ScrapeProtocol::Text0,
];

const SUPPORTED: &str =
    "OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0";

/// What is asked for where nothing is configured.
pub(super) fn defaults(histograms: HistogramHandling) -> Vec<ScrapeProtocol> {
    if histograms.reads_native { PROTOBUF_FIRST.to_vec() } else { DEFAULTS.to_vec() }
}

impl ScrapeProtocol {
    /// How a body in this protocol is read.
    pub fn format(self) -> BodyFormat {
        match self {
            ScrapeProtocol::Protobuf => BodyFormat::Protobuf,
            ScrapeProtocol::OpenMetrics1 | ScrapeProtocol::OpenMetrics0 => BodyFormat::Text(Format::OpenMetrics),
            ScrapeProtocol::Text1 | ScrapeProtocol::Text0 => BodyFormat::Text(Format::Text),
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            ScrapeProtocol::Protobuf => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            ScrapeProtocol::OpenMetrics1 => "application/openmetrics-text;version=1.0.0",
            ScrapeProtocol::OpenMetrics0 => "application/openmetrics-text;version=0.0.1",
            ScrapeProtocol::Text1 => "text/plain;version=1.0.0",
            ScrapeProtocol::Text0 => "text/plain;version=0.0.4",
        }
    }

    /// Whether the format knows of names that need escaping.
    fn has_escaping(self) -> bool {
        matches!(self, ScrapeProtocol::OpenMetrics1 | ScrapeProtocol::Text1)
    }
}

/// The `Accept` header. Weights fall from 0.6 by 0.1, the last one is for anything else, as Prometheus sends it.
pub(super) fn accept_header(protocols: &[ScrapeProtocol], escaping: NameEscaping) -> String {
    let mut header = String::new();
    for (index, protocol) in protocols.iter().enumerate() {
        header.push_str(protocol.media_type());
        if protocol.has_escaping() {
            let _ = write!(header, ";escaping={}", escaping.as_str());
        }
        let _ = write!(header, ";q=0.{},", 6 - index);
    }
    let _ = write!(header, "*/*;q=0.{}", 6 - protocols.len());
    header
}

/// One protocol by its name.
pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<ScrapeProtocol> {
    let name = decoder.string(node)?;
    Some(match name.as_str() {
        "PrometheusProto" => ScrapeProtocol::Protobuf,
        "OpenMetricsText1.0.0" => ScrapeProtocol::OpenMetrics1,
        "OpenMetricsText0.0.1" => ScrapeProtocol::OpenMetrics0,
        "PrometheusText1.0.0" => ScrapeProtocol::Text1,
        "PrometheusText0.0.4" => ScrapeProtocol::Text0,
        _ => {
            let message = format!("unknown scrape protocol {name}, supported: [{SUPPORTED}]");
            decoder.error_with_help(node.span, message, "write one of these");
            return None;
        }
    })
}

/// The key `scrape_protocols`; `None` where it is not there. `whose` ends Prometheus's messages.
pub(super) fn decode_list(fields: &mut Fields<'_, '_, '_>, whose: &str) -> Option<Vec<ScrapeProtocol>> {
    let named = fields.optional("scrape_protocols", |decoder, node| decoder.list(node, decode))?;
    let span = fields.key_span("scrape_protocols").unwrap_or(fields.span);
    let mut protocols: Vec<ScrapeProtocol> = Vec::new();
    for protocol in named {
        if protocols.contains(&protocol) {
            fields.decoder.error(span, format!("duplicated protocol in scrape_protocols for {whose}"));
        } else {
            protocols.push(protocol);
        }
    }
    if protocols.is_empty() {
        let help = format!("write some of {SUPPORTED}");
        fields.decoder.error_with_help(span, format!("scrape_protocols cannot be empty for {whose}"), help);
        return None;
    }
    Some(protocols)
}
