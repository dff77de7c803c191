//! From alerts to notifications: the route tree, grouping, timers, inhibition, silences, heartbeats, the notification log.
//!
//! In the flow: a driver hands in [`Event`]s and the time; [`Router::step`] answers with the [`Notification`]s that are due
//! and [`Router::next_wakeup`] says when to call again. The driver sends them and reports each one back as an event.
//! **No clock, no I/O, no sleep.** All state is plain data in [`Router`].
//! **Invariants.** What a receiver was told is firing, it is told is resolved once it has ended: through failed deliveries,
//! inhibition, silences and reloads, until [`RouterConfig`] no longer has that receiver or five days have passed.
//! **Source.** Alertmanager 0.33; each file names its part. Visible differences are the **Differs:** lines.
//! **Differs:** empty annotations are dropped, as empty labels are; `time_intervals`, files of message templates and
//! receivers other than webhooks, e-mail, PagerDuty and Slack are refused at load.

mod alerts;
mod config;
mod dispatch;
mod flush;
mod gotext;
mod group;
mod heartbeat;
mod inhibit;
mod log;
pub mod matchers;
mod message;
mod receiver;
mod route;
mod saved;
mod silence;
#[cfg(test)]
mod tests;

pub use alerts::StoredAlert;
pub use config::RouterConfig;
pub use dispatch::Router;
pub use group::{AlertGroup, GroupId, label_order, show_order};
pub use heartbeat::Heartbeat;
pub use inhibit::InhibitRule;
pub use message::TextTemplate;
pub use receiver::{
    EmailConfig, EmailMessage, Integration, Kind, PagerDutyApi, PagerDutyConfig, RawConfig, Receiver, SecretText,
    Settings, SlackConfig, Smtp, WebhookConfig,
};
pub use route::{GroupBy, Route, RouteOptions};
pub use saved::{PREFIX as STATE_PREFIX, StateChange};
pub use silence::{
    NotAnId, SILENCES_MAX, Silence, SilenceDraft, SilenceError, SilenceId, SilenceState, Silencer, Silences,
};

use std::time::Duration;

use crate::model::{Alert, Labels, Timestamp};
use crate::source::Secret;

/// What happened since the last step.
#[derive(Clone, Debug)]
pub enum Event {
    /// Alerts arrived from rules, complete.
    Alerts(Vec<Alert>),
    /// Alerts arrived through the API, perhaps without times.
    Posted(Vec<PostedAlert>),
    /// A notification was accepted by its receiver.
    Delivered(NotificationId),
    /// A notification was given up; the text says why. The group tries again at its next interval.
    Failed(NotificationId, String),
    /// The clock went from `from` to `by` later at once. What fired then has as long to be confirmed as it had.
    Jumped {
        /// Before the jump.
        from: Timestamp,
        /// How far it went.
        by: Duration,
    },
}

/// An alert as somebody posted it: a time that is missing is filled in on arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct PostedAlert {
    /// Identity.
    pub labels: Labels,
    /// Text for people.
    pub annotations: Labels,
    /// When it began; else when it ended, else now.
    pub starts_at: Option<Timestamp>,
    /// When it ended or will; else the configured resolve timeout from now.
    pub ends_at: Option<Timestamp>,
    /// Where it came from; may be empty.
    pub generator_url: String,
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
    /// The alerts in it, in the order shown; those that fire have `ends_at` in the future. A webhook may show fewer.
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
    /// POST `body` as JSON to Slack.
    Slack {
        /// Where.
        url: SecretText,
        /// The message with its attachment.
        body: String,
    },
    /// POST `body` as JSON to PagerDuty.
    PagerDuty {
        /// Decides what an answer means.
        api: PagerDutyApi,
        /// Where.
        url: Secret,
        /// The file with the key, which is then to be put into the body.
        key_file: Option<String>,
        /// The event.
        body: String,
    },
    /// Send by SMTP.
    Email(Box<EmailMessage>),
}
