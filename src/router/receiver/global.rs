//! `global`: what receivers take where they say nothing themselves.
//!
//! **Source.** Alertmanager 0.33 `config/config.go` (`GlobalConfig`).

use std::time::Duration;

use super::{RawConfig, SecretText, email, read_raw, read_secret, read_secret_url, read_url};
use crate::source::Secret;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

/// Alerts that come without an end live this long after their last arrival, unless the file says otherwise.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
const SLACK_APP_URL: &str = "https://slack.com/api/chat.postMessage";

/// Settings of receivers that are not built yet.
const UNBUILT: [&str; 22] = [
    "jira_api_url",
    "mattermost_webhook_url",
    "mattermost_webhook_url_file",
    "opsgenie_api_key",
    "opsgenie_api_key_file",
    "opsgenie_api_url",
    "rocketchat_api_url",
    "rocketchat_token",
    "rocketchat_token_file",
    "rocketchat_token_id",
    "rocketchat_token_id_file",
    "telegram_api_url",
    "telegram_bot_token",
    "telegram_bot_token_file",
    "victorops_api_key",
    "victorops_api_key_file",
    "victorops_api_url",
    "webex_api_url",
    "wechat_api_corp_id",
    "wechat_api_secret",
    "wechat_api_secret_file",
    "wechat_api_url",
];

/// The section, with its defaults.
pub(in crate::router) struct Global {
    pub(in crate::router) resolve_timeout: Duration,
    pub(super) http_config: Option<RawConfig>,
    pub(super) slack_api: Option<SecretText>,
    pub(super) slack_app_token: Option<SecretText>,
    pub(super) slack_app_url: Secret,
    pub(super) pagerduty_url: Secret,
    pub(super) smtp: email::Smtp,
}

impl Default for Global {
    fn default() -> Self {
        Global {
            resolve_timeout: RESOLVE_TIMEOUT,
            http_config: None,
            slack_api: None,
            slack_app_token: None,
            slack_app_url: Secret::new(SLACK_APP_URL),
            pagerduty_url: Secret::new(PAGERDUTY_URL),
            smtp: email::Smtp::default(),
        }
    }
}

impl Global {
    /// Reads the section, which may be missing.
    pub(in crate::router) fn read(decoder: &mut Decoder<'_>, node: Option<&Node>) -> Global {
        let fields = node.and_then(|node| decoder.fields(node, "global"));
        fields.map(Global::read_fields).unwrap_or_default()
    }

    fn read_fields(mut fields: Fields<'_, '_, '_>) -> Global {
        let default = Global::default();
        let global = Global {
            resolve_timeout: fields.or("resolve_timeout", default.resolve_timeout, Decoder::duration),
            http_config: read_raw(&mut fields, "http_config"),
            slack_api: read_secret_url(&mut fields, ("slack_api_url", "slack_api_url_file")),
            slack_app_token: read_secret(&mut fields, ("slack_app_token", "slack_app_token_file")),
            slack_app_url: fields.or("slack_app_url", default.slack_app_url, read_url),
            pagerduty_url: fields.or("pagerduty_url", default.pagerduty_url, read_url),
            smtp: email::Smtp::read_global(&mut fields),
        };
        let keys = ["slack_app_token", "slack_app_token_file"];
        if let (Some(api), Some(span), Some(_)) =
            (&global.slack_api, keys.iter().find_map(|key| fields.key_span(key)), &global.slack_app_token)
            && *api != SecretText::Inline(global.slack_app_url.clone())
        {
            let message = "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must \
                           be configured";
            fields.decoder.error(span, message);
        }
        for key in UNBUILT {
            fields.unsupported(key, "its receivers are not built yet");
        }
        fields.finish();
        global
    }
}
