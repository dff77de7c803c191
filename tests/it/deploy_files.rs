//! Holds what is in `deploy/` and Mini Market's compose file to the program: settings exist and take their values, ports agree, probes ask
//! paths that there are, nothing runs as root, the configurations in them pass our own checks, and the health check tells alive from dead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use almenara::config::{Config, Layer, Settings};
use almenara::promql::Features;
use almenara::source::yaml::{Node, NodeKind, parse_documents};
use almenara::source::{SourceFile, yaml};
use regex::Regex;

use super::real::deployment::Deployment;
use super::real::process::{almenara, free_port, get};

const COMPOSE: &[&str] = &["deploy/docker-compose.yml", "fixtures/mini-market/docker-compose.yml"];
const KUBERNETES: &[&str] = &["deploy/kubernetes/standalone.yaml", "deploy/kubernetes/sidecar.yaml"];
const UNIT: &str = "deploy/systemd/almenara.service";
const DOCKERFILE: &str = "deploy/Dockerfile";
/// Where the image has the rules and objectives that come with the program.
const SHARED: &str = "/usr/share/almenara";
/// The user without rights in the image.
const USER: &str = "65532";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents(path: &str) -> Vec<Node> {
    let (documents, diagnostics) = parse_documents(&SourceFile::new(path, text(path)));
    assert!(diagnostics.is_empty() && !documents.is_empty(), "{path}:\n{diagnostics}");
    documents
}

/// The node at `path`, whose steps are separated by dots.
fn at<'a>(node: &'a Node, path: &str) -> &'a Node {
    find(node, path).unwrap_or_else(|| panic!("{path} is missing"))
}

fn find<'a>(node: &'a Node, path: &str) -> Option<&'a Node> {
    path.split('.').try_fold(node, |node, key| node.get(key))
}

fn scalar<'a>(node: &'a Node, path: &str) -> &'a str {
    at(node, path).as_str().unwrap_or_else(|| panic!("{path} is not plain"))
}

fn items<'a>(node: &'a Node, path: &str) -> &'a [Node] {
    match &at(node, path).kind {
        NodeKind::Sequence(items) => items,
        _ => panic!("{path} is no list"),
    }
}

fn words<'a>(node: &'a Node, path: &str) -> Vec<&'a str> {
    items(node, path).iter().map(|item| item.as_str().expect("a word")).collect()
}

fn pairs<'a>(node: &'a Node, path: &str) -> BTreeMap<&'a str, &'a str> {
    match &at(node, path).kind {
        NodeKind::Mapping(pairs) => pairs.iter().map(|(key, value)| (key.as_str().unwrap(), value.as_str().unwrap())),
        _ => panic!("{path} is no mapping"),
    }
    .collect()
}

/// The settings that a command line of `serve` makes.
fn settings(place: &str, words: &[&str]) -> Settings {
    let (first, flags) = words.split_first().unwrap_or_else(|| panic!("{place}: no arguments"));
    assert_eq!(*first, "serve", "{place}");
    let mut layer = Layer::new();
    for flag in flags {
        let flag = flag.strip_prefix("--").unwrap_or_else(|| panic!("{place}: {flag} is no flag"));
        let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
        match layer.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => *values = format!("{values},{value}"),
            None => layer.push((name.to_owned(), value.to_owned())),
        }
    }
    Settings::merge(&Layer::new(), [], &layer).unwrap_or_else(|errors| panic!("{place}: {errors:?}"))
}

fn ports(settings: &Settings) -> BTreeSet<String> {
    let port = |address: &String| address.rsplit(':').next().unwrap().to_owned();
    settings.list("web.listen-address").iter().map(port).collect()
}

/// Reads the configuration as the daemon will, with the files of the image taken from the repository.
fn check_config(place: &str, files: &BTreeMap<&str, String>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace(SHARED, root().to_str().unwrap())).unwrap();
    }
    let (config, diagnostics) = Config::load(&folder.path().join("almenara.yml"), &|_| None, Features::DEFAULT);
    assert!(config.is_some() && diagnostics.is_empty(), "{place}:\n{diagnostics}");
}

#[test]
fn compose_services_are_hardened_and_reached_where_they_listen() {
    for path in COMPOSE {
        let file = documents(path).remove(0);
        let service = at(&file, "services.almenara");
        let settings = settings(path, &words(service, "command"));
        let listening = ports(&settings);
        let published: BTreeSet<String> = words(service, "ports").iter().map(|port| inner_port(path, port)).collect();
        assert_eq!(published, listening, "{path}: ports and --web.listen-address");
        let health = words(service, "healthcheck.test");
        assert_eq!(&health[..4], ["CMD", "/usr/local/bin/almenara", "query", "instant"], "{path}");
        assert!(
            listening.contains(health[4].rsplit(':').next().unwrap()),
            "{path}: the health check asks {}",
            health[4]
        );

        let (user, group) = scalar(service, "user").split_once(':').expect("user:group");
        assert_eq!((user, group), (USER, USER), "{path}");
        assert_eq!(scalar(service, "read_only"), "true", "{path}");
        assert_eq!(words(service, "cap_drop"), ["ALL"], "{path}");
        assert_eq!(words(service, "security_opt"), ["no-new-privileges:true"], "{path}");
        assert!(find(service, "deploy.resources.limits.memory").is_some(), "{path}: no limit of memory");
        assert!(find(service, "privileged").is_none(), "{path}");

        let mounts: BTreeMap<&str, &str> =
            words(service, "volumes").iter().map(|mount| mount.split_once(':').expect("source:target")).collect();
        let config = settings.text("config.file").strip_prefix("/etc/almenara/").expect("in the mounted folder");
        let (source, _) = mounts.iter().find(|(_, target)| **target == "/etc/almenara:ro").expect("configuration");
        let folder = root().join(path).parent().unwrap().join(source);
        assert!(folder.join(config).is_file(), "{path}: {config} is not in {}", folder.display());
        assert!(mounts.values().any(|target| *target == settings.text("storage.path")), "{path}: --storage.path");
    }
}

/// `127.0.0.1:9090:9090` leads to 9090; nothing may be published on all addresses.
fn inner_port(path: &str, port: &str) -> String {
    let parts: Vec<&str> = port.split(':').collect();
    assert_eq!((parts.len(), parts[0]), (3, "127.0.0.1"), "{path}: {port} is open to all");
    parts[2].to_owned()
}

/// All of one file's objects of a kind.
fn of_kind<'a>(objects: &'a [Node], kind: &str) -> Vec<&'a Node> {
    objects.iter().filter(|object| scalar(object, "kind") == kind).collect()
}

fn workload(objects: &[Node]) -> &Node {
    let kinds = ["Deployment", "StatefulSet"];
    objects.iter().find(|object| kinds.contains(&scalar(object, "kind"))).expect("a workload")
}

/// Named ports of all containers.
fn named_ports(pod: &Node) -> BTreeMap<&str, &str> {
    let containers = items(pod, "spec.containers").iter();
    let ports = containers.flat_map(|container| items(container, "ports"));
    ports.map(|port| (scalar(port, "name"), scalar(port, "containerPort"))).collect()
}

#[test]
fn pods_listen_where_services_probes_and_policies_ask() {
    let paths = text("docs/src/api.md");
    for path in KUBERNETES {
        let objects = documents(path);
        let workload = workload(&objects);
        let pod = at(workload, "spec.template");
        let labels = pairs(pod, "metadata.labels");
        let ports_by_name = named_ports(pod);
        assert_eq!(pairs(workload, "spec.selector.matchLabels"), labels, "{path}");
        assert_eq!(scalar(workload, "spec.replicas"), "1", "{path}: two would tell of everything twice");
        for service in of_kind(&objects, "Service") {
            assert_eq!(pairs(service, "spec.selector"), labels, "{path}");
            for port in items(service, "spec.ports") {
                assert!(ports_by_name.contains_key(scalar(port, "targetPort")), "{path}: {}", scalar(port, "name"));
            }
        }
        for policy in of_kind(&objects, "NetworkPolicy") {
            assert_eq!(pairs(policy, "spec.podSelector.matchLabels"), labels, "{path}");
            let open = items(policy, "spec.ingress").iter().flat_map(|rule| items(rule, "ports"));
            let open: BTreeSet<&str> = open.map(|port| scalar(port, "port")).collect();
            assert_eq!(open, ports_by_name.values().copied().collect(), "{path}: the policy's ports");
        }
        let container = container(pod);
        let settings = settings(path, &words(container, "args"));
        let own: BTreeSet<String> =
            items(container, "ports").iter().map(|port| scalar(port, "containerPort").to_owned()).collect();
        assert_eq!(ports(&settings), own, "{path}: containerPort and --web.listen-address");
        for (probe, asked) in
            [("startupProbe", "/-/ready"), ("livenessProbe", "/-/healthy"), ("readinessProbe", "/-/ready")]
        {
            let get = at(container, &format!("{probe}.httpGet"));
            assert_eq!(scalar(get, "path"), asked, "{path}: {probe}");
            assert!(paths.contains(&format!("`{asked}`")), "{asked} is no path of the API");
            assert_eq!(scalar(get, "port"), scalar(&items(container, "ports")[0], "name"), "{path}: {probe}");
        }
    }
}

fn container(pod: &Node) -> &Node {
    let containers = items(pod, "spec.containers");
    containers.iter().find(|container| scalar(container, "name") == "almenara").expect("our container")
}

#[test]
fn pods_run_without_rights_and_with_all_that_they_mount() {
    for path in KUBERNETES {
        let objects = documents(path);
        let workload = workload(&objects);
        let pod = at(workload, "spec.template");
        let context = at(pod, "spec.securityContext");
        assert_eq!(scalar(context, "runAsNonRoot"), "true", "{path}");
        assert_eq!(scalar(context, "runAsUser"), USER, "{path}");
        assert_eq!(scalar(context, "seccompProfile.type"), "RuntimeDefault", "{path}");
        let volumes = find(pod, "spec.volumes").map(|_| items(pod, "spec.volumes")).unwrap_or_default().iter();
        let mut known: BTreeSet<&str> = volumes.map(|volume| scalar(volume, "name")).collect();
        if find(workload, "spec.volumeClaimTemplates").is_some() {
            known.extend(
                items(workload, "spec.volumeClaimTemplates").iter().map(|claim| scalar(claim, "metadata.name")),
            );
        }
        for container in items(pod, "spec.containers") {
            assert_eq!(scalar(container, "securityContext.allowPrivilegeEscalation"), "false", "{path}");
            assert_eq!(scalar(container, "securityContext.readOnlyRootFilesystem"), "true", "{path}");
            assert_eq!(words(container, "securityContext.capabilities.drop"), ["ALL"], "{path}");
            assert!(find(container, "resources.limits.memory").is_some(), "{path}: no limit of memory");
            for mount in items(container, "volumeMounts") {
                assert!(
                    known.contains(scalar(mount, "name")),
                    "{path}: {} is mounted from nowhere",
                    scalar(mount, "name")
                );
            }
        }
        let own = container(pod);
        let settings = settings(path, &words(own, "args"));
        let targets: Vec<&str> = items(own, "volumeMounts").iter().map(|mount| scalar(mount, "mountPath")).collect();
        let folder = Path::new(settings.text("config.file")).parent().unwrap();
        assert!(targets.contains(&folder.to_str().unwrap()), "{path}: --config.file is not mounted");
        assert!(targets.contains(&settings.text("storage.path")), "{path}: --storage.path is not mounted");
    }
}

#[test]
fn configurations_pass_our_own_checks() {
    for path in KUBERNETES {
        for map in of_kind(&documents(path), "ConfigMap") {
            let files = pairs(map, "data").into_iter().map(|(name, text)| (name, text.to_owned())).collect();
            check_config(path, &files);
        }
    }
    let path = "deploy/config/almenara.yml";
    check_config(path, &BTreeMap::from([("almenara.yml", text(path))]));
}

#[test]
fn mini_market_standalone_is_its_configuration_without_alertmanager() {
    let read = |name: &str| text(&format!("fixtures/mini-market/{name}"));
    let whole = read("almenara.yml");
    let alerting = Regex::new(r"(?m)^alerting:\n(?:[ \t].*\n)+\n").unwrap();
    let (expected, standalone) = (alerting.replace(&whole, ""), read("almenara.standalone.yml"));
    assert!(expected.len() < whole.len(), "almenara.yml has no alerting any more");
    assert_eq!(standalone.split_once('\n').unwrap().1, expected);
    let parts = ["alertmanager.yml", "rules/mini_market.yml", "slo/dashboard.yml"];
    let mut files: BTreeMap<&str, String> = parts.map(|part| (part, read(part))).into();
    files.insert("almenara.yml", standalone);
    check_config("almenara.standalone.yml", &files);
}

#[test]
fn the_unit_starts_what_there_is_and_hardens_it() {
    let unit = text(UNIT);
    let values = |key: &str| -> Vec<&str> {
        unit.lines().filter_map(|line| line.strip_prefix(key)).filter_map(|rest| rest.strip_prefix('=')).collect()
    };
    let start: Vec<&str> = values("ExecStart")[0].split(' ').collect();
    assert_eq!(start[0], "/usr/local/bin/almenara");
    let settings = settings(UNIT, &start[1..]);
    assert_eq!(settings.text("storage.path"), format!("/var/lib/{}", values("StateDirectory")[0]));
    let folder = format!("/etc/{}/", values("ConfigurationDirectory")[0]);
    assert!(settings.text("config.file").starts_with(&folder), "{}", settings.text("config.file"));
    for (key, value) in [
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("Restart", "on-failure"),
        ("DynamicUser", "yes"),
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
    ] {
        assert_eq!(values(key), [value], "{UNIT}: {key}");
    }
}

#[test]
fn the_image_holds_what_the_build_and_the_files_need() {
    let dockerfile = text(DOCKERFILE).replace("\\\n", "");
    let manifest = text("Cargo.toml");
    let version = Regex::new(r#"(?m)^rust-version = "([\d.]+)""#).unwrap().captures(&manifest).unwrap()[1].to_owned();
    assert!(dockerfile.contains(&format!("FROM rust:{version}-bookworm")), "{DOCKERFILE}: Rust is not {version}");
    let release = Regex::new(r#"(?m)^version = "([\d.]+)""#).unwrap().captures(&manifest).unwrap()[1].to_owned();
    for path in COMPOSE.iter().chain(KUBERNETES).chain(&[DOCKERFILE]) {
        assert!(text(path).contains(&format!("almenara:{release}")), "{path}: not the image of {release}");
    }
    assert!(dockerfile.contains(&format!("image.version=\"{release}\"")), "{DOCKERFILE}: label of another release");

    let allowed = text("deploy/Dockerfile.dockerignore");
    for part in ["Cargo.toml", "Cargo.lock", "benches", "rules", "slo", "src"] {
        assert!(dockerfile.lines().any(|line| line.starts_with("COPY") && line.contains(part)), "{part} is not copied");
        assert!(allowed.lines().any(|line| line == format!("!{part}")), "{part} is kept from the build");
    }
    let ending = dockerfile.split("\nFROM ").last().unwrap();
    assert!(ending.contains(&format!("\nUSER {USER}:{USER}\n")), "{DOCKERFILE}: runs as root");
    for shared in ["rules/almenara.yml", "slo/almenara.yml"] {
        assert!(ending.contains(&format!("COPY {shared} {SHARED}/{shared}\n")), "{shared} is not in the image");
    }
    let variable = Regex::new(r#"\b(ALMENARA__\w+)="([^"]*)""#).unwrap();
    let variables: Vec<(String, String)> =
        variable.captures_iter(ending).map(|found| (found[1].to_owned(), found[2].to_owned())).collect();
    let settings = Settings::merge(&Layer::new(), variables, &Layer::new()).expect("settings of the image");
    assert_eq!(settings.list("web.listen-address"), [":9597"]);
    assert!(ending.contains("\nEXPOSE 9597\n"));
    assert!(ending.contains(&format!("\nVOLUME [\"{}\"]\n", settings.text("storage.path"))));
}

/// Both addresses of Mini Market's compose file answer, and the commands of all health checks tell a living daemon from a dead one.
#[test]
fn health_checks_tell_alive_from_dead() {
    let second = free_port();
    let daemon = Deployment::start(
        &[("almenara.yml", "global: {scrape_interval: 1s}\n")],
        &[&format!("--web.listen-address=127.0.0.1:{second}")],
    );
    assert_eq!(get(daemon.port, "/-/healthy").0, 200);
    assert_eq!(get(second, "/api/v2/status").0, 200);

    let command = Regex::new(r"(?s)HEALTHCHECK [^\[]*CMD (\[[^\]]*\])").unwrap();
    let dockerfile = text(DOCKERFILE);
    let image = SourceFile::new(DOCKERFILE, command.captures(&dockerfile).expect("a health check")[1].to_owned());
    let image = yaml::parse(&image).0.expect("a list");
    let NodeKind::Sequence(image) = &image.kind else { panic!("{DOCKERFILE}: the health check is no list") };
    let mut commands: Vec<Vec<String>> = vec![image.iter().map(|word| word.as_str().unwrap().to_owned()).collect()];
    for path in COMPOSE {
        let file = documents(path).remove(0);
        let test = words(&file, "services.almenara.healthcheck.test");
        commands.push(test[1..].iter().map(|word| (*word).to_owned()).collect());
    }
    let port = Regex::new(r":\d+$").unwrap();
    for words in commands {
        for (asked, code) in [(daemon.port, 0), (free_port(), 1)] {
            let words = words[1..].iter().map(|word| port.replace(word, format!(":{asked}")).into_owned());
            let output = almenara().args(words).output().expect("the binary");
            assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
