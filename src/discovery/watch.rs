//! Starting all sources of a configuration and stopping them.
//!
//! **Units.** One task for all files, one for each other source.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::board::Board;
use super::dns::DnsSource;
use super::files::FileSet;
use super::follow::Follower;
use super::http::HttpSource;
use super::{DiscoveryMetrics, SdConfigs, TargetGroup, kubernetes, refresh};

/// The slot of files; that of static groups is before it.
const FILES: usize = 1;

/// Target groups that are kept up to date until this is dropped.
#[derive(Debug)]
pub struct Discovery {
    board: Arc<Board>,
    tasks: Vec<JoinHandle<()>>,
}

impl Discovery {
    /// The groups now.
    pub fn groups(&self) -> Arc<Vec<TargetGroup>> {
        self.board.groups()
    }

    /// The groups now, and word of each change. Ends when the [`Discovery`] is dropped.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Vec<TargetGroup>>> {
        self.board.subscribe()
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Reads the files once, then follows all sources. Must be called inside a tokio runtime.
pub fn watch(configs: SdConfigs, metrics: Arc<DiscoveryMetrics>) -> Discovery {
    let SdConfigs { static_groups, files, http, dns, kubernetes: clusters } = configs;
    let mut tasks = Vec::new();
    let mut set = FileSet::new(&files);
    let refresh = files.iter().map(|config| config.refresh_interval).min();
    let scanned = if refresh.is_some() { set.scan(&metrics) } else { Vec::new() };
    let board = Board::new(vec![static_groups, scanned]);
    if let Some(refresh) = refresh {
        let follower = Follower { set, refresh, metrics: metrics.clone() };
        tasks.push(tokio::spawn(follower.run(board.slot(FILES))));
    }
    for config in http {
        let interval = config.refresh_interval;
        let source = HttpSource::new(config, metrics.clone());
        tasks.push(tokio::spawn(refresh::run(source, interval, board.add_slot(), metrics.clone())));
    }
    for config in dns {
        let interval = config.refresh_interval;
        let source = DnsSource::new(config, metrics.clone());
        tasks.push(tokio::spawn(refresh::run(source, interval, board.add_slot(), metrics.clone())));
    }
    for config in clusters {
        tasks.push(tokio::spawn(kubernetes::run(config, board.add_slot(), metrics.clone())));
    }
    Discovery { board, tasks }
}
