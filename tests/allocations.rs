//! Steady evaluation allocates nothing: 1,000 rules over 100,000 series, counted by the allocator itself.
//!
//! A binary of its own, since it brings its own allocator.

#[path = "../benches/fleet/mod.rs"]
mod fleet;

use almenara::promql::eval::QueryOptions;
use almenara::promql::parse;
use almenara::promql::plan::{Engine, Notes, Question};
use fleet::Fleet;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SERIES: usize = 100_000;
const RULES: usize = 1_000;
/// A rule looks a minute back: it has its first results after four scrapes.
const WARM_UP_TICKS: usize = 8;

#[test]
fn a_steady_tick_allocates_nothing() {
    let mut fleet = Fleet::new(SERIES);
    let engine = Engine::new(fleet.store.clone());
    let texts = fleet::rules(RULES);
    let exprs: Vec<_> = texts.iter().map(|text| parse(text).expect("a rule")).collect();
    let prepared: Vec<_> = exprs.iter().map(|expr| engine.prepare(expr)).collect();
    // Blocks allocated by each rule, of those that allocate.
    let tick = |fleet: &Fleet, counts: &dyn Fn() -> u64| -> (usize, Vec<(usize, u64)>) {
        let options = QueryOptions::default();
        let question = Question { at: fleet.now(), overlay: None, options: &options, notes: Notes::Ignored };
        let (mut elements, mut allocating) = (0, Vec::with_capacity(RULES));
        for (index, plan) in prepared.iter().enumerate() {
            let before = counts();
            elements += engine.eval(plan, &question).expect("all of it is planned").elements().count();
            let blocks = counts() - before;
            if blocks > 0 {
                allocating.push((index, blocks));
            }
        }
        (elements, allocating)
    };
    for _ in 0..WARM_UP_TICKS {
        fleet.scrape();
        tick(&fleet, &|| 0);
    }
    let _profiler = dhat::Profiler::builder().testing().build();
    for _ in 0..3 {
        fleet.scrape();
        let (elements, allocating) = tick(&fleet, &|| dhat::HeapStats::get().total_blocks);
        assert!(elements > RULES / 2, "the rules have results: {elements}");
        let worst = allocating.iter().max_by_key(|(_, blocks)| *blocks).map(|(index, blocks)| (&texts[*index], blocks));
        assert!(allocating.is_empty(), "{} rules allocate in a steady tick, first of all {worst:?}", allocating.len());
    }
}
