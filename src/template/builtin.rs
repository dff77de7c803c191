//! The functions that every template has.
//!
//! `and` and `or` stand here for their names and signatures; the interpreter evaluates them, since they stop early.
//! **Source.** Go 1.24 `text/template/funcs.go`: results and error texts.
//! **Differs:** no function value exists in our data, so `call` always fails.

use std::cmp::Ordering;

use super::{Function, Host, Param, Value, format};

/// Whether `name` is one of them.
pub(super) fn has(name: &str) -> bool {
    lookup(name).is_some()
}

/// The function of that name.
pub(super) fn lookup(name: &str) -> Option<&'static Function> {
    BUILTINS.iter().find(|function| function.name == name)
}

const ANY: Option<Param> = Some(Param::Any);

static BUILTINS: &[Function] = &[
    Function { name: "and", params: &[Param::Any], rest: ANY, call: |_, args| Ok(args[0].clone()) },
    Function { name: "or", params: &[Param::Any], rest: ANY, call: |_, args| Ok(args[0].clone()) },
    Function { name: "not", params: &[Param::Any], rest: None, call: |_, args| Ok(Value::Bool(!args[0].is_true())) },
    Function { name: "call", params: &[Param::Any], rest: ANY, call },
    Function { name: "html", params: &[], rest: ANY, call: |_, args| Ok(Value::string(html(&text_of(args)))) },
    Function { name: "js", params: &[], rest: ANY, call: |_, args| Ok(Value::string(js(&text_of(args)))) },
    Function {
        name: "urlquery",
        params: &[],
        rest: ANY,
        call: |_, args| Ok(Value::string(query_escape(&text_of(args)))),
    },
    Function { name: "index", params: &[Param::Any], rest: ANY, call: index },
    Function { name: "slice", params: &[Param::Any], rest: ANY, call: slice },
    Function { name: "len", params: &[Param::Any], rest: None, call: len },
    Function { name: "print", params: &[], rest: ANY, call: |_, args| Ok(Value::string(format::sprint(args))) },
    Function { name: "println", params: &[], rest: ANY, call: |_, args| Ok(Value::string(format::sprintln(args))) },
    Function { name: "printf", params: &[Param::String], rest: ANY, call: printf },
    Function { name: "eq", params: &[Param::Any], rest: ANY, call: |_, args| equal(args).map(Value::Bool) },
    Function {
        name: "ne",
        params: &[Param::Any, Param::Any],
        rest: None,
        call: |_, args| equal(args).map(|is| Value::Bool(!is)),
    },
    Function { name: "lt", params: &[Param::Any, Param::Any], rest: None, call: |_, args| less(args).map(Value::Bool) },
    Function {
        name: "le",
        params: &[Param::Any, Param::Any],
        rest: None,
        call: |_, args| less_or_equal(args).map(Value::Bool),
    },
    Function {
        name: "gt",
        params: &[Param::Any, Param::Any],
        rest: None,
        call: |_, args| less_or_equal(args).map(|is| Value::Bool(!is)),
    },
    Function {
        name: "ge",
        params: &[Param::Any, Param::Any],
        rest: None,
        call: |_, args| less(args).map(|is| Value::Bool(!is)),
    },
];

type Called = Result<Value, String>;

fn call(_: &Host<'_>, args: &[Value]) -> Called {
    match &args[0] {
        Value::Nil => Err("call of nil".to_owned()),
        value => Err(format!("non-function {} of type {}", format::display(value), value.ty().name)),
    }
}

fn printf(_: &Host<'_>, args: &[Value]) -> Called {
    let pattern = args[0].as_str().expect("BUG: the argument was checked to be a text");
    Ok(Value::string(format::sprintf(pattern, &args[1..])))
}

fn len(_: &Host<'_>, args: &[Value]) -> Called {
    let length = match &args[0] {
        Value::String(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        value => return Err(format!("len of type {}", value.ty().name)),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(_: &Host<'_>, args: &[Value]) -> Called {
    let mut item = args[0].clone();
    if let Value::Nil = item {
        return Err("index of untyped nil".to_owned());
    }
    for index in &args[1..] {
        item = match &item {
            Value::List(list) => match list.items.get(position(index, list.items.len())?) {
                Some(item) => item.clone(),
                None => return Err("reflect: slice index out of range".to_owned()),
            },
            // Go gives the byte.
            Value::String(text) => match text.as_bytes().get(position(index, text.len())?) {
                Some(byte) => Value::Int(i64::from(*byte)),
                None => return Err("reflect: string index out of range".to_owned()),
            },
            Value::Map(map) => match index {
                Value::String(key) => map.entries.get(key).unwrap_or(&map.zero).clone(),
                Value::Nil => return Err("value is nil; should be of type string".to_owned()),
                other => return Err(format!("value has type {}; should be string", other.ty().name)),
            },
            Value::Nil => return Err("index of nil pointer".to_owned()),
            other => return Err(format!("can't index item of type {}", other.ty().name)),
        };
    }
    Ok(item)
}

/// Checks an index or a bound, which may be the length itself.
fn position(index: &Value, length: usize) -> Result<usize, String> {
    let number = match index {
        Value::Int(number) | Value::Duration(number) => *number,
        Value::Nil => return Err("cannot index slice/array with nil".to_owned()),
        other => return Err(format!("cannot index slice/array with type {}", other.ty().name)),
    };
    usize::try_from(number).ok().filter(|at| *at <= length).ok_or_else(|| format!("index out of range: {number}"))
}

fn slice(_: &Host<'_>, args: &[Value]) -> Called {
    let indexes = &args[1..];
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let length = match &args[0] {
        Value::String(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        Value::String(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.ty().name)),
    };
    let mut bounds = [0, length, length];
    for (at, index) in indexes.iter().enumerate() {
        bounds[at] = position(index, length)?;
    }
    let [start, end, capacity] = bounds;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    if end > capacity {
        return Err(format!("invalid slice index: {end} > {capacity}"));
    }
    Ok(match &args[0] {
        Value::List(list) => Value::list(list.ty, list.items[start..end].to_vec()),
        // Bytes, as in Go; a cut character becomes the replacement character.
        Value::String(text) => Value::string(String::from_utf8_lossy(&text.as_bytes()[start..end]).into_owned()),
        _ => unreachable!("BUG: the kinds were checked above"),
    })
}

const BAD_TYPE: &str = "invalid type for comparison";

fn incompatible(a: &Value, b: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", a.ty().name, b.ty().name)
}

fn is_basic(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) | Value::Duration(_))
}

/// Whether the first argument equals any other.
fn equal(args: &[Value]) -> Result<bool, String> {
    let Some((first, others)) = args.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err("missing argument for comparison".to_owned());
    };
    for other in others {
        let same = match (first, other) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a) | Value::Duration(a), Value::Int(b) | Value::Duration(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Nil, Value::Nil) => true,
            (Value::Nil, _) | (_, Value::Nil) => false,
            (a, b) if is_basic(a) && is_basic(b) => return Err(incompatible(a, b)),
            (Value::Time(a), Value::Time(b)) => a == b,
            (a, b) => {
                let culprit = if is_basic(a) { b } else { a };
                return Err(match culprit {
                    Value::List(_) | Value::Map(_) => {
                        format!("non-comparable type {}: {}", format::display(culprit), culprit.ty().name)
                    }
                    _ => incompatible(first, other),
                });
            }
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

fn order(args: &[Value]) -> Result<Option<Ordering>, String> {
    match (&args[0], &args[1]) {
        (Value::Int(a) | Value::Duration(a), Value::Int(b) | Value::Duration(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::String(a), Value::String(b)) => Ok(Some(a.cmp(b))),
        (a, b) if is_basic(a) && is_basic(b) && a.ty().name != b.ty().name => Err(incompatible(a, b)),
        _ => Err(BAD_TYPE.to_owned()),
    }
}

fn less(args: &[Value]) -> Result<bool, String> {
    Ok(order(args)? == Some(Ordering::Less))
}

fn less_or_equal(args: &[Value]) -> Result<bool, String> {
    Ok(matches!(order(args)?, Some(Ordering::Less | Ordering::Equal)))
}

/// The arguments as one text; nil is shown as in output.
fn text_of(args: &[Value]) -> String {
    let shown: Vec<Value> = args
        .iter()
        .map(|value| match value {
            Value::Nil => Value::string(super::NO_VALUE),
            Value::Struct(_) => Value::string(format::display_pointee(value)),
            value => value.clone(),
        })
        .collect();
    format::sprint(&shown)
}

/// Go's `template.HTMLEscapeString`.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Go's `template.JSEscapeString`.
fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if u32::from(c) < 0x20 || (!c.is_ascii() && !crate::model::is_printable(c)) => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// Go's `url.QueryEscape`.
pub fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
