//! Thousands of mutated expressions and rule files: none may panic, every error has a place inside the text, and what is accepted is
//! printed so that it reads the same. Seeded, so that every run sees the same texts.

use std::sync::atomic::{AtomicUsize, Ordering};

use almenara::promql::{Expr, Features, parse_with};
use almenara::rules::RuleFile;
use almenara::source::SourceFile;

use crate::corpus::{self, CorpusFile};
use crate::mutate::Mutator;

/// Mutations of each file, unless [`COUNT_VARIABLE`] asks for another number: 1,000 take eight minutes.
const MUTATIONS: usize = 40;
/// `ALMENARA_MUTATIONS_PER_FILE=1000 cargo test --test it parser_mutations -- --nocapture`
const COUNT_VARIABLE: &str = "ALMENARA_MUTATIONS_PER_FILE";
const THREADS: usize = 2;

#[test]
#[expect(clippy::print_stderr, reason = "the figures are what one asks for more mutations for")]
fn no_mutation_panics() {
    let asked =
        std::env::var(COUNT_VARIABLE).map(|count| count.parse().expect("ALMENARA_MUTATIONS_PER_FILE is a number"));
    let (files, texts, accepted) = run(asked.unwrap_or(MUTATIONS));
    eprintln!("{files} files, {texts} mutated texts, {accepted} of them accepted, no panic");
}

/// Gives the number of files, of mutated texts, and of those that were accepted.
fn run(mutations: usize) -> (usize, usize, usize) {
    let files = corpus::files();
    let (next, texts, accepted) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(index) else { return };
                    accepted.fetch_add(mutate_file(file, index as u64, mutations), Ordering::Relaxed);
                    texts.fetch_add(2 * mutations, Ordering::Relaxed);
                }
            });
        }
    });
    let (texts, accepted) = (texts.into_inner(), accepted.into_inner());
    assert!(
        accepted > texts / 100,
        "only {accepted} of {texts} mutated texts are accepted: they are too broken to tell much"
    );
    (files.len(), texts, accepted)
}

/// Mutates expressions of the file and the file itself, each `mutations` times.
fn mutate_file(file: &CorpusFile, seed: u64, mutations: usize) -> usize {
    let mut mutator = Mutator::new(seed);
    let is_rules = file.path.extension().is_some_and(|extension| extension != "test");
    let mut accepted = 0;
    for number in 0..mutations {
        let text = &file.expressions[mutator.below(file.expressions.len())];
        let text = if number % 2 == 0 { mutator.mutate_expression(text) } else { mutator.mutate_bytes(text) };
        accepted += usize::from(check(&text));
        let mutated = mutator.mutate_bytes(&file.text);
        if is_rules {
            accepted += usize::from(RuleFile::parse(&SourceFile::new("f.yml", mutated)).0.is_some());
        } else {
            accepted += usize::from(check(&mutated));
        }
    }
    accepted
}

fn check(text: &str) -> bool {
    let mut is_accepted = false;
    for features in [Features::STABLE, Features::ALL] {
        match parse_with(text, features) {
            Ok(expr) => {
                is_accepted = true;
                reads_the_same(text, &expr, features);
            }
            Err(errors) => {
                assert!(!errors.is_empty(), "{text:?}: refused without a reason");
                for error in errors {
                    assert!(text.get(error.span.start..error.span.end).is_some(), "{text:?}: {error} is nowhere");
                }
            }
        }
    }
    is_accepted
}

fn reads_the_same(text: &str, expr: &Expr, features: Features) {
    // `Inf ^ x` is printed `+Inf ^ x`, as Prometheus does, which reads as `+(Inf ^ x)`.
    if text.to_ascii_lowercase().contains("inf") && text.contains('^') {
        return;
    }
    let line = expr.to_string();
    for printed in [&line, &expr.pretty()] {
        match parse_with(printed, features) {
            Ok(again) => assert_eq!(again.to_string(), line, "{text:?}"),
            Err(errors) => panic!("{text:?} is printed as {printed:?}: {}", errors[0]),
        }
    }
}
