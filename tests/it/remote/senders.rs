//! A real Prometheus and a real vmagent push to us what they scrape: sample for sample what the sender's own store has, or, for vmagent,
//! which has none, what a real Prometheus took from it at the same time.
//!
//! `ALMENARA_SENDERS_SECS=300` lets them push for that long instead of [`SECS`].

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use super::peer::Pair;
use crate::peers::peer;
use crate::real::process::{Running, free_port, get, wait_for};

/// How long each pushes, in seconds; they scrape once a second.
const SECS: u64 = 5;

fn secs() -> u64 {
    std::env::var("ALMENARA_SENDERS_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECS)
}

#[test]
fn what_prometheus_pushes_is_what_it_stores() {
    for (version, message) in [(1, "prometheus.WriteRequest"), (2, "io.prometheus.write.v2.Request")] {
        let Some(pair) = Pair::start("", "") else { return };
        let (folder, port) = (tempfile::tempdir().expect("folder"), free_port());
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n- {{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n\
             remote_write:\n- {{url: 'http://127.0.0.1:{}/api/v1/write', protobuf_message: {message}, send_exemplars: true}}\n",
            pair.ours
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("file");
        let Some(prometheus) = peer("prometheus") else { return };
        let _running = Running::start(
            Command::new(prometheus)
                .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .current_dir(folder.path()),
            &folder.path().join("log"),
        );
        wait_for("the sender", || (get(port, "/-/ready").0 == 200).then_some(()));
        // It looks for its targets some seconds after it is ready.
        wait_for("the first scrape", || (!samples(port, now()).is_empty()).then_some(()));
        std::thread::sleep(Duration::from_secs(secs()));
        compare(&format!("Prometheus, version {version}"), port, pair.ours);
    }
}

#[test]
fn what_vmagent_pushes_is_what_prometheus_takes_from_it() {
    let (Some(vmagent), Some(pair)) = (peer("vmagent"), Pair::start("", "")) else { return };
    let (folder, port) = (tempfile::tempdir().expect("folder"), free_port());
    let targets = format!("'127.0.0.1:{}', '127.0.0.1:{}'", pair.theirs, pair.ours);
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- {{job_name: both, static_configs: [{{targets: [{targets}]}}]}}\n"
    );
    std::fs::write(folder.path().join("scrape.yml"), config).expect("file");
    let _running = Running::start(
        Command::new(vmagent)
            .args([
                "-promscrape.config=scrape.yml",
                "-remoteWrite.tmpDataPath=queue",
                "-remoteWrite.flushInterval=500ms",
            ])
            .args(["-remoteWrite.forcePromProto", &format!("-httpListenAddr=127.0.0.1:{port}")])
            .args([pair.theirs, pair.ours].map(|port| format!("-remoteWrite.url=http://127.0.0.1:{port}/api/v1/write")))
            .current_dir(folder.path()),
        &folder.path().join("log"),
    );
    wait_for("the agent", || (get(port, "/health").0 == 200).then_some(()));
    std::thread::sleep(Duration::from_secs(secs()));
    compare("vmagent", pair.theirs, pair.ours);
}

/// In seconds.
fn now() -> i64 {
    almenara::clock::now().as_ms() / 1000
}

/// All samples up to a moment in the past, by series; series are texts of their labels.
fn samples(port: u16, until: i64) -> BTreeMap<String, Vec<String>> {
    let query = "%7B__name__%3D~%22.%2B%22%7D";
    let (_, answer) = get(port, &format!("/api/v1/query?query={query}%5B1h%5D&time={until}"));
    let json: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let series = json["data"]["result"].as_array().expect("series").iter();
    let values = |json: &serde_json::Value| {
        let lists = ["values", "histograms"].iter().filter_map(|key| json[*key].as_array());
        lists.flatten().map(ToString::to_string).collect()
    };
    series.map(|series| (series["metric"].to_string(), values(series))).collect()
}

/// Waits until both have the same up to now; the sender may still have some in its queue.
#[expect(clippy::print_stderr, reason = "the counts are the point of the test")]
fn compare(sender: &str, theirs: u16, ours: u16) {
    let until = now();
    let expected = samples(theirs, until);
    let count: usize = expected.values().map(Vec::len).sum();
    let per_second = count as u64 / secs();
    assert!(per_second > 300, "{sender}: {count} samples are too few to mean something");
    // Agents that push to two places may be behind at the one that is asked first.
    let equal = wait_for(&format!("the samples of {sender}"), || {
        let (expected, got) = (samples(theirs, until), samples(ours, until));
        (expected == got).then(|| got.values().map(Vec::len).sum::<usize>())
    });
    let (series, start) = (expected.len(), until - 4);
    let range = format!(
        "/api/v1/query_range?query=rate(prometheus_http_requests_total%5B4s%5D)&start={start}&end={until}&step=1"
    );
    assert_eq!(get(ours, &range), get(theirs, &range), "{sender}");
    eprintln!("{sender}: {equal} samples of {series} series are equal");
}
