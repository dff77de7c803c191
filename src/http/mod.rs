//! HTTP clients with TLS and authentication, configured by Prometheus's keys.
//!
//! In the flow: `scrape`, `notifier` and `deliver` decode a [`ClientConfig`] out of their own mappings and make one
//! [`Client`] of it; a [`Backoff`] says when to try again.
//!
//! **Invariants.** Files are read again when they change, so certificates, passwords and tokens can rotate while running: a
//! half-written certificate keeps the last good one. No secret stands in an error or a log: errors carry no URL and no header.
//! Proxies of the environment are not used unless `proxy_from_environment` asks for them.
//! **Limits.** [`REDIRECTS_MAX`] redirects; [`HEADERS_MAX`] headers of an answer; bodies are streamed, or read whole up to a limit that the caller names.
//! **Why rustls with ring, and the system's root certificates.** One static binary without OpenSSL or a C++ compiler in the build;
//! roots come from the system (`SSL_CERT_FILE` and the usual places), since people install their own authorities there. A
//! machine without any still starts: only a TLS connection that needs them fails.
//! **Source.** Prometheus common v0.66 `config/http_config.go`.
//! **Differs:** TLS below 1.2 is not offered (`min_version: TLS10` means 1.2). `server_name` is what the certificate is
//! checked against; the name sent to the server stays that of the URL. With `http_headers`, a redirect to another host is not followed,
//! since such headers are often credentials. A POST follows 307 and 308 only: after 301, 302 and 303 Go's client sends a GET, whose
//! answer says nothing about the message. Of oauth2, only the grant by client
//! credentials with a secret is there; sigv4 is refused with a position.

mod backoff;
mod client;
mod config;
mod error;
mod oauth2;
mod pem;
mod proxy;
mod rotating;
#[cfg(test)]
mod tests;
mod tls;
mod tls_error;
mod token;

pub use backoff::{Backoff, retry_after};
pub use client::{Client, HEADERS_MAX, REDIRECTS_MAX, Response};
pub use config::{Auth, ClientConfig, Header, Text};
pub use error::HttpError;
pub use oauth2::OAuth2Config;
pub use pem::{certificates, private_key, roots_of};
pub use proxy::Proxy;
pub use rotating::{Rotating, Stamp};
pub use tls::{Signatures, TlsConfig, TlsVersion};
