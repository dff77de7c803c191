//! The keys of the web configuration, checked.
//!
//! In the flow: [`WebFile::parse`] reads the text only; the files that it names are read by `tls`.
//! **Invariants.** A [`WebFile`] has its certificate with its key, hashes that can be checked, and headers that may be set.

use std::collections::BTreeMap;
use std::path::Path;

use axum::http::{HeaderName, HeaderValue};

use super::users;
use crate::http::{Text, TlsVersion};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::{self, Node};
use crate::source::{Diagnostics, Secret, SourceFile, Span};

/// What the web configuration says.
#[derive(Debug)]
pub struct WebFile {
    pub(super) tls: Option<TlsTold>,
    pub(super) http2: bool,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) users: BTreeMap<String, Secret>,
}

/// A text or file, with the place of the key that names it.
pub(super) type Placed = (Text, Span);

/// The `tls_server_config` mapping.
#[derive(Debug)]
pub(super) struct TlsTold {
    pub(super) cert: Placed,
    pub(super) key: Placed,
    pub(super) client_ca: Option<Placed>,
    pub(super) client_auth: ClientAuth,
    pub(super) min_version: TlsVersion,
    pub(super) max_version: TlsVersion,
}

/// What is asked of a client about its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// Nothing.
    None,
    /// It may show one, which is not verified.
    Request,
    /// It must show one, which is not verified.
    RequireAny,
    /// It may show one, which is then verified.
    VerifyIfGiven,
    /// It must show one, which is verified.
    RequireAndVerify,
}

impl TlsTold {
    /// Whether nobody gets through without a certificate that an authority of ours issued.
    pub(super) fn demands_verified_client(&self) -> bool {
        self.client_auth == ClientAuth::RequireAndVerify
    }

    /// The files that are named.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let texts = [&self.cert, &self.key].into_iter().chain(&self.client_ca);
        texts.filter_map(|(text, _)| if let Text::File(path) = text { Some(path.as_path()) } else { None })
    }
}

/// Headers that may be set, and their values where only some make sense. The list of exporter-toolkit.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// How `client_auth_type` is written. `RequireClientCert` is an older name.
const CLIENT_AUTH: [(&str, ClientAuth); 6] = [
    ("NoClientCert", ClientAuth::None),
    ("RequestClientCert", ClientAuth::Request),
    ("RequireAnyClientCert", ClientAuth::RequireAny),
    ("RequireClientCert", ClientAuth::RequireAny),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
];

impl WebFile {
    /// Reads the text of a web configuration. File names in it are relative to `directory`.
    pub fn parse(source: &SourceFile, directory: &Path) -> (Option<WebFile>, Diagnostics) {
        let (root, mut diagnostics) = yaml::parse(source);
        let Some(root) = root else { return (None, diagnostics) };
        let mut decoder = Decoder::new(source);
        let file = decode(&mut decoder, &root, directory);
        diagnostics.extend(decoder.finish());
        (file.filter(|_| !diagnostics.has_errors()), diagnostics)
    }
}

fn decode(decoder: &mut Decoder<'_>, root: &Node, directory: &Path) -> Option<WebFile> {
    let mut fields = decoder.fields(root, "web configuration")?;
    let tls = fields.optional("tls_server_config", |decoder, node| decode_tls(decoder, node, directory));
    let (http2, headers) = fields.or("http_server_config", (true, Vec::new()), decode_http);
    let users = fields.or("basic_auth_users", BTreeMap::new(), decode_users);
    fields.unsupported("rate_limit", "queries are limited by --query.max-concurrency; limit requests in a proxy");
    fields.finish();
    Some(WebFile { tls, http2, headers, users })
}

/// `None` also where the mapping is empty: then there is no TLS, as in exporter-toolkit.
fn decode_tls(decoder: &mut Decoder<'_>, node: &Node, directory: &Path) -> Option<TlsTold> {
    let mut fields = decoder.fields(node, "tls_server_config")?;
    let span = fields.span;
    let cert = placed(&mut fields, "cert", "cert_file", directory);
    let key = placed(&mut fields, "key", "key_file", directory);
    let client_ca = placed(&mut fields, "client_ca", "client_ca_file", directory);
    let auth_span = fields.key_span("client_auth_type");
    let client_auth = fields.optional("client_auth_type", decode_client_auth);
    let min_version = fields.or("min_version", TlsVersion::Tls12, decode_version);
    let max_version = fields.or("max_version", TlsVersion::Tls13, decode_version);
    if min_version > max_version {
        let span = fields.key_span("max_version").or(fields.key_span("min_version")).unwrap_or(span);
        fields.decoder.error(span, "max_version must not be below min_version");
    }
    fields.unsupported("cipher_suites", "all suites that are spoken are safe; leave the key out");
    fields.unsupported("curve_preferences", "all curves that are spoken are safe; leave the key out");
    fields.unsupported("client_allowed_sans", "let an authority of its own issue the certificates of the clients");
    if fields.optional("prefer_server_cipher_suites", Decoder::bool) == Some(false) {
        let span = fields.key_span("prefer_server_cipher_suites").unwrap_or(span);
        fields.decoder.warning(span, "prefer_server_cipher_suites has no effect: our order is always preferred");
    }
    fields.finish();
    if cert.is_none() && key.is_none() && client_ca.is_none() && auth_span.is_none() {
        return None;
    }
    if cert.is_none() {
        decoder.error(span, "missing one of cert or cert_file");
    }
    if key.is_none() {
        decoder.error(span, "missing one of key or key_file");
    }
    let client_auth = match client_auth {
        Some(client_auth) => client_auth,
        None if auth_span.is_some() => return None,
        None => ClientAuth::None,
    };
    if let (Some((_, span)), ClientAuth::None) = (&client_ca, client_auth) {
        let help = "set client_auth_type, such as RequireAndVerifyClientCert";
        decoder.error_with_help(*span, "client CA's have been configured without a Client Auth Policy", help);
    }
    if client_ca.is_none() && matches!(client_auth, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify) {
        let help = "name the authority that issues the certificates of the clients";
        decoder.error_with_help(auth_span.unwrap_or(span), "verifying clients needs client_ca_file", help);
    }
    Some(TlsTold { cert: cert?, key: key?, client_ca, client_auth, min_version, max_version })
}

/// An inline text or a file name; not both.
fn placed(
    fields: &mut Fields<'_, '_, '_>,
    key: &'static str,
    file_key: &'static str,
    directory: &Path,
) -> Option<Placed> {
    let span = |fields: &Fields<'_, '_, '_>, key| fields.key_span(key).unwrap_or(fields.span);
    let inline = fields.optional(key, Decoder::secret).filter(|text| !text.expose().is_empty());
    let file = fields.optional(file_key, Decoder::string).filter(|name| !name.is_empty());
    match (inline, file) {
        (Some(text), Some(_)) => {
            let span = span(fields, key);
            fields.decoder.error(span, format!("at most one of {key} and {file_key} must be configured"));
            Some((Text::Inline(text), span))
        }
        (Some(text), None) => Some((Text::Inline(text), span(fields, key))),
        (None, Some(name)) => Some((Text::File(directory.join(name)), span(fields, file_key))),
        (None, None) => None,
    }
}

fn decode_client_auth(decoder: &mut Decoder<'_>, node: &Node) -> Option<ClientAuth> {
    let text = decoder.string(node)?;
    let found = CLIENT_AUTH.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let names: Vec<&str> = CLIENT_AUTH.iter().map(|(name, _)| *name).collect();
        decoder.error_with_help(
            node.span,
            format!("invalid ClientAuth: {text}"),
            format!("write one of {}", names.join(", ")),
        );
    }
    found.map(|(_, client_auth)| *client_auth)
}

fn decode_version(decoder: &mut Decoder<'_>, node: &Node) -> Option<TlsVersion> {
    let text = decoder.string(node)?;
    match text.as_str() {
        "TLS12" => return Some(TlsVersion::Tls12),
        "TLS13" => return Some(TlsVersion::Tls13),
        "TLS10" | "TLS11" => {
            decoder.error_with_help(node.span, format!("{text} is not spoken"), "write TLS12 or TLS13")
        }
        _ => decoder.error_with_help(node.span, format!("unknown TLS version: {text}"), "write TLS12 or TLS13"),
    }
    None
}

fn decode_http(decoder: &mut Decoder<'_>, node: &Node) -> Option<(bool, Vec<(HeaderName, HeaderValue)>)> {
    let mut fields = decoder.fields(node, "http_server_config")?;
    let http2 = fields.or("http2", true, Decoder::bool);
    let headers = fields.or("headers", Vec::new(), |decoder, node| {
        let told = decoder.map(node, |decoder, node| Some((decoder.string(node)?, node.span)))?;
        Some(told.into_iter().filter_map(|(name, span, value)| header(decoder, (&name, span), value)).collect())
    });
    fields.finish();
    Some((http2, headers))
}

fn header(
    decoder: &mut Decoder<'_>,
    (name, name_span): (&str, Span),
    (value, value_span): (String, Span),
) -> Option<(HeaderName, HeaderValue)> {
    let Some((_, allowed)) = HEADERS.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = HEADERS.iter().map(|(name, _)| *name).collect();
        decoder.error_with_help(
            name_span,
            format!("HTTP header {name:?} can not be configured"),
            format!("these can: {}", names.join(", ")),
        );
        return None;
    };
    if !allowed.is_empty() && !allowed.contains(&value.as_str()) {
        let allowed: Vec<String> = allowed.iter().map(|word| format!("{word:?}")).collect();
        let allowed = allowed.join(" ");
        let message = format!("invalid value for {name}. Expected one of: [{allowed}], but got: {value:?}");
        decoder.error(value_span, message);
        return None;
    }
    let Ok(value) = HeaderValue::try_from(value) else {
        decoder.error(value_span, "a header is one line of visible characters");
        return None;
    };
    Some((HeaderName::from_bytes(name.as_bytes()).expect("BUG: a header that may be set is no header"), value))
}

fn decode_users(decoder: &mut Decoder<'_>, node: &Node) -> Option<BTreeMap<String, Secret>> {
    let told = decoder.map(node, |decoder, node| Some((node.span, decoder.secret(node)?)))?;
    let mut users = BTreeMap::new();
    for (user, span, (hash_span, hash)) in told {
        if user.contains(':') {
            decoder.error(span, "a user name with a colon can never be sent");
        }
        if let Err(why) = users::cost_of(&hash) {
            decoder.error(hash_span, format!("the password of user {user:?} {why}"));
        }
        users.insert(user, hash);
    }
    Some(users)
}
