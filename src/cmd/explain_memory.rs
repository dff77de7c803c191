//! `almenara explain --memory`: who uses how much memory of a running daemon, and which rule or objective asks for it.
//!
//! The answer of `/api/almenara/v1/memory`, as it is or as a table for people.

use serde_json::Value;

use crate::source::{format_bytes, format_duration};

/// Jobs that the text tells of.
const JOBS_MAX: usize = 10;

/// The text for people.
pub(super) fn text(memory: &Value) -> String {
    let mut lines = vec![total(memory)];
    let readers = memory["readers"].as_array().into_iter().flatten();
    let readers = readers.map(|reader| {
        let what = match reader["reader"].as_str().unwrap_or_default() {
            "rule" => "read by rules",
            "slo" => "read by objectives",
            _ => "read by nothing",
        };
        format!("{} {what}", reader["series"])
    });
    lines.push(format!("Series: {}.", readers.collect::<Vec<_>>().join(", ")));
    let jobs = memory["jobs"].as_array().map_or(&[][..], Vec::as_slice);
    let job = |job: &Value| {
        let name = job["job"].as_str().filter(|name| !name.is_empty()).unwrap_or("(none)").to_owned();
        [name, job["series"].to_string(), size(&job["bytes"])]
    };
    lines.push(String::new());
    lines.extend(table(["JOB", "SERIES", "BYTES"], jobs.iter().take(JOBS_MAX).map(job).collect()));
    let metrics = memory["metrics"].as_array().map_or(&[][..], Vec::as_slice);
    lines.push(String::new());
    let head =
        ["METRIC", "JOB", "SERIES", "SAMPLES", "BYTES", "OF SAMPLES", "SUMMARIES", "INDEX", "KEPT FOR", "ASKED BY"];
    lines.extend(table(head, metrics.iter().map(metric).collect()));
    lines.join("\n")
}

fn total(memory: &Value) -> String {
    let limit = match memory["limit_bytes"].as_u64() {
        Some(bytes) => format!("of at most {}", format_bytes(bytes)),
        None => "without a limit".to_owned(),
    };
    format!(
        "{} {limit}: {} samples take {}, summaries {}, the index of {} series {}.",
        size(&memory["total_bytes"]),
        memory["samples"],
        size(&memory["samples_bytes"]),
        size(&memory["summaries_bytes"]),
        memory["series"],
        size(&memory["index_bytes"]),
    )
}

fn metric(metric: &Value) -> [String; 10] {
    let text = |key: &str| metric[key].as_str().unwrap_or_default().to_owned();
    let kept = match metric["kept_since"].as_f64() {
        Some(since) => format!("since {since}"),
        None => {
            let seconds = metric["kept_seconds"].as_f64().unwrap_or_default();
            format_duration(std::time::Duration::from_secs(seconds as u64))
        }
    };
    let further = metric["readers"].as_u64().unwrap_or_default().saturating_sub(1);
    let asked = match (text("reader"), further) {
        (reader, _) if reader.is_empty() => "nobody".to_owned(),
        (reader, 0) => reader,
        (reader, further) => format!("{reader} and {further} more"),
    };
    [
        text("metric"),
        text("job"),
        metric["series"].to_string(),
        metric["samples"].to_string(),
        size(&metric["bytes"]),
        size(&metric["samples_bytes"]),
        size(&metric["summaries_bytes"]),
        size(&metric["index_bytes"]),
        kept,
        asked,
    ]
}

fn size(bytes: &Value) -> String {
    format_bytes(bytes.as_u64().unwrap_or_default())
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> Vec<String> {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_what_and_who_asks_for_it() {
        let memory = serde_json::json!({
            "limit_bytes": 2_147_483_648u64, "total_bytes": 30_720, "samples_bytes": 20_480, "summaries_bytes": 0, "index_bytes": 10_240,
            "series": 3, "samples": 900,
            "readers": [{"reader": "unread", "series": 1}, {"reader": "rule", "series": 0}, {"reader": "slo", "series": 2}],
            "jobs": [{"job": "shop", "series": 2, "bytes": 20_480}, {"job": "", "series": 1, "bytes": 10_240}],
            "metrics": [
                {"metric": "http_requests_total", "job": "shop", "series": 2, "samples": 600, "samples_bytes": 15_000,
                 "summaries_bytes": 0, "index_bytes": 5_000, "bytes": 20_000, "kept_seconds": 2_592_600.0, "kept_since": null,
                 "reader": "slo orders", "readers": 3},
                {"metric": "x", "job": "", "series": 1, "samples": 300, "samples_bytes": 5_480, "summaries_bytes": 0,
                 "index_bytes": 5_240, "bytes": 10_720, "kept_seconds": 86_400.0, "kept_since": null, "reader": null, "readers": 0},
            ],
        });
        let expected = "\
30 KiB of at most 2048 MiB: 900 samples take 20 KiB, summaries 0 B, the index of 3 series 10 KiB.
Series: 1 read by nothing, 0 read by rules, 2 read by objectives.

JOB     SERIES  BYTES
shop    2       20 KiB
(none)  1       10 KiB

METRIC               JOB   SERIES  SAMPLES  BYTES   OF SAMPLES  SUMMARIES  INDEX   KEPT FOR  ASKED BY
http_requests_total  shop  2       600      19 KiB  14 KiB      0 B        5000 B  30d10m    slo orders and 2 more
x                          1       300      10 KiB  5480 B      0 B        5240 B  1d        nobody";
        assert_eq!(text(&memory), expected);
    }
}
