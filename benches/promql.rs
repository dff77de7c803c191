//! The parser on every expression of the corpus, beside the crate `promql-parser`: `cargo bench --bench promql`.
//!
//! Only expressions that both accept are parsed, so that both do the same. Allocations are counted in a pass of their own, printed before
//! the times. Beside the project's own rules and scripts the corpus has those of `../shared` (or `ALMENARA_SHARED`), where they are there.
//!
//! `ALMENARA_PASSES=almenara:3` (or `promql-parser:3`) parses the corpus so many times and nothing else, for a program that counts
//! instructions: those of an expression are the difference between two counts, by the passes between them and the expressions.

// The figures of the pass that counts belong beside those of criterion.
#![allow(clippy::print_stderr)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/it/corpus.rs"]
#[allow(dead_code)] // the tests use more of it
mod corpus;

fn ours(text: &str) -> almenara::promql::Expr {
    almenara::promql::parse(text).unwrap()
}

fn theirs(text: &str) -> promql_parser::parser::Expr {
    promql_parser::parser::parse(text).unwrap()
}

fn accepted_by_both() -> Vec<String> {
    let mut expressions = corpus::expressions();
    expressions.retain(|text| almenara::promql::parse(text).is_ok() && promql_parser::parser::parse(text).is_ok());
    expressions
}

fn count(name: &str, expressions: &[String], parse: impl Fn(&str)) {
    let counted = allocation_counter::measure(|| expressions.iter().for_each(|text| parse(text)));
    let per_expression = |total: u64| total as f64 / expressions.len() as f64;
    eprintln!(
        "{name}: {:.1} allocations and {:.0} bytes an expression",
        per_expression(counted.count_total),
        per_expression(counted.bytes_total)
    );
}

/// Whether this run is for a program that counts instructions, for which the passes are made.
fn is_counted(expressions: &[String]) -> bool {
    let Ok(wanted) = std::env::var("ALMENARA_PASSES") else { return false };
    let (parser, passes) = wanted.split_once(':').expect("a parser and a number of passes");
    let passes: usize = passes.parse().expect("a number of passes");
    let parse: fn(&str) = match parser {
        "almenara" => |text| drop(black_box(ours(text))),
        _ => |text| drop(black_box(theirs(text))),
    };
    (0..passes).for_each(|_| expressions.iter().for_each(|text| parse(text)));
    true
}

fn parse(criterion: &mut Criterion) {
    let expressions = accepted_by_both();
    if is_counted(&expressions) {
        return;
    }
    let bytes: usize = expressions.iter().map(String::len).sum();
    eprintln!("{} expressions, {bytes} bytes", expressions.len());
    count("almenara", &expressions, |text| drop(black_box(ours(text))));
    count("promql-parser", &expressions, |text| drop(black_box(theirs(text))));
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("almenara", |bencher| {
        bencher.iter(|| expressions.iter().for_each(|text| drop(black_box(ours(text)))));
    });
    group.bench_function("promql-parser", |bencher| {
        bencher.iter(|| expressions.iter().for_each(|text| drop(black_box(theirs(text)))));
    });
    group.finish();
    let parsed: Vec<_> = expressions.iter().map(|text| ours(text)).collect();
    let mut group = criterion.benchmark_group("print");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("a line", |bencher| {
        bencher.iter(|| parsed.iter().for_each(|expr| drop(black_box(expr.to_string()))));
    });
    group.bench_function("over lines", |bencher| {
        bencher.iter(|| parsed.iter().for_each(|expr| drop(black_box(expr.pretty()))));
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
