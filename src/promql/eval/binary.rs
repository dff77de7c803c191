//! Binary operators: on two numbers, on a vector and a number, on two elements.

use std::sync::Arc;

use crate::model::{CounterResetHint, Histogram, Labels, Value};
use crate::promql::ast::{Binary, BinaryOp, ValueType};
use crate::source::Span;

use super::elementary;
use super::error::EvalError;
use super::evaluator::Evaluator;
use super::grid::Grid;
use super::matrix::{Element, Row};
use super::native::{self, Combined, IncompatibleSchemas};
use super::native_trim;
use super::trigonometric;

/// What an operator makes of two elements.
pub(super) struct Outcome {
    pub(super) value: Value,
    /// What a comparison says; true for all other operators.
    pub(super) keep: bool,
}

impl Evaluator<'_> {
    pub(super) fn binary(&mut self, binary: &Binary, span: Span, grid: Grid) -> Result<Vec<Row>, EvalError> {
        let lhs = self.eval(&binary.lhs, grid)?;
        let rhs = self.eval(&binary.rhs, grid)?;
        let op = binary.op;
        match (binary.lhs.value_type(), binary.rhs.value_type()) {
            (ValueType::Scalar, ValueType::Scalar) => self.by_step(grid, &[&lhs, &rhs], |_, step, vectors| {
                let [left, right] = [scalar(&vectors[0]), scalar(&vectors[1])];
                let value = match compare(op, left, right) {
                    Some(holds) => f64::from(u8::from(holds)),
                    None => arithmetic(op, left, right),
                };
                Ok(vec![Element::new(Labels::empty(), step, value)])
            }),
            (ValueType::Vector, ValueType::Vector) => self.vector_with_vector(binary, span, [&lhs, &rhs], grid),
            (ValueType::Scalar, _) => self.by_step(grid, &[&lhs, &rhs], |evaluator, _, vectors| {
                let number = Value::Float(scalar(&vectors[0]));
                Ok(evaluator.vector_with_scalar(binary, span, &vectors[1], |element| [number.clone(), element]))
            }),
            _ => self.by_step(grid, &[&lhs, &rhs], |evaluator, _, vectors| {
                let number = Value::Float(scalar(&vectors[1]));
                Ok(evaluator.vector_with_scalar(binary, span, &vectors[0], |element| [element, number.clone()]))
            }),
        }
    }

    /// `operands` puts an element's value on its side of the number.
    fn vector_with_scalar(
        &mut self,
        binary: &Binary,
        span: Span,
        vector: &[Element],
        operands: impl Fn(Value) -> [Value; 2],
    ) -> Vec<Element> {
        let mut result = Vec::new();
        for element in vector {
            let [left, right] = operands(element.value.clone());
            let Some(outcome) = self.apply(binary.op, &left, &right, span) else { continue };
            let mut element = element.clone();
            if binary.return_bool {
                element.value = Value::Float(f64::from(u8::from(outcome.keep)));
            } else if !outcome.keep {
                continue;
            } else if !binary.op.is_comparison() {
                // A comparison keeps the element's own value, on whichever side it stands.
                element.value = outcome.value;
            }
            if changes_meaning(binary.op) || binary.return_bool {
                element.labels = self.without_name(&element.labels);
                element.drop_name = true;
            }
            result.push(element);
        }
        result
    }

    /// What `op` makes of two values; `None`, and a note, where it makes nothing of them.
    pub(super) fn apply(&mut self, op: BinaryOp, left: &Value, right: &Value, span: Span) -> Option<Outcome> {
        use BinaryOp as B;
        let kept = |histogram: Histogram| {
            Some(Outcome { value: native::into_value(native::compacted(&histogram)), keep: true })
        };
        match (left, right) {
            (Value::Float(_), Value::Float(_)) if matches!(op, B::TrimUpper | B::TrimLower) => {
                self.incompatible_types(span, op, "float", "float");
                None
            }
            (Value::Float(a), Value::Float(b)) => Some(match compare(op, *a, *b) {
                Some(keep) => Outcome { value: Value::Float(*a), keep },
                None => Outcome { value: Value::Float(arithmetic(op, *a, *b)), keep: true },
            }),
            (Value::Float(factor), Value::Histogram(histogram))
            | (Value::Histogram(histogram), Value::Float(factor))
                if op == B::Mul =>
            {
                kept(native::scaled(histogram, *factor))
            }
            (Value::Histogram(histogram), Value::Float(number)) => match op {
                B::Div => kept(native::divided(histogram, *number)),
                B::TrimUpper => kept(native_trim::keep_below(histogram, *number)),
                B::TrimLower => kept(native_trim::keep_above(histogram, *number)),
                _ => {
                    self.incompatible_types(span, op, "histogram", "float");
                    None
                }
            },
            (Value::Float(_), Value::Histogram(_)) => {
                self.incompatible_types(span, op, "float", "histogram");
                None
            }
            (Value::Histogram(a), Value::Histogram(b)) => self.apply_to_histograms(op, a, b, span),
        }
    }

    fn apply_to_histograms(
        &mut self,
        op: BinaryOp,
        left: &Arc<Histogram>,
        right: &Arc<Histogram>,
        span: Span,
    ) -> Option<Outcome> {
        let (combined, operation) = match op {
            BinaryOp::Add => (native::add(left, right), "addition"),
            BinaryOp::Sub => (native::subtract(left, right), "subtraction"),
            BinaryOp::Eq | BinaryOp::Ne => {
                let keep = native::is_same(left, right) == (op == BinaryOp::Eq);
                return Some(Outcome { value: Value::Histogram(left.clone()), keep });
            }
            _ => {
                self.incompatible_types(span, op, "histogram", "histogram");
                return None;
            }
        };
        match combined {
            Ok(Combined { mut histogram, reset_collision, reconciled }) => {
                if op == BinaryOp::Sub {
                    histogram.counter_reset_hint = CounterResetHint::Gauge;
                }
                if reset_collision {
                    self.annotations.reset_collision(span, operation);
                }
                if reconciled {
                    self.annotations.reconciled_bounds(span, operation);
                }
                Some(Outcome { value: native::into_value(histogram), keep: true })
            }
            Err(IncompatibleSchemas) => {
                let text = "incompatible bucket layout encountered for binary operator";
                self.annotations.warn(span, format!("{text} {}", op.as_str()));
                None
            }
        }
    }
}

/// Whether the result means something else than its operand, so that the metric's name goes.
pub(in crate::promql) fn changes_meaning(op: BinaryOp) -> bool {
    use BinaryOp::{Add, Atan2, Div, Mod, Mul, Pow, Sub};
    matches!(op, Add | Sub | Mul | Div | Mod | Pow | Atan2)
}

fn scalar(vector: &[Element]) -> f64 {
    vector.first().and_then(Element::float).expect("BUG: a scalar operand without a number")
}

/// What a comparison says; `None` for other operators.
pub(in crate::promql) fn compare(op: BinaryOp, a: f64, b: f64) -> Option<bool> {
    Some(match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Gt => a > b,
        BinaryOp::Lt => a < b,
        BinaryOp::Ge => a >= b,
        BinaryOp::Le => a <= b,
        _ => return None,
    })
}

pub(in crate::promql) fn arithmetic(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => elementary::pow(a, b),
        BinaryOp::Atan2 => trigonometric::atan2(a, b),
        _ => unreachable!("BUG: {op:?} between numbers"),
    }
}
