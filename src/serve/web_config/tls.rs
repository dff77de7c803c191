//! The library's TLS configuration out of what the file says and of the files it names.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::decode::{ClientAuth, TlsTold};
use crate::http::{Signatures, TlsVersion, certificates, private_key, roots_of};
use crate::source::Span;

/// Reads the files. All that is wrong with them, each at the key that names the file.
pub(super) fn build(told: &TlsTold, http2: bool) -> Result<rustls::ServerConfig, Vec<(Span, String)>> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&told.cert.0, "certificate").map_err(|error| (told.cert.1, error.to_string()));
    let key = private_key(&told.key.0).map_err(|error| (told.key.1, error.to_string()));
    let verifier = verifier(told, &provider);
    let (chain, key, verifier) = match (chain, key, verifier) {
        (Ok(chain), Ok(key), Ok(verifier)) => (chain, key, verifier),
        (chain, key, verifier) => {
            return Err([chain.err(), key.err(), verifier.err()].into_iter().flatten().collect());
        }
    };
    let versions = TlsVersion::spoken(&(told.min_version..=told.max_version));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .expect("BUG: the versions were checked")
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| vec![(told.cert.1, format!("certificate and key cannot be used together: {error}"))])?;
    config.alpn_protocols = if http2 { vec![b"h2".to_vec()] } else { Vec::new() };
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(config)
}

fn verifier(told: &TlsTold, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, (Span, String)> {
    let unverified = |is_mandatory| AnyCertificate { is_mandatory, signatures: Signatures(provider.clone()) };
    let verified = match told.client_auth {
        ClientAuth::None => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientAuth::Request => return Ok(Arc::new(unverified(false))),
        ClientAuth::RequireAny => return Ok(Arc::new(unverified(true))),
        ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => {
            let (ca, span) = told.client_ca.as_ref().expect("BUG: clients are to be verified against nothing");
            let roots = roots_of(ca).map_err(|error| (*span, error.to_string()))?;
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            let optional = told.client_auth == ClientAuth::VerifyIfGiven;
            let builder = if optional { builder.allow_unauthenticated() } else { builder };
            builder.build().map_err(|error| (*span, error.to_string()))?
        }
    };
    Ok(verified)
}

/// Takes any certificate whose key the client has, as `RequestClientCert` and `RequireAnyClientCert` say.
#[derive(Debug)]
struct AnyCertificate {
    is_mandatory: bool,
    signatures: Signatures,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
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
