//! E-mail by SMTP: one connection per message.
//!
//! **Invariants.** A password goes out over TLS only, or to this machine. No text carries one.
//! **Source.** Alertmanager 0.33 `notify/email/email.go`; RFC 5321, RFC 3207, RFC 4954, RFC 2195.
//! **Differs:** LOGIN too is refused without TLS (Go refuses PLAIN only). CRAM-MD5 is used where `auth_secret` is written and no password,
//! else PLAIN or LOGIN, as the server offers them. `Message-Id` names the notification, so that a second copy after a lost answer is
//! known as such. Time zones: `Date` is UTC.
//! **Differs:** headers stand in a fixed order (Alertmanager's change places from one e-mail to the next), a part's kind before its encoding.
//! White space around a header's value goes, such as the last space of the default subject. The default page of HTML is our own.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, Date, HeaderName, HeaderValue, Headers};
use lettre::message::{Body, Mailboxes, MultiPart, SinglePart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, Identity, TlsParameters, TlsVersion as MinVersion,
};
use lettre::transport::smtp::extension::ClientId;
use sha2::{Digest, Sha256};

use super::attempt::{Failure, FailureReason, Verdict};
use crate::clock;
use crate::http::{HttpError, Text, TlsConfig, TlsVersion};
use crate::router::{EmailMessage, Notification};

/// A mail server and how to prove who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpConfig {
    /// Host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Our name in the greeting.
    pub hello: String,
    /// When TLS comes.
    pub security: Security,
    /// None means that nobody proves anything.
    pub username: Option<String>,
    /// For PLAIN and LOGIN.
    pub password: Option<Text>,
    /// For CRAM-MD5.
    pub secret: Option<Text>,
    /// Whom to trust, and which certificate to show.
    pub tls: TlsConfig,
}

/// When TLS comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Before the first word.
    ImplicitTls,
    /// After STARTTLS, which the server must offer.
    StartTls,
    /// Never.
    Nothing,
}

/// Sends one e-mail.
pub(super) async fn send(
    config: &SmtpConfig,
    email: &EmailMessage,
    notification: &Notification,
    timeout: Duration,
) -> Verdict {
    let composed = envelope(email).and_then(|envelope| Ok((envelope, compose(email, config, notification)?)));
    let (envelope, message) = match composed {
        Ok(composed) => composed,
        Err(text) => return Verdict::Never(Failure { reason: FailureReason::ClientError, text }),
    };
    match tokio::time::timeout(timeout, transmit(config, &envelope, &message, timeout)).await {
        Ok(Ok(())) => Verdict::Delivered,
        Ok(Err(verdict)) => verdict,
        Err(_) => again(FailureReason::DeadlineExceeded, "context deadline exceeded".to_owned()),
    }
}

fn again(reason: FailureReason, text: String) -> Verdict {
    Verdict::Again { failure: Failure { reason, text }, pause: None }
}

async fn transmit(config: &SmtpConfig, envelope: &Envelope, message: &[u8], timeout: Duration) -> Result<(), Verdict> {
    let tls = || tls_parameters(config).map_err(|error| again(FailureReason::Other, error.to_string()));
    let hello = ClientId::Domain(config.hello.clone());
    let implicit = if config.security == Security::ImplicitTls { Some(tls()?) } else { None };
    let address = (config.host.as_str(), config.port);
    let mut connection = AsyncSmtpConnection::connect_tokio1(address, Some(timeout), &hello, implicit, None)
        .await
        .map_err(|error| judge("establish connection to server", &error))?;
    if config.security == Security::StartTls {
        // After a failed handshake nothing can be said any more, not even a farewell: the library has let go of the stream.
        start_tls(config, &mut connection, &hello, tls()?).await?;
    }
    let result = async {
        authenticate(config, &mut connection).await?;
        connection.send(envelope, message).await.map(|_| ()).map_err(|error| judge("send message", &error))
    }
    .await;
    match &result {
        Ok(()) => {
            connection.quit().await.ok();
        }
        Err(_) => connection.abort().await,
    }
    result
}

async fn start_tls(
    config: &SmtpConfig,
    connection: &mut AsyncSmtpConnection,
    hello: &ClientId,
    tls: TlsParameters,
) -> Result<(), Verdict> {
    if !connection.can_starttls() {
        let address = format!("{}:{}", config.host, config.port);
        let text = format!("'require_tls' is true (default) but {address:?} does not advertise the STARTTLS extension");
        connection.abort().await;
        return Err(again(FailureReason::Other, text));
    }
    connection.starttls(tls, hello).await.map_err(|error| judge("send STARTTLS command", &error))
}

/// Does nothing without a user name, or where the server does not ask for one.
async fn authenticate(config: &SmtpConfig, connection: &mut AsyncSmtpConnection) -> Result<(), Verdict> {
    let Some(username) = &config.username else { return Ok(()) };
    let read = |text: &Text| read_secret(text).map_err(|error| again(FailureReason::Other, error.to_string()));
    let offered: Vec<Mechanism> = [Mechanism::Plain, Mechanism::Login]
        .into_iter()
        .filter(|mechanism| connection.server_info().supports_auth_mechanism(*mechanism))
        .collect();
    let judged = |error: SmtpError| match judge("auth", &error) {
        Verdict::Never(failure) => Verdict::Never(Failure { reason: FailureReason::AuthError, ..failure }),
        verdict => verdict,
    };
    match (&config.password, &config.secret) {
        (None, Some(secret)) => cram_md5(connection, username, &read(secret)?).await.map_err(judged),
        (None, None) => {
            let text = "find auth mechanism: missing password for the user name".to_owned();
            Err(again(FailureReason::AuthError, text))
        }
        (Some(_), _) if offered.is_empty() => Ok(()),
        (Some(_), _) if !connection.is_encrypted() && !is_this_machine(&config.host) => {
            let text = "auth: unencrypted connection: a password is sent over TLS only".to_owned();
            Err(Verdict::Never(Failure { reason: FailureReason::AuthError, text }))
        }
        (Some(password), _) => {
            let credentials = Credentials::new(username.clone(), read(password)?);
            connection.auth(&offered, &credentials).await.map(|_| ()).map_err(judged)
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

fn read_secret(text: &Text) -> Result<String, HttpError> {
    let bytes = text.read()?;
    let secret = String::from_utf8(bytes).map_err(|_| HttpError::Request("a password is not a text".to_owned()))?;
    Ok(if matches!(text, Text::File(_)) { secret.trim().to_owned() } else { secret })
}

async fn cram_md5(connection: &mut AsyncSmtpConnection, username: &str, secret: &str) -> Result<(), SmtpError> {
    let response = connection.command("AUTH CRAM-MD5\r\n").await?;
    let challenge = BASE64.decode(response.first_word().unwrap_or_default()).unwrap_or_default();
    let reply = BASE64.encode(format!("{username} {}", hmac_md5(secret.as_bytes(), &challenge)));
    connection.command(format!("{reply}\r\n")).await.map(|_| ())
}

/// RFC 2104 over MD5, in hex.
fn hmac_md5(key: &[u8], text: &[u8]) -> String {
    const BLOCK_BYTES: usize = 64;
    let mut block = [0; BLOCK_BYTES];
    if key.len() > BLOCK_BYTES {
        block[..16].copy_from_slice(&md5::compute(key).0);
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = md5::compute([&padded(0x36)[..], text].concat());
    format!("{:x}", md5::compute([&padded(0x5c)[..], &inner.0].concat()))
}

/// A permanent refusal is final; a temporary one, and whatever happens to a connection, is tried again.
fn judge(step: &str, error: &SmtpError) -> Verdict {
    // The library's text has the server's words, never ours.
    let mut text = format!("{step}: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(&format!(": {said}"));
        }
        cause = inner.source();
    }
    if error.is_permanent() {
        return Verdict::Never(Failure { reason: FailureReason::ClientError, text });
    }
    let reason = match error {
        error if error.is_timeout() => FailureReason::DeadlineExceeded,
        error if error.is_transient() => FailureReason::ServerError,
        _ => FailureReason::Other,
    };
    again(reason, text)
}

/// The library's TLS settings. Files are read now.
pub(super) fn tls_parameters(config: &SmtpConfig) -> Result<TlsParameters, HttpError> {
    let tls = &config.tls;
    let of_library = |error: SmtpError| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        HttpError::Tls(format!("{error}{cause}"))
    };
    let name = tls.server_name.clone().unwrap_or_else(|| config.host.clone());
    let mut builder = TlsParameters::builder(name).dangerous_accept_invalid_certs(tls.insecure_skip_verify);
    if let Some(ca) = &tls.ca {
        builder = builder.certificate_store(CertificateStore::None);
        builder = builder.add_root_certificate(Certificate::from_pem(&ca.read()?).map_err(of_library)?);
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        builder = builder.identify_with(Identity::from_pem(&cert.read()?, &key.read()?).map_err(of_library)?);
    }
    if tls.min_version == Some(TlsVersion::Tls13) {
        builder = builder.set_min_tls_version(MinVersion::Tlsv13);
    }
    builder.build_rustls().map_err(of_library)
}

fn envelope(email: &EmailMessage) -> Result<Envelope, String> {
    let parse = |what: &str, text: &str| {
        text.parse::<Mailboxes>().map_err(|error| format!("parse '{what}' addresses: {error}"))
    };
    let from: Vec<_> = parse("from", &email.from)?.into_iter().collect();
    let [from] = from.as_slice() else {
        return Err(format!("must be exactly one 'from' address (got: {})", from.len()));
    };
    let to = parse("to", &email.to)?.into_iter().map(|mailbox| mailbox.email).collect();
    Envelope::new(Some(from.email.clone()), to).map_err(|error| format!("parse 'to' addresses: {error}"))
}

/// The message with its headers.
fn compose(email: &EmailMessage, config: &SmtpConfig, notification: &Notification) -> Result<Vec<u8>, String> {
    let mut headers = Headers::new();
    let mut put = |name: &str, value: String| {
        let written = HeaderName::new_from_ascii(name.to_owned()).map_err(|_| format!("{name:?} is not a header"))?;
        headers.insert_raw(HeaderValue::new(written, value));
        Ok::<(), String>(())
    };
    for (name, value) in &email.headers {
        // A line break would begin another header.
        put(name, value.replace(['\r', '\n'], " ").trim().to_owned())?;
    }
    if !email.headers.iter().any(|(name, _)| name == "Message-Id") {
        put("Message-Id", message_id(config, notification))?;
    }
    put("MIME-Version", "1.0".to_owned())?;
    headers.set(Date::new(UNIX_EPOCH + Duration::from_millis(u64::try_from(clock::now().as_ms()).unwrap_or(0))));
    let part = |kind: ContentType, text: &str| {
        let body = Body::new_with_encoding(text.to_owned(), ContentTransferEncoding::QuotedPrintable)
            .expect("BUG: quoted-printable writes every text");
        SinglePart::builder().header(kind).body(body)
    };
    let mut parts = MultiPart::alternative().build();
    if !email.text.is_empty() {
        parts = parts.singlepart(part(ContentType::TEXT_PLAIN, &email.text));
    }
    // The one preferred comes last.
    if !email.html.is_empty() {
        parts = parts.singlepart(part(ContentType::TEXT_HTML, &email.html));
    }
    Ok([headers.to_string().into_bytes(), parts.formatted()].concat())
}

fn message_id(config: &SmtpConfig, notification: &Notification) -> String {
    let (kind, index) = notification.integration;
    let identity = format!(
        "{}\0{kind}\0{index}\0{}\0{}\0{}",
        notification.receiver,
        notification.group_key,
        notification.at.as_ms(),
        notification.id.0
    );
    let hash: String = Sha256::digest(identity).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("<{hash}@{}>", config.hello)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2195, section 2; RFC 2202, test case 6.
    #[test]
    fn signs_challenges() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        assert_eq!(hmac_md5(b"tanstaaftanstaaf", challenge), "b913a602c7eda7a495b4e6e7334d3890");
        let text = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(hmac_md5(&[0xaa; 80], text), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
    }

    #[test]
    fn addresses_must_be_there() {
        let check = |from: &str, to: &str, expected: Result<usize, &str>| {
            let email = EmailMessage { from: from.into(), to: to.into(), ..EmailMessage::default() };
            match (envelope(&email), expected) {
                (Ok(envelope), Ok(count)) => assert_eq!(envelope.to().len(), count, "{to}"),
                (Err(error), Err(begin)) => assert!(error.starts_with(begin), "{error}"),
                (found, expected) => panic!("{from} {to}: {found:?}, expected {expected:?}"),
            }
        };
        check("a@b.c", "x@y.z", Ok(1));
        check("\"On call\" <a@b.c>", "x@y.z, \"Doe, J.\" <j@y.z>", Ok(2));
        check("a@b.c", "", Err("parse 'to' addresses"));
        check("a@b.c, d@e.f", "x@y.z", Err("must be exactly one 'from' address (got: 2)"));
        check("nobody", "x@y.z", Err("parse 'from' addresses"));
    }
}
