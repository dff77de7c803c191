//! How Go writes values: `%v`, `%.4g`, `%q` and their kin.
//!
//! **Source.** Go `fmt` (print.go, format.go) and `strconv` (ftoa.go). Rust prints the same shortest and exactly
//! rounded digits; this file only lays them out as Go does.
//! **Limits.** Width and precision up to [`WIDTH_MAX`] (Go: 1e6), so that one verb cannot fill the memory.
//! **Differs:** `%#v` is `%v`; a pointer within a list prints as what it points to, not as an address.

use super::Value;
use crate::model::{is_printable, quote, quote_char};

/// Largest width and precision of a verb.
const WIDTH_MAX: usize = 10_000;

/// Flags, width and precision of one verb.
#[derive(Clone, Copy, Default, Debug)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
    /// `%+v`: fields are shown with their names. The plus then asks for no sign.
    names: bool,
    /// Within `%!d(…)`: what a value says of itself is not asked.
    is_error: bool,
}

/// `fmt.Sprintf`.
pub(super) fn sprintf(format: &str, args: &[Value]) -> String {
    let mut printer = Printf { out: String::new(), args, next: 0, reordered: false };
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        printer.out.push_str(&rest[..percent]);
        rest = printer.verb(&rest[percent + 1..]);
    }
    printer.out.push_str(rest);
    printer.extra();
    printer.out
}

/// `fmt.Sprint`: a space between two operands of which neither is a text.
pub(super) fn sprint(args: &[Value]) -> String {
    let mut out = String::new();
    for (index, arg) in args.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::String(_));
        if index > 0 && !is_text(arg) && !is_text(&args[index - 1]) {
            out.push(' ');
        }
        format_value(&mut out, arg, 'v', Spec::default());
    }
    out
}

/// `fmt.Sprintln`.
pub(super) fn sprintln(args: &[Value]) -> String {
    let mut out = args.iter().map(display).collect::<Vec<_>>().join(" ");
    out.push('\n');
    out
}

/// `%v` of one value, nil as `<nil>`.
pub(super) fn display(value: &Value) -> String {
    let mut out = String::new();
    format_value(&mut out, value, 'v', Spec::default());
    out
}

/// `%v` of what a pointer points to, which is what an action writes.
pub(super) fn display_pointee(value: &Value) -> String {
    let text = display(value);
    match value {
        Value::Struct(_) => text.trim_start_matches('&').to_owned(),
        _ => text,
    }
}

struct Printf<'a> {
    out: String,
    args: &'a [Value],
    next: usize,
    /// Whether `%[2]d` was used: then left-over arguments are no mistake.
    reordered: bool,
}

impl Printf<'_> {
    /// Formats the verb that follows a `%` and returns what is left of the format.
    fn verb<'f>(&mut self, mut rest: &'f str) -> &'f str {
        let mut spec = Spec::default();
        loop {
            match rest.bytes().next() {
                Some(b'-') => spec.minus = true,
                Some(b'+') => spec.plus = true,
                Some(b'#') => spec.sharp = true,
                Some(b' ') => spec.space = true,
                Some(b'0') => spec.zero = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        let mut bad_index = false;
        rest = self.index(rest, &mut bad_index);
        (spec.width, rest) = self.number(rest, "%!(BADWIDTH)", &mut spec);
        if let Some(after) = rest.strip_prefix('.') {
            rest = self.index(after, &mut bad_index);
            let minus = spec.minus;
            (spec.precision, rest) = self.number(rest, "%!(BADPREC)", &mut spec);
            spec.minus = minus;
            spec.precision = spec.precision.or(Some(0));
        }
        rest = self.index(rest, &mut bad_index);
        let Some(verb) = rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return rest;
        };
        match self.args.get(self.next) {
            _ if verb == '%' => self.out.push('%'),
            _ if bad_index => self.out.push_str(&format!("%!{verb}(BADINDEX)")),
            None => self.out.push_str(&format!("%!{verb}(MISSING)")),
            Some(value) => {
                self.next += 1;
                if verb == 'v' {
                    spec.names = std::mem::take(&mut spec.plus);
                }
                format_value(&mut self.out, value, verb, spec);
            }
        }
        &rest[verb.len_utf8()..]
    }

    /// `[2]` before a verb or `*`.
    fn index<'f>(&mut self, rest: &'f str, bad: &mut bool) -> &'f str {
        let Some(inner) = rest.strip_prefix('[') else { return rest };
        self.reordered = true;
        let Some(close) = inner.find(']') else {
            *bad = true;
            return inner;
        };
        match inner[..close].parse::<usize>() {
            Ok(number) if (1..=self.args.len()).contains(&number) => self.next = number - 1,
            _ => *bad = true,
        }
        &inner[close + 1..]
    }

    /// A width or precision: digits, or `*` for the next argument.
    fn number<'f>(&mut self, rest: &'f str, bad: &str, spec: &mut Spec) -> (Option<usize>, &'f str) {
        if let Some(after) = rest.strip_prefix('*') {
            let value = match self.args.get(self.next) {
                Some(Value::Int(value)) if value.unsigned_abs() <= WIDTH_MAX as u64 => Some(*value),
                _ => None,
            };
            self.next += 1;
            if value.is_none() {
                self.out.push_str(bad);
            }
            spec.minus |= value.is_some_and(|value| value < 0);
            return (value.map(|value| value.unsigned_abs() as usize), after);
        }
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = rest[..digits].parse::<usize>().ok();
        (number.map(|number| number.min(WIDTH_MAX)), &rest[digits..])
    }

    fn extra(&mut self) {
        if self.reordered || self.next >= self.args.len() {
            return;
        }
        self.out.push_str("%!(EXTRA ");
        for (index, value) in self.args[self.next..].iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            self.out.push_str(separator);
            match value {
                Value::Nil => self.out.push_str("<nil>"),
                value => self.out.push_str(&format!("{}={}", value.ty().name, display(value))),
            }
        }
        self.out.push(')');
    }
}

fn format_value(out: &mut String, value: &Value, verb: char, spec: Spec) {
    if verb == 'T' {
        return pad(out, value.ty().name, spec);
    }
    let asks_for_text = matches!(verb, 'v' | 's' | 'q') && !spec.is_error;
    if let Some(text) = value.own_text().filter(|_| asks_for_text) {
        return format_value(out, &text, verb, spec);
    }
    let formatted = match value {
        Value::Nil if verb == 'v' => Some("<nil>".to_owned()),
        Value::Bool(value) if matches!(verb, 't' | 'v') => Some(value.to_string()),
        Value::Int(value) => {
            return integer_verb(out, *value, verb, spec).unwrap_or_else(|| bad(out, verb, &Value::Int(*value), spec));
        }
        Value::Float(number) => {
            return float_verb(out, *number, verb, spec).unwrap_or_else(|| bad(out, verb, value, spec));
        }
        Value::String(text) => string_verb(text, verb, spec),
        Value::Time(at) => string_verb(&super::gotime::time_text(*at), verb, spec),
        Value::Duration(ns) if asks_for_text => string_verb(&super::gotime::duration_text(*ns), verb, spec),
        Value::Duration(ns) => {
            return integer_verb(out, *ns, verb, spec).unwrap_or_else(|| bad(out, verb, value, spec));
        }
        Value::List(list) => {
            return bracketed(out, ("[", "]"), list.items.iter().map(|item| (None, item)), verb, spec);
        }
        Value::Map(map) => {
            let entries = map
                .entries
                .iter()
                .map(|(key, value)| (Some(formatted(&Value::String(key.clone()), verb, spec)), value));
            return bracketed(out, ("map[", "]"), entries, verb, spec);
        }
        Value::Struct(fields) => {
            let names = fields.fields.iter();
            let shown = names.map(|(name, value)| (spec.names.then(|| (*name).to_owned()), value));
            let open = if fields.ty.name.starts_with('*') { "&{" } else { "{" };
            return bracketed(out, (open, "}"), shown, verb, spec);
        }
        _ => None,
    };
    match formatted {
        Some(text) => pad(out, &text, spec),
        None => bad(out, verb, value, spec),
    }
}

fn formatted(value: &Value, verb: char, spec: Spec) -> String {
    let mut out = String::new();
    format_value(&mut out, value, verb, spec);
    out
}

fn bracketed<'v>(
    out: &mut String,
    (open, close): (&str, &str),
    items: impl Iterator<Item = (Option<String>, &'v Value)>,
    verb: char,
    spec: Spec,
) {
    out.push_str(open);
    for (index, (name, value)) in items.enumerate() {
        if index > 0 {
            out.push(' ');
        }
        if let Some(name) = name {
            out.push_str(&name);
            out.push(':');
        }
        format_value(out, value, verb, spec);
    }
    out.push_str(close);
}

/// `%!d(string=x)`: the verb does not fit the value, which is shown as `%v` does with the flags that were asked for.
fn bad(out: &mut String, verb: char, value: &Value, spec: Spec) {
    match value {
        Value::Nil => out.push_str(&format!("%!{verb}(<nil>)")),
        value => {
            out.push_str(&format!("%!{verb}({}=", value.ty().name));
            format_value(out, value, 'v', Spec { is_error: true, ..spec });
            out.push(')');
        }
    }
}

fn pad(out: &mut String, text: &str, spec: Spec) {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    if spec.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else {
        out.extend(std::iter::repeat_n(if spec.zero { '0' } else { ' ' }, missing));
        out.push_str(text);
    }
}

fn string_verb(text: &str, verb: char, spec: Spec) -> Option<String> {
    let cut: String = match spec.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    match verb {
        'v' | 's' => Some(cut),
        'q' if spec.sharp && !cut.contains(['`', '\n']) => Some(format!("`{cut}`")),
        'q' => Some(quote(&cut)),
        'x' | 'X' => {
            let bytes = text.bytes().take(spec.precision.unwrap_or(usize::MAX));
            let separator = if spec.space { " " } else { "" };
            let hex: Vec<String> =
                bytes.map(|byte| if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") }).collect();
            Some(hex.join(separator))
        }
        _ => None,
    }
}

fn integer_verb(out: &mut String, value: i64, verb: char, spec: Spec) -> Option<()> {
    let magnitude = value.unsigned_abs();
    let digits = match verb {
        'd' | 'v' => magnitude.to_string(),
        'b' => format!("{magnitude:b}"),
        'o' | 'O' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
            let text = match verb {
                'c' => c.to_string(),
                'q' => quote_char(c),
                _ if spec.sharp && is_printable(c) => format!("U+{value:04X} '{c}'"),
                _ => format!("U+{value:04X}"),
            };
            pad(out, &text, spec);
            return Some(());
        }
        _ => return None,
    };
    let prefix = match verb {
        'x' if spec.sharp => "0x",
        'X' if spec.sharp => "0X",
        'o' if spec.sharp => "0",
        'O' => "0o",
        'b' if spec.sharp => "0b",
        _ => "",
    };
    let digits = format!("{}{digits}", "0".repeat(spec.precision.unwrap_or(0).saturating_sub(digits.len())));
    let zero = spec.zero && spec.precision.is_none();
    let sign = sign_of(value < 0, spec);
    signed(out, &format!("{sign}{prefix}"), &digits, Spec { zero, ..spec });
    Some(())
}

fn sign_of(negative: bool, spec: Spec) -> &'static str {
    match negative {
        true => "-",
        false if spec.plus => "+",
        false if spec.space => " ",
        false => "",
    }
}

/// Zeros go between sign and digits, spaces around both.
fn signed(out: &mut String, sign: &str, digits: &str, spec: Spec) {
    let missing = spec.width.unwrap_or(0).saturating_sub(sign.len() + digits.len());
    if spec.zero && !spec.minus {
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        pad(out, &format!("{sign}{digits}"), Spec { zero: false, ..spec });
    }
}

fn float_verb(out: &mut String, value: f64, verb: char, spec: Spec) -> Option<()> {
    let precision = match verb {
        'e' | 'E' | 'f' | 'F' => Some(spec.precision.unwrap_or(6)),
        'b' | 'g' | 'G' | 'v' | 'x' | 'X' => spec.precision,
        _ => return None,
    };
    let form = match verb.to_ascii_lowercase() {
        'v' => 'g',
        form => form,
    };
    let text = format_float(value, form, precision);
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) if value.is_infinite() => {
            // An infinity always shows its sign, unless a space was asked for.
            let sign = if value < 0.0 {
                "-"
            } else if spec.space && !spec.plus {
                " "
            } else {
                "+"
            };
            (sign, digits)
        }
        Some(digits) => ("-", digits),
        None => (sign_of(false, spec), text.as_str()),
    };
    let digits = if verb.is_ascii_uppercase() && value.is_finite() { digits.to_uppercase() } else { digits.to_owned() };
    signed(out, sign, &digits, Spec { zero: spec.zero && value.is_finite(), ..spec });
    Some(())
}

/// `strconv.FormatFloat(value, form, precision, 64)` for the forms `b`, `e`, `f`, `g` and `x`.
pub(super) fn format_float(value: f64, form: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match (form, precision) {
        ('f', Some(precision)) => format!("{value:.precision$}"),
        ('f', None) => format!("{value}"),
        ('e', Some(precision)) => two_digit_exponent(&format!("{value:.precision$e}")),
        ('e', None) => two_digit_exponent(&format!("{value:e}")),
        ('b', _) => binary_float(value),
        ('x', precision) => hex_float(value, precision),
        (_, precision) => general(value, precision),
    }
}

/// `%g`: fixed or exponent, whichever Go chooses, without trailing zeros.
fn general(value: f64, precision: Option<usize>) -> String {
    let scientific = match precision {
        Some(precision) => format!("{value:.*e}", precision.max(1) - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = scientific.split_once('e').expect("BUG: {:e} prints an exponent");
    let exponent: i32 = exponent.parse().expect("BUG: {:e} prints a decimal exponent");
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let digits = i32::try_from(mantissa.bytes().filter(u8::is_ascii_digit).count()).unwrap_or(i32::MAX);
    let threshold = match precision {
        // Go decides as for six digits, however many it then prints.
        None => 6,
        Some(precision) => {
            let asked = i32::try_from(precision.max(1)).unwrap_or(i32::MAX);
            if asked > digits && digits > exponent { digits } else { asked }
        }
    };
    if exponent < -4 || exponent >= threshold {
        return two_digit_exponent(&format!("{mantissa}e{exponent}"));
    }
    let places = usize::try_from(digits - 1 - exponent).unwrap_or(0);
    format!("{:.*}", places, scientific.parse::<f64>().expect("BUG: {:e} prints a number"))
}

/// `1e6` to `1e+06`.
fn two_digit_exponent(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').expect("BUG: {:e} prints an exponent");
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `%b` of a float: `6755399441055744p-52`, its bits as they are.
fn binary_float(value: f64) -> String {
    let bits = value.to_bits();
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) = match i64::try_from(bits >> 52 & 0x7ff).unwrap_or(0) {
        0 => (fraction, 1),
        exponent => (1 << 52 | fraction, exponent),
    };
    format!("{sign}{mantissa}p{:+}", exponent - 1023 - 52)
}

/// `%x` of a float: `0x1.8p+01`.
fn hex_float(value: f64, precision: Option<usize>) -> String {
    let bits = value.to_bits();
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let mut exponent = i64::try_from(bits >> 52 & 0x7ff).unwrap_or(0) - 1023;
    let mut fraction = bits & ((1 << 52) - 1);
    let mut lead = 1u64;
    if value == 0.0 {
        (exponent, lead) = (0, 0);
    } else if exponent == -1023 {
        // A subnormal number: shift until its first bit leads.
        let shift = fraction.leading_zeros() - 11;
        fraction = fraction << shift & ((1 << 52) - 1);
        exponent = -1022 - i64::from(shift);
    }
    let mut digits = format!("{fraction:013x}");
    match precision {
        None => digits = digits.trim_end_matches('0').to_owned(),
        Some(precision) if precision < 13 => {
            let dropped = 52 - 4 * precision as u32;
            let half = 1u64 << (dropped - 1);
            let whole = lead << 52 | fraction;
            let kept = whole >> dropped;
            let rest = whole & ((1 << dropped) - 1);
            let kept = kept + u64::from(rest > half || (rest == half && kept & 1 == 1));
            lead = kept >> (4 * precision);
            if lead == 2 {
                (lead, exponent) = (1, exponent + 1);
                digits = "0".repeat(precision);
            } else if precision == 0 {
                digits = String::new();
            } else {
                digits = format!("{:0precision$x}", kept & ((1 << (4 * precision)) - 1));
            }
        }
        Some(precision) => digits = format!("{digits:0<precision$}"),
    }
    let point = if digits.is_empty() { "" } else { "." };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}0x{lead}{point}{digits}p{exponent_sign}{:02}", exponent.abs())
}
