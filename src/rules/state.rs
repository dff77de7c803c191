//! What a rule remembers from evaluation to evaluation, and the part of it that outlives the process.
//!
//! In the flow: an evaluation gives, beside samples and alerts, the [states](super::Outcome::states) that changed; the driver stores
//! them before anything is told to the outside, and hands them back at the next start as [`RuleState`]s for new groups to adopt. A
//! reload hands over the same things from group to group.
//!
//! ```text
//! rule/file;group/…    format, file, group, kind, name, labels, query, alerts, complaints      while it has alerts
//! slot/file;group      format, the last slot evaluated
//! ```
//!
//! **Invariants.** What is read back is what was written, or the bytes are refused: another version may have written them.
//! **Source.** The identity of a rule over a reload is Prometheus's: kind, name and labels (`rules/group.go`, `CopyState`).
//! **Differs:** a rule that moves to another group or file takes its alerts along.

use std::sync::Arc;
use std::time::Duration;

use crate::model::wire::{Malformed, Read, Write};
use crate::model::{Alert, Fingerprint, Labels, Timestamp};
use crate::template::query_escape;

use super::Recorded;
use super::alerting::{ActiveAlert, AlertState, Alerts, live};
use super::outcome::RuleOutcomes;
use super::outputs::Outputs;
use super::sending;
use super::status::Health;
use super::transition::{Change, Held, Transition};

/// A name under which something is stored, and what; `None` removes it.
pub type StateChange = (String, Option<Vec<u8>>);

/// What the names of the states of rules begin with.
pub const RULE_PREFIX: &str = "rule/";
/// What the names of the slots of groups begin with.
pub const SLOT_PREFIX: &str = "slot/";

/// Grows when the bytes change their meaning.
const FORMAT: u8 = 1;

/// What makes a rule the same after a reload: whether it alerts, its name and its labels.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Identity {
    pub(super) is_alerting: bool,
    pub(super) name: Arc<str>,
    /// As configured, not rendered.
    pub(super) labels: Labels,
}

/// See the [module](self).
#[derive(Debug)]
pub struct RuleState {
    /// Where the rule stands: `file;group`.
    pub(super) place: String,
    pub(super) identity: Identity,
    /// Its expression when it was last evaluated, as the parser prints it.
    pub(super) query: Arc<str>,
    /// Empty for a recording rule.
    pub(super) alerts: Alerts,
    pub(super) complaints: Alerts,
    /// What it writes.
    pub(super) outputs: Outputs,
    /// The name under which it is stored, if it is.
    pub(super) stored_as: Option<String>,
    pub(super) health: Health,
    pub(super) last_error: Option<Arc<str>>,
    /// Templates that failed in the last evaluation.
    pub(super) warnings: Vec<Arc<str>>,
    pub(super) evaluated_at: Option<Timestamp>,
    pub(super) evaluation_duration: Duration,
    pub(super) outcomes: RuleOutcomes,
    /// Whether its expression has ever found a series to read.
    pub(super) has_matched: bool,
}

impl RuleState {
    pub(super) fn new(place: String, identity: Identity, query: Arc<str>) -> RuleState {
        RuleState {
            place,
            identity,
            query,
            alerts: Alerts::new(),
            complaints: Alerts::new(),
            outputs: Outputs::default(),
            stored_as: None,
            health: Health::Unknown,
            last_error: None,
            warnings: Vec::new(),
            evaluated_at: None,
            evaluation_duration: Duration::ZERO,
            outcomes: RuleOutcomes::default(),
            has_matched: false,
        }
    }

    /// `file;group` of the rule.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether a live alert of it has these labels.
    pub(super) fn is_live(&self, labels: &Labels) -> bool {
        let alert = self.alerts.get(labels).or_else(|| self.complaints.get(labels));
        alert.is_some_and(|alert| alert.state != AlertState::Inactive)
    }

    /// Where the alerts of the rule link to.
    pub(super) fn generator_url(&self, external_url: &str) -> String {
        format!("{external_url}/graph?g0.expr={}&g0.tab=1", query_escape(&self.query))
    }

    /// What to store after alerts changed; `nth` of the rules of this identity in its group it is.
    pub(super) fn change_to_store(&mut self, nth: usize) -> Option<StateChange> {
        if self.alerts.is_empty() && self.complaints.is_empty() {
            return self.change_to_forget();
        }
        let name = self.stored_as.get_or_insert_with(|| {
            let identity = self.identity.labels.to_builder().set("__rule__", self.identity.name.clone()).build();
            format!("{RULE_PREFIX}{}/{}/{nth}", self.place, Fingerprint::of(&identity))
        });
        let name = name.clone();
        Some((name, Some(self.encode())))
    }

    /// That nothing is to be stored of it any more.
    pub fn change_to_forget(&mut self) -> Option<StateChange> {
        self.stored_as.take().map(|name| (name, None))
    }

    /// The ends of the series that it wrote.
    pub fn end_series(&mut self, at: Timestamp) -> Vec<Recorded> {
        self.outputs.take().into_iter().map(|labels| Recorded::end_of(labels, at)).collect()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.text(&self.place);
        out.push(u8::from(self.identity.is_alerting));
        out.text(&self.identity.name);
        out.labels(&self.identity.labels);
        out.text(&self.query);
        for alerts in [&self.alerts, &self.complaints] {
            out.list(alerts.iter(), |out, (labels, alert)| {
                out.labels(labels);
                write_alert(out, alert);
            });
        }
        out
    }

    /// What was stored under `name`.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<RuleState, Malformed> {
        let mut read = Read(bytes);
        if read.byte()? != FORMAT {
            return Err(Malformed);
        }
        let place = read.text()?.to_owned();
        let is_alerting = read.byte()? == 1;
        let identity = Identity { is_alerting, name: read.text()?.into(), labels: read.labels()? };
        let query = read.text()?.into();
        let mut state = RuleState::new(place, identity, query);
        for alerts in [&mut state.alerts, &mut state.complaints] {
            *alerts = read.list(|read| Ok((read.labels()?, read_alert(read)?)))?.into_iter().collect();
        }
        state.stored_as = Some(name.to_owned());
        if read.is_empty() { Ok(state) } else { Err(Malformed) }
    }

    /// That the rule is gone: its alerts end at `now`, but for those that live elsewhere. Gives what there is to tell, and what happened.
    pub fn farewell(
        &mut self,
        now: Timestamp,
        external_url: &str,
        lives_elsewhere: impl Fn(&Labels) -> bool,
    ) -> (Vec<Alert>, Vec<Transition>) {
        let url = self.generator_url(external_url);
        let (mut ended, mut transitions) = (Vec::new(), Vec::new());
        for alerts in [&mut self.alerts, &mut self.complaints] {
            for (labels, alert) in std::mem::take(alerts) {
                let was_told = alert.last_sent_at.is_some();
                if lives_elsewhere(&labels) {
                    continue;
                }
                let mut alert = alert;
                if alert.state != AlertState::Inactive {
                    let change = if alert.state == AlertState::Firing { Change::Removed } else { Change::Ended };
                    transitions.push(Transition::new(&labels, &alert, change));
                    alert.resolved_at = Some(now);
                }
                if was_told {
                    ended.push(alert.as_sent(&labels, now, &url));
                }
            }
        }
        (ended, transitions)
    }

    /// What was told and must be told again at the start: what fires, and what has ended not long ago. It counts as sent.
    pub(super) fn remind(&mut self, now: Timestamp, validity: Duration, external_url: &str) -> Vec<Alert> {
        let url = self.generator_url(external_url);
        let valid_until = sending::valid_until(now, validity);
        let alerts = self.alerts.iter_mut().chain(&mut self.complaints);
        let told = alerts.filter(|(_, alert)| alert.state != AlertState::Pending);
        told.map(|(labels, alert)| {
            alert.last_sent_at = Some(now);
            alert.as_sent(labels, valid_until, &url)
        })
        .collect()
    }

    /// How many of its alerts live.
    pub(super) fn live_len(&self) -> usize {
        live(&self.alerts).count()
    }
}

/// The name and bytes of the last slot of a group.
pub(super) fn slot_change(name: &str, slot: Timestamp) -> StateChange {
    let mut out = vec![FORMAT];
    out.instant(slot);
    (name.to_owned(), Some(out))
}

/// The slot that was stored.
pub fn decode_slot(bytes: &[u8]) -> Result<Timestamp, Malformed> {
    let mut read = Read(bytes);
    match (read.byte()?, read.instant()?) {
        (FORMAT, slot) if read.is_empty() => Ok(slot),
        _ => Err(Malformed),
    }
}

fn write_alert(out: &mut Vec<u8>, alert: &ActiveAlert) {
    out.push(match alert.state {
        AlertState::Inactive => 0,
        AlertState::Pending => 1,
        AlertState::Firing => 2,
    });
    out.labels(&alert.element);
    out.labels(&alert.annotations);
    out.value(&alert.value);
    out.instant(alert.active_at);
    out.instant(alert.fired_at);
    for at in [alert.resolved_at, alert.last_sent_at, alert.keep_firing_since] {
        out.option(at, Vec::instant);
    }
    let number = |held| Held::ALL.iter().position(|known| *known == held).expect("BUG: a reason without a number");
    out.option(alert.held, |out, held| out.varint(number(held) as u64));
    out.push(u8::from(alert.is_unconfirmed));
}

fn read_alert(read: &mut Read<'_>) -> Result<ActiveAlert, Malformed> {
    let state = match read.byte()? {
        0 => AlertState::Inactive,
        1 => AlertState::Pending,
        2 => AlertState::Firing,
        _ => return Err(Malformed),
    };
    Ok(ActiveAlert {
        state,
        element: read.labels()?,
        annotations: read.labels()?,
        value: read.value()?,
        active_at: read.instant()?,
        fired_at: read.instant()?,
        resolved_at: read.option(Read::instant)?,
        last_sent_at: read.option(Read::instant)?,
        keep_firing_since: read.option(Read::instant)?,
        held: read.option(|read| Held::ALL.get(read.varint()? as usize).copied().ok_or(Malformed))?,
        is_unconfirmed: read.byte()? == 1,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Value;

    fn labels() -> impl Strategy<Value = Labels> {
        prop::collection::vec(("[a-z]{1,4}", ".{1,5}"), 0..3).prop_map(Labels::from_pairs)
    }

    fn alert() -> impl Strategy<Value = ActiveAlert> {
        let at = || prop::option::of(any::<i64>().prop_map(Timestamp::from_ms));
        (0..3u8, labels(), labels(), 0..1000u32, (any::<i64>(), any::<i64>()), (at(), at(), at()), 0..7usize).prop_map(
            |(state, element, annotations, value, (active, fired), (resolved_at, last_sent_at, kept), held)| {
                ActiveAlert {
                    state: [AlertState::Inactive, AlertState::Pending, AlertState::Firing][usize::from(state)],
                    element,
                    annotations,
                    value: Value::Float(f64::from(value)),
                    active_at: Timestamp::from_ms(active),
                    fired_at: Timestamp::from_ms(fired),
                    resolved_at,
                    last_sent_at,
                    keep_firing_since: kept,
                    held: Held::ALL.get(held).copied(),
                    is_unconfirmed: held % 2 == 0,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn reads_what_was_written(
            alerts in prop::collection::btree_map(labels(), alert(), 1..4),
            complaints in prop::collection::btree_map(labels(), alert(), 0..2),
            own in labels(),
            cut in any::<prop::sample::Index>(),
        ) {
            let identity = Identity { is_alerting: true, name: "A".into(), labels: own };
            let mut state = RuleState::new("f;g".to_owned(), identity, "up == 0".into());
            (state.alerts, state.complaints) = (alerts, complaints);
            let (name, bytes) = state.change_to_store(0).unwrap();
            let bytes = bytes.unwrap();
            let read = RuleState::decode(&name, &bytes).unwrap();
            prop_assert_eq!(format!("{state:?}"), format!("{read:?}"));
            prop_assert!(RuleState::decode(&name, &bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn nonsense_is_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = RuleState::decode("x", &[&[FORMAT], &*bytes].concat());
            let _ = decode_slot(&bytes);
        }
    }

    #[test]
    fn a_rule_without_alerts_is_not_stored() {
        let identity = Identity { is_alerting: true, name: "A".into(), labels: Labels::empty() };
        let mut state = RuleState::new("f;g".to_owned(), identity, "up == 0".into());
        assert_eq!(state.change_to_store(0), None);
        state.stored_as = Some("rule/x".to_owned());
        assert_eq!(state.change_to_store(0), Some(("rule/x".to_owned(), None)));
        assert_eq!(state.change_to_store(0), None);
        let (_, bytes) = slot_change("slot/f;g", Timestamp::from_ms(-5));
        assert_eq!(decode_slot(&bytes.unwrap()), Ok(Timestamp::from_ms(-5)));
    }
}
