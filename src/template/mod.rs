//! Go's `text/template`, interpreted, with the functions that rules and receivers may call.
//!
//! In the flow: rules render labels and annotations with [`ALERT_FUNCTIONS`]; the router renders messages with its own set.
//! `query` and the current instant come in through [`Host`]. **No I/O, no clock, no panic**: a template is user input, and
//! every failure is a [`TemplateError`] with Go's text.
//!
//! **Cost.** Parsing is linear; a parsed [`Template`] is shared and rendered many times.
//! **Limits.** See [`STEPS_MAX`], [`OUTPUT_MAX`], [`CALLS_MAX`], [`DEPTH_MAX`].
//! **Source.** Go 1.24 `text/template`; Prometheus 3.14 `template/template.go`.
//! **Differs:** [`Template::render_html`] escapes every value alike; Go's `html/template` looks at where the value stands, so that it
//! also refuses `javascript:` addresses. Attributes must be quoted.
//!
//! ```
//! use almenara::template::{ALERT_FUNCTIONS, Host, Template, Value};
//! let template = Template::parse("t", "{{ .instance }} at {{ 0.123 | humanizePercentage }}", ALERT_FUNCTIONS).unwrap();
//! let data = Value::string_map([("instance", "a:1")]);
//! let host = Host { query: &|_| Ok(Vec::new()), now: Default::default(), external_url: "" };
//! assert_eq!(template.render(data, &host).unwrap(), "a:1 at 12.3%");
//! ```

mod alert;
mod builtin;
mod exec;
mod format;
mod gotime;
mod humanize;
mod lex;
mod number;
mod parse;
mod quote;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::model::{Labels, Timestamp};

pub use alert::{ALERT_FUNCTIONS, ALERT_PREAMBLE, alert_data, alert_prelude, sample_value};
pub(crate) use alert::{humanize_duration, match_text, re_replace_all, single, title};
pub use builtin::query_escape;
pub use exec::{CALLS_MAX, DEPTH_MAX, OUTPUT_MAX, STEPS_MAX};
pub(crate) use gotime::{TIME, format as format_time};
pub use parse::Prelude;
pub use value::{List, Map, Method, SAFE_HTML, STRING_MAP, Struct, Type, Value, safe_html};

/// What nil prints as.
const NO_VALUE: &str = "<no value>";

/// What functions may use besides their arguments.
pub struct Host<'a> {
    /// Evaluates a PromQL expression at the instant of the rendering.
    pub query: &'a Query<'a>,
    /// The instant of the rendering.
    pub now: Timestamp,
    /// Our own address as users reach it.
    pub external_url: &'a str,
}

/// The elements of an instant vector; the text of an error is the reason.
pub type Query<'a> = dyn Fn(&str) -> Result<Vec<(Labels, crate::model::Value)>, String> + 'a;

/// A function that templates may call.
#[derive(Debug)]
pub struct Function {
    /// As written.
    pub name: &'static str,
    /// Types of the arguments.
    pub params: &'static [Param],
    /// Type of any further arguments; `None` where there may be none.
    pub rest: Option<Param>,
    /// The arguments have been counted and their types checked.
    pub call: fn(&Host<'_>, &[Value]) -> Result<Value, String>,
}

/// The type of an argument.
#[derive(Clone, Copy, Debug)]
pub enum Param {
    /// Anything, nil included.
    Any,
    /// A text.
    String,
    /// A whole number.
    Int,
    /// A number; a constant such as `1` also fits.
    Float,
    /// `true` or `false`.
    Bool,
    /// A value of this type.
    Of(&'static Type),
    /// A value of this type, or nil: Go's pointers and slices.
    OrNil(&'static Type),
}

impl Param {
    fn name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::String => "string",
            Param::Int => "int",
            Param::Float => "float64",
            Param::Bool => "bool",
            Param::Of(ty) | Param::OrNil(ty) => ty.name,
        }
    }

    fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Param::Any, _) => true,
            (Param::String, Value::String(_)) | (Param::Int, Value::Int(_)) => true,
            (Param::Float, Value::Float(_)) | (Param::Bool, Value::Bool(_)) => true,
            (Param::OrNil(_), Value::Nil) => true,
            (Param::Of(ty) | Param::OrNil(ty), value) => std::ptr::eq(ty, value.ty()),
            _ => false,
        }
    }
}

/// Why a template cannot be parsed or rendered. Its text is Go's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    message: String,
    /// Byte of the template's text where it went wrong, as near as is known.
    pub offset: Option<usize>,
}

impl TemplateError {
    fn new(message: String, offset: Option<usize>) -> Self {
        TemplateError { message, offset }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

/// A parsed text and the templates it may call.
#[derive(Clone, Debug)]
pub struct Template {
    name: Arc<str>,
    functions: &'static [Function],
    trees: BTreeMap<Arc<str>, Tree>,
}

/// One named template and the text it was read from.
#[derive(Clone, Debug)]
struct Tree {
    prelude: Option<&'static Prelude>,
    nodes: Arc<tree::Nodes>,
    /// The name of the text, for messages.
    parsed_as: Arc<str>,
    text: Arc<str>,
}

impl Template {
    /// Parses `text`. Functions must be known now; variables too.
    pub fn parse(
        name: &str,
        text: impl Into<Arc<str>>,
        functions: &'static [Function],
    ) -> Result<Template, TemplateError> {
        Template { name: Arc::from(name), functions, trees: BTreeMap::new() }.with(name, text)
    }

    /// As [`Template::parse`], of a text that begins with that of `prelude`: this is not read again.
    pub fn parse_after(
        prelude: &'static Prelude,
        name: &str,
        text: impl Into<Arc<str>>,
        functions: &'static [Function],
    ) -> Result<Template, TemplateError> {
        let text = text.into();
        debug_assert!(text.starts_with(prelude.text), "BUG: the text has another prelude");
        Template { name: Arc::from(name), functions, trees: BTreeMap::new() }.add(name, text, Some(prelude))
    }

    /// The same templates and those of `text`, which becomes the one that [`Template::render`] renders. A definition replaces an
    /// older one of its name, unless the new one is empty.
    pub fn with(&self, name: &str, text: impl Into<Arc<str>>) -> Result<Template, TemplateError> {
        self.add(name, text.into(), None)
    }

    fn add(&self, name: &str, text: Arc<str>, prelude: Option<&'static Prelude>) -> Result<Template, TemplateError> {
        let parsed_as: Arc<str> = Arc::from(name);
        let mut trees = self.trees.clone();
        for (defined, nodes) in parse::parse(name, &text, self.functions, prelude)? {
            let keeps_old = parse::is_empty(&nodes) && *defined != *name && trees.contains_key(&defined);
            if !keeps_old {
                let prelude = prelude.filter(|_| *defined == *name);
                trees.insert(defined, Tree { prelude, nodes, parsed_as: parsed_as.clone(), text: text.clone() });
            }
        }
        Ok(Template { name: parsed_as, functions: self.functions, trees })
    }

    /// Renders with `data` as the dot.
    pub fn render(&self, data: Value, host: &Host<'_>) -> Result<String, TemplateError> {
        exec::render(self, data, host, exec::Escape::Nothing)
    }

    /// As [`Template::render`], but what actions write is escaped for HTML, unless it comes from [`safe_html`].
    pub fn render_html(&self, data: Value, host: &Host<'_>) -> Result<String, TemplateError> {
        exec::render(self, data, host, exec::Escape::Html)
    }

    fn tree(&self, name: &str) -> Option<&Tree> {
        self.trees.get(name)
    }

    fn text_of(&self, name: &str) -> &str {
        self.trees.get(name).map_or("", |tree| &*tree.text)
    }

    fn parsed_as<'a>(&'a self, name: &'a str) -> &'a str {
        self.trees.get(name).map_or(name, |tree| &*tree.parsed_as)
    }
}

#[cfg(test)]
mod tests;
