//! Steady evaluation allocates nothing, steady scraping a few times a page: 1,000 rules, 100,000 series, counted by the allocator itself.
//!
//! A binary of its own, since it brings its own allocator; its tests take turns, since that counts for all threads.

#[path = "../benches/fleet/mod.rs"]
mod fleet;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use almenara::config::Config;
use almenara::model::{Labels, Timestamp};
use almenara::promql::eval::QueryOptions;
use almenara::promql::parse;
use almenara::promql::plan::{Engine, Notes, Question};
use almenara::scrape::{Answer, CreatedLines, Outcome, ScrapeConfig, TargetState};
use almenara::source::SourceFile;
use almenara::store::{Store, StoreOptions};
use fleet::Fleet;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SERIES: usize = 100_000;
const RULES: usize = 1_000;
/// A rule looks a minute back: it has its first results after four scrapes.
const WARM_UP_TICKS: usize = 8;
/// Allocated blocks for each series that is replaced by another, in the ten expressions over all services and the ten or so over its own.
const BLOCKS_A_CHANGE: u64 = 100;

static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_steady_tick_allocates_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
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

/// One in a hundred series is replaced every minute: what a tick then costs besides goes with the series that changed.
#[test]
fn a_tick_after_changes_allocates_in_proportion_to_them() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut fleet = Fleet::new(SERIES / 10);
    let engine = Engine::new(fleet.store.clone());
    let exprs: Vec<_> = fleet::rules(RULES / 10).iter().map(|text| parse(text).expect("a rule")).collect();
    let prepared: Vec<_> = exprs.iter().map(|expr| engine.prepare(expr)).collect();
    let tick = |fleet: &Fleet| {
        let options = QueryOptions::default();
        let question = Question { at: fleet.now(), overlay: None, options: &options, notes: Notes::Ignored };
        let elements = |plan| engine.eval(plan, &question).expect("all of it is planned").elements().count();
        prepared.iter().map(elements).sum::<usize>()
    };
    for _ in 0..WARM_UP_TICKS {
        fleet.replace(10);
        fleet.scrape();
        tick(&fleet);
    }
    let mut blocks = |replaced: usize| -> u64 {
        fleet.replace(replaced);
        fleet.scrape();
        let _profiler = dhat::Profiler::builder().testing().build();
        assert!(tick(&fleet) > RULES / 20);
        dhat::HeapStats::get().total_blocks
    };
    let (few, many) = (blocks(20), blocks(200));
    assert!(many <= BLOCKS_A_CHANGE * 200 && many > few, "{few} blocks for 20 series, {many} for 200");
}

/// A page of `series` counters in families of a hundred.
fn page(series: usize, scrape: usize) -> String {
    use std::fmt::Write;
    let mut page = String::new();
    for number in 0..series {
        if number.is_multiple_of(100) {
            let family = number / 100;
            write!(page, "# HELP m{family}_total Of family {family}.\n# TYPE m{family}_total counter\n")
                .expect("memory");
        }
        let value = (number * 31 + scrape * 17) as f64 / 4.0;
        writeln!(page, "m{}_total{{path=\"/api/{number}\",code=\"200\"}} {value}", number / 100).expect("memory");
    }
    page
}

/// Allocated blocks of reading a steady page, and of committing it.
fn steady_scrape(series: usize) -> (u64, u64) {
    let store = Store::new(StoreOptions { retention: Duration::from_secs(3600) });
    let labels = Labels::from_pairs([("instance", "i"), ("job", "j")]);
    let mut state = TargetState::new(Arc::new(config()), labels);
    let pages: Vec<String> = (0..29).map(|scrape| page(series, scrape)).collect();
    let scrape = |state: &mut TargetState, number: usize, counts: &dyn Fn() -> u64| {
        let at = Timestamp::from_ms(1_700_000_000_000 + number as i64 * 15_000);
        let answer =
            Answer { body: pages[number].as_bytes(), content_type: "text/plain", at, created: CreatedLines::Series };
        let before = counts();
        let (mut batch, result) = state.ingest(&store, &answer);
        result.expect("a good page");
        state.report(&store, &mut batch, at, Outcome { up: true, duration: Duration::ZERO });
        let read = counts();
        let committed = store.commit(&batch.rows);
        assert_eq!(committed.appended, series + 5);
        (read - before, counts() - read)
    };
    // The columns of a series have room for 36 samples from the 25th on.
    for number in 0..26 {
        scrape(&mut state, number, &|| 0);
    }
    let _profiler = dhat::Profiler::builder().testing().build();
    (26..29).map(|number| scrape(&mut state, number, &|| dhat::HeapStats::get().total_blocks)).max().expect("scrapes")
}

fn config() -> ScrapeConfig {
    let text = "scrape_configs: [{job_name: j, static_configs: [{targets: [i]}]}]";
    let (config, problems) = Config::embedded(&SourceFile::new("almenara.yml", text), &[], &[]);
    config.unwrap_or_else(|| panic!("{problems}")).scrape_configs.remove(0)
}

#[test]
fn a_steady_scrape_allocates_the_same_few_blocks_whatever_its_length() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (short, long) = (steady_scrape(100), steady_scrape(10_000));
    assert_eq!(short, long);
    assert!(long.0 <= 4 && long.1 == 0, "{long:?} blocks to read and to commit");
}
