//! Targets of nodes: their kubelets.
//!
//! **Source.** Prometheus v3.5 `discovery/kubernetes/node.go`.

use super::labels::{LabelSet, sanitized};
use super::objects::Node;
use crate::discovery::join_host_port;

/// Kinds of addresses, the best first.
const ADDRESS_KINDS: [&str; 6] = ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

/// The labels of the node itself.
pub(super) fn node_labels(node: &Node) -> LabelSet {
    let mut labels = LabelSet::default();
    labels.put("node_provider_id", node.spec.provider_id.as_str());
    for condition in &node.status.conditions {
        let name = sanitized(&condition.kind.to_lowercase());
        labels.put(format_args!("node_condition_{name}"), condition.status.to_lowercase());
    }
    labels.put_meta("node", &node.metadata);
    labels
}

/// The kubelet; none while the node has no address.
pub(super) fn node_targets(node: &Node) -> Vec<LabelSet> {
    let first = |kind: &str| node.status.addresses.iter().find(|address| address.kind == kind);
    let Some(best) = ADDRESS_KINDS.into_iter().find_map(first) else {
        tracing::warn!(node = node.metadata.name, "no node address found");
        return Vec::new();
    };
    let mut target = LabelSet::at(join_host_port(&best.address, node.status.daemon_endpoints.kubelet_endpoint.port));
    target.put_plain("instance", node.metadata.name.as_str());
    // Of several addresses of a kind the first counts, and of equal labels the last.
    for address in node.status.addresses.iter().rev() {
        target.put(format_args!("node_address_{}", sanitized(&address.kind)), address.address.as_str());
    }
    vec![target]
}
