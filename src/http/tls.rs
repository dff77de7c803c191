//! Whom a client trusts and which certificate it shows.
//!
//! **Invariants.** A client certificate comes with its key.
//! **Source.** Prometheus common v0.66 `config/http_config.go` (`TLSConfig`).

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};

use super::config::{Text, text_or_file};
use super::error::HttpError;
use super::pem::{certificates, place, private_key, roots_of};
use super::rotating::Stamp;
use crate::source::decode::Decoder;
use crate::source::keys;
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

impl TlsVersion {
    /// What the library calls those of `range` that are spoken.
    pub fn spoken(range: &RangeInclusive<TlsVersion>) -> Vec<&'static SupportedProtocolVersion> {
        let known = [(TlsVersion::Tls12, &rustls::version::TLS12), (TlsVersion::Tls13, &rustls::version::TLS13)];
        known.into_iter().filter(|(version, _)| range.contains(version)).map(|(_, version)| version).collect()
    }
}

/// How either side proves that it has the key of its certificate: as the library does it, whatever else is checked or not.
#[derive(Clone, Debug)]
pub struct Signatures(pub Arc<CryptoProvider>);

impl Signatures {
    /// A signature of TLS 1.2.
    pub fn verify_tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    /// A signature of TLS 1.3.
    pub fn verify_tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    /// The kinds of signature that are known.
    pub fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
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
        let verifier =
            Arc::new(Verifier { mode: self.verify_mode(roots, &provider)?, signatures: Signatures(provider.clone()) });
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
        let versions = TlsVersion::spoken(&(min..=self.max_version.unwrap_or(TlsVersion::Tls13)));
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
    signatures: Signatures,
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
        self.signatures.verify_tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.schemes()
    }
}

pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<TlsConfig> {
    let mut fields = decoder.section(node, &keys::TLS)?;
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
