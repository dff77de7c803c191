//! What went wrong with TLS, in the words of Go's library, which Prometheus shows and people search for.
//!
//! **Source.** Go 1.24 `crypto/tls` (`alert.go`, `conn.go`), `crypto/x509` (`verify.go`), `net/http` (`transport.go`).
//! **Differs:** any answer that is not TLS is said to be HTTP; Go says so only when it begins as HTTP does.
//! **Differs:** an authority that has the name of a known one, but not its key, is an unknown authority; Go adds why it thinks so.
//! **Differs:** of a certificate with more than one fault, such as an expired one of an unknown authority, another one may be named.

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// One sentence, whole: it stands behind `Get "URL": `.
pub(super) fn text(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(reason) => match certificate_text(reason) {
            Some(text) => format!("tls: failed to verify certificate: x509: {text}"),
            None => format!("tls: failed to verify certificate: {reason}"),
        },
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_text(*alert)),
        other => format!("tls: {other}"),
    }
}

fn certificate_text(reason: &CertificateError) -> Option<String> {
    let text = match reason {
        // A signature that does not fit means another authority of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => {
            format!("{OUT_OF_TIME}: current time {} is after {}", instant(*time), instant(*not_after))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("{OUT_OF_TIME}: current time {} is before {}", instant(*time), instant(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => name_text(expected, presented),
        _ => return None,
    };
    Some(text)
}

const OUT_OF_TIME: &str = "certificate has expired or is not yet valid";

/// RFC 3339 in UTC.
fn instant(at: UnixTime) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

/// `presented` is as the library writes it: `DnsName("a.example")`, `IpAddress(10.0.0.1)`.
fn name_text(expected: &ServerName<'_>, presented: &[String]) -> String {
    let of_kind = |kind: &str| -> Vec<&str> {
        let of_this_kind = presented.iter().filter_map(|name| name.strip_prefix(kind));
        of_this_kind.map(|name| name.trim_matches(['(', ')', '"'])).collect()
    };
    let wanted = expected.to_str();
    let (names, is_address) = match expected {
        ServerName::IpAddress(_) => (of_kind("IpAddress"), true),
        _ => (of_kind("DnsName"), false),
    };
    match (names.is_empty(), is_address) {
        (true, true) => {
            format!("cannot validate certificate for {wanted} because it doesn't contain any IP SANs")
        }
        (true, false) => format!("certificate is not valid for any names, but wanted to match {wanted}"),
        (false, _) => format!("certificate is valid for {}, not {wanted}", names.join(", ")),
    }
}

fn alert_text(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked certificate",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InternalError => "internal error",
        AlertDescription::UnrecognisedName => "unrecognized name",
        AlertDescription::CertificateRequired => "certificate required",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        other => return format!("alert {other:?}"),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn check(reason: CertificateError, expected: &str) {
        let said = text(&Error::InvalidCertificate(reason));
        assert_eq!(said, format!("tls: failed to verify certificate: {expected}"));
    }

    #[test]
    fn certificates_fail_in_the_words_of_go() {
        let name = |expected: &str, presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from(expected.to_owned()).unwrap(),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
        check(CertificateError::UnknownIssuer, "x509: certificate signed by unknown authority");
        check(CertificateError::BadSignature, "x509: certificate signed by unknown authority");
        check(
            CertificateError::ExpiredContext { time: at(1_700_000_000), not_after: at(1_600_000_000) },
            "x509: certificate has expired or is not yet valid: current time 2023-11-14T22:13:20Z is after 2020-09-13T12:26:40Z",
        );
        check(
            CertificateError::NotValidYetContext { time: at(1_600_000_000), not_before: at(1_700_000_000) },
            "x509: certificate has expired or is not yet valid: current time 2020-09-13T12:26:40Z is before 2023-11-14T22:13:20Z",
        );
        check(
            name("10.0.0.1", &["DnsName(\"a.example\")"]),
            "x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs",
        );
        check(
            name("10.0.0.1", &["IpAddress(10.0.0.2)", "DnsName(\"b\")"]),
            "x509: certificate is valid for 10.0.0.2, not 10.0.0.1",
        );
        check(
            name("c.example", &["DnsName(\"a.example\")", "DnsName(\"*.b.example\")"]),
            "x509: certificate is valid for a.example, *.b.example, not c.example",
        );
        check(name("c.example", &[]), "x509: certificate is not valid for any names, but wanted to match c.example");
        check(CertificateError::BadEncoding, "BadEncoding");
    }
}
