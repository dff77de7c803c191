//! Why a scrape failed, in the words of Prometheus's `lastError`.

use std::fmt;
use std::io;

use crate::exposition::{ContentTypeError, ParseError, ProtobufError};
use crate::http::HttpError;

/// Why a scrape failed. Holds no URL and no header: it goes to the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ScrapeError {
    /// The request: there was no answer.
    Http(HttpError),
    /// The answer broke off.
    Body(HttpError),
    /// An answer other than 200, as `404 Not Found`.
    Status(String),
    /// More bytes than allowed, after decompression or already before it.
    BodySize,
    /// The large bodies of all targets take as much memory as they may.
    Room,
    /// The body is not the gzip it is said to be; the text is Go's.
    Gzip(String),
    /// A body in another format.
    ContentType(ContentTypeError),
    /// A malformed body.
    Parse(ParseError),
    /// A malformed body in protobuf.
    Protobuf(ProtobufError),
    /// More samples than allowed.
    SampleLimit,
    /// A sample that came late, and later than the window for late ones allows.
    TooLate,
    /// A native histogram with more buckets than allowed, which no lower resolution helps.
    BucketLimit,
    /// A sample with too many or too long labels; the text is Prometheus's.
    LabelLimit(String),
    /// A sample that cannot be a series; the text is Prometheus's.
    Sample(String),
    /// The pool has more targets than allowed.
    TargetLimit {
        /// How many it has.
        targets: usize,
        /// How many it may have.
        limit: u64,
    },
}

impl fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScrapeError::Http(error) | ScrapeError::Body(error) => error.fmt(f),
            ScrapeError::Status(status) => write!(f, "server returned HTTP status {status}"),
            ScrapeError::BodySize => f.write_str("body size limit exceeded"),
            ScrapeError::Room => write!(
                f,
                "no room for another large body: all targets together may have {} MiB at once; set body_size_limit",
                super::BODIES_BYTES_MAX >> 20
            ),
            ScrapeError::ContentType(error) => error.fmt(f),
            ScrapeError::Parse(error) => error.fmt(f),
            ScrapeError::Protobuf(error) => error.fmt(f),
            ScrapeError::BucketLimit => f.write_str("histogram bucket limit exceeded"),
            ScrapeError::SampleLimit => f.write_str("sample limit exceeded"),
            ScrapeError::TooLate => f.write_str("too old sample"),
            ScrapeError::Gzip(text) | ScrapeError::LabelLimit(text) | ScrapeError::Sample(text) => f.write_str(text),
            ScrapeError::TargetLimit { targets, limit } => {
                write!(f, "target_limit exceeded (number of targets: {targets}, limit: {limit})")
            }
        }
    }
}

impl std::error::Error for ScrapeError {}

impl From<HttpError> for ScrapeError {
    fn from(error: HttpError) -> Self {
        ScrapeError::Http(error)
    }
}

impl From<ProtobufError> for ScrapeError {
    fn from(error: ProtobufError) -> Self {
        ScrapeError::Protobuf(error)
    }
}

impl ScrapeError {
    /// What went wrong while a body was unpacked.
    pub(super) fn of_gzip(error: &io::Error) -> Self {
        let reason = error.to_string();
        ScrapeError::Gzip(match (error.kind(), reason.as_str()) {
            (io::ErrorKind::UnexpectedEof, _) => "unexpected EOF".to_owned(),
            (_, "invalid gzip header") => "gzip: invalid header".to_owned(),
            (_, "corrupt gzip stream does not have a matching checksum") => "gzip: invalid checksum".to_owned(),
            (_, "corrupt deflate stream") => "flate: corrupt input".to_owned(),
            _ => format!("gzip: {reason}"),
        })
    }
}
