//! What Slack's answers mean: it also refuses with 200.
//!
//! **Source.** Alertmanager 0.33 `notify/slack/slack.go`. Incoming webhooks answer `ok`, the API a JSON object with `ok: true`.

use super::attempt::{Answer, ERROR_TEXT_MAX, Failure, FailureReason, Rules, Verdict, judge as judge_status};

/// Judges the status, then the body.
pub(super) fn judge(answer: &Answer) -> Verdict {
    let verdict = judge_status(answer, Rules::USUAL);
    if verdict != Verdict::Delivered {
        return verdict;
    }
    let shown: String = answer.body.chars().take(ERROR_TEXT_MAX).collect();
    let failure = |text: String| Failure { reason: FailureReason::ClientError, text };
    if !answer.content_type.starts_with("application/json") {
        return match answer.body.as_str() {
            "ok" => Verdict::Delivered,
            _ => Verdict::Never(failure(format!("received an error response from Slack: {shown}"))),
        };
    }
    match serde_json::from_str::<serde_json::Value>(&answer.body) {
        Ok(body) if body["ok"] == true => Verdict::Delivered,
        Ok(body) => {
            let error = body["error"].as_str().unwrap_or_default();
            Verdict::Never(failure(format!("error response from Slack: {error}")))
        }
        Err(error) => {
            let failure = failure(format!("could not unmarshal JSON response {shown:?}: {error}"));
            Verdict::Again { failure, pause: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attempt::tests::{answer, said};
    use super::*;

    #[test]
    fn only_ok_is_ok() {
        let check = |status, content_type: &str, body: &str, expected: &str| {
            assert_eq!(said(judge(&answer(status, content_type, body))), expected, "{body}");
        };
        let json = "application/json; charset=utf-8";
        check(200, "text/html", "ok", "delivered");
        check(200, "text/html", "", "never clientError: received an error response from Slack: ");
        check(200, "text/html", "no_text", "never clientError: received an error response from Slack: no_text");
        check(200, json, r#"{"ok":true,"ts":"1"}"#, "delivered");
        check(200, json, r#"{"ok":false,"error":"x"}"#, "never clientError: error response from Slack: x");
        check(404, "text/html", "no_team", "never clientError: unexpected status code 404: no_team");
        check(429, "", "", "again rateLimited: unexpected status code 429");
        check(503, "", "ok", "again serverError: unexpected status code 503: ok");
        assert!(matches!(judge(&answer(200, json, "ok")), Verdict::Again { .. }));
    }
}
