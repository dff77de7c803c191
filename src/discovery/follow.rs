//! Following the files while they change.
//!
//! **Units.** One task per [`Discovery`](super::Discovery) that has files. It reads them in tokio's blocking pool.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::DiscoveryMetrics;
use super::board::Slot;
use super::files::FileSet;

/// Events come in bursts (create, write, close, rename); files are read once the burst is this old.
const SETTLE: Duration = Duration::from_millis(50);

/// Follows files from when their groups were first put into the slot.
pub(super) struct Follower {
    pub(super) set: FileSet,
    pub(super) refresh: Duration,
    pub(super) metrics: Arc<DiscoveryMetrics>,
}

impl Follower {
    pub(super) async fn run(mut self, slot: Slot) {
        // One slot: an event that finds it full is already announced.
        let (announce, mut announced) = mpsc::channel(1);
        let mut watcher = self.watcher(announce);
        loop {
            if let Some(watcher) = &mut watcher {
                self.watch_directories(watcher);
            }
            let mut set = self.set;
            let metrics = self.metrics.clone();
            let (set, found) = tokio::task::spawn_blocking(move || {
                let found = set.scan(&metrics);
                (set, found)
            })
            .await
            .expect("BUG: reading target files panicked");
            self.set = set;
            slot.publish(found);
            tokio::select! {
                () = tokio::time::sleep(self.refresh) => {}
                Some(()) = announced.recv() => {
                    tokio::time::sleep(SETTLE).await;
                    while announced.try_recv().is_ok() {}
                }
            }
        }
    }

    /// Without a watcher (no inotify instances left, say) files are still read every refresh interval.
    fn watcher(&self, announce: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
        let metrics = self.metrics.clone();
        let handler = move |event: notify::Result<notify::Event>| match event {
            // Our own reading must not announce itself, and a change of permissions changes no target.
            Ok(event) if matches!(event.kind, EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_))) => {}
            Ok(_) => drop(announce.try_send(())),
            Err(_) => {
                metrics.watcher_errors.fetch_add(1, Ordering::Relaxed);
            }
        };
        match notify::recommended_watcher(handler) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                self.metrics.watcher_errors.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "target files cannot be watched, they are read at the refresh interval");
                None
            }
        }
    }

    /// Watches what can be watched, each time anew: a directory that was replaced is another one.
    fn watch_directories(&self, watcher: &mut RecommendedWatcher) {
        for directory in self.set.directories() {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                self.metrics.watcher_errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(directory = %directory.display(), %error, "directory of target files cannot be watched");
            }
        }
    }
}
