//! Random data and random queries, in a real Prometheus 3.5 and in our own daemon: the answers must be equal byte for byte, but for what
//! [`rules`] account for by name.
//!
//! `ALMENARA_DIFFERENTIAL=20000` asks that many queries instead of [`QUERIES`], `ALMENARA_DIFFERENTIAL_SEED` others than those of seed 1.

mod answer;
mod data;
mod grammar;
mod inquiry;
mod numbers;
mod random;
mod rules;
mod server;
mod texts;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::remote::{Pair, V1, pack, send};
use inquiry::{Both, Inquiry, Times};
use random::Random;
use server::Connection;

/// Queries of an ordinary run.
const QUERIES: usize = 2_000;
/// Connections that ask at the same time.
const THREADS: usize = 3;
/// Differences that a failure shows.
const SHOWN_MAX: usize = 40;

/// Queries that each rule accounts for in the file that `ALMENARA_DIFFERENTIAL_FILE` names, after those that nothing accounts for.
const EXAMPLES_MAX: usize = 12;

/// What is asked of both.
struct Question {
    query: String,
    times: Times,
}

/// What came of the questions of a thread.
#[derive(Default)]
struct Tally {
    equal: usize,
    /// The queries that each rule accounts for.
    known: BTreeMap<&'static str, Vec<String>>,
    errors: usize,
    different: Vec<String>,
}

#[test]
fn random_queries_get_the_answers_of_prometheus() {
    let experimental = "promql-experimental-functions";
    let Some(pair) = Pair::start(&format!("native-histograms,{experimental}"), experimental) else { return };
    let seed = setting("ALMENARA_DIFFERENTIAL_SEED", 1);
    for request in data::requests(seed) {
        let body = pack(&request);
        for port in [pair.theirs, pair.ours] {
            let sent = send(port, V1, &body);
            assert_eq!(sent.status, 204, "{sent:?}");
        }
    }
    let mut random = Random::new(seed ^ 0x5eed);
    let questions: Vec<Question> =
        (0..setting("ALMENARA_DIFFERENTIAL", QUERIES as u64)).map(|_| question(&mut random)).collect();
    let shards: Vec<&[Question]> = questions.chunks(questions.len().div_ceil(THREADS)).collect();
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let threads: Vec<_> = shards.iter().map(|shard| scope.spawn(|| ask(&pair, shard))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that asks panicked")).collect()
    });
    report(tallies, questions.len());
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn question(random: &mut Random) -> Question {
    let query = grammar::expression(random);
    let fraction = |random: &mut Random| if random.percent(20) { random.between(1, 999) } else { 0 };
    let at = random.between(data::START_MS - 60_000, data::END_MS + 400_000) / 1000 * 1000 + fraction(random);
    let times = if random.percent(55) {
        Times::At(at)
    } else {
        let step = [5_000, 15_000, 30_000, 47_500, 60_000, 300_000, 1_000][random.below(7)];
        Times::Steps { start: at, end: at + step * random.between(0, 12) + fraction(random), step }
    };
    Question { query, times }
}

fn ask(pair: &Pair, questions: &[Question]) -> Tally {
    let (mut their, mut our) = (Connection::open(pair.theirs), Connection::open(pair.ours));
    let mut tally = Tally::default();
    let mut inquiry = Inquiry { their: &mut their, our: &mut our, blamed: String::new() };
    for Question { query, times } in questions {
        let both @ Both { theirs, ours } = &inquiry.ask(query, *times);
        tally.errors += usize::from(theirs.0 != 200);
        if theirs == ours {
            tally.equal += 1;
            continue;
        }
        inquiry.blamed.clear();
        let rules = inquiry.account(query, *times, both);
        for rule in rules.iter().flatten() {
            let examples = tally.known.entry(*rule).or_default();
            examples.push(format!("{query}\n  {times:?}\n  Prometheus: {theirs:?}\n  Almenara:   {ours:?}"));
        }
        if rules.is_none() {
            let blamed = std::mem::take(&mut inquiry.blamed);
            tally.different.push(format!(
                "{query}\n  {times:?}\n  Prometheus: {theirs:?}\n  Almenara:   {ours:?}\n  from {blamed}"
            ));
        }
    }
    tally
}

#[expect(clippy::print_stderr, reason = "the counts are the point of the test")]
fn report(tallies: Vec<Tally>, asked: usize) {
    let mut total = Tally::default();
    for tally in tallies {
        total.equal += tally.equal;
        total.errors += tally.errors;
        total.different.extend(tally.different);
        for (rule, queries) in tally.known {
            total.known.entry(rule).or_default().extend(queries);
        }
    }
    let mut text = format!("{asked} queries, {} of them errors; equal to the byte: {}\n", total.errors, total.equal);
    for (rule, queries) in &total.known {
        writeln!(text, "{:8} {rule}", queries.len()).expect("text");
    }
    eprintln!("{text}{:8} different", total.different.len());
    if let Ok(file) = std::env::var("ALMENARA_DIFFERENTIAL_FILE") {
        let mut shown = total.different.join("\n\n");
        for (rule, queries) in &total.known {
            let some = &queries[..queries.len().min(EXAMPLES_MAX)];
            write!(shown, "\n\n== {rule}\n\n{}", some.join("\n\n")).expect("text");
        }
        std::fs::write(file, shown).expect("file");
    }
    let count = total.different.len();
    total.different.truncate(SHOWN_MAX);
    assert!(count == 0, "{count} of {asked} differ:\n{}", total.different.join("\n"));
}
