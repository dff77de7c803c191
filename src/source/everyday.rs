//! The YAML that rule files are mostly written in, read in one pass over lines: an order of magnitude faster than a parser of all of YAML.
//!
//! In the flow: [`super::yaml::parse`] asks here first. Block mappings with simple keys, block sequences, plain and quoted values on one line, flow
//! mappings and sequences of such on one line, and block scalars without surprises are known here. At anything else [`parse`] gives `None`, and the parser of all of YAML decides, also
//! about every mistake.
//!
//! **Invariant.** What is given is what the other parser gives, node for node and byte for byte of every place: the tests of `yaml` hold both
//! together on every file of the repository and on thousands of mutations of them.
//! **Cost.** Linear; a node a value, and one text each.

use super::Span;
use super::yaml::{DEPTH_MAX, NODES_MAX, Node, NodeKind};

/// More keys than this in one mapping are compared by the other parser, which sorts them.
const KEYS_MAX: usize = 64;

/// The only document of `text`, if it is of the everyday kind.
pub(super) fn parse(text: &str) -> Option<Node> {
    let is_odd = |byte: &u8| matches!(byte, b'\r' | b'\0');
    let is_odd_char = |c: char| matches!(c, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    if text.bytes().any(|byte| is_odd(&byte)) || !text.is_ascii() && text.contains(is_odd_char) {
        return None;
    }
    let mut reader = Reader { text, at: 0, line_start: 0, nodes: 0, depth: 0 };
    reader.skip_blank()?;
    if reader.rest().starts_with("---\n") {
        reader.at += 3;
        reader.skip_blank()?;
    }
    let root = reader.block(0, None)?;
    reader.is_at_end().then_some(root)
}

struct Reader<'t> {
    text: &'t str,
    /// At the first character of a line that is not blank, or at the end, between values.
    at: usize,
    line_start: usize,
    nodes: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn bytes(&self) -> &'t [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// The column of `at`, from 0.
    fn column(&self) -> usize {
        self.at - self.line_start
    }

    /// From a line's end, or its beginning, to the next character that is neither space nor comment.
    fn skip_blank(&mut self) -> Option<()> {
        loop {
            self.at += self.bytes().iter().take_while(|byte| **byte == b' ').count();
            match self.bytes().first() {
                Some(b'\n') => {
                    self.at += 1;
                    self.line_start = self.at;
                }
                Some(b'#') => self.at += line_length(self.bytes()),
                // A tab where indentation is read means many things.
                Some(b'\t') => return None,
                Some(_) => return Some(()),
                None => {
                    self.line_start = self.at;
                    return Some(());
                }
            }
        }
    }

    fn node(&mut self, span: Span, kind: NodeKind) -> Option<Node> {
        self.nodes += 1;
        (self.nodes < NODES_MAX).then_some(Node { span, kind })
    }

    /// What begins at this column, a sequence or a mapping. A sequence at `key_column` has no indentation of its own.
    fn block(&mut self, column_min: usize, key_column: Option<usize>) -> Option<Node> {
        if self.is_at_end() || self.column() < column_min || self.depth + 1 >= DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let is_indented = key_column != Some(self.column());
        let block = if self.begins_item() { self.sequence(is_indented) } else { self.mapping() };
        self.depth -= 1;
        block
    }

    fn begins_item(&self) -> bool {
        self.bytes().starts_with(b"- ")
    }

    fn sequence(&mut self, is_indented: bool) -> Option<Node> {
        // The other parser counts from the first item where the dash opens no level.
        let (start, column) = (self.at + if is_indented { 0 } else { 2 }, self.column());
        let mut items = Vec::new();
        while !self.is_at_end() && self.column() == column && self.begins_item() {
            self.at += 2;
            if self.bytes().first().is_none_or(|byte| matches!(byte, b' ' | b'#' | b'\n')) {
                return None;
            }
            let item = if self.begins_item() || self.key_length().is_some() {
                self.block(column + 1, None)?
            } else {
                self.value(column)?
            };
            items.push(item);
        }
        // What follows stands further left, or is a key of the mapping around that stands at the same column.
        if !self.is_at_end() && self.column() > column {
            return None;
        }
        let end = items.last().map_or(start, |item: &Node| item.span.end);
        self.node(Span::new(start, end), NodeKind::Sequence(items))
    }

    fn mapping(&mut self) -> Option<Node> {
        let (start, column) = (self.at, self.column());
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        while !self.is_at_end() && self.column() == column && !self.begins_item() {
            let length = self.key_length()?;
            let name = &self.rest()[..length];
            if pairs.len() == KEYS_MAX || pairs.iter().any(|(key, _)| key.as_str() == Some(name)) || is_null(name) {
                return None;
            }
            let kind = NodeKind::Scalar { text: name.to_owned(), plain: true, block: false };
            let key = self.node(Span::new(self.at, self.at + length), kind)?;
            self.at += length + 1;
            let value = self.value_of_key(column)?;
            pairs.push((key, value));
        }
        if !self.is_at_end() && self.column() >= column {
            return None;
        }
        let end = pairs.last().map_or(start, |(_, value)| value.span.end);
        self.node(Span::new(start, end), NodeKind::Mapping(pairs))
    }

    /// The length of a key that begins here and is followed by a colon.
    fn key_length(&self) -> Option<usize> {
        let bytes = self.bytes();
        let is_first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let is_rest = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
        bytes.first().filter(|byte| is_first(byte))?;
        let length = bytes.iter().take_while(|byte| is_rest(byte)).count();
        let is_key = bytes.get(length) == Some(&b':') && matches!(bytes.get(length + 1), Some(b' ' | b'\n'));
        is_key.then_some(length)
    }

    /// After the colon of a key at `column`.
    fn value_of_key(&mut self, column: usize) -> Option<Node> {
        self.at += self.bytes().iter().take_while(|byte| **byte == b' ').count();
        match self.bytes().first()? {
            b'\n' => {
                self.skip_blank()?;
                // A sequence may stand at the column of its key.
                let column_min = if self.begins_item() { column } else { column + 1 };
                self.block(column_min, Some(column))
            }
            b'#' => None,
            _ => self.value(column),
        }
    }

    /// A value that begins on this line, in a block at `column`; goes to the next line that is not blank.
    fn value(&mut self, column: usize) -> Option<Node> {
        let start = self.at;
        let (kind, end) = match self.bytes().first()? {
            b'|' => return self.literal(column),
            b'>' => return self.folded(column),
            b'{' | b'[' => {
                let node = self.flow()?;
                let rest = &self.rest()[..line_length(self.bytes())];
                if !is_rest_blank(rest) {
                    return None;
                }
                self.at += rest.len();
                self.skip_blank()?;
                return (self.is_at_end() || self.column() <= column).then_some(node);
            }
            b'"' => self.double_quoted()?,
            b'\'' => self.single_quoted()?,
            _ => self.plain()?,
        };
        let node = self.node(Span::new(start, end), kind)?;
        self.skip_blank()?;
        // A deeper line would go on with the value.
        (self.is_at_end() || self.column() <= column).then_some(node)
    }

    fn plain(&mut self) -> Option<(NodeKind, usize)> {
        let bytes = self.bytes();
        let is_indicator = |byte: u8| b"-?:,[]{}#&*!|>'\"%@`".contains(&byte);
        let number = bytes.first() == Some(&b'-') && bytes.get(1).is_some_and(u8::is_ascii_digit);
        if is_indicator(bytes[0]) && !number {
            return None;
        }
        let line = &bytes[..line_length(bytes)];
        let comment = line.windows(2).position(|pair| pair == b" #");
        let mut length = comment.unwrap_or(line.len());
        while length > 0 && line[length - 1] == b' ' {
            length -= 1;
        }
        let text = &line[..length];
        let is_odd = |pair: &[u8]| pair == b": ";
        if text.ends_with(b":") || text.windows(2).any(is_odd) || text.iter().any(|byte| *byte < b' ' || *byte == 0x7f)
        {
            return None;
        }
        let text = &self.rest()[..length];
        let end = self.at + length;
        self.at += line.len();
        let kind = match is_null(text) {
            true => NodeKind::Null,
            false => NodeKind::Scalar { text: text.to_owned(), plain: true, block: false },
        };
        Some((kind, end))
    }

    /// A mapping or a sequence in brackets, on this line.
    fn flow(&mut self) -> Option<Node> {
        if self.depth + 1 >= DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let start = self.at;
        let close = if self.bytes()[0] == b'{' { b'}' } else { b']' };
        self.at += 1;
        let (mut pairs, mut items): (Vec<(Node, Node)>, Vec<Node>) = (Vec::new(), Vec::new());
        loop {
            self.skip_spaces();
            if close == b'}' {
                let key = self.flow_key()?;
                if pairs.len() == KEYS_MAX || pairs.iter().any(|(known, _)| known.as_str() == key.as_str()) {
                    return None;
                }
                let value = self.flow_value()?;
                pairs.push((key, value));
            } else {
                let item = self.flow_value()?;
                items.push(item);
            }
            self.skip_spaces();
            let next = *self.bytes().first()?;
            self.at += 1;
            match next {
                b',' => {}
                next if next == close => break,
                _ => return None,
            }
        }
        self.depth -= 1;
        let last = items.last().or_else(|| pairs.last().map(|(_, value)| value));
        let end = last.map_or(start, |node| node.span.end);
        let kind = if close == b'}' { NodeKind::Mapping(pairs) } else { NodeKind::Sequence(items) };
        self.node(Span::new(start, end), kind)
    }

    fn skip_spaces(&mut self) {
        self.at += self.bytes().iter().take_while(|byte| **byte == b' ').count();
    }

    /// A key with its colon and the spaces behind it.
    fn flow_key(&mut self) -> Option<Node> {
        let length = self.key_length()?;
        let name = &self.rest()[..length];
        if is_null(name) {
            return None;
        }
        let kind = NodeKind::Scalar { text: name.to_owned(), plain: true, block: false };
        let key = self.node(Span::new(self.at, self.at + length), kind)?;
        self.at += length + 1;
        self.skip_spaces();
        Some(key)
    }

    fn flow_value(&mut self) -> Option<Node> {
        let start = self.at;
        let quoted = match self.bytes().first()? {
            b'{' | b'[' => return self.flow(),
            b'"' => Some(self.double_text()?),
            b'\'' => Some(self.single_text()?),
            _ => None,
        };
        let (kind, length) = match quoted {
            Some((text, length)) => {
                let is_control = |byte: &u8| *byte < b' ' || *byte == 0x7f;
                if self.bytes()[..length].iter().any(is_control) {
                    return None;
                }
                (NodeKind::Scalar { text, plain: false, block: false }, length)
            }
            None => self.flow_plain()?,
        };
        self.at += length;
        self.node(Span::new(start, start + length), kind)
    }

    /// A value of letters, digits and what cannot mean anything else, with its length.
    fn flow_plain(&self) -> Option<(NodeKind, usize)> {
        let is_first = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'.');
        let is_rest = |byte: &u8| is_first(byte) || matches!(byte, b'-' | b' ' | b'+' | b'=' | b'(' | b')');
        let bytes = self.bytes();
        bytes.first().filter(|byte| is_first(byte))?;
        let mut length = bytes.iter().take_while(|byte| is_rest(byte)).count();
        if !matches!(bytes.get(length), Some(b',' | b'}' | b']')) {
            return None;
        }
        while bytes[length - 1] == b' ' {
            length -= 1;
        }
        let text = &self.rest()[..length];
        let kind = match is_null(text) {
            true => NodeKind::Null,
            false => NodeKind::Scalar { text: text.to_owned(), plain: true, block: false },
        };
        Some((kind, length))
    }

    fn double_quoted(&mut self) -> Option<(NodeKind, usize)> {
        let (text, length) = self.double_text()?;
        self.quoted(text, length)
    }

    /// What quotes hold, and how long it is with them.
    fn double_text(&self) -> Option<(String, usize)> {
        let mut text = String::new();
        let line = &self.rest()[1..line_length(self.bytes())];
        let mut at = 0;
        loop {
            let plain = line[at..].find(['"', '\\'])?;
            text.push_str(&line[at..at + plain]);
            at += plain + 1;
            if line.as_bytes()[at - 1] == b'"' {
                break;
            }
            text.push(match line.as_bytes().get(at)? {
                b'"' => '"',
                b'\\' => '\\',
                b'n' => '\n',
                b't' => '\t',
                _ => return None,
            });
            at += 1;
        }
        Some((text, 1 + at))
    }

    fn single_quoted(&mut self) -> Option<(NodeKind, usize)> {
        let (text, length) = self.single_text()?;
        self.quoted(text, length)
    }

    /// See [`Reader::double_text`].
    fn single_text(&self) -> Option<(String, usize)> {
        let mut text = String::new();
        let line = &self.rest()[1..line_length(self.bytes())];
        let mut at = 0;
        loop {
            let plain = line[at..].find('\'')?;
            text.push_str(&line[at..at + plain]);
            at += plain + 1;
            if line.as_bytes().get(at) != Some(&b'\'') {
                break;
            }
            text.push('\'');
            at += 1;
        }
        Some((text, 1 + at))
    }

    /// `length`: to behind the closing quote. Nothing but a comment may follow.
    fn quoted(&mut self, text: String, length: usize) -> Option<(NodeKind, usize)> {
        let is_control = |byte: &u8| *byte < b' ' || *byte == 0x7f;
        let line = &self.rest()[..line_length(self.bytes())];
        if !is_rest_blank(&line[length..]) || line.as_bytes()[..length].iter().any(is_control) {
            return None;
        }
        let end = self.at + length;
        self.at += line.len();
        Some((NodeKind::Scalar { text, plain: false, block: false }, end))
    }

    fn literal(&mut self, column: usize) -> Option<Node> {
        let (lines, start, end, chomping) = self.block_lines(column)?;
        let mut text = String::new();
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        self.block_scalar(text, (start, end), chomping)
    }

    /// Lines become one, an empty line a line's end. Where a line is indented further, the rules are others.
    fn folded(&mut self, column: usize) -> Option<Node> {
        let (lines, start, end, chomping) = self.block_lines(column)?;
        let mut text = String::new();
        let mut empty = 0;
        for line in &lines {
            if line.starts_with([' ', '\t']) {
                return None;
            }
            if line.is_empty() {
                empty += 1;
                continue;
            }
            match (text.is_empty(), empty) {
                (true, _) => text.extend(std::iter::repeat_n('\n', empty)),
                (false, 0) => text.push(' '),
                (false, _) => text.extend(std::iter::repeat_n('\n', empty)),
            }
            empty = 0;
            text.push_str(line);
        }
        text.extend(std::iter::repeat_n('\n', empty + 1));
        self.block_scalar(text, (start, end), chomping)
    }

    fn block_scalar(&mut self, mut text: String, (start, end): (usize, usize), chomping: Chomping) -> Option<Node> {
        let content = text.trim_end_matches('\n').len();
        match chomping {
            Chomping::Strip => text.truncate(content),
            Chomping::Clip => text.truncate(content + 1),
            Chomping::Keep => {}
        }
        self.node(Span::new(start, end), NodeKind::Scalar { text, plain: false, block: true })
    }

    /// The lines of a block scalar without their indentation, where the first one that is not empty begins, and where what follows does.
    fn block_lines(&mut self, column: usize) -> Option<(Vec<&'t str>, usize, usize, Chomping)> {
        let header = &self.rest()[..line_length(self.bytes())];
        let chomping = match header[1..].trim_end_matches(' ') {
            "" => Chomping::Clip,
            "-" => Chomping::Strip,
            "+" => Chomping::Keep,
            _ => return None,
        };
        self.at += header.len();
        let mut lines = Vec::new();
        let (mut indentation, mut first) = (0, 0);
        while self.bytes().first() == Some(&b'\n') && self.at + 1 < self.text.len() {
            let line_start = self.at + 1;
            let bytes = &self.text.as_bytes()[line_start..];
            let line = &self.text[line_start..line_start + line_length(bytes)];
            let spaces = line.len() - line.trim_start_matches(' ').len();
            let is_blank = spaces == line.len();
            if is_blank && (indentation == 0 || spaces <= indentation) {
                // Before the first line, spaces would have to be fewer than its own.
                if indentation == 0 && spaces > 0 {
                    return None;
                }
                lines.push("");
            } else if indentation == 0 && spaces > column {
                if line[spaces..].starts_with('\t') {
                    return None;
                }
                (indentation, first) = (spaces, line_start + spaces);
                lines.push(&line[spaces..]);
            } else if indentation > 0 && spaces >= indentation {
                lines.push(&line[indentation..]);
            } else {
                break;
            }
            if line.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
                return None;
            }
            self.at = line_start + line.len();
        }
        if indentation == 0 || self.is_at_end() {
            // A text that ends without a line's end has rules of its own.
            return None;
        }
        // The other parser has gone on to the next line by then.
        let rest = &self.text[self.at + 1..];
        let end = self.text.len() - rest.trim_start_matches(' ').len();
        self.skip_blank()?;
        (self.is_at_end() || self.column() <= column).then_some((lines, first, end, chomping))
    }
}

/// What becomes of line ends at the end of a block scalar.
#[derive(Clone, Copy)]
enum Chomping {
    Strip,
    Clip,
    Keep,
}

/// Whether nothing but a comment stands in the rest of a line.
fn is_rest_blank(rest: &str) -> bool {
    rest.trim_start_matches(' ').is_empty() || rest.starts_with(" #")
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn line_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())
}
