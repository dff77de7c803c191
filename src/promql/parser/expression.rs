//! Expressions: operators, operands, calls, aggregations.

use std::sync::Arc;

use crate::promql::ast::{Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, ExprKind};
use crate::promql::functions;
use crate::promql::hint;
use crate::promql::literal;
use crate::promql::token::{Keyword, Token, TokenKind};
use crate::source::Span;

use super::selector::is_metric_name;
use super::{Abort, DEPTH_MAX, Node, Parsed, Parser};

/// `by (…)` or `without (…)`.
#[derive(Debug, Default)]
struct Grouping {
    labels: Vec<Arc<str>>,
    without: bool,
}

/// What stands between parentheses, and the height of the highest.
#[derive(Debug, Default)]
struct Arguments {
    list: Vec<Expr>,
    height: usize,
}

impl Arguments {
    /// Most have one only, which takes no more room than it needs.
    fn push(&mut self, node: Node, more_follow: bool) {
        if self.list.is_empty() && !more_follow {
            self.list.reserve_exact(1);
        }
        self.height = self.height.max(node.height);
        self.list.push(node.expr);
    }
}

impl Parser<'_> {
    /// Operands joined by operators of at least the precedence `min`.
    pub(super) fn binary(&mut self, min: u8) -> Parsed<Node> {
        self.nested(|parser| {
            let mut lhs = parser.unary()?;
            while let TokenKind::Operator(op) = parser.peek().kind
                && op.precedence() >= min
            {
                parser.next();
                lhs = parser.rest_of_binary(lhs, op)?;
            }
            Ok(lhs)
        })
    }

    fn rest_of_binary(&mut self, lhs: Node, op: BinaryOp) -> Parsed<Node> {
        let modifiers = self.binary_modifiers()?;
        // `^` takes another `^` to its right, the others to their left.
        let rhs = self.binary(if op == BinaryOp::Pow { op.precedence() } else { op.precedence() + 1 })?;
        let span = lhs.expr.span.to(rhs.expr.span);
        let matching = modifiers.matching;
        if !self.features.fill_modifiers && (matching.fill_left.is_some() || matching.fill_right.is_some()) {
            self.report(span, "binop fill modifiers are experimental and not enabled");
        }
        let kind = ExprKind::Binary(Box::new(Binary {
            op,
            lhs: lhs.expr,
            rhs: rhs.expr,
            return_bool: modifiers.return_bool,
            matching: Some(matching),
        }));
        self.grown(span, kind, lhs.height.max(rhs.height))
    }

    /// A node above others of at most `height`.
    pub(super) fn grown(&mut self, span: Span, kind: ExprKind, height: usize) -> Parsed<Node> {
        if height >= DEPTH_MAX {
            self.report_depth(span);
            return Err(Abort);
        }
        Ok(Node { expr: Expr { span, kind }, height: height + 1 })
    }

    /// One level of recursion.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH_MAX {
            let span = self.peek().span;
            self.report_depth(span);
            // Nothing after this can be read: what is open here closes an unknown number of levels up.
            self.lookahead = Some(Token { kind: TokenKind::Invalid, span });
            return Err(Abort);
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    pub(super) fn report_depth(&mut self, span: Span) {
        let help = Some("record parts of it as rules of their own".to_owned());
        self.report_with_help(span, format!("expression is nested deeper than {DEPTH_MAX} levels"), help);
    }

    /// A sign binds like `*`: `-a ^ b` is `-(a ^ b)`, `-a * b` is `(-a) * b`.
    fn unary(&mut self) -> Parsed<Node> {
        let token = self.peek();
        let negate = match token.kind {
            TokenKind::Operator(BinaryOp::Sub) => true,
            TokenKind::Operator(BinaryOp::Add) => false,
            _ => return self.postfix(),
        };
        self.next();
        let operand = self.binary(BinaryOp::Pow.precedence())?;
        let span = token.span.to(operand.expr.span);
        let signed = |value: f64| if negate { -value } else { value };
        let kind = match operand.expr.kind {
            ExprKind::Number(value) => ExprKind::Number(signed(value)),
            ExprKind::Duration(secs) => ExprKind::Duration(signed(secs)),
            kind => {
                let operand_expr = Box::new(Expr { span: operand.expr.span, kind });
                return self.grown(span, ExprKind::Unary { negate, operand: operand_expr }, operand.height);
            }
        };
        Ok(Node { expr: Expr { span, kind }, height: operand.height })
    }

    /// An operand and what follows it: a range, `offset`, `@`, `anchored`, `smoothed`.
    fn postfix(&mut self) -> Parsed<Node> {
        let mut node = self.operand()?;
        loop {
            let token = self.peek();
            node = match token.kind {
                TokenKind::LeftBracket => self.range(node)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(node)?,
                TokenKind::At => self.at(node)?,
                TokenKind::Keyword(Keyword::Anchored | Keyword::Smoothed) => self.extension(node)?,
                TokenKind::Keyword(Keyword::By | Keyword::Without) => {
                    let help = hint::for_misplaced_grouping(self.text, &node.expr, token.span);
                    self.prepared_help = Some((token.span.start, help));
                    return Ok(node);
                }
                _ => return Ok(node),
            };
        }
    }

    fn operand(&mut self) -> Parsed<Node> {
        let token = self.peek();
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let (value, is_duration) = self.number_or_duration()?;
                let kind = if is_duration { ExprKind::Duration(value) } else { ExprKind::Number(value) };
                Ok(Node { expr: Expr { span: token.span, kind }, height: 1 })
            }
            TokenKind::String => {
                self.next();
                let kind = match literal::unquote_bytes(self.slice(token.span)) {
                    Ok(text) => ExprKind::String(text.into()),
                    Err(bytes) => ExprKind::Bytes(bytes.into()),
                };
                Ok(Node { expr: Expr { span: token.span, kind }, height: 1 })
            }
            TokenKind::LeftParen => self.paren(),
            TokenKind::LeftBrace => self.vector_selector(),
            kind if is_metric_name(kind) => {
                self.next();
                self.named(token)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// What begins with a name: what follows tells what it is.
    fn named(&mut self, name: Token) -> Parsed<Node> {
        let next = self.peek().kind;
        let is_call = next == TokenKind::LeftParen;
        let is_grouping = matches!(next, TokenKind::Keyword(Keyword::By | Keyword::Without));
        match name.kind {
            TokenKind::Aggregate(op) if is_call || is_grouping => {
                self.within("aggregation", "", |parser| parser.aggregate(op, name))
            }
            TokenKind::Identifier if is_call => self.call(name),
            TokenKind::Keyword(keyword) if is_call && keyword.is_preprocessor() => self.call(name),
            _ => self.rest_of_selector(name),
        }
    }

    fn paren(&mut self) -> Parsed<Node> {
        let open = self.next();
        let inner = self.binary(0).and_then(|node| self.expect(TokenKind::RightParen).map(|_| node));
        match inner {
            Ok(node) => {
                let span = Span::new(open.span.start, self.last_end);
                self.grown(span, ExprKind::Paren(Box::new(node.expr)), node.height)
            }
            Err(Abort) => {
                self.skip_past(TokenKind::RightParen);
                Err(Abort)
            }
        }
    }

    fn call(&mut self, name: Token) -> Parsed<Node> {
        let args = self.arguments();
        let written = self.slice(name.span);
        let Some(function) = functions::lookup(written) else {
            let help = hint::for_unknown_function(written);
            self.report_with_help(name.span, format!("unknown function with name {written:?}"), help);
            return Err(Abort);
        };
        if function.experimental && !self.features.experimental_functions {
            let help = Some("it is experimental and off, as in Prometheus by default".to_owned());
            self.report_with_help(name.span, format!("function {written:?} is not enabled"), help);
        }
        let args = args?;
        let span = Span::new(name.span.start, self.last_end);
        let Arguments { list: args, height } = args;
        self.grown(span, ExprKind::Call(Call { function, args }), height)
    }

    /// `(a, b)`. A bad argument is reported and the next ones are read.
    fn arguments(&mut self) -> Parsed<Arguments> {
        self.expect(TokenKind::LeftParen)?;
        let mut args = Arguments::default();
        let mut failed = false;
        if self.take(TokenKind::RightParen).is_some() {
            return Ok(args);
        }
        loop {
            match self.argument() {
                Ok(arg) => args.push(arg, self.peek().kind == TokenKind::Comma),
                Err(Abort) => {
                    failed = true;
                    if !self.resume_in_list(TokenKind::RightParen) {
                        return Err(Abort);
                    }
                }
            }
            while let Some(comma) = self.take(TokenKind::Comma) {
                if self.peek().kind == TokenKind::Invalid {
                    return Err(Abort);
                }
                if starts_expression(self.peek().kind) {
                    break;
                }
                let help = Some("remove the comma, or write the argument that is missing".to_owned());
                self.report_with_help(comma.span, "trailing commas not allowed in function call args", help);
                failed = true;
            }
            if self.take(TokenKind::RightParen).is_some() {
                return if failed { Err(Abort) } else { Ok(args) };
            }
        }
    }

    /// An argument with what must come after it, not taken.
    fn argument(&mut self) -> Parsed<Node> {
        let node = self.binary(0)?;
        match self.peek().kind {
            TokenKind::Comma | TokenKind::RightParen => Ok(node),
            _ => Err(self.unexpected()),
        }
    }

    fn aggregate(&mut self, op: AggregateOp, name: Token) -> Parsed<Node> {
        let before = self.grouping()?;
        let args = self.arguments()?;
        let grouping = match before {
            Some(grouping) => grouping,
            None => self.grouping()?.unwrap_or_default(),
        };
        let span = Span::new(name.span.start, self.last_end);
        self.aggregate_of(op, grouping, args, span)
    }

    fn aggregate_of(&mut self, op: AggregateOp, grouping: Grouping, args: Arguments, span: Span) -> Parsed<Node> {
        let (count, wanted) = (args.list.len(), if op.has_param() { 2 } else { 1 });
        let refused = if count == 0 {
            Some("no arguments for aggregate expression provided".to_owned())
        } else if op.is_experimental() && !self.features.experimental_functions {
            let flag = "--enable-feature=promql-experimental-functions";
            Some(format!("{}() is experimental and must be enabled with {flag}", op.as_str()))
        } else if count != wanted {
            let message = "wrong number of arguments for aggregate expression provided";
            Some(format!("{message}, expected {wanted}, got {count}"))
        } else {
            None
        };
        if let Some(message) = refused {
            let is_off = op.is_experimental() && !self.features.experimental_functions;
            self.report_with_help(span, message, if is_off { None } else { hint::for_aggregate_arguments(op) });
            return Err(Abort);
        }
        let height = args.height;
        let mut args = args.list.into_iter();
        let param = if op.has_param() { args.next() } else { None };
        let expr = args.next().expect("BUG: the arguments were counted");
        let Grouping { labels, without } = grouping;
        self.grown(
            span,
            ExprKind::Aggregate(Box::new(Aggregate { op, expr, param, grouping: labels, without })),
            height,
        )
    }

    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = match self.peek().kind {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(Grouping { labels: self.grouping_labels()?, without }))
    }
}

/// Whether an expression can begin with such a token.
pub(super) fn starts_expression(kind: TokenKind) -> bool {
    use TokenKind::{Duration, LeftBrace, LeftParen, Number, Operator, String};
    matches!(kind, Number | Duration | String | LeftParen | LeftBrace)
        || matches!(kind, Operator(BinaryOp::Add | BinaryOp::Sub))
        || is_metric_name(kind)
}
