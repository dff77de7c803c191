//! A flood of series from one target is refused at the limit and named; what was there goes on, and no evaluation is late.
//!
//! `ALMENARA_FLOOD_SERIES=1000000` makes a flood of that many series a minute instead of [`SERIES`] in all.

use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::real::deployment::Deployment;
use crate::real::process::wait_for;
use crate::real::server::{Behaviour, Server, read_request};

/// New series in each scrape, one a second.
const SERIES: u64 = 3_000;
/// What the job may have.
const LIMIT: u64 = 2_000;

fn flood_series() -> u64 {
    let a_minute = std::env::var("ALMENARA_FLOOD_SERIES").ok().and_then(|text| text.parse::<u64>().ok());
    a_minute.map_or(SERIES, |count| count / 60)
}

/// A target each of whose scrapes brings so many series that were never there, after one that always is. Gives the port and how many
/// scrapes there were.
fn bomb(series: u64) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let scrapes = Arc::new(AtomicU64::new(0));
    let counted = scrapes.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let clone = stream.try_clone().expect("clone");
            if read_request(&mut BufReader::new(clone)).is_none() {
                continue;
            }
            let scrape = counted.fetch_add(1, Ordering::Relaxed);
            let mut body = format!("steady {scrape}\n");
            (0..series).for_each(|number| body.push_str(&format!("bomb{{id=\"{scrape}-{number}\"}} 1\n")));
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes());
        }
    });
    (port, scrapes)
}

#[test]
fn a_flood_is_refused_by_name_and_nothing_else_suffers() {
    let (port, scrapes) = bomb(flood_series());
    let quiet = Server::start(Behaviour::Answers("m 1\n"));
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         storage: {{series_limit_per_job: {LIMIT}}}\n\
         rule_files: [rules.yml]\n\
         scrape_configs:\n\
         - {{job_name: bomb, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n\
         - {{job_name: quiet, static_configs: [{{targets: ['127.0.0.1:{}']}}]}}\n",
        quiet.port
    );
    let rules = "groups: [{name: g, rules: [{record: 'r:m', expr: 'm + 0'}, {alert: Never, expr: 'steady < 0'}]}]";
    let deployment = Deployment::start(&[("almenara.yml", &*config), ("rules.yml", rules)], &[]);
    let refused = "almenara_store_series_refused_total{scrape_job=\"bomb\",reason=\"job_limit\"}";
    wait_for("refusals", || deployment.text("/metrics").contains(refused).then_some(()));
    let until =
        scrapes.load(Ordering::Relaxed) + if std::env::var_os("ALMENARA_FLOOD_SERIES").is_some() { 60 } else { 3 };
    wait_for("further scrapes", || (scrapes.load(Ordering::Relaxed) >= until).then_some(()));

    let of_bomb = deployment.values("count({job=\"bomb\"})")[0];
    assert!(of_bomb <= LIMIT as f64 + 5.0, "{of_bomb} series");
    assert!(deployment.metric(refused) >= (flood_series() * 2) as f64 - LIMIT as f64);
    // What was there goes on, and the target counts as up.
    assert_eq!(deployment.values("up{job=\"bomb\"}"), [1.0]);
    let steady = deployment.values("steady")[0];
    wait_for("the steady series to go on", || (deployment.values("steady")[0] > steady).then_some(()));
    assert_eq!(deployment.values("r:m"), [1.0]);
    assert_eq!(deployment.sum_of_metric("prometheus_rule_group_iterations_missed_total"), 0.0);

    // The job is named everywhere.
    let targets = deployment.data("/api/v1/targets");
    let target = targets["activeTargets"].as_array().expect("targets").iter().find(|t| t["scrapePool"] == "bomb");
    let target = target.expect("the target").clone();
    assert_eq!(target["health"], "up");
    let error = target["lastError"].as_str().expect("text");
    assert!(error.contains("storage.series-limit-per-job"), "{error}");
    wait_for("the readiness to tell", || {
        let text = deployment.text("/-/ready");
        (text.contains("\"bomb\"") && text.contains("series-limit-per-job")).then_some(())
    });
    assert!(deployment.text("/").contains("New series are refused"));
    assert!(deployment.daemon.output().contains("new series are refused"), "{}", deployment.daemon.output());
}
