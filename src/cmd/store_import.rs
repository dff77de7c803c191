//! `almenara store import --from`: history from another server.
//!
//! In the flow: a server is read in slices of time, oldest first, through remote read or, where it has none, through range selectors of
//! its query API; [`Imported`] puts the samples into a store.
//!
//! **Units.** Slices begin with [`SLICE_MS`] and are as long as [`SLICE_SAMPLES_AIM`] samples need.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;

use super::explain::instant;
use super::imported::Imported;
use super::progress::Progress;
use super::query::{ANSWER_BYTES_MAX, TIMEOUT, USER_AGENT};
use crate::http::{Client, ClientConfig};
use crate::model::{Labels, Matcher, Sample, Series, Timestamp};
use crate::promql::eval::QueryOptions;
use crate::promql::parse_metric_selector;
use crate::remote::read::ReadClient;
use crate::slo::parse_file;
use crate::source::decode::Decoder;
use crate::source::{SourceFile, parse_duration, yaml};
use crate::store::{Row, Store};

pub(super) type Failure = Box<dyn std::error::Error>;

/// The first slice of time that is asked for.
const SLICE_MS: i64 = 2 * 3600 * 1000;
/// The longest: longer answers do not cost less each.
const SLICE_MS_MAX: i64 = 24 * 3600 * 1000;
/// The shortest.
const SLICE_MS_MIN: i64 = 60 * 1000;
/// Samples of a slice, by order of magnitude: some ten MB on the wire.
const SLICE_SAMPLES_AIM: u64 = 5_000_000;
/// How far back is imported unless it is said, or follows from objectives.
const START_AGO: Duration = Duration::from_secs(15 * 86_400);

/// Adds what another server has to a store.
pub(super) fn server(store: &Store, origin: &Origin, imported: &mut Imported) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(slices(store, origin, imported))
}

async fn slices(store: &Store, origin: &Origin, imported: &mut Imported) -> Result<(), Failure> {
    let client = Client::new(origin.config.clone(), USER_AGENT)?;
    let added = external_labels(&client, origin).await;
    let reader = ReadClient::new(format!("{}/api/v1/read", origin.url), origin.config.clone(), USER_AGENT, TIMEOUT)?;
    let mut progress = Progress::start(format!("importing {}", origin.url));
    let (mut from, mut slice_ms) = (origin.start, SLICE_MS);
    while from <= origin.end {
        let through = from.plus_ms(slice_ms - 1).min(origin.end);
        let mut received = 0;
        for matchers in &origin.selectors {
            let mut take = |series: Series| {
                received += series.samples.len() as u64;
                let labels = if origin.is_read { without(&series.labels, &added) } else { series.labels };
                let handle = store.series_ref(&labels);
                let row = |sample: Sample| Row::new(handle, sample.at, sample.value);
                imported.commit(store, &series.samples.into_iter().map(row).collect::<Vec<_>>());
            };
            match origin.is_read {
                true => drop(reader.read(matchers, (from, through), take).await?),
                false => {
                    let left_out = query(&client, origin, matchers, (from, through), &mut take).await?;
                    imported.left_out += left_out;
                }
            }
        }
        progress.at(through.ms_since(origin.start) as f64 / origin.end.ms_since(origin.start).max(1) as f64);
        slice_ms = match received {
            many if many > 2 * SLICE_SAMPLES_AIM => (slice_ms / 2).max(SLICE_MS_MIN),
            few if few < SLICE_SAMPLES_AIM / 4 => (slice_ms * 2).min(SLICE_MS_MAX),
            _ => slice_ms,
        };
        from = through.plus_ms(1);
    }
    Ok(())
}

/// Another server, and what of it.
pub(super) struct Origin {
    /// Without a slash at its end.
    pub(super) url: String,
    config: ClientConfig,
    /// By remote read; otherwise by queries.
    is_read: bool,
    selectors: Vec<Vec<Matcher>>,
    start: Timestamp,
    end: Timestamp,
}

impl Origin {
    /// As the arguments say, as if it were `now`.
    pub(super) fn of(matches: &ArgMatches, now: Timestamp) -> Result<Option<Origin>, Failure> {
        let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
        let Some(url) = text("from") else { return Ok(None) };
        let time = |name: &str, default| match text(name) {
            None => Ok(default),
            Some(text) => match parse_duration(text) {
                Ok(ago) => Ok(now - ago),
                Err(_) => instant(text).ok_or_else(|| format!("--{name}: {text:?} is neither a time nor a duration")),
            },
        };
        let selectors = matches.get_many::<String>("match").into_iter().flatten();
        let mut selectors: Vec<Vec<Matcher>> = selectors
            .map(|text| parse_metric_selector(text).map_err(|errors| format!("--match {text}: {}", errors[0])))
            .collect::<Result<_, String>>()?;
        let mut ago = START_AGO;
        if let Some(paths) = matches.get_many::<PathBuf>("slo") {
            (selectors, ago) = of_objectives(paths)?;
        } else if selectors.is_empty() {
            selectors.push(parse_metric_selector("{__name__=~\".+\"}").expect("BUG: a selector of our own is wrong"));
        }
        Ok(Some(Origin {
            url: url.trim_end_matches('/').to_owned(),
            config: text("http.config.file").map_or(Ok(ClientConfig::default()), http_config)?,
            is_read: text("api") != Some("query"),
            selectors,
            start: time("start", now - ago)?,
            end: time("end", now)?,
        }))
    }
}

/// The selectors of all that the objectives of these files read, and how far back the furthest of them looks.
fn of_objectives<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<(Vec<Vec<Matcher>>, Duration), Failure> {
    let lookback_delta = QueryOptions::default().lookback_delta;
    let (mut selectors, mut longest) = (Vec::new(), Duration::ZERO);
    for path in paths {
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let (file, diagnostics) = parse_file(&SourceFile::new(path.display().to_string(), text));
        let file = file.ok_or_else(|| diagnostics.to_string())?;
        for demand in file.demands(lookback_delta) {
            longest = longest.max(demand.reach.window);
            // Most objectives share the series that tell of their targets.
            if !selectors.contains(&demand.matchers) {
                selectors.push(demand.matchers);
            }
        }
    }
    if selectors.is_empty() {
        return Err("--slo: there is no objective in these files".into());
    }
    Ok((selectors, longest))
}

fn http_config(path: &str) -> Result<ClientConfig, Failure> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let source = SourceFile::new(path, text);
    let (root, diagnostics) = yaml::parse(&source);
    let root = root.ok_or_else(|| diagnostics.to_string())?;
    let mut decoder = Decoder::new(&source);
    let config = ClientConfig::decode_node(&mut decoder, &root);
    let diagnostics = decoder.finish();
    let mut config = config.filter(|_| !diagnostics.has_errors()).ok_or_else(|| diagnostics.to_string())?;
    config.resolve_paths(Path::new(path).parent().unwrap_or(Path::new("")));
    Ok(config)
}

/// What a Prometheus adds to each series that it gives by remote read, and stores nowhere. Other servers do not tell, and add nothing.
async fn external_labels(client: &Client, origin: &Origin) -> Labels {
    let url = format!("{}/api/v1/status/config", origin.url);
    let Ok(answer) = json(client, &url).await else { return Labels::empty() };
    let text = answer["data"]["yaml"].as_str().unwrap_or_default().to_owned();
    let root = yaml::parse(&SourceFile::new("config", text)).0;
    let labels = root.as_ref().and_then(|root| root.get("global")?.get("external_labels"));
    let Some(yaml::Node { kind: yaml::NodeKind::Mapping(pairs), .. }) = labels else { return Labels::empty() };
    Labels::from_pairs(pairs.iter().filter_map(|(name, value)| Some((name.as_str()?, value.as_str()?))))
}

fn without(labels: &Labels, added: &Labels) -> Labels {
    if added.is_empty() {
        return labels.clone();
    }
    let own = labels.iter().filter(|label| added.get(&label.name) != Some(&label.value));
    Labels::from_pairs(own.map(|label| (label.name.clone(), label.value.clone())))
}

async fn json(client: &Client, url: &str) -> Result<serde_json::Value, Failure> {
    let answer = client.get(url, &[], TIMEOUT).await?;
    let (is_success, status) = (answer.is_success(), answer.status_text());
    let body = answer.bytes(ANSWER_BYTES_MAX).await?;
    let answer: serde_json::Value = serde_json::from_slice(&body).map_err(|error| format!("{status}: {error}"))?;
    match answer["error"].as_str() {
        Some(error) if !is_success => Err(format!("{status}: {error}").into()),
        _ => Ok(answer),
    }
}

/// The raw samples in `start..=end`, by a range selector. Gives how many native histograms were left out.
async fn query(
    client: &Client,
    origin: &Origin,
    matchers: &[Matcher],
    (start, end): (Timestamp, Timestamp),
    take: &mut impl FnMut(Series),
) -> Result<usize, Failure> {
    let matchers: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    // Open on the left since Prometheus 3; a sample that comes twice before it does no harm.
    let expr = format!("{{{}}}[{}ms]", matchers.join(","), end.ms_since(start) + 1);
    let time = end.as_secs_f64().to_string();
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("query", expr.as_str()), ("time", &time)])
        .finish();
    let answer = json(client, &format!("{}/api/v1/query?{query}", origin.url)).await?;
    let mut left_out = 0;
    for series in answer["data"]["result"].as_array().into_iter().flatten() {
        let pairs = series["metric"].as_object().into_iter().flatten();
        let labels = Labels::from_pairs(pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))));
        let sample = |pair: &serde_json::Value| {
            let at = Timestamp::from_secs_f64(pair[0].as_f64()?);
            let value = match pair[1].as_str()? {
                "+Inf" => f64::INFINITY,
                "-Inf" => f64::NEG_INFINITY,
                text => text.parse().ok()?,
            };
            Some(Sample::float(at, value))
        };
        let values = series["values"].as_array().map_or(&[][..], Vec::as_slice);
        let samples: Option<Vec<Sample>> = values.iter().map(sample).collect();
        left_out += series["histograms"].as_array().map_or(0, Vec::len);
        take(Series::new(labels, samples.ok_or("a sample of the answer cannot be read")?));
    }
    Ok(left_out)
}
