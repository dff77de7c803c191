//! The table of bad targets: what each does, and the words for it on `/api/v1/targets`, ours beside Prometheus 3.5's.

use std::sync::LazyLock;
use std::time::Duration;

use super::servers::{Certificate, Does, answer, gzip};

/// Bytes that the bomb without a configured limit unpacks to: more than the limit that holds then.
const BOMB_BYTES: usize = almenara::scrape::BODY_BYTES_MAX + (16 << 20);
/// What is packed once and repeated: a gzip file may have many parts.
const BOMB_PART_BYTES: usize = 4 << 20;
/// Lines of the page against `sample_limit`.
const MANY_SERIES: usize = 1_000_000;
/// Between two bytes of a drip. A whole answer would take minutes.
const DRIP_PAUSE: Duration = Duration::from_millis(200);

/// How a fault is named. `URL` stands for the target's URL, `ADDRESS` for its host and port, `LOCAL` for our end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Named {
    /// In the same words by both.
    Alike(&'static str),
    /// In other words by Prometheus, which stand second.
    Apart(&'static str, &'static str),
    /// It is no fault for either: the target is up.
    Well,
    /// Prometheus would take memory for as long as the scrape may last, so it is not asked.
    Ours(&'static str),
}

/// One bad target.
#[derive(Clone)]
pub(crate) struct Kind {
    /// Also the name of its job.
    pub(crate) name: &'static str,
    /// Further keys of its job.
    pub(crate) keys: &'static str,
    pub(crate) does: Does,
    pub(crate) named: Named,
}

impl Kind {
    fn new(name: &'static str, keys: &'static str, does: Does, named: Named) -> Kind {
        Kind { name, keys, does, named }
    }

    /// Our `lastError`, empty for a target that is up.
    pub(crate) fn ours(&self, address: &str) -> String {
        match self.named {
            Named::Alike(text) | Named::Apart(text, _) | Named::Ours(text) => fill(text, address),
            Named::Well => String::new(),
        }
    }

    /// Prometheus's `lastError`; `None` where it is not asked.
    pub(crate) fn theirs(&self, address: &str) -> Option<String> {
        match self.named {
            Named::Alike(text) | Named::Apart(_, text) => Some(fill(text, address)),
            Named::Well => Some(String::new()),
            Named::Ours(_) => None,
        }
    }
}

fn fill(text: &str, address: &str) -> String {
    text.replace("URL", &format!("://{address}/metrics")).replace("ADDRESS", address).replace("YYY", &"y".repeat(115))
}

/// Every kind there is. Made once: the pages have tens of megabytes.
pub(crate) static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    [silent_ones(), http_ones(), length_ones(), packed_ones(), tls_ones(), page_ones(), limit_ones()].concat()
});

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
const PLAIN: &str = "content-type: text/plain\r\n";
const HTTPS: &str = "scheme: https, tls_config: {ca_file: ca.crt}";
/// A job whose scrapes would take for ever.
const HASTE: &str = "scrape_interval: 3s, scrape_timeout: 1s";
/// A job whose scrapes take long in a build that is not optimised.
const SELDOM: &str = "scrape_interval: 10s, scrape_timeout: 9s";

/// Such as let us wait.
fn silent_ones() -> Vec<Kind> {
    let timeout = Named::Alike("Get \"httpURL\": context deadline exceeded");
    let chunk = format!("100000\r\n{}\r\n", "a".repeat(0x10_0000)).into_bytes();
    vec![
        Kind::new(
            "refuses",
            "",
            Does::Refuse,
            Named::Alike("Get \"httpURL\": dial tcp ADDRESS: connect: connection refused"),
        ),
        Kind::new("never-answers", HASTE, Does::Nothing, timeout),
        Kind::new(
            "drips-its-head",
            HASTE,
            Does::Repeat("HTTP/1.1 200 OK\r\nx: ", b"a".to_vec().into(), DRIP_PAUSE),
            timeout,
        ),
        Kind::new(
            "drips-its-body",
            HASTE,
            Does::Repeat(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\n",
                b"a".to_vec().into(),
                DRIP_PAUSE,
            ),
            Named::Alike("context deadline exceeded"),
        ),
        Kind::new(
            "never-ends",
            "body_size_limit: 1MB",
            Does::Repeat(CHUNKED, chunk.clone().into(), Duration::ZERO),
            Named::Alike("body size limit exceeded"),
        ),
        Kind::new(
            "never-ends-unlimited",
            "scrape_interval: 5s, scrape_timeout: 5s",
            Does::Repeat(CHUNKED, chunk.into(), Duration::ZERO),
            Named::Ours("body size limit exceeded"),
        ),
    ]
}

/// Such as speak HTTP badly, or say no.
fn http_ones() -> Vec<Kind> {
    let redirect = "HTTP/1.1 302 Found\r\nlocation: /metrics\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let many_headers: String = (0..110_000).map(|i| format!("x-flood-{i}: {}\r\n", "y".repeat(100))).collect();
    let flood = format!("{HEAD}{many_headers}content-length: 7\r\nconnection: close\r\n\r\nfine 1\n");
    let status = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    vec![
        Kind::new(
            "redirects-for-ever",
            "",
            Does::send(redirect),
            Named::Apart("Get \"httpURL\": stopped after 10 redirects", "Get \"/metrics\": stopped after 10 redirects"),
        ),
        Kind::new(
            "redirects",
            "follow_redirects: false",
            Does::send(redirect),
            Named::Alike("server returned HTTP status 302 Found"),
        ),
        Kind::new(
            "fails",
            "",
            Does::send(status("500 Internal Server Error")),
            Named::Alike("server returned HTTP status 500 Internal Server Error"),
        ),
        Kind::new(
            "fails-in-its-own-words",
            "",
            Does::send(status("503 Out Of Order")),
            Named::Alike("server returned HTTP status 503 Out Of Order"),
        ),
        Kind::new(
            "has-nothing-to-say",
            "",
            Does::send("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"),
            Named::Alike("server returned HTTP status 204 No Content"),
        ),
        Kind::new("is-empty", "", Does::send(answer(PLAIN, b"")), Named::Well),
        Kind::new("hangs-up", "", Does::send(""), Named::Alike("Get \"httpURL\": EOF")),
        Kind::new(
            "resets-at-once",
            "",
            Does::SendAndReset(""),
            Named::Apart(
                "Get \"httpURL\": read tcp ADDRESS: read: connection reset by peer",
                "Get \"httpURL\": read tcp LOCAL->ADDRESS: read: connection reset by peer",
            ),
        ),
        Kind::new(
            "is-no-http",
            "",
            Does::send("SSH-2.0-OpenSSH_9.6\r\n"),
            Named::Apart(
                "Get \"httpURL\": malformed HTTP response: invalid HTTP version parsed",
                "Get \"httpURL\": net/http: HTTP/1.x transport connection broken: malformed HTTP response \"SSH-2.0-OpenSSH_9.6\"",
            ),
        ),
        Kind::new(
            "floods-its-head",
            SELDOM,
            Does::send(flood),
            Named::Apart(
                "Get \"httpURL\": server response headers exceeded 100 lines or 417792 bytes; aborted",
                "Get \"httpURL\": net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded 10485760 bytes; aborted",
            ),
        ),
    ]
}

/// Such whose body is not as long as they say.
fn length_ones() -> Vec<Kind> {
    let body = |length: &str, body: &str| Does::send(format!("{HEAD}{length}\r\nconnection: close\r\n\r\n{body}"));
    vec![
        Kind::new("ends-early", "", body("content-length: 1000", "fine 1\n"), Named::Alike("unexpected EOF")),
        Kind::new(
            "says-too-little",
            "",
            body("content-length: 9", "fine 1\nbad 2\n"),
            Named::Apart(
                "expected value after metric at line 2, column 3, while parsing: \"ba\"",
                "expected value after metric, got \"\\n\" (\"INVALID\") while parsing: \"ba\\n\"",
            ),
        ),
        Kind::new(
            "resets-in-its-body",
            "",
            Does::SendAndReset("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\nfine 1\n"),
            Named::Apart(
                "read tcp ADDRESS: read: connection reset by peer",
                "read tcp LOCAL->ADDRESS: read: connection reset by peer",
            ),
        ),
        Kind::new(
            "garbles-its-chunks",
            "",
            body("transfer-encoding: chunked", "zz\r\nfine 1\n\r\n0\r\n\r\n"),
            Named::Apart(
                "malformed chunk: Invalid chunk size line: missing size digit",
                "invalid byte in chunk length",
            ),
        ),
        Kind::new(
            "breaks-off-its-chunks",
            "",
            body("transfer-encoding: chunked", "7\r\nfine 1\n\r\n"),
            Named::Alike("unexpected EOF"),
        ),
    ]
}

/// Such whose body is packed.
fn packed_ones() -> Vec<Kind> {
    let packed = format!("{PLAIN}content-encoding: gzip\r\n");
    let part = gzip(&vec![b'0'; BOMB_PART_BYTES]);
    let bomb = Does::send(answer(&packed, &part.repeat(BOMB_BYTES.div_ceil(BOMB_PART_BYTES))));
    let whole = gzip("fine 1\n".repeat(100).as_bytes());
    let mut damaged = whole.clone();
    // In the checksum, which is followed by four bytes of length.
    damaged[whole.len() - 5] ^= 1;
    vec![
        Kind::new("is-a-bomb", "body_size_limit: 1MB", bomb.clone(), Named::Alike("body size limit exceeded")),
        Kind::new("is-a-bomb-unlimited", SELDOM, bomb, Named::Ours("body size limit exceeded")),
        Kind::new(
            "packs-half",
            "",
            Does::send(answer(&packed, &whole[..whole.len() / 2])),
            Named::Alike("unexpected EOF"),
        ),
        Kind::new("packs-damaged", "", Does::send(answer(&packed, &damaged)), Named::Alike("gzip: invalid checksum")),
        Kind::new(
            "packs-nothing",
            "",
            Does::send(answer(&packed, b"fine 1\nfine 2\n")),
            Named::Alike("gzip: invalid header"),
        ),
    ]
}

fn tls_ones() -> Vec<Kind> {
    let tls = |name, certificate, text| Kind::new(name, HTTPS, Does::Tls(certificate), Named::Alike(text));
    vec![
        tls(
            "is-of-a-stranger",
            Certificate::OfAStranger,
            "Get \"httpsURL\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
        ),
        tls(
            "has-expired",
            Certificate::Expired,
            "Get \"httpsURL\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time NOW is after 2021-01-01T00:00:00Z",
        ),
        tls(
            "has-another-name",
            Certificate::ForAnotherName,
            "Get \"httpsURL\": tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
        ),
        tls(
            "wants-our-certificate",
            Certificate::AndWantsOne,
            "Get \"httpsURL\": remote error: tls: certificate required",
        ),
        Kind::new(
            "has-no-tls",
            HTTPS,
            Does::send("HTTP/1.0 400 Bad Request\r\n\r\n"),
            Named::Alike("Get \"httpsURL\": http: server gave HTTP response to HTTPS client"),
        ),
        Kind::new(
            "has-tls",
            "",
            Does::Tls(Certificate::Expired),
            Named::Apart(
                "Get \"httpURL\": malformed HTTP response: invalid HTTP version parsed",
                "Get \"httpURL\": net/http: HTTP/1.x transport connection broken: malformed HTTP response \"\\x15\\x03\\x03\\x00\\x02\\x022\"",
            ),
        ),
    ]
}

/// Such whose page cannot be read.
fn page_ones() -> Vec<Kind> {
    let page = |name, headers, body: &[u8], named| Kind::new(name, "", Does::send(answer(headers, body)), named);
    let long = format!("a{{x=\"{}\"}} 1\n", "y".repeat(2 << 20));
    vec![
        page(
            "has-a-malformed-line",
            PLAIN,
            b"fine 1\nbad{x=} 1\n",
            Named::Apart(
                "expected label value at line 2, column 7, while parsing: \"bad{x=} 1\"",
                "expected label value, got \"}\" (\"INVALID\") while parsing: \"bad{x=}\"",
            ),
        ),
        page(
            "is-not-utf8",
            PLAIN,
            b"fine 1\nbad{x=\"\xff\xfe\"} 1\n",
            Named::Apart(
                "invalid UTF-8 at line 2, column 8, while parsing: \"bad{x=\\\"\u{fffd}\u{fffd}\\\"} 1\"",
                "invalid UTF-8 label value: \"\\\"\\xff\\xfe\\\"\"",
            ),
        ),
        page(
            "is-html-said-to-be-text",
            PLAIN,
            b"<html></html>\n",
            Named::Apart(
                "expected a valid start token at line 1, column 1, while parsing: \"<html></html>\"",
                "expected a valid start token, got \"<\" (\"INVALID\") while parsing: \"<\"",
            ),
        ),
        page(
            "is-html",
            "content-type: text/html\r\n",
            b"<html></html>\n",
            Named::Alike(
                "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target",
            ),
        ),
        page(
            "does-not-say-what-it-is",
            "",
            b"fine 1\n",
            Named::Alike(
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target",
            ),
        ),
        page(
            "has-a-line-without-end",
            PLAIN,
            long.as_bytes(),
            Named::Apart("line longer than 1048576 bytes at line 1, column 1, while parsing: \"a{x=\\\"YYY…\"", ""),
        ),
        page(
            "has-a-label-twice",
            PLAIN,
            b"bad{x=\"1\",x=\"2\"} 1\n",
            Named::Alike("label name \"x\" is not unique: invalid sample"),
        ),
        page("has-a-series-twice", PLAIN, b"twice 1\ntwice 2\n", Named::Well),
    ]
}

/// Such as say more than their job allows.
fn limit_ones() -> Vec<Kind> {
    let many: String = (0..MANY_SERIES).map(|i| format!("m{{i=\"{i}\"}} 1\n")).collect();
    let page = |name, keys, body: &str, text| {
        Kind::new(name, keys, Does::send(answer(PLAIN, body.as_bytes())), Named::Alike(text))
    };
    vec![
        page(
            "has-a-million-series",
            "scrape_interval: 10s, scrape_timeout: 9s, sample_limit: 1000",
            &many,
            "sample limit exceeded",
        ),
        page(
            "has-many-labels",
            "label_limit: 4",
            "m{a=\"1\",b=\"2\",c=\"3\"} 1\n",
            "label_limit exceeded (metric: m, number of labels: 6, limit: 4)",
        ),
        page(
            "has-a-long-name",
            "label_name_length_limit: 20",
            "m{a_name_of_more_than_20_bytes=\"1\"} 1\n",
            "label_name_length_limit exceeded (metric: m, label name: a_name_of_more_than_20_bytes, length: 28, limit: 20)",
        ),
        page(
            "has-a-long-value",
            "label_value_length_limit: 30",
            "m{a=\"a value that is longer than thirty bytes\"} 1\n",
            "label_value_length_limit exceeded (metric: m, label name: a, value: \"a value that is longer than thirty bytes\", length: 40, limit: 30)",
        ),
    ]
}
