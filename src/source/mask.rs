//! A configuration as text that may be shown: what was written, without comments, with every secret replaced.
//!
//! In the flow: `/api/v1/status/config` shows the configuration so, `/api/v2/status` the router's, from which `amtool` draws and tests the
//! route tree.
//! **Source.** Alertmanager shows `<secret>` in the same places (`config/config.go`).
//! **Differs:** upstream adds defaults that were not written; we show only what was written.

use std::borrow::Cow;

use super::yaml::{Node, NodeKind};

/// Keys whose values are secret wherever they stand. `url` is one because webhook addresses carry tokens.
const SECRET_KEYS: [&str; 21] = [
    "api_url",
    "app_token",
    "auth_password",
    "auth_secret",
    "bearer_token",
    "client_secret",
    "credentials",
    "key",
    "password",
    "proxy_connect_header",
    "proxy_url",
    "routing_key",
    "secrets",
    "service_key",
    "slack_api_url",
    "slack_app_token",
    "smtp_auth_password",
    "smtp_auth_secret",
    "token",
    "url",
    "webhook_url",
];

/// `node` as YAML in block form.
pub fn masked(node: &Node) -> String {
    let mut out = String::new();
    write_node(node, 0, &mut out);
    out
}

/// Writes what follows `key:` or `-`, its line break included.
fn write_node(node: &Node, indent: usize, out: &mut String) {
    match &node.kind {
        NodeKind::Null => out.push_str("null\n"),
        NodeKind::Scalar { text, plain, .. } => {
            out.push_str(&scalar(text, *plain));
            out.push('\n');
        }
        NodeKind::Sequence(items) if items.is_empty() => out.push_str("[]\n"),
        NodeKind::Mapping(pairs) if pairs.is_empty() => out.push_str("{}\n"),
        NodeKind::Sequence(items) => {
            for item in items {
                out.push_str(&" ".repeat(indent));
                out.push('-');
                write_value(item, indent, out);
            }
        }
        NodeKind::Mapping(pairs) => {
            for (key, value) in pairs {
                let name = key.as_str().unwrap_or_default();
                out.push_str(&" ".repeat(indent));
                out.push_str(&scalar(name, true));
                out.push(':');
                if SECRET_KEYS.contains(&name) && !value.is_null() {
                    write_secret(value, indent, out);
                } else {
                    write_value(value, indent, out);
                }
            }
        }
    }
}

fn write_value(node: &Node, indent: usize, out: &mut String) {
    let is_block = match &node.kind {
        NodeKind::Sequence(items) => !items.is_empty(),
        NodeKind::Mapping(pairs) => !pairs.is_empty(),
        _ => false,
    };
    out.push(if is_block { '\n' } else { ' ' });
    write_node(node, indent + 2, out);
}

/// Keeps the shape of lists and mappings of secrets, so that the text still reads as a configuration.
fn write_secret(node: &Node, indent: usize, out: &mut String) {
    let inner = " ".repeat(indent + 2);
    match &node.kind {
        NodeKind::Sequence(items) => {
            out.push('\n');
            items.iter().for_each(|_| out.push_str(&format!("{inner}- <secret>\n")));
        }
        NodeKind::Mapping(pairs) => {
            out.push('\n');
            for (key, value) in pairs {
                out.push_str(&format!("{inner}{}:", scalar(key.as_str().unwrap_or_default(), true)));
                write_secret(value, indent + 2, out);
            }
        }
        _ => out.push_str(" <secret>\n"),
    }
}

/// A plain scalar stays plain: it was one in a place at least as narrow as ours.
fn scalar(text: &str, was_plain: bool) -> String {
    let text = &*without_password(text);
    if was_plain && !text.is_empty() && !text.contains('\n') { text.to_owned() } else { quoted(text) }
}

/// Hides the password of a URL with user information, wherever it stands: a target may be a parameter of another.
fn without_password(text: &str) -> Cow<'_, str> {
    let hidden = || {
        let authority = text.find("://")? + 3;
        let end = text[authority..].find(['/', '?', '#']).map_or(text.len(), |length| authority + length);
        let at = authority + text[authority..end].rfind('@')?;
        let password = authority + text[authority..at].find(':')? + 1;
        Some(format!("{}<secret>{}", &text[..password], &text[at..]))
    };
    hidden().map_or(Cow::Borrowed(text), Cow::Owned)
}

/// A JSON text is a YAML text in double quotes.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("BUG: a text cannot be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::{masked, without_password};
    use crate::source::{SourceFile, yaml};

    #[test]
    fn replaces_secrets_and_stays_readable() {
        let text = "receivers:\n- name: a # token xyz\n  webhook_configs: [{url: 'http://h/t0ken', http_config: \
                    {basic_auth: {username: u, password: p4ss}, http_headers: {X: {secrets: [s1, s2]}}, proxy_connect_header: {P: [s4]}}}]\nroute: \
                    {receiver: a, group_by: ['...'], routes: [], matchers: ~, continue: false}\n";
        let (node, _) = yaml::parse(&SourceFile::new("f.yml", text));
        let shown = masked(&node.unwrap());
        for secret in ["t0ken", "p4ss", "s1", "s2", "s4", "xyz"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let expected = "receivers:\n  -\n    name: a\n    webhook_configs:\n      -\n        url: <secret>\n        \
                        http_config:\n          basic_auth:\n            username: u\n            password: \
                        <secret>\n          http_headers:\n            X:\n              secrets:\n                - \
                        <secret>\n                - <secret>\n          proxy_connect_header:\n            P:\n              - <secret>\nroute:\n  receiver: a\n  group_by:\n    - \"...\"\n  \
                        routes: []\n  matchers: null\n  continue: false\n";
        assert_eq!(shown, expected);
        let (again, diagnostics) = yaml::parse(&SourceFile::new("again.yml", shown.as_str()));
        assert!(diagnostics.is_empty());
        assert_eq!(masked(&again.unwrap()), shown);
    }

    #[test]
    fn passwords_in_urls_are_hidden() {
        for (text, shown) in [
            ("http://u:p4ss@h/x?y", "http://u:<secret>@h/x?y"),
            ("https://u:p@4:ss@h", "https://u:<secret>@h"),
            ("http://u@h/a:b@c", "http://u@h/a:b@c"),
            ("http://h:1/a@b", "http://h:1/a@b"),
            ("u:p@h", "u:p@h"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
