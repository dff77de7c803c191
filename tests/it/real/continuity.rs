//! `kill -9` and reloads are invisible to receivers: no false resolve, no firing alert lost, no `for` begun anew.
//!
//! How often is `ALMENARA_KILLS` and `ALMENARA_RELOADS`, each 4 unless set.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::deployment::Deployment;
use super::process::{almenara, get, wait_for};
use super::server::{Behaviour, Received, Server, now_ms};

/// Four times this is how long an Alertmanager believes what it is told.
const RESEND_DELAY_SECS: i64 = 5;

/// `Fires` for good, `Waits` for its `for`, `Kept` only lives because of `keep_firing_for`, `Comes` and goes with the target.
const RULES: &str = r#"groups:
- name: g
  rules:
  - {alert: Fires, expr: m_fires == 1, labels: {team: a}, annotations: {summary: 'text @'}}
  - {alert: FiresByRate, expr: 'rate(m_counter[4s]) > 0'}
  - {alert: Waits, expr: m_fires == 1, for: 2h}
  - {alert: FiredAfterFor, expr: m_fires == 1, for: 2s}
  - {alert: Kept, expr: m_kept == 1, keep_firing_for: 2h}
  - {alert: Comes, expr: m_comes == 1}
  - {record: recorded, expr: m_fires}
"#;

/// All its budget is spent: every event is bad.
const SLO: &str = r#"interval: 1s
slos:
- name: a
  objective: 90
  window: 1h
  indicator: {errors: {bad: m_bad, total: m_counter}}
  alerting: {budget: [{severity: page, spent: 100}]}
"#;

/// The alerts of rules that must fire from beginning to end.
pub(super) const STEADY: [&str; 4] = ["Fires", "FiresByRate", "FiredAfterFor", "Kept"];

/// Those of the objective, which must too.
const SPENT: [&str; 2] = ["SLOErrorBudgetBurn", "SLOErrorBudgetSpent"];

fn all_steady() -> impl Iterator<Item = &'static str> {
    STEADY.into_iter().chain(SPENT)
}

fn configuration(target: u16, alertmanager: u16, receiver: u16) -> String {
    format!(
        r#"global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}}
rule_files: [rules.yml]
slo_files: [slo.yml]
scrape_configs:
- job_name: m
  static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
alerting:
  alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]}}]
router:
  route: {{receiver: r, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
  receivers: [{{name: r, webhook_configs: [{{url: "http://127.0.0.1:{receiver}/"}}]}}]
"#
    )
}

pub(super) struct Stage {
    target: Server,
    pub(super) alertmanager: Server,
    pub(super) receiver: Server,
    pub(super) deployment: Deployment,
    rounds: u32,
    /// A small generator of pauses.
    seed: u64,
}

impl Stage {
    fn start(rounds: &str) -> Stage {
        let rounds = std::env::var(rounds).ok().map_or(4, |rounds| rounds.parse().expect("a number of rounds"));
        Stage { rounds, ..Stage::start_under(&[]) }
    }

    /// See [`Deployment::start_under`].
    pub(super) fn start_under(under: &[String]) -> Stage {
        let target = Server::start(Behaviour::Answers("m_fires 1\nm_kept 1\nm_comes 0\nm_counter 1\n"));
        let (alertmanager, receiver) = (Server::start(Behaviour::Answers("")), Server::start(Behaviour::Answers("")));
        let configuration = configuration(target.port, alertmanager.port, receiver.port);
        let files = [("almenara.yml", &*configuration), ("rules.yml", RULES), ("slo.yml", SLO)];
        let delay = format!("--rules.alert.resend-delay={RESEND_DELAY_SECS}s");
        let deployment = Deployment::start_under(under, &files, &[&delay]);
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64) | 1;
        let mut stage = Stage { target, alertmanager, receiver, deployment, rounds: 0, seed };
        stage.count(0);
        wait_for("what is steady fires", || {
            let states = stage.states();
            let fires = |name: &&str| states.get(*name).is_some_and(|(state, _)| state == "firing");
            STEADY.iter().all(fires).then_some(())
        });
        wait_for("the objective is told", || {
            let told = told(&stage.alertmanager.received_from(0));
            SPENT.iter().all(|name| told.contains_key(*name)).then_some(())
        });
        stage.serve(0, 0);
        wait_for("it is kept", || stage.deployment.text("/api/v1/alerts").contains("keepFiringSince").then_some(()));
        stage
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    /// The counter goes on rising for as long as this test may run: each scrape finds the time.
    fn count(&mut self, comes: u8) {
        self.serve(1, comes);
    }

    pub(super) fn serve(&mut self, kept: u8, comes: u8) {
        let text = format!("m_fires 1\nm_kept {kept}\nm_comes {comes}\nm_counter %TIME%\nm_bad %TIME%\n");
        self.target.behave(Behaviour::AnswersTime(text));
    }

    /// State and `activeAt` of each alert, by name.
    pub(super) fn states(&self) -> BTreeMap<String, (String, String)> {
        let alerts = self.deployment.data("/api/v1/alerts");
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let alerts = alerts["alerts"].as_array().expect("alerts").iter();
        alerts
            .map(|alert| (text(&alert["labels"]["alertname"]), (text(&alert["state"]), text(&alert["activeAt"]))))
            .collect()
    }

    /// What must not have changed, `Comes` aside.
    pub(super) fn lasting(&self) -> BTreeMap<String, (String, String)> {
        let mut states = self.states();
        states.remove("Comes");
        states
    }
}

/// What an Alertmanager is told of an alert.
pub(super) struct Told {
    pub(super) at_ms: i64,
    pub(super) starts_at: String,
    pub(super) ends_at_ms: i64,
}

/// By name, in order of arrival.
pub(super) fn told(received: &[Received]) -> BTreeMap<String, Vec<Told>> {
    let mut told: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for post in received {
        let alerts: Vec<serde_json::Value> = serde_json::from_str(&post.body).expect("alerts");
        for alert in alerts {
            let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
            let ends_at = text(&alert["endsAt"]).parse::<jiff::Timestamp>().expect("a time");
            told.entry(text(&alert["labels"]["alertname"])).or_default().push(Told {
                at_ms: post.at_ms,
                starts_at: text(&alert["startsAt"]),
                ends_at_ms: ends_at.as_millisecond(),
            });
        }
    }
    told
}

/// What is steady began once, never ended and was repeated before anybody could think so.
pub(super) fn assert_steady(stage: &Stage) {
    let told = told(&stage.alertmanager.received_from(0));
    for name in all_steady() {
        let told = &told[name];
        let mut believed_until = i64::MAX;
        for Told { at_ms, starts_at, ends_at_ms } in told {
            assert!(ends_at_ms > at_ms, "{name} is resolved at {at_ms}: {ends_at_ms}");
            assert_eq!(starts_at, &told[0].starts_at, "{name} begins anew at {at_ms}");
            assert!(*at_ms < believed_until, "{name} expired at {believed_until}, before {at_ms}");
            believed_until = *ends_at_ms;
        }
        assert!(now_ms() < believed_until, "{name} was lost");
    }
    assert!(!told.contains_key("Waits"), "what waits is told");
    // The same by way of the router: no end, and each alert told once, but for what was under way at a kill.
    for post in stage.receiver.received() {
        let group: serde_json::Value = serde_json::from_str(&post).expect("a webhook");
        let name = group["groupLabels"]["alertname"].as_str().expect("a name");
        assert!(all_steady().all(|steady| steady != name) || group["status"] == "firing", "{post}");
    }
}

/// How often the receiver was told of what is steady.
fn tellings(stage: &Stage) -> usize {
    let is_steady = |post: &String| {
        STEADY.iter().any(|name| post.contains(&format!("\"groupLabels\":{{\"alertname\":\"{name}\"}}")))
    };
    stage.receiver.received().iter().filter(|post| is_steady(post)).count()
}

#[test]
fn kills_are_invisible() {
    let mut stage = Stage::start("ALMENARA_KILLS");
    let before = stage.lasting();
    let mut comes = 0;
    for round in 0..stage.rounds {
        if round % 3 == 0 {
            comes = 1 - comes;
            stage.serve(0, comes);
        }
        let pause = stage.random(1500);
        std::thread::sleep(Duration::from_millis(pause));
        stage.deployment.daemon.signal("KILL");
        assert_eq!(stage.deployment.daemon.wait(), Some(-1));
        // What the one before has sent arrives meanwhile.
        let pause = 50 + stage.random(550);
        std::thread::sleep(Duration::from_millis(pause));
        let count = stage.alertmanager.received_from(0).len();
        stage.deployment.start_again();
        // The first thing told after the start is all that fires, and nothing else has been evaluated.
        let first = wait_for("what fires is told", || stage.alertmanager.received_from(count).into_iter().next());
        let first = told(&[first]);
        assert!(all_steady().all(|name| first.contains_key(name)), "round {round}: {:?}", first.keys());
        assert_eq!(stage.lasting(), before, "round {round}");
    }
    assert_steady(&stage);
    let (tellings, bound) = (tellings(&stage), STEADY.len() + stage.rounds as usize);
    assert!(tellings <= bound, "{tellings} messages about {} alerts in {} rounds", STEADY.len(), stage.rounds);
    // What really comes and goes is still told.
    for (comes, what) in [(1, "the beginning of what comes and goes"), (0, "its end")] {
        stage.serve(0, comes);
        wait_for(what, || {
            let told = told(&stage.alertmanager.received_from(0));
            let last = told.get("Comes")?.last()?;
            ((last.ends_at_ms > last.at_ms) == (comes == 1)).then_some(())
        });
    }
    assert_history(&stage);
}

/// The API, the pages and the command line tell what happened, over all lives of the process.
fn assert_history(stage: &Stage) {
    let selector = "match%5B%5D=%7Balertname%3D%22Comes%22%7D";
    let history = stage.deployment.data(&format!("/api/almenara/v1/alerts/history?{selector}"));
    let events = history["events"].as_array().expect("events");
    let happened = |event: &str, destination: &str| {
        let of_kind = events.iter().filter(|one| one["event"] == event);
        of_kind.clone().any(|one| one["destination"].as_str().is_some_and(|text| text.contains(destination)))
    };
    let alertmanager = format!("127.0.0.1:{}", stage.alertmanager.port);
    for (event, destination) in [("firing", ""), ("resolved", ""), ("sent", &*alertmanager), ("sent", "r/webhook[0]")] {
        assert!(happened(event, destination), "{event} {destination}: {history}");
    }
    let page = stage.deployment.text(&format!("/alerts/history?{selector}"));
    assert!(page.contains("resolved") && page.contains(&alertmanager), "{page}");

    // For a few seconds after the last start it is held because windows fill again.
    let kept = wait_for("it is kept by keep_firing_for", || {
        let path = "/api/almenara/v1/alerts/explain?match%5B%5D=%7Balertname%3D%22Kept%22%7D";
        let kept = stage.deployment.data(path)["alerts"][0].take();
        kept["because"].as_str().is_some_and(|text| text.contains("keep_firing_for keeps it until")).then_some(kept)
    });
    assert_eq!((&kept["condition"]["left"], &kept["condition"]["op"]), (&"m_kept".into(), &"==".into()));
    assert!(kept["values"].as_array().is_some_and(|values| values.iter().any(|row| row["left"] == "0e+00")), "{kept}");
    assert_eq!(kept["routes"][0]["receiver"], "r");
    assert!(stage.deployment.text("/alerts/explain").contains("m_kept"), "the page explains");
    let outcomes = stage.deployment.text("/rules/outcomes");
    assert!(outcomes.contains("recorded") && !outcomes.contains("never matched"), "{outcomes}");

    let ask = |subcommand: &str| {
        let url = format!("http://127.0.0.1:{}", stage.deployment.port);
        let output = almenara().args(["alerts", subcommand, &url]).output().expect("almenara");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(ask("history").lines().any(|line| line.contains(" sent Comes{")), "{}", ask("history"));
    assert!(ask("explain").contains("Kept{instance="), "{}", ask("explain"));
}

#[test]
fn reloads_are_invisible() {
    let mut stage = Stage::start("ALMENARA_RELOADS");
    let before = stage.lasting();
    for round in 0..stage.rounds {
        let pause = stage.random(700);
        std::thread::sleep(Duration::from_millis(pause));
        // Another text, another order, another rule, another group, back again.
        let text = RULES.replace('@', &round.to_string());
        let text = match round % 4 {
            0 => text,
            1 => format!("{text}  - {{alert: More, expr: m_fires == 0}}\n"),
            2 => text.replace("- name: g\n", "- name: first\n  rules: [{record: a, expr: m_fires}]\n- name: g\n"),
            _ => text.replace("- name: g\n", "- name: moved\n  interval: 2s\n"),
        };
        stage.deployment.write("rules.yml", &text);
        assert_eq!(stage.deployment.reload(), (200, String::new()));
        assert_eq!(stage.lasting(), before, "round {round}");
    }
    assert_steady(&stage);
    assert_eq!(tellings(&stage), STEADY.len(), "the receiver is told again");

    // What goes for good is resolved at once.
    let gone = RULES.replace("alert: Fires,", "alert: Other,");
    stage.deployment.write("rules.yml", &gone);
    let count = stage.alertmanager.received_from(0).len();
    assert_eq!(stage.deployment.reload(), (200, String::new()));
    wait_for("the end of a removed rule's alert", || {
        let told = told(&stage.alertmanager.received_from(count));
        told.get("Fires")?.iter().any(|told| told.ends_at_ms <= told.at_ms).then_some(())
    });
    wait_for("the receiver knows it, too", || {
        let is_end =
            |post: &String| post.contains("\"status\":\"resolved\"") && post.contains("\"alertname\":\"Fires\"");
        stage.receiver.received().iter().any(is_end).then_some(())
    });
}

/// SIGTERM ends an evaluation under way and delivers, or keeps, what it found.
#[test]
fn a_drain_loses_nothing() {
    let mut stage = Stage::start("ALMENARA_DRAINS");
    let before = stage.lasting();
    for _ in 0..2 {
        let pause = stage.random(900);
        std::thread::sleep(Duration::from_millis(pause));
        stage.deployment.daemon.signal("TERM");
        assert_eq!(stage.deployment.daemon.wait(), Some(0));
        assert_eq!(get(stage.deployment.port, "/-/ready").0, 0);
        stage.deployment.start_again();
        assert_eq!(stage.lasting(), before);
    }
    assert_steady(&stage);
    assert_eq!(tellings(&stage), STEADY.len(), "what was delivered during the drain is delivered again");
}
