//! Heartbeats keep their pace whatever else happens.

use super::timeline::{check, check_with, config};
use crate::model::Timestamp;
use crate::router::{Message, Router};

const BEATS: &str = "
route: {receiver: team, group_by: [cluster], group_wait: 30s, group_interval: 5m, repeat_interval: 1h}
receivers:
- {name: team, webhook_configs: [{url: 'http://h/'}]}
- {name: watch, webhook_configs: [{url: 'http://w/1'}, {url: 'http://w/2'}]}
heartbeats:
- {name: Watchdog, receiver: team, interval: 1m, labels: {severity: none}}
";

#[test]
fn beats_at_once_and_then_every_interval() {
    check(
        BEATS,
        "0s run\n150s run",
        &[
            "0s team/0 heartbeat: firing=Watchdog resolved=",
            "1m team/0 heartbeat: firing=Watchdog resolved=",
            "2m team/0 heartbeat: firing=Watchdog resolved=",
        ],
    );
}

#[test]
fn groups_silences_and_failures_do_not_touch_it() {
    check(
        BEATS,
        "0s silence 1h severity=none
         10s fire A severity=none
         15s fire B
         20s refuse
         90s run",
        &[
            "0s team/0 heartbeat: firing=Watchdog resolved=",
            "40s team/0 first notification: firing=B resolved=",
            "1m team/0 heartbeat: firing=Watchdog resolved=",
        ],
    );
}

#[test]
fn a_reload_is_a_difference() {
    let slower = BEATS.replace("interval: 1m", "interval: 2m");
    let elsewhere = BEATS.replace("receiver: team, interval: 1m", "receiver: watch, interval: 1m");
    let two = format!("{BEATS}- {{name: Second, receiver: team, interval: 10m}}\n");
    let none = BEATS.split("heartbeats").next().unwrap();
    let configs = [
        ("first", BEATS),
        ("slower", slower.as_str()),
        ("elsewhere", elsewhere.as_str()),
        ("two", two.as_str()),
        ("none", none),
    ];
    check_with(
        &configs,
        "0s run
         30s apply two
         70s apply slower
         190s apply first
         210s apply elsewhere
         230s apply none
         1h run",
        &[
            "0s team/0 heartbeat: firing=Watchdog resolved=",
            "30s team/0 heartbeat: firing=Second resolved=",
            "1m team/0 heartbeat: firing=Watchdog resolved=",
            "3m team/0 heartbeat: firing=Watchdog resolved=",
            "3m30s watch/0 heartbeat: firing=Watchdog resolved=",
            "3m30s watch/1 heartbeat: firing=Watchdog resolved=",
        ],
    );
}

#[test]
fn what_was_slept_through_is_sent_once_and_a_clock_set_back_changes_nothing() {
    let start = Timestamp::from_ms(1_700_000_000_000);
    let mut router = Router::new(config(BEATS), "http://am", start);
    let mut beats = |secs: i64| {
        let sent = router.step(start.plus_ms(secs * 1000), Vec::new()).len();
        (sent, router.next_wakeup().map(|at| at.ms_since(start) / 1000))
    };
    assert_eq!(beats(0), (1, Some(60)));
    assert_eq!(beats(65), (1, Some(120)), "late, but on its grid");
    assert_eq!(beats(500), (1, Some(560)));
    assert_eq!(beats(530), (0, Some(560)));
    assert_eq!(beats(30), (0, Some(60)));
    assert_eq!(beats(60), (1, Some(120)));
}

#[test]
fn the_message_is_an_alert_that_fires() {
    let start = Timestamp::from_ms(1_700_000_000_000);
    let mut router = Router::new(config(BEATS), "http://am", start);
    router.step(start, Vec::new());
    let beat = router.step(start.plus_ms(60_000), Vec::new()).remove(0);
    assert_eq!(
        (beat.group_key.as_str(), beat.deadline),
        (r#"heartbeat:{alertname="Watchdog"}"#, start.plus_ms(120_000))
    );
    let Message::Webhook { url, body } = beat.message else { panic!("only webhooks are configured") };
    assert_eq!(url, "http://h/");
    for part in [
        r#""status":"firing","labels":{"alertname":"Watchdog","severity":"none"}"#,
        r#""startsAt":"2023-11-14T22:13:20Z","endsAt":"0001-01-01T00:00:00Z""#,
        r#""notification_reason":"heartbeat","groupLabels":{"alertname":"Watchdog"}"#,
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
}

#[test]
fn the_api_shows_a_configuration_that_amtool_can_read() {
    let original = config(BEATS).original;
    assert!(original.contains("receivers:") && !original.contains("heartbeats"), "{original}");
}
