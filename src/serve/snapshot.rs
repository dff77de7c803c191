//! Copies of the daemon's folder while it runs: `snapshots/NAME` below `--storage.path`, itself a folder for another `--storage.path`.
//!
//! **Invariants.** A copy that has its name is whole. **Source.** Prometheus 3.5 `web/api/v1/api.go`, `snapshot`, for the names.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::storage::{FOLDER, Storage};
use crate::model::Timestamp;

/// Where the copies are.
const SNAPSHOTS: &str = "snapshots";

/// Makes a copy of `path` and gives its name.
pub(super) fn take(path: &Path, storage: &Storage, now: Timestamp) -> Result<String, String> {
    let name = name(now);
    let folder = path.join(SNAPSHOTS);
    let unfinished = folder.join(format!("{name}.unfinished"));
    let copied = copy(path, &unfinished, storage);
    if copied.is_err() {
        // What is left of it is of no use to anybody.
        let _ = fs::remove_dir_all(&unfinished);
    }
    copied?;
    let finished = fs::rename(&unfinished, folder.join(&name)).and_then(|()| File::open(&folder)?.sync_all());
    finished.map_err(|error| error.to_string())?;
    Ok(name)
}

fn copy(path: &Path, target: &Path, storage: &Storage) -> Result<(), String> {
    storage.snapshot(&target.join(FOLDER))?;
    files(path, target).map_err(|error| error.to_string())
}

/// The files beside the samples: silences and what else must survive a restart.
fn files(path: &Path, target: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), target.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// When, and something that differs for two of the same second.
fn name(now: Timestamp) -> String {
    let second = now.to_rfc3339();
    let second: String = second.chars().take(19).filter(|c| *c != '-' && *c != ':').collect();
    format!("{second}Z-{:016x}", (now.as_ms() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_prometheus_gives_them() {
        let name = name(Timestamp::from_ms(1_512_940_344_123));
        assert!(name.starts_with("20171210T211224Z-") && name.len() == 33, "{name}");
    }
}
