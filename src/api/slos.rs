//! `/api/almenara/v1/slos`: how every objective stands, for dashboards and scripts.
//!
//! In the flow: as of the last slot of each SLO group; the page shows the same figures.
//!
//! ```text
//! name, group, labels      which objective, and which group of it
//! objective                in percent, as it was written
//! window                   of the budget, as it was written: "30d", "month"
//! state                    met │ at_risk │ breached │ not_measured
//! budget_remaining         1 untouched, 0 spent, negative overspent; null without events
//! error_ratio              over the whole window; null without events
//! windows[]                window, burn_rate, error_ratio, coverage (0 to 1), good, total
//! alerts[]                 what fires: name, severity, tier, labels, annotations, active_at (RFC 3339)
//! ```
//!
//! **Units.** Ratios go from 0 to 1; `good` and `total` count events.

use axum::extract::State;

use super::answer::{Answer, ApiResult};
use super::json::Json;
use super::state::AppState;
use crate::slo::{SloAlert, SloStatus, WindowFigures};
use crate::source::format_duration;

pub(super) async fn slos(State(state): State<AppState>) -> ApiResult {
    let slos = (state.slos)();
    Ok(Answer::of(|json| json.list(&slos, write_slo)))
}

fn write_slo(json: &mut Json, slo: &SloStatus) {
    let figures = &slo.figures;
    json.object(|json| {
        json.key("name").string(&slo.name);
        json.key("group").labels(&slo.group);
        json.key("labels").labels(&slo.labels);
        json.key("objective").number(slo.objective_percent);
        json.key("window").string(&slo.window.to_string());
        json.key("state").string(figures.state.as_str());
        if let Some(missing) = &figures.missing_bucket {
            json.key("reason").string(&missing.to_string());
        }
        write_optional(json.key("budget_remaining"), figures.budget_remaining_ratio);
        write_optional(json.key("error_ratio"), figures.whole.error_ratio);
        let lookbacks = figures.windows.iter().map(|window| (format_duration(window.window), window));
        let all: Vec<_> = lookbacks.chain([(slo.window.to_string(), &figures.whole)]).collect();
        json.key("windows").list(&all, write_window);
        json.key("alerts").list(&slo.alerts, write_alert);
    });
}

fn write_window(json: &mut Json, (length, window): &(String, &WindowFigures)) {
    json.object(|json| {
        json.key("window").string(length);
        write_optional(json.key("burn_rate"), window.burn_rate);
        write_optional(json.key("error_ratio"), window.error_ratio);
        json.key("coverage").number(window.coverage_ratio);
        json.key("good").number(window.counts.good);
        json.key("total").number(window.counts.total);
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
            coverage_ratio: 0.5,
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
            holding: vec![true],
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
            tiers: Vec::new(),
            figures,
            alerts: vec![alert],
        };
        let expected = concat!(
            r#"{"name":"a","group":{"zone":"z"},"labels":{"service":"shop"},"objective":99,"window":"1h","#,
            r#""state":"breached","budget_remaining":-24,"error_ratio":0.25,"windows":["#,
            r#"{"window":"5m","burn_rate":null,"error_ratio":null,"coverage":0.5,"good":0,"total":0},"#,
            r#"{"window":"1h","burn_rate":25,"error_ratio":0.25,"coverage":0.5,"good":3,"total":4}],"#,
            r#""alerts":[{"name":"SLOErrorBudgetBurn","severity":"page","tier":null,"labels":{"slo":"a"},"#,
            r#""annotations":{"summary":"s"},"active_at":"1970-01-01T00:00:01.5Z"}]}"#,
        );
        assert_eq!(Json::of(|json| write_slo(json, &slo)), expected);
    }
}
