//! When each tier fires and clears, against the closed form of the Site Reliability Workbook, chapter 5: with an error ratio `e` from some instant on,
//! a tier fires after `factor * (1 - objective) / e * long`, and never where `e` does not exceed `factor * (1 - objective)`; once the errors end it
//! clears after `short * (1 - factor * (1 - objective) / e)`.

use std::fmt::Write;
use std::time::Duration;

use super::file;
use crate::model::Timestamp;
use crate::slo::{Grid, Recording, backtest};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;
const START: i64 = 1_740_787_200;
/// Errors begin after three days, so that every window is full, and last for four, longer than every window.
const ERRORS: (i64, i64) = (3 * DAY, 7 * DAY);
const END: i64 = 7 * DAY + 8 * 60 * MINUTE;
const PER_MINUTE: i64 = 20_000;
/// The distance of evaluations, which is how exact the times can be.
const STEP: i64 = 120;

fn recording(error_ratio: f64) -> Recording {
    let (mut all, mut bad) = (String::new(), String::new());
    let mut failures = 0;
    for minute in 0..=END / MINUTE {
        let at = minute * MINUTE;
        if at > ERRORS.0 && at <= ERRORS.1 {
            failures += (error_ratio * PER_MINUTE as f64).round() as i64;
        }
        let _ = writeln!(all, "all_total {} {}", PER_MINUTE * minute, START + at);
        let _ = writeln!(bad, "bad_total {failures} {}", START + at);
    }
    Recording::parse(format!("# TYPE all counter\n{all}# TYPE bad counter\n{bad}# EOF\n").as_bytes()).unwrap()
}

#[test]
fn tiers_fire_and_clear_when_the_closed_form_says() {
    let mut compared = 0;
    for error_ratio in [1.0, 0.1, 0.02, 0.01, 0.005] {
        let recording = recording(error_ratio);
        for objective in [90.0, 95.0, 99.0, 99.5, 99.9, 99.99] {
            // In Sloth's form also tiers that cannot fire are kept.
            let spec = format!(
                "version: prometheus/v1\nservice: s\nslos: [{{name: a, objective: {objective}, sli: {{events: {{error_query: \
                 'sum(rate(bad_total[{{{{.window}}}}]))', total_query: 'sum(rate(all_total[{{{{.window}}}}]))'}}}}}}]\n"
            );
            let (parsed, _) = crate::slo::parse_file(&crate::source::SourceFile::new("s.yml", spec));
            let slo = parsed.unwrap().slos.remove(0);
            let at = |secs: i64| Timestamp::from_ms(1000 * (START + secs));
            let grid = Grid { start: at(ERRORS.0), end: at(END), step: Duration::from_secs(STEP as u64) };
            let result = backtest(&slo, &recording, grid).unwrap().remove(0);
            for (index, tier) in slo.policy.tiers.iter().enumerate() {
                let runs: Vec<_> = result.runs.iter().filter(|run| run.tier == index).collect();
                let threshold = tier.factor * (1.0 - objective / 100.0);
                let what = format!("{error_ratio} at {objective}: {}", tier.name);
                compared += 1;
                if error_ratio <= threshold + 1e-12 {
                    assert!(runs.is_empty(), "{what} never fires: {runs:?}");
                    continue;
                }
                let [run] = runs[..] else { panic!("{what} fires once: {runs:?}") };
                let secs = |from: i64, to: Timestamp| to.ms_since(at(from)) as f64 / 1000.0;
                let fires = threshold / error_ratio * tier.long.as_secs_f64();
                let clears = tier.short.as_secs_f64() * (1.0 - threshold / error_ratio);
                let (fired, cleared) = (secs(ERRORS.0, run.start), secs(ERRORS.1, run.end.unwrap()));
                assert!((fired - fires).abs() < STEP as f64 + 1e-6, "{what} fires after {fires}, found {fired}");
                assert!((cleared - clears).abs() < STEP as f64 + 1e-6, "{what} clears after {clears}, found {cleared}");
            }
        }
    }
    assert_eq!(compared, 5 * 6 * 4);
}

#[test]
fn the_default_tiers_are_those_of_sloth() {
    let own = file("slos: [{name: a, objective: 99.9, indicator: {availability: up}}]").slos.remove(0);
    let factors: Vec<f64> = own.policy.tiers.iter().map(|tier| tier.factor).collect();
    assert_eq!(factors, [14.4, 6.0, 3.0, 1.0]);
}
