//! Following the files while they change.
//!
//! **Units.** One task per [`Discovery`] that has files. It reads them in tokio's blocking pool.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::files::FileSet;
use super::{DiscoveryMetrics, SdConfigs, TargetGroup};

/// Events come in bursts (create, write, close, rename); files are read once the burst is this old.
const SETTLE: Duration = Duration::from_millis(50);

/// Target groups that are kept up to date until this is dropped.
#[derive(Debug)]
pub struct Discovery {
    sender: Arc<watch::Sender<Arc<Vec<TargetGroup>>>>,
    task: Option<JoinHandle<()>>,
}

impl Discovery {
    /// The groups now.
    pub fn groups(&self) -> Arc<Vec<TargetGroup>> {
        self.sender.borrow().clone()
    }

    /// The groups now, and word of each change. Ends when the [`Discovery`] is dropped.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Vec<TargetGroup>>> {
        self.sender.subscribe()
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Reads the files once, then follows them. Must be called inside a tokio runtime.
pub fn watch(configs: SdConfigs, metrics: Arc<DiscoveryMetrics>) -> Discovery {
    let SdConfigs { static_groups, files } = configs;
    let mut set = FileSet::new(&files);
    let Some(refresh) = files.iter().map(|config| config.refresh_interval).min() else {
        return Discovery { sender: Arc::new(watch::Sender::new(Arc::new(static_groups))), task: None };
    };
    let first = [static_groups.clone(), set.scan(&metrics)].concat();
    let sender = Arc::new(watch::Sender::new(Arc::new(first)));
    let follower = Follower { set, static_groups, refresh, metrics };
    let task = tokio::spawn(follower.run(sender.clone()));
    Discovery { sender, task: Some(task) }
}

struct Follower {
    set: FileSet,
    static_groups: Vec<TargetGroup>,
    refresh: Duration,
    metrics: Arc<DiscoveryMetrics>,
}

impl Follower {
    async fn run(mut self, sender: Arc<watch::Sender<Arc<Vec<TargetGroup>>>>) {
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
            publish(&sender, [self.static_groups.clone(), found].concat());
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

/// Receivers hear of changes only.
fn publish(sender: &watch::Sender<Arc<Vec<TargetGroup>>>, groups: Vec<TargetGroup>) {
    sender.send_if_modified(|current| {
        let changed = **current != groups;
        if changed {
            *current = Arc::new(groups);
        }
        changed
    });
}
