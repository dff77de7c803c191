//! Reads a pattern by Go's rules and writes it in Rust's syntax.
//!
//! In the flow: [`super::Pattern`] calls [`translate`]; `class.rs` reads classes of characters, `escape.rs` what a
//! backslash makes one character.
//! Each atom is written as it is read. A repetition goes right behind the last atom, which need not be the last thing
//! written: in `a(?i)*` the star belongs to the `a`.

use super::{NESTING_MAX, PatternError};

/// Highest count in a repetition, and highest product of counts in repetitions within each other; Go's limit.
const REPEAT_MAX: u32 = 1000;
/// Matches no character at all.
pub(super) const NOTHING: &str = r"[^\x{0}-\x{10FFFF}]";

/// A pattern in Rust's syntax, without the names of its groups.
pub(super) struct Translation {
    pub(super) source: String,
    /// Names with the numbers of their groups.
    pub(super) names: Vec<(String, usize)>,
}

/// What `(?imsU)` sets.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) is_case_folded: bool,
    pub(super) is_multi_line: bool,
    pub(super) is_dot_all: bool,
    /// Repetitions prefer fewer, those with a question mark more.
    pub(super) is_ungreedy: bool,
}

impl Flags {
    /// As Rust writes them. Greed is settled at each repetition and never written.
    fn source(self) -> String {
        let all = [('i', self.is_case_folded), ('m', self.is_multi_line), ('s', self.is_dot_all)];
        let letters = |wanted: bool| all.iter().filter(move |(_, set)| *set == wanted).map(|(letter, _)| *letter);
        let mut source: String = letters(true).collect();
        if letters(false).next().is_some() {
            source.push('-');
            source.extend(letters(false));
        }
        source
    }
}

/// The last thing read that can be repeated, as a part of the output.
struct Atom {
    start: usize,
    end: usize,
    /// Product of the counts of repetitions within each other, the highest of its branches.
    weight: u32,
    /// How many operators repeat it already.
    repetitions: u32,
}

/// A group that is still open, with what counts again once it is closed.
struct Group {
    start: usize,
    flags: Flags,
    weight: u32,
}

pub(super) struct Translator<'p> {
    pattern: &'p str,
    /// What is not read yet; the end of `pattern`.
    pub(super) rest: &'p str,
    pub(super) out: String,
    flags: Flags,
    open: Vec<Group>,
    atom: Option<Atom>,
    /// The highest weight in the open group, `atom` not counted.
    weight: u32,
    groups: usize,
    names: Vec<(String, usize)>,
    /// The pattern from the repetition operator on that was read just before.
    last_repeat: Option<&'p str>,
    /// No `:]` follows any more. Without this memory a class full of `[:` would be searched again and again.
    pub(super) is_past_posix: bool,
}

/// Translates `pattern`, which starts out with `flags`.
pub(super) fn translate(pattern: &str, flags: Flags) -> Result<Translation, PatternError> {
    let mut translator = Translator {
        pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() + 8),
        flags,
        open: Vec::new(),
        atom: None,
        weight: 1,
        groups: 0,
        names: Vec::new(),
        last_repeat: None,
        is_past_posix: false,
    };
    while let Some(c) = translator.rest.chars().next() {
        translator.step(c)?;
    }
    if !translator.open.is_empty() {
        return Err(PatternError::new("missing closing )", pattern));
    }
    Ok(Translation { source: translator.out, names: translator.names })
}

impl<'p> Translator<'p> {
    /// Reads the next element, which begins with `c`.
    fn step(&mut self, c: char) -> Result<(), PatternError> {
        let operator = match c {
            '*' | '+' | '?' => Some(Operator { length: 1, count: None }),
            '{' => self.counted()?,
            _ => None,
        };
        if let Some(operator) = operator {
            let before = self.rest;
            self.repeat(&operator)?;
            self.last_repeat = Some(before);
            return Ok(());
        }
        match c {
            '(' if self.rest.starts_with("(?") => self.special_group()?,
            '(' => {
                self.skip(1);
                self.open_capture();
            }
            ')' => self.close_group()?,
            '|' => {
                self.skip(1);
                self.settle_atom();
                self.out.push('|');
            }
            '[' => {
                let start = self.out.len();
                self.class()?;
                self.end_atom(start);
            }
            '\\' => self.backslash()?,
            '^' | '$' | '.' => {
                self.skip(1);
                self.atom(c.encode_utf8(&mut [0; 4]));
            }
            c => {
                self.skip(c.len_utf8());
                self.literal(u32::from(c));
            }
        }
        self.last_repeat = None;
        Ok(())
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// What was read since `start`, an earlier value of `rest`.
    pub(super) fn since(&self, start: &'p str) -> &'p str {
        &start[..start.len() - self.rest.len()]
    }

    fn atom(&mut self, source: &str) {
        let start = self.out.len();
        self.out.push_str(source);
        self.end_atom(start);
    }

    /// Makes everything written since `start` the last atom.
    fn end_atom(&mut self, start: usize) {
        self.settle_atom();
        self.atom = Some(Atom { start, end: self.out.len(), weight: 1, repetitions: 0 });
    }

    /// The last atom cannot be repeated any more.
    fn settle_atom(&mut self) {
        if let Some(atom) = self.atom.take() {
            self.weight = self.weight.max(atom.weight);
        }
    }

    fn literal(&mut self, code: u32) {
        let Some(c) = char::from_u32(code) else {
            // Half of a surrogate pair: allowed in a pattern, never in a text.
            return self.atom(NOTHING);
        };
        let start = self.out.len();
        if r"\.+*?()|[]{}^$".contains(c) {
            self.out.push('\\');
        }
        self.out.push(c);
        self.end_atom(start);
    }

    fn open_capture(&mut self) {
        self.groups += 1;
        self.open_group("(", self.flags);
    }

    /// Opens a group that begins with `source` and has `flags` inside.
    fn open_group(&mut self, source: &str, flags: Flags) {
        self.settle_atom();
        self.open.push(Group { start: self.out.len(), flags: self.flags, weight: self.weight });
        self.out.push_str(source);
        self.flags = flags;
        self.weight = 1;
    }

    fn close_group(&mut self) -> Result<(), PatternError> {
        let Some(group) = self.open.pop() else { return Err(PatternError::new("unexpected )", self.pattern)) };
        self.skip(1);
        self.out.push(')');
        self.settle_atom();
        let weight = std::mem::replace(&mut self.weight, group.weight);
        self.flags = group.flags;
        self.atom = Some(Atom { start: group.start, end: self.out.len(), weight, repetitions: 0 });
        Ok(())
    }

    /// `(?P<name>`, `(?<name>`, `(?flags)` or `(?flags:`.
    fn special_group(&mut self) -> Result<(), PatternError> {
        let start = self.rest;
        let named = ["(?P<", "(?<"].iter().find_map(|prefix| start.strip_prefix(prefix));
        if let Some(named) = named.filter(|name| !name.is_empty()) {
            let invalid = |part| PatternError::new("invalid named capture", part);
            let (name, after) = named.split_once('>').ok_or_else(|| invalid(start))?;
            self.rest = after;
            if name.is_empty() || !name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) {
                return Err(invalid(self.since(start)));
            }
            self.open_capture();
            self.names.push((name.to_owned(), self.groups));
            return Ok(());
        }
        self.skip(2);
        let mut flags = self.flags;
        let (mut is_clearing, mut has_letter) = (false, false);
        while let Some(c) = self.rest.chars().next() {
            self.skip(c.len_utf8());
            let flag = match c {
                'i' => &mut flags.is_case_folded,
                'm' => &mut flags.is_multi_line,
                's' => &mut flags.is_dot_all,
                'U' => &mut flags.is_ungreedy,
                '-' if !is_clearing => {
                    (is_clearing, has_letter) = (true, false);
                    continue;
                }
                ':' | ')' if has_letter || !is_clearing => {
                    self.set_flags(flags, c);
                    return Ok(());
                }
                _ => break,
            };
            *flag = !is_clearing;
            has_letter = true;
        }
        Err(PatternError::new("invalid or unsupported Perl syntax", self.since(start)))
    }

    /// `end` tells whether a group follows.
    fn set_flags(&mut self, flags: Flags, end: char) {
        match (end, flags == self.flags) {
            (':', true) => self.open_group("(?:", flags),
            (':', false) => self.open_group(&format!("(?{}:", flags.source()), flags),
            (_, true) => {}
            (_, false) => {
                self.out.push_str(&format!("(?{})", flags.source()));
                self.flags = flags;
            }
        }
    }

    fn backslash(&mut self) -> Result<(), PatternError> {
        let start = self.out.len();
        let source = match self.rest[1..].chars().next() {
            Some('A') => r"\A",
            Some('z') => r"\z",
            Some('b') => r"(?-u:\b)",
            Some('B') => r"(?-u:\B)",
            Some('C') => return Err(PatternError::new("invalid escape sequence", r"\C")),
            Some('Q') => {
                self.quotation();
                return Ok(());
            }
            _ if self.class_escape()? => {
                self.end_atom(start);
                return Ok(());
            }
            _ => {
                let code = self.escape()?;
                self.literal(code);
                return Ok(());
            }
        };
        self.skip(2);
        self.atom(source);
        Ok(())
    }

    /// `\Q…\E`: everything between stands for itself. The end may be missing.
    fn quotation(&mut self) {
        let quoted = &self.rest[2..];
        let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
        self.rest = after;
        for c in literal.chars() {
            self.literal(u32::from(c));
        }
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else in braces is literal.
    fn counted(&self) -> Result<Option<Operator>, PatternError> {
        let after = &self.rest[1..];
        let (inside, end) =
            after.split_at(after.find(|c: char| c != ',' && !c.is_ascii_digit()).unwrap_or(after.len()));
        if !end.starts_with('}') {
            return Ok(None);
        }
        let is_number = |text: &str| {
            let has_leading_zero = text.len() > 1 && text.starts_with('0');
            !text.is_empty() && !has_leading_zero && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
        if !is_number(low) || !(is_number(high) || high.is_empty()) {
            return Ok(None);
        }
        let operator = &self.rest[..inside.len() + 2];
        let limited = |text: &str| text.parse().ok().filter(|count| *count <= REPEAT_MAX);
        let too_big = || PatternError::new("invalid repeat count", operator);
        let low = limited(low).ok_or_else(too_big)?;
        let high = if high.is_empty() { None } else { Some(limited(high).ok_or_else(too_big)?) };
        if high.is_some_and(|high| low > high) {
            return Err(too_big());
        }
        Ok(Some(Operator { length: operator.len(), count: Some((low, high)) }))
    }

    /// Repeats the last atom.
    fn repeat(&mut self, operator: &Operator) -> Result<(), PatternError> {
        let before = self.rest;
        self.skip(operator.length);
        let mut is_lazy = self.flags.is_ungreedy;
        if self.rest.starts_with('?') {
            self.skip(1);
            is_lazy = !is_lazy;
        }
        let written = self.since(before);
        if let Some(earlier) = self.last_repeat {
            return Err(PatternError::new("invalid nested repetition operator", self.since(earlier)));
        }
        let Some(mut atom) = self.atom.take() else {
            return Err(PatternError::new("missing argument to repetition operator", written));
        };
        if let Some(count) = operator.count {
            atom.weight = repeated_weight(atom.weight, count)
                .ok_or_else(|| PatternError::new("invalid repeat count", written))?;
        }
        if atom.repetitions == NESTING_MAX {
            return Err(PatternError::new("expression nests too deeply", self.pattern));
        }
        if atom.repetitions > 0 {
            self.out.insert(atom.end, ')');
            self.out.insert_str(atom.start, "(?:");
            atom.end += "(?:)".len();
        }
        let greed = if is_lazy { "?" } else { "" };
        let source = format!("{}{greed}", &before[..operator.length]);
        self.out.insert_str(atom.end, &source);
        atom.end += source.len();
        self.atom = Some(Atom { repetitions: atom.repetitions + 1, ..atom });
        Ok(())
    }
}

/// A repetition operator without its mark of greed.
struct Operator {
    /// In bytes.
    length: usize,
    /// Lowest and highest count of `{…}`; no highest count means without end.
    count: Option<(u32, Option<u32>)>,
}

/// The weight of an atom of `weight` once it is repeated; `None` when that is too much.
fn repeated_weight(weight: u32, (low, high): (u32, Option<u32>)) -> Option<u32> {
    let count = high.unwrap_or(low);
    if high == Some(0) {
        return Some(1);
    }
    let product = weight.saturating_mul(count.max(1));
    // Go looks only where something is really repeated: `(?:a{1000}){1}` adds nothing to check.
    (count < 2 || product <= REPEAT_MAX).then_some(product)
}
