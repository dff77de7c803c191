//! From a character of a YAML text to its place in the file.
//!
//! A parser's error counts within the expression; the user looks at the file, where the expression may be quoted, indented
//! or folded over lines. The decoded text is laid beside the source and both are walked together.

use crate::source::yaml::{Node, NodeKind};
use crate::source::{SourceFile, Span};

/// Where byte `offset` of the text of `node` stands in the file. The node's start where the two cannot be matched, which no
/// known spelling causes.
pub(crate) fn place_of(source: &SourceFile, node: &Node, offset: usize) -> Span {
    let NodeKind::Scalar { text, plain, block } = &node.kind else { return node.span };
    let start = node.span.start;
    let wanted = offset.min(text.len());
    let found = match source.text.as_bytes().get(start) {
        // A block begins at its first character, after any empty lines.
        _ if *block => {
            let empty_lines = text.len() - text.trim_start_matches('\n').len();
            walk(&source.text, start, &text[empty_lines..], (wanted.saturating_sub(empty_lines), None))
        }
        Some(quote) if !plain => walk(&source.text, start + 1, text, (wanted, Some(*quote))),
        _ => walk(&source.text, start, text, (wanted, None)),
    };
    found.map_or(node.span, |at| Span::new(at, node.span.end.max(at)))
}

/// Source position of byte `wanted` of `decoded`, whose spelling begins at `at`.
fn walk(source: &str, mut at: usize, decoded: &str, (wanted, quote): (usize, Option<u8>)) -> Option<usize> {
    for (offset, c) in decoded.char_indices() {
        if quote == Some(b'"') && source[at..].starts_with("\\\n") {
            // An escaped line break stands for nothing.
            at += 2 + blanks(&source[at + 2..]);
        }
        let mut next = source[at..].chars().next()?;
        if next != c && next.is_whitespace() {
            match c {
                ' ' => {
                    // A line break and the indentation after it, folded into one blank.
                    if offset >= wanted {
                        return Some(at);
                    }
                    at += blanks(&source[at..]);
                    continue;
                }
                '\n' => at += source[at..].find('\n')?,
                _ => at += blanks(&source[at..]),
            }
            next = source[at..].chars().next()?;
        }
        if offset >= wanted {
            return Some(at);
        }
        at += match (next, quote) {
            ('\\', Some(b'"')) => escape_len(&source[at..])?,
            ('\'', Some(b'\'')) => 2,
            (next, _) if next == c => next.len_utf8(),
            _ => return None,
        };
    }
    Some(at)
}

/// Bytes of blank space that `text` begins with.
fn blanks(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// Bytes of the escape that `text` begins with.
fn escape_len(text: &str) -> Option<usize> {
    let kind = text[1..].chars().next()?;
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    Some(1 + kind.len_utf8() + digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::yaml;

    /// `^` in the source marks the place; `wanted` is the character looked for.
    fn check(marked: &str, wanted: char) {
        let expected = marked.find('^').expect("a mark");
        let source = SourceFile::new("f", marked.replacen('^', "", 1));
        let (root, diagnostics) = yaml::parse(&source);
        assert!(diagnostics.is_empty(), "{diagnostics}");
        let root = root.unwrap();
        let node = root.get("e").unwrap();
        let offset = node.as_str().unwrap().find(wanted).unwrap();
        assert_eq!(place_of(&source, node, offset).start, expected, "{marked}");
    }

    #[test]
    fn every_spelling() {
        check("e: sum(^X)\n", 'X');
        check("e: |\n  \"a\"\n  ^X\n", 'X');
        check("e: 'it''s ^X'\n", 'X');
        check("e: \"a\\\"b\\u00e9 ^X\"\n", 'X');
        check("e: |\n  sum(\n    ^X\n  )\n", 'X');
        check("e: |2\n   sum\n   ^X\n", 'X');
        check("e: >-\n  sum(\n  a)\n  by ^X\n", 'X');
        check("e: sum(\n  a)\n  by ^X\n", 'X');
        check("e: 'a\n\n  b ^X'\n", 'X');
        check("e: |\n  é\n\n  ^X\n", 'X');
        check("e: \"a\\\n   b ^X\"\n", 'X');
        check("e: >\n  a  \n  b\n\n  ^X\n", 'X');
        check("e: |+\n\n  a\n    b ^X\n\n", 'X');
    }
}
