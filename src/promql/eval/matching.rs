//! Binary operators between two vectors: which elements belong together.
//!
//! Each row's signature (the labels that `on` or `ignoring` leave) is computed once and numbered; a step then compares numbers.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::{Label, Labels, METRIC_NAME, Timestamp, Value, is_legacy_name};
use crate::promql::ast::{Binary, BinaryOp, Cardinality, VectorMatching};
use crate::source::Span;

use super::binary::changes_meaning;
use super::error::EvalError;
use super::evaluator::Evaluator;
use super::grid::Grid;
use super::matrix::{Element, Row, without_metadata};

/// The number of each row's signature, on both sides.
struct Signatures {
    left: Vec<usize>,
    right: Vec<usize>,
}

impl Signatures {
    fn of(matching: &VectorMatching, [lhs, rhs]: [&[Row]; 2]) -> Self {
        let mut numbers: FxHashMap<Labels, usize> = FxHashMap::default();
        let mut number = |row: &Row| {
            let next = numbers.len();
            *numbers.entry(signature(&row.labels, matching)).or_insert(next)
        };
        Signatures { left: lhs.iter().map(&mut number).collect(), right: rhs.iter().map(&mut number).collect() }
    }
}

/// The labels by which `labels` is matched.
pub(in crate::promql) fn signature(labels: &Labels, matching: &VectorMatching) -> Labels {
    let is_listed = |label: &Label| matching.labels.contains(&label.name);
    if matching.on {
        labels.filtered(is_listed)
    } else {
        labels.filtered(|label| !is_listed(label) && &*label.name != METRIC_NAME)
    }
}

impl Evaluator<'_> {
    pub(super) fn vector_with_vector(
        &mut self,
        binary: &Binary,
        span: Span,
        [lhs, rhs]: [&[Row]; 2],
        grid: Grid,
    ) -> Result<Vec<Row>, EvalError> {
        let matching = binary.matching.as_ref().expect("BUG: two vectors without matching");
        let signatures = Signatures::of(matching, [lhs, rhs]);
        self.by_step(grid, &[lhs, rhs], |evaluator, step, vectors| {
            let [left, right] = [&vectors[0], &vectors[1]];
            if binary.op.is_set() {
                return Ok(set_operation(binary.op, left, right, &signatures));
            }
            Step { evaluator, binary, matching, span, step, signatures: &signatures }.run(left, right)
        })
    }
}

/// `and`, `or`, `unless`.
fn set_operation(op: BinaryOp, left: &[Element], right: &[Element], signatures: &Signatures) -> Vec<Element> {
    let of_left = |element: &Element| signatures.left[element.row];
    let of_right = |element: &Element| signatures.right[element.row];
    if op == BinaryOp::Or {
        let present: FxHashSet<usize> = left.iter().map(of_left).collect();
        let added = right.iter().filter(|element| !present.contains(&of_right(element)));
        return left.iter().chain(added).cloned().collect();
    }
    let present: FxHashSet<usize> = right.iter().map(of_right).collect();
    let wanted = op == BinaryOp::And;
    left.iter().filter(|element| present.contains(&of_left(element)) == wanted).cloned().collect()
}

/// `{__name__="up", job="a"}`: labels as upstream's errors print them, the name among them.
pub(super) fn label_list(labels: &Labels) -> String {
    let quoted = |label: &Label| {
        let name = if is_legacy_name(&label.name) { label.name.to_string() } else { format!("{:?}", label.name) };
        format!("{name}={:?}", label.value)
    };
    format!("{{{}}}", labels.iter().map(quoted).collect::<Vec<_>>().join(", "))
}

/// One step of an operator that is no set operator.
struct Step<'s, 'a, 'e> {
    evaluator: &'e mut Evaluator<'a>,
    binary: &'s Binary,
    matching: &'s VectorMatching,
    span: Span,
    step: Timestamp,
    signatures: &'s Signatures,
}

/// What has been matched so far.
#[derive(Default)]
struct Matched {
    /// The labels of results by signature; a second one in one-to-one matching is a mistake, else a second equal one.
    results: FxHashMap<usize, FxHashSet<Labels>>,
    elements: Vec<Element>,
}

impl Step<'_, '_, '_> {
    fn run(mut self, left: &[Element], right: &[Element]) -> Result<Vec<Element>, EvalError> {
        let Signatures { left: left_numbers, right: right_numbers } = self.signatures;
        // "Many" on the left, as in one-to-one and many-to-one; `group_right` swaps the sides.
        let swapped = self.matching.cardinality == Cardinality::OneToMany;
        let ((many, many_numbers), (one, one_numbers)) = if swapped {
            ((right, right_numbers), (left, left_numbers))
        } else {
            ((left, left_numbers), (right, right_numbers))
        };
        // As upstream, the right fill stands in for the "one" side and the left fill for the "many" side.
        let (fill_many, fill_one) = (self.matching.fill_left, self.matching.fill_right);
        if (many.is_empty() || one.is_empty()) && fill_many.is_none() && fill_one.is_none() {
            return Ok(Vec::new());
        }
        let partners = self.unique_partners(one, one_numbers)?;
        let mut matched = Matched::default();
        for element in many {
            let number = many_numbers[element.row];
            match (partners.get(&number), fill_one) {
                (Some(partner), _) => self.combine(element, partner, number, &mut matched)?,
                (None, Some(fill)) => {
                    let partner = self.filled(element, fill);
                    self.combine(element, &partner, number, &mut matched)?;
                }
                (None, None) => {}
            }
        }
        if let Some(fill) = fill_many {
            for partner in one {
                let number = one_numbers[partner.row];
                if !matched.results.contains_key(&number) {
                    let element = self.filled(partner, fill);
                    self.combine(&element, partner, number, &mut matched)?;
                }
            }
        }
        Ok(matched.elements)
    }

    fn unique_partners<'v>(
        &self,
        one: &'v [Element],
        numbers: &[usize],
    ) -> Result<FxHashMap<usize, &'v Element>, EvalError> {
        let mut partners: FxHashMap<usize, &Element> = FxHashMap::default();
        for element in one {
            if let Some(other) = partners.insert(numbers[element.row], element) {
                let mut series = [label_list(&element.labels), label_list(&other.labels)];
                series.sort();
                let side = if self.matching.cardinality == Cardinality::OneToMany { "left" } else { "right" };
                let group = label_list(&signature(&element.labels, self.matching));
                return Err(EvalError::DuplicateMatch { group, side, series });
            }
        }
        Ok(partners)
    }

    /// What stands in for the missing partner of `element`.
    fn filled(&self, element: &Element, fill: f64) -> Element {
        Element::new(signature(&element.labels, self.matching), self.step, fill)
    }

    fn combine(
        &mut self,
        many: &Element,
        one: &Element,
        number: usize,
        matched: &mut Matched,
    ) -> Result<(), EvalError> {
        let swapped = self.matching.cardinality == Cardinality::OneToMany;
        let (left, right) = if swapped { (one, many) } else { (many, one) };
        let Some(outcome) = self.evaluator.apply(self.binary.op, &left.value, &right.value, self.span) else {
            return Ok(());
        };
        let labels = self.result_labels(&many.labels, &one.labels);
        let results = matched.results.entry(number).or_default();
        if self.matching.cardinality == Cardinality::OneToOne {
            if !results.is_empty() {
                return Err(EvalError::ManyToOneNotExplicit);
            }
            results.insert(labels.clone());
        } else if !results.insert(labels.clone()) {
            return Err(EvalError::GroupingNotUnique);
        }
        let value = match self.binary.return_bool {
            true => Value::Float(f64::from(u8::from(outcome.keep))),
            false if outcome.keep => outcome.value,
            false => return Ok(()),
        };
        let drop_name = self.binary.return_bool;
        matched.elements.push(Element { drop_name, ..Element::new(labels, self.step, value) });
        Ok(())
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let drops_name = self.binary.return_bool && !self.evaluator.options.delayed_name_removal;
        let labels = if drops_name || changes_meaning(self.binary.op) { without_metadata(many) } else { many.clone() };
        if self.matching.cardinality == Cardinality::OneToOne {
            return labels.filtered(|label| self.matching.labels.contains(&label.name) == self.matching.on);
        }
        if self.matching.include.is_empty() {
            return labels;
        }
        let mut builder = labels.to_builder();
        for name in &self.matching.include {
            builder.set(name.clone(), one.get(name).unwrap_or(""));
        }
        builder.build()
    }
}
