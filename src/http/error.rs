//! Why a request failed, in the words of Prometheus's `lastError`, without the URL.
//!
//! **Differs:** a broken connection is named without our own end of it: `read tcp HOST:PORT: read: connection reset by peer`.
//! **Differs:** an answer that is not HTTP is `malformed HTTP response` with what is malformed, not with its bytes.
//! **Differs:** `stopped after 10 redirects` names the whole address; Prometheus names the last `Location` as it was sent.
//! **Differs:** a chunked body that is none is told in the words of our HTTP library, with what it found.
//! **Differs:** an answer's head may have [`super::HEADERS_MAX`] headers; Go counts bytes, ten million.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::PathBuf;

use super::client::{HEAD_BYTES_MAX, HEADERS_MAX};
use super::tls_error;

/// An operating failure of a client. Carries no URL and no header: both may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// A file of the configuration cannot be read.
    File {
        /// Which.
        path: PathBuf,
        /// The system's word for it.
        reason: String,
    },
    /// Our certificates or keys cannot be used.
    Tls(String),
    /// The two ends could not agree on TLS: a certificate was refused, or the peer does not speak it.
    Handshake(String),
    /// The URL, a header or the credentials cannot be put into a request.
    Request(String),
    /// No connection came about: refused, unreachable, unknown host.
    Connect(String),
    /// The time was over before the answer was complete.
    Timeout,
    /// The connection broke after it came about.
    Broken(String),
    /// More bytes came than the caller would take.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::File { path, reason } => write!(f, "unable to read file {}: {reason}", path.display()),
            HttpError::Tls(reason) => write!(f, "tls: {reason}"),
            HttpError::Handshake(reason)
            | HttpError::Request(reason)
            | HttpError::Connect(reason)
            | HttpError::Broken(reason) => f.write_str(reason),
            HttpError::Timeout => f.write_str("context deadline exceeded"),
            HttpError::TooLarge { limit } => write!(f, "body size limit of {limit} bytes exceeded"),
        }
    }
}

impl std::error::Error for HttpError {}

impl HttpError {
    /// Sorts an error of the library by what the user can do about it. `address` is the peer as `host:port`.
    pub(super) fn from_reqwest(error: reqwest::Error, address: &str) -> Self {
        let error = error.without_url();
        if error.is_timeout() {
            return HttpError::Timeout;
        }
        let mut deepest = error.to_string();
        let (mut io_kind, mut http) = (None, None);
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
                return HttpError::Handshake(tls_error::text(tls));
            }
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                if let Some(tls) = tls_error_in(io) {
                    return HttpError::Handshake(tls_error::text(tls));
                }
                io_kind = Some(io.kind());
            }
            http = inner.downcast_ref::<hyper::Error>().or(http);
            deepest = inner.to_string();
            cause = inner.source();
        }
        if error.is_connect() {
            return HttpError::Connect(connect_text(io_kind, &deepest, address));
        }
        if error.is_builder() {
            return HttpError::Request(deepest);
        }
        HttpError::Broken(match io_kind {
            Some(io::ErrorKind::ConnectionReset) => format!("read tcp {address}: read: connection reset by peer"),
            Some(io::ErrorKind::BrokenPipe) => format!("write tcp {address}: write: broken pipe"),
            Some(io::ErrorKind::UnexpectedEof) => "unexpected EOF".to_owned(),
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => format!("malformed chunk: {deepest}"),
            _ => http.and_then(http_text).unwrap_or(deepest),
        })
    }
}

/// What is wrong with an answer; `None` where the library's words must do.
fn http_text(error: &hyper::Error) -> Option<String> {
    if error.is_incomplete_message() {
        Some("EOF".to_owned())
    } else if error.is_parse_too_large() {
        Some(format!("server response headers exceeded {HEADERS_MAX} lines or {HEAD_BYTES_MAX} bytes; aborted"))
    } else if error.is_parse() {
        Some(format!("malformed HTTP response: {error}"))
    } else {
        None
    }
}

/// `io::Error::source` skips what the error wraps, and layers wrap it more than once.
fn tls_error_in(mut io: &io::Error) -> Option<&rustls::Error> {
    loop {
        let inner = io.get_ref()?;
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        io = inner.downcast_ref::<io::Error>()?;
    }
}

fn connect_text(kind: Option<io::ErrorKind>, deepest: &str, address: &str) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    match kind {
        Some(io::ErrorKind::ConnectionRefused) => format!("dial tcp {address}: connect: connection refused"),
        Some(io::ErrorKind::HostUnreachable) => format!("dial tcp {address}: connect: no route to host"),
        Some(io::ErrorKind::NetworkUnreachable) => format!("dial tcp {address}: connect: network is unreachable"),
        Some(io::ErrorKind::TimedOut) => format!("dial tcp {address}: i/o timeout"),
        _ if deepest.contains("failed to lookup address") => format!("dial tcp: lookup {host}: no such host"),
        _ => format!("dial tcp {address}: {deepest}"),
    }
}
