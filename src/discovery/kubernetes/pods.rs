//! Targets of pods, and what a pod says about the targets behind a service.
//!
//! **Source.** Prometheus v3.5 `discovery/kubernetes/pod.go`.

use super::labels::LabelSet;
use super::objects::{Container, ContainerPort, Pod};
use crate::discovery::join_host_port;

/// The labels of the pod itself.
pub(super) fn pod_labels(pod: &Pod) -> LabelSet {
    let mut labels = LabelSet::default();
    let ready = pod.status.conditions.iter().find(|condition| condition.kind == "Ready");
    labels.put("pod_ip", pod.status.pod_ip.as_str());
    labels.put("pod_ready", ready.map_or("unknown".to_owned(), |ready| ready.status.to_lowercase()));
    labels.put("pod_phase", pod.status.phase.as_str());
    labels.put("pod_node_name", pod.spec.node_name.as_str());
    labels.put("pod_host_ip", pod.status.host_ip.as_str());
    labels.put("pod_uid", pod.metadata.uid.as_str());
    labels.put_meta("pod", &pod.metadata);
    if let Some(controller) = pod.metadata.owner_references.iter().find(|owner| owner.controller) {
        labels.put("pod_controller_kind", controller.kind.as_str());
        labels.put("pod_controller_name", controller.name.as_str());
    }
    labels
}

/// One target for each port of each container; one without a port for a container that names none.
pub(super) fn pod_targets(pod: &Pod) -> Vec<LabelSet> {
    let mut targets = Vec::new();
    // A pod that starts or was evicted has no address.
    if pod.status.pod_ip.is_empty() {
        return targets;
    }
    for (container, is_init) in containers(pod) {
        let statuses = if is_init { &pod.status.init_container_statuses } else { &pod.status.container_statuses };
        let id = statuses.iter().find(|status| status.name == container.name).map(|status| &status.container_id);
        let mut add = |mut target: LabelSet| {
            put_container(&mut target, container, is_init);
            target.put_some("pod_container_id", id);
            targets.push(target);
        };
        if container.ports.is_empty() {
            add(LabelSet::at(pod.status.pod_ip.as_str()));
        }
        for port in &container.ports {
            let mut target = LabelSet::at(join_host_port(&pod.status.pod_ip, port.container_port));
            put_port(&mut target, port, &port.protocol);
            add(target);
        }
    }
    targets
}

/// The labels of the container that has this port; the last one, should several have it.
pub(super) fn container_of_port(pod: &Pod, port: u16, protocol: Option<&str>) -> LabelSet {
    let mut labels = LabelSet::default();
    for (container, is_init) in containers(pod) {
        if let Some(own) = container.ports.iter().find(|own| own.container_port == port) {
            put_container(&mut labels, container, is_init);
            put_port(&mut labels, own, protocol.unwrap_or(&own.protocol));
        }
    }
    labels
}

/// Targets for the ports that no service leads to.
pub(super) fn further_targets(pod: &Pod, seen_ports: &[u16]) -> Vec<LabelSet> {
    let mut targets = Vec::new();
    if pod.status.pod_ip.is_empty() {
        return targets;
    }
    for (container, is_init) in containers(pod) {
        for port in container.ports.iter().filter(|port| !seen_ports.contains(&port.container_port)) {
            let mut target = LabelSet::at(join_host_port(&pod.status.pod_ip, port.container_port));
            put_container(&mut target, container, is_init);
            put_port(&mut target, port, &port.protocol);
            target.extend(&pod_labels(pod));
            targets.push(target);
        }
    }
    targets
}

/// All containers, each with whether it runs before the others.
fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let main = pod.spec.containers.iter().map(|container| (container, false));
    main.chain(pod.spec.init_containers.iter().map(|container| (container, true)))
}

fn put_container(labels: &mut LabelSet, container: &Container, is_init: bool) {
    labels.put("pod_container_name", container.name.as_str());
    labels.put("pod_container_image", container.image.as_str());
    labels.put("pod_container_init", is_init.to_string());
}

fn put_port(labels: &mut LabelSet, port: &ContainerPort, protocol: &str) {
    labels.put("pod_container_port_name", port.name.as_str());
    labels.put("pod_container_port_number", port.container_port.to_string());
    labels.put("pod_container_port_protocol", protocol);
}
