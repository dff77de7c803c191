//! The tree over several lines, for people.
//!
//! In the flow: `/api/v1/format_query`. What fits a line stays on it; what does not is split at its outermost node, and its
//! parts are indented by two spaces.
//!
//! **Invariants.** Parsing the text again gives an equal tree but for places.
//! **Limits.** [`LINE_LEN_MAX`] bytes, without the indent.
//! **Source.** Prometheus 3.5 `promql/parser/prettier.go`, its habit not to indent a short subquery included.

use std::fmt::{self, Formatter, Write};

use super::ast::{Expr, ExprKind};
use super::printer::{write_grouping, write_operator, write_subquery_range};

/// A longer node is split.
const LINE_LEN_MAX: usize = 100;

impl Expr {
    /// The expression as text in lines of about a hundred characters.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        write(&mut out, self, 0).expect("BUG: writing to a string failed");
        out
    }
}

fn write(out: &mut String, expr: &Expr, level: usize) -> fmt::Result {
    let line = expr.to_string();
    let is_short = line.len() <= LINE_LEN_MAX;
    let indent = "  ".repeat(level);
    match &expr.kind {
        ExprKind::Subquery(subquery) if !is_short => {
            write(out, &subquery.expr, level)?;
            write!(out, "{}", shown(|f| write_subquery_range(f, subquery)))
        }
        ExprKind::Subquery(_) => out.write_str(&line),
        ExprKind::Unary { negate, operand } => {
            let mut inner = String::new();
            write(&mut inner, operand, level)?;
            write!(out, "{indent}{}{}", if *negate { "-" } else { "+" }, inner.trim())
        }
        ExprKind::Aggregate(aggregate) if !is_short => {
            writeln!(out, "{indent}{}(", shown(|f| write_grouping(f, aggregate)))?;
            if let Some(param) = &aggregate.param {
                write(out, param, level + 1)?;
                out.write_str(",\n")?;
            }
            write(out, &aggregate.expr, level + 1)?;
            write!(out, "\n{indent})")
        }
        ExprKind::Call(call) if !is_short => {
            write!(out, "{indent}{}(", call.function.name)?;
            for (index, arg) in call.args.iter().enumerate() {
                out.write_str(if index == 0 { "\n" } else { ",\n" })?;
                write(out, arg, level + 1)?;
            }
            write!(out, "\n{indent})")
        }
        ExprKind::Binary(binary) if !is_short => {
            write(out, &binary.lhs, level + 1)?;
            writeln!(out, "\n{indent}{}", shown(|f| write_operator(f, binary)))?;
            write(out, &binary.rhs, level + 1)
        }
        ExprKind::Paren(inner) if !is_short => {
            writeln!(out, "{indent}(")?;
            write(out, inner, level + 1)?;
            write!(out, "\n{indent})")
        }
        _ => write!(out, "{indent}{line}"),
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
}
