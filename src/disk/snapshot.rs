//! A copy of what is stored, made while storing goes on.
//!
//! **Invariants.** The copy holds whole commits: all that had returned when it was asked for, none in part. It shares its segments with
//! the folder where the file system can (they never change), and is no different from a folder of a process that was killed.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::{Disk, Shared, recovery};

impl Disk {
    /// Puts a copy into `target`, a folder that does not exist.
    pub fn snapshot(&self, target: &Path) -> io::Result<()> {
        // So that there is little beside the segments.
        self.checkpoint()?;
        self.shared.copy_to(target)
    }
}

impl Shared {
    fn copy_to(&self, target: &Path) -> io::Result<()> {
        // No file comes or goes meanwhile.
        let checkpoint = self.checkpoint.lock();
        fs::create_dir_all(target.parent().unwrap_or(target))?;
        fs::create_dir(target)?;
        let files = recovery::files(&self.folder)?;
        let place = |path: &Path| target.join(path.file_name().unwrap_or_default());
        for segment in files.segments {
            if fs::hard_link(&segment.path, place(&segment.path)).is_err() {
                fs::copy(&segment.path, place(&segment.path))?;
            }
        }
        for log in files.logs.iter().filter(|log| log.number.0 > checkpoint.covers) {
            // The newest is being written to: of it, the whole records that there are now.
            let len = self.writer.lock().len_of(log.number.0);
            let mut bytes = Vec::new();
            fs::File::open(&log.path)?.take(len).read_to_end(&mut bytes)?;
            let mut copy = fs::File::create(place(&log.path))?;
            copy.write_all(&bytes)?;
            copy.sync_all()?;
        }
        fs::File::open(target)?.sync_all()
    }
}
