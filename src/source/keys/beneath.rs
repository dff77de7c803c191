//! The keys beneath those that are refused as a whole. Their error is that of the key above them.

use super::{CONFIGURATION, DISCOVERY, Fate, HERE, STORAGE, Section, TSDB};

/// A mapping that is not read, since a key above it is refused. HTTP client keys are not told again.
#[derive(Debug)]
pub struct Beneath {
    /// Where it stands, for the guide.
    pub path: &'static str,
    /// A configuration with such a mapping, whose pairs stand for [`HERE`].
    frame: &'static str,
    /// The section that refuses a key above it, and that key.
    pub refused_by: (&'static Section, &'static str),
    /// Its keys, separated by white space.
    keys: &'static str,
    /// Those among them that came after Prometheus 3.5.
    newer: &'static str,
}

impl Beneath {
    /// Its keys.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.keys.split_whitespace()
    }

    /// Whether `key` came after Prometheus 3.5.
    pub fn is_newer(&self, key: &str) -> bool {
        self.newer.split_whitespace().any(|newer| newer == key)
    }

    /// The reason of the key above.
    pub fn why(&self) -> &'static str {
        let (section, name) = self.refused_by;
        match section.key(name).map(|key| key.fate) {
            Some(Fate::Refused(why)) => why,
            fate => panic!("BUG: {name} is not refused in {}: {fate:?}", section.what),
        }
    }

    /// A configuration with `keys`.
    pub fn example(&self, keys: &[&str]) -> String {
        let frame = match self.frame {
            "" => format!("scrape_configs: [{{job_name: a, {}: [{{{HERE}}}]}}]", self.path),
            frame => frame.to_owned(),
        };
        let pairs: Vec<String> = keys.iter().map(|key| format!("{key}: null")).collect();
        frame.replace(HERE, &pairs.join(", "))
    }
}

/// A discovery that is not built in. Its frame follows from its name.
const fn discovery(name: &'static str, keys: &'static str, newer: &'static str) -> Beneath {
    Beneath { path: name, frame: "", refused_by: (&DISCOVERY, name), keys, newer }
}

/// All of them, in the order of the guide.
pub const BENEATH: &[Beneath] = &[
    Beneath {
        path: "runtime",
        frame: "runtime: {HERE}",
        refused_by: (&CONFIGURATION, "runtime"),
        keys: "gogc",
        newer: "",
    },
    Beneath {
        path: "storage.exemplars",
        frame: "storage: {exemplars: {HERE}}",
        refused_by: (&STORAGE, "exemplars"),
        keys: "max_exemplars",
        newer: "",
    },
    Beneath {
        path: "storage.tsdb.chunk_encoding",
        frame: "storage: {tsdb: {chunk_encoding: {HERE}}}",
        refused_by: (&TSDB, "chunk_encoding"),
        keys: "floats",
        newer: "floats",
    },
    Beneath {
        path: "tracing",
        frame: "tracing: {HERE}",
        refused_by: (&CONFIGURATION, "tracing"),
        keys: "client_type compression endpoint headers insecure sampling_fraction timeout tls_config",
        newer: "",
    },
    Beneath {
        path: "otlp",
        frame: "otlp: {HERE}",
        refused_by: (&CONFIGURATION, "otlp"),
        keys: "convert_histograms_to_nhcb ignore_resource_attributes keep_identifying_resource_attributes \
         label_name_preserve_multiple_underscores label_name_underscore_sanitization \
         promote_all_resource_attributes promote_resource_attributes promote_scope_metadata \
         translation_strategy",
        newer: "label_name_preserve_multiple_underscores label_name_underscore_sanitization promote_scope_metadata",
    },
    Beneath {
        path: "remote_write[]",
        frame: "remote_write: [{HERE}]",
        refused_by: (&CONFIGURATION, "remote_write"),
        keys: "azuread failed_request_logging google_iam headers metadata_config name protobuf_message queue_config \
         remote_timeout round_robin_dns send_exemplars send_native_histograms sigv4 url write_relabel_configs",
        newer: "failed_request_logging",
    },
    Beneath {
        path: "remote_write[].queue_config",
        frame: "remote_write: [{queue_config: {HERE}}]",
        refused_by: (&CONFIGURATION, "remote_write"),
        keys: "batch_send_deadline capacity max_backoff max_samples_per_send max_shards min_backoff min_shards \
         retry_on_http_429 sample_age_limit",
        newer: "",
    },
    Beneath {
        path: "remote_write[].metadata_config",
        frame: "remote_write: [{metadata_config: {HERE}}]",
        refused_by: (&CONFIGURATION, "remote_write"),
        keys: "max_samples_per_send send send_interval",
        newer: "",
    },
    Beneath {
        path: "remote_write[].sigv4",
        frame: "remote_write: [{sigv4: {HERE}}]",
        refused_by: (&CONFIGURATION, "remote_write"),
        keys: "access_key external_id profile region role_arn secret_key use_fips_sts_endpoint",
        newer: "",
    },
    Beneath {
        path: "remote_write[].azuread",
        frame: "remote_write: [{azuread: {HERE}}]",
        refused_by: (&CONFIGURATION, "remote_write"),
        keys: "certificate cloud managed_identity oauth scope sdk workload_identity",
        newer: "certificate scope workload_identity",
    },
    Beneath {
        path: "remote_write[].google_iam",
        frame: "remote_write: [{google_iam: {HERE}}]",
        refused_by: (&CONFIGURATION, "remote_write"),
        keys: "credentials_file",
        newer: "",
    },
    Beneath {
        path: "remote_read[]",
        frame: "remote_read: [{HERE}]",
        refused_by: (&CONFIGURATION, "remote_read"),
        keys: "chunked_read_limit filter_external_labels headers name read_recent remote_timeout required_matchers \
         url",
        newer: "",
    },
    Beneath {
        path: "docker_sd_configs[].filters[]",
        frame: "scrape_configs: [{job_name: a, docker_sd_configs: [{filters: [{HERE}]}]}]",
        refused_by: (&DISCOVERY, "docker_sd_configs"),
        keys: "name values",
        newer: "",
    },
    discovery(
        "aws_sd_configs",
        "access_key clusters endpoint external_id filters port profile refresh_interval region role role_arn \
         secret_key",
        "",
    ),
    discovery(
        "azure_sd_configs",
        "authentication_method client_id client_secret environment port refresh_interval resource_group \
         subscription_id tenant_id",
        "",
    ),
    discovery(
        "consul_sd_configs",
        "allow_stale datacenter filter health_filter namespace node_meta partition password path_prefix \
         refresh_interval scheme server services tag_separator tags token username",
        "health_filter",
    ),
    discovery("digitalocean_sd_configs", "port refresh_interval role", "role"),
    discovery("docker_sd_configs", "filters host host_networking_host match_first_network port refresh_interval", ""),
    discovery("dockerswarm_sd_configs", "filters host port refresh_interval role", ""),
    discovery(
        "ec2_sd_configs",
        "access_key endpoint external_id filters port profile refresh_interval region role_arn secret_key",
        "external_id",
    ),
    discovery(
        "ecs_sd_configs",
        "access_key clusters endpoint external_id port profile refresh_interval region request_concurrency \
         role_arn secret_key",
        "",
    ),
    discovery(
        "elasticache_sd_configs",
        "access_key clusters endpoint external_id port profile refresh_interval region request_concurrency \
         role_arn secret_key",
        "",
    ),
    discovery("eureka_sd_configs", "refresh_interval server", ""),
    discovery("gce_sd_configs", "filter port project refresh_interval tag_separator zone", ""),
    discovery("hetzner_sd_configs", "label_selector port refresh_interval role", ""),
    discovery("ionos_sd_configs", "datacenter_id port refresh_interval", ""),
    discovery("kuma_sd_configs", "client_id fetch_timeout refresh_interval server", ""),
    discovery(
        "lightsail_sd_configs",
        "access_key endpoint external_id port profile refresh_interval region role_arn secret_key",
        "external_id",
    ),
    discovery("linode_sd_configs", "port refresh_interval region tag_separator", ""),
    discovery("marathon_sd_configs", "auth_token auth_token_file refresh_interval servers", ""),
    discovery(
        "msk_sd_configs",
        "access_key clusters endpoint external_id port profile refresh_interval region request_concurrency \
         role_arn secret_key",
        "",
    ),
    discovery("nerve_sd_configs", "paths servers timeout", ""),
    discovery("nomad_sd_configs", "allow_stale namespace refresh_interval region server tag_separator", ""),
    discovery(
        "oci_sd_configs",
        "auth compartments fingerprint key_file key_passphrase key_passphrase_file port refresh_interval \
         region tenancy user",
        "",
    ),
    discovery(
        "openstack_sd_configs",
        "all_tenants application_credential_id application_credential_name application_credential_secret \
         availability domain_id domain_name identity_endpoint password port project_id project_name \
         refresh_interval region role tls_config userid username",
        "",
    ),
    discovery("outscale_sd_configs", "access_key endpoint port refresh_interval region secret_key secret_key_file", ""),
    discovery(
        "ovhcloud_sd_configs",
        "application_key application_secret consumer_key endpoint refresh_interval service",
        "",
    ),
    discovery("puppetdb_sd_configs", "include_parameters port query refresh_interval url", ""),
    discovery(
        "rds_sd_configs",
        "access_key clusters endpoint external_id filters port profile refresh_interval region \
         request_concurrency role_arn secret_key",
        "",
    ),
    discovery(
        "scaleway_sd_configs",
        "access_key api_url name_filter port project_id refresh_interval role secret_key secret_key_file \
         tags_filter zone",
        "",
    ),
    discovery("serverset_sd_configs", "paths servers timeout", ""),
    discovery(
        "stackit_sd_configs",
        "credentials_file_path endpoint port private_key private_key_path project refresh_interval region \
         service_account_key service_account_key_path",
        "",
    ),
    discovery(
        "triton_sd_configs",
        "account dns_suffix endpoint groups port refresh_interval role tls_config version",
        "",
    ),
    discovery("uyuni_sd_configs", "entitlement password refresh_interval separator server username", ""),
    discovery("vultr_sd_configs", "port refresh_interval", ""),
];
