//! Prometheus's HTTP client keys, checked.
//!
//! In the flow: a module with its own mapping (a scrape config, an Alertmanager config) calls [`ClientConfig::decode`] on its
//! fields; Alertmanager's nested `http_config:` comes through [`ClientConfig::decode_node`].
//! **Invariants.** A [`ClientConfig`] has at most one way to authenticate and complete key pairs.

use std::path::{Path, PathBuf};

use super::error::HttpError;
use super::oauth2::{self, OAuth2Config};
use super::pem;
use super::proxy::Proxy;
use super::tls::{self, TlsConfig};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;
use crate::source::{Secret, Span, keys};

/// A text of the configuration, or the file that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// As written.
    Inline(Secret),
    /// Read at each use; white space around it does not count.
    File(PathBuf),
}

impl Text {
    /// Its bytes now.
    pub fn read(&self) -> Result<Vec<u8>, HttpError> {
        pem::read(self)
    }

    pub(super) fn resolve_path(&mut self, directory: &Path) {
        if let Text::File(path) = self {
            *path = directory.join(&*path);
        }
    }
}

/// How a client proves who it is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Auth {
    /// It does not.
    #[default]
    None,
    /// User name and password.
    Basic {
        /// The name; `None` is the empty one.
        username: Option<Text>,
        /// The password; `None` is the empty one.
        password: Option<Text>,
    },
    /// `Authorization: TYPE CREDENTIALS`; a bearer token is the usual one.
    Scheme {
        /// The first word of the header, such as `Bearer`.
        scheme: String,
        /// The rest of it.
        credentials: Option<Text>,
    },
    /// A token that is had from another server.
    OAuth2(Box<OAuth2Config>),
}

/// A header sent with every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its values, one line each.
    pub values: Vec<Text>,
}

/// What a client is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// How it proves who it is.
    pub auth: Auth,
    /// Whom it trusts and which certificate it shows.
    pub tls: TlsConfig,
    /// Through whom requests go.
    pub proxy: Proxy,
    /// Whether it goes where a 3xx sends it.
    pub follow_redirects: bool,
    /// Whether it offers HTTP/2 where TLS lets it choose.
    pub enable_http2: bool,
    /// Further headers, in the order written.
    pub headers: Vec<Header>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            auth: Auth::None,
            tls: TlsConfig::default(),
            proxy: Proxy::Direct,
            follow_redirects: true,
            enable_http2: true,
            headers: Vec::new(),
        }
    }
}

/// Headers that the client itself sets. The list of Prometheus.
const RESERVED_HEADERS: [&str; 19] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
    "te",
];

impl ClientConfig {
    /// Takes the client's keys out of a larger mapping. Mistakes are reported; what could not be read is left at its default.
    pub fn decode(fields: &mut Fields<'_, '_, '_>) -> ClientConfig {
        ClientConfig {
            auth: decode_auth(fields),
            tls: fields.optional("tls_config", tls::decode).unwrap_or_default(),
            proxy: Proxy::decode(fields),
            follow_redirects: fields.or("follow_redirects", true, Decoder::bool),
            enable_http2: fields.or("enable_http2", true, Decoder::bool),
            headers: fields.or("http_headers", Vec::new(), decode_headers),
        }
    }

    /// A mapping that holds nothing but the client's keys, as Alertmanager's `http_config`.
    pub fn decode_node(decoder: &mut Decoder<'_>, node: &Node) -> Option<ClientConfig> {
        let mut fields = decoder.section(node, &keys::HTTP_CLIENT)?;
        let config = ClientConfig::decode(&mut fields);
        fields.finish();
        Some(config)
    }

    /// Makes relative file names relative to `directory`, that of the configuration file.
    pub fn resolve_paths(&mut self, directory: &Path) {
        let mut texts: Vec<&mut Text> = Vec::new();
        match &mut self.auth {
            Auth::None => {}
            Auth::Basic { username, password } => texts.extend(username.iter_mut().chain(password)),
            Auth::Scheme { credentials, .. } => texts.extend(credentials),
            Auth::OAuth2(oauth2) => texts.extend(oauth2.client_secret.iter_mut().chain(oauth2.tls.texts_mut())),
        }
        texts.extend(self.headers.iter_mut().flat_map(|header| &mut header.values));
        texts.extend(self.tls.texts_mut());
        texts.into_iter().for_each(|text| text.resolve_path(directory));
    }
}

/// Reads `key` as inline text and `file_key` as a file name. `None` in the second place if both were given.
pub(super) fn text_or_file(
    fields: &mut Fields<'_, '_, '_>,
    key: &'static str,
    file_key: &'static str,
    both: &str,
) -> Option<Text> {
    let inline = fields.optional(key, Decoder::secret).filter(|text| !text.expose().is_empty());
    let file = fields.optional(file_key, Decoder::string).filter(|text| !text.is_empty());
    match (inline, file) {
        (Some(_), Some(_)) => {
            let span = fields.key_span(file_key).unwrap_or(fields.span);
            fields.decoder.error(span, both);
            None
        }
        (Some(text), None) => Some(Text::Inline(text)),
        (None, file) => file.map(|path| Text::File(path.into())),
    }
}

fn decode_auth(fields: &mut Fields<'_, '_, '_>) -> Auth {
    let span_of = |fields: &Fields<'_, '_, '_>, key: &str| fields.key_span(key).unwrap_or(fields.span);
    let both = "at most one of bearer_token & bearer_token_file must be configured";
    let bearer = text_or_file(fields, "bearer_token", "bearer_token_file", both);
    let basic = fields.optional("basic_auth", decode_basic);
    let scheme = fields.optional("authorization", decode_scheme);
    let has_oauth2 = fields.node("oauth2").is_some();
    let oauth2 = fields.optional("oauth2", oauth2::decode).map(|oauth2| Auth::OAuth2(Box::new(oauth2)));
    if bearer.is_some() && (basic.is_some() || has_oauth2) {
        let key = if fields.key_span("bearer_token").is_some() { "bearer_token" } else { "bearer_token_file" };
        let span = span_of(fields, key);
        let text = "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured";
        fields.decoder.error(span, text);
    }
    if scheme.is_some() && bearer.is_some() {
        let span = span_of(fields, "authorization");
        fields.decoder.error(span, "authorization is not compatible with bearer_token & bearer_token_file");
    }
    if scheme.is_some() && (basic.is_some() || has_oauth2) {
        let span = span_of(fields, "authorization");
        fields.decoder.error(span, "at most one of basic_auth, oauth2 & authorization must be configured");
    }
    if scheme.is_none() && basic.is_some() && has_oauth2 {
        let span = span_of(fields, "oauth2");
        fields.decoder.error(span, "at most one of basic_auth, oauth2 & authorization must be configured");
    }
    let bearer = bearer.map(|token| Auth::Scheme { scheme: "Bearer".to_owned(), credentials: Some(token) });
    basic.or(scheme).or(oauth2).or(bearer).unwrap_or_default()
}

fn decode_basic(decoder: &mut Decoder<'_>, node: &Node) -> Option<Auth> {
    let mut fields = decoder.section(node, &keys::BASIC_AUTH)?;
    let both = "at most one of basic_auth username, username_file & username_ref must be configured";
    let username = text_or_file(&mut fields, "username", "username_file", both);
    let both = "at most one of basic_auth password, password_file & password_ref must be configured";
    let password = text_or_file(&mut fields, "password", "password_file", both);
    fields.finish();
    Some(Auth::Basic { username, password })
}

fn decode_scheme(decoder: &mut Decoder<'_>, node: &Node) -> Option<Auth> {
    let mut fields = decoder.section(node, &keys::AUTHORIZATION)?;
    let scheme = fields.or("type", String::new(), Decoder::string).trim().to_owned();
    let scheme = if scheme.is_empty() { "Bearer".to_owned() } else { scheme };
    if scheme.eq_ignore_ascii_case("basic") {
        let span = fields.key_span("type").unwrap_or(fields.span);
        fields.decoder.error(span, r#"authorization type cannot be set to "basic", use "basic_auth" instead"#);
    }
    let both = "at most one of authorization credentials & credentials_file must be configured";
    let credentials = text_or_file(&mut fields, "credentials", "credentials_file", both);
    fields.finish();
    Some(Auth::Scheme { scheme, credentials })
}

fn decode_headers(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<Header>> {
    let headers = decoder.map(node, |decoder, node| {
        let mut fields = decoder.section(node, &keys::HTTP_HEADER)?;
        let mut values: Vec<Text> = Vec::new();
        for key in ["values", "secrets"] {
            let texts = fields.or(key, Vec::new(), |decoder, node| decoder.list(node, Decoder::secret));
            values.extend(texts.into_iter().map(Text::Inline));
        }
        let files = fields.or("files", Vec::new(), Decoder::strings);
        values.extend(files.into_iter().map(|path| Text::File(path.into())));
        fields.finish();
        Some(values)
    })?;
    Some(headers.into_iter().filter_map(|(name, span, values)| checked_header(decoder, name, span, values)).collect())
}

fn checked_header(decoder: &mut Decoder<'_>, name: String, span: Span, values: Vec<Text>) -> Option<Header> {
    if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
        decoder.error(span, format!("{name:?} is not a header name"));
        return None;
    }
    if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        decoder.error(span, format!("setting header {name:?} is not allowed"));
        return None;
    }
    Some(Header { name, values })
}
