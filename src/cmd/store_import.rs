//! `almenara store import --from`: history from another server.
//!
//! In the flow: a server is read in slices of time, oldest first, through remote read or, where it has none, through range selectors of
//! its query API; [`Imported`] puts the samples into a store.
//!
//! **Units.** Slices are as long as [`SLICE_SAMPLES_AIM`] samples need.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;

use super::explain::instant;
use super::imported::Imported;
use super::progress::Progress;
use super::query::USER_AGENT;
use crate::http::ClientConfig;
use crate::model::{Matcher, Sample, Series, Timestamp};
use crate::promql::eval::QueryOptions;
use crate::promql::parse_metric_selector;
use crate::remote::history::{History, HistoryApi, Slices};
use crate::slo::parse_file;
use crate::source::decode::Decoder;
use crate::source::{SourceFile, parse_duration, yaml};
use crate::store::{Row, Store};

pub(super) type Failure = Box<dyn std::error::Error>;

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
    let history = History::of(&origin.url, origin.config.clone(), origin.api, USER_AGENT).await?;
    let mut progress = Progress::start(format!("importing {}", origin.url));
    let mut slices = Slices::of((origin.start, origin.end), SLICE_SAMPLES_AIM);
    while let Some((from, through)) = slices.current() {
        let mut received = 0;
        for matchers in &origin.selectors {
            let take = |series: Series| {
                received += series.samples.len() as u64;
                let handle = store.series_ref(&series.labels);
                let row = |sample: Sample| Row::new(handle, sample.at, sample.value);
                imported.commit(store, &series.samples.into_iter().map(row).collect::<Vec<_>>());
            };
            let left_out = history.read(matchers, (from, through), take).await?;
            imported.left_out += left_out;
        }
        progress.at(through.ms_since(origin.start) as f64 / origin.end.ms_since(origin.start).max(1) as f64);
        slices.advance(received);
    }
    Ok(())
}

/// Another server, and what of it.
pub(super) struct Origin {
    /// Without a slash at its end.
    pub(super) url: String,
    config: ClientConfig,
    api: HistoryApi,
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
            api: if text("api") == Some("query") { HistoryApi::Query } else { HistoryApi::Read },
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
