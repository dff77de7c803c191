//! Our parser against prometheus-parse 0.2.5 on one generated body, shaped like node_exporter's answer.
//!
//! Rows: `labels` builds every label set, as a first scrape does; `repeated` expects the series of the last scrape in
//! their order, as every later scrape does; `prometheus-parse` is the crate.

use almenara::exposition::{Entry, Format, Parser};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::fmt::Write;
use std::hint::black_box;

/// 2,000 series in 80 families of 25, with HELP and TYPE, one to three labels, integers and fractions.
fn body() -> String {
    let mut out = String::new();
    for family in 0..80 {
        let name = format!("node_subsystem{}_operation_seconds_total", family);
        let _ = writeln!(out, "# HELP {name} Seconds spent in operation {family}.\n# TYPE {name} counter");
        for series in 0..25 {
            let value = f64::from(family * 7919 + series * 104_729) / if series % 3 == 0 { 100.0 } else { 1.0 };
            let _ = match series % 3 {
                0 => writeln!(out, "{name}{{cpu=\"{series}\",mode=\"system\"}} {value}"),
                1 => writeln!(
                    out,
                    "{name}{{device=\"nvme{series}n1\",fstype=\"ext4\",mountpoint=\"/srv/data{series}\"}} {value}"
                ),
                _ => writeln!(out, "{name}{{device=\"eth{series}\"}} {value:e}"),
            };
        }
    }
    out
}

fn benches(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("exposition");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("labels", |bencher| {
        bencher.iter(|| {
            let mut labels = 0;
            for entry in Parser::new(body.as_bytes(), Format::Text) {
                if let Entry::Series(series) = entry.expect("BUG: the generated body is malformed") {
                    black_box(series.value);
                    labels += series.labels().map(black_box).count();
                }
            }
            labels
        });
    });
    let texts: Vec<&[u8]> = Parser::new(body.as_bytes(), Format::Text)
        .filter_map(|entry| match entry {
            Ok(Entry::Series(series)) => Some(series.text),
            _ => None,
        })
        .collect();
    group.bench_function("repeated", |bencher| {
        bencher.iter(|| {
            let mut parser = Parser::new(body.as_bytes(), Format::Text);
            let (mut index, mut sum) = (0, 0.0);
            while let Some(entry) = parser.next_expecting(texts.get(index).copied().unwrap_or_default()) {
                if let Ok(Entry::Series(series)) = entry {
                    assert_eq!(series.text.len(), texts[index].len());
                    sum += series.value;
                    index += 1;
                }
            }
            sum
        });
    });
    group.bench_function("prometheus-parse", |bencher| {
        bencher.iter(|| {
            let lines = body.lines().map(|line| Ok(line.to_owned()));
            prometheus_parse::Scrape::parse(lines).expect("BUG: the generated body is malformed").samples.len()
        });
    });
    group.finish();
}

criterion_group!(exposition, benches);
criterion_main!(exposition);
