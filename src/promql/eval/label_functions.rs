//! `label_replace` and `label_join`: they look at label sets, not at samples.

use crate::model::{Anchoring, METRIC_NAME, Pattern, Replacement};
use crate::promql::ast::Expr;

use super::call::text_of;
use super::error::EvalError;
use super::evaluator::Evaluator;
use super::grid::Grid;
use super::matrix::{Row, merge_same_labels};

impl Evaluator<'_> {
    pub(super) fn label_replace(&mut self, args: &[Expr], grid: Grid) -> Result<Vec<Row>, EvalError> {
        let [destination, replacement, source, pattern] = [1, 2, 3, 4].map(|index| text_of(&args[index]));
        let regex = Pattern::new(pattern.clone(), Anchoring::Whole)
            .map_err(|_| EvalError::InvalidRegex(pattern.to_string()))?;
        let replacement = Replacement::new(&replacement);
        check_label_name(&destination, "destination label name in label_replace()")?;
        let mut rows = self.eval(args[0].unparenthesised(), grid)?;
        for row in &mut rows {
            let value = row.labels.get(&source).unwrap_or("");
            let Some(captures) = regex.captures(value) else { continue };
            let replaced = replacement.expand(&regex, &captures);
            set_label(row, &destination, &replaced);
        }
        merge_same_labels(rows)
    }

    pub(super) fn label_join(&mut self, args: &[Expr], grid: Grid) -> Result<Vec<Row>, EvalError> {
        let (destination, separator) = (text_of(&args[1]), text_of(&args[2]));
        let sources: Vec<_> = args[3..].iter().map(text_of).collect();
        for source in &sources {
            check_label_name(source, "source label name in label_join()")?;
        }
        check_label_name(&destination, "destination label name in label_join()")?;
        let mut rows = self.eval(args[0].unparenthesised(), grid)?;
        for row in &mut rows {
            let values: Vec<&str> = sources.iter().map(|source| row.labels.get(source).unwrap_or("")).collect();
            let joined = values.join(&separator);
            set_label(row, &destination, &joined);
        }
        merge_same_labels(rows)
    }
}

/// A name that is set on purpose is not dropped any more.
fn set_label(row: &mut Row, name: &str, value: &str) {
    row.labels = row.labels.to_builder().set(name, value).build();
    if name == METRIC_NAME {
        row.drop_name = false;
    }
}

/// Any text but the empty one can be a label name.
pub(in crate::promql) fn check_label_name(name: &str, role: &'static str) -> Result<(), EvalError> {
    if name.is_empty() { Err(EvalError::InvalidLabelName { role, name: name.to_owned() }) } else { Ok(()) }
}
