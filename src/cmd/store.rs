//! `almenara store import|verify|dump`: samples on disk, without a daemon.
//!
//! `import` takes OpenMetrics text with timestamps, plain or gzip, or what another server has. `verify` reads every file and says what
//! is damaged: exit code 1 if anything is. `dump` prints all samples as OpenMetrics text. None of them works while a daemon has the folder.
//! **Differs:** `promtool tsdb create-blocks-from openmetrics` writes blocks per two hours and refuses a file without `# EOF`; here the
//! samples join those that are there, and older ones than these are refused and counted.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::imported::Imported;
use super::openmetrics;
use super::progress::Progress;
use super::store_import::{self, Failure, Origin};
use super::{FAILED, FINE, files};
use crate::clock::{self, Stopwatch};
use crate::disk::{Disk, Recovered};
use crate::model::{Timestamp, Value, format_float};
use crate::serve::SAMPLES_FOLDER;
use crate::store::{Store, StoreOptions};

pub(super) fn command() -> Command {
    let path = || {
        Arg::new("storage.path")
            .long("storage.path")
            .value_name("DIR")
            .default_value("data")
            .help("The daemon's folder")
            .value_parser(clap::value_parser!(PathBuf))
    };
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let import = Command::new("import")
        .about("Add samples from OpenMetrics text with timestamps, plain or gzip, or from another server")
        .arg(path())
        .arg(text("from", "URL", "A Prometheus, or another server with its API, whose samples are added"))
        .arg(
            text("api", "API", "How: remote read, exact and with native histograms, or queries where there is none")
                .value_parser(["read", "query"])
                .default_value("read")
                .requires("from"),
        )
        .arg(
            text("match", "SELECTOR", "Only these series; may be repeated [default: all]")
                .action(ArgAction::Append)
                .requires("from"),
        )
        .arg(
            text("slo", "FILE", "Only what the objectives of this file read, as far back; may be repeated")
                .action(ArgAction::Append)
                .value_parser(clap::value_parser!(PathBuf))
                .conflicts_with("match")
                .requires("from"),
        )
        .arg(
            text("start", "TIME", "From when on: RFC 3339, Unix seconds, or how long ago [default: 15d]")
                .requires("from"),
        )
        .arg(text("end", "TIME", "Until when [default: now]").requires("from"))
        .arg(
            text("http.config.file", "FILE", "Authentication and TLS towards the server, as in scrape_configs")
                .requires("from"),
        )
        .arg(super::files_arg().required(false).required_unless_present("from"));
    Command::new("store")
        .about("Look after stored samples while no daemon runs")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(import)
        .subcommand(Command::new("verify").about("Read all files: exit 0 when they are whole, 1 when not").arg(path()))
        .subcommand(Command::new("dump").about("Print all samples as OpenMetrics text").arg(path()))
}

pub(super) fn run(matches: &ArgMatches) -> u8 {
    let (name, matches) = matches.subcommand().expect("BUG: `store` without subcommand");
    let path =
        matches.get_one::<PathBuf>("storage.path").expect("BUG: an argument with a default").join(SAMPLES_FOLDER);
    let outcome = match name {
        "import" => import(&path, matches),
        "verify" => verify(&path),
        "dump" => dump(&path),
        other => unreachable!("BUG: `store` has no {other:?}"),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        FAILED
    })
}

/// Opens the folder; says what is damaged.
fn open(path: &Path) -> Result<(Arc<Store>, Disk, Recovered), Failure> {
    // Nothing expires here: what is too old is for the daemon to say.
    let store = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
    let (disk, recovered) = Disk::open(path, &store, Timestamp::MIN)?;
    for loss in &recovered.losses {
        eprintln!("{loss}");
    }
    Ok((store, disk, recovered))
}

fn import(path: &Path, matches: &ArgMatches) -> Result<u8, Failure> {
    let origin = Origin::of(matches, clock::now())?;
    let (store, disk, _) = open(path)?;
    // What came is kept, even if it is not all.
    let outcome = import_all(&store, origin.as_ref(), matches);
    disk.checkpoint()?;
    disk.close()?;
    outcome.map(|()| FINE)
}

fn import_all(store: &Store, origin: Option<&Origin>, matches: &ArgMatches) -> Result<(), Failure> {
    if let Some(origin) = origin {
        let (stopwatch, mut imported) = (Stopwatch::start(), Imported::default());
        let outcome = store_import::server(store, origin, &mut imported);
        tell(&origin.url, imported, stopwatch);
        outcome.map_err(|error| format!("{}: {error}; run it again to go on", origin.url))?;
    }
    for file in files(matches) {
        let stopwatch = Stopwatch::start();
        let mut progress = Progress::start(format!("importing {}", file.display()));
        let imported = openmetrics::import(store, &file, &|_| true, &mut |ratio| progress.at(ratio))?;
        drop(progress);
        tell(&file.display().to_string(), imported, stopwatch);
    }
    Ok(())
}

fn tell(what: &str, imported: Imported, stopwatch: Stopwatch) {
    let Imported { samples, known, refused, left_out, .. } = imported;
    let seconds = stopwatch.elapsed().as_secs_f64();
    say!(
        "{what}: {samples} samples in {seconds:.1} s, {known} there already, {refused} refused as older than what is stored"
    );
    if left_out > 0 {
        eprintln!("{what}: {left_out} native histograms are left out: only remote read gives them");
    }
}

fn verify(path: &Path) -> Result<u8, Failure> {
    if !path.is_dir() {
        return Err(format!("{}: no such folder", path.display()).into());
    }
    let (store, disk, recovered) = open(path)?;
    let stats = store.stats();
    say!(
        "{}: {} segments, {} logs, {} bytes; {} series, {} samples",
        path.display(),
        recovered.segments,
        recovered.logs,
        recovered.bytes,
        stats.series,
        stats.samples
    );
    if recovered.interrupted_bytes > 0 {
        say!("{} bytes at the end are a record that was being written", recovered.interrupted_bytes);
    }
    disk.close()?;
    Ok(if recovered.losses.is_empty() { FINE } else { FAILED })
}

fn dump(path: &Path) -> Result<u8, Failure> {
    if !path.is_dir() {
        return Err(format!("{}: no such folder", path.display()).into());
    }
    let (store, _disk, recovered) = open(path)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    // A closed pipe is no failure of ours: whoever reads has seen enough.
    let _ = write_text(&store, &mut out);
    Ok(if recovered.losses.is_empty() { FINE } else { FAILED })
}

fn write_text(store: &Store, out: &mut dyn Write) -> io::Result<()> {
    let mut histograms = 0;
    for labels in store.series(&[], Timestamp::MIN, Timestamp::MAX) {
        let matchers: Vec<_> =
            labels.iter().map(|l| crate::model::Matcher::equal(l.name.clone(), l.value.clone())).collect();
        let selected = store.select(&matchers, Timestamp::MIN, Timestamp::MAX);
        // Series with further labels pass the matchers too.
        for sample in selected.iter().filter(|series| series.labels == labels).flat_map(|series| &series.samples) {
            match sample.value {
                Value::Float(value) => {
                    writeln!(out, "{labels} {} {}", format_float(value), seconds(sample.at))?;
                }
                Value::Histogram(_) => histograms += 1,
            }
        }
    }
    if histograms > 0 {
        eprintln!("{histograms} native histograms are left out: the text has no form for them");
    }
    writeln!(out, "# EOF")?;
    out.flush()
}

fn seconds(at: Timestamp) -> String {
    let (seconds, ms) = (at.as_ms().div_euclid(1000), at.as_ms().rem_euclid(1000));
    if ms == 0 { seconds.to_string() } else { format!("{seconds}.{ms:03}") }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_imported_can_be_dumped_and_verified() {
        let folder = tempfile::tempdir().unwrap();
        let text = "# TYPE a counter\na_total{x=\"1\"} 1 10\na_total{x=\"1\"} 2.5 20.25\na_total{x=\"2\"} 3 10\nb 7 5\na_total{x=\"1\"} 9 15\n# EOF\n";
        {
            let (store, disk, _) = open(folder.path()).unwrap();
            assert_eq!(import_text(&store, text), Imported { samples: 4, refused: 1, ..Imported::default() });
            assert_eq!(import_text(&store, text), Imported { known: 4, refused: 1, ..Imported::default() });
            disk.checkpoint().unwrap();
        }
        let (store, _disk, recovered) = open(folder.path()).unwrap();
        assert_eq!((recovered.segments, recovered.losses.len()), (1, 0));
        let mut out = Vec::new();
        write_text(&store, &mut out).unwrap();
        let dumped = String::from_utf8(out).unwrap();
        assert_eq!(dumped, "a_total{x=\"1\"} 1 10\na_total{x=\"1\"} 2.5 20.250\na_total{x=\"2\"} 3 10\nb 7 5\n# EOF\n");
        let again = store_of(&dumped);
        assert_eq!(
            again.select(&[], Timestamp::MIN, Timestamp::MAX),
            store.select(&[], Timestamp::MIN, Timestamp::MAX)
        );
    }

    fn store_of(text: &str) -> Store {
        let store = Store::new(StoreOptions { retention: Duration::MAX });
        import_text(&store, text);
        store
    }

    fn import_text(store: &Store, text: &str) -> Imported {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        openmetrics::import(store, file.path(), &|_| true, &mut |_| ()).unwrap()
    }
}
