//! One attempt, and what its outcome means.
//!
//! **Invariants.** [`judge`] and [`retry_after`] are pure. No text carries the URL.

use std::time::Duration;

use bytes::Bytes;

use super::config::text_of;
use super::worker::{Channel, Endpoint};
use super::{slack, smtp};
use crate::clock;
use crate::http::{Client, HttpError, Response, Text, retry_after};
use crate::router::{Message, Notification, PagerDutyApi};

/// Bytes of an answer's body that are read; a longer one counts as empty. Slack's says back what was posted.
const ANSWER_BODY_MAX: usize = 64 << 10;
/// Characters of it that are shown.
pub(super) const ERROR_TEXT_MAX: usize = 200;

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

/// Sends a notification once.
pub(super) async fn attempt(endpoint: &Endpoint, notification: &Notification) -> Verdict {
    let left = notification.deadline.since(clock::now());
    let timeout = endpoint.timeout.map_or(left, |timeout| timeout.min(left));
    let result = match (&notification.message, &endpoint.channel) {
        (Message::Email(email), Channel::Smtp(config)) => {
            return smtp::send(config, email, notification, timeout).await;
        }
        (Message::Webhook { url, body }, Channel::Http(client)) => {
            let posted = client.post_json(url, Bytes::copy_from_slice(body.as_bytes()), timeout).await;
            answered(posted).await.map(|answer| judge(&answer, Rules::USUAL))
        }
        (Message::Slack { url, body }, Channel::Http(client)) => {
            post_to(client, text_of(url).read(), body.clone(), timeout).await.map(|answer| slack::judge(&answer))
        }
        (Message::PagerDuty { api, url, key_file, body }, Channel::Http(client)) => {
            match with_key(body, *api, key_file.as_deref()) {
                Ok(body) => post_to(client, Ok(url.expose().into()), body, timeout)
                    .await
                    .map(|answer| judge(&answer, Rules::of_pagerduty(*api))),
                Err(error) => Err(error),
            }
        }
        _ => Err(HttpError::Request("the message does not fit the receiver's transport".to_owned())),
    };
    result.unwrap_or_else(|error| judge_error(&error))
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: String,
    /// The receiver asked for one.
    pub(super) pause: Option<Duration>,
}

async fn post_to(
    client: &Client,
    url: Result<Vec<u8>, HttpError>,
    body: String,
    timeout: Duration,
) -> Result<Answer, HttpError> {
    let url = String::from_utf8(url?).map_err(|_| HttpError::Request("the address is not a text".to_owned()))?;
    answered(client.post_json(url.trim(), body.into(), timeout).await).await
}

async fn answered(response: Result<Response, HttpError>) -> Result<Answer, HttpError> {
    let response = response?;
    let status = response.status();
    let content_type = response.header("content-type").unwrap_or_default().to_owned();
    let pause = response.header("retry-after").and_then(|text| retry_after(text, clock::now()));
    // Read also on success: an unread body costs the connection.
    let body = response.bytes(ANSWER_BODY_MAX).await.unwrap_or_default();
    Ok(Answer { status, content_type, body: String::from_utf8_lossy(&body).into_owned(), pause })
}

/// `body` with the key of a file as its first field.
fn with_key(body: &str, api: PagerDutyApi, file: Option<&str>) -> Result<String, HttpError> {
    let Some(file) = file else { return Ok(body.to_owned()) };
    let key = String::from_utf8(Text::File(file.into()).read()?)
        .map_err(|_| HttpError::Request("the key is not a text".to_owned()))?;
    let key = serde_json::Value::from(key.trim());
    let rest = body.strip_prefix('{').expect("BUG: an event is an object");
    Ok(format!("{{\"{}\":{key},{rest}", api.key_name()))
}

/// Which refusals are no refusals, and where their reason stands.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// Tried again besides 5xx.
    again: u16,
    /// How the reason is read from an answer's body.
    details: fn(&Answer) -> String,
}

impl Rules {
    pub(super) const USUAL: Rules = Rules { again: 429, details: |answer| answer.body.clone() };

    /// Version 1 says with 403 that there were too many.
    fn of_pagerduty(api: PagerDutyApi) -> Rules {
        Rules { again: if api == PagerDutyApi::V1 { 403 } else { 429 }, details: pagerduty_details }
    }
}

/// `MESSAGE: ERROR,ERROR` of a 400.
fn pagerduty_details(answer: &Answer) -> String {
    let parsed = serde_json::from_str::<serde_json::Value>(&answer.body).ok();
    let Some(body) = parsed.filter(|_| answer.status == 400) else { return String::new() };
    let errors: Vec<&str> =
        body["errors"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
    format!("{}: {}", body["message"].as_str().unwrap_or_default(), errors.join(","))
}

/// Alertmanager's `Retrier`.
pub(super) fn judge(answer: &Answer, rules: Rules) -> Verdict {
    let status = answer.status;
    if (200..300).contains(&status) {
        return Verdict::Delivered;
    }
    let shown: String = (rules.details)(answer).trim().chars().take(ERROR_TEXT_MAX).collect();
    let separator = if shown.is_empty() { "" } else { ": " };
    let reason = match status {
        429 => FailureReason::RateLimited,
        403 if rules.again == 403 => FailureReason::RateLimited,
        401 | 403 => FailureReason::AuthError,
        400..500 => FailureReason::ClientError,
        500..600 => FailureReason::ServerError,
        _ => FailureReason::Other,
    };
    let failure = Failure { reason, text: format!("unexpected status code {status}{separator}{shown}") };
    match status {
        500..600 => Verdict::Again { failure, pause: answer.pause },
        status if status == rules.again => Verdict::Again { failure, pause: answer.pause },
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::deliver) fn answer(status: u16, content_type: &str, body: &str) -> Answer {
        Answer { status, content_type: content_type.into(), body: body.into(), pause: None }
    }

    pub(in crate::deliver) fn said(verdict: Verdict) -> String {
        match verdict {
            Verdict::Delivered => "delivered".to_owned(),
            Verdict::Again { failure, .. } => format!("again {}: {}", failure.reason.as_str(), failure.text),
            Verdict::Never(failure) => format!("never {}: {}", failure.reason.as_str(), failure.text),
        }
    }

    #[test]
    fn judges_as_alertmanager_but_for_429() {
        for (status, webhook, v1, v2) in [
            (200, "delivered", "delivered", "delivered"),
            (202, "delivered", "delivered", "delivered"),
            (302, "never other", "never other", "never other"),
            (400, "never clientError", "never clientError", "never clientError"),
            (401, "never authError", "never authError", "never authError"),
            (403, "never authError", "again rateLimited", "never authError"),
            (404, "never clientError", "never clientError", "never clientError"),
            (429, "again rateLimited", "never rateLimited", "again rateLimited"),
            (500, "again serverError", "again serverError", "again serverError"),
            (503, "again serverError", "again serverError", "again serverError"),
        ] {
            let [pd1, pd2] = [PagerDutyApi::V1, PagerDutyApi::V2].map(Rules::of_pagerduty);
            for (rules, expected) in [(Rules::USUAL, webhook), (pd1, v1), (pd2, v2)] {
                let verdict = said(judge(&answer(status, "", ""), rules));
                assert_eq!(verdict.split(':').next(), Some(expected), "{status}");
            }
        }
        let long = format!(" no {}", "x".repeat(500));
        let text = said(judge(&answer(400, "", &long), Rules::USUAL));
        assert!(text.starts_with("never clientError: unexpected status code 400: no x") && text.len() < 270);
        assert!(matches!(judge_error(&HttpError::Timeout), Verdict::Again { .. }));
        assert!(matches!(judge_error(&HttpError::Request("x".into())), Verdict::Never(_)));
    }

    #[test]
    fn says_what_pagerduty_finds_wrong() {
        let body = r#"{"status":"invalid event","message":"Event object is invalid","errors":["a is missing","b"]}"#;
        let check = |status, expected: &str| {
            let verdict = judge(&answer(status, "application/json", body), Rules::of_pagerduty(PagerDutyApi::V2));
            assert_eq!(said(verdict), expected);
        };
        check(400, "never clientError: unexpected status code 400: Event object is invalid: a is missing,b");
        check(500, "again serverError: unexpected status code 500");
    }

    #[test]
    fn a_key_of_a_file_becomes_the_first_field() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " k\"1\n").unwrap();
        let name = file.path().to_str();
        let body = with_key(r#"{"event_action":"trigger"}"#, PagerDutyApi::V2, name).unwrap();
        assert_eq!(body, r#"{"routing_key":"k\"1","event_action":"trigger"}"#);
        assert_eq!(with_key("{}", PagerDutyApi::V1, None).unwrap(), "{}");
        assert!(matches!(with_key("{}", PagerDutyApi::V1, Some("/no/such/file")), Err(HttpError::File { .. })));
    }
}
