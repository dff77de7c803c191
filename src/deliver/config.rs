//! What the receivers of a router configuration need for their transport.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::http::ClientConfig;
use crate::router::{Notification, RawConfig, RouterConfig};
use crate::source::Diagnostics;
use crate::source::decode::Decoder;
use crate::source::yaml::Node;

/// Names one integration: the receiver, the kind, and its index among those of the kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IntegrationKey {
    /// The receiver's name.
    pub receiver: String,
    /// Such as `webhook`.
    pub kind: &'static str,
    /// From 0.
    pub index: usize,
}

impl IntegrationKey {
    /// Where a notification goes.
    pub(super) fn of(notification: &Notification) -> Self {
        let (kind, index) = notification.integration;
        IntegrationKey { receiver: notification.receiver.clone(), kind, index }
    }
}

/// `receiver/webhook[0]`, as Alertmanager names it.
impl fmt::Display for IntegrationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}[{}]", self.receiver, self.kind, self.index)
    }
}

/// One integration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    /// Its name.
    pub key: IntegrationKey,
    /// Authentication and TLS; file names are resolved.
    pub client: ClientConfig,
    /// For one attempt; the notification's deadline bounds it, too.
    pub timeout: Option<Duration>,
}

/// All integrations of all receivers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeliverConfig {
    /// In the order written.
    pub integrations: Vec<Integration>,
}

impl DeliverConfig {
    /// Reads each webhook's `http_config`. Relative file names are relative to the file that holds them.
    pub fn decode(config: &RouterConfig) -> (DeliverConfig, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        // The global settings are shared by many webhooks: read once, so that a mistake is reported once.
        let mut read: Vec<(Arc<Node>, ClientConfig)> = Vec::new();
        let mut integrations = Vec::new();
        for receiver in &config.receivers {
            for (index, webhook) in receiver.webhooks.iter().enumerate() {
                let client = match &webhook.http_config {
                    None => ClientConfig::default(),
                    Some(raw) => match read.iter().find(|(node, _)| Arc::ptr_eq(node, &raw.node)) {
                        Some((_, client)) => client.clone(),
                        None => {
                            let client = decode_client(raw, &mut diagnostics);
                            read.push((raw.node.clone(), client.clone()));
                            client
                        }
                    },
                };
                let key = IntegrationKey { receiver: receiver.name.clone(), kind: "webhook", index };
                integrations.push(Integration { key, client, timeout: webhook.timeout });
            }
        }
        (DeliverConfig { integrations }, diagnostics)
    }
}

fn decode_client(raw: &RawConfig, diagnostics: &mut Diagnostics) -> ClientConfig {
    let mut decoder = Decoder::new(&raw.source);
    let mut client = ClientConfig::decode_node(&mut decoder, &raw.node).unwrap_or_default();
    diagnostics.extend(decoder.finish());
    if let Some(directory) = Path::new(&*raw.source.name).parent() {
        client.resolve_paths(directory);
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Auth, Text};
    use crate::source::SourceFile;

    fn decode(text: &str) -> (DeliverConfig, Vec<String>) {
        let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("etc/am.yml", text));
        let (config, more) = DeliverConfig::decode(&config.unwrap_or_else(|| panic!("{diagnostics}")));
        (config, more.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn takes_global_and_own_settings_and_reports_each_mistake_once() {
        let (config, errors) = decode(
            "global: {http_config: {bearer_token_file: token}}\n\
             route: {receiver: a}\n\
             receivers:\n\
             - {name: a, webhook_configs: [{url: 'http://x/'}, {url: 'http://y/', timeout: 3s, http_config: {}}]}\n\
             - {name: b, webhook_configs: [{url: 'http://x/', http_config: {basic_auth: {username: u}}}]}\n",
        );
        assert!(errors.is_empty(), "{errors:?}");
        let keys: Vec<String> = config.integrations.iter().map(|integration| integration.key.to_string()).collect();
        assert_eq!(keys, ["a/webhook[0]", "a/webhook[1]", "b/webhook[0]"]);
        let token = Auth::Scheme { scheme: "Bearer".into(), credentials: Some(Text::File("etc/token".into())) };
        assert_eq!(config.integrations[0].client.auth, token);
        assert_eq!(config.integrations[1].timeout, Some(Duration::from_secs(3)));
        assert!(matches!(config.integrations[2].client.auth, Auth::Basic { .. }));

        let (_, errors) = decode(
            "global: {http_config: {bearer: x}}\n\
             route: {receiver: a}\n\
             receivers: [{name: a, webhook_configs: [{url: 'http://x/'}, {url: 'http://y/'}]}]\n",
        );
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("etc/am.yml:1:24: unknown key \"bearer\""), "{errors:?}");
    }
}
