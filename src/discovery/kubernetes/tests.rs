//! Which targets and labels objects become, without a server.

use std::fs;

use serde_json::{Value, json};

use super::client::{in_cluster, own_namespace};
use super::cluster::{Change, ChangeKind, Cluster, Feed};
use super::ingresses::covers;
use super::objects::Resource;
use super::*;
use crate::http::{Auth, ClientConfig, Text};

fn cluster(role: KubernetesRole, attach_metadata: AttachMetadata) -> Cluster {
    let config = KubernetesSdConfig {
        role,
        api_server: None,
        namespaces: Namespaces::default(),
        selectors: Vec::new(),
        attach_metadata,
        client: ClientConfig::default(),
    };
    Cluster::new(&config, &None)
}

fn listed(resource: Resource, objects: Vec<Value>) -> Change {
    let objects = objects.into_iter().map(|json| resource.read(json).unwrap()).collect();
    Change { feed: Feed { resource, namespace: None }, kind: ChangeKind::Listed(objects) }
}

/// The groups as text, without the prefix of all labels: source, shared labels, targets.
fn shown(cluster: &Cluster) -> Vec<String> {
    let mut lines = Vec::new();
    for group in cluster.groups() {
        lines.push(format!("{} {}", group.source, group.labels));
        lines.extend(group.targets.iter().map(ToString::to_string));
    }
    lines.iter().map(|line| line.replace("__meta_kubernetes_", "_")).collect()
}

fn check(role: KubernetesRole, attach: AttachMetadata, objects: Vec<(Resource, Vec<Value>)>, expected: &[&str]) {
    let mut cluster = cluster(role, attach);
    for (resource, objects) in objects {
        assert!(cluster.groups().is_empty(), "{role:?}: groups before all is known");
        cluster.apply(listed(resource, objects));
    }
    assert_eq!(shown(&cluster), expected, "{role:?}");
}

const NOTHING: AttachMetadata = AttachMetadata { node: false, namespace: false };
const ALL: AttachMetadata = AttachMetadata { node: true, namespace: true };

fn pod() -> Value {
    json!({
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1", "labels": {"app.kubernetes.io/name": "web"},
            "annotations": {"scrape": "yes"},
            "ownerReferences": [{"kind": "Other", "name": "o"}, {"kind": "ReplicaSet", "name": "web-7", "controller": true}]},
        "spec": {"nodeName": "n1",
            "containers": [
                {"name": "main", "image": "web:1", "ports": [
                    {"name": "http", "containerPort": 80, "protocol": "TCP"},
                    {"name": "admin", "containerPort": 81, "protocol": "TCP"}]},
                {"name": "side", "image": "side:1", "ports": null}],
            "initContainers": [{"name": "init", "image": "init:1", "ports": [{"containerPort": 9, "protocol": "UDP"}]}]},
        "status": {"podIP": "10.0.0.1", "hostIP": "192.168.0.1", "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "main", "containerID": "docker://m"}]}
    })
}

fn node() -> Value {
    json!({
        "metadata": {"name": "n1", "labels": {"zone": "z1"}},
        "spec": {"providerID": "p://n1"},
        "status": {
            "addresses": [{"type": "Hostname", "address": "n1.example"}, {"type": "InternalIP", "address": "192.168.0.1"},
                {"type": "InternalIP", "address": "fd00::1"}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "Unknown"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}
    })
}

#[test]
fn pods_become_targets_by_container_and_port() {
    let starting = json!({"metadata": {"name": "new", "namespace": "shop"}, "spec": {"containers": [{"name": "c"}]}});
    let own = "_pod_annotation_scrape=\"yes\",_pod_annotationpresent_scrape=\"true\",_pod_controller_kind=\"ReplicaSet\",\
        _pod_controller_name=\"web-7\",_pod_host_ip=\"192.168.0.1\",_pod_ip=\"10.0.0.1\",\
        _pod_label_app_kubernetes_io_name=\"web\",_pod_labelpresent_app_kubernetes_io_name=\"true\",_pod_name=\"web-1\",\
        _pod_node_name=\"n1\",_pod_phase=\"Running\",_pod_ready=\"true\",_pod_uid=\"u1\"";
    let targets = [
        r#"{__address__="10.0.0.1:80",_pod_container_id="docker://m",_pod_container_image="web:1",_pod_container_init="false",_pod_container_name="main",_pod_container_port_name="http",_pod_container_port_number="80",_pod_container_port_protocol="TCP"}"#,
        r#"{__address__="10.0.0.1:81",_pod_container_id="docker://m",_pod_container_image="web:1",_pod_container_init="false",_pod_container_name="main",_pod_container_port_name="admin",_pod_container_port_number="81",_pod_container_port_protocol="TCP"}"#,
        r#"{__address__="10.0.0.1",_pod_container_image="side:1",_pod_container_init="false",_pod_container_name="side"}"#,
        r#"{__address__="10.0.0.1:9",_pod_container_image="init:1",_pod_container_init="true",_pod_container_name="init",_pod_container_port_number="9",_pod_container_port_protocol="UDP"}"#,
    ];
    let group = format!("pod/shop/web-1 {{_namespace=\"shop\",{own}}}");
    let expected = [&[group.as_str()], targets.as_slice()].concat();
    check(KubernetesRole::Pod, NOTHING, vec![(Resource::Pods, vec![pod(), starting])], &expected);

    let group = format!(
        "pod/shop/web-1 {{_namespace=\"shop\",_namespace_label_team=\"a\",_namespace_labelpresent_team=\"true\",\
         _node_label_zone=\"z1\",_node_labelpresent_zone=\"true\",_node_name=\"n1\",{own}}}"
    );
    let expected = [&[group.as_str()], targets.as_slice()].concat();
    let namespace = json!({"metadata": {"name": "shop", "labels": {"team": "a"}}});
    let objects =
        vec![(Resource::Pods, vec![pod()]), (Resource::Nodes, vec![node()]), (Resource::Namespaces, vec![namespace])];
    check(KubernetesRole::Pod, ALL, objects, &expected);
}

#[test]
fn services_ingresses_and_nodes_become_targets() {
    let service = |name: &str, spec: Value| json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    let port = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    let services = vec![
        service("a", json!({"type": "ClusterIP", "clusterIP": "10.1.0.1", "ports": port})),
        service("b", json!({"type": "ExternalName", "externalName": "x.example", "ports": port})),
        service(
            "c",
            json!({"type": "LoadBalancer", "clusterIP": "10.1.0.3", "loadBalancerIP": "1.2.3.4", "ports": port}),
        ),
        service("none", json!({"ports": null})),
    ];
    check(
        KubernetesRole::Service,
        NOTHING,
        vec![(Resource::Services, services)],
        &[
            r#"svc/shop/a {_namespace="shop",_service_name="a"}"#,
            r#"{__address__="a.shop.svc:80",_service_cluster_ip="10.1.0.1",_service_port_name="http",_service_port_number="80",_service_port_protocol="TCP",_service_type="ClusterIP"}"#,
            r#"svc/shop/b {_namespace="shop",_service_name="b"}"#,
            r#"{__address__="b.shop.svc:80",_service_external_name="x.example",_service_port_name="http",_service_port_number="80",_service_port_protocol="TCP",_service_type="ExternalName"}"#,
            r#"svc/shop/c {_namespace="shop",_service_name="c"}"#,
            r#"{__address__="c.shop.svc:80",_service_cluster_ip="10.1.0.3",_service_loadbalancer_ip="1.2.3.4",_service_port_name="http",_service_port_number="80",_service_port_protocol="TCP",_service_type="LoadBalancer"}"#,
        ],
    );
    let ingress = json!({"metadata": {"name": "i", "namespace": "shop"}, "spec": {
        "ingressClassName": "nginx", "tls": [{"hosts": ["*.example.org"]}],
        "rules": [{"host": "a.example.org", "http": {"paths": [{"path": "/x"}, {}]}}, {"host": "example.com"}]}});
    check(
        KubernetesRole::Ingress,
        NOTHING,
        vec![(Resource::Ingresses, vec![ingress])],
        &[
            r#"ingress/shop/i {_ingress_class_name="nginx",_ingress_name="i",_namespace="shop"}"#,
            r#"{__address__="a.example.org",_ingress_host="a.example.org",_ingress_path="/x",_ingress_scheme="https"}"#,
            r#"{__address__="a.example.org",_ingress_host="a.example.org",_ingress_path="/",_ingress_scheme="https"}"#,
            r#"{__address__="example.com",_ingress_host="example.com",_ingress_path="/",_ingress_scheme="http"}"#,
        ],
    );
    let homeless = json!({"metadata": {"name": "n0"}});
    check(
        KubernetesRole::Node,
        NOTHING,
        vec![(Resource::Nodes, vec![homeless, node()])],
        &[
            r#"node/n1 {_node_condition_diskpressure="unknown",_node_condition_ready="true",_node_label_zone="z1",_node_labelpresent_zone="true",_node_name="n1",_node_provider_id="p://n1"}"#,
            r#"{__address__="192.168.0.1:10250",_node_address_Hostname="n1.example",_node_address_InternalIP="192.168.0.1",instance="n1"}"#,
        ],
    );
    for (pattern, host, expected) in [
        ("a.b", "a.b", true),
        ("*.b", "a.b", true),
        ("*.b", "x.a.b", false),
        ("*", "a", false),
        ("a.*", "a.b", false),
        ("*.b", "b", false),
    ] {
        assert_eq!(covers(pattern, host), expected, "{pattern} {host}");
    }
}

#[test]
fn endpoints_carry_the_labels_of_service_pod_and_container() {
    let reference = json!({"kind": "Pod", "name": "web-1", "namespace": "shop"});
    let service = json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"team": "a"}}});
    let endpoints = json!({"metadata": {"name": "web", "namespace": "shop"}, "subsets": [{
        "addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "targetRef": reference}],
        "notReadyAddresses": [{"ip": "10.0.0.9", "hostname": "h"}],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}]});
    let slice = json!({"metadata": {"name": "web-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "h2c"}],
        "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true, "terminating": false},
             "nodeName": "n1", "zone": "z", "targetRef": reference},
            {"addresses": ["10.0.0.9"], "conditions": {}, "hostname": "h"}]});
    let empty = json!({"metadata": {"name": "none", "namespace": "shop"}, "endpoints": null, "ports": null});
    let mut pod = pod();
    pod["metadata"] = json!({"name": "web-1", "namespace": "shop"});
    pod["status"] = json!({"podIP": "10.0.0.1"});
    let of_pod = "_pod_ip=\"10.0.0.1\",_pod_name=\"web-1\",_pod_node_name=\"n1\",_pod_ready=\"unknown\"";
    let main = "_pod_container_image=\"web:1\",_pod_container_init=\"false\",_pod_container_name=\"main\"";
    let http =
        "_pod_container_port_name=\"http\",_pod_container_port_number=\"80\",_pod_container_port_protocol=\"TCP\"";
    // Ports of the pod that the service does not lead to.
    let further = [
        format!(
            "{{__address__=\"10.0.0.1:81\",{main},_pod_container_port_name=\"admin\",_pod_container_port_number=\"81\",\
             _pod_container_port_protocol=\"TCP\",{of_pod}}}"
        ),
        format!(
            "{{__address__=\"10.0.0.1:9\",_pod_container_image=\"init:1\",_pod_container_init=\"true\",\
             _pod_container_name=\"init\",_pod_container_port_number=\"9\",_pod_container_port_protocol=\"UDP\",{of_pod}}}"
        ),
    ];
    let of_service = "_service_label_team=\"a\",_service_labelpresent_team=\"true\",_service_name=\"web\"";
    let first = format!(
        "{{__address__=\"10.0.0.1:80\",_endpoint_address_target_kind=\"Pod\",_endpoint_address_target_name=\"web-1\",\
         _endpoint_node_name=\"n1\",_endpoint_port_name=\"http\",_endpoint_port_protocol=\"TCP\",_endpoint_ready=\"true\",\
         _node_label_zone=\"z1\",_node_labelpresent_zone=\"true\",_node_name=\"n1\",{main},{http},{of_pod}}}"
    );
    let other = r#"{__address__="10.0.0.9:80",_endpoint_hostname="h",_endpoint_port_name="http",_endpoint_port_protocol="TCP",_endpoint_ready="false"}"#;
    let group = format!("endpoints/shop/web {{_endpoints_name=\"web\",_namespace=\"shop\",{of_service}}}");
    let common = || vec![(Resource::Services, vec![service.clone()]), (Resource::Pods, vec![pod.clone()])];
    let mut objects = common();
    objects.push((Resource::Nodes, vec![node()]));
    objects.push((Resource::Endpoints, vec![endpoints]));
    let attach = AttachMetadata { node: true, namespace: false };
    check(KubernetesRole::Endpoints, attach, objects, &[&group, &first, other, &further[0], &further[1]]);

    let group = format!(
        "endpointslice/shop/web-x {{_endpointslice_address_type=\"IPv4\",_endpointslice_label_kubernetes_io_service_name=\"web\",\
         _endpointslice_labelpresent_kubernetes_io_service_name=\"true\",_endpointslice_name=\"web-x\",_namespace=\"shop\",\
         {of_service}}}"
    );
    let port = "_endpointslice_port=\"80\",_endpointslice_port_app_protocol=\"h2c\",_endpointslice_port_name=\"http\",\
         _endpointslice_port_protocol=\"TCP\"";
    let first = format!(
        "{{__address__=\"10.0.0.1:80\",_endpointslice_address_target_kind=\"Pod\",_endpointslice_address_target_name=\"web-1\",\
         _endpointslice_endpoint_conditions_ready=\"true\",_endpointslice_endpoint_conditions_serving=\"true\",\
         _endpointslice_endpoint_conditions_terminating=\"false\",_endpointslice_endpoint_node_name=\"n1\",\
         _endpointslice_endpoint_zone=\"z\",{port},{main},{http},{of_pod}}}"
    );
    let other = format!("{{__address__=\"10.0.0.9:80\",_endpointslice_endpoint_hostname=\"h\",{port}}}");
    let mut objects = common();
    objects.push((Resource::EndpointSlices, vec![slice, empty]));
    let expected = [group, first, other, further[0].clone(), further[1].clone()];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(KubernetesRole::EndpointSlice, NOTHING, objects, &expected);
}

#[test]
fn a_new_list_tells_what_changed() {
    let mut cluster = cluster(KubernetesRole::Pod, NOTHING);
    let pod =
        |name: &str, version: &str| json!({"metadata": {"name": name, "namespace": "n", "resourceVersion": version}});
    let first = cluster.apply(listed(Resource::Pods, vec![pod("a", "1"), pod("b", "2"), pod("c", "3")]));
    assert_eq!((first.added, first.updated, first.deleted), (3, 0, 0));
    let second = cluster.apply(listed(Resource::Pods, vec![pod("a", "1"), pod("b", "4"), pod("d", "5")]));
    assert_eq!((second.added, second.updated, second.deleted), (1, 1, 1));
    assert_eq!(second.role, Some(KubernetesRole::Pod));
}

#[test]
fn finds_the_cluster_it_runs_in() {
    let directory = tempfile::tempdir().unwrap();
    let account = directory.path();
    let variables = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some("6443".to_owned()),
        _ => None,
    };
    let (base, client) = in_cluster(&variables, account).unwrap();
    assert_eq!(base, "https://[fd00::1]:6443");
    let token = Some(Text::File(account.join("token")));
    assert_eq!(client.auth, Auth::Scheme { scheme: "Bearer".to_owned(), credentials: token });
    assert_eq!(client.tls.ca, Some(Text::File(account.join("ca.crt"))));
    let error = in_cluster(&|_| None, account).unwrap_err();
    assert!(error.starts_with("unable to load in-cluster configuration"), "{error}");

    assert!(own_namespace(account).unwrap_err().starts_with("could not determine the pod's namespace"));
    fs::write(account.join("namespace"), "").unwrap();
    assert_eq!(own_namespace(account).unwrap_err(), "could not read own namespace name (empty file)");
    fs::write(account.join("namespace"), "shop\n").unwrap();
    assert_eq!(own_namespace(account).unwrap(), "shop");
}
