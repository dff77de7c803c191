//! `/federate` and `/api/v1/status/tsdb` beside a real Prometheus that has the same samples.

use almenara::remote::message::{LabelV1, RequestV1, Sample, SeriesV1};

use crate::real::process::get;
use crate::remote::{Pair, V1, pack, send};

fn fill(pair: &Pair) {
    let now = almenara::clock::now().as_ms();
    let values = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        1e6,
        123_456_789.0,
        1e20,
        1e21,
        1.5e300,
        5e-324,
        1e-7,
        0.000_012,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    let mut series = Vec::new();
    for (number, value) in values.into_iter().enumerate() {
        // Lengths that take one byte and more.
        let n = if number < 13 { number.to_string() } else { "x".repeat(100 * number - 1200) };
        for name in ["plain", "dotted.name", "an:other"] {
            let pairs = [
                ("__name__", name),
                ("instance", if number % 2 == 0 { "x:1" } else { "" }),
                ("job", "j"),
                ("n", &n),
                ("odd.label", "a\"b\\c\nd"),
            ];
            let labels = pairs.iter().filter(|(_, value)| !value.is_empty());
            let labels = labels
                .map(|(name, value)| LabelV1 { name: (*name).to_owned().into(), value: (*value).to_owned().into() });
            let sample = Sample { value, timestamp: now - 1000, start_timestamp: 0 };
            series.push(SeriesV1 { labels: labels.collect(), samples: vec![sample], ..SeriesV1::default() });
        }
    }
    let body = pack(&RequestV1 { series, metadata: Vec::new() });
    assert_eq!([pair.theirs, pair.ours].map(|port| send(port, V1, &body).status), [204; 2]);
}

#[test]
fn federation_is_equal_to_the_byte() {
    let Some(pair) = Pair::start("", "") else { return };
    fill(&pair);
    for query in ["match[]={job=\"j\"}", "match[]=plain&match[]={n=\"3\"}", "match[]=nothing", "match[]={"] {
        let path = format!("/federate?{}", query.replace('"', "%22").replace('{', "%7B").replace('}', "%7D"));
        assert_eq!(get(pair.ours, &path), get(pair.theirs, &path), "{query}");
    }
}

#[test]
fn counts_of_series_have_the_same_shape_and_numbers() {
    let Some(pair) = Pair::start("", "") else { return };
    fill(&pair);
    for query in ["", "?limit=2", "?limit=1000", "?limit=0", "?limit=x", "?limit=10001"] {
        let answers = [pair.ours, pair.theirs].map(|port| {
            let (status, body) = get(port, &format!("/api/v1/status/tsdb{query}"));
            let mut json: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"));
            // Equal counts come in any order there.
            for list in json["data"].as_object_mut().into_iter().flatten().filter_map(|(_, list)| list.as_array_mut()) {
                list.sort_by_key(|entry| (std::cmp::Reverse(entry["value"].as_u64()), entry["name"].to_string()));
                let least = list.last().map(|entry| entry["value"].clone());
                let is_cut = ["", "?limit=2"].contains(&query);
                let may_differ = |entry: &&mut serde_json::Value| is_cut && Some(&entry["value"]) == least.as_ref();
                list.iter_mut().filter(may_differ).for_each(|entry| entry["name"] = "one of several".into());
            }
            (status, json)
        });
        let [ours, theirs] = answers;
        assert_eq!(ours, theirs, "{query}");
    }
}
