//! The daemon: wiring, the events that steer it, reload, drain.
//!
//! In the flow: [`run`] is the whole life of the process: settings, log, configuration, listeners, [`Daemon`], events until one ends it.
//! **Invariants.** A bad configuration never replaces a good one. SIGTERM drains: what waits to be sent is sent, then we exit.

mod access;
mod beat;
mod clock_watch;
mod daemon;
mod demand;
mod error;
mod groups;
mod history;
mod kept;
mod listen;
mod logging;
mod machine;
mod metadata;
mod routing;
mod scheduler;
mod silence_file;
mod slo_state;
mod snapshot;
mod storage;
mod surface;
mod threads;
mod upkeep;
mod view;
mod warm;
mod web_config;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

pub use daemon::Daemon;
pub use error::ServeError;
pub(crate) use storage::FOLDER as SAMPLES_FOLDER;
pub use web_config::{WebConfig, WebFile};

use self::access::Callers;
use crate::api::ReloadRequest;
use crate::config::{Config, FeatureFlags, FeatureNote, Layer, Settings};
use crate::source::SourceFile;

/// How long threads that cannot be interrupted (a name look-up, a read of a file) may hold up our end after the drain.
const THREADS_END_TIME_MAX: Duration = Duration::from_secs(1);

/// Everything that steers a running daemon.
enum Event {
    /// Read the configuration again; whoever asked by HTTP waits for the answer.
    Reload(Option<ReloadRequest>),
    /// Drain and end.
    Terminate,
}

/// Runs the daemon until it is told to end. `flags` and `environment` are the layers of settings above the file's.
pub fn run(flags: &Layer, environment: &[(String, String)]) -> Result<(), ServeError> {
    let settings = |file: &Layer| {
        Settings::merge(file, environment.iter().cloned(), flags).map_err(|errors| {
            ServeError::Setting(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })
    };
    let first = settings(&Layer::new())?;
    logging::install(&first);
    tell_features(&first);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::System)?;
    let outcome = runtime.block_on(async {
        // Before anything else, since a signal that nobody handles kills.
        let signals = Signals::install().map_err(ServeError::System)?;
        let web = web_config(&first)?;
        let scheme = web.as_ref().map_or("http", WebConfig::scheme);
        let listeners = bind(&first.list("web.listen-address")).await?;
        let address = listeners[0].local_addr().map_err(ServeError::System)?;
        let config = load(&first, scheme, address).map_err(ServeError::Configuration)?;
        let storage = config.storage.clone();
        let settings = settings(&storage)?;
        let daemon = Daemon::start(config, settings, listeners, web).await?;
        tracing::info!(address = %daemon.address(), version = env!("CARGO_PKG_VERSION"), "ready");
        let load = || {
            let config = load(&first, scheme, address).map_err(|diagnostics| diagnostics.to_string())?;
            if config.storage != storage {
                tracing::warn!("what storage says has changed; it takes effect at the next start");
            }
            Ok(config)
        };
        steer(daemon, signals, load).await;
        Ok(())
    });
    runtime.shutdown_timeout(THREADS_END_TIME_MAX);
    outcome
}

/// Handles events one after the other until one ends the daemon.
async fn steer(mut daemon: Daemon, mut signals: Signals, load: impl Fn() -> Result<Config, String>) {
    let mut reloads = daemon.take_reloads();
    loop {
        match next_event(&mut signals, &mut reloads).await {
            Event::Reload(answer) => {
                let outcome = daemon.apply(load()).await;
                if let Some(answer) = answer {
                    // Whoever asked may have gone.
                    let _ = answer.send(outcome);
                }
            }
            Event::Terminate => {
                tracing::info!("draining");
                return daemon.stop().await;
            }
        }
    }
}

struct Signals {
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

async fn next_event(signals: &mut Signals, reloads: &mut mpsc::Receiver<ReloadRequest>) -> Event {
    tokio::select! {
        _ = signals.hangup.recv() => Event::Reload(None),
        _ = signals.terminate.recv() => Event::Terminate,
        _ = signals.interrupt.recv() => Event::Terminate,
        Some(request) = reloads.recv() => Event::Reload(Some(request)),
    }
}

/// Binds every address, so that a port that is taken is known before anything else is done.
pub async fn bind(addresses: &[String]) -> Result<Vec<TcpListener>, ServeError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        // `:9597` means every address, as in Prometheus.
        let full = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.clone() };
        let listener =
            TcpListener::bind(&full).await.map_err(|error| ServeError::Listen { address: address.clone(), error })?;
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return Err(ServeError::Setting("--web.listen-address: no address to listen on".to_owned()));
    }
    Ok(listeners)
}

fn features(settings: &Settings) -> FeatureFlags {
    FeatureFlags::read(&settings.list("enable-feature")).0
}

/// Says in the log what each name of `--enable-feature` did.
fn tell_features(settings: &Settings) {
    for (option, note) in FeatureFlags::read(&settings.list("enable-feature")).1 {
        match note {
            FeatureNote::Enabled => tracing::info!(option, "feature enabled"),
            FeatureNote::AlwaysOn => {
                tracing::warn!(
                    option,
                    "this option for --enable-feature is now permanently enabled and therefore a no-op"
                );
            }
            FeatureNote::NotHere => tracing::warn!(option, "this option for --enable-feature has no meaning here"),
            FeatureNote::Unknown => tracing::warn!(option, "unknown option for --enable-feature"),
        }
    }
}

/// What `--web.config.file` says. Warnings go to the log.
fn web_config(settings: &Settings) -> Result<Option<WebConfig>, ServeError> {
    let Some(path) = settings.path("web.config.file") else { return Ok(None) };
    let (web, diagnostics) = WebConfig::load(&path);
    let Some(web) = web else { return Err(ServeError::Configuration(diagnostics)) };
    diagnostics.iter().for_each(|warning| tracing::warn!(%warning, "web configuration"));
    if web.callers() == Callers::Authenticated && settings.path("config.file").is_none() {
        let message = "--web.config.file demands that callers authenticate, and the embedded default, which scrapes \
                       ourselves, knows no password and has no certificate: give a --config.file with them";
        return Err(ServeError::Setting(message.to_owned()));
    }
    Ok(Some(web))
}

/// The configuration file, or the embedded default that watches `address`. Warnings go to the log.
fn load(settings: &Settings, scheme: &str, address: SocketAddr) -> Result<Config, crate::source::Diagnostics> {
    let (config, diagnostics) = match settings.path("config.file") {
        Some(path) => Config::load(&path, &|name| std::env::var(name).ok(), features(settings).dialect.features),
        None => {
            let reachable = if address.ip().is_unspecified() {
                SocketAddr::from(([127, 0, 0, 1], address.port()))
            } else {
                address
            };
            let text = include_str!("../config/default.yml")
                .replace("ALMENARA_ADDRESS", &reachable.to_string())
                .replace("ALMENARA_SCHEME", scheme);
            Config::embedded(
                &SourceFile::new("<embedded default>", text),
                &[SourceFile::new("rules/almenara.yml", include_str!("../../rules/almenara.yml"))],
                &[SourceFile::new("slo/almenara.yml", include_str!("../../slo/almenara.yml"))],
            )
        }
    };
    let Some(config) = config else { return Err(diagnostics) };
    diagnostics.iter().for_each(|warning| tracing::warn!(%warning, "configuration"));
    Ok(config)
}
