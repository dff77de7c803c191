//! `/api/almenara/v1/slos`: how every objective stands, for dashboards and scripts.
//!
//! In the flow: as of the last slot of each SLO group; the page shows the same figures.
//!
//! ```text
//! name, group, labels      which objective, and which group of it
//! objective                in percent, as it was written
//! window                   of the budget, as it was written: "30d", "month"
//! event_exact              whether events are counted one by one; false of queries over windows
//! at                       of which instant the figures are (RFC 3339)
//! evaluated                false from the start of the process to the first evaluation: the figures are of what was durable, if anything was
//! state                    met │ at_risk │ breached │ not_measured
//! budget_remaining         1 untouched, 0 spent, negative overspent; null without events
//! error_ratio              over the whole window; null without events
//! windows[]                window, burn_rate, error_ratio; where it is event-exact coverage (0 to 1), good, total
//! tiers[]                  name, severity, long, short, factor, holds, guard (what it says while the condition is met), full_at (RFC 3339; while a
//!                          part of its long window was not seen, for reasons of our own)
//! exclusions[]             reason, author
//! with_excluded            budget_remaining, error_ratio, as they would be without exclusions; only where something is excluded
//! level                    of the budget policy: name, action, block; null where none holds
//! forecast                 expected, earliest, latest (RFC 3339; null: not up to not_before), not_before, burn_rate, text; null without events
//! alerts[]                 what fires: name, severity, tier, labels, annotations, active_at (RFC 3339)
//! ```
//!
//! `/slos/NAME` gives the groups of one objective, 404 where no objective has that name; `/slos/NAME/budget` how its budget went since the window
//! began (`time`, `budget_remaining`, `burn_rate`), `/slos/NAME/burn_rates`, `/slos/NAME/alerts` and `/slos/NAME/forecast` these parts alone, each with `group` and `evaluated`.
//!
//! **Units.** Ratios go from 0 to 1; `good` and `total` count events.

use axum::extract::{Path, State};

use super::answer::{Answer, ApiError, ApiResult, ErrorKind};
use super::json::Json;
use super::state::AppState;
use crate::slo::{Exhaustion, Forecast, SloAlert, SloStatus, Tier, TrendPoint, Verdict, WindowFigures, outlook};
use crate::source::format_duration;

pub(super) async fn slos(State(state): State<AppState>) -> ApiResult {
    let slos = (state.slos)();
    Ok(Answer::of(|json| json.list(&slos, write_slo)))
}

pub(super) async fn one(State(state): State<AppState>, Path(name): Path<String>) -> ApiResult {
    of_name(&state, &name, write_slo)
}

/// A part of one objective: what is written of each of its groups.
pub(super) async fn part(State(state): State<AppState>, Path((name, part)): Path<(String, String)>) -> ApiResult {
    let write: fn(&mut Json, &SloStatus) = match part.as_str() {
        "budget" => |json, slo| write_list(json.key("points"), slo.trend.iter(), write_point),
        "burn_rates" => |json, slo| write_windows(json.key("windows"), slo),
        "alerts" => |json, slo| write_list(json.key("alerts"), slo.alerts.iter(), write_alert),
        "forecast" => |json, slo| write_forecast(json.key("forecast"), slo.figures.forecast.as_ref()),
        _ => {
            return Err(ApiError::new(
                ErrorKind::NotFound,
                format!("no part {part:?}: budget, burn_rates, alerts and forecast are"),
            ));
        }
    };
    of_name(&state, &name, |json, slo| {
        json.object(|json| {
            json.key("group").labels(&slo.group);
            json.key("evaluated").truth(slo.is_evaluated);
            write(json, slo);
        });
    })
}

fn of_name(state: &AppState, name: &str, write: impl Fn(&mut Json, &SloStatus)) -> ApiResult {
    let groups: Vec<SloStatus> = (state.slos)().into_iter().filter(|slo| &*slo.name == name).collect();
    if groups.is_empty() {
        return Err(ApiError::new(ErrorKind::NotFound, format!("no SLO {name:?}")));
    }
    Ok(Answer::of(|json| json.list(&groups, |json, slo| write(json, slo))))
}

fn write_list<T>(json: &mut Json, items: impl Iterator<Item = T>, item: impl FnMut(&mut Json, T)) {
    json.list(items, item);
}

fn write_point(json: &mut Json, point: &TrendPoint) {
    json.object(|json| {
        json.key("time").number(point.at.as_secs_f64());
        write_optional(json.key("budget_remaining"), point.remaining);
        write_optional(json.key("burn_rate"), point.burn_rate);
    });
}

fn write_slo(json: &mut Json, slo: &SloStatus) {
    let figures = &slo.figures;
    json.object(|json| {
        json.key("name").string(&slo.name);
        json.key("group").labels(&slo.group);
        json.key("labels").labels(&slo.labels);
        json.key("objective").number(slo.objective_percent);
        json.key("window").string(&slo.window.to_string());
        json.key("event_exact").truth(slo.is_event_exact);
        json.key("at").string(&figures.at.to_rfc3339());
        json.key("evaluated").truth(slo.is_evaluated);
        json.key("state").string(figures.state.as_str());
        if let Some(missing) = &figures.missing_bucket {
            json.key("reason").string(&missing.to_string());
        }
        write_optional(json.key("budget_remaining"), figures.budget_remaining_ratio);
        write_optional(json.key("error_ratio"), figures.whole.error_ratio);
        write_windows(json.key("windows"), slo);
        json.key("tiers").list(slo.tiers.iter().enumerate(), |json, (index, tier)| write_tier(json, slo, index, tier));
        if !slo.exclusions.is_empty() {
            json.key("exclusions").list(&slo.exclusions, |json, exclusion| {
                json.object(|json| {
                    json.key("reason").string(&exclusion.reason);
                    json.key("author").string(&exclusion.author);
                });
            });
        }
        if let Some(window) = &figures.with_excluded {
            json.key("with_excluded").object(|json| {
                write_optional(json.key("budget_remaining"), window.burn_rate.map(|burn_rate| 1.0 - burn_rate));
                write_optional(json.key("error_ratio"), window.error_ratio);
            });
        }
        match &slo.level {
            None => json.key("level").null(),
            Some(level) => json.key("level").object(|json| {
                json.key("name").string(&level.name);
                json.key("action").string(&level.action);
                json.key("block").truth(level.blocks);
            }),
        }
        write_forecast(json.key("forecast"), figures.forecast.as_ref());
        json.key("alerts").list(&slo.alerts, write_alert);
    });
}

fn write_windows(json: &mut Json, slo: &SloStatus) {
    let lookbacks = slo.figures.windows.iter().map(|window| (format_duration(window.window), window));
    let all: Vec<_> = lookbacks.chain([(slo.window.to_string(), &slo.figures.whole)]).collect();
    json.list(&all, write_window);
}

fn write_tier(json: &mut Json, slo: &SloStatus, index: usize, tier: &Tier) {
    json.object(|json| {
        json.key("name").string(&tier.name);
        json.key("severity").string(tier.severity_as_written());
        json.key("long").string(&format_duration(tier.long));
        json.key("short").string(&format_duration(tier.short));
        json.key("factor").number(tier.factor);
        json.key("holds").truth(slo.figures.holding.get(index) == Some(&true));
        if let Some(verdict) =
            slo.figures.verdicts.get(index).copied().flatten().filter(|said| *said != Verdict::Enough)
        {
            json.key("guard").string(&verdict.to_string());
        }
        if let Some(seen) = slo.partly_seen.iter().find(|seen| *seen.tier == *tier.name) {
            json.key("full_at").string(&seen.until.to_rfc3339());
        }
    });
}

fn write_forecast(json: &mut Json, forecast: Option<&Forecast>) {
    let Some(forecast) = forecast else { return json.null() };
    json.object(|json| {
        for (name, exhaustion) in forecast.bounds() {
            match exhaustion.instant(forecast.made_at) {
                Some(at) => json.key(name).string(&at.to_rfc3339()),
                None => json.key(name).null(),
            }
        }
        if let Exhaustion::NotBefore(at) = forecast.expected {
            json.key("not_before").string(&at.to_rfc3339());
        }
        write_optional(json.key("burn_rate"), Some(forecast.burn_rate));
        json.key("text").string(&outlook(forecast));
    });
}

fn write_window(json: &mut Json, (length, window): &(String, &WindowFigures)) {
    json.object(|json| {
        json.key("window").string(length);
        write_optional(json.key("burn_rate"), window.burn_rate);
        write_optional(json.key("error_ratio"), window.error_ratio);
        // Queries tell neither how much they saw nor how many events there were.
        if let Some(coverage) = window.coverage_ratio {
            json.key("coverage").number(coverage);
            json.key("good").number(window.counts.good);
            json.key("total").number(window.counts.total);
        }
    });
}

fn write_alert(json: &mut Json, alert: &SloAlert) {
    json.object(|json| {
        json.key("name").string(alert.name);
        json.key("severity").string(alert.severity.as_str());
        match &alert.tier {
            Some(tier) => json.key("tier").string(tier),
            None => json.key("tier").null(),
        }
        json.key("labels").labels(&alert.labels);
        json.key("annotations").labels(&alert.annotations);
        json.key("active_at").string(&alert.active_at.to_rfc3339());
    });
}

/// JSON has no infinity: a burn rate without a budget is as unknown as one without events.
fn write_optional(json: &mut Json, value: Option<f64>) {
    match value.filter(|value| value.is_finite()) {
        Some(value) => json.number(value),
        None => json.null(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Labels, Timestamp};
    use crate::slo::{Counts, Figures, Severity, State, Window};

    #[test]
    fn everything_about_an_objective() {
        let window = |secs, bad, total: f64, burn_rate| WindowFigures {
            window: Duration::from_secs(secs),
            counts: Counts { good: total - bad, bad, total },
            error_ratio: (total > 0.0).then(|| bad / total),
            burn_rate,
            coverage_ratio: Some(0.5),
            is_blind: false,
        };
        let figures = Figures {
            at: Timestamp::from_ms(5_000),
            windows: vec![window(300, 0.0, 0.0, None)],
            whole: window(3_600, 1.0, 4.0, Some(25.0)),
            budget_remaining_ratio: Some(-24.0),
            last_measured: None,
            last_failed: None,
            is_measured: true,
            missing_bucket: None,
            outage_since: None,
            holding: vec![true],
            verdicts: vec![None],
            budget_holding: Vec::new(),
            with_excluded: None,
            is_excluded: false,
            forecast: None,
            state: State::Breached,
        };
        let alert = SloAlert {
            name: "SLOErrorBudgetBurn",
            severity: Severity::Page,
            tier: None,
            labels: Labels::from_pairs([("slo", "a")]),
            annotations: Labels::from_pairs([("summary", "s")]),
            active_at: Timestamp::from_ms(1_500),
        };
        let slo = SloStatus {
            name: "a".into(),
            group: Labels::from_pairs([("zone", "z")]),
            labels: Labels::from_pairs([("service", "shop")]),
            about: Default::default(),
            objective_percent: 99.0,
            window: Window::Rolling(Duration::from_secs(3_600)),
            budgeting: Default::default(),
            is_event_exact: true,
            is_evaluated: true,
            tiers: Vec::new(),
            guard: None,
            trend: Vec::new().into(),
            level: None,
            exclusions: Vec::new(),
            figures,
            partly_seen: [].into(),
            sizes: Default::default(),
            alerts: vec![alert],
        };
        let expected = concat!(
            r#"{"name":"a","group":{"zone":"z"},"labels":{"service":"shop"},"objective":99,"window":"1h","#,
            r#""event_exact":true,"at":"1970-01-01T00:00:05Z","evaluated":true,"state":"breached","budget_remaining":-24,"error_ratio":0.25,"windows":["#,
            r#"{"window":"5m","burn_rate":null,"error_ratio":null,"coverage":0.5,"good":0,"total":0},"#,
            r#"{"window":"1h","burn_rate":25,"error_ratio":0.25,"coverage":0.5,"good":3,"total":4}],"#,
            r#""tiers":[],"level":null,"forecast":null,"#,
            r#""alerts":[{"name":"SLOErrorBudgetBurn","severity":"page","tier":null,"labels":{"slo":"a"},"#,
            r#""annotations":{"summary":"s"},"active_at":"1970-01-01T00:00:01.5Z"}]}"#,
        );
        assert_eq!(Json::of(|json| write_slo(json, &slo)), expected);

        let asked = WindowFigures { coverage_ratio: None, ..slo.figures.whole };
        let expected = r#"{"window":"1h","burn_rate":25,"error_ratio":0.25}"#;
        assert_eq!(Json::of(|json| write_window(json, &("1h".to_owned(), &asked))), expected);
    }
}
