//! Parameters of a request, from its query and from a form that was posted, and how their texts are read.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `parseTime`, `parseDuration`, `parseLimitParam`; Go's `net/http`, `ParseForm`:
//! the form's values come before those of the query.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};

use super::answer::ApiError;
use crate::model::Timestamp;
use crate::source::parse_duration;

/// Bytes of a posted form; what Go reads.
const FORM_LEN_MAX: usize = 10 << 20;

/// Times that clients send for "from the beginning" and "to the end". **Source.** `minTimeFormatted`, `maxTimeFormatted`.
const TIME_MIN: &str = "-292273086-05-16T16:47:06Z";
const TIME_MAX: &str = "292277025-08-18T07:12:54.999999999Z";

/// All parameters, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let query = request.uri().query().unwrap_or("").to_owned();
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_form = request.method() == Method::POST
            && content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
        let mut params = Params::default();
        if is_form {
            let body = to_bytes(request.into_body(), FORM_LEN_MAX).await;
            let body = body.map_err(|error| ApiError::bad_data(format!("error parsing form values: {error}")))?;
            params.add(&body);
        }
        params.add(query.as_bytes());
        Ok(params)
    }
}

impl Params {
    fn add(&mut self, encoded: &[u8]) {
        self.0.extend(url::form_urlencoded::parse(encoded).into_owned());
    }

    /// The first value of `name`, empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// All values of `name`.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// A time that must be there.
    pub(super) fn time(&self, name: &str) -> Result<Timestamp, ApiError> {
        parse_time(self.text(name)).map_err(|reason| ApiError::bad_parameter(name, reason))
    }

    /// A time that may be absent.
    pub(super) fn time_or(&self, name: &str, default: Timestamp) -> Result<Timestamp, ApiError> {
        match self.text(name) {
            "" => Ok(default),
            text => parse_time(text)
                .map_err(|reason| ApiError::bad_parameter(name, format!("invalid time value for '{name}': {reason}"))),
        }
    }

    /// `limit`: at most so many results; `None` if it is absent or zero.
    pub(super) fn limit(&self) -> Result<Option<usize>, ApiError> {
        let bad = |reason: String| ApiError::bad_parameter("limit", reason);
        match self.text("limit") {
            "" => Ok(None),
            text => match parse_integer(text).map_err(|reason| bad(format!("strconv.Atoi: {reason}")))? {
                0 => Ok(None),
                limit => usize::try_from(limit).map(Some).map_err(|_| bad("limit must be non-negative".to_owned())),
            },
        }
    }
}

/// Seconds since the epoch, or RFC 3339.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Some(secs) = parse_float(text) {
        return Ok(Timestamp::from_secs_f64(secs));
    }
    match text {
        TIME_MIN => return Ok(Timestamp::MIN),
        TIME_MAX => return Ok(Timestamp::MAX),
        _ => {}
    }
    // Without the `T` jiff would take forms that Go does not.
    let instant = text.contains('T').then(|| text.parse::<jiff::Timestamp>().ok()).flatten();
    let instant = instant.ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp"))?;
    Ok(Timestamp::from_ms(instant.as_nanosecond().div_euclid(1_000_000) as i64))
}

/// Seconds, or a duration such as `1h30m`, in nanoseconds; either may be what no duration can be, a number also negative.
pub(super) fn parse_duration_ns(text: &str) -> Result<i64, String> {
    if let Some(secs) = parse_float(text) {
        let ns = secs * 1e9;
        if ns > i64::MAX as f64 || ns < i64::MIN as f64 {
            return Err(format!("cannot parse {text:?} to a valid duration. It overflows int64"));
        }
        return Ok(ns as i64);
    }
    let duration = parse_duration(text).map_err(|_| format!("cannot parse {text:?} to a valid duration"))?;
    Ok(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// A float as Go's `strconv.ParseFloat` reads it, but for hexadecimal ones.
fn parse_float(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['+', '-']);
    let is_float = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || ["inf", "infinity", "nan"].contains(&digits.to_ascii_lowercase().as_str());
    is_float.then(|| text.parse().ok()).flatten()
}

/// An integer, or the end of Go's message.
pub(super) fn parse_integer(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("parsing {text:?}: invalid syntax"));
    }
    text.parse().map_err(|_| format!("parsing {text:?}: value out of range"))
}

/// A truth value, or the end of Go's message.
pub(super) fn parse_truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("parsing {text:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, ms) in [
            ("1.25", 1_250),
            ("1435781451.781", 1_435_781_451_781),
            ("-1.5", -1_500),
            ("1e3", 1_000_000),
            (".5", 500),
            ("2024-01-01T00:00:00+01:00", 1_704_063_600_000),
            ("2024-01-01T00:00:00.1234567Z", 1_704_067_200_123),
            (TIME_MIN, i64::MIN),
            (TIME_MAX, i64::MAX),
        ] {
            assert_eq!(parse_time(text), Ok(Timestamp::from_ms(ms)), "{text}");
        }
        for text in ["", "abc", "2024-01-01", "0x10", "1s", "--1"] {
            assert_eq!(parse_time(text), Err(format!("cannot parse {text:?} to a valid timestamp")));
        }
    }

    #[test]
    fn durations() {
        for (text, ns) in [
            ("5", 5_000_000_000),
            ("0.0001", 100_000),
            ("-1", -1_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1e3", 1_000_000_000_000),
            ("NaN", 0),
        ] {
            assert_eq!(parse_duration_ns(text), Ok(ns), "{text}");
        }
        assert_eq!(parse_duration_ns("-1s"), Err("cannot parse \"-1s\" to a valid duration".to_owned()));
        let overflow = "cannot parse \"1e300\" to a valid duration. It overflows int64";
        assert_eq!(parse_duration_ns("1e300"), Err(overflow.to_owned()));
    }

    #[test]
    fn limits() {
        let limit = |text: &str| Params(vec![("limit".to_owned(), text.to_owned())]).limit().map_err(|e| e.message);
        assert_eq!(limit(""), Ok(None));
        assert_eq!(limit("0"), Ok(None));
        assert_eq!(limit("7"), Ok(Some(7)));
        assert_eq!(limit("-1"), Err("invalid parameter \"limit\": limit must be non-negative".to_owned()));
        let message = "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax";
        assert_eq!(limit("x"), Err(message.to_owned()));
    }
}
