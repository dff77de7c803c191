//! The registry of functions: names, argument types, result types.
//!
//! One slice, [`FUNCTIONS`]; the parser looks names up in it, the type check reads it, the evaluator dispatches on
//! [`FunctionId`]. **Source.** Prometheus 3.14 `promql/parser/functions.go`.

use super::ast::ValueType::{self, Matrix, Scalar, String as Text, Vector};

/// A function's signature.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// As written.
    pub name: &'static str,
    /// Dispatch for the evaluator.
    pub id: FunctionId,
    /// Types of the arguments; with `variadic` the last one may be absent or repeated.
    pub args: &'static [ValueType],
    /// 0: exactly `args`; n > 0: up to n more than `args.len() - 1`; -1: any number.
    pub variadic: i32,
    /// Type of the result.
    pub returns: ValueType,
    /// Whether Prometheus has it behind its feature flag `promql-experimental-functions`.
    pub experimental: bool,
}

/// The registry entry of `name`.
pub fn lookup(name: &str) -> Option<&'static Function> {
    let at = FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok()?;
    Some(&FUNCTIONS[at])
}

macro_rules! functions {
    ($($name:literal $id:ident ($($arg:ident),*) $variadic:literal -> $returns:ident $experimental:literal;)*) => {
        /// Which function.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // each is the function of that name
        pub enum FunctionId { $($id),* }

        /// All functions, in order of name.
        pub static FUNCTIONS: &[Function] = &[$(Function {
            name: $name,
            id: FunctionId::$id,
            args: &[$($arg),*],
            variadic: $variadic,
            returns: $returns,
            experimental: $experimental,
        }),*];
    };
}

functions! {
    "abs" Abs (Vector) 0 -> Vector false;
    "absent" Absent (Vector) 0 -> Vector false;
    "absent_over_time" AbsentOverTime (Matrix) 0 -> Vector false;
    "acos" Acos (Vector) 0 -> Vector false;
    "acosh" Acosh (Vector) 0 -> Vector false;
    "asin" Asin (Vector) 0 -> Vector false;
    "asinh" Asinh (Vector) 0 -> Vector false;
    "atan" Atan (Vector) 0 -> Vector false;
    "atanh" Atanh (Vector) 0 -> Vector false;
    "avg_over_time" AvgOverTime (Matrix) 0 -> Vector false;
    "ceil" Ceil (Vector) 0 -> Vector false;
    "changes" Changes (Matrix) 0 -> Vector false;
    "clamp" Clamp (Vector, Scalar, Scalar) 0 -> Vector false;
    "clamp_max" ClampMax (Vector, Scalar) 0 -> Vector false;
    "clamp_min" ClampMin (Vector, Scalar) 0 -> Vector false;
    "cos" Cos (Vector) 0 -> Vector false;
    "cosh" Cosh (Vector) 0 -> Vector false;
    "count_over_time" CountOverTime (Matrix) 0 -> Vector false;
    "day_of_month" DayOfMonth (Vector) 1 -> Vector false;
    "day_of_week" DayOfWeek (Vector) 1 -> Vector false;
    "day_of_year" DayOfYear (Vector) 1 -> Vector false;
    "days_in_month" DaysInMonth (Vector) 1 -> Vector false;
    "deg" Deg (Vector) 0 -> Vector false;
    "delta" Delta (Matrix) 0 -> Vector false;
    "deriv" Deriv (Matrix) 0 -> Vector false;
    "double_exponential_smoothing" DoubleExponentialSmoothing (Matrix, Scalar, Scalar) 0 -> Vector true;
    "end" EndOf () 0 -> Scalar true;
    "exp" Exp (Vector) 0 -> Vector false;
    "first_over_time" FirstOverTime (Matrix) 0 -> Vector false;
    "floor" Floor (Vector) 0 -> Vector false;
    "histogram_avg" HistogramAvg (Vector) 0 -> Vector false;
    "histogram_count" HistogramCount (Vector) 0 -> Vector false;
    "histogram_fraction" HistogramFraction (Scalar, Scalar, Vector) 0 -> Vector false;
    "histogram_quantile" HistogramQuantile (Scalar, Vector) 0 -> Vector false;
    "histogram_quantiles" HistogramQuantiles (Vector, Text, Scalar, Scalar) 9 -> Vector true;
    "histogram_stddev" HistogramStddev (Vector) 0 -> Vector false;
    "histogram_stdvar" HistogramStdvar (Vector) 0 -> Vector false;
    "histogram_sum" HistogramSum (Vector) 0 -> Vector false;
    "hour" Hour (Vector) 1 -> Vector false;
    "idelta" Idelta (Matrix) 0 -> Vector false;
    "increase" Increase (Matrix) 0 -> Vector false;
    "info" Info (Vector, Vector) 1 -> Vector true;
    "irate" Irate (Matrix) 0 -> Vector false;
    "label_join" LabelJoin (Vector, Text, Text, Text) -1 -> Vector false;
    "label_replace" LabelReplace (Vector, Text, Text, Text, Text) 0 -> Vector false;
    "last_over_time" LastOverTime (Matrix) 0 -> Vector false;
    "ln" Ln (Vector) 0 -> Vector false;
    "log10" Log10 (Vector) 0 -> Vector false;
    "log2" Log2 (Vector) 0 -> Vector false;
    "mad_over_time" MadOverTime (Matrix) 0 -> Vector true;
    "max_of" MaxOf (Scalar, Scalar) 0 -> Scalar true;
    "max_over_time" MaxOverTime (Matrix) 0 -> Vector false;
    "min_of" MinOf (Scalar, Scalar) 0 -> Scalar true;
    "min_over_time" MinOverTime (Matrix) 0 -> Vector false;
    "minute" Minute (Vector) 1 -> Vector false;
    "month" Month (Vector) 1 -> Vector false;
    "pi" Pi () 0 -> Scalar false;
    "predict_linear" PredictLinear (Matrix, Scalar) 0 -> Vector false;
    "present_over_time" PresentOverTime (Matrix) 0 -> Vector false;
    "quantile_over_time" QuantileOverTime (Scalar, Matrix) 0 -> Vector false;
    "rad" Rad (Vector) 0 -> Vector false;
    "range" RangeOf () 0 -> Scalar true;
    "rate" Rate (Matrix) 0 -> Vector false;
    "resets" Resets (Matrix) 0 -> Vector false;
    "round" Round (Vector, Scalar) 1 -> Vector false;
    "scalar" ScalarOf (Vector) 0 -> Scalar false;
    "sgn" Sgn (Vector) 0 -> Vector false;
    "sin" Sin (Vector) 0 -> Vector false;
    "sinh" Sinh (Vector) 0 -> Vector false;
    "sort" Sort (Vector) 0 -> Vector false;
    "sort_by_label" SortByLabel (Vector, Text) -1 -> Vector true;
    "sort_by_label_desc" SortByLabelDesc (Vector, Text) -1 -> Vector true;
    "sort_desc" SortDesc (Vector) 0 -> Vector false;
    "sqrt" Sqrt (Vector) 0 -> Vector false;
    "start" StartOf () 0 -> Scalar true;
    "start_timestamp" StartTimestamp (Vector) 0 -> Vector true;
    "stddev_over_time" StddevOverTime (Matrix) 0 -> Vector false;
    "stdvar_over_time" StdvarOverTime (Matrix) 0 -> Vector false;
    "step" StepOf () 0 -> Scalar true;
    "sum_over_time" SumOverTime (Matrix) 0 -> Vector false;
    "tan" Tan (Vector) 0 -> Vector false;
    "tanh" Tanh (Vector) 0 -> Vector false;
    "time" Time () 0 -> Scalar false;
    "timestamp" TimestampOf (Vector) 0 -> Vector false;
    "ts_of_first_over_time" TsOfFirstOverTime (Matrix) 0 -> Vector true;
    "ts_of_last_over_time" TsOfLastOverTime (Matrix) 0 -> Vector true;
    "ts_of_max_over_time" TsOfMaxOverTime (Matrix) 0 -> Vector true;
    "ts_of_min_over_time" TsOfMinOverTime (Matrix) 0 -> Vector true;
    "vector" VectorOf (Scalar) 0 -> Vector false;
    "year" Year (Vector) 1 -> Vector false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
    }
}
