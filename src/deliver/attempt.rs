//! One attempt, and what its outcome means.
//!
//! **Invariants.** [`judge`] and [`retry_after`] are pure. No text carries the URL.

use std::time::Duration;

use bytes::Bytes;

use super::worker::Endpoint;
use crate::clock;
use crate::http::{HttpError, Response};
use crate::model::Timestamp;
use crate::router::{Message, Notification};

/// Bytes of an error's body that are read for its text.
const ERROR_BODY_MAX: usize = 4_096;
/// Characters of it that are shown.
const ERROR_TEXT_MAX: usize = 200;

/// The label `reason` of `alertmanager_notifications_failed_total`, in Alertmanager's words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum FailureReason {
    Other,
    ClientError,
    ServerError,
    DeadlineExceeded,
    Canceled,
    AuthError,
    RateLimited,
}

impl FailureReason {
    pub(super) const ALL: [FailureReason; 7] = [
        FailureReason::AuthError,
        FailureReason::ClientError,
        FailureReason::Canceled,
        FailureReason::DeadlineExceeded,
        FailureReason::Other,
        FailureReason::RateLimited,
        FailureReason::ServerError,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            FailureReason::Other => "other",
            FailureReason::ClientError => "clientError",
            FailureReason::ServerError => "serverError",
            FailureReason::DeadlineExceeded => "contextDeadlineExceeded",
            FailureReason::Canceled => "contextCanceled",
            FailureReason::AuthError => "authError",
            FailureReason::RateLimited => "rateLimited",
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) reason: FailureReason,
    pub(super) text: String,
}

/// What to do after an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Delivered,
    /// Try again; not before `pause`, if the receiver asked for one.
    Again {
        failure: Failure,
        pause: Option<Duration>,
    },
    /// The same message will never be accepted.
    Never(Failure),
}

/// POSTs a notification once.
pub(super) async fn attempt(endpoint: &Endpoint, notification: &Notification) -> Verdict {
    let Message::Webhook { url, body } = &notification.message;
    let left = notification.deadline.since(clock::now());
    let timeout = endpoint.timeout.map_or(left, |timeout| timeout.min(left));
    match endpoint.client.post_json(url, Bytes::copy_from_slice(body.as_bytes()), timeout).await {
        Ok(response) => judge_response(response).await,
        Err(error) => judge_error(&error),
    }
}

async fn judge_response(response: Response) -> Verdict {
    let status = response.status();
    let pause = response.header("retry-after").and_then(|text| retry_after(text, clock::now()));
    // Read also on success: an unread body costs the connection.
    let body = response.bytes(ERROR_BODY_MAX).await.unwrap_or_default();
    judge(status, &String::from_utf8_lossy(&body), pause)
}

/// Alertmanager's `Retrier`, with 429 as one that is tried again.
fn judge(status: u16, body: &str, pause: Option<Duration>) -> Verdict {
    if (200..300).contains(&status) {
        return Verdict::Delivered;
    }
    let shown: String = body.trim().chars().take(ERROR_TEXT_MAX).collect();
    let separator = if shown.is_empty() { "" } else { ": " };
    let reason = match status {
        429 => FailureReason::RateLimited,
        401 | 403 => FailureReason::AuthError,
        400..500 => FailureReason::ClientError,
        500..600 => FailureReason::ServerError,
        _ => FailureReason::Other,
    };
    let failure = Failure { reason, text: format!("unexpected status code {status}{separator}{shown}") };
    match reason {
        FailureReason::RateLimited | FailureReason::ServerError => Verdict::Again { failure, pause },
        _ => Verdict::Never(failure),
    }
}

fn judge_error(error: &HttpError) -> Verdict {
    let reason = match error {
        HttpError::Timeout => FailureReason::DeadlineExceeded,
        _ => FailureReason::Other,
    };
    let failure = Failure { reason, text: error.to_string() };
    match error {
        HttpError::Request(_) => Verdict::Never(failure),
        // A credential file that is not there may be about to be replaced.
        _ => Verdict::Again { failure, pause: None },
    }
}

/// The pause that a `Retry-After` header asks for: seconds, or a date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(secs) = text.parse::<u64>() {
        return Some(Duration::from_secs(secs));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp::from_ms(date.as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_as_alertmanager_but_for_429() {
        for (status, expected) in [
            (200, "delivered"),
            (202, "delivered"),
            (302, "never other"),
            (400, "never clientError"),
            (401, "never authError"),
            (404, "never clientError"),
            (429, "again rateLimited"),
            (500, "again serverError"),
            (503, "again serverError"),
        ] {
            let verdict = match judge(status, "", None) {
                Verdict::Delivered => "delivered".to_owned(),
                Verdict::Again { failure, .. } => format!("again {}", failure.reason.as_str()),
                Verdict::Never(failure) => format!("never {}", failure.reason.as_str()),
            };
            assert_eq!(verdict, expected, "{status}");
        }
        let Verdict::Never(failure) = judge(400, &format!(" no {}", "x".repeat(500)), None) else { panic!() };
        assert!(failure.text.starts_with("unexpected status code 400: no x") && failure.text.len() < 250);
        assert!(matches!(judge_error(&HttpError::Timeout), Verdict::Again { .. }));
        assert!(matches!(judge_error(&HttpError::Request("x".into())), Verdict::Never(_)));
    }

    #[test]
    fn reads_retry_after() {
        let now = Timestamp::from_ms(784_111_777_000); // 1994-11-06T08:49:37Z
        for (text, secs) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), secs.map(Duration::from_secs), "{text}");
        }
    }
}
