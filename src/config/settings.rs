//! The process's settings: one registry, four layers.
//!
//! A setting has the name of its flag (`--web.listen-address`), of its variable (`ALMENARA__WEB__LISTEN_ADDRESS`) and, for those under
//! `storage`, of its key in the file. Later layers win: defaults, file, environment, flags. Names that Prometheus or
//! Alertmanager have mean the same here. Help, `/api/v1/status/flags` and the tests loop over [`SETTINGS`].

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::source::{parse_bytes, parse_duration, suggest};

/// The prefix of environment variables.
const ENV_PREFIX: &str = "ALMENARA";

/// What a setting's text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// Any text.
    Text,
    /// Text; the flag may be given several times. Elsewhere the values are separated by commas.
    List,
    /// `true` or `false`; the flag alone means `true`.
    Switch,
    /// A Prometheus duration above zero.
    Duration,
    /// A whole number above zero.
    Count,
    /// Bytes above zero with a unit, such as `512MB`.
    Bytes,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// One entry of the registry.
#[derive(Debug)]
pub struct Setting {
    /// As the flag is written, without the dashes.
    pub name: &'static str,
    /// What its text must be.
    pub kind: SettingKind,
    /// Its value where no layer sets it; empty means "not set".
    pub default: &'static str,
    /// One sentence for `--help`.
    pub help: &'static str,
}

const fn setting(name: &'static str, kind: SettingKind, default: &'static str, help: &'static str) -> Setting {
    Setting { name, kind, default, help }
}

/// All settings of `almenara serve`.
pub static SETTINGS: &[Setting] = &[
    setting("config.file", SettingKind::Text, "", "Configuration file. Without one, Almenara watches itself."),
    setting("web.listen-address", SettingKind::List, "127.0.0.1:9597", "Address to listen on; may be repeated."),
    setting("web.external-url", SettingKind::Text, "", "Our address as users reach it, for links in alerts."),
    setting("web.config.file", SettingKind::Text, "", "TLS, users and headers of the HTTP server, as in Prometheus."),
    setting(
        "web.enable-lifecycle",
        SettingKind::Switch,
        "false",
        "Allow reload and silences by HTTP also to strangers beyond loopback.",
    ),
    setting(
        "web.enable-admin-api",
        SettingKind::Switch,
        "false",
        "Allow snapshots and removal of series under /api/v1/admin.",
    ),
    setting(
        "web.enable-remote-write-receiver",
        SettingKind::Switch,
        "false",
        "Take remote writes also from strangers beyond loopback.",
    ),
    setting(
        "enable-feature",
        SettingKind::List,
        "",
        "Feature flags of Prometheus, separated by commas; may be repeated.",
    ),
    setting(
        "storage.path",
        SettingKind::Text,
        "data",
        "Folder for what must survive a restart: samples, alerts, silences.",
    ),
    setting(
        "storage.tsdb.retention.time",
        SettingKind::Duration,
        "24h",
        "How long samples are kept that no rule or SLO reads for longer.",
    ),
    setting(
        "storage.mode",
        SettingKind::Choice(&["all", "rules"]),
        "all",
        "Which scraped and written series are kept: all, or those that rules and SLOs read, for as long as they do.",
    ),
    setting(
        "storage.memory-limit",
        SettingKind::Bytes,
        "",
        "Memory for samples and index, such as 2GB. Without one: half of what the machine or container has.",
    ),
    setting("storage.series-limit", SettingKind::Count, "5000000", "Series in all; further new ones are refused."),
    setting(
        "storage.series-limit-per-job",
        SettingKind::Count,
        "1000000",
        "Series with the same label job; further new ones are refused.",
    ),
    setting("query.lookback-delta", SettingKind::Duration, "5m", "How far back an instant selector looks."),
    setting("query.timeout", SettingKind::Duration, "2m", "How long a query may take."),
    setting("query.max-samples", SettingKind::Count, "50000000", "How many samples a query may hold in memory."),
    setting("query.max-concurrency", SettingKind::Count, "20", "How many queries may run at once."),
    setting(
        "rules.alert.for-outage-tolerance",
        SettingKind::Duration,
        "1h",
        "After a longer outage of ours, alerts that wait for their `for` begin anew.",
    ),
    setting(
        "rules.alert.for-grace-period",
        SettingKind::Duration,
        "10m",
        "After an outage, at least this is left to wait of a longer `for`.",
    ),
    setting("rules.alert.resend-delay", SettingKind::Duration, "1m", "Least time between two sends of an alert."),
    setting("alerts.history", SettingKind::Duration, "30d", "How long the history of alerts is kept."),
    setting(
        "alertmanager.notification-queue-capacity",
        SettingKind::Count,
        "10000",
        "How many alerts wait for each Alertmanager; then the oldest go.",
    ),
    setting(
        "alertmanager.notification-batch-size",
        SettingKind::Count,
        "256",
        "How many alerts go in one request to an Alertmanager.",
    ),
    setting(
        "alertmanager.drain-notification-queue-on-shutdown",
        SettingKind::Switch,
        "true",
        "Send what waits for Alertmanagers before the end, for at most ten seconds.",
    ),
    setting("log.level", SettingKind::Choice(&["debug", "info", "warn", "error"]), "info", "Least severity logged."),
    setting("log.format", SettingKind::Choice(&["logfmt", "json"]), "logfmt", "Form of the log, on standard error."),
];

/// A value that a layer set and that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// Which setting, and from which layer.
    pub place: String,
    /// What is wrong and what to write.
    pub message: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for SettingError {}

/// One layer: setting names and their texts.
pub type Layer = Vec<(String, String)>;

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    values: HashMap<&'static str, String>,
}

impl Settings {
    /// Merges the layers; `environment` is every variable of the process (others than ours are ignored). All mistakes at once.
    pub fn merge(
        file: &Layer,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &Layer,
    ) -> Result<Settings, Vec<SettingError>> {
        let mut errors = Vec::new();
        let mut builder = config::Config::builder();
        for setting in SETTINGS {
            builder = builder.set_default(key(setting.name), setting.default).expect("BUG: a setting's name is no key");
        }
        let mut set = |builder: config::builder::ConfigBuilder<_>, name: &str, value: &str, place: String| match check(
            name, value,
        ) {
            Ok(setting) => builder.set_override(key(setting.name), value).expect("BUG: a setting's name is no key"),
            Err(message) => {
                errors.push(SettingError { place, message });
                builder
            }
        };
        for (name, value) in file {
            builder = set(builder, name, value, format!("configuration file, {name}"));
        }
        let mut variables: Vec<(String, String)> = environment.into_iter().collect();
        variables.sort();
        for (variable, value) in variables {
            if let Some(name) = variable.strip_prefix(ENV_PREFIX).and_then(|rest| rest.strip_prefix("__")) {
                let name = name_of_variable(name);
                builder = set(builder, &name, &value, format!("environment variable {variable}"));
            }
        }
        for (name, value) in flags {
            builder = set(builder, name, value, format!("flag --{name}"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let merged = builder.build().expect("BUG: checked settings do not build");
        let text = |setting: &Setting| merged.get_string(&key(setting.name)).unwrap_or_default();
        Ok(Settings { values: SETTINGS.iter().map(|setting| (setting.name, text(setting))).collect() })
    }

    /// The text of a setting; empty where it is not set.
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).unwrap_or_else(|| panic!("BUG: no setting is called {name}"))
    }

    /// The text of a setting as a path, `None` where it is not set.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    /// The values of a list.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name).split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// A duration.
    pub fn duration(&self, name: &str) -> Duration {
        parse_duration(self.text(name)).expect("BUG: durations are checked when merged")
    }

    /// A number.
    pub fn count(&self, name: &str) -> usize {
        self.text(name).parse().expect("BUG: numbers are checked when merged")
    }

    /// A size, `None` where it is not set.
    pub fn bytes(&self, name: &str) -> Option<u64> {
        Some(self.text(name))
            .filter(|text| !text.is_empty())
            .map(|text| parse_bytes(text).expect("BUG: sizes are checked when merged"))
    }

    /// A switch.
    pub fn is_on(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// All, in order of name, for `/api/v1/status/flags`.
    pub fn all(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> =
            SETTINGS.iter().map(|setting| (setting.name.to_owned(), self.text(setting.name).to_owned())).collect();
        all.sort();
        all
    }
}

/// The key in the merging library, which reads dots as levels and knows no dashes.
fn key(name: &str) -> String {
    name.replace('-', "_")
}

/// `WEB__LISTEN_ADDRESS` is `web.listen-address`.
fn name_of_variable(variable: &str) -> String {
    let key = variable.to_lowercase().replace("__", ".");
    match SETTINGS.iter().find(|setting| self::key(setting.name) == key) {
        Some(setting) => setting.name.to_owned(),
        None => key.replace('_', "-"),
    }
}

/// The setting of this name, if it takes the value; otherwise what is wrong.
pub(super) fn check(name: &str, value: &str) -> Result<&'static Setting, String> {
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
        let near = suggest::nearest(name, SETTINGS.iter().map(|setting| setting.name));
        return Err(match near {
            Some(near) => format!("no such setting; did you mean {near}?"),
            None => "no such setting; `almenara serve --help` lists them".to_owned(),
        });
    };
    match setting.kind {
        SettingKind::Text | SettingKind::List => Ok(setting),
        SettingKind::Switch if matches!(value, "true" | "false") => Ok(setting),
        SettingKind::Switch => Err(format!("{value:?} is neither true nor false")),
        SettingKind::Duration => match parse_duration(value) {
            Ok(duration) if !duration.is_zero() => Ok(setting),
            Ok(_) => Err("must be longer than zero".to_owned()),
            Err(error) => Err(format!("{error}; write a number and a unit, such as 30s or 5m")),
        },
        SettingKind::Count if value.parse::<usize>().is_ok_and(|count| count > 0) => Ok(setting),
        SettingKind::Count => Err(format!("{value:?} is not a whole number above zero")),
        SettingKind::Bytes if parse_bytes(value).is_some_and(|bytes| bytes > 0) => Ok(setting),
        SettingKind::Bytes => Err(format!("{value:?} is not a size; write bytes with a unit, such as 512MB or 2GB")),
        SettingKind::Choice(words) if words.contains(&value) => Ok(setting),
        SettingKind::Choice(words) => Err(format!("{value:?} is none of {}", words.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(pairs: &[(&str, &str)]) -> Layer {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn later_layers_win() {
        let name = "storage.tsdb.retention.time";
        let file = layer(&[(name, "1d"), ("storage.path", "/a")]);
        let variables = layer(&[("ALMENARA__STORAGE__TSDB__RETENTION__TIME", "2d"), ("HOME", "/h")]);
        let flags = layer(&[(name, "3d")]);
        let settings = |file, variables, flags| Settings::merge(file, variables, flags).unwrap();
        let none = Layer::new();
        assert_eq!(settings(&none, none.clone(), &none).text(name), "24h");
        assert_eq!(settings(&file, none.clone(), &none).text(name), "1d");
        assert_eq!(settings(&file, variables.clone(), &none).text(name), "2d");
        assert_eq!(settings(&file, variables.clone(), &flags).text(name), "3d");
        assert_eq!(settings(&file, variables, &flags).text("storage.path"), "/a");
    }

    #[test]
    fn names_with_dashes_work_in_every_layer() {
        let variables = layer(&[("ALMENARA__WEB__LISTEN_ADDRESS", "127.0.0.1:1, 127.0.0.1:2")]);
        let settings = Settings::merge(&Layer::new(), variables, &Layer::new()).unwrap();
        assert_eq!(settings.list("web.listen-address"), ["127.0.0.1:1", "127.0.0.1:2"]);
    }

    #[test]
    fn every_mistake_is_reported() {
        let variables = layer(&[("ALMENARA__LOG__LEVL", "info")]);
        let flags = layer(&[("query.timeout", "5"), ("log.format", "xml"), ("query.max-samples", "0")]);
        let errors = Settings::merge(&Layer::new(), variables, &flags).unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(text[0], "environment variable ALMENARA__LOG__LEVL: no such setting; did you mean log.level?");
        assert_eq!(text[1].split(':').next(), Some("flag --query.timeout"));
        assert_eq!(text[2], "flag --log.format: \"xml\" is none of logfmt, json");
        assert_eq!(text.len(), 4);
    }

    #[test]
    fn defaults_pass_their_own_check() {
        for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
            assert!(check(setting.name, setting.default).is_ok(), "{}", setting.name);
        }
    }
}
