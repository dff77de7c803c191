//! Where the real servers and tools are that tests compare us with.

// A skipped test must say so.
#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};

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
