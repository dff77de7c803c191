//! Through whom requests go.
//!
//! **Source.** Prometheus common v0.66 `config/http_config.go` (`ProxyConfig`).
//! **Differs:** SOCKS proxies and `proxy_connect_header` are refused. With `proxy_from_environment`, requests to this machine go through
//! the proxy, too, unless `NO_PROXY` names it.

use reqwest::{ClientBuilder, NoProxy, Url};

use super::error::HttpError;
use crate::source::Secret;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

/// Through whom requests go.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Proxy {
    /// Straight to the server, whatever the environment says.
    #[default]
    Direct,
    /// Through this one.
    Url {
        /// `http` or `https`; may hold user and password.
        url: Secret,
        /// Addresses, networks and domains that are reached directly, separated by commas.
        except: String,
    },
    /// As `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say when the client is made.
    Environment,
}

impl Proxy {
    pub(super) fn decode(fields: &mut Fields<'_, '_, '_>) -> Proxy {
        let url = fields.optional("proxy_url", decode_url).filter(|url| !url.expose().is_empty());
        let except = fields.or("no_proxy", String::new(), Decoder::string);
        let from_environment = fields.or("proxy_from_environment", false, Decoder::bool);
        let has_url = fields.key_span("proxy_url").is_some();
        let mistake = if from_environment && has_url {
            Some(("proxy_url", "if proxy_from_environment is configured, proxy_url must not be configured"))
        } else if from_environment && !except.is_empty() {
            Some(("no_proxy", "if proxy_from_environment is configured, no_proxy must not be configured"))
        } else if !except.is_empty() && !has_url {
            Some(("no_proxy", "if no_proxy is configured, proxy_url must also be configured"))
        } else {
            None
        };
        if let Some((key, text)) = mistake {
            let span = fields.key_span(key).unwrap_or(fields.span);
            fields.decoder.error(span, text);
        }
        match url {
            _ if from_environment => Proxy::Environment,
            Some(url) => Proxy::Url { url, except },
            None => Proxy::Direct,
        }
    }

    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, HttpError> {
        match self {
            Proxy::Direct => Ok(builder.no_proxy()),
            Proxy::Environment => Ok(builder),
            Proxy::Url { url, except } => {
                let proxy = reqwest::Proxy::all(url.expose())
                    .map_err(|_| HttpError::Request("the proxy_url cannot be used".to_owned()))?;
                Ok(builder.proxy(proxy.no_proxy(NoProxy::from_string(except))))
            }
        }
    }
}

fn decode_url(decoder: &mut Decoder<'_>, node: &Node) -> Option<Secret> {
    let text = decoder.string(node)?;
    let is_usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    if !text.is_empty() && !Url::parse(&text).is_ok_and(|url| is_usable(&url)) {
        // The text may hold a password, so it is not repeated.
        decoder.error_with_help(node.span, "not the URL of a proxy", "write http://HOST:PORT or https://HOST:PORT");
        return None;
    }
    Some(Secret::new(text))
}
