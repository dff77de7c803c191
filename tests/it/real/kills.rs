//! `kill -9` of the daemon under scrape and remote-write load, at moments spread over its life, its start included.
//!
//! `ALMENARA_KILLS=500` kills that often instead of [`KILLS`].

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use almenara::remote::message::{LabelV1, RequestV1, Sample, SeriesV1};

use super::deployment::Deployment;
use super::process::wait_for;
use super::server::read_request;
use crate::kills::{kills, spread};
use crate::remote::{V1, pack, send};

/// How often, unless the environment says otherwise.
const KILLS: u64 = 6;

/// Series of a scrape, and of one remote write.
const SERIES: usize = 50;

/// Senders of remote writes, each with series of its own.
const SENDERS: i64 = 2;

/// The daemon is killed within this time after its start.
const LIFE_MS_MAX: u64 = 1500;

/// A target each of whose pages says the same number in every series, one more than the page before.
fn count_up() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let pages = Arc::new(AtomicU64::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let pages = pages.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                while read_request(&mut reader).is_some() {
                    let page = pages.fetch_add(1, Ordering::Relaxed);
                    let body: String = (0..SERIES).map(|i| format!("scraped{{i=\"{i}\"}} {page}\n")).collect();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    );
                    if reader.get_mut().write_all((head + &body).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Remote writes one after the other; each is sent again until it is taken.
struct Sender {
    /// The time in milliseconds of each write that was answered with 204.
    taken: Mutex<Vec<i64>>,
    is_over: AtomicBool,
}

impl Sender {
    fn start(number: i64, port: u16) -> (Arc<Sender>, std::thread::JoinHandle<()>) {
        let sender = Arc::new(Sender { taken: Mutex::default(), is_over: AtomicBool::new(false) });
        let of_thread = sender.clone();
        let thread = std::thread::spawn(move || {
            let last = AtomicI64::new(0);
            while !of_thread.is_over.load(Ordering::Relaxed) {
                let at = almenara::clock::now().as_ms().max(last.load(Ordering::Relaxed) + 1);
                let body = request(number, at);
                while send(port, V1, &body).status != 204 {
                    if of_thread.is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                last.store(at, Ordering::Relaxed);
                of_thread.taken.lock().expect("lock").push(at);
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        (sender, thread)
    }

    fn taken(&self) -> Vec<i64> {
        self.taken.lock().expect("lock").clone()
    }
}

/// A sample of each series of a sender, the time as the value.
fn request(number: i64, at: i64) -> Vec<u8> {
    let label = |name: &'static str, value: String| LabelV1 { name: name.into(), value: value.into() };
    let series = (0..SERIES).map(|index| SeriesV1 {
        labels: vec![
            label("__name__", "written".to_owned()),
            label("i", index.to_string()),
            label("sender", number.to_string()),
        ],
        samples: vec![Sample { value: (at % 1_000_000) as f64, timestamp: at, start_timestamp: 0 }],
        ..Default::default()
    });
    pack(&RequestV1 { series: series.collect(), metadata: Vec::new() })
}

/// The samples of a selector since `since`, and some before, by time: how many series have one there, and their distinct values.
fn by_time(deployment: &Deployment, selector: &str, since: i64) -> BTreeMap<i64, (usize, Vec<String>)> {
    // The window ends when the question arrives, which on a busy machine is a while from now.
    let secs = (almenara::clock::now().as_ms() - since) / 1000 + 30;
    let query = percent_encoding::utf8_percent_encode(selector, percent_encoding::NON_ALPHANUMERIC).to_string();
    let data = deployment.data(&format!("/api/v1/query?query={query}%5B{secs}s%5D"));
    let mut found: BTreeMap<i64, (usize, Vec<String>)> = BTreeMap::new();
    for series in data["result"].as_array().expect("result") {
        let mut before = f64::MIN;
        for sample in series["values"].as_array().expect("values") {
            let (at, value) = (sample[0].as_f64().expect("time"), sample[1].as_str().expect("value").to_owned());
            assert!(at > before, "a sample is there twice: {at}");
            before = at;
            let (count, values) = found.entry((at * 1000.0).round() as i64).or_default();
            *count += 1;
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    found
}

/// Every write that was taken since `since` is there whole and once, and every scrape is whole.
fn check(deployment: &Deployment, senders: &[(i64, Vec<i64>)], since: i64, kill: u64) {
    for (number, taken) in senders {
        let found = by_time(deployment, &format!("written{{sender=\"{number}\"}}"), since);
        for at in taken.iter().filter(|at| **at >= since) {
            let expected = (SERIES, vec![(at % 1_000_000).to_string()]);
            assert_eq!(found.get(at), Some(&expected), "kill {kill}: the write of {at} by {number}");
        }
        // One more may be there whose answer the kill has cut off.
        for (at, (count, values)) in found.iter().filter(|(at, _)| **at >= since) {
            assert_eq!((*count, values.len()), (SERIES, 1), "kill {kill}: half a write at {at}");
        }
    }
    for (at, (count, values)) in by_time(deployment, "scraped", since) {
        assert!(count == SERIES && values.len() == 1, "kill {kill}: half a scrape at {at}: {count} series {values:?}");
    }
}

#[test]
fn acknowledged_writes_and_whole_scrapes_outlive_kills() {
    let target = count_up();
    let configuration = format!(
        "scrape_configs:\n- job_name: a\n  scrape_interval: 20ms\n  scrape_timeout: 20ms\n  static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n"
    );
    let mut deployment = Deployment::start(&[("almenara.yml", &configuration)], &[]);
    let senders: Vec<_> = (0..SENDERS).map(|number| Sender::start(number, deployment.port)).collect();
    let began = almenara::clock::now().as_ms();
    let mut since = began;
    let mut scrapes = 0.0;
    for kill in 0..kills(KILLS) {
        std::thread::sleep(Duration::from_millis(spread(kill, LIFE_MS_MAX)));
        // What was shown counts as acknowledged.
        let shown = deployment.values("count_over_time(scraped{i=\"0\"}[1d])").first().copied().unwrap_or(0.0);
        let taken: Vec<(i64, Vec<i64>)> = (0..).zip(senders.iter().map(|(sender, _)| sender.taken())).collect();
        deployment.daemon.signal("KILL");
        assert_eq!(deployment.daemon.wait(), Some(-1));
        if kill % 3 == 2 {
            // Killed again before it is ready, or as soon as it is.
            deployment.start_unready();
            std::thread::sleep(Duration::from_millis(spread(kill, 60)));
            deployment.daemon.signal("KILL");
            assert_eq!(deployment.daemon.wait(), Some(-1));
        }
        let restarted = almenara::clock::now().as_ms();
        deployment.start_again();
        check(&deployment, &taken, since, kill);
        let after = deployment.values("count_over_time(scraped{i=\"0\"}[1d])").first().copied().unwrap_or(0.0);
        assert!(after >= shown && shown >= scrapes, "kill {kill}: {scrapes}, then {shown}, then {after} scrapes");
        (scrapes, since) = (shown, restarted - 2_000);
    }
    wait_for("a write after the last kill", || (senders.iter().all(|(s, _)| !s.taken().is_empty())).then_some(()));
    senders.iter().for_each(|(sender, _)| sender.is_over.store(true, Ordering::Relaxed));
    let taken = senders.into_iter().map(|(sender, thread)| {
        thread.join().expect("sender");
        sender.taken()
    });
    check(&deployment, &(0..).zip(taken).collect::<Vec<_>>(), began, u64::MAX);
}
