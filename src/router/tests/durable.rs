//! A router that is stored after each step and taken up again goes on as if nothing had been.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::model::{Alert, Labels, Timestamp};
use crate::router::{Event, Notification, Router, RouterConfig};
use crate::source::SourceFile;

const CONFIG: &str = "
route:
  receiver: a
  group_by: [g]
  group_wait: 30s
  group_interval: 1m
  repeat_interval: 10m
  routes: [{receiver: b, matchers: ['n=\"1\"'], continue: true}, {receiver: c, matchers: ['n=~\"[12]\"']}]
receivers:
- {name: a, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}
- {name: b, webhook_configs: [{url: 'http://127.0.0.1:1/', send_resolved: false}]}
- {name: c, webhook_configs: [{url: 'http://127.0.0.1:1/'}, {url: 'http://127.0.0.1:2/'}]}
";

fn config(text: &str) -> RouterConfig {
    let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("r.yml", text));
    config.unwrap_or_else(|| panic!("{diagnostics}"))
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_ms(1_700_000_000_000 + secs * 1000)
}

fn new(text: &str, secs: i64) -> Router {
    let mut router = Router::new(config(text), "http://am", at(secs));
    router.track_changes();
    router
}

fn alert(group: u8, name: u8, from: i64, until: i64) -> Alert {
    Alert {
        labels: Labels::from_pairs([("g", group.to_string()), ("n", name.to_string())]),
        annotations: Labels::empty(),
        starts_at: at(from),
        ends_at: at(until),
        generator_url: String::new(),
    }
}

/// What a driver would have on disk.
#[derive(Default)]
struct Kept(BTreeMap<String, Vec<u8>>);

impl Kept {
    fn take(&mut self, router: &mut Router) {
        for (name, state) in router.take_changes() {
            match state {
                Some(state) => self.0.insert(name, state),
                None => self.0.remove(&name),
            };
        }
    }

    fn restart(&mut self, text: &str, secs: i64) -> Router {
        let states: Vec<(String, Vec<u8>)> = self.0.clone().into_iter().collect();
        let mut router = Router::new(config(text), "http://am", at(secs));
        assert_eq!(router.restore(&states, at(secs)), Vec::<String>::new());
        router.track_changes();
        self.0.clear();
        self.take(&mut router);
        router
    }
}

fn shown(notification: &Notification) -> String {
    let alerts: Vec<String> = notification
        .alerts
        .iter()
        .map(|alert| {
            format!("{}{}", alert.labels, if alert.is_resolved_at(notification.at) { " resolved" } else { "" })
        })
        .collect();
    format!("{} {:?} {}: {}", notification.receiver, notification.integration, notification.reason, alerts.join(", "))
}

/// What happens in ten seconds.
#[derive(Clone, Debug)]
enum Step {
    Fires(u8, u8),
    Ends(u8, u8),
    Nothing,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..2u8, 0..4u8).prop_map(|(group, name)| Step::Fires(group, name)),
        1 => (0..2u8, 0..4u8).prop_map(|(group, name)| Step::Ends(group, name)),
        4 => Just(Step::Nothing),
    ]
}

proptest! {
    /// Where every report arrives before the end, a restart cannot be told.
    #[test]
    fn restarts_cannot_be_told(steps in prop::collection::vec((step(), any::<bool>(), any::<bool>()), 1..120)) {
        let (mut whole, mut broken) = (new(CONFIG, 0), new(CONFIG, 0));
        let mut kept = Kept::default();
        kept.take(&mut broken);
        for (index, (step, restarts, fails)) in steps.into_iter().enumerate() {
            let secs = 10 * index as i64;
            if restarts {
                broken = kept.restart(CONFIG, secs);
            }
            let events = match step {
                Step::Fires(group, name) => vec![Event::Alerts(vec![alert(group, name, secs, secs + 100_000)])],
                Step::Ends(group, name) => vec![Event::Alerts(vec![alert(group, name, 0, secs)])],
                Step::Nothing => Vec::new(),
            };
            let mut told = Vec::new();
            for router in [&mut whole, &mut broken] {
                let notifications = router.step(at(secs), events.clone());
                let report = |notification: &Notification| match fails {
                    true => Event::Failed(notification.id, String::new()),
                    false => Event::Delivered(notification.id),
                };
                router.ingest(at(secs), notifications.iter().map(report).collect());
                told.push(notifications.iter().map(shown).collect::<Vec<_>>());
            }
            kept.take(&mut broken);
            prop_assert_eq!(&told[0], &told[1], "step {}", index);
            prop_assert_eq!(whole.groups().count(), broken.groups().count());
        }
    }

    #[test]
    fn nonsense_is_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let bytes = [&[1], &*bytes].concat();
        let states = ["router/alert/x", "router/group/x", "router/clock"].map(|name| (name.to_owned(), bytes.clone()));
        new(CONFIG, 0).restore(&states, at(0));
    }
}

#[test]
fn what_was_under_way_is_sent_again() {
    let mut kept = Kept::default();
    let mut router = new(CONFIG, 0);
    router.ingest(at(0), vec![Event::Alerts(vec![alert(0, 0, 0, 1000)])]);
    let sent = router.step(at(30), Vec::new());
    assert_eq!(sent.len(), 1);
    kept.take(&mut router);
    // Killed before the receiver answered.
    let mut router = kept.restart(CONFIG, 35);
    let again = router.step(at(35), Vec::new());
    assert_eq!(again.iter().map(shown).collect::<Vec<_>>(), sent.iter().map(shown).collect::<Vec<_>>());
    router.ingest(at(35), vec![Event::Delivered(again[0].id)]);
    kept.take(&mut router);
    let mut router = kept.restart(CONFIG, 40);
    assert_eq!(router.next_wakeup(), Some(at(95)), "the timer goes on");
    assert!(router.step(at(95), Vec::new()).is_empty(), "what was told is not told again");
}

#[test]
fn what_fired_has_as_much_time_to_be_confirmed_as_it_had() {
    let mut kept = Kept::default();
    let mut router = new(CONFIG, 0);
    router.ingest(at(0), vec![Event::Alerts(vec![alert(0, 0, 0, 240)])]);
    let sent = router.step(at(30), Vec::new());
    router.ingest(at(30), vec![Event::Delivered(sent[0].id)]);
    kept.take(&mut router);
    let mut router = kept.restart(CONFIG, 1030);
    assert!(
        router.step(at(1030), Vec::new()).iter().all(|sent| sent.alerts.iter().all(|a| !a.is_resolved_at(at(1030))))
    );
    let ended: Vec<String> = router.step(at(1241), Vec::new()).iter().map(shown).collect();
    assert_eq!(ended, ["a (\"webhook\", 0) all alerts resolved: {g=\"0\",n=\"0\"} resolved"]);
}

#[test]
fn a_route_that_went_meanwhile_still_tells_of_ends() {
    let mut kept = Kept::default();
    let mut router = new(CONFIG, 0);
    router.ingest(at(0), vec![Event::Alerts(vec![alert(0, 2, 0, 100_000)])]);
    for sent in router.step(at(30), Vec::new()) {
        router.ingest(at(30), vec![Event::Delivered(sent.id)]);
    }
    kept.take(&mut router);
    let text = CONFIG.replace(
        "routes: [{receiver: b, matchers: ['n=\"1\"'], continue: true}, {receiver: c, matchers: ['n=~\"[12]\"']}]",
        "routes: []",
    );
    let mut router = kept.restart(&text, 40);
    router.ingest(at(50), vec![Event::Alerts(vec![alert(0, 2, 0, 50)])]);
    let told: Vec<String> = router.step(at(100), Vec::new()).iter().map(shown).collect();
    assert!(told.iter().any(|line| line.starts_with("c ") && line.ends_with("resolved")), "{told:?}");
    for _ in 0..3 {
        kept.take(&mut router);
    }
    router.apply(config(&text.replace("- {name: c", "- {name: d")), at(110));
    kept.take(&mut router);
    assert!(kept.0.keys().filter(|name| name.starts_with("router/group/")).count() <= 1, "{:?}", kept.0.keys());
}
