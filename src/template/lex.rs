//! Template text to tokens.
//!
//! All tokens are read at once; a mistake becomes the last token, [`TokenKind::Error`], and the parser reports it when it
//! gets there, so that an earlier mistake of grammar is reported first, as in Go.
//!
//! **Cost.** One pass; tokens borrow from the text.
//! **Source.** Go 1.24 `text/template/parse/lex.go`: token boundaries, trim rules and error texts.

use std::borrow::Cow;

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TokenKind {
    /// Its text is the reason.
    Error,
    Bool,
    /// Any other printable character, such as a comma.
    Char,
    CharConstant,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Nil,
    /// `if`, `range`, …; the text says which.
    Keyword,
}

/// A token and its place.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: TokenKind,
    /// As written; for an error, the reason.
    pub(super) text: Cow<'t, str>,
    /// Byte offset of its start.
    pub(super) at: usize,
    /// Line of its start, from 1.
    pub(super) line: usize,
}

impl Token<'_> {
    pub(super) fn is_keyword(&self, word: &str) -> bool {
        self.kind == TokenKind::Keyword && self.text == word
    }

    /// As Go's messages show it.
    pub(super) fn describe(&self) -> String {
        match self.kind {
            TokenKind::Eof => "EOF".to_owned(),
            TokenKind::Error => self.text.to_string(),
            TokenKind::Keyword | TokenKind::Dot | TokenKind::Nil => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                format!("{}...", crate::model::quote(&head))
            }
            _ => crate::model::quote(&self.text),
        }
    }
}

const LEFT_DELIM: &str = "{{";
const RIGHT_DELIM: &str = "}}";
const KEYWORDS: [&str; 10] = ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// The tokens of `text` from byte `from` on, which follows an action; the last is [`TokenKind::Eof`] or [`TokenKind::Error`].
pub(super) fn tokens(text: &str, from: usize) -> Vec<Token<'_>> {
    let mut lexer =
        Lexer { text, start: from, at: from, line: 1, line_known_at: 0, paren_depth: 0, tokens: Vec::new() };
    if let Err(reason) = lexer.run() {
        lexer.push_text(TokenKind::Error, Cow::Owned(reason));
    }
    lexer.tokens
}

struct Lexer<'t> {
    text: &'t str,
    /// Start of the token being read.
    start: usize,
    at: usize,
    /// Line of `line_known_at`.
    line: usize,
    line_known_at: usize,
    paren_depth: usize,
    tokens: Vec<Token<'t>>,
}

type Scan = Result<(), String>;

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn ignore(&mut self) {
        self.start = self.at;
    }

    fn emit(&mut self, kind: TokenKind) {
        let text = Cow::Borrowed(&self.text[self.start..self.at]);
        self.push_text(kind, text);
    }

    fn push_text(&mut self, kind: TokenKind, text: Cow<'t, str>) {
        let before = &self.text.as_bytes()[self.line_known_at..self.start];
        self.line += before.iter().filter(|byte| **byte == b'\n').count();
        self.line_known_at = self.start;
        self.tokens.push(Token { kind, text, at: self.start, line: self.line });
        self.start = self.at;
    }

    fn run(&mut self) -> Scan {
        while let Some(offset) = self.rest().find(LEFT_DELIM) {
            let delim = self.at + offset;
            let plain = &self.text[self.start..delim];
            let trims = has_left_trim(&self.text[delim + LEFT_DELIM.len()..]);
            self.at = self.start + if trims { plain.trim_end_matches(is_space).len() } else { plain.len() };
            if self.at > self.start {
                self.emit(TokenKind::Text);
            }
            self.at = delim;
            self.ignore();
            self.action(trims)?;
        }
        self.at = self.text.len();
        if self.at > self.start {
            self.emit(TokenKind::Text);
        }
        self.emit(TokenKind::Eof);
        Ok(())
    }

    /// From `{{` to `}}`, or a whole comment.
    fn action(&mut self, trims: bool) -> Scan {
        self.at += LEFT_DELIM.len();
        let marker = if trims { 2 } else { 0 };
        if self.rest()[marker..].starts_with("/*") {
            self.at += marker;
            self.ignore();
            return self.comment();
        }
        self.emit(TokenKind::LeftDelim);
        self.at += marker;
        self.ignore();
        self.paren_depth = 0;
        loop {
            if self.right_delim_trims().is_some() {
                if self.paren_depth > 0 {
                    return Err("unclosed left paren".to_owned());
                }
                self.right_delim(TokenKind::RightDelim);
                return Ok(());
            }
            self.inside_action()?;
        }
    }

    fn comment(&mut self) -> Scan {
        let end = self.rest().find("*/").ok_or("unclosed comment")?;
        self.at += end + 2;
        if self.right_delim_trims().is_none() {
            return Err("comment ends before closing delimiter".to_owned());
        }
        self.right_delim(TokenKind::RightDelim);
        self.tokens.pop();
        Ok(())
    }

    /// Whether `}}` or ` -}}` comes next, and if so whether it trims.
    fn right_delim_trims(&self) -> Option<bool> {
        let rest = self.rest();
        let mut chars = rest.chars();
        if chars.next().is_some_and(is_space) && chars.next() == Some('-') && rest[2..].starts_with(RIGHT_DELIM) {
            return Some(true);
        }
        rest.starts_with(RIGHT_DELIM).then_some(false)
    }

    fn right_delim(&mut self, kind: TokenKind) {
        let trims = self.right_delim_trims() == Some(true);
        if trims {
            self.at += 2;
            self.ignore();
        }
        self.at += RIGHT_DELIM.len();
        self.emit(kind);
        if trims {
            self.at = self.text.len() - self.rest().trim_start_matches(is_space).len();
            self.ignore();
        }
    }

    fn inside_action(&mut self) -> Scan {
        let Some(c) = self.next() else { return Err("unclosed action".to_owned()) };
        match c {
            c if is_space(c) => {
                // A space may begin ` -}}`, which is checked before each token.
                while self.right_delim_trims().is_none() && self.peek().is_some_and(is_space) {
                    self.next();
                }
                self.emit(TokenKind::Space);
            }
            '=' => self.emit(TokenKind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return Err("expected :=".to_owned());
                }
                self.emit(TokenKind::Declare);
            }
            '|' => self.emit(TokenKind::Pipe),
            '"' => self.quoted('"', TokenKind::String, "unterminated quoted string")?,
            '\'' => self.quoted('\'', TokenKind::CharConstant, "unterminated character constant")?,
            '`' => {
                let end = self.rest().find('`').ok_or("unterminated raw quoted string")?;
                self.at += end + 1;
                self.emit(TokenKind::RawString);
            }
            '$' => self.word(TokenKind::Variable, TokenKind::Variable)?,
            '.' if !self.peek().is_some_and(|next| next.is_ascii_digit()) => {
                self.word(TokenKind::Field, TokenKind::Dot)?;
            }
            '.' | '+' | '-' | '0'..='9' => self.number(c)?,
            c if is_alphanumeric(c) => self.identifier()?,
            '(' => {
                self.emit(TokenKind::LeftParen);
                self.paren_depth += 1;
            }
            ')' => {
                self.paren_depth = self.paren_depth.checked_sub(1).ok_or("unexpected right paren")?;
                self.emit(TokenKind::RightParen);
            }
            ' '..='~' => self.emit(TokenKind::Char),
            c => return Err(format!("unrecognized character in action: {}", unicode(c))),
        }
        Ok(())
    }

    fn quoted(&mut self, close: char, kind: TokenKind, unterminated: &str) -> Scan {
        loop {
            match self.next() {
                None | Some('\n') => return Err(unterminated.to_owned()),
                Some('\\') if matches!(self.next(), None | Some('\n')) => return Err(unterminated.to_owned()),
                Some(c) if c == close => {
                    self.emit(kind);
                    return Ok(());
                }
                Some(_) => {}
            }
        }
    }

    /// The rest of a `.field` or `$variable`; `bare` is the kind where nothing follows the first character.
    fn word(&mut self, kind: TokenKind, bare: TokenKind) -> Scan {
        if self.at_terminator() {
            self.emit(bare);
            return Ok(());
        }
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        self.require_terminator()?;
        self.emit(kind);
        Ok(())
    }

    fn identifier(&mut self) -> Scan {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        self.require_terminator()?;
        self.emit(match &self.text[self.start..self.at] {
            "true" | "false" => TokenKind::Bool,
            "nil" => TokenKind::Nil,
            word if KEYWORDS.contains(&word) => TokenKind::Keyword,
            _ => TokenKind::Identifier,
        });
        Ok(())
    }

    /// Digits of any base; the parser judges the value.
    fn number(&mut self, first: char) -> Scan {
        let mut exponent_before = false;
        let hex = |lexer: &Self| {
            let text = lexer.text[lexer.start..].trim_start_matches(['+', '-']);
            text.starts_with("0x") || text.starts_with("0X")
        };
        let mut last = first;
        while let Some(c) = self.peek() {
            let is_exponent = (matches!(last, 'e' | 'E') && !hex(self)) || matches!(last, 'p' | 'P');
            let sign = matches!(c, '+' | '-') && is_exponent && !exponent_before;
            if !(is_alphanumeric(c) || c == '.' || sign) {
                break;
            }
            exponent_before |= sign;
            last = c;
            self.next();
        }
        let text = &self.text[self.start..self.at];
        if super::number::Number::parse(text).is_none() {
            return Err(format!("bad number syntax: {}", crate::model::quote(text)));
        }
        self.emit(TokenKind::Number);
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) => is_space(c) || ".,|:)(".contains(c) || self.rest().starts_with(RIGHT_DELIM),
        }
    }

    fn require_terminator(&mut self) -> Scan {
        if self.at_terminator() {
            return Ok(());
        }
        Err(format!("bad character {}", self.peek().map_or(String::new(), unicode)))
    }
}

fn unicode(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}

fn has_left_trim(after: &str) -> bool {
    let mut chars = after.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    if c.is_ascii() { c == '_' || c.is_ascii_alphanumeric() } else { c.is_alphabetic() || c.is_numeric() }
}
