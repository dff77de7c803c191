//! The `oauth2` mapping: credentials of a client that buy a token.
//!
//! **Source.** Prometheus common v0.66 `config/http_config.go` (`OAuth2`).

use reqwest::Url;

use super::config::{Text, text_or_file};
use super::proxy::Proxy;
use super::tls::{self, TlsConfig};
use crate::source::decode::Decoder;
use crate::source::keys;
use crate::source::yaml::Node;

/// How and where a token is had (RFC 6749, section 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2Config {
    /// Who asks.
    pub client_id: String,
    /// What proves it; `None` is the empty one.
    pub client_secret: Option<Text>,
    /// Where.
    pub token_url: String,
    /// What for.
    pub scopes: Vec<String>,
    /// Further parameters of the request, in order of name.
    pub endpoint_params: Vec<(String, String)>,
    /// How the token's server is spoken to.
    pub tls: TlsConfig,
    /// Through whom.
    pub proxy: Proxy,
}

pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<OAuth2Config> {
    let mut fields = decoder.section(node, &keys::OAUTH2)?;
    let client_id = fields.or("client_id", String::new(), Decoder::string);
    let token_url = fields.optional("token_url", decode_url);
    let both = "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured";
    let client_secret = text_or_file(&mut fields, "client_secret", "client_secret_file", both);
    let scopes = fields.or("scopes", Vec::new(), Decoder::strings);
    let params = fields.or("endpoint_params", Vec::new(), |decoder, node| decoder.map(node, Decoder::string));
    let mut endpoint_params: Vec<_> = params.into_iter().map(|(name, _, value)| (name, value)).collect();
    endpoint_params.sort();
    let tls = fields.optional("tls_config", tls::decode).unwrap_or_default();
    let proxy = Proxy::decode(&mut fields);
    if client_id.is_empty() {
        let span = fields.key_span("client_id").unwrap_or(fields.span);
        fields.decoder.error(span, "oauth2 client_id cannot be empty");
    }
    if fields.node("token_url").is_none() {
        let span = fields.span;
        fields.decoder.error(span, "oauth2 token_url cannot be empty");
    }
    fields.finish();
    Some(OAuth2Config { client_id, client_secret, token_url: token_url?, scopes, endpoint_params, tls, proxy })
}

fn decode_url(decoder: &mut Decoder<'_>, node: &Node) -> Option<String> {
    let text = decoder.string(node)?;
    if text.is_empty() {
        decoder.error(node.span, "oauth2 token_url cannot be empty");
        return None;
    }
    if !Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
        let help = "write the whole URL, such as https://login.example.org/token";
        decoder.error_with_help(node.span, "oauth2 token_url is not an http or https URL", help);
        return None;
    }
    Some(text)
}
