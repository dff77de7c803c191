//! Targets of services.
//!
//! **Source.** Prometheus v3.5 `discovery/kubernetes/service.go`.

use super::labels::LabelSet;
use super::objects::Service;
use crate::discovery::join_host_port;

/// The labels of the service itself.
pub(super) fn service_labels(service: &Service) -> LabelSet {
    let mut labels = LabelSet::default();
    labels.put("namespace", service.metadata.namespace.as_str());
    labels.put_meta("service", &service.metadata);
    labels
}

/// One target a port, by the name that the cluster's DNS has for the service.
pub(super) fn service_targets(service: &Service) -> Vec<LabelSet> {
    let (meta, spec) = (&service.metadata, &service.spec);
    let host = format!("{}.{}.svc", meta.name, meta.namespace);
    let target = |port: &super::objects::ServicePort| {
        let mut target = LabelSet::at(join_host_port(&host, port.port));
        target.put("service_port_name", port.name.as_str());
        target.put("service_port_number", port.port.to_string());
        target.put("service_port_protocol", port.protocol.as_str());
        target.put("service_type", spec.kind.as_str());
        match spec.kind.as_str() {
            "ExternalName" => target.put("service_external_name", spec.external_name.as_str()),
            _ => target.put("service_cluster_ip", spec.cluster_ip.as_str()),
        }
        if spec.kind == "LoadBalancer" {
            target.put("service_loadbalancer_ip", spec.load_balancer_ip.as_str());
        }
        target
    };
    spec.ports.iter().map(target).collect()
}
