//! What templates of rules may use: Prometheus's data and functions.
//!
//! **Source.** Prometheus 3.14 `template/template.go`.
//! **Differs:** `tmpl` exists in console templates only, as there; a native histogram prints as its count and sum. `query` gives its samples
//! in the order of their labels (Prometheus: in that of its storage, which is the one they first came in).

use std::sync::{Arc, LazyLock};

use crate::model::{Anchoring, Labels, Pattern, Replacement, Timestamp};
use crate::source::parse_duration;

use super::parse::Prelude;
use super::{Function, Host, Map, Param, Type, Value, builtin, format, gotime, humanize};

/// Goes before every template of a rule: the variables that it may use. Positions in error texts count it, as in Prometheus.
pub const ALERT_PREAMBLE: &str =
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// [`ALERT_PREAMBLE`], parsed.
pub fn alert_prelude() -> &'static Prelude {
    static PRELUDE: LazyLock<Prelude> = LazyLock::new(|| Prelude::new(ALERT_PREAMBLE, ALERT_FUNCTIONS));
    &PRELUDE
}

static DATA: Type = Type {
    name: "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
    methods: &[],
};
static SAMPLE: Type = Type { name: "*template.sample", methods: &[] };
static RESULT: Type = Type { name: "template.queryResult", methods: &[] };
static ANY_MAP: Type = Type { name: "map[string]interface {}", methods: &[] };
const ANY: Option<Param> = Some(Param::Any);

/// The dot of a rule's template: `.Labels`, `.ExternalLabels`, `.ExternalURL`, `.Value`.
pub fn alert_data(labels: &Labels, external_labels: &Labels, external_url: &str, value: &crate::model::Value) -> Value {
    Value::fields(
        &DATA,
        vec![
            ("Labels", label_map(labels)),
            ("ExternalLabels", label_map(external_labels)),
            ("ExternalURL", Value::string(external_url)),
            ("Value", sample_value(value)),
        ],
    )
}

fn label_map(labels: &Labels) -> Value {
    Value::string_map(labels.iter().map(|label| (label.name.clone(), label.value.clone())))
}

/// A sample's value as templates see it.
pub fn sample_value(value: &crate::model::Value) -> Value {
    match value {
        crate::model::Value::Float(value) => Value::Float(*value),
        crate::model::Value::Histogram(histogram) => {
            let number = |value| format::format_float(value, 'g', None);
            Value::string(format!("{{count:{}, sum:{}}}", number(histogram.count), number(histogram.sum)))
        }
    }
}

/// The functions of rules' templates, beside Go's own.
pub static ALERT_FUNCTIONS: &[Function] = &[
    Function { name: "query", params: &[Param::String], rest: None, call: query },
    Function { name: "first", params: &[Param::OrNil(&RESULT)], rest: None, call: first },
    Function {
        name: "label",
        params: &[Param::String, Param::OrNil(&SAMPLE)],
        rest: None,
        call: |_, args| label(&args[1], text(&args[0])),
    },
    Function {
        name: "value",
        params: &[Param::OrNil(&SAMPLE)],
        rest: None,
        call: |_, args| sample_field(&args[0], "Value"),
    },
    Function {
        name: "strvalue",
        params: &[Param::OrNil(&SAMPLE)],
        rest: None,
        call: |_, args| label(&args[0], "__value__"),
    },
    Function { name: "sortByLabel", params: &[Param::String, Param::OrNil(&RESULT)], rest: None, call: sort_by_label },
    Function { name: "args", params: &[], rest: ANY, call: args_map },
    Function {
        name: "reReplaceAll",
        params: &[Param::String, Param::String, Param::String],
        rest: None,
        call: re_replace_all,
    },
    Function { name: "match", params: &[Param::String, Param::String], rest: None, call: match_text },
    Function { name: "safeHtml", params: &[Param::String], rest: None, call: |_, args| Ok(args[0].clone()) },
    Function {
        name: "title",
        params: &[Param::String],
        rest: None,
        call: |_, args| Ok(Value::string(title(text(&args[0])))),
    },
    Function {
        name: "toUpper",
        params: &[Param::String],
        rest: None,
        call: |_, args| Ok(Value::string(each(text(&args[0]), |c| single(c.to_uppercase(), c)))),
    },
    Function {
        name: "toLower",
        params: &[Param::String],
        rest: None,
        call: |_, args| Ok(Value::string(each(text(&args[0]), |c| single(c.to_lowercase(), c)))),
    },
    Function {
        name: "graphLink",
        params: &[Param::String],
        rest: None,
        call: |_, args| Ok(Value::string(link(text(&args[0]), 0))),
    },
    Function {
        name: "tableLink",
        params: &[Param::String],
        rest: None,
        call: |_, args| Ok(Value::string(link(text(&args[0]), 1))),
    },
    Function {
        name: "stripPort",
        params: &[Param::String],
        rest: None,
        call: |_, args| Ok(Value::string(strip_port(text(&args[0])))),
    },
    Function {
        name: "stripDomain",
        params: &[Param::String],
        rest: None,
        call: |_, args| Ok(Value::string(strip_domain(text(&args[0])))),
    },
    Function {
        name: "humanize",
        params: &[Param::Any],
        rest: None,
        call: |_, args| Ok(Value::string(humanize::humanize(number(&args[0])?))),
    },
    Function {
        name: "humanize1024",
        params: &[Param::Any],
        rest: None,
        call: |_, args| Ok(Value::string(humanize::humanize1024(number(&args[0])?))),
    },
    Function { name: "humanizeDuration", params: &[Param::Any], rest: None, call: humanize_duration },
    Function {
        name: "humanizePercentage",
        params: &[Param::Any],
        rest: None,
        call: |_, args| Ok(Value::string(humanize::humanize_percentage(number(&args[0])?))),
    },
    Function { name: "humanizeTimestamp", params: &[Param::Any], rest: None, call: humanize_timestamp },
    Function { name: "toTime", params: &[Param::Any], rest: None, call: to_time },
    Function {
        name: "toDuration",
        params: &[Param::Any],
        rest: None,
        call: |_, args| Ok(Value::Duration(humanize::whole(number(&args[0])? * 1e9))),
    },
    Function { name: "now", params: &[], rest: None, call: |host, _| Ok(Value::Float(host.now.as_secs_f64())) },
    Function {
        name: "pathPrefix",
        params: &[],
        rest: None,
        call: |host, _| Ok(Value::string(path_of(host.external_url))),
    },
    Function { name: "externalURL", params: &[], rest: None, call: |host, _| Ok(Value::string(host.external_url)) },
    Function { name: "parseDuration", params: &[Param::String], rest: None, call: seconds },
    Function {
        name: "urlQueryEscape",
        params: &[Param::String],
        rest: None,
        call: |_, args| Ok(Value::string(builtin::query_escape(text(&args[0])))),
    },
];

type Called = Result<Value, String>;

fn text(value: &Value) -> &str {
    value.as_str().expect("BUG: the argument was checked to be a text")
}

fn samples(value: &Value) -> &[Value] {
    match value {
        Value::List(list) => &list.items,
        _ => &[],
    }
}

/// A field of a sample; nil has none, and Go says so in these words.
fn sample_field(sample: &Value, name: &str) -> Called {
    sample
        .field(name)
        .cloned()
        .ok_or_else(|| "runtime error: invalid memory address or nil pointer dereference".to_owned())
}

fn label(sample: &Value, name: &str) -> Called {
    match sample_field(sample, "Labels")? {
        Value::Map(map) => Ok(map.entries.get(name).unwrap_or(&map.zero).clone()),
        other => unreachable!("BUG: a sample has labels, not {other:?}"),
    }
}

fn query(host: &Host<'_>, args: &[Value]) -> Called {
    let elements = (host.query)(text(&args[0]))?;
    let items = elements
        .iter()
        .map(|(labels, value)| {
            Value::fields(&SAMPLE, vec![("Labels", label_map(labels)), ("Value", sample_value(value))])
        })
        .collect();
    Ok(Value::list(&RESULT, items))
}

fn first(_: &Host<'_>, args: &[Value]) -> Called {
    samples(&args[0]).first().cloned().ok_or_else(|| "first() called on vector with no elements".to_owned())
}

fn sort_by_label(_: &Host<'_>, args: &[Value]) -> Called {
    let name = text(&args[0]);
    let mut items = samples(&args[1]).to_vec();
    items.sort_by_cached_key(|sample| label(sample, name).map(|value| text(&value).to_owned()));
    Ok(Value::list(&RESULT, items))
}

fn args_map(_: &Host<'_>, args: &[Value]) -> Called {
    let entries = args.iter().enumerate().map(|(index, value)| (Arc::from(format!("arg{index}")), value.clone()));
    Ok(Value::Map(Arc::new(Map { ty: &ANY_MAP, zero: Value::Nil, entries: entries.collect() })))
}

fn pattern(verb: &str, pattern: &str) -> Result<Pattern, String> {
    Pattern::new(pattern, Anchoring::Anywhere).map_err(|error| match verb {
        "Compile" => format!("regexp: Compile(`{pattern}`): {error}"),
        _ => error.to_string(),
    })
}

pub(crate) fn match_text(_: &Host<'_>, args: &[Value]) -> Called {
    Ok(Value::Bool(pattern("MatchString", text(&args[0]))?.is_match(text(&args[1]))))
}

pub(crate) fn humanize_duration(_: &Host<'_>, args: &[Value]) -> Called {
    Ok(Value::string(humanize::humanize_duration(number(&args[0])?)))
}

pub(crate) fn re_replace_all(_: &Host<'_>, args: &[Value]) -> Called {
    let regex = pattern("Compile", text(&args[0]))?;
    Ok(Value::string(regex.replace_all(text(&args[2]), &Replacement::new(text(&args[1])))))
}

fn each(text: &str, map: impl FnMut(char) -> char) -> String {
    text.chars().map(map).collect()
}

/// Go maps one character to one; Rust knows that `ß` becomes two.
pub(crate) fn single(mut mapped: impl Iterator<Item = char>, original: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(c), None) => c,
        _ => original,
    }
}

/// Upper-cases the first letter of each word and leaves the rest. Words follow Unicode's rules (UAX 29): `'`, `.` and `:` between
/// letters do not end one, nor do `,` and `.` between digits.
pub(crate) fn title(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut is_done = false;
    for (index, &c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).map(|at| chars[at]);
        let after = chars.get(index + 1).copied();
        let between = |test: fn(char) -> bool| before.is_some_and(test) && after.is_some_and(test);
        let joins = matches!(c, '\'' | '.' | '’') && between(char::is_alphanumeric)
            || matches!(c, ':' | '·') && between(char::is_alphabetic)
            || matches!(c, ',' | ';') && between(char::is_numeric);
        if c.is_uppercase() || c.is_lowercase() {
            if is_done {
                out.push(c);
            } else {
                let mut upper = c.to_uppercase();
                out.extend(upper.next());
                out.extend(upper.flat_map(char::to_lowercase));
            }
            is_done = true;
        } else {
            out.push(c);
            is_done &= c.is_alphanumeric() || c == '_' || joins || is_combining(c);
        }
    }
    out
}

/// Marks that belong to the letter before them.
fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

fn link(expr: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", builtin::query_escape(expr))
}

/// Go's `net.SplitHostPort`: host and port, `None` where there is no single port.
fn split_host_port(address: &str) -> Option<(&str, &str)> {
    let colon = address.rfind(':')?;
    let (host, port) = (&address[..colon], &address[colon + 1..]);
    if port.contains([']', '[']) {
        return None;
    }
    match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').filter(|inner| !inner.contains(['[', ']'])).map(|inner| (inner, port)),
        None => (!host.contains([':', '[', ']'])).then_some((host, port)),
    }
}

fn strip_port(address: &str) -> &str {
    split_host_port(address).map_or(address, |(host, _)| host)
}

fn strip_domain(address: &str) -> String {
    let (host, port) = match split_host_port(address) {
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    };
    if host.parse::<core::net::IpAddr>().is_ok() {
        return address.to_owned();
    }
    let first = host.split('.').next().unwrap_or(host);
    match port {
        Some(port) => format!("{first}:{port}"),
        None => first.to_owned(),
    }
}

fn path_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
    after_scheme.find('/').map_or("", |slash| &after_scheme[slash..])
}

/// A number, or a text that holds one, or a duration in seconds.
fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Duration(ns) => Ok((ns / 1_000_000_000) as f64 + (ns % 1_000_000_000) as f64 / 1e9),
        Value::String(text) => parse_float(text)
            .ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", crate::model::quote(text))),
        other => Err(format!("can't convert {} to float", other.ty().name)),
    }
}

/// Go's `strconv.ParseFloat`: also `0x1p4`, `1_000`, `Inf`, `infinity`, `NaN`.
fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.starts_with("0x") || unsigned.starts_with("0X") {
        return match super::number::Number::parse(text).filter(|_| unsigned.contains(['p', 'P']))? {
            super::number::Number::Float(value) => Some(value),
            super::number::Number::Int(_) => None,
        };
    }
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    let is_between_digits = |at: usize| at > 0 && is_digit(bytes.get(at - 1)) && is_digit(bytes.get(at + 1));
    if !text.match_indices('_').all(|(at, _)| is_between_digits(at)) {
        return None;
    }
    // Rust accepts the words too, a signed NaN included, which Go does not.
    let value = text.replace('_', "").parse::<f64>().ok()?;
    (!value.is_nan() || unsigned.len() == text.len()).then_some(value)
}

/// Milliseconds, as Prometheus cuts the time.
fn instant(value: f64) -> Result<Timestamp, String> {
    let ns = value * 1e9;
    if !(i64::MIN as f64..=i64::MAX as f64).contains(&ns) {
        let shown = format::format_float(value, 'g', None);
        return Err(format!("{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"));
    }
    Ok(Timestamp::from_ms(ns as i64 / 1_000_000))
}

fn humanize_timestamp(_: &Host<'_>, args: &[Value]) -> Called {
    let value = number(&args[0])?;
    if !value.is_finite() {
        return Ok(Value::string(format::format_float(value, 'g', Some(4))));
    }
    Ok(Value::string(gotime::time_text(instant(value)?)))
}

fn to_time(_: &Host<'_>, args: &[Value]) -> Called {
    let value = number(&args[0])?;
    if !value.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    Ok(Value::Time(instant(value)?))
}

fn seconds(_: &Host<'_>, args: &[Value]) -> Called {
    let written = text(&args[0]);
    let (sign, magnitude) = match written.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, written),
    };
    let duration = parse_duration(magnitude).map_err(|error| error.to_string())?;
    Ok(Value::Float(sign * duration.as_millis() as f64 / 1000.0))
}
