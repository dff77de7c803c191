//! The rules of silences, each as a small story.

use std::time::Duration;

use crate::model::{Labels, MatchOp, Timestamp};
use crate::router::{Silence, SilenceDraft, SilenceError, SilenceId, SilenceState, Silences};

const HOUR: Duration = Duration::from_secs(3600);
const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_500);

fn id(number: u128) -> SilenceId {
    SilenceId::from_random(number)
}

fn draft(matchers: &[(MatchOp, &str, &str)], starts_at: Timestamp, ends_at: Timestamp) -> SilenceDraft {
    SilenceDraft {
        matchers: matchers.iter().map(|(op, name, value)| (*op, (*name).to_owned(), (*value).to_owned())).collect(),
        starts_at,
        ends_at,
        created_by: "me".to_owned(),
        comment: String::new(),
        annotations: Labels::empty(),
    }
}

const A_IS_B: &[(MatchOp, &str, &str)] = &[(MatchOp::Equal, "a", "b")];

/// Silence 1, from an hour before or after `NOW` (never before it in effect) to two hours after.
fn one(starts_at: Timestamp) -> Silences {
    let mut silences = Silences::default();
    silences.set(draft(A_IS_B, starts_at, NOW + HOUR * 2), None, id(1), NOW).unwrap();
    silences
}

fn shown(silences: &Silences, now: Timestamp) -> Vec<String> {
    let secs = |at: Timestamp| at.ms_since(NOW) / 1000;
    let show = |silence: &Silence| {
        let number = (1..10).find(|number| id(*number) == silence.id).expect("an id of the test");
        format!("{number} {} {}..{}", silence.state(now).as_str(), secs(silence.starts_at), secs(silence.ends_at))
    };
    silences.listed(now).into_iter().map(show).collect()
}

#[test]
fn ids_are_uuids() {
    assert_eq!(SilenceId::from_random(u128::MAX).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(SilenceId::from_random(0).to_string(), "00000000-0000-4000-8000-000000000000");
    let text = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    assert_eq!(text.parse::<SilenceId>().map(|id| id.to_string()), Ok(text.to_owned()));
    for bad in ["", "nope", "f47ac10b58cc4372a5670e02b2c3d479", "+47ac10b-58cc-4372-a567-0e02b2c3d479"] {
        assert!(bad.parse::<SilenceId>().is_err(), "{bad}");
    }
}

#[test]
fn its_state_follows_from_the_time() {
    let silences = one(NOW + HOUR);
    let state = |now| silences.get(id(1)).unwrap().state(now);
    assert_eq!(state(NOW), SilenceState::Pending);
    assert_eq!(state(NOW + HOUR), SilenceState::Active);
    assert_eq!(state((NOW + HOUR * 2).plus_ms(-1)), SilenceState::Active);
    assert_eq!(state(NOW + HOUR * 2), SilenceState::Expired);
    let mutes = |now, value: &'static str| silences.silencer(now).mutes(&Labels::from_pairs([("a", value)]));
    assert!(!mutes(NOW, "b") && mutes(NOW + HOUR, "b") && !mutes(NOW + HOUR, "c") && !mutes(NOW + HOUR * 2, "b"));
}

#[test]
fn a_start_in_the_past_becomes_now() {
    assert_eq!(shown(&one(NOW - HOUR), NOW), ["1 active 0..7200"]);
    assert_eq!(shown(&one(NOW + HOUR), NOW), ["1 pending 3600..7200"]);
}

/// Changes silence 1, made as `starts_at` says, a minute after `NOW`, and shows all.
fn check_change(starts_at: Timestamp, change: SilenceDraft, expected: &[&str]) {
    let mut silences = one(starts_at);
    let now = NOW + Duration::from_secs(60);
    silences.set(change, Some(id(1)), id(2), now).unwrap();
    assert_eq!(shown(&silences, now), expected);
}

#[test]
fn a_change_never_alters_the_past() {
    let ends_at = NOW + HOUR * 3;
    // Active: the end may move, the start may only lose its fraction.
    check_change(NOW, draft(A_IS_B, NOW, ends_at), &["1 active 0..10800"]);
    check_change(NOW, draft(A_IS_B, NOW.plus_ms(-500), ends_at), &["1 active 0..10800"]);
    check_change(NOW, draft(A_IS_B, NOW.plus_ms(-501), ends_at), &["2 active 60..10800", "1 expired 0..60"]);
    check_change(NOW, draft(A_IS_B, NOW + HOUR, ends_at), &["2 pending 3600..10800", "1 expired 0..60"]);
    let other = [(MatchOp::Equal, "a", "c")];
    check_change(NOW, draft(&other, NOW, ends_at), &["2 active 60..10800", "1 expired 0..60"]);
    // Pending: both times may move within the future.
    let soon = NOW + HOUR;
    check_change(soon, draft(A_IS_B, NOW + HOUR * 2, ends_at), &["1 pending 7200..10800"]);
    check_change(soon, draft(A_IS_B, NOW, ends_at), &["2 active 60..10800", "1 expired 60..60"]);
}

#[test]
fn what_has_expired_is_made_anew() {
    let mut silences = one(NOW);
    silences.expire(id(1), NOW + HOUR).unwrap();
    silences.expire(id(1), NOW + HOUR * 2).expect("ending again changes nothing");
    assert_eq!(shown(&silences, NOW + HOUR), ["1 expired 0..3600"]);
    silences.set(draft(A_IS_B, NOW, NOW + HOUR * 9), Some(id(1)), id(2), NOW + HOUR).unwrap();
    assert_eq!(shown(&silences, NOW + HOUR), ["2 active 3600..32400", "1 expired 0..3600"]);
    assert_eq!(silences.expire(id(3), NOW), Err(SilenceError::NotFound));
    let unknown = silences.set(draft(A_IS_B, NOW, NOW + HOUR), Some(id(3)), id(4), NOW);
    assert_eq!(unknown, Err(SilenceError::NotFound));
}

#[test]
fn lists_what_matters_first() {
    let mut silences = Silences::default();
    let mut set = |number, starts, ends| {
        let draft = draft(A_IS_B, NOW + HOUR * starts, NOW + HOUR * ends);
        silences.set(draft, None, id(number), NOW).unwrap();
    };
    (1..).zip([(0, 9), (0, 8), (4, 5), (3, 6), (0, 1), (0, 2)]).for_each(|(number, (from, to))| set(number, from, to));
    let at = NOW + Duration::from_secs(7200);
    let order: Vec<String> = shown(&silences, at).iter().map(|line| line[..3].to_owned()).collect();
    assert_eq!(order, ["2 a", "1 a", "4 p", "3 p", "6 e", "5 e"]);
}

#[test]
fn expired_ones_are_forgotten_after_five_days() {
    let silences = one(NOW);
    let end = NOW + HOUR * 2 + HOUR * 120;
    assert_eq!(shown(&silences, end.plus_ms(-1)).len(), 1);
    assert_eq!(shown(&silences, end).len(), 0);
    let kept = |now| Silences::restore(silences.iter().cloned(), now).iter().count();
    assert_eq!((kept(end.plus_ms(-1)), kept(end)), (1, 0));
}

fn check_refused(matchers: &[(MatchOp, &str, &str)], starts_at: Timestamp, ends_at: Timestamp, text: &str) {
    let mut silences = Silences::default();
    let error = silences.set(draft(matchers, starts_at, ends_at), None, id(1), NOW).unwrap_err();
    assert_eq!(error.to_string(), text);
    assert_eq!(silences, Silences::default());
}

#[test]
fn refuses_in_the_words_of_alertmanager() {
    use MatchOp::{Equal, NotEqual, Regex};
    let later = NOW + HOUR;
    check_refused(A_IS_B, later, later, "Failed to create silence: start time must be before end time");
    check_refused(A_IS_B, NOW - HOUR * 2, NOW - HOUR, "Failed to create silence: end time can't be in the past");
    check_refused(&[], NOW, later, "invalid silence: at least one matcher required");
    let empty = "invalid silence: matcher set 0: at least one matcher must not match the empty string";
    check_refused(&[(Equal, "a", ""), (Regex, "b", "x|")], NOW, later, empty);
    let name = "invalid silence: invalid label matcher 1 in set 0: invalid label name \"\"";
    check_refused(&[(Equal, "a", "b"), (Equal, "", "b")], NOW, later, name);
    let regex = "invalid silence: invalid label matcher 0 in set 0: invalid regular expression \"(\": error parsing \
                 regexp: missing closing ): `(`";
    check_refused(&[(Regex, "a", "(")], NOW, later, regex);
    let long = "x".repeat(70_000);
    let size = "silence exceeded maximum size: 70003 bytes (limit: 65536 bytes)";
    check_refused(&[(Equal, "a", &long)], NOW, later, size);
    // A negative matcher is enough, as upstream has it.
    let mut silences = Silences::default();
    silences.set(draft(&[(NotEqual, "a", "")], NOW, later), None, id(1), NOW).unwrap();
}
