//! `--web.config.file`: TLS, users and security headers of our own port.
//!
//! In the flow: `serve` loads a [`WebConfig`] before it listens; each connection takes the TLS configuration in force, each request
//! passes [`guard`] before any handler sees it.
//! **Invariants.** The file and those it names are read again when they change, so certificates and users rotate without a
//! restart; what cannot be used is logged once and the last good one stays. Neither TLS nor the demand to authenticate goes away while we
//! run: what was allowed because of them stays safe. No password and no hash is shown.
//! **Cost.** A `stat` of at most four files for each connection and each request; a password is checked once, then remembered.
//! **Source.** Prometheus exporter-toolkit v0.14 `web/tls_config.go`, `web/handler.go`.
//! **Differs:** a file that became wrong while running keeps the last good one, where exporter-toolkit answers 500 or breaks the
//! handshake; so does one that takes away `tls_server_config` or the demand to authenticate, which needs a restart. `cipher_suites`,
//! `curve_preferences`, `client_allowed_sans` and `rate_limit` are refused with a position. TLS below 1.2 is not spoken.
//! Verifying clients needs `client_ca_file`: the system's authorities vouch for too many. Every mistake is said at once.

mod decode;
mod tls;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

pub use decode::WebFile;

use self::users::{Users, Verdict};
use super::access::Callers;
use crate::http::{Rotating, Stamp};
use crate::source::{Diagnostic, Diagnostics, SourceFile};

/// The web configuration in force.
#[derive(Debug)]
pub struct WebConfig {
    path: PathBuf,
    current: Rotating<Arc<Loaded>>,
}

/// One good state of the files.
#[derive(Debug)]
struct Loaded {
    tls: Option<Arc<rustls::ServerConfig>>,
    callers: Callers,
    users: Option<Arc<Users>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl WebConfig {
    /// Reads the file at `path` and those it names. `None` when anything is an error.
    pub fn load(path: &Path) -> (Option<WebConfig>, Diagnostics) {
        let (loaded, stamps, diagnostics) = read(path);
        let current = loaded.map(|loaded| Rotating::new(Arc::new(loaded), stamps));
        (current.map(|current| WebConfig { path: path.to_owned(), current }), diagnostics)
    }

    /// Whether connections are TLS. Never changes.
    pub(super) fn speaks_tls(&self) -> bool {
        self.current.last().tls.is_some()
    }

    /// The scheme of our URLs.
    pub(super) fn scheme(&self) -> &'static str {
        if self.speaks_tls() { "https" } else { "http" }
    }

    /// Who gets an answer at all. Once authenticated, never anyone again.
    pub(super) fn callers(&self) -> Callers {
        self.current.last().callers
    }

    /// The TLS configuration for a new connection.
    pub(super) fn tls(&self) -> Option<Arc<rustls::ServerConfig>> {
        self.fresh().tls.clone()
    }

    /// What is in force now, after a look at the files.
    fn fresh(&self) -> Arc<Loaded> {
        self.current.fresh(|before| {
            let (loaded, stamps, diagnostics) = read(&self.path);
            let next = match loaded {
                None => Err(diagnostics.to_string()),
                Some(next) if next.tls.is_some() != before.tls.is_some() => {
                    Err("tls_server_config cannot come or go while running; start anew".to_owned())
                }
                Some(next) if next.callers == Callers::Anyone && before.callers == Callers::Authenticated => {
                    Err("the demand to authenticate cannot go while running; start anew".to_owned())
                }
                Some(next) => Ok(Arc::new(next)),
            };
            match &next {
                Ok(_) => tracing::info!("web configuration loaded"),
                Err(error) => tracing::error!(error, "web configuration refused, the one before it stays in force"),
            }
            (next.ok(), stamps)
        })
    }
}

/// Reads everything once. The stamps are taken before their files are read, so that a change in between shows at the next look.
fn read(path: &Path) -> (Option<Loaded>, Vec<Stamp>, Diagnostics) {
    let mut stamps = vec![Stamp::of(path)];
    let mut diagnostics = Diagnostics::default();
    let name = path.display().to_string();
    let text = match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            diagnostics.push(Diagnostic::error_without_place(format!("{name} is not UTF-8 text")));
            return (None, stamps, diagnostics);
        }
        Err(error) => {
            diagnostics.push(Diagnostic::error_without_place(format!("cannot read {name}: {error}")));
            return (None, stamps, diagnostics);
        }
    };
    let source = SourceFile::new(name, text);
    let (file, found) = WebFile::parse(&source, path.parent().unwrap_or(Path::new("")));
    diagnostics.extend(found);
    let Some(file) = file else { return (None, stamps, diagnostics) };
    let mut server = None;
    if let Some(told) = &file.tls {
        stamps.extend(told.files().map(Stamp::of));
        match tls::build(told, file.http2) {
            Ok(config) => server = Some(Arc::new(config)),
            Err(errors) => errors
                .into_iter()
                .for_each(|(span, message)| diagnostics.push(Diagnostic::error(&source, span, message))),
        }
    }
    if diagnostics.has_errors() {
        return (None, stamps, diagnostics);
    }
    let demands_certificate = file.tls.as_ref().is_some_and(decode::TlsTold::demands_verified_client);
    let users = Users::new(file.users).map(Arc::new);
    let callers = if users.is_some() || demands_certificate { Callers::Authenticated } else { Callers::Anyone };
    (Some(Loaded { tls: server, callers, users, headers: file.headers }), stamps, diagnostics)
}

/// Lets a request pass whose user is known, and puts the headers on every answer.
pub(super) async fn guard(State(config): State<Arc<WebConfig>>, request: Request, next: Next) -> Response {
    let loaded = config.fresh();
    let verdict = match &loaded.users {
        None => Verdict::Known,
        Some(users) => users.check(request.headers().get(AUTHORIZATION)).await,
    };
    let mut answer = match verdict {
        Verdict::Known => next.run(request).await,
        Verdict::Unknown => {
            let challenge = [(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"))];
            (StatusCode::UNAUTHORIZED, challenge, "Unauthorized\n").into_response()
        }
        Verdict::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too many passwords wait to be checked\n").into_response(),
    };
    for (name, value) in &loaded.headers {
        answer.headers_mut().insert(name, value.clone());
    }
    answer
}
