//! The log, on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::Settings;

/// Installs the log for the whole process; a second call changes nothing.
pub(super) fn install(settings: &Settings) {
    // Libraries below us speak only when something is wrong.
    let filter = EnvFilter::new(format!("warn,almenara={}", settings.text("log.level")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Where the log is a file and the disk is full, a report of that to standard error would be a panic, of whoever had something to say.
        .log_internal_errors(false)
        .with_span_events(FmtSpan::NONE)
        .with_target(false)
        .with_ansi(false);
    let _ = match settings.text("log.format") {
        "json" => builder.json().flatten_event(true).try_init(),
        _ => builder.try_init(),
    };
}
