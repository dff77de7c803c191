//! Every key of Prometheus 3's configuration file, and what becomes of it.
//!
//! In the flow: a decoder opens a mapping by [`Decoder::section`](super::decode::Decoder::section) with its [`Section`] from here. A key
//! that the section refuses is then an error with the section's reason; one that it does not have is unknown. The guide's table of
//! keys is written from here, and tests feed every key of it to the decoder and to Prometheus's own check.
//! **Invariants.** A decoder asks for exactly the keys that its section acts on: reading another one is a bug, and an acted-on key
//! that nobody reads fails its test.
//! **Source.** Prometheus v3.5 and, marked by [`Key::since`], up to v3.14: `config/config.go`, `discovery/*/*.go`; Prometheus common
//! `config/http_config.go`.

mod beneath;
mod sections;

pub use beneath::{BENEATH, Beneath};
pub use sections::*;

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does what it says.
    ActedOn,
    /// It is an error at its place, because of this.
    Refused(&'static str),
    /// Only this value is taken, which changes nothing; another one is an error, because of that.
    Neutral {
        /// As it is written.
        value: &'static str,
        /// Why no other.
        why: &'static str,
    },
}

/// One key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// A value in YAML's flow form that Prometheus accepts; for a neutral key one that is not neutral.
    pub sample: &'static str,
    /// A further pair without which Prometheus refuses the sample; may be empty.
    pub with: &'static str,
    /// The version of Prometheus that brought it, where that is after 3.5; otherwise empty.
    pub since: &'static str,
    /// Whether it is not Prometheus's but ours.
    pub is_ours: bool,
    /// What becomes of it.
    pub fate: Fate,
}

impl Key {
    const fn new(name: &'static str, sample: &'static str, fate: Fate) -> Key {
        Key { name, sample, with: "", since: "", is_ours: false, fate }
    }

    const fn with(self, with: &'static str) -> Key {
        Key { with, ..self }
    }

    const fn since(self, since: &'static str) -> Key {
        Key { since, ..self }
    }

    const fn ours(self) -> Key {
        Key { is_ours: true, ..self }
    }
}

const fn acted(name: &'static str, sample: &'static str) -> Key {
    Key::new(name, sample, Fate::ActedOn)
}

const fn refused(name: &'static str, sample: &'static str, why: &'static str) -> Key {
    Key::new(name, sample, Fate::Refused(why))
}

const fn neutral(name: &'static str, sample: &'static str, value: &'static str, why: &'static str) -> Key {
    Key::new(name, sample, Fate::Neutral { value, why })
}

/// The keys of one kind of mapping.
#[derive(Debug)]
pub struct Section {
    /// As messages name it.
    pub what: &'static str,
    /// Where it stands, for the guide.
    pub path: &'static str,
    /// A configuration with such a mapping, whose pairs stand for [`HERE`].
    pub frame: &'static str,
    /// Pairs that such a mapping must have.
    pub needs: &'static [(&'static str, &'static str)],
    /// Its own keys.
    pub keys: &'static [Key],
    /// Sections whose keys it has as well.
    pub includes: &'static [&'static Section],
}

/// Stands for the pairs of a mapping in a [`Section::frame`].
pub const HERE: &str = "HERE";

impl Section {
    /// The key of this name, its own or an included one.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys
            .iter()
            .find(|key| key.name == name)
            .or_else(|| self.includes.iter().find_map(|included| included.key(name)))
    }

    /// Its own keys and the included ones.
    pub fn all_keys(&self) -> Vec<&'static Key> {
        self.keys.iter().chain(self.includes.iter().flat_map(|included| included.all_keys())).collect()
    }

    /// The shortest configuration in which `key` has `value`.
    pub fn example(&self, key: &Key, value: &str) -> String {
        let needed =
            self.needs.iter().filter(|(name, _)| *name != key.name).map(|(name, value)| format!("{name}: {value}"));
        let with = Some(key.with.to_owned()).filter(|with| !with.is_empty());
        let pairs: Vec<String> = needed.chain(with).chain([format!("{}: {value}", key.name)]).collect();
        self.frame.replace(HERE, &pairs.join(", "))
    }
}
