//! Changes to a text: applied, and shown as a unified diff.
//!
//! In the flow: a formatter says what to replace; a command writes the file anew or shows what would change. Since the changes are known, no
//! lines need to be compared.
//!
//! **Invariants.** Edits stand in order and do not overlap.

use std::fmt::Write;

use super::Span;

/// Unchanged lines shown around a change.
const CONTEXT_LINES: usize = 3;

/// Replaces a range of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What goes.
    pub span: Span,
    /// What comes.
    pub text: String,
}

/// `text` after `edits`.
pub fn apply(text: &str, edits: &[Edit]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        out.push_str(&text[at..edit.span.start]);
        out.push_str(&edit.text);
        at = edit.span.end;
    }
    out.push_str(&text[at..]);
    out
}

/// What `edits` change in `text`, as `diff -u` shows it. Empty where they change nothing.
pub fn unified_diff(name: &str, text: &str, edits: &[Edit]) -> String {
    let changes = changed_lines(text, edits);
    if changes.is_empty() {
        return String::new();
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut out = format!("--- {name}\n+++ {name} (formatted)\n");
    let mut shift = 0isize;
    let mut rest = &changes[..];
    while let Some(first) = rest.first() {
        // Changes whose context would overlap share a hunk.
        let near = |pair: &[Change]| pair[1].lines.start - pair[0].lines.end <= 2 * CONTEXT_LINES;
        let count = 1 + rest.windows(2).take_while(|pair| near(pair)).count();
        let (hunk, later) = rest.split_at(count);
        let start = first.lines.start.saturating_sub(CONTEXT_LINES);
        let end = (hunk[count - 1].lines.end + CONTEXT_LINES).min(lines.len());
        let grown: isize =
            hunk.iter().map(|change| change.new.lines().count() as isize - change.lines.len() as isize).sum();
        let (old_len, new_start) = (end - start, start as isize + shift);
        writeln!(out, "@@ -{},{old_len} +{},{} @@", start + 1, new_start + 1, old_len as isize + grown)
            .expect("BUG: writing to a string failed");
        let mut at = start;
        for change in hunk {
            push_lines(&mut out, ' ', &lines[at..change.lines.start]);
            push_lines(&mut out, '-', &lines[change.lines.clone()]);
            push_lines(&mut out, '+', &change.new.split_inclusive('\n').collect::<Vec<_>>());
            at = change.lines.end;
        }
        push_lines(&mut out, ' ', &lines[at..end]);
        shift += grown;
        rest = later;
    }
    out
}

/// Whole lines that change.
struct Change {
    /// By number, from 0.
    lines: std::ops::Range<usize>,
    new: String,
}

fn changed_lines(text: &str, edits: &[Edit]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut edits = edits.iter().filter(|edit| text[edit.span.start..edit.span.end] != edit.text).peekable();
    while let Some(first) = edits.next() {
        let start = text[..first.span.start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = |at: usize| text[at..].find('\n').map_or(text.len(), |len| at + len + 1);
        // An edit that ends with a line break has not touched the line after it.
        let end_of = |edit: &Edit| match edit.text.ends_with('\n') && text[..edit.span.end].ends_with('\n') {
            true => edit.span.end,
            false => line_end(edit.span.end),
        };
        let mut end = end_of(first);
        let mut own = vec![first.clone()];
        while let Some(next) = edits.next_if(|next| next.span.start < end) {
            end = end_of(next);
            own.push(next.clone());
        }
        own.iter_mut().for_each(|edit| edit.span = Span::new(edit.span.start - start, edit.span.end - start));
        let number = text[..start].matches('\n').count();
        let len = text[start..end].split_inclusive('\n').count();
        changes.push(Change { lines: number..number + len, new: apply(&text[start..end], &own) });
    }
    changes
}

fn push_lines(out: &mut String, mark: char, lines: &[&str]) {
    for line in lines {
        out.push(mark);
        out.push_str(line);
        if !line.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(text: &str, from: &str, to: &str) -> Edit {
        let start = text.find(from).unwrap();
        Edit { span: Span::new(start, start + from.len()), text: to.to_owned() }
    }

    #[test]
    fn applied_in_order() {
        let text = "a b c";
        assert_eq!(apply(text, &[edit(text, "a", "xx"), edit(text, "c", "")]), "xx b ");
    }

    #[test]
    fn shown_as_diff_shows_them() {
        let text = "1\n2\n3\n4\n5 five\n6\n7\n8\n9\n10\n11\n12\n13\n14 x";
        let edits = [edit(text, "five", "fünf\nsix"), edit(text, "10", "ten"), edit(text, "x", "y")];
        let expected = "--- f\n+++ f (formatted)\n@@ -2,13 +2,14 @@\n 2\n 3\n 4\n-5 five\n+5 fünf\n+six\n 6\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n-14 x\n\\ No newline at end of file\n+14 y\n\\ No newline at end of file\n";
        assert_eq!(unified_diff("f", text, &edits), expected);
        let far = "a\n".repeat(20);
        let edits = [0, 36].map(|at| Edit { span: Span::new(at, at + 1), text: "b\nc".to_owned() });
        let diff = unified_diff("f", &far, &edits);
        assert!(diff.contains("@@ -1,4 +1,5 @@") && diff.contains("@@ -16,5 +17,6 @@"), "{diff}");
        assert_eq!(unified_diff("f", "a", &[edit("a", "a", "a")]), "");
    }
}
