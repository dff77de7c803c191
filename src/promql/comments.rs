//! Comments of an expression, and which part of it each is about.
//!
//! In the flow: the formatter prints an expression over several lines with its comments; Prometheus's own loses them. A comment comes to
//! stand on a line of its own above the part that it is about:
//!
//! - one on a line of its own is about what follows;
//! - one at the end of a line is about the largest part that begins on that line;
//! - one after the last part within parentheses stays last there, and one after everything stays at the end.
//!
//! **Invariants.** No comment is lost, their order is kept, and what is printed attaches in the same way again.

use std::collections::{HashMap, HashSet};

use super::ast::{Expr, ExprKind};
use super::lexer::Lexer;
use super::token::TokenKind;

/// The comments of a text, by the part of its tree where they belong.
#[derive(Debug, Default)]
pub(super) struct Comments<'a> {
    /// Above a part.
    leading: HashMap<NodeId, Vec<&'a str>>,
    /// After the last part inside of another.
    last_inside: HashMap<NodeId, Vec<&'a str>>,
    /// After everything.
    pub(super) at_end: Vec<&'a str>,
    /// Parts that cannot stand on one line, because a comment is inside.
    split: HashSet<NodeId>,
}

/// A node of one tree, by its address.
type NodeId = *const Expr;

impl<'a> Comments<'a> {
    /// Those of `text`, whose tree is `root`.
    pub(super) fn of(text: &'a str, root: &Expr) -> Self {
        let mut comments = Comments::default();
        if !text.contains('#') {
            return comments;
        }
        let mut lexer = Lexer::new(text);
        while lexer.next_token().is_ok_and(|token| !matches!(token.kind, TokenKind::EndOfInput | TokenKind::Invalid)) {}
        for span in lexer.comments() {
            comments.attach(text, root, span.start, text[span.start..span.end].trim_end());
        }
        comments
    }

    pub(super) fn above(&self, expr: &Expr) -> &[&'a str] {
        self.leading.get(&std::ptr::from_ref(expr)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn last_inside(&self, expr: &Expr) -> &[&'a str] {
        self.last_inside.get(&std::ptr::from_ref(expr)).map_or(&[], Vec::as_slice)
    }

    /// Whether a comment stands inside of `expr`.
    pub(super) fn split(&self, expr: &Expr) -> bool {
        self.split.contains(&std::ptr::from_ref(expr))
    }

    fn attach(&mut self, text: &str, root: &Expr, at: usize, comment: &'a str) {
        let line_start = text[..at].rfind(['\n', '\r']).map_or(0, |end| end + 1);
        let path = match text[line_start..at].trim().is_empty() {
            true => None,
            false => first_on_line(root, line_start, at),
        };
        let mut path = match path {
            Some(path) => path,
            None if at >= root.span.end => {
                self.at_end.push(comment);
                return;
            }
            None => {
                let path = innermost(root, at);
                let node = path[path.len() - 1];
                match node.children().into_iter().find(|child| child.span.start > at) {
                    _ if at < root.span.start => vec![root],
                    Some(next) => [path, vec![next]].concat(),
                    None if can_end_with_comment(node) => {
                        self.last_inside.entry(std::ptr::from_ref(node)).or_default().push(comment);
                        self.split.extend(path.into_iter().map(std::ptr::from_ref));
                        return;
                    }
                    None => path,
                }
            }
        };
        // A part at the very start of a larger one, or without a line of its own, leaves its comment to that.
        while let [.., outer, node] = path[..]
            && (outer.span.start == node.span.start
                || matches!(outer.kind, ExprKind::Unary { .. } | ExprKind::Subquery(_)))
        {
            path.pop();
        }
        let node = path.pop().expect("BUG: a comment is about no part");
        self.leading.entry(std::ptr::from_ref(node)).or_default().push(comment);
        self.split.extend(path.into_iter().map(std::ptr::from_ref));
    }
}

/// The way from `root` to the largest part that begins on the line from `line_start` on, before `at`; one that also ends before `at` is
/// preferred. `None` where none begins there.
fn first_on_line(root: &Expr, line_start: usize, at: usize) -> Option<Vec<&Expr>> {
    fn search(path: &mut Vec<&Expr>, accept: &impl Fn(&Expr) -> bool) -> bool {
        let node = path[path.len() - 1];
        accept(node)
            || node.children().into_iter().any(|child| {
                path.push(child);
                let found = search(path, accept);
                if !found {
                    path.pop();
                }
                found
            })
    }
    let begins_here = |node: &Expr| node.span.start >= line_start && node.span.start < at;
    let mut path = vec![root];
    let is_found =
        search(&mut path, &|node| begins_here(node) && node.span.end <= at) || search(&mut path, &begins_here);
    is_found.then_some(path)
}

/// The way from `root` to the smallest part around `at`.
fn innermost(root: &Expr, at: usize) -> Vec<&Expr> {
    let mut path = vec![root];
    while let Some(inner) =
        path[path.len() - 1].children().into_iter().find(|child| child.span.start < at && at < child.span.end)
    {
        path.push(inner);
    }
    path
}

/// Whether a line may follow the last part of such an expression, inside of it.
fn can_end_with_comment(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Call(call) => !call.args.is_empty(),
        ExprKind::Aggregate(_) | ExprKind::Paren(_) => true,
        _ => false,
    }
}
