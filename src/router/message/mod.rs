//! Message texts: templates of a receiver's fields, and what they are rendered with.
//!
//! In the flow: a receiver's fields are read as [`TextTemplate`]s at load; at a flush a [`Renderer`] writes each of them.
//! **Invariants.** Rendering always gives a text.
//! **Source.** Alertmanager 0.33 `template/template.go`, `notify/util.go`.
//! **Differs:** a template that cannot be parsed is an error at load. One that fails at a flush does not lose the notification:
//! its field has its default text, and the message says what failed ([`Renderer::problems`]).

mod data;
mod defaults;
mod functions;

use std::fmt;
use std::sync::LazyLock;

pub(crate) use data::{Envelope, common, status};

use crate::model::{Alert, Labels};
use crate::template::{Host, Template, Value};
use functions::MESSAGE_FUNCTIONS;

/// The named templates that every text may call.
static DEFAULTS: LazyLock<Template> = LazyLock::new(|| {
    Template::parse("defaults", defaults::TEXT, MESSAGE_FUNCTIONS).expect("BUG: the default templates are wrong")
});

/// The text of a field, which may hold actions.
#[derive(Clone)]
pub struct TextTemplate {
    key: &'static str,
    body: Body,
    /// What the field has where nothing is written, and where its template fails.
    default: &'static str,
}

#[derive(Clone)]
enum Body {
    Plain(String),
    Template(Box<Template>),
}

/// Not the text: a field may hold a secret.
impl fmt::Debug for TextTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTemplate").field("key", &self.key).finish_non_exhaustive()
    }
}

impl TextTemplate {
    /// Reads the text of the field `key`. The error is Go's text for a template that cannot be parsed.
    pub(super) fn parse(key: &'static str, text: &str, default: &'static str) -> Result<TextTemplate, String> {
        let body = match text.contains("{{") {
            true => Body::Template(Box::new(DEFAULTS.with(key, text).map_err(|error| error.to_string())?)),
            false => Body::Plain(text.to_owned()),
        };
        Ok(TextTemplate { key, body, default })
    }

    /// A text of ours.
    pub(super) fn of_default(key: &'static str, default: &'static str) -> TextTemplate {
        TextTemplate::parse(key, default, default).expect("BUG: a default text is wrong")
    }

    /// Whether it is known to be empty.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.body, Body::Plain(text) if text.is_empty())
    }
}

/// Whether the values in a text are escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Html,
}

/// Writes the texts of one message.
pub(super) struct Renderer<'a> {
    data: Value,
    host: Host<'a>,
    problems: Vec<String>,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(envelope: &Envelope<'a>, alerts: &[Alert]) -> Renderer<'a> {
        let host = Host { query: &no_query, now: envelope.now, external_url: envelope.external_url };
        Renderer { data: data::data(envelope, alerts), host, problems: Vec::new() }
    }

    /// The text, as it is.
    pub(super) fn text(&mut self, template: &TextTemplate) -> String {
        self.render(template, Form::Text)
    }

    /// The text, as HTML.
    pub(super) fn html(&mut self, template: &TextTemplate) -> String {
        self.render(template, Form::Html)
    }

    /// What failed, for people; `None` if nothing did.
    pub(super) fn problems(&self) -> Option<String> {
        (!self.problems.is_empty()).then(|| format!("template error: {}", self.problems.join("; ")))
    }

    fn render(&mut self, field: &TextTemplate, form: Form) -> String {
        let template = match &field.body {
            Body::Plain(text) => return text.clone(),
            Body::Template(template) => template,
        };
        match self.execute(template, form) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(format!("{}: {error}", field.key));
                let default = DEFAULTS.with(field.key, field.default).expect("BUG: a default text is wrong");
                self.execute(&default, form).unwrap_or_default()
            }
        }
    }

    fn execute(&self, template: &Template, form: Form) -> Result<String, String> {
        let rendered = match form {
            Form::Text => template.render(self.data.clone(), &self.host),
            Form::Html => template.render_html(self.data.clone(), &self.host),
        };
        rendered.map_err(|error| error.to_string())
    }
}

/// Messages cannot query.
fn no_query(_: &str) -> Result<Vec<(Labels, crate::model::Value)>, String> {
    Err("no queries in messages".to_owned())
}

/// At most `max` characters; a cut is marked by an ellipsis, which counts.
pub(super) fn truncated(text: String, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text,
        Some(_) => text.chars().take(max - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests;
