//! The formats that a target may answer in, and how they are asked for.

use std::fmt::Write;

use super::names::NameEscaping;
use crate::exposition::Format;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

/// A format with its version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScrapeProtocol {
    /// `OpenMetricsText1.0.0`
    OpenMetrics1,
    /// `OpenMetricsText0.0.1`
    OpenMetrics0,
    /// `PrometheusText1.0.0`
    Text1,
    /// `PrometheusText0.0.4`
    Text0,
}

/// Prometheus's order of preference, without protobuf.
pub(super) const DEFAULTS: [ScrapeProtocol; 4] =
    [ScrapeProtocol::OpenMetrics1, ScrapeProtocol::OpenMetrics0, ScrapeProtocol::Text1, ScrapeProtocol::Text0];

const SUPPORTED: &str = "OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusText0.0.4 PrometheusText1.0.0";

impl ScrapeProtocol {
    /// How a body in this protocol is read.
    pub fn format(self) -> Format {
        match self {
            ScrapeProtocol::OpenMetrics1 | ScrapeProtocol::OpenMetrics0 => Format::OpenMetrics,
            ScrapeProtocol::Text1 | ScrapeProtocol::Text0 => Format::Text,
        }
    }

    fn media_type(self) -> &'static str {
        match self {
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

/// One protocol by its name. `Some(None)` is protobuf: known, warned about, not used.
pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<Option<ScrapeProtocol>> {
    let name = decoder.string(node)?;
    Some(match name.as_str() {
        "OpenMetricsText1.0.0" => Some(ScrapeProtocol::OpenMetrics1),
        "OpenMetricsText0.0.1" => Some(ScrapeProtocol::OpenMetrics0),
        "PrometheusText1.0.0" => Some(ScrapeProtocol::Text1),
        "PrometheusText0.0.4" => Some(ScrapeProtocol::Text0),
        "PrometheusProto" => {
            decoder.warning(node.span, "PrometheusProto is not asked for: only the text formats are read");
            None
        }
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
    for protocol in named.into_iter().flatten() {
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
