//! Targets of ingresses: for probes from outside.
//!
//! **Source.** Prometheus v3.5 `discovery/kubernetes/ingress.go`.

use super::labels::LabelSet;
use super::objects::Ingress;

/// The labels of the ingress itself.
pub(super) fn ingress_labels(ingress: &Ingress) -> LabelSet {
    let mut labels = LabelSet::default();
    labels.put("namespace", ingress.metadata.namespace.as_str());
    labels.put_some("ingress_class_name", ingress.spec.ingress_class_name.as_ref());
    labels.put_meta("ingress", &ingress.metadata);
    labels
}

/// One target for each path of each rule; `/` where a rule names none.
pub(super) fn ingress_targets(ingress: &Ingress) -> Vec<LabelSet> {
    let mut targets = Vec::new();
    let tls_hosts = ingress.spec.tls.iter().flat_map(|tls| &tls.hosts);
    for rule in &ingress.spec.rules {
        let has_tls = tls_hosts.clone().any(|pattern| covers(pattern, &rule.host));
        let paths: Vec<&str> = match &rule.http {
            Some(http) => http.paths.iter().map(|path| path.path.as_str()).collect(),
            None => vec!["/"],
        };
        for path in paths {
            let mut target = LabelSet::at(rule.host.as_str());
            target.put("ingress_scheme", if has_tls { "https" } else { "http" });
            target.put("ingress_host", rule.host.as_str());
            target.put("ingress_path", if path.is_empty() { "/" } else { path });
            targets.push(target);
        }
    }
    targets
}

/// Whether a certificate's name is the host's; `*` stands for its first part.
pub(super) fn covers(pattern: &str, host: &str) -> bool {
    let wildcard = || {
        let rest = pattern.strip_prefix("*.")?;
        let (_, parent) = host.split_once('.')?;
        Some(rest == parent)
    };
    pattern == host || wildcard().unwrap_or(false)
}
