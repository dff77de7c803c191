//! Feature flags of the language: what parses beyond the stable part, and how it is evaluated.
//!
//! In the flow: the daemon reads them from `--enable-feature` at its start, the checks from theirs; rules, queries and templates are
//! parsed and evaluated by what they say. **Source.** Prometheus 3.14 `cmd/prometheus/main.go`, `setFeatureListOptions`.

use super::Features;
use super::eval::QueryOptions;

/// The language as a process speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// What parses.
    pub features: Features,
    /// Whether metric names are dropped at the end of a query instead of at each operation.
    pub delayed_name_removal: bool,
    /// Whether functions of counters and `start_timestamp()` heed start times.
    pub use_start_timestamps: bool,
}

impl Default for Dialect {
    /// Prometheus 3.14 without flags: the stable language and duration expressions.
    fn default() -> Self {
        Dialect { features: Features::DEFAULT, delayed_name_removal: false, use_start_timestamps: false }
    }
}

/// A feature flag of the language.
#[derive(Debug)]
pub struct Flag {
    /// As in `--enable-feature`.
    pub name: &'static str,
    /// What it brings, for help and log.
    pub about: &'static str,
    turn_on: fn(&mut Dialect),
}

/// All of them, by name.
pub static FLAGS: &[Flag] = &[
    Flag {
        name: "promql-binop-fill-modifiers",
        about: "`fill`, `fill_left` and `fill_right` of binary operators",
        turn_on: |dialect| dialect.features.fill_modifiers = true,
    },
    Flag {
        name: "promql-delayed-name-removal",
        about: "metric names are dropped at the end of a query",
        turn_on: |dialect| dialect.delayed_name_removal = true,
    },
    Flag {
        name: "promql-duration-expr",
        about: "computed durations such as `up[step() * 2]`; always on",
        turn_on: |dialect| dialect.features.duration_expressions = true,
    },
    Flag {
        name: "promql-experimental-functions",
        about: "functions and aggregations that may still change",
        turn_on: |dialect| dialect.features.experimental_functions = true,
    },
    Flag {
        name: "promql-extended-range-selectors",
        about: "`anchored` and `smoothed`",
        turn_on: |dialect| dialect.features.extended_range_selectors = true,
    },
    Flag {
        name: "use-start-timestamps",
        about: "`rate` and its kin heed start times; `start_timestamp()` gives them",
        turn_on: |dialect| dialect.use_start_timestamps = true,
    },
];

impl Dialect {
    /// Turns on what the flag `name` stands for; `None` if it is no flag of the language.
    pub fn enable(&mut self, name: &str) -> Option<&'static Flag> {
        let flag = FLAGS.iter().find(|flag| flag.name == name)?;
        (flag.turn_on)(self);
        Some(flag)
    }

    /// `options` as this dialect has them.
    pub fn applied<'o>(&self, options: QueryOptions<'o>) -> QueryOptions<'o> {
        let Dialect { delayed_name_removal, use_start_timestamps, .. } = *self;
        QueryOptions { delayed_name_removal, use_start_timestamps, ..options }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse_with;

    #[test]
    fn flags_turn_on_what_they_say() {
        let check = |name: &str, text: &str| {
            let mut dialect = Dialect::default();
            assert!(parse_with(text, dialect.features).is_err(), "{text} parses without {name}");
            assert_eq!(dialect.enable(name).map(|flag| flag.name), Some(name));
            assert!(parse_with(text, dialect.features).is_ok(), "{text}");
        };
        check("promql-experimental-functions", "mad_over_time(up[5m])");
        check("promql-experimental-functions", "limitk(2, up)");
        check("promql-extended-range-selectors", "rate(up[5m] anchored)");
        check("promql-binop-fill-modifiers", "up + fill(0) up");
        assert!(parse_with("up[1m * 5]", Dialect::default().features).is_ok());
        let mut all = Dialect::default();
        assert!(FLAGS.iter().all(|flag| all.enable(flag.name).is_some()) && all.features == Features::ALL);
        assert!(all.delayed_name_removal && all.use_start_timestamps);
        assert!(FLAGS.is_sorted_by_key(|flag| flag.name));
        assert!(Dialect::default().enable("promql-time-travel").is_none());
    }
}
