//! A fleet of services and the rules over it, for the benchmark of rules and the test that counts allocations.
//!
//! A service has 100 series: 40 counters of requests (5 routes, 2 methods, 4 codes), 50 buckets of durations, 5 sums and 5 counts. Each
//! service has an info series besides, which is not counted.

use std::sync::Arc;
use std::time::Duration;

use almenara::model::{Labels, Timestamp};
use almenara::store::{Row, SeriesRef, Store, StoreOptions};

/// The distance of scrapes and of evaluations.
pub(crate) const INTERVAL_MS: i64 = 15_000;
const SERIES_PER_SERVICE: usize = 100;
const BOUNDS: [&str; 10] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];

/// Services, their series and the samples that they give.
pub(crate) struct Fleet {
    pub(crate) store: Arc<Store>,
    series: Vec<SeriesRef>,
    infos: Vec<SeriesRef>,
    services: usize,
    pub(crate) slot: i64,
    replaced: usize,
}

impl Fleet {
    pub(crate) fn new(series: usize) -> Self {
        let store = Arc::new(Store::new(StoreOptions { retention: Duration::from_secs(24 * 3600) }));
        let services = series / SERIES_PER_SERVICE;
        let all = (0..services).flat_map(|service| service_series(service, ""));
        let series = all.map(|labels| store.series_ref(&labels)).collect();
        let info = |service: usize| {
            let team = format!("team{}", service % 7);
            let pairs = [("__name__", "service_info".to_owned()), ("service", name(service)), ("team", team)];
            store.series_ref(&Labels::from_pairs(pairs))
        };
        let infos = (0..services).map(info).collect();
        Fleet { store, series, infos, services, slot: 0, replaced: 0 }
    }

    /// The instant of the last scrape.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.slot * INTERVAL_MS)
    }

    /// Takes one sample of every series.
    pub(crate) fn scrape(&mut self) {
        self.slot += 1;
        let (slot, at) = (self.slot, self.now());
        let value = |index: usize| (slot * 8 + (slot * 7_919 + index as i64) % 8 + (index as i64 % 10) * slot) as f64;
        let rows = self.series.iter().enumerate().map(|(index, series)| Row::new(*series, at, value(index)));
        let rows: Vec<Row> = rows.chain(self.infos.iter().map(|series| Row::new(*series, at, 1.0))).collect();
        assert_eq!(self.store.commit(&rows).refused.len(), 0);
    }

    /// Ends `count` series and starts as many others in their place: counters of requests come back with another method.
    #[allow(dead_code)] // of one of the users
    pub(crate) fn replace(&mut self, count: usize) {
        let at = Timestamp::from_ms(self.slot * INTERVAL_MS + 1);
        for _ in 0..count {
            self.replaced += 1;
            let service = self.replaced % self.services;
            let index = service * SERIES_PER_SERVICE + (self.replaced / self.services) % 40;
            self.store.commit(&[Row::new(self.series[index], at, almenara::model::stale_nan())]);
            let labels = service_series(service, &format!("{}", self.replaced)).nth(index % SERIES_PER_SERVICE);
            self.series[index] = self.store.series_ref(&labels.expect("a series of a service"));
        }
    }
}

fn name(service: usize) -> String {
    format!("svc{service:04}")
}

fn service_series(service: usize, generation: &str) -> impl Iterator<Item = Labels> {
    let generation = generation.to_owned();
    (0..SERIES_PER_SERVICE).map(move |index| {
        let mut pairs = vec![("job", "api".to_owned()), ("service", name(service))];
        if index < 40 {
            pairs.push(("__name__", "http_requests_total".to_owned()));
            pairs.push(("route", format!("/r{}", index % 5)));
            pairs.push(("method", format!("{}{generation}", ["GET", "POST"][index / 5 % 2])));
            pairs.push(("code", ["200", "404", "500", "503"][index / 10].to_owned()));
        } else {
            let (route, part) = ((index - 40) % 5, (index - 40) / 5);
            pairs.push(("route", format!("/r{route}")));
            let metric = match part {
                0..10 => {
                    pairs.push(("le", BOUNDS[part].to_owned()));
                    "bucket"
                }
                10 => "sum",
                _ => "count",
            };
            pairs.push(("__name__", format!("http_request_duration_seconds_{metric}")));
        }
        Labels::from_pairs(pairs)
    })
}

/// Ten rules over the whole fleet, the others over one service each.
pub(crate) fn rules(count: usize) -> Vec<String> {
    let fleet = [
        "sum by (service) (rate(http_requests_total[5m]))",
        "sum by (service) (rate(http_requests_total{code=~\"5..\"}[5m])) / sum by (service) (rate(http_requests_total[5m])) > 0.9",
        "histogram_quantile(0.5, sum by (service, le) (rate(http_request_duration_seconds_bucket[5m]))) > 10",
        "histogram_quantile(0.9, sum by (service, le) (rate(http_request_duration_seconds_bucket[5m]))) > 10",
        "histogram_quantile(0.99, sum by (service, le) (rate(http_request_duration_seconds_bucket[5m]))) > 10",
        "sum by (team) (sum by (service) (rate(http_requests_total[5m])) * on (service) group_left (team) service_info)",
        "topk(5, sum by (service) (rate(http_requests_total[5m])))",
        "count by (service) (http_requests_total) < 1",
        "max by (service) (http_requests_total offset 1m) < 0",
        "(sum by (service) (rate(http_request_duration_seconds_sum[5m])) / sum by (service) (rate(http_request_duration_seconds_count[5m])) > 100) unless on (service) (service_info == 0)",
    ];
    let of_service = |number: usize| {
        let service = name(number / 10);
        let errors = format!("http_requests_total{{service=\"{service}\",code=~\"5..\"}}");
        let total = format!("http_requests_total{{service=\"{service}\"}}");
        let ratio = |window: &str| {
            format!("sum by (service) (rate({errors}[{window}])) / sum by (service) (rate({total}[{window}]))")
        };
        match number % 10 {
            window @ 0..8 => ratio(["5m", "30m", "1h", "2h", "6h", "1d", "3d", "10m"][window]),
            8 => format!("{} > 0.9 and {} > 0.9", ratio("5m"), ratio("1h")),
            _ => format!("{} > 0.9 and {} > 0.9", ratio("30m"), ratio("6h")),
        }
    };
    fleet.into_iter().map(str::to_owned).chain((0..).map(of_service)).take(count).collect()
}
