//! Whom a client trusts and which certificate it shows.
//!
//! **Invariants.** A client certificate comes with its key. What the files looked like is kept as a [`Stamp`], so that a change
//! shows.
//! **Source.** Prometheus common v0.66 `config/http_config.go` (`TLSConfig`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};

use super::config::{Text, text_or_file};
use super::error::HttpError;
use crate::source::decode::Decoder;
use crate::source::yaml::Node;

/// Versions of TLS as the configuration spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// `TLS10`: never spoken.
    Tls10,
    /// `TLS11`: never spoken.
    Tls11,
    /// `TLS12`.
    Tls12,
    /// `TLS13`.
    Tls13,
}

/// The `tls_config` mapping.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TlsConfig {
    /// Authorities to trust instead of the system's.
    pub ca: Option<Text>,
    /// Our own certificate, with its chain.
    pub cert: Option<Text>,
    /// The certificate's key.
    pub key: Option<Text>,
    /// What the server's certificate must be for; the URL's host where it is not given.
    pub server_name: Option<String>,
    /// Whether to take any certificate.
    pub insecure_skip_verify: bool,
    /// The oldest version to speak.
    pub min_version: Option<TlsVersion>,
    /// The newest version to speak.
    pub max_version: Option<TlsVersion>,
}

impl TlsConfig {
    /// A mapping that holds nothing but these keys, such as Alertmanager's `smtp_tls_config`.
    pub fn decode_node(decoder: &mut Decoder<'_>, node: &Node) -> Option<TlsConfig> {
        decode(decoder, node)
    }

    /// Makes relative file names relative to `directory`, that of the configuration file.
    pub fn resolve_paths(&mut self, directory: &Path) {
        self.texts_mut().for_each(|text| text.resolve_path(directory));
    }

    pub(super) fn texts_mut(&mut self) -> impl Iterator<Item = &mut Text> {
        [&mut self.ca, &mut self.cert, &mut self.key].into_iter().flatten()
    }

    /// What the files look like now.
    pub(super) fn stamps(&self) -> Vec<Stamp> {
        let files = [&self.ca, &self.cert, &self.key].into_iter().flatten();
        files.filter_map(|text| if let Text::File(path) = text { Some(Stamp::of(path)) } else { None }).collect()
    }

    /// Reads the files and makes the library's configuration of them.
    pub(super) fn load(&self) -> Result<rustls::ClientConfig, HttpError> {
        let provider = Arc::new(ring::default_provider());
        let roots = match &self.ca {
            Some(ca) => Arc::new(roots_of(ca)?),
            None => system_roots(),
        };
        let verifier = Arc::new(Verifier {
            mode: self.verify_mode(roots, &provider)?,
            schemes: provider.signature_verification_algorithms.supported_schemes(),
            provider: provider.clone(),
        });
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions()?)
            .map_err(|error| HttpError::Tls(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(cert, "client certificate")?;
        let key = private_key(key)?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| HttpError::Tls(format!("client certificate{}: {error}", place(cert))))
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, HttpError> {
        let min = self.min_version.unwrap_or(TlsVersion::Tls12);
        let max = self.max_version.unwrap_or(TlsVersion::Tls13);
        let known = [(TlsVersion::Tls12, &rustls::version::TLS12), (TlsVersion::Tls13, &rustls::version::TLS13)];
        let versions: Vec<_> = known.into_iter().filter(|(v, _)| (min..=max).contains(v)).map(|(_, v)| v).collect();
        if versions.is_empty() {
            return Err(HttpError::Tls("only TLS 1.2 and 1.3 are spoken".to_owned()));
        }
        Ok(versions)
    }

    fn verify_mode(&self, roots: Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> Result<VerifyMode, HttpError> {
        if self.insecure_skip_verify {
            return Ok(VerifyMode::Nothing);
        }
        if roots.is_empty() {
            return Ok(VerifyMode::NoRoots);
        }
        let name = match &self.server_name {
            Some(name) => Some(
                ServerName::try_from(name.clone())
                    .map_err(|_| HttpError::Tls(format!("server_name {name:?} is not a host name")))?,
            ),
            None => None,
        };
        let chain = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| HttpError::Tls(error.to_string()))?;
        Ok(VerifyMode::Chain { chain, name })
    }
}

/// What a file looked like: enough to see that it was replaced or rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    path: PathBuf,
    modified: Option<SystemTime>,
    len: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Stamp {
    /// A file that is not there has a stamp too.
    pub fn of(path: &Path) -> Stamp {
        let metadata = std::fs::metadata(path).ok();
        Stamp {
            path: path.to_owned(),
            modified: metadata.as_ref().and_then(|metadata| metadata.modified().ok()),
            len: metadata.as_ref().map_or(0, std::fs::Metadata::len),
            #[cfg(unix)]
            inode: metadata.as_ref().map_or(0, std::os::unix::fs::MetadataExt::ino),
        }
    }

    /// Whether the file still looks like this.
    pub fn is_current(&self) -> bool {
        *self == Stamp::of(&self.path)
    }
}

/// The bytes of a text, read now.
pub(super) fn read(text: &Text) -> Result<Vec<u8>, HttpError> {
    match text {
        Text::Inline(secret) => Ok(secret.expose().as_bytes().to_vec()),
        Text::File(path) => {
            std::fs::read(path).map_err(|error| HttpError::File { path: path.clone(), reason: reason_of(&error) })
        }
    }
}

/// The system's words without the number that Rust adds.
fn reason_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        kind => kind.to_string(),
    }
}

fn place(text: &Text) -> String {
    match text {
        Text::Inline(_) => String::new(),
        Text::File(path) => format!(" in {}", path.display()),
    }
}

/// A chain of certificates in PEM, at least one; `what` names it in errors.
pub fn certificates(text: &Text, what: &str) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let bytes = read(text)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| HttpError::Tls(format!("{what}{}: {error}", place(text))))?;
    if chain.is_empty() {
        return Err(HttpError::Tls(format!("{what}{}: no certificate in it", place(text))));
    }
    Ok(chain)
}

/// A private key in PEM.
pub fn private_key(key: &Text) -> Result<PrivateKeyDer<'static>, HttpError> {
    PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| {
        // Other errors of the library repeat what stands in the file.
        let reason = match error {
            pem::Error::NoItemsFound => error.to_string(),
            _ => "it is not well-formed PEM".to_owned(),
        };
        HttpError::Tls(format!("no usable private key{}: {reason}", place(key)))
    })
}

/// Authorities in PEM, to trust.
pub fn roots_of(ca: &Text) -> Result<RootCertStore, HttpError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, "CA certificate")? {
        roots.add(certificate).map_err(|error| HttpError::Tls(format!("CA certificate{}: {error}", place(ca))))?;
    }
    Ok(roots)
}

/// The system's roots, read once: a few hundred certificates take milliseconds to parse and every client wants them.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: std::sync::OnceLock<Arc<RootCertStore>> = std::sync::OnceLock::new();
    ROOTS
        .get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let (_, unusable) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if unusable > 0 {
                tracing::debug!(unusable, "some root certificates of the system cannot be used");
            }
            Arc::new(roots)
        })
        .clone()
}

/// Checks the server's certificate against the configured name, or not at all.
#[derive(Debug)]
struct Verifier {
    mode: VerifyMode,
    schemes: Vec<SignatureScheme>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum VerifyMode {
    Chain { chain: Arc<WebPkiServerVerifier>, name: Option<ServerName<'static>> },
    NoRoots,
    Nothing,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.mode {
            VerifyMode::Nothing => Ok(ServerCertVerified::assertion()),
            VerifyMode::NoRoots => Err(rustls::Error::General(
                "no certificate authority is known: set tls_config.ca_file or install the system's".to_owned(),
            )),
            VerifyMode::Chain { chain, name } => {
                let name = name.as_ref().unwrap_or(server_name);
                chain.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<TlsConfig> {
    let mut fields = decoder.fields(node, "tls_config")?;
    let ca = text_or_file(&mut fields, "ca", "ca_file", "at most one of ca, ca_file & ca_ref must be configured");
    let both = "at most one of cert, cert_file & cert_ref must be configured";
    let cert = text_or_file(&mut fields, "cert", "cert_file", both);
    let key = text_or_file(&mut fields, "key", "key_file", "at most one of key and key_file must be configured");
    let given = |keys: [&str; 2]| keys.iter().any(|key| fields.key_span(key).is_some());
    let (has_cert, has_key) = (given(["cert", "cert_file"]), given(["key", "key_file"]));
    let span = fields.span;
    if has_cert && !has_key {
        let text = "exactly one of key or key_file must be configured when a client certificate is configured";
        fields.decoder.error(span, text);
    }
    if has_key && !has_cert {
        let text = "exactly one of cert or cert_file must be configured when a client key is configured";
        fields.decoder.error(span, text);
    }
    let config = TlsConfig {
        ca,
        cert,
        key,
        server_name: fields.optional("server_name", Decoder::string).filter(|name| !name.is_empty()),
        insecure_skip_verify: fields.or("insecure_skip_verify", false, Decoder::bool),
        min_version: fields.optional("min_version", decode_version),
        max_version: fields.optional("max_version", decode_version),
    };
    let max_span = fields.key_span("max_version").unwrap_or(span);
    if let Some(max) = config.max_version {
        if config.min_version.is_some_and(|min| min > max) {
            let text =
                "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified";
            fields.decoder.error(max_span, text);
        } else if max < TlsVersion::Tls12 {
            fields.decoder.error(max_span, "only TLS 1.2 and 1.3 are spoken; write TLS12 or TLS13");
        }
    }
    for key in ["ca_ref", "cert_ref", "key_ref"] {
        fields.unsupported(key, "there is no secret manager; name a file instead");
    }
    fields.finish();
    Some(config)
}

fn decode_version(decoder: &mut Decoder<'_>, node: &Node) -> Option<TlsVersion> {
    let text = decoder.string(node)?;
    match text.as_str() {
        "TLS10" => Some(TlsVersion::Tls10),
        "TLS11" => Some(TlsVersion::Tls11),
        "TLS12" => Some(TlsVersion::Tls12),
        "TLS13" => Some(TlsVersion::Tls13),
        _ => {
            decoder.error_with_help(node.span, format!("unknown TLS version: {text}"), "write TLS12 or TLS13");
            None
        }
    }
}
