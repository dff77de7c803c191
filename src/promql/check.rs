//! The type check: which expressions may stand where.
//!
//! In the flow: the last step of parsing, on a tree without syntax errors. It reports every mistake, in Prometheus's words and
//! order, and settles what depends on types: how the sides of an operator are matched.
//!
//! **Invariants.** Afterwards [`Binary::matching`] is there exactly between two vectors, and set operators are many-to-many.
//! **Source.** Prometheus 3.14 `promql/parser/parse.go`, `checkAST`.

use crate::model::{METRIC_NAME, MatchOp, Matcher, quote};
use crate::source::Span;

use super::ast::{Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, ExprKind, ValueType, VectorSelector};
use super::error::ParseError;
use super::functions::FunctionId;
use super::hint;

/// Checks `expr`, the tree of `text`, and settles the matching of its operators.
pub(super) fn check(text: &str, expr: &mut Expr) -> Vec<ParseError> {
    let mut checker = Checker { text, errors: Vec::new() };
    checker.expression(expr);
    checker.errors
}

struct Checker<'a> {
    text: &'a str,
    errors: Vec<ParseError>,
}

impl Checker<'_> {
    fn report(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.errors.push(ParseError::new(self.text, span, message).with_help(help));
    }

    /// Checks `expr` and gives its type, so that nobody looks for it a second time in what is below.
    fn expression(&mut self, expr: &mut Expr) -> ValueType {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) => ValueType::Scalar,
            ExprKind::String(_) | ExprKind::Bytes(_) => ValueType::String,
            ExprKind::VectorSelector(selector) => {
                self.selector(selector, span);
                ValueType::Vector
            }
            ExprKind::MatrixSelector { selector, .. } => {
                self.selector(selector, span);
                ValueType::Matrix
            }
            ExprKind::Subquery(subquery) => {
                let inner = self.expression(&mut subquery.expr);
                if inner != ValueType::Vector {
                    let got = type_name(inner);
                    self.report(span, format!("subquery is only allowed on instant vector, got {got} instead"), None);
                }
                ValueType::Matrix
            }
            ExprKind::Call(call) => {
                self.call(call, span);
                call.function.returns
            }
            ExprKind::Aggregate(aggregate) => {
                self.aggregate(aggregate);
                ValueType::Vector
            }
            ExprKind::Binary(binary) => self.binary(binary, span),
            ExprKind::Unary { operand, .. } => {
                let got = self.expression(operand);
                if !matches!(got, ValueType::Scalar | ValueType::Vector) {
                    let shown = quote(got.documented());
                    let message = "unary expression only allowed on expressions of type scalar or instant vector";
                    self.report(span, format!("{message}, got {shown}"), hint::for_operand_type(operand));
                }
                got
            }
            ExprKind::Paren(inner) => self.expression(inner),
        }
    }

    fn selector(&mut self, selector: &VectorSelector, span: Span) {
        if let Some(name) = &selector.name {
            // The last matcher is the one that stands for the name before the braces.
            let written = &selector.matchers[..selector.matchers.len() - 1];
            for matcher in written.iter().filter(|matcher| &*matcher.name == METRIC_NAME) {
                let names = format!("{} or {}", quote(name), quote(&matcher.value));
                let help = Some("write the name before the braces or inside, not both".to_owned());
                self.report(span, format!("metric name must not be set twice: {names}"), help);
            }
        } else if !has_plain_test(selector) && selector.matchers.iter().all(Matcher::matches_empty) {
            let help = Some("name a metric, or a label with a value that is not empty: `{job=\"node\"}`".to_owned());
            self.report(span, "vector selector must contain at least one non-empty matcher", help);
        }
    }

    /// Reports that `expr` is not of the type `wanted`.
    fn report_type(&mut self, expr: &Expr, wanted: ValueType, place: &str, help: Option<String>) {
        let got = expr.value_type();
        let message = format!("expected type {} in {place}, got {}", wanted.documented(), got.documented());
        self.report(expr.span, message, help);
    }

    fn aggregate(&mut self, aggregate: &mut Aggregate) {
        let op = aggregate.op;
        let got = self.expression(&mut aggregate.expr);
        if got != ValueType::Vector {
            self.report_type(
                &aggregate.expr,
                ValueType::Vector,
                "aggregation expression",
                hint::for_aggregated_type(aggregate),
            );
        }
        let Some(param) = &mut aggregate.param else { return };
        let of_param = self.expression(param);
        let wanted = if op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
        if of_param != wanted {
            let is_name = wanted == ValueType::String && of_param == ValueType::Vector;
            let help = match got {
                // That the arguments stand the other way round has been said.
                ValueType::Scalar => None,
                _ if is_name => Some(hint::for_missing_quotes(param)),
                _ => hint::for_aggregate_arguments(op),
            };
            self.report_type(param, wanted, "aggregation parameter", help);
        }
    }

    fn call(&mut self, call: &mut Call, span: Span) {
        let function = call.function;
        self.argument_count(call, span);
        let is_info = function.id == FunctionId::Info;
        if is_info && call.args.len() > 1 {
            self.info_selector(&mut call.args[1], span);
        }
        for index in 0..call.args.len() {
            let wanted = match function.args.get(index) {
                Some(wanted) => *wanted,
                None if function.variadic == 0 => break,
                None => *function.args.last().expect("BUG: a variadic function without arguments"),
            };
            // The second argument of `info` may select everything.
            if is_info && index == 1 && matches!(call.args[index].kind, ExprKind::VectorSelector(_)) {
                continue;
            }
            if self.expression(&mut call.args[index]) != wanted {
                let place = format!("call to function {}", quote(function.name));
                self.report_type(&call.args[index], wanted, &place, hint::for_argument_type(call, index, wanted));
            }
        }
    }

    fn argument_count(&mut self, call: &Call, span: Span) {
        let (function, got) = (call.function, call.args.len());
        let wanted = function.args.len();
        let (bound, limit) = if function.variadic == 0 {
            if got == wanted {
                return;
            }
            ("", wanted)
        } else {
            let most = usize::try_from(function.variadic).map_or(usize::MAX, |more| wanted - 1 + more);
            match got {
                _ if got < wanted - 1 => ("at least ", wanted - 1),
                _ if got > most => ("at most ", most),
                _ => return,
            }
        };
        let name = quote(function.name);
        let message = format!("expected {bound}{limit} argument(s) in call to {name}, got {got}");
        self.report(span, message, Some(hint::signature(function)));
    }

    fn info_selector(&mut self, arg: &mut Expr, span: Span) {
        let got = arg.value_type();
        if got != ValueType::Vector {
            let message =
                format!("expected type instant vector in call to function \"info\", got {}", got.documented());
            self.report(span, message, None);
        }
        match &arg.kind {
            ExprKind::VectorSelector(selector) if selector.name.is_some() => {
                self.report(arg.span, "expected label selectors only, got vector selector instead", None);
            }
            ExprKind::VectorSelector(_) => {}
            _ => self.report(arg.span, "expected label selectors only", None),
        }
    }

    fn binary(&mut self, binary: &mut Binary, span: Span) -> ValueType {
        let (left, right) = (self.expression(&mut binary.lhs), self.expression(&mut binary.rhs));
        let op = binary.op;
        if binary.return_bool && !op.is_comparison() {
            self.report(self.operator_span(binary), "bool modifier can only be used on comparison operators", None);
        }
        if op.is_comparison() && !binary.return_bool && (left, right) == (ValueType::Scalar, ValueType::Scalar) {
            let help = Some(format!("write `{} bool`, which gives 0 or 1", op.as_str()));
            self.report(self.operator_span(binary), "comparisons between scalars must use BOOL modifier", help);
        }
        self.matched_labels(binary);
        for (side, got) in [(&binary.lhs, left), (&binary.rhs, right)] {
            if !matches!(got, ValueType::Scalar | ValueType::Vector) {
                let help = hint::for_operand_type(side);
                self.report(side.span, "binary expression must contain only scalar and instant vector types", help);
            }
        }
        self.matching(binary, span, left == ValueType::Vector && right == ValueType::Vector);
        if op.is_set() && (left == ValueType::Scalar || right == ValueType::Scalar) {
            let message = format!("set operator {} not allowed in binary scalar expression", quote(op.as_str()));
            let help = Some(format!("`{}` joins vectors; write `vector(…)` around the number", op.as_str()));
            self.report(span, message, help);
        }
        match (left, right) {
            (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
            _ => ValueType::Vector,
        }
    }

    fn matched_labels(&mut self, binary: &mut Binary) {
        let Some(matching) = &mut binary.matching else { return };
        if binary.op.is_set() && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        let Some(matching) = binary.matching.as_ref().filter(|matching| matching.on) else { return };
        for label in &matching.labels {
            for _ in matching.include.iter().filter(|included| *included == label) {
                let message = format!("label {} must not occur in ON and GROUP clause at once", quote(label));
                let help = Some("labels in `on` are kept anyway; leave it out of the group clause".to_owned());
                self.report(self.operator_span(binary), message, help);
            }
        }
    }

    fn matching(&mut self, binary: &mut Binary, span: Span, between_vectors: bool) {
        let Some(matching) = &binary.matching else { return };
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if !between_vectors {
            if !matching.labels.is_empty() {
                let help = Some("a number has no labels to match: leave `on (…)` or `ignoring (…)` out".to_owned());
                self.report(span, "vector matching only allowed between instant vectors", help);
            }
            if fills {
                self.report(span, "filling in missing series only allowed between instant vectors", None);
            }
            binary.matching = None;
        } else if binary.op.is_set() {
            let grouped = matching.cardinality != Cardinality::ManyToMany;
            if grouped {
                let help = Some("leave group_left and group_right out: set operators match many to many".to_owned());
                let message = format!("no grouping allowed for {} operation", quote(binary.op.as_str()));
                self.report(span, message, help);
                self.report(span, "set operations must always be many-to-many", None);
            }
            if fills {
                self.report(span, "filling in missing series not allowed for set operators", None);
            }
        }
    }

    /// The operator with its modifiers, without the space around.
    fn operator_span(&self, binary: &Binary) -> Span {
        let between = &self.text[binary.lhs.span.end..binary.rhs.span.start];
        let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
        let start = binary.lhs.span.end + (between.len() - between.trim_start_matches(is_space).len());
        Span::new(start, start + between.trim_matches(is_space).len())
    }
}

/// Whether a comparison with a text demands a label that is not empty: most do, and no regular expression has to be compiled to know.
fn has_plain_test(selector: &VectorSelector) -> bool {
    let is_plain = |matcher: &&Matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::NotEqual);
    selector.matchers.iter().filter(is_plain).any(|matcher| !matcher.matches_empty())
}

/// Prometheus names the type of a subquery's inside in its short form.
fn type_name(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
    }
}
