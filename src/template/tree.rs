//! The parsed form of a template.
//!
//! `Display` writes a node back as Go's error messages show it (`executing "x" at <.Foo>`).

use std::fmt;
use std::sync::Arc;

use super::number::Number;

/// A list of nodes in order.
pub(super) type Nodes = Vec<Node>;

/// A piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
    Call(TemplateCall),
}

/// `{{if …}} then {{else}} otherwise {{end}}` and its kin.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) then: Nodes,
    pub(super) otherwise: Nodes,
}

/// `{{template "name" pipe}}`.
#[derive(Debug)]
pub(super) struct TemplateCall {
    pub(super) at: usize,
    pub(super) name: Arc<str>,
    pub(super) pipe: Option<Pipe>,
}

/// `$x := command | command`.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) at: usize,
    pub(super) declared: Vec<String>,
    /// Whether the variables are set (`=`) rather than declared (`:=`).
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// A function or value and its arguments.
#[derive(Debug)]
pub(super) struct Command {
    /// Never empty.
    pub(super) args: Vec<Arg>,
}

/// One word of a command and its place.
#[derive(Debug)]
pub(super) struct Arg {
    pub(super) at: usize,
    pub(super) kind: ArgKind,
}

/// What a word is.
#[derive(Debug)]
pub(super) enum ArgKind {
    Dot,
    Nil,
    Bool(bool),
    /// The value and how it was written.
    Number(Number, String),
    /// The value and how it was written.
    String(Arc<str>, String),
    Identifier(String),
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`: the name with its `$`, then fields.
    Variable(String, Vec<String>),
    Pipe(Pipe),
    /// `(…).A.B`
    Chain(Box<Arg>, Vec<String>),
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.declared.is_empty() {
            write!(f, "{} {} ", self.declared.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            let separator = if index == 0 { "" } else { " | " };
            write!(f, "{separator}{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.args.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{}", InCommand(arg))?;
        }
        Ok(())
    }
}

/// A word as it stands in a command: pipes in parentheses.
struct InCommand<'a>(&'a Arg);

impl fmt::Display for InCommand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            ArgKind::Pipe(pipe) => write!(f, "({pipe})"),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |f: &mut fmt::Formatter<'_>, names: &[String]| names.iter().try_for_each(|n| write!(f, ".{n}"));
        match &self.kind {
            ArgKind::Dot => f.write_str("."),
            ArgKind::Nil => f.write_str("nil"),
            ArgKind::Bool(value) => write!(f, "{value}"),
            ArgKind::Number(_, written) | ArgKind::String(_, written) => f.write_str(written),
            ArgKind::Identifier(name) => f.write_str(name),
            ArgKind::Field(names) => fields(f, names),
            ArgKind::Variable(name, names) => {
                f.write_str(name)?;
                fields(f, names)
            }
            ArgKind::Pipe(pipe) => write!(f, "{pipe}"),
            ArgKind::Chain(inner, names) => {
                write!(f, "{}", InCommand(inner))?;
                fields(f, names)
            }
        }
    }
}

impl fmt::Display for TemplateCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", crate::model::quote(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}
