//! What the receivers of a router configuration need for their transport.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::smtp::{Security, SmtpConfig};
use crate::http::{Auth, ClientConfig, Text, TlsConfig};
use crate::router::{self, Notification, RawConfig, RouterConfig, SecretText, Settings, Smtp};
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
    /// How messages get there.
    pub transport: Transport,
    /// For one attempt; the notification's deadline bounds it, too.
    pub timeout: Option<Duration>,
}

/// How messages get to a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Authentication and TLS of the client; file names are resolved.
    Http(Box<ClientConfig>),
    /// The server and how to prove who we are.
    Smtp(Box<SmtpConfig>),
}

/// All integrations of all receivers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeliverConfig {
    /// In the order written.
    pub integrations: Vec<Integration>,
}

impl DeliverConfig {
    /// Reads each integration's `http_config` or `tls_config`. Relative file names are relative to the file that holds them.
    pub fn decode(config: &RouterConfig) -> (DeliverConfig, Diagnostics) {
        let mut reader = Reader::default();
        let mut integrations = Vec::new();
        for receiver in &config.receivers {
            for integration in &receiver.integrations {
                let kind = integration.kind().as_str();
                let key = IntegrationKey { receiver: receiver.name.clone(), kind, index: integration.index };
                let transport = reader.transport(integration);
                integrations.push(Integration { key, transport, timeout: integration.timeout });
            }
        }
        (DeliverConfig { integrations }, reader.diagnostics)
    }
}

/// The global settings are shared by many integrations: read once, so that a mistake is reported once.
#[derive(Default)]
struct Reader {
    clients: Vec<(Arc<Node>, ClientConfig)>,
    tls: Vec<(Arc<Node>, TlsConfig)>,
    diagnostics: Diagnostics,
}

impl Reader {
    fn transport(&mut self, integration: &router::Integration) -> Transport {
        let mut client = match &integration.http_config {
            None => ClientConfig::default(),
            Some(raw) => match self.clients.iter().find(|(node, _)| Arc::ptr_eq(node, &raw.node)) {
                Some((_, client)) => client.clone(),
                None => {
                    let client = decode_client(raw, &mut self.diagnostics);
                    self.clients.push((raw.node.clone(), client.clone()));
                    client
                }
            },
        };
        match &integration.settings {
            Settings::Email(email) => return Transport::Smtp(Box::new(self.smtp(&email.smtp))),
            Settings::Slack(slack) => {
                if let Some(token) = &slack.app_token {
                    client.auth = Auth::Scheme { scheme: "Bearer".to_owned(), credentials: Some(text_of(token)) };
                }
            }
            Settings::Webhook(_) | Settings::PagerDuty(_) => {}
        }
        Transport::Http(Box::new(client))
    }

    fn smtp(&mut self, smtp: &Smtp) -> SmtpConfig {
        let tls = match &smtp.tls_config {
            None => TlsConfig::default(),
            Some(raw) => match self.tls.iter().find(|(node, _)| Arc::ptr_eq(node, &raw.node)) {
                Some((_, tls)) => tls.clone(),
                None => {
                    let tls = decode_tls(raw, &mut self.diagnostics);
                    self.tls.push((raw.node.clone(), tls.clone()));
                    tls
                }
            },
        };
        SmtpConfig {
            host: smtp.host.clone(),
            port: smtp.port,
            hello: smtp.hello_name().to_owned(),
            security: match (smtp.has_implicit_tls(), smtp.must_start_tls()) {
                (true, _) => Security::ImplicitTls,
                (false, true) => Security::StartTls,
                (false, false) => Security::Nothing,
            },
            username: smtp.username.clone(),
            password: smtp.password.as_ref().map(text_of),
            secret: smtp.secret.as_ref().map(text_of),
            tls,
        }
    }
}

/// As HTTP clients read secrets.
pub(super) fn text_of(secret: &SecretText) -> Text {
    match secret {
        SecretText::Inline(secret) => Text::Inline(secret.clone()),
        SecretText::File(file) => Text::File(file.into()),
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

fn decode_tls(raw: &RawConfig, diagnostics: &mut Diagnostics) -> TlsConfig {
    let mut decoder = Decoder::new(&raw.source);
    let mut tls = TlsConfig::decode_node(&mut decoder, &raw.node).unwrap_or_default();
    if tls.max_version.is_some() {
        let span = raw.node.get("max_version").map_or(raw.node.span, |node| node.span);
        decoder.error(span, "max_version is not supported for e-mail; leave it out");
    }
    diagnostics.extend(decoder.finish());
    if let Some(directory) = Path::new(&*raw.source.name).parent() {
        tls.resolve_paths(directory);
    }
    tls
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let auth = |index: usize| match &config.integrations[index].transport {
            Transport::Http(client) => client.auth.clone(),
            Transport::Smtp(_) => panic!("not e-mail"),
        };
        assert_eq!(auth(0), token);
        assert_eq!(config.integrations[1].timeout, Some(Duration::from_secs(3)));
        assert!(matches!(auth(2), Auth::Basic { .. }));

        let (_, errors) = decode(
            "global: {http_config: {bearer: x}}\n\
             route: {receiver: a}\n\
             receivers: [{name: a, webhook_configs: [{url: 'http://x/'}, {url: 'http://y/'}]}]\n",
        );
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("etc/am.yml:1:24: unknown key \"bearer\""), "{errors:?}");
    }
}
