//! `/api/v1/query`, `/api/v1/query_range`, `/api/v1/format_query`, `/api/v1/parse_query`.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `query`, `queryRange`, in whose order parameters are checked: it decides
//! which of several mistakes is reported.
//! **Differs:** statistics have no time of preparing and sorting apart from that of evaluating, and it stands there as zero.
//! Times beyond the year 292277025 end there instead of
//! wrapping round.

use std::time::Duration;

use axum::extract::State;

use super::answer::{Answer, ApiError, ApiResult};
use super::execution::{InterruptHook, run};
use super::kept_plans::Plan;
use super::params::{Params, parse_duration_ns};
use super::parse_query::write_tree;
use super::result::{QueryTimes, cut, write_stats, write_value};
use super::state::AppState;
use crate::clock::{self, Stopwatch};
use crate::model::Timestamp;
use crate::promql::eval::{EvalError, QueryOptions, QueryResult, eval_instant, eval_range};
use crate::promql::plan::{Engine, Notes, Question, RangeQuestion};
use crate::promql::{Expr, parse_with};

/// Points of one series in an answer. **Source.** `queryRange`: enough for a week at one minute or a year at one hour.
const POINTS_MAX: i128 = 11_000;

/// What both kinds of query have in common.
struct Query {
    text: String,
    limit: Option<usize>,
    timeout: Duration,
    lookback_delta: Duration,
    stats: StatsAsked,
    state: AppState,
}

/// Where a query has its plan from.
enum PlanSource {
    Kept(Box<Plan>),
    /// It is yet to be made, and not on the thread that takes requests.
    Parsed(Expr),
}

/// What of the statistics the request asks for.
#[derive(Clone, Copy)]
enum StatsAsked {
    No,
    Sums,
    /// Samples by step too.
    Steps,
}

pub(super) async fn instant(State(state): State<AppState>, params: Params) -> ApiResult {
    let limit = params.limit()?;
    let at = params.time_or("time", clock::now())?;
    let (query, source) = Query::read(state, &params, limit)?;
    query.run(source, move |query, plan, options| query.eval_instant(plan, at, options)).await
}

pub(super) async fn range(State(state): State<AppState>, params: Params) -> ApiResult {
    let limit = params.limit()?;
    let (start, end) = (params.time("start")?, params.time("end")?);
    if end < start {
        return Err(ApiError::bad_parameter("end", "end timestamp must not be before start time"));
    }
    let step = parse_duration_ns(params.text("step")).map_err(|reason| ApiError::bad_parameter("step", reason))?;
    let step_ns = u64::try_from(step).ok().filter(|step| *step > 0).ok_or_else(|| {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        ApiError::bad_parameter("step", reason)
    })?;
    let range_ns = i128::from(end.as_ms()).saturating_sub(start.as_ms().into()) * 1_000_000;
    if range_ns / i128::from(step_ns) > POINTS_MAX {
        let message = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                       (?step=XX)";
        return Err(ApiError::bad_data(message));
    }
    let (query, source) = Query::read(state, &params, limit)?;
    let step = Duration::from_nanos(step_ns);
    query.run(source, move |query, plan, options| query.eval_range(plan, (start, end, step), options)).await
}

pub(super) async fn format(State(state): State<AppState>, params: Params) -> ApiResult {
    let expr = parse_query(&state, &params)?;
    Ok(Answer::of(|json| json.string(&expr.pretty())))
}

pub(super) async fn parse(State(state): State<AppState>, params: Params) -> ApiResult {
    let expr = parse_query(&state, &params)?;
    Ok(Answer::of(|json| write_tree(json, &expr)))
}

fn parse_query(state: &AppState, params: &Params) -> Result<Expr, ApiError> {
    let parsed = parse_with(params.text("query"), state.queries.settings.dialect.features);
    parsed.map_err(|errors| ApiError::bad_parameter("query", errors[0].text_with_help()))
}

/// With an engine of its own, so that queries wait neither for each other nor for rules.
pub(super) fn new_plan(state: &AppState, expr: Expr) -> Box<Plan> {
    let queries = &state.queries;
    let engine = Engine::of_dialect(state.store.clone(), &queries.settings.dialect);
    let engine = match &queries.executor {
        Some(executor) => engine.with_executor(executor.clone()),
        None => engine,
    };
    Box::new(Plan { prepared: engine.prepare(&expr), expr, engine })
}

impl Query {
    fn read(state: AppState, params: &Params, limit: Option<usize>) -> Result<(Self, PlanSource), ApiError> {
        let settings = state.queries.settings;
        let timeout = match params.text("timeout") {
            "" => settings.timeout,
            text => {
                let ns = parse_duration_ns(text).map_err(|reason| ApiError::bad_parameter("timeout", reason))?;
                Duration::from_nanos(u64::try_from(ns).unwrap_or(0)).min(settings.timeout)
            }
        };
        let lookback_delta = match params.text("lookback_delta") {
            "" => settings.lookback_delta,
            text => {
                let bad = |reason| ApiError::bad_data(format!("error parsing lookback delta duration: {reason}"));
                let ns = u64::try_from(parse_duration_ns(text).map_err(bad)?).unwrap_or(0);
                if ns == 0 { settings.lookback_delta } else { Duration::from_nanos(ns) }
            }
        };
        let stats = match params.text("stats") {
            "" => StatsAsked::No,
            "all" if settings.per_step_stats => StatsAsked::Steps,
            _ => StatsAsked::Sums,
        };
        let text = params.text("query").to_owned();
        let source = match state.queries.kept.take(&text) {
            Some(plan) => PlanSource::Kept(plan),
            None => PlanSource::Parsed(parse_query(&state, params)?),
        };
        Ok((Query { text, limit, timeout, lookback_delta, stats, state }, source))
    }

    /// By a plan. Statistics are the plain evaluator's, which counts what it reads and holds as Prometheus does.
    fn eval_instant(&self, plan: &Plan, at: Timestamp, options: &QueryOptions<'_>) -> Result<QueryResult, EvalError> {
        let Plan { expr, engine, prepared } = plan;
        if !matches!(self.stats, StatsAsked::No) {
            return eval_instant(expr, at, &*self.state.store, options);
        }
        engine.eval_instant(prepared, &Question { at, overlay: None, options, notes: Notes::Wanted })
    }

    /// Likewise, of a range.
    fn eval_range(
        &self,
        plan: &Plan,
        (start, end, step): (Timestamp, Timestamp, Duration),
        options: &QueryOptions<'_>,
    ) -> Result<QueryResult, EvalError> {
        let Plan { expr, engine, .. } = plan;
        if !matches!(self.stats, StatsAsked::No) {
            return eval_range(expr, start, end, step, &*self.state.store, options);
        }
        engine.eval_range(expr, &RangeQuestion { start, end, step, options, notes: Notes::Wanted })
    }

    async fn run(
        self,
        source: PlanSource,
        eval: impl FnOnce(&Query, &Plan, &QueryOptions<'_>) -> Result<QueryResult, EvalError> + Send + 'static,
    ) -> ApiResult {
        let (queries, timeout) = (self.state.queries.clone(), self.timeout);
        run(&queries, timeout, move |interrupt, queued| {
            let plan = match source {
                PlanSource::Kept(plan) => plan,
                PlanSource::Parsed(expr) => new_plan(&self.state, expr),
            };
            let answer = self.answer((interrupt, queued), |options| eval(&self, &plan, options));
            self.state.queries.kept.keep(&self.text, plan);
            answer
        })
        .await
    }

    fn answer(
        &self,
        (interrupt, queued): (InterruptHook<'_>, Duration),
        eval: impl FnOnce(&QueryOptions<'_>) -> Result<QueryResult, EvalError>,
    ) -> Result<Answer, EvalError> {
        let settings = &self.state.queries.settings;
        let options = settings.dialect.applied(QueryOptions {
            lookback_delta: self.lookback_delta,
            default_subquery_step: self.state.live.read().default_subquery_step,
            max_samples: settings.max_samples,
            text: &self.text,
            interrupt: Some(interrupt),
            ..QueryOptions::default()
        });
        let stopwatch = Stopwatch::start();
        let QueryResult { mut value, warnings, infos, stats } = eval(&options)?;
        let times = QueryTimes { queued, evaluated: stopwatch.elapsed() };
        let is_cut = self.limit.is_some_and(|limit| cut(&mut value, limit));
        let answer = Answer::of(|json| {
            write_value(json, &value, |json| match self.stats {
                StatsAsked::No => {}
                StatsAsked::Sums => write_stats(json.key("stats"), times, &stats, &[]),
                StatsAsked::Steps => write_stats(json.key("stats"), times, &stats, &stats.by_step),
            });
        });
        Ok(answer.annotated(warnings, infos).truncated_if(is_cut))
    }
}
