//! Bad targets of every kind beside good ones, in the real daemon: the good ones are scraped at every slot, memory stays in
//! bounds, and each fault has its name on the API and on the page; Prometheus's name, as Prometheus itself says beside us.
//!
//! Loopback only. Times are compared with slots, never with a stopwatch, so a busy machine changes nothing.

// The figures of a run are printed.
#![allow(clippy::print_stderr)]

mod bomb;
mod kinds;
mod servers;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::kinds::{KINDS, Kind};
use self::servers::{good, serve};
use crate::authority::{Authority, put};
use crate::peers::{peer, start_prometheus};
use crate::real::deployment::Deployment;
use crate::real::process::{PATIENCE, get, wait_for};

const INTERVAL_MS: i64 = 3_000;
/// A scrape that begins so much after its slot is late. Half an interval: the machine may be busy, the daemon may not.
const LATE_MS: i64 = INTERVAL_MS / 2;
const PLAIN_GOOD: usize = 40;
const PACKED_GOOD: usize = 10;
/// Slots of each good target that a run must have seen.
const SLOTS_MIN: usize = 5;

/// Peak of resident memory before [`LAST`] comes. What a run may need: the program (some 50 MB in a build that is not optimised), the
/// page of a million series (17 MB, in a buffer of up to twice that), what packed bodies may take at first sight (64 times what
/// came, 19 MB for each of two bombs), and as much again for what the allocator keeps. Each bomb that was unpacked before it
/// was measured would take 268 MB more.
const PEAK_BYTES_MAX: u64 = 240 << 20;
/// The one that may take a whole [`almenara::scrape::BODY_BYTES_MAX`] comes last, so that it hides no other.
const LAST: &str = "never-ends-unlimited";

/// A bad target that runs.
struct Bad {
    kind: &'static Kind,
    address: String,
}

/// Starts them all; `ca.crt` of the authority that their jobs trust is for the caller to put in place.
async fn start_bad(authority: &Authority) -> Vec<Bad> {
    let mut bad = Vec::new();
    for kind in KINDS.iter() {
        let address = serve(kind.does.clone(), authority).await;
        bad.push(Bad { kind, address });
    }
    bad
}

fn job(name: &str, addresses: &[String], keys: &str) -> String {
    let comma = if keys.is_empty() { "" } else { ", " };
    format!("- {{job_name: {name}, static_configs: [{{targets: {addresses:?}}}]{comma}{keys}}}\n")
}

fn jobs(bad: &[Bad]) -> String {
    bad.iter().map(|bad| job(bad.kind.name, std::slice::from_ref(&bad.address), bad.kind.keys)).collect()
}

fn configuration(jobs: &str) -> String {
    format!("global: {{scrape_interval: 3s, scrape_timeout: 3s}}\nscrape_configs:\n{jobs}")
}

/// Health and `lastError` by job.
type Said = BTreeMap<String, (String, String)>;

/// By job, what `/api/v1/targets` says: health and `lastError`. Ports of the asking end and the time are hidden.
fn said(port: u16) -> Said {
    let pattern = |text| regex::Regex::new(text).expect("a pattern");
    let (local, now) = (pattern(r"127\.0\.0\.1:\d+->"), pattern(r"current time \S+"));
    let json: Value = serde_json::from_str(&get(port, "/api/v1/targets").1).unwrap_or_default();
    let targets = json["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |target: &Value| {
        let error = text(&target["lastError"]);
        let error = now.replace(&local.replace_all(&error, "LOCAL->"), "current time NOW").into_owned();
        (text(&target["scrapePool"]), (text(&target["health"]), error))
    };
    targets.iter().map(of).collect()
}

/// What differs between `expected` and what is said, one line each.
fn differences(bad: &[Bad], said: &Said, expected: impl Fn(&Bad) -> Option<String>) -> String {
    let mut different = String::new();
    for bad in bad {
        let Some(expected) = expected(bad) else { continue };
        let (health, error) = said.get(bad.kind.name).cloned().unwrap_or_default();
        let expected_health = if expected.is_empty() { "up" } else { "down" };
        if (health.as_str(), &error) != (expected_health, &expected) {
            let name = bad.kind.name;
            writeln!(different, "{name}: {health}\n  expected {expected}\n  said     {error}").expect("memory");
        }
    }
    different
}

/// Waits until every target has been asked and all is said as `expected`. A machine that is too busy may make a target too late
/// for its time once; then its next scrape says what is wrong with it.
fn wait_for_names(bad: &[Bad], port: u16, expected: impl Fn(&Bad) -> Option<String>) {
    let began = Instant::now();
    loop {
        let said = said(port);
        let all_asked = !said.is_empty() && said.values().all(|(health, _)| health != "unknown");
        let different = differences(bad, &said, &expected);
        if all_asked && different.is_empty() {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "all were asked: {all_asked}\n{different}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_targets_harm_no_good_one_and_are_named() {
    let authority = Authority::new("trusted");
    let bad = start_bad(&authority).await;
    let mut targets = Vec::new();
    for number in 0..PLAIN_GOOD + PACKED_GOOD {
        targets.push(good(number >= PLAIN_GOOD).await);
    }
    let (mut bad, last): (Vec<Bad>, Vec<Bad>) = bad.into_iter().partition(|bad| bad.kind.name != LAST);
    let text = configuration(&format!("{}{}", job("good", &targets, ""), jobs(&bad)));
    let began_ms = almenara::clock::now().as_ms();
    let deployment = Deployment::start(&[("almenara.yml", &text), ("ca.crt", &authority.pem())], &[]);
    wait_for("enough slots", || {
        (deployment.values("min(scrapes_total)").first() >= Some(&(SLOTS_MIN as f64))).then_some(())
    });
    check_bad(&deployment, &bad);
    let peak = peak_bytes(deployment.daemon.id());
    assert!(peak < PEAK_BYTES_MAX, "peak of {peak} bytes");

    deployment.write("almenara.yml", &format!("{text}{}", jobs(&last)));
    assert_eq!(deployment.reload().0, 200);
    bad.extend(last);
    check_bad(&deployment, &bad);
    let last_peak = peak_bytes(deployment.daemon.id());
    assert!(last_peak < PEAK_BYTES_MAX + almenara::scrape::BODY_BYTES_MAX as u64, "peak of {last_peak} bytes");
    for limit in ["body_size", "sample"] {
        let refused = deployment.metric(&format!("prometheus_target_scrapes_exceeded_{limit}_limit_total"));
        assert!(refused >= 1.0, "{limit}: {refused}");
    }
    let figures = check_good(&deployment, targets.len(), began_ms);
    let (peak, last_peak, count) = (peak >> 20, last_peak >> 20, bad.len());
    eprintln!(
        "{count} kinds of bad target, {} good ones: {figures}; peak {peak} MiB, with {LAST} {last_peak} MiB",
        targets.len()
    );
}

/// Each has its name on the API and on the page.
fn check_bad(deployment: &Deployment, bad: &[Bad]) {
    wait_for_names(bad, deployment.port, |bad| Some(bad.kind.ours(&bad.address)));
    let page = deployment.text("/");
    let now = regex::Regex::new(r"current time \S+").expect("a pattern");
    let page = now.replace_all(&page, "current time NOW");
    for bad in bad {
        let error = bad.kind.ours(&bad.address);
        // The page has the address in a place of its own.
        let error =
            error.strip_prefix("Get ").and_then(|error| error.split_once("\": ")).map_or(&*error, |(_, error)| error);
        let row = maud::html! { @if !error.is_empty() { div.error { (error) } } }.into_string();
        let (_, target) = page.split_once(&format!("://{}/metrics<", bad.address)).expect("a row of its own");
        let said = &target[..target.find("</td>").expect("a cell")];
        let is_named = said.ends_with(&row) && (said.contains("error") != row.is_empty());
        assert!(is_named, "{}: {said}, not {row}", bad.kind.name);
    }
}

/// Every good target at every slot, with the number that it gave then. What it found, as text.
fn check_good(deployment: &Deployment, targets: usize, began_ms: i64) -> String {
    let scrapes = samples(deployment, "scrapes_total");
    let ups = samples(deployment, "up{job=\"good\"}");
    let ended_ms = almenara::clock::now().as_ms();
    assert_eq!((scrapes.len(), ups.len()), (targets, targets));
    let (mut count, mut on_slot, mut latest_ms) = (0, 0, 0);
    for (scrapes, ups) in scrapes.iter().zip(&ups) {
        assert!(ups.iter().all(|(_, up)| *up == 1.0), "{ups:?}");
        assert!(ups.len() >= SLOTS_MIN && ups.len().abs_diff(scrapes.len()) <= 1, "{ups:?} {scrapes:?}");
        let slot = |number: usize, at: i64| at - i64::try_from(number).expect("few") * INTERVAL_MS;
        let phase = scrapes.iter().enumerate().map(|(number, (at, _))| slot(number, *at)).min().expect("samples");
        for (number, (at, value)) in scrapes.iter().enumerate() {
            let late_ms = slot(number, *at) - phase;
            assert!(late_ms < LATE_MS, "scrape {number} is {late_ms} ms late: {scrapes:?}");
            assert!((*value - number as f64).abs() < 0.5, "a scrape was lost: {scrapes:?}");
            (count, on_slot, latest_ms) = (count + 1, on_slot + u32::from(late_ms == 0), latest_ms.max(late_ms));
        }
        let (first, last) = (scrapes[0].0, scrapes[scrapes.len() - 1].0);
        assert!(first - began_ms < INTERVAL_MS + LATE_MS + START_MS_MAX, "the first came late: {}", first - began_ms);
        assert!(ended_ms - last < INTERVAL_MS + LATE_MS, "the last is old: {}", ended_ms - last);
    }
    let slowest = deployment.values("max(max_over_time(scrape_duration_seconds{job=\"good\"}[5m]))")[0];
    format!(
        "{count} scrapes, {on_slot} at their slot to the millisecond, the latest after {latest_ms} ms, the longest took {slowest} s"
    )
}

/// What a start may take on a busy machine.
const START_MS_MAX: i64 = 10_000;

/// Time in ms and value of each sample so far, by series.
fn samples(deployment: &Deployment, selector: &str) -> Vec<Vec<(i64, f64)>> {
    let data = deployment.data(&format!("/api/v1/query?query={}[5m]", selector.replace('"', "%22")));
    let sample = |sample: &Value| {
        let seconds = sample[0].as_f64().expect("a time");
        ((seconds * 1000.0).round() as i64, sample[1].as_str().expect("a value").parse().expect("a number"))
    };
    let series = |series: &Value| series["values"].as_array().expect("values").iter().map(sample).collect();
    data["result"].as_array().expect("a matrix").iter().map(series).collect()
}

/// The most memory that a process ever had.
fn peak_bytes(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// The other column of the table: what Prometheus itself says to the same targets.
#[tokio::test(flavor = "multi_thread")]
async fn faults_have_the_names_that_prometheus_gives_them() {
    let Some(prometheus) = peer("prometheus") else { return };
    let authority = Authority::new("trusted");
    let mut bad = start_bad(&authority).await;
    bad.retain(|bad| bad.kind.theirs(&bad.address).is_some());
    let folder = tempfile::tempdir().expect("folder");
    put(folder.path(), "ca.crt", &authority.pem());
    put(folder.path(), "prometheus.yml", &configuration(&jobs(&bad)));
    let (_running, port) = start_prometheus(&prometheus, folder.path(), &[]);
    wait_for_names(&bad, port, |bad| bad.kind.theirs(&bad.address));
}
