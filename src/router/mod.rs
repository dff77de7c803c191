//! From alerts to notifications: the route tree, grouping, timers, the notification log.
//!
//! In the flow: a driver hands in [`Event`]s and the time; [`Router::step`] answers with the [`Notification`]s that are due.
//! **No clock, no I/O, no sleep**: [`Router::next_wakeup`] says when to call again.

use crate::model::{Alert, Timestamp};

/// What happened since the last step.
#[derive(Clone, Debug)]
pub enum Event {
    /// Alerts arrived, from rules or through the API.
    Alerts(Vec<Alert>),
    /// A notification was accepted by its receiver.
    Delivered(NotificationId),
    /// A notification was given up; the text says why. The group tries again at its next interval.
    Failed(NotificationId, String),
}

/// Numbers notifications of one router, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NotificationId(pub u64);

/// One message to one integration of one receiver, rendered.
#[derive(Clone, Debug)]
pub struct Notification {
    /// To report back with [`Event::Delivered`] or [`Event::Failed`].
    pub id: NotificationId,
    /// The receiver's name.
    pub receiver: String,
    /// Which of the receiver's integrations, such as `webhook`, and its index in the list.
    pub integration: (&'static str, usize),
    /// Alertmanager's text form of the group.
    pub group_key: String,
    /// Why it is sent, as Alertmanager words it: `first notification`, `new alerts added`, …
    pub reason: &'static str,
    /// When the router decided to send.
    pub at: Timestamp,
    /// Give up retrying after this instant: the group's next flush supersedes it.
    pub deadline: Timestamp,
    /// What to send.
    pub message: Message,
    /// The alerts in it, firing ones with `ends_at` in the future.
    pub alerts: Vec<Alert>,
}

/// A rendered message, ready for its transport.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// POST `body` as JSON to `url` with the HTTP client settings of the receiver's configuration.
    Webhook {
        /// Where; secret, never shown.
        url: String,
        /// The version 4 payload.
        body: String,
    },
}
