//! Decoding, and clients against servers on loopback.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::source::decode::Decoder;
use crate::source::{SourceFile, yaml};

const TIMEOUT: Duration = Duration::from_secs(10);

fn decode(text: &str) -> (ClientConfig, Vec<String>) {
    let source = SourceFile::new("f.yml", text);
    let node = yaml::parse(&source).0.expect("the test's YAML is fine");
    let mut decoder = Decoder::new(&source);
    let config = ClientConfig::decode_node(&mut decoder, &node).unwrap_or_default();
    (config, decoder.finish().iter().map(ToString::to_string).collect())
}

/// A configuration, and what is said of it.
const REFUSED: &[(&str, &str)] = &[
    (
        "basic_auth: {username: a, username_file: b}",
        "at most one of basic_auth username, username_file & username_ref must",
    ),
    (
        "basic_auth: {password: a, password_file: b}",
        "at most one of basic_auth password, password_file & password_ref must",
    ),
    (
        "{basic_auth: {username: a}, bearer_token: x}",
        "f.yml:1:29: at most one of basic_auth, oauth2, bearer_token & bearer_",
    ),
    ("{bearer_token: x, bearer_token_file: y}", "f.yml:1:19: at most one of bearer_token & bearer_token_file must be"),
    (
        "authorization: {type: Basic}",
        r#"f.yml:1:17: authorization type cannot be set to "basic", use "basic_auth" instead"#,
    ),
    (
        "authorization: {credentials: x, credentials_file: y}",
        "at most one of authorization credentials & credentials_file",
    ),
    (
        "{authorization: {credentials: x}, bearer_token: y}",
        "authorization is not compatible with bearer_token & bearer_to",
    ),
    ("{authorization: {}, basic_auth: {}}", "at most one of basic_auth, oauth2 & authorization must be configured"),
    ("tls_config: {cert_file: x}", "f.yml:1:13: exactly one of key or key_file must be configured when a client cert"),
    ("tls_config: {key: x}", "exactly one of cert or cert_file must be configured when a client key is configured"),
    ("tls_config: {ca: x, ca_file: y}", "f.yml:1:21: at most one of ca, ca_file & ca_ref must be configured"),
    ("tls_config: {min_version: TLS09}", "f.yml:1:27: unknown TLS version: TLS09"),
    ("tls_config: {max_version: TLS11}", "f.yml:1:14: only TLS 1.2 and 1.3 are spoken"),
    (
        "tls_config: {min_version: TLS13, max_version: TLS12}",
        "max_version must be greater than or equal to tls_config.min",
    ),
    ("http_headers: {authorization: {values: [a]}}", r#"f.yml:1:16: setting header "authorization" is not allowed"#),
    ("http_headers: {'a b': {values: [a]}}", r#""a b" is not a header name"#),
    ("oauth2: {client_id: x}", "f.yml:1:9: oauth2 token_url cannot be empty"),
    ("oauth2: {client_id: x, token_url: ''}", "f.yml:1:35: oauth2 token_url cannot be empty"),
    ("oauth2: {client_id: x, token_url: a/b}", "f.yml:1:35: oauth2 token_url is not an http or https URL"),
    ("oauth2: {token_url: 'http://a'}", "f.yml:1:9: oauth2 client_id cannot be empty"),
    (
        "oauth2: {client_id: x, token_url: 'http://a', client_secret: x, client_secret_file: y}",
        "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured",
    ),
    ("oauth2: {client_id: x, token_url: 'http://a', grant_type: x}", r#"the key "grant_type" in oauth2 is not"#),
    (
        "{basic_auth: {}, oauth2: {client_id: x, token_url: 'http://a'}}",
        "f.yml:1:18: at most one of basic_auth, oauth2 & authorization must be configured",
    ),
    (
        "{authorization: {}, oauth2: {client_id: x, token_url: 'http://a'}}",
        "f.yml:1:2: at most one of basic_auth, oauth2 & authorization must be configured",
    ),
    (
        "{bearer_token: x, oauth2: {client_id: x, token_url: 'http://a'}}",
        "f.yml:1:2: at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
    ),
    (
        "{proxy_url: 'http://a:1', proxy_from_environment: true}",
        "if proxy_from_environment is configured, proxy_url must not be configured",
    ),
    (
        "{no_proxy: a, proxy_from_environment: true}",
        "if proxy_from_environment is configured, no_proxy must not be configured",
    ),
    ("no_proxy: a", "if no_proxy is configured, proxy_url must also be configured"),
    ("proxy_url: 'ftp://u:pw@a:1'", "f.yml:1:12: not the URL of a proxy; write http"),
    ("proxy_connect_header: {a: [b]}", r#"the key "proxy_connect_header" in HTTP client config is not supported"#),
    ("bearer_tokn: x", r#"did you mean "bearer_token"?"#),
];

#[test]
fn refuses_what_prometheus_refuses() {
    for (text, expected) in REFUSED {
        let (_, errors) = decode(text);
        assert!(errors.len() == 1 && errors[0].contains(expected), "{text}: {errors:?}");
    }
}

#[test]
fn resolves_files_and_hides_secrets() {
    let (mut config, errors) = decode(
        "{basic_auth: {username: ana, password_file: pw}, tls_config: {ca_file: /ca, cert_file: c, key: KEY},\n\
         http_headers: {X-A: {values: [v], secrets: [s3cret], files: [h]}}, follow_redirects: no}",
    );
    assert!(errors.is_empty(), "{errors:?}");
    config.resolve_paths(Path::new("/etc/x"));
    let file = |path: &str| Some(Text::File(path.into()));
    assert!(matches!(&config.auth, Auth::Basic { password, .. } if *password == file("/etc/x/pw")));
    assert_eq!((config.tls.ca.clone(), config.tls.cert.clone()), (file("/ca"), file("/etc/x/c")));
    assert_eq!(config.headers[0].values[2], Text::File("/etc/x/h".into()));
    assert!(!config.follow_redirects && config.enable_http2);
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("KEY") && !shown.contains("ana"), "{shown}");
}

/// Answers each connection's requests by `answer(request head)`; closes after each answer.
async fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer_one(stream, answer.clone()));
        }
    });
    address
}

async fn answer_one(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Arc<dyn Fn(&str) -> String + Send + Sync>,
) {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    let text = answer(&String::from_utf8_lossy(&head));
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.ok();
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nx-a: b\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn client(config: ClientConfig) -> Client {
    Client::new(config, "Almenara/test").unwrap()
}

#[tokio::test]
async fn sends_credentials_that_rotate() {
    let address = serve(ok).await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("pw"), "one\n").unwrap();
    let (mut config, _) =
        decode("{basic_auth: {username: ana, password_file: pw}, http_headers: {X-Who: {values: [a, b]}}}");
    config.resolve_paths(directory.path());
    let client = client(config);
    let url = format!("http://{address}/m?x=1");
    let response = client.get(&url, &[("accept", "text/plain")], TIMEOUT).await.unwrap();
    assert_eq!((response.status(), response.header("x-a")), (200, Some("b")));
    assert_eq!(response.status_text(), "200 OK");
    let seen = String::from_utf8(response.bytes(10_000).await.unwrap().to_vec()).unwrap().to_lowercase();
    for expected in ["get /m?x=1 http/1.1", "accept: text/plain", "user-agent: almenara/test", "x-who: a", "x-who: b"] {
        assert!(seen.contains(expected), "{expected} in {seen}");
    }
    assert!(seen.contains("authorization: basic yw5hom9uzq=="), "{seen}");
    std::fs::write(directory.path().join("pw"), "two\n").unwrap();
    let response = client.post_json(&url, Bytes::from_static(b"{}"), TIMEOUT).await.unwrap();
    let seen = String::from_utf8(response.bytes(10_000).await.unwrap().to_vec()).unwrap().to_lowercase();
    assert!(seen.contains("authorization: basic yw5honr3bw=="), "{seen}");
    assert!(seen.starts_with("post") && seen.contains("content-type: application/json"), "{seen}");
    std::fs::remove_file(directory.path().join("pw")).unwrap();
    let error = client.get(&url, &[], TIMEOUT).await.unwrap_err().to_string();
    assert!(error.starts_with("unable to read file") && error.ends_with("pw: no such file or directory"), "{error}");
}

#[tokio::test]
async fn failures_have_short_texts_without_the_url() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap();
    let cut = serve(|_| "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_owned()).await;
    let empty = serve(|_| String::new()).await;
    let client = client(ClientConfig::default());
    for (url, expected) in [
        (format!("http://u:pw@{closed}/secret"), format!("dial tcp {closed}: connect: connection refused")),
        (format!("http://{silent_address}/secret"), "context deadline exceeded".to_owned()),
        (
            "http://no-such-host.invalid:1/secret".to_owned(),
            "dial tcp: lookup no-such-host.invalid: no such host".to_owned(),
        ),
        ("secret".to_owned(), "not a URL: relative URL without a base".to_owned()),
    ] {
        let error = client.get(&url, &[], Duration::from_millis(500)).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let response = client.get(&format!("http://{cut}/secret"), &[], TIMEOUT).await.unwrap();
    let error = response.bytes(100).await.unwrap_err();
    assert!(matches!(&error, HttpError::Broken(_)) && !error.to_string().contains("secret"), "{error:?}");
    let response = client.get(&format!("http://{cut}/"), &[], TIMEOUT).await.unwrap();
    assert_eq!(response.bytes(3).await.unwrap_err(), HttpError::TooLarge { limit: 3 });
    let error = client.get(&format!("http://{empty}/secret"), &[], TIMEOUT).await.unwrap_err();
    assert!(matches!(&error, HttpError::Broken(_)) && !error.to_string().contains("secret"), "{error:?}");
}

#[tokio::test]
async fn redirects_lose_neither_body_nor_secrets() {
    let other = serve(ok).await;
    let here = serve(move |head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let Some((status, place)) = path[1..].split_once('/') else { return ok(head) };
        let location = match place {
            "here" => "/final".to_owned(),
            "there" => format!("http://{other}/final"),
            _ => path.to_owned(),
        };
        format!("HTTP/1.1 {status} X\r\nlocation: {location}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let own_header = "http_headers: {X-Key: {values: [k]}}";
    for (method, config, path, status) in [
        ("GET", "{}", "302/here", 200),
        ("GET", "{}", "302/there", 200),
        ("GET", "follow_redirects: false", "302/here", 302),
        ("GET", own_header, "302/here", 200),
        ("GET", own_header, "302/there", 302),
        ("POST", "{}", "302/here", 302),
        ("POST", "{}", "301/here", 301),
        ("POST", "{}", "307/here", 200),
        ("POST", "{}", "308/there", 200),
    ] {
        let (client, url) = (client(decode(config).0), format!("http://{here}/{path}"));
        let response = match method {
            "GET" => client.get(&url, &[], TIMEOUT).await,
            _ => client.post_json(&url, Bytes::from_static(b"{}"), TIMEOUT).await,
        };
        assert_eq!(response.unwrap().status(), status, "{method} {config} {path}");
    }
    let with_token = client(decode("bearer_token: t0ken").0);
    for (path, is_sent) in [("302/here", true), ("302/there", false)] {
        let response = with_token.get(&format!("http://{here}/{path}"), &[], TIMEOUT).await.unwrap();
        let seen = String::from_utf8(response.bytes(10_000).await.unwrap().to_vec()).unwrap();
        assert_eq!(seen.contains("t0ken"), is_sent, "{path}: {seen}");
    }
    let error = with_token.get(&format!("http://{here}/302/again"), &[], TIMEOUT).await.unwrap_err();
    assert_eq!(error.to_string(), "stopped after 10 redirects");
}

#[tokio::test]
async fn goes_through_the_proxy_but_for_the_exceptions() {
    let proxy = serve(ok).await;
    let target = serve(|_| ok("direct")).await;
    let get = async |config: &str, url: &str| {
        let (config, errors) = decode(config);
        assert!(errors.is_empty(), "{errors:?}");
        let body = client(config).get(url, &[], TIMEOUT).await.unwrap().bytes(10_000).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap().to_lowercase()
    };
    let through = format!("proxy_url: 'http://u:pw@{proxy}'");
    let seen = get(&through, "http://no-such-host.invalid/m").await;
    assert!(seen.starts_with("get http://no-such-host.invalid/m http/1.1"), "{seen}");
    assert!(seen.contains("proxy-authorization: basic dtpwdw=="), "{seen}");
    assert_eq!(get(&format!("{{{through}, no_proxy: '127.0.0.0/8,x'}}"), &format!("http://{target}/")).await, "direct");

    let (config, _) = decode("proxy_url: 'http://u:pw@127.0.0.1:1'");
    let error = client(config).get(&format!("http://{target}/"), &[], TIMEOUT).await.unwrap_err().to_string();
    assert_eq!(error, format!("dial tcp {target} or its proxy: connect: connection refused"));
}

/// An authority and what it signed, as PEM.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn sign(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A TLS server that demands a client certificate of `authority`.
async fn serve_tls(authority: &Authority, name: &str) -> String {
    let (cert, key) = authority.sign(name);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer_one(stream, Arc::new(|_: &str| ok("hello"))).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn certificates_rotate_while_running() {
    let (old, new) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let (cert, key) = old.sign("client");
    write("ca", &old.pem());
    write("cert", &cert);
    write("key", &key);
    let (mut config, _) = decode("tls_config: {ca_file: ca, cert_file: cert, key_file: key}");
    config.resolve_paths(directory.path());
    let client = client(config);
    let (old_server, new_server) = (serve_tls(&old, "127.0.0.1").await, serve_tls(&new, "127.0.0.1").await);
    let get = async |address: &str| client.get(&format!("https://{address}/"), &[], TIMEOUT).await.map(|r| r.status());
    assert_eq!(get(&old_server).await, Ok(200));
    let error = get(&new_server).await.unwrap_err();
    assert!(
        matches!(&error, HttpError::Handshake(text) if text.contains("x509: certificate signed by unknown authority")),
        "{error:?}"
    );

    let (cert, key) = new.sign("client");
    write("cert", &cert[..cert.len() / 2]);
    assert_eq!(get(&old_server).await, Ok(200), "a half-written certificate keeps the old client");
    write("cert", &cert);
    assert_eq!(get(&old_server).await, Ok(200), "so does a certificate whose key has not come yet");
    write("key", &key);
    write("ca", &new.pem());
    assert_eq!(get(&new_server).await, Ok(200));
    assert!(get(&old_server).await.is_err());
}

#[tokio::test]
async fn checks_the_servers_name_unless_told_otherwise() {
    let authority = Authority::new();
    let address = serve_tls(&authority, "am.example").await;
    let (cert, key) = authority.sign("client");
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("ca", authority.pem()), ("cert", cert), ("key", key)] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    for (more, works) in [
        ("", false),
        ("server_name: am.example", true),
        ("server_name: other.example", false),
        ("insecure_skip_verify: true", true),
        ("server_name: am.example, max_version: TLS12", true),
    ] {
        let (mut config, errors) =
            decode(&format!("tls_config: {{ca_file: ca, cert_file: cert, key_file: key, {more}}}"));
        assert!(errors.is_empty(), "{errors:?}");
        config.resolve_paths(directory.path());
        let answer = client(config).get(&format!("https://{address}/"), &[], TIMEOUT).await;
        assert_eq!(answer.is_ok(), works, "{more}: {:?}", answer.err());
    }
    let (config, _) = decode("tls_config: {ca_file: /no/such/file}");
    assert_eq!(
        Client::new(config, "x").unwrap_err().to_string(),
        "unable to read file /no/such/file: no such file or directory"
    );
}
