//! What is made of files, and made again when they change.
//!
//! In the flow: the library's clients of a [`super::Client`]; the configuration of our own port in `serve`.
//! **Invariants.** Files are looked at before they are read, so that a change in between shows at the next look. What cannot be used, such
//! as half a certificate or one whose key has not come yet, is tried once for each state of the files, and the last good value
//! stays in force.
//! **Cost.** A `stat` of each file at each look; all looks wait while one of them reads.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;

/// What a file looked like: enough to see that it was replaced or rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    path: PathBuf,
    modified: Option<SystemTime>,
    len: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Stamp {
    /// A file that is not there has a stamp too.
    pub fn of(path: &Path) -> Stamp {
        let metadata = std::fs::metadata(path).ok();
        Stamp {
            path: path.to_owned(),
            modified: metadata.as_ref().and_then(|metadata| metadata.modified().ok()),
            len: metadata.as_ref().map_or(0, std::fs::Metadata::len),
            #[cfg(unix)]
            inode: metadata.as_ref().map_or(0, std::os::unix::fs::MetadataExt::ino),
        }
    }

    /// Whether the file still looks like this.
    pub fn is_current(&self) -> bool {
        *self == Stamp::of(&self.path)
    }
}

/// The last good value of what is made of files.
#[derive(Debug)]
pub struct Rotating<T>(Mutex<Current<T>>);

#[derive(Debug)]
struct Current<T> {
    value: T,
    /// The files when they were last tried, with success or without.
    stamps: Vec<Stamp>,
}

impl<T: Clone> Rotating<T> {
    /// `stamps` are those of the files that `value` was made of, taken before they were read.
    pub fn new(value: T, stamps: Vec<Stamp>) -> Self {
        Rotating(Mutex::new(Current { value, stamps }))
    }

    /// The value in force, without a look at the files.
    pub fn last(&self) -> T {
        self.0.lock().value.clone()
    }

    /// The value in force after a look at the files. If they changed, `make` is given the value so far and tries to make the next;
    /// it returns `None` where it cannot, and the stamps of what it read, or tried to.
    pub fn fresh(&self, make: impl FnOnce(&T) -> (Option<T>, Vec<Stamp>)) -> T {
        let mut current = self.0.lock();
        if !current.stamps.iter().all(Stamp::is_current) {
            let (made, stamps) = make(&current.value);
            current.stamps = stamps;
            if let Some(made) = made {
                current.value = made;
            }
        }
        current.value.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_state_is_tried_once_and_the_last_good_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        let mut tries = 0;
        let mut make = |_: &i32| {
            tries += 1;
            let stamps = vec![Stamp::of(&file)];
            (std::fs::read_to_string(&file).ok().and_then(|text| text.parse().ok()), stamps)
        };
        let rotating = Rotating::new(0, vec![Stamp::of(&file)]);
        let mut check = |expected: i32| {
            assert_eq!(rotating.fresh(&mut make), expected);
            assert_eq!(rotating.fresh(&mut make), expected);
            assert_eq!(rotating.last(), expected);
        };
        check(0);
        std::fs::write(&file, "17").unwrap();
        check(17);
        std::fs::write(&file, "nothing").unwrap();
        check(17);
        std::fs::remove_file(&file).unwrap();
        check(17);
        std::fs::write(&file, "4").unwrap();
        check(4);
        assert_eq!(tries, 4, "one for each state of the file");
    }
}
