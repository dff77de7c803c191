//! From the text of an expression to its words.
//!
//! In the flow: [`super::parser`] asks for one token at a time. What a character means depends on where it stands, so the lexer
//! knows whether it is inside braces, brackets or neither, exactly as Prometheus's does: that decides which message a mistake gets.
//!
//! **Invariants.** After the first error every further token is [`TokenKind::Invalid`]. Spans lie on character boundaries.
//! **Cost.** One pass over bytes, no allocation but for errors and comments.
//! **Source.** Prometheus 3.14 `promql/parser/lex.go`.
//! **Differs:** Prometheus 3.5 takes any letter after the number of a range for the colon of a subquery, so that `rate(x[5 m])` is
//! accepted there and means `rate(x[5s:])`. It is refused here, as by 3.14.

use crate::model::{quote, quote_char};
use crate::source::Span;

use super::ast::BinaryOp;
use super::hint;
use super::token::{Keyword, Token, TokenKind, classify_word};

/// Why the lexer gave up.
#[derive(Debug)]
pub(super) struct LexError {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// Cuts tokens.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    /// Where the current token starts.
    start: usize,
    /// How many parentheses are open.
    open_parens: usize,
    in_braces: bool,
    in_brackets: bool,
    /// Between a bracket and its first number only duration expressions can stand, and other messages apply.
    in_duration: bool,
    got_colon: bool,
    /// Whether any bracket so far had a number; Prometheus does not reset it at the next bracket.
    got_duration: bool,
    failed: bool,
    /// Where comments stand that were passed over.
    comments: Vec<Span>,
}

/// Errors are boxed: nearly every token is none, and each is handed on by value.
type Lexed = Result<TokenKind, Box<LexError>>;

const DIGITS: &str = "0123456789";
const HEX_DIGITS: &str = "0123456789abcdefABCDEF";

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_alpha(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphabetic()
}

fn is_alphanumeric(byte: u8) -> bool {
    is_alpha(byte) || byte.is_ascii_digit()
}

/// The same of characters, of which only those of ASCII are letters here.
fn begins_word(c: char) -> bool {
    u8::try_from(c).is_ok_and(is_alpha)
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer {
            text,
            pos: 0,
            start: 0,
            open_parens: 0,
            in_braces: false,
            in_brackets: false,
            in_duration: false,
            got_colon: false,
            got_duration: false,
            failed: false,
            comments: Vec::new(),
        }
    }

    /// The next token.
    pub(super) fn next_token(&mut self) -> Result<Token, Box<LexError>> {
        if self.failed {
            return Ok(Token { kind: TokenKind::Invalid, span: Span::new(self.start, self.start) });
        }
        self.skip_space_and_comments();
        self.start = self.pos;
        let lexed = if self.in_braces {
            self.inside_braces()
        } else if self.in_duration {
            self.duration_expression()
        } else {
            self.statement()
        };
        match lexed {
            Ok(kind) => Ok(Token { kind, span: Span::new(self.start, self.pos) }),
            Err(error) => {
                self.failed = true;
                Err(error)
            }
        }
    }

    /// The comments so far.
    pub(super) fn comments(&self) -> &[Span] {
        &self.comments
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            self.accept_while(is_space);
            // The brackets of a range take comments only after their first number.
            let start = self.pos;
            if self.in_duration || !self.accept("#") {
                return;
            }
            self.accept_while(|byte| byte != b'\n' && byte != b'\r');
            self.comments.push(Span::new(start, self.pos));
        }
    }

    fn statement(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.end_of_input();
        };
        let kind = match c {
            ',' => TokenKind::Comma,
            '*' => TokenKind::Operator(BinaryOp::Mul),
            '/' => TokenKind::Operator(BinaryOp::Div),
            '%' => TokenKind::Operator(BinaryOp::Mod),
            '+' => TokenKind::Operator(BinaryOp::Add),
            '-' => TokenKind::Operator(BinaryOp::Sub),
            '^' => TokenKind::Operator(BinaryOp::Pow),
            '@' => TokenKind::At,
            '=' | '!' | '<' | '>' => return self.comparison(c),
            '(' | ')' => return self.parenthesis(c),
            '[' | ']' => return self.bracket(c),
            '{' => {
                self.in_braces = true;
                TokenKind::LeftBrace
            }
            '"' | '\'' | '`' => return self.string(c),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                return self.fail(format!("unexpected character: {}", quote_char(c)));
            }
            '.' | '0'..='9' => return self.number_or_duration(),
            c if (begins_word(c) || c == ':') && self.in_brackets => return self.word_in_brackets(c),
            c if begins_word(c) || c == ':' => self.word(),
            c => return self.fail(format!("unexpected character: {}", quote_char(c))),
        };
        Ok(kind)
    }

    fn end_of_input(&mut self) -> Lexed {
        if self.open_parens > 0 {
            let help = hint::unclosed(self.text, innermost_open(self.text));
            return self.fail("unclosed left parenthesis".to_owned()).map_err(|error| error.with_help(help));
        }
        if self.in_brackets {
            return self.fail("unclosed left bracket".to_owned());
        }
        Ok(TokenKind::EndOfInput)
    }

    fn comparison(&mut self, c: char) -> Lexed {
        let op = match c {
            '=' if self.accept("=") => BinaryOp::Eq,
            '=' if self.peek() == Some('~') => {
                return self.fail("unexpected character after '=': '~'".to_owned());
            }
            '=' => return Ok(TokenKind::Equal),
            '!' if self.accept("=") => BinaryOp::Ne,
            '!' => {
                let next = quote_char(self.peek().unwrap_or(char::REPLACEMENT_CHARACTER));
                return self.fail(format!("unexpected character after '!': {next}"));
            }
            '<' if self.accept("=") => BinaryOp::Le,
            '<' if self.accept("/") => BinaryOp::TrimUpper,
            '<' => BinaryOp::Lt,
            _ if self.accept("=") => BinaryOp::Ge,
            _ if self.accept("/") => BinaryOp::TrimLower,
            _ => BinaryOp::Gt,
        };
        Ok(TokenKind::Operator(op))
    }

    fn parenthesis(&mut self, c: char) -> Lexed {
        if c == '(' {
            self.open_parens += 1;
            return Ok(TokenKind::LeftParen);
        }
        let Some(open) = self.open_parens.checked_sub(1) else {
            self.start = self.pos;
            return self
                .fail("unexpected right parenthesis ')'".to_owned())
                .map_err(|error| error.with_help(hint::unopened()));
        };
        self.open_parens = open;
        Ok(TokenKind::RightParen)
    }

    fn bracket(&mut self, c: char) -> Lexed {
        match (c, self.in_brackets) {
            ('[', false) => {
                self.in_brackets = true;
                self.in_duration = true;
                self.got_colon = false;
                Ok(TokenKind::LeftBracket)
            }
            (']', true) => {
                self.in_brackets = false;
                self.in_duration = false;
                Ok(TokenKind::RightBracket)
            }
            ('[', _) => self.fail("unexpected left bracket '['".to_owned()),
            _ => self.fail("unexpected right bracket ']'".to_owned()),
        }
    }

    /// A word between brackets, after the first number: only the colon and what stands in durations has a place there.
    fn word_in_brackets(&mut self, c: char) -> Lexed {
        if c == ':' {
            if self.got_colon {
                return self.fail("unexpected colon ':'".to_owned());
            }
            self.got_colon = true;
            return Ok(TokenKind::Colon);
        }
        match self.duration_keyword() {
            Some(keyword) => Ok(TokenKind::Keyword(keyword)),
            None => self.fail(format!("unexpected character: {}, expected ':'", quote_char(c))),
        }
    }

    /// Between a bracket and its first number.
    fn duration_expression(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.fail("unexpected end of input in duration expression".to_owned());
        };
        let kind = match c {
            '+' => TokenKind::Operator(BinaryOp::Add),
            '-' => TokenKind::Operator(BinaryOp::Sub),
            '*' => TokenKind::Operator(BinaryOp::Mul),
            '/' => TokenKind::Operator(BinaryOp::Div),
            '%' => TokenKind::Operator(BinaryOp::Mod),
            '^' => TokenKind::Operator(BinaryOp::Pow),
            ',' => TokenKind::Comma,
            '(' | ')' => return self.parenthesis(c),
            ']' => return self.bracket(c),
            ':' if self.got_duration => {
                self.got_colon = true;
                TokenKind::Colon
            }
            ':' => {
                self.start = self.pos;
                return self.fail("unexpected colon before duration in duration expression".to_owned());
            }
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                return self.fail("unexpected character in duration expression: '.'".to_owned());
            }
            '.' | '0'..='9' => {
                self.in_duration = false;
                self.got_duration = true;
                return self.number_or_duration();
            }
            c => match self.duration_keyword() {
                Some(keyword) => TokenKind::Keyword(keyword),
                None => return self.fail(format!("unexpected character in duration expression: {}", quote_char(c))),
            },
        };
        Ok(kind)
    }

    /// `step`, `range`, `max_of` or `min_of` from the start of the token on.
    fn duration_keyword(&mut self) -> Option<Keyword> {
        self.accept_while(is_alpha);
        let keyword = Keyword::from_name(&self.text[self.start..self.pos])?;
        matches!(keyword, Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf).then_some(keyword)
    }

    /// Between braces all words are names.
    fn inside_braces(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.fail("unexpected end of input inside braces".to_owned());
        };
        let kind = match c {
            ',' => TokenKind::Comma,
            '"' | '\'' | '`' => return self.string(c),
            '=' if self.accept("~") => TokenKind::RegexMatch,
            '=' => TokenKind::Equal,
            '!' if self.accept("~") => TokenKind::RegexNotMatch,
            '!' if self.accept("=") => TokenKind::Operator(BinaryOp::Ne),
            '!' => {
                let next = quote_char(self.peek().unwrap_or(char::REPLACEMENT_CHARACTER));
                return self.fail(format!("unexpected character after '!' inside braces: {next}"));
            }
            '{' => return self.fail("unexpected left brace '{'".to_owned()),
            '}' => {
                self.in_braces = false;
                TokenKind::RightBrace
            }
            c if begins_word(c) => {
                self.accept_while(is_alphanumeric);
                TokenKind::Identifier
            }
            c => return self.fail(format!("unexpected character inside braces: {}", quote_char(c))),
        };
        Ok(kind)
    }

    fn word(&mut self) -> TokenKind {
        self.accept_while(|byte| is_alphanumeric(byte) || byte == b':');
        let kind = classify_word(&self.text[self.start..self.pos]);
        let is_fill = matches!(kind, TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight));
        // The modifier came late to the language: without a parenthesis the word stays the name of a metric.
        if is_fill && !self.text[self.pos..].trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(') {
            return TokenKind::Identifier;
        }
        kind
    }

    fn number_or_duration(&mut self) -> Lexed {
        self.pos = self.start;
        if self.scan_number() {
            return Ok(TokenKind::Number);
        }
        if self.scan_rest_of_duration() {
            return Ok(TokenKind::Duration);
        }
        let text = quote(&self.text[self.start..self.pos]);
        self.fail(format!("bad number or duration syntax: {text}"))
    }

    /// Scans what may be a number; whether it is one shows when its value is read. Stops inside where it cannot be one.
    fn scan_number(&mut self) -> bool {
        let mut digits = DIGITS;
        if self.accept("0") && self.accept("xX") {
            self.accept("_");
            digits = HEX_DIGITS;
        }
        let is_hex = digits == HEX_DIGITS;
        self.accept(".");
        self.accept(digits);
        let (mut got_dot, mut got_exponent) = (false, false);
        while let Some(byte) = self.peek_byte() {
            match byte {
                b'.' => {
                    self.pos += 1;
                    // A second dot, one before a separator, and one in a hexadecimal number end the attempt.
                    if got_dot || self.accept("_.") || is_hex {
                        return false;
                    }
                    got_dot = true;
                }
                // Once an exponent cannot come any more, `e` may still be a hexadecimal digit, but upstream refuses that too.
                b'e' | b'E' => {
                    self.pos += 1;
                    if got_exponent {
                        return false;
                    }
                    got_exponent = true;
                    self.accept("+-");
                    if self.accept("._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                b'_' => {
                    self.pos += 1;
                    if self.accept("._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                byte if digits.as_bytes().contains(&byte) => {
                    self.accept_while(|byte| digits.as_bytes().contains(&byte))
                }
                _ => break,
            }
        }
        !self.peek_byte().is_some_and(is_alphanumeric)
    }

    /// After `scan_number` has stopped at the first unit: the rest of `1h30m`. Order and size are judged with the value.
    fn scan_rest_of_duration(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        self.accept("s");
        while self.accept(DIGITS) {
            self.accept_while(|byte| byte.is_ascii_digit());
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        let goes_on = self.peek_byte().is_some_and(is_alphanumeric);
        self.pos += usize::from(goes_on);
        !goes_on
    }

    fn string(&mut self, quotation: char) -> Lexed {
        // In UTF-8 no byte of a longer character is one of these; the last begins U+FFFD, among others.
        let is_plain = |byte: u8| !matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b'\n' | 0xef);
        loop {
            self.accept_while(is_plain);
            match self.bump() {
                Some('\\') if quotation != '`' => self.escape(quotation)?,
                // Go's scanner cannot tell a written U+FFFD from a decoding error.
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune".to_owned()),
                None if quotation == '`' => return self.fail("unterminated raw string".to_owned()),
                None => return self.fail("unterminated quoted string".to_owned()),
                Some('\n') if quotation != '`' => return self.fail("unterminated quoted string".to_owned()),
                Some(c) if c == quotation => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    /// Checks an escape whose backslash has been read.
    fn escape(&mut self, quotation: char) -> Result<(), Box<LexError>> {
        let Some(kind) = self.bump() else {
            return self.fail_escape("escape sequence not terminated".to_owned());
        };
        let (count, radix, code_max) = match kind {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == quotation => return Ok(()),
            '0'..='7' => {
                self.pos -= 1;
                (3, 8, 255)
            }
            'x' => (2, 16, 255),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            c => return self.fail_escape(format!("unknown escape sequence {}", rune(c))),
        };
        let mut code: u32 = 0;
        for _ in 0..count {
            match self.bump().map(|c| (c, c.to_digit(radix))) {
                None => return self.fail_escape("escape sequence not terminated".to_owned()),
                Some((_, Some(digit))) => code = code.wrapping_mul(radix).wrapping_add(digit),
                Some((c, None)) => {
                    return self.fail_escape(format!("illegal character {} in escape sequence", rune(c)));
                }
            }
        }
        if code > code_max || char::from_u32(code).is_none() {
            return self.fail_escape("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }

    fn fail_escape(&mut self, message: String) -> Result<(), Box<LexError>> {
        self.fail(message).map(|_| ())
    }

    fn peek(&self) -> Option<char> {
        self.text[self.pos..].chars().next()
    }

    fn peek_byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn bump(&mut self) -> Option<char> {
        match self.peek_byte()? {
            byte if byte.is_ascii() => {
                self.pos += 1;
                Some(char::from(byte))
            }
            _ => {
                let c = self.peek()?;
                self.pos += c.len_utf8();
                Some(c)
            }
        }
    }

    /// Takes the next character if it is one of `set`, which are ASCII.
    fn accept(&mut self, set: &str) -> bool {
        let found = self.peek_byte().is_some_and(|byte| set.as_bytes().contains(&byte));
        self.pos += usize::from(found);
        found
    }

    /// Takes bytes as long as `keep` says, which tells no two parts of a character apart.
    fn accept_while(&mut self, keep: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.pos..];
        self.pos += rest.iter().position(|byte| !keep(*byte)).unwrap_or(rest.len());
    }

    fn fail(&self, message: String) -> Lexed {
        let inside = match (self.in_braces, self.in_brackets) {
            (true, _) => hint::Inside::Braces,
            (_, true) => hint::Inside::Brackets,
            _ => hint::Inside::Neither,
        };
        let help = hint::for_lexer(self.text, self.start, inside);
        Err(Box::new(LexError { span: Span::new(self.start, self.text.len()), message, help }))
    }
}

impl LexError {
    fn with_help(mut self: Box<Self>, help: String) -> Box<Self> {
        self.help = Some(help);
        self
    }
}

/// Where the innermost parenthesis stands that nothing closes: read anew, since only a mistake asks.
fn innermost_open(text: &str) -> usize {
    let (mut lexer, mut open) = (Lexer::new(text), Vec::new());
    loop {
        // At its end the lexer would ask this again.
        lexer.skip_space_and_comments();
        if lexer.pos == text.len() {
            break;
        }
        match lexer.next_token() {
            Ok(Token { kind: TokenKind::LeftParen, span }) => open.push(span.start),
            Ok(Token { kind: TokenKind::RightParen, .. }) => drop(open.pop()),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    open.pop().expect("BUG: no parenthesis is open")
}

/// As Go's `%#U`: `U+0071 'q'`.
fn rune(c: char) -> String {
    let code = u32::from(c);
    if c.is_control() { format!("U+{code:04X}") } else { format!("U+{code:04X} '{c}'") }
}
