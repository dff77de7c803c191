//! The tree over several lines, for people.
//!
//! In the flow: `/api/v1/format_query` and `almenara fmt`. What fits a line stays on it; what does not is split at its outermost node, and
//! its parts are indented by two spaces.
//!
//! **Invariants.** Parsing the text again gives a tree that means the same, and printing that gives the same text.
//! **Limits.** [`LINE_LEN_MAX`] bytes, without the indent.
//! **Source.** Prometheus 3.5 `promql/parser/prettier.go`, its habit not to indent a short subquery included.

use std::fmt::{self, Formatter, Write};

use super::ast::{Expr, ExprKind};
use super::comments::Comments;
use super::printer::{write_grouping, write_operator, write_subquery_range};

/// A longer node is split.
const LINE_LEN_MAX: usize = 100;

impl Expr {
    /// The expression as text in lines of about a hundred characters.
    pub fn pretty(&self) -> String {
        self.pretty_among(&Comments::default())
    }

    /// As [`Expr::pretty`], with the comments of `text`, from which it was parsed.
    pub fn pretty_with_comments(&self, text: &str) -> String {
        self.pretty_among(&Comments::of(text, self))
    }

    fn pretty_among(&self, comments: &Comments<'_>) -> String {
        let mut printer = Printer { out: String::new(), comments };
        printer.write(self, 0).expect("BUG: writing to a string failed");
        comments.at_end.iter().for_each(|comment| printer.out.extend(["\n", comment]));
        printer.out
    }
}

struct Printer<'a> {
    out: String,
    comments: &'a Comments<'a>,
}

impl Printer<'_> {
    fn write(&mut self, expr: &Expr, level: usize) -> fmt::Result {
        let indent = "  ".repeat(level);
        for comment in self.comments.above(expr) {
            writeln!(self.out, "{indent}{comment}")?;
        }
        let line = expr.to_string();
        let is_short = line.len() <= LINE_LEN_MAX && !self.comments.split(expr);
        match &expr.kind {
            ExprKind::Subquery(subquery) if !is_short => {
                self.write(&subquery.expr, level)?;
                write!(self.out, "{}", shown(|f| write_subquery_range(f, subquery)))
            }
            ExprKind::Subquery(_) => self.out.write_str(&line),
            ExprKind::Unary { negate, operand } => {
                let mut inner = Printer { out: String::new(), comments: self.comments };
                inner.write(operand, level)?;
                write!(self.out, "{indent}{}{}", if *negate { "-" } else { "+" }, inner.out.trim())
            }
            ExprKind::Aggregate(aggregate) if !is_short => {
                write!(self.out, "{indent}{}(", shown(|f| write_grouping(f, aggregate)))?;
                self.write_list(expr, aggregate.param.iter().chain([&aggregate.expr]), level)
            }
            ExprKind::Call(call) if !is_short => {
                write!(self.out, "{indent}{}(", call.function.name)?;
                self.write_list(expr, &call.args, level)
            }
            ExprKind::Binary(binary) if !is_short => {
                self.write(&binary.lhs, level + 1)?;
                writeln!(self.out, "\n{indent}{}", shown(|f| write_operator(f, binary)))?;
                self.write(&binary.rhs, level + 1)
            }
            ExprKind::Paren(inner) if !is_short => {
                write!(self.out, "{indent}(")?;
                self.write_list(expr, [&**inner], level)
            }
            _ => write!(self.out, "{indent}{line}"),
        }
    }

    /// The parts of `expr` after its opening parenthesis, one a line, and the closing one.
    fn write_list<'e>(&mut self, expr: &Expr, parts: impl IntoIterator<Item = &'e Expr>, level: usize) -> fmt::Result {
        for (index, part) in parts.into_iter().enumerate() {
            self.out.write_str(if index == 0 { "\n" } else { ",\n" })?;
            self.write(part, level + 1)?;
        }
        for comment in self.comments.last_inside(expr) {
            write!(self.out, "\n{}{comment}", "  ".repeat(level + 1))?;
        }
        write!(self.out, "\n{})", "  ".repeat(level))
    }
}

fn shown(write: impl Fn(&mut Formatter<'_>) -> fmt::Result) -> impl fmt::Display {
    fmt::from_fn(write)
}

#[cfg(test)]
mod tests {
    use crate::promql::parse;

    fn check(text: &str, expected: &str) {
        let expr = parse(text).unwrap();
        assert_eq!(expr.pretty(), expected);
        assert_eq!(parse(expected).unwrap().to_string(), expr.to_string());
    }

    #[test]
    fn short_expressions_stay_on_a_line() {
        check("sum(a)by(b)/-(c)", "sum by (b) (a) / -(c)");
    }

    #[test]
    fn long_ones_are_split_outermost_first() {
        check(
            r#"sum(rate(request_duration_seconds_bucket{handler="/api/v1/query",code!="500",instance=~"aaaaaaaaaaaa.*"}[5m]))by(job)/on(job)group_left()sum(rate(request_duration_seconds_count[5m]))by(job)"#,
            r#"  sum by (job) (
    rate(
      request_duration_seconds_bucket{code!="500",handler="/api/v1/query",instance=~"aaaaaaaaaaaa.*"}[5m]
    )
  )
/ on (job) group_left ()
  sum by (job) (rate(request_duration_seconds_count[5m]))"#,
        );
        check(
            "topk(3, -(max_over_time((aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa + bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb)[1h:5m] offset 1d)))",
            "topk(
  3,
  -(
    max_over_time(
(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa + bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb)[1h:5m] offset 1d
    )
  )
)",
        );
    }

    fn check_comments(text: &str, expected: &str) {
        let expr = parse(text).unwrap();
        let printed = expr.pretty_with_comments(text);
        assert_eq!(printed, expected);
        let again = parse(&printed).unwrap();
        assert!(again.means_the_same(&expr), "{text}");
        assert_eq!(again.pretty_with_comments(&printed), printed, "{text} again");
    }

    #[test]
    fn comments_stay_above_what_they_are_about() {
        check_comments("# first\na # and\n", "# first\n# and\na");
        check_comments("a\n# last\n", "a\n# last");
        check_comments("a # left\n/ on (x) # joined\nb # right\n", "# left\n  a\n/ on (x)\n  # joined\n  # right\n  b");
        check_comments("sum by (x) ( # total\n  a\n  # end\n)", "# total\nsum by (x) (\n  a\n  # end\n)");
        check_comments(
            "clamp(a, # low\n 0, # zero\n 1 # one\n)",
            "clamp(\n  # low\n  a,\n  # zero\n  0,\n  # one\n  1\n)",
        );
        check_comments("(\n # c\n a + b # d\n)", "(\n  # c\n  # d\n  a + b\n)");
        check_comments("a{ # inside\n  b=\"#no\", # more\n}", "# inside\n# more\na{b=\"#no\"}");
        check_comments("-(a # c\n)", "-(\n  # c\n  a\n)");
        check_comments(
            "max_over_time((a + # c\n b)[5m:] # d\n)",
            "max_over_time(\n  (\n    # c\n      a\n    +\n      # d\n      b\n  )[5m:]\n)",
        );
        check_comments("time( # c\n)", "# c\ntime()");
    }
}
