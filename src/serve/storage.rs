//! The daemon's samples on disk: opened before anything is scraped, and what there is to say about them.
//!
//! **Invariant.** A folder that another process has ends the start: two writers would spoil it. Anything else that is wrong with the
//! disk does not: samples are then in memory only, and `/-/ready`, the metrics, the page and the log say so.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::error::ServeError;
use crate::clock::Stopwatch;
use crate::disk::{Disk, DiskError, Health, StateChange};
use crate::exposition::{Family, FamilyKind};
use crate::model::Timestamp;
use crate::store::Store;

/// The folder of samples below `storage.path`.
pub(crate) const FOLDER: &str = "samples";

/// See the module head. Empty until [`Storage::open`].
#[derive(Default)]
pub(super) struct Storage(OnceLock<Result<Disk, String>>);

impl Storage {
    /// Reads what is below `path` into `store`, and keeps there what is committed from now on. What has expired is removed from the folder as
    /// time passes, so all that is there is read.
    pub(super) fn open(&self, path: &Path, store: &Arc<Store>) -> Result<(), ServeError> {
        let stopwatch = Stopwatch::start();
        let opened = match Disk::open(&path.join(FOLDER), store, Timestamp::MIN) {
            Ok((disk, recovered)) => {
                for loss in &recovered.losses {
                    tracing::error!(%loss, "stored samples are lost");
                }
                if recovered.interrupted_bytes > 0 {
                    tracing::warn!(
                        bytes = recovered.interrupted_bytes,
                        "the last record was being written when the process ended; its bytes are kept in the file \"interrupted\""
                    );
                }
                let stats = store.stats();
                tracing::info!(
                    series = stats.series,
                    samples = stats.samples,
                    bytes = recovered.bytes,
                    elapsed_ms = stopwatch.elapsed().as_millis() as u64,
                    "stored samples read"
                );
                Ok(disk)
            }
            Err(error @ DiskError::Locked(_)) => return Err(ServeError::Storage(error)),
            Err(error) => {
                tracing::error!(%error, "samples cannot be kept on disk, only in memory");
                Err(error.to_string())
            }
        };
        assert!(self.0.set(opened).is_ok(), "BUG: the storage was opened twice");
        Ok(())
    }

    /// Notes states of other parts; they survive the process when this returns, unless the disk fails.
    pub(super) fn put(&self, states: Vec<StateChange>) {
        if let Some(Ok(disk)) = self.0.get()
            && !states.is_empty()
        {
            disk.put(states);
        }
    }

    /// The states whose names begin with `prefix`.
    pub(super) fn states(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        match self.0.get() {
            Some(Ok(disk)) => disk.states(prefix),
            _ => Vec::new(),
        }
    }

    /// The state of this name.
    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.states(name).into_iter().find(|(found, _)| found == name).map(|(_, state)| state)
    }

    /// Copies what is stored to `target`.
    pub(super) fn snapshot(&self, target: &Path) -> Result<(), String> {
        match self.0.get() {
            Some(Ok(disk)) => disk.snapshot(target).map_err(|error| error.to_string()),
            Some(Err(error)) => Err(error.clone()),
            None => Err("what is stored has not been read yet".to_owned()),
        }
    }

    /// What is wrong, for people.
    pub(super) fn problem(&self) -> Option<String> {
        match self.0.get()? {
            Err(error) => Some(format!("Samples are kept in memory only: {error}.")),
            Ok(disk) => match disk.health() {
                Health::Good => None,
                Health::Failing { error, missed } => {
                    Some(format!("Samples do not reach the disk, {missed} are in memory only: {error}."))
                }
            },
        }
    }

    /// Writes out what was committed.
    pub(super) fn flush(&self) {
        if let Some(Ok(disk)) = self.0.get()
            && let Err(error) = disk.flush()
        {
            tracing::error!(%error, "the last samples may not be on the disk");
        }
    }

    /// Adds the metrics.
    pub(super) fn collect(&self, families: &mut Vec<Family>) {
        let (is_good, missed) = match self.0.get() {
            Some(Ok(disk)) => match disk.health() {
                Health::Good => (1.0, 0),
                Health::Failing { missed, .. } => (0.0, missed),
            },
            _ => (0.0, 0),
        };
        let gauge = |name, help, value| Family::single(name, help, FamilyKind::Gauge, value);
        families.push(gauge("almenara_storage_healthy", "Whether samples reach the disk.", is_good));
        families.push(gauge(
            "almenara_storage_missed_samples",
            "Samples that are in memory only, since the disk fails.",
            missed as f64,
        ));
        if let Some(Ok(disk)) = self.0.get()
            && let Ok(bytes) = disk.bytes()
        {
            families.push(gauge("almenara_storage_bytes", "Bytes of the files of samples.", bytes as f64));
        }
    }
}
