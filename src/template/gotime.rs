//! Go's `time.Time` and `time.Duration` as templates see them: their texts and methods.
//!
//! Times are instants in UTC with milliseconds, the precision of the rest of the program.
//! **Source.** Go `time` (format.go, time.go), the methods that template authors use.
//! **Differs:** methods outside this list are refused like unknown fields; zones other than UTC do not exist here.

use crate::model::Timestamp;

use super::{Method, Param, Type, Value};

/// `time.Time`.
pub(crate) static TIME: Type = Type {
    name: "*time.Time",
    methods: &[
        Method {
            name: "Format",
            params: &[Param::String],
            call: |time, args| Ok(format(instant(time), text(&args[0]))),
        },
        Method { name: "String", params: &[], call: |time, _| Ok(Value::string(time_text(instant(time)))) },
        Method { name: "UTC", params: &[], call: |time, _| Ok(time.clone()) },
        Method { name: "Unix", params: &[], call: |time, _| Ok(Value::Int(instant(time).as_ms().div_euclid(1000))) },
        Method { name: "UnixMilli", params: &[], call: |time, _| Ok(Value::Int(instant(time).as_ms())) },
        Method {
            name: "UnixNano",
            params: &[],
            call: |time, _| Ok(Value::Int(instant(time).as_ms().wrapping_mul(1_000_000))),
        },
        Method { name: "Year", params: &[], call: |time, _| Ok(Value::Int(civil(time).year().into())) },
        Method { name: "Month", params: &[], call: |time, _| Ok(Value::string(MONTHS[month_index(time)])) },
        Method { name: "Day", params: &[], call: |time, _| Ok(Value::Int(civil(time).day().into())) },
        Method { name: "YearDay", params: &[], call: |time, _| Ok(Value::Int(civil(time).day_of_year().into())) },
        Method { name: "Hour", params: &[], call: |time, _| Ok(Value::Int(civil(time).hour().into())) },
        Method { name: "Minute", params: &[], call: |time, _| Ok(Value::Int(civil(time).minute().into())) },
        Method { name: "Second", params: &[], call: |time, _| Ok(Value::Int(civil(time).second().into())) },
        Method { name: "Weekday", params: &[], call: |time, _| Ok(Value::string(WEEKDAYS[weekday_index(time)])) },
        Method { name: "IsZero", params: &[], call: |time, _| Ok(Value::Bool(instant(time).as_ms() == ZERO_MS)) },
        Method {
            name: "Add",
            params: &[Param::Of(&DURATION)],
            call: |time, args| Ok(Value::Time(instant(time).plus_ms(nanoseconds(&args[0]) / 1_000_000))),
        },
        Method {
            name: "Sub",
            params: &[Param::Of(&TIME)],
            call: |time, args| Ok(Value::Duration(instant(time).ms_since(instant(&args[0])).saturating_mul(1_000_000))),
        },
        Method {
            name: "After",
            params: &[Param::Of(&TIME)],
            call: |time, args| Ok(Value::Bool(instant(time) > instant(&args[0]))),
        },
        Method {
            name: "Before",
            params: &[Param::Of(&TIME)],
            call: |time, args| Ok(Value::Bool(instant(time) < instant(&args[0]))),
        },
        Method {
            name: "Equal",
            params: &[Param::Of(&TIME)],
            call: |time, args| Ok(Value::Bool(instant(time) == instant(&args[0]))),
        },
    ],
};

/// `time.Duration`.
pub(super) static DURATION: Type = Type {
    name: "*time.Duration",
    methods: &[
        Method {
            name: "String",
            params: &[],
            call: |duration, _| Ok(Value::string(duration_text(nanoseconds(duration)))),
        },
        Method { name: "Nanoseconds", params: &[], call: |duration, _| Ok(Value::Int(nanoseconds(duration))) },
        Method { name: "Microseconds", params: &[], call: |duration, _| Ok(Value::Int(nanoseconds(duration) / 1_000)) },
        Method {
            name: "Milliseconds",
            params: &[],
            call: |duration, _| Ok(Value::Int(nanoseconds(duration) / 1_000_000)),
        },
        Method { name: "Seconds", params: &[], call: |duration, _| Ok(in_units(duration, 1_000_000_000)) },
        Method { name: "Minutes", params: &[], call: |duration, _| Ok(in_units(duration, 60_000_000_000)) },
        Method { name: "Hours", params: &[], call: |duration, _| Ok(in_units(duration, 3_600_000_000_000)) },
        Method {
            name: "Abs",
            params: &[],
            call: |duration, _| Ok(Value::Duration(nanoseconds(duration).saturating_abs())),
        },
        Method {
            name: "Truncate",
            params: &[Param::Of(&DURATION)],
            call: |duration, args| {
                let (value, unit) = (nanoseconds(duration), nanoseconds(&args[0]));
                Ok(Value::Duration(if unit <= 0 { value } else { value - value % unit }))
            },
        },
    ],
};

/// Go's zero time, the first of January of the year 1.
const ZERO_MS: i64 = -62_135_596_800_000;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn instant(value: &Value) -> Timestamp {
    match value {
        Value::Time(at) => *at,
        other => unreachable!("BUG: a method of time was called on {other:?}"),
    }
}

fn nanoseconds(value: &Value) -> i64 {
    match value {
        Value::Duration(ns) => *ns,
        other => unreachable!("BUG: a method of duration was called on {other:?}"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("BUG: the argument was checked to be a text")
}

fn in_units(duration: &Value, unit: i64) -> Value {
    let ns = nanoseconds(duration);
    Value::Float((ns / unit) as f64 + (ns % unit) as f64 / unit as f64)
}

fn civil(time: &Value) -> jiff::civil::DateTime {
    civil_of(instant(time))
}

/// Outside the years of the calendar library, its nearest end.
fn civil_of(at: Timestamp) -> jiff::civil::DateTime {
    let nearest = if at.as_ms() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(at.as_ms()).unwrap_or(nearest).to_zoned(jiff::tz::TimeZone::UTC).datetime()
}

fn month_index(time: &Value) -> usize {
    usize::try_from(civil(time).month() - 1).expect("BUG: months count from 1")
}

fn weekday_index(time: &Value) -> usize {
    usize::try_from(civil(time).weekday().to_sunday_zero_offset()).expect("BUG: weekdays count from 0")
}

/// `2022-01-25 12:36:43.5 +0000 UTC`.
pub(super) fn time_text(at: Timestamp) -> String {
    match format(at, "2006-01-02 15:04:05.999999999 -0700 MST") {
        Value::String(text) => text.to_string(),
        other => unreachable!("BUG: a layout gave {other:?}"),
    }
}

/// `time.Format`: the layout shows the moment `Mon Jan 2 15:04:05 MST 2006`.
pub(crate) fn format(at: Timestamp, layout: &str) -> Value {
    let time = civil_of(at);
    let millis = at.as_ms().rem_euclid(1000);
    let month = MONTHS[usize::try_from(time.month() - 1).unwrap_or(0)];
    let weekday = WEEKDAYS[usize::try_from(time.weekday().to_sunday_zero_offset()).unwrap_or(0)];
    let hour12 = if time.hour() % 12 == 0 { 12 } else { time.hour() % 12 };
    let half = if time.hour() < 12 { ["AM", "am"] } else { ["PM", "pm"] };
    // Longest first, as each place of the layout takes the longest piece that fits.
    let pieces: [(&str, String); 29] = [
        ("January", month.to_owned()),
        ("Monday", weekday.to_owned()),
        ("-07:00:00", "+00:00:00".to_owned()),
        ("Z07:00:00", "Z".to_owned()),
        ("-07:00", "+00:00".to_owned()),
        ("Z07:00", "Z".to_owned()),
        ("-0700", "+0000".to_owned()),
        ("Z0700", "Z".to_owned()),
        ("2006", format!("{:04}", time.year())),
        ("-07", "+00".to_owned()),
        ("Z07", "Z".to_owned()),
        ("__2", format!("{:>3}", time.day_of_year())),
        ("002", format!("{:03}", time.day_of_year())),
        ("Jan", month[..3].to_owned()),
        ("Mon", weekday[..3].to_owned()),
        ("MST", "UTC".to_owned()),
        ("01", format!("{:02}", time.month())),
        ("02", format!("{:02}", time.day())),
        ("03", format!("{hour12:02}")),
        ("04", format!("{:02}", time.minute())),
        ("05", format!("{:02}", time.second())),
        ("06", format!("{:02}", time.year().rem_euclid(100))),
        ("15", format!("{:02}", time.hour())),
        ("_2", format!("{:>2}", time.day())),
        ("PM", half[0].to_owned()),
        ("pm", half[1].to_owned()),
        ("1", time.month().to_string()),
        ("2", time.day().to_string()),
        ("3", hour12.to_string()),
    ];
    let mut out = String::new();
    let mut rest = layout;
    'layout: while let Some(c) = rest.chars().next() {
        for (piece, written) in &pieces {
            let is_word = |after: &str| after.starts_with(|c: char| c.is_ascii_lowercase());
            if rest.starts_with(piece) && !(matches!(*piece, "Jan" | "Mon") && is_word(&rest[3..])) {
                out.push_str(written);
                rest = &rest[piece.len()..];
                continue 'layout;
            }
        }
        if let Some((fraction, length)) = fraction(rest, millis) {
            out.push_str(&fraction);
            rest = &rest[length..];
            continue;
        }
        let single = match c {
            '4' => Some(time.minute()),
            '5' => Some(time.second()),
            _ => None,
        };
        match single {
            Some(number) => out.push_str(&number.to_string()),
            None => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    Value::string(out)
}

/// `.000` writes three digits, `.999` as many as are needed.
fn fraction(layout: &str, millis: i64) -> Option<(String, usize)> {
    let mark = layout.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let digit = layout[1..].chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let digits = layout[1..].chars().take_while(|c| *c == digit).count();
    if layout[1 + digits..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{:09}", millis * 1_000_000);
    let mut text: String = nanos.chars().chain(std::iter::repeat('0')).take(digits).collect();
    if digit == '9' {
        text.truncate(text.trim_end_matches('0').len());
    }
    Some((if text.is_empty() { text } else { format!("{mark}{text}") }, 1 + digits))
}

/// `1h2m3.5s`, as `time.Duration` prints.
pub(super) fn duration_text(ns: i64) -> String {
    let magnitude = ns.unsigned_abs();
    let sign = if ns < 0 { "-" } else { "" };
    if magnitude == 0 {
        return "0s".to_owned();
    }
    if magnitude < 1_000_000_000 {
        let (unit, size) = match magnitude {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(magnitude, size));
    }
    let secs = magnitude / 1_000_000_000;
    let mut out = sign.to_owned();
    if secs >= 3600 {
        out.push_str(&format!("{}h", secs / 3600));
    }
    if secs >= 60 {
        out.push_str(&format!("{}m", secs / 60 % 60));
    }
    out.push_str(&format!("{}s", decimal(magnitude % 60_000_000_000, 1_000_000_000)));
    out
}

/// `value / unit` with the decimals that are needed; `unit` is a power of ten.
fn decimal(value: u64, unit: u64) -> String {
    let whole = value / unit;
    let rest = value % unit;
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0width$}").trim_end_matches('0'))
}
