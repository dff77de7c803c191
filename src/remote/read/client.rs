//! Asks another server for samples.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::frames::{BadFrame, FrameReader};
use super::message::{CHUNKS, Chunked, ChunkedSeries, LabelMatcher, Query, Request, Response, SAMPLES, XOR};
use super::{ANSWER_BYTES_MAX, xor};
use crate::http::{Client, ClientConfig, HttpError};
use crate::model::{Labels, MatchOp, Matcher, Sample, Series, Timestamp, Value};
use crate::remote::message::{LabelV1, SeriesV1};
use crate::remote::{histogram, labels};

/// What an error says of a refusal, at most.
const TEXT_BYTES_MAX: usize = 4096;

/// Reads from one server. Share it; it pools its connections.
#[derive(Debug)]
pub struct ReadClient {
    client: Client,
    url: String,
    timeout: Duration,
}

/// How much came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Parts of series.
    pub series: u64,
    /// Samples, native histograms among them.
    pub samples: u64,
    /// Bytes as sent.
    pub bytes: u64,
}

/// Why reading failed.
#[derive(Debug)]
pub enum ReadError {
    /// There was no answer, or not all of it.
    Http(HttpError),
    /// Another status than 200, with the server's words.
    Refused(String),
    /// The answer is not what the protocol says.
    Malformed(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Http(error) => error.fmt(f),
            ReadError::Refused(text) => write!(f, "remote read refused: {text}"),
            ReadError::Malformed(text) => write!(f, "the answer to a remote read is malformed: {text}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<HttpError> for ReadError {
    fn from(error: HttpError) -> Self {
        ReadError::Http(error)
    }
}

/// Why an answer with chunks is not enough.
enum Stop {
    /// Histograms come as samples only.
    HasHistograms,
    Error(ReadError),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Stop::Error(error)
    }
}

impl ReadClient {
    /// For the server whose remote read is at `url`; `timeout` is for one answer.
    pub fn new(url: String, config: ClientConfig, user_agent: &str, timeout: Duration) -> Result<Self, HttpError> {
        Ok(ReadClient { client: Client::new(config, user_agent)?, url, timeout })
    }

    /// Hands each series that passes all matchers to `take`, with its samples in `start..=end`. A long one comes in several parts, and
    /// one with native histograms once more from its beginning, with numbers that came before.
    pub async fn read(
        &self,
        matchers: &[Matcher],
        (start, end): (Timestamp, Timestamp),
        mut take: impl FnMut(Series),
    ) -> Result<ReadStats, ReadError> {
        match self.read_chunks(matchers, (start, end), &mut take).await {
            Ok(stats) => Ok(stats),
            Err(Stop::HasHistograms) => self.read_samples(matchers, (start, end), &mut take).await,
            Err(Stop::Error(error)) => Err(error),
        }
    }

    async fn read_chunks(
        &self,
        matchers: &[Matcher],
        range: (Timestamp, Timestamp),
        take: &mut impl FnMut(Series),
    ) -> Result<ReadStats, Stop> {
        let mut answer = self.ask(matchers, range, vec![CHUNKS, SAMPLES]).await?;
        let is_streamed = answer.header("content-type").is_some_and(|kind| kind.contains("streamed"));
        if !is_streamed {
            let body = answer.bytes(ANSWER_BYTES_MAX).await.map_err(ReadError::from)?;
            return Ok(take_samples(&body, take)?);
        }
        let mut stats = ReadStats::default();
        let mut frames = FrameReader::default();
        while let Some(piece) = answer.chunk().await.map_err(ReadError::from)? {
            stats.bytes += piece.len() as u64;
            frames.push(&piece);
            while let Some(frame) = frames.next().map_err(bad_frame)? {
                let message = Chunked::decode(frame).map_err(malformed)?;
                for series in message.series {
                    let series = decode(series, range)?;
                    stats.series += 1;
                    stats.samples += series.samples.len() as u64;
                    take(series);
                }
            }
        }
        if frames.is_empty() { Ok(stats) } else { Err(malformed("it ends within a frame").into()) }
    }

    async fn read_samples(
        &self,
        matchers: &[Matcher],
        range: (Timestamp, Timestamp),
        take: &mut impl FnMut(Series),
    ) -> Result<ReadStats, ReadError> {
        let body = self.ask(matchers, range, vec![SAMPLES]).await?.bytes(ANSWER_BYTES_MAX).await?;
        take_samples(&body, take)
    }

    async fn ask(
        &self,
        matchers: &[Matcher],
        (start, end): (Timestamp, Timestamp),
        accepted: Vec<i32>,
    ) -> Result<crate::http::Response, ReadError> {
        let matchers = matchers.iter().map(|matcher| LabelMatcher {
            op: match matcher.op {
                MatchOp::Equal => 0,
                MatchOp::NotEqual => 1,
                MatchOp::Regex => 2,
                MatchOp::NotRegex => 3,
            },
            name: matcher.name.to_string(),
            value: matcher.value.to_string(),
        });
        let query = Query { start_ms: start.as_ms(), end_ms: end.as_ms(), matchers: matchers.collect() };
        let message = Request { queries: vec![query], accepted }.encode_to_vec();
        let body = snap::raw::Encoder::new().compress_vec(&message).expect("BUG: a request does not compress");
        let headers = [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-read-version", "0.1.0"),
        ];
        let answer = self.client.post(&self.url, &headers, body.into(), self.timeout).await?;
        if answer.status() == 200 {
            return Ok(answer);
        }
        let status = answer.status_text();
        let text = answer.bytes(TEXT_BYTES_MAX).await.unwrap_or_default();
        Err(ReadError::Refused(format!("{status}: {}", String::from_utf8_lossy(&text).trim())))
    }
}

fn malformed(what: impl fmt::Display) -> ReadError {
    ReadError::Malformed(what.to_string())
}

fn bad_frame(frame: BadFrame) -> ReadError {
    malformed(match frame {
        BadFrame::Length => "a frame is too long",
        BadFrame::Checksum => "the checksum of a frame is wrong",
    })
}

fn labels_of(wire: Vec<LabelV1>) -> Result<Labels, ReadError> {
    let pairs = wire.into_iter().map(|label| (label.name, label.value));
    labels::read(pairs.collect()).map_err(|labels::Invalid(text)| malformed(text))
}

/// Chunks are whole, so they hold samples before and after the range too.
fn decode(wire: ChunkedSeries, (start, end): (Timestamp, Timestamp)) -> Result<Series, Stop> {
    let labels = labels_of(wire.labels)?;
    let mut samples = Vec::new();
    for chunk in wire.chunks {
        if chunk.encoding != XOR {
            return Err(Stop::HasHistograms);
        }
        let take = |sample: Sample| {
            if (start..=end).contains(&sample.at) {
                samples.push(sample);
            }
        };
        xor::read(&chunk.data, take).map_err(|xor::BadChunk| malformed("a chunk cannot be read"))?;
    }
    Ok(Series::new(labels, samples))
}

fn take_samples(body: &Bytes, take: &mut impl FnMut(Series)) -> Result<ReadStats, ReadError> {
    let mut stats = ReadStats { bytes: body.len() as u64, ..ReadStats::default() };
    let len = snap::raw::decompress_len(body).map_err(malformed)?;
    if len > ANSWER_BYTES_MAX {
        return Err(malformed(format!("it has {len} bytes, more than {ANSWER_BYTES_MAX}")));
    }
    let message = snap::raw::Decoder::new().decompress_vec(body).map_err(malformed)?;
    let response = Response::decode(Bytes::from(message)).map_err(malformed)?;
    for wire in response.results.into_iter().flat_map(|result| result.series) {
        let SeriesV1 { labels, samples, histograms, .. } = wire;
        let labels = labels_of(labels)?;
        let mut all: Vec<Sample> =
            samples.into_iter().map(|s| Sample::float(Timestamp::from_ms(s.timestamp), s.value)).collect();
        for wire in histograms {
            let at = Timestamp::from_ms(wire.timestamp);
            all.push(Sample { at, value: Value::Histogram(histogram::read(wire).map_err(malformed)?.into()) });
        }
        // A series that has changed its kind has both.
        all.sort_by_key(|sample| sample.at);
        stats.series += 1;
        stats.samples += all.len() as u64;
        take(Series::new(labels, all));
    }
    Ok(stats)
}
