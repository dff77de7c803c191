//! Slack: incoming webhooks, and `chat.postMessage` with an app token.
//!
//! **Source.** Alertmanager 0.33 `config/notifiers.go` (`SlackConfig`), `notify/slack/slack.go`, `notify/slack/types.go`: keys,
//! defaults, which of them are left out when empty. **Limits.** [`TITLE_CHARS_MAX`].
//! **Differs:** `update_message` is not built yet; what a failed template says stands at the end of the attachment's text.

use serde_json::{Map, Value, json};

use super::{Global, Integration, SecretText, Settings, read_common, read_secret, read_secret_url, read_url};
use crate::router::Message;
use crate::router::message::{Renderer, TextTemplate, truncated};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

/// Slack cuts longer titles itself, and the mark of the cut would be lost.
const TITLE_CHARS_MAX: usize = 1024;

/// A text of the message.
struct Slot {
    /// As the configuration names it.
    key: &'static str,
    /// As Slack names it.
    json: &'static str,
    default: &'static str,
    when_empty: WhenEmpty,
}

#[derive(Clone, Copy, PartialEq)]
enum WhenEmpty {
    LeftOut,
    Kept,
}

const fn slot(key: &'static str, default: &'static str, when_empty: WhenEmpty) -> Slot {
    Slot { key, json: key, default, when_empty }
}

/// Of the message itself.
const MESSAGE: [Slot; 5] = [
    slot("channel", "", WhenEmpty::LeftOut),
    slot("username", r#"{{ template "slack.default.username" . }}"#, WhenEmpty::LeftOut),
    slot("icon_emoji", r#"{{ template "slack.default.iconemoji" . }}"#, WhenEmpty::LeftOut),
    slot("icon_url", r#"{{ template "slack.default.iconurl" . }}"#, WhenEmpty::LeftOut),
    Slot { key: "message_text", json: "text", default: "", when_empty: WhenEmpty::LeftOut },
];

/// Of its one attachment.
const ATTACHMENT: [Slot; 10] = [
    slot("title", r#"{{ template "slack.default.title" . }}"#, WhenEmpty::LeftOut),
    slot("title_link", r#"{{ template "slack.default.titlelink" . }}"#, WhenEmpty::LeftOut),
    slot("pretext", r#"{{ template "slack.default.pretext" . }}"#, WhenEmpty::LeftOut),
    slot("text", r#"{{ template "slack.default.text" . }}"#, WhenEmpty::Kept),
    slot("fallback", r#"{{ template "slack.default.fallback" . }}"#, WhenEmpty::Kept),
    slot("callback_id", r#"{{ template "slack.default.callbackid" . }}"#, WhenEmpty::Kept),
    slot("image_url", "", WhenEmpty::LeftOut),
    slot("thumb_url", "", WhenEmpty::LeftOut),
    slot("footer", r#"{{ template "slack.default.footer" . }}"#, WhenEmpty::Kept),
    slot("color", r#"{{ template "slack.default.color" . }}"#, WhenEmpty::LeftOut),
];

/// Slack's settings of a receiver.
#[derive(Clone, Debug)]
pub struct SlackConfig {
    /// Where to POST.
    pub url: SecretText,
    /// Sent as a bearer token, with an app.
    pub app_token: Option<SecretText>,
    /// In the order of [`MESSAGE`].
    message: Vec<TextTemplate>,
    /// In the order of [`ATTACHMENT`].
    attachment: Vec<TextTemplate>,
    links_names: bool,
    markdown_in: Vec<String>,
    fields: Vec<Field>,
    actions: Vec<Vec<Part>>,
}

#[derive(Clone, Debug)]
struct Field {
    title: TextTemplate,
    value: TextTemplate,
    is_short: bool,
}

/// One key of an action.
#[derive(Clone, Debug)]
enum Part {
    Text(&'static str, TextTemplate),
    Confirm(Vec<(&'static str, TextTemplate)>),
}

pub(super) fn read(decoder: &mut Decoder<'_>, node: &Node, global: &Global) -> Option<Integration> {
    let mut fields = decoder.fields(node, "slack config")?;
    let (url, app_token) = read_address(&mut fields, global);
    let mut texts =
        |slots: &[Slot]| slots.iter().map(|slot| TextTemplate::read(&mut fields, slot.key, slot.default)).collect();
    let (message, attachment) = (texts(&MESSAGE), texts(&ATTACHMENT));
    let are_short = fields.or("short_fields", false, Decoder::bool);
    let is_updating = fields.or("update_message", false, Decoder::bool);
    if let (true, Some(span)) = (is_updating, fields.key_span("update_message")) {
        fields.decoder.error(span, "the key \"update_message\" in slack config is not supported: it is not built yet");
    }
    let markdown_in = fields.or("mrkdwn_in", Vec::new(), Decoder::strings);
    let config = SlackConfig {
        url: url.clone().unwrap_or_else(|| SecretText::Inline(global.slack_app_url.clone())),
        app_token,
        message,
        attachment,
        links_names: fields.or("link_names", false, Decoder::bool),
        markdown_in: match markdown_in.is_empty() {
            true => ["fallback", "pretext", "text"].map(str::to_owned).to_vec(),
            false => markdown_in,
        },
        fields: fields.or("fields", Vec::new(), |decoder, node| {
            decoder.list(node, |decoder, node| read_field(decoder, node, are_short))
        }),
        actions: fields.or("actions", Vec::new(), |decoder, node| decoder.list(node, read_action)),
    };
    let has_token = config.app_token.is_some();
    let integration = read_common(&mut fields, global, false, Settings::Slack(Box::new(config)));
    let authorizes = |key| integration.http_config.as_ref().is_some_and(|raw| raw.node.get(key).is_some());
    if has_token && ["authorization", "bearer_token", "bearer_token_file"].into_iter().any(authorizes) {
        let span = fields.span;
        fields.decoder.error(span, "http authorization can't be set when using Slack App tokens");
    }
    fields.finish();
    url.map(|_| integration)
}

/// Where to send, and the token to send along. An app's token is taken from `global` only where nothing else is written.
fn read_address(fields: &mut Fields<'_, '_, '_>, global: &Global) -> (Option<SecretText>, Option<SecretText>) {
    let api = read_secret_url(fields, ("api_url", "api_url_file"));
    let token = read_secret(fields, ("app_token", "app_token_file"));
    let app_url = fields.or("app_url", global.slack_app_url.clone(), read_url);
    let span = fields.span;
    if api.is_some() && token.is_some() {
        let message = "at most one of api_url/api_url_file & app_token/app_token_file must be configured";
        fields.decoder.error(span, message);
    }
    let is_api_written = fields.key_span("api_url").is_some() || fields.key_span("api_url_file").is_some();
    let authorizes = fields.node("http_config").is_some_and(|node| node.get("authorization").is_some());
    let token = match token {
        None if !is_api_written && !authorizes => global.slack_app_token.clone(),
        token => token,
    };
    if token.is_some() {
        return (Some(SecretText::Inline(app_url)), token);
    }
    let api = api.or_else(|| global.slack_api.clone());
    if api.is_none() && !is_api_written {
        fields.decoder.error(span, "no Slack API URL nor App token set either inline or in a file");
    }
    (api, None)
}

/// A text that must be there.
fn read_needed(fields: &mut Fields<'_, '_, '_>, key: &'static str, what: &str) -> TextTemplate {
    let text = TextTemplate::read(fields, key, "");
    if text.is_empty() {
        let span = fields.span;
        fields.decoder.error(span, format!("missing {key} in Slack {what} configuration"));
    }
    text
}

fn read_field(decoder: &mut Decoder<'_>, node: &Node, are_short: bool) -> Option<Field> {
    let mut fields = decoder.fields(node, "slack field")?;
    let field = Field {
        title: read_needed(&mut fields, "title", "field"),
        value: read_needed(&mut fields, "value", "field"),
        is_short: fields.or("short", are_short, Decoder::bool),
    };
    fields.finish();
    Some(field)
}

/// A link, or a button with a name, a value and a question; with a `url` the rest does not count.
fn read_action(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<Part>> {
    let mut fields = decoder.fields(node, "slack action")?;
    let kind = read_needed(&mut fields, "type", "action");
    let text = read_needed(&mut fields, "text", "action");
    let [url, style, name, value] =
        ["url", "style", "name", "value"].map(|key| TextTemplate::read(&mut fields, key, ""));
    let confirm = fields.optional("confirm", read_confirm);
    let mut parts = vec![Part::Text("type", kind), Part::Text("text", text)];
    if !url.is_empty() {
        parts.extend([Part::Text("url", url), Part::Text("style", style)]);
    } else if !name.is_empty() {
        parts.extend([Part::Text("style", style), Part::Text("name", name), Part::Text("value", value)]);
        parts.extend(confirm.map(Part::Confirm));
    } else {
        let span = fields.span;
        fields.decoder.error(span, "missing name or url in Slack action configuration");
    }
    fields.finish();
    Some(parts)
}

fn read_confirm(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<(&'static str, TextTemplate)>> {
    let mut fields = decoder.fields(node, "slack confirmation")?;
    let text = read_needed(&mut fields, "text", "confirmation");
    let others = ["title", "ok_text", "dismiss_text"].map(|key| (key, TextTemplate::read(&mut fields, key, "")));
    fields.finish();
    Some([("text", text)].into_iter().chain(others).collect())
}

impl SlackConfig {
    pub(super) fn message(&self, renderer: &mut Renderer<'_>) -> Message {
        let mut message = Map::new();
        put_all(&mut message, &MESSAGE, &self.message, renderer);
        if self.links_names {
            message.insert("link_names".to_owned(), true.into());
        }
        let mut attachment = Map::new();
        put_all(&mut attachment, &ATTACHMENT, &self.attachment, renderer);
        if !self.fields.is_empty() {
            let field = |field: &Field| json!({"title": renderer.text(&field.title), "value": renderer.text(&field.value), "short": field.is_short});
            attachment.insert("fields".to_owned(), self.fields.iter().map(field).collect());
        }
        if !self.actions.is_empty() {
            let actions = self.actions.iter().map(|parts| action(parts, renderer)).collect();
            attachment.insert("actions".to_owned(), actions);
        }
        attachment.insert("mrkdwn_in".to_owned(), self.markdown_in.clone().into());
        if let Some(problems) = renderer.problems() {
            let text = attachment.get("text").and_then(Value::as_str).unwrap_or_default();
            attachment.insert("text".to_owned(), format!("{text}\n({problems})").trim_start().into());
        }
        message.insert("attachments".to_owned(), json!([attachment]));
        Message::Slack { url: self.url.clone(), body: Value::Object(message).to_string() }
    }
}

fn put_all(out: &mut Map<String, Value>, slots: &[Slot], texts: &[TextTemplate], renderer: &mut Renderer<'_>) {
    for (slot, template) in slots.iter().zip(texts) {
        let mut text = renderer.text(template);
        if slot.json == "title" {
            text = truncated(text, TITLE_CHARS_MAX);
        }
        put(out, slot.json, text, slot.when_empty);
    }
}

fn put(out: &mut Map<String, Value>, key: &str, text: String, when_empty: WhenEmpty) {
    if !text.is_empty() || when_empty == WhenEmpty::Kept {
        out.insert(key.to_owned(), text.into());
    }
}

fn action(parts: &[Part], renderer: &mut Renderer<'_>) -> Value {
    let mut out = Map::new();
    for part in parts {
        match part {
            Part::Text(key, template) => put(&mut out, key, renderer.text(template), WhenEmpty::LeftOut),
            Part::Confirm(texts) => {
                let mut confirm = Map::new();
                for (key, template) in texts {
                    put(&mut confirm, key, renderer.text(template), WhenEmpty::LeftOut);
                }
                out.insert("confirm".to_owned(), confirm.into());
            }
        }
    }
    out.into()
}
