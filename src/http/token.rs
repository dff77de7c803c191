//! Getting tokens and keeping them while they are good.
//!
//! **Invariants.** One request for a token at a time: others wait for its outcome. A token is used until shortly before it ends
//! ([`EARLY`]) or until a server refuses it. Neither token nor secret stands in an error.
//! **Limits.** [`TOKEN_BYTES_MAX`] per answer.
//! **Source.** Go's `golang.org/x/oauth2/clientcredentials`, which Prometheus uses; RFC 6749.
//! **Differs:** a token that is refused with 401 is replaced once and the request repeated; Prometheus waits for its end.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::form_urlencoded::{self, Serializer};

use super::client::{Outgoing, Response, Transport, header_value, read_optional};
use super::config::ClientConfig;
use super::error::HttpError;
use super::oauth2::OAuth2Config;
use crate::clock::Stopwatch;

/// A token is replaced this long before it ends, so that it does not end on its way. That of Go's library.
const EARLY: Duration = Duration::from_secs(10);
/// Bytes of an answer with a token.
const TOKEN_BYTES_MAX: usize = 1 << 20;

/// Where a client's tokens come from.
#[derive(Debug)]
pub(super) struct TokenSource {
    config: OAuth2Config,
    transport: Transport,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    style: Style,
}

/// How the server wants the client's credentials; nobody says so, and Go's library tries, too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Style {
    /// As user name and password, which the standard prefers.
    #[default]
    Header,
    /// As parameters.
    Body,
}

#[derive(Debug)]
struct Token {
    /// Marked sensitive.
    header: HeaderValue,
    age: Stopwatch,
    /// `None` is for ever.
    lifetime: Option<Duration>,
}

impl Token {
    fn is_good(&self) -> bool {
        self.lifetime.is_none_or(|lifetime| self.age.elapsed() + EARLY < lifetime)
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: Option<String>,
    token_type: Option<String>,
    /// Seconds, as a number or a text.
    expires_in: Option<Value>,
    error: Option<String>,
}

impl TokenSource {
    pub(super) fn new(config: OAuth2Config, user_agent: &str) -> Result<TokenSource, HttpError> {
        let client = ClientConfig { tls: config.tls.clone(), proxy: config.proxy.clone(), ..ClientConfig::default() };
        let transport = Transport::new(client, user_agent)?;
        Ok(TokenSource { config, transport, state: Mutex::default() })
    }

    /// The value of `Authorization`: the token at hand, or a new one.
    pub(super) async fn authorization(&self, timeout: Duration) -> Result<HeaderValue, HttpError> {
        let mut state = self.state.lock().await;
        if let Some(token) = state.token.as_ref().filter(|token| token.is_good()) {
            return Ok(token.header.clone());
        }
        let token = self.fetch(&mut state.style, timeout).await?;
        Ok(state.token.insert(token).header.clone())
    }

    /// Drops the token that was refused, unless there is a newer one already.
    pub(super) async fn forget(&self, refused: &HeaderValue) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|token| token.header == *refused) {
            state.token = None;
        }
    }

    async fn fetch(&self, style: &mut Style, timeout: Duration) -> Result<Token, HttpError> {
        let secret = read_optional(&self.config.client_secret)?;
        match self.ask(*style, &secret, timeout).await {
            Err(HttpError::Request(_)) if *style == Style::Header => {
                let token = self.ask(Style::Body, &secret, timeout).await?;
                *style = Style::Body;
                Ok(token)
            }
            asked => asked,
        }
    }

    async fn ask(&self, style: Style, secret: &[u8], timeout: Duration) -> Result<Token, HttpError> {
        let secret = std::str::from_utf8(secret)
            .map_err(|_| HttpError::Request("oauth2: client_secret is not UTF-8 text".to_owned()))?;
        let scope = self.config.scopes.join(" ");
        let mut params = BTreeMap::from([("grant_type", "client_credentials")]);
        if !scope.is_empty() {
            params.insert("scope", &scope);
        }
        params.extend(self.config.endpoint_params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let mut authorization = None;
        match style {
            Style::Header => {
                let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encode(&self.config.client_id), encode(secret));
                authorization = Some(header_value(format!("Basic {}", BASE64.encode(pair)).as_bytes())?);
            }
            Style::Body => {
                params.insert("client_id", &self.config.client_id);
                params.extend(Some(("client_secret", secret)).filter(|_| !secret.is_empty()));
            }
        }
        let body = Serializer::new(String::new()).extend_pairs(params).finish();
        let outgoing = Outgoing {
            url: &self.config.token_url,
            headers: &[(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")],
            body: Some(Bytes::from(body)),
            timeout,
        };
        let age = Stopwatch::start();
        let answer = self.transport.send(&outgoing, authorization.as_ref()).await?;
        read_token(answer, age).await
    }
}

async fn read_token(answer: Response, age: Stopwatch) -> Result<Token, HttpError> {
    let (is_success, status) = (answer.is_success(), answer.status_text());
    let kind = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let body = answer.bytes(TOKEN_BYTES_MAX).await?;
    let granted = granted(&kind, &body);
    if !is_success || granted.as_ref().is_ok_and(|granted| granted.error.is_some()) {
        // The standard's short word, never the body: it may repeat what was sent.
        let word = granted.ok().and_then(|granted| granted.error).filter(|word| is_error_word(word));
        let word = word.map(|word| format!(": {word}")).unwrap_or_default();
        return Err(HttpError::Request(format!("oauth2: cannot fetch token: {status}{word}")));
    }
    let granted = granted?;
    let Some(token) = granted.access_token.filter(|token| !token.is_empty()) else {
        return Err(HttpError::Request("oauth2: server response missing access_token".to_owned()));
    };
    let scheme = match granted.token_type.as_deref() {
        None | Some("") => "Bearer",
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        Some(kind) => kind,
    };
    let seconds = match &granted.expires_in {
        Some(Value::Number(seconds)) => seconds.as_f64(),
        Some(Value::String(seconds)) => seconds.parse().ok(),
        _ => None,
    };
    let lifetime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|time| !time.is_zero());
    Ok(Token { header: header_value(format!("{scheme} {token}").as_bytes())?, age, lifetime })
}

/// Some servers answer with a form.
fn granted(kind: &str, body: &[u8]) -> Result<Granted, HttpError> {
    let is_form = kind.starts_with("application/x-www-form-urlencoded") || kind.starts_with("text/plain");
    if !is_form {
        return serde_json::from_slice(body)
            .map_err(|_| HttpError::Request("oauth2: cannot parse the answer with the token".to_owned()));
    }
    let mut pairs: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    Ok(Granted {
        access_token: pairs.remove("access_token"),
        token_type: pairs.remove("token_type"),
        expires_in: pairs.remove("expires_in").map(Value::String),
        error: pairs.remove("error"),
    })
}

fn is_error_word(word: &str) -> bool {
    !word.is_empty() && word.len() < 64 && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}
