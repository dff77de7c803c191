//! `/api/v1/parse_query`: the tree of an expression as JSON, for the tree view of Prometheus's page and for other tools.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/translate_ast.go`, compared with the running program on thousands of expressions.
//! **Differs:** in the tree that `/api/v1/parse_query` gives, what only newer versions than 3.5 have (`anchored`, `smoothed`, `fillValues`)
//! stands only where it is written, not as false or null everywhere.

use super::json::Json;
use crate::model::{MatchOp, Matcher, format_float};
use crate::promql::ast::{
    Aggregate, AtModifier, Binary, Call, Cardinality, Expr, ExprKind, RangeExtension, Subquery, ValueType,
    VectorMatching, VectorSelector,
};

/// The tree of `expr`. Keys stand in alphabetical order, as Go writes maps.
pub(super) fn write_tree(json: &mut Json, expr: &Expr) {
    match &expr.kind {
        ExprKind::Number(value) | ExprKind::Duration(value) => json.object(|json| {
            json.key("type").string("numberLiteral");
            json.key("val").string(&format_float(*value));
        }),
        ExprKind::String(text) => json.object(|json| {
            json.key("type").string("stringLiteral");
            json.key("val").string(text);
        }),
        ExprKind::Bytes(bytes) => json.object(|json| {
            json.key("type").string("stringLiteral");
            json.key("val").bytes(bytes);
        }),
        ExprKind::VectorSelector(selector) => write_selector(json, selector, None),
        ExprKind::MatrixSelector { selector, range_ms } => write_selector(json, selector, Some(*range_ms)),
        ExprKind::Subquery(subquery) => write_subquery(json, subquery),
        ExprKind::Call(call) => write_call(json, call),
        ExprKind::Aggregate(aggregate) => write_aggregate(json, aggregate),
        ExprKind::Binary(binary) => write_binary(json, binary),
        ExprKind::Unary { negate, operand } => json.object(|json| {
            write_tree(json.key("expr"), operand);
            json.key("op").string(if *negate { "-" } else { "+" });
            json.key("type").string("unaryExpr");
        }),
        ExprKind::Paren(inner) => json.object(|json| {
            write_tree(json.key("expr"), inner);
            json.key("type").string("parenExpr");
        }),
    }
}

fn write_selector(json: &mut Json, selector: &VectorSelector, range_ms: Option<i64>) {
    json.object(|json| {
        if selector.extension == Some(RangeExtension::Anchored) {
            json.key("anchored").truth(true);
        }
        json.key("matchers").list(&selector.matchers, write_matcher);
        json.key("name").string(selector.name.as_deref().unwrap_or_default());
        json.key("offset").integer(selector.offset_ms);
        if let Some(range_ms) = range_ms {
            json.key("range").integer(range_ms);
        }
        if selector.extension == Some(RangeExtension::Smoothed) {
            json.key("smoothed").truth(true);
        }
        write_at(json, selector.at, |_| {});
        json.key("type").string(if range_ms.is_some() { "matrixSelector" } else { "vectorSelector" });
    });
}

fn write_matcher(json: &mut Json, matcher: &Matcher) {
    let op = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    json.object(|json| {
        json.key("name").string(&matcher.name);
        json.key("type").string(op);
        json.key("value").string(&matcher.value);
    });
}

/// `startOrEnd` and `timestamp`; the keys of `between` stand between the two.
fn write_at(json: &mut Json, at: Option<AtModifier>, between: impl FnOnce(&mut Json)) {
    match at {
        Some(AtModifier::Start) => json.key("startOrEnd").string("start"),
        Some(AtModifier::End) => json.key("startOrEnd").string("end"),
        Some(AtModifier::Time(_)) | None => json.key("startOrEnd").null(),
    }
    between(json);
    match at {
        Some(AtModifier::Time(time)) => json.key("timestamp").integer(time.as_ms()),
        _ => json.key("timestamp").null(),
    }
}

fn write_subquery(json: &mut Json, subquery: &Subquery) {
    json.object(|json| {
        write_tree(json.key("expr"), &subquery.expr);
        json.key("offset").integer(subquery.offset_ms);
        json.key("range").integer(subquery.range_ms);
        write_at(json, subquery.at, |json| json.key("step").integer(subquery.step_ms.unwrap_or(0)));
        json.key("type").string("subquery");
    });
}

fn write_call(json: &mut Json, call: &Call) {
    let function = call.function;
    json.object(|json| {
        json.key("args").list(&call.args, write_tree);
        json.key("func").object(|json| {
            json.key("argTypes").list(function.args, |json, value_type| json.string(type_name(*value_type)));
            json.key("name").string(function.name);
            json.key("returnType").string(type_name(function.returns));
            json.key("variadic").integer(function.variadic);
        });
        json.key("type").string("call");
    });
}

fn type_name(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
    }
}

fn write_aggregate(json: &mut Json, aggregate: &Aggregate) {
    json.object(|json| {
        write_tree(json.key("expr"), &aggregate.expr);
        json.key("grouping").list(&aggregate.grouping, |json, label| json.string(label));
        json.key("op").string(aggregate.op.as_str());
        match &aggregate.param {
            Some(param) => write_tree(json.key("param"), param),
            None => json.key("param").null(),
        }
        json.key("type").string("aggregation");
        json.key("without").truth(aggregate.without);
    });
}

fn write_binary(json: &mut Json, binary: &Binary) {
    json.object(|json| {
        json.key("bool").truth(binary.return_bool);
        write_tree(json.key("lhs"), &binary.lhs);
        match &binary.matching {
            Some(matching) => write_matching(json.key("matching"), matching),
            None => json.key("matching").null(),
        }
        json.key("op").string(binary.op.as_str());
        write_tree(json.key("rhs"), &binary.rhs);
        json.key("type").string("binaryExpr");
    });
}

fn write_matching(json: &mut Json, matching: &VectorMatching) {
    let cardinality = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    json.object(|json| {
        json.key("card").string(cardinality);
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            json.key("fillValues").object(|json| {
                write_fill(json.key("lhs"), matching.fill_left);
                write_fill(json.key("rhs"), matching.fill_right);
            });
        }
        json.key("include").list(&matching.include, |json, label| json.string(label));
        json.key("labels").list(&matching.labels, |json, label| json.string(label));
        json.key("on").truth(matching.on);
    });
}

fn write_fill(json: &mut Json, value: Option<f64>) {
    match value {
        Some(value) => json.number(value),
        None => json.null(),
    }
}
