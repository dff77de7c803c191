//! Matchers as people write them in routes, inhibition rules and API filters.
//!
//! Two languages exist. The *classic* one takes a bare value (`foo=bar baz`) and forgives a stray backslash; the *UTF-8* one
//! allows quoted label names and Go escapes and wants quotes around every reserved character. Both are read: where only one
//! accepts the text, that one counts; where both accept it and disagree, the classic one, with a warning.
//!
//! **Limits.** One matcher list is at most [`TEXT_MAX`] bytes: lists come from configuration and from query parameters.
//! **Source.** Alertmanager 0.33 `matcher/compat/parse.go` (fallback mode), `matcher/parse`, `pkg/labels/parse.go`.
//! **Differs:** in a regular expression `.` also matches a line break, as everywhere else in this program.

use std::sync::LazyLock;

use regex::Regex;

use super::gotext;
use crate::model::{MatchOp, Matcher};

/// Longest text of a matcher list in bytes.
const TEXT_MAX: usize = 64 << 10;

static CLASSIC: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(=~|=|!=|!~)\s*((?s).*?)\s*$")
        .expect("BUG: a constant pattern is wrong")
});

/// Matchers that were read, and what is doubtful about their text.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// In the order written.
    pub matchers: Vec<Matcher>,
    /// Why the text should be written otherwise.
    pub warning: Option<String>,
}

/// Reads a list of matchers, with or without braces.
pub fn parse_list(input: &str) -> Result<Parsed, String> {
    check_length(input)?;
    merge(parse_utf8(input), parse_classic(input), input)
}

/// Reads exactly one matcher, as the API's `filter` parameter holds it.
pub fn parse_one(input: &str) -> Result<Parsed, String> {
    check_length(input)?;
    if input.starts_with('{') || input.ends_with('}') {
        return Err(format!("unexpected open or close brace: {input}"));
    }
    let utf8 = parse_utf8(input).filter(|matchers| matchers.len() == 1);
    merge(utf8, parse_classic_one(input).map(|matcher| vec![matcher]), input)
}

fn check_length(input: &str) -> Result<(), String> {
    if input.len() > TEXT_MAX { Err(format!("longer than {TEXT_MAX} bytes")) } else { Ok(()) }
}

fn merge(utf8: Option<Vec<Matcher>>, classic: Result<Vec<Matcher>, String>, input: &str) -> Result<Parsed, String> {
    match (utf8, classic) {
        (None, Err(error)) => Err(error),
        (Some(matchers), Err(_)) => Ok(Parsed { matchers, warning: None }),
        (None, Ok(matchers)) => {
            let rewritten = matchers.iter().map(text).collect::<Vec<_>>().join(",");
            let warning = format!("{input:?} is no UTF-8 matcher and is read as a classic one; write {rewritten}");
            Ok(Parsed { matchers, warning: Some(warning) })
        }
        (Some(utf8), Ok(classic)) if utf8 == classic => Ok(Parsed { matchers: utf8, warning: None }),
        (Some(_), Ok(matchers)) => {
            let rewritten = matchers.iter().map(text).collect::<Vec<_>>().join(",");
            let warning =
                format!("{input:?} means different things as UTF-8 and as classic matcher, and is read as {rewritten}");
            Ok(Parsed { matchers, warning: Some(warning) })
        }
    }
}

/// One matcher as Alertmanager prints it; part of the group key.
pub(crate) fn text(matcher: &Matcher) -> String {
    let op = matcher.op.as_str();
    if matcher.name.chars().any(is_reserved) {
        return format!("{}{op}{}", crate::model::quote(&matcher.name), crate::model::quote(&matcher.value));
    }
    let value = matcher.value.replace('\\', r"\\").replace('\n', r"\n").replace('"', "\\\"");
    format!("{}{op}\"{value}\"", matcher.name)
}

/// A list as Alertmanager prints it: `{a="1",b=~"2"}`.
pub(crate) fn list_text(matchers: &[Matcher]) -> String {
    format!("{{{}}}", matchers.iter().map(text).collect::<Vec<_>>().join(","))
}

/// Orders matchers as Alertmanager does before it prints them.
pub(crate) fn sort(matchers: &mut [Matcher]) {
    matchers.sort_by(|a, b| (&a.name, &a.value, a.op).cmp(&(&b.name, &b.value, b.op)));
}

fn is_reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

fn parse_classic(input: &str) -> Result<Vec<Matcher>, String> {
    let input = input.strip_prefix('{').unwrap_or(input);
    let input = input.strip_suffix('}').unwrap_or(input);
    let mut parts = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (index, c) in input.char_indices() {
        match c {
            ',' if !is_quoted => {
                parts.push(&input[start..index]);
                start = index + 1;
            }
            '"' if is_escaped => is_escaped = false,
            '"' => is_quoted = !is_quoted,
            '\\' => is_escaped = !is_escaped,
            // A quoted comma does not end an escape, exactly as upstream reads it.
            ',' => {}
            _ => is_escaped = false,
        }
    }
    if !input[start..].trim().is_empty() {
        parts.push(input[start..].trim());
    }
    parts.into_iter().map(parse_classic_one).collect()
}

fn parse_classic_one(input: &str) -> Result<Matcher, String> {
    let parts = CLASSIC.captures(input).ok_or_else(|| format!("bad matcher format: {input}"))?;
    let op = op(&parts[2]).expect("BUG: the pattern allows only operators");
    let raw = &parts[3];
    let unquoted = raw.strip_prefix('"');
    let stray_quote = || format!("matcher value contains unescaped double quote: {raw}");
    let mut value = String::with_capacity(raw.len());
    let mut is_open = unquoted.is_some();
    let mut chars = unquoted.unwrap_or(raw).chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek().copied()) {
            ('\\', Some(next)) => {
                chars.next();
                match next {
                    'n' => value.push('\n'),
                    '"' | '\\' => value.push(next),
                    _ => value.extend(['\\', next]),
                }
            }
            ('"', None) if is_open => is_open = false,
            ('"', _) => return Err(stray_quote()),
            (c, _) => value.push(c),
        }
    }
    if is_open {
        return Err(stray_quote());
    }
    Matcher::new(op, &parts[1], value).map_err(|error| error.to_string())
}

fn op(text: &str) -> Option<MatchOp> {
    Some(match text {
        "=" => MatchOp::Equal,
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        _ => return None,
    })
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Comma,
    Op(MatchOp),
    Text(String),
}

/// `None` where the text is not in the UTF-8 language. Why does not matter: if the classic parser refuses it too, that
/// parser's reason is the one shown.
fn parse_utf8(input: &str) -> Option<Vec<Matcher>> {
    let tokens = lex(input)?;
    let mut rest = tokens.as_slice();
    let is_braced = rest.first() == Some(&Token::Open);
    if is_braced {
        rest = match rest {
            [Token::Open, inner @ .., Token::Close] => inner,
            _ => return None,
        };
    }
    let mut matchers = Vec::new();
    while let [Token::Text(name), Token::Op(op), Token::Text(value), after @ ..] = rest {
        matchers.push(Matcher::new(*op, name.as_str(), value.as_str()).ok()?);
        rest = match after {
            [] => after,
            [Token::Comma, after @ ..] => after,
            _ => return None,
        };
    }
    rest.is_empty().then_some(matchers)
}

fn lex(input: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = input;
    while let Some(c) = rest.chars().next() {
        let (token, length) = match c {
            '{' => (Token::Open, 1),
            '}' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '=' | '!' => match op(rest.get(..2).unwrap_or("")) {
                Some(op) => (Token::Op(op), 2),
                None if c == '=' => (Token::Op(MatchOp::Equal), 1),
                None => return None,
            },
            '"' => {
                let length = quoted_length(rest)?;
                (Token::Text(gotext::unquote(&rest[..length])?), length)
            }
            c if c.is_whitespace() => {
                rest = &rest[c.len_utf8()..];
                continue;
            }
            c if is_reserved(c) => return None,
            _ => {
                let length = rest.find(is_reserved).unwrap_or(rest.len());
                (Token::Text(rest[..length].to_owned()), length)
            }
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    Some(tokens)
}

/// Length in bytes of the quoted text that `text` begins with.
fn quoted_length(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str) {
        let shown = match parse_list(input) {
            Ok(Parsed { matchers, warning }) => {
                list_text(&matchers) + if warning.is_some() { " with a warning" } else { "" }
            }
            Err(error) => error,
        };
        assert_eq!(shown, expected, "{input}");
    }

    #[test]
    fn both_languages() {
        check("", "{}");
        check("{}", "{}");
        check("a=b", r#"{a="b"}"#);
        check(r#"{a="b", c=~"d|e",}"#, r#"{a="b",c=~"d|e"}"#);
        check(r#"a != "x,y" , b !~ z"#, r#"{a!="x,y",b!~"z"}"#);
        check(r#"a="say \"hi\"""#, r#"{a="say \"hi\""}"#);
        check("a=", r#"{a=""} with a warning"#);
        check("a=b c", r#"{a="b c"} with a warning"#);
        check(r"a=~\d+", r#"{a=~"\\d+"} with a warning"#);
        check(r#"a=~"\d+""#, r#"{a=~"\\d+"} with a warning"#);
        check(r#""my label"="x""#, r#"{"my label"="x"}"#);
        check(r#"{"a.b"="x"}"#, r#"{a.b="x"}"#);
        check("ü=☃", r#"{ü="☃"}"#);
        // The two languages disagree on the Go escape \t.
        check(r#"a="\t""#, r#"{a="\\t"} with a warning"#);
    }

    #[test]
    fn refuses_with_the_classic_reason() {
        check("a", "bad matcher format: a");
        check("=b", "bad matcher format: =b");
        check(r#"a="b"#, r#"matcher value contains unescaped double quote: "b"#);
        check(r#"a=b"c"#, r#"matcher value contains unescaped double quote: b"c"#);
        check("a=b,,c=d", "bad matcher format: ");
        assert!(parse_list("a=~(").is_err());
        assert!(parse_list(&"a=b,".repeat(TEXT_MAX)).is_err());
    }

    #[test]
    fn one_matcher_for_filters() {
        assert_eq!(parse_one("a=b").unwrap().matchers.len(), 1);
        assert_eq!(parse_one("{a=b}").unwrap_err(), "unexpected open or close brace: {a=b}");
        // The classic reader takes everything after the operator as the value.
        assert_eq!(&*parse_one("a=b,c=d").unwrap().matchers[0].value, "b,c=d");
    }
}
