//! `/api/almenara/v1/alerts/explain`: why alerts are as they are.
//!
//! Parameters: `match[]`, selectors of labels, any of which may pass; without any, all alerts are told of.
//!
//! ```text
//! alerts[]
//!   labels, annotations, state, value, activeAt, firedAt, keepFiringSince, lastSentAt
//!   because          one sentence: what its state follows from
//!   rule             the text in force: file, group, name, query, for, keepFiringFor (s), noData, error, limitPolicy, recoverWhen;
//!                    interval (s), lastEvaluation, health, lastError, warnings
//!   condition        left, op, right: the comparison that decides, where the query is one; else left alone is the query
//!   values[]         at the last slots: at, left, right (what the sides give for the labels of this alert; absent without data)
//!   outcomes[]       of the rule, see `/rules/outcomes`
//!   routes[]         receiver, group, lastFlush, nextFlush; silencedBy[], inhibitedBy, of our own router
//!   events[]         what happened to it, see `/alerts/history`
//! ```
//!
//! **Limits.** [`ALERTS_MAX`] alerts an answer; values of [`SLOTS_SHOWN`] slots, evaluated anew with the limits of a query.

use std::time::Duration;

use axum::extract::State;

use super::answer::{Answer, ApiError, ApiResult};
use super::execution::run;
use super::history::{AlertEvent, AlertEventFilter, read, write_event};
use super::json::{Json, go_exponent};
use super::outcomes::write_outcome;
use super::params::Params;
use super::rules::{sorted_groups, time_or_never};
use super::series::read_matchers;
use super::state::AppState;
use crate::model::{Labels, Timestamp};
use crate::promql::ast::ExprKind;
use crate::promql::eval::{EvalError, QueryOptions, QueryValue, eval_range};
use crate::promql::{Expr, parse_with};
use crate::rules::policy::{LimitPolicy, NoData, OnError};
use crate::rules::{AlertState, AlertStatus, AlertingStatus, GroupStatus, Held, RuleStatus};
use crate::source::format_duration;

/// Alerts of an answer.
const ALERTS_MAX: usize = 20;
/// Slots whose values are shown.
const SLOTS_SHOWN: u32 = 10;
/// Events of each alert.
const EVENTS_SHOWN: usize = 30;

/// An alert with its rule and its group.
struct Subject {
    group: GroupStatus,
    rule: RuleStatus,
    alerting: AlertingStatus,
    alert: AlertStatus,
    events: Vec<AlertEvent>,
}

pub(super) async fn explain(State(state): State<AppState>, params: Params) -> ApiResult {
    let sets = read_matchers(&params, ApiError::bad_data, |error| ApiError::bad_data(error.to_string()))?;
    let passes = |labels: &Labels| {
        sets.is_empty() || sets.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(labels)))
    };
    let mut subjects = Vec::new();
    for group in sorted_groups(&state) {
        for rule in &group.rules {
            let Some(alerting) = &rule.alerting else { continue };
            for alert in alerting.alerts.iter().filter(|alert| passes(&alert.labels)) {
                if subjects.len() < ALERTS_MAX {
                    let group = GroupStatus { rules: Vec::new(), ..group.clone() };
                    let (rule, alerting, alert) = (rule.clone(), alerting.clone(), alert.clone());
                    subjects.push(Subject { group, rule, alerting, alert, events: Vec::new() });
                }
            }
        }
    }
    for subject in &mut subjects {
        let of_alert =
            |label: &crate::model::Label| crate::model::Matcher::equal(label.name.clone(), label.value.clone());
        let matchers = vec![subject.alert.labels.iter().map(of_alert).collect()];
        let filter = AlertEventFilter { matchers, limit: EVENTS_SHOWN, ..AlertEventFilter::default() };
        subject.events = read(&state.alert_events, filter).await?;
    }
    let (queries, timeout) = (state.queries.clone(), state.queries.settings.timeout);
    run(&queries, timeout, move |interrupt, _| {
        let settings = state.queries.settings;
        let options = settings.dialect.applied(QueryOptions {
            lookback_delta: settings.lookback_delta,
            default_subquery_step: state.live.read().default_subquery_step,
            max_samples: settings.max_samples,
            interrupt: Some(interrupt),
            ..QueryOptions::default()
        });
        let mut told = Vec::with_capacity(subjects.len());
        for subject in &subjects {
            told.push((subject, Values::of(subject, &state, &options)?));
        }
        Ok(Answer::of(|json| {
            json.object(|json| {
                json.key("alerts").list(&told, |json, (subject, values)| write(json, subject, values, &state));
            });
        }))
    })
    .await
}

/// What the parts of the condition gave at the last slots.
struct Values {
    left: String,
    /// Operator and right side.
    right: Option<(&'static str, String)>,
    rows: Vec<(Timestamp, Option<f64>, Option<f64>)>,
}

impl Values {
    fn of(subject: &Subject, state: &AppState, options: &QueryOptions<'_>) -> Result<Values, EvalError> {
        let nothing = Values { left: subject.rule.query.to_string(), right: None, rows: Vec::new() };
        let features = state.queries.settings.dialect.features;
        let Ok(expr) = parse_with(&subject.rule.query, features) else { return Ok(nothing) };
        let Some(end) = subject.group.evaluated_at else { return Ok(nothing) };
        let (left, right) = match &expr.unparenthesised().kind {
            ExprKind::Binary(binary) if binary.op.is_comparison() => {
                (&binary.lhs, Some((binary.op.as_str(), &binary.rhs)))
            }
            _ => (&expr, None),
        };
        let interval = subject.group.interval;
        let start = end - interval * (SLOTS_SHOWN - 1);
        let at_slots = |expr: &Expr| -> Result<Vec<(Timestamp, f64)>, EvalError> {
            let value = eval_range(expr, start, end, interval, &*state.store, options)?.value;
            let QueryValue::Matrix(series) = value else { return Ok(Vec::new()) };
            let is_scalar = expr.value_type() == crate::promql::ast::ValueType::Scalar;
            let own = series
                .into_iter()
                .find(|series| is_scalar || series.labels.without_metric_name() == subject.alert.element);
            let samples = own.map(|series| series.samples).unwrap_or_default();
            Ok(samples.iter().filter_map(|sample| Some((sample.at, sample.value.as_float()?))).collect())
        };
        let left_values = at_slots(left)?;
        let right_values = right.map(|(_, right)| at_slots(right)).transpose()?.unwrap_or_default();
        let find =
            |values: &[(Timestamp, f64)], slot| values.iter().find(|(at, _)| *at == slot).map(|(_, value)| *value);
        let slots = (0..SLOTS_SHOWN).map(|step| start + interval * step);
        Ok(Values {
            left: left.to_string(),
            right: right.map(|(op, right)| (op, right.to_string())),
            rows: slots.map(|slot| (slot, find(&left_values, slot), find(&right_values, slot))).collect(),
        })
    }
}

fn write(json: &mut Json, subject: &Subject, values: &Values, state: &AppState) {
    let alert = &subject.alert;
    json.object(|json| {
        json.key("labels").labels(&alert.labels);
        json.key("annotations").labels(&alert.annotations);
        json.key("state").string(alert.state.as_str());
        json.key("because").string(&because(subject));
        json.key("value").string(&go_exponent(alert.value.as_float().unwrap_or(0.0)));
        json.key("activeAt").string(&alert.active_at.to_rfc3339());
        for (key, at) in [
            ("firedAt", alert.fired_at),
            ("keepFiringSince", alert.keep_firing_since),
            ("lastSentAt", alert.last_sent_at),
        ] {
            if let Some(at) = at {
                json.key(key).string(&at.to_rfc3339());
            }
        }
        write_rule(json.key("rule"), subject);
        write_values(json, values);
        json.key("outcomes").list(&subject.rule.outcomes.to_vec(), write_outcome);
        write_routes(json, alert, state);
        json.key("events").list(&subject.events, write_event);
    });
}

/// One sentence.
fn because(subject: &Subject) -> String {
    let Subject { alerting, alert, .. } = subject;
    let since = alert.active_at.to_rfc3339();
    let hold = format_duration(alerting.hold_duration);
    match (alert.held, alert.keep_firing_since, alert.state) {
        (Some(Held::Pause), ..) => {
            format!("It was {} when we went away; its data are not all back yet.", alert.state.as_str())
        }
        (Some(held), ..) => format!("It is not in the result of the last evaluation: {}.", held.as_str()),
        (None, Some(since), _) => {
            let until = (since + alerting.keep_firing_for).to_rfc3339();
            format!("Its condition does not hold since {}; keep_firing_for keeps it until {until}.", since.to_rfc3339())
        }
        (None, None, AlertState::Pending) => {
            let fires_at = (alert.active_at + alerting.hold_duration).to_rfc3339();
            format!("Its condition holds since {since}; after {hold} of that, at {fires_at}, it will fire.")
        }
        (None, None, _) => format!("Its condition holds since {since}, which is not less than its `for` of {hold}."),
    }
}

fn write_rule(json: &mut Json, subject: &Subject) {
    let Subject { group, rule, alerting, .. } = subject;
    let seconds = |duration: Duration| duration.as_secs_f64();
    json.object(|json| {
        json.key("file").string(&group.file);
        json.key("group").string(&group.name);
        json.key("name").string(&rule.name);
        json.key("query").string(&rule.query);
        json.key("for").number(seconds(alerting.hold_duration));
        json.key("keepFiringFor").number(seconds(alerting.keep_firing_for));
        json.key("noData").string(match alerting.policy.no_data {
            NoData::Resolve => "resolve",
            NoData::Keep => "keep",
            NoData::Fire => "fire",
            NoData::Alert => "alert",
        });
        if let Some(error) = alerting.policy.error {
            json.key("error").string(match error {
                OnError::Keep => "keep",
                OnError::Fire => "fire",
                OnError::Alert => "alert",
            });
        }
        json.key("limitPolicy").string(if alerting.policy.limit == LimitPolicy::Keep { "keep" } else { "drop" });
        if let Some(recover_when) = &alerting.recover_when {
            json.key("recoverWhen").string(recover_when);
        }
        json.key("interval").number(seconds(group.interval));
        json.key("lastEvaluation").string(&time_or_never(rule.evaluated_at));
        json.key("health").string(rule.health.as_str());
        if let Some(error) = &rule.last_error {
            json.key("lastError").string(error);
        }
        if !rule.warnings.is_empty() {
            json.key("warnings").list(&rule.warnings, |json, warning| json.string(warning));
        }
    });
}

fn write_values(json: &mut Json, values: &Values) {
    json.key("condition").object(|json| {
        json.key("left").string(&values.left);
        if let Some((op, right)) = &values.right {
            json.key("op").string(op);
            json.key("right").string(right);
        }
    });
    json.key("values").list(&values.rows, |json, (at, left, right)| {
        json.object(|json| {
            json.key("at").string(&at.to_rfc3339());
            for (key, value) in [("left", left), ("right", right)] {
                if let Some(value) = value {
                    json.key(key).string(&go_exponent(*value));
                }
            }
        });
    });
}

/// Our own router knows alerts with the external labels.
fn write_routes(json: &mut Json, alert: &AlertStatus, state: &AppState) {
    let Some(handle) = &state.router else { return };
    let external = state.live.read().external_labels.clone();
    let mut labels = external.to_builder();
    for label in &alert.labels {
        labels.set(label.name.clone(), label.value.clone());
    }
    let labels = labels.build();
    let (now, fingerprint) = (handle.now(), crate::model::Fingerprint::of(&labels));
    handle.read(|router| {
        let of_alert = router.groups().filter(|(_, group)| group.members().any(|member| member == fingerprint));
        json.key("routes").list(of_alert, |json, (id, group)| {
            json.object(|json| {
                json.key("receiver").string(group.receiver());
                json.key("group").labels(&id.labels);
                if let Some(at) = group.last_flush() {
                    json.key("lastFlush").string(&at.to_rfc3339());
                }
                json.key("nextFlush").string(&group.next_flush().to_rfc3339());
            });
        });
        let silencing = router.silences().iter().filter(|silence| silence.mutes(&labels, now));
        json.key("silencedBy").list(silencing, |json, silence| json.string(&silence.id.to_string()));
        if let Some(Some(source)) = router.inhibited_by(now, [&labels]).first() {
            json.key("inhibitedBy").string(&source.to_string());
        }
    });
}
