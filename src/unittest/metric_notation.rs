//! The notation of a metric in tests: `up{job="a"}`, `{"a name", "a label"="x"}`.

use crate::model::{Labels, LabelsBuilder, METRIC_NAME};
use crate::source::Span;

use super::series::SeriesError;

/// Reads a metric at the start of `text`; also gives where it ends.
pub(super) fn parse_metric(text: &str) -> Result<(Labels, usize), SeriesError> {
    let mut reader = Reader { text, at: 0 };
    let mut labels = LabelsBuilder::default();
    reader.skip_space();
    if let Some(name) = reader.identifier() {
        labels.set(METRIC_NAME, name);
    } else if reader.peek() != Some('{') {
        return Err(reader.error("expected a metric name or {"));
    }
    if reader.peek() == Some('{') {
        reader.at += 1;
        reader.labels(&mut labels)?;
    }
    Ok((labels.build(), reader.at))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn error(&self, message: &str) -> SeriesError {
        SeriesError::new(Span::new(self.at, self.text.len()), message)
    }

    fn identifier(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if length == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.at += length;
        Some(&rest[..length])
    }

    /// After `{` up to and including `}`.
    fn labels(&mut self, labels: &mut LabelsBuilder) -> Result<(), SeriesError> {
        loop {
            self.skip_space();
            if self.peek() == Some('}') {
                self.at += 1;
                return Ok(());
            }
            let quoted = matches!(self.peek(), Some('"' | '\'' | '`'));
            let name = match self.identifier() {
                Some(name) => name.to_owned(),
                None if quoted => self.quoted()?,
                None => return Err(self.error("expected a label name or }")),
            };
            self.skip_space();
            if self.peek() == Some('=') {
                self.at += 1;
                self.skip_space();
                let value = self.quoted()?;
                labels.set(name, value);
            } else if quoted {
                labels.set(METRIC_NAME, name);
            } else {
                return Err(self.error("expected = after the label name"));
            }
            self.skip_space();
            match self.peek() {
                Some(',') => self.at += 1,
                Some('}') => {}
                _ => return Err(self.error("expected , or } after the label")),
            }
        }
    }

    fn quoted(&mut self) -> Result<String, SeriesError> {
        let quote = self.peek().filter(|quote| matches!(quote, '"' | '\'' | '`'));
        let quote = quote.ok_or_else(|| self.error("expected a quoted text"))?;
        let start = self.at;
        let mut is_escaped = false;
        for (index, c) in self.text[start + 1..].char_indices() {
            if c == quote && !is_escaped {
                self.at = start + 1 + index + 1;
                let raw = &self.text[start..self.at];
                let text = unquote(raw);
                return text.ok_or_else(|| SeriesError::new(Span::new(start, self.at), "invalid escape in a text"));
            }
            is_escaped = c == '\\' && !is_escaped && quote != '`';
        }
        Err(self.error("the text is not closed"))
    }
}

/// The text between quotes, escapes as in Go; `None` if it is not well quoted.
pub(super) fn unquote(quoted: &str) -> Option<String> {
    let quote = quoted.chars().next().filter(|quote| matches!(quote, '"' | '\'' | '`'))?;
    let inner = quoted.get(1..)?.strip_suffix(quote)?;
    if quote == '`' {
        return Some(inner.to_owned());
    }
    let mut bytes = Vec::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let escape = chars.next()?;
        let mut code = |digits: usize, radix: u32| {
            let text: String = chars.by_ref().take(digits).collect();
            u32::from_str_radix(&text, radix).ok().filter(|_| text.len() == digits)
        };
        match escape {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            '\\' => bytes.push(b'\\'),
            c if c == quote => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            'x' => bytes.push(u8::try_from(code(2, 16)?).ok()?),
            'u' => bytes.extend(char::from_u32(code(4, 16)?)?.encode_utf8(&mut [0; 4]).bytes()),
            'U' => bytes.extend(char::from_u32(code(8, 16)?)?.encode_utf8(&mut [0; 4]).bytes()),
            first @ '0'..='7' => {
                let high = first.to_digit(8)?;
                bytes.push(u8::try_from(high * 64 + code(2, 8)?).ok()?);
            }
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_metrics() {
        let check = |text: &str, expected: &str, end: usize| {
            let (labels, at) = parse_metric(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((labels.to_string().as_str(), at), (expected, end), "{text}");
        };
        check("up 1", "up", 2);
        check("up{} 1", "up", 4);
        check("up{a=\"1\", b='2',} 1", "up{a=\"1\",b=\"2\"}", 17);
        check("{a=\"x y\"}", "{a=\"x y\"}", 9);
        check("{\"a.b\", \"l.x\"=`\\`}", "{\"a.b\",\"l.x\"=\"\\\\\"}", 18);
        check("up{a=\"\\u0041\\x42\\103\\\"\"}", "up{a=\"ABC\\\"\"}", 24);
    }
}
