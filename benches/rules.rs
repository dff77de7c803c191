//! One tick of rule evaluation, by prepared plans and by the plain evaluator: `cargo bench --bench rules`.
//!
//! A tick evaluates every rule once, right after a scrape of all series; 5 minutes of samples are stored. The plain evaluator is
//! measured on the small cell only: a tick of the others takes seconds. *Churn* replaces 1 % of the series each minute, a quarter
//! of them before each tick; the scrape is not counted.

#[path = "fleet/mod.rs"]
mod fleet;

use std::hint::black_box;
use std::time::{Duration, Instant};

use almenara::promql::eval::{QueryOptions, QueryValue, eval_instant};
use almenara::promql::parse;
use almenara::promql::plan::{Engine, Notes, Question};
use criterion::{Criterion, criterion_group, criterion_main};
use fleet::Fleet;

fn ticks(criterion: &mut Criterion) {
    let options = QueryOptions::default();
    for series in [10_000, 100_000] {
        for count in [100, 1_000] {
            let mut fleet = Fleet::new(series);
            (0..21).for_each(|_| fleet.scrape());
            let exprs: Vec<_> = fleet::rules(count).iter().map(|text| parse(text).expect("a rule")).collect();
            let engine = Engine::new(fleet.store.clone());
            let prepared: Vec<_> = exprs.iter().map(|expr| engine.prepare(expr)).collect();
            let tick = |fleet: &Fleet| {
                let question = Question { at: fleet.now(), overlay: None, options: &options, notes: Notes::Ignored };
                let answers = prepared.iter().map(|plan| engine.eval(plan, &question));
                answers.map(|answer| answer.expect("a plan").elements().count()).sum::<usize>()
            };
            let mut group = criterion.benchmark_group(format!("{series} series, {count} rules"));
            group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
            let timed = |fleet: &mut Fleet, rounds: u64, replaced: usize| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    fleet.replace(replaced);
                    fleet.scrape();
                    let started = Instant::now();
                    black_box(tick(fleet));
                    spent += started.elapsed();
                }
                spent
            };
            group.bench_function("plan", |bencher| bencher.iter_custom(|rounds| timed(&mut fleet, rounds, 0)));
            group.bench_function("plan, churn", |bencher| {
                bencher.iter_custom(|rounds| timed(&mut fleet, rounds, series / 400));
            });
            if (series, count) == (10_000, 100) {
                group.bench_function("plain", |bencher| {
                    bencher.iter(|| {
                        let at = fleet.now();
                        let results = exprs.iter().map(|expr| eval_instant(expr, at, &*fleet.store, &options));
                        results.filter(|result| matches!(result.as_ref().unwrap().value, QueryValue::Vector(_))).count()
                    });
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, ticks);
criterion_main!(benches);
