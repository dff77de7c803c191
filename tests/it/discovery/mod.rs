//! Discoveries that ask servers, against servers of the test.

mod api_server;
mod http;
mod kubernetes;

use std::sync::Arc;
use std::time::Duration;

use almenara::discovery::{ADDRESS, Discovery, DiscoveryMetrics, SdConfigs, TargetGroup, watch};
use almenara::exposition::Family;
use almenara::source::decode::Decoder;
use almenara::source::{SourceFile, yaml};

/// Starts the discoveries of a mapping written in YAML.
fn start(text: &str) -> (Discovery, Arc<DiscoveryMetrics>) {
    let source = SourceFile::new("f.yml", text);
    let (node, _) = yaml::parse(&source);
    let mut decoder = Decoder::new(&source);
    let node = node.expect("the test's YAML is fine");
    let mut fields = decoder.fields(&node, "scrape config").unwrap();
    let configs = SdConfigs::decode(&mut fields);
    fields.finish();
    let diagnostics = decoder.finish();
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let metrics = Arc::new(DiscoveryMetrics::default());
    (watch(configs, metrics.clone()), metrics)
}

fn addresses(groups: &[TargetGroup]) -> Vec<&str> {
    groups.iter().flat_map(|group| &group.targets).filter_map(|target| target.get(ADDRESS)).collect()
}

/// Waits until these are the targets, in this order.
async fn until(discovery: &Discovery, expected: &[&str]) {
    let mut groups = discovery.subscribe();
    let wait = groups.wait_for(|groups| addresses(groups) == expected);
    if tokio::time::timeout(Duration::from_secs(30), wait).await.is_err() {
        panic!("expected {expected:?}, have {:?}", addresses(&discovery.groups()));
    }
}

/// The value of a metric without labels, or of the point with this label value.
fn metric(metrics: &DiscoveryMetrics, name: &str, label: &str) -> f64 {
    let mut families: Vec<Family> = Vec::new();
    metrics.collect(&mut families);
    let family = families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("no family {name}"));
    let has = |labels: &[(&str, String)]| label.is_empty() || labels.iter().any(|(_, value)| value == label);
    family.points.iter().filter(|point| has(&point.labels)).map(|point| point.value).sum()
}
