//! What a list of alerts or groups is filtered by.

use crate::model::{Labels, MatchOp, Matcher, Timestamp};
use crate::router::{Receiver, RouterConfig, Silence, SilenceState, matchers};

/// The query parameters of `/alerts`, `/alerts/groups` and `/silences`; the booleans are on unless switched off.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) active: bool,
    pub(super) inhibited: bool,
    pub(super) silenced: bool,
    expired: bool,
    pending: bool,
    matchers: Vec<Matcher>,
    receiver: Option<Matcher>,
    receiver_matchers: Vec<Matcher>,
}

impl Filter {
    /// Reads a query string; fails with a text for the client.
    pub(super) fn parse(query: Option<&str>) -> Result<Filter, String> {
        let mut filter = Filter {
            active: true,
            inhibited: true,
            silenced: true,
            expired: true,
            pending: true,
            matchers: Vec::new(),
            receiver: None,
            receiver_matchers: Vec::new(),
        };
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
            match &*key {
                "active" => filter.active = boolean(&key, &value)?,
                "inhibited" => filter.inhibited = boolean(&key, &value)?,
                "silenced" => filter.silenced = boolean(&key, &value)?,
                "expired" => filter.expired = boolean(&key, &value)?,
                "pending" => filter.pending = boolean(&key, &value)?,
                // Nothing is ever unprocessed or muted here, so that these select the same either way.
                "unprocessed" | "muted" => drop(boolean(&key, &value)?),
                "filter" => filter.matchers.extend(matchers::parse_one(&value)?.matchers),
                "receiver" if value.is_empty() => {}
                "receiver" => {
                    let matcher = Matcher::new(MatchOp::Regex, "receiver", &*value);
                    let matcher = matcher.map_err(|error| format!("failed to parse receiver param: {error}"))?;
                    filter.receiver = Some(matcher);
                }
                "receiver_matchers" => {
                    let parsed = matchers::parse_one(&value);
                    let parsed = parsed.map_err(|error| format!("failed to parse receiver_matchers param: {error}"))?;
                    filter.receiver_matchers.extend(parsed.matchers);
                }
                _ => {}
            }
        }
        Ok(filter)
    }

    /// Whether an alert with `labels` is asked for.
    pub(super) fn passes_labels(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    /// Whether a silence is asked for: by its state, and by matchers that it must have just so.
    pub(super) fn passes_silence(&self, silence: &Silence, now: Timestamp) -> bool {
        let is_state_asked_for = match silence.state(now) {
            SilenceState::Active => self.active,
            SilenceState::Pending => self.pending,
            SilenceState::Expired => self.expired,
        };
        is_state_asked_for && self.matchers.iter().all(|matcher| silence.matchers.contains(matcher))
    }

    /// Whether the receiver of that name is asked for.
    pub(super) fn passes_receiver(&self, config: &RouterConfig, name: &str) -> bool {
        config.receiver(name).is_some_and(|receiver| self.passes(receiver))
    }

    /// Whether `receiver` is asked for.
    pub(super) fn passes(&self, receiver: &Receiver) -> bool {
        let value = |name: &str| receiver.labels.get(name).map_or("", String::as_str);
        self.receiver.as_ref().is_none_or(|matcher| matcher.matches(&receiver.name))
            && self.receiver_matchers.iter().all(|matcher| matcher.matches(value(&matcher.name)))
    }
}

fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" | "t" | "T" | "True" | "TRUE" | "yes" | "on" => Ok(true),
        "false" | "0" | "f" | "F" | "False" | "FALSE" | "no" | "off" | "" => Ok(false),
        _ => Err(format!("{key} in query must be of type boolean: {value:?}")),
    }
}
