//! Runs a template: a walk over its tree.
//!
//! **Source.** Go 1.24 `text/template/exec.go`: order of evaluation, scopes, error texts and the node each error names.
//! **Limits.** [`STEPS_MAX`] nodes walked, [`OUTPUT_MAX`] bytes written, [`CALLS_MAX`] templates and [`DEPTH_MAX`] blocks and
//! pipelines within one another: a template is user input and may loop.

use std::fmt;

use super::number::Number;
use super::tree::{Arg, ArgKind, Branch, Command, Node, Nodes, Pipe, TemplateCall};
use super::{Function, Host, NO_VALUE, Param, SAFE_HTML, Template, TemplateError, Tree, Value, builtin, format};

/// Nodes walked in one rendering.
pub const STEPS_MAX: usize = 1_000_000;
/// Bytes of one rendering; also of each value on the way.
pub const OUTPUT_MAX: usize = 4 << 20;
/// `{{template}}` within `{{template}}`. Go allows 100,000; our stack is smaller.
pub const CALLS_MAX: usize = 100;
/// Blocks and pipelines under evaluation at a time, across templates: each takes stack, and a thread has 2 MiB.
pub const DEPTH_MAX: usize = 300;

/// What becomes of the texts that actions write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// They are written as they are.
    Nothing,
    /// They are made harmless in HTML, unless a function marked them as HTML.
    Html,
}

/// Renders `template` with `data` as its dot.
pub(super) fn render(
    template: &Template,
    data: Value,
    host: &Host<'_>,
    escape: Escape,
) -> Result<String, TemplateError> {
    let tree = template.tree(&template.name).expect("BUG: a template holds its own tree");
    let mut state = State {
        template,
        host,
        escape,
        out: String::new(),
        variables: vec![("$".to_owned(), data.clone())],
        at: None,
        calls: 0,
        depth: 0,
        steps: 0,
        executing: &template.name,
    };
    match state.walk_tree(&data, tree) {
        Ok(_) => Ok(state.out),
        Err(error) => Err(error),
    }
}

/// What comes after a node.
#[derive(PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct State<'t, 'h> {
    template: &'t Template,
    host: &'h Host<'h>,
    escape: Escape,
    out: String,
    /// Innermost last, with their `$`.
    variables: Vec<(String, Value)>,
    /// The node that an error names.
    at: Option<(usize, &'t dyn fmt::Display)>,
    calls: usize,
    depth: usize,
    steps: usize,
    executing: &'t str,
}

/// What a word is called with.
struct Given<'t, 'v> {
    dot: &'v Value,
    args: &'t [Arg],
    /// What the command before it in the pipeline gave: one more argument.
    last: Option<Value>,
}

impl<'v> Given<'_, 'v> {
    fn nothing(dot: &'v Value) -> Self {
        Given { dot, args: &[], last: None }
    }

    fn has_args(&self) -> bool {
        !self.args.is_empty() || self.last.is_some()
    }
}

type Evaluated<T = Value> = Result<T, TemplateError>;

impl<'t> State<'t, '_> {
    fn error(&self, message: impl fmt::Display) -> TemplateError {
        let name = &self.template.name;
        let Some((offset, node)) = self.at else {
            return TemplateError::new(format!("template: {name}: {message}"), None);
        };
        let before = &self.template.text_of(self.executing)[..offset];
        let line = 1 + before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        let (parsed_as, executing) = (self.template.parsed_as(self.executing), crate::model::quote(self.executing));
        let text = format!("template: {parsed_as}:{line}:{column}: executing {executing} at <{node}>: {message}");
        TemplateError::new(text, Some(offset))
    }

    fn enter(&mut self) -> Evaluated<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format_args!("evaluated deeper than {DEPTH_MAX} levels")));
        }
        Ok(())
    }

    fn step(&mut self) -> Evaluated<()> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(self.error(format_args!("more than {STEPS_MAX} steps")));
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Evaluated<()> {
        if self.out.len() + text.len() > OUTPUT_MAX {
            return Err(self.error(format_args!("the output is longer than {OUTPUT_MAX} bytes")));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn write_escaped(&mut self, value: &Value) -> Evaluated<()> {
        let text = format::display_pointee(value);
        if self.escape == Escape::Nothing || std::ptr::eq(value.ty(), &SAFE_HTML) {
            return self.write(&text);
        }
        self.write(&builtin::html(&text).replace('+', "&#43;"))
    }

    fn walk_tree(&mut self, dot: &Value, tree: &'t Tree) -> Evaluated<Flow> {
        if let Some(prelude) = tree.prelude {
            self.walk_list(dot, &prelude.nodes)?;
        }
        self.walk_list(dot, &tree.nodes)
    }

    fn walk_list(&mut self, dot: &Value, nodes: &'t Nodes) -> Evaluated<Flow> {
        self.enter()?;
        let mut flow = Flow::Next;
        for node in nodes {
            flow = self.walk(dot, node)?;
            if flow != Flow::Next {
                break;
            }
        }
        self.depth -= 1;
        Ok(flow)
    }

    fn walk(&mut self, dot: &Value, node: &'t Node) -> Evaluated<Flow> {
        self.step()?;
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Action(pipe) => {
                let value = self.pipeline(dot, pipe)?;
                if pipe.declared.is_empty() {
                    match value {
                        Value::Nil if self.escape == Escape::Html => {}
                        Value::Nil => self.write(NO_VALUE)?,
                        Value::String(text) if self.escape == Escape::Nothing => self.write(&text)?,
                        value => self.write_escaped(&value)?,
                    }
                }
            }
            Node::If(branch) => return self.if_or_with(dot, branch, |_, dot| dot),
            Node::With(branch) => return self.if_or_with(dot, branch, |value, _| value),
            Node::Range(branch) => return self.range(dot, branch),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::Call(call) => self.call_template(dot, call)?,
        }
        Ok(Flow::Next)
    }

    /// `inner_dot` chooses the dot of the branch taken from the condition's value and the dot outside.
    fn if_or_with(
        &mut self,
        dot: &Value,
        branch: &'t Branch,
        inner_dot: for<'v> fn(&'v Value, &'v Value) -> &'v Value,
    ) -> Evaluated<Flow> {
        let scope = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = match value.is_true() {
            true => self.walk_list(inner_dot(&value, dot), &branch.then),
            false => self.walk_list(dot, &branch.otherwise),
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, dot: &Value, branch: &'t Branch) -> Evaluated<Flow> {
        let scope = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let items: Vec<(Value, Value)> = match &value {
            Value::List(list) => {
                list.items.iter().enumerate().map(|(index, item)| (Value::Int(index as i64), item.clone())).collect()
            }
            Value::Map(map) => {
                map.entries.iter().map(|(key, item)| (Value::String(key.clone()), item.clone())).collect()
            }
            Value::Int(count) if branch.pipe.declared.len() > 1 => {
                return Err(self.error(format_args!("can't use {count} to iterate over more than one variable")));
            }
            Value::Int(count) => {
                let count = usize::try_from(*count).unwrap_or(0);
                if count > STEPS_MAX {
                    return Err(self.error(format_args!("more than {STEPS_MAX} steps")));
                }
                (0..count).map(|index| (Value::Int(index as i64), Value::Int(index as i64))).collect()
            }
            Value::Nil => Vec::new(),
            other => {
                let shown = format::display(other);
                return Err(self.error(format_args!("range can't iterate over {shown}")));
            }
        };
        let mut flow = Flow::Next;
        if items.is_empty() {
            flow = self.walk_list(dot, &branch.otherwise)?;
        }
        let mark = self.variables.len();
        for (index, item) in items {
            self.step()?;
            let declared = branch.pipe.declared.len();
            if branch.pipe.assigns {
                for (name, value) in branch.pipe.declared.iter().zip(loop_values(declared, &index, &item)) {
                    self.assign(name, value)?;
                }
            } else {
                let count = loop_values(declared, &index, &item).into_iter();
                for (offset, value) in count.enumerate() {
                    self.variables[mark - declared + offset].1 = value;
                }
            }
            let inner = self.walk_list(&item, &branch.then)?;
            self.variables.truncate(mark);
            if inner == Flow::Break {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn call_template(&mut self, dot: &Value, call: &'t TemplateCall) -> Evaluated<()> {
        self.at = Some((call.at, call));
        let Some(tree) = self.template.tree(&call.name) else {
            return Err(self.error(format_args!("template {} not defined", crate::model::quote(&call.name))));
        };
        if self.calls == CALLS_MAX {
            return Err(self.error(format_args!("exceeded maximum template depth ({CALLS_MAX})")));
        }
        let inner_dot = match &call.pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Nil,
        };
        let outer_variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), inner_dot.clone())]);
        let outer_executing = std::mem::replace(&mut self.executing, &call.name);
        self.calls += 1;
        self.walk_tree(&inner_dot, tree)?;
        self.calls -= 1;
        self.executing = outer_executing;
        self.variables = outer_variables;
        Ok(())
    }

    fn pipeline(&mut self, dot: &Value, pipe: &'t Pipe) -> Evaluated {
        self.step()?;
        self.enter()?;
        self.at = Some((pipe.at, pipe));
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        self.depth -= 1;
        let value = value.expect("BUG: the parser lets no empty pipeline through");
        for name in &pipe.declared {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn assign(&mut self, name: &str, value: Value) -> Evaluated<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => return Err(self.error(format_args!("undefined variable: {name}"))),
        }
        Ok(())
    }

    fn variable(&self, name: &str) -> Evaluated {
        match self.variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => Err(self.error(format_args!("undefined variable: {name}"))),
        }
    }

    fn command(&mut self, dot: &Value, command: &'t Command, last: Option<Value>) -> Evaluated {
        let first = &command.args[0];
        let given = Given { dot, args: &command.args[1..], last };
        match &first.kind {
            ArgKind::Field(names) => {
                self.at = Some((first.at, first));
                self.fields(dot.clone(), names, first, given)
            }
            ArgKind::Variable(name, names) => {
                self.at = Some((first.at, first));
                let value = self.variable(name)?;
                if names.is_empty() {
                    self.refuse_args(first, &given)?;
                    return Ok(value);
                }
                self.fields(value, names, first, given)
            }
            ArgKind::Chain(inner, names) => {
                self.at = Some((first.at, first));
                let value = self.arg(dot, Param::Any, inner)?;
                self.fields(value, names, first, given)
            }
            ArgKind::Identifier(name) => {
                self.at = Some((first.at, first));
                self.function(name, (first.at, command), given)
            }
            ArgKind::Pipe(pipe) => {
                self.refuse_args(first, &given)?;
                self.pipeline(dot, pipe)
            }
            kind => {
                self.at = Some((first.at, first));
                self.refuse_args(first, &given)?;
                match kind {
                    ArgKind::Dot => Ok(dot.clone()),
                    ArgKind::Nil => Err(self.error("nil is not a command")),
                    _ => Ok(constant(kind).expect("BUG: every other kind was handled above")),
                }
            }
        }
    }

    fn refuse_args(&self, first: &Arg, given: &Given<'_, '_>) -> Evaluated<()> {
        if !given.has_args() {
            return Ok(());
        }
        Err(self.error(format_args!("can't give argument to non-function {first}")))
    }

    /// `.A.B args`: only the last name may take arguments.
    fn fields(&mut self, mut receiver: Value, names: &'t [String], node: &'t Arg, given: Given<'t, '_>) -> Evaluated {
        let (final_name, inner) = names.split_last().expect("BUG: a field has a name");
        let mut declared = None;
        for name in inner {
            let ty = receiver.ty();
            receiver = self.field((&receiver, declared), name, node, Given::nothing(given.dot))?;
            declared = ty.gives_any(name).then_some("interface {}");
        }
        self.field((&receiver, declared), final_name, node, given)
    }

    /// `declared`: the type that errors show, where it is not that of `receiver`.
    fn field(
        &mut self,
        (receiver, declared): (&Value, Option<&str>),
        name: &str,
        node: &'t Arg,
        given: Given<'t, '_>,
    ) -> Evaluated {
        let ty = receiver.ty();
        if let Value::Nil = receiver {
            return Ok(Value::Nil);
        }
        if let Some(method) = ty.methods.iter().find(|method| method.name == name) {
            let values = self.call_args(name, method.params, None, given)?;
            return (method.call)(receiver, &values).map_err(|reason| {
                self.at = Some((node.at, node));
                self.error(format_args!("error calling {name}: {reason}"))
            });
        }
        let has_args = given.has_args();
        match receiver {
            Value::Struct(fields) => {
                if let Some((_, value)) = fields.fields.iter().find(|(field, _)| *field == name) {
                    if has_args {
                        let text = format!("{name} has arguments but cannot be invoked as function");
                        return Err(self.error(text));
                    }
                    return Ok(value.clone());
                }
            }
            Value::Map(map) => {
                if has_args {
                    return Err(self.error(format_args!("{name} is not a method but has arguments")));
                }
                return Ok(map.entries.get(name).unwrap_or(&map.zero).clone());
            }
            _ => {}
        }
        Err(self.error(format_args!("can't evaluate field {name} in type {}", declared.unwrap_or(ty.name))))
    }

    fn function(&mut self, name: &str, node: (usize, &'t dyn fmt::Display), given: Given<'t, '_>) -> Evaluated {
        let own = self.template.functions.iter().find(|function| function.name == name);
        let function: &'static Function = match own.or_else(|| builtin::lookup(name)) {
            Some(function) => function,
            None => return Err(self.error(format_args!("{} is not a defined function", crate::model::quote(name)))),
        };
        if own.is_none() && matches!(name, "and" | "or") {
            return self.and_or(name, given);
        }
        let values = self.call_args(name, function.params, function.rest, given)?;
        let result = (function.call)(self.host, &values);
        let value = result.map_err(|reason| {
            self.at = Some(node);
            self.error(format_args!("error calling {name}: {reason}"))
        })?;
        if value.as_str().is_some_and(|text| text.len() > OUTPUT_MAX) {
            return Err(self.error(format_args!("the result of {name} is longer than {OUTPUT_MAX} bytes")));
        }
        Ok(value)
    }

    /// Stops at the first argument that decides.
    fn and_or(&mut self, name: &str, given: Given<'t, '_>) -> Evaluated {
        let Given { dot, args, last } = given;
        if args.is_empty() && last.is_none() {
            return Err(self.error(format_args!("wrong number of args for {name}: want at least 1 got 0")));
        }
        let mut value = Value::Nil;
        for arg in args {
            value = self.arg(dot, Param::Any, arg)?;
            if value.is_true() == (name == "or") {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn call_args(
        &mut self,
        name: &str,
        params: &[Param],
        rest: Option<Param>,
        given: Given<'t, '_>,
    ) -> Evaluated<Vec<Value>> {
        let Given { dot, args, last } = given;
        let count = args.len() + usize::from(last.is_some());
        let wanted = params.len();
        if rest.is_some() && count < wanted {
            let got = args.len();
            return Err(self.error(format_args!("wrong number of args for {name}: want at least {wanted} got {got}")));
        }
        if rest.is_none() && count != wanted {
            return Err(self.error(format_args!("wrong number of args for {name}: want {wanted} got {count}")));
        }
        let param = |index: usize| params.get(index).copied().or(rest).expect("BUG: the arguments were counted");
        let mut values = Vec::with_capacity(count);
        for (index, arg) in args.iter().enumerate() {
            values.push(self.arg(dot, param(index), arg)?);
        }
        if let Some(last) = last {
            values.push(self.checked(param(args.len()), last)?);
        }
        Ok(values)
    }

    fn arg(&mut self, dot: &Value, param: Param, arg: &'t Arg) -> Evaluated {
        self.at = Some((arg.at, arg));
        let value = match &arg.kind {
            ArgKind::Dot => dot.clone(),
            ArgKind::Nil => match param {
                Param::Any | Param::OrNil(_) => return Ok(Value::Nil),
                Param::Of(ty) => return Err(self.error(format_args!("cannot assign nil to {}", ty.name))),
                param => return Err(self.error(format_args!("cannot assign nil to {}", param.name()))),
            },
            ArgKind::Field(names) => self.fields(dot.clone(), names, arg, Given::nothing(dot))?,
            ArgKind::Variable(name, names) => {
                let value = self.variable(name)?;
                if names.is_empty() { value } else { self.fields(value, names, arg, Given::nothing(dot))? }
            }
            ArgKind::Pipe(pipe) => self.pipeline(dot, pipe)?,
            ArgKind::Identifier(name) => self.function(name, (arg.at, arg), Given::nothing(dot))?,
            ArgKind::Chain(inner, names) => {
                let value = self.arg(dot, Param::Any, inner)?;
                self.fields(value, names, arg, Given::nothing(dot))?
            }
            kind => return self.literal(param, arg, kind),
        };
        self.checked(param, value)
    }

    /// A constant takes the type that is asked for, where it can.
    fn literal(&mut self, param: Param, arg: &Arg, kind: &ArgKind) -> Evaluated {
        let value = constant(kind).expect("BUG: every other kind was handled by the caller");
        match (param, value) {
            (Param::Any, value) => Ok(value),
            (Param::Float, Value::Int(number)) => Ok(Value::Float(number as f64)),
            (Param::Int, Value::Float(number)) if number.fract() == 0.0 => Ok(Value::Int(number as i64)),
            (param, value) if param.accepts(&value) => Ok(value),
            (Param::Of(ty) | Param::OrNil(ty), _) => {
                Err(self.error(format_args!("can't handle {arg} for arg of type {}", ty.name)))
            }
            (Param::Int, _) => Err(self.error(format_args!("expected integer; found {arg}"))),
            (Param::Float, _) => Err(self.error(format_args!("expected float; found {arg}"))),
            (param, _) => Err(self.error(format_args!("expected {}; found {arg}", param.name()))),
        }
    }

    fn checked(&self, param: Param, value: Value) -> Evaluated {
        if param.accepts(&value) {
            return Ok(value);
        }
        let wanted = param.name();
        Err(match value {
            Value::Nil => self.error(format_args!("invalid value; expected {wanted}")),
            value => self.error(format_args!("wrong type for value; expected {wanted}; got {}", value.ty().name)),
        })
    }
}

/// What a loop's variables hold: the item, or index and item.
fn loop_values(declared: usize, index: &Value, item: &Value) -> Vec<Value> {
    match declared {
        0 => Vec::new(),
        1 => vec![item.clone()],
        _ => vec![index.clone(), item.clone()],
    }
}

fn constant(kind: &ArgKind) -> Option<Value> {
    match kind {
        ArgKind::Bool(value) => Some(Value::Bool(*value)),
        ArgKind::Number(Number::Int(value), _) => Some(Value::Int(*value)),
        ArgKind::Number(Number::Float(value), _) => Some(Value::Float(*value)),
        ArgKind::String(text, _) => Some(Value::String(text.clone())),
        _ => None,
    }
}
