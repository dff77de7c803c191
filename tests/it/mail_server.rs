//! E-mail through a mail server of Debian, exim: what it stores in a maildir is what people get, and it is what the real Alertmanager has
//! delivered by the same server, field by field.
//!
//! Needs `exim4` and `libnss_wrapper.so`, which `.ci/peers` unpacks; without them the tests say so, and fail where `CI` is set. Nothing
//! outside of a temporary folder is touched: exim listens on free ports of this machine, and its user's name is told by a file.

// What a test cannot run, and the figures of the comparison, go to its standard error.
#![allow(clippy::print_stderr)]

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use almenara::deliver::{DeliverConfig, Delivery};
use almenara::model::Labels;
use almenara::router::{Event, PostedAlert, Router, RouterConfig};
use almenara::source::SourceFile;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use crate::alertmanager_peer::{body, request, start};
use crate::peers::peer;
use crate::real::process::{Running, free_port, wait_for};

/// Nobody's number. Exim refuses to run as root.
const NOBODY: u32 = 65_534;

/// The server's settings. Each port is a different kind of server.
const EXIM: &str = r#"
primary_hostname = mail.example
exim_path = PROGRAM
keep_environment = ^LD_ : ^NSS_
spool_directory = FOLDER/spool
log_file_path = FOLDER/log-%s
pid_file_path = FOLDER/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = OPEN : PLAIN : LOGIN : CRAM : IMPLICIT
tls_on_connect_ports = IMPLICIT
tls_advertise_hosts = ${if eq{$received_port}{OPEN}{}{*}}
tls_certificate = FOLDER/cert.pem
tls_privatekey = FOLDER/key.pem
received_header_text =
acl_smtp_rcpt = recipient
host_lookup =
rfc1413_query_timeout = 0s

begin acl
recipient:
  deny
    condition = ${if !eq{$received_port}{OPEN}}
    !authenticated = *
    message = prove who you are first
  deny
    local_parts = nobody
    message = no such user here
  defer
    local_parts = busy
    message = the mailbox is being moved
  accept

begin routers
everybody:
  driver = accept
  local_parts = ops : second : plain : full : doe
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = FOLDER/mail/$local_part_data
  maildir_format
  create_directory
  envelope_to_add
  return_path_add

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{user}}{eq{$auth3}{s3cret}}}}
  server_set_id = $auth2
  server_advertise_condition = ${if and{{def:tls_in_cipher}{or{{eq{$received_port}{PLAIN}}{eq{$received_port}{IMPLICIT}}}}}}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{user}}{eq{$auth2}{s3cret}}}}
  server_set_id = $auth1
  server_advertise_condition = ${if and{{def:tls_in_cipher}{eq{$received_port}{LOGIN}}}}
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{user}{s3cret}fail}
  server_set_id = $auth1
  server_advertise_condition = ${if eq{$received_port}{CRAM}}
"#;

/// A running exim with a maildir for every name.
struct MailServer {
    folder: TempDir,
    ports: BTreeMap<&'static str, u16>,
    _running: Running,
}

/// Where `.ci/peers` puts a part that is no program of its `usr/bin`.
fn unpacked(path: &str) -> Option<PathBuf> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    let found = glob::glob(&peers.join(path).to_string_lossy()).expect("a pattern").flatten().next();
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{path} is missing; run .ci/peers target/peers");
        eprintln!("SKIPPED: {path} is not unpacked; run .ci/peers target/peers to have this test");
    }
    found
}

impl MailServer {
    fn start() -> Option<MailServer> {
        let program = unpacked("usr/sbin/exim4")?;
        let wrapper = unpacked("usr/lib/*/libnss_wrapper.so")?;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().display().to_string();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).expect("key");
        let kinds = ["OPEN", "PLAIN", "LOGIN", "CRAM", "IMPLICIT"];
        let ports: BTreeMap<&str, u16> = kinds.into_iter().map(|kind| (kind, free_port())).collect();
        let mut settings = EXIM.replace("PROGRAM", &program.display().to_string()).replace("FOLDER", &path);
        for (kind, port) in &ports {
            // The mechanisms' names are words of the settings, too.
            for (before, after) in [("{", "}"), (" : ", ""), ("= ", " :"), ("= ", "\n")] {
                settings = settings.replace(&format!("{before}{kind}{after}"), &format!("{before}{port}{after}"));
            }
        }
        let settings = settings.replace(&format!("public_name = {}\n", ports["PLAIN"]), "public_name = PLAIN\n");
        let settings = settings.replace(&format!("public_name = {}\n", ports["LOGIN"]), "public_name = LOGIN\n");
        // Root gives its rights up; anybody else stays who they are.
        let own = std::fs::metadata("/proc/self").expect("who we are");
        let (user, group) = if own.uid() == 0 { (NOBODY, NOBODY) } else { (own.uid(), own.gid()) };
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("write");
        write("exim.conf", &settings);
        write("cert.pem", &cert.pem());
        write("key.pem", &signing_key.serialize_pem());
        write("passwd", &format!("Debian-exim:x:{user}:{group}::/nonexistent:/bin/false\nroot:x:0:0::/root:/bin/sh\n"));
        write("group", &format!("Debian-exim:x:{group}:\nroot:x:0:\nadm:x:4:\nmail:x:8:\n"));
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("mode");
        if own.uid() == 0 {
            for name in ["", "key.pem", "cert.pem"] {
                chown(folder.path().join(name), Some(user), Some(group)).expect("owner");
            }
        }
        let mut command = Command::new(&program);
        command.arg("-C").arg(folder.path().join("exim.conf")).arg("-bdf").current_dir("/");
        command.env_clear().env("LD_PRELOAD", &wrapper).env("LD_LIBRARY_PATH", wrapper.parent().expect("a folder"));
        command.env("NSS_WRAPPER_PASSWD", folder.path().join("passwd"));
        command.env("NSS_WRAPPER_GROUP", folder.path().join("group"));
        if own.uid() == 0 {
            command.uid(user).gid(group);
        }
        let running = Running::start(&mut command, &folder.path().join("output"));
        let server = MailServer { folder, ports, _running: running };
        wait_for("exim listens", || {
            let listens = |port: &u16| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok();
            server.ports.values().all(listens).then_some(())
        });
        Some(server)
    }

    /// Takes what came for `user`; waits until there are `count`.
    fn mails(&self, user: &str, count: usize) -> Vec<String> {
        let new = self.folder.path().join("mail").join(user).join("new");
        let files = wait_for("mails", || {
            let files: Vec<PathBuf> = std::fs::read_dir(&new).ok()?.map(|entry| entry.unwrap().path()).collect();
            (files.len() >= count).then_some(files)
        });
        let take = |file: PathBuf| {
            let text = std::fs::read_to_string(&file).expect("a mail is text");
            std::fs::remove_file(file).expect("remove");
            text
        };
        files.into_iter().map(take).collect()
    }

    /// What the server wrote down about its conversations.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log-main")).unwrap_or_default()
    }
}

/// An e-mail as a reader sees it.
#[derive(Debug, PartialEq)]
struct Mail {
    /// Unfolded and decoded, in order.
    headers: Vec<(String, String)>,
    /// Each part's headers, and its text decoded.
    parts: Vec<(Vec<(String, String)>, String)>,
}

impl Mail {
    fn parse(text: &str) -> Mail {
        let (head, body) = text.split_once("\n\n").expect("a head and a body");
        let headers = headers(head);
        let kind = value(&headers, "Content-Type").expect("a kind").to_owned();
        let boundary = kind.split_once("boundary=").expect("parts").1.trim_matches('"');
        let inner: Vec<&str> = body.split(&format!("--{boundary}")).collect();
        assert!(inner.last().expect("an end").starts_with("--"), "the last boundary is missing:\n{text}");
        let parts = inner[1..inner.len() - 1].iter().map(|part| {
            let (head, body) = part.trim_start_matches('\n').split_once("\n\n").expect("a part's head and body");
            let head = self::headers(head);
            let encoding = value(&head, "Content-Transfer-Encoding").unwrap_or_default().to_owned();
            assert_eq!(encoding, "quoted-printable");
            (head, quoted_printable(body.strip_suffix('\n').unwrap_or(body)))
        });
        Mail { parts: parts.collect(), headers }
    }

    fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }
}

fn value<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

fn headers(head: &str) -> Vec<(String, String)> {
    let unfolded = head.replace("\n ", " ").replace("\n\t", " ");
    let pairs = unfolded.lines().map(|line| line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")));
    pairs.map(|(name, value)| (name.to_owned(), encoded_words(value))).collect()
}

/// RFC 2047. White space between two encoded words does not count.
fn encoded_words(text: &str) -> String {
    let word = regex::Regex::new(r"(?i)=\?utf-8\?([bq])\?([^?]*)\?=(\s+(=\?))?").unwrap();
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(found) = word.captures(rest) {
        let whole = found.get(0).unwrap();
        bytes.extend_from_slice(&rest.as_bytes()[..whole.start()]);
        let body = &found[2];
        bytes.extend(match &found[1] {
            "q" | "Q" => quoted_bytes(&body.replace('_', " ")),
            _ => base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).expect("base64"),
        });
        rest = &rest[found.get(4).map_or(whole.end(), |next| next.start())..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).expect("UTF-8")
}

fn quoted_printable(text: &str) -> String {
    for line in text.lines() {
        assert!(line.len() <= 76 && line.is_ascii(), "a line of {} bytes: {line}", line.len());
    }
    String::from_utf8(quoted_bytes(&text.replace("=\n", ""))).expect("UTF-8")
}

fn quoted_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'=' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).expect("hex"));
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    bytes
}

/// How long a notification is tried.
#[derive(Clone, Copy)]
enum Attempts {
    One,
    ForFourSeconds,
}

/// Delivers one notification about `Größe` and says what became of it.
async fn deliver(to: &str, settings: &str, attempts: Attempts) -> Event {
    let text = format!(
        "route: {{receiver: team, group_wait: 0s}}\nreceivers:\n- name: team\n  email_configs:\n  - {{to: '{to}', \
         from: 'Almenara <watch@tower.example>', {settings}}}\n",
    );
    let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("router.yml", text));
    let config = config.unwrap_or_else(|| panic!("{diagnostics}"));
    let (delivery_config, diagnostics) = DeliverConfig::decode(&config);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let now = almenara::clock::now();
    let mut router = Router::new(config, "http://almenara.example", now);
    let alert = PostedAlert {
        labels: Labels::from_pairs([("alertname", "Größe"), ("severity", "page")]),
        annotations: Labels::from_pairs([("summary", &*format!("5 > 4 = {}.\n. a dot\nend", "lång ".repeat(300)))]),
        starts_at: Some(now),
        ends_at: None,
        generator_url: "http://prom/?a=b&c=d".to_owned(),
    };
    let mut notifications = router.step(now, vec![Event::Posted(vec![alert])]);
    assert_eq!(notifications.len(), 1);
    notifications[0].deadline = now
        + Duration::from_secs(match attempts {
            Attempts::One => 60,
            Attempts::ForFourSeconds => 4,
        });
    let (delivery, mut reports) = Delivery::new("test");
    delivery.apply(delivery_config).unwrap();
    notifications.into_iter().for_each(|notification| delivery.send(notification));
    if let Attempts::One = attempts {
        // Once the attempt is under way the receiver goes, so that there is no second one: the report has its words.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        delivery.apply(DeliverConfig::default()).unwrap();
    }
    reports.recv().await.unwrap()
}

#[tokio::test]
async fn a_real_server_takes_it_by_every_way() {
    let Some(server) = MailServer::start() else { return };
    let ca = server.folder.path().join("cert.pem").display().to_string();
    let user = "auth_username: user";
    for (kind, settings, logged) in [
        ("OPEN", "require_tls: false".to_owned(), "P=esmtp "),
        ("PLAIN", format!("{user}, auth_password: s3cret"), "P=esmtpsa X=TLS1.3"),
        ("LOGIN", format!("{user}, auth_password: s3cret"), "A=login:user"),
        ("CRAM", format!("{user}, auth_secret: s3cret"), "A=cram:user"),
        ("IMPLICIT", format!("{user}, auth_password: s3cret, force_implicit_tls: true"), "A=plain:user"),
    ] {
        let port = server.ports[kind];
        let settings = format!(
            "smarthost: 'localhost:{port}', tls_config: {{ca_file: {ca}}}, text: '{{{{ range .Alerts }}}}{{{{ .Annotations.summary }}}}{{{{ \
             end }}}}', {settings}"
        );
        let event = deliver("Ops <ops@tower.example>, second@tower.example", &settings, Attempts::One).await;
        assert!(matches!(event, Event::Delivered(_)), "{kind}: {event:?}\n{}", server.log());
        for user in ["ops", "second"] {
            let mail = Mail::parse(&server.mails(user, 1)[0]);
            assert_eq!(mail.header("Return-path"), Some("<watch@tower.example>"), "{kind}");
            assert_eq!(mail.header("Envelope-to"), Some(&*format!("{user}@tower.example")));
            assert_eq!(mail.header("Subject"), Some("[FIRING:1]  (Größe page)"));
            assert_eq!(mail.header("To"), Some("Ops <ops@tower.example>, second@tower.example"));
            assert_eq!(mail.header("From"), Some("Almenara <watch@tower.example>"));
            assert!(mail.header("Message-Id").is_some_and(|id| id.ends_with("@localhost>")), "{mail:?}");
            let kinds: Vec<_> = mail.parts.iter().map(|(head, _)| value(head, "Content-Type").unwrap()).collect();
            assert_eq!(kinds, ["text/plain; charset=utf-8", "text/html; charset=utf-8"]);
            // Line ends, dots that begin a line, long lines and letters beyond ASCII come through.
            assert_eq!(mail.parts[0].1, format!("5 > 4 = {}.\n. a dot\nend", "lång ".repeat(300)));
            assert!(mail.parts[1].1.contains("alertname = Größe"), "{}", mail.parts[1].1);
        }
        assert!(server.log().contains(logged), "{kind}: {logged} is not in\n{}", server.log());
    }
}

#[tokio::test]
async fn refusals_of_a_real_server_are_final_or_not() {
    let Some(server) = MailServer::start() else { return };
    let ca = server.folder.path().join("cert.pem").display().to_string();
    let open = format!("smarthost: 'localhost:{}', require_tls: false", server.ports["OPEN"]);
    let plain =
        format!("smarthost: 'localhost:{}', tls_config: {{ca_file: {ca}}}, auth_username: user", server.ports["PLAIN"]);
    let untrusted =
        format!("smarthost: 'localhost:{}', auth_username: user, auth_password: s3cret", server.ports["PLAIN"]);
    const FINAL: &str = "notify retry canceled due to unrecoverable error after 1 attempts";
    for (to, settings, is_final, expected) in [
        ("nobody@tower.example", open.clone(), true, "send message: permanent error (550): no such user here"),
        ("busy@tower.example", open.clone(), false, "send message: transient error (451): the mailbox is being moved"),
        (
            "ops@tower.example",
            open.replace(", require_tls: false", ""),
            false,
            "does not advertise the STARTTLS extension",
        ),
        ("ops@tower.example", format!("{plain}, auth_password: wr0ng"), true, "auth: permanent error (535)"),
        ("ops@tower.example", untrusted, false, "certificate"),
    ] {
        let Event::Failed(_, text) = deliver(to, &settings, Attempts::One).await else { panic!("{to} was delivered") };
        assert!(text.contains(expected) && !text.contains("wr0ng") && !text.contains("s3cret"), "{settings}: {text}");
        assert_eq!(text.contains(FINAL), is_final, "{text}");
    }
    // A temporary refusal is tried again, a permanent one is not.
    for (user, attempts) in [("busy", 2..=20), ("nobody", 1..=1)] {
        let refusals = || server.log().matches(&format!("rejected RCPT <{user}@tower.example>")).count();
        let before = refusals();
        deliver(&format!("{user}@tower.example"), &open, Attempts::ForFourSeconds).await;
        let count = refusals() - before;
        assert!(attempts.contains(&count), "{user}: {count} attempts\n{}", server.log());
    }
}

/// Two receivers: one with all defaults, one with everything written.
const BOTH: &str = r#"
global:
  smtp_smarthost: localhost:PORT
  smtp_from: 'Tower <watch@tower.example>'
  smtp_auth_username: user
  smtp_auth_password: s3cret
  smtp_tls_config: {ca_file: CA}
route:
  receiver: all
  group_by: [alertname, cluster]
  group_wait: 1s
receivers:
- name: all
  email_configs:
  - {to: plain@tower.example}
  - to: 'Ops <full@tower.example>, "Doe, J." <doe@tower.example>'
    from: 'Alerts <from@tower.example>'
    hello: me.example
    headers: {subject: 'Größe {{ .Status }}: {{ .CommonLabels.cluster }} and so on and on and on and on and on ✓ and on and on', x-prio: '1', REPLY-TO: r@tower.example}
    text: '{{ range .Alerts }}{{ .Labels.instance }} = {{ .Annotations.summary }} {{ .Fingerprint }} {{ .StartsAt }}; {{ end }}{{ .ExternalURL }}'
    html: '{{ range .Alerts }}<p title="{{ .Annotations.summary }}">{{ .Annotations.summary }} {{ "<i>x</i>" | safeHtml }}</p>{{ end }}'
    threading: {enabled: true, thread_by_date: none}
"#;

/// Where the two may differ; at the head of `deliver/smtp.rs` stands why.
const DELIBERATE: &[&str] = &[
    "plain: order of headers",
    "plain: Subject",
    "plain: part 0: order of headers",
    "plain: part 0: text",
    "full: order of headers",
    "full: part 0: order of headers",
    "full: part 1: order of headers",
    "doe: order of headers",
    "doe: part 0: order of headers",
    "doe: part 1: order of headers",
];

fn both_alerts(now: almenara::model::Timestamp) -> Vec<PostedAlert> {
    let alert = |instance: &str| PostedAlert {
        labels: Labels::from_pairs([("alertname", "DiskFull"), ("cluster", "eu <1>"), ("instance", instance)]),
        annotations: Labels::from_pairs([("summary", &*format!("5 > 4 & \"ü\" {}", "very long ".repeat(40)))]),
        starts_at: Some(now),
        ends_at: Some(now + Duration::from_secs(3600)),
        generator_url: "http://prom/graph?g0.expr=a+%3E+1".to_owned(),
    };
    vec![alert("a:1"), alert("b:2")]
}

/// Sends what `config` makes of the alerts.
async fn send_ours(config: &str, now: almenara::model::Timestamp) {
    let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("router.yml", config));
    let config = config.unwrap_or_else(|| panic!("{diagnostics}"));
    let (delivery_config, diagnostics) = DeliverConfig::decode(&config);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let mut router = Router::new(config, "http://am.example/prefix", now);
    router.ingest(now, vec![Event::Posted(both_alerts(now))]);
    let notifications = router.step(now + Duration::from_secs(1), Vec::new());
    let (delivery, _reports) = Delivery::new("test");
    delivery.apply(delivery_config).unwrap();
    for mut notification in notifications {
        // The router's time has passed already.
        notification.deadline = almenara::clock::now() + Duration::from_secs(20);
        delivery.send(notification);
    }
    delivery.shutdown(Duration::from_secs(20)).await;
}

/// How many fields were compared, and which differ.
fn compare(name: &str, theirs: &Mail, ours: &Mail) -> (usize, Vec<String>) {
    let mut count = 0;
    let mut found = Vec::new();
    let mut differs = |field: String, theirs: &str, ours: &str| {
        count += 1;
        if theirs != ours {
            found.push(format!("{name}: {field}\n  theirs {theirs}\n  ours   {ours}"));
        }
    };
    let names =
        |headers: &[(String, String)]| headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let mut all = |place: &str, theirs: &[(String, String)], ours: &[(String, String)]| {
        differs(format!("{place}order of headers"), &names(theirs), &names(ours));
        for (header, their_value) in theirs {
            let our_value = value(ours, header).unwrap_or("(none)");
            differs(format!("{place}{header}"), &masked(header, their_value), &masked(header, our_value));
        }
    };
    all("", &theirs.headers, &ours.headers);
    for (index, ((their_head, _), (our_head, _))) in theirs.parts.iter().zip(&ours.parts).enumerate() {
        all(&format!("part {index}: "), their_head, our_head);
    }
    differs("number of parts".to_owned(), &theirs.parts.len().to_string(), &ours.parts.len().to_string());
    for (index, ((_, their_text), (_, our_text))) in theirs.parts.iter().zip(&ours.parts).enumerate() {
        differs(format!("part {index}: text"), their_text, our_text);
    }
    (count, found)
}

/// What is different in every e-mail is compared by its form.
fn masked(header: &str, value: &str) -> String {
    let replace = |pattern: &str, by: &str| regex::Regex::new(pattern).unwrap().replace_all(value, by).into_owned();
    match header {
        "Date" => replace(r"[A-Z][a-z]{2}, \d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d", "DATE"),
        "Message-Id" => replace(r"<[0-9a-f.]+@[^>]+>", "<ID>"),
        "Content-Type" => replace(r#"\s+boundary="?[^"]+"?"#, " boundary=B").to_lowercase(),
        _ => value.to_owned(),
    }
}

#[tokio::test]
async fn e_mails_are_those_of_alertmanager() {
    let (Some(server), Some(program)) = (MailServer::start(), peer("prometheus-alertmanager")) else { return };
    let ca = server.folder.path().join("cert.pem").display().to_string();
    let config = BOTH.replace("PORT", &server.ports["PLAIN"].to_string()).replace("CA}", &format!("{ca}}}"));
    let now = almenara::clock::now();
    let take = || ["plain", "full", "doe"].map(|user| Mail::parse(&server.mails(user, 1)[0]));
    let theirs = {
        let folder = tempfile::tempdir().unwrap();
        let (_running, address) = start(&program, folder.path(), &config);
        let reply = request(&address, "POST", "/prefix/api/v2/alerts", &body(&both_alerts(now)));
        assert_eq!(reply, Some((200, String::new())));
        take()
    };
    send_ours(&config, now).await;
    let ours = take();
    let (mut count, mut found) = (0, Vec::new());
    for (name, (theirs, ours)) in ["plain", "full", "doe"].into_iter().zip(theirs.iter().zip(&ours)) {
        let (compared, differences) = compare(name, theirs, ours);
        count += compared;
        found.extend(differences);
    }
    let (deliberate, wrong): (Vec<String>, Vec<String>) =
        found.into_iter().partition(|text| DELIBERATE.iter().any(|known| text.lines().next() == Some(known)));
    eprintln!("e-mail: {count} fields compared, {} differ on purpose: {DELIBERATE:?}", deliberate.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Alertmanager's order of headers is another one in each e-mail, and could be ours.
    assert!(deliberate.len() + 3 >= DELIBERATE.len(), "{deliberate:?}");
}
