//! What is known of a cluster, and the groups made of it.
//!
//! **Invariants.** No I/O and no clock in here: changes come in, groups go out, in order of namespace and name.

use std::collections::{BTreeMap, BTreeSet};

use super::config::{AttachMetadata, KubernetesRole, KubernetesSdConfig};
use super::endpoints;
use super::ingresses::{ingress_labels, ingress_targets};
use super::labels::LabelSet;
use super::nodes::{node_labels, node_targets};
use super::objects::{Object, ObjectReference, Pod, Resource};
use super::pods::{pod_labels, pod_targets};
use super::services::{service_labels, service_targets};
use crate::discovery::TargetGroup;

/// Something to list and to watch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Feed {
    pub(super) resource: Resource,
    /// `None` is all of them, or a resource that has none.
    pub(super) namespace: Option<String>,
}

/// What a feed saw.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) feed: Feed,
    pub(super) kind: ChangeKind,
}

#[derive(Debug)]
pub(super) enum ChangeKind {
    /// All there is.
    Listed(Vec<Object>),
    /// New or changed.
    Set(Object),
    /// Gone.
    Deleted(Object),
}

/// Changes of objects, as the metrics count them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// `None` for resources that are no role.
    pub(super) role: Option<KubernetesRole>,
    pub(super) added: u64,
    pub(super) updated: u64,
    pub(super) deleted: u64,
}

/// By namespace and name.
type Objects = BTreeMap<(String, String), Object>;

/// Everything that was listed and watched for one configuration.
#[derive(Debug)]
pub(super) struct Cluster {
    role: KubernetesRole,
    attach: AttachMetadata,
    namespaces: BTreeSet<Option<String>>,
    /// A feed appears once it was listed.
    known: BTreeMap<Feed, Objects>,
}

impl Cluster {
    /// Nothing yet. `own_namespace` is where we run, if that matters.
    pub(super) fn new(config: &KubernetesSdConfig, own_namespace: &Option<String>) -> Cluster {
        let named = config.namespaces.names.iter().chain(own_namespace);
        let mut namespaces: BTreeSet<Option<String>> = named.map(|name| Some(name.clone())).collect();
        if namespaces.is_empty() || config.role == KubernetesRole::Node {
            namespaces = BTreeSet::from([None]);
        }
        Cluster { role: config.role, attach: config.attach_metadata, namespaces, known: BTreeMap::new() }
    }

    /// All that must be watched.
    pub(super) fn feeds(&self) -> Vec<Feed> {
        let mut feeds: BTreeSet<Feed> = BTreeSet::new();
        for namespace in &self.namespaces {
            feeds.extend(self.feeds_of(namespace));
        }
        feeds.into_iter().collect()
    }

    fn feeds_of(&self, namespace: &Option<String>) -> Vec<Feed> {
        let own: &[Resource] = match self.role {
            KubernetesRole::Pod => &[Resource::Pods],
            KubernetesRole::Service => &[Resource::Services],
            KubernetesRole::Endpoints => &[Resource::Endpoints, Resource::Services, Resource::Pods],
            KubernetesRole::EndpointSlice => &[Resource::EndpointSlices, Resource::Services, Resource::Pods],
            KubernetesRole::Ingress => &[Resource::Ingresses],
            KubernetesRole::Node => &[Resource::Nodes],
        };
        let mut feeds: Vec<Feed> =
            own.iter().map(|resource| Feed { resource: *resource, namespace: namespace.clone() }).collect();
        let has_pods = own.contains(&Resource::Pods);
        if self.attach.node && has_pods {
            feeds.push(Feed { resource: Resource::Nodes, namespace: None });
        }
        if self.attach.namespace && self.role != KubernetesRole::Node {
            feeds.push(Feed { resource: Resource::Namespaces, namespace: None });
        }
        feeds
    }

    /// Takes a change over.
    pub(super) fn apply(&mut self, change: Change) -> Counts {
        let mut counts = Counts { role: change.feed.resource.role(), ..Counts::default() };
        let objects = self.known.entry(change.feed).or_default();
        match change.kind {
            ChangeKind::Listed(listed) => {
                let listed: Objects = listed.into_iter().map(|object| (key_of(&object), object)).collect();
                for (key, object) in &listed {
                    match objects.remove(key) {
                        None => counts.added += 1,
                        Some(old) if old.meta().resource_version != object.meta().resource_version => {
                            counts.updated += 1;
                        }
                        Some(_) => {}
                    }
                }
                counts.deleted = objects.len() as u64;
                *objects = listed;
            }
            ChangeKind::Set(object) => match objects.insert(key_of(&object), object) {
                None => counts.added = 1,
                Some(_) => counts.updated = 1,
            },
            ChangeKind::Deleted(object) => counts.deleted = u64::from(objects.remove(&key_of(&object)).is_some()),
        }
        counts
    }

    /// The groups of all namespaces that are known as a whole.
    pub(super) fn groups(&self) -> Vec<TargetGroup> {
        let mut groups = Vec::new();
        for namespace in &self.namespaces {
            let feeds = self.feeds_of(namespace);
            if feeds.iter().all(|feed| self.known.contains_key(feed)) {
                let view = View { cluster: self, namespace };
                let main = self.known[&feeds[0]].values();
                groups.extend(main.map(|object| view.group(object)).filter(|group| !group.targets.is_empty()));
            }
        }
        groups
    }
}

fn key_of(object: &Object) -> (String, String) {
    let meta = object.meta();
    (meta.namespace.clone(), meta.name.clone())
}

/// What the objects of one namespace can see of the others.
#[derive(Debug)]
pub(super) struct View<'a> {
    cluster: &'a Cluster,
    namespace: &'a Option<String>,
}

impl<'a> View<'a> {
    fn object(&self, resource: Resource, namespace: &str, name: &str) -> Option<&'a Object> {
        let is_namespaced = !matches!(resource, Resource::Nodes | Resource::Namespaces);
        let feed = Feed { resource, namespace: self.namespace.clone().filter(|_| is_namespaced) };
        self.cluster.known.get(&feed)?.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The pod that a reference leads to.
    pub(super) fn pod(&self, reference: Option<&ObjectReference>) -> Option<&'a Pod> {
        let reference = reference.filter(|reference| reference.kind == "Pod")?;
        match self.object(Resource::Pods, &reference.namespace, &reference.name)? {
            Object::Pod(pod) => Some(pod),
            other => panic!("BUG: among the pods is {other:?}"),
        }
    }

    /// The labels of a service, if it is known.
    pub(super) fn put_service(&self, labels: &mut LabelSet, namespace: &str, name: &str) {
        if let Some(Object::Service(service)) = self.object(Resource::Services, namespace, name) {
            labels.extend(&service_labels(service));
        }
    }

    /// The labels of a node, if they are wanted and it is known.
    pub(super) fn put_node(&self, labels: &mut LabelSet, name: Option<&str>) {
        if let Some(name) = name.filter(|_| self.cluster.attach.node)
            && let Some(node) = self.object(Resource::Nodes, "", name)
        {
            labels.put_meta("node", node.meta());
        }
    }

    /// The labels of a namespace, if they are wanted and it is known.
    pub(super) fn put_namespace(&self, labels: &mut LabelSet, name: &str) {
        if self.cluster.attach.namespace
            && let Some(namespace) = self.object(Resource::Namespaces, "", name)
        {
            labels.put_described("namespace", namespace.meta());
        }
    }

    fn group(&self, object: &Object) -> TargetGroup {
        let (kind, (mut labels, targets)) = match object {
            Object::Pod(pod) => {
                let mut labels = pod_labels(pod);
                labels.put("namespace", pod.metadata.namespace.as_str());
                self.put_node(&mut labels, Some(&pod.spec.node_name));
                ("pod", (labels, pod_targets(pod)))
            }
            Object::Service(service) => ("svc", (service_labels(service), service_targets(service))),
            Object::Endpoints(endpoints) => ("endpoints", endpoints::of_endpoints(endpoints, self)),
            Object::EndpointSlice(slice) => ("endpointslice", endpoints::of_slice(slice, self)),
            Object::Ingress(ingress) => ("ingress", (ingress_labels(ingress), ingress_targets(ingress))),
            Object::Node(node) => ("node", (node_labels(node), node_targets(node))),
            Object::Namespace(_) => panic!("BUG: a namespace is no role"),
        };
        let meta = object.meta();
        self.put_namespace(&mut labels, &meta.namespace);
        let source = match meta.namespace.as_str() {
            "" => format!("{kind}/{}", meta.name),
            namespace => format!("{kind}/{namespace}/{}", meta.name),
        };
        let targets = targets.into_iter().map(LabelSet::build).collect();
        TargetGroup { targets, labels: labels.build(), source }
    }
}
