//! Certificate authorities of the tests, and what they sign.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

/// Signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, both in PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Until when what is signed holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    Current,
    Expired,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("certificate"))
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for servers and clients of this host name or address.
    pub(crate) fn sign(&self, host: &str, validity: Validity) -> Signed {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a host");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if validity == Validity::Expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().expect("key");
        let certificate = params.signed_by(&key, &self.0).expect("certificate").pem();
        Signed { certificate, key: key.serialize_pem() }
    }
}

/// Writes a whole file and moves it into place, so that nobody reads half of it.
pub(crate) fn put(folder: &Path, name: &str, text: &str) {
    let new = folder.join(format!("{name}.new"));
    std::fs::write(&new, text).expect("write");
    std::fs::rename(new, folder.join(name)).expect("rename");
}

/// Puts `server` and `client` as `.crt` and `.key` into `folder`, signed for loopback by `authority`.
pub(crate) fn issue_by(folder: &Path, authority: &Authority) {
    for side in ["server", "client"] {
        let signed = authority.sign("127.0.0.1", Validity::Current);
        put(folder, &format!("{side}.crt"), &signed.certificate);
        put(folder, &format!("{side}.key"), &signed.key);
    }
}

/// Puts `ca.crt` of a new authority and what it signs into `folder`.
pub(crate) fn issue(folder: &Path, name: &str) {
    let authority = Authority::new(name);
    issue_by(folder, &authority);
    put(folder, "ca.crt", &authority.pem());
}

/// What a server needs to show this certificate and to demand one of `authorities` of whoever asks; of nobody, where there is none.
pub(crate) fn server_config(signed: &Signed, authorities: &[&Authority]) -> rustls::ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("certificate");
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(certificate(&authority.pem())).expect("root");
    }
    let verifier = if roots.is_empty() {
        WebPkiClientVerifier::no_client_auth()
    } else {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        builder.build().expect("roots")
    };
    let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).expect("key");
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate(&signed.certificate)], key)
        .expect("they fit")
}
