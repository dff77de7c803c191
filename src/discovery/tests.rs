//! Decoding, reading and following target files.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::files::parse_groups;
use super::*;
use crate::source::decode::Decoder;
use crate::source::{SourceFile, yaml};

fn decode(text: &str) -> (SdConfigs, Vec<String>) {
    let source = SourceFile::new("f.yml", text);
    let (node, _) = yaml::parse(&source);
    let mut decoder = Decoder::new(&source);
    let node = node.expect("the test's YAML is fine");
    let mut fields = decoder.section(&node, &crate::source::keys::SCRAPE).unwrap();
    let configs = SdConfigs::decode(&mut fields);
    fields.finish();
    (configs, decoder.finish().iter().map(ToString::to_string).collect())
}

#[test]
fn decodes_static_and_file_configs() {
    let (mut configs, errors) = decode(
        "static_configs: [{targets: ['a:1', 'b:2'], labels: {env: prod, port: 8080}}, {targets: [c]}]\n\
         file_sd_configs: [{files: [sd/*.json, /etc/x.yaml], refresh_interval: 30s}, {files: [y.yml]}]\n",
    );
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(configs.static_groups.len(), 2);
    let first = &configs.static_groups[0];
    assert_eq!(first.targets[1].get(ADDRESS), Some("b:2"));
    assert_eq!(first.labels.to_string(), r#"{env="prod",port="8080"}"#);
    assert_eq!((first.source.as_str(), configs.static_groups[1].source.as_str()), ("0", "1"));
    configs.resolve_paths(Path::new("/conf"));
    assert_eq!(configs.files[0].files, [Path::new("/conf/sd/*.json"), Path::new("/etc/x.yaml")]);
    assert_eq!(configs.files[0].refresh_interval, Duration::from_secs(30));
    assert_eq!(configs.files[1].refresh_interval, Duration::from_secs(300));
}

/// A job that asks through an exporter writes what the exporter shall ask for, and relabels it.
#[test]
fn a_url_is_a_target_where_relabelling_can_make_an_address_of_it() {
    let (configs, errors) =
        decode("{static_configs: [{targets: ['http://x/']}], relabel_configs: [{regex: a, action: labeldrop}]}");
    assert!(errors.is_empty() && configs.static_groups.len() == 1, "{errors:?}");
    let (_, errors) = decode("{static_configs: [{targets: ['http://x/']}], relabel_configs: []}");
    assert_eq!(errors.len(), 1);
}

#[test]
fn refuses_with_a_place() {
    for (text, expected) in [
        ("static_configs: [{targets: ['http://x:1/a']}]", r#"f.yml:1:29: "http://x:1/a" is not a valid hostname"#),
        ("static_configs: [{targets: [a], source: x}]", r#"f.yml:1:33: unknown key "source" in target group"#),
        ("static_configs:\n-\n", "f.yml:2:2: empty or null section in static_configs"),
        ("file_sd_configs: [{files: [a.txt]}]", r#"f.yml:1:28: path name "a.txt" is not valid for file discovery"#),
        ("file_sd_configs: [{files: ['a*/b.yml']}]", r#"path name "a*/b.yml" is not valid for file discovery"#),
        (
            "file_sd_configs: [{files: []}]",
            "f.yml:1:19: file service discovery config must contain at least one path name",
        ),
        ("file_sd_configs: [{}]", "file service discovery config must contain at least one path name"),
        ("file_sd_configs: [{files: [a.yml], refresh_interval: 0s}]", "must be longer than zero"),
        (
            "consul_sd_configs: []",
            "f.yml:1:1: the key \"consul_sd_configs\" in scrape config is not supported: targets come from static_configs, file_sd_configs",
        ),
        ("http_sd_configs: [{refresh_interval: 5s}]", "f.yml:1:19: URL is missing"),
        ("http_sd_configs: [{url: ''}]", "f.yml:1:25: URL is missing"),
        ("http_sd_configs: [{url: 'ftp://a/'}]", "f.yml:1:25: URL scheme must be 'http' or 'https'"),
        ("http_sd_configs: [{url: a/b}]", "URL scheme must be 'http' or 'https'"),
        ("http_sd_configs: [{url: 'http://'}]", "host is missing in URL"),
        ("http_sd_configs: [{url: 'http://a/', uri: x}]", r#"unknown key "uri" in http_sd config"#),
        ("http_sd_configs: [{url: 'http://a/', bearer_token: a, basic_auth: {}}]", "at most one of basic_auth, oauth2"),
        ("dns_sd_configs: [{}]", "f.yml:1:18: DNS-SD config must contain at least one SRV record name"),
        ("dns_sd_configs: [{names: []}]", "DNS-SD config must contain at least one SRV record name"),
        ("dns_sd_configs: [{names: [a], type: TXT}]", "f.yml:1:37: invalid DNS-SD records type TXT"),
        ("dns_sd_configs: [{names: [a], type: a}]", "f.yml:1:31: a port is required in DNS-SD configs for all record"),
        ("dns_sd_configs: [{names: [a], type: A, port: 70000}]", "f.yml:1:46: "),
        ("kubernetes_sd_configs: [{}]", "f.yml:1:25: role missing (one of: pod,"),
        ("kubernetes_sd_configs: [{role: pods}]", r#"f.yml:1:32: unknown Kubernetes SD role "pods""#),
        ("kubernetes_sd_configs: [{role: pod, api_server: a}]", r#"1:49: "a" is not the URL of an API server"#),
        ("kubernetes_sd_configs: [{role: pod, bearer_token: a}]", "please provide the 'api_server' URL explicitly"),
        (
            "kubernetes_sd_configs: [{role: pod, api_server: 'http://a', namespaces: {own_namespace: true}}]",
            "1:61: cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
        ),
        (
            "kubernetes_sd_configs: [{role: pod, selectors: [{role: node, label: a}]}]",
            "1:49: pod role supports only pod selectors",
        ),
        (
            "kubernetes_sd_configs: [{role: endpoints, selectors: [{role: pod}, {role: pod}]}]",
            "1:68: duplicated selector role: pod",
        ),
        ("kubernetes_sd_configs: [{role: pod, kubeconfig_file: a}]", "the key \"kubeconfig_file\" in kubernetes_sd"),
        ("kubernetes_sd_configs: [{role: pod, attach_metadata: {job: true}}]", "the key \"job\" in attach_metadata"),
        ("static_config: []", r#"did you mean "static_configs"?"#),
    ] {
        let (_, errors) = decode(text);
        assert!(errors.len() == 1 && errors[0].contains(expected), "{text}: {errors:?}");
    }
    assert!(decode("file_sd_configs: [{files: ['*b*.yml', 'x[1].YML']}]").1.is_empty());
}

#[test]
fn reads_json_and_yaml_alike() {
    let json = "[\n{\"targets\": [\"a:1\"], \"labels\": {\"path\": \"C:\\\\x\\/\\u00e9\"}}]";
    let yaml = "- targets: ['a:1']\n  labels:\n    path: 'C:\\x/é'\n";
    let [json, yaml] = [json, yaml].map(|text| parse_groups(&SourceFile::new("f", text)).unwrap());
    assert_eq!(json, yaml);
    assert_eq!(json[0].labels.get(META_FILEPATH), Some("f"));
    assert_eq!(json[0].source, "f:0");
    for (text, expected) in [
        ("[{\"targets\": [\"a\"}]", "not valid YAML"),
        ("targets: [a]", "f:1:1: expected a list, found a mapping"),
        ("- null\n", "a target group must not be empty"),
        ("- {targets: [[a]]}\n", "f:1:14: expected a text, found a list"),
    ] {
        let errors = parse_groups(&SourceFile::new("f", text)).unwrap_err().to_string();
        assert!(errors.contains(expected), "{text}: {errors}");
    }
}

fn addresses(groups: &[TargetGroup]) -> Vec<String> {
    groups.iter().flat_map(|group| &group.targets).map(|target| target.get(ADDRESS).unwrap().to_owned()).collect()
}

async fn until(discovery: &Discovery, expected: &[&str]) {
    let mut groups = discovery.subscribe();
    let wait = groups.wait_for(|groups| addresses(groups) == expected);
    if tokio::time::timeout(Duration::from_secs(20), wait).await.is_err() {
        panic!("expected {expected:?}, have {:?}", addresses(&discovery.groups()));
    }
}

#[tokio::test]
async fn follows_files_and_keeps_the_last_good_groups() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    // Moved into place, so that no half-written file is ever read: how often that happens is not ours to say.
    let put = |name: &str, text: &str| {
        fs::write(file("new"), text).unwrap();
        fs::rename(file("new"), file(name)).unwrap();
    };
    put("b.yml", "- targets: [b]\n");
    put("ignored.txt", "x");
    let (mut configs, errors) =
        decode("static_configs: [{targets: [s]}]\nfile_sd_configs: [{files: ['*.yml', '*.json', b.yml]}]");
    assert!(errors.is_empty(), "{errors:?}");
    configs.resolve_paths(directory.path());
    let metrics = Arc::new(DiscoveryMetrics::default());
    let discovery = watch(configs, metrics.clone());
    assert_eq!(addresses(&discovery.groups()), ["s", "b"], "complete at once, no file twice");

    put("a.json", "[\n\t{\"targets\": [\"a\"]}\n]");
    until(&discovery, &["s", "a", "b"]).await;
    let read_errors = || metrics.read_errors.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(read_errors(), 0);

    put("a.json", "");
    put("b.yml", "- targets: [b\n");
    put("c.yml", "- targets: [c]\n");
    until(&discovery, &["s", "a", "b", "c"]).await;
    assert!(read_errors() >= 2);

    put("b.yml", "");
    until(&discovery, &["s", "a", "c"]).await;
    put("b.yml", "- targets: [b2]\n");
    until(&discovery, &["s", "a", "b2", "c"]).await;
    fs::remove_file(file("a.json")).unwrap();
    until(&discovery, &["s", "b2", "c"]).await;

    let mut groups = discovery.subscribe();
    groups.mark_unchanged();
    drop(discovery);
    assert!(groups.changed().await.is_err(), "the task ends with the handle");
}
