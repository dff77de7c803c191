//! Under any sequence of alerts, waits, lost deliveries, silences and reloads: what a receiver got as firing, it gets as resolved.
//! And no group notifies more often than its timers allow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::timeline::config;
use crate::model::{Alert, Fingerprint, Labels, MatchOp, Timestamp};
use crate::router::{Event, Notification, Router, SilenceDraft, SilenceId};

const GROUP_WAIT: Duration = Duration::from_secs(5);
const GROUP_INTERVAL: Duration = Duration::from_secs(20);

/// Two configurations with the same receivers: in the second, alerts with `b=1` go elsewhere and groups are formed otherwise.
const CONFIGS: [&str; 2] = [
    "
route:
  {receiver: one, group_by: [a], group_wait: 5s, group_interval: 20s, repeat_interval: 10m}
receivers: &r
- {name: one, webhook_configs: [{url: 'http://h/'}, {url: 'http://h/', send_resolved: false}]}
- {name: two, webhook_configs: [{url: 'http://h/'}]}
inhibit_rules:
- {source_matchers: [b=0], target_matchers: [b=1], equal: [a]}
",
    "
route:
  receiver: one
  group_by: [a]
  group_wait: 5s
  group_interval: 20s
  repeat_interval: 10m
  routes:
  - {matchers: [b=1], receiver: two, group_by: [b]}
receivers:
- {name: one, webhook_configs: [{url: 'http://h/'}, {url: 'http://h/', send_resolved: false}]}
- {name: two, webhook_configs: [{url: 'http://h/'}]}
",
];

#[derive(Clone, Copy, Debug)]
enum Action {
    Fire(u8),
    End(u8),
    Wait(u8),
    /// What becomes of the messages from now on.
    Network(Network),
    Apply(bool),
    /// Silences one alert for so many seconds.
    Silence(u8, u8),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Network {
    Works,
    /// The message does not arrive, and we learn of it.
    Refuses,
    /// The message arrives, but we are told it did not.
    LosesAnswers,
    /// The message arrives, and we are never told.
    Hangs,
    /// The message arrives, and we are told with the next event.
    Dawdles,
}

fn actions(with_reloads: bool) -> impl Strategy<Value = Vec<Action>> {
    let network = prop_oneof![
        Just(Network::Works),
        Just(Network::Refuses),
        Just(Network::LosesAnswers),
        Just(Network::Hangs),
        Just(Network::Dawdles)
    ];
    let action = prop_oneof![
        6 => (0u8..6).prop_map(Action::Fire),
        4 => (0u8..6).prop_map(Action::End),
        6 => (0u8..40).prop_map(Action::Wait),
        2 => network.prop_map(Action::Network),
        1 => (0u8..6, 1u8..60).prop_map(|(id, secs)| Action::Silence(id, secs)),
        if with_reloads { 2 } else { 0 } => any::<bool>().prop_map(Action::Apply),
    ];
    prop::collection::vec(action, 0..60)
}

struct World {
    router: Router,
    now: Timestamp,
    network: Network,
    late: Vec<Event>,
    /// Who believes what to be firing; of those that are told about ends.
    believed: BTreeMap<(String, usize), BTreeSet<Fingerprint>>,
    /// When a group last notified an integration.
    last: BTreeMap<(String, String, usize), Timestamp>,
    checks_pace: bool,
}

impl World {
    fn step(&mut self, events: Vec<Event>) {
        let mut events: Vec<Event> = self.late.drain(..).chain(events).collect();
        loop {
            let sent = self.router.step(self.now, std::mem::take(&mut events));
            if sent.is_empty() {
                return;
            }
            for notification in sent {
                self.check_pace(&notification);
                if self.network != Network::Refuses {
                    self.receive(&notification);
                }
                match self.network {
                    Network::Works => events.push(Event::Delivered(notification.id)),
                    Network::Refuses | Network::LosesAnswers => {
                        events.push(Event::Failed(notification.id, "no answer".to_owned()));
                    }
                    Network::Hangs => {}
                    Network::Dawdles => self.late.push(Event::Delivered(notification.id)),
                }
            }
        }
    }

    fn receive(&mut self, notification: &Notification) {
        let (_, index) = notification.integration;
        if notification.receiver == "one" && index == 1 {
            assert!(notification.alerts.iter().all(|alert| !alert.is_resolved_at(self.now)));
            return;
        }
        let believed = self.believed.entry((notification.receiver.clone(), index)).or_default();
        for alert in &notification.alerts {
            if alert.is_resolved_at(self.now) {
                believed.remove(&alert.fingerprint());
            } else {
                believed.insert(alert.fingerprint());
            }
        }
    }

    fn check_pace(&mut self, notification: &Notification) {
        let key = (notification.group_key.clone(), notification.receiver.clone(), notification.integration.1);
        let last = self.last.insert(key, self.now);
        if !self.checks_pace {
            return;
        }
        let group = self.router.groups().find(|(_, group)| group.key() == notification.group_key);
        let created_at = group.expect("a group lives while its message is under way").1.created_at;
        match last.filter(|last| *last > created_at) {
            Some(last) => assert!(self.now.since(last) >= GROUP_INTERVAL),
            None => assert!(self.now.since(created_at) >= GROUP_WAIT),
        }
    }

    /// Everyone who must know of a firing alert does.
    fn check_firing(&self) {
        let alerts = self.router.alerts().map(|(_, stored)| &stored.alert);
        let firing: Vec<&Alert> = alerts.filter(|alert| !alert.is_resolved_at(self.now)).collect();
        let inhibited_by = self.router.inhibited_by(self.now, firing.iter().map(|alert| &alert.labels));
        for (alert, _) in firing.iter().zip(inhibited_by).filter(|(_, by)| by.is_none()) {
            for route in self.router.config().route.matching(&alert.labels) {
                let believed = self.believed.get(&(route.options.receiver.clone(), 0));
                let is_known = believed.is_some_and(|believed| believed.contains(&alert.fingerprint()));
                assert!(is_known, "{} does not know of {}", route.options.receiver, alert.labels);
            }
        }
    }

    fn run_until(&mut self, until: Timestamp) {
        while let Some(wakeup) = self.router.next_wakeup().filter(|wakeup| *wakeup <= until) {
            assert!(wakeup >= self.now);
            self.now = wakeup;
            self.step(Vec::new());
        }
        self.now = until;
    }

    fn alert(&mut self, id: u8, ends_at: Timestamp) {
        let (a, b) = ((id % 3).to_string(), (id / 3).to_string());
        let labels = Labels::from_pairs([("alertname", "A"), ("a", a.as_str()), ("b", b.as_str())]);
        let alert =
            Alert { labels, annotations: Labels::empty(), starts_at: self.now, ends_at, generator_url: String::new() };
        self.step(vec![Event::Alerts(vec![alert])]);
    }

    fn silence(&mut self, id: u8, length: Duration) {
        let equal = |name: &str, value: u8| (MatchOp::Equal, name.to_owned(), value.to_string());
        let draft = SilenceDraft {
            matchers: vec![equal("a", id % 3), equal("b", id / 3)],
            starts_at: self.now,
            ends_at: self.now + length,
            created_by: String::new(),
            comment: String::new(),
            annotations: Labels::empty(),
        };
        let mut silences = self.router.silences().clone();
        let id = SilenceId::from_random(silences.iter().count() as u128);
        silences.set(draft, None, id, self.now).expect("a good silence");
        self.router.set_silences(silences);
    }

    fn end_silences(&mut self) {
        let mut silences = self.router.silences().clone();
        let ids: Vec<SilenceId> = silences.iter().map(|silence| silence.id).collect();
        ids.into_iter().for_each(|id| silences.expire(id, self.now).expect("a known silence"));
        self.router.set_silences(silences);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Fire(id) => self.alert(id, self.now + Duration::from_secs(3600)),
            Action::End(id) => self.alert(id, self.now),
            Action::Wait(secs) => self.run_until(self.now + Duration::from_secs(u64::from(secs))),
            Action::Network(network) => self.network = network,
            Action::Silence(id, secs) => self.silence(id, Duration::from_secs(u64::from(secs))),
            Action::Apply(is_second) => {
                self.router.apply(config(CONFIGS[usize::from(is_second)]), self.now);
                self.step(Vec::new());
            }
        }
    }
}

fn check(actions: Vec<Action>, checks_pace: bool) {
    let now = Timestamp::from_ms(1_700_000_000_000);
    let router = Router::new(config(CONFIGS[0]), "http://am", now);
    let (believed, last) = (BTreeMap::new(), BTreeMap::new());
    let late = Vec::new();
    let mut world = World { router, now, network: Network::Works, late, believed, last, checks_pace };
    for action in actions {
        world.act(action);
        // A clone continues exactly as the original: all state is in the value.
        world.router = world.router.clone();
    }
    world.act(Action::Network(Network::Works));
    world.end_silences();
    // A little longer than the group interval, and less than repeats would need to mend what was forgotten.
    world.run_until(world.now + GROUP_INTERVAL + GROUP_WAIT);
    world.check_firing();
    for id in 0..6 {
        world.act(Action::End(id));
    }
    world.run_until(world.now + Duration::from_secs(3600));
    assert!(world.believed.values().all(BTreeSet::is_empty), "{:?}", world.believed);
    assert_eq!(world.router.groups().count(), 0, "a group is left although everything has ended");
    assert!(world.router.under_way.is_empty());
}

proptest! {
    #[test]
    fn what_was_told_is_resolved(actions in actions(false)) {
        check(actions, true);
    }

    #[test]
    fn reloads_lose_nothing_either(actions in actions(true)) {
        check(actions, false);
    }
}
