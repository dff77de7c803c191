//! Functions of one number. Those whose last digit depends on the library stand in [`elementary`],
//! [`trigonometric`] and [`hyperbolic`].

use super::{elementary, hyperbolic, trigonometric};
use crate::promql::functions::FunctionId;

/// Whether `id` is a function of one number.
pub(in crate::promql) fn is_simple(id: FunctionId) -> bool {
    use FunctionId::*;
    matches!(
        id,
        Abs | Ceil
            | Floor
            | Exp
            | Sqrt
            | Ln
            | Log2
            | Log10
            | Sin
            | Cos
            | Tan
            | Asin
            | Acos
            | Atan
            | Sinh
            | Cosh
            | Tanh
            | Asinh
            | Acosh
            | Atanh
            | Rad
            | Deg
            | Sgn
    )
}

/// The value of the function `id`, one of those, at `value`.
pub(in crate::promql) fn simple_function(id: FunctionId, value: f64) -> f64 {
    use FunctionId as F;
    match id {
        F::Abs => value.abs(),
        F::Ceil => value.ceil(),
        F::Floor => value.floor(),
        F::Exp => elementary::exp(value),
        F::Sqrt => value.sqrt(),
        F::Ln => elementary::ln(value),
        F::Log2 => elementary::log2(value),
        F::Log10 => elementary::log10(value),
        F::Sin => trigonometric::sin(value),
        F::Cos => trigonometric::cos(value),
        F::Tan => trigonometric::tan(value),
        F::Asin => trigonometric::asin(value),
        F::Acos => trigonometric::acos(value),
        F::Atan => trigonometric::atan(value),
        F::Sinh => hyperbolic::sinh(value),
        F::Cosh => hyperbolic::cosh(value),
        F::Tanh => hyperbolic::tanh(value),
        F::Asinh => hyperbolic::asinh(value),
        F::Acosh => hyperbolic::acosh(value),
        F::Atanh => hyperbolic::atanh(value),
        F::Rad => value * std::f64::consts::PI / 180.0,
        F::Deg => value * 180.0 / std::f64::consts::PI,
        F::Sgn if value < 0.0 => -1.0,
        F::Sgn if value > 0.0 => 1.0,
        // Zero keeps its sign and NaN stays.
        F::Sgn => value,
        _ => unreachable!("BUG: {id:?} is not a function of one number"),
    }
}
