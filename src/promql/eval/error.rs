//! Why a query has no answer. The texts are Prometheus's.

use std::fmt;

use crate::promql::ast::ValueType;
use crate::promql::{DurationExprError, QuerierError};

use super::number::format_go_float;

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum EvalError {
    /// See [`super::Interrupt::Canceled`].
    Canceled,
    /// See [`super::Interrupt::Timeout`].
    Timeout,
    /// More samples at a time than [`super::QueryOptions::max_samples`].
    TooManySamples,
    /// The source of samples failed.
    Querier(QuerierError),
    /// A computed duration that this query makes impossible.
    Duration(DurationExprError),
    /// A range query for a type that has no value per step.
    NotRangeable(ValueType),
    /// Two elements with the same labels at the same instant.
    DuplicateLabelset,
    /// Two series of the "one" side in one match group.
    DuplicateMatch {
        /// The labels of the group.
        group: String,
        /// `left` or `right`.
        side: &'static str,
        /// The two, in order.
        series: [String; 2],
    },
    /// Several elements of the left side match one of the right side without `group_left`.
    ManyToOneNotExplicit,
    /// The labels of `group_left` or `group_right` do not tell the results apart.
    GroupingNotUnique,
    /// The parameter of topk, bottomk or limitk is NaN.
    ParameterNotANumber,
    /// The parameter of limit_ratio is NaN.
    RatioNotANumber,
    /// The parameter of topk, bottomk or limitk is beyond 64 bits.
    ParameterOverflows(f64),
    /// Likewise, on the negative side.
    ParameterUnderflows(f64),
    /// A label name that cannot be one; `role` is what the message calls it.
    InvalidLabelName {
        /// `destination label name in label_replace()` and the like.
        role: &'static str,
        /// As written.
        name: String,
    },
    /// The label of count_values that cannot be one, in quotes.
    InvalidCountLabel(String),
    /// A text that is no UTF-8, in quotes.
    NotUtf8(String),
    /// The regular expression of label_replace.
    InvalidRegex(String),
    /// The parameter of double_exponential_smoothing.
    InvalidSmoothing {
        /// `smoothing factor` or `trend factor`.
        name: &'static str,
        /// `sf` or `tf`.
        symbol: &'static str,
        /// As given.
        value: f64,
    },
    /// `anchored` or `smoothed` in a function that is not made for it.
    ExtensionMisused {
        /// `anchored` or `smoothed`.
        extension: &'static str,
        /// The functions that are.
        allowed: &'static [&'static str],
        /// The one that is not.
        function: &'static str,
    },
    /// A selector with `anchored` or `smoothed` as a query of its own, on histograms.
    ExtensionOfHistograms(&'static str),
    /// Two info series of the same target and instant.
    DuplicateInfo {
        /// Both.
        series: [String; 2],
        /// When their samples were taken.
        at_ms: i64,
    },
    /// A series that should hold labels holds histograms.
    NotAnInfoMetric(String),
    /// Two info series of the same target give a label different values.
    ConflictingInfoLabel(String),
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvalError::Canceled => f.write_str("query was canceled in expression evaluation"),
            EvalError::Timeout => f.write_str("query timed out in expression evaluation"),
            EvalError::TooManySamples => {
                f.write_str("query processing would load too many samples into memory in query execution")
            }
            EvalError::Querier(error) => write!(f, "expanding series: {error}"),
            EvalError::Duration(error) => error.fmt(f),
            EvalError::NotRangeable(value_type) => write!(
                f,
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                value_type.documented()
            ),
            EvalError::DuplicateLabelset => f.write_str("vector cannot contain metrics with the same labelset"),
            EvalError::DuplicateMatch { group, side, series: [first, second] } => write!(
                f,
                "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
                 [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
            ),
            EvalError::ManyToOneNotExplicit => f.write_str(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            ),
            EvalError::GroupingNotUnique => {
                f.write_str("multiple matches for labels: grouping labels must ensure unique matches")
            }
            EvalError::ParameterNotANumber => f.write_str("Parameter value is NaN"),
            EvalError::RatioNotANumber => f.write_str("Ratio value is NaN"),
            EvalError::ParameterOverflows(value) => {
                write!(f, "Scalar value {} overflows int64", format_go_float(*value))
            }
            EvalError::ParameterUnderflows(value) => {
                write!(f, "Scalar value {} underflows int64", format_go_float(*value))
            }
            EvalError::InvalidLabelName { role, name } => write!(f, "invalid {role}: {name}"),
            EvalError::InvalidCountLabel(name) => write!(f, "invalid label name {name}"),
            EvalError::NotUtf8(text) => write!(f, "invalid text {text}: its bytes are not UTF-8"),
            EvalError::InvalidRegex(regex) => write!(f, "invalid regular expression in label_replace(): {regex}"),
            EvalError::InvalidSmoothing { name, symbol, value } => {
                write!(f, "invalid {name}. Expected: 0 < {symbol} < 1, got: {value:.6}")
            }
            EvalError::ExtensionMisused { extension, allowed, function } => {
                let allowed = allowed.join(", ");
                write!(f, "{extension} modifier can only be used with: {allowed} - not with {function}")
            }
            EvalError::ExtensionOfHistograms(extension) => {
                write!(f, "{extension} modifier is not supported with histograms")
            }
            EvalError::DuplicateInfo { series: [existing, new], at_ms } => {
                write!(f, "found duplicate series for info metric: existing {existing} @ {at_ms}, new {new} @ {at_ms}")
            }
            EvalError::NotAnInfoMetric(series) => {
                write!(f, "this should be an info metric, with float samples: {series}")
            }
            EvalError::ConflictingInfoLabel(name) => write!(f, "conflicting label: {name}"),
        }
    }
}

impl std::error::Error for EvalError {}

impl From<DurationExprError> for EvalError {
    fn from(error: DurationExprError) -> Self {
        EvalError::Duration(error)
    }
}

impl From<QuerierError> for EvalError {
    fn from(error: QuerierError) -> Self {
        EvalError::Querier(error)
    }
}
