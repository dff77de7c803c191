//! Drives the embedded router: events in, notifications out, awake at its timers.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::api::v2::RouterHandle;
use crate::clock;
use crate::deliver::Delivery;
use crate::router::Event;

/// Steps the router whenever something arrived, a delivery ended or a timer is due. Runs until aborted.
pub(super) fn drive(
    handle: RouterHandle,
    delivery: Arc<Delivery>,
    mut results: mpsc::UnboundedReceiver<Event>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut events = Vec::new();
        loop {
            let (notifications, next) = handle.step(clock::now(), std::mem::take(&mut events));
            notifications.into_iter().for_each(|notification| delivery.send(notification));
            let timer = async {
                match next {
                    Some(at) => clock::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = handle.changed() => {}
                () = timer => {}
                result = results.recv() => match result {
                    Some(result) => events.push(result),
                    None => return,
                }
            }
        }
    })
}
