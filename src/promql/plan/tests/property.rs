//! The property: a plan gives what the plain evaluator gives, tick after tick.

use std::cell::Cell;
use std::fmt::Write;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::super::eval::{QueryValue, eval_instant, eval_range};
use super::expressions::vector;
use super::world::{Event, World, event};
use super::*;
use crate::model::{Sample, Value};

/// Evaluations of which fewer than this share are planned would test the plain evaluator against itself.
const PLANNED_RATIO_MIN: f64 = 0.5;

/// One tick of a life.
#[derive(Clone, Debug)]
struct Tick {
    pause_secs: i64,
    events: Vec<Event>,
    /// What is recorded, uncommitted, when the tick is evaluated.
    uncommitted: Vec<Event>,
    /// What comes in between two evaluations of the same instant.
    late: Vec<Event>,
}

fn tick() -> impl Strategy<Value = Tick> {
    let pause = prop_oneof![8 => Just(15i64), 1 => Just(400), 1 => Just(2000)];
    let few = |max| prop::collection::vec(event(), 0..max);
    (pause, few(40), prop_oneof![2 => Just(Vec::new()).boxed(), 1 => few(4).boxed()], few(3))
        .prop_map(|(pause_secs, events, uncommitted, late)| Tick { pause_secs, events, uncommitted, late })
}

/// All bits of a result, in its order.
fn shown(result: &Result<QueryResult, EvalError>, with_notes: bool) -> String {
    let result = match result {
        Ok(result) => result,
        Err(error) => return format!("error: {error}"),
    };
    let mut text = String::new();
    let show = |value: &Value| match value {
        Value::Float(value) => format!("{:x}={value}", value.to_bits()),
        Value::Histogram(histogram) => format!("{histogram:?}"),
    };
    match &result.value {
        QueryValue::Scalar { value, .. } => writeln!(text, "scalar {}", show(&Value::Float(*value))).unwrap(),
        QueryValue::String { value, .. } => writeln!(text, "string {value}").unwrap(),
        QueryValue::Vector(elements) => {
            elements.iter().for_each(|e| writeln!(text, "{} {} {:?}", e.labels, show(&e.value), e.at).unwrap());
        }
        QueryValue::Matrix(series) => {
            for series in series {
                write!(text, "{}", series.labels).unwrap();
                series.samples.iter().for_each(|Sample { at, value }| write!(text, " {at:?}:{}", show(value)).unwrap());
                text.push('\n');
            }
        }
    }
    if with_notes {
        writeln!(text, "{:?} {:?}", result.warnings, result.infos).unwrap();
    }
    text
}

/// How a life is asked about.
#[derive(Clone, Copy, Debug)]
struct Manner {
    delayed_name_removal: bool,
    use_start_timestamps: bool,
    /// Of range queries.
    step_secs: i64,
    steps: i64,
}

fn manner() -> impl Strategy<Value = Manner> {
    let step_secs = prop_oneof![4 => Just(15i64), 2 => Just(10), 1 => Just(47), 1 => Just(300), 1 => Just(8000)];
    (prop::bool::weighted(0.3), prop::bool::weighted(0.2), step_secs, 0..20i64).prop_map(
        |(delayed_name_removal, use_start_timestamps, step_secs, steps)| Manner {
            delayed_name_removal,
            use_start_timestamps,
            step_secs,
            steps,
        },
    )
}

/// How many evaluations were asked for, and how many a plan has given.
#[derive(Default)]
struct Count {
    planned: Cell<u64>,
    asked: Cell<u64>,
}

impl Count {
    fn note(&self, is_planned: bool) {
        self.asked.set(self.asked.get() + 1);
        self.planned.set(self.planned.get() + u64::from(is_planned));
    }

    #[allow(clippy::print_stderr)] // figures for whoever asks for a large run
    fn check(&self, what: &str) {
        let ratio = self.planned.get() as f64 / self.asked.get() as f64;
        if std::env::var_os("PROPTEST_CASES").is_some() {
            eprintln!("{what}: {} evaluations, {ratio:.3} of them planned", self.asked.get());
        }
        assert!(ratio >= PLANNED_RATIO_MIN, "{what}: only {ratio} of {} evaluations were planned", self.asked.get());
    }
}

/// What runs pieces of work in a wrong order, on other threads.
struct Backwards;

impl Executor for Backwards {
    fn width(&self) -> usize {
        2
    }

    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for number in (0..count).rev() {
                scope.spawn(move || work(number));
            }
        });
    }
}

#[test]
fn a_plan_gives_what_the_plain_evaluator_gives() {
    let (instants, ranges) = (Count::default(), Count::default());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let life = prop::collection::vec(tick(), 1..8);
    let texts = prop::collection::vec(vector(), 1..4);
    let outcome = runner.run(&(life, texts, manner()), |(life, texts, manner)| {
        let Manner { delayed_name_removal, use_start_timestamps, .. } = manner;
        let options = QueryOptions { delayed_name_removal, use_start_timestamps, ..QueryOptions::default() };
        let dialect = Dialect { delayed_name_removal, use_start_timestamps, ..Dialect::default() };
        let exprs: Vec<_> = texts.iter().filter_map(|text| parse_with(text, Features::ALL).ok()).collect();
        let store = store();
        // One engine for each way of treating notes: a change of settings forgets everything.
        let engines = [Notes::Ignored, Notes::Wanted]
            .map(|notes| (notes, Engine::of_dialect(store.clone(), &dialect).with_executor(Arc::new(Backwards))));
        let prepared: Vec<_> = exprs.iter().map(|expr| (expr, engines.each_ref().map(|e| e.1.prepare(expr)))).collect();
        let mut world = World::new();
        let mut now = 1000;
        for tick in &life {
            now += tick.pause_secs;
            tick.events.iter().for_each(|event| world.apply(&store, at(now), event));
            let mut overlay = Overlay::default();
            for (number, event) in tick.uncommitted.iter().enumerate() {
                let labels = world.labels(event);
                let series = (number % 3 != 0).then(|| store.series_ref(labels));
                overlay.add(labels, series, at(now), (number as f64).into());
            }
            for late in [None, Some(&tick.late)] {
                late.into_iter().flatten().for_each(|event| world.apply(&store, at(now), event));
                for (expr, plans) in &prepared {
                    let querier = Overlaid::new(&*store, &overlay);
                    let text = expr.to_string();
                    let options = QueryOptions { text: &text, ..options };
                    let expected = eval_instant(expr, at(now), &querier, &options);
                    for ((notes, engine), plan) in engines.iter().zip(plans) {
                        let question =
                            Question { at: at(now), overlay: Some(&overlay), options: &options, notes: *notes };
                        let is_planned = engine.eval(plan, &question).is_some();
                        instants.note(is_planned);
                        let got = engine.eval_instant(plan, &question);
                        let with_notes = *notes == Notes::Wanted;
                        let (got, expected) = (shown(&got, with_notes), shown(&expected, with_notes));
                        prop_assert_eq!(got, expected, "{} at {} (planned: {})", expr, now, is_planned);
                    }
                }
            }
        }
        for expr in &exprs {
            let text = expr.to_string();
            let options = QueryOptions { text: &text, ..options };
            let (end, step) = (at(now + 20), Duration::from_secs(manner.step_secs as u64));
            let start = end.plus_ms(-1000 * manner.step_secs * manner.steps);
            let expected = eval_range(expr, start, end, step, &*store, &options);
            for (notes, engine) in &engines {
                let question = RangeQuestion { start, end, step, options: &options, notes: *notes };
                let planned = engine.planned_range(expr, &question);
                ranges.note(planned.is_some());
                let with_notes = *notes == Notes::Wanted;
                let expected = shown(&expected, with_notes);
                let got = planned.map_or_else(|| expected.clone(), |planned| shown(&Ok(planned), with_notes));
                prop_assert_eq!(got, expected, "{} at {}, {:?}", expr, now, manner);
            }
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    instants.check("instants");
    ranges.check("ranges");
}
