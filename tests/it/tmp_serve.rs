//! temporary
use almenara::api::*;
use almenara::model::*;
use almenara::store::*;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
#[ignore]
async fn serve() {
    let text = std::fs::read_to_string("/tmp/prom_a/dump.json").unwrap();
    let dump: serde_json::Value = serde_json::from_str(&text).unwrap();
    let store = Store::new(StoreOptions { retention: Duration::from_secs(86400) });
    for series in dump["data"]["result"].as_array().unwrap() {
        let labels = Labels::from_pairs(series["metric"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())));
        let r = store.series_ref(&labels);
        let rows: Vec<Row> = series["values"].as_array().map(|v| v.iter().map(|p| Row { series: r, at: Timestamp::from_secs_f64(p[0].as_f64().unwrap()), value: Value::Float(p[1].as_str().unwrap().replace("+Inf", "inf").replace("-Inf", "-inf").parse().unwrap()) }).collect()).unwrap_or_default();
        assert!(store.commit(&rows).refused.is_empty());
    }
    let s = store.stats();
    eprintln!("{s:?} bytes/sample {}", s.bytes as f64 / s.samples as f64);
    let state = AppState {
        store: Arc::new(store),
        metadata: Arc::new(MetadataStore::new()),
        queries: Arc::new(Queries::new(QuerySettings { lookback_delta: Duration::from_secs(300), timeout: Duration::from_secs(60), max_samples: 50_000_000, max_concurrency: 20, features: almenara::promql::Features::ALL, delayed_name_removal: true })),
        live: Arc::new(parking_lot::RwLock::new(Live { config_yaml: "".into(), flags: vec![], external_url: "".into(), default_subquery_step: Duration::from_secs(5), retention: Duration::from_secs(86400), started_at: almenara::clock::now(), config_loaded_at: almenara::clock::now(), is_config_good: true, is_ready: true })),
        reload: None,
        collectors: Arc::new([]),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:19400").await.unwrap();
    axum::serve(listener, router(state)).await.unwrap();
}
