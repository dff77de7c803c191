//! A client that survives the rotation of its files.
//!
//! In the flow: callers hold one [`Client`] per configuration and share it; connections are pooled inside.
//! **Cost.** A request looks at the metadata of the TLS files (at most three) and reads the credential files, if any are named.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use hyper::ext::ReasonPhrase;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url, redirect};

use super::config::{Auth, ClientConfig, Text};
use super::error::HttpError;
use super::pem;
use super::proxy::Proxy;
use super::rotating::Rotating;
use super::token::TokenSource;

/// Redirects followed for one request, as Go's client.
pub const REDIRECTS_MAX: usize = 10;

/// Headers of an answer. Real ones have fewer than 30.
pub const HEADERS_MAX: usize = 100;
/// Bytes of an answer's head: what the library holds at most before it must make sense of it.
pub(super) const HEAD_BYTES_MAX: usize = 8192 + 4096 * 100;

/// Sends requests with the authentication and TLS of its configuration. Share it; it pools its connections.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    tokens: Option<TokenSource>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// With a body it is a POST, without one a GET.
    pub(super) body: Option<Bytes>,
    pub(super) timeout: Duration,
}

/// A client but for tokens, which are had by a transport of their own.
#[derive(Debug)]
pub(super) struct Transport {
    config: ClientConfig,
    user_agent: String,
    built: Rotating<Clients>,
}

/// One per method, since the library's redirect policy is the client's.
#[derive(Clone, Debug)]
struct Clients {
    get: reqwest::Client,
    post: reqwest::Client,
}

impl Client {
    /// A client that names itself `user_agent`. Fails when a certificate or key cannot be used.
    pub fn new(config: ClientConfig, user_agent: &str) -> Result<Client, HttpError> {
        let tokens = match &config.auth {
            Auth::OAuth2(oauth2) => Some(TokenSource::new((**oauth2).clone(), user_agent)?),
            _ => None,
        };
        Ok(Client { transport: Transport::new(config, user_agent)?, tokens })
    }

    /// GET `url` with further headers; the time covers everything up to the end of the body.
    pub async fn get(&self, url: &str, headers: &[(&str, &str)], timeout: Duration) -> Result<Response, HttpError> {
        self.send(Outgoing { url, headers, body: None, timeout }).await
    }

    /// POST `body` as `application/json`; the time covers everything up to the end of the answer.
    pub async fn post_json(&self, url: &str, body: Bytes, timeout: Duration) -> Result<Response, HttpError> {
        let headers = &[(CONTENT_TYPE.as_str(), "application/json")];
        self.send(Outgoing { url, headers, body: Some(body), timeout }).await
    }

    /// POST `body` with further headers, `Content-Type` among them; the time covers everything up to the end of the answer.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response, HttpError> {
        self.send(Outgoing { url, headers, body: Some(body), timeout }).await
    }

    /// A token that the server refuses is replaced once; getting one has the same time as the request.
    async fn send(&self, outgoing: Outgoing<'_>) -> Result<Response, HttpError> {
        let Some(tokens) = &self.tokens else { return self.transport.send(&outgoing, None).await };
        let token = tokens.authorization(outgoing.timeout).await?;
        let answer = self.transport.send(&outgoing, Some(&token)).await?;
        if answer.status() != 401 {
            return Ok(answer);
        }
        tokens.forget(&token).await;
        let token = tokens.authorization(outgoing.timeout).await?;
        self.transport.send(&outgoing, Some(&token)).await
    }
}

impl Transport {
    pub(super) fn new(config: ClientConfig, user_agent: &str) -> Result<Transport, HttpError> {
        let stamps = config.tls.stamps();
        let clients = build(&config, user_agent)?;
        Ok(Transport { config, user_agent: user_agent.to_owned(), built: Rotating::new(clients, stamps) })
    }

    /// Sends with the configured headers; `authorization` is what a token says.
    pub(super) async fn send(
        &self,
        outgoing: &Outgoing<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, HttpError> {
        let url = Url::parse(outgoing.url).map_err(|error| HttpError::Request(format!("not a URL: {error}")))?;
        let mut address = address_of(&url);
        if self.config.proxy != Proxy::Direct {
            address.push_str(" or its proxy");
        }
        let mut all = self.configured_headers()?;
        if let Some(value) = authorization {
            all.insert(AUTHORIZATION, value.clone());
        }
        for (name, value) in outgoing.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| HttpError::Request("not a header name".to_owned()))?;
            all.insert(name, header_value(value.as_bytes())?);
        }
        let clients = self.current();
        let request = match &outgoing.body {
            Some(body) => clients.post.post(url).body(body.clone()),
            None => clients.get.get(url),
        };
        match request.timeout(outgoing.timeout).headers(all).send().await {
            Ok(inner) => Ok(Response { inner, address }),
            Err(error) => Err(HttpError::from_reqwest(error, &address)),
        }
    }

    /// The library's clients, rebuilt if a TLS file changed.
    fn current(&self) -> Clients {
        self.built.fresh(|_| {
            let stamps = self.config.tls.stamps();
            let built = build(&self.config, &self.user_agent);
            if let Err(error) = &built {
                tracing::warn!(%error, "new TLS files cannot be used, the last good ones stay");
            }
            (built.ok(), stamps)
        })
    }

    fn configured_headers(&self) -> Result<HeaderMap, HttpError> {
        let mut headers = HeaderMap::new();
        let authorization = match &self.config.auth {
            Auth::None | Auth::OAuth2(_) => None,
            Auth::Basic { username, password } => {
                let pair = [read_optional(username)?, b":".to_vec(), read_optional(password)?].concat();
                Some([b"Basic ".to_vec(), BASE64.encode(pair).into_bytes()].concat())
            }
            Auth::Scheme { scheme, credentials } => {
                Some([scheme.as_bytes().to_vec(), b" ".to_vec(), read_optional(credentials)?].concat())
            }
        };
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, header_value(&value)?);
        }
        for header in &self.config.headers {
            let name = HeaderName::from_bytes(header.name.as_bytes())
                .expect("BUG: header names are checked when they are decoded");
            for value in &header.values {
                headers.append(name.clone(), header_value(&read_trimmed(value)?)?);
            }
        }
        Ok(headers)
    }
}

/// Values are marked sensitive, so that no library logs them.
pub(super) fn header_value(value: &[u8]) -> Result<HeaderValue, HttpError> {
    let mut value = HeaderValue::from_bytes(value)
        .map_err(|_| HttpError::Request("a header value or credential holds a control character".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn read_optional(text: &Option<Text>) -> Result<Vec<u8>, HttpError> {
    text.as_ref().map_or(Ok(Vec::new()), read_trimmed)
}

/// Inline texts as they are, files without the white space around (editors end files with a newline).
fn read_trimmed(text: &Text) -> Result<Vec<u8>, HttpError> {
    let bytes = pem::read(text)?;
    Ok(if matches!(text, Text::File(_)) { bytes.trim_ascii().to_vec() } else { bytes })
}

fn build(config: &ClientConfig, user_agent: &str) -> Result<Clients, HttpError> {
    let mut tls = config.tls.load()?;
    let protocols: &[&str] = if config.enable_http2 { &["h2", "http/1.1"] } else { &["http/1.1"] };
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let of_method = |method: Method| {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .redirect(redirect_policy(config, &method))
            .referer(false)
            .http1_max_headers(HEADERS_MAX)
            .user_agent(user_agent);
        let builder = config.proxy.apply(builder)?;
        let builder = if config.enable_http2 { builder } else { builder.http1_only() };
        builder.build().map_err(|error| HttpError::Request(error.without_url().to_string()))
    };
    Ok(Clients { get: of_method(Method::GET)?, post: of_method(Method::POST)? })
}

/// The library drops `Authorization` when a redirect leaves the host, but knows nothing of our own headers; and it turns a POST
/// into a GET on 301, 302 and 303, whose 200 would then pass for a delivery.
fn redirect_policy(config: &ClientConfig, method: &Method) -> redirect::Policy {
    if !config.follow_redirects {
        return redirect::Policy::none();
    }
    let (has_own_headers, is_post) = (!config.headers.is_empty(), method == Method::POST);
    redirect::Policy::custom(move |attempt| {
        let leaves = attempt.previous().last().is_none_or(|from| address_of(from) != address_of(attempt.url()));
        let loses_body = is_post && !matches!(attempt.status().as_u16(), 307 | 308);
        if loses_body || (leaves && has_own_headers) {
            attempt.stop()
        } else if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error("stopped after 10 redirects")
        } else {
            attempt.follow()
        }
    })
}

fn address_of(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(0))
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Response {
    inner: reqwest::Response,
    address: String,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// Code and words, as `503 Service Unavailable`.
    pub fn status_text(&self) -> String {
        let status = self.inner.status();
        // The server's own words, where they are not the usual ones.
        let own =
            self.inner.extensions().get::<ReasonPhrase>().map(|phrase| String::from_utf8_lossy(phrase.as_bytes()));
        let words = own.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().into());
        format!("{} {words}", status.as_u16()).trim_end().to_owned()
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        self.inner.status().is_success()
    }

    /// A header's value, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The next piece of the body, `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        self.inner.chunk().await.map_err(|error| HttpError::from_reqwest(error, &self.address))
    }

    /// The rest of the body, refused as soon as it is longer than `limit` bytes.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, HttpError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > limit {
                return Err(HttpError::TooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}
