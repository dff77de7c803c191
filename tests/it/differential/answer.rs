//! An answer, read: what it holds by series and time, and what it says beside that.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

/// Status and body.
pub(super) type Answer = (u16, String);

/// The labels of a series.
pub(super) type Metric = BTreeMap<String, String>;

/// A value as it is printed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Point {
    Number(String),
    Histogram(Histogram),
}

/// A native histogram as the API prints it: empty buckets are left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    pub(super) count: f64,
    pub(super) sum: f64,
    /// Counts by kind and bounds, as printed.
    pub(super) buckets: BTreeMap<String, f64>,
}

impl Point {
    /// The number, of a histogram none.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Point::Number(text) => Some(number(text)),
            Point::Histogram(_) => None,
        }
    }

    pub(super) fn histogram(&self) -> Option<&Histogram> {
        match self {
            Point::Number(_) => None,
            Point::Histogram(histogram) => Some(histogram),
        }
    }
}

impl Histogram {
    fn read(json: &Json) -> Histogram {
        let field = |name: &str| json[name].as_str().map_or(f64::NAN, number);
        let buckets = json["buckets"].as_array().into_iter().flatten().map(|bucket| {
            let part = |index: usize| bucket[index].as_str().unwrap_or_default().to_owned();
            (format!("{} {} {}", bucket[0], part(1), part(2)), number(&part(3)))
        });
        Histogram { count: field("count"), sum: field("sum"), buckets: buckets.collect() }
    }

    /// What the buckets hold together.
    pub(super) fn held(&self) -> f64 {
        self.buckets.values().sum()
    }
}

pub(super) fn number(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

/// What is in a successful answer, and what is said about it; or the error.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Read {
    /// Kind and text.
    pub(super) error: Option<(String, String)>,
    /// Points by labels and by time as printed.
    pub(super) series: BTreeMap<Metric, BTreeMap<String, Point>>,
    pub(super) annotations: BTreeSet<String>,
}

impl Read {
    /// `None` where the answer is none of the API's.
    pub(super) fn of(answer: &Answer) -> Option<Read> {
        let json: Json = serde_json::from_str(&answer.1).ok()?;
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let lists = ["warnings", "infos"].into_iter().filter_map(|key| json[key].as_array());
        let annotations = lists.flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect();
        if answer.0 != 200 {
            return Some(Read { error: Some((text("errorType"), text("error"))), annotations, ..Read::default() });
        }
        let (mut series, data) = (BTreeMap::new(), &json["data"]);
        let elements: Vec<&Json> = match data["resultType"].as_str()? {
            "vector" | "matrix" => data["result"].as_array()?.iter().collect(),
            // A number has no labels; a text is compared as bytes only.
            _ => {
                let points = points(&data["result"], None);
                series.insert(Metric::new(), points);
                return Some(Read { error: None, series, annotations });
            }
        };
        for element in elements {
            let labels = element["metric"].as_object()?;
            let labels =
                labels.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
            let mut of_series = points(&element["value"], element.get("histogram"));
            for (key, is_histogram) in [("values", false), ("histograms", true)] {
                for point in element[key].as_array().into_iter().flatten() {
                    of_series.extend(if is_histogram { points(&Json::Null, Some(point)) } else { points(point, None) });
                }
            }
            series.insert(labels.collect(), of_series);
        }
        Some(Read { error: None, series, annotations })
    }

    pub(super) fn error(&self) -> &str {
        self.error.as_ref().map_or("", |(_, text)| text)
    }

    /// Every time at which there is a point.
    pub(super) fn times(&self) -> BTreeSet<&str> {
        self.series.values().flat_map(|points| points.keys().map(String::as_str)).collect()
    }

    /// The elements at a time.
    pub(super) fn at<'a>(&'a self, time: &'a str) -> impl Iterator<Item = (&'a Metric, &'a Point)> {
        self.series.iter().filter_map(move |(metric, points)| points.get(time).map(|point| (metric, point)))
    }

    pub(super) fn get(&self, metric: &Metric, time: &str) -> Option<&Point> {
        self.series.get(metric)?.get(time)
    }

    /// Whether both hold the same, whatever they say about it.
    pub(super) fn has_data_of(&self, other: &Read) -> bool {
        self.error == other.error && self.series == other.series
    }
}

/// `[time, "value"]` or `[time, {histogram}]`.
fn points(value: &Json, histogram: Option<&Json>) -> BTreeMap<String, Point> {
    let value = value
        .as_array()
        .and_then(|pair| Some((pair.first()?.to_string(), Point::Number(pair.get(1)?.as_str()?.to_owned()))));
    let histogram = histogram
        .and_then(Json::as_array)
        .and_then(|pair| Some((pair.first()?.to_string(), Point::Histogram(Histogram::read(pair.get(1)?)))));
    value.into_iter().chain(histogram).collect()
}

/// The names of a vector's elements, in their order; `None` of what has none.
pub(super) fn order(answer: &Answer) -> Option<Vec<String>> {
    let json: Json = serde_json::from_str(&answer.1).ok()?;
    let elements = json["data"]["result"].as_array()?;
    (json["data"]["resultType"] == "vector").then(|| elements.iter().map(|one| one["metric"].to_string()).collect())
}

/// The values of a vector's elements, in their order.
pub(super) fn values(answer: &Answer) -> Vec<String> {
    let json: Json = serde_json::from_str(&answer.1).unwrap_or_default();
    let elements = json["data"]["result"].as_array().cloned().unwrap_or_default();
    elements.iter().map(|one| format!("{}{}", one["value"][1], one["histogram"][1])).collect()
}
