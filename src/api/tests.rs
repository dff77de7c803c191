//! Requests and the answers that Prometheus 3.5 gives to them on the same samples.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use parking_lot::RwLock;
use tower::ServiceExt;

use super::*;
use crate::model::{Histogram, HistogramSpan, Labels, Metadata, MetricKind, Timestamp, Value};
use crate::notifier::Alertmanagers;
use crate::promql::Dialect;
use crate::rules::{AlertState, AlertStatus, AlertingStatus, GroupStatus, Health, Policy, RuleOutcomes, RuleStatus};
use crate::scrape::{self, DroppedTarget, LastScrape, TargetStatus, Targets};
use crate::store::{ExemplarStore, MetadataStore, Row, Store, StoreOptions};

/// `up` of two jobs from 1000 s to 1060 s every 15 s, a histogram, and metadata.
fn state() -> AppState {
    let store = Store::new(StoreOptions { retention: Duration::from_secs(3600) });
    let up = |job: &str, instance: &str| Labels::from_pairs([("__name__", "up"), ("job", job), ("instance", instance)]);
    let histogram = Histogram {
        count: 7.0,
        sum: 8.5,
        zero_count: 1.0,
        zero_threshold: 0.001,
        positive_spans: vec![HistogramSpan { offset: 0, length: 2 }],
        positive_buckets: vec![3.0, 2.0],
        negative_spans: vec![HistogramSpan { offset: 0, length: 1 }],
        negative_buckets: vec![1.0],
        ..Histogram::default()
    };
    let histogram = Value::Histogram(Arc::new(histogram));
    let of = |labels, value| (store.series_ref(&labels), value);
    let series = [
        of(up("a", "x:1"), Value::Float(1.0)),
        of(up("b", "<y>"), Value::Float(0.0)),
        of(Labels::from_pairs([("__name__", "latency")]), histogram),
    ];
    for slot in 0..5 {
        let at = Timestamp::from_ms(1_000_000 + slot * 15_000);
        let rows: Vec<Row> = series.iter().map(|(series, value)| Row::new(*series, at, value.clone())).collect();
        store.commit(&rows);
    }
    let metadata = MetadataStore::new();
    let gauge = Metadata { kind: MetricKind::Gauge, help: "Is it <up>?".into(), unit: "".into() };
    metadata.update("up", &gauge, Timestamp::EPOCH);
    metadata.update("latency", &Metadata { kind: MetricKind::Histogram, ..gauge }, Timestamp::EPOCH);
    AppState {
        store: Arc::new(store),
        metadata: Arc::new(metadata),
        exemplars: Arc::new(ExemplarStore::new()),
        receiver: None,
        queries: Arc::new(Queries::new(settings())),
        live: Arc::new(RwLock::new(live())),
        rules: Arc::new(groups),
        alert_events: Arc::new(|_| Ok(Vec::new())),
        router: None,
        slos: Arc::new(Vec::new),
        targets: Arc::new(targets),
        alertmanagers: Arc::new(|| Alertmanagers {
            active: vec!["http://am:9093/api/v2/alerts".to_owned()],
            dropped: Vec::new(),
        }),
        storage_problem: Arc::new(|| None),
        snapshot: None,
        reload: None,
        collectors: Arc::new([]),
    }
}

fn settings() -> QuerySettings {
    QuerySettings {
        lookback_delta: Duration::from_secs(300),
        timeout: Duration::from_secs(60),
        max_samples: 1_000,
        max_concurrency: 2,
        dialect: Dialect::default(),
        per_step_stats: false,
    }
}

fn live() -> Live {
    Live {
        config_yaml: "global: {}\n".into(),
        flags: vec![("log.level".to_owned(), "info".to_owned())],
        external_url: "http://mon:9597".into(),
        external_labels: Labels::from_pairs([("cluster", "c1"), ("job", "other")]),
        default_subquery_step: Duration::from_secs(60),
        retention: Duration::from_secs(86_400),
        started_at: Timestamp::from_ms(1_000),
        config_loaded_at: Timestamp::from_ms(2_500),
        is_config_good: true,
        is_ready: true,
    }
}

/// Not in the order in which they are shown.
fn groups() -> Vec<GroupStatus> {
    let rule = |name: &str, label: (&str, &str), alerting| RuleStatus {
        name: name.into(),
        query: "up == 1".into(),
        labels: Labels::from_pairs([label]),
        health: Health::Ok,
        last_error: None,
        warnings: Vec::new(),
        evaluation_duration: Duration::from_micros(350),
        evaluated_at: Some(Timestamp::from_ms(2_250)),
        outcomes: RuleOutcomes::default(),
        has_matched: true,
        alerting,
    };
    let alert = |job: &str, state, keep_firing_since| AlertStatus {
        labels: Labels::from_pairs([("alertname", "Up"), ("job", job)]),
        annotations: Labels::from_pairs([("summary", "<up>")]),
        state,
        active_at: Timestamp::from_ms(1_000),
        keep_firing_since,
        value: Value::Float(1.0),
        element: Labels::empty(),
        fired_at: None,
        last_sent_at: None,
        held: None,
    };
    let alerting = AlertingStatus {
        hold_duration: Duration::from_secs(2),
        keep_firing_for: Duration::from_millis(1_500),
        annotations: Labels::from_pairs([("summary", "{{ $value }}")]),
        policy: Policy::default(),
        recover_when: None,
        state: Some(AlertState::Firing),
        alerts: vec![
            alert("a", AlertState::Firing, Some(Timestamp::from_ms(2_000))),
            alert("b", AlertState::Inactive, None),
        ],
    };
    let idle = AlertingStatus { state: None, alerts: Vec::new(), annotations: Labels::empty(), ..alerting.clone() };
    let group = |name: &str, rules| GroupStatus {
        name: name.into(),
        file: "a.yml".into(),
        interval: Duration::from_secs(5),
        limit: 10,
        evaluation_duration: Duration::ZERO,
        evaluated_at: None,
        rules,
    };
    let failed = RuleStatus { health: Health::Err, last_error: Some("bad".into()), ..rule("r", ("", ""), None) };
    let alerts = vec![rule("Up", ("severity", "page"), Some(alerting)), rule("Idle", ("severity", "x"), Some(idle))];
    vec![group("g2", vec![failed, rule("r2", ("team", "a"), None)]), group("g1", alerts)]
}

fn targets() -> Targets {
    let discovered_labels = Labels::from_pairs([("__address__", "127.0.0.1:1")]);
    let metadata = |kind, help: &str| Metadata { kind, help: help.into(), unit: "".into() };
    let families = scrape::Families::from([
        ("load".into(), metadata(MetricKind::Gauge, "How busy.")),
        ("requests".into(), metadata(MetricKind::Counter, "")),
    ]);
    let active = |pool: &str, last| TargetStatus {
        scrape_pool: pool.to_owned(),
        labels: Labels::from_pairs([("job", pool)]),
        discovered_labels: discovered_labels.clone(),
        scrape_url: "http://127.0.0.1:1/metrics?a=b&c=d".to_owned(),
        scrape_interval: Duration::from_secs(90),
        scrape_timeout: Duration::from_millis(500),
        last,
        families: Arc::new(families.clone()),
    };
    let failed = LastScrape {
        health: scrape::Health::Down,
        error: "connection refused".to_owned(),
        at: Some(Timestamp::from_ms(1_500)),
        duration: Duration::from_micros(499),
        samples: 0,
    };
    Targets {
        active: vec![active("down", failed), active("new", LastScrape::default())],
        dropped: vec![DroppedTarget { scrape_pool: "old".to_owned(), discovered_labels: discovered_labels.clone() }],
        dropped_counts: vec![("down".to_owned(), 0), ("old".to_owned(), 1)],
    }
}

async fn send(state: AppState, request: Request<Body>) -> (u16, String) {
    let response = router(state).oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

async fn get_from(state: &AppState, path: &str) -> (u16, String) {
    send(state.clone(), Request::get(path).body(Body::empty()).unwrap()).await
}

async fn check(path: &str, code: u16, body: &str) {
    assert_eq!(get_from(&state(), path).await, (code, body.to_owned()), "{path}");
}

async fn check_data(path: &str, data: &str) {
    check(path, 200, &format!(r#"{{"status":"success","data":{data}}}"#)).await;
}

async fn check_bad(path: &str, message: &str) {
    check(path, 400, &format!(r#"{{"status":"error","errorType":"bad_data","error":"{message}"}}"#)).await;
}

#[tokio::test]
async fn instant_queries() {
    let query = |rest: &str| format!("/api/v1/query?query={rest}");
    check_data(
        &query("up&time=1015.25"),
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"<y>","job":"b"},"value":[1015.250,"0"]},{"metric":{"__name__":"up","instance":"x:1","job":"a"},"value":[1015.250,"1"]}]}"#,
    )
    .await;
    check_data(&query("1&time=1.25"), r#"{"resultType":"scalar","result":[1.25,"1"]}"#).await;
    check_data(&query("%22%3Ca%3E%22&time=1"), r#"{"resultType":"string","result":[1,"\u003ca\u003e"]}"#).await;
    check_data(
        &query("vector(1e-7)&time=0"),
        r#"{"resultType":"vector","result":[{"metric":{},"value":[0,"1e-07"]}]}"#,
    )
    .await;
    check_data(
        &query("up%7Bjob=%22a%22%7D%5B20s%5D&time=1016"),
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"x:1","job":"a"},"values":[[1000,"1"],[1015,"1"]]}]}"#,
    )
    .await;
    check_data(
        &query("latency&time=1015"),
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"latency"},"histogram":[1015,{"count":"7","sum":"8.5","buckets":[[1,"-1","-0.5","1"],[3,"-0.001","0.001","1"],[0,"0.5","1","3"],[0,"1","2","2"]]}]}]}"#,
    )
    .await;
    check(
        &query("count(up)%20or%20up&time=1015&limit=1"),
        200,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1015,"2"]}]},"warnings":["results truncated due to limit"]}"#,
    )
    .await;
    check(
        &query("rate(up%5B1m%5D)&time=1015&limit=1"),
        200,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"instance":"<y>","job":"b"},"value":[1015,"0"]}]},"warnings":["results truncated due to limit"],"infos":["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"up\" (1:6)"]}"#,
    )
    .await;
}

#[tokio::test]
async fn wrong_queries() {
    let query = |rest: &str| format!("/api/v1/query?query={rest}");
    let parse_error = |text: &str| format!(r#"invalid parameter \"query\": {text}"#);
    check_bad(
        "/api/v1/query",
        &parse_error(
            "unknown position: parse error: no expression found in input; write an expression, such as `up == 0`",
        ),
    )
    .await;
    check_bad(
        &query("up%20%2B"),
        &parse_error("1:5: parse error: unexpected end of input; the expression ends too early"),
    )
    .await;
    check_bad(
        &query("up&time=abc"),
        r#"invalid parameter \"time\": invalid time value for 'time': cannot parse \"abc\" to a valid timestamp"#,
    )
    .await;
    check_bad(&query("up&timeout=x"), r#"invalid parameter \"timeout\": cannot parse \"x\" to a valid duration"#).await;
    check_bad(
        &query("up(&lookback_delta=x"),
        r#"error parsing lookback delta duration: cannot parse \"x\" to a valid duration"#,
    )
    .await;
    check_bad(&query("up&limit=-1"), r#"invalid parameter \"limit\": limit must be non-negative"#).await;
    let (code, body) = get_from(&state(), &query("up*on()up&time=1000")).await;
    assert_eq!(code, 422);
    assert!(body.starts_with(r#"{"status":"error","errorType":"execution","error":"found duplicate series"#), "{body}");
}

#[tokio::test]
async fn range_queries() {
    let range = |rest: &str| format!("/api/v1/query_range?query=up&{rest}");
    let too_many =
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
    check_data(
        "/api/v1/query_range?query=sum(up)&start=999.5&end=1030&step=15s",
        r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1014.500,"1"],[1029.500,"1"]]}]}"#,
    )
    .await;
    let all = get_from(&state(), &range("start=0&end=11000&step=1")).await;
    assert_eq!((all.0, all.1.matches("[1360,").count()), (200, 0), "the look-back ends 300 s after the last sample");
    assert_eq!(all.1.matches("[1359,").count(), 2);
    check_bad(&range("start=0&end=11001&step=1"), too_many).await;
    check_bad(&range("start=0&end=10&step=0.0001"), too_many).await;
    let step = "zero or negative query resolution step widths are not accepted. Try a positive integer";
    check_bad(&range("start=0&end=1&step=0"), &format!(r#"invalid parameter \"step\": {step}"#)).await;
    check_bad(&range("start=0&end=1"), r#"invalid parameter \"step\": cannot parse \"\" to a valid duration"#).await;
    check_bad(&range("end=1&step=1"), r#"invalid parameter \"start\": cannot parse \"\" to a valid timestamp"#).await;
    check_bad(
        &range("start=2&end=1&step=1"),
        r#"invalid parameter \"end\": end timestamp must not be before start time"#,
    )
    .await;
    check_bad(
        "/api/v1/query_range?query=up%5B1m%5D&start=0&end=1&step=1",
        r#"invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"#,
    )
    .await;
}

/// What Grafana sends: a form whose values come before those of the URL.
#[tokio::test]
async fn a_dashboard_posts_forms() {
    let form = "query=sum+by+%28job%29+%28up%7Bjob%3D%7E%22a%7Cb%22%7D%29&start=1000&end=1030&step=15";
    let request = Request::post("/api/v1/query_range?query=wrong(")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .unwrap();
    let data = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"job":"a"},"values":[[1000,"1"],[1015,"1"],[1030,"1"]]},{"metric":{"job":"b"},"values":[[1000,"0"],[1015,"0"],[1030,"0"]]}]}}"#;
    assert_eq!(send(state(), request).await, (200, data.to_owned()));
}

#[tokio::test]
async fn queries_end_in_time() {
    let late = get_from(&state(), "/api/v1/query?query=up&timeout=0").await;
    let message = "query timed out in expression evaluation";
    assert_eq!(late, (503, format!(r#"{{"status":"error","errorType":"timeout","error":"{message}"}}"#)));

    let state = state();
    let _all = state.queries.slots.clone().acquire_many_owned(2).await.unwrap();
    let late = get_from(&state, "/api/v1/query?query=up&timeout=0.01").await;
    let message = "query timed out in query queue";
    assert_eq!(late, (503, format!(r#"{{"status":"error","errorType":"timeout","error":"{message}"}}"#)));
}

#[tokio::test]
async fn series_and_labels() {
    let (a, b) = (r#"{"__name__":"up","instance":"x:1","job":"a"}"#, r#"{"__name__":"up","instance":"<y>","job":"b"}"#);
    let series = "/api/v1/series";
    check_bad(series, "no match[] parameter provided").await;
    check_data(&format!("{series}?match[]=up"), &format!("[{b},{a}]")).await;
    check_data(&format!("{series}?match[]=up&match[]=%7Bjob=%22a%22%7D"), &format!("[{b},{a}]")).await;
    check_data(&format!("{series}?match[]=up&end=999"), "[]").await;
    check_bad(
        &format!("{series}?match[]=%7B%7D"),
        r#"invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"#,
    )
    .await;
    check_bad(&format!("{series}?match[]=up("), r#"invalid parameter \"match[]\": 1:3: parse error: unexpected \"(\""#)
        .await;
    let cut = format!(r#"{{"status":"success","data":[{b}],"warnings":["results truncated due to limit"]}}"#);
    check(&format!("{series}?match[]=up&limit=1"), 200, &cut).await;

    check_data("/api/v1/labels", r#"["__name__","instance","job"]"#).await;
    check_data("/api/v1/labels?match[]=latency", r#"["__name__"]"#).await;
    check_data("/api/v1/labels?start=1&end=2", "[]").await;
    check_bad("/api/v1/labels?match[]=%7B%7D", "match[] must contain at least one non-empty matcher").await;
    check_data("/api/v1/label/instance/values", r#"["\u003cy\u003e","x:1"]"#).await;
    check_data("/api/v1/label/job/values?match[]=up%7Binstance=%22x:1%22%7D", r#"["a"]"#).await;
    check_data("/api/v1/label/U__no_2e_such/values", "[]").await;
}

#[tokio::test]
async fn metadata_of_families() {
    let latency = r#""latency":[{"type":"histogram","unit":"","help":"Is it \u003cup\u003e?"}]"#;
    let up = r#""up":[{"type":"gauge","unit":"","help":"Is it \u003cup\u003e?"}]"#;
    check_data("/api/v1/metadata", &format!("{{{latency},{up}}}")).await;
    check_data("/api/v1/metadata?metric=up", &format!("{{{up}}}")).await;
    check_data("/api/v1/metadata?limit=1", &format!("{{{latency}}}")).await;
    check_data("/api/v1/metadata?limit=0", "{}").await;
    check_data("/api/v1/metadata?limit=-1&limit_per_metric=0", &format!("{{{latency},{up}}}")).await;
    check_bad("/api/v1/metadata?limit=x", "limit must be a number").await;
}

#[tokio::test]
async fn rule_groups() {
    let alert = r#"{"labels":{"alertname":"Up","job":"a"},"annotations":{"summary":"<up>"},"state":"firing","activeAt":"1970-01-01T00:00:01Z","keepFiringSince":"1970-01-01T00:00:02Z","value":"1e+00"}"#;
    let common = r#""evaluationTime":0.00035,"lastEvaluation":"1970-01-01T00:00:02.25Z""#;
    let up = |alerts: &str| {
        format!(
            r#"{{"state":"firing","name":"Up","query":"up == 1","duration":2,"keepFiringFor":1.5,"labels":{{"severity":"page"}},"annotations":{{"summary":"{{{{ $value }}}}"}},"alerts":{alerts},"health":"ok",{common},"type":"alerting"}}"#
        )
    };
    let idle = format!(
        r#"{{"state":"unknown","name":"Idle","query":"up == 1","duration":2,"keepFiringFor":1.5,"labels":{{"severity":"x"}},"annotations":{{}},"alerts":[],"health":"ok",{common},"type":"alerting"}}"#
    );
    let failed =
        format!(r#"{{"name":"r","query":"up == 1","health":"err","lastError":"bad",{common},"type":"recording"}}"#);
    let r2 = format!(
        r#"{{"name":"r2","query":"up == 1","labels":{{"team":"a"}},"health":"ok",{common},"type":"recording"}}"#
    );
    let group = |name: &str, rules: &str| {
        format!(
            r#"{{"name":"{name}","file":"a.yml","rules":[{rules}],"interval":5,"limit":10,"evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z"}}"#
        )
    };
    let check_groups = async |rest: &str, groups: &str| {
        check_data(&format!("/api/v1/rules?{rest}"), &format!(r#"{{"groups":[{groups}]}}"#)).await;
    };
    let (g1, g2) =
        (group("g1", &format!("{},{idle}", up(&format!("[{alert}]")))), group("g2", &format!("{failed},{r2}")));
    check_groups("", &format!("{g1},{g2}")).await;
    check_groups("type=RECORD", &g2).await;
    check_groups("type=alert&rule_name[]=Up&rule_name[]=r&exclude_alerts=T", &group("g1", &up("null"))).await;
    check_groups("rule_group[]=g2&file[]=a.yml", &g2).await;
    check_groups("file[]=b.yml", "").await;
    check_groups(
        "match[]=%7Bseverity=%22x%22%7D&match[]=%7Bteam=%22a%22%7D",
        &format!("{},{}", group("g1", &idle), group("g2", &r2)),
    )
    .await;
    check_data("/api/v1/alerts", &format!(r#"{{"alerts":[{alert}]}}"#)).await;

    let (_, page) = get_from(&state(), "/api/v1/rules?group_limit=1").await;
    let (first, token) = page.split_once(r#","groupNextToken":""#).unwrap();
    assert_eq!(first, format!(r#"{{"status":"success","data":{{"groups":[{g1}]"#));
    let token = token.strip_suffix(r#""}}"#).unwrap();
    check_groups(&format!("group_limit=1&group_next_token={token}"), &g2).await;
}

#[tokio::test]
async fn wrong_questions_about_rules() {
    for (rest, message) in [
        ("type=x&exclude_alerts=x", r#"invalid parameter \"type\": not supported value \"x\""#),
        (
            "exclude_alerts=x&group_limit=x",
            r#"invalid parameter \"exclude_alerts\": error converting exclude_alerts: strconv.ParseBool: parsing \"x\": invalid syntax"#,
        ),
        ("match[]=%7B%7D", "match[] must contain at least one non-empty matcher"),
        ("match[]=%7Ba=", "1:4: parse error: unexpected end of input inside braces"),
        ("group_limit=0", r#"invalid parameter \"group_limit\": group_limit needs to be greater than 0"#),
        (
            "group_limit=x",
            r#"invalid parameter \"group_limit\": group_limit needs to be a valid number: strconv.ParseInt: parsing \"x\": invalid syntax"#,
        ),
        (
            "group_next_token=x",
            r#"invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups"#,
        ),
        (
            "group_limit=1&group_next_token=x",
            r#"invalid parameter \"group_next_token\": invalid group_next_token 'x'. were rule groups changed?"#,
        ),
    ] {
        check_bad(&format!("/api/v1/rules?{rest}"), message).await;
    }
}

#[tokio::test]
async fn scrape_targets() {
    let target = |pool: &str, error: &str, at: &str, duration: &str, health: &str| {
        format!(
            r#"{{"discoveredLabels":{{"__address__":"127.0.0.1:1"}},"labels":{{"job":"{pool}"}},"scrapePool":"{pool}","scrapeUrl":"http://127.0.0.1:1/metrics?a=b\u0026c=d","globalUrl":"http://mon:1/metrics?a=b\u0026c=d","lastError":"{error}","lastScrape":"{at}","lastScrapeDuration":{duration},"health":"{health}","scrapeInterval":"1m30s","scrapeTimeout":"500ms"}}"#
        )
    };
    let down = target("down", "connection refused", "1970-01-01T00:00:01.5Z", "0.000499", "down");
    let new = target("new", "", "0001-01-01T00:00:00Z", "0", "unknown");
    let dropped = r#"{"discoveredLabels":{"__address__":"127.0.0.1:1"},"scrapePool":"old"}"#;
    let check_targets = async |rest: &str, active: &str, dropped: &str, counts: &str| {
        let data =
            format!(r#"{{"activeTargets":[{active}],"droppedTargets":[{dropped}],"droppedTargetCounts":{counts}}}"#);
        check_data(&format!("/api/v1/targets?{rest}"), &data).await;
    };
    let counts = r#"{"down":0,"old":1}"#;
    check_targets("", &format!("{down},{new}"), dropped, counts).await;
    check_targets("state=active&scrapePool=down", &down, "", "null").await;
    check_targets("state=DROPPED", "", dropped, counts).await;
    check_targets("state=foo", "", "", "null").await;
    check_data("/api/v1/scrape_pools", r#"{"scrapePools":["down","new","old"]}"#).await;
    let known = r#"{"activeAlertmanagers":[{"url":"http://am:9093/api/v2/alerts"}],"droppedAlertmanagers":[]}"#;
    check_data("/api/v1/alertmanagers", known).await;
}

#[tokio::test]
async fn metadata_of_each_target() {
    let load = |job: &str| {
        format!(r#"{{"target":{{"job":"{job}"}},"metric":"load","type":"gauge","help":"How busy.","unit":""}}"#)
    };
    let requests = |job: &str| {
        format!(r#"{{"target":{{"job":"{job}"}},"metric":"requests","type":"counter","help":"","unit":""}}"#)
    };
    let of_down = [load("down"), requests("down")].join(",");
    let all = format!("[{of_down},{},{}]", load("new"), requests("new"));
    check_data("/api/v1/targets/metadata", &all).await;
    check_data("/api/v1/targets/metadata?limit=-2&match_target=%7Bjob!=%22x%22%7D", &all).await;
    check_data("/api/v1/targets/metadata?limit=1", &format!("[{of_down}]")).await;
    check_data("/api/v1/targets/metadata?limit=0", "[]").await;
    let one = r#"[{"target":{"job":"new"},"type":"counter","help":"","unit":""}]"#;
    check_data("/api/v1/targets/metadata?metric=requests&match_target=%7Bjob=%22new%22%7D", one).await;
    check_bad("/api/v1/targets/metadata?limit=x", "limit must be a number").await;
}

#[tokio::test]
async fn status() {
    check_data("/api/v1/status/config", r#"{"yaml":"global: {}\n"}"#).await;
    check_data("/api/v1/status/flags", r#"{"log.level":"info"}"#).await;
    check_data("/api/v1/status/walreplay", r#"{"min":0,"max":0,"current":0}"#).await;
    check_data(
        "/api/v1/status/tsdb?limit=1",
        r#"{"headStats":{"numSeries":3,"numLabelPairs":6,"chunkCount":3,"minTime":1000000,"maxTime":1060000},"seriesCountByMetricName":[{"name":"up","value":2}],"labelValueCountByLabelName":[{"name":"__name__","value":2}],"memoryInBytesByLabelName":[{"name":"__name__","value":41}],"seriesCountByLabelValuePair":[{"name":"__name__=up","value":2}]}"#,
    )
    .await;
    check_bad("/api/v1/status/tsdb?limit=0", "limit must be a positive number").await;
    let (code, body) = get_from(&state(), "/api/v1/status/runtimeinfo").await;
    assert_eq!(code, 200);
    assert!(body.contains(r#""startTime":"1970-01-01T00:00:01Z""#), "{body}");
    assert!(body.contains(r#""reloadConfigSuccess":true,"lastConfigTime":"1970-01-01T00:00:02.5Z""#), "{body}");
    assert!(body.ends_with(r#""storageRetention":"1d"}}"#), "{body}");
    check_data("/api/v1/format_query?query=sum(a)by(b)", r#""sum by (b) (a)""#).await;
    check_data("/api/v1/parse_query?query=-1", r#"{"type":"numberLiteral","val":"-1"}"#).await;
    check_data("/api/v1/query_exemplars?query=up", "[]").await;
    check("/api/v1/nothing", 404, "404 page not found\n").await;
}

#[tokio::test]
async fn life_cycle() {
    let mut state = state();
    let post = || Request::post("/-/reload").body(Body::empty()).unwrap();
    assert_eq!(get_from(&state, "/-/healthy").await, (200, "Almenara is Healthy.\n".to_owned()));
    assert_eq!(get_from(&state, "/-/ready").await.0, 200);
    assert_eq!(get_from(&state, "/-/reload").await, (405, "Only POST or PUT requests allowed".to_owned()));
    assert_eq!(send(state.clone(), post()).await, (403, "Lifecycle API is not enabled.".to_owned()));

    let (sender, mut receiver) = tokio::sync::mpsc::channel::<ReloadRequest>(1);
    state.reload = Some(sender);
    let answers = tokio::spawn(async move {
        receiver.recv().await.unwrap().send(Ok(())).unwrap();
        receiver.recv().await.unwrap().send(Err("a.yml:1:1: bad".to_owned())).unwrap();
    });
    assert_eq!(send(state.clone(), post()).await, (200, String::new()));
    assert_eq!(send(state.clone(), post()).await, (500, "failed to reload config: a.yml:1:1: bad\n".to_owned()));
    answers.await.unwrap();
    assert_eq!(send(state.clone(), post()).await, (500, "failed to reload config: shutting down\n".to_owned()));

    state.live.write().is_ready = false;
    assert_eq!(get_from(&state, "/-/ready").await.0, 503);
    assert_eq!(get_from(&state, "/api/v1/query?query=1").await.0, 503);
    assert_eq!(get_from(&state, "/-/healthy").await.0, 200);
}

#[tokio::test]
async fn our_own_metrics() {
    let mut state = state();
    let collector: Collector = Arc::new(|families| {
        families.push(crate::exposition::Family::single("a_total", "A.", crate::exposition::FamilyKind::Counter, 3.0));
    });
    state.collectors = Arc::new([collector]);
    let (code, body) = get_from(&state, "/metrics").await;
    assert_eq!(code, 200);
    assert!(body.starts_with("# HELP a_total A.\n# TYPE a_total counter\na_total 3\n"), "{body}");
    assert!(body.contains("\nalmenara_store_samples 15\n"), "{body}");
    if cfg!(target_os = "linux") {
        let number = |name: &str| body.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok()).unwrap();
        assert!(number("process_resident_memory_bytes ") > 1e6);
        assert!(number("process_open_fds ") >= 3.0);
        assert!((0.0..1e5).contains(&number("process_cpu_seconds_total ")));
    }
}

#[tokio::test]
async fn federation() {
    let state = state();
    let now = crate::clock::now();
    let commit = |pairs: Vec<(&str, &str)>, back_ms: i64, value: f64| {
        let series = state.store.series_ref(&Labels::from_pairs(pairs));
        state.store.commit(&[Row::new(series, now.plus_ms(-back_ms), value)]);
    };
    commit(vec![("__name__", "b"), ("job", "a\"b"), ("instance", "x")], 1_000, 1.5);
    commit(vec![("__name__", "a"), ("my.label", "y")], 2_000, f64::INFINITY);
    commit(vec![("__name__", "a"), ("z", "ended")], 2_000, 1.0);
    commit(vec![("__name__", "a"), ("z", "ended")], 1_000, crate::model::stale_nan());
    commit(vec![("__name__", "a"), ("z", "old")], 301_000, 1.0);
    let expected = format!(
        "# TYPE a untyped\na{{my_label=\"y\",cluster=\"c1\",instance=\"\",job=\"other\"}} +Inf {}\n# TYPE b untyped\n\
         b{{instance=\"x\",job=\"a\\\"b\",cluster=\"c1\"}} 1.5 {}\n",
        now.as_ms() - 2_000,
        now.as_ms() - 1_000,
    );
    assert_eq!(get_from(&state, "/federate?match[]=a&match[]=b&match[]=%7Bjob=~%22a.%2B%22%7D").await, (200, expected));
    let wrong = "1:2: parse error: unexpected \"(\"\n".to_owned();
    assert_eq!(get_from(&state, "/federate?match[]=a(").await, (400, wrong));
    assert_eq!(get_from(&state, "/federate").await, (200, String::new()));
}

#[tokio::test]
async fn long_answers_are_compressed_where_that_is_wanted() {
    let ask = async |accepted: &str| {
        let request = Request::get("/api/v1/query_range?query=up&start=1000&end=1300&step=1")
            .header(header::ACCEPT_ENCODING, accepted)
            .body(Body::empty())
            .unwrap();
        let response = router(state()).oneshot(request).await.unwrap();
        let encoding = response.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap().to_owned());
        (encoding, to_bytes(response.into_body(), 1 << 20).await.unwrap())
    };
    let (encoding, plain) = ask("br").await;
    assert_eq!(encoding, None);
    let (encoding, packed) = ask("deflate, gzip").await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
    assert!(packed.len() * 4 < plain.len(), "{} {}", packed.len(), plain.len());
}

/// Each query is asked again and again while samples and series come: with its plan of the last time it answers as one that never was asked.
#[tokio::test]
async fn a_query_that_comes_again_answers_as_a_new_one() {
    let state = state();
    let commit = |labels: Labels, at_ms: i64, value: f64| {
        let series = state.store.series_ref(&labels);
        let committed = state.store.commit(&[Row::new(series, Timestamp::from_ms(at_ms), Value::Float(value))]);
        assert_eq!(committed.appended, 1);
    };
    let up = |job: &str| Labels::from_pairs([("__name__", "up"), ("job", job), ("instance", "x:1")]);
    let mut seen = std::collections::BTreeSet::new();
    for step in 0..6 {
        let at_ms = 1_075_000 + step * 15_000;
        match step {
            1 => commit(up("c"), at_ms, 2.0),
            2 => commit(up("a"), at_ms, crate::model::stale_nan()),
            4 => commit(Labels::from_pairs([("__name__", "down")]), at_ms, 1.0),
            _ => commit(up("b"), at_ms, step as f64),
        }
        let at = at_ms / 1000;
        for path in [
            format!("/api/v1/query?query=up&time={at}"),
            format!("/api/v1/query?query=up&time={at}&lookback_delta=20s"),
            format!("/api/v1/query?query=sum+by+(job)+(rate(up[1m]))&time={at}"),
            "/api/v1/query?query=up&time=1030".to_owned(),
            format!("/api/v1/query?query=max_over_time(sum(up)[1m:])&time={at}"),
            format!("/api/v1/query_range?query=up&start=1000&end={at}&step=15"),
            format!("/api/v1/query_range?query=sum+by+(job)+(rate(up[1m]))&start=1000&end={at}&step=15"),
            format!("/api/v1/query?query=absent(down)&time={at}"),
            format!("/api/v1/query?query=rate(latency[1m])&time={at}"),
            format!("/api/v1/query?query=up+/+on+(instance)+up&time={at}"),
            format!("/api/v1/query?query=up&time={at}&stats=all"),
        ] {
            let new = AppState { queries: Arc::new(Queries::new(settings())), ..state.clone() };
            let (kept, fresh) = (get_from(&state, &path).await, get_from(&new, &path).await);
            if !path.contains("stats") {
                assert_eq!(kept, fresh, "step {step}: {path}");
            }
            seen.insert(fresh.1);
        }
    }
    assert!(seen.len() > 40, "the answers hardly change: {}", seen.len());
}

#[test]
fn plans_that_are_not_asked_for_are_let_go() {
    let state = state();
    let plan = |text: &str| query::new_plan(&state, crate::promql::parse(text).unwrap());
    let kept = &state.queries.kept;
    let texts: Vec<String> = (0..kept_plans::PLANS_MAX + 1).map(|number| format!("up == {number}")).collect();
    texts.iter().for_each(|text| kept.keep(text, plan(text)));
    assert!(kept.take(&texts[0]).is_none(), "the oldest");
    assert!(kept.take(&texts[1]).is_some());
    assert!(kept.take(&texts[1]).is_none(), "it was taken");
    kept.keep(&texts[2], plan(&texts[2]));
    assert!(kept.take(&texts[2]).is_some());
    assert!(kept.take(&texts[2]).is_none(), "only one of a text is kept");
}
