//! Every certificate and the authority itself replaced, again and again, under load: targets are scraped, alerts are sent and
//! people ask, all over mutual TLS, without one failed request at either end.
//!
//! As operators do it: first both authorities are trusted everywhere, then all certificates are replaced, then the old authority is
//! forgotten; each step when whatever was under way before it has ended. Files are rewritten in place, in two pieces.

// The figures of a run are printed.
#![allow(clippy::print_stderr)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::{Certificate, Client, Identity};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::RwLock;
use tokio_rustls::TlsAcceptor;

use super::process::{Running, almenara, free_port, wait_for};
use super::web_config::{MUTUAL, builder};
use crate::authority::{Authority, Signed, Validity, issue_by, put, server_config};
use crate::loopback::read_request;

const ROTATIONS: usize = 4;
const TARGETS: usize = 20;
const ALERTMANAGERS: usize = 8;
/// Those who ask our own port, each again and again.
const CALLERS: usize = 8;
/// Between two requests of a caller, so that the machine has time for the others, too.
const CALLER_PAUSE: Duration = Duration::from_millis(40);
/// While it lasts, a file is half of what it shall be.
const HALF_TIME: Duration = Duration::from_millis(30);
/// A connection to a target or an Alertmanager serves so many requests, so that there are old ones and new ones.
const REQUESTS_PER_CONNECTION: usize = 3;

/// What the targets and Alertmanagers show and trust, and what went wrong with them.
#[derive(Default)]
struct Ends {
    config: Mutex<Option<Arc<rustls::ServerConfig>>>,
    failures: Mutex<Vec<String>>,
}

/// One target or Alertmanager.
struct End {
    address: String,
    answered: Arc<AtomicU64>,
}

impl Ends {
    fn set(&self, signed: &Signed, trusted: &[&Authority]) {
        *self.config.lock() = Some(Arc::new(server_config(signed, trusted)));
    }

    async fn start(self: &Arc<Ends>) -> End {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound").to_string();
        let answered = Arc::new(AtomicU64::new(0));
        let (ends, count) = (self.clone(), answered.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(ends.clone(), stream, count.clone()));
            }
        });
        End { address, answered }
    }
}

async fn serve(ends: Arc<Ends>, stream: TcpStream, answered: Arc<AtomicU64>) {
    let config = ends.config.lock().clone().expect("set before anybody asks");
    let stream = match TlsAcceptor::from(config).accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return ends.failures.lock().push(format!("a handshake failed: {error}")),
    };
    let mut stream = BufReader::new(stream);
    for number in 1..=REQUESTS_PER_CONNECTION {
        // Whoever took new certificates leaves connections behind.
        let Some(_) = read_request(&mut stream).await else { return };
        let last = if number == REQUESTS_PER_CONNECTION { "connection: close\r\n" } else { "" };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n{last}content-length: 4\r\n\r\nm 1\n");
        if let Err(error) = stream.get_mut().write_all(answer.as_bytes()).await {
            ends.failures.lock().push(format!("nobody waits for the answer: {error}"));
            return;
        }
        let _ = stream.get_mut().flush().await;
        answered.fetch_add(1, Ordering::Relaxed);
    }
    let _ = stream.get_mut().shutdown().await;
}

/// Waits until each has answered once more, so that what was under way is over: nobody asks one of them twice at a time.
async fn wait_for_each(ends: &[End]) {
    let before: Vec<u64> = ends.iter().map(|end| end.answered.load(Ordering::Relaxed)).collect();
    for (end, before) in ends.iter().zip(before) {
        crate::loopback::eventually("each is asked again", || end.answered.load(Ordering::Relaxed) > before).await;
    }
}

/// Who asks our own port. Replacing it waits for requests under way.
struct Callers {
    clients: RwLock<[Client; 2]>,
    answered: AtomicU64,
    failures: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Callers {
    async fn call(self: Arc<Callers>, number: usize, url: String) {
        while !self.is_over.load(Ordering::Relaxed) {
            {
                let clients = self.clients.read().await;
                match clients[number % 2].get(&url).send().await {
                    Ok(answer) if answer.status() == 200 => _ = self.answered.fetch_add(1, Ordering::Relaxed),
                    Ok(answer) => self.failures.lock().push(format!("status {}", answer.status())),
                    Err(error) => self.failures.lock().push(format!("{error:?}")),
                }
            }
            tokio::time::sleep(CALLER_PAUSE).await;
        }
    }
}

/// One that connects anew for each request, one that keeps its connection.
fn clients(signed: &Signed, trusted: &[&Authority]) -> [Client; 2] {
    let client = |idle| {
        let roots = trusted.iter().map(|ca| Certificate::from_pem(ca.pem().as_bytes()).expect("certificate"));
        let identity = Identity::from_pem(format!("{}{}", signed.key, signed.certificate).as_bytes());
        let builder = builder().tls_certs_only(roots).identity(identity.expect("identity"));
        builder.pool_max_idle_per_host(idle).build().expect("client")
    };
    [client(0), client(8)]
}

/// In place, first one half and then the whole.
async fn rewrite(folder: &Path, name: &str, text: &str) {
    for piece in [&text[..text.len() / 2], text] {
        std::fs::write(folder.join(name), piece).expect("write");
        tokio::time::sleep(HALF_TIME).await;
    }
}

async fn rewrite_pair(folder: &Path, side: &str, signed: &Signed) {
    rewrite(folder, &format!("{side}.crt"), &signed.certificate).await;
    rewrite(folder, &format!("{side}.key"), &signed.key).await;
}

fn signed(authority: &Authority) -> Signed {
    authority.sign("127.0.0.1", Validity::Current)
}

fn configuration(targets: &[End], alertmanagers: &[End]) -> String {
    let addresses = |ends: &[End]| format!("{:?}", ends.iter().map(|end| end.address.as_str()).collect::<Vec<_>>());
    let tls = "scheme: https, tls_config: {ca_file: ca.crt, cert_file: client.crt, key_file: client.key}";
    format!(
        "global: {{scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 500ms}}\nrule_files: [rules.yml]\n\
         scrape_configs: [{{job_name: t, {tls}, static_configs: [{{targets: {}}}]}}]\n\
         alerting: {{alertmanagers: [{{{tls}, static_configs: [{{targets: {}}}]}}]}}\n",
        addresses(targets),
        addresses(alertmanagers)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_replaced_under_load_without_one_failed_request() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let mut authority = Authority::new("authority 0");
    let (mut ours, mut theirs) = (signed(&authority), signed(&authority));
    issue_by(folder, &authority);
    put(folder, "ca.crt", &authority.pem());
    put(folder, "web.yml", MUTUAL);
    put(folder, "rules.yml", "groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]\n");

    let ends = Arc::new(Ends::default());
    ends.set(&theirs, &[&authority]);
    let (mut targets, mut alertmanagers) = (Vec::new(), Vec::new());
    for number in 0..TARGETS + ALERTMANAGERS {
        let end = ends.start().await;
        if number < TARGETS { targets.push(end) } else { alertmanagers.push(end) }
    }
    put(folder, "almenara.yml", &configuration(&targets, &alertmanagers));
    let port = free_port();
    let daemon = Running::start(
        almenara()
            .current_dir(folder)
            .args([
                "serve",
                "--config.file=almenara.yml",
                "--web.config.file=web.yml",
                "--rules.alert.resend-delay=1ms",
            ])
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        &folder.join("log"),
    );
    wait_for("Almenara is ready", || daemon.output().contains(" ready ").then_some(()));

    let callers = Arc::new(Callers {
        clients: RwLock::new(clients(&ours, &[&authority])),
        answered: AtomicU64::new(0),
        failures: Mutex::default(),
        is_over: AtomicBool::new(false),
    });
    let url = format!("https://127.0.0.1:{port}");
    let calls: Vec<_> = (0..CALLERS)
        .map(|number| tokio::spawn(callers.clone().call(number, format!("{url}/api/v1/query?query=up"))))
        .collect();
    let all: Vec<End> = targets.into_iter().chain(alertmanagers).collect();
    wait_for_each(&all).await;

    for number in 1..=ROTATIONS {
        let next = Authority::new(&format!("authority {number}"));
        let both = [&authority, &next];
        rewrite(folder, "ca.crt", &[authority.pem(), next.pem()].concat()).await;
        ends.set(&theirs, &both);
        *callers.clients.write().await = clients(&ours, &both);
        wait_for_each(&all).await;

        (ours, theirs) = (signed(&next), signed(&next));
        ends.set(&theirs, &both);
        rewrite_pair(folder, "server", &signed(&next)).await;
        rewrite_pair(folder, "client", &signed(&next)).await;
        *callers.clients.write().await = clients(&ours, &both);
        wait_for_each(&all).await;

        rewrite(folder, "ca.crt", &next.pem()).await;
        ends.set(&theirs, &[&next]);
        *callers.clients.write().await = clients(&ours, &[&next]);
        authority = next;
    }
    wait_for_each(&all).await;
    callers.is_over.store(true, Ordering::Relaxed);
    for call in calls {
        call.await.expect("it ends");
    }
    check(&callers, &ends, &all, &url).await;
    assert!(!daemon.output().contains("target is down") && !daemon.output().contains("error sending alerts"));
    let stranger = Authority::new("stranger");
    let refused = clients(&signed(&stranger), &[&authority])[0].get(&url).send().await;
    assert!(refused.is_err(), "a certificate of an authority that is not trusted");
}

/// Nothing failed, at neither end; and what was asked for in vain would have been counted.
async fn check(callers: &Callers, ends: &Ends, all: &[End], url: &str) {
    assert_eq!(*callers.failures.lock(), [""; 0]);
    assert_eq!(*ends.failures.lock(), [""; 0]);
    let client = callers.clients.read().await[0].clone();
    let text = async |path: &str| {
        client.get(format!("{url}{path}")).send().await.expect("an answer").text().await.expect("text")
    };
    let query = async |query: &str| -> f64 {
        let json: serde_json::Value =
            serde_json::from_str(&text(&format!("/api/v1/query?query={query}")).await).expect("JSON");
        json["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok()).expect("one value")
    };
    assert_eq!(query("min(min_over_time(up[5m]))").await, 1.0);
    let scrapes = query("sum(count_over_time(up[5m]))").await;
    let metrics = text("/metrics").await;
    for name in ["prometheus_notifications_errors_total{", "prometheus_notifications_dropped_total{"] {
        let lines: Vec<&str> = metrics.lines().filter(|line| line.starts_with(name)).collect();
        assert!(lines.len() == ALERTMANAGERS && lines.iter().all(|line| line.ends_with(" 0")), "{lines:?}");
    }
    let answered = |ends: &[End]| ends.iter().map(|end| end.answered.load(Ordering::Relaxed)).sum::<u64>();
    let (targets, alertmanagers) = all.split_at(TARGETS);
    let requests = callers.answered.load(Ordering::Relaxed);
    eprintln!(
        "{ROTATIONS} rotations: {scrapes} scrapes of {TARGETS} targets ({} answered), {} posts to {ALERTMANAGERS} Alertmanagers, \
         {requests} requests of {CALLERS} callers to our port; none failed",
        answered(targets),
        answered(alertmanagers)
    );
    assert!(requests > 100 && scrapes > 100.0 && answered(alertmanagers) > 100);
}
