//! Our parser on three pages: `cargo bench --bench exposition`.
//!
//! Pages: *node* is shaped like node_exporter's answer, *objects* like kube-state-metrics' (long labels, values 0 and 1), *fleet* has
//! 100,000 series. `EXPOSITION_PAGE=FILE` adds one of your own.
//! Rows: `repeated` has every sample expected, as scrapes in the steady state have; `changed` compares labels with those expected and
//! reads comments; `checked` reads everything, `labels` also takes every label set apart, as a first scrape does. `prometheus-parse` is
//! the crate (on the small pages: it takes seconds for the others). `lines` counts lines with `memchr`: the least that reading a page may cost.
//!
//! Instructions a sample: `EXPOSITION_PASSES=N` reads each page N times in the way that `EXPOSITION_ROW` names and ends, so that
//! callgrind's totals for two numbers of passes differ by nothing else.

#![allow(clippy::print_stdout)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use almenara::exposition::{Entry, Format, Parser, Repeat};
use criterion::{Criterion, Throughput};

/// 2,000 series in 80 families of 25, with HELP and TYPE, one to three labels, integers and fractions.
fn node() -> String {
    let mut out = String::new();
    for family in 0..80 {
        let name = format!("node_subsystem{family}_operation_seconds_total");
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

/// 1,500 pods: their phases, owners and requests.
fn objects() -> String {
    let mut out = String::new();
    let pod = |pod: usize| {
        format!(
            "namespace=\"team-{}\",pod=\"web-{:08x}-{:05}\",uid=\"{:032x}\"",
            pod % 40,
            pod * 7919,
            pod,
            pod * 104_729
        )
    };
    let mut family = |name: &str, kind: &str, lines: &dyn Fn(usize) -> Vec<(String, String)>| {
        let _ = writeln!(out, "# HELP {name} What is known of a pod.\n# TYPE {name} {kind}");
        for number in 0..1_500 {
            for (labels, value) in lines(number) {
                let _ = writeln!(out, "{name}{{{}{labels}}} {value}", pod(number));
            }
        }
    };
    family("kube_pod_status_phase", "gauge", &|number| {
        let phases = ["Pending", "Succeeded", "Failed", "Unknown", "Running"];
        let value = |phase: usize| if phase == 4 - usize::from(number % 50 == 0) { "1" } else { "0" };
        (0..5).map(|phase| (format!(",phase=\"{}\"", phases[phase]), value(phase).to_owned())).collect()
    });
    family("kube_pod_owner", "gauge", &|number| {
        let labels =
            format!(",owner_kind=\"ReplicaSet\",owner_name=\"web-{:08x}\",owner_is_controller=\"true\"", number);
        vec![(labels, "1".to_owned())]
    });
    family("kube_pod_container_resource_requests", "gauge", &|number| {
        let line = |resource: &str, unit: &str, value: String| {
            (
                format!(",container=\"app\",node=\"node-{}\",resource=\"{resource}\",unit=\"{unit}\"", number % 100),
                value,
            )
        };
        vec![line("cpu", "core", "0.25".to_owned()), line("memory", "byte", "2.68435456e+08".to_owned())]
    });
    family("kube_pod_created", "gauge", &|number| vec![(String::new(), format!("{}", 1_700_000_000 + number))]);
    out
}

/// 1,000 services of 100 counters.
fn fleet() -> String {
    let mut out = String::from("# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n");
    for series in 0..100_000u64 {
        let (service, route, code) = (series / 100, series % 25, [200, 404, 500, 503][series as usize / 25 % 4]);
        let value = series.wrapping_mul(2_654_435_761) % 10_000_000;
        let _ = writeln!(
            out,
            "http_requests_total{{service=\"svc{service:04}\",route=\"/api/v1/r{route}\",method=\"GET\",code=\"{code}\"}} {value}"
        );
    }
    out
}

/// A page and what the parser is told to expect of it.
struct Page {
    name: String,
    body: String,
    pieces: Vec<(Repeat<'static>, &'static [u8])>,
}

type Read = fn(&Page) -> f64;

/// Ways of reading; each gives the sum of the numbers.
const ROWS: [(&str, Read); 6] = [
    ("lines", |page| memchr::memchr_iter(b'\n', page.body.as_bytes()).count() as f64),
    ("repeated", repeated),
    ("changed", |page| sum(page, |line| page.pieces.get(line).map_or(&[][..], |piece| piece.1))),
    ("checked", |page| sum(page, |_| &[])),
    ("labels", labels),
    ("prometheus-parse", |page| {
        let lines = page.body.lines().map(|line| Ok(line.to_owned()));
        prometheus_parse::Scrape::parse(lines).expect("a good page").samples.len() as f64
    }),
];

impl Page {
    fn new(name: &str, body: String) -> Page {
        // For the whole program: pages hold on to their own texts.
        let text: &'static [u8] = Box::leak(body.clone().into_bytes().into_boxed_slice());
        let mut parser = Parser::new(text, Format::Text);
        let (mut pieces, mut start, mut declares_kind) = (Vec::new(), 0, false);
        while let Some(entry) = parser.next() {
            match entry.expect("a good page") {
                Entry::Series(series) => {
                    let bytes = &text[start..parser.series_end()];
                    pieces.push((Repeat { bytes, kind: series.kind, declares_kind }, series.text));
                    (start, declares_kind) = (parser.position(), false);
                }
                entry => declares_kind |= matches!(entry, Entry::Type { .. }),
            }
        }
        Page { name: name.to_owned(), body, pieces }
    }
}

fn repeated(page: &Page) -> f64 {
    let mut parser = Parser::new(page.body.as_bytes(), Format::Text);
    let mut sum = 0.0;
    for (piece, text) in &page.pieces {
        match parser.repeat(piece) {
            Some((value, _)) => sum += value,
            None => loop {
                match parser.next_expecting(text).expect("a sample").expect("a good page") {
                    Entry::Series(series) => break sum += series.value,
                    _ => continue,
                }
            },
        }
    }
    sum
}

fn sum<'p>(page: &Page, expected: impl Fn(usize) -> &'p [u8]) -> f64 {
    let mut parser = Parser::new(page.body.as_bytes(), Format::Text);
    let (mut line, mut sum) = (0, 0.0);
    while let Some(entry) = parser.next_expecting(expected(line)) {
        if let Entry::Series(series) = entry.expect("a good page") {
            sum += series.value;
            line += 1;
        }
    }
    sum
}

fn labels(page: &Page) -> f64 {
    let mut sum = 0.0;
    for entry in Parser::new(page.body.as_bytes(), Format::Text) {
        if let Entry::Series(series) = entry.expect("a good page") {
            sum += series.value;
            black_box(series.labels().map(black_box).count());
        }
    }
    sum
}

fn pages() -> Vec<Page> {
    let mut pages = vec![Page::new("node", node()), Page::new("objects", objects()), Page::new("fleet", fleet())];
    if let Ok(path) = std::env::var("EXPOSITION_PAGE") {
        pages.push(Page::new("own", std::fs::read_to_string(path).expect("a page")));
    }
    pages
}

fn main() {
    let pages = pages();
    if let Ok(passes) = std::env::var("EXPOSITION_PASSES") {
        let row = std::env::var("EXPOSITION_ROW").unwrap_or_else(|_| "repeated".to_owned());
        let read = ROWS.iter().find(|(name, _)| *name == row).expect("a row").1;
        for page in &pages {
            (0..passes.parse().expect("a number")).for_each(|_| {
                black_box(read(page));
            });
            println!("{row} of {}: {} samples, {} bytes", page.name, page.pieces.len(), page.body.len());
        }
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    for page in &pages {
        let mut group = criterion.benchmark_group(&page.name);
        group.throughput(Throughput::Bytes(page.body.len() as u64));
        group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
        for (name, read) in ROWS.iter().filter(|(name, _)| *name != "prometheus-parse" || page.body.len() < 1 << 20) {
            group.bench_function(*name, |bencher| bencher.iter(|| read(page)));
        }
        group.finish();
    }
    criterion.final_summary();
}
