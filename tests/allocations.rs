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

#[test]
fn a_steady_tick_allocates_nothing() {
    let mut fleet = Fleet::new(SERIES);
    let engine = Engine::new(fleet.store.clone());
    let exprs: Vec<_> = fleet::rules(RULES).iter().map(|text| parse(text).expect("a rule")).collect();
    let prepared: Vec<_> = exprs.iter().map(|expr| engine.prepare(expr)).collect();
    let tick = |fleet: &Fleet| -> usize {
        let options = QueryOptions::default();
        let question = Question { at: fleet.now(), overlay: None, options: &options, notes: Notes::Ignored };
        let answers = prepared.iter().map(|plan| engine.eval(plan, &question));
        answers.map(|answer| answer.expect("all of it is planned").elements().count()).sum()
    };
    for _ in 0..4 {
        fleet.scrape();
        tick(&fleet);
    }
    let _profiler = dhat::Profiler::builder().testing().build();
    for _ in 0..3 {
        fleet.scrape();
        let before = dhat::HeapStats::get();
        let elements = tick(&fleet);
        let after = dhat::HeapStats::get();
        assert!(elements > RULES / 2, "the rules have results: {elements}");
        assert_eq!(after.total_blocks - before.total_blocks, 0, "blocks were allocated in a steady tick");
    }
}
