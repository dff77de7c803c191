//! The `alerting:` mapping, checked.

use std::path::Path;
use std::time::Duration;

use crate::discovery::SdConfigs;
use crate::http::ClientConfig;
use crate::relabel::RelabelConfig;
use crate::source::decode::Decoder;
use crate::source::keys;
use crate::source::yaml::Node;

/// Prometheus's default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// All external Alertmanagers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AlertingConfig {
    /// Applied to every alert.
    pub relabel: Vec<RelabelConfig>,
    /// In the order written.
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// Alertmanagers that are discovered and spoken to alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertmanagerConfig {
    /// `http` or `https`; relabelling may change it.
    pub scheme: String,
    /// Goes before `/api/v2/alerts`.
    pub path_prefix: String,
    /// For one request.
    pub timeout: Duration,
    /// Where they are.
    pub discovery: SdConfigs,
    /// Applied to each discovered Alertmanager.
    pub relabel: Vec<RelabelConfig>,
    /// Applied to every alert on its way to these.
    pub alert_relabel: Vec<RelabelConfig>,
    /// Authentication and TLS.
    pub client: ClientConfig,
}

impl AlertingConfig {
    /// Reads the mapping under `alerting:`. Mistakes are reported and left out.
    pub fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<AlertingConfig> {
        let mut fields = decoder.section(node, &keys::ALERTING)?;
        let relabel = fields.or("alert_relabel_configs", Vec::new(), |decoder, node| {
            decode_relabel(decoder, node, "empty or null alert relabeling rule")
        });
        let alertmanagers =
            fields.or("alertmanagers", Vec::new(), |decoder, node| decoder.list(node, AlertmanagerConfig::decode));
        fields.finish();
        Some(AlertingConfig { relabel, alertmanagers })
    }

    /// Makes relative file names relative to `directory`, that of the configuration file.
    pub fn resolve_paths(&mut self, directory: &Path) {
        for config in &mut self.alertmanagers {
            config.discovery.resolve_paths(directory);
            config.client.resolve_paths(directory);
        }
    }
}

impl AlertmanagerConfig {
    fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<AlertmanagerConfig> {
        let mut fields = decoder.section(node, &keys::ALERTMANAGER)?;
        fields.optional("api_version", |decoder, node| {
            let version = decoder.string(node)?;
            if version != "v2" {
                let text = format!("expected Alertmanager api version to be one of [v2] but got {version}");
                decoder.error(node.span, text);
            }
            Some(())
        });
        let config = AlertmanagerConfig {
            scheme: fields.or("scheme", "http".to_owned(), decode_scheme),
            path_prefix: fields.or("path_prefix", String::new(), Decoder::string),
            timeout: fields.or("timeout", TIMEOUT, Decoder::positive_duration),
            discovery: SdConfigs::decode(&mut fields),
            relabel: fields.or("relabel_configs", Vec::new(), |decoder, node| {
                decode_relabel(decoder, node, "empty or null Alertmanager target relabeling rule")
            }),
            alert_relabel: fields.or("alert_relabel_configs", Vec::new(), |decoder, node| {
                decode_relabel(decoder, node, "empty or null Alertmanager alert relabeling rule")
            }),
            client: ClientConfig::decode(&mut fields),
        };
        fields.finish();
        Some(config)
    }
}

fn decode_scheme(decoder: &mut Decoder<'_>, node: &Node) -> Option<String> {
    let scheme = decoder.string(node)?;
    if !matches!(scheme.as_str(), "http" | "https") {
        decoder.error_with_help(node.span, format!("unknown scheme {scheme:?}"), "write http or https");
        return None;
    }
    Some(scheme)
}

fn decode_relabel(decoder: &mut Decoder<'_>, node: &Node, when_null: &str) -> Option<Vec<RelabelConfig>> {
    decoder.list(node, |decoder, node| {
        if node.is_null() {
            decoder.error(node.span, when_null);
            return None;
        }
        RelabelConfig::decode(decoder, node)
    })
}
