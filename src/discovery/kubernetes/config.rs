//! The keys of `kubernetes_sd_configs`.
//!
//! **Source.** Prometheus v3.5 `discovery/kubernetes/kubernetes.go` (`SDConfig`).

use std::path::Path;

use url::Url;

use crate::http::ClientConfig;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;
use crate::source::{Span, keys};

/// What becomes targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KubernetesRole {
    /// Containers' ports.
    Pod,
    /// Services' ports, as the cluster's DNS knows them.
    Service,
    /// Addresses behind services, from the older API.
    Endpoints,
    /// Addresses behind services.
    EndpointSlice,
    /// Kubelets.
    Node,
    /// Hosts and paths that are led in.
    Ingress,
}

impl KubernetesRole {
    pub(super) const ALL: [KubernetesRole; 6] = [
        KubernetesRole::Pod,
        KubernetesRole::Service,
        KubernetesRole::Endpoints,
        KubernetesRole::EndpointSlice,
        KubernetesRole::Node,
        KubernetesRole::Ingress,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            KubernetesRole::Pod => "pod",
            KubernetesRole::Service => "service",
            KubernetesRole::Endpoints => "endpoints",
            KubernetesRole::EndpointSlice => "endpointslice",
            KubernetesRole::Node => "node",
            KubernetesRole::Ingress => "ingress",
        }
    }

    /// The roles whose objects a selector may narrow down.
    fn selectable(self) -> Vec<KubernetesRole> {
        match self {
            KubernetesRole::Endpoints | KubernetesRole::EndpointSlice => {
                vec![KubernetesRole::Pod, KubernetesRole::Service, self]
            }
            other => vec![other],
        }
    }
}

/// Where objects are looked for; everywhere if both say nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Namespaces {
    /// By name.
    pub names: Vec<String>,
    /// That of the pod we run in.
    pub own_namespace: bool,
}

/// Narrows the objects of one role down, on the server's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Whose objects.
    pub role: KubernetesRole,
    /// By labels, such as `app=web`.
    pub label: String,
    /// By fields, such as `metadata.name=web`.
    pub field: String,
}

/// Labels that targets get from other objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AttachMetadata {
    /// From the node a pod runs on.
    pub node: bool,
    /// From the object's namespace.
    pub namespace: bool,
}

/// A cluster, and what of it becomes targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSdConfig {
    /// What becomes targets.
    pub role: KubernetesRole,
    /// The API server; `None` is that of the cluster we run in, with the pod's service account.
    pub api_server: Option<String>,
    /// Where objects are looked for.
    pub namespaces: Namespaces,
    /// At most one a role.
    pub selectors: Vec<Selector>,
    /// What targets get from other objects.
    pub attach_metadata: AttachMetadata,
    /// How the API server is spoken to.
    pub client: ClientConfig,
}

impl KubernetesSdConfig {
    pub(in crate::discovery) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<KubernetesSdConfig> {
        let mut fields = decoder.section(node, &keys::KUBERNETES_SD)?;
        if fields.node("role").is_none() {
            let span = fields.span;
            let message = "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)";
            fields.decoder.error(span, message);
        }
        let role = fields.optional("role", decode_role);
        let api_server = fields.optional("api_server", decode_server).filter(|server| !server.is_empty());
        let namespaces = fields.or("namespaces", Namespaces::default(), decode_namespaces);
        let selectors = match role {
            Some(role) => fields.or("selectors", Vec::new(), |decoder, node| decode_selectors(decoder, node, role)),
            None => {
                fields.node("selectors");
                Vec::new()
            }
        };
        let attach_metadata = fields.or("attach_metadata", AttachMetadata::default(), decode_attach);
        let client = ClientConfig::decode(&mut fields);
        let span_of = |fields: &Fields<'_, '_, '_>, key| -> Span { fields.key_span(key).unwrap_or(fields.span) };
        if api_server.is_none() && client != ClientConfig::default() {
            let span = fields.span;
            let message = "to use custom HTTP client configuration please provide the 'api_server' URL explicitly";
            fields.decoder.error(span, message);
        }
        if api_server.is_some() && namespaces.own_namespace {
            let span = span_of(&fields, "namespaces");
            let message = "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously";
            fields.decoder.error(span, message);
        }
        fields.finish();
        Some(KubernetesSdConfig { role: role?, api_server, namespaces, selectors, attach_metadata, client })
    }

    pub(in crate::discovery) fn resolve_paths(&mut self, directory: &Path) {
        self.client.resolve_paths(directory);
    }
}

fn decode_role(decoder: &mut Decoder<'_>, node: &Node) -> Option<KubernetesRole> {
    let text = decoder.string(node)?;
    let role = KubernetesRole::ALL.into_iter().find(|role| role.as_str() == text);
    if role.is_none() {
        let help = "write pod, service, endpoints, endpointslice, node or ingress";
        decoder.error_with_help(node.span, format!("unknown Kubernetes SD role {text:?}"), help);
    }
    role
}

fn decode_server(decoder: &mut Decoder<'_>, node: &Node) -> Option<String> {
    let text = decoder.string(node)?;
    let is_url = Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !text.is_empty() && !is_url {
        let help = "write https://HOST:PORT";
        decoder.error_with_help(node.span, format!("{text:?} is not the URL of an API server"), help);
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn decode_namespaces(decoder: &mut Decoder<'_>, node: &Node) -> Option<Namespaces> {
    let mut fields = decoder.section(node, &keys::NAMESPACES)?;
    let namespaces = Namespaces {
        names: fields.or("names", Vec::new(), |decoder, node| decoder.list(node, Decoder::non_empty_string)),
        own_namespace: fields.or("own_namespace", false, Decoder::bool),
    };
    fields.finish();
    Some(namespaces)
}

fn decode_selectors(decoder: &mut Decoder<'_>, node: &Node, role: KubernetesRole) -> Option<Vec<Selector>> {
    let mut seen: Vec<KubernetesRole> = Vec::new();
    let allowed = role.selectable();
    decoder.list(node, |decoder, node| {
        let mut fields = decoder.section(node, &keys::SELECTOR)?;
        let own = fields.required("role", decode_role);
        let label = fields.or("label", String::new(), Decoder::string);
        let field = fields.or("field", String::new(), Decoder::string);
        fields.finish();
        let own = own?;
        if seen.contains(&own) {
            decoder.error(node.span, format!("duplicated selector role: {}", own.as_str()));
            return None;
        }
        seen.push(own);
        if !allowed.contains(&own) {
            let names: Vec<&str> = allowed.iter().map(|role| role.as_str()).collect();
            let message = format!("{} role supports only {} selectors", role.as_str(), names.join(", "));
            decoder.error(node.span, message);
            return None;
        }
        Some(Selector { role: own, label, field })
    })
}

fn decode_attach(decoder: &mut Decoder<'_>, node: &Node) -> Option<AttachMetadata> {
    let mut fields = decoder.section(node, &keys::ATTACH_METADATA)?;
    let attach = AttachMetadata {
        node: fields.or("node", false, Decoder::bool),
        namespace: fields.or("namespace", false, Decoder::bool),
    };
    fields.finish();
    Some(attach)
}
