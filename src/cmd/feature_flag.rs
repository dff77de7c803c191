//! `--enable-feature` of the commands that read rules, as promtool has it.

use clap::{Arg, ArgAction, ArgMatches};

use crate::promql::dialect::{Dialect, FLAGS};

/// The flag, for a command and all below it.
pub(super) fn arg() -> Arg {
    let names: Vec<&str> = FLAGS.iter().map(|flag| flag.name).collect();
    Arg::new("enable-feature")
        .long("enable-feature")
        .value_name("NAMES")
        .global(true)
        .action(ArgAction::Append)
        .help(format!("Feature flags of the language, separated by commas: {}", names.join(", ")))
}

/// The language that the flags ask for. A name that is none is told as promtool tells it, and goes on.
pub(super) fn read(matches: &ArgMatches) -> Dialect {
    let mut dialect = Dialect::default();
    let lists = matches.get_many::<String>("enable-feature").into_iter().flatten();
    for name in lists.flat_map(|list| list.split(',')).filter(|name| !name.is_empty()) {
        if dialect.enable(name).is_none() {
            say!("  WARNING: Unknown feature passed to --enable-feature: {name}");
        }
    }
    dialect
}
