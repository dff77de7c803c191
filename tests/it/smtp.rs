//! E-mail over a loopback socket: what the server is told, with and without TLS, and what its refusals come to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc;

use almenara::deliver::{DeliverConfig, Delivery};
use almenara::model::{Labels, Timestamp};
use almenara::router::{Event, PostedAlert, Router, RouterConfig};
use almenara::source::SourceFile;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;

/// How a server behaves.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    /// What it offers besides its name.
    pub(crate) offers: &'static [&'static str],
    /// Answers to `RCPT`.
    pub(crate) to_recipients: Option<&'static str>,
    pub(crate) begins_with_tls: bool,
}

/// One e-mail: the commands before it, without the greeting, and its text.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) commands: Vec<String>,
    pub(crate) text: String,
}

/// A server's side of TLS, and its certificate.
pub(crate) fn tls_server() -> (Arc<rustls::ServerConfig>, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (Arc::new(tls), cert.pem())
}

/// A server that takes every e-mail. Gives its port, its certificate, and what comes.
pub(crate) fn server(manner: Manner) -> (u16, String, mpsc::Receiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ((tls, certificate), (sender, receiver)) = (tls_server(), mpsc::channel());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, tls, sender) = (stream.unwrap(), tls.clone(), sender.clone());
            std::thread::spawn(move || {
                let encrypt =
                    |stream| rustls::StreamOwned::new(rustls::ServerConnection::new(tls.clone()).unwrap(), stream);
                let mut got = Got { commands: Vec::new(), text: String::new() };
                if manner.begins_with_tls {
                    converse(BufReader::new(encrypt(stream)), manner, true, &mut got, &sender);
                } else if converse(BufReader::new(stream.try_clone().unwrap()), manner, true, &mut got, &sender) {
                    converse(BufReader::new(encrypt(stream)), manner, false, &mut got, &sender);
                }
            });
        }
    });
    (port, certificate, receiver)
}

fn say<S: Read + Write>(stream: &mut BufReader<S>, line: &str) -> bool {
    let stream = stream.get_mut();
    write!(stream, "{line}\r\n").and_then(|()| stream.flush()).is_ok()
}

/// `true` when the client wants TLS.
fn converse(
    mut stream: BufReader<impl Read + Write>,
    manner: Manner,
    greets: bool,
    got: &mut Got,
    sender: &mpsc::Sender<Got>,
) -> bool {
    if greets {
        say(&mut stream, "220 sink");
    }
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|count| count > 0) {
        let command = std::mem::take(&mut line).trim_end().to_owned();
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        got.commands.push(command.clone());
        match verb.as_str() {
            "EHLO" => {
                let lines: Vec<&str> = ["sink"].into_iter().chain(manner.offers.iter().copied()).collect();
                for (index, offer) in lines.iter().enumerate() {
                    say(&mut stream, &format!("250{}{offer}", if index + 1 == lines.len() { ' ' } else { '-' }));
                }
            }
            "STARTTLS" => return say(&mut stream, "220 go"),
            "AUTH" if command == "AUTH CRAM-MD5" => {
                say(&mut stream, &format!("334 {}", BASE64.encode("<1@sink>")));
            }
            "AUTH" if command == "AUTH LOGIN" => {
                say(&mut stream, &format!("334 {}", BASE64.encode("Username:")));
            }
            "RCPT" => {
                say(&mut stream, manner.to_recipients.unwrap_or("250 fine"));
            }
            "DATA" => {
                say(&mut stream, "354 go");
                while stream.read_line(&mut line).is_ok_and(|count| count > 0) && line != ".\r\n" {
                    got.text.push_str(&std::mem::take(&mut line));
                }
                line.clear();
                say(&mut stream, "250 taken");
                let taken = std::mem::replace(got, Got { commands: Vec::new(), text: String::new() });
                sender.send(taken).ok();
            }
            "QUIT" => {
                say(&mut stream, "221 bye");
                return false;
            }
            // The second step of LOGIN is a bare word too.
            "DXNLCG==" => {
                say(&mut stream, &format!("334 {}", BASE64.encode("Password:")));
            }
            "MAIL" => {
                say(&mut stream, "250 fine");
            }
            _ => {
                say(&mut stream, "235 welcome");
            }
        }
    }
    false
}

/// Delivers one notification by `config`, whose port is `PORT`, and says what became of it.
async fn deliver(config: &str, port: u16) -> Event {
    let text = format!(
        "route: {{receiver: team, group_wait: 0s}}\nreceivers:\n- name: team\n  email_configs:\n  - {{to: 'x@y.z, Doe <j@y.z>', \
         from: 'Almenara <a@b.c>', {}}}\n",
        config.replace("PORT", &port.to_string())
    );
    let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("router.yml", text));
    let config = config.unwrap_or_else(|| panic!("{diagnostics}"));
    let (delivery_config, diagnostics) = DeliverConfig::decode(&config);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let now = almenara::clock::now();
    let mut router = Router::new(config, "http://almenara.example", now);
    let alert = PostedAlert {
        labels: Labels::from_pairs([("alertname", "Größe"), ("severity", "page")]),
        annotations: Labels::from_pairs([("summary", "<b>5 & 6</b>")]),
        starts_at: Some(Timestamp::from_ms(now.as_ms() - 1000)),
        ends_at: None,
        generator_url: "http://prom/?a=b&c=d".to_owned(),
    };
    let notifications = router.step(now, vec![Event::Posted(vec![alert])]);
    assert_eq!(notifications.len(), 1);
    let (delivery, mut reports) = Delivery::new("test");
    delivery.apply(delivery_config).unwrap();
    for notification in notifications {
        delivery.send(notification);
    }
    // Once the attempt is under way the receiver goes, so that there is no second one: the report says what became of it.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    delivery.apply(DeliverConfig::default()).unwrap();
    reports.recv().await.unwrap()
}

fn failure(event: Event) -> String {
    match event {
        Event::Failed(_, text) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn sends_without_tls_where_that_is_asked_for() {
    let (port, _, got) = server(Manner::default());
    let settings = "smarthost: 'localhost:PORT', hello: me.example, require_tls: false, text: 'plain {{ .Status }}', \
                    headers: {reply-to: ops@b.c}, threading: {enabled: true, thread_by_date: none}";
    let event = deliver(settings, port).await;
    assert!(matches!(event, Event::Delivered(_)), "{event:?}");
    let Got { commands, text } = got.recv().unwrap();
    assert_eq!(commands, ["EHLO me.example", "MAIL FROM:<a@b.c>", "RCPT TO:<x@y.z>", "RCPT TO:<j@y.z>", "DATA"]);
    for expected in [
        "Reply-To: ops@b.c\r\n",
        "From: Almenara <a@b.c>\r\n",
        "To: x@y.z, Doe <j@y.z>\r\n",
        "References: <alert-",
        "-@alertmanager>\r\n",
        "MIME-Version: 1.0\r\n",
        "Content-Type: multipart/alternative;",
        "plain firing",
        "severity =3D page<br>",
        "&lt;b&gt;5 &amp; 6&lt;/b&gt;",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    // The only encoded word of the message is its subject.
    assert_eq!(text.matches("=?utf-8?").count(), text.lines().filter(|line| line.contains("=?utf-8?")).count());
    assert!(text.contains("Subject: [FIRING:1]"), "{text}");
}

#[tokio::test]
async fn upgrades_begins_with_tls_and_proves_itself() {
    let folder = tempfile::tempdir().unwrap();
    for (name, manner, settings, expected) in [
        (
            "starttls",
            Manner { offers: &["STARTTLS", "AUTH PLAIN LOGIN"], ..Manner::default() },
            "auth_username: user, auth_password: s3cret",
            format!("AUTH PLAIN {}", BASE64.encode("\0user\0s3cret")),
        ),
        (
            "implicit",
            Manner { offers: &["AUTH LOGIN"], begins_with_tls: true, ..Manner::default() },
            "force_implicit_tls: true, auth_username: user, auth_password_file: PASSWORD",
            BASE64.encode("s3cret"),
        ),
        (
            "challenge",
            Manner { offers: &["STARTTLS", "AUTH CRAM-MD5 PLAIN"], ..Manner::default() },
            "auth_username: user, auth_secret: s3cret",
            BASE64.encode("user 27d8f7cb6b8fc9a8d1bdbb1b1d1d2c0f"),
        ),
    ] {
        let (port, certificate, got) = server(manner);
        let (ca, password) = (folder.path().join("ca.pem"), folder.path().join("password"));
        std::fs::write(&ca, certificate).unwrap();
        std::fs::write(&password, "s3cret\n").unwrap();
        let settings = settings.replace("PASSWORD", &password.display().to_string());
        let settings = format!("smarthost: 'localhost:PORT', tls_config: {{ca_file: {}}}, {settings}", ca.display());
        let event = deliver(&settings, port).await;
        assert!(matches!(event, Event::Delivered(_)), "{name}: {event:?}");
        let commands = got.recv().unwrap().commands;
        if name == "challenge" {
            let reply = String::from_utf8(BASE64.decode(&commands[4]).unwrap()).unwrap();
            assert!(reply.starts_with("user ") && reply.len() == "user ".len() + 32, "{commands:?}");
        } else {
            assert!(commands.contains(&expected), "{name}: {commands:?}");
        }
    }
}

#[tokio::test]
async fn says_why_it_was_refused_and_never_a_password() {
    let refused = Manner { to_recipients: Some("550 no such user"), ..Manner::default() };
    let busy = Manner { to_recipients: Some("451 later"), ..Manner::default() };
    let offering = Manner { offers: &["AUTH PLAIN"], ..Manner::default() };
    let plain = "smarthost: 'localhost:PORT', require_tls: false";
    for (manner, settings, expected) in [
        (Manner::default(), "smarthost: 'localhost:PORT'", "does not advertise the STARTTLS extension"),
        (
            refused,
            plain,
            "notify retry canceled due to unrecoverable error after 1 attempts: send message: permanent error (550): no such user",
        ),
        (busy, plain, "send message: transient error (451): later"),
        (
            offering,
            "smarthost: '127.0.0.2:PORT', require_tls: false, auth_username: u, auth_password: s3cret",
            "establish connection to server",
        ),
        (
            offering,
            "smarthost: 'localhost:PORT', require_tls: false, auth_username: u, auth_password_file: /no/such/file",
            "unable to read file /no/such/file",
        ),
    ] {
        let (port, _, _got) = server(manner);
        let text = failure(deliver(settings, port).await);
        assert!(text.contains(expected) && !text.contains("s3cret"), "{settings}: {text}");
    }
}
