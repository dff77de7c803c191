//! Silences as JSON: what the API shows, what is posted, and the file that keeps them over a restart.
//!
//! In the flow: handlers read and show silences with these; the driver of `serve` writes [`encode`] to disk and reads it back with
//! [`decode`]. The file has the form of `amtool silence query -o json`.
//!
//! **Invariants.** What [`encode`] writes, [`decode`] reads as it was, to the millisecond.
//! **Source.** Alertmanager 0.33 `api/v2/openapi.yaml`, `api/v2/compat.go`; the texts of [`BodyError::Missing`] are those of its
//! generated checks.

use serde_json::{Map, Value, json};

use super::reply;
use crate::model::{Label, Labels, MatchOp, Matcher, Timestamp};
use crate::router::{Silence, SilenceDraft, SilenceId, Silences};

/// What is wrong with a body.
#[derive(Debug, PartialEq)]
pub(super) enum BodyError {
    /// It is no JSON, or of other types; the text says where.
    Unreadable(String),
    /// Something that must be there is not; the text says what.
    Missing(String),
    /// The list of matchers is empty.
    NoMatchers,
}

/// One silence as the API shows it.
pub(super) fn gettable(silence: &Silence, now: Timestamp) -> Value {
    let mut shown = json!({
        "id": silence.id.to_string(),
        "status": { "state": silence.state(now).as_str() },
        "updatedAt": reply::time(silence.updated_at),
    });
    if !silence.annotations.is_empty() {
        shown["annotations"] = reply::labels(&silence.annotations);
    }
    shown["comment"] = Value::String(silence.comment.clone());
    shown["createdBy"] = Value::String(silence.created_by.clone());
    shown["endsAt"] = Value::String(reply::time(silence.ends_at));
    shown["matchers"] = silence.matchers.iter().map(matcher).collect();
    shown["startsAt"] = Value::String(reply::time(silence.starts_at));
    shown
}

fn matcher(matcher: &Matcher) -> Value {
    json!({
        "isEqual": matches!(matcher.op, MatchOp::Equal | MatchOp::Regex),
        "isRegex": matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex),
        "name": &*matcher.name,
        "value": &*matcher.value,
    })
}

/// All silences as a file.
pub fn encode(silences: &Silences) -> String {
    let all = silences.iter().map(|silence| {
        let mut shown = gettable(silence, silence.updated_at);
        // It follows from the times, and the file outlives it.
        shown.as_object_mut().expect("BUG: a silence is shown as an object").shift_remove("status");
        shown
    });
    format!("{:#}\n", all.collect::<Value>())
}

/// The silences in a file, and what is wrong with those that cannot be read. `Err` where the file as a whole cannot be.
pub fn decode(text: &str) -> Result<(Vec<Silence>, Vec<String>), String> {
    let all: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let all = all.as_array().ok_or("it is not a list")?;
    let (mut silences, mut problems) = (Vec::new(), Vec::new());
    for (index, value) in all.iter().enumerate() {
        match read_kept(value) {
            Ok(silence) => silences.push(silence),
            Err(reason) => problems.push(format!("silence {index}: {reason}")),
        }
    }
    Ok((silences, problems))
}

fn read_kept(value: &Value) -> Result<Silence, String> {
    let (id, draft) = read_value(value).map_err(|error| match error {
        BodyError::Unreadable(reason) | BodyError::Missing(reason) => reason,
        BodyError::NoMatchers => "it has no matchers".to_owned(),
    })?;
    let id: SilenceId = id.parse().map_err(|_| format!("its id is no UUID: {id:?}"))?;
    let matchers = draft.compile().map_err(|error| error.to_string())?;
    let updated_at = match read_time(value.as_object().unwrap_or(&Map::new()), "updatedAt") {
        Ok(Some(at)) => at,
        _ => return Err("updatedAt is missing or no time".to_owned()),
    };
    let SilenceDraft { starts_at, ends_at, created_by, comment, annotations, .. } = draft;
    Ok(Silence { id, matchers, starts_at, ends_at, updated_at, created_by, comment, annotations })
}

/// A posted silence, and the id of the one that it changes; empty for a new one.
pub(super) fn read(body: &[u8]) -> Result<(String, SilenceDraft), BodyError> {
    if body.is_empty() {
        return Err(BodyError::Missing("silence in body is required".to_owned()));
    }
    let value = serde_json::from_slice(body).map_err(|error| BodyError::Unreadable(error.to_string()))?;
    read_value(&value)
}

fn read_value(value: &Value) -> Result<(String, SilenceDraft), BodyError> {
    let nothing = Map::new();
    let silence = match value {
        Value::Null => &nothing,
        Value::Object(silence) => silence,
        _ => return Err(BodyError::Unreadable("the silence is not an object".to_owned())),
    };
    // Types first, then what is missing, in the order of the names: as upstream.
    let id = read_text(silence, "id")?.unwrap_or_default().to_owned();
    let comment = read_text(silence, "comment")?;
    let created_by = read_text(silence, "createdBy")?;
    let ends_at = read_time(silence, "endsAt")?;
    let starts_at = read_time(silence, "startsAt")?;
    let annotations = read_annotations(silence)?;
    let matchers = match silence.get("matchers") {
        None | Some(Value::Null) => None,
        Some(Value::Array(matchers)) => Some(matchers),
        Some(_) => return Err(BodyError::Unreadable("matchers is not a list".to_owned())),
    };
    let draft = SilenceDraft {
        comment: required(comment, "comment")?.to_owned(),
        created_by: required(created_by, "createdBy")?.to_owned(),
        ends_at: required(ends_at, "endsAt")?,
        matchers: read_matchers(required(matchers, "matchers")?)?,
        starts_at: required(starts_at, "startsAt")?,
        annotations,
    };
    Ok((id, draft))
}

fn required<T>(value: Option<T>, name: &str) -> Result<T, BodyError> {
    value.ok_or_else(|| BodyError::Missing(format!("{name} in body is required")))
}

fn read_matchers(matchers: &[Value]) -> Result<Vec<(MatchOp, String, String)>, BodyError> {
    if matchers.is_empty() {
        return Err(BodyError::NoMatchers);
    }
    let read = |(index, value): (usize, &Value)| {
        let matcher = value.as_object();
        let matcher = matcher.ok_or_else(|| BodyError::Unreadable(format!("matchers.{index} is not an object")))?;
        let is_equal = read_bool(matcher, "isEqual")?.unwrap_or(true);
        let is_regex = required(read_bool(matcher, "isRegex")?, &format!("matchers.{index}.isRegex"))?;
        let name = required(read_text(matcher, "name")?, &format!("matchers.{index}.name"))?;
        let value = required(read_text(matcher, "value")?, &format!("matchers.{index}.value"))?;
        let op = match (is_equal, is_regex) {
            (true, false) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (false, true) => MatchOp::NotRegex,
        };
        Ok((op, name.to_owned(), value.to_owned()))
    };
    matchers.iter().enumerate().map(read).collect()
}

fn read_text<'a>(object: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, BodyError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(BodyError::Unreadable(format!("{key} is not a text"))),
    }
}

fn read_bool(object: &Map<String, Value>, key: &str) -> Result<Option<bool>, BodyError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(BodyError::Unreadable(format!("{key} is neither true nor false"))),
    }
}

fn read_time(object: &Map<String, Value>, key: &str) -> Result<Option<Timestamp>, BodyError> {
    let Some(text) = read_text(object, key)? else { return Ok(None) };
    match text.parse::<jiff::Timestamp>() {
        Ok(instant) => Ok(Some(Timestamp::from_ms(instant.as_millisecond()))),
        Err(_) => Err(BodyError::Unreadable(format!("{key} is not an RFC 3339 time: {text:?}"))),
    }
}

fn read_annotations(silence: &Map<String, Value>) -> Result<Labels, BodyError> {
    let pairs = match silence.get("annotations") {
        None | Some(Value::Null) => return Ok(Labels::empty()),
        Some(Value::Object(pairs)) => pairs,
        Some(_) => return Err(BodyError::Unreadable("annotations is not an object".to_owned())),
    };
    let read = |(name, value): (&String, &Value)| {
        let value = value.as_str();
        let value = value.ok_or_else(|| BodyError::Unreadable(format!("annotations.{name} is not a text")))?;
        Ok(Label { name: name.as_str().into(), value: value.into() })
    };
    Ok(Labels::new(pairs.iter().map(read).collect::<Result<_, BodyError>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silences() -> Silences {
        let now = Timestamp::from_ms(1_700_000_000_123);
        let mut silences = Silences::default();
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        for (number, op) in ops.into_iter().enumerate() {
            let draft = SilenceDraft {
                matchers: vec![(op, "ü".to_owned(), "<\"x".to_owned()), (op, "b".to_owned(), "y".to_owned())],
                starts_at: now,
                ends_at: now.plus_ms(7),
                created_by: "me".to_owned(),
                comment: "line\nbreak".to_owned(),
                annotations: Labels::from_pairs([("k", "v")][..number.min(1)].iter().copied()),
            };
            silences.set(draft, None, SilenceId::from_random(number as u128), now).unwrap();
        }
        silences
    }

    #[test]
    fn what_is_kept_comes_back() {
        let silences = silences();
        let (read, problems) = decode(&encode(&silences)).unwrap();
        assert_eq!(problems, [""; 0]);
        assert_eq!(Silences::restore(read, Timestamp::from_ms(1_700_000_000_123)), silences);
    }

    #[test]
    fn what_is_damaged_is_named_and_the_rest_read() {
        let text = encode(&silences()).replacen("\"endsAt\": \"2", "\"endsAt\": \"soon 2", 1);
        let (read, problems) = decode(&text).unwrap();
        assert_eq!((read.len(), problems.len()), (3, 1));
        assert!(problems[0].starts_with("silence 0: endsAt is not an RFC 3339 time"), "{problems:?}");
        let no_id = encode(&silences()).replacen("\"id\": \"0", "\"id\": \"x", 1);
        assert_eq!(
            decode(&no_id).unwrap().1,
            ["silence 0: its id is no UUID: \"x0000000-0000-4000-8000-000000000000\""]
        );
        for bad in ["", "{}", "[", &encode(&silences())[..400]] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
