//! The sections whose mappings are read here.

use super::{Key, Section, acted, neutral, refused};

const NO_SECRET_MANAGER: &str = "there is no secret manager; name a file instead";
const NO_OTHER_GRANT: &str = "a token is had by client_id and client_secret only";
const NO_SUCH_DISCOVERY: &str =
    "targets come from static_configs, file_sd_configs, http_sd_configs, dns_sd_configs and kubernetes_sd_configs";

/// All of them, in the order of the guide.
pub const SECTIONS: &[&Section] = &[
    &CONFIGURATION,
    &GLOBAL,
    &SCRAPE_FILE,
    &SCRAPE,
    &DISCOVERY,
    &STATIC,
    &FILE_SD,
    &HTTP_SD,
    &DNS_SD,
    &KUBERNETES_SD,
    &NAMESPACES,
    &SELECTOR,
    &ATTACH_METADATA,
    &RELABEL,
    &SLO_HISTORY,
    &HTTP_CLIENT,
    &BASIC_AUTH,
    &AUTHORIZATION,
    &OAUTH2,
    &TLS,
    &PROXY,
    &HTTP_HEADER,
    &ALERTING,
    &ALERTMANAGER,
    &STORAGE,
    &TSDB,
    &RETENTION,
];

/// The whole file.
pub static CONFIGURATION: Section = Section {
    what: "configuration",
    path: "the file",
    frame: "{HERE}",
    needs: &[],
    keys: &[
        acted("global", "{}"),
        acted("rule_files", "['rules/*.yml']"),
        acted("scrape_config_files", "['jobs/*.yml']"),
        acted("scrape_configs", "[{job_name: a}]"),
        acted("alerting", "{}"),
        acted("storage", "{}"),
        refused("remote_write", "[{url: 'http://h/'}]", "samples stay here until remote write is built"),
        refused("remote_read", "[{url: 'http://h/'}]", "queries read what was scraped here"),
        refused("tracing", "{endpoint: 'h:1'}", "there are no traces to send"),
        refused("otlp", "{}", "metrics are scraped, not received by OTLP"),
        refused("runtime", "{gogc: 75}", "it holds settings of the Go runtime"),
        acted("slo_files", "['slo/*.yml']").ours(),
        acted("slo_history", "{url: 'http://h/'}").ours(),
        acted("router", "{route: {receiver: a}, receivers: [{name: a}]}").ours(),
        refused("datasource", "{}", "evaluation on another server is not built yet").ours(),
    ],
    includes: &[],
};

/// `slo_history`
pub static SLO_HISTORY: Section = Section {
    what: "slo_history",
    path: "slo_history",
    frame: "slo_history: {HERE}",
    needs: &[("url", "'http://h/'")],
    keys: &[acted("url", "'http://h/'").ours(), acted("api", "query").ours(), acted("wait", "5m").ours()],
    includes: &[&HTTP_CLIENT],
};

/// Limits on what a target may bring.
static LIMITS: Section = Section {
    what: "limits",
    path: "",
    frame: "",
    needs: &[],
    keys: &[
        acted("body_size_limit", "10MB"),
        acted("sample_limit", "1000"),
        acted("target_limit", "10"),
        acted("label_limit", "30"),
        acted("label_name_length_limit", "100"),
        acted("label_value_length_limit", "200"),
        acted("keep_dropped_targets", "5"),
    ],
    includes: &[],
};

/// How histograms and names are taken. Neutral values are taken, so that a file that spells out defaults works.
static HISTOGRAMS_AND_NAMES: Section = Section {
    what: "histograms and names",
    path: "",
    frame: "",
    needs: &[],
    keys: &[
        acted("scrape_native_histograms", "true").since("3.8"),
        acted("always_scrape_classic_histograms", "true"),
        acted("convert_classic_histograms_to_nhcb", "true"),
        acted("metric_name_validation_scheme", "legacy"),
        acted("metric_name_escaping_scheme", "underscores"),
        neutral("extra_scrape_metrics", "true", "false", "there are no extra series of scrapes").since("3.10"),
    ],
    includes: &[],
};

/// `global`
pub static GLOBAL: Section = Section {
    what: "global config",
    path: "global",
    frame: "global: {HERE}",
    needs: &[],
    keys: &[
        acted("scrape_interval", "15s"),
        acted("scrape_timeout", "5s"),
        acted("scrape_protocols", "[PrometheusText0.0.4]"),
        acted("evaluation_interval", "15s"),
        acted("rule_query_offset", "10s"),
        acted("external_labels", "{cluster: a}"),
        refused("query_log_file", "q.log", "queries are not logged to a file"),
        refused("scrape_failure_log_file", "s.log", "failing scrapes are in the log, once per change of state"),
    ],
    includes: &[&LIMITS, &HISTOGRAMS_AND_NAMES],
};

/// A file of `scrape_config_files`
pub static SCRAPE_FILE: Section = Section {
    what: "scrape config file",
    path: "a file of scrape_config_files",
    // Such a file is a configuration with this key alone.
    frame: "{HERE}",
    needs: &[],
    keys: &[acted("scrape_configs", "[{job_name: a}]")],
    includes: &[],
};

/// An entry of `scrape_configs`
pub static SCRAPE: Section = Section {
    what: "scrape config",
    path: "scrape_configs[]",
    frame: "scrape_configs: [{HERE}]",
    needs: &[("job_name", "a")],
    keys: &[
        acted("job_name", "a"),
        acted("scrape_interval", "15s"),
        acted("scrape_timeout", "5s"),
        acted("metrics_path", "/m"),
        acted("scheme", "https"),
        acted("params", "{module: [http]}"),
        acted("honor_labels", "true"),
        acted("honor_timestamps", "false"),
        acted("track_timestamps_staleness", "true"),
        acted("enable_compression", "false"),
        acted("scrape_protocols", "[PrometheusText0.0.4]"),
        acted("fallback_scrape_protocol", "PrometheusText0.0.4"),
        acted("relabel_configs", "[{action: keep, source_labels: [a]}]"),
        acted("metric_relabel_configs", "[{action: labeldrop, regex: a}]"),
        acted("native_histogram_bucket_limit", "160"),
        acted("native_histogram_min_bucket_factor", "1.1"),
        refused("scrape_failure_log_file", "s.log", "a target that goes down is logged once, with the reason"),
    ],
    includes: &[&LIMITS, &HISTOGRAMS_AND_NAMES, &DISCOVERY, &HTTP_CLIENT],
};

const fn discovery(name: &'static str) -> Key {
    refused(name, "[{}]", NO_SUCH_DISCOVERY)
}

/// Where targets come from: in jobs and in entries of `alertmanagers`.
pub static DISCOVERY: Section = Section {
    what: "scrape config",
    path: "discoveries, in scrape_configs[] and alertmanagers[]",
    frame: "scrape_configs: [{job_name: a, HERE}]",
    needs: &[],
    keys: &[
        acted("static_configs", "[{targets: ['h:1']}]"),
        acted("file_sd_configs", "[{files: [t.yml]}]"),
        acted("http_sd_configs", "[{url: 'http://h/'}]"),
        acted("dns_sd_configs", "[{names: [a.example]}]"),
        acted("kubernetes_sd_configs", "[{role: pod}]"),
        discovery("aws_sd_configs").since("3.8"),
        discovery("azure_sd_configs"),
        discovery("consul_sd_configs"),
        discovery("digitalocean_sd_configs"),
        discovery("docker_sd_configs"),
        discovery("dockerswarm_sd_configs"),
        discovery("ec2_sd_configs"),
        discovery("ecs_sd_configs").since("3.8"),
        discovery("elasticache_sd_configs").since("3.11"),
        discovery("eureka_sd_configs"),
        discovery("gce_sd_configs"),
        discovery("hetzner_sd_configs"),
        discovery("ionos_sd_configs"),
        discovery("kuma_sd_configs"),
        discovery("lightsail_sd_configs"),
        discovery("linode_sd_configs"),
        discovery("marathon_sd_configs"),
        discovery("msk_sd_configs").since("3.10"),
        discovery("nerve_sd_configs"),
        discovery("nomad_sd_configs"),
        discovery("oci_sd_configs").since("3.14"),
        discovery("openstack_sd_configs"),
        discovery("outscale_sd_configs").since("3.12"),
        discovery("ovhcloud_sd_configs"),
        discovery("puppetdb_sd_configs"),
        discovery("rds_sd_configs").since("3.11"),
        discovery("scaleway_sd_configs"),
        discovery("serverset_sd_configs"),
        discovery("stackit_sd_configs"),
        discovery("triton_sd_configs"),
        discovery("uyuni_sd_configs"),
        discovery("vultr_sd_configs"),
    ],
    includes: &[],
};

/// An entry of `static_configs`, also in files and answers of servers.
pub static STATIC: Section = Section {
    what: "target group",
    path: "static_configs[]",
    frame: "scrape_configs: [{job_name: a, static_configs: [{HERE}]}]",
    needs: &[],
    keys: &[acted("targets", "['h:1']"), acted("labels", "{a: b}")],
    includes: &[],
};

/// An entry of `file_sd_configs`
pub static FILE_SD: Section = Section {
    what: "file_sd config",
    path: "file_sd_configs[]",
    frame: "scrape_configs: [{job_name: a, file_sd_configs: [{HERE}]}]",
    needs: &[("files", "[t.yml]")],
    keys: &[acted("files", "['t-*.json']"), acted("refresh_interval", "1m")],
    includes: &[],
};

/// An entry of `http_sd_configs`
pub static HTTP_SD: Section = Section {
    what: "http_sd config",
    path: "http_sd_configs[]",
    frame: "scrape_configs: [{job_name: a, http_sd_configs: [{HERE}]}]",
    needs: &[("url", "'http://h/'")],
    keys: &[acted("url", "'http://h/t'"), acted("refresh_interval", "1m")],
    includes: &[&HTTP_CLIENT],
};

/// An entry of `dns_sd_configs`
pub static DNS_SD: Section = Section {
    what: "dns_sd config",
    path: "dns_sd_configs[]",
    frame: "scrape_configs: [{job_name: a, dns_sd_configs: [{HERE}]}]",
    needs: &[("names", "[a.example]")],
    keys: &[
        acted("names", "[b.example]"),
        acted("type", "A").with("port: 1"),
        acted("port", "80").with("type: AAAA"),
        acted("refresh_interval", "1m"),
    ],
    includes: &[],
};

/// An entry of `kubernetes_sd_configs`
pub static KUBERNETES_SD: Section = Section {
    what: "kubernetes_sd config",
    path: "kubernetes_sd_configs[]",
    frame: "scrape_configs: [{job_name: a, kubernetes_sd_configs: [{HERE}]}]",
    needs: &[("role", "pod"), ("api_server", "'https://k'")],
    keys: &[
        acted("role", "node"),
        acted("api_server", "'https://k:6443'"),
        acted("namespaces", "{names: [a]}"),
        acted("selectors", "[{role: pod, label: a=b}]"),
        acted("attach_metadata", "{node: true}"),
        refused("kubeconfig_file", "k.yml", "name the api_server and its credentials here"),
    ],
    includes: &[&HTTP_CLIENT],
};

/// `namespaces` of a cluster
pub static NAMESPACES: Section = Section {
    what: "namespaces",
    path: "kubernetes_sd_configs[].namespaces",
    frame: "scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, namespaces: {HERE}}]}]",
    needs: &[],
    keys: &[acted("names", "[a]"), acted("own_namespace", "true")],
    includes: &[],
};

/// An entry of `selectors` of a cluster
pub static SELECTOR: Section = Section {
    what: "selector",
    path: "kubernetes_sd_configs[].selectors[]",
    frame: "scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, selectors: [{HERE}]}]}]",
    needs: &[("role", "pod")],
    keys: &[acted("role", "pod"), acted("label", "a=b"), acted("field", "metadata.name=a")],
    includes: &[],
};

const NO_CONTROLLERS: &str = "the controller's name is in __meta_kubernetes_pod_controller_name";

/// `attach_metadata` of a cluster
pub static ATTACH_METADATA: Section = Section {
    what: "attach_metadata",
    path: "kubernetes_sd_configs[].attach_metadata",
    frame: "scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, attach_metadata: {HERE}}]}]",
    needs: &[],
    keys: &[
        acted("node", "true"),
        acted("namespace", "true").since("3.6"),
        refused("deployment", "true", NO_CONTROLLERS).since("3.11"),
        refused("job", "true", NO_CONTROLLERS).since("3.11"),
        refused("cronjob", "true", NO_CONTROLLERS).since("3.11"),
    ],
    includes: &[],
};

/// A rule of relabelling, wherever there is one.
pub static RELABEL: Section = Section {
    what: "relabel config",
    path: "every list of relabelling",
    frame: "scrape_configs: [{job_name: a, relabel_configs: [{HERE}]}]",
    needs: &[("target_label", "b")],
    keys: &[
        acted("source_labels", "[a]"),
        acted("separator", "','"),
        acted("regex", "x.*"),
        acted("modulus", "8").with("action: hashmod, source_labels: [a]"),
        acted("target_label", "c"),
        acted("replacement", "x"),
        acted("action", "replace"),
    ],
    includes: &[],
};

/// The keys of an HTTP client.
pub static HTTP_CLIENT: Section = Section {
    what: "HTTP client config",
    path: "HTTP client, in scrape_configs[], http_sd_configs[], kubernetes_sd_configs[] and alertmanagers[]",
    frame: "scrape_configs: [{job_name: a, HERE}]",
    needs: &[],
    keys: &[
        acted("basic_auth", "{username: u}"),
        acted("authorization", "{credentials: c}"),
        acted("oauth2", "{client_id: i, token_url: 'http://h/'}"),
        acted("bearer_token", "t"),
        acted("bearer_token_file", "t"),
        acted("tls_config", "{insecure_skip_verify: true}"),
        acted("follow_redirects", "false"),
        acted("enable_http2", "false"),
        acted("http_headers", "{X-A: {values: [b]}}"),
    ],
    includes: &[&PROXY],
};

/// Through whom requests go: in HTTP clients and `oauth2`.
pub static PROXY: Section = Section {
    what: "proxy",
    path: "proxy, in HTTP clients and oauth2",
    frame: "scrape_configs: [{job_name: a, HERE}]",
    needs: &[],
    keys: &[
        acted("proxy_url", "'http://p:1'"),
        acted("no_proxy", "a.example").with("proxy_url: 'http://p:1'"),
        acted("proxy_from_environment", "true"),
        refused("proxy_connect_header", "{X-A: [b]}", "put the header into the proxy's own configuration")
            .with("proxy_url: 'http://p:1'"),
    ],
    includes: &[],
};

/// `basic_auth`
pub static BASIC_AUTH: Section = Section {
    what: "basic_auth",
    path: "basic_auth",
    frame: "scrape_configs: [{job_name: a, basic_auth: {HERE}}]",
    needs: &[],
    keys: &[
        acted("username", "u"),
        acted("username_file", "u"),
        acted("password", "p"),
        acted("password_file", "p"),
        refused("username_ref", "u", NO_SECRET_MANAGER),
        refused("password_ref", "p", NO_SECRET_MANAGER),
    ],
    includes: &[],
};

/// `authorization`
pub static AUTHORIZATION: Section = Section {
    what: "authorization",
    path: "authorization",
    frame: "scrape_configs: [{job_name: a, authorization: {HERE}}]",
    needs: &[],
    keys: &[
        acted("type", "Token"),
        acted("credentials", "c"),
        acted("credentials_file", "c"),
        refused("credentials_ref", "c", NO_SECRET_MANAGER),
    ],
    includes: &[],
};

/// `oauth2`
pub static OAUTH2: Section = Section {
    what: "oauth2",
    path: "oauth2",
    frame: "scrape_configs: [{job_name: a, oauth2: {HERE}}]",
    needs: &[("client_id", "i"), ("token_url", "'http://h/'")],
    keys: &[
        acted("client_id", "j"),
        acted("client_secret", "s"),
        acted("client_secret_file", "s"),
        acted("token_url", "'http://h/t'"),
        acted("scopes", "[a]"),
        acted("endpoint_params", "{a: b}"),
        acted("tls_config", "{insecure_skip_verify: true}"),
        refused("client_secret_ref", "s", NO_SECRET_MANAGER),
        refused("client_certificate_key", "k", NO_OTHER_GRANT),
        refused("client_certificate_key_file", "k", NO_OTHER_GRANT),
        refused("client_certificate_key_id", "k", NO_OTHER_GRANT),
        refused("client_certificate_key_ref", "k", NO_OTHER_GRANT),
        refused("grant_type", "client_credentials", NO_OTHER_GRANT),
        refused("signature_algorithm", "RS256", NO_OTHER_GRANT),
        refused("iss", "i", NO_OTHER_GRANT),
        refused("audience", "a", NO_OTHER_GRANT),
        refused("claims", "{a: b}", NO_OTHER_GRANT),
    ],
    includes: &[&PROXY],
};

/// `tls_config`
pub static TLS: Section = Section {
    what: "tls_config",
    path: "tls_config",
    frame: "scrape_configs: [{job_name: a, tls_config: {HERE}}]",
    needs: &[],
    keys: &[
        acted("ca", "c"),
        acted("ca_file", "c.pem"),
        acted("cert", "c").with("key: k"),
        acted("cert_file", "c.pem").with("key_file: k.pem"),
        acted("key", "k").with("cert: c"),
        acted("key_file", "k.pem").with("cert_file: c.pem"),
        acted("server_name", "h"),
        acted("insecure_skip_verify", "true"),
        acted("min_version", "TLS12"),
        acted("max_version", "TLS13"),
        refused("ca_ref", "c", NO_SECRET_MANAGER),
        refused("cert_ref", "c", NO_SECRET_MANAGER).with("cert: c, key: k"),
        refused("key_ref", "k", NO_SECRET_MANAGER).with("cert: c, key: k"),
    ],
    includes: &[],
};

/// A header of `http_headers`
pub static HTTP_HEADER: Section = Section {
    what: "HTTP header",
    path: "http_headers.*",
    frame: "scrape_configs: [{job_name: a, http_headers: {X-A: {HERE}}}]",
    needs: &[],
    keys: &[acted("values", "[a]"), acted("secrets", "[a]"), acted("files", "[a]")],
    includes: &[],
};

/// `alerting`
pub static ALERTING: Section = Section {
    what: "alerting config",
    path: "alerting",
    frame: "alerting: {HERE}",
    needs: &[],
    keys: &[
        acted("alert_relabel_configs", "[{action: labeldrop, regex: a}]"),
        acted("alertmanagers", "[{static_configs: [{targets: ['h:1']}]}]"),
    ],
    includes: &[],
};

/// An entry of `alertmanagers`
pub static ALERTMANAGER: Section = Section {
    what: "Alertmanager config",
    path: "alerting.alertmanagers[]",
    frame: "alerting: {alertmanagers: [{HERE}]}",
    needs: &[],
    keys: &[
        acted("scheme", "https"),
        acted("path_prefix", "/a"),
        acted("timeout", "5s"),
        acted("api_version", "v2"),
        acted("relabel_configs", "[{action: keep, source_labels: [a]}]"),
        acted("alert_relabel_configs", "[{action: labeldrop, regex: a}]"),
        refused("sigv4", "{region: r}", "requests are not signed; put a signing proxy in between"),
    ],
    includes: &[&DISCOVERY, &HTTP_CLIENT],
};

/// `storage`
pub static STORAGE: Section = Section {
    what: "storage",
    path: "storage",
    frame: "storage: {HERE}",
    needs: &[],
    keys: &[
        acted("tsdb", "{}"),
        refused("exemplars", "{max_exemplars: 1}", "how many exemplars are kept is fixed"),
        acted("path", "/a").ours(),
        acted("mode", "rules").ours(),
        acted("memory_limit", "2GB").ours(),
        acted("series_limit", "1000").ours(),
        acted("series_limit_per_job", "1000").ours(),
    ],
    includes: &[],
};

/// `storage.tsdb`
pub static TSDB: Section = Section {
    what: "storage.tsdb",
    path: "storage.tsdb",
    frame: "storage: {tsdb: {HERE}}",
    needs: &[],
    keys: &[
        acted("retention", "{}").since("3.8"),
        acted("out_of_order_time_window", "30m"),
        refused("stale_series_compaction_threshold", "0.5", "there are no blocks to compact").since("3.10"),
        refused("chunk_encoding", "{}", "chunks choose their encoding by their samples").since("3.13"),
    ],
    includes: &[],
};

/// `storage.tsdb.retention`
pub static RETENTION: Section = Section {
    what: "storage.tsdb.retention",
    path: "storage.tsdb.retention",
    frame: "storage: {tsdb: {retention: {HERE}}}",
    needs: &[],
    keys: &[
        acted("time", "2d").since("3.8"),
        refused("size", "1GB", "samples are kept by time").since("3.8"),
        refused("percentage", "10", "samples are kept by time").since("3.11"),
    ],
    includes: &[],
};
