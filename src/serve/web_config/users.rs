//! Users and their passwords, as hashes of bcrypt.
//!
//! **Invariants.** A check costs the same for users that exist and for those that do not, whether it is remembered or not. One hash
//! is computed at a time, off the async threads: whoever guesses passwords cannot take more than one core from the evaluation of rules.
//! **Limits.** [`REMEMBERED_MAX`] outcomes of each kind, [`CHECKS_WAITING_MAX`] checks that wait, [`CREDENTIALS_BYTES_MAX`].
//! **Differs:** a hash of a cost above [`COST_MAX`] is refused. Where 64 checks of new passwords wait, the next one is answered 503.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use crate::source::Secret;

/// Doubling with each step, 16 takes seconds; more would let one wrong password hold up everybody.
pub(super) const COST_MAX: u32 = 16;
/// Outcomes remembered, good and bad ones apart, so that guesses do not push out those who belong here. The number of Prometheus.
const REMEMBERED_MAX: usize = 100;
/// Checks that may wait for the one under way: at the usual cost of 10 they take some seconds.
const CHECKS_WAITING_MAX: usize = 64;
/// Longer credentials are nobody's: bcrypt itself reads no more than 72 bytes of a password.
const CREDENTIALS_BYTES_MAX: usize = 4096;

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// User and password are right.
    Known,
    /// They are not, or none were sent.
    Unknown,
    /// Too many others are being checked.
    Busy,
}

/// The users of one state of the file.
pub(super) struct Users {
    hashes: BTreeMap<String, Secret>,
    /// The costliest of the hashes: what the password of an unknown user is checked against.
    decoy: Secret,
    passed: Mutex<Remembered>,
    failed: Mutex<Remembered>,
    /// Held while a hash is computed.
    turn: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("names", &self.hashes.keys()).finish_non_exhaustive()
    }
}

/// User and password.
type Credentials = (String, String);

/// The last few credentials with the same outcome, the oldest first.
#[derive(Default)]
struct Remembered {
    known: HashSet<Arc<Credentials>>,
    order: VecDeque<Arc<Credentials>>,
}

impl Remembered {
    fn add(&mut self, credentials: &Arc<Credentials>) {
        if !self.known.insert(credentials.clone()) {
            return;
        }
        self.order.push_back(credentials.clone());
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// One check that waits; gone when dropped, also where the client hangs up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let entered = Waiting(count);
        (count.fetch_add(1, Ordering::Relaxed) < CHECKS_WAITING_MAX).then_some(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Users {
    /// `None` where there are none. The hashes have been checked by [`cost_of`].
    pub(super) fn new(hashes: BTreeMap<String, Secret>) -> Option<Users> {
        let decoy = hashes.values().max_by_key(|hash| cost_of(hash).ok())?.clone();
        Some(Users {
            hashes,
            decoy,
            passed: Mutex::default(),
            failed: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Checks the header `Authorization`.
    pub(super) async fn check(&self, header: Option<&HeaderValue>) -> Verdict {
        let Some(credentials) = header.and_then(credentials_of) else { return Verdict::Unknown };
        let credentials = Arc::new(credentials);
        if let Some(verdict) = self.remembered(&credentials) {
            return verdict;
        }
        let Some(_waiting) = Waiting::enter(&self.waiting) else { return Verdict::Busy };
        let _turn = self.turn.lock().await;
        // Others may have asked the same while we waited.
        if let Some(verdict) = self.remembered(&credentials) {
            return verdict;
        }
        let hash = self.hashes.get(&credentials.0);
        let against = hash.unwrap_or(&self.decoy).clone();
        let asked = credentials.clone();
        let matches =
            tokio::task::spawn_blocking(move || bcrypt::verify(&asked.1, against.expose()).unwrap_or(false)).await;
        if hash.is_some() && matches.unwrap_or(false) {
            self.passed.lock().add(&credentials);
            Verdict::Known
        } else {
            self.failed.lock().add(&credentials);
            Verdict::Unknown
        }
    }

    fn remembered(&self, credentials: &Arc<Credentials>) -> Option<Verdict> {
        let passed = self.passed.lock().known.contains(credentials);
        let failed = self.failed.lock().known.contains(credentials);
        if passed {
            return Some(Verdict::Known);
        }
        failed.then_some(Verdict::Unknown)
    }
}

/// User and password of `Basic BASE64`; the word in any case, as in Go.
fn credentials_of(header: &HeaderValue) -> Option<Credentials> {
    let text = header.to_str().ok().filter(|text| text.len() <= CREDENTIALS_BYTES_MAX)?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The cost of a hash, or why it cannot be used. The hash itself is not repeated.
pub(super) fn cost_of(hash: &Secret) -> Result<u32, String> {
    let wrong = "is not a bcrypt hash; make one with `htpasswd -nBC 10 \"\"`".to_owned();
    // What the checker cannot read would otherwise show only when the user comes.
    if !bcrypt_text_is_whole(hash.expose()) {
        return Err(wrong);
    }
    let parts: bcrypt::HashParts = hash.expose().parse().map_err(|_| wrong)?;
    match parts.get_cost() {
        cost @ 4..=COST_MAX => Ok(cost),
        cost => Err(format!("has the cost {cost}; costs of 4 to {COST_MAX} are taken")),
    }
}

/// `$2b$10$` and 53 characters of bcrypt's alphabet.
fn bcrypt_text_is_whole(text: &str) -> bool {
    let parts: Vec<&str> = text.split('$').collect();
    let is_alphabet = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/');
    matches!(parts[..], ["", "2a" | "2b" | "2y" | "2x", _, rest] if rest.len() == 53 && is_alphabet(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(pairs: &[(&str, &str)]) -> Users {
        let hash = |password: &str| Secret::new(bcrypt::hash(password, 4).unwrap());
        Users::new(pairs.iter().map(|(user, password)| ((*user).to_owned(), hash(password))).collect()).unwrap()
    }

    fn basic(text: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(text))).unwrap()
    }

    #[tokio::test]
    async fn right_wrong_missing_and_again() {
        let users = users(&[("a", "pass:word"), ("b", "")]);
        for _ in 0..2 {
            for (text, expected) in [
                ("a:pass:word", Verdict::Known),
                ("b:", Verdict::Known),
                ("a:", Verdict::Unknown),
                ("a:other", Verdict::Unknown),
                ("b:pass:word", Verdict::Unknown),
                ("nobody:pass:word", Verdict::Unknown),
                ("nocolon", Verdict::Unknown),
            ] {
                assert_eq!(users.check(Some(&basic(text))).await, expected, "{text}");
            }
        }
        assert_eq!(users.check(None).await, Verdict::Unknown);
        for header in ["Bearer x", "Basic", "Basic %%", "Basic"] {
            assert_eq!(users.check(Some(&HeaderValue::from_static(header))).await, Verdict::Unknown, "{header}");
        }
        let long = basic(&format!("a:{}", "x".repeat(CREDENTIALS_BYTES_MAX)));
        assert_eq!(users.check(Some(&long)).await, Verdict::Unknown);
        assert_eq!(users.passed.lock().order.len(), 2);
        assert_eq!(users.failed.lock().order.len(), 4);
        assert_eq!(users.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn guesses_push_out_guesses_only() {
        let users = users(&[("a", "p")]);
        assert_eq!(users.check(Some(&basic("a:p"))).await, Verdict::Known);
        for guess in 0..REMEMBERED_MAX + 5 {
            assert_eq!(users.check(Some(&basic(&format!("a:{guess}")))).await, Verdict::Unknown);
        }
        let failed = users.failed.lock();
        assert_eq!((failed.known.len(), failed.order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        assert!(
            failed.known.contains(&("a".to_owned(), "5".to_owned()))
                && !failed.known.contains(&("a".to_owned(), "4".to_owned()))
        );
        assert_eq!(users.passed.lock().known.len(), 1);
    }

    #[tokio::test]
    async fn more_than_may_wait_are_sent_away() {
        let users = users(&[("a", "p")]);
        let turn = users.turn.lock().await;
        let guesses: Vec<HeaderValue> = (0..=CHECKS_WAITING_MAX).map(|guess| basic(&format!("a:{guess}"))).collect();
        let checks = guesses.iter().map(|guess| users.check(Some(guess)));
        let release = async { drop(turn) };
        let (verdicts, ()) = tokio::join!(futures_util::future::join_all(checks), release);
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Busy).count(), 1);
        assert_eq!(users.check(Some(&basic("a:p"))).await, Verdict::Known);
    }

    #[test]
    fn hashes_are_checked() {
        let good = bcrypt::hash("p", 4).unwrap();
        for (text, expected) in [
            (good.as_str(), "4"),
            (&good.replace("$04$", "$17$"), "has the cost 17; costs of 4 to 16 are taken"),
            (&good.replace("$04$", "$03$"), "has the cost 3; costs"),
            (&good[..50], "is not a bcrypt hash"),
            ("", "is not a bcrypt hash"),
            ("plain", "is not a bcrypt hash"),
            (&good.replace("$2b$", "$1$"), "is not a bcrypt hash"),
            (&format!("{}é", &good[..58]), "is not a bcrypt hash"),
        ] {
            let said = match cost_of(&Secret::new(text)) {
                Ok(cost) => cost.to_string(),
                Err(error) => error,
            };
            assert!(said.starts_with(expected), "{text}: {said}");
        }
    }
}
