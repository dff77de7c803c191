//! A target that has other series at each scrape: it is refused at its limit and named, memory stays, and no rule is late.
//!
//! `BOMB_SERIES=100000` (every second, so six million in a minute) is the size to run by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::servers::{bomb, good};
use super::{job, peak_bytes, said, samples};
use crate::real::deployment::Deployment;
use crate::real::process::wait_for;

const LIMIT: usize = 1_000;
const SCRAPES: usize = 6;
const EVALUATIONS: usize = 4;
const EVALUATION_INTERVAL_MS: i64 = 3_000;
const RULES: &str = "groups: [{name: steady, interval: 3s, rules: [{record: evaluated, expr: vector(time())}, \
    {record: good, expr: 'sum(rate(scrapes_total[10s]))'}, {alert: Named, expr: up == 0}]}]\n";

#[tokio::test(flavor = "multi_thread")]
async fn ever_new_series_are_refused_and_make_no_rule_late() {
    let series = std::env::var("BOMB_SERIES").map_or(20_000, |text| text.parse().expect("a number of series"));
    let scrapes = Arc::new(AtomicUsize::new(0));
    let bomb = bomb(series, scrapes.clone()).await;
    let jobs = [job("bomb", &[bomb], &format!("sample_limit: {LIMIT}")), job("good", &[good(false).await], "")];
    let text = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n{}",
        jobs.concat()
    );
    let deployment = Deployment::start(&[("almenara.yml", &text), ("rules.yml", RULES)], &[]);
    // A busy machine may make one scrape too slow for its time; what is over the limit is told at the next.
    wait_for("enough scrapes, all refused", || {
        let error = said(deployment.port).get("bomb").cloned().unwrap_or_default();
        (scrapes.load(Ordering::Relaxed) > SCRAPES && error == ("down".into(), "sample limit exceeded".into()))
            .then_some(())
    });
    assert!(deployment.metric("prometheus_target_scrapes_exceeded_sample_limit_total") >= 1.0);
    assert!(std::fs::read_to_string(deployment.path("almenara.log")).expect("a log").contains("sample limit exceeded"));
    // At most those up to the limit of each scrape have come to be known, and none of them has a sample.
    assert_eq!(deployment.values("count({job=\"bomb\",__name__=~\"m_.*\"})"), [0.0; 0]);
    let evaluated = wait_for("enough evaluations", || {
        let evaluated = samples(&deployment, "evaluated");
        evaluated.first().is_some_and(|samples| samples.len() >= EVALUATIONS).then_some(evaluated)
    });
    let gaps = evaluated[0].windows(2).filter(|pair| pair[1].0 - pair[0].0 != EVALUATION_INTERVAL_MS).count();
    assert_eq!((evaluated.len(), gaps), (1, 0), "{evaluated:?}");
    assert_eq!(deployment.values("min(ALERTS{alertname=\"Named\",job=\"bomb\"})"), [1.0]);
    assert_eq!(deployment.sum_of_metric("prometheus_rule_group_iterations_missed_total"), 0.0);
    let scrapes = scrapes.load(Ordering::Relaxed);
    eprintln!(
        "{} new series in {scrapes} scrapes refused; peak {} MiB, slowest evaluation {} s",
        scrapes * series,
        peak_bytes(deployment.daemon.id()) >> 20,
        deployment.sum_of_metric("prometheus_rule_group_last_duration_seconds"),
    );
}
