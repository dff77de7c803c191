//! `/api/almenara/v1/rules/outcomes`: the last evaluations of each rule.
//!
//! Parameters: those of `/api/v1/rules` that choose rules: `type`, `rule_name[]`, `rule_group[]`, `file[]`, `match[]`.
//!
//! ```text
//! groups[]         file, name, interval (s)
//!   rules[]        name, type, query, health
//!     warnings[]   labels and annotations whose templates failed in the last evaluation, if any did
//!     hasMatched   false while the expression has never found a series to read
//!     outcomes[]   the oldest first: at (the slot), duration (s), seriesIn, seriesOut, error
//! ```

use axum::extract::State;

use super::answer::{Answer, ApiResult};
use super::json::Json;
use super::params::Params;
use super::rules::{Filter, sorted_groups};
use super::state::AppState;
use crate::rules::{RuleOutcome, RuleStatus};

pub(super) async fn outcomes(State(state): State<AppState>, params: Params) -> ApiResult {
    let filter = Filter::read(&params)?;
    let groups = sorted_groups(&state);
    Ok(Answer::of(|json| {
        json.object(|json| {
            json.key("groups").list(groups.iter().filter(|group| filter.passes_group(group)), |json, group| {
                json.object(|json| {
                    json.key("file").string(&group.file);
                    json.key("name").string(&group.name);
                    json.key("interval").number(group.interval.as_secs_f64());
                    json.key("rules").list(group.rules.iter().filter(|rule| filter.passes_rule(rule)), write_rule);
                });
            });
        });
    }))
}

fn write_rule(json: &mut Json, rule: &RuleStatus) {
    json.object(|json| {
        json.key("name").string(&rule.name);
        json.key("type").string(if rule.alerting.is_some() { "alerting" } else { "recording" });
        json.key("query").string(&rule.query);
        json.key("health").string(rule.health.as_str());
        if !rule.warnings.is_empty() {
            json.key("warnings").list(&rule.warnings, |json, warning| json.string(warning));
        }
        json.key("hasMatched").truth(rule.has_matched);
        json.key("outcomes").list(&rule.outcomes.to_vec(), write_outcome);
    });
}

pub(super) fn write_outcome(json: &mut Json, outcome: &RuleOutcome) {
    json.object(|json| {
        json.key("at").string(&outcome.slot.to_rfc3339());
        json.key("duration").number(outcome.duration.as_secs_f64());
        json.key("seriesIn").integer(outcome.series_in);
        json.key("seriesOut").integer(outcome.series_out);
        if let Some(error) = &outcome.error {
            json.key("error").string(error);
        }
    });
}
