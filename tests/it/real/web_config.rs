//! `--web.config.file` on the real binary: TLS, client certificates, users, rotation under load, and who may reload by HTTP.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Identity, StatusCode};

use super::process::{Running, almenara, free_port, wait_for};
use crate::authority::issue;

/// A configuration that scrapes nobody.
const PLAIN: &str = "global: {scrape_interval: 1s, scrape_timeout: 1s}\n";
const TLS: &str = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";
pub(super) const MUTUAL: &str = "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt, \
                      client_auth_type: RequireAndVerifyClientCert}\n";
const PASSWORD: &str = "open sesame";

/// A daemon with a folder for its files; requests go to loopback.
struct Guarded {
    folder: tempfile::TempDir,
    daemon: Running,
    port: u16,
}

impl Guarded {
    /// Starts in a folder with certificates. `listen` is the address without its port.
    fn start(web: &str, listen: &str, more: &[&str]) -> Guarded {
        let folder = tempfile::tempdir().expect("folder");
        issue(folder.path(), "first");
        fs::write(folder.path().join("web.yml"), web).expect("write");
        fs::write(folder.path().join("almenara.yml"), PLAIN).expect("write");
        let port = free_port();
        let mut command = almenara();
        command.arg("serve").current_dir(folder.path()).args(more);
        command.args(["--web.config.file=web.yml", &format!("--web.listen-address={listen}:{port}")]);
        let daemon = Running::start(&mut command, &folder.path().join("log"));
        let guarded = Guarded { folder, daemon, port };
        wait_for("Almenara is ready", || guarded.daemon.output().contains("ready").then_some(()));
        guarded
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://127.0.0.1:{}{path}", self.port)
    }

    async fn status(&self, client: &Client, url: &str) -> Result<StatusCode, String> {
        client.get(url).send().await.map(|answer| answer.status()).map_err(|error| format!("{error:?}"))
    }
}

/// Every request of such a client comes over a connection of its own.
pub(super) fn builder() -> ClientBuilder {
    // Whoever came first has installed the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(Duration::from_secs(30))
}

/// A client that trusts the authority in `folder` and shows the client's certificate where asked to.
fn client(folder: &Path, shows: Option<&str>) -> Client {
    let read = |name: &str| fs::read(folder.join(name)).expect("read");
    let builder = builder().tls_certs_only([Certificate::from_pem(&read("ca.crt")).expect("certificate")]);
    let builder = match shows {
        None => builder,
        Some(name) => {
            let pem = [read(&format!("{name}.key")), read(&format!("{name}.crt"))].concat();
            builder.identity(Identity::from_pem(&pem).expect("identity"))
        }
    };
    builder.build().expect("client")
}

fn plain_client() -> Client {
    builder().build().expect("client")
}

fn users() -> String {
    format!("basic_auth_users: {{alice: {}}}\n", bcrypt::hash(PASSWORD, 6).expect("hash"))
}

const OWN: &str = "--config.file=almenara.yml";

#[tokio::test(flavor = "multi_thread")]
async fn https_with_an_authority_of_ours() {
    let headers = "http_server_config: {headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=60}}\n";
    let guarded = Guarded::start(&format!("{TLS}{headers}"), "127.0.0.1", &[OWN]);
    let client = client(guarded.path(), None);
    let answer = client.get(guarded.url("https", "/-/ready")).send().await.expect("an answer");
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, reqwest::Version::HTTP_2));
    assert_eq!(answer.headers()["x-frame-options"], "deny");
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=60");
    // Also on what no handler answers.
    let answer = client.get(guarded.url("https", "/nowhere")).send().await.expect("an answer");
    assert_eq!(
        (answer.status(), &answer.headers()["x-frame-options"]),
        (StatusCode::NOT_FOUND, &"deny".parse().unwrap())
    );
    let stranger = plain_client();
    assert!(guarded.status(&stranger, &guarded.url("https", "/-/ready")).await.is_err(), "an unknown authority");
    assert!(guarded.status(&stranger, &guarded.url("http", "/-/ready")).await.is_err(), "no TLS");
    // No flag, but loopback.
    let answer = client.post(guarded.url("https", "/-/reload")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_default_scrapes_itself_over_tls() {
    let guarded = Guarded::start(TLS, "127.0.0.1", &[]);
    let client = client(guarded.path(), None);
    let url = guarded.url("https", "/api/v1/query?query=up");
    for _ in 0..300 {
        let text = client.get(&url).send().await.expect("an answer").text().await.expect("a body");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        if json["data"]["result"][0]["value"][1] == "1" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never saw itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_are_required() {
    let guarded = Guarded::start(MUTUAL, "127.0.0.1", &[OWN]);
    let url = guarded.url("https", "/-/ready");
    assert_eq!(guarded.status(&client(guarded.path(), Some("client")), &url).await, Ok(StatusCode::OK));
    assert!(guarded.status(&client(guarded.path(), None), &url).await.is_err(), "no certificate");
    // A certificate of another authority: issue one beside, with the authority that the client trusts for the server.
    let elsewhere = tempfile::tempdir().expect("folder");
    issue(elsewhere.path(), "other");
    fs::copy(guarded.path().join("ca.crt"), elsewhere.path().join("ca.crt")).expect("copy");
    assert!(guarded.status(&client(elsewhere.path(), Some("client")), &url).await.is_err(), "a foreign certificate");
    // Any certificate is enough where it is not verified; none is not.
    let any =
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAnyClientCert}\n";
    let guarded = Guarded::start(any, "127.0.0.1", &[OWN]);
    let url = guarded.url("https", "/-/ready");
    fs::copy(guarded.path().join("ca.crt"), elsewhere.path().join("ca.crt")).expect("copy");
    assert_eq!(guarded.status(&client(elsewhere.path(), Some("client")), &url).await, Ok(StatusCode::OK));
    assert!(guarded.status(&client(guarded.path(), None), &url).await.is_err(), "no certificate");
}

/// Certificates of one authority are replaced again and again, file after file, while new connections come all the time.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_load_and_nobody_notices() {
    const REQUESTS: usize = 240;
    let guarded = Guarded::start(TLS, "127.0.0.1", &[OWN]);
    // Both authorities are trusted, so that the client takes what the server shows at any time.
    let first = fs::read(guarded.path().join("ca.crt")).expect("read");
    let next = tempfile::tempdir().expect("folder");
    issue(next.path(), "second");
    let second = fs::read(next.path().join("ca.crt")).expect("read");
    let authorities = [&first, &second].map(|pem| Certificate::from_pem(pem).expect("certificate"));
    let both = builder().tls_certs_only(authorities).build().expect("client");
    let url = guarded.url("https", "/-/healthy");
    let (old, new) = (tempfile::tempdir().expect("folder"), next);
    for name in ["server.crt", "server.key"] {
        fs::copy(guarded.path().join(name), old.path().join(name)).expect("copy");
    }
    let mut swaps = 0;
    for request in 0..REQUESTS {
        if request % 6 == 0 {
            // In place and one file after the other: for a while the pair does not fit, or is half written.
            let from = if (request / 12) % 2 == 0 { new.path() } else { old.path() };
            let name = if (request / 6) % 2 == 0 { "server.crt" } else { "server.key" };
            let text = fs::read(from.join(name)).expect("read");
            fs::write(guarded.path().join(name), &text[..text.len() / 2]).expect("write");
            assert_eq!(guarded.status(&both, &url).await, Ok(StatusCode::OK), "request {request}, half a file");
            fs::write(guarded.path().join(name), &text).expect("write");
            swaps += 1;
        }
        assert_eq!(guarded.status(&both, &url).await, Ok(StatusCode::OK), "request {request}");
    }
    assert!(swaps >= 40 && guarded.daemon.output().matches("web configuration loaded").count() >= 10);
    // What is in force is what is in the files: after a swap to the second authority the first alone no longer suffices.
    for name in ["server.crt", "server.key"] {
        fs::copy(new.path().join(name), guarded.path().join(name)).expect("copy");
    }
    assert_eq!(guarded.status(&client(new.path(), None), &url).await, Ok(StatusCode::OK));
    assert!(guarded.status(&client(guarded.path(), None), &url).await.is_err(), "the first authority alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_their_passwords() {
    let guarded = Guarded::start(&users(), "127.0.0.1", &[OWN, "--log.level=debug"]);
    let client = plain_client();
    for path in ["/", "/metrics", "/-/ready", "/api/v1/query?query=1", "/nowhere"] {
        let answer = client.get(guarded.url("http", path)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.headers()["www-authenticate"], "Basic", "{path}");
    }
    let ask = async |user: &str, password: &str| {
        let request = client.get(guarded.url("http", "/metrics")).basic_auth(user, Some(password));
        request.send().await.expect("an answer").status()
    };
    for _ in 0..2 {
        assert_eq!(ask("alice", PASSWORD).await, StatusCode::OK);
        assert_eq!(ask("alice", "wr0ng").await, StatusCode::UNAUTHORIZED);
        assert_eq!(ask("bob", PASSWORD).await, StatusCode::UNAUTHORIZED);
    }
    // Another password, without a restart; then a file that is wrong, and one that would let everybody in.
    let change = |text: &str| fs::write(guarded.path().join("web.yml"), text).expect("write");
    let hash = bcrypt::hash("another one", 5).expect("hash");
    change(&format!("basic_auth_users: {{alice: {hash}}}\n"));
    assert_eq!(ask("alice", PASSWORD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask("alice", "another one").await, StatusCode::OK);
    for refused in ["basic_auth_users: {alice: another one}\n", "", TLS] {
        change(refused);
        for _ in 0..3 {
            assert_eq!(ask("alice", "another one").await, StatusCode::OK, "{refused}");
            assert_eq!(ask("alice", "").await, StatusCode::UNAUTHORIZED, "{refused}");
        }
    }
    let log = guarded.daemon.output();
    assert_eq!(log.matches("web configuration refused").count(), 3, "{log}");
    for secret in [PASSWORD, "another one", "wr0ng", &hash, &hash[7..]] {
        assert!(!log.contains(secret), "{secret} stands in the log: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_reload_beyond_loopback() {
    let reload = async |web: &str, flags: &[&str], password: Option<&str>| {
        let guarded = Guarded::start(web, "0.0.0.0", &[&[OWN], flags].concat());
        let request = plain_client().post(guarded.url("http", "/-/reload"));
        let request = if password.is_some() { request.basic_auth("alice", password) } else { request };
        request.send().await.expect("an answer").status()
    };
    let users = users();
    assert_eq!(reload(&users, &[], Some(PASSWORD)).await, StatusCode::OK);
    assert_eq!(reload(&users, &["--web.enable-lifecycle"], None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(reload("", &[], None).await, StatusCode::FORBIDDEN);
    assert_eq!(reload("", &["--web.enable-lifecycle"], None).await, StatusCode::OK);
    // A certificate that is verified authenticates; one that is not does not.
    for (web, expected) in [
        (MUTUAL.to_owned(), StatusCode::OK),
        (MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"), StatusCode::FORBIDDEN),
    ] {
        let guarded = Guarded::start(&web, "0.0.0.0", &[OWN]);
        let client = client(guarded.path(), Some("client"));
        let answer = client.post(guarded.url("https", "/-/reload")).send().await.expect("an answer");
        assert_eq!(answer.status(), expected, "{web}");
    }
}
