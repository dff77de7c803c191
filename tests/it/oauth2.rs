//! Tokens by client credentials, between a server that grants them and one that wants them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use almenara::http::{Client, ClientConfig};
use almenara::source::decode::Decoder;
use almenara::source::{SourceFile, yaml};

use crate::loopback::{Server, response};

const JSON: &str = "content-type: application/json\r\n";
const TIMEOUT: Duration = Duration::from_secs(10);

fn client(text: &str) -> Client {
    let source = SourceFile::new("f.yml", text);
    let node = yaml::parse(&source).0.expect("the test's YAML is fine");
    let mut decoder = Decoder::new(&source);
    let config = ClientConfig::decode_node(&mut decoder, &node).unwrap();
    let diagnostics = decoder.finish();
    assert!(diagnostics.is_empty(), "{diagnostics}");
    assert!(!format!("{config:?}").contains("s3"), "{config:?}");
    Client::new(config, "Almenara/test").unwrap()
}

/// Grants `token-1`, `token-2`, … with the rest of the answer as given.
async fn granting(rest: &'static str) -> Server {
    Server::start(move |number, _| {
        let body = format!(r#"{{"access_token": "token-{}"{rest}}}"#, number + 1);
        Some(response("200 OK", JSON, &body))
    })
    .await
}

/// Takes what is at least the `wanted` token.
async fn wanting(wanted: Arc<AtomicUsize>) -> Server {
    Server::start(move |_, request| {
        let token = request.head.lines().find_map(|line| line.strip_prefix("authorization: bearer token-"));
        let is_good = token.is_some_and(|token| token.parse::<usize>().unwrap() >= wanted.load(Ordering::Relaxed));
        Some(response(if is_good { "200 OK" } else { "401 Unauthorized" }, "", ""))
    })
    .await
}

async fn status(client: &Client, server: &Server) -> u16 {
    client.get(&format!("http://{}/m", server.address), &[], TIMEOUT).await.unwrap().status()
}

#[tokio::test]
async fn a_token_is_kept_until_it_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "s3 +cret\n").unwrap();
    let tokens = granting(r#", "token_type": "bearer", "expires_in": 3600"#).await;
    let wanted = Arc::new(AtomicUsize::new(1));
    let api = wanting(wanted.clone()).await;
    let client = client(&format!(
        "oauth2: {{client_id: 'a:b', client_secret_file: '{}', token_url: 'http://{}/token', scopes: [r, w], \
         endpoint_params: {{audience: x}}}}",
        secret.display(),
        tokens.address
    ));
    for _ in 0..3 {
        assert_eq!(status(&client, &api).await, 200);
    }
    assert_eq!(tokens.requests().len(), 1);
    let request = &tokens.requests()[0];
    // a%3Ab:s3+%2Bcret: both parts are encoded as in a form before they are joined.
    assert!(request.head.contains("authorization: basic ysuzqwi6czmrjtjcy3jlda=="), "{}", request.head);
    assert!(request.head.contains("content-type: application/x-www-form-urlencoded"), "{}", request.head);
    assert_eq!(request.body, "audience=x&grant_type=client_credentials&scope=r+w");

    wanted.store(2, Ordering::Relaxed);
    assert_eq!(status(&client, &api).await, 200, "a new token, and the request again");
    assert_eq!((tokens.requests().len(), api.requests().len()), (2, 5));
    let posted = client.post_json(&format!("http://{}/", api.address), "{}".into(), TIMEOUT).await.unwrap();
    assert_eq!(posted.status(), 200);
    wanted.store(9, Ordering::Relaxed);
    assert_eq!(status(&client, &api).await, 401, "once, not for ever");
    assert_eq!(tokens.requests().len(), 3);
}

#[tokio::test]
async fn a_token_that_ends_soon_is_replaced() {
    for (rest, requests) in [(r#", "expires_in": "5""#, 2), (r#", "expires_in": 0"#, 1), ("", 1)] {
        let tokens = granting(rest).await;
        let api = wanting(Arc::new(AtomicUsize::new(1))).await;
        let client = client(&format!("oauth2: {{client_id: a, token_url: 'http://{}/'}}", tokens.address));
        for _ in 0..2 {
            assert_eq!(status(&client, &api).await, 200);
        }
        assert_eq!(tokens.requests().len(), requests, "{rest}");
    }
}

#[tokio::test]
async fn credentials_go_into_the_body_where_the_header_is_refused() {
    let tokens = Server::start(|_, request| {
        let form = "content-type: application/x-www-form-urlencoded\r\n";
        Some(match request.head.contains("authorization:") {
            true => response("400 Bad Request", JSON, r#"{"error": "invalid_client"}"#),
            false => response("200 OK", form, "access_token=token-1&expires_in=5"),
        })
    })
    .await;
    let api = wanting(Arc::new(AtomicUsize::new(1))).await;
    let client =
        client(&format!("oauth2: {{client_id: a, client_secret: s3cret, token_url: 'http://{}/'}}", tokens.address));
    for _ in 0..2 {
        assert_eq!(status(&client, &api).await, 200);
    }
    let bodies: Vec<String> = tokens.requests().into_iter().map(|request| request.body).collect();
    let in_body = "client_id=a&client_secret=s3cret&grant_type=client_credentials";
    assert_eq!(bodies, ["grant_type=client_credentials", in_body, in_body], "what worked is tried first");
}

#[tokio::test]
async fn failures_tell_no_secret() {
    for (status, headers, body, expected) in [
        (
            "401 Unauthorized",
            JSON,
            r#"{"error": "invalid_client"}"#,
            "oauth2: cannot fetch token: 401 Unauthorized: invalid_client",
        ),
        ("401 Unauthorized", JSON, r#"{"error": "bad s3cret"}"#, "oauth2: cannot fetch token: 401 Unauthorized"),
        ("503 Service Unavailable", "", "s3cret", "oauth2: cannot fetch token: 503 Service Unavailable"),
        ("200 OK", JSON, r#"{"error": "slow_down"}"#, "oauth2: cannot fetch token: 200 OK: slow_down"),
        ("200 OK", JSON, "{}", "oauth2: server response missing access_token"),
        ("200 OK", JSON, "s3cret", "oauth2: cannot parse the answer with the token"),
        ("200 OK", JSON, r#"{"access_token": "a\nb"}"#, "a header value or credential holds a control character"),
    ] {
        let tokens = Server::start(move |_, _| Some(response(status, headers, body))).await;
        let client = client(&format!(
            "oauth2: {{client_id: a, client_secret: s3cret, token_url: 'http://{}/?hidden'}}",
            tokens.address
        ));
        let error = client.get("http://127.0.0.1:1/", &[], TIMEOUT).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
