//! Silences: for a time, alerts that pass all matchers are not notified.
//!
//! In the flow: requests change [`Silences`], a flush asks a [`Silencer`] which of its alerts are quiet, the API shows by which
//! silences. The driver keeps them on disk and hands them back at start.
//!
//! **Invariants.** Whether a silence waits, is active or has expired follows from its times and the time now alone. What was once
//! silenced stays on record: a change that would alter the past ends the old silence and begins a new one. No silence passes
//! every alert. Ids are chosen by the caller, since nothing here reads randomness.
//! **Limits.** [`SILENCES_MAX`], [`TEXT_MAX`]; expired ones are forgotten after [`RETENTION`].
//! **Cost.** A change is O(silences); a question O(active silences × matchers).
//! **Source.** Alertmanager 0.33 `silence/silence.go`; the texts are its own.
//! **Differs:** a silence has expired at its end, not an instant after it, so that times in ms say what was meant.

use std::fmt;
use std::str::FromStr;

use super::log::RETENTION;
use crate::model::{Labels, MatchOp, Matcher, Timestamp, quote};

/// Most silences at a time, expired ones included: a script that silences in a loop must not fill the memory.
pub const SILENCES_MAX: usize = 10_000;

/// Longest text of a silence, all its parts together, in bytes.
pub(super) const TEXT_MAX: usize = 64 << 10;

/// Identity of a silence; shown as a UUID of version 4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SilenceId(u128);

impl SilenceId {
    /// An id of 122 of these bits; the others say which kind of UUID it is.
    pub fn from_random(bits: u128) -> SilenceId {
        let version = 0x4_u128 << 76;
        let variant = 0b10_u128 << 62;
        SilenceId(bits & !(0xf << 76) & !(0b11 << 62) | version | variant)
    }
}

impl fmt::Display for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// That a text is no UUID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAnId;

impl FromStr for SilenceId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let parts: Vec<&str> = text.split('-').collect();
        let is_uuid = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
            && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if !is_uuid {
            return Err(NotAnId);
        }
        u128::from_str_radix(&parts.concat(), 16).map(SilenceId).map_err(|_| NotAnId)
    }
}

/// Where a silence stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SilenceState {
    /// It mutes.
    Active,
    /// Its start is to come.
    Pending,
    /// Its end has passed.
    Expired,
}

impl SilenceState {
    /// Alertmanager's word.
    pub fn as_str(self) -> &'static str {
        match self {
            SilenceState::Active => "active",
            SilenceState::Pending => "pending",
            SilenceState::Expired => "expired",
        }
    }
}

/// One silence.
#[derive(Clone, Debug, PartialEq)]
pub struct Silence {
    /// Identity.
    pub id: SilenceId,
    /// All must pass; in the order written.
    pub matchers: Vec<Matcher>,
    /// From when on it mutes, inclusive.
    pub starts_at: Timestamp,
    /// Until when, exclusive.
    pub ends_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who wants it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// What else is known of it.
    pub annotations: Labels,
}

impl Silence {
    /// Where it stands at `now`.
    pub fn state(&self, now: Timestamp) -> SilenceState {
        if now < self.starts_at {
            SilenceState::Pending
        } else if now < self.ends_at {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }

    /// Whether it keeps an alert with these labels quiet at `now`.
    pub fn mutes(&self, labels: &Labels, now: Timestamp) -> bool {
        self.state(now) == SilenceState::Active && self.passes(labels)
    }

    fn passes(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    fn is_forgotten(&self, now: Timestamp) -> bool {
        self.ends_at + RETENTION <= now
    }

    /// Whether it can become `draft` without altering what was silenced in the past.
    fn can_become(&self, draft: &SilenceDraft, matchers: &[Matcher], now: Timestamp) -> bool {
        let secs = |at: Timestamp| at.as_ms().div_euclid(1000);
        self.matchers == matchers
            && match self.state(now) {
                // Whoever sends back what the API shows may have lost the fraction of the second.
                SilenceState::Active => secs(draft.starts_at) == secs(self.starts_at) && draft.ends_at >= now,
                SilenceState::Pending => draft.starts_at >= now,
                SilenceState::Expired => false,
            }
    }
}

/// What somebody wants silenced, unchecked.
#[derive(Clone, Debug, PartialEq)]
pub struct SilenceDraft {
    /// Operator, label and value.
    pub matchers: Vec<(MatchOp, String, String)>,
    /// A start in the past becomes now.
    pub starts_at: Timestamp,
    /// Must be in the future.
    pub ends_at: Timestamp,
    /// Who wants it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// What else is known of it.
    pub annotations: Labels,
}

impl SilenceDraft {
    /// Compiles and checks the matchers.
    pub fn compile(&self) -> Result<Vec<Matcher>, SilenceError> {
        let invalid = |reason: String| SilenceError::Invalid(format!("invalid silence: {reason}"));
        let mut matchers = Vec::with_capacity(self.matchers.len());
        for (index, (op, name, value)) in self.matchers.iter().enumerate() {
            let place = format!("invalid label matcher {index} in set 0");
            if name.is_empty() {
                return Err(invalid(format!("{place}: invalid label name \"\"")));
            }
            let matcher = Matcher::new(*op, name.as_str(), value.as_str())
                .map_err(|error| invalid(format!("{place}: invalid regular expression {}: {error}", quote(value))))?;
            matchers.push(matcher);
        }
        if matchers.is_empty() {
            return Err(invalid("at least one matcher required".to_owned()));
        }
        // As upstream, a negative matcher counts as one that does not pass the empty string.
        let passes_empty =
            |matcher: &Matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regex) && matcher.matches_empty();
        if matchers.iter().all(passes_empty) {
            let reason = "matcher set 0: at least one matcher must not match the empty string";
            return Err(invalid(reason.to_owned()));
        }
        Ok(matchers)
    }

    fn check_times(&self, now: Timestamp) -> Result<(), SilenceError> {
        if self.starts_at >= self.ends_at {
            return Err(SilenceError::EndsBeforeStart);
        }
        if self.ends_at < now { Err(SilenceError::EndsInThePast) } else { Ok(()) }
    }

    fn check_size(&self) -> Result<(), SilenceError> {
        let matchers = self.matchers.iter().map(|(_, name, value)| name.len() + value.len()).sum::<usize>();
        let annotations = self.annotations.iter().map(|label| label.name.len() + label.value.len()).sum::<usize>();
        let size = matchers + annotations + self.created_by.len() + self.comment.len();
        if size > TEXT_MAX { Err(SilenceError::TooLarge { size }) } else { Ok(()) }
    }
}

/// Why a silence cannot be set or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SilenceError {
    /// There is none of that id.
    NotFound,
    /// It would never be active.
    EndsBeforeStart,
    /// It would be over already.
    EndsInThePast,
    /// The matchers cannot be used; the text says why.
    Invalid(String),
    /// Its texts have this many bytes together.
    TooLarge {
        /// In bytes.
        size: usize,
    },
    /// There are [`SILENCES_MAX`] already.
    TooMany,
}

impl fmt::Display for SilenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SilenceError::NotFound => f.write_str("silence not found"),
            SilenceError::EndsBeforeStart => {
                f.write_str("Failed to create silence: start time must be before end time")
            }
            SilenceError::EndsInThePast => f.write_str("Failed to create silence: end time can't be in the past"),
            SilenceError::Invalid(reason) => f.write_str(reason),
            SilenceError::TooLarge { size } => {
                write!(f, "silence exceeded maximum size: {size} bytes (limit: {TEXT_MAX} bytes)")
            }
            SilenceError::TooMany => {
                write!(f, "exceeded maximum number of silences: {SILENCES_MAX} (limit: {SILENCES_MAX})")
            }
        }
    }
}

impl std::error::Error for SilenceError {}

/// All silences, in the order they were made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Silences(Vec<Silence>);

impl Silences {
    /// Those that were kept over a restart. Of two with one id the later one counts; those past [`RETENTION`] are left out.
    pub fn restore(kept: impl IntoIterator<Item = Silence>, now: Timestamp) -> Silences {
        let mut silences = Silences::default();
        for silence in kept {
            silences.0.retain(|other| other.id != silence.id);
            silences.0.push(silence);
        }
        silences.collect_garbage(now);
        silences
    }

    /// Makes a silence with the id `fresh`, or changes the one that it `replaces`. The answer is the id of what is in force now:
    /// a change of matchers, or of a time that has passed, ends the old silence and makes a new one.
    pub fn set(
        &mut self,
        draft: SilenceDraft,
        replaces: Option<SilenceId>,
        fresh: SilenceId,
        now: Timestamp,
    ) -> Result<SilenceId, SilenceError> {
        self.collect_garbage(now);
        draft.check_times(now)?;
        let matchers = draft.compile()?;
        let old = match replaces {
            Some(id) => Some(self.position(id).ok_or(SilenceError::NotFound)?),
            None => None,
        };
        draft.check_size()?;
        let kept = old.filter(|position| self.0[*position].can_become(&draft, &matchers, now));
        let id = kept.map_or(fresh, |position| self.0[position].id);
        let starts_at = if kept.is_some() { draft.starts_at } else { draft.starts_at.max(now) };
        let SilenceDraft { ends_at, created_by, comment, annotations, .. } = draft;
        let silence = Silence { id, matchers, starts_at, ends_at, updated_at: now, created_by, comment, annotations };
        match kept {
            Some(position) => self.0[position] = silence,
            None if self.0.len() >= SILENCES_MAX => return Err(SilenceError::TooMany),
            None => {
                if let Some(position) = old {
                    end(&mut self.0[position], now);
                }
                self.0.push(silence);
            }
        }
        Ok(id)
    }

    /// Ends a silence now; one that has ended stays as it is.
    pub fn expire(&mut self, id: SilenceId, now: Timestamp) -> Result<(), SilenceError> {
        let position = self.position(id).ok_or(SilenceError::NotFound)?;
        end(&mut self.0[position], now);
        Ok(())
    }

    /// The silence of that id.
    pub fn get(&self, id: SilenceId) -> Option<&Silence> {
        self.0.iter().find(|silence| silence.id == id)
    }

    /// In the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.0.iter()
    }

    /// As people want to read them: active ones by their end, pending ones by their start, then the latest to expire first.
    pub fn listed(&self, now: Timestamp) -> Vec<&Silence> {
        let mut all: Vec<&Silence> = self.0.iter().filter(|silence| !silence.is_forgotten(now)).collect();
        all.sort_by_key(|silence| {
            let state = silence.state(now);
            let instant = match state {
                SilenceState::Active => silence.ends_at.as_ms(),
                SilenceState::Pending => silence.starts_at.as_ms(),
                SilenceState::Expired => silence.ends_at.as_ms().saturating_neg(),
            };
            (state, instant)
        });
        all
    }

    /// What mutes at `now`.
    pub fn silencer(&self, now: Timestamp) -> Silencer<'_> {
        let mut active: Vec<&Silence> =
            self.0.iter().filter(|silence| silence.state(now) == SilenceState::Active).collect();
        active.sort_by_key(|silence| silence.id);
        Silencer(active)
    }

    /// Forgets those that expired longer than [`RETENTION`] ago.
    pub(super) fn collect_garbage(&mut self, now: Timestamp) {
        self.0.retain(|silence| !silence.is_forgotten(now));
    }

    fn position(&self, id: SilenceId) -> Option<usize> {
        self.0.iter().position(|silence| silence.id == id)
    }
}

fn end(silence: &mut Silence, now: Timestamp) {
    if silence.state(now) != SilenceState::Expired {
        silence.starts_at = silence.starts_at.min(now);
        silence.ends_at = now;
        silence.updated_at = now;
    }
}

/// The active silences of one instant.
#[derive(Debug)]
pub struct Silencer<'a>(Vec<&'a Silence>);

impl Silencer<'_> {
    /// Whether an alert with `labels` is muted.
    pub fn mutes(&self, labels: &Labels) -> bool {
        self.0.iter().any(|silence| silence.passes(labels))
    }

    /// The silences that mute an alert with `labels`, in order of id.
    pub fn silenced_by(&self, labels: &Labels) -> Vec<SilenceId> {
        self.0.iter().filter(|silence| silence.passes(labels)).map(|silence| silence.id).collect()
    }
}
