//! Random expressions over the whole grammar of Prometheus 3.5: every function, operator, aggregation, matching and modifier. Most
//! have the types that they need; some are broken on purpose.

use super::data::{CLASSIC, COUNTERS, END_MS, GAUGES, LABELS, NATIVE, START_MS};
use super::random::Random;

/// Vector in, vector out, without further arguments.
const PLAIN: &[&str] = &[
    "abs",
    "absent",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "exp",
    "floor",
    "histogram_avg",
    "histogram_count",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
    "hour",
    "ln",
    "log10",
    "log2",
    "minute",
    "month",
    "rad",
    "round",
    "sgn",
    "sin",
    "sinh",
    "sort",
    "sort_desc",
    "sqrt",
    "tan",
    "tanh",
    "timestamp",
    "year",
];

/// Range in, vector out, without further arguments.
const OVER_TIME: &[&str] = &[
    "absent_over_time",
    "avg_over_time",
    "changes",
    "count_over_time",
    "delta",
    "deriv",
    "idelta",
    "increase",
    "irate",
    "last_over_time",
    "mad_over_time",
    "max_over_time",
    "min_over_time",
    "present_over_time",
    "rate",
    "resets",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];

/// Those that make most sense of what is queried.
const OF_COUNTERS: &[&str] = &["rate", "increase", "irate", "resets", "changes"];

const AGGREGATIONS: &[&str] = &["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISONS: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
const SETS: &[&str] = &["and", "or", "unless"];
const RANGES: &[&str] = &["15s", "30s", "1m", "90s", "2m", "5m", "13m"];

/// Deeper expressions are selectors only.
const DEPTH_MAX: usize = 4;

/// Any expression.
pub(super) fn expression(random: &mut Random) -> String {
    let text = match random.below(100) {
        0..88 => vector(random, 0),
        88..94 => scalar(random, 0),
        94..98 => matrix(random, 1),
        _ => format!("{:?}", random.pick(&["", "text", "é<\"\\"])),
    };
    if random.percent(5) { broken(random, &text) } else { text }
}

/// With one mistake.
fn broken(random: &mut Random, text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = random.below(chars.len() + 1);
    let (head, tail): (String, String) = (chars[..at].iter().collect(), chars[at..].iter().collect());
    match random.below(6) {
        0 => head,
        1 => format!("{head}{}", tail.chars().skip(1).collect::<String>()),
        2 => format!("{head}{}{tail}", random.pick(&["(", ")", "[", "{", "\"", " by ", "@", "$", "1", "and"])),
        3 => format!("rate({text})"),
        4 => format!("sum({})", scalar(random, DEPTH_MAX)),
        _ => format!("{} {} {text}", scalar(random, DEPTH_MAX), random.pick(SETS)),
    }
}

fn vector(random: &mut Random, depth: usize) -> String {
    if depth >= DEPTH_MAX {
        return selector(random);
    }
    let next = depth + 1;
    match random.below(100) {
        0..14 => selector(random),
        14..24 => format!("{}({})", random.pick(PLAIN), vector(random, next)),
        24..38 => over_time(random, next),
        38..54 => aggregation(random, next),
        54..76 => binary(random, next),
        76..88 => call(random, next),
        88..91 => format!("-{}", vector(random, next)),
        91..94 => format!("({})", vector(random, next)),
        94..97 => format!("vector({})", scalar(random, next)),
        _ => quantile(random, next),
    }
}

fn metric<'a>(random: &mut Random) -> &'a str {
    let kinds: [&[&str]; 4] = [COUNTERS, GAUGES, CLASSIC, NATIVE];
    match random.below(20) {
        0 => "target_info",
        1 => "lat_count",
        2 => "lat_sum",
        3 => "missing",
        _ => {
            let kind = kinds[random.below(4)];
            kind[random.below(kind.len())]
        }
    }
}

fn matchers(random: &mut Random) -> Vec<String> {
    let all = [
        "job=\"api\"",
        "job!=\"api\"",
        "job=~\"a.*\"",
        "job!~\"d.\"",
        "instance=\"i1:80\"",
        "instance=~\"i[12]:80\"",
        "code=~\"4..|500\"",
        "code=\"200\"",
        "code!=\"\"",
        "code=\"\"",
        "zone=\"a\"",
        "pod=~\"p[01].\"",
        "le=\"1\"",
        "nothing=\"\"",
    ];
    let count = [0, 0, 0, 1, 1, 1, 2][random.below(7)];
    (0..count).map(|_| random.pick(&all).to_owned()).collect()
}

fn bare_selector(random: &mut Random) -> String {
    let mut tests = matchers(random);
    if random.percent(4) {
        let names = ["__name__=~\"g_.*\"", "__name__=\"one\"", "__name__=~\"c_.*|lat_count\"", "__name__!~\"[a-v].*\""];
        tests.push(random.pick(&names).to_owned());
        return format!("{{{}}}", tests.join(","));
    }
    let name = metric(random);
    if tests.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", tests.join(",")) }
}

fn modifiers(random: &mut Random) -> String {
    let offset = if random.percent(12) {
        format!(" offset {}", random.pick(&["1m", "30s", "-1m", "7m", "-5s", "1h"]))
    } else {
        String::new()
    };
    let at = match random.below(100) {
        0..4 => format!(" @ {}", random.between(START_MS - 60_000, END_MS + 400_000) / 1000),
        4..6 => format!(" @ {}.5", random.between(START_MS, END_MS) / 1000),
        6..8 => " @ start()".to_owned(),
        8..10 => " @ end()".to_owned(),
        _ => String::new(),
    };
    if random.percent(50) { format!("{at}{offset}") } else { format!("{offset}{at}") }
}

fn selector(random: &mut Random) -> String {
    format!("{}{}", bare_selector(random), modifiers(random))
}

fn matrix(random: &mut Random, depth: usize) -> String {
    if depth < DEPTH_MAX && random.percent(15) {
        let step = random.pick(&["", "15s", "20s", "1m", "7s"]);
        let range = random.pick(&["1m", "2m", "5m"]);
        let inner = vector(random, depth + 1);
        let inner = if inner.ends_with([')', '}']) || inner.chars().all(|c| c.is_alphanumeric() || c == '_') {
            inner
        } else {
            format!("({inner})")
        };
        return format!("{inner}[{range}:{step}]{}", modifiers(random));
    }
    format!("{}[{}]{}", bare_selector(random), random.pick(RANGES), modifiers(random))
}

fn over_time(random: &mut Random, depth: usize) -> String {
    let range = matrix(random, depth);
    match random.below(20) {
        0 => format!("quantile_over_time({}, {range})", scalar(random, depth + 2)),
        1 => format!("predict_linear({range}, {})", scalar(random, depth + 2)),
        2 => format!("double_exponential_smoothing({range}, 0.{}, 0.{})", random.between(1, 9), random.between(1, 9)),
        3..9 => format!("{}({range})", random.pick(OF_COUNTERS)),
        _ => format!("{}({range})", random.pick(OVER_TIME)),
    }
}

fn labels(random: &mut Random) -> String {
    random.subset(LABELS).join(", ")
}

fn grouping(random: &mut Random) -> String {
    match random.below(3) {
        0 => String::new(),
        1 => format!(" by ({})", labels(random)),
        _ => format!(" without ({})", labels(random)),
    }
}

fn aggregation(random: &mut Random, depth: usize) -> String {
    let grouping = grouping(random);
    let operand = vector(random, depth);
    match random.below(24) {
        0 => format!("topk{grouping} ({}, {operand})", count(random, depth)),
        1 => format!("bottomk{grouping} ({}, {operand})", count(random, depth)),
        2 => format!("quantile{grouping} ({}, {operand})", scalar(random, depth + 2)),
        3 => format!("count_values{grouping} (\"{}\", {operand})", random.pick(&["value", "job", "a b"])),
        4 => format!("limitk{grouping} ({}, {operand})", count(random, depth)),
        5 => format!(
            "limit_ratio{grouping} ({}, {operand})",
            random.pick(&["0.5", "-0.5", "1", "0.1", "-0.9", "2", "NaN"])
        ),
        _ if random.percent(30) && !grouping.is_empty() => {
            format!("{}({operand}){grouping}", random.pick(AGGREGATIONS))
        }
        _ => format!("{}{grouping} ({operand})", random.pick(AGGREGATIONS)),
    }
}

/// How many elements to keep.
fn count(random: &mut Random, depth: usize) -> String {
    if random.percent(85) { random.between(0, 5).to_string() } else { scalar(random, depth + 2) }
}

fn binary(random: &mut Random, depth: usize) -> String {
    let operator = match random.below(10) {
        0..5 => random.pick(ARITHMETIC),
        5..8 => random.pick(COMPARISONS),
        _ => random.pick(SETS),
    };
    let is_set = SETS.contains(&operator);
    let is_comparison = COMPARISONS.contains(&operator);
    let bool_modifier = if is_comparison && random.percent(30) { " bool" } else { "" };
    if !is_set && random.percent(40) {
        let (one, other) = (vector(random, depth), scalar(random, depth + 1));
        return match random.percent(50) {
            true => format!("{one} {operator}{bool_modifier} {other}"),
            false => format!("{other} {operator}{bool_modifier} {one}"),
        };
    }
    // The same metric on both sides matches more often.
    let left = vector(random, depth);
    let right = if random.percent(35) { related(random, &left) } else { vector(random, depth) };
    let matching = matching(random, is_set);
    format!("{left} {operator}{bool_modifier}{matching} {right}")
}

fn related(random: &mut Random, left: &str) -> String {
    match random.below(3) {
        0 => left.to_owned(),
        1 => format!("({left} * 2)"),
        _ => format!("sum by (job, instance) ({left})"),
    }
}

fn matching(random: &mut Random, is_set: bool) -> String {
    let on = match random.below(10) {
        0..4 => return String::new(),
        4..8 => format!(" on ({})", if random.percent(60) { "job, instance".to_owned() } else { labels(random) }),
        _ => format!(" ignoring ({})", labels(random)),
    };
    let group = match random.below(10) {
        _ if is_set => String::new(),
        0 | 1 => format!(" group_left ({})", random.pick(&["", "zone", "code", "version"])),
        2 | 3 => format!(" group_right ({})", random.pick(&["", "zone", "code", "version"])),
        _ => String::new(),
    };
    on + &group
}

fn call(random: &mut Random, depth: usize) -> String {
    let operand = vector(random, depth);
    let number = |random: &mut Random| scalar(random, depth + 2);
    match random.below(12) {
        0 => format!("clamp({operand}, {}, {})", number(random), number(random)),
        1 => format!("clamp_min({operand}, {})", number(random)),
        2 => format!("clamp_max({operand}, {})", number(random)),
        3 => format!("round({operand}, {})", number(random)),
        4 => format!("histogram_fraction({}, {}, {operand})", number(random), number(random)),
        5 | 6 => {
            let replacement = random.pick(&["$1", "x-$1", "", "${1}_", "$2$0"]);
            let target = random.pick(&["new", "job", "__name__", "zone"]);
            let pattern = random.pick(&["(.*)", "(a).*", "i(.):(.*)", "p0(.)", ""]);
            format!("label_replace({operand}, {target:?}, {replacement:?}, {:?}, {pattern:?})", random.pick(LABELS))
        }
        7 => format!(
            "label_join({operand}, {:?}, {:?}, \"job\", {:?})",
            random.pick(&["new", "zone"]),
            random.pick(&["-", ""]),
            random.pick(LABELS)
        ),
        8 => format!("sort_by_label({operand}, {:?}, \"instance\")", random.pick(LABELS)),
        9 => format!("sort_by_label_desc({operand}, {:?})", random.pick(LABELS)),
        10 => format!("info({operand})"),
        _ => format!("info({operand}, {{version=~\".+\"}})"),
    }
}

fn quantile(random: &mut Random, depth: usize) -> String {
    let rank = random.pick(&[
        "0.5",
        "0.9",
        "0.99",
        "0",
        "1",
        "-1",
        "2",
        "NaN",
        "scalar(g_load{job=\"api\",instance=\"i1:80\"})",
    ]);
    let classic = format!("rate(lat_bucket[{}])", random.pick(RANGES));
    let operand = match random.below(5) {
        0 => format!("sum by (le) ({classic})"),
        1 => classic,
        2 => format!("sum by (job) (rate({}[{}]))", random.pick(NATIVE), random.pick(RANGES)),
        3 => random.pick(NATIVE).to_owned(),
        _ => vector(random, depth),
    };
    format!("histogram_quantile({rank}, {operand})")
}

fn scalar(random: &mut Random, depth: usize) -> String {
    let deep = depth >= DEPTH_MAX;
    match random.below(20) {
        0..10 => number(random),
        10..12 => "time()".to_owned(),
        12 => "pi()".to_owned(),
        13..16 if !deep => format!("scalar({})", vector(random, depth + 1)),
        16..18 if !deep => {
            format!("({} {} {})", scalar(random, depth + 1), random.pick(ARITHMETIC), scalar(random, depth + 1))
        }
        18 if !deep => {
            format!("({} {} bool {})", scalar(random, depth + 1), random.pick(COMPARISONS), scalar(random, depth + 1))
        }
        _ => number(random),
    }
}

fn number(random: &mut Random) -> String {
    match random.below(12) {
        0 => random.pick(&["NaN", "Inf", "-Inf", "0", "-0", "1e308", "1e-320", "0x1f", "1e3", ".5"]).to_owned(),
        1..4 => format!("{}", random.between(-100, 100) as f64 / 10.0),
        4..7 => random.between(-5, 20).to_string(),
        7..10 => format!("0.{}", random.between(1, 99)),
        _ => random.between(0, 1_000_000).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_expressions_parse_and_some_do_not() {
        let mut random = Random::new(1);
        let features = almenara::promql::Features::ALL;
        let parsed =
            (0..1000).filter(|_| almenara::promql::parse_with(&expression(&mut random), features).is_ok()).count();
        assert!((800..980).contains(&parsed), "{parsed} of 1000 parse");
    }
}
