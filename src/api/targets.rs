//! `/api/v1/targets`, `/api/v1/scrape_pools`, `/api/v1/alertmanagers`.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `targets`, `scrapePools`, `alertmanagers`, `getGlobalURL`.
//! **Differs:** the port that we listen on is taken from the external URL.

use std::collections::BTreeSet;

use axum::extract::State;
use url::Url;

use super::answer::{Answer, ApiResult};
use super::json::Json;
use super::params::Params;
use super::rules::time_or_never;
use super::state::AppState;
use crate::scrape::{DroppedTarget, TargetStatus, Targets};
use crate::source::format_duration;

/// Hosts that mean another machine to whoever reads the answer.
const LOCAL_HOSTS: [&str; 4] = ["127.0.0.1", "localhost", "::1", "[::1]"];

pub(super) async fn targets(State(state): State<AppState>, params: Params) -> ApiResult {
    let wanted = params.text("state").to_lowercase();
    let is_wanted = |kind: &str| ["", "any", kind].contains(&wanted.as_str());
    let pool = params.text("scrapePool");
    let is_in_pool = |name: &str| pool.is_empty() || pool == name;

    let Targets { active, dropped, dropped_counts } = (state.targets)();
    let external_url = Url::parse(&state.live.read().external_url).ok();
    let active = active.iter().filter(|target| is_wanted("active") && is_in_pool(&target.scrape_pool));
    let dropped = dropped.iter().filter(|target| is_wanted("dropped") && is_in_pool(&target.scrape_pool));
    Ok(Answer::of(|json| {
        json.object(|json| {
            json.key("activeTargets").list(active, |json, target| write_active(json, target, external_url.as_ref()));
            json.key("droppedTargets").list(dropped, write_dropped);
            json.key("droppedTargetCounts");
            if is_wanted("dropped") {
                json.object(|json| dropped_counts.iter().for_each(|(job, count)| json.key(job).integer(*count)));
            } else {
                json.null();
            }
        });
    }))
}

pub(super) async fn scrape_pools(State(state): State<AppState>) -> ApiResult {
    let Targets { active, dropped, dropped_counts } = (state.targets)();
    let mut pools: BTreeSet<&str> = dropped_counts.iter().map(|(pool, _)| pool.as_str()).collect();
    pools.extend(active.iter().map(|target| target.scrape_pool.as_str()));
    pools.extend(dropped.iter().map(|target| target.scrape_pool.as_str()));
    Ok(Answer::of(|json| {
        json.object(|json| json.key("scrapePools").list(&pools, |json, pool| json.string(pool)));
    }))
}

pub(super) async fn alertmanagers(State(state): State<AppState>) -> ApiResult {
    let known = (state.alertmanagers)();
    Ok(Answer::of(|json| {
        json.object(|json| {
            for (key, urls) in [("activeAlertmanagers", &known.active), ("droppedAlertmanagers", &known.dropped)] {
                json.key(key).list(urls, |json, url| json.object(|json| json.key("url").string(url)));
            }
        });
    }))
}

fn write_active(json: &mut Json, target: &TargetStatus, external_url: Option<&Url>) {
    json.object(|json| {
        json.key("discoveredLabels").labels(&target.discovered_labels);
        json.key("labels").labels(&target.labels);
        json.key("scrapePool").string(&target.scrape_pool);
        json.key("scrapeUrl").string(&target.scrape_url);
        json.key("globalUrl").string(&global_url(&target.scrape_url, external_url));
        json.key("lastError").string(&target.last.error);
        json.key("lastScrape").string(&time_or_never(target.last.at));
        json.key("lastScrapeDuration").number(target.last.duration.as_secs_f64());
        json.key("health").string(target.last.health.as_str());
        json.key("scrapeInterval").string(&format_duration(target.scrape_interval));
        json.key("scrapeTimeout").string(&format_duration(target.scrape_timeout));
    });
}

fn write_dropped(json: &mut Json, target: &DroppedTarget) {
    json.object(|json| {
        json.key("discoveredLabels").labels(&target.discovered_labels);
        json.key("scrapePool").string(&target.scrape_pool);
    });
}

/// The target's URL as other machines reach it: the external URL's host where the target is on this machine, and where it is
/// ourselves, its scheme too.
fn global_url(scrape_url: &str, external_url: Option<&Url>) -> String {
    let moved = || {
        let external_url = external_url?;
        let mut url = Url::parse(scrape_url).ok()?;
        if !LOCAL_HOSTS.contains(&url.host_str()?) || url.port().is_none() {
            return None;
        }
        if url.port() == external_url.port_or_known_default() {
            url.set_scheme(external_url.scheme()).ok()?;
            url.set_port(external_url.port()).ok()?;
        }
        url.set_host(external_url.host_str()).ok()?;
        Some(url.to_string())
    };
    moved().unwrap_or_else(|| scrape_url.to_owned())
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::global_url;

    #[test]
    fn local_targets_are_shown_as_others_reach_them() {
        let external = Url::parse("https://mon.example:9597").unwrap();
        for (scrape_url, expected) in [
            ("http://127.0.0.1:9100/metrics?a=b", "http://mon.example:9100/metrics?a=b"),
            ("http://localhost:9597/metrics", "https://mon.example:9597/metrics"),
            ("http://[::1]:9100/metrics", "http://mon.example:9100/metrics"),
            ("http://node:9100/metrics", "http://node:9100/metrics"),
            ("http://localhost/metrics", "http://localhost/metrics"),
        ] {
            assert_eq!(global_url(scrape_url, Some(&external)), expected);
        }
        assert_eq!(global_url("http://127.0.0.1:1/", None), "http://127.0.0.1:1/");
    }
}
