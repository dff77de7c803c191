//! `/api/v1/rules`, `/api/v1/alerts`.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `rules`, `alerts`; the token of a page is that of 3.13, SHA-256.

use std::borrow::Cow;

use axum::extract::State;
use sha2::{Digest, Sha256};

use super::answer::{Answer, ApiError, ApiResult};
use super::json::{Json, go_exponent};
use super::params::{Params, parse_integer, parse_truth};
use super::series::{MatcherSets, read_matchers};
use super::state::AppState;
use crate::model::Timestamp;
use crate::rules::{AlertState, AlertStatus, AlertingStatus, GroupStatus, RuleStatus};

/// What Go prints for a time that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    Alerting,
    Recording,
}

/// Which rules a request is about. Empty lists pass everything.
pub(super) struct Filter<'a> {
    kind: Kind,
    names: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    matchers: MatcherSets,
}

/// Which part of the groups a request is about.
struct Page<'a> {
    /// Groups; `None` for all.
    limit: Option<usize>,
    /// Where it begins; empty for the beginning.
    token: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alerts {
    Shown,
    Excluded,
}

pub(super) async fn rules(State(state): State<AppState>, params: Params) -> ApiResult {
    let filter = Filter::read(&params)?;
    let alerts = match params.text("exclude_alerts") {
        "" => Alerts::Shown,
        text => match parse_truth(text) {
            Ok(true) => Alerts::Excluded,
            Ok(false) => Alerts::Shown,
            Err(reason) => {
                let reason = format!("error converting exclude_alerts: strconv.ParseBool: {reason}");
                return Err(ApiError::bad_parameter("exclude_alerts", reason));
            }
        },
    };
    let page = Page::read(&params)?;
    let groups = sorted_groups(&state);
    let (shown, next_token) = page.cut(&groups, &filter)?;
    Ok(Answer::of(|json| {
        json.object(|json| {
            json.key("groups").list(&shown, |json, (group, rules)| write_group(json, group, rules, alerts));
            if let Some(token) = &next_token {
                json.key("groupNextToken").string(token);
            }
        });
    }))
}

pub(super) async fn alerts(State(state): State<AppState>) -> ApiResult {
    let groups = sorted_groups(&state);
    let alerting = groups.iter().flat_map(|group| &group.rules).filter_map(|rule| rule.alerting.as_ref());
    let alerts = alerting.flat_map(active_alerts);
    Ok(Answer::of(|json| json.object(|json| json.key("alerts").list(alerts, write_alert))))
}

pub(super) fn sorted_groups(state: &AppState) -> Vec<GroupStatus> {
    let mut groups = (state.rules)();
    groups.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
    groups
}

impl<'a> Filter<'a> {
    pub(super) fn read(params: &'a Params) -> Result<Self, ApiError> {
        let matchers = read_matchers(params, ApiError::bad_data, |error| ApiError::bad_data(error.to_string()))?;
        let kind = match params.text("type").to_lowercase().as_str() {
            "" => Kind::Any,
            "alert" => Kind::Alerting,
            "record" => Kind::Recording,
            other => return Err(ApiError::bad_parameter("type", format!("not supported value {other:?}"))),
        };
        let [names, groups, files] = ["rule_name[]", "rule_group[]", "file[]"].map(|name| params.all(name));
        Ok(Filter { kind, names, groups, files, matchers })
    }

    pub(super) fn passes_group(&self, group: &GroupStatus) -> bool {
        is_in(&self.groups, &group.name) && is_in(&self.files, &group.file)
    }

    pub(super) fn passes_rule(&self, rule: &RuleStatus) -> bool {
        let is_kind = match self.kind {
            Kind::Any => true,
            Kind::Alerting => rule.alerting.is_some(),
            Kind::Recording => rule.alerting.is_none(),
        };
        let is_matched = self.matchers.is_empty()
            || self.matchers.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(&rule.labels)));
        is_kind && is_matched && is_in(&self.names, &rule.name)
    }
}

fn is_in(wanted: &[&str], name: &str) -> bool {
    wanted.is_empty() || wanted.contains(&name)
}

/// A group and those of its rules that pass.
type Shown<'g> = (&'g GroupStatus, Vec<&'g RuleStatus>);

impl<'a> Page<'a> {
    fn read(params: &'a Params) -> Result<Self, ApiError> {
        let token = params.text("group_next_token");
        let limit = match params.text("group_limit") {
            "" if token.is_empty() => None,
            "" => {
                let reason = "group_limit needs to be present in order to paginate over the groups";
                return Err(ApiError::bad_parameter("group_next_token", reason));
            }
            text => {
                let bad = |reason: String| ApiError::bad_parameter("group_limit", reason);
                let limit = parse_integer(text).map_err(|reason| {
                    bad(format!("group_limit needs to be a valid number: strconv.ParseInt: {reason}"))
                })?;
                let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
                Some(limit.ok_or_else(|| bad("group_limit needs to be greater than 0".to_owned()))?)
            }
        };
        Ok(Page { limit, token })
    }

    /// The groups of this page, without those of which no rule passes, and the token of the next one.
    fn cut<'g>(
        &self,
        groups: &'g [GroupStatus],
        filter: &Filter<'_>,
    ) -> Result<(Vec<Shown<'g>>, Option<String>), ApiError> {
        let begin = match self.token {
            "" => 0,
            token => groups.iter().position(|group| token_of(group) == token).ok_or_else(|| {
                let reason = format!("invalid group_next_token '{token}'. were rule groups changed?");
                ApiError::bad_parameter("group_next_token", reason)
            })?,
        };
        let mut shown = Vec::new();
        for group in groups[begin..].iter().filter(|group| filter.passes_group(group)) {
            let rules: Vec<&RuleStatus> = group.rules.iter().filter(|rule| filter.passes_rule(rule)).collect();
            if rules.is_empty() {
                continue;
            }
            if self.limit == Some(shown.len()) {
                return Ok((shown, Some(token_of(group))));
            }
            shown.push((group, rules));
        }
        Ok((shown, None))
    }
}

fn token_of(group: &GroupStatus) -> String {
    let hash = Sha256::digest(format!("{};{}", group.file, group.name));
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_group(json: &mut Json, group: &GroupStatus, rules: &[&RuleStatus], alerts: Alerts) {
    json.object(|json| {
        json.key("name").string(&group.name);
        json.key("file").string(&group.file);
        json.key("rules").list(rules, |json, rule| write_rule(json, rule, alerts));
        json.key("interval").number(group.interval.as_secs_f64());
        json.key("limit").integer(group.limit);
        json.key("evaluationTime").number(group.evaluation_duration.as_secs_f64());
        json.key("lastEvaluation").string(&time_or_never(group.evaluated_at));
    });
}

fn write_rule(json: &mut Json, rule: &RuleStatus, alerts: Alerts) {
    json.object(|json| {
        if let Some(alerting) = &rule.alerting {
            json.key("state").string(alerting.state.map_or("unknown", AlertState::as_str));
        }
        json.key("name").string(&rule.name);
        json.key("query").string(&rule.query);
        match &rule.alerting {
            Some(alerting) => {
                json.key("duration").number(alerting.hold_duration.as_secs_f64());
                json.key("keepFiringFor").number(alerting.keep_firing_for.as_secs_f64());
                json.key("labels").labels(&rule.labels);
                json.key("annotations").labels(&alerting.annotations);
                json.key("alerts");
                match alerts {
                    Alerts::Shown => json.list(active_alerts(alerting), write_alert),
                    Alerts::Excluded => json.null(),
                }
            }
            None if rule.labels.is_empty() => {}
            None => json.key("labels").labels(&rule.labels),
        }
        json.key("health").string(rule.health.as_str());
        if let Some(error) = &rule.last_error {
            json.key("lastError").string(error);
        }
        json.key("evaluationTime").number(rule.evaluation_duration.as_secs_f64());
        json.key("lastEvaluation").string(&time_or_never(rule.evaluated_at));
        json.key("type").string(if rule.alerting.is_some() { "alerting" } else { "recording" });
    });
}

/// Alerts that ended are remembered for a while, but not shown.
fn active_alerts(alerting: &AlertingStatus) -> impl Iterator<Item = &AlertStatus> {
    alerting.alerts.iter().filter(|alert| alert.state != AlertState::Inactive)
}

fn write_alert(json: &mut Json, alert: &AlertStatus) {
    json.object(|json| {
        json.key("labels").labels(&alert.labels);
        json.key("annotations").labels(&alert.annotations);
        json.key("state").string(alert.state.as_str());
        json.key("activeAt").string(&alert.active_at.to_rfc3339());
        if let Some(since) = alert.keep_firing_since {
            json.key("keepFiringSince").string(&since.to_rfc3339());
        }
        // A histogram has no number to show; upstream shows the zero of its float.
        json.key("value").string(&go_exponent(alert.value.as_float().unwrap_or(0.0)));
    });
}

/// An instant, or Go's zero time.
pub(super) fn time_or_never(at: Option<Timestamp>) -> Cow<'static, str> {
    at.map_or(Cow::Borrowed(NEVER), |at| Cow::Owned(at.to_rfc3339()))
}
