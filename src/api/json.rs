//! JSON as Prometheus writes it, byte for byte.
//!
//! In the flow: handlers write into a [`Json`]; [`super::answer`] puts the envelope around it. A writer of our own, because the
//! form is particular: timestamps keep three decimals or none, floats turn to exponents where Go's do, and texts are escaped
//! for HTML except in label sets.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/json_codec.go`, `util/jsonutil/marshal.go`; Go's `encoding/json` for the rest.

use std::fmt::Write;

use crate::model::{Labels, Timestamp, format_exponent, format_float};

/// A JSON text under construction. Values stand where they are written; commas come by themselves.
#[derive(Default)]
pub(super) struct Json {
    text: String,
    /// Whether the next value must be set off from one before it.
    after_value: bool,
}

impl Json {
    /// One value, written by `write`.
    pub(super) fn of(write: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::default();
        write(&mut json);
        json.text
    }

    /// `{…}`, with what `fields` writes by [`Json::key`].
    pub(super) fn object(&mut self, fields: impl FnOnce(&mut Json)) {
        self.enclosed('{', '}', fields);
    }

    /// `[…]`, with the values that `items` writes.
    pub(super) fn array(&mut self, items: impl FnOnce(&mut Json)) {
        self.enclosed('[', ']', items);
    }

    /// `[…]` with one value of each item.
    pub(super) fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut Json, T)) {
        self.array(|json| items.into_iter().for_each(|each| item(json, each)));
    }

    /// The name of a field; its value comes next.
    pub(super) fn key(&mut self, name: &str) -> &mut Json {
        self.string(name);
        self.text.push(':');
        self.after_value = false;
        self
    }

    /// A text, safe inside HTML.
    pub(super) fn string(&mut self, text: &str) {
        self.separate();
        write_quoted(&mut self.text, text, Escape::Html);
    }

    /// A text that need not be UTF-8: each byte that is none becomes a replacement character, as in Go.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.separate();
        self.text.push('"');
        for chunk in bytes.utf8_chunks() {
            write_escaped(&mut self.text, chunk.valid(), Escape::Html);
            chunk.invalid().iter().for_each(|_| self.text.push_str("\\ufffd"));
        }
        self.text.push('"');
    }

    /// A number, as Go prints a float64.
    pub(super) fn number(&mut self, value: f64) {
        self.separate();
        self.text.push_str(&go_float(value));
    }

    /// A whole number.
    pub(super) fn integer(&mut self, value: impl Into<i128>) {
        self.separate();
        write!(self.text, "{}", value.into()).expect("BUG: writing to a string failed");
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    /// `null`.
    pub(super) fn null(&mut self) {
        self.raw("null");
    }

    /// A finished JSON value.
    pub(super) fn raw(&mut self, json: &str) {
        self.separate();
        self.text.push_str(json);
    }

    /// A label set as an object. Its texts are not escaped for HTML, as Prometheus's are not.
    pub(super) fn labels(&mut self, labels: &Labels) {
        self.object(|json| {
            for label in labels {
                json.separate();
                write_quoted(&mut json.text, &label.name, Escape::Plain);
                json.text.push(':');
                write_quoted(&mut json.text, &label.value, Escape::Plain);
            }
        });
    }

    /// The instant of a sample in seconds: no decimals, or three.
    pub(super) fn sample_time(&mut self, at: Timestamp) {
        self.separate();
        let ms = at.as_ms();
        let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
        let result = match ms % 1000 {
            0 => write!(self.text, "{sign}{}", ms / 1000),
            fraction => write!(self.text, "{sign}{}.{fraction:03}", ms / 1000),
        };
        result.expect("BUG: writing to a string failed");
    }

    /// The value of a sample: a float as a text, with an exponent where it is very large or small.
    pub(super) fn sample_value(&mut self, value: f64) {
        self.separate();
        self.text.push('"');
        self.text.push_str(&go_float(value));
        self.text.push('"');
    }

    fn enclosed(&mut self, open: char, close: char, content: impl FnOnce(&mut Json)) {
        self.separate();
        self.text.push(open);
        self.after_value = false;
        content(self);
        self.text.push(close);
        self.after_value = true;
    }

    fn separate(&mut self) {
        if self.after_value {
            self.text.push(',');
        }
        self.after_value = true;
    }
}

/// Go's `encoding/json` form of a float: shortest digits, an exponent below 1e-6 and from 1e21 on.
pub(super) fn go_float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude.is_finite() && magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        go_exponent(value)
    } else {
        format_float(value)
    }
}

/// Go's `strconv.FormatFloat(v, 'e', -1, 64)`: `1e+00`.
pub(super) fn go_exponent(value: f64) -> String {
    if !value.is_finite() {
        return format_float(value);
    }
    format_exponent(value)
}

#[derive(Clone, Copy, PartialEq)]
enum Escape {
    Plain,
    Html,
}

fn write_quoted(out: &mut String, text: &str, escape: Escape) {
    out.push('"');
    write_escaped(out, text, escape);
    out.push('"');
}

fn write_escaped(out: &mut String, text: &str, escape: Escape) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' if escape == Escape::Html => out.push_str("\\b"),
            '\u{c}' if escape == Escape::Html => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if escape == Escape::Html => write_code(out, c),
            c if c < ' ' => write_code(out, c),
            c => out.push(c),
        }
    }
}

fn write_code(out: &mut String, c: char) {
    write!(out, "\\u{:04x}", u32::from(c)).expect("BUG: writing to a string failed");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl FnOnce(&mut Json), expected: &str) {
        assert_eq!(Json::of(write), expected);
    }

    #[test]
    fn commas_come_by_themselves() {
        let nested = |json: &mut Json| {
            json.object(|json| {
                json.key("a").array(|_| {});
                json.key("b").list([1, 2], |json, n| json.integer(n));
                json.key("c").object(|json| json.key("d").null());
                json.key("e").truth(true);
            });
        };
        check(nested, r#"{"a":[],"b":[1,2],"c":{"d":null},"e":true}"#);
    }

    #[test]
    fn sample_times_have_three_decimals_or_none() {
        for (ms, text) in
            [(0, "0"), (1_000, "1"), (1_005, "1.005"), (1_050, "1.050"), (-1_050, "-1.050"), (-50, "-0.050")]
        {
            check(|json| json.sample_time(Timestamp::from_ms(ms)), text);
        }
    }

    #[test]
    fn floats_as_go() {
        for (value, json, exponent) in [
            (1.0, "1", "1e+00"),
            (0.0, "0", "0e+00"),
            (-0.0, "-0", "-0e+00"),
            (0.000_001, "0.000001", "1e-06"),
            (0.000_000_1, "1e-07", "1e-07"),
            (1e20, "100000000000000000000", "1e+20"),
            (-1.5e21, "-1.5e+21", "-1.5e+21"),
            (1e300, "1e+300", "1e+300"),
            (f64::NAN, "NaN", "NaN"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!((go_float(value).as_str(), go_exponent(value).as_str()), (json, exponent));
        }
    }

    #[test]
    fn texts_are_escaped_for_html_except_in_labels() {
        let text = "<a>&\u{2028}\u{1}\u{8}\u{c}\"\\é\n";
        check(|json| json.string(text), r#""\u003ca\u003e\u0026\u2028\u0001\b\f\"\\é\n""#);
        let labels = Labels::from_pairs([("x", text)]);
        check(|json| json.labels(&labels), "{\"x\":\"<a>&\u{2028}\\u0001\\u0008\\u000c\\\"\\\\é\\n\"}");
    }
}
