//! The counters of objectives on disk: one file for each SLO file, replaced whole.
//!
//! **Invariants.** A file is written beside its place, flushed and renamed, and ends in its checksum, so that it is the old or the new one, whatever
//! happens in between. One that is damaged is as none: counting begins with the stored samples, and the log says so.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The folder below `storage.path`.
const FOLDER: &str = "slo";

/// Where the counters are.
#[derive(Clone, Debug)]
pub(super) struct SloStates {
    folder: PathBuf,
}

impl SloStates {
    pub(super) fn below(storage: &Path) -> Self {
        SloStates { folder: storage.join(FOLDER) }
    }

    fn path(&self, group: &str) -> PathBuf {
        self.folder.join(format!("{:08x}.counters", crc32fast::hash(group.as_bytes())))
    }

    /// What was saved for a group; `None` where there is nothing that can be used.
    pub(super) fn load(&self, group: &str) -> Option<Vec<u8>> {
        let path = self.path(group);
        let mut bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!(group, %error, "counters of objectives cannot be read; counting begins with the stored samples");
                return None;
            }
        };
        let checksum = bytes.split_off(bytes.len().saturating_sub(4));
        let is_whole = checksum == crc32fast::hash(&bytes).to_le_bytes();
        if !is_whole {
            tracing::error!(group, path = %path.display(), "counters of objectives are damaged; counting begins with the stored samples");
        }
        is_whole.then_some(bytes)
    }

    /// Keeps `bytes` for a group.
    pub(super) fn save(&self, group: &str, bytes: &[u8]) {
        if let Err(error) = self.try_save(group, bytes) {
            tracing::error!(group, %error, "counters of objectives cannot be kept");
        }
    }

    fn try_save(&self, group: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let path = self.path(group);
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.write_all(&crc32fast::hash(bytes).to_le_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let states = SloStates::below(folder.path());
        assert_eq!(states.load("a"), None);
        states.save("a", b"counters");
        states.save("b", b"");
        assert_eq!(
            (states.load("a").as_deref(), states.load("b").as_deref()),
            (Some(&b"counters"[..]), Some(&b""[..]))
        );
        let path = states.path("a");
        let mut bytes = fs::read(&path).unwrap();
        bytes[2] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(states.load("a"), None);
        fs::write(&path, b"ab").unwrap();
        assert_eq!(states.load("a"), None);
    }
}
