//! Objectives as recording and alerting rules for a Prometheus: for people who evaluate there.
//!
//! In the flow: `almenara slo compile` prints what [`compile`] returns as a rule file, a `PrometheusRule` or a dashboard.
//!
//! Three groups per objective, with Sloth's series: error ratios per window, what is derived from them, and one alert per severity. Windows up
//! to [`RAW_MAX`] read the counters; longer ones add up counts of five minutes that a rule records, so that they cost little whatever their length.
//! Queries of an objective are written as they are, over each window. Of replicas the mean is taken.
//!
//! **Differs** from our own counting, and by how much is printed ([`Compiled::bounds`]): `increase` extrapolates, leaves out the first value of a
//! series that is born, and what lies between two ranges; a calendar's window becomes a rolling one; nothing is held while targets are down.
//! **Source.** Names and labels: Sloth 0.16 `internal/plugin/slo/core`, which dashboards 14348 and 14643 read.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use crate::source::format_duration;

use super::policy::{Severity, Tier};
use super::query::Queried;
use super::spec::{Indicator, PartIs, Slo, Term};
use super::texts::percent;
use super::window::Window;

/// Windows up to here read raw counters.
const RAW_MAX: Duration = Duration::from_secs(6 * 3600);
/// The ranges that are recorded for longer ones, and the interval of their group.
const COUNTED: Duration = Duration::from_secs(300);
/// The windows of Sloth's recordings, in seconds.
const WINDOWS_SECS: [u64; 7] = [300, 1_800, 3_600, 7_200, 21_600, 86_400, 259_200];

/// How the identity of an objective is written in labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// `slo` and `service`.
    Own,
    /// `sloth_id`, `sloth_slo`, `sloth_service`, `sloth_window`, as Sloth's dashboards want them.
    Sloth,
}

/// The rules of one objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// In order: counts, ratios, figures, alerts.
    pub groups: Vec<CompiledGroup>,
    /// How far their figures may be from our own, in sentences.
    pub bounds: Vec<String>,
    /// The labels that tell the objective apart.
    pub identity: Vec<(String, String)>,
}

/// A group of rules.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledGroup {
    /// Unique for the objective.
    pub name: String,
    /// Its interval, where it must have one.
    pub interval: Option<Duration>,
    /// In order of evaluation.
    pub rules: Vec<CompiledRule>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledRule {
    /// The series, or the name of the alert.
    pub name: String,
    /// Whether it is an alert.
    pub is_alert: bool,
    /// PromQL.
    pub expr: String,
    /// `for`.
    pub hold: Duration,
    /// In order of name.
    pub labels: Vec<(String, String)>,
    /// Of an alert.
    pub annotations: Vec<(String, String)>,
}

/// The rules of `slo` for targets scraped every `scrape_interval`; why there are none where that cannot be said in rules.
pub fn compile(slo: &Slo, names: Names, scrape_interval: Duration) -> Result<Compiled, String> {
    if slo.budgeting.is_of_slices() && !slo.indicator.is_queried() {
        return Err("slices of time are not events: rules would have to be evaluated once for each slice".to_owned());
    }
    let source = match &slo.indicator {
        Indicator::Queried(queried) => Source::Queries(queried),
        _ => Source::Counters(Counters::of(slo)?),
    };
    let identity = identity(slo, names);
    let tier_windows = slo.policy.tiers.iter().flat_map(|tier| [tier.short, tier.long]);
    let period = slo.window.nominal();
    let fixed = WINDOWS_SECS.iter().map(|secs| Duration::from_secs(*secs)).filter(|window| *window < period);
    let windows: BTreeSet<Duration> = fixed.chain(tier_windows).chain([period]).collect();
    let writer = Writer { slo, names, identity: &identity, source: &source };
    let id = identity.first().map(|(_, value)| value.as_str()).unwrap_or_default();
    let group = |kind: &str, interval, rules| CompiledGroup { name: format!("slo-{kind}-{id}"), interval, rules };
    let counts = match &source {
        Source::Counters(counters) => Some(group("counts", Some(COUNTED), writer.counts(counters))),
        Source::Queries(_) => None,
    };
    let mut groups: Vec<CompiledGroup> = counts.into_iter().collect();
    groups.extend([
        group("ratios", None, windows.iter().map(|window| writer.ratio(*window)).collect()),
        group("figures", None, writer.figures(period)),
    ]);
    let alerts: Vec<CompiledRule> = Severity::ALL.into_iter().filter_map(|severity| writer.alert(severity)).collect();
    if !alerts.is_empty() {
        groups.push(group("alerts", None, alerts));
    }
    Ok(Compiled { groups, bounds: bounds(slo, scrape_interval), identity })
}

fn identity(slo: &Slo, names: Names) -> Vec<(String, String)> {
    let service = slo.labels.get("service").unwrap_or("none");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    match names {
        Names::Own => vec![pair("slo", &slo.name), pair("service", service)],
        Names::Sloth => vec![
            ("sloth_id".to_owned(), format!("{service}-{}", slo.name)),
            pair("sloth_service", service),
            pair("sloth_slo", &slo.name),
        ],
    }
}

/// How far the figures of the rules may be from ours.
fn bounds(slo: &Slo, scrape_interval: Duration) -> Vec<String> {
    let scrape = format_duration(scrape_interval);
    let share = |range: Duration| {
        scrape_interval.as_secs_f64() / (range.as_secs_f64() - scrape_interval.as_secs_f64()).max(1.0)
    };
    let of_queries =
        "the queries are evaluated here as there: figures differ by the instants at which they are asked".to_owned();
    let of_counters = || {
        vec![
            format!(
                "windows up to {}: a count is at most {} too high (over 5m; less over longer ones), or too low by what happened in {scrape}, since \
                 increase estimates {scrape} of the window from the rest",
                format_duration(RAW_MAX),
                percent(share(COUNTED)),
            ),
            format!(
                "longer windows and the budget: what happens between two ranges of 5m ({scrape} of them) is estimated from the rest, so that the budget \
             spent is off by at most {} of itself where errors last for 5m or more; a burst shorter than {scrape} may be missed or doubled",
                percent(share(COUNTED)),
            ),
            "each series that is born while its target lives: its first value is not counted".to_owned(),
        ]
    };
    let mut bounds = if slo.indicator.is_queried() { vec![of_queries] } else { of_counters() };
    if matches!(slo.window, Window::Calendar(_)) {
        bounds.push(format!(
            "the window is a rolling one of {} and not {}: no bound",
            format_duration(slo.window.nominal()),
            slo.window
        ));
    }
    if !slo.copies.replica_labels.is_empty() {
        bounds.push(format!(
            "copies of a target: each count is the mean of them, since rules cannot follow one. While all of them scrape, figures are those of one copy; \
             what only m of n saw counts m/n of itself in the ranges in which the others came or went: the windows up to {}, and ranges of 5m in longer ones",
            format_duration(RAW_MAX)
        ));
    }
    if !slo.exclusions.is_empty() {
        bounds.push("exclusions are not in the rules: no bound".to_owned());
    }
    bounds
}

/// What an objective is evaluated from.
enum Source<'a> {
    Counters(Counters),
    Queries(&'a Queried),
}

/// The counters of an objective, as expressions over a range.
struct Counters {
    part: Vec<Counter>,
    part_is: PartIs,
    total: Vec<Counter>,
    by: String,
    /// In which copies differ.
    replica_labels: String,
}

struct Counter {
    selector: String,
    function: &'static str,
    is_subtracted: bool,
}

impl Counters {
    fn of(slo: &Slo) -> Result<Self, String> {
        let by = slo.group_by.join(", ");
        let terms = |terms: &[Term]| {
            let counter = |term: &Term| Counter {
                selector: term.selector.text.to_string(),
                function: "increase",
                is_subtracted: term.is_subtracted,
            };
            terms.iter().map(counter).collect::<Vec<_>>()
        };
        let one =
            |selector: &str, function| vec![Counter { selector: selector.to_owned(), function, is_subtracted: false }];
        let (part, total) = match &slo.indicator {
            Indicator::Errors { part, total, .. } => (terms(part), terms(total)),
            Indicator::Availability(gauge) => {
                let samples = one(&gauge.text, "count_over_time");
                (one(&gauge.text, "sum_over_time"), samples)
            }
            Indicator::Latency { buckets, total, threshold_ms, .. } => {
                (one(&with_bound(&buckets.text, *threshold_ms), "increase"), one(&total.text, "increase"))
            }
            Indicator::Freshness { .. } => return Err("rules cannot tell how old each sample was".to_owned()),
            Indicator::Throughput(_) => return Err("rules cannot judge slices of time".to_owned()),
            Indicator::Composite { .. } => {
                return Err("compile its members; a composite of them is not written in rules".to_owned());
            }
            Indicator::Queried(_) => return Err("queries are no counters".to_owned()),
        };
        let part_is = match slo.indicator {
            Indicator::Availability(_) => PartIs::Good,
            _ => slo.indicator.part_is(),
        };
        Ok(Counters { part, part_is, total, by, replica_labels: slo.copies.replica_labels.join(", ") })
    }

    fn sum(&self, counters: &[Counter], range: Duration) -> String {
        let range = format_duration(range);
        let by = if self.by.is_empty() { String::new() } else { format!(" by ({})", self.by) };
        let mut text = String::new();
        for (index, Counter { selector, function, is_subtracted }) in counters.iter().enumerate() {
            let sign = match (index, is_subtracted) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            };
            // The mean goes with buckets and totals alike; the highest of two buckets may exceed the total that was read with it.
            let of_one = match self.replica_labels.as_str() {
                "" => format!("{function}({selector}[{range}])"),
                labels => format!("avg without ({labels}) ({function}({selector}[{range}]))"),
            };
            let _ = write!(text, "{sign}sum{by} ({of_one})");
        }
        text
    }

    fn total(&self, range: Duration) -> String {
        self.sum(&self.total, range)
    }

    /// Bad events; none where there is no series of them beside a total.
    fn bad(&self, range: Duration) -> String {
        let (part, total) = (self.sum(&self.part, range), self.total(range));
        let filled = format!("(({part}) or 0 * ({total}))");
        match self.part_is {
            PartIs::Bad => filled,
            PartIs::Good => format!("(({total}) - {filled})"),
        }
    }
}

/// The buckets' selector with the bound of the threshold, however it is spelled.
fn with_bound(buckets: &str, threshold_ms: i64) -> String {
    let secs = threshold_ms as f64 / 1000.0;
    let spellings: BTreeSet<String> = [secs.to_string(), format!("{secs:?}")].into();
    let pattern = spellings.iter().map(|text| text.replace('.', "\\\\.")).collect::<Vec<_>>().join("|");
    let test = format!("le=~\"{pattern}\"");
    match buckets.rsplit_once('}') {
        Some((before, _)) if before.trim_end().ends_with('{') => format!("{before}{test}}}"),
        Some((before, _)) => format!("{},{test}}}", before.trim_end().trim_end_matches(',')),
        None => format!("{buckets}{{{test}}}"),
    }
}

/// What all rules of an objective have in common.
struct Writer<'a> {
    slo: &'a Slo,
    names: Names,
    identity: &'a [(String, String)],
    source: &'a Source<'a>,
}

impl Writer<'_> {
    fn record(&self, name: impl Into<String>, expr: String, more: &[(&str, String)]) -> CompiledRule {
        let mut labels: Vec<(String, String)> =
            self.slo.labels.iter().map(|label| (label.name.to_string(), label.value.to_string())).collect();
        labels.retain(|(name, _)| !self.identity.iter().any(|(own, _)| own == name));
        labels.extend(self.identity.iter().cloned());
        labels.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        labels.sort();
        CompiledRule { name: name.into(), is_alert: false, expr, hold: Duration::ZERO, labels, annotations: Vec::new() }
    }

    /// The selector of a series of this objective.
    fn own(&self, series: &str) -> String {
        let tests: Vec<String> = self.identity.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{series}{{{}}}", tests.join(","))
    }

    fn counts(&self, counters: &Counters) -> Vec<CompiledRule> {
        vec![
            self.record("slo:sli_bad:increase5m", counters.bad(COUNTED), &[]),
            self.record("slo:sli_total:increase5m", counters.total(COUNTED), &[]),
        ]
    }

    fn ratio(&self, window: Duration) -> CompiledRule {
        let length = format_duration(window);
        let expr = match self.source {
            Source::Queries(queried) => queried.error_ratio(&self.slo.group_by, window),
            Source::Counters(counters) if window <= RAW_MAX => {
                format!("{} / (({}) > 0)", counters.bad(window), counters.total(window))
            }
            Source::Counters(_) => {
                let sum = |series: &str| format!("sum_over_time({}[{length}])", self.own(series));
                format!("{} / ({} > 0)", sum("slo:sli_bad:increase5m"), sum("slo:sli_total:increase5m"))
            }
        };
        let label = match self.names {
            Names::Own => "window",
            Names::Sloth => "sloth_window",
        };
        self.record(format!("slo:sli_error:ratio_rate{length}"), expr, &[(label, length)])
    }

    fn figures(&self, period: Duration) -> Vec<CompiledRule> {
        let budget = self.slo.objective.budget_ratio();
        let label = if self.names == Names::Own { "window" } else { "sloth_window" };
        let ratio = |window: Duration| {
            let series = self.own(&format!("slo:sli_error:ratio_rate{}", format_duration(window)));
            format!("max without ({label}) ({series})")
        };
        let mut rules = vec![
            self.record("slo:objective:ratio", format!("vector({})", self.slo.objective.ratio()), &[]),
            self.record("slo:error_budget:ratio", format!("vector({budget})"), &[]),
            self.record("slo:time_period:days", format!("vector({})", period.as_secs_f64() / 86_400.0), &[]),
            self.record("slo:current_burn_rate:ratio", format!("{} / {budget}", ratio(COUNTED)), &[]),
            self.record("slo:period_burn_rate:ratio", format!("{} / {budget}", ratio(period)), &[]),
            self.record("slo:period_error_budget_remaining:ratio", format!("1 - {} / {budget}", ratio(period)), &[]),
        ];
        if self.names == Names::Sloth {
            let objective = self.slo.objective.percent().to_string();
            let info = [
                ("sloth_mode", "almenara".to_owned()),
                ("sloth_objective", objective),
                ("sloth_spec", "prometheus/v1".to_owned()),
                ("sloth_version", env!("CARGO_PKG_VERSION").to_owned()),
            ];
            rules.push(self.record("sloth_slo_info", "vector(1)".to_owned(), &info));
        }
        rules
    }

    /// One alert per severity: any of its tiers.
    fn alert(&self, severity: Severity) -> Option<CompiledRule> {
        let tiers: Vec<&Tier> = self.slo.policy.tiers.iter().filter(|tier| tier.severity == severity).collect();
        let first = tiers.first()?;
        let label = if self.names == Names::Own { "window" } else { "sloth_window" };
        let burns = |window: Duration, tier: &Tier| {
            let series = self.own(&format!("slo:sli_error:ratio_rate{}", format_duration(window)));
            let threshold = number_exact(tier.threshold_ratio(self.slo.objective));
            format!("max without ({label}) ({series} > {threshold})")
        };
        let pair = |tier: &&Tier| format!("({} and {})", burns(tier.short, tier), burns(tier.long, tier));
        let expr = tiers.iter().map(pair).collect::<Vec<_>>().join("\nor\n");
        let texts = self.slo.policy.texts(severity);
        let mut rule = self.record(super::alerts::BURN_ALERT, expr, &[]);
        rule.is_alert = true;
        rule.hold = first.hold;
        let severity_label = if self.names == Names::Own { "severity" } else { "sloth_severity" };
        rule.labels.retain(|(name, _)| name != severity_label);
        rule.labels.push((severity_label.to_owned(), severity.as_str().to_owned()));
        rule.labels.extend(texts.labels.iter().map(|label| (label.name.to_string(), label.value.to_string())));
        rule.labels.sort();
        rule.labels.dedup_by(|a, b| a.0 == b.0);
        rule.annotations = vec![("summary".to_owned(), format!("{} burns its error budget too fast", self.slo.name))];
        let about = &self.slo.about;
        let ours = [("description", &about.description), ("owner", &about.owner), ("runbook_url", &about.runbook)];
        let ours = ours.into_iter().filter(|(_, text)| !text.is_empty());
        rule.annotations.extend(ours.map(|(name, text)| (name.to_owned(), text.clone())));
        let written = texts.annotations.iter().map(|label| (label.name.to_string(), label.value.to_string()));
        let written: Vec<_> = written.collect();
        rule.annotations.retain(|(name, _)| !written.iter().any(|(own, _)| own == name));
        rule.annotations.extend(written);
        rule.annotations.sort();
        Some(rule)
    }
}

/// Without the noise of floats: 0.0144 and not 0.014400000000000001.
fn number_exact(value: f64) -> String {
    ((value * 1e12).round() / 1e12).to_string()
}

/// The groups as YAML, `indent` spaces in. Texts are quoted as JSON quotes them, which YAML reads.
pub fn groups_yaml(groups: &[CompiledGroup], indent: usize) -> String {
    let pad = " ".repeat(indent);
    let quoted = |text: &str| format!("{text:?}").replace("\\'", "'");
    let mut yaml = format!("{pad}groups:\n");
    for group in groups {
        let _ = writeln!(yaml, "{pad}  - name: {}", quoted(&group.name));
        if let Some(interval) = group.interval {
            let _ = writeln!(yaml, "{pad}    interval: {}", format_duration(interval));
        }
        let _ = writeln!(yaml, "{pad}    rules:");
        for rule in &group.rules {
            let kind = if rule.is_alert { "alert" } else { "record" };
            let _ = writeln!(yaml, "{pad}      - {kind}: {}", quoted(&rule.name));
            let _ = writeln!(yaml, "{pad}        expr: |-");
            for line in rule.expr.lines() {
                let _ = writeln!(yaml, "{pad}          {line}");
            }
            if !rule.hold.is_zero() {
                let _ = writeln!(yaml, "{pad}        for: {}", format_duration(rule.hold));
            }
            for (what, pairs) in [("labels", &rule.labels), ("annotations", &rule.annotations)] {
                if pairs.is_empty() {
                    continue;
                }
                let _ = writeln!(yaml, "{pad}        {what}:");
                for (name, value) in pairs {
                    let _ = writeln!(yaml, "{pad}          {name}: {}", quoted(value));
                }
            }
        }
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_buckets_are_found_however_spelled() {
        for (buckets, expected) in [
            ("d_bucket", r#"d_bucket{le=~"0\\.3"}"#),
            ("d_bucket{}", r#"d_bucket{le=~"0\\.3"}"#),
            (r#"d_bucket{job="a"}"#, r#"d_bucket{job="a",le=~"0\\.3"}"#),
            (r#"d_bucket{job="a",}"#, r#"d_bucket{job="a",le=~"0\\.3"}"#),
        ] {
            assert_eq!(with_bound(buckets, 300), expected);
        }
        assert_eq!(with_bound("d", 1000), r#"d{le=~"1|1\\.0"}"#);
        assert_eq!(number_exact(14.4 * 0.001), "0.0144");
    }
}
