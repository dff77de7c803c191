//! `/api/v2/alerts/groups`: alerts as they are notified together.
//!
//! **Source.** Alertmanager 0.33 `dispatch/dispatch.go` (`Groups`), `api/v2/api.go`.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::alerts::gettable;
use super::muting::muting;
use super::params::Filter;
use super::{RouterHandle, reply};
use crate::model::{Fingerprint, Timestamp};
use crate::router::{AlertGroup, GroupId, Router, StoredAlert, label_order, show_order};

pub(super) async fn get_groups(State(handle): State<RouterHandle>, RawQuery(query): RawQuery) -> Response {
    let filter = match Filter::parse(query.as_deref()) {
        Ok(filter) => filter,
        Err(reason) => return reply::refuse(StatusCode::BAD_REQUEST, reason),
    };
    let now = handle.now();
    reply::json(StatusCode::OK, &handle.read(|router| list(router, &filter, now)))
}

fn list(router: &Router, filter: &Filter, now: Timestamp) -> Value {
    let mut groups: Vec<(&GroupId, &AlertGroup)> =
        router.groups().filter(|(_, group)| filter.passes_receiver(router.config(), group.receiver())).collect();
    groups.sort_by(|a, b| label_order(&a.0.labels, &b.0.labels).then_with(|| a.1.receiver().cmp(b.1.receiver())));
    let shown = groups.into_iter().filter_map(|(id, group)| {
        let alerts = alerts(router, group, filter, now);
        let receiver = json!({ "name": group.receiver() });
        (!alerts.is_empty())
            .then(|| json!({ "alerts": alerts, "labels": reply::labels(&id.labels), "receiver": receiver }))
    });
    shown.collect()
}

/// The alerts of one group that are asked for, in the order in which messages show them.
fn alerts(router: &Router, group: &AlertGroup, filter: &Filter, now: Timestamp) -> Vec<Value> {
    let mut found: Vec<(Fingerprint, &StoredAlert)> = group
        .members()
        .filter_map(|fingerprint| router.alert(fingerprint).map(|stored| (fingerprint, stored)))
        .filter(|(_, stored)| !stored.alert.is_resolved_at(now) && filter.passes_labels(&stored.alert.labels))
        .collect();
    found.sort_by(|a, b| show_order(&a.1.alert, &b.1.alert));
    let muting = muting(router, now, found.iter().map(|(_, stored)| &stored.alert.labels));
    let shown = found.into_iter().zip(muting).filter(|(_, muting)| muting.passes(filter));
    shown
        .map(|((fingerprint, stored), muting)| {
            let routes = router.config().route.matching(&stored.alert.labels);
            let mut receivers: Vec<&str> = routes.iter().map(|route| route.options.receiver.as_str()).collect();
            // An alert names here only those receivers whose groups were asked for.
            receivers.retain(|name| filter.passes_receiver(router.config(), name));
            receivers.sort_unstable();
            gettable(fingerprint, stored, &receivers, &muting)
        })
        .collect()
}
