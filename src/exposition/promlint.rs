//! Is an exposition written as its readers expect? The lints of `promtool check metrics`, in its words.
//!
//! In the flow: `almenara check metrics` hands in a body of the text format; [`families`] groups its lines, [`lint`] judges each group.
//! **Source.** client_golang 1.22 `prometheus/testutil/promlint`, asked through promtool 3.5; there, as here, a group may come back
//! later in the body, a type must come before the first sample, and what has no sample is not judged.
//! **Differs:** `check metrics` reads a body as our scraper does: an unknown escape, a blank at the end of a line are accepted, the type
//! `gaugehistogram` is not; what cannot be read is told of in the scraper's words, with line and column.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Format, Parser};
use crate::model::{METRIC_NAME, MetricKind};

/// A metric with its help, type and series.
#[derive(Clone, Debug, Default)]
pub struct ExposedFamily {
    help: String,
    kind: MetricKind,
    /// Whether the type was declared; without it a metric counts as untyped.
    is_typed: bool,
    /// The labels of each series; the parts of a histogram or summary are one.
    metrics: Vec<ExposedMetric>,
}

/// A series, or the series that are one histogram or summary.
#[derive(Clone, Debug)]
struct ExposedMetric {
    /// As written; sorted where several series are one metric.
    labels: Vec<(String, String)>,
    /// Buckets or quantiles.
    parts: usize,
}

/// What is wrong with a metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The metric's name.
    pub metric: String,
    /// promtool's text.
    pub text: String,
}

/// Names that a body declares without samples, beside those with samples, by name.
pub type Families = BTreeMap<String, ExposedFamily>;

/// Groups a body of the text format. The error is what is wrong with it.
pub fn families(body: &[u8]) -> Result<Families, String> {
    let mut families = Families::new();
    for (index, entry) in Parser::new(body, Format::Text).enumerate() {
        let placed = |text: String| format!("text format parsing error in entry {}: {text}", index + 1);
        match entry.map_err(|error| error.to_string())? {
            Entry::Help { name, text } => {
                let family = families.entry(name.to_string()).or_default();
                if !family.help.is_empty() {
                    return Err(placed(format!("second HELP line for metric name {name:?}")));
                }
                family.help = text.into_owned();
            }
            Entry::Type { name, kind } => {
                let family = families.entry(name.to_string()).or_default();
                if family.is_typed || !family.metrics.is_empty() {
                    let text = format!("second TYPE line for metric name {name:?}, or TYPE reported after samples");
                    return Err(placed(text));
                }
                if matches!(kind, MetricKind::Info | MetricKind::StateSet) {
                    return Err(placed(format!("unknown metric type {:?}", kind.as_str())));
                }
                family.kind = kind;
                family.is_typed = true;
            }
            Entry::Series(series) => {
                let mut labels: Vec<(String, String)> =
                    series.labels().map(|pair| (pair.name.into_owned(), pair.value.into_owned())).collect();
                let name = labels.iter().position(|(name, _)| name == METRIC_NAME);
                let name = name.map(|index| labels.remove(index).1).unwrap_or_default();
                let names: BTreeSet<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
                if names.len() < labels.len() {
                    return Err(placed(format!("duplicate label names for metric {name:?}")));
                }
                add(&mut families, name, labels);
            }
            Entry::Unit { .. } | Entry::Comment(_) | Entry::Eof => {}
        }
    }
    if !body.is_empty() && !body.ends_with(b"\n") {
        return Err("text format parsing error: the last line does not end: unexpected end of input stream".to_owned());
    }
    families.retain(|_, family| !family.metrics.is_empty());
    Ok(families)
}

fn add(families: &mut Families, name: String, mut labels: Vec<(String, String)>) {
    let is_composite = |base: &str, families: &Families, kinds: &[MetricKind]| {
        families.get(base).is_some_and(|family| kinds.contains(&family.kind))
    };
    const HISTOGRAMS: &[MetricKind] = &[MetricKind::Histogram];
    const WITH_SUM: &[MetricKind] = &[MetricKind::Histogram, MetricKind::Summary];
    let part_of = [("_bucket", HISTOGRAMS), ("_sum", WITH_SUM), ("_count", WITH_SUM)]
        .into_iter()
        .find_map(|(suffix, kinds)| name.strip_suffix(suffix).filter(|base| is_composite(base, families, kinds)));
    let base = part_of.unwrap_or(&name).to_owned();
    let family = families.entry(base).or_default();
    let own_label = match family.kind {
        MetricKind::Histogram => "le",
        MetricKind::Summary => "quantile",
        _ => {
            family.metrics.push(ExposedMetric { labels, parts: 0 });
            return;
        }
    };
    labels.sort();
    let before = labels.len();
    labels.retain(|(name, _)| name != own_label);
    let parts = before - labels.len();
    match family.metrics.iter_mut().find(|metric| metric.labels == labels) {
        Some(metric) => metric.parts += parts,
        None => family.metrics.push(ExposedMetric { labels, parts }),
    }
}

/// Series of each metric, the largest first, of equal ones in order of name.
pub fn cardinalities(families: &Families) -> Vec<(&str, usize)> {
    let count = |family: &ExposedFamily| match family.kind {
        MetricKind::Histogram | MetricKind::Summary => {
            family.metrics.len() * (2 + family.metrics.first().map_or(0, |metric| metric.parts))
        }
        _ => family.metrics.len(),
    };
    let mut counts: Vec<(&str, usize)> = families.iter().map(|(name, family)| (name.as_str(), count(family))).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// All findings, in order of metric and text.
pub fn lint(families: &Families) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, family) in families {
        let mut texts = Vec::new();
        lint_name(name, family.kind, &mut texts);
        lint_family(name, family, &mut texts);
        findings.extend(texts.into_iter().map(|text| Finding { metric: name.clone(), text }));
    }
    findings.sort();
    findings
}

fn lint_family(name: &str, family: &ExposedFamily, texts: &mut Vec<String>) {
    let mut found = |text: &str| texts.push(text.to_owned());
    if family.help.is_empty() {
        found("no help text");
    }
    let kind = family.kind;
    let is_untyped = kind == MetricKind::Unknown;
    if kind == MetricKind::Counter && !name.ends_with("_total") {
        found("counter metrics should have \"_total\" suffix");
    } else if kind != MetricKind::Counter && !is_untyped && name.ends_with("_total") {
        found("non-counter metrics should not have \"_total\" suffix");
    }
    let is_histogram = kind == MetricKind::Histogram;
    let is_summary = kind == MetricKind::Summary;
    if !is_untyped && !is_histogram && name.ends_with("_bucket") {
        found("non-histogram metrics should not have \"_bucket\" suffix");
    }
    for suffix in ["_count", "_sum"] {
        if !is_untyped && !is_histogram && !is_summary && name.ends_with(suffix) {
            found(&format!("non-histogram and non-summary metrics should not have \"{suffix}\" suffix"));
        }
    }
    for (index, metric) in family.metrics.iter().enumerate() {
        for (label, _) in &metric.labels {
            if label == "le" && !is_untyped && !is_histogram {
                found("non-histogram metrics should not have \"le\" label");
            }
            if label == "quantile" && !is_untyped && !is_summary {
                found("non-summary metrics should not have \"quantile\" label");
            }
            if is_camel_case(label) {
                found("label names should be written in 'snake_case' not 'camelCase'");
            }
        }
        // In another order the same labels pass, as in promtool.
        if family.metrics[..index].iter().any(|other| other.labels == metric.labels) {
            found("metric not unique");
        }
    }
}

fn lint_name(name: &str, kind: MetricKind, texts: &mut Vec<String>) {
    let mut found = |text: String| texts.push(text);
    if let Some((unit, base)) = unit_of(name).filter(|(unit, base)| unit != base) {
        found(format!("use base unit {base:?} instead of {unit:?}"));
    }
    let lower = name.to_lowercase();
    let has_word = |word: &str| lower.contains(&format!("_{word}_")) || lower.ends_with(&format!("_{word}"));
    if kind != MetricKind::Unknown && has_word(kind.as_str()) {
        found(format!("metric name should not include type '{}'", kind.as_str()));
    }
    if name.contains(':') {
        found("metric names should not contain ':'".to_owned());
    }
    if is_camel_case(name) {
        found("metric names should be written in 'snake_case' not 'camelCase'".to_owned());
    }
    for _ in UNIT_ABBREVIATIONS.iter().filter(|word| has_word(word)) {
        found("metric names should not contain abbreviated units".to_owned());
    }
}

/// A small letter before a capital one.
fn is_camel_case(name: &str) -> bool {
    name.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

const UNIT_ABBREVIATIONS: [&str; 14] = ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

const UNIT_PREFIXES: [&str; 19] = [
    "", "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi", "giga",
    "gibi", "tera", "tebi", "peta", "pebi",
];

/// A unit, and the one to use instead.
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

/// The first unit in a name, with its prefix, and the base unit.
fn unit_of(name: &str) -> Option<(&str, &'static str)> {
    name.split('_').find_map(|word| {
        let unit = |prefix: &&str| {
            let rest = word.strip_prefix(*prefix)?;
            UNITS.iter().find(|(unit, _)| *unit == rest)
        };
        UNIT_PREFIXES.iter().find_map(unit).map(|(_, base)| (word, *base))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: &[&str]) {
        let families = families(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"));
        let found: Vec<String> =
            lint(&families).into_iter().map(|finding| format!("{} {}", finding.metric, finding.text)).collect();
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn names_types_and_labels_are_judged() {
        check("# HELP up x\n# TYPE up gauge\nup 1\n", &[]);
        check("up 1\n", &["up no help text"]);
        check("# HELP a x\n# TYPE a counter\na 1\n", &["a counter metrics should have \"_total\" suffix"]);
        check(
            "# HELP a_gauge_ms x\n# TYPE a_gauge_ms gauge\na_gauge_ms{aB=\"1\"} 1\n",
            &[
                "a_gauge_ms label names should be written in 'snake_case' not 'camelCase'",
                "a_gauge_ms metric name should not include type 'gauge'",
                "a_gauge_ms metric names should not contain abbreviated units",
            ],
        );
        check("# HELP x_kilobits x\nx_kilobits 1\n", &["x_kilobits use base unit \"bytes\" instead of \"kilobits\""]);
        check("# HELP x_ounces x\nx_ounces 1\n", &["x_ounces use base unit \"grams\" instead of \"ounces\""]);
        let histogram =
            "# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
        check(histogram, &[]);
        assert_eq!(cardinalities(&families(histogram.as_bytes()).unwrap()), [("h", 4)]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for body in ["a{ 1\n", "a 1", "a 1\n# TYPE a gauge\n", "# HELP a x\n# HELP a y\n", "a{b=\"1\",b=\"2\"} 1\n"] {
            assert!(families(body.as_bytes()).is_err(), "{body}");
        }
    }
}
