//! Where a backtest finds its samples: a file, the folder of a daemon, or the API of a server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::imported::Imported;
use super::openmetrics;
use super::progress::Progress;
use super::query;
use crate::backtest::Demand;
use crate::disk::Disk;
use crate::model::{Label, Labels, Timestamp};
use crate::serve::SAMPLES_FOLDER;
use crate::store::{Row, Store, StoreOptions};

/// The time asked for in one request. A server that keeps to Prometheus's limit of 50 million samples gives as many as 100,000 series have in
/// it at one sample in 30 seconds.
const SLICE_MS: i64 = 4 * 3_600_000;
/// Metric names in one request: the URL must not become too long.
const NAMES_MAX: usize = 30;

/// Start and end as asked for, and how much earlier than the start samples matter; `None` is without bound.
pub(super) type Asked = (Option<Timestamp>, Option<Timestamp>, Option<i64>);

/// Reads what the rules of a backtest need.
pub(super) fn read(source: &str, demand: &Demand, asked: Asked) -> Result<Arc<Store>, String> {
    let store = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
    if source.starts_with("http://") || source.starts_with("https://") {
        read_server(source.trim_end_matches('/'), demand, asked, &store)?;
        return Ok(store);
    }
    let path = Path::new(source);
    if path.is_dir() {
        read_folder(path, &store)?;
        return Ok(store);
    }
    let mut progress = Progress::start(format!("reading {source}"));
    let wants = |labels: &Labels| demand.wants(labels);
    let Imported { samples, refused, passed_over, .. } =
        openmetrics::import(&store, path, &wants, &mut |ratio| progress.at(ratio))?;
    drop(progress);
    if refused > 0 {
        eprintln!(
            "{source}: {refused} samples are left out: they are older than what stands before them of the same series"
        );
    }
    if samples == 0 {
        eprintln!("{source}: none of its {} samples is of a series that the rules read", refused + passed_over);
    }
    Ok(store)
}

fn read_folder(path: &Path, store: &Arc<Store>) -> Result<(), String> {
    let samples = path.join(SAMPLES_FOLDER);
    if !samples.is_dir() {
        return Err(format!(
            "{}: not the storage folder of a daemon: it has no folder {SAMPLES_FOLDER:?}",
            path.display()
        ));
    }
    let (disk, recovered) = Disk::open(&samples, store, Timestamp::MIN).map_err(|error| error.to_string())?;
    for loss in &recovered.losses {
        eprintln!("{loss}");
    }
    disk.close().map_err(|error| format!("{}: {error}", path.display()))
}

/// Asks for the raw samples of each slice of time.
fn read_server(base: &str, demand: &Demand, (start, end, before_ms): Asked, store: &Store) -> Result<(), String> {
    let (Some(start), Some(end)) = (start, end) else {
        return Err("--start and --end are needed where the source is a server".to_owned());
    };
    let Some(before_ms) = before_ms else {
        return Err(
            "the rules look at fixed instants, ahead, or by the `query` of a template: a server cannot be asked for all that; use a file"
                .to_owned(),
        );
    };
    let Some(names) = demand.names() else {
        return Err(
            "a rule selects series without naming a metric: a server cannot be asked for all there is; use a file"
                .to_owned(),
        );
    };
    let from = start.plus_ms(-before_ms);
    let mut progress = Progress::start(format!("asking {base}"));
    let mut slice_end = from;
    let (mut refused, mut histograms) = (0, 0);
    while slice_end < end {
        let slice_start = slice_end;
        slice_end = slice_start.plus_ms(SLICE_MS).min(end);
        for names in names.chunks(NAMES_MAX) {
            let parts: Vec<String> = names.iter().map(|name| regex_quoted(name)).collect();
            // A window includes its end and not its start.
            let query = format!(
                "{{__name__=~{}}}[{}ms]",
                crate::model::quote(&parts.join("|")),
                slice_end.ms_since(slice_start)
            );
            let form = [("query", query), ("time", slice_end.as_secs_f64().to_string())];
            let answer = query::ask(base, "api/v1/query", &form)?;
            if answer["status"] != "success" {
                let text = answer["error"].as_str().unwrap_or("no answer in Prometheus's form");
                return Err(format!("{base}: {text}"));
            }
            for series in answer["data"]["result"].as_array().into_iter().flatten() {
                histograms += usize::from(!series["histograms"].is_null());
                refused += commit_series(series, demand, store);
            }
        }
        progress.at(slice_end.ms_since(from) as f64 / end.ms_since(from).max(1) as f64);
    }
    drop(progress);
    for (count, what) in [(refused, "samples out of order"), (histograms, "pieces of native histograms")] {
        if count > 0 {
            eprintln!("{base}: {count} {what} are left out");
        }
    }
    Ok(())
}

/// Stores a series of an answer; gives how many of its samples were refused.
fn commit_series(series: &serde_json::Value, demand: &Demand, store: &Store) -> usize {
    let label = |(name, value): (&String, &serde_json::Value)| {
        Some(Label { name: name.as_str().into(), value: value.as_str()?.into() })
    };
    let pairs: Vec<Label> = series["metric"].as_object().into_iter().flatten().filter_map(label).collect();
    let labels = Labels::new(pairs);
    if !demand.wants(&labels) {
        return 0;
    }
    let handle = store.series_ref(&labels);
    let row = |point: &serde_json::Value| {
        let at = Timestamp::from_secs_f64(point[0].as_f64()?);
        Some(Row::new(handle, at, point[1].as_str()?.replace("Inf", "inf").parse::<f64>().ok()?))
    };
    let rows: Vec<Row> = series["values"].as_array().into_iter().flatten().filter_map(row).collect();
    store.commit(&rows).refused.len()
}

fn regex_quoted(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == ':' { c.to_string() } else { format!("\\{c}") })
        .collect()
}
