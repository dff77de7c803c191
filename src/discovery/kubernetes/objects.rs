//! The parts of Kubernetes objects that become addresses and labels.
//!
//! **Invariants.** A field that is missing or null is empty: servers leave out what is empty, and write `null` for some lists.
//! Other fields are passed over.
//! **Source.** Kubernetes API reference v1.33: core/v1, discovery.k8s.io/v1, networking.k8s.io/v1.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::config::KubernetesRole;

fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// Objects with the fields named; every field may be absent or null.
macro_rules! objects {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
            #[serde(default, rename_all = "camelCase")]
            pub(super) struct $name {
                $(
                    $(#[$attribute])*
                    #[serde(deserialize_with = "or_empty")]
                    pub(super) $field: $type,
                )*
            }
        )*
    };
}

objects! {
    Meta {
        name: String,
        namespace: String,
        uid: String,
        resource_version: String,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        owner_references: Vec<OwnerReference>,
    }
    OwnerReference { kind: String, name: String, controller: bool, }
    ObjectReference { kind: String, name: String, namespace: String, }
    Condition { #[serde(rename = "type")] kind: String, status: String, }

    Pod { metadata: Meta, spec: PodSpec, status: PodStatus, }
    PodSpec { node_name: String, containers: Vec<Container>, init_containers: Vec<Container>, }
    Container { name: String, image: String, ports: Vec<ContainerPort>, }
    ContainerPort { name: String, container_port: u16, protocol: String, }
    PodStatus {
        phase: String,
        #[serde(rename = "podIP")]
        pod_ip: String,
        #[serde(rename = "hostIP")]
        host_ip: String,
        conditions: Vec<Condition>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
    }
    ContainerStatus { name: String, #[serde(rename = "containerID")] container_id: String, }

    Service { metadata: Meta, spec: ServiceSpec, }
    ServiceSpec {
        #[serde(rename = "type")]
        kind: String,
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        external_name: String,
        #[serde(rename = "loadBalancerIP")]
        load_balancer_ip: String,
        ports: Vec<ServicePort>,
    }
    ServicePort { name: String, port: u16, protocol: String, }

    Endpoints { metadata: Meta, subsets: Vec<Subset>, }
    Subset {
        addresses: Vec<EndpointAddress>,
        not_ready_addresses: Vec<EndpointAddress>,
        ports: Vec<ServicePort>,
    }
    EndpointAddress {
        ip: String,
        hostname: String,
        node_name: Option<String>,
        target_ref: Option<ObjectReference>,
    }

    EndpointSlice {
        metadata: Meta,
        address_type: String,
        endpoints: Vec<SliceEndpoint>,
        ports: Vec<SlicePort>,
    }
    SliceEndpoint {
        addresses: Vec<String>,
        conditions: SliceConditions,
        hostname: Option<String>,
        node_name: Option<String>,
        zone: Option<String>,
        target_ref: Option<ObjectReference>,
        deprecated_topology: BTreeMap<String, String>,
    }
    SliceConditions { ready: Option<bool>, serving: Option<bool>, terminating: Option<bool>, }
    SlicePort {
        name: Option<String>,
        port: Option<u16>,
        protocol: Option<String>,
        app_protocol: Option<String>,
    }

    Ingress { metadata: Meta, spec: IngressSpec, }
    IngressSpec { ingress_class_name: Option<String>, rules: Vec<IngressRule>, tls: Vec<IngressTls>, }
    IngressRule { host: String, http: Option<IngressPaths>, }
    IngressPaths { paths: Vec<IngressPath>, }
    IngressPath { path: String, }
    IngressTls { hosts: Vec<String>, }

    Node { metadata: Meta, spec: NodeSpec, status: NodeStatus, }
    NodeSpec { #[serde(rename = "providerID")] provider_id: String, }
    NodeStatus { addresses: Vec<NodeAddress>, conditions: Vec<Condition>, daemon_endpoints: DaemonEndpoints, }
    NodeAddress { #[serde(rename = "type")] kind: String, address: String, }
    DaemonEndpoints { kubelet_endpoint: DaemonEndpoint, }
    DaemonEndpoint { #[serde(rename = "Port")] port: u16, }

    Namespace { metadata: Meta, }
}

/// Kinds of objects that are listed and watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    Pods,
    Services,
    Endpoints,
    EndpointSlices,
    Ingresses,
    Nodes,
    Namespaces,
}

impl Resource {
    /// The group's path on the API server, and the name in the path.
    pub(super) fn path(self) -> (&'static str, &'static str) {
        match self {
            Resource::Pods => ("/api/v1", "pods"),
            Resource::Services => ("/api/v1", "services"),
            Resource::Endpoints => ("/api/v1", "endpoints"),
            Resource::EndpointSlices => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            Resource::Ingresses => ("/apis/networking.k8s.io/v1", "ingresses"),
            Resource::Nodes => ("/api/v1", "nodes"),
            Resource::Namespaces => ("/api/v1", "namespaces"),
        }
    }

    /// The role whose targets its objects are, and whose selectors narrow them down.
    pub(super) fn role(self) -> Option<KubernetesRole> {
        match self {
            Resource::Pods => Some(KubernetesRole::Pod),
            Resource::Services => Some(KubernetesRole::Service),
            Resource::Endpoints => Some(KubernetesRole::Endpoints),
            Resource::EndpointSlices => Some(KubernetesRole::EndpointSlice),
            Resource::Ingresses => Some(KubernetesRole::Ingress),
            Resource::Nodes => Some(KubernetesRole::Node),
            Resource::Namespaces => None,
        }
    }

    /// Reads one object.
    pub(super) fn read(self, json: serde_json::Value) -> Result<Object, String> {
        let object = match self {
            Resource::Pods => serde_json::from_value(json).map(Object::Pod),
            Resource::Services => serde_json::from_value(json).map(Object::Service),
            Resource::Endpoints => serde_json::from_value(json).map(Object::Endpoints),
            Resource::EndpointSlices => serde_json::from_value(json).map(Object::EndpointSlice),
            Resource::Ingresses => serde_json::from_value(json).map(Object::Ingress),
            Resource::Nodes => serde_json::from_value(json).map(Object::Node),
            Resource::Namespaces => serde_json::from_value(json).map(Object::Namespace),
        };
        object.map_err(|error| format!("an object of {} cannot be read: {error}", self.path().1))
    }
}

/// One object of any kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    Pod(Pod),
    Service(Service),
    Endpoints(Endpoints),
    EndpointSlice(EndpointSlice),
    Ingress(Ingress),
    Node(Node),
    Namespace(Namespace),
}

impl Object {
    pub(super) fn meta(&self) -> &Meta {
        match self {
            Object::Pod(Pod { metadata, .. })
            | Object::Service(Service { metadata, .. })
            | Object::Endpoints(Endpoints { metadata, .. })
            | Object::EndpointSlice(EndpointSlice { metadata, .. })
            | Object::Ingress(Ingress { metadata, .. })
            | Object::Node(Node { metadata, .. })
            | Object::Namespace(Namespace { metadata }) => metadata,
        }
    }
}
