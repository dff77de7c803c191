//! `almenara serve`: the daemon.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{FAILED, FINE};
use crate::config::{Layer, SETTINGS, SettingKind, feature_names};
use crate::serve;

/// Prometheus's way of turning off the one switch that is on by default.
const NO_DRAIN: &str = "no-alertmanager.drain-notification-queue-on-shutdown";

pub(super) fn command() -> Command {
    let mut command = Command::new("serve").about(
        "Scrape, evaluate, alert. Settings layer: defaults, file (storage), environment (ALMENARA__WEB__LISTEN_ADDRESS), flags",
    );
    for setting in SETTINGS {
        let mut arg = Arg::new(setting.name).long(setting.name).help(setting.help);
        arg = match setting.kind {
            SettingKind::Switch => {
                arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL")
            }
            SettingKind::List if setting.name == "enable-feature" => {
                let names = feature_names().join(", ");
                let help = format!("{} Those that do something here: {names}", setting.help);
                arg.action(ArgAction::Append).value_name("NAMES").help(help)
            }
            SettingKind::List => arg.action(ArgAction::Append).value_name("HOST:PORT"),
            SettingKind::Duration => arg.value_name("DURATION"),
            SettingKind::Count => arg.value_name("N"),
            SettingKind::Bytes => arg.value_name("BYTES"),
            SettingKind::Choice(words) => arg.value_parser(clap::builder::PossibleValuesParser::new(words)),
            SettingKind::Text => arg.value_name("VALUE"),
        };
        if !setting.default.is_empty() {
            arg = arg.help(format!("{} [default: {}]", setting.help, setting.default));
        }
        command = command.arg(arg);
    }
    command.arg(Arg::new(NO_DRAIN).long(NO_DRAIN).action(ArgAction::SetTrue).hide(true))
}

/// The flags that were given, as a layer.
pub(super) fn flags(matches: &ArgMatches) -> Layer {
    let mut flags: Layer = SETTINGS
        .iter()
        .filter(|setting| matches.value_source(setting.name) == Some(ValueSource::CommandLine))
        .map(|setting| {
            let values: Vec<String> = matches.get_many::<String>(setting.name).into_iter().flatten().cloned().collect();
            (setting.name.to_owned(), values.join(","))
        })
        .collect();
    if matches.get_flag(NO_DRAIN) {
        flags.push((NO_DRAIN.trim_start_matches("no-").to_owned(), "false".to_owned()));
    }
    flags
}

pub(super) fn run(flags: &Layer) -> u8 {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    match serve::run(flags, &environment) {
        Ok(()) => FINE,
        Err(error) => {
            eprintln!("{error}");
            FAILED
        }
    }
}
