//! Targets behind services, from `Endpoints` and from `EndpointSlice`.
//!
//! **Source.** Prometheus v3.5 `discovery/kubernetes/endpoints.go`, `endpointslice.go`.

use std::collections::BTreeMap;

use super::cluster::View;
use super::labels::{LabelSet, sanitized};
use super::objects::{
    EndpointAddress, EndpointSlice, Endpoints, ObjectReference, Pod, ServicePort, SliceEndpoint, SlicePort,
};
use super::pods::{container_of_port, further_targets, pod_labels};
use crate::discovery::join_host_port;

/// The label by which a slice names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The labels that all targets share, and the targets.
pub(super) fn of_endpoints(endpoints: &Endpoints, view: &View<'_>) -> (LabelSet, Vec<LabelSet>) {
    let meta = &endpoints.metadata;
    let mut labels = LabelSet::default();
    labels.put("namespace", meta.namespace.as_str());
    view.put_service(&mut labels, &meta.namespace, &meta.name);
    labels.put_meta("endpoints", meta);
    let mut backing = Backing::default();
    for subset in &endpoints.subsets {
        for port in &subset.ports {
            let addresses = subset.addresses.iter().map(|address| (address, "true"));
            let all = addresses.chain(subset.not_ready_addresses.iter().map(|address| (address, "false")));
            for (address, ready) in all {
                let target = endpoint_target(address, port, ready, view);
                let protocol = Some(port.protocol.as_str());
                backing.add(target, view.pod(address.target_ref.as_ref()), Some(port.port), protocol);
            }
        }
    }
    (labels, backing.finish())
}

fn endpoint_target(address: &EndpointAddress, port: &ServicePort, ready: &str, view: &View<'_>) -> LabelSet {
    let mut target = LabelSet::at(join_host_port(&address.ip, port.port));
    target.put("endpoint_port_name", port.name.as_str());
    target.put("endpoint_port_protocol", port.protocol.as_str());
    target.put("endpoint_ready", ready);
    put_reference(&mut target, "endpoint", address.target_ref.as_ref());
    target.put_some("endpoint_node_name", address.node_name.as_ref());
    target.put("endpoint_hostname", address.hostname.as_str());
    let node = address.node_name.as_deref().or_else(|| node_of(address.target_ref.as_ref()));
    view.put_node(&mut target, node);
    target
}

/// As [`of_endpoints`].
pub(super) fn of_slice(slice: &EndpointSlice, view: &View<'_>) -> (LabelSet, Vec<LabelSet>) {
    let meta = &slice.metadata;
    let mut labels = LabelSet::default();
    labels.put("namespace", meta.namespace.as_str());
    labels.put("endpointslice_address_type", slice.address_type.as_str());
    labels.put_meta("endpointslice", meta);
    if let Some(service) = meta.labels.get(SERVICE_NAME) {
        view.put_service(&mut labels, &meta.namespace, service);
    }
    let mut backing = Backing::default();
    for endpoint in &slice.endpoints {
        for port in &slice.ports {
            for address in &endpoint.addresses {
                let target = slice_target(address, endpoint, port, view);
                backing.add(target, view.pod(endpoint.target_ref.as_ref()), port.port, None);
            }
        }
    }
    (labels, backing.finish())
}

fn slice_target(address: &str, endpoint: &SliceEndpoint, port: &SlicePort, view: &View<'_>) -> LabelSet {
    let mut target = match port.port {
        Some(port) => LabelSet::at(join_host_port(address, port)),
        None => LabelSet::at(address),
    };
    target.put_some("endpointslice_port_name", port.name.as_ref());
    target.put_some("endpointslice_port_protocol", port.protocol.as_ref());
    target.put_some("endpointslice_port", port.port);
    target.put_some("endpointslice_port_app_protocol", port.app_protocol.as_ref());
    target.put_some("endpointslice_endpoint_conditions_ready", endpoint.conditions.ready);
    target.put_some("endpointslice_endpoint_conditions_serving", endpoint.conditions.serving);
    target.put_some("endpointslice_endpoint_conditions_terminating", endpoint.conditions.terminating);
    target.put_some("endpointslice_endpoint_hostname", endpoint.hostname.as_ref());
    put_reference(&mut target, "endpointslice", endpoint.target_ref.as_ref());
    target.put_some("endpointslice_endpoint_node_name", endpoint.node_name.as_ref());
    target.put_some("endpointslice_endpoint_zone", endpoint.zone.as_ref());
    for (name, value) in &endpoint.deprecated_topology {
        let name = sanitized(name);
        target.put(format_args!("endpointslice_endpoint_topology_{name}"), value.as_str());
        target.put(format_args!("endpointslice_endpoint_topology_present_{name}"), "true");
    }
    view.put_node(&mut target, node_of(endpoint.target_ref.as_ref()).or(endpoint.node_name.as_deref()));
    target
}

fn put_reference(target: &mut LabelSet, kind: &str, reference: Option<&ObjectReference>) {
    if let Some(reference) = reference {
        target.put(format_args!("{kind}_address_target_kind"), reference.kind.as_str());
        target.put(format_args!("{kind}_address_target_name"), reference.name.as_str());
    }
}

/// The node that a reference names.
fn node_of(reference: Option<&ObjectReference>) -> Option<&str> {
    reference.filter(|reference| reference.kind == "Node").map(|reference| reference.name.as_str())
}

/// Targets of one service, and the pods behind them with the ports that it leads to.
#[derive(Default)]
struct Backing<'a> {
    targets: Vec<LabelSet>,
    pods: BTreeMap<(&'a str, &'a str), (&'a Pod, Vec<u16>)>,
}

impl<'a> Backing<'a> {
    fn add(&mut self, mut target: LabelSet, pod: Option<&'a Pod>, port: Option<u16>, protocol: Option<&str>) {
        if let Some(pod) = pod {
            target.extend(&pod_labels(pod));
            if let Some(port) = port {
                target.extend(&container_of_port(pod, port, protocol));
            }
            let key = (pod.metadata.namespace.as_str(), pod.metadata.name.as_str());
            let (_, ports) = self.pods.entry(key).or_insert((pod, Vec::new()));
            ports.extend(port);
        }
        self.targets.push(target);
    }

    /// With the ports of the pods that no endpoint names, in order of the pods' names.
    fn finish(mut self) -> Vec<LabelSet> {
        for (pod, ports) in self.pods.into_values() {
            self.targets.extend(further_targets(pod, &ports));
        }
        self.targets
    }
}
