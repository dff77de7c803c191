//! Whether two answers say the same. Where they need not, a named rule says why; anything else is a difference.
//!
//! We follow Prometheus 3.14, and the peer is 3.5, so most rules name what has changed between the two. A rule is applied only where the
//! answers are equal after it; those of values that need another version to be judged say so.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::data::NATIVE;

/// Status and body.
pub(super) type Answer = (u16, String);

/// What a comparison finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// To the byte.
    Equal,
    /// Not to the byte, for a reason that has a name.
    Known(&'static str),
    /// We have a fault.
    Different,
}

/// What was asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) query: &'a str,
    /// Whether over several steps.
    pub(super) is_range: bool,
}

impl Asked<'_> {
    fn has(self, words: &[&str]) -> bool {
        words.iter().any(|word| self.query.contains(word))
    }

    fn reads_native(self) -> bool {
        self.has(NATIVE) || self.has(&["__name__"])
    }

    /// Whether a map of Go decides in which order the server goes over the elements: after each operation of several steps, in subqueries,
    /// and after functions that gather by labels.
    fn is_in_any_order(self) -> bool {
        let gathers =
            ["histogram_quantile(", "histogram_fraction(", "count_values", "limitk", "limit_ratio", "info(", ":"];
        self.is_range || self.has(&gathers)
    }
}

// What a map of Go decides.
const ORDER: &str = "order of a vector or of annotations";
const WHICH_DUPLICATE: &str = "which of several duplicates a message names";
const OMITTED: &str = "which ten of many annotations are told";
const MISMATCH: &str = "which of several mismatched types of an operator are told";
const ADDED_UP: &str = "last digits of what was added up in another order";
const COMPARED: &str = "a comparison of what was added up in another order";
const TIES: &str = "which of equal elements topk, bottomk and limitk keep, and which elements limitk keeps";

// What has changed since 3.5.
const SUBQUERY_TEXT: &str = "newer: a message names what subqueries may hold";
const BAD_PARAMETER: &str = "newer: a parameter that cannot be used is an error by itself";
const DROPPED_MATCH: &str = "newer: elements that a comparison drops count as matches";
const SORTED_PAIR: &str = "newer: a message names two duplicates in order";
const SORT_WARNING: &str = "newer: a warning says that sorting has no effect";
const TEXT: &str = "newer: the text of an annotation";
const NEGATED: &str = "newer: a negated native histogram is a gauge";
const COMPENSATED: &str = "newer: sums of native histograms are compensated, which shows in the last digits";
const RATE: &str = "newer: rates of native histograms are not extrapolated below zero";
const RECONCILED: &str = "newer: custom buckets with other bounds are reconciled";
const INFO: &str = "newer: how info() matches";
const FRACTION: &str = "newer: histogram_fraction() of classic histograms in the lowest bucket";
const LEXER: &str = "newer: what a range may hold";
const MAD: &str = "newer: mad_over_time() of NaN is NaN";

// What we do otherwise.
const ADDS_UP: &str = "an average of native histograms whose buckets do not add up to its count in 3.5, but do here";
const EQUAL: &str = "native histograms are equal whether empty buckets are written or not";
const HELP: &str = "our help after a parse error";
const PLACE: &str = "the place of a message or annotation: 3.5 points at parentheses, at 1:1 for subqueries, and at an earlier parenthesis";
const TOKEN: &str = "a token that 3.5 has no name for";

/// How comparisons are written.
const COMPARISONS: [&str; 6] = [" == ", " != ", " > ", " < ", " >= ", " <= "];

/// How far numbers may lie apart where their last digits may differ, relative to the larger one.
const LAST_DIGITS: f64 = 1e-11;
/// The same for deviations, which are small differences of large numbers.
const CANCELLED: f64 = 1e-6;

pub(super) fn compare(asked: Asked<'_>, theirs: &Answer, ours: &Answer) -> Outcome {
    if theirs == ours {
        return Outcome::Equal;
    }
    let (Ok(their_json), Ok(our_json)) =
        (serde_json::from_str::<Json>(&theirs.1), serde_json::from_str::<Json>(&ours.1))
    else {
        return Outcome::Different;
    };
    let rule = match (theirs.0, ours.0) {
        (200, 200) => compare_results(asked, &in_order(their_json), &in_order(our_json)),
        (200, 422) => compare_with_error(asked, &their_json, error_of(&our_json)),
        (400 | 422, _) if theirs.0 == ours.0 => compare_errors(asked, &their_json, &our_json),
        _ => None,
    };
    rule.map_or(Outcome::Different, Outcome::Known)
}

fn error_of(answer: &Json) -> &str {
    answer["error"].as_str().unwrap_or_default()
}

/// They have a result and we an error.
fn compare_with_error(asked: Asked<'_>, theirs: &Json, error: &str) -> Option<&'static str> {
    match error {
        _ if is_of_parameter(error) => Some(BAD_PARAMETER),
        _ if error.starts_with("multiple matches for labels: ") => asked.has(&COMPARISONS).then_some(DROPPED_MATCH),
        // Where their input is empty there are no duplicates.
        _ if is_reconciled(theirs) => Some(RECONCILED),
        _ if asked.has(&["info("]) => Some(INFO),
        _ => None,
    }
}

/// Whether the error is about the number before the elements of an aggregation.
fn is_of_parameter(error: &str) -> bool {
    ["Parameter value is NaN", "Ratio value is NaN"].contains(&error) || error.ends_with("flows int64")
}

fn compare_errors(asked: Asked<'_>, theirs: &Json, ours: &Json) -> Option<&'static str> {
    if theirs["errorType"] != ours["errorType"] {
        return None;
    }
    let (their_text, our_text) = (error_of(theirs), error_of(ours));
    if their_text.contains("parse error") {
        return compare_parse_errors(their_text, our_text);
    }
    let duplicate = "found duplicate series for the match group";
    let both_duplicate = their_text.starts_with(duplicate) && our_text.starts_with(duplicate);
    match () {
        () if is_of_parameter(our_text) => Some(BAD_PARAMETER),
        () if both_duplicate && with_sorted_pair(their_text) == our_text => Some(SORTED_PAIR),
        () if both_duplicate && asked.is_in_any_order() => Some(WHICH_DUPLICATE),
        () if asked.has(&["info("]) => Some(INFO),
        () => None,
    }
}

/// The message with the two series that stand in brackets in order.
fn with_sorted_pair(text: &str) -> String {
    let Some((head, rest)) = text.split_once(": [") else { return text.to_owned() };
    let Some((pair, tail)) = rest.rsplit_once("];") else { return text.to_owned() };
    let mut series: Vec<&str> = pair.split("}, {").map(|series| series.trim_matches(['{', '}'])).collect();
    series.sort_unstable();
    format!("{head}: [{{{}}}];{tail}", series.join("}, {"))
}

fn compare_parse_errors(theirs: &str, ours: &str) -> Option<&'static str> {
    let has_help = |text: &str| ours.strip_prefix(text).is_some_and(|help| help.is_empty() || help.starts_with("; "));
    if has_help(theirs) {
        return Some(HELP);
    }
    let newer = theirs
        .replace("in subquery selector,", "in subquery or range selector,")
        .replace(", expected number or duration", ", expected number, duration, step(), or range()");
    if has_help(&newer) {
        return Some(SUBQUERY_TEXT);
    }
    let is_of_range =
        theirs.contains("unexpected colon ") || theirs.contains("unexpected character in duration expression");
    if is_of_range && (ours.contains(", expected ':'") || ours.contains("in subquery or range selector, expected")) {
        return Some(LEXER);
    }
    if let Some((head, tail)) = newer.split_once("\"<Item ")
        && let Some((_, tail)) = tail.split_once("\" ")
    {
        return has_help(&format!("{head}{tail}")).then_some(TOKEN);
    }
    let message = |text: &str| text.split_once("parse error: ").map(|(_, message)| message.to_owned());
    let (theirs, ours) = (message(theirs)?, message(ours)?);
    (ours.starts_with(&theirs) && theirs.contains("must not occur in ON and GROUP clause")).then_some(PLACE)
}

fn compare_results(asked: Asked<'_>, theirs: &Json, ours: &Json) -> Option<&'static str> {
    let annotations = compare_annotations(asked, theirs, ours);
    let (theirs_data, ours_data) = (&theirs["data"], &ours["data"]);
    let is_equality = asked.has(&[" == ", " != "]) && asked.reads_native();
    // Of these the values differ, or what is said on the way to the same values.
    let in_all = match () {
        () if is_reconciled(theirs) => Some(RECONCILED),
        () if asked.has(&["info("]) => Some(INFO),
        () if is_equality => Some(EQUAL),
        () => None,
    };
    if theirs_data == ours_data {
        return annotations.or(in_all);
    }
    // Whatever is said about the annotations of an answer, its values decide from here on.
    annotations.or(in_all)?;
    let close = |last_digits| is_close(theirs_data, ours_data, last_digits);
    let is_as_long = points(theirs_data) == points(ours_data);
    let reads_rates = asked.reads_native() && asked.has(&["rate(", "increase("]);
    let gathers = ["topk", "bottomk", "limitk", "limit_ratio"];
    let adds = ["sum", "avg", "stddev", "stdvar"];
    match () {
        () if asked.reads_native() && close(LAST_DIGITS) => Some(COMPENSATED),
        () if asked.is_in_any_order() && close(LAST_DIGITS) => Some(ADDED_UP),
        () if asked.is_in_any_order() && asked.has(&["stddev", "stdvar"]) && close(CANCELLED) => Some(ADDED_UP),
        () if adds_up(ours_data) && !adds_up(theirs_data) => Some(ADDS_UP),
        () if reads_rates && (is_as_long || asked.has(&["count_values"])) => Some(RATE),
        () if asked.has(&["histogram_fraction("]) && is_as_long => Some(FRACTION),
        () if asked.has(&["mad_over_time("]) && asked.has(&["w_weird", "__name__"]) => Some(MAD),
        () if asked.has(&gathers) && (asked.is_in_any_order() || is_as_long) => Some(TIES),
        () if asked.has(&COMPARISONS) && asked.has(&adds) && asked.is_in_any_order() => Some(COMPARED),
        () => in_all,
    }
}

/// Whether the buckets of every native histogram together hold as much as its count says.
fn adds_up(data: &Json) -> bool {
    let number = |json: &Json| json.as_str().and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN);
    match data {
        Json::Array(items) => items.iter().all(adds_up),
        Json::Object(fields) => match (fields.get("count"), fields.get("buckets").and_then(Json::as_array)) {
            (Some(count), Some(buckets)) => {
                let (count, held) = (number(count), buckets.iter().map(|bucket| number(&bucket[3])).sum::<f64>());
                (count - held).abs() <= 1e-9 * count.abs()
            }
            _ => fields.values().all(adds_up),
        },
        _ => true,
    }
}

/// How many values there are.
fn points(data: &Json) -> usize {
    let list = |json: &Json| json.as_array().map_or(0, Vec::len);
    let series = data["result"].as_array().map_or(&[][..], Vec::as_slice);
    match data["resultType"] == "matrix" {
        true => series.iter().map(|series| list(&series["values"]) + list(&series["histograms"])).sum(),
        false => series.len(),
    }
}

fn is_reconciled(theirs: &Json) -> bool {
    let warnings = theirs["warnings"].to_string();
    let refusals =
        ["vector contains histograms with incompatible custom buckets", "incompatible bucket layout encountered"];
    refusals.iter().any(|refusal| warnings.contains(refusal))
}

/// The rule under which the annotations are equal; `None` where they are not.
fn compare_annotations(asked: Asked<'_>, theirs: &Json, ours: &Json) -> Option<&'static str> {
    let (mut theirs, mut ours) = (texts(theirs), texts(ours));
    if theirs == ours {
        return Some(ORDER);
    }
    if theirs.iter().chain(&ours).any(|text| text.ends_with("annotations omitted")) {
        return Some(OMITTED);
    }
    let mut rule = None;
    let drop_more = |ours: &mut Vec<String>, text: &str| {
        let before = ours.len();
        ours.retain(|ours| !ours.contains(text) || theirs.contains(ours));
        ours.len() < before
    };
    if drop_more(&mut ours, "sort is ineffective for range queries") {
        rule = Some(SORT_WARNING);
    }
    let mismatch = "incompatible sample types encountered for binary operator";
    if asked.is_in_any_order() && theirs != ours && theirs.iter().chain(&ours).any(|text| text.contains(mismatch)) {
        theirs.retain(|text| !text.contains(mismatch));
        ours.retain(|text| !text.contains(mismatch));
        rule = Some(MISMATCH);
    }
    if theirs == ours {
        return rule;
    }
    let simplify = |texts: &[String], simpler: fn(&str) -> String| -> Vec<String> {
        texts.iter().map(|text| simpler(text)).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let (theirs, ours) = (simplify(&theirs, without_details), simplify(&ours, without_details));
    if theirs == ours {
        return Some(TEXT);
    }
    let without_place: fn(&str) -> String = |text| text.rsplit_once(" (").map_or(text, |(text, _)| text).to_owned();
    let (theirs, mut ours) = (simplify(&theirs, without_place), simplify(&ours, without_place));
    if theirs == ours {
        return Some(PLACE);
    }
    ours.retain(|text| !text.contains("this native histogram metric is not a counter") || theirs.contains(text));
    (asked.has(&["-"]) && theirs == ours).then_some(NEGATED)
}

fn texts(answer: &Json) -> Vec<String> {
    let lists = ["warnings", "infos"].iter().filter_map(|key| answer[*key].as_array());
    lists.flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// Without the metric's name, which newer versions say only where it has one, without how far buckets were from monotonic, and without
/// which step's quantile was out of range.
fn without_details(text: &str) -> String {
    let (text, place) = text.rsplit_once(" (").unwrap_or((text, ""));
    let text = text.split(" between 0 and 1, got ").next().unwrap_or_default();
    let text = text.split(" for metric name ").next().unwrap_or_default();
    let text = text.split(", from buckets ").next().unwrap_or_default();
    format!("{text} ({place}")
}

/// With vectors and annotations in order of their text.
fn in_order(mut answer: Json) -> Json {
    let sort = |list: &mut Json, key: fn(&Json) -> String| {
        if let Some(list) = list.as_array_mut() {
            list.sort_by_key(key);
        }
    };
    if answer["data"]["resultType"] == "vector" {
        sort(&mut answer["data"]["result"], |element| element["metric"].to_string());
    }
    for key in ["warnings", "infos"] {
        if let Some(list) = answer.get_mut(key) {
            sort(list, ToString::to_string);
        }
    }
    answer
}

/// Whether both have the same shape, and numbers that lie no further apart than `apart`, relative to the larger one.
fn is_close(theirs: &Json, ours: &Json, apart: f64) -> bool {
    match (theirs, ours) {
        (Json::Array(theirs), Json::Array(ours)) => {
            theirs.len() == ours.len() && theirs.iter().zip(ours).all(|(theirs, ours)| is_close(theirs, ours, apart))
        }
        (Json::Object(theirs), Json::Object(ours)) => {
            theirs.len() == ours.len() && theirs.iter().zip(ours).all(|(a, b)| a.0 == b.0 && is_close(a.1, b.1, apart))
        }
        // Histograms as texts: `count_values` puts them into labels.
        (Json::String(theirs), Json::String(ours)) if theirs.starts_with("{count:") => ours.starts_with("{count:"),
        (Json::String(theirs), Json::String(ours)) if theirs != ours => {
            let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
            number(theirs).zip(number(ours)).is_some_and(|(a, b)| (a - b).abs() <= apart * a.abs().max(b.abs()))
        }
        _ => theirs == ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_and_what_is_not() {
        let vector = |value: &str, more: &str| {
            let metric = |name: &str| format!(r#"{{"metric":{{"a":"{name}"}},"value":[1,"{value}"]}}"#);
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{},{}]}}{more}}}"#,
                metric("1"),
                metric("2")
            )
        };
        let swapped = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"2"},"value":[1,"1"]},{"metric":{"a":"1"},"value":[1,"1"]}]}}"#;
        let error = |text: &str| format!(r#"{{"status":"error","errorType":"bad_data","error":"{text}"}}"#);
        let warning = |text: &str| vector("1", &format!(r#","warnings":["PromQL warning: {text}"]"#));
        let instant = |query| Asked { query, is_range: false };
        let check = |asked, theirs: (u16, String), ours: (u16, String), expected: Outcome| {
            assert_eq!(compare(asked, &theirs, &ours), expected, "{theirs:?} {ours:?}");
        };
        let one = vector("1", "");
        check(instant("x"), (200, one.clone()), (200, one.clone()), Outcome::Equal);
        check(instant("x"), (200, one.clone()), (200, swapped.to_owned()), Outcome::Known(ORDER));
        check(instant("x"), (200, one.clone()), (200, vector("2", "")), Outcome::Different);
        check(instant("x"), (200, vector("0.3", "")), (200, vector("0.30000000000000004", "")), Outcome::Different);
        check(
            instant("sum(nhcb)"),
            (200, vector("0.3", "")),
            (200, vector("0.30000000000000004", "")),
            Outcome::Known(COMPENSATED),
        );
        check(instant("sum(nhcb)"), (200, vector("0.3", "")), (200, vector("0.3001", "")), Outcome::Different);
        check(instant("x"), (200, one.clone()), (422, error("x")), Outcome::Different);
        check(instant("x"), (400, error("parse error: a")), (400, error("parse error: a; b")), Outcome::Known(HELP));
        check(instant("x"), (400, error("parse error: a")), (400, error("parse error: b")), Outcome::Different);
        check(instant("x"), (200, warning("a (1:1)")), (200, warning("a (1:2)")), Outcome::Known(PLACE));
        check(instant("x"), (200, warning("a (1:1)")), (200, warning("b (1:1)")), Outcome::Different);
        check(instant("x"), (200, warning("a (1:1)")), (200, one), Outcome::Different);
    }
}
