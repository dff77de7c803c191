//! The functions that message templates may call, beside Go's own.
//!
//! **Source.** Alertmanager 0.33 `template/template.go` (`DefaultFuncs`); `base64encode`, `base64decode`, `toDate`,
//! `mustToDate`, `routeLabels` and the method `Join` are of 0.34.
//! **Differs:** `tz` knows UTC only; `toDate` and `mustToDate` read numeric layouts in UTC; errors of patterns, base64 and dates are
//! in our words. `safeUrl` marks a text as `safeHtml` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use percent_encoding::percent_decode_str;

use super::data::{STRINGS, json_name, texts};
use crate::model::Timestamp;
use crate::template::{
    Function, Host, Map, Param, TIME, Type, Value, format_time, humanize_duration, match_text, re_replace_all,
    safe_html, single, title,
};

static ANY_LIST: Type = Type { name: "[]interface {}", methods: &[] };
static ANY_MAP: Type = Type { name: "map[string]interface {}", methods: &[] };

const TEXT: &[Param] = &[Param::String];
const TWO_TEXTS: &[Param] = &[Param::String, Param::String];
const ANY: Option<Param> = Some(Param::Any);

/// See the module's head.
pub(super) static MESSAGE_FUNCTIONS: &[Function] = &[
    Function {
        name: "toUpper",
        params: TEXT,
        rest: None,
        call: |_, args| map_chars(args, |c| single(c.to_uppercase(), c)),
    },
    Function {
        name: "toLower",
        params: TEXT,
        rest: None,
        call: |_, args| map_chars(args, |c| single(c.to_lowercase(), c)),
    },
    Function { name: "title", params: TEXT, rest: None, call: |_, args| Ok(Value::string(title(text(&args[0])))) },
    Function { name: "trimSpace", params: TEXT, rest: None, call: |_, args| Ok(Value::string(text(&args[0]).trim())) },
    Function { name: "join", params: &[Param::String, Param::Any], rest: None, call: join },
    Function { name: "match", params: TWO_TEXTS, rest: None, call: match_text },
    Function { name: "safeHtml", params: TEXT, rest: None, call: |_, args| Ok(safe_html(text(&args[0]))) },
    Function { name: "safeUrl", params: TEXT, rest: None, call: |_, args| Ok(safe_html(text(&args[0]))) },
    Function { name: "urlUnescape", params: TEXT, rest: None, call: url_unescape },
    Function {
        name: "reReplaceAll",
        params: &[Param::String, Param::String, Param::String],
        rest: None,
        call: re_replace_all,
    },
    Function {
        name: "stringSlice",
        params: &[],
        rest: Some(Param::String),
        call: |_, args| Ok(Value::list(&STRINGS, args.to_vec())),
    },
    // Routes have no labels here, so that every name is an unknown one.
    Function { name: "routeLabels", params: TEXT, rest: None, call: |_, _| Ok(Value::string("")) },
    Function {
        name: "date",
        params: &[Param::String, Param::Of(&TIME)],
        rest: None,
        call: |_, args| Ok(format_time(time(&args[1]), text(&args[0]))),
    },
    Function { name: "tz", params: &[Param::String, Param::Of(&TIME)], rest: None, call: tz },
    Function { name: "now", params: &[], rest: None, call: |host, _| Ok(Value::Time(host.now)) },
    Function {
        name: "since",
        params: &[Param::Of(&TIME)],
        rest: None,
        call: |host, args| Ok(Value::Duration(host.now.ms_since(time(&args[0])).saturating_mul(1_000_000))),
    },
    Function { name: "humanizeDuration", params: &[Param::Any], rest: None, call: humanize_duration },
    Function {
        name: "toDate",
        params: TWO_TEXTS,
        rest: None,
        call: |_, args| Ok(Value::Time(parse_date(args).unwrap_or(ZERO_TIME))),
    },
    Function {
        name: "mustToDate",
        params: TWO_TEXTS,
        rest: None,
        call: |_, args| {
            parse_date(args)
                .map(Value::Time)
                .ok_or_else(|| format!("cannot parse {:?} as {:?}", text(&args[1]), text(&args[0])))
        },
    },
    Function {
        name: "toJson",
        params: &[Param::Any],
        rest: None,
        call: |_, args| Ok(Value::string(json_text(&args[0]))),
    },
    Function {
        name: "base64encode",
        params: TEXT,
        rest: None,
        call: |_, args| Ok(Value::string(URL_SAFE.encode(text(&args[0])))),
    },
    Function { name: "base64decode", params: TEXT, rest: None, call: base64_decode },
    Function { name: "list", params: &[], rest: ANY, call: |_, args| Ok(Value::list(&ANY_LIST, args.to_vec())) },
    Function { name: "append", params: &[Param::Of(&ANY_LIST)], rest: ANY, call: append },
    Function { name: "dict", params: &[], rest: ANY, call: dict },
];

/// Go's zero time.
const ZERO_TIME: Timestamp = Timestamp::from_ms(-62_135_596_800_000);

type Called = Result<Value, String>;

fn text(value: &Value) -> &str {
    value.as_str().expect("BUG: the argument was checked to be a text")
}

fn time(value: &Value) -> Timestamp {
    match value {
        Value::Time(at) => *at,
        other => unreachable!("BUG: the argument was checked to be a time, not {other:?}"),
    }
}

fn map_chars(args: &[Value], map: fn(char) -> char) -> Called {
    Ok(Value::string(text(&args[0]).chars().map(map).collect::<String>()))
}

fn join(_: &Host<'_>, args: &[Value]) -> Called {
    match &args[1] {
        Value::List(list) if std::ptr::eq(list.ty, &STRINGS) => Ok(Value::string(texts(&args[1]).join(text(&args[0])))),
        other => Err(format!("wrong type for value; expected []string; got {}", other.ty().name)),
    }
}

fn tz(_: &Host<'_>, args: &[Value]) -> Called {
    match text(&args[0]) {
        "" | "UTC" | "Etc/UTC" => Ok(args[1].clone()),
        name => Err(format!("unknown time zone {name}: only UTC is known here")),
    }
}

fn url_unescape(_: &Host<'_>, args: &[Value]) -> Called {
    let written = text(&args[0]);
    for (at, _) in written.match_indices('%') {
        let is_escape = written.as_bytes().get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        if !is_escape {
            let shown: String = written[at..].chars().take(3).collect();
            return Err(format!("invalid URL escape {shown:?}"));
        }
    }
    Ok(Value::string(percent_decode_str(&written.replace('+', " ")).decode_utf8_lossy().into_owned()))
}

fn base64_decode(_: &Host<'_>, args: &[Value]) -> Called {
    let bytes = URL_SAFE.decode(text(&args[0])).map_err(|error| format!("illegal base64 data: {error}"))?;
    Ok(Value::string(String::from_utf8_lossy(&bytes).into_owned()))
}

fn append(_: &Host<'_>, args: &[Value]) -> Called {
    let Value::List(list) = &args[0] else { unreachable!("BUG: the argument was checked to be a list") };
    Ok(Value::list(&ANY_LIST, list.items.iter().chain(&args[1..]).cloned().collect()))
}

fn dict(_: &Host<'_>, args: &[Value]) -> Called {
    if !args.len().is_multiple_of(2) {
        return Err("dict requires an even number of arguments".to_owned());
    }
    let mut entries = BTreeMap::new();
    for pair in args.chunks_exact(2) {
        let key = pair[0].as_str().ok_or("dict keys must be strings")?;
        entries.insert(Arc::from(key), pair[1].clone());
    }
    Ok(Value::Map(Arc::new(Map { ty: &ANY_MAP, zero: Value::Nil, entries })))
}

/// A layout of digits and literal characters, such as `2006-01-02 15:04:05`; `Z07:00` stands for an offset. What the layout does
/// not name is that of the year 1.
fn parse_date(args: &[Value]) -> Option<Timestamp> {
    let (mut layout, mut written) = (text(&args[0]), text(&args[1]));
    let [mut year, mut month, mut day, mut hour, mut minute, mut second] = [1, 1, 1, 0, 0, 0];
    let mut offset_secs = 0;
    while let Some(c) = layout.chars().next() {
        if let Some(rest) = layout.strip_prefix("Z07:00") {
            (offset_secs, written) = parse_offset(written)?;
            layout = rest;
            continue;
        }
        let pieces: [(&str, &mut i16); 6] = [
            ("2006", &mut year),
            ("01", &mut month),
            ("02", &mut day),
            ("15", &mut hour),
            ("04", &mut minute),
            ("05", &mut second),
        ];
        match pieces.into_iter().find(|(piece, _)| layout.starts_with(piece)) {
            Some((piece, place)) => {
                *place = written.get(..piece.len())?.parse().ok()?;
                (layout, written) = (&layout[piece.len()..], &written[piece.len()..]);
            }
            None => {
                written = written.strip_prefix(c)?;
                layout = &layout[c.len_utf8()..];
            }
        }
    }
    let small = |value: i16| i8::try_from(value).ok();
    let (month, day) = (small(month)?, small(day)?);
    let (hour, minute, second) = (small(hour)?, small(minute)?, small(second)?);
    let civil = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let utc = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    written.is_empty().then(|| Timestamp::from_ms(utc - offset_secs * 1000))
}

/// `Z`, `+01:00` or `-01:00` in seconds, and what follows.
fn parse_offset(written: &str) -> Option<(i64, &str)> {
    if let Some(rest) = written.strip_prefix('Z') {
        return Some((0, rest));
    }
    let sign = match written.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = written.get(1..6)?.split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    Some((sign * (hours * 3600 + minutes * 60), &written[6..]))
}

/// As Go's `json.Marshal` writes it: `<`, `>` and `&` are escaped.
fn json_text(value: &Value) -> String {
    json(value).to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) | Value::Duration(value) => (*value).into(),
        Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => (*value as i64).into(),
        Value::Float(value) => (*value).into(),
        Value::String(text) => (**text).into(),
        Value::Time(at) => at.to_rfc3339().into(),
        Value::List(list) => list.items.iter().map(json).collect(),
        Value::Map(map) => map.entries.iter().map(|(key, value)| (key.to_string(), json(value))).collect(),
        Value::Struct(fields) => match fields.fields.as_slice() {
            [("", text)] => json(text),
            all => all.iter().map(|(name, value)| (json_name(fields.ty, name), json(value))).collect(),
        },
    }
}
