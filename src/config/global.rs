//! The parts of the file that belong to nobody else: `global` beyond scraping, and `storage`.

use std::time::Duration;

use super::settings::{self, Layer};
use crate::model::{Label, Labels};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;
use crate::source::{Diagnostic, Span, format_duration, keys};

/// Prometheus's default of `scrape_interval` and `evaluation_interval`.
pub(super) const INTERVAL_DEFAULT: Duration = Duration::from_secs(60);

/// Keys of `storage` that are settings as they are.
const STORAGE_SETTINGS: [(&str, &str); 4] = [
    ("mode", "storage.mode"),
    ("memory_limit", "storage.memory-limit"),
    ("series_limit", "storage.series-limit"),
    ("series_limit_per_job", "storage.series-limit-per-job"),
];

/// A variable of the environment by name.
pub type Variable<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What `global` says beyond scraping.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// Of groups that name none.
    pub evaluation_interval: Duration,
    /// Of groups that name none.
    pub rule_query_offset: Duration,
    /// Variables filled in.
    pub external_labels: Labels,
}

impl Default for Global {
    fn default() -> Self {
        Global {
            evaluation_interval: INTERVAL_DEFAULT,
            rule_query_offset: Duration::ZERO,
            external_labels: Labels::empty(),
        }
    }
}

/// Reads the keys that are ours out of `global`; the scraping keys are read elsewhere from the same mapping.
pub(super) fn decode_global(fields: &mut Fields<'_, '_, '_>, variable: &Variable<'_>) -> Global {
    let default = Global::default();
    Global {
        evaluation_interval: fields.or("evaluation_interval", default.evaluation_interval, Decoder::positive_duration),
        rule_query_offset: fields.or("rule_query_offset", default.rule_query_offset, Decoder::duration),
        external_labels: fields
            .or("external_labels", default.external_labels, |decoder, node| external_labels(decoder, node, variable)),
    }
}

fn external_labels(decoder: &mut Decoder<'_>, node: &Node, variable: &Variable<'_>) -> Option<Labels> {
    let mut labels = Vec::new();
    for (name, span, (value_span, text)) in
        decoder.map(node, |decoder, node| Some((node.span, decoder.string(node)?)))?
    {
        if !is_label_name(&name) {
            let help = "a label name starts with a letter or _ and goes on with letters, digits and _";
            decoder.error_with_help(span, format!("{name:?} is not a valid label name"), help);
            continue;
        }
        let value = expand(decoder, value_span, &text, variable);
        labels.push(Label { name: name.into(), value: value.into() });
    }
    Some(Labels::new(labels))
}

fn is_label_name(name: &str) -> bool {
    crate::model::is_legacy_name(name) && !name.contains(':')
}

/// Fills in `$NAME` and `${NAME}`; `$$` is a dollar. A variable that is not set is empty, with a warning, as in Prometheus.
fn expand(decoder: &mut Decoder<'_>, span: Span, text: &str, variable: &Variable<'_>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        let (name, after) = if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            (name, after)
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            rest.split_at(end)
        };
        match variable(name) {
            Some(value) => out.push_str(&value),
            None => {
                let message = format!("the environment variable {name} is not set, so it is empty here");
                let warning = Diagnostic::warning(decoder.source(), span, message);
                decoder.report(warning);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `storage`, as a layer of settings, and its `out_of_order_time_window`, which a reload may change.
pub(super) fn decode_storage(decoder: &mut Decoder<'_>, node: &Node) -> (Layer, Duration) {
    let (mut layer, mut late_window) = (Layer::new(), Duration::ZERO);
    let Some(mut fields) = decoder.section(node, &keys::STORAGE) else { return (layer, late_window) };
    layer.extend(fields.optional("path", Decoder::non_empty_string).map(|path| ("storage.path".to_owned(), path)));
    if let Some(tsdb) = fields.node("tsdb")
        && let Some(mut tsdb) = fields.decoder.section(tsdb, &keys::TSDB)
    {
        if let Some(retention) = tsdb.node("retention")
            && let Some(mut retention) = tsdb.decoder.section(retention, &keys::RETENTION)
        {
            let time = retention.optional("time", Decoder::positive_duration);
            layer.extend(time.map(|time| ("storage.tsdb.retention.time".to_owned(), format_duration(time))));
            retention.finish();
        }
        late_window = tsdb.or("out_of_order_time_window", late_window, Decoder::duration);
        tsdb.finish();
    }
    for (key, setting) in STORAGE_SETTINGS {
        let text = fields.optional(key, |decoder, node| {
            let text = decoder.non_empty_string(node)?;
            // What it may be is for the settings to say.
            let problem = settings::check(setting, &text).err();
            problem.iter().for_each(|problem| decoder.error(node.span, problem.clone()));
            problem.is_none().then_some(text)
        });
        layer.extend(text.map(|text| (setting.to_owned(), text)));
    }
    fields.finish();
    (layer, late_window)
}
