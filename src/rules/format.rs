//! Rule files with their expressions formatted, and nothing else touched.
//!
//! In the flow: `almenara fmt` asks what to replace; comments, order, quotes and spacing of everything else stay as they are.
//!
//! An expression becomes the text of [`Expr::pretty_with_comments`]. On one line it keeps its place and quotes; over several lines it becomes
//! a literal block (`|`), indented by two blanks below its key or as its block was before. Prometheus indents the operands of an operator, so
//! that the first line may be deeper than a later one; YAML then asks for an explicit indentation, `|2`.
//!
//! **Invariants.** The rules of the formatted file mean the same, which is checked; formatting it again changes nothing.
//! **Limits.** Left as they are: expressions with an anchor or a tag, and comments inside an expression of a flow mapping
//! (`{alert: …}`), which has no room for lines. In such a mapping a long expression stays on one line.

use std::collections::BTreeMap;

use crate::promql::{self, Expr, Features};
use crate::source::decode::UnknownKeys;
use crate::source::edit::{Edit, apply};
use crate::source::yaml::{self, Node, NodeKind};
use crate::source::{Diagnostic, Diagnostics, SourceFile, Span};

use super::file::{GroupConfig, RuleConfig, RuleFile};

/// Blanks that a new block is indented by, below its key.
const BLOCK_INDENT: usize = 2;
/// YAML's explicit indentation has one digit.
const INDICATOR_MAX: usize = 9;

/// What to replace in a rule file, in order. An error is what is wrong with the file.
pub fn format_rule_file(source: &SourceFile) -> Result<Vec<Edit>, Diagnostics> {
    let (file, diagnostics) = parse(source);
    let Some(file) = file else { return Err(diagnostics) };
    let (Some(root), _) = yaml::parse(source) else { return Err(diagnostics) };
    let mut edits = BTreeMap::new();
    for group in items(root.get("groups")) {
        for rule in items(group.get("rules")) {
            // What stands under an anchor is met once for each alias; it is one place all the same.
            let is_flow = [&root, group, rule].iter().any(|node| source.text[node.span.start..].starts_with('{'))
                || [root.get("groups"), group.get("rules")]
                    .iter()
                    .flatten()
                    .any(|list| source.text[list.span.start..].starts_with('['));
            edits.extend(format_rule(source, rule, is_flow).map(|edit| (edit.span, edit)));
        }
    }
    let edits: Vec<Edit> = edits.into_values().collect();
    let text = apply(&source.text, &edits);
    match parse(&SourceFile::new(source.name.clone(), text)).0 {
        Some(formatted) if same_rules(&file, &formatted) => Ok(edits),
        _ => {
            let mut diagnostics = Diagnostics::default();
            let message = "formatting would change what the rules mean, so the file is left as it is";
            let help = "this is a mistake of the formatter; please report it with the file";
            diagnostics.push(Diagnostic::error(source, Span::new(0, 0), message).with_help(help));
            Err(diagnostics)
        }
    }
}

/// With every part of the language and keys of other programs: to format is not to judge.
fn parse(source: &SourceFile) -> (Option<RuleFile>, Diagnostics) {
    RuleFile::parse_with(source, UnknownKeys::Ignore, Features::ALL)
}

fn items(node: Option<&Node>) -> &[Node] {
    match node.map(|node| &node.kind) {
        Some(NodeKind::Sequence(items)) => items,
        _ => &[],
    }
}

/// What to replace for the expression of `rule`; `None` where it may stay.
fn format_rule(source: &SourceFile, rule: &Node, is_flow: bool) -> Option<Edit> {
    let NodeKind::Mapping(pairs) = &rule.kind else { return None };
    let (key, value) = pairs.iter().find(|(key, _)| key.as_str() == Some("expr"))?;
    let NodeKind::Scalar { text, plain, block } = &value.kind else { return None };
    let expr = promql::parse_with(text, Features::ALL).ok()?;
    let pretty = formatted(&expr, text)?;
    if pretty == text.trim_end_matches('\n') {
        return None;
    }
    let place = Place::of(source, key, value, *block)?;
    let is_one_line = !pretty.contains('\n');
    match (is_flow, is_one_line) {
        (true, true) => flow_scalar(&place, &pretty, *plain, is_flow),
        (true, false) if expr.pretty() == pretty => flow_scalar(&place, &expr.to_string(), *plain, is_flow),
        (true, false) => None,
        (false, true) if !block => flow_scalar(&place, &pretty, *plain, is_flow),
        (false, _) => Some(block_scalar(&place, &pretty)),
    }
}

/// The formatted text, if it reads the same and is final. Prometheus's form of `Inf ^ x` is not: it grows by a plus sign each time.
fn formatted(expr: &Expr, text: &str) -> Option<String> {
    let pretty = expr.pretty_with_comments(text);
    let again = promql::parse_with(&pretty, Features::ALL).ok()?;
    (again.means_the_same(expr) && again.pretty_with_comments(&pretty) == pretty).then_some(pretty)
}

/// Where an expression stands in its file.
struct Place<'a> {
    text: &'a str,
    /// From behind the colon of its key to the end of its text, or of a comment behind it.
    span: Span,
    /// The text itself, with its quotes; of a block, its lines.
    value: Span,
    /// The column of its key, from 0.
    key_column: usize,
    /// The comment on the line of the key or behind the expression.
    comment: &'a str,
    /// What the header of the block says, and the indentation of its lines.
    block: Option<(&'a str, usize)>,
    line_break: &'static str,
}

impl<'a> Place<'a> {
    /// `None` where something stands between key and value that we do not move, such as an anchor.
    fn of(source: &'a SourceFile, key: &Node, value: &Node, is_block: bool) -> Option<Self> {
        let text = &*source.text;
        let after_key = text[key.span.end..].strip_prefix(['"', '\'']).unwrap_or(&text[key.span.end..]);
        let colon = text.len() - after_key.trim_start().strip_prefix(':')?.len();
        let line_start = text[..key.span.start].rfind('\n').map_or(0, |at| at + 1);
        let key_column = text[line_start..key.span.start].chars().count();
        let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let place = Place {
            text,
            span: Span::new(colon, colon),
            value: value.span,
            key_column,
            comment: "",
            block: None,
            line_break,
        };
        if is_block { place.of_block() } else { place.of_flow_scalar() }
    }

    fn of_block(self) -> Option<Self> {
        let (text, start) = (self.text, self.span.start);
        let header_end = start + text[start..].find('\n')? + 1;
        let line = text[start..header_end].trim();
        let (header, comment) = line.split_once(' ').map_or((line, ""), |(header, rest)| (header, rest.trim()));
        let is_header = header.starts_with(['|', '>']) && (comment.is_empty() || comment.starts_with('#'));
        if !is_header {
            return None;
        }
        let depth = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let explicit = header.bytes().find(u8::is_ascii_digit).map(|digit| self.key_column + usize::from(digit - b'0'));
        let lines = || text[header_end..].split_inclusive('\n');
        let indent = explicit.or_else(|| lines().find(|line| !line.trim().is_empty()).map(depth))?;
        let (mut end, mut at) = (header_end, header_end);
        for line in lines() {
            if !line.trim().is_empty() && depth(line) < indent {
                break;
            }
            at += line.len();
            if !line.trim().is_empty() {
                end = at - (line.len() - line.trim_end_matches(['\r', '\n']).len());
            }
        }
        Some(Place {
            span: Span::new(start, end),
            value: Span::new(header_end, end),
            comment,
            block: Some((header, indent)),
            ..self
        })
    }

    fn of_flow_scalar(self) -> Option<Self> {
        let text = self.text;
        let between = text.get(self.span.start..self.value.start)?;
        let (first, rest) = between.split_once('\n').unwrap_or((between, ""));
        let before = first.trim();
        if !rest.trim().is_empty() || !(before.is_empty() || before.starts_with('#')) {
            return None;
        }
        let line_end = text[self.value.end..].find('\n').map_or(text.len(), |len| self.value.end + len);
        let behind = text[self.value.end..line_end].trim_end();
        let behind_comment = behind.trim_start();
        let (end, comment) = match behind_comment.starts_with('#') {
            true if before.is_empty() => (self.value.end + behind.len(), behind_comment),
            true => return None,
            false => (self.value.end, before),
        };
        Some(Place { span: Span::new(self.span.start, end), comment, ..self })
    }
}

/// `pretty`, a line, where a plain or quoted text stood.
fn flow_scalar(place: &Place<'_>, pretty: &str, was_plain: bool, is_flow: bool) -> Option<Edit> {
    let quote = place.text.as_bytes().get(place.value.start).copied();
    let text = match quote {
        Some(b'"') if !was_plain => format!("\"{}\"", pretty.replace('\\', "\\\\").replace('"', "\\\"")),
        _ if was_plain && is_plain(pretty, is_flow) => pretty.to_owned(),
        _ => format!("'{}'", pretty.replace('\'', "''")),
    };
    (place.text[place.value.start..place.value.end] != text).then_some(Edit { span: place.value, text })
}

/// Whether YAML reads `text` as it stands, without quotes. Some others that it would read so are quoted too.
fn is_plain(text: &str, is_flow: bool) -> bool {
    let is_structure = text.contains(": ") || text.contains(" #") || text.ends_with(':');
    let is_flow_structure = is_flow && text.contains([',', '[', ']', '{', '}']);
    let is_null = matches!(text, "~" | "null" | "Null" | "NULL");
    !is_structure
        && !is_flow_structure
        && !is_null
        && !text.starts_with("- ")
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '(' | '.' | '+' | '-'))
}

/// `pretty` as a literal block.
fn block_scalar(place: &Place<'_>, pretty: &str) -> Edit {
    let (old_header, old_indent) = place.block.unwrap_or(("|", place.key_column + BLOCK_INDENT));
    let step = match old_indent.saturating_sub(place.key_column) {
        step @ 1..=INDICATOR_MAX => step,
        _ => BLOCK_INDENT,
    };
    let chomping = old_header.trim_start_matches(|c: char| !matches!(c, '+' | '-')).get(..1).unwrap_or_default();
    let indicator = if pretty.starts_with(' ') { step.to_string() } else { String::new() };
    let indent = " ".repeat(place.key_column + step);
    let mut text = format!(" |{indicator}{chomping}");
    if !place.comment.is_empty() {
        text.extend([" ", place.comment]);
    }
    for line in pretty.lines() {
        text.extend([place.line_break, &indent, line]);
    }
    Edit { span: place.span, text }
}

fn same_rules(a: &RuleFile, b: &RuleFile) -> bool {
    a.groups.len() == b.groups.len() && a.groups.iter().zip(&b.groups).all(|(a, b)| same_group(a, b))
}

fn same_group(a: &GroupConfig, b: &GroupConfig) -> bool {
    (&a.name, a.interval, a.query_offset, a.limit) == (&b.name, b.interval, b.query_offset, b.limit)
        && a.rules.len() == b.rules.len()
        && a.rules.iter().zip(&b.rules).all(|(a, b)| same_rule(a, b))
}

fn same_rule(a: &RuleConfig, b: &RuleConfig) -> bool {
    let entries = |rule: &RuleConfig| -> Vec<_> {
        rule.labels.iter().chain(&rule.annotations).map(|entry| (entry.name.clone(), entry.value.clone())).collect()
    };
    (a.kind, &a.name, a.hold_duration, a.keep_firing_for) == (b.kind, &b.name, b.hold_duration, b.keep_firing_for)
        && a.labels.len() == b.labels.len()
        && entries(a) == entries(b)
        && a.expr.means_the_same(&b.expr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> String {
        let source = SourceFile::new("f.yml", text);
        let edits = format_rule_file(&source).unwrap_or_else(|diagnostics| panic!("{text}\n{diagnostics}"));
        apply(text, &edits)
    }

    /// Formats the expression of a rule in a file with much around it.
    fn check(expr: &str, expected: &str) {
        let file = |expr: &str| {
            format!(
                "# head\ngroups:\n- name:   g # name\n  rules:\n  # before\n  - record: \"r\"\n    expr:{expr}\n    # after\n    labels: {{a:   b}}\n"
            )
        };
        let formatted = format(&file(expr));
        assert_eq!(formatted, file(expected));
        assert_eq!(format(&formatted), formatted, "again");
    }

    const LONG: &str = "sum(rate(http_requests_total{job=\"api\",code=~\"5..\"}[5m]))by(job)/sum(rate(http_requests_total{job=\"api\"}[5m]))by(job)";
    const LONG_LINES: [&str; 3] = [
        "  sum by (job) (rate(http_requests_total{code=~\"5..\",job=\"api\"}[5m]))",
        "/",
        "  sum by (job) (rate(http_requests_total{job=\"api\"}[5m]))",
    ];

    fn block(header: &str, indent: usize) -> String {
        let lines = LONG_LINES.map(|line| format!("\n{}{line}", " ".repeat(indent)));
        format!("{header}{}", lines.concat())
    }

    #[test]
    fn short_ones_keep_place_and_quotes() {
        check(" sum( a )by( b )", " sum by (b) (a)");
        check(" sum by (b) (a)", " sum by (b) (a)");
        check("   sum(a)by(b)   # why", "   sum by (b) (a)   # why");
        check(" mad_over_time(a[5m*2])", " mad_over_time(a[5m * 2])");
        check(" 'a{b=\"it''s\"}>1'", " 'a{b=\"it''s\"} > 1'");
        check(" \"a{b=\\\"c\\\"}>1\"", " \"a{b=\\\"c\\\"} > 1\"");
        check("\n      sum(a)\n      by (b)", "\n      sum by (b) (a)");
        check(" 'a{b=\":\",c=\" #\"}>1'", " 'a{b=\":\",c=\" #\"} > 1'");
        check(" -a+b", " -a + b");
        check(" '{a=\"b\"}>1'", " '{a=\"b\"} > 1'");
        check(" |\n      a\n        +b\n", " |\n      a + b\n");
        check(" >-\n      a\n      +b", " |-\n      a + b");
    }

    #[test]
    fn long_ones_become_blocks() {
        check(&format!(" {LONG}"), &block(" |2", 6));
        check(&format!(" '{LONG}' # why"), &block(" |2 # why", 6));
        check(&format!(" # why\n     {LONG}"), &block(" |2 # why", 6));
        check(&format!(" >- # why\n        {LONG}"), &block(" |4- # why", 8));
        check(&format!(" |\n      {LONG}\n\n"), &format!("{}\n\n", block(" |2", 6)));
        check(&format!(" sum({LONG})"), &{
            let lines = LONG_LINES.map(|line| format!("\n        {line}"));
            format!(" |\n      sum({}\n      )", lines.concat())
        });
    }

    #[test]
    fn comments_inside_stay() {
        check(" |\n      # why\n      a   # left\n      + b", " |\n      # why\n      # left\n      a + b");
        check(" |-\n      (a # left\n      + b)", " |-\n      (\n        # left\n        a + b\n      )");
    }

    #[test]
    fn what_has_no_room_stays_on_its_line_or_as_it_is() {
        let file = |rule: &str| format!("groups: [{{name: g, rules: [{rule}]}}]\n");
        let flow = |expr: &str| file(&format!("{{record: r, expr: {expr}, labels: {{a: b}}}}"));
        assert_eq!(format(&flow("sum(a)")), flow("sum(a)"));
        assert_eq!(format(&flow("a>1")), flow("a > 1"));
        assert_eq!(format(&flow("sum(a)by(b)")), flow("sum by (b) (a)"));
        assert_eq!(format(&flow("'sum(a)by(b,c)'")), flow("'sum by (b, c) (a)'"));
        let line = LONG_LINES.map(str::trim).join(" ");
        assert_eq!(format(&flow(&format!("'{LONG}'"))), flow(&format!("'{line}'")));
        check(" &x a>1", " &x a>1");
        check(" !!str a>1", " !!str a>1");
        check(" Inf^2", " Inf^2");
    }

    #[test]
    fn line_breaks_of_windows_stay() {
        let text =
            format!("groups:\r\n- name: g\r\n  rules:\r\n  - record: r\r\n    expr: {LONG}\r\n    labels: {{}}\r\n");
        let formatted = format(&text);
        assert_eq!(formatted.matches('\n').count(), formatted.matches("\r\n").count());
        assert_eq!(formatted.lines().count(), 9);
        assert_eq!(format(&formatted), formatted);
    }

    #[test]
    fn a_broken_file_is_refused() {
        let source = SourceFile::new("f.yml", "groups:\n- name: g\n  rules:\n  - {record: r, expr: 'sum('}\n");
        assert!(format_rule_file(&source).unwrap_err().to_string().contains("unclosed left parenthesis"));
        assert_eq!(format_rule_file(&SourceFile::new("f.yml", "")).unwrap(), []);
    }
}
