//! A small language for timelines: a script of what happens when, and the notifications expected.
//!
//! One line is a time and a command: `0s fire A job=x`, `20m end A job=x`, `refuse` (deliveries fail from now on), `accept`,
//! `mute` (no report comes back), `apply NAME` (a new configuration), `silence 1h job=x` (from now on), `run` (only let the
//! time pass).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Alert, Labels, MatchOp, Timestamp};
use crate::router::{Event, Notification, Router, RouterConfig, SilenceDraft, SilenceId};
use crate::source::{SourceFile, parse_duration};

/// One second after the full hour, so that nothing falls on zero by chance.
const START: Timestamp = Timestamp::from_ms(1_700_000_000_000);

pub(super) fn config(text: &str) -> RouterConfig {
    let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("router.yml", text));
    config.unwrap_or_else(|| panic!("{diagnostics}"))
}

#[derive(Clone, Copy)]
enum Receiver {
    Accepts,
    Refuses,
    Mute,
}

struct Timeline {
    router: Router,
    now: Timestamp,
    receiver: Receiver,
    log: Vec<String>,
}

impl Timeline {
    /// Runs every timer up to and including `until`.
    fn run_until(&mut self, until: Timestamp) {
        while let Some(wakeup) = self.router.next_wakeup().filter(|wakeup| *wakeup <= until) {
            assert!(wakeup >= self.now, "a wakeup in the past");
            self.now = wakeup;
            self.step(Vec::new());
        }
        self.now = until;
    }

    /// Steps, and reports what came out until nothing more comes.
    fn step(&mut self, events: Vec<Event>) {
        let mut events = events;
        loop {
            let notifications = self.router.step(self.now, std::mem::take(&mut events));
            if notifications.is_empty() {
                return;
            }
            for notification in notifications {
                self.log.push(self.show(&notification));
                match self.receiver {
                    Receiver::Accepts => events.push(Event::Delivered(notification.id)),
                    Receiver::Refuses => events.push(Event::Failed(notification.id, "refused".to_owned())),
                    Receiver::Mute => {}
                }
            }
        }
    }

    fn show(&self, notification: &Notification) -> String {
        let names = |is_resolved: bool| {
            let named = notification.alerts.iter().filter(|alert| alert.is_resolved_at(self.now) == is_resolved);
            named.map(Alert::name).collect::<Vec<_>>().join(",")
        };
        let at = crate::source::format_duration(self.now.since(START));
        let (receiver, index) = (&notification.receiver, notification.integration.1);
        let (firing, resolved) = (names(false), names(true));
        format!("{at} {receiver}/{index} {}: firing={firing} resolved={resolved}", notification.reason)
    }

    fn command(&mut self, words: &[&str], configs: &[(&str, &str)]) {
        match words {
            ["fire", name, labels @ ..] => self.alert(name, labels, self.now + Duration::from_secs(100 * 3600)),
            ["end", name, labels @ ..] => self.alert(name, labels, self.now),
            ["refuse"] => self.receiver = Receiver::Refuses,
            ["accept"] => self.receiver = Receiver::Accepts,
            ["mute"] => self.receiver = Receiver::Mute,
            ["apply", name] => {
                let text = configs.iter().find(|(other, _)| other == name).expect("a configuration of that name").1;
                self.router.apply(config(text), self.now);
                self.step(Vec::new());
            }
            ["silence", length, labels @ ..] => self.silence(parse_duration(length).unwrap(), labels),
            ["run"] => {}
            _ => panic!("not a command: {words:?}"),
        }
    }

    fn silence(&mut self, length: Duration, labels: &[&str]) {
        let equal = |label: &&str| {
            let (name, value) = label.split_once('=').unwrap();
            (MatchOp::Equal, name.to_owned(), value.to_owned())
        };
        let draft = SilenceDraft {
            matchers: labels.iter().map(equal).collect(),
            starts_at: self.now,
            ends_at: self.now + length,
            created_by: "test".to_owned(),
            comment: String::new(),
            annotations: Labels::empty(),
        };
        let mut silences = self.router.silences().clone();
        let id = SilenceId::from_random(silences.iter().count() as u128);
        silences.set(draft, None, id, self.now).unwrap();
        self.router.set_silences(silences);
    }

    fn alert(&mut self, name: &str, labels: &[&str], ends_at: Timestamp) {
        let mut pairs: BTreeMap<&str, &str> = labels.iter().map(|label| label.split_once('=').unwrap()).collect();
        pairs.insert("alertname", name);
        let labels = Labels::from_pairs(pairs);
        let known = self.router.alerts().find(|(_, stored)| stored.alert.labels == labels);
        let known = known.filter(|(_, stored)| !stored.alert.is_resolved_at(self.now));
        let starts_at = known.map_or(self.now, |(_, stored)| stored.alert.starts_at);
        let (annotations, generator_url) = (Labels::empty(), String::new());
        self.step(vec![Event::Alerts(vec![Alert { labels, annotations, starts_at, ends_at, generator_url }])]);
    }
}

/// Runs `script` with the first of `configs` in force and compares what was sent.
pub(super) fn check_with(configs: &[(&str, &str)], script: &str, expected: &[&str]) {
    let router = Router::new(config(configs[0].1), "http://am", START);
    let mut timeline = Timeline { router, now: START, receiver: Receiver::Accepts, log: Vec::new() };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        timeline.run_until(START + parse_duration(words[0]).unwrap());
        timeline.command(&words[1..], configs);
    }
    assert_eq!(timeline.log, expected, "\n{script}");
}

pub(super) fn check(config: &str, script: &str, expected: &[&str]) {
    check_with(&[("first", config)], script, expected);
}

const ONE: &str = "
route: {receiver: team, group_by: [cluster], group_wait: 30s, group_interval: 5m, repeat_interval: 1h}
receivers: [{name: team, webhook_configs: [{url: 'http://h/'}]}]
";

#[test]
fn silences_mute_what_fires_and_let_ends_through() {
    check(
        ONE,
        "0s fire A
         0s fire B
         1m silence 20m alertname=A
         2m fire C
         2m fire A instance=2
         6m end A
         30m run
         40m silence 10h alertname=B
         50m end B
         51m end C
         51m end A instance=2
         6h run",
        &[
            "30s team/0 first notification: firing=A,B resolved=",
            "5m30s team/0 new alerts added: firing=B,C resolved=",
            // Silenced, but the receiver was told that it fires.
            "10m30s team/0 some alerts resolved: firing=B,C resolved=A",
            // The silence is over at 21m.
            "25m30s team/0 new alerts added: firing=A,B,C resolved=",
            "50m30s team/0 some alerts resolved: firing=A,C resolved=B",
            "55m30s team/0 all alerts resolved: firing= resolved=A,C",
        ],
    );
}

#[test]
fn what_was_silenced_all_its_life_is_never_told() {
    check(ONE, "0s silence 1h alertname=A\n0s fire A\n30m end A\n3h run", &[]);
    check(
        ONE,
        "0s fire A\n10s silence 1m alertname=A\n3h end A\n4h run",
        &[
            "5m30s team/0 first notification: firing=A resolved=",
            "1h5m30s team/0 repeat interval elapsed: firing=A resolved=",
            "2h5m30s team/0 repeat interval elapsed: firing=A resolved=",
            "3h30s team/0 all alerts resolved: firing= resolved=A",
        ],
    );
}

#[test]
fn waits_groups_and_resolves() {
    check(
        ONE,
        "0s fire A
         10s fire B
         1m fire C
         7m end B
         16m end A
         16m end C
         2h run",
        &[
            "30s team/0 first notification: firing=A,B resolved=",
            "5m30s team/0 new alerts added: firing=A,B,C resolved=",
            "10m30s team/0 some alerts resolved: firing=A,C resolved=B",
            "20m30s team/0 all alerts resolved: firing= resolved=A,C",
        ],
    );
}

#[test]
fn resolved_before_the_wait_is_never_told() {
    check(ONE, "0s fire A\n 20s end A\n 1h run", &[]);
    // In one group with another, it is shown as Alertmanager shows it.
    check(ONE, "0s fire A\n 5s fire B\n 20s end A\n 4m run", &["30s team/0 first notification: firing=B resolved=A"]);
}

#[test]
fn groups_by_label_value() {
    check(
        ONE,
        "0s fire A cluster=x\n 1s fire B cluster=y\n 2s fire C cluster=x\n 1m run",
        &["30s team/0 first notification: firing=A,C resolved=", "31s team/0 first notification: firing=B resolved="],
    );
}

#[test]
fn repeats_at_the_first_tick_after_the_interval() {
    check(
        ONE,
        "0s fire A\n 2h10m run",
        &[
            "30s team/0 first notification: firing=A resolved=",
            "1h30s team/0 repeat interval elapsed: firing=A resolved=",
            "2h30s team/0 repeat interval elapsed: firing=A resolved=",
        ],
    );
    let odd = ONE.replace("repeat_interval: 1h", "repeat_interval: 7m");
    check(
        &odd,
        "0s fire A\n 20m run",
        &[
            "30s team/0 first notification: firing=A resolved=",
            "10m30s team/0 repeat interval elapsed: firing=A resolved=",
        ],
    );
}

#[test]
fn fires_again_in_the_same_and_in_a_new_group() {
    check(
        ONE,
        "0s fire A\n 2m end A\n 3m fire A\n 12m end A\n 16m fire A\n 17m run",
        &[
            "30s team/0 first notification: firing=A resolved=",
            "15m30s team/0 all alerts resolved: firing= resolved=A",
            "16m30s team/0 first notification: firing=A resolved=",
        ],
    );
}

#[test]
fn ends_by_itself_when_nobody_repeats_it() {
    let router = Router::new(config(ONE), "http://am", START);
    let mut timeline = Timeline { router, now: START, receiver: Receiver::Accepts, log: Vec::new() };
    timeline.alert("A", &[], START + Duration::from_secs(240));
    timeline.run_until(START + Duration::from_secs(3600));
    let expected =
        ["30s team/0 first notification: firing=A resolved=", "5m30s team/0 all alerts resolved: firing= resolved=A"];
    assert_eq!(timeline.log, expected);
}

const TREE: &str = "
route:
  receiver: fallback
  group_wait: 10s
  routes:
  - {matchers: ['severity=\"page\"'], receiver: pager, continue: true}
  - {matchers: [severity=~\"page|ticket\"], receiver: both}
  - {matchers: [severity=page], receiver: never}
receivers:
- {name: fallback, webhook_configs: [{url: 'http://h/f'}]}
- {name: pager, webhook_configs: [{url: 'http://h/1', send_resolved: false}, {url: 'http://h/2'}]}
- {name: both, webhook_configs: [{url: 'http://h/b'}]}
- {name: never, webhook_configs: [{url: 'http://h/n'}]}
";

#[test]
fn goes_down_the_tree_and_on_with_continue() {
    check(
        TREE,
        "0s fire A severity=page\n 1s fire B\n 2s fire C severity=ticket\n 1m end A severity=page\n 6m run",
        &[
            "10s pager/0 first notification: firing=A resolved=",
            "10s pager/1 first notification: firing=A resolved=",
            "10s both/0 first notification: firing=A,C resolved=",
            "11s fallback/0 first notification: firing=B resolved=",
            "5m10s pager/1 all alerts resolved: firing= resolved=A",
            "5m10s both/0 some alerts resolved: firing=C resolved=A",
        ],
    );
}

#[test]
fn a_refused_message_is_sent_again_at_the_next_tick() {
    check(
        ONE,
        "0s refuse\n 0s fire A\n 6m accept\n 16m end A\n 30m run",
        &[
            "30s team/0 first notification: firing=A resolved=",
            "5m30s team/0 first notification: firing=A resolved=",
            "10m30s team/0 first notification: firing=A resolved=",
            "20m30s team/0 all alerts resolved: firing= resolved=A",
        ],
    );
}

#[test]
fn an_end_is_told_until_it_is_accepted() {
    check(
        ONE,
        "0s fire A\n 1m refuse\n 2m end A\n 12m accept\n 30m run",
        &[
            "30s team/0 first notification: firing=A resolved=",
            "5m30s team/0 all alerts resolved: firing= resolved=A",
            "10m30s team/0 all alerts resolved: firing= resolved=A",
            "15m30s team/0 all alerts resolved: firing= resolved=A",
        ],
    );
    // The firing message may have arrived although nobody confirmed it.
    check(
        ONE,
        "0s mute\n 0s fire A\n 1m end A\n 2m accept\n 30m run",
        &["30s team/0 first notification: firing=A resolved=", "5m30s team/0 all alerts resolved: firing= resolved=A"],
    );
}

#[test]
fn an_end_that_nobody_takes_is_given_up_after_the_retention() {
    let mut router = Router::new(config(ONE), "http://am", START);
    let alert = Alert {
        labels: Labels::from_pairs([("alertname", "A")]),
        annotations: Labels::empty(),
        starts_at: START,
        ends_at: START + Duration::from_secs(60),
        generator_url: String::new(),
    };
    let mut events = vec![Event::Alerts(vec![alert])];
    let (mut now, mut tries) = (START, 0);
    loop {
        let sent = router.step(now, std::mem::take(&mut events));
        tries += sent.len();
        events.extend(sent.into_iter().map(|sent| Event::Failed(sent.id, "dead".to_owned())));
        match router.next_wakeup() {
            Some(wakeup) => now = wakeup,
            None => break,
        }
    }
    assert_eq!(now.since(START).as_secs() / 3600, 120);
    // Every five minutes for five days, and the first one.
    assert_eq!(tries, 5 * 24 * 12 + 1);
}

#[test]
fn short_intervals_wait_for_the_report() {
    let short = ONE.replace("group_wait: 30s, group_interval: 5m", "group_wait: 1s, group_interval: 2s");
    check(
        &short,
        "0s mute\n 0s fire A\n 2s fire B\n 30s run",
        &[
            "1s team/0 first notification: firing=A resolved=",
            // Superseded after the least time an attempt is given.
            "11s team/0 first notification: firing=A,B resolved=",
            "21s team/0 first notification: firing=A,B resolved=",
        ],
    );
}

const INHIBIT: &str = "
route: {receiver: team, group_by: [alertname], group_wait: 30s, group_interval: 5m, repeat_interval: 1h}
receivers: [{name: team, webhook_configs: [{url: 'http://h/'}]}]
inhibit_rules:
- {source_matchers: [severity=page], target_matchers: ['severity=~\"page|ticket\"'], equal: [cluster]}
";

#[test]
fn inhibits_while_a_source_is_active() {
    check(
        INHIBIT,
        "0s fire S severity=page cluster=x
         1s fire T severity=ticket cluster=x
         1s fire U severity=ticket cluster=y
         2s fire V severity=page cluster=x
         12m end S severity=page cluster=x
         13m end V severity=page cluster=x
         16m run",
        &[
            "30s team/0 first notification: firing=S resolved=",
            "31s team/0 first notification: firing=U resolved=",
            // Both are sources and targets, so neither mutes the other.
            "32s team/0 first notification: firing=V resolved=",
            "15m30s team/0 all alerts resolved: firing= resolved=S",
            "15m31s team/0 first notification: firing=T resolved=",
            "15m32s team/0 all alerts resolved: firing= resolved=V",
        ],
    );
}

#[test]
fn an_end_passes_through_inhibition() {
    check(
        INHIBIT,
        "0s fire T severity=ticket\n 1m fire S severity=page\n 2m end T severity=ticket\n 6m run",
        &[
            "30s team/0 first notification: firing=T resolved=",
            "1m30s team/0 first notification: firing=S resolved=",
            "5m30s team/0 all alerts resolved: firing= resolved=T",
        ],
    );
    // One that was never told stays untold.
    check(
        INHIBIT,
        "0s fire S severity=page\n 1s fire T severity=ticket\n 2m end T severity=ticket\n 6m run",
        &["30s team/0 first notification: firing=S resolved="],
    );
}

const WITH_CHILD: &str = "
route:
  {receiver: team, group_by: [cluster], group_wait: 30s, group_interval: 5m, repeat_interval: 1h, routes: [
    {matchers: [severity=page], receiver: pager}]}
receivers: [{name: team, webhook_configs: [{url: 'http://h/'}]}, {name: pager, webhook_configs: [{url: 'http://h/'}]}]
";

#[test]
fn a_reload_leaves_unaffected_groups_alone() {
    let configs = [("first", ONE), ("second", WITH_CHILD)];
    check_with(
        &configs,
        "0s fire A\n 0s fire P severity=page cluster=x\n 3m apply second\n 4m fire B\n 6m run",
        &[
            "30s team/0 first notification: firing=A resolved=",
            "30s team/0 first notification: firing=P resolved=",
            // Older than the group wait, so its new receiver is told at once.
            "3m pager/0 first notification: firing=P resolved=",
            "5m30s team/0 new alerts added: firing=A,B resolved=",
        ],
    );
}

#[test]
fn what_a_reload_leads_elsewhere_is_resolved_at_both() {
    let configs = [("first", ONE), ("second", WITH_CHILD)];
    check_with(
        &configs,
        "0s fire P severity=page\n 3m apply second\n 20m end P severity=page\n 40m run",
        &[
            "30s team/0 first notification: firing=P resolved=",
            "3m pager/0 first notification: firing=P resolved=",
            "20m30s team/0 all alerts resolved: firing= resolved=P",
            "23m pager/0 all alerts resolved: firing= resolved=P",
        ],
    );
}

#[test]
fn a_reload_with_other_timers_moves_the_next_tick() {
    let faster = ONE.replace("group_interval: 5m", "group_interval: 1m");
    let configs = [("first", ONE), ("second", faster.as_str())];
    check_with(
        &configs,
        "0s fire A\n 1m fire B\n 2m apply second\n 5m run",
        &["30s team/0 first notification: firing=A resolved=", "2m team/0 new alerts added: firing=A,B resolved="],
    );
}

#[test]
fn a_reload_while_a_message_is_under_way_keeps_its_report() {
    let mut router = Router::new(config(ONE), "http://am", START);
    let alert = Alert {
        labels: Labels::from_pairs([("alertname", "A")]),
        annotations: Labels::empty(),
        starts_at: START,
        ends_at: Timestamp::MAX,
        generator_url: String::new(),
    };
    router.step(START, vec![Event::Alerts(vec![alert])]);
    let at = START + Duration::from_secs(30);
    let sent = router.step(at, Vec::new());
    router.apply(config(&ONE.replace("repeat_interval: 1h", "repeat_interval: 2h")), at);
    assert!(router.step(at, vec![Event::Delivered(sent[0].id)]).is_empty());
    assert!(router.step(at + Duration::from_secs(300), Vec::new()).is_empty());
}

#[test]
fn a_clock_that_is_set_back_delays_nothing() {
    let router = Router::new(config(ONE), "http://am", START);
    let mut timeline = Timeline { router, now: START, receiver: Receiver::Accepts, log: Vec::new() };
    timeline.alert("A", &[], START + Duration::from_secs(24 * 3600));
    timeline.run_until(START + Duration::from_secs(60));
    let hour = Duration::from_secs(3600);
    // Half a minute after the first message, the clock is set back by an hour.
    timeline.now = START + Duration::from_secs(60) - hour;
    timeline.alert("B", &[], START + Duration::from_secs(24 * 3600));
    // The half minute since the last step is not seen, so that the tick comes that much late.
    assert_eq!(timeline.router.next_wakeup(), Some(START + Duration::from_secs(360) - hour));
    timeline.run_until(START + Duration::from_secs(4000) - hour);
    // What was known before the step is repeated one hour of running time after it was told.
    let reasons: Vec<&str> = timeline.log.iter().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(reasons, ["first", "new", "repeat"]);
}

#[test]
fn a_clock_that_goes_forth_ends_nothing() {
    let at = |secs: u64| START + Duration::from_secs(secs);
    let alert = |name: &str, ends_at: Timestamp| Alert {
        labels: Labels::from_pairs([("alertname", name)]),
        annotations: Labels::empty(),
        starts_at: START,
        ends_at,
        generator_url: String::new(),
    };
    let mut router = Router::new(config(ONE), "http://am", START);
    router.track_changes();
    router.step(START, vec![Event::Alerts(vec![alert("A", at(240)), alert("B", at(240)), alert("Over", at(20))])]);
    router.step(at(30), Vec::new());
    router.take_changes();
    // One is confirmed after the jump, before anybody has seen it.
    router.ingest(at(3660), vec![Event::Alerts(vec![alert("B", at(3900))])]);
    router.step(at(3660), vec![Event::Jumped { from: at(60), by: Duration::from_secs(3600) }]);
    let ends: Vec<Timestamp> = router.alerts().map(|(_, stored)| stored.alert.ends_at).collect();
    let mut expected = [at(3840), at(3900), at(20)];
    expected.sort();
    let mut sorted = ends.clone();
    sorted.sort();
    assert_eq!(sorted, expected);
    assert!(!router.take_changes().is_empty(), "a restart does not forget it");
}

#[test]
fn what_fires_again_while_its_end_is_under_way_is_told_again() {
    let mut router = Router::new(config(ONE), "http://am", START);
    let at = |secs: u64| START + Duration::from_secs(secs);
    let event = |starts_at: Timestamp, ends_at: Timestamp| {
        let (annotations, generator_url) = (Labels::empty(), String::new());
        let labels = Labels::from_pairs([("alertname", "A")]);
        vec![Event::Alerts(vec![Alert { labels, annotations, starts_at, ends_at, generator_url }])]
    };
    router.step(START, event(START, at(9000)));
    let sent = router.step(at(30), Vec::new());
    router.step(at(31), vec![Event::Delivered(sent[0].id)]);
    router.step(at(40), event(START, at(40)));
    let sent = router.step(at(330), Vec::new());
    assert_eq!(sent[0].reason, "all alerts resolved");
    // The end is accepted only after the alert has come back.
    router.step(at(331), event(at(331), at(9000)));
    router.step(at(332), vec![Event::Delivered(sent[0].id)]);
    let sent = router.step(at(630), Vec::new());
    assert_eq!((sent[0].reason, sent[0].alerts.len()), ("first notification", 1));
    // The same if the end was never confirmed.
    router.step(at(631), vec![Event::Delivered(sent[0].id)]);
    router.step(at(640), event(at(331), at(640)));
    let sent = router.step(at(930), Vec::new());
    router.step(at(931), vec![Event::Failed(sent[0].id, "timeout".to_owned())]);
    router.step(at(932), event(at(932), at(9000)));
    assert_eq!(router.step(at(1230), Vec::new())[0].reason, "first notification");
}
