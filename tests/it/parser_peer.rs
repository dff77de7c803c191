//! Our parser, printer and tree against those of a real Prometheus 3.5: on every expression of the corpus and on broken ones, the
//! formatted text, the tree as JSON and the message of a mistake must be equal to the byte.
//!
//! Needs `prometheus` (3.5) ; see `peers`. `ALMENARA_MUTATIONS` sets how many broken expressions are made from the
//! corpus.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use almenara::api::router;
use almenara::promql::parse;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tower::ServiceExt;

use crate::corpus;
use crate::mistakes;
use crate::mutate::Mutator;
use crate::peers::{peer, start_prometheus};
use crate::prometheus_peer::state;

/// Broken expressions made from the corpus, without `ALMENARA_MUTATIONS`.
const MUTATIONS: usize = 2_000;

/// Where Prometheus 3.5 differs from us: a part of the expression, of its answer and of ours, and why. What is newer than 3.5 is as in 3.14.
#[rustfmt::skip] // one case a line
const DIFFERENCES: &[(&str, &str, &str, &str)] = &[
    ("", "unexpected identifier", "modifier is experimental and not enabled", "`anchored` and `smoothed` are newer"),
    ("fill", "unknown function with name", "fill modifiers are experimental and not enabled", "`fill` and its like are newer"),
    ("", "unknown function with name", "\" is not enabled", "the function is newer, and experimental"),
    ("", "unexpected \"(\"", "\" is not enabled", "`start()` and `end()` outside of `@` are newer, and experimental"),
    ("", "unknown function with name \"first_over_time\"", "", "the function is newer"),
    ("", "", "experimental duration expression is not enabled", "durations are computed in newer versions"),
    ("", "expected number or duration", "expected number, duration, step(), or range()", "the same"),
    ("", "expected number or duration or \"]\"", "expected number, duration, step(), range(), or \"]\"", "the same"),
    ("", "in duration expression: ','", "unexpected \",\"", "the same: `max_of(a, b)` has a comma"),
    ("", "", "expected ':'", "3.5 takes any letter after the number of a range for a colon"),
    ("ignoring ()", "", "ignoring () group_", "3.5 leaves the grouping out, which changes the meaning"),
    ("</", "", "", "the operator is newer"),
    (">/", "", "", "the operator is newer"),
    ("@", "\"<Item 57400>\" <op:@>", "unexpected <op:@>", "3.5 shows the number of the token"),
    ("\\x", "", "its escapes do not give UTF-8", "such a text can match no label"),
    ("", "unexpected error", "parse error", "3.5 panics and says so"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "the figures are worth seeing")]
async fn text_tree_and_messages_are_those_of_prometheus() {
    let Some(prometheus) = peer("prometheus") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("prometheus.yml"), "{}").unwrap();
    let (_running, port) = start_prometheus(&prometheus, folder.path(), &[]);
    let mut connection = Connection::open(port);
    let mut report = Report::default();
    let expressions = corpus::expressions();
    let broken: Vec<String> = mistakes::expressions();
    for text in expressions.iter().chain(&broken) {
        report.compare(&mut connection, text).await;
    }
    let count = std::env::var("ALMENARA_MUTATIONS").ok().map_or(MUTATIONS, |count| count.parse().unwrap());
    let mut mutator = Mutator::new(20_261_122);
    let good: Vec<&String> = expressions.iter().filter(|text| parse(text).is_ok()).collect();
    for number in 0..count {
        let text = mutator.mutate_expression(good[number * 7_919 % good.len()]);
        report.compare(&mut connection, &text).await;
    }
    eprintln!(
        "{} expressions: {} formatted and {} trees equal, {} messages equal, {} explained",
        report.expressions, report.formatted, report.trees, report.messages, report.explained
    );
    assert!(report.different.is_empty(), "{}", report.different);
    assert!(report.formatted > 300 && report.messages > 150 + count / 2, "too little was compared");
}

#[derive(Default)]
struct Report {
    expressions: usize,
    formatted: usize,
    trees: usize,
    messages: usize,
    explained: usize,
    different: String,
}

impl Report {
    async fn compare(&mut self, connection: &mut Connection, text: &str) {
        self.expressions += 1;
        let query = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let theirs = connection.ask(&format!("/api/v1/format_query?query={query}"));
        let theirs: serde_json::Value = serde_json::from_str(&theirs).unwrap_or_else(|_| panic!("{text:?}: {theirs}"));
        let theirs = match theirs["status"].as_str() {
            Some("success") => Ok(theirs["data"].as_str().unwrap().to_owned()),
            _ => Err(theirs["error"].as_str().unwrap().replacen("invalid parameter \"query\": ", "", 1)),
        };
        let ours = parse(text).map(|expr| expr.pretty()).map_err(|errors| errors[0].to_string());
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) if theirs == ours => {
                self.formatted += 1;
                self.compare_trees(connection, text, &query).await;
            }
            (Err(theirs), Err(ours)) if theirs == ours => self.messages += 1,
            (theirs, ours) => {
                let (theirs, ours) = (shown(theirs), shown(ours));
                let known = DIFFERENCES
                    .iter()
                    .any(|(part, a, b, _)| text.contains(part) && theirs.contains(a) && ours.contains(b));
                if known {
                    self.explained += 1;
                } else {
                    write!(self.different, "\n{text:?}\n  Prometheus: {theirs}\n  Almenara:   {ours}").unwrap();
                }
            }
        }
    }

    async fn compare_trees(&mut self, connection: &mut Connection, text: &str, query: &str) {
        let path = format!("/api/v1/parse_query?query={query}");
        let theirs = connection.ask(&path);
        let response = router(state()).oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let ours = String::from_utf8(to_bytes(response.into_body(), 1 << 24).await.unwrap().to_vec()).unwrap();
        if theirs == ours {
            self.trees += 1;
        } else {
            write!(self.different, "\n{text:?}\n  Prometheus: {theirs}\n  Almenara:   {ours}").unwrap();
        }
    }
}

fn shown(outcome: Result<String, String>) -> String {
    outcome.unwrap_or_else(|message| message)
}

/// One connection for thousands of requests.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(port: u16) -> Self {
        Connection::over(TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    fn ask(&mut self, path: &str) -> String {
        self.try_ask(path).expect("an answer")
    }

    fn try_ask(&mut self, path: &str) -> Option<String> {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        let mut length = None;
        let mut is_chunked = false;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).ok()?;
            let line = line.trim_end().to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse::<usize>().ok(),
                Some(("transfer-encoding", "chunked")) => is_chunked = true,
                _ if line.is_empty() => break,
                _ => {}
            }
        }
        let mut body = Vec::new();
        if is_chunked {
            loop {
                let mut line = String::new();
                self.0.read_line(&mut line).ok()?;
                let size = usize::from_str_radix(line.trim(), 16).ok()?;
                let mut chunk = vec![0; size + 2];
                self.0.read_exact(&mut chunk).ok()?;
                body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        } else {
            body.resize(length?, 0);
            self.0.read_exact(&mut body).ok()?;
        }
        String::from_utf8(body).ok()
    }
}
