//! Tokens to trees.
//!
//! **Source.** Go 1.24 `text/template/parse/parse.go`: grammar and error texts.
//! **Limits.** [`NESTING_MAX`] levels of blocks and parentheses, since both this parser and the interpreter recurse.
//! **Differs:** a syntax error names the line only, as in Go; [`TemplateError::offset`] adds the byte.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::lex::{self, Token, TokenKind};
use super::number::Number;
use super::tree::{Arg, ArgKind, Branch, Command, Node, Nodes, Pipe, TemplateCall};
use super::{Function, TemplateError, builtin, quote};

/// Blocks and parentheses within one another.
const NESTING_MAX: usize = 100;

/// The trees of one text: itself under `name`, and what it defines.
pub(super) fn parse(
    name: &str,
    text: &str,
    functions: &'static [Function],
    prelude: Option<&Prelude>,
) -> Result<BTreeMap<Arc<str>, Arc<Nodes>>, TemplateError> {
    let mut parser = Parser {
        name,
        functions,
        tokens: lex::tokens(text, prelude.map_or(0, |prelude| prelude.text.len())),
        next: 0,
        furthest: 0,
        variables: prelude.map_or_else(own_variables, |prelude| prelude.variables.clone()),
        has_prelude: prelude.is_some(),
        trees: BTreeMap::new(),
        action_line: 0,
        range_depth: 0,
        nesting: 0,
    };
    let root = parser.template()?;
    parser.define(name, root)?;
    Ok(parser.trees)
}

/// Actions that go before every template of a kind, parsed once: what they write is nothing, what they declare all may use.
#[derive(Debug)]
pub struct Prelude {
    pub(super) text: &'static str,
    pub(super) nodes: Nodes,
    variables: Vec<Cow<'static, str>>,
}

impl Prelude {
    /// Parses `text`, which declares variables and does nothing else.
    pub(super) fn new(text: &'static str, functions: &'static [Function]) -> Self {
        let mut parser = Parser {
            name: "prelude",
            functions,
            tokens: lex::tokens(text, 0),
            next: 0,
            furthest: 0,
            variables: own_variables(),
            has_prelude: false,
            trees: BTreeMap::new(),
            action_line: 0,
            range_depth: 0,
            nesting: 0,
        };
        let nodes = parser.template().expect("BUG: a prelude is no template");
        Prelude { text, nodes, variables: parser.variables }
    }
}

fn own_variables<'a>() -> Vec<Cow<'a, str>> {
    vec![Cow::Borrowed("$")]
}

struct Parser<'a> {
    name: &'a str,
    functions: &'static [Function],
    /// Ends in `Eof` or `Error`, which is never passed.
    tokens: Vec<Token<'a>>,
    next: usize,
    /// The furthest token looked at: Go reports its line.
    furthest: usize,
    /// In scope, with their `$`.
    variables: Vec<Cow<'a, str>>,
    /// A text after a prelude is never empty.
    has_prelude: bool,
    trees: BTreeMap<Arc<str>, Arc<Nodes>>,
    /// Line of the action being read, 0 outside.
    action_line: usize,
    range_depth: usize,
    nesting: usize,
}

/// How a list of nodes ended.
enum ListEnd {
    End,
    Else,
}

impl ListEnd {
    fn describe(&self) -> &'static str {
        match self {
            ListEnd::End => "{{end}}",
            ListEnd::Else => "{{else}}",
        }
    }
}

/// A node, or the end of the list.
enum Item {
    Node(Node),
    End(ListEnd),
}

type Parsed<T> = Result<T, TemplateError>;

impl<'a> Parser<'a> {
    fn next(&mut self) -> Token<'a> {
        let token = self.peek().clone();
        if self.next + 1 < self.tokens.len() {
            self.next += 1;
        }
        token
    }

    fn peek(&mut self) -> &Token<'a> {
        self.furthest = self.furthest.max(self.next);
        &self.tokens[self.next]
    }

    fn skip_space(&mut self) {
        while self.peek().kind == TokenKind::Space {
            self.next += 1;
        }
    }

    fn next_non_space(&mut self) -> Token<'a> {
        self.skip_space();
        self.next()
    }

    fn peek_non_space(&mut self) -> &Token<'a> {
        self.skip_space();
        self.peek()
    }

    fn error(&self, message: impl std::fmt::Display) -> TemplateError {
        let line = self.tokens[self.furthest].line;
        let offset = self.tokens[self.next.saturating_sub(1)].at;
        TemplateError::new(format!("template: {}:{line}: {message}", self.name), Some(offset))
    }

    fn unexpected(&self, token: &Token<'_>, context: &str) -> TemplateError {
        if token.kind != TokenKind::Error {
            return self.error(format_args!("unexpected {} in {context}", token.describe()));
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            let verb = if token.text.ends_with(" action") { "" } else { " in action" };
            extra = format!("{verb} started at {}:{}", self.name, self.action_line);
        }
        let mut error = self.error(format_args!("{}{extra}", token.text));
        error.offset = Some(token.at);
        error
    }

    fn expect(&mut self, kind: TokenKind, context: &str) -> Parsed<Token<'a>> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(&token, context)) }
    }

    fn enter(&mut self) -> Parsed<()> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self.error(format_args!("nested deeper than {NESTING_MAX} levels")));
        }
        Ok(())
    }

    /// Keeps a definition; an empty one never replaces another, two that are not empty are a mistake.
    fn define(&mut self, name: &str, nodes: Nodes) -> Parsed<()> {
        match self.trees.get(name) {
            Some(old) if !is_empty(old) => {
                if is_empty(&nodes) && !(self.has_prelude && name == self.name) {
                    return Ok(());
                }
                let text = format!("template: multiple definition of template {}", crate::model::quote(name));
                Err(self.error(text))
            }
            _ => {
                self.trees.insert(Arc::from(name), Arc::new(nodes));
                Ok(())
            }
        }
    }

    fn template(&mut self) -> Parsed<Nodes> {
        let mut root = Nodes::new();
        while self.peek().kind != TokenKind::Eof {
            if self.peek().kind == TokenKind::LeftDelim {
                let before = self.next;
                self.next();
                if self.next_non_space().is_keyword("define") {
                    self.definition()?;
                    continue;
                }
                self.next = before;
            }
            match self.text_or_action()? {
                Item::Node(node) => root.push(node),
                Item::End(end) => return Err(self.error(format_args!("unexpected {}", end.describe()))),
            }
        }
        Ok(root)
    }

    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(TokenKind::RightDelim, CONTEXT)?;
        let nodes = self.own_scope(CONTEXT)?;
        self.define(&name, nodes)
    }

    /// The body of a definition: it sees no variables but `$`.
    fn own_scope(&mut self, context: &str) -> Parsed<Nodes> {
        let outer = std::mem::replace(&mut self.variables, own_variables());
        let outer_range = std::mem::take(&mut self.range_depth);
        let (nodes, end) = self.item_list()?;
        self.variables = outer;
        self.range_depth = outer_range;
        match end {
            ListEnd::End => Ok(nodes),
            end => Err(self.error(format_args!("unexpected {} in {context}", end.describe()))),
        }
    }

    fn item_list(&mut self) -> Parsed<(Nodes, ListEnd)> {
        self.enter()?;
        let mut nodes = Nodes::new();
        while self.peek_non_space().kind != TokenKind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::End(end) => {
                    self.nesting -= 1;
                    return Ok((nodes, end));
                }
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn text_or_action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        match token.kind {
            TokenKind::Text => Ok(Item::Node(Node::Text(token.text.into_owned()))),
            TokenKind::LeftDelim => {
                self.action_line = token.line;
                let item = self.action();
                self.action_line = 0;
                item
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let before = self.next;
        let token = self.next_non_space();
        if token.kind == TokenKind::Keyword {
            match &*token.text {
                "block" => return self.block_control(),
                "break" => return self.loop_control(Node::Break, "{{break}}"),
                "continue" => return self.loop_control(Node::Continue, "{{continue}}"),
                "else" => return self.else_control(),
                "end" => {
                    self.expect(TokenKind::RightDelim, "end")?;
                    return Ok(Item::End(ListEnd::End));
                }
                "if" => return Ok(Item::Node(Node::If(self.branch("if")?))),
                "range" => return Ok(Item::Node(Node::Range(self.branch("range")?))),
                "template" => return self.template_control(),
                "with" => return Ok(Item::Node(Node::With(self.branch("with")?))),
                _ => {}
            }
        }
        self.next = before;
        Ok(Item::Node(Node::Action(self.pipeline("command", TokenKind::RightDelim)?)))
    }

    fn loop_control(&mut self, node: Node, written: &str) -> Parsed<Item> {
        self.expect(TokenKind::RightDelim, written)?;
        if self.range_depth == 0 {
            return Err(self.error(format_args!("{written} outside {{{{range}}}}")));
        }
        Ok(Item::Node(node))
    }

    /// `{{else}}`; of `{{else if …` the `if` is left for [`Parser::branch`].
    fn else_control(&mut self) -> Parsed<Item> {
        let next = self.peek_non_space();
        if !(next.is_keyword("if") || next.is_keyword("with")) {
            self.expect(TokenKind::RightDelim, "else")?;
        }
        Ok(Item::End(ListEnd::Else))
    }

    fn branch(&mut self, context: &'static str) -> Parsed<Branch> {
        self.enter()?;
        let scope = self.variables.len();
        let pipe = self.pipeline(context, TokenKind::RightDelim)?;
        let is_range = usize::from(context == "range");
        self.range_depth += is_range;
        let (then, end) = self.item_list()?;
        self.range_depth -= is_range;
        let mut otherwise = Nodes::new();
        if let ListEnd::Else = end {
            if context != "range" && self.peek().is_keyword(context) {
                // `{{else if}}` shares the `{{end}}` of the branch within.
                self.next();
                let inner = self.branch(context)?;
                otherwise.push(if context == "if" { Node::If(inner) } else { Node::With(inner) });
            } else {
                let (nodes, end) = self.item_list()?;
                if let ListEnd::Else = end {
                    return Err(self.error(format_args!("expected end; found {}", end.describe())));
                }
                otherwise = nodes;
            }
        }
        self.variables.truncate(scope);
        self.nesting -= 1;
        Ok(Branch { pipe, then, otherwise })
    }

    fn block_control(&mut self) -> Parsed<Item> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, TokenKind::RightDelim)?;
        let nodes = self.own_scope(CONTEXT)?;
        self.define(&name, nodes)?;
        Ok(Item::Node(Node::Call(TemplateCall { at: token.at, name: name.into(), pipe: Some(pipe) })))
    }

    fn template_control(&mut self) -> Parsed<Item> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let mut pipe = None;
        if self.peek_non_space().kind == TokenKind::RightDelim {
            self.next();
        } else {
            pipe = Some(self.pipeline(CONTEXT, TokenKind::RightDelim)?);
        }
        Ok(Item::Node(Node::Call(TemplateCall { at: token.at, name: name.into(), pipe })))
    }

    fn template_name(&mut self, token: &Token<'_>, context: &str) -> Parsed<String> {
        match token.kind {
            TokenKind::String | TokenKind::RawString => {
                quote::unquote(&token.text).ok_or_else(|| self.error("invalid syntax"))
            }
            _ => Err(self.unexpected(token, context)),
        }
    }

    fn pipeline(&mut self, context: &str, end: TokenKind) -> Parsed<Pipe> {
        self.enter()?;
        let at = self.peek_non_space().at;
        let mut pipe = Pipe { at, declared: Vec::new(), assigns: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let before = self.next;
            let token = self.next_non_space();
            use TokenKind::*;
            match token.kind {
                kind if kind == end => break,
                Bool | CharConstant | Dot | Field | Identifier | Number | Nil | RawString | String | Variable
                | LeftParen => {
                    self.next = before;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        if pipe.commands.is_empty() {
            return Err(self.error(format_args!("missing value for {context}")));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            use ArgKind::{Bool, Dot, Nil, Number, String};
            if matches!(command.args[0].kind, Bool(_) | Dot | Nil | Number(..) | String(..)) {
                let stage = index + 1;
                return Err(self.error(format_args!("non executable command in pipeline stage {stage}")));
            }
        }
        self.nesting -= 1;
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, and for `range` also `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        while self.peek_non_space().kind == TokenKind::Variable {
            let before = self.next;
            let name = self.next().text;
            let next = self.peek_non_space().clone();
            match next.kind {
                TokenKind::Assign | TokenKind::Declare => {
                    pipe.assigns = next.kind == TokenKind::Assign;
                    self.next();
                    pipe.declared.push(name.to_string());
                    self.variables.push(name);
                    return Ok(());
                }
                TokenKind::Char if next.text == "," => {
                    self.next();
                    pipe.declared.push(name.to_string());
                    self.variables.push(name);
                    if context != "range" || pipe.declared.len() >= 2 {
                        return Err(self.error(format_args!("too many declarations in {context}")));
                    }
                    let follows = self.peek_non_space().kind;
                    if !matches!(follows, TokenKind::Variable | TokenKind::RightDelim | TokenKind::RightParen) {
                        return Err(self.error("range can only initialize variables"));
                    }
                }
                _ => {
                    self.next = before;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut args = Vec::new();
        loop {
            self.skip_space();
            if let Some(arg) = self.operand()? {
                args.push(arg);
            }
            match self.peek().kind {
                TokenKind::Space => {
                    self.next();
                    continue;
                }
                TokenKind::RightDelim | TokenKind::RightParen => {}
                TokenKind::Pipe => {
                    self.next();
                }
                _ => {
                    let token = self.next();
                    return Err(self.unexpected(&token, "operand"));
                }
            }
            break;
        }
        if args.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(Command { args })
    }

    fn operand(&mut self) -> Parsed<Option<Arg>> {
        let Some(mut arg) = self.term()? else { return Ok(None) };
        if self.peek().kind != TokenKind::Field {
            return Ok(Some(arg));
        }
        // Go gives the whole chain the place of its first added field.
        let at = self.peek().at;
        let mut names = Vec::new();
        while self.peek().kind == TokenKind::Field {
            names.push(self.next().text[1..].to_owned());
        }
        match &mut arg.kind {
            ArgKind::Field(own) | ArgKind::Variable(_, own) => {
                own.extend(names);
                arg.at = at;
                Ok(Some(arg))
            }
            ArgKind::Bool(_) | ArgKind::String(..) | ArgKind::Number(..) | ArgKind::Nil | ArgKind::Dot => {
                Err(self.error(format_args!("unexpected . after term {}", crate::model::quote(&arg.to_string()))))
            }
            _ => Ok(Some(Arg { at, kind: ArgKind::Chain(Box::new(arg), names) })),
        }
    }

    fn term(&mut self) -> Parsed<Option<Arg>> {
        let before = self.next;
        let token = self.next_non_space();
        let kind = match token.kind {
            TokenKind::Identifier => {
                if !builtin::has(&token.text) && !self.functions.iter().any(|f| f.name == token.text) {
                    return Err(self.error(format_args!("function {} not defined", crate::model::quote(&token.text))));
                }
                ArgKind::Identifier(token.text.into_owned())
            }
            TokenKind::Dot => ArgKind::Dot,
            TokenKind::Nil => ArgKind::Nil,
            TokenKind::Variable => {
                if !self.variables.contains(&token.text) {
                    return Err(self.error(format_args!("undefined variable {}", crate::model::quote(&token.text))));
                }
                ArgKind::Variable(token.text.into_owned(), Vec::new())
            }
            TokenKind::Field => ArgKind::Field(vec![token.text[1..].to_owned()]),
            TokenKind::Bool => ArgKind::Bool(token.text == "true"),
            TokenKind::Number => {
                let number = Number::parse(&token.text).expect("BUG: the lexer let a bad number through");
                ArgKind::Number(number, token.text.into_owned())
            }
            TokenKind::CharConstant => match Number::parse_char(&token.text) {
                Some(number) => ArgKind::Number(number, token.text.into_owned()),
                None => return Err(self.error(format_args!("malformed character constant: {}", token.text))),
            },
            TokenKind::String | TokenKind::RawString => match quote::unquote(&token.text) {
                Some(text) => ArgKind::String(text.into(), token.text.into_owned()),
                None => return Err(self.error("invalid syntax")),
            },
            TokenKind::LeftParen => ArgKind::Pipe(self.pipeline("parenthesized pipeline", TokenKind::RightParen)?),
            _ => {
                self.next = before;
                return Ok(None);
            }
        };
        Ok(Some(Arg { at: token.at, kind }))
    }
}

/// Whether nothing but space would be written.
pub(super) fn is_empty(nodes: &Nodes) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}
