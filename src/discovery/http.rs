//! `http_sd_configs`: target groups as JSON from a URL.
//!
//! **Invariants.** An answer counts as a whole or not at all.
//! **Units.** One request every refresh interval, which is also the time it may take.
//! **Limits.** [`FILE_BYTES_MAX`] per answer.
//! **Source.** Prometheus v3.5 `discovery/http/http.go`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::refresh::{Refresh, RefreshMetrics};
use super::{ADDRESS, DiscoveryMetrics, FILE_BYTES_MAX, META_URL, TargetGroup, USER_AGENT};
use crate::http::{Client, ClientConfig};
use crate::model::Labels;
use crate::source::decode::Decoder;
use crate::source::keys;
use crate::source::yaml::Node;

const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// A server that lists targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSdConfig {
    /// What is asked for; `http` or `https`.
    pub url: String,
    /// How often.
    pub refresh_interval: Duration,
    /// How the server is spoken to.
    pub client: ClientConfig,
}

impl HttpSdConfig {
    pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<HttpSdConfig> {
        let mut fields = decoder.section(node, &keys::HTTP_SD)?;
        if fields.node("url").is_none() {
            let span = fields.span;
            fields.decoder.error(span, "URL is missing");
        }
        let url = fields.optional("url", decode_url);
        let refresh_interval = fields.or("refresh_interval", REFRESH_INTERVAL, Decoder::positive_duration);
        let client = ClientConfig::decode(&mut fields);
        fields.finish();
        Some(HttpSdConfig { url: url?, refresh_interval, client })
    }

    pub(super) fn resolve_paths(&mut self, directory: &Path) {
        self.client.resolve_paths(directory);
    }
}

fn decode_url(decoder: &mut Decoder<'_>, node: &Node) -> Option<String> {
    let text = decoder.string(node)?;
    let wrong = match Url::parse(&text) {
        _ if text.is_empty() => "URL is missing".to_owned(),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => "URL scheme must be 'http' or 'https'".to_owned(),
        Ok(_) => return Some(text),
        Err(url::ParseError::RelativeUrlWithoutBase) => "URL scheme must be 'http' or 'https'".to_owned(),
        Err(url::ParseError::EmptyHost) => "host is missing in URL".to_owned(),
        Err(error) => format!("not a URL: {error}"),
    };
    decoder.error_with_help(node.span, wrong, "write the whole URL, such as http://inventory.example.org/targets");
    None
}

/// Asks one server.
#[derive(Debug)]
pub(super) struct HttpSource {
    config: HttpSdConfig,
    metrics: Arc<DiscoveryMetrics>,
    /// Made at the first request, and again while its files cannot be used.
    client: Option<Client>,
}

impl HttpSource {
    pub(super) fn new(config: HttpSdConfig, metrics: Arc<DiscoveryMetrics>) -> HttpSource {
        HttpSource { config, metrics, client: None }
    }

    async fn ask(&mut self) -> Result<Vec<TargetGroup>, String> {
        let client = match &self.client {
            Some(client) => client,
            None => {
                let client = Client::new(self.config.client.clone(), USER_AGENT).map_err(|error| error.to_string())?;
                self.client.insert(client)
            }
        };
        let interval = self.config.refresh_interval;
        let seconds = interval.as_secs_f64().to_string();
        let headers = [("accept", "application/json"), ("x-prometheus-refresh-interval-seconds", seconds.as_str())];
        let answer = client.get(&self.config.url, &headers, interval).await.map_err(|error| error.to_string())?;
        if answer.status() != 200 {
            return Err(format!("server returned HTTP status {}", answer.status_text()));
        }
        let content_type = answer.header("content-type").unwrap_or_default();
        if !is_json(content_type) {
            return Err(format!("unsupported content type {content_type:?}"));
        }
        let body = answer.bytes(FILE_BYTES_MAX as usize).await.map_err(|error| error.to_string())?;
        parse(&body, &self.config.url)
    }
}

impl Refresh for HttpSource {
    const MECHANISM: &'static str = "http";

    fn metrics(all: &DiscoveryMetrics) -> &RefreshMetrics {
        &all.http_refresh
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let groups = self.ask().await;
        if groups.is_err() {
            self.metrics.http_failures.fetch_add(1, Ordering::Relaxed);
        }
        groups
    }
}

/// `application/json`, with no other parameter than UTF-8.
fn is_json(content_type: &str) -> bool {
    let lower = content_type.trim().to_ascii_lowercase();
    match lower.split_once(';') {
        None => lower == "application/json",
        Some((kind, parameter)) => {
            kind == "application/json" && matches!(parameter.trim_start(), "charset=utf-8" | r#"charset="utf-8""#)
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireGroup {
    targets: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
}

fn parse(body: &[u8], url: &str) -> Result<Vec<TargetGroup>, String> {
    // `null` is an empty list to Go.
    let groups: Option<Vec<Option<WireGroup>>> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let groups = groups.unwrap_or_default().into_iter().enumerate();
    let group = |(index, group): (usize, Option<WireGroup>)| {
        let group = group.ok_or("nil target group item found")?;
        let mut labels = group.labels.unwrap_or_default();
        labels.insert(META_URL.to_owned(), url.to_owned());
        if labels.contains_key("") {
            return Err("\"\" is not a valid label name".to_owned());
        }
        let targets = group.targets.unwrap_or_default().into_iter();
        Ok(TargetGroup {
            targets: targets.map(|address| Labels::from_pairs([(ADDRESS, address)])).collect(),
            labels: Labels::from_pairs(labels),
            source: format!("{url}:{index}"),
        })
    };
    groups.map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_groups() {
        let body =
            br#"[{"targets": ["a:1", "b:2"], "labels": {"env": "x", "__meta_url": "forged"}}, {"targets": null}, {}]"#;
        let groups = parse(body, "http://h/t").unwrap();
        assert_eq!(groups.len(), 3);
        assert_eq!(groups[0].targets[1].get(ADDRESS), Some("b:2"));
        assert_eq!(groups[0].labels.to_string(), r#"{__meta_url="http://h/t",env="x"}"#);
        assert_eq!((groups[1].targets.len(), groups[1].source.as_str()), (0, "http://h/t:1"));
        assert_eq!(parse(b"null", "u"), Ok(Vec::new()));
    }

    #[test]
    fn refuses_what_is_no_list_of_groups() {
        for (body, expected) in [
            ("", "EOF while parsing"),
            ("{}", "invalid type: map"),
            ("[null]", "nil target group item found"),
            (r#"[{"targets": [1]}]"#, "invalid type: integer"),
            (r#"[{"target": []}]"#, "unknown field `target`"),
            (r#"[{"labels": {"a": 1}}]"#, "invalid type: integer"),
            (r#"[{"labels": {"": "a"}}]"#, "is not a valid label name"),
            ("[] []", "trailing characters"),
        ] {
            let error = parse(body.as_bytes(), "u").unwrap_err();
            assert!(error.contains(expected), "{body}: {error}");
        }
    }

    #[test]
    fn knows_json_by_its_type() {
        for (content_type, expected) in [
            ("application/json", true),
            (" Application/JSON", true),
            ("application/json; charset=utf-8", true),
            ("application/json;charset=\"UTF-8\"", true),
            ("application/json; charset=latin1", false),
            ("application/jsonp", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(content_type), expected, "{content_type}");
        }
    }
}
