//! `dns_sd_configs`: targets from the records of names.
//!
//! **Invariants.** A name that cannot be looked up keeps its last good targets; the others go on.
//! **Cost.** All names of a configuration are looked up at once.
//! **Source.** Prometheus v3.5 `discovery/dns/dns.go`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::rr::{RData, RecordType};

use super::refresh::{Refresh, RefreshMetrics};
use super::resolver::ResolvConf;
use super::{ADDRESS, DiscoveryMetrics, TargetGroup, join_host_port};
use crate::model::Labels;
use crate::source::decode::Decoder;
use crate::source::keys;
use crate::source::yaml::{Node, NodeKind};

const REFRESH_INTERVAL: Duration = Duration::from_secs(30);
const RESOLV_CONF: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;

/// What is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DnsRecordType {
    /// Service records: host and port.
    #[default]
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail exchanges.
    Mx,
    /// Name servers.
    Ns,
}

impl DnsRecordType {
    fn of(text: &str) -> Option<DnsRecordType> {
        Some(match text.to_ascii_uppercase().as_str() {
            "SRV" => DnsRecordType::Srv,
            "A" => DnsRecordType::A,
            "AAAA" => DnsRecordType::Aaaa,
            "MX" => DnsRecordType::Mx,
            "NS" => DnsRecordType::Ns,
            _ => return None,
        })
    }

    fn wire(self) -> RecordType {
        match self {
            DnsRecordType::Srv => RecordType::SRV,
            DnsRecordType::A => RecordType::A,
            DnsRecordType::Aaaa => RecordType::AAAA,
            DnsRecordType::Mx => RecordType::MX,
            DnsRecordType::Ns => RecordType::NS,
        }
    }
}

/// Names whose records are targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSdConfig {
    /// At least one.
    pub names: Vec<String>,
    /// How often they are looked up.
    pub refresh_interval: Duration,
    /// Which records count.
    pub record_type: DnsRecordType,
    /// The targets' port; that of a service record is its own.
    pub port: u16,
}

impl DnsSdConfig {
    pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<DnsSdConfig> {
        let mut fields = decoder.section(node, &keys::DNS_SD)?;
        let has_no_name = |node: &Node| matches!(&node.kind, NodeKind::Sequence(items) if items.is_empty());
        if fields.node("names").is_none_or(has_no_name) {
            let span = fields.span;
            let help = "write names: [NAME, …]";
            let message = "DNS-SD config must contain at least one SRV record name";
            fields.decoder.error_with_help(span, message, help);
        }
        let names = fields.or("names", Vec::new(), |decoder, node| decoder.list(node, Decoder::non_empty_string));
        let refresh_interval = fields.or("refresh_interval", REFRESH_INTERVAL, Decoder::positive_duration);
        let record_type = fields.or("type", DnsRecordType::default(), |decoder, node| {
            let text = decoder.string(node)?;
            let known = DnsRecordType::of(&text);
            if known.is_none() {
                let message = format!("invalid DNS-SD records type {text}");
                decoder.error_with_help(node.span, message, "write SRV, A, AAAA, MX or NS");
            }
            known
        });
        let port = fields.node("port").map_or(Some(0), |node| fields.decoder.integer(node, 0..=i64::from(u16::MAX)));
        if port == Some(0) && record_type != DnsRecordType::Srv {
            let span = fields.key_span("port").or(fields.key_span("type")).unwrap_or(fields.span);
            let message = "a port is required in DNS-SD configs for all record types except SRV";
            fields.decoder.error(span, message);
        }
        fields.finish();
        Some(DnsSdConfig { names, refresh_interval, record_type, port: port? as u16 })
    }
}

/// Looks up the names of one configuration.
#[derive(Debug)]
pub(super) struct DnsSource {
    config: DnsSdConfig,
    metrics: Arc<DiscoveryMetrics>,
    /// Read at each refresh: the machine may have moved to another network.
    resolv_conf: PathBuf,
    port: u16,
    last_good: BTreeMap<String, TargetGroup>,
}

impl DnsSource {
    pub(super) fn new(config: DnsSdConfig, metrics: Arc<DiscoveryMetrics>) -> DnsSource {
        DnsSource { config, metrics, resolv_conf: RESOLV_CONF.into(), port: DNS_PORT, last_good: BTreeMap::new() }
    }

    async fn look_up(&self, name: &str) -> Result<TargetGroup, String> {
        let conf = fs::read_to_string(&self.resolv_conf)
            .map(|text| ResolvConf::parse(&text, self.port))
            .map_err(|error| format!("could not load resolv.conf: {error}"))?;
        let records = conf.look_up(name, self.config.record_type.wire()).await?;
        let targets = records.iter().filter_map(|record| target(name, record, self.config.port)).collect();
        Ok(TargetGroup { targets, labels: Labels::empty(), source: name.to_owned() })
    }
}

impl Refresh for DnsSource {
    const MECHANISM: &'static str = "dns";

    fn metrics(all: &DiscoveryMetrics) -> &RefreshMetrics {
        &all.dns_refresh
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let found = join_all(self.config.names.iter().map(|name| self.look_up(name))).await;
        for (name, found) in self.config.names.iter().zip(found) {
            self.metrics.dns_lookups.fetch_add(1, Ordering::Relaxed);
            match found {
                Ok(group) => {
                    self.last_good.insert(name.clone(), group);
                }
                Err(error) => {
                    self.metrics.dns_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, "DNS targets cannot be refreshed, the last good ones stay");
                }
            }
        }
        Ok(self.config.names.iter().filter_map(|name| self.last_good.get(name).cloned()).collect())
    }
}

/// `None` for what comes along with an answer, such as the alias that led to it.
fn target(name: &str, record: &RData, port: u16) -> Option<Labels> {
    // Labels keep the final dot of a rooted name; addresses go without.
    let address = |host: &str, port: u16| join_host_port(host.trim_end_matches('.'), port);
    let mut labels = vec![("__meta_dns_name", name.to_owned())];
    let address = match record {
        RData::SRV(srv) => {
            let host = srv.target.to_ascii();
            let address = address(&host, srv.port);
            labels.push(("__meta_dns_srv_record_target", host));
            labels.push(("__meta_dns_srv_record_port", srv.port.to_string()));
            address
        }
        RData::MX(mx) => {
            let host = mx.exchange.to_ascii();
            let address = address(&host, port);
            labels.push(("__meta_dns_mx_record_target", host));
            address
        }
        RData::NS(ns) => {
            let host = ns.0.to_ascii();
            let address = address(&host, port);
            labels.push(("__meta_dns_ns_record_target", host));
            address
        }
        RData::A(a) => address(&a.0.to_string(), port),
        RData::AAAA(aaaa) => address(&aaaa.0.to_string(), port),
        _ => return None,
    };
    labels.push((ADDRESS, address));
    Some(Labels::from_pairs(labels))
}

#[cfg(test)]
mod tests;
