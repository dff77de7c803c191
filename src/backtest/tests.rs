//! Lives of alerts over histories that are written down here, a value a minute.

use std::time::Duration;

use super::feed::{Feed, Own};
use super::*;
use crate::model::{Labels, Timestamp};
use crate::promql::Dialect;
use crate::rules::{Environment, GroupDefaults, RuleFile};
use crate::source::SourceFile;
use crate::store::{Row, Store, StoreOptions};

const MINUTE: Duration = Duration::from_secs(60);

fn at(minute: i64) -> Timestamp {
    Timestamp::from_ms(minute * 60_000)
}

/// `_` is no sample.
fn history(series: &[(&str, &str)]) -> Store {
    let store = Store::new(StoreOptions { retention: Duration::MAX });
    for (labels, values) in series {
        let series = store.series_ref(&crate::unittest::series::parse_labels(labels).unwrap());
        let values = (0..).zip(values.split(' ')).filter(|(_, value)| *value != "_");
        let rows: Vec<Row> =
            values.map(|(minute, value)| Row::new(series, at(minute), value.parse::<f64>().unwrap())).collect();
        assert!(store.commit(&rows).refused.is_empty());
    }
    store
}

fn version(rules: &str) -> Version {
    let text = format!("groups:\n- name: g\n  rules: [{rules}]\n");
    let (file, diagnostics) = RuleFile::parse(&SourceFile::new("r.yml", text));
    Version { label: "r.yml".to_owned(), files: vec![file.unwrap_or_else(|| panic!("{diagnostics}"))] }
}

fn settings(start: i64, end: i64) -> Settings {
    Settings {
        start: at(start),
        end: at(end),
        step: None,
        defaults: GroupDefaults { interval: MINUTE, query_offset: Duration::ZERO },
        environment: Environment {
            external_labels: Labels::empty(),
            external_url: "".into(),
            lookback_delta: 5 * MINUTE,
            default_subquery_step: MINUTE,
            dialect: Dialect::default(),
            resend_delay: Duration::from_secs(1 << 30),
        },
    }
}

fn run(rules: &str, series: &[(&str, &str)], range: (i64, i64)) -> Replay {
    replay(&version(rules), &history(series), &settings(range.0, range.1), &mut |_| true)
}

/// `name{labels} pending-firing-end`, in minutes; `-` is never, `…` is not over.
fn shown(replay: &Replay) -> Vec<String> {
    let minute = |at: Timestamp| (at.as_ms() / 60_000).to_string();
    let episode = |episode: &Episode| {
        let fired = episode.fired_at.map_or("-".to_owned(), minute);
        let ended = episode.ended_at.map_or("…".to_owned(), minute);
        format!("{} {} {fired} {ended}", episode.labels, minute(episode.active_at))
    };
    replay.rules.iter().flat_map(|rule| rule.episodes.iter().map(episode)).collect()
}

#[test]
fn lives_are_followed_from_pending_to_their_end() {
    let values = "0 1 1 0 1 1 1 1 0 0 1 1 1 1";
    let rule = "{alert: A, expr: m > 0, for: 2m}, {alert: K, expr: m > 0, keep_firing_for: 2m}";
    let replay = run(rule, &[("m", values)], (0, 13));
    let expected = [
        r#"{alertname="A"} 1 - 3"#,
        r#"{alertname="A"} 4 6 8"#,
        r#"{alertname="A"} 10 12 …"#,
        r#"{alertname="K"} 1 1 …"#,
    ];
    assert_eq!(shown(&replay), expected);
    assert_eq!(replay.evaluations, 2 * 16, "two minutes before the start, for the longest `for`");
    // What fires at the start is known, what ended before is not told.
    let replay = run(rule, &[("m", values)], (7, 9));
    assert_eq!(shown(&replay), [r#"{alertname="A"} 5 7 8"#, r#"{alertname="K"} 5 5 …"#]);
}

#[test]
fn the_future_is_not_seen_and_fixed_instants_are() {
    let ahead = "{alert: Ahead, expr: m offset -2m > 0}, {alert: Now, expr: m > 0}";
    // As in a daemon, what looks ahead sees the newest sample there is.
    let both = [r#"{alertname="Ahead"} 3 3 4"#, r#"{alertname="Now"} 3 3 4"#];
    assert_eq!(shown(&run(ahead, &[("m", "0 0 0 1 0")], (0, 4))), both);
    let fixed = "{alert: Fixed, expr: m @ 60 > 0}";
    assert_eq!(shown(&run(fixed, &[("m", "0 1 0 0 0")], (3, 4))), [r#"{alertname="Fixed"} 3 3 …"#]);
}

#[test]
fn what_the_rules_record_takes_the_place_of_what_was_recorded() {
    let rules = "{record: r, expr: m}, {alert: High, expr: r > 50}, {alert: Risen, expr: 'r - r offset 2m < 0'}";
    let recorded = [("m", "1 1 1 1 1 1"), ("r", "90 90 90 90 90 90")];
    assert_eq!(shown(&run(rules, &recorded, (2, 5))), [r#"{alertname="Risen"} 2 2 4"#], "before the start it is read");
    let meta = "{alert: A, expr: m > 0}, {alert: Meta, expr: 'count(ALERTS{alertname=\"A\"}) > 0'}";
    assert_eq!(
        shown(&run(meta, &[("m", "0 0 0 1 1 0")], (0, 5))),
        [r#"{alertname="A"} 3 3 5"#, r#"{alertname="Meta"} 3 3 5"#]
    );
}

#[test]
fn failures_are_counted_and_leave_alerts_alone() {
    let rules = "{alert: A, expr: m > 0, labels: {x: same}}";
    let two = [("m{x=\"1\"}", "1 1 1 1 0"), ("m{x=\"2\"}", "_ 1 1 0 0")];
    let replay = run(rules, &two, (0, 4));
    assert_eq!(shown(&replay), [r#"{alertname="A",x="same"} 0 0 4"#]);
    let failures = &replay.rules[0].failures;
    assert_eq!(failures.count, 2);
    let (first, reason) = failures.first.clone().unwrap();
    assert!(first == at(1) && reason.contains("same labelset"), "{reason}");
}

#[test]
fn slices_hand_over_every_sample_once_and_in_time() {
    let wanted: Vec<String> =
        (0..200).map(|value: i32| if value % 7 == 3 { "_".to_owned() } else { value.to_string() }).collect();
    let history = history(&[("a", &wanted.join(" ")), ("b{x=\"1\"}", "_ _ 5 _ 7"), ("r", "1 2 3 4 5")]);
    let version = version("{record: r, expr: a}");
    for slice_samples in [1, 50, 1000] {
        let live = Store::new(StoreOptions { retention: Duration::MAX });
        let own = Own::of(version.rules(), &Demand::of(std::slice::from_ref(&version)));
        let mut feed = Feed::new((&history, &live), (at(0), at(2), at(199)), &own, slice_samples);
        for minute in (0..200).step_by(3) {
            feed.until(at(minute));
            assert!(live.stats().newest.is_none_or(|newest| newest <= at(minute)));
        }
        feed.until(at(199));
        let all = |store: &Store| store.select(&[], Timestamp::MIN, Timestamp::MAX);
        let (mut expected, got) = (all(&history), all(&live));
        expected.last_mut().unwrap().samples.truncate(2);
        assert_eq!(got, expected, "the rule's own series up to minute 2");
        assert_eq!(feed.samples, got.iter().map(|series| series.samples.len() as u64).sum::<u64>());
    }
}

#[test]
fn figures_tell_of_flaps_and_of_what_fires_together() {
    let rules = "{alert: A, expr: m > 0}, {alert: B, expr: n > 0}, {alert: Never, expr: m > 9}";
    let both = [
        ("m", "0 1 1 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0"),
        ("n", "0 1 1 1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"),
    ];
    let replay = run(rules, &both, (0, 23));
    let figures = Figures::of(&replay.rules[0], (at(0), at(23)));
    assert_eq!((figures.fired, figures.flaps, figures.instances, figures.at_once_max), (3, 1, 1, 1));
    assert_eq!((figures.firing_for, figures.longest), (4 * MINUTE, 2 * MINUTE));
    assert!((figures.firing_ratio - 4.0 / 23.0).abs() < 1e-12);
    let overlaps = Overlaps::of(&replay, (at(0), at(23)));
    assert_eq!(overlaps.at_once_max, Some((2, at(1))));
    assert_eq!(overlaps.pairs, [Overlap { rules: (0, 1), together: 3 * MINUTE, ratio: 0.75 }]);
}

#[test]
fn versions_are_paired_by_labels_then_by_name() {
    let series = [("m", "0 3 6 9 6 3 0 0")];
    let old = run(
        "{alert: A, expr: m > 5, labels: {s: page}}, {alert: A, expr: m > 1, labels: {s: low}}, {alert: Gone, expr: m > 0}",
        &series,
        (0, 7),
    );
    let new = run(
        "{alert: A, expr: m > 1, labels: {s: low}}, {alert: A, expr: m > 8, labels: {s: other}}, {alert: New, expr: m > 8}",
        &series,
        (0, 7),
    );
    let pairs = Comparison::of(&old, &new, (at(0), at(7))).pairs;
    let shown: Vec<_> = pairs.iter().map(|pair| (pair.before, pair.after, pair.is_same())).collect();
    assert_eq!(
        shown,
        [(Some(1), Some(0), true), (Some(0), Some(1), false), (None, Some(2), false), (Some(2), None, false)]
    );
    assert_eq!((pairs[1].both, pairs[1].only_before, pairs[1].only_after), (MINUTE, 2 * MINUTE, Duration::ZERO));
}

#[test]
fn the_three_reports_say_the_same() {
    let settings = settings(0, 7);
    let history = history(&[("m{x=\"<1>\"}", "0 3 6 9 6 3 0 0")]);
    let replay = |rules: &str| replay(&version(rules), &history, &settings, &mut |_| true);
    let after =
        replay("{alert: A, expr: m > 5, annotations: {summary: 'at {{ $value }}'}}, {alert: Quiet, expr: m > 50}");
    let report = Report::new(&settings, after, Some(replay("{alert: A, expr: m > 1}")));
    let text = text::text(&report);
    for part in [
        "1970-01-01T00:00:00Z to 1970-01-01T00:07:00Z",
        "r.yml: 2 rules in 1 group, 16 evaluations, 1 series, 8 samples",
        "1970-01-01T00:02:00Z to 1970-01-01T00:05:00Z (3m) {x=\"<1>\"}",
        "never pending (1): Quiet",
        "A: was 1 firing in 5m, now 1 firing in 3m; 2m only before, 0s only now",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&json::json(&report)).unwrap();
    let rule = &json["versions"][0]["rules"][0];
    assert_eq!((rule["fired"].as_u64(), rule["firing_for"].as_u64()), (Some(1), Some(180)));
    assert_eq!(rule["episodes"][0]["annotations"]["summary"], "at 6");
    assert_eq!(json["comparison"][0]["only_before"], 120);
    let html = html::html(&report);
    assert!(html.contains("&lt;1&gt;") && !html.contains("<1>"), "labels are escaped");
    assert!(!html.contains("src=") && !html.contains("http"), "the page needs nothing else");
    assert_eq!(html.matches("<rect class=\"firing\"").count(), 3, "the alert alone, and before and now");
}
