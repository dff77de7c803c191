//! What templates compute with.
//!
//! A closed set of kinds in place of Go's reflection. Lists, maps and structs carry a [`Type`]: the name that error messages
//! show and the methods that templates may call.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::Timestamp;

use super::{Param, gotime};

/// A value in a template. Cloning shares lists, maps and structs.
#[derive(Clone, Debug)]
pub enum Value {
    /// Go's untyped nil; prints as `<no value>`.
    Nil,
    /// `true`, `false`.
    Bool(bool),
    /// Go's `int`.
    Int(i64),
    /// Go's `float64`.
    Float(f64),
    /// A text.
    String(Arc<str>),
    /// A slice.
    List(Arc<List>),
    /// A map with text keys.
    Map(Arc<Map>),
    /// Fields by name.
    Struct(Arc<Struct>),
    /// Go's `time.Time`, in UTC.
    Time(Timestamp),
    /// Go's `time.Duration`, in nanoseconds.
    Duration(i64),
}

/// What is the same for all values of a type.
#[derive(Debug)]
pub struct Type {
    /// As Go names it.
    pub name: &'static str,
    /// What may be called on its values.
    pub methods: &'static [Method],
}

impl Type {
    /// Whether what `name` gives is declared as `interface {}`: then errors show that in place of the type of the value.
    pub(super) fn gives_any(&self, name: &str) -> bool {
        self.name.ends_with("]interface {}") || self.name.contains(&format!(" {name} interface {{}}"))
    }
}

/// A method of a [`Type`].
#[derive(Debug)]
pub struct Method {
    /// As written after the dot.
    pub name: &'static str,
    /// Types of the arguments.
    pub params: &'static [Param],
    /// Receiver and arguments to result; the arguments have been counted and their types checked.
    pub call: fn(&Value, &[Value]) -> Result<Value, String>,
}

/// A slice and its type.
#[derive(Debug)]
pub struct List {
    /// See [`Type`].
    pub ty: &'static Type,
    /// In order.
    pub items: Vec<Value>,
}

/// A map and its type.
#[derive(Debug)]
pub struct Map {
    /// See [`Type`].
    pub ty: &'static Type,
    /// What a missing key gives.
    pub zero: Value,
    /// In order of key, as templates print and range over it.
    pub entries: BTreeMap<Arc<str>, Value>,
}

/// Fields and their type.
#[derive(Debug)]
pub struct Struct {
    /// See [`Type`].
    pub ty: &'static Type,
    /// In order of declaration.
    pub fields: Vec<(&'static str, Value)>,
}

/// `map[string]string`.
pub static STRING_MAP: Type = Type { name: "map[string]string", methods: &[] };
/// Go's `template.HTML`: a text that [`super::Template::render_html`] does not escape.
pub static SAFE_HTML: Type = Type {
    name: "template.HTML",
    methods: &[Method {
        name: "String",
        params: &[],
        call: |value, _| Ok(value.field("").cloned().unwrap_or_else(|| Value::string(""))),
    }],
};
static NIL: Type = Type { name: "<nil>", methods: &[] };
static BOOL: Type = Type { name: "bool", methods: &[] };
static INT: Type = Type { name: "int", methods: &[] };
static FLOAT: Type = Type { name: "float64", methods: &[] };
static STRING: Type = Type { name: "string", methods: &[] };

/// Marks a text as HTML.
pub fn safe_html(text: &str) -> Value {
    Value::fields(&SAFE_HTML, vec![("", Value::string(text))])
}

impl Value {
    /// A text.
    pub fn string(text: impl Into<Arc<str>>) -> Value {
        Value::String(text.into())
    }

    /// A `map[string]string`; a missing key gives the empty text.
    pub fn string_map<K: Into<Arc<str>>, V: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, V)>) -> Value {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), Value::String(value.into()))).collect();
        Value::Map(Arc::new(Map { ty: &STRING_MAP, zero: Value::string(""), entries }))
    }

    /// A struct.
    pub fn fields(ty: &'static Type, fields: Vec<(&'static str, Value)>) -> Value {
        Value::Struct(Arc::new(Struct { ty, fields }))
    }

    /// A slice.
    pub fn list(ty: &'static Type, items: Vec<Value>) -> Value {
        Value::List(Arc::new(List { ty, items }))
    }

    /// Its type.
    pub fn ty(&self) -> &'static Type {
        match self {
            Value::Nil => &NIL,
            Value::Bool(_) => &BOOL,
            Value::Int(_) => &INT,
            Value::Float(_) => &FLOAT,
            Value::String(_) => &STRING,
            Value::List(list) => list.ty,
            Value::Map(map) => map.ty,
            Value::Struct(fields) => fields.ty,
            Value::Time(_) => &gotime::TIME,
            Value::Duration(_) => &gotime::DURATION,
        }
    }

    /// What `if` asks: not empty, not zero, not nil. A struct is always true.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) | Value::Duration(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::String(text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Struct(_) | Value::Time(_) => true,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// What its `String` method says, if it has one; Go prints such values so. Times and durations have their own way.
    pub(super) fn own_text(&self) -> Option<Value> {
        let method = match self {
            Value::List(_) | Value::Map(_) | Value::Struct(_) => {
                self.ty().methods.iter().find(|method| method.name == "String")?
            }
            _ => return None,
        };
        (method.call)(self, &[]).ok()
    }

    /// A field of a struct.
    pub fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Struct(fields) => fields.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value),
            _ => None,
        }
    }
}
