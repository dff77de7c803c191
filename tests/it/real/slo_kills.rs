//! The counters of objectives through `kill -9` and orderly ends: no event is lost, none is counted twice.

use std::time::Duration;

use super::deployment::Deployment;
use super::process::wait_for;
use super::server::{Behaviour, Server};

/// How often the daemon is ended; `ALMENARA_KILLS=100` for the long run.
fn kills() -> u64 {
    std::env::var("ALMENARA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

const SLO: &str = "interval: 100ms\nslos: [{name: a, objective: 99, window: 1h, indicator: {errors: {bad: 'requests_total{code=\"500\"}', total: requests_total}}}]\n";

/// What the target shows after so many requests; the counter of errors is born with the first one.
fn shown(good: u64, bad: u64) -> Behaviour {
    let errors = if bad > 0 { format!("requests_total{{code=\"500\"}} {bad}\n") } else { String::new() };
    let text = format!("# TYPE requests_total counter\nrequests_total{{code=\"200\"}} {good}\n{errors}");
    Behaviour::Answers(Box::leak(text.into_boxed_str()))
}

#[test]
fn no_event_is_lost_or_doubled() {
    let target = Server::start(shown(1_000, 0));
    let configuration = format!(
        "slo_files: [slo.yml]\nscrape_configs:\n- job_name: a\n  scrape_interval: 50ms\n  scrape_timeout: 50ms\n  static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        target.port
    );
    let mut deployment = Deployment::start(&[("almenara.yml", &configuration), ("slo.yml", SLO)], &[]);
    let counted = |deployment: &Deployment| {
        let data = deployment.data("/api/almenara/v1/slos/a/burn_rates");
        if data[0]["evaluated"] != true {
            return (-1.0, -1.0);
        }
        let whole = data[0]["windows"].as_array().and_then(|windows| windows.last().cloned()).unwrap_or_default();
        let (good, total) = (whole["good"].as_f64().unwrap_or(-1.0), whole["total"].as_f64().unwrap_or(-1.0));
        (total, total - good)
    };
    wait_for("the first scrapes are a base line", || {
        (deployment.values("count_over_time(up[1h]) >= 3").len() == 1 && counted(&deployment) == (0.0, 0.0))
            .then_some(())
    });
    let (mut good, mut bad) = (1_000, 0);
    for kill in 0..kills() {
        for step in 0..5 {
            good += 7 + step;
            bad += u64::from(step == 2);
            target.behave(shown(good, bad));
            // At another moment between scrapes and evaluations each time.
            std::thread::sleep(Duration::from_millis(20 + (13 * kill + 7 * step) % 60));
        }
        // An orderly end keeps the counters on disk; a kill leaves those of the last one, and the samples since.
        let signal = if kill % 3 == 1 { "TERM" } else { "KILL" };
        if kill == 0 {
            // The counter of errors was born while somebody watched: its first value counts.
            wait_for("the birth was seen", || (counted(&deployment).1 >= 1.0).then_some(()));
        }
        deployment.daemon.signal(signal);
        deployment.daemon.wait();
        deployment.start_again();
    }
    let expected = ((good - 1_000 + bad) as f64, bad as f64);
    let mut last = (-1.0, -1.0);
    let is_right = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("every event is counted once", || {
            last = counted(&deployment);
            (last == expected).then_some(())
        });
    }));
    assert!(is_right.is_ok(), "counted {last:?}, but there were {expected:?} after {} ends", kills());
}
