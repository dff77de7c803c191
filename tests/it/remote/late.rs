//! Samples that come out of order, to a real Prometheus and to us with the same `out_of_order_time_window`: what is answered, what is stored,
//! what is counted.

use almenara::model::stale_nan;
use almenara::remote::message::SeriesV1;

use super::peer::{Pair, V1, V2, send};
use super::requests::{one, percent, series_of, two, v1, v2, whole};
use crate::real::process::{get, wait_for};
use crate::real::server::{Behaviour, Server};

const WINDOW: &str = "storage: {tsdb: {out_of_order_time_window: 10m}}\n";

const MINUTE: i64 = 60_000;

/// What is stored under a selector.
fn stored(port: u16, selector: &str, now: i64) -> Vec<String> {
    let path = format!("/api/v1/query?time={}&query={}", now / 1000 + 60, percent(&format!("{selector}[2h]")));
    series_of(&get(port, &path).1)
}

/// A counter of the store, over all its labels.
fn counted(port: u16, name: &str) -> f64 {
    let metrics = get(port, "/metrics").1;
    let lines = metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn late_writes_are_answered_and_stored_as_by_prometheus() {
    let Some(pair) = Pair::configured(WINDOW, "native-histograms", "") else { return };
    let now = almenara::clock::now().as_ms() / 1000 * 1000;
    let m: &[(&'static str, &'static str)] = &[("__name__", "m"), ("job", "a")];
    let h: &[(&'static str, &'static str)] = &[("__name__", "h"), ("job", "a")];
    let histogram = |at: i64| one(&[SeriesV1 { histograms: vec![whole(at)], ..v1(h, &[]) }]);
    let first = |samples: &[(i64, f64)]| (V1, one(&[v1(m, samples)]));
    let second = |samples: &[(i64, f64)]| (V2, two(vec![(v2(samples), m)]));
    let cases = [
        ("in order", first(&[(now - 30 * MINUTE, 1.0), (now, 2.0)])),
        ("late", first(&[(now - 5 * MINUTE, 3.0)])),
        ("late, version 2", second(&[(now - 6 * MINUTE, 4.0)])),
        ("late and late again", second(&[(now - 4 * MINUTE, 5.0), (now - 7 * MINUTE, 6.0)])),
        ("late and in order", second(&[(now - 3 * MINUTE, 7.0), (now + 1000, 8.0)])),
        ("the same again", first(&[(now - 5 * MINUTE, 3.0)])),
        ("another value for a late one", first(&[(now - 5 * MINUTE, 30.0)])),
        ("another value for a late one, version 2", second(&[(now - 6 * MINUTE, 40.0)])),
        ("another value for the newest", first(&[(now + 1000, 80.0)])),
        ("too old", first(&[(now - 20 * MINUTE, 9.0)])),
        ("too old, version 2", second(&[(now - 20 * MINUTE, 9.0), (now + 2000, 10.0)])),
        ("at the border", first(&[(now + 2000 - 10 * MINUTE, 11.0)])),
        ("beyond the border", first(&[(now + 2000 - 10 * MINUTE - 1, 12.0)])),
        ("a late marker", first(&[(now - 2 * MINUTE, stale_nan())])),
        ("a histogram", (V1, histogram(now))),
        ("a late histogram", (V1, histogram(now - 5 * MINUTE))),
        ("a histogram too old", (V1, histogram(now - 25 * MINUTE))),
        ("a late float among histograms", (V1, one(&[v1(h, &[(now - 4 * MINUTE, 1.0)])]))),
        (
            "a late histogram among floats",
            (V1, one(&[SeriesV1 { histograms: vec![whole(now - MINUTE)], ..v1(m, &[]) }])),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, (headers, body)) in &cases {
        let (theirs, ours) = (send(pair.theirs, headers, body), send(pair.ours, headers, body));
        if theirs != ours {
            wrong.push(format!("{name}\n  Prometheus: {theirs:?}\n  Almenara:   {ours:?}"));
        }
        for selector in ["m", "h"] {
            let [theirs, ours] = [pair.theirs, pair.ours].map(|port| stored(port, selector, now));
            if theirs != ours {
                wrong.push(format!("after {name}:\n  Prometheus: {theirs:?}\n  Almenara:   {ours:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for name in ["prometheus_tsdb_head_out_of_order_samples_appended_total", "prometheus_tsdb_too_old_samples_total"] {
        assert_eq!(counted(pair.ours, name), counted(pair.theirs, name), "{name}");
    }
}

/// Both scrape one target that tells times of its own.
#[test]
fn late_scrapes_are_stored_as_by_prometheus() {
    let now = almenara::clock::now().as_ms() / 1000 * 1000;
    let page = |samples: &[(i64, f64)]| -> &'static str {
        let lines: String = samples.iter().map(|(at, value)| format!("m {value} {at}\n")).collect();
        String::leak(lines + "untimed 1\n")
    };
    let target = Server::start(Behaviour::Answers(page(&[(now, 1.0)])));
    let configuration = format!(
        "{WINDOW}scrape_configs:\n- {{job_name: a, scrape_interval: 300ms, scrape_timeout: 300ms, static_configs: [{{targets: ['127.0.0.1:{}']}}]}}\n",
        target.port
    );
    let Some(pair) = Pair::configured(&configuration, "", "") else { return };
    let both = [pair.theirs, pair.ours];
    for (samples, is_up) in [
        (vec![(now, 1.0)], true),
        (vec![(now - 5 * MINUTE, 2.0)], true),
        (vec![(now - 5 * MINUTE, 3.0)], true),
        (vec![(now - 6 * MINUTE, 4.0)], true),
        // Not a sample that is passed over, but an error of the scrape.
        (vec![(now - 20 * MINUTE, 5.0)], false),
        (vec![(now + 1000, 6.0)], true),
    ] {
        target.behave(Behaviour::Answers(page(&samples)));
        let told = both.map(|port| get(port, "/api/v1/query?query=timestamp(up)").1);
        wait_for("both have scraped it", || {
            let newer = both.map(|port| get(port, "/api/v1/query?query=timestamp(up)").1);
            newer.iter().zip(&told).all(|(newer, told)| newer != told).then_some(())
        });
        // The next scrape begins after the page was changed.
        std::thread::sleep(std::time::Duration::from_millis(700));
        let [theirs, ours] = both.map(|port| stored(port, "m", now));
        assert_eq!(ours, theirs, "{samples:?}");
        for port in both {
            let up = series_of(&get(port, "/api/v1/query?query=up").1).concat();
            assert_eq!(
                up.contains("\"1\"]"),
                is_up,
                "{samples:?}: {up} of {}",
                if port == pair.ours { "ours" } else { "theirs" }
            );
        }
    }
    for name in ["prometheus_tsdb_head_out_of_order_samples_appended_total", "prometheus_tsdb_too_old_samples_total"] {
        let counts = both.map(|port| counted(port, name));
        assert!(counts.iter().all(|count| *count > 0.0), "{name}: {counts:?}");
    }
}
