//! Scraping over real sockets: what a target may do; what a bad one may, `hostile` tries.

use std::sync::Arc;
use std::time::Duration;

use almenara::clock;
use almenara::discovery::DiscoveryMetrics;
use almenara::exposition::write_text;
use almenara::model::{MatchOp, Matcher, Timestamp, is_stale};
use almenara::scrape::{CreatedLines, Destination, Health, Manager, ScrapeConfig, ScrapeDefaults, TargetStatus};
use almenara::source::decode::Decoder;
use almenara::source::{SourceFile, yaml};
use almenara::store::{MetadataStore, Store, StoreOptions};

use crate::authority::issue;
use crate::loopback::{Server, eventually, refused_address, response};
use crate::peers::peer;
use crate::real::process::Running;

struct Scraper {
    store: Arc<Store>,
    metadata: Arc<MetadataStore>,
    manager: Manager,
}

impl Scraper {
    fn new() -> Scraper {
        let store = Arc::new(Store::new(StoreOptions { retention: Duration::from_secs(3600) }));
        let metadata = Arc::new(MetadataStore::new());
        let manager = Manager::new(
            Destination {
                store: store.clone(),
                metadata: metadata.clone(),
                exemplars: Arc::default(),
                created: CreatedLines::Series,
            },
            Arc::new(DiscoveryMetrics::default()),
        );
        Scraper { store, metadata, manager }
    }

    /// `jobs` is the YAML list `scrape_configs`.
    async fn apply(&self, jobs: &str) {
        let source = SourceFile::new("f.yml", jobs);
        let (node, _) = yaml::parse(&source);
        let mut decoder = Decoder::new(&source);
        let configs = ScrapeConfig::decode_list(
            &mut decoder,
            &node.expect("YAML"),
            &ScrapeDefaults::default(),
            &mut std::collections::HashSet::new(),
        )
        .expect("a list");
        let problems = decoder.finish();
        assert!(problems.is_empty(), "{problems}");
        self.manager.apply(configs).await;
    }

    fn target(&self, job: &str) -> Option<TargetStatus> {
        self.manager.targets().active.into_iter().find(|target| target.scrape_pool == job)
    }

    /// The values of `name` in the job, staleness markers as `None`.
    fn values(&self, name: &str, job: &str) -> Vec<Option<f64>> {
        let equal = |label, value| Matcher::new(MatchOp::Equal, label, value).expect("no regex");
        let found = self.store.select(&[equal("__name__", name), equal("job", job)], Timestamp::MIN, Timestamp::MAX);
        let samples = found.into_iter().flat_map(|series| series.samples);
        samples.map(|sample| sample.value.as_float().filter(|value| !is_stale(*value))).collect()
    }

    fn is(&self, job: &str, health: Health) -> bool {
        self.target(job).is_some_and(|target| target.last.health == health)
    }

    fn error(&self, job: &str) -> String {
        self.target(job).map(|target| target.last.error).unwrap_or_default()
    }

    fn metric(&self, start: &str) -> f64 {
        let mut families = Vec::new();
        self.manager.collect(&mut families);
        let text = write_text(&families);
        let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} in {text}"));
        line.rsplit_once(' ').expect("a value").1.parse().expect("a number")
    }
}

fn job(name: &str, address: &str, keys: &str) -> String {
    format!("- {{job_name: {name}, scrape_interval: 200ms, static_configs: [{{targets: ['{address}']}}], {keys}}}\n")
}

fn text(body: &str) -> String {
    response("200 OK", "content-type: text/plain; version=0.0.4\r\n", body)
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_what_a_target_says() {
    let server = Server::start(|number, _| {
        Some(text(&format!("# HELP a_total Things.\n# TYPE a_total counter\na_total{{x=\"1\"}} {number}\n")))
    })
    .await;
    let scraper = Scraper::new();
    scraper.apply(&job("j", &server.address, "params: {q: ['a b']}, basic_auth: {username: u, password: p}")).await;
    eventually("three scrapes", || scraper.values("a_total", "j").len() >= 3).await;
    let first: Vec<Option<f64>> = scraper.values("a_total", "j").into_iter().take(3).collect();
    assert_eq!(first, [Some(0.0), Some(1.0), Some(2.0)]);
    assert_eq!(scraper.values("up", "j")[0], Some(1.0));
    assert_eq!(scraper.values("scrape_series_added", "j")[..2], [Some(1.0), Some(0.0)]);
    assert_eq!(scraper.metadata.get("a_total").expect("metadata").help.as_ref(), "Things.");
    let request = server.requests()[0].head.clone();
    assert!(request.starts_with("get /metrics?q=a+b http/1.1"), "{request}");
    for header in [
        "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,",
        "accept-encoding: gzip",
        "user-agent: almenara/",
        "x-prometheus-scrape-timeout-seconds: 0.2",
        "authorization: basic dtpw",
    ] {
        assert!(request.contains(header), "{header} in {request}");
    }
    let target = scraper.target("j").expect("a target");
    assert_eq!(target.scrape_url, format!("http://{}/metrics?q=a+b", server.address));
    assert_eq!((target.last.samples, target.last.error.as_str()), (1, ""));
    scraper.manager.shutdown().await;
    assert!(scraper.values("up", "j").iter().all(Option::is_some), "a shutdown marks nothing stale");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_down_with_their_reason_and_mark_stale() {
    let server = Server::start(|number, _| match number {
        0 => Some(text("a 1\n")),
        1 => Some(response("500 Internal Server Error", "", "a 1\n")),
        _ => Some(response("200 OK", "content-type: text/html\r\n", "<html>")),
    })
    .await;
    let scraper = Scraper::new();
    let refused = refused_address();
    scraper.apply(&[job("a", &server.address, ""), job("r", &refused, "params: {token: [s3cret]}")].concat()).await;
    eventually("the wrong format", || scraper.error("a").contains("unsupported Content-Type")).await;
    assert_eq!(
        scraper.error("a"),
        "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target"
    );
    assert_eq!(scraper.values("a", "a"), [Some(1.0), None]);
    assert_eq!(scraper.values("up", "a")[..3], [Some(1.0), Some(0.0), Some(0.0)]);
    eventually("refused", || scraper.is("r", Health::Down)).await;
    let expected =
        format!("Get \"http://{refused}/metrics?token=s3cret\": dial tcp {refused}: connect: connection refused");
    assert_eq!(scraper.error("r"), expected);
    scraper.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_a_diff() {
    let server = Server::start(|_, _| Some(text("m 1\nn 1\n"))).await;
    let scraper = Scraper::new();
    let same = job("same", &server.address, "");
    let changed = job("changed", &server.address, "");
    let gone = job("gone", &server.address, "");
    scraper.apply(&[&*same, &changed, &gone].concat()).await;
    let names = ["same", "changed", "gone"];
    eventually("all scraped", || names.iter().all(|name| !scraper.values("m", name).is_empty())).await;
    let dropping = "metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: n}]";
    scraper.apply(&[same, job("changed", &server.address, dropping)].concat()).await;
    for name in ["m", "n", "up", "scrape_duration_seconds"] {
        assert_eq!(scraper.values(name, "gone").last(), Some(&None), "{name} of the job that is gone");
    }
    eventually("the changed job", || scraper.values("n", "changed").last() == Some(&None)).await;
    assert!(scraper.values("m", "changed").iter().all(Option::is_some), "what stays is not marked");
    assert!(scraper.values("n", "same").iter().all(Option::is_some), "the same job is not disturbed");
    assert_eq!(scraper.metric("prometheus_target_scrape_pool_reloads_total "), 1.0);
    let pools: Vec<String> = scraper.manager.targets().active.into_iter().map(|target| target.scrape_pool).collect();
    assert_eq!(pools, ["changed", "same"]);
    scraper.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_target_files_and_the_target_limit() {
    let server = Server::start(|_, _| Some(text("m 1\n"))).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("t.json");
    let write = |addresses: &[&str]| {
        let list: Vec<String> = addresses.iter().map(|address| format!("{address:?}")).collect();
        std::fs::write(&file, format!("[{{\"targets\": [{}]}}]", list.join(","))).expect("write");
    };
    write(&[&server.address, "dropped:1"]);
    let scraper = Scraper::new();
    let jobs = format!(
        "- {{job_name: f, scrape_interval: 200ms, target_limit: 1, file_sd_configs: [{{files: ['{}']}}], \
         relabel_configs: [{{action: drop, source_labels: [__address__], regex: 'dropped:1'}}]}}",
        file.display()
    );
    scraper.apply(&jobs).await;
    eventually("the first target", || scraper.is("f", Health::Up)).await;
    assert_eq!(scraper.manager.targets().dropped_counts, [("f".to_owned(), 1)]);
    let other = Server::start(|_, _| Some(text("m 2\n"))).await;
    write(&[&server.address, &other.address]);
    let limit = "target_limit exceeded (number of targets: 2, limit: 1)";
    eventually("the limit", || scraper.error("f") == limit).await;
    write(&[]);
    eventually("no target", || scraper.target("f").is_none()).await;
    eventually("markers", || scraper.values("up", "f").last() == Some(&None)).await;
    scraper.manager.shutdown().await;
}

/// Needs `prometheus-node-exporter`; see `peers`.
#[tokio::test(flavor = "multi_thread")]
async fn scrapes_the_real_node_exporter_while_certificates_change() {
    let Some(exporter) = peer("prometheus-node-exporter") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    issue(directory.path(), "first");
    let tls = format!(
        "tls_server_config: {{cert_file: {}, key_file: {}, client_ca_file: {}, client_auth_type: RequireAndVerifyClientCert}}\n",
        at("server.crt"),
        at("server.key"),
        at("ca.crt")
    );
    std::fs::write(directory.path().join("web.yml"), tls).expect("write");
    let address = refused_address();
    let start = || {
        Running::start(
            std::process::Command::new(&exporter)
                .arg(format!("--web.listen-address={address}"))
                .arg(format!("--web.config.file={}", at("web.yml"))),
            &directory.path().join("exporter.log"),
        )
    };
    let running = start();
    let scraper = Scraper::new();
    let keys = format!(
        "scheme: https, tls_config: {{ca_file: {}, cert_file: {}, key_file: {}}}",
        at("ca.crt"),
        at("client.crt"),
        at("client.key")
    );
    // The exporter may take longer than a short interval while other tests run.
    let job = format!("- {{job_name: n, scrape_interval: 1s, static_configs: [{{targets: ['{address}']}}], {keys}}}\n");
    scraper.apply(&job).await;
    eventually("a scrape over TLS", || scraper.is("n", Health::Up)).await;
    let samples = scraper.target("n").expect("a target").last.samples;
    assert!(samples > 100, "{samples} samples");
    assert_eq!(scraper.values("node_exporter_build_info", "n")[0], Some(1.0));
    issue(directory.path(), "second");
    // A new exporter, so that nothing goes on over a connection from before.
    drop(running);
    let _running = start();
    let rotated = clock::now();
    let answered_since = || {
        let target = scraper.target("n").expect("a target");
        target.last.health == Health::Up && target.last.at.is_some_and(|at| at > rotated)
    };
    eventually("a scrape with the new certificates", answered_since).await;
    scraper.manager.shutdown().await;
}
