//! The history of another server: raw samples in slices of time, by remote read or, where it has none, by range selectors of its query API.
//!
//! In the flow: `almenara store import --from` puts them into a store; the daemon fills the windows of new objectives with them.
//!
//! **Invariants.** A server is only read. Ranges include both ends; a sample may come twice.
//! **Units.** Slices begin with [`SLICE_MS`] and become as long as the samples need that are aimed at.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::read::{ReadClient, ReadError};
use crate::http::{Client, ClientConfig, HttpError};
use crate::model::{Labels, Matcher, Sample, Series, Timestamp};
use crate::source::decode::Decoder;
use crate::source::yaml::{self, Node};
use crate::source::{SourceFile, keys};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(150);
/// Bytes of an answer to a query.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// For so long objectives wait unless it is said.
const WAIT_DEFAULT: Duration = Duration::from_secs(300);

/// The first slice of time that is asked for.
const SLICE_MS: i64 = 2 * 3600 * 1000;
/// The longest: longer answers do not cost less each.
const SLICE_MS_MAX: i64 = 24 * 3600 * 1000;
/// The shortest.
const SLICE_MS_MIN: i64 = 60 * 1000;

/// How a server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryApi {
    /// Remote read.
    #[default]
    Read,
    /// Range selectors; no staleness markers, no native histograms.
    Query,
}

/// `slo_history` of the configuration: where the daemon finds the history of objectives that begin.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryConfig {
    /// The server.
    pub url: String,
    /// How it is asked.
    pub api: HistoryApi,
    /// For so long at most objectives wait for their history before they are evaluated without.
    pub wait: Duration,
    /// How it is spoken to.
    pub client: ClientConfig,
}

impl HistoryConfig {
    /// Reads the section. `None` where anything is wrong.
    pub fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<Self> {
        let mut fields = decoder.section(node, &keys::SLO_HISTORY)?;
        let url = fields.required("url", |decoder, node| {
            let text = decoder.non_empty_string(node)?;
            let is_http = Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !is_http {
                decoder.error_with_help(node.span, "not the address of a server", "write url: http://prometheus:9090");
            }
            is_http.then_some(text)
        });
        let api = fields.or("api", HistoryApi::Read, |decoder, node| match node.as_str() {
            Some("read") => Some(HistoryApi::Read),
            Some("query") => Some(HistoryApi::Query),
            _ => {
                decoder.error_with_help(node.span, "not a way to ask", "write read (remote read) or query");
                None
            }
        });
        let wait = fields.or("wait", WAIT_DEFAULT, Decoder::positive_duration);
        let client = ClientConfig::decode(&mut fields);
        fields.finish();
        Some(HistoryConfig { url: url?, api, wait, client })
    }

    /// Host and port, which is no secret.
    pub fn host(&self) -> String {
        let url = Url::parse(&self.url).ok();
        let host = |url: &Url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?));
        url.as_ref().and_then(host).map_or(String::new(), |(host, port)| format!("{host}:{port}"))
    }
}

/// A server that is read.
#[derive(Debug)]
pub struct History {
    url: String,
    client: Client,
    reader: ReadClient,
    api: HistoryApi,
    /// What it adds to each series that it gives by remote read, and stores nowhere.
    added: Labels,
}

/// Why it could not be read.
#[derive(Debug)]
pub enum HistoryError {
    /// There was no answer to a query, or not all of it.
    Http(HttpError),
    /// Remote read failed.
    Read(ReadError),
    /// The answer to a query is an error, or none that can be read.
    Answer(String),
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HistoryError::Http(error) => error.fmt(f),
            HistoryError::Read(error) => error.fmt(f),
            HistoryError::Answer(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for HistoryError {}

impl From<HttpError> for HistoryError {
    fn from(error: HttpError) -> Self {
        HistoryError::Http(error)
    }
}

impl From<ReadError> for HistoryError {
    fn from(error: ReadError) -> Self {
        HistoryError::Read(error)
    }
}

impl History {
    /// The server at `url`.
    pub async fn of(url: &str, config: ClientConfig, api: HistoryApi, user_agent: &str) -> Result<Self, HistoryError> {
        let url = url.trim_end_matches('/').to_owned();
        let client = Client::new(config.clone(), user_agent)?;
        let reader = ReadClient::new(format!("{url}/api/v1/read"), config, user_agent, TIMEOUT)?;
        let mut history = History { url, client, reader, api, added: Labels::empty() };
        if api == HistoryApi::Read {
            history.added = history.external_labels().await;
        }
        Ok(history)
    }

    /// Hands each series that passes all matchers to `take`, in parts, with its samples in `start..=end`. Gives how many native histograms
    /// were left out.
    pub async fn read(
        &self,
        matchers: &[Matcher],
        range: (Timestamp, Timestamp),
        mut take: impl FnMut(Series),
    ) -> Result<usize, HistoryError> {
        match self.api {
            HistoryApi::Query => self.query(matchers, range, &mut take).await,
            HistoryApi::Read => {
                let own = |series: Series| take(Series { labels: without(&series.labels, &self.added), ..series });
                self.reader.read(matchers, range, own).await?;
                Ok(0)
            }
        }
    }

    /// What a Prometheus adds. Other servers do not tell, and add nothing.
    async fn external_labels(&self) -> Labels {
        let url = format!("{}/api/v1/status/config", self.url);
        let Ok(answer) = self.json(&url).await else { return Labels::empty() };
        let text = answer["data"]["yaml"].as_str().unwrap_or_default().to_owned();
        let root = yaml::parse(&SourceFile::new("config", text)).0;
        let labels = root.as_ref().and_then(|root| root.get("global")?.get("external_labels"));
        let Some(Node { kind: yaml::NodeKind::Mapping(pairs), .. }) = labels else { return Labels::empty() };
        Labels::from_pairs(pairs.iter().filter_map(|(name, value)| Some((name.as_str()?, value.as_str()?))))
    }

    async fn json(&self, url: &str) -> Result<serde_json::Value, HistoryError> {
        let answer = self.client.get(url, &[], TIMEOUT).await?;
        let (is_success, status) = (answer.is_success(), answer.status_text());
        let body = answer.bytes(ANSWER_BYTES_MAX).await?;
        let answer: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| HistoryError::Answer(format!("{status}: {error}")))?;
        match answer["error"].as_str() {
            Some(error) if !is_success => Err(HistoryError::Answer(format!("{status}: {error}"))),
            _ => Ok(answer),
        }
    }

    /// The raw samples in `start..=end`, by a range selector.
    async fn query(
        &self,
        matchers: &[Matcher],
        (start, end): (Timestamp, Timestamp),
        take: &mut impl FnMut(Series),
    ) -> Result<usize, HistoryError> {
        let matchers: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        // Open on the left since Prometheus 3; a sample that comes twice before it does no harm.
        let expr = format!("{{{}}}[{}ms]", matchers.join(","), end.ms_since(start) + 1);
        let time = end.as_secs_f64().to_string();
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("query", expr.as_str()), ("time", &time)])
            .finish();
        let answer = self.json(&format!("{}/api/v1/query?{query}", self.url)).await?;
        let mut left_out = 0;
        for series in answer["data"]["result"].as_array().into_iter().flatten() {
            let pairs = series["metric"].as_object().into_iter().flatten();
            let labels = Labels::from_pairs(pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))));
            let values = series["values"].as_array().map_or(&[][..], Vec::as_slice);
            let samples: Option<Vec<Sample>> = values.iter().map(sample).collect();
            let unreadable = || HistoryError::Answer("a sample of the answer cannot be read".to_owned());
            left_out += series["histograms"].as_array().map_or(0, Vec::len);
            take(Series::new(labels, samples.ok_or_else(unreadable)?));
        }
        Ok(left_out)
    }
}

fn sample(pair: &serde_json::Value) -> Option<Sample> {
    let at = Timestamp::from_secs_f64(pair[0].as_f64()?);
    let value = match pair[1].as_str()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().ok()?,
    };
    Some(Sample::float(at, value))
}

fn without(labels: &Labels, added: &Labels) -> Labels {
    if added.is_empty() {
        return labels.clone();
    }
    let own = labels.iter().filter(|label| added.get(&label.name) != Some(&label.value));
    Labels::from_pairs(own.map(|label| (label.name.clone(), label.value.clone())))
}

/// Consecutive slices of a range of time, as long as they must be to hold so many samples.
#[derive(Clone, Debug)]
pub struct Slices {
    next: Timestamp,
    end: Timestamp,
    length_ms: i64,
    /// Samples of a slice, by order of magnitude.
    aim: u64,
}

impl Slices {
    /// The slices of `start..=end`, of about `aim` samples each.
    pub fn of((start, end): (Timestamp, Timestamp), aim: u64) -> Self {
        Slices { next: start, end, length_ms: SLICE_MS, aim }
    }

    /// The one that is to be read, both ends included; `None`: all have been.
    pub fn current(&self) -> Option<(Timestamp, Timestamp)> {
        (self.next <= self.end).then(|| (self.next, self.next.plus_ms(self.length_ms - 1).min(self.end)))
    }

    /// It was read and had so many samples.
    pub fn advance(&mut self, received: u64) {
        if let Some((_, through)) = self.current() {
            self.next = through.plus_ms(1);
        }
        self.length_ms = match received {
            many if many > 2 * self.aim => (self.length_ms / 2).max(SLICE_MS_MIN),
            few if few < self.aim / 4 => (self.length_ms * 2).min(SLICE_MS_MAX),
            _ => self.length_ms,
        };
    }

    /// It had too many: the next attempt asks for half of it. `false` where it can be no shorter.
    pub fn shorten(&mut self) -> bool {
        let shorter = (self.length_ms / 2).max(SLICE_MS_MIN);
        std::mem::replace(&mut self.length_ms, shorter) > shorter
    }
}
