//! Classes of characters: `[…]`, `\d` and its kin, `\p{…}`.
//!
//! In the flow: part of the translator. Every member is written by itself, with nothing that could mean more to Rust
//! than to Go: no `&&`, no `--`, and nested brackets only where a member is a class.

use regex::Regex;

use super::PatternError;
use super::translator::{NOTHING, Translator};

/// Go's names of general categories.
const CATEGORIES: [&str; 38] = [
    "C", "Cc", "Cf", "Cn", "Co", "Cs", "L", "LC", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl",
    "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
];
/// Scripts of four letters; any other four letters are ISO codes such as `Grek`, which Rust knows and Go does not.
const FOUR_LETTER_SCRIPTS: [&str; 9] = ["Ahom", "Cham", "Kawi", "Lisu", "Miao", "Modi", "Newa", "Thai", "Toto"];
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// ASCII only, in Go.
fn perl_class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\f\r\x20]",
        'S' => r"[^\t\n\f\r\x20]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

impl<'p> Translator<'p> {
    /// `[…]`.
    pub(super) fn class(&mut self) -> Result<(), PatternError> {
        let start = self.rest;
        self.skip(1);
        self.out.push('[');
        if self.rest.starts_with('^') {
            self.skip(1);
            self.out.push('^');
        }
        // The first character may be a closing bracket.
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            if !self.posix_class()? && !self.class_escape()? {
                self.range(start)?;
            }
        }
        self.skip(1);
        self.out.push(']');
        Ok(())
    }

    /// `[:alpha:]` or `[:^alpha:]`, if that comes next.
    fn posix_class(&mut self) -> Result<bool, PatternError> {
        let Some(after) = self.rest.strip_prefix("[:").filter(|_| !self.is_past_posix) else { return Ok(false) };
        let Some((inside, _)) = after.split_once(":]") else {
            self.is_past_posix = true;
            return Ok(false);
        };
        let written = &self.rest[..inside.len() + "[::]".len()];
        if !POSIX_CLASSES.contains(&inside.strip_prefix('^').unwrap_or(inside)) {
            return Err(PatternError::new("invalid character class range", written));
        }
        self.out.push_str(written);
        self.skip(written.len());
        Ok(true)
    }

    /// `\d` and its kin or `\p{…}`, if that comes next.
    pub(super) fn class_escape(&mut self) -> Result<bool, PatternError> {
        let mut chars = self.rest.chars();
        let (Some('\\'), Some(letter)) = (chars.next(), chars.next()) else { return Ok(false) };
        if let Some(source) = perl_class(letter) {
            self.skip(2);
            self.out.push_str(source);
            return Ok(true);
        }
        if letter != 'p' && letter != 'P' {
            return Ok(false);
        }
        self.unicode_class(letter == 'P')?;
        Ok(true)
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}`; negated where the `P` is a capital.
    fn unicode_class(&mut self, is_capital: bool) -> Result<(), PatternError> {
        let start = self.rest;
        let invalid = |part: &str| PatternError::new("invalid character class range", part);
        self.skip(2);
        let name = match self.rest.strip_prefix('{') {
            Some(_) => {
                let end = self.rest.find('}').ok_or_else(|| invalid(start))?;
                let name = &self.rest[1..end];
                self.skip(end + 1);
                name
            }
            None => {
                let name = &self.rest[..self.rest.chars().next().map_or(0, char::len_utf8)];
                self.skip(name.len());
                name
            }
        };
        let positive = name.strip_prefix('^').unwrap_or(name);
        let is_negated = is_capital != (positive.len() < name.len());
        let letter = if is_negated { 'P' } else { 'p' };
        let source = match property(positive).ok_or_else(|| invalid(self.since(start)))? {
            Property::Known(property) => format!("\\{letter}{{{property}}}"),
            Property::Nothing if is_negated => r"\p{Any}".to_owned(),
            Property::Nothing => NOTHING.to_owned(),
        };
        self.out.push_str(&source);
        Ok(())
    }

    /// One character or a range of them. `class` is the pattern from the opening bracket on.
    fn range(&mut self, class: &'p str) -> Result<(), PatternError> {
        let start = self.rest;
        let low = self.class_char(class)?;
        let mut high = low;
        // A hyphen before the closing bracket stands for itself.
        if self.rest.starts_with('-') && self.rest.len() > 1 && !self.rest.starts_with("-]") {
            self.skip(1);
            high = self.class_char(class)?;
            if high < low {
                return Err(PatternError::new("invalid character class range", self.since(start)));
            }
        }
        self.push_range(low, high);
        Ok(())
    }

    fn class_char(&mut self, class: &'p str) -> Result<u32, PatternError> {
        match self.rest.chars().next() {
            None => Err(PatternError::new("missing closing ]", class)),
            Some('\\') => self.escape(),
            Some(c) => {
                self.skip(c.len_utf8());
                Ok(u32::from(c))
            }
        }
    }

    /// Surrogates are left out: no text holds them and Rust has no name for them.
    fn push_range(&mut self, low: u32, high: u32) {
        let low = (low..=high).find_map(char::from_u32);
        let Some(low) = low else {
            self.out.push_str(NOTHING);
            return;
        };
        let high = char::from_u32(high).unwrap_or('\u{d7ff}');
        self.push_member(low);
        if low < high {
            self.out.push('-');
            self.push_member(high);
        }
    }

    fn push_member(&mut self, c: char) {
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            self.out.push_str(&format!("\\x{:02X}", u32::from(c)));
        } else {
            self.out.push(c);
        }
    }
}

enum Property {
    /// As Rust writes it between the braces.
    Known(String),
    /// A set that holds no character of any text.
    Nothing,
}

/// The category or script that Go knows by `name`.
fn property(name: &str) -> Option<Property> {
    if name == "Any" {
        return Some(Property::Known(name.to_owned()));
    }
    if name == "Cs" {
        return Some(Property::Nothing);
    }
    if CATEGORIES.contains(&name) {
        return Some(Property::Known(format!("gc={name}")));
    }
    // Rust forgives case, missing underscores, a leading `Is` and ISO codes; Go does not.
    let is_code = name.len() == 4 && !FOUR_LETTER_SCRIPTS.contains(&name);
    let is_like_script = !is_code && !name.starts_with("Is") && name.split('_').all(is_capitalised);
    let source = format!("sc={name}");
    (is_like_script && Regex::new(&format!("\\p{{{source}}}")).is_ok()).then_some(Property::Known(source))
}

/// The one script with a capital inside a word is `SignWriting`.
fn is_capitalised(word: &str) -> bool {
    let mut letters = word.bytes();
    letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && (word == "SignWriting" || letters.all(|letter| letter.is_ascii_lowercase()))
}
