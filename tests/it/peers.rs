//! The real servers and tools that tests compare us with: where they are, and how Prometheus is started.

// A skipped test must say so.
#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::real::process::{Running, free_port, get, wait_for};

/// A real server or tool by the name of its file in Debian, such as `prometheus-alertmanager`; `alertmanager`, as its makers call
/// it, will do as well. Looked for in the folder that `ALMENARA_PEERS` names, in `target/peers/usr/bin`, then in `PATH`. Where it
/// is missing the test says so and is skipped; where `CI` is set, that is a failure.
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let upstream = name.strip_prefix("prometheus-").unwrap_or(name).replace('-', "_");
    let named = std::env::var_os("ALMENARA_PEERS").map(PathBuf::from);
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/usr/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named
        .into_iter()
        .chain([unpacked])
        .chain(std::env::split_paths(&path))
        .flat_map(|folder| [folder.join(name), folder.join(&upstream)])
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is missing; run .ci/peers target/peers");
        eprintln!("SKIPPED: {name} is not installed; run .ci/peers target/peers to have this test");
    }
    found
}

/// A library of Debian that `.ci/peers` has unpacked, by the end of its path; missing ones are as with [`peer`].
pub(crate) fn peer_library(name: &str) -> Option<PathBuf> {
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/usr/lib"));
    let found =
        folders.into_iter().flatten().flatten().map(|folder| folder.path().join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is missing; run .ci/peers target/peers");
        eprintln!("SKIPPED: {name} is not there; run .ci/peers target/peers to have this test");
    }
    found
}

/// Starts Prometheus on `prometheus.yml` in `folder` and waits until it is ready. Gives its port.
pub(crate) fn start_prometheus(program: &Path, folder: &Path, flags: &[&str]) -> (Running, u16) {
    let port = free_port();
    let running = Running::start(
        Command::new(program)
            .current_dir(folder)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(flags),
        &folder.join("prometheus.log"),
    );
    wait_for("Prometheus is ready", || (get(port, "/-/ready").0 == 200).then_some(()));
    (running, port)
}
