//! Certificate authorities of the tests, and what they sign.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

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
