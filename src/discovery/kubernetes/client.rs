//! Requests to the API server.
//!
//! **Limits.** [`PAGE_BYTES_MAX`] per page of a list, [`EVENT_BYTES_MAX`] per event, [`WATCH_TIME`] per watch.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::cluster::Feed;
use super::config::KubernetesSdConfig;
use super::objects::{Meta, Object};
use crate::discovery::USER_AGENT;
use crate::http::{Auth, Client, ClientConfig, HttpError, Response, Text, TlsConfig};

/// Where a pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Objects of one page.
const PAGE_OBJECTS: &str = "500";
/// Bytes of one page. An object has at most 1.5 MB in etcd, and few come near.
const PAGE_BYTES_MAX: usize = 256 << 20;
/// Bytes of one event: an object of the largest size, as JSON.
const EVENT_BYTES_MAX: usize = 8 << 20;
/// For one page.
const LIST_TIME: Duration = Duration::from_secs(60);
/// After this time the server ends a watch and we begin the next. Also the longest time for which a connection that broke
/// without a word goes unnoticed.
const WATCH_TIME: Duration = Duration::from_secs(300);
/// For the server to end a watch in time.
const GRACE: Duration = Duration::from_secs(15);

/// Why something could not be had from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// The version asked for is too old: only a new list helps.
    Expired,
    /// The server answered something else than what was asked for.
    Refused(String),
    /// No answer, or one that broke off.
    Unreachable(String),
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ApiError::Expired => f.write_str("the resource version is too old"),
            ApiError::Refused(reason) | ApiError::Unreachable(reason) => f.write_str(reason),
        }
    }
}

impl From<HttpError> for ApiError {
    fn from(error: HttpError) -> Self {
        ApiError::Unreachable(error.to_string())
    }
}

/// Which objects of a feed count.
#[derive(Clone, Debug, Default)]
pub(super) struct Selectors {
    pub(super) label: String,
    pub(super) field: String,
}

/// Speaks to one API server.
#[derive(Debug)]
pub(super) struct ApiClient {
    http: Client,
    base: String,
    /// The namespace we run in, if the configuration asks for it.
    pub(super) own_namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct List {
    metadata: ListMeta,
    items: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    r#continue: String,
}

impl ApiClient {
    /// A client as configured; without an `api_server`, one with the service account of the pod we run in.
    pub(super) fn new(config: &KubernetesSdConfig) -> Result<ApiClient, String> {
        let account = Path::new(SERVICE_ACCOUNT);
        let (base, client) = match &config.api_server {
            Some(server) => (server.clone(), config.client.clone()),
            None => in_cluster(&|name| env::var(name).ok(), account)?,
        };
        let own_namespace = if config.namespaces.own_namespace { Some(own_namespace(account)?) } else { None };
        let http = Client::new(client, USER_AGENT).map_err(|error| error.to_string())?;
        Ok(ApiClient { http, base, own_namespace })
    }

    /// All objects of a feed and the version as of which they are all.
    pub(super) async fn list(&self, feed: &Feed, selectors: &Selectors) -> Result<(Vec<Object>, String), ApiError> {
        let mut objects = Vec::new();
        let mut more = String::new();
        loop {
            let query = [("limit", PAGE_OBJECTS), ("continue", more.as_str())];
            let answer = self.ask(&self.url(feed, selectors, &query), LIST_TIME).await?;
            let body = answer.bytes(PAGE_BYTES_MAX).await?;
            let list: List = serde_json::from_slice(&body).map_err(|error| ApiError::Refused(error.to_string()))?;
            for item in list.items.unwrap_or_default() {
                objects.push(feed.resource.read(item).map_err(ApiError::Refused)?);
            }
            if list.metadata.r#continue.is_empty() {
                return Ok((objects, list.metadata.resource_version));
            }
            more = list.metadata.r#continue;
        }
    }

    /// What changes after `version`.
    pub(super) async fn watch(&self, feed: &Feed, selectors: &Selectors, version: &str) -> Result<Watch, ApiError> {
        let seconds = WATCH_TIME.as_secs().to_string();
        let query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", seconds.as_str()),
        ];
        let answer = self.ask(&self.url(feed, selectors, &query), WATCH_TIME + GRACE).await?;
        Ok(Watch { answer, buffer: Vec::new(), feed: feed.clone() })
    }

    async fn ask(&self, url: &str, timeout: Duration) -> Result<Response, ApiError> {
        let answer = self.http.get(url, &[("accept", "application/json")], timeout).await?;
        match answer.status() {
            200 => Ok(answer),
            410 => Err(ApiError::Expired),
            _ => Err(ApiError::Refused(format!("server returned HTTP status {}", answer.status_text()))),
        }
    }

    fn url(&self, feed: &Feed, selectors: &Selectors, query: &[(&str, &str)]) -> String {
        let (group, name) = feed.resource.path();
        let place = feed.namespace.as_ref().map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        let own = [("labelSelector", selectors.label.as_str()), ("fieldSelector", selectors.field.as_str())];
        let mut encoded = Serializer::new(String::new());
        encoded.extend_pairs(query.iter().chain(&own).filter(|(_, value)| !value.is_empty()));
        format!("{}{group}{place}/{name}?{}", self.base, encoded.finish())
    }
}

/// The server and the credentials that Kubernetes gives to every pod.
pub(super) fn in_cluster(
    variable: &dyn Fn(&str) -> Option<String>,
    account: &Path,
) -> Result<(String, ClientConfig), String> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let (Some(host), Some(port)) = (set("KUBERNETES_SERVICE_HOST"), set("KUBERNETES_SERVICE_PORT")) else {
        let message = "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be \
                       defined; outside of a cluster name an api_server";
        return Err(message.to_owned());
    };
    let token = Text::File(account.join("token"));
    let client = ClientConfig {
        auth: Auth::Scheme { scheme: "Bearer".to_owned(), credentials: Some(token) },
        tls: TlsConfig { ca: Some(Text::File(account.join("ca.crt"))), ..TlsConfig::default() },
        ..ClientConfig::default()
    };
    Ok((format!("https://{}", crate::discovery::join_host_port(&host, port)), client))
}

/// The namespace in the files of the service account.
pub(super) fn own_namespace(account: &Path) -> Result<String, String> {
    let text = fs::read_to_string(account.join("namespace"))
        .map_err(|error| format!("could not determine the pod's namespace: {error}"))?;
    match text.trim() {
        "" => Err("could not read own namespace name (empty file)".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// What a watch says.
#[derive(Debug)]
pub(super) enum Event {
    /// An object is new or changed.
    Set(Object),
    /// An object is gone.
    Deleted(Object),
    /// Nothing changed up to this version.
    Bookmark(String),
}

#[derive(Deserialize)]
struct WireEvent {
    r#type: String,
    #[serde(default)]
    object: Value,
}

/// A stream of events.
#[derive(Debug)]
pub(super) struct Watch {
    answer: Response,
    buffer: Vec<u8>,
    feed: Feed,
}

impl Watch {
    /// The next event, `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return self.read(&line).map(Some);
            }
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err(ApiError::Refused(format!("an event is longer than {EVENT_BYTES_MAX} bytes")));
            }
            match self.answer.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }

    fn read(&self, line: &[u8]) -> Result<Event, ApiError> {
        let wire: WireEvent = serde_json::from_slice(line).map_err(|error| ApiError::Refused(error.to_string()))?;
        let object = || self.feed.resource.read(wire.object.clone()).map_err(ApiError::Refused);
        match wire.r#type.as_str() {
            "ADDED" | "MODIFIED" => Ok(Event::Set(object()?)),
            "DELETED" => Ok(Event::Deleted(object()?)),
            "BOOKMARK" => {
                let meta = wire.object.get("metadata").cloned().unwrap_or_default();
                let meta: Meta = serde_json::from_value(meta).map_err(|error| ApiError::Refused(error.to_string()))?;
                Ok(Event::Bookmark(meta.resource_version))
            }
            "ERROR" if wire.object.get("code").and_then(Value::as_i64) == Some(410) => Err(ApiError::Expired),
            "ERROR" => {
                let message = wire.object.get("message").and_then(Value::as_str).unwrap_or("no message");
                Err(ApiError::Refused(format!("the watch failed: {message}")))
            }
            other => Err(ApiError::Refused(format!("an event of unknown type {other:?}"))),
        }
    }
}
