//! Notifications on their way to receivers that fail, ask for a pause, refuse and hang: each is reported back once.

use std::time::{Duration, Instant};

use almenara::clock;
use almenara::deliver::{DeliverConfig, Delivery};
use almenara::exposition::Family;
use almenara::model::Timestamp;
use almenara::router::{Event, Message, Notification, NotificationId, RouterConfig};
use almenara::source::SourceFile;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::loopback::{Server, eventually, refused_address, response};

/// Receivers `a` and `b` with one webhook each; `more` goes into the webhook of `a`.
fn config(more: &str) -> DeliverConfig {
    let text = format!(
        "route: {{receiver: a}}\nreceivers:\n- {{name: a, webhook_configs: [{{url: 'http://x/', {more}}}]}}\n\
         - {{name: b, webhook_configs: [{{url: 'http://x/'}}]}}\n"
    );
    let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("am.yml", text));
    let (config, more) = DeliverConfig::decode(&config.unwrap_or_else(|| panic!("{diagnostics}")));
    assert!(more.is_empty(), "{more}");
    config
}

struct Sending {
    delivery: Delivery,
    reports: UnboundedReceiver<Event>,
}

impl Sending {
    fn start(more: &str) -> Sending {
        let (delivery, reports) = Delivery::new("Almenara/test");
        delivery.apply(config(more)).expect("clients");
        Sending { delivery, reports }
    }

    fn send(&self, id: u64, receiver: &str, address: &str, lives: Duration) {
        self.send_until(id, receiver, address, clock::now() + lives);
    }

    fn send_until(&self, id: u64, receiver: &str, address: &str, deadline: Timestamp) {
        self.delivery.send(Notification {
            id: NotificationId(id),
            receiver: receiver.to_owned(),
            integration: ("webhook", 0),
            group_key: format!("{{}}:{{group=\"{}\"}}", id / 10),
            reason: "first notification",
            at: clock::now(),
            deadline,
            message: Message::Webhook {
                url: format!("http://{address}/hook?token=s3cret"),
                body: format!("{{\"id\":{id}}}"),
            },
            alerts: Vec::new(),
        });
    }

    /// The next report: the number, and nothing when delivered or why not.
    async fn report(&mut self) -> (u64, String) {
        let next = tokio::time::timeout(Duration::from_secs(30), self.reports.recv()).await;
        match next.expect("a report comes").expect("the delivery lives") {
            Event::Delivered(id) => (id.0, String::new()),
            Event::Failed(id, why) => {
                assert!(!why.contains("s3cret") && !why.contains("/hook"), "{why}");
                (id.0, why)
            }
            other => panic!("not a report: {other:?}"),
        }
    }

    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut families: Vec<Family> = Vec::new();
        self.delivery.collect(&mut families);
        let family = families.iter().find(|family| family.name == name).expect("the family is there");
        let fits = |point: &almenara::exposition::Point| {
            labels.iter().all(|(name, value)| point.labels.iter().any(|(n, v)| n == name && v == value))
        };
        family.points.iter().find(|point| fits(point)).map_or(f64::NAN, |point| point.value)
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_are_tried_again_and_client_errors_are_not() {
    let flaky = Server::start(|number, _| {
        Some(if number < 2 { response("503 Service Unavailable", "", "") } else { response("200 OK", "", "") })
    })
    .await;
    let picky = Server::start(|_, _| Some(response("400 Bad Request", "", "no such field"))).await;
    let mut sending = Sending::start("");
    sending.send(10, "a", &flaky.address, LONG);
    assert_eq!(sending.report().await, (10, String::new()));
    assert_eq!(flaky.requests().len(), 3);
    let request = &flaky.requests()[0];
    assert!(request.head.starts_with("post /hook?token=s3cret http/1.1"), "{}", request.head);
    assert!(
        request.head.contains("content-type: application/json") && request.head.contains("user-agent: almenara/test")
    );
    assert_eq!(request.body, "{\"id\":10}");

    sending.send(20, "b", &picky.address, LONG);
    let why = "b/webhook[0]: notify retry canceled due to unrecoverable error after 1 attempts: \
               unexpected status code 400: no such field";
    assert_eq!(sending.report().await, (20, why.to_owned()));

    let (a, b) = ([("receiver_name", "a")], [("receiver_name", "b"), ("reason", "clientError")]);
    assert_eq!(sending.metric("alertmanager_notifications_total", &a), 1.0);
    assert_eq!(sending.metric("alertmanager_notification_requests_total", &a), 3.0);
    assert_eq!(sending.metric("alertmanager_notification_requests_failed_total", &a), 2.0);
    assert_eq!(sending.metric("alertmanager_notifications_failed_total", &b), 1.0);
    let since = clock::now().as_secs_f64() - sending.metric("almenara_notification_last_success_timestamp_seconds", &a);
    assert!((0.0..30.0).contains(&since), "{since}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_may_ask_for_a_pause() {
    let limited = Server::start(|number, _| {
        Some(if number == 0 {
            response("429 Too Many Requests", "retry-after: 2\r\n", "")
        } else {
            response("200 OK", "", "")
        })
    })
    .await;
    let mut sending = Sending::start("");
    let started = Instant::now();
    sending.send(10, "a", &limited.address, LONG);
    eventually("the first was refused", || limited.requests().len() == 1).await;
    eventually("that was noticed", || {
        sending.metric("alertmanager_notification_requests_failed_total", &[("receiver_name", "a")]) == 1.0
    })
    .await;
    sending.send(20, "a", &limited.address, LONG);
    let mut delivered = [sending.report().await, sending.report().await];
    delivered.sort();
    assert_eq!(delivered, [(10, String::new()), (20, String::new())]);
    assert!(started.elapsed() >= Duration::from_secs(2), "all groups of the receiver wait: {:?}", started.elapsed());

    let patient = Server::start(|_, _| Some(response("429 Too Many Requests", "retry-after: 3600\r\n", ""))).await;
    let started = Instant::now();
    sending.send(30, "b", &patient.address, LONG);
    let why = "b/webhook[0]: notify retry canceled after 1 attempts: unexpected status code 429";
    assert_eq!(sending.report().await, (30, why.to_owned()));
    assert!(started.elapsed() < Duration::from_secs(30), "given up at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_receiver_delays_no_other_and_ends_at_the_deadline() {
    let hanging = Server::start(|_, _| None).await;
    let healthy = Server::start(|_, _| Some(response("200 OK", "", ""))).await;
    let mut sending = Sending::start("");
    let started = Instant::now();
    let deadline = clock::now() + Duration::from_secs(3);
    for group in 1..30 {
        sending.send_until(group * 10, "a", &hanging.address, deadline);
    }
    sending.send(1000, "b", &healthy.address, LONG);
    assert!(started.elapsed() < Duration::from_secs(1), "sending only queues");
    assert_eq!(sending.report().await, (1000, String::new()));
    assert!(started.elapsed() < Duration::from_secs(3));
    let mut given_up = Vec::new();
    for _ in 1..30 {
        let (id, why) = sending.report().await;
        assert!(why.ends_with("context deadline exceeded"), "{why}");
        given_up.push(id);
    }
    given_up.sort();
    assert_eq!(given_up, (1..30).map(|group| group * 10).collect::<Vec<_>>());
    assert_eq!(hanging.requests().len(), almenara::deliver::PARALLEL_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_message_of_a_group_is_the_one_that_goes() {
    let address = refused_address();
    let mut sending = Sending::start("");
    sending.send(10, "a", &address, LONG);
    eventually("a first attempt failed", || {
        sending.metric("alertmanager_notification_requests_failed_total", &[("receiver_name", "a")]) >= 1.0
    })
    .await;
    sending.send(11, "a", &address, LONG);
    let (id, why) = sending.report().await;
    assert_eq!((id, why.as_str()), (10, "a/webhook[0]: a newer notification of the group took its place"));
    let server = Server::start_at(&address, |_, _| Some(response("200 OK", "", ""))).await;
    assert_eq!(sending.report().await, (11, String::new()));
    let bodies: Vec<String> = server.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, ["{\"id\":11}"]);
    assert_eq!(sending.metric("almenara_notifications_superseded_total", &[("receiver_name", "a")]), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_credentials_under_the_queue() {
    let address = refused_address();
    let mut sending = Sending::start("");
    sending.send(10, "a", &address, LONG);
    eventually("a first attempt failed", || {
        sending.metric("alertmanager_notification_requests_failed_total", &[("receiver_name", "a")]) >= 1.0
    })
    .await;
    let mut changed = config("http_config: {authorization: {credentials: new}}");
    changed.integrations.retain(|integration| integration.key.receiver == "a");
    sending.delivery.apply(changed).unwrap();
    let server = Server::start_at(&address, |_, _| Some(response("200 OK", "", ""))).await;
    assert_eq!(sending.report().await, (10, String::new()));
    assert!(server.requests()[0].head.contains("authorization: bearer new"), "{}", server.requests()[0].head);
    sending.send(20, "b", &server.address, LONG);
    assert_eq!(sending.report().await, (20, "b/webhook[0]: the receiver is not configured".to_owned()));

    server_gone(server, &mut sending).await;
}

/// What waits for a receiver that a reload removes is given up at once.
async fn server_gone(server: Server, sending: &mut Sending) {
    drop(server);
    sending.send(30, "a", &refused_address(), LONG);
    eventually("it failed", || sending.metric("almenara_notification_queue_length", &[("receiver_name", "a")]) == 1.0)
        .await;
    sending.delivery.apply(DeliverConfig::default()).unwrap();
    let (id, why) = sending.report().await;
    assert!(id == 30 && why.contains("the receiver is no longer configured"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_sends_what_it_can_and_reports_the_rest() {
    let hanging = Server::start(|_, _| None).await;
    let healthy = Server::start(|_, _| Some(response("200 OK", "", ""))).await;
    let mut sending = Sending::start("");
    sending.send(10, "a", &hanging.address, LONG);
    sending.send(11, "a", &hanging.address, LONG);
    eventually("it hangs", || hanging.requests().len() == 1).await;
    for group in 2..40 {
        sending.send(group * 10, "b", &healthy.address, LONG);
    }
    let started = Instant::now();
    sending.delivery.shutdown(Duration::from_secs(2)).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    let mut reports = Vec::new();
    for _ in 0..40 {
        reports.push(sending.report().await);
    }
    reports.sort();
    let failed: Vec<u64> = reports.iter().filter(|(_, why)| !why.is_empty()).map(|(id, _)| *id).collect();
    assert_eq!(failed, [10, 11]);
    assert!(sending.reports.try_recv().is_err(), "each once");
    assert_eq!(healthy.requests().len(), 38);
}
