//! The pitfalls of objectives on Prometheus: each `fixtures/slo-pitfalls/*.yml` has samples, an objective of ours, the queries that people write for
//! Sloth and Pyrra, and what each of these makes of the samples. Ours is stepped as by the daemon and must be right; the rules that the generators
//! write run through `almenara test rules` (and, where it is there, promtool) and must go wrong in just the way that is told.
//!
//! `UPDATE_FIXTURES=1` writes the table of `docs/src/slo-pitfalls.md` anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use almenara::model::{Labels, Timestamp};
use almenara::promql::eval::{QueryOptions, QueryValue, eval_instant};
use almenara::promql::plan::Engine;
use almenara::promql::{self, Dialect};
use almenara::rules::{Environment, EvalContext, Evaluator};
use almenara::slo::{Grid, Recording, SloFile, SloGroup, backtest, parse_file};
use almenara::source::{SourceFile, parse_duration};
use almenara::store::{Row, SeriesRef, Store, StoreOptions};
use almenara::unittest::series::{SeriesValue, parse_series};
use regex::{Captures, Regex};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::peers::peer;

/// How many pitfalls there are; some have several files.
const PITFALLS: usize = 22;
/// Of every fixture.
const SCRAPE: Duration = Duration::from_secs(60);
/// What differs by a smaller share than this from what is right is not called wrong: `increase` extrapolates everywhere.
const WRONG_FROM: f64 = 0.01;

/// A figure of the fixtures, and who has it under which name. `None`: there is no such thing.
struct Figure {
    name: &'static str,
    ours: &'static str,
    sloth: Option<&'static str>,
    pyrra: Option<&'static str>,
}

const FIGURES: &[Figure] = &[
    Figure {
        name: "error ratio over 1h",
        ours: r#"almenara_slo_error_ratio{window="1h"}"#,
        sloth: Some("slo:sli_error:ratio_rate1h"),
        pyrra: Some("shop:burnrate1h"),
    },
    Figure {
        name: "budget left",
        ours: "almenara_slo_error_budget_remaining_ratio",
        sloth: Some("slo:period_error_budget_remaining:ratio"),
        pyrra: Some("shop:budget"),
    },
    Figure {
        name: "bad events counted",
        ours: "almenara_slo_bad_events_total",
        sloth: None,
        pyrra: Some("shop_part:increase4w"),
    },
    Figure { name: "share that was measured", ours: "almenara_slo_coverage_ratio", sloth: None, pyrra: None },
    Figure {
        name: "ever paged",
        ours: r#"count(count_over_time(ALERTS{alertname="SLOErrorBudgetBurn",severity="page",alertstate="firing"}[2d])) or vector(0)"#,
        sloth: Some(r#"count(count_over_time(ALERTS{alertname="SlothPage",alertstate="firing"}[2d])) or vector(0)"#),
        pyrra: Some(
            r#"clamp_max(count(count_over_time(ALERTS{alertname="PyrraBurn",alertstate="firing"}[2d])), 1) or vector(0)"#,
        ),
    },
    Figure {
        name: "pages now",
        ours: r#"count(ALERTS{alertname="SLOErrorBudgetBurn",severity="page",alertstate="firing"}) or vector(0)"#,
        sloth: Some(r#"count(ALERTS{alertname="SlothPage",alertstate="firing"}) or vector(0)"#),
        pyrra: Some(r#"count(ALERTS{alertname="PyrraBurn",alertstate="firing"}) or vector(0)"#),
    },
    Figure {
        name: "told that it is blind",
        ours: r#"count(ALERTS{alertname="SLONotMeasured",alertstate="firing"}) or vector(0)"#,
        sloth: Some("vector(0)"),
        pyrra: Some(r#"count(ALERTS{alertname="PyrraAbsent",alertstate="firing"}) or vector(0)"#),
    },
];

/// A fixture.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pitfall {
    pitfall: String,
    story: String,
    /// Ours; none where it is refused.
    spec: Option<String>,
    edit: Option<Edit>,
    /// Of the generators, in percent.
    #[serde(default = "three_nines")]
    objective: f64,
    sloth: Option<Sloth>,
    pyrra: Option<Pyrra>,
    by_hand: Option<ByHand>,
    #[serde(default)]
    series: Vec<String>,
    evaluation_interval: Option<String>,
    #[serde(default)]
    figures: Vec<Expected>,
    #[serde(default)]
    said: Vec<Said>,
    /// A part of what our alert says at the end.
    alert_says: Option<String>,
    /// Why there is nothing to play.
    no_fixture: Option<String>,
}

fn three_nines() -> f64 {
    99.9
}

/// Another objective from an instant on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    at: String,
    spec: String,
}

/// As in a file of Sloth.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Sloth {
    Events { error_query: String, total_query: String },
    Raw { error_ratio_query: String },
}

/// As in a file of Pyrra.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Pyrra {
    Ratio { errors: String, total: String },
    Latency { success: String, total: String },
}

/// Rules as people write them themselves.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByHand {
    name: String,
    rules: String,
}

/// What a figure is, and what is made of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    figure: String,
    at: String,
    /// What is true, and what ours must be.
    right: Told,
    sloth: Option<Told>,
    pyrra: Option<Told>,
    /// The query of what is written by hand.
    by_hand: Option<String>,
    gives: Option<Told>,
}

/// A number, `nothing` or `refused`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Told {
    Number(f64),
    Word(String),
}

/// What is told of a spec.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    spec: String,
    says: Vec<String>,
}

impl Told {
    fn number(&self) -> Option<f64> {
        match self {
            Told::Number(number) => Some(*number),
            Told::Word(word) if word == "nothing" => None,
            Told::Word(word) => panic!("{word:?} is neither a number nor `nothing`"),
        }
    }

    fn is_refused(&self) -> bool {
        matches!(self, Told::Word(word) if word == "refused")
    }

    /// Whether this is not what is right.
    fn is_wrong(&self, right: &Told) -> bool {
        if right.is_refused() {
            return true;
        }
        match (self.number(), right.number()) {
            (Some(told), Some(right)) => told.is_nan() || (told - right).abs() > WRONG_FROM * right.abs(),
            (told, right) => told.is_some() || right.is_some(),
        }
    }

    fn text(&self) -> String {
        match self {
            Told::Number(number) if number.is_infinite() => number.to_string().replace("inf", "Inf"),
            Told::Number(number) => number.to_string(),
            Told::Word(word) => word.clone(),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/slo-pitfalls")
}

/// Every fixture by the name of its file, in order.
fn pitfalls() -> Vec<(String, Pitfall)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let pitfall = serde_yaml::from_str(&fs::read_to_string(path).unwrap());
        let pitfall = pitfall.unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, pitfall)
    };
    paths.into_iter().map(read).collect()
}

fn figure(name: &str) -> &'static Figure {
    FIGURES.iter().find(|figure| figure.name == name).unwrap_or_else(|| panic!("no figure is called {name:?}"))
}

fn spec(text: &str) -> SloFile {
    let (file, diagnostics) = parse_file(&SourceFile::new("slo.yml", text));
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    file.expect("BUG: no file and no error")
}

fn duration(text: &str) -> Duration {
    parse_duration(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// What the figures are rounded to.
fn rounded(query: &str) -> String {
    format!("max(round({query}, 0.000001))")
}

#[test]
fn every_pitfall_has_its_fixture() {
    let pitfalls = pitfalls();
    let numbers: BTreeSet<usize> = pitfalls.iter().map(|(name, _)| name[..2].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=PITFALLS).collect());
    for (name, pitfall) in &pitfalls {
        let is_played = !pitfall.figures.is_empty() || !pitfall.said.is_empty();
        assert!(is_played != pitfall.no_fixture.is_some(), "{name}: figures, or a reason why there are none");
        let goes_wrong = |expected: &Expected| {
            let told = [&expected.sloth, &expected.pyrra, &expected.gives];
            told.into_iter().flatten().any(|told| told.is_wrong(&expected.right))
        };
        let is_pitfall = pitfall.no_fixture.is_some() || pitfall.figures.iter().any(goes_wrong);
        assert!(is_pitfall, "{name}: nobody goes wrong");
    }
}

#[test]
fn ours_are_right() {
    let mut wrong = String::new();
    for (name, pitfall) in pitfalls() {
        let Some(text) = &pitfall.spec else { continue };
        let played = Played::of(text, &pitfall);
        for expected in &pitfall.figures {
            let found = played.ask(&rounded(figure(&expected.figure).ours), &expected.at);
            if found != expected.right.number() {
                let _ = writeln!(wrong, "{name}: {}: right {:?}, found {found:?}", expected.figure, expected.right);
            }
        }
        if let Some(part) = &pitfall.alert_says
            && !played.annotations.iter().any(|text| text.contains(part))
        {
            let _ = writeln!(wrong, "{name}: alerts say {:#?}", played.annotations);
        }
        if let Some(last) = pitfall.figures.iter().find(|expected| expected.figure == "budget left") {
            let replayed = played.replayed_budget(pitfall.edit.as_ref().map_or(text, |edit| &edit.spec), &last.at);
            let replayed = replayed.map(|budget| (budget * 1e6).round() / 1e6);
            if replayed != last.right.number() {
                let _ = writeln!(wrong, "{name}: the backtest leaves {replayed:?} of the budget");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn wrong_specs_are_told_with_their_place() {
    let mut wrong = String::new();
    for (name, pitfall) in pitfalls() {
        for said in &pitfall.said {
            let (_, diagnostics) = parse_file(&SourceFile::new("slo.yml", said.spec.as_str()));
            let found: Vec<String> = diagnostics.to_string().lines().map(str::to_owned).collect();
            if found != said.says {
                let _ = writeln!(wrong, "{name}: says\n  {}", found.join("\n  "));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn rules_of_generators_go_wrong_as_told() {
    // It stays, so that a failing file can be run by hand.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("slo-pitfalls");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let mut files = Vec::new();
    for (name, pitfall) in pitfalls() {
        if !pitfall.figures.is_empty() {
            files.push(format!("{name}.test.yml"));
            write_test(&folder, &name, &pitfall);
        }
    }
    let almenara = Path::new(env!("CARGO_BIN_EXE_almenara"));
    for program in [Some(almenara.to_owned()), peer("promtool")].into_iter().flatten() {
        let output = Command::new(&program).current_dir(&folder).args(["test", "rules"]).args(&files).output().unwrap();
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{}:\n{told}", program.display());
        assert_eq!(told.matches("SUCCESS").count(), files.len(), "{told}");
    }
}

/// The objective of a fixture after all of its samples.
struct Played {
    store: Arc<Store>,
    /// Of the alerts that were told last.
    annotations: Vec<String>,
    /// The samples as OpenMetrics text, for the backtest.
    recording: String,
}

impl Played {
    /// Steps the objective as the daemon does: samples first, then an evaluation.
    fn of(text: &str, pitfall: &Pitfall) -> Self {
        let store = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
        let engine = Engine::new(store.clone());
        let environment = environment();
        let interval = pitfall.evaluation_interval.as_deref().map_or(SCRAPE, duration);
        let mut group = SloGroup::new(spec(text), interval);
        let mut edit = pitfall.edit.as_ref().map(|edit| (duration(&edit.at), &edit.spec));
        let series: Vec<(SeriesRef, Labels, Vec<SeriesValue>)> = pitfall
            .series
            .iter()
            .map(|text| parse_series(text).unwrap_or_else(|error| panic!("{text}: {error}")))
            .map(|series| (store.series_ref(&series.labels), series.labels, series.values))
            .collect();
        let mut annotations = Vec::new();
        let columns = series.iter().map(|(.., values)| values.len()).max().unwrap_or(0);
        for column in 0..columns {
            let since = SCRAPE * u32::try_from(column).unwrap();
            let at = Timestamp::EPOCH + since;
            let value = |(series, _, values): &(SeriesRef, Labels, Vec<SeriesValue>)| match values.get(column) {
                Some(SeriesValue::Float(value)) => Some(Row::new(*series, at, *value)),
                _ => None,
            };
            store.commit(&series.iter().filter_map(value).collect::<Vec<_>>());
            if !since.as_secs().is_multiple_of(interval.as_secs()) {
                continue;
            }
            if let Some((_, text)) = edit.take_if(|(from, _)| *from <= since) {
                let old = std::mem::replace(&mut group, SloGroup::new(spec(text), interval));
                group.adopt_state(old);
            }
            let context = EvalContext { querier: &*store, engine: Some(&engine), environment: &environment };
            let outcome = group.eval(at, &context);
            let recorded = outcome.recorded.iter();
            let rows: Vec<Row> =
                recorded.map(|one| Row::new(store.series_ref(&one.labels), one.at, one.value.clone())).collect();
            store.commit(&rows);
            if !outcome.alerts.is_empty() {
                let texts = outcome.alerts.iter().flat_map(|alert| alert.annotations.iter());
                annotations = texts.map(|label| label.value.to_string()).collect();
            }
        }
        Played { store, annotations, recording: recording(&series) }
    }

    fn ask(&self, query: &str, at: &str) -> Option<f64> {
        let expr = promql::parse(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
        let at = Timestamp::EPOCH + duration(at);
        match eval_instant(&expr, at, &*self.store, &QueryOptions::default()).unwrap().value {
            QueryValue::Vector(elements) => elements.first().and_then(|element| element.value.as_float()),
            other => panic!("{query}: {other:?}"),
        }
    }

    /// What `slo backtest` leaves of the budget.
    fn replayed_budget(&self, text: &str, at: &str) -> Option<f64> {
        let recording = Recording::parse(self.recording.as_bytes()).unwrap();
        let at = Timestamp::EPOCH + duration(at);
        let grid = Grid { start: at, end: at, step: SCRAPE };
        let replayed = backtest(&spec(text).slos[0], &recording, grid).unwrap();
        replayed.first().and_then(|replayed| replayed.points.last()?.budget_remaining)
    }
}

fn recording(series: &[(SeriesRef, Labels, Vec<SeriesValue>)]) -> String {
    let mut text = String::new();
    for (_, labels, values) in series {
        for (column, value) in values.iter().enumerate() {
            if let SeriesValue::Float(value) = value
                && !value.is_nan()
            {
                let _ = writeln!(text, "{labels} {value} {}", SCRAPE.as_secs() * column as u64);
            }
        }
    }
    text + "# EOF\n"
}

/// As the daemon has it by default.
fn environment() -> Environment {
    Environment {
        external_labels: Labels::empty(),
        external_url: "http://almenara".into(),
        lookback_delta: Duration::from_secs(300),
        default_subquery_step: SCRAPE,
        dialect: Dialect::default(),
        resend_delay: SCRAPE,
    }
}

/// Writes the rules of a fixture, and a test file in promtool's form with what they give.
fn write_test(folder: &Path, name: &str, pitfall: &Pitfall) {
    let mut rule_files = Vec::new();
    let mut write = |kind: &str, text: &str| {
        let file = format!("{name}.{kind}.yml");
        fs::write(folder.join(&file), text).unwrap();
        rule_files.push(file);
    };
    if let Some(sloth) = &pitfall.sloth {
        write("sloth", &sloth.rules(pitfall.objective));
    }
    if let Some(pyrra) = &pitfall.pyrra {
        write("pyrra", &pyrra.rules(pitfall.objective));
    }
    if let Some(by_hand) = &pitfall.by_hand {
        write("by_hand", &by_hand.rules);
    }
    let mut asked = Vec::new();
    for expected in &pitfall.figures {
        let figure = figure(&expected.figure);
        let queries = [
            (figure.sloth, &expected.sloth),
            (figure.pyrra, &expected.pyrra),
            (expected.by_hand.as_deref(), &expected.gives),
        ];
        for (query, told) in queries {
            if let Some((query, told)) = query.zip(told.as_ref()) {
                asked.push(expectation(query, told, &expected.at));
            }
        }
    }
    let input = pitfall.series.iter().map(|text| {
        let end = text.find(' ').unwrap();
        json!({"series": text[..end], "values": text[end + 1..]})
    });
    let test = json!({
        "rule_files": rule_files,
        "evaluation_interval": pitfall.evaluation_interval.as_deref().unwrap_or("1m"),
        "tests": [{
            "name": name,
            "interval": "1m",
            "input_series": input.collect::<Vec<Value>>(),
            "promql_expr_test": asked,
        }],
    });
    fs::write(folder.join(format!("{name}.test.yml")), test.to_string()).unwrap();
}

/// A test of a query. Neither JSON nor the comparison of tests knows NaN and infinity: these are asked for.
fn expectation(query: &str, told: &Told, at: &str) -> Value {
    let (expr, value) = match told.number() {
        Some(number) if number.is_nan() => (format!("count(({query}) != ({query}))"), Some(1.0)),
        Some(number) if number.is_infinite() => (format!("count(({query}) == {})", told.text()), Some(1.0)),
        number => (rounded(query), number),
    };
    let samples: Vec<Value> = value.into_iter().map(|value| json!({"labels": "{}", "value": value})).collect();
    json!({"expr": expr, "eval_time": at, "exp_samples": samples})
}

/// A template of `fixtures/slo-pitfalls`, filled in. `ratio` is an expression with `{{.window}}`.
fn filled(template: &str, ratio: &str, objective: f64) -> String {
    let text = fs::read_to_string(folder().join(template)).unwrap();
    let text: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let budget = ((100.0 - objective) * 1e7).round() / 1e9;
    let window = Regex::new(r"ERROR_RATIO\[(\w+)\]").unwrap();
    let text = window.replace_all(&text, |found: &Captures<'_>| ratio.replace("{{.window}}", &found[1]));
    text.replace("BUDGET", &budget.to_string())
}

impl Sloth {
    fn rules(&self, objective: f64) -> String {
        let ratio = match self {
            Sloth::Events { error_query, total_query } => format!("({error_query}) / ({total_query})"),
            Sloth::Raw { error_ratio_query } => error_ratio_query.clone(),
        };
        filled("sloth-rules.txt", &ratio, objective)
    }
}

impl Pyrra {
    fn rules(&self, objective: f64) -> String {
        let rate = |selector: &str| format!("sum(rate({selector}[{{{{.window}}}}]))");
        let share = "sum(shop_part:increase4w or vector(0)) / sum(shop_total:increase4w)";
        let (part, total, ratio, bad_share) = match self {
            Pyrra::Ratio { errors, total } => {
                (errors, total, format!("{} / {}", rate(errors), rate(total)), share.to_owned())
            }
            Pyrra::Latency { success, total } => {
                let ratio = format!("({} - {}) / {}", rate(total), rate(success), rate(total));
                (success, total, ratio, format!("1 - {share}"))
            }
        };
        let name = |selector: &str| selector.split('{').next().unwrap_or_default().to_owned();
        let absent_part =
            if name(part) == name(total) { "vector(1) == 0".to_owned() } else { format!("absent({part}) == 1") };
        let text = filled("pyrra-rules.txt", &ratio, objective);
        let text = text.replace("ABSENT_PART", &absent_part).replace("BAD_SHARE", &bad_share);
        text.replace("PART", part).replace("TOTAL", total)
    }
}

/// The page with the table says what the fixtures say.
#[test]
fn the_guide_has_what_the_fixtures_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/slo-pitfalls.md");
    let page = fs::read_to_string(&path).unwrap();
    let mark = "<!-- from the fixtures -->\n";
    let (before, rest) = page.split_once(mark).expect("a mark where the table begins");
    let (told, after) = rest.split_once(mark).expect("a mark where it ends");
    let expected = format!("\n{}\n", table());
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&path, format!("{before}{mark}{expected}{mark}{after}")).unwrap();
        return;
    }
    assert!(told == expected, "docs/src/slo-pitfalls.md is not what the fixtures say; UPDATE_FIXTURES=1 writes it");
}

fn table() -> String {
    let mut rows = String::from(
        "| pitfall | figure | right, and Almenara's | Sloth's rules | Pyrra's rules | other rules |\n|---|---|---|---|---|---|\n",
    );
    let mut said = String::new();
    for (name, pitfall) in pitfalls() {
        let number: usize = name[..2].parse().unwrap();
        let Pitfall { pitfall: what, story, .. } = &pitfall;
        if let Some(why) = &pitfall.no_fixture {
            let _ = writeln!(rows, "| {number}. **{what}.** {story} No fixture: {why} | - | - | - | - | - |");
        }
        for (index, expected) in pitfall.figures.iter().enumerate() {
            let head = if index == 0 { format!("{number}. **{what}.** {story}") } else { String::new() };
            let cell = |told: &Option<Told>| match told {
                Some(told) if told.is_wrong(&expected.right) => format!("**{}**", told.text()),
                Some(told) => told.text(),
                None => "-".to_owned(),
            };
            let other = match (&pitfall.by_hand, &expected.gives) {
                (Some(by_hand), Some(_)) => format!("{}: {}", by_hand.name, cell(&expected.gives)),
                _ => "-".to_owned(),
            };
            let _ = writeln!(
                rows,
                "| {head} | {} | {} | {} | {} | {other} |",
                expected.figure,
                expected.right.text(),
                cell(&expected.sloth),
                cell(&expected.pyrra),
            );
        }
        if let Some(text) = &pitfall.alert_says {
            let _ = writeln!(said, "\n{number}. {what}, in the alert:\n\n```text\n{text}\n```");
        }
        for one in &pitfall.said {
            let _ =
                writeln!(said, "\n{number}. {what}, by `almenara check slo`:\n\n```text\n{}\n```", one.says.join("\n"));
        }
    }
    format!("{rows}\n## What is said of them\n{said}")
}
