//! The file that keeps silences over a restart: `silences.json` in the folder for what must survive one.
//!
//! **Invariants.** The file is whole at any instant: a new one is written beside it, synced, and put in its place. A damaged file
//! never stops the start; it is set aside under another name, which the log tells, and what can be read of it counts.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::api::v2;
use crate::model::Timestamp;
use crate::router::Silences;

/// Its name.
const NAME: &str = "silences.json";

/// Where silences are kept.
pub(super) struct SilenceFile {
    folder: PathBuf,
    path: PathBuf,
}

impl SilenceFile {
    /// The file in `folder`, which need not exist yet.
    pub(super) fn in_folder(folder: &Path) -> SilenceFile {
        SilenceFile { folder: folder.to_owned(), path: folder.join(NAME) }
    }

    /// What was kept, but for what has expired long ago.
    pub(super) fn load(&self, now: Timestamp) -> Silences {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Silences::default(),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                self.set_aside(now, &["it is not UTF-8".to_owned()]);
                return Silences::default();
            }
            Err(error) => {
                tracing::error!(file = %self.path.display(), %error, "silences cannot be read, none is in force");
                return Silences::default();
            }
        };
        match v2::decode_silences(&text) {
            Err(reason) => {
                self.set_aside(now, &[reason]);
                Silences::default()
            }
            Ok((kept, problems)) => {
                if !problems.is_empty() {
                    self.set_aside(now, &problems);
                }
                let silences = Silences::restore(kept, now);
                if !problems.is_empty()
                    && let Err(error) = self.save(&silences)
                {
                    tracing::error!(file = %self.path.display(), %error, "silences cannot be written");
                }
                silences
            }
        }
    }

    /// Puts a damaged file where people find it.
    fn set_aside(&self, now: Timestamp, problems: &[String]) {
        let aside = self.folder.join(format!("{NAME}.damaged-{}", now.as_ms()));
        let (file, problems) = (self.path.display(), problems.join("; "));
        match fs::rename(&self.path, &aside) {
            Ok(()) => {
                let aside = aside.display();
                tracing::error!(%file, %aside, problems, "silences are damaged; the file was set aside");
            }
            Err(error) => tracing::error!(%file, %error, problems, "silences are damaged, and cannot be set aside"),
        }
    }

    /// Writes all silences; when it returns they survive a crash of the machine.
    pub(super) fn save(&self, silences: &Silences) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let fresh = self.folder.join(format!("{NAME}.new"));
        let mut file = File::create(&fresh)?;
        file.write_all(v2::encode_silences(silences).as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        // The new name is safe once the folder is.
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, MatchOp};
    use crate::router::{SilenceDraft, SilenceId};

    const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

    fn two() -> Silences {
        let mut silences = Silences::default();
        for number in 0..2 {
            let draft = SilenceDraft {
                matchers: vec![(MatchOp::Equal, "a".to_owned(), number.to_string())],
                starts_at: NOW,
                ends_at: NOW.plus_ms(1_000),
                created_by: "me".to_owned(),
                comment: String::new(),
                annotations: Labels::empty(),
            };
            silences.set(draft, None, SilenceId::from_random(number), NOW).unwrap();
        }
        silences
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = SilenceFile::in_folder(&folder.path().join("made/when/needed"));
        assert_eq!(file.load(NOW), Silences::default());
        file.save(&two()).unwrap();
        assert_eq!(file.load(NOW), two());
        assert_eq!(names(&file.folder), [NAME]);
    }

    /// Loads `text` as the file; expects so many silences, and the damaged file beside what is left.
    fn check_damaged(text: &[u8], readable: usize) {
        let folder = tempfile::tempdir().unwrap();
        let file = SilenceFile::in_folder(folder.path());
        fs::write(&file.path, text).unwrap();
        assert_eq!(file.load(NOW).iter().count(), readable);
        let aside = "silences.json.damaged-1700000000000";
        assert_eq!(fs::read(folder.path().join(aside)).unwrap(), text);
        let left = if readable > 0 { vec![NAME, aside] } else { vec![aside] };
        assert_eq!(names(folder.path()), left);
        assert_eq!(file.load(NOW).iter().count(), readable, "the next start finds a good file");
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let text = v2::encode_silences(&two());
        check_damaged(&text.as_bytes()[..text.len() / 2], 0);
        check_damaged(b"", 0);
        check_damaged(b"\xff", 0);
        check_damaged(text.replacen("\"isRegex\"", "\"isReg\"", 1).as_bytes(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let occupied = folder.path().join("occupied");
        fs::write(&occupied, "").unwrap();
        assert!(SilenceFile::in_folder(&occupied).save(&two()).is_err());
    }
}
