//! Escapes that stand for one character: `\n`, `\x41`, `\x{1F600}`, `\101`, `\.`.
//!
//! In the flow: part of the translator, inside and outside brackets.

use super::PatternError;
use super::translator::Translator;

impl Translator<'_> {
    /// An escape that stands for one character; the answer is its code.
    pub(super) fn escape(&mut self) -> Result<u32, PatternError> {
        let start = self.rest;
        self.skip(1);
        let Some(c) = self.rest.chars().next() else {
            return Err(PatternError::new("trailing backslash at end of expression", ""));
        };
        self.skip(c.len_utf8());
        let code = match c {
            'a' => Some(7),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            'x' => self.hex(),
            // One digit alone would be a reference to a group.
            '0' => Some(self.octal(0)),
            '1'..='7' if self.rest.starts_with(|next: char| next.is_digit(8)) => Some(self.octal(u32::from(c) - 0x30)),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        code.ok_or_else(|| PatternError::new("invalid escape sequence", self.since(start)))
    }

    /// Up to two more octal digits.
    fn octal(&mut self, first: u32) -> u32 {
        let mut code = first;
        for _ in 0..2 {
            let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8)) else { break };
            code = code * 8 + digit;
            self.skip(1);
        }
        code
    }

    /// Two hexadecimal digits, or any number of them in braces.
    fn hex(&mut self) -> Option<u32> {
        let mut next = || {
            let c = self.rest.chars().next()?;
            self.rest = &self.rest[c.len_utf8()..];
            Some(c)
        };
        let first = next()?;
        if first != '{' {
            // Both are read before either is judged: Go's message shows both.
            let second = next();
            return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
        }
        let mut code = None;
        loop {
            match next()? {
                '}' => return code,
                c => {
                    let value = code.unwrap_or(0) * 16 + c.to_digit(16)?;
                    code = (value <= u32::from(char::MAX)).then_some(value);
                    code?;
                }
            }
        }
    }
}
