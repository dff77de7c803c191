//! `kubernetes_sd_configs` against a small API server.

use std::fs;

use serde_json::{Value, json};

use super::api_server::ApiServer;
use super::{metric, start, until};
use crate::loopback::{eventually, refused_address};

fn pod(namespace: &str, name: &str, ip: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]},
        "status": {"podIP": ip},
    })
}

const FAILURES: &str = "prometheus_sd_kubernetes_failures_total";
const EVENTS: &str = "prometheus_sd_kubernetes_events_total";

#[tokio::test]
async fn follows_pods_through_broken_connections_and_lost_history() {
    let server = ApiServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "t0\n").unwrap();
    for (name, ip) in [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3"), ("d", "10.0.0.4"), ("e", "10.0.0.5")] {
        server.set("pods", pod("shop", name, ip));
    }
    let (discovery, metrics) = start(&format!(
        "kubernetes_sd_configs: [{{role: pod, api_server: 'http://{}/', authorization: {{credentials_file: '{}'}}, \
         selectors: [{{role: pod, label: 'app in (web, db)', field: 'status.phase=Running'}}]}}]",
        server.address,
        token.display()
    ));
    until(&discovery, &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80"]).await;

    server.set("pods", pod("shop", "bb", "10.0.0.22"));
    server.set("pods", pod("shop", "c", "10.0.0.33"));
    server.delete("pods", "shop", "a");
    server.delete("pods", "shop", "d");
    until(&discovery, &["10.0.0.2:80", "10.0.0.22:80", "10.0.0.33:80", "10.0.0.5:80"]).await;
    let lists = || server.requests("/api/v1/pods?limit=500").len();
    assert_eq!(lists(), 3, "one list in three pages");
    let events: Vec<f64> = ["add", "update", "delete"].map(|event| metric(&metrics, EVENTS, event)).to_vec();
    assert_eq!(events, [6.0, 1.0, 2.0]);
    assert_eq!(metric(&metrics, FAILURES, ""), 0.0);

    // What happens while the connection is broken is not missed, and not listed anew.
    fs::write(&token, "t1\n").unwrap();
    server.cut_off();
    server.set("pods", pod("shop", "f", "10.0.0.6"));
    until(&discovery, &["10.0.0.2:80", "10.0.0.22:80", "10.0.0.33:80", "10.0.0.5:80", "10.0.0.6:80"]).await;
    assert_eq!(lists(), 3);
    assert_eq!(metric(&metrics, FAILURES, ""), 1.0);

    // A bookmark is a place to go on from, though no pod changed since. It may not have arrived when the first watch is cut off.
    let watches = || server.requests("watch=true");
    let goes_on_from_the_bookmark = || watches().last().unwrap().contains("&resourceVersion=12&");
    server.bookmark("pods");
    for _ in 0..10 {
        let before = watches().len();
        server.cut_off();
        eventually("the watch goes on", || watches().len() > before).await;
        if goes_on_from_the_bookmark() {
            break;
        }
    }
    assert!(goes_on_from_the_bookmark(), "{:?}", watches().last());
    assert_eq!(lists(), 3);

    // History is lost while we are away: 410, and all is listed anew.
    server.cut_off();
    server.delete("pods", "shop", "e");
    server.delete("pods", "shop", "f");
    server.forget();
    until(&discovery, &["10.0.0.2:80", "10.0.0.22:80", "10.0.0.33:80"]).await;
    assert_eq!(lists(), 5);

    // The same, told by an event of a watch that stands.
    server.expire("pods");
    eventually("a new list", || lists() == 7).await;
    server.set("pods", pod("shop", "g", "10.0.0.7"));
    until(&discovery, &["10.0.0.2:80", "10.0.0.22:80", "10.0.0.33:80", "10.0.0.7:80"]).await;

    let (first, last) = (watches()[0].to_lowercase(), watches().last().unwrap().to_lowercase());
    assert!(first.contains("authorization: bearer t0\r\n") && last.contains("authorization: bearer t1\r\n"));
    assert!(first.contains("labelselector=app+in+%28web%2c+db%29&fieldselector=status.phase%3drunning"), "{first}");
    assert!(first.contains("allowwatchbookmarks=true") && first.contains("timeoutseconds=300"), "{first}");
    let mut groups = discovery.subscribe();
    groups.mark_unchanged();
    drop(discovery);
    assert!(groups.changed().await.is_err(), "the tasks end with the handle");
}

#[tokio::test]
async fn endpoints_follow_their_service_and_pod_in_the_namespaces_named() {
    let server = ApiServer::start().await;
    let slice = |namespace: &str, ip: &str| {
        json!({
            "metadata": {"name": "web-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [ip], "targetRef": {"kind": "Pod", "namespace": namespace, "name": "web-a"}}],
            "ports": [{"name": "http", "port": 80}],
        })
    };
    for (namespace, ip) in [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("other", "10.0.0.3")] {
        server.set("endpointslices", slice(namespace, ip));
    }
    let (discovery, _) = start(&format!(
        "kubernetes_sd_configs: [{{role: endpointslice, api_server: 'http://{}', namespaces: {{names: [b, a, b]}}}}]",
        server.address
    ));
    until(&discovery, &["10.0.0.1:80", "10.0.0.2:80"]).await;
    // The list has been answered; the watch follows it.
    let of_namespace_b = || server.requests("/apis/discovery.k8s.io/v1/namespaces/b/endpointslices?").len();
    eventually("a list and a watch", || of_namespace_b() >= 2).await;
    assert!(server.requests("namespaces/other").is_empty());

    // Service and pod come after their endpoints.
    let label = |name: &str| {
        let groups = discovery.groups();
        let group = groups.iter().find(|group| group.source == "endpointslice/b/web-1").unwrap();
        let of_target = group.targets[0].get(name).or(group.labels.get(name));
        of_target.map(str::to_owned)
    };
    let service = |team: &str| json!({"metadata": {"name": "web", "namespace": "b", "labels": {"team": team}}});
    server.set("services", service("red"));
    let team = "__meta_kubernetes_service_label_team";
    eventually("the service's label", || label(team).as_deref() == Some("red")).await;
    server.set("services", service("blue"));
    eventually("the service's new label", || label(team).as_deref() == Some("blue")).await;
    server.set("pods", pod("b", "web-a", "10.0.0.2"));
    eventually("the pod's label", || label("__meta_kubernetes_pod_name").as_deref() == Some("web-a")).await;
    server.delete("services", "b", "web");
    eventually("the service is gone", || label(team).is_none()).await;
    assert_eq!(label("__meta_kubernetes_pod_container_name").as_deref(), Some("c"));
}

#[tokio::test]
async fn counts_failures_while_the_server_is_away() {
    let (discovery, metrics) =
        start(&format!("kubernetes_sd_configs: [{{role: node, api_server: 'http://{}'}}]", refused_address()));
    eventually("failures are counted", || metric(&metrics, FAILURES, "") >= 2.0).await;
    assert!(discovery.groups().is_empty());
}
