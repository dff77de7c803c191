//! The discoveries of one mapping, checked; those that are not built in are refused by the table of keys.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ADDRESS, DnsSdConfig, HttpSdConfig, KubernetesSdConfig, TargetGroup};
use crate::model::{Label, Labels};
use crate::source::decode::{Decoder, Fields};
use crate::source::keys;
use crate::source::yaml::{Node, NodeKind};

/// How often files are read again although nothing announced a change; Prometheus's default.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// All discoveries of one mapping.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SdConfigs {
    /// Targets written down.
    pub static_groups: Vec<TargetGroup>,
    /// Files to watch.
    pub files: Vec<FileSdConfig>,
    /// Servers to ask.
    pub http: Vec<HttpSdConfig>,
    /// Names to look up.
    pub dns: Vec<DnsSdConfig>,
    /// Clusters to follow.
    pub kubernetes: Vec<KubernetesSdConfig>,
}

/// Files that hold target groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSdConfig {
    /// Paths; the last part may hold `*`.
    pub files: Vec<PathBuf>,
    /// How often they are read again although nothing announced a change.
    pub refresh_interval: Duration,
}

impl SdConfigs {
    /// Takes the keys of discovery out of a larger mapping. Mistakes are reported and left out.
    pub fn decode(fields: &mut Fields<'_, '_, '_>) -> SdConfigs {
        // Relabelling may make an address of a URL, as it does in jobs that ask through an exporter.
        let is_relabelled = fields.node("relabel_configs").is_some_and(|rules| !is_empty_list(rules));
        let mut static_groups = fields.or("static_configs", Vec::new(), |decoder, node| {
            decoder.list(node, |decoder, node| {
                if node.is_null() {
                    decoder.error(node.span, "empty or null section in static_configs");
                    return None;
                }
                let group = decode_group(decoder, node)?;
                if !is_relabelled {
                    check_addresses(decoder, node);
                }
                Some(group)
            })
        });
        for (index, group) in static_groups.iter_mut().enumerate() {
            group.source = index.to_string();
        }
        let files = fields.or("file_sd_configs", Vec::new(), |decoder, node| decoder.list(node, decode_file_sd));
        let http = fields.or("http_sd_configs", Vec::new(), |decoder, node| decoder.list(node, HttpSdConfig::decode));
        let dns = fields.or("dns_sd_configs", Vec::new(), |decoder, node| decoder.list(node, DnsSdConfig::decode));
        let kubernetes = fields
            .or("kubernetes_sd_configs", Vec::new(), |decoder, node| decoder.list(node, KubernetesSdConfig::decode));
        SdConfigs { static_groups, files, http, dns, kubernetes }
    }

    /// Makes relative file names relative to `directory`, that of the configuration file.
    pub fn resolve_paths(&mut self, directory: &Path) {
        for path in self.files.iter_mut().flat_map(|config| &mut config.files) {
            *path = directory.join(&*path);
        }
        self.http.iter_mut().for_each(|config| config.resolve_paths(directory));
        self.kubernetes.iter_mut().for_each(|config| config.resolve_paths(directory));
    }
}

/// Reads one group; its source is left empty.
pub(super) fn decode_group(decoder: &mut Decoder<'_>, node: &Node) -> Option<TargetGroup> {
    let mut fields = decoder.section(node, &keys::STATIC)?;
    let addresses = fields.or("targets", Vec::new(), Decoder::strings);
    let labels = fields.or("labels", Vec::new(), |decoder, node| decoder.map(node, Decoder::string));
    let mut group_labels = Vec::with_capacity(labels.len());
    for (name, span, value) in labels {
        if name.is_empty() {
            fields.decoder.error(span, "\"\" is not a valid label name");
        }
        group_labels.push(Label { name: name.into(), value: value.into() });
    }
    fields.finish();
    let targets = addresses.into_iter().map(|address| Labels::from_pairs([(ADDRESS, address)])).collect();
    Some(TargetGroup { targets, labels: Labels::new(group_labels), source: String::new() })
}

/// An address is a host and a port; people like to write whole URLs.
fn check_addresses(decoder: &mut Decoder<'_>, group: &Node) {
    // That it is a list of texts has been checked before.
    let Some(NodeKind::Sequence(targets)) = group.get("targets").map(|targets| &targets.kind) else { return };
    for node in targets {
        let Some(address) = node.as_str().filter(|address| address.contains('/')) else { continue };
        let help = "write host:port; scheme and path are keys of their own";
        decoder.error_with_help(node.span, format!("{address:?} is not a valid hostname"), help);
    }
}

fn decode_file_sd(decoder: &mut Decoder<'_>, node: &Node) -> Option<FileSdConfig> {
    let mut fields = decoder.section(node, &keys::FILE_SD)?;
    let files = fields.or("files", Vec::new(), |decoder, node| decoder.list(node, decode_pattern));
    if fields.key_span("files").is_none() || fields.node("files").is_some_and(is_empty_list) {
        let span = fields.span;
        fields.decoder.error(span, "file service discovery config must contain at least one path name");
    }
    let refresh_interval = fields.or("refresh_interval", REFRESH_INTERVAL, Decoder::positive_duration);
    fields.finish();
    Some(FileSdConfig { files, refresh_interval })
}

fn is_empty_list(node: &Node) -> bool {
    matches!(&node.kind, NodeKind::Sequence(items) if items.is_empty())
}

fn decode_pattern(decoder: &mut Decoder<'_>, node: &Node) -> Option<PathBuf> {
    let pattern = decoder.string(node)?;
    if !is_valid_pattern(&pattern) {
        let help = "name a .json, .yml or .yaml file; only its last part may hold *";
        decoder.error_with_help(node.span, format!("path name {pattern:?} is not valid for file discovery"), help);
        return None;
    }
    Some(pattern.into())
}

/// Prometheus's `^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$`.
fn is_valid_pattern(pattern: &str) -> bool {
    let Some((stem, extension)) = pattern.rsplit_once('.') else { return false };
    let star_in_last_part = stem.find('*').is_none_or(|star| !stem[star..].contains('/'));
    matches!(extension, "json" | "yml" | "yaml" | "JSON" | "YML" | "YAML") && star_in_last_part
}
