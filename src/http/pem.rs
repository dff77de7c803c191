//! Certificates and keys out of PEM, inline or in files.
//!
//! In the flow: `tls` for clients and `serve` for our own port. **Invariants.** No error shows a byte of a key.

use std::io;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::config::Text;
use super::error::HttpError;

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

pub(super) fn place(text: &Text) -> String {
    match text {
        Text::Inline(_) => String::new(),
        Text::File(path) => format!(" in {}", path.display()),
    }
}

/// A chain of certificates in PEM, at least one; `what` names it in errors.
pub fn certificates(text: &Text, what: &str) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let bytes = read(text)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| {
        let reason = match error {
            // The library's text is a list of bytes.
            pem::Error::MissingSectionEnd { .. } => "it is cut off: a certificate in it has no END line".to_owned(),
            other => other.to_string(),
        };
        HttpError::Tls(format!("{what}{}: {reason}", place(text)))
    })?;
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
