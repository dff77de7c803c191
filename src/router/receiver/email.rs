//! E-mail: whom, from whom, through which server, and what it says.
//!
//! **Source.** Alertmanager 0.33 `config/notifiers.go` (`EmailConfig`), `notify/email/email.go`.
//! **Differs:** the day of a thread is that of UTC; `auth_secret` is used where there is no password, whatever the server prefers;
//! an `auth_identity` other than the user name is refused. What a failed
//! template says stands at the end of both parts.

use super::{Global, Integration, RawConfig, SecretText, Settings, read_raw, read_secret};
use crate::router::Message;
use crate::router::message::{Envelope, Renderer, TextTemplate};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;
use sha2::{Digest, Sha256};

const SUBJECT: &str = r#"{{ template "email.default.subject" . }}"#;
const HTML: &str = r#"{{ template "email.default.html" . }}"#;
/// How we greet a server.
const HELLO: &str = "localhost";
/// Implicit TLS is the rule on this port.
const SUBMISSIONS_PORT: u16 = 465;

/// The server, and how to prove who we are.
#[derive(Clone, Debug, Default)]
pub struct Smtp {
    /// Host name or address.
    pub host: String,
    /// Its port; 0 where no server is written.
    pub port: u16,
    /// Our name in the greeting.
    pub hello: Option<String>,
    /// The user's name; none means that nobody proves anything.
    pub username: Option<String>,
    /// For PLAIN and LOGIN.
    pub password: Option<SecretText>,
    /// For CRAM-MD5.
    pub secret: Option<SecretText>,
    /// Whether a connection without TLS is refused.
    pub require_tls: Option<bool>,
    /// Whether TLS comes before the first word; by the port where nothing is written.
    pub force_implicit_tls: Option<bool>,
    /// Whom to trust, and which certificate to show.
    pub tls_config: Option<RawConfig>,
    from: Option<TextTemplate>,
}

impl Smtp {
    pub(super) fn read_global(fields: &mut Fields<'_, '_, '_>) -> Smtp {
        let (host, port) = fields.or("smtp_smarthost", (String::new(), 0), read_host_port);
        let smtp = Smtp {
            host,
            port,
            hello: fields.optional("smtp_hello", Decoder::string),
            username: fields.optional("smtp_auth_username", Decoder::string).filter(|name| !name.is_empty()),
            password: read_secret(fields, ("smtp_auth_password", "smtp_auth_password_file")),
            secret: read_secret(fields, ("smtp_auth_secret", "smtp_auth_secret_file")),
            require_tls: fields.optional("smtp_require_tls", Decoder::bool),
            force_implicit_tls: fields.optional("smtp_force_implicit_tls", Decoder::bool),
            tls_config: read_raw(fields, "smtp_tls_config"),
            from: read_text(fields, "smtp_from"),
        };
        check_identity(fields, "smtp_auth_identity", smtp.username.as_deref());
        smtp
    }

    /// What an integration says itself, else the global word.
    fn read(fields: &mut Fields<'_, '_, '_>, global: &Smtp) -> Smtp {
        let (host, port) = fields.or("smarthost", (global.host.clone(), global.port), read_host_port);
        let username = fields.optional("auth_username", Decoder::string).filter(|name| !name.is_empty());
        let smtp = Smtp {
            host,
            port,
            hello: fields.optional("hello", Decoder::string).or_else(|| global.hello.clone()),
            username: username.or_else(|| global.username.clone()),
            password: read_secret(fields, ("auth_password", "auth_password_file")).or_else(|| global.password.clone()),
            secret: read_secret(fields, ("auth_secret", "auth_secret_file")).or_else(|| global.secret.clone()),
            require_tls: fields.optional("require_tls", Decoder::bool).or(global.require_tls),
            force_implicit_tls: fields.optional("force_implicit_tls", Decoder::bool).or(global.force_implicit_tls),
            tls_config: read_raw(fields, "tls_config").or_else(|| global.tls_config.clone()),
            from: read_text(fields, "from").or_else(|| global.from.clone()),
        };
        check_identity(fields, "auth_identity", smtp.username.as_deref());
        smtp
    }

    /// Our name in the greeting.
    pub fn hello_name(&self) -> &str {
        self.hello.as_deref().filter(|name| !name.is_empty()).unwrap_or(HELLO)
    }

    /// Whether TLS comes before the first word.
    pub fn has_implicit_tls(&self) -> bool {
        self.force_implicit_tls.unwrap_or(self.port == SUBMISSIONS_PORT)
    }

    /// Whether the connection must be upgraded with STARTTLS.
    pub fn must_start_tls(&self) -> bool {
        self.require_tls.unwrap_or(true) && !self.has_implicit_tls()
    }
}

/// E-mail settings of a receiver.
#[derive(Clone, Debug)]
pub struct EmailConfig {
    /// The server.
    pub smtp: Smtp,
    to: TextTemplate,
    from: TextTemplate,
    /// In the order written, `Subject`, `To` and `From` among them; names are in their usual spelling.
    headers: Vec<(String, TextTemplate)>,
    html: TextTemplate,
    text: TextTemplate,
    thread: Option<ThreadBy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ThreadBy {
    Group,
    GroupAndDay,
}

/// A rendered e-mail.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct EmailMessage {
    /// One address of the envelope, with or without a name.
    pub from: String,
    /// Addresses of the envelope, comma separated.
    pub to: String,
    /// Name and value.
    pub headers: Vec<(String, String)>,
    /// The part of plain text; none where it is empty.
    pub text: String,
    /// The part of HTML; none where it is empty.
    pub html: String,
}

pub(super) fn read(decoder: &mut Decoder<'_>, node: &Node, global: &Global) -> Option<Integration> {
    let mut fields = decoder.fields(node, "email config")?;
    let span = fields.span;
    let smtp = Smtp::read(&mut fields, &global.smtp);
    let to = TextTemplate::read(&mut fields, "to", "");
    let checks = [
        (to.is_empty(), "missing to address in email config"),
        (smtp.port == 0 && fields.key_span("smarthost").is_none(), "no global SMTP smarthost set"),
        (smtp.from.is_none(), "no global SMTP from set"),
    ];
    for (_, message) in checks.iter().filter(|(is_wrong, _)| *is_wrong) {
        fields.decoder.error(span, *message);
    }
    let from = smtp.from.clone().unwrap_or_else(|| TextTemplate::of_default("from", ""));
    let mut headers = read_headers(&mut fields);
    let thread = fields.optional("threading", |decoder, node| read_threading(decoder, node, &headers)).flatten();
    let usual = [("Subject", TextTemplate::of_default("Subject", SUBJECT)), ("To", to.clone()), ("From", from.clone())];
    for (name, template) in usual {
        if !headers.iter().any(|(written, _)| written == name) {
            headers.push((name.to_owned(), template));
        }
    }
    let config = EmailConfig {
        smtp,
        to,
        from,
        headers,
        html: TextTemplate::read(&mut fields, "html", HTML),
        text: TextTemplate::read(&mut fields, "text", ""),
        thread,
    };
    // E-mail has no `http_config` and no `timeout`; asking for them here would make them known.
    let settings = Settings::Email(Box::new(config));
    let send_resolved = fields.or("send_resolved", false, Decoder::bool);
    fields.finish();
    Some(Integration { index: 0, send_resolved, timeout: None, http_config: None, settings })
}

fn read_text(fields: &mut Fields<'_, '_, '_>, key: &'static str) -> Option<TextTemplate> {
    fields.key_span(key)?;
    Some(TextTemplate::read(fields, key, "")).filter(|text| !text.is_empty())
}

/// SASL lets a user act as another; no receiver of alerts needs it.
fn check_identity(fields: &mut Fields<'_, '_, '_>, key: &'static str, username: Option<&str>) {
    let Some(identity) = fields.optional(key, Decoder::string) else { return };
    if let (true, Some(span)) = (!identity.is_empty() && Some(&*identity) != username, fields.key_span(key)) {
        fields.decoder.error(span, format!("{key} other than the user name is not supported; leave it out"));
    }
}

/// `host:port`, the host perhaps in brackets.
fn read_host_port(decoder: &mut Decoder<'_>, node: &Node) -> Option<(String, u16)> {
    let text = decoder.string(node)?;
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let Some((host, port)) = parts else {
        decoder.error_with_help(node.span, format!("address {text}: missing port in address"), "write host:port");
        return None;
    };
    if port.is_empty() {
        decoder.error_with_help(node.span, format!("address {text:?}: port cannot be empty"), "write host:port");
        return None;
    }
    match port.parse::<u16>() {
        Ok(number) if number > 0 => Some((host.trim_matches(['[', ']']).to_owned(), number)),
        _ => {
            let message = format!("address {text:?}: {port:?} is not a port");
            decoder.error_with_help(node.span, message, "write the port as a number from 1 to 65535");
            None
        }
    }
}

/// Names in their usual spelling, each once.
fn read_headers(fields: &mut Fields<'_, '_, '_>) -> Vec<(String, TextTemplate)> {
    let read = |decoder: &mut Decoder<'_>, node: &Node| {
        let text = decoder.string(node)?;
        TextTemplate::parse("headers", &text, "").map_err(|error| decoder.error(node.span, error)).ok()
    };
    let written = fields.or("headers", Vec::new(), |decoder, node| decoder.map(node, read));
    let mut headers: Vec<(String, TextTemplate)> = Vec::new();
    for (name, span, template) in written {
        let name = usual_spelling(&name);
        if headers.iter().any(|(other, _)| *other == name) {
            fields.decoder.error(span, format!("duplicate header {name:?} in email config"));
        } else if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
            fields.decoder.error(span, format!("{name:?} is not the name of a header"));
        } else {
            headers.push((name, template));
        }
    }
    headers
}

/// `reply-to` as `Reply-To`.
fn usual_spelling(name: &str) -> String {
    let word = |word: &str| {
        let lower = word.to_ascii_lowercase();
        lower.get(..1).map_or(lower.clone(), |first| first.to_ascii_uppercase() + &lower[1..])
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// `Some(None)` where threads are switched off.
fn read_threading(
    decoder: &mut Decoder<'_>,
    node: &Node,
    headers: &[(String, TextTemplate)],
) -> Option<Option<ThreadBy>> {
    let mut fields = decoder.fields(node, "threading")?;
    let is_enabled = fields.or("enabled", false, Decoder::bool);
    let by_date = fields.optional("thread_by_date", Decoder::string).unwrap_or_default();
    let span = fields.span;
    let thread = match by_date.as_str() {
        "none" => Some(ThreadBy::Group),
        "daily" => Some(ThreadBy::GroupAndDay),
        _ => None,
    };
    if is_enabled && thread.is_none() {
        fields.decoder.error(span, "threading.thread_by_date must be either 'none' or 'daily'");
    }
    for name in ["References", "In-Reply-To"] {
        if is_enabled && headers.iter().any(|(written, _)| written == name) {
            let message = format!("conflicting configuration: threading.enabled conflicts with custom {name} header");
            fields.decoder.error(span, message);
        }
    }
    fields.finish();
    Some(thread.filter(|_| is_enabled))
}

impl EmailConfig {
    pub(super) fn message(&self, envelope: &Envelope<'_>, renderer: &mut Renderer<'_>) -> Message {
        let mut message = EmailMessage {
            from: renderer.text(&self.from),
            to: renderer.text(&self.to),
            headers: self.headers.iter().map(|(name, text)| (name.clone(), renderer.text(text))).collect(),
            text: renderer.text(&self.text),
            html: renderer.html(&self.html),
        };
        if let Some(thread) = self.thread {
            let root = thread_root(envelope, thread);
            message.headers.extend(["References", "In-Reply-To"].map(|name| (name.to_owned(), root.clone())));
        }
        if let Some(problems) = renderer.problems() {
            let text = TextTemplate::of_default("text", "{{ template \"__text_alert_list\" .Alerts }}");
            message.text = format!(
                "{}\n\n({problems})\n",
                if message.text.is_empty() { renderer.text(&text) } else { message.text }
            );
            if !message.html.is_empty() {
                let note = problems.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                message.html.push_str(&format!("<p>({note})</p>\n"));
            }
        }
        Message::Email(Box::new(message))
    }
}

/// No e-mail has this name; programs that show threads make it their root.
fn thread_root(envelope: &Envelope<'_>, thread: ThreadBy) -> String {
    let hash: String = Sha256::digest(envelope.group_key).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let at = envelope.now.to_rfc3339();
    let day = if thread == ThreadBy::GroupAndDay { at.get(..10).unwrap_or_default() } else { "" };
    format!("<alert-{hash}-{day}@alertmanager>")
}
