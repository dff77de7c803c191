//! From a file to a checked configuration with everything it names.
//!
//! In the flow: `serve` and `check config` call [`Config::load`]; the embedded default and the demo call [`Config::embedded`]. The file
//! is read, the files with jobs, rules, SLOs and the router that it names are read, and all their mistakes are reported together.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::global::{self, Global, Variable};
use super::settings::Layer;
use crate::deliver::DeliverConfig;
use crate::notifier::AlertingConfig;
use crate::promql::Features;
use crate::remote::history::HistoryConfig;
use crate::router::RouterConfig;
use crate::rules::RuleFile;
use crate::scrape::{ScrapeConfig, ScrapeDefaults};
use crate::slo::{self, SloFile};
use crate::source::decode::{Decoder, Fields, UnknownKeys};
use crate::source::yaml::{self, Node, NodeKind};
use crate::source::{Diagnostic, Diagnostics, SourceFile, Span, keys, masked};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the file says, as text that may be shown: secrets masked.
    pub shown: String,
    /// Intervals and external labels.
    pub global: Global,
    /// Jobs.
    pub scrape_configs: Vec<ScrapeConfig>,
    /// External Alertmanagers.
    pub alerting: AlertingConfig,
    /// The embedded router; where none is configured, one that holds alerts for `/api/v2/alerts` and tells nobody.
    pub router: RouterConfig,
    /// How the router's receivers are spoken to.
    pub delivery: DeliverConfig,
    /// `storage`, as settings.
    pub storage: Layer,
    /// How much older than the newest a sample may be that is older than the newest of its series; zero: none may.
    pub out_of_order_time_window: Duration,
    /// Rule files in order of the patterns, each once.
    pub rule_files: Vec<RuleFile>,
    /// SLO files likewise.
    pub slo_files: Vec<SloFile>,
    /// Where objectives that begin find their history.
    pub slo_history: Option<HistoryConfig>,
}

/// What the file says before the files it names are read.
struct Named {
    config: Config,
    /// What further jobs need to know of `global` and of the jobs in the file itself.
    defaults: ScrapeDefaults,
    job_names: HashSet<String>,
    scrape_patterns: Vec<(String, Span)>,
    rule_patterns: Vec<(String, Span)>,
    slo_patterns: Vec<(String, Span)>,
    router_path: Option<(String, Span)>,
}

impl Config {
    /// Reads the file at `path` and all it names. `None` when anything is an error; warnings may come with a configuration.
    /// Rules are parsed by `features`.
    pub fn load(path: &Path, variable: &Variable<'_>, features: Features) -> (Option<Config>, Diagnostics) {
        Self::load_with(path, variable, (UnknownKeys::Refuse, features))
    }

    /// As [`Config::load`], with a choice about keys that rules do not have.
    pub fn load_with(
        path: &Path,
        variable: &Variable<'_>,
        (unknown_keys, features): (UnknownKeys, Features),
    ) -> (Option<Config>, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let Some(source) = read(path, None, &mut diagnostics) else { return (None, diagnostics) };
        let directory = path.parent().unwrap_or(Path::new(""));
        let Some(mut named) = decode(&source, variable, &mut diagnostics) else { return (None, diagnostics) };
        for job in &mut named.config.scrape_configs {
            job.resolve_paths(directory);
        }
        for path in matching(&source, directory, &named.scrape_patterns, &mut diagnostics) {
            let Some(source) = read(&path, None, &mut diagnostics) else { continue };
            let mut jobs = decode_jobs(&source, &named.defaults, &mut named.job_names, &mut diagnostics);
            // Unlike in the other files, names in these are relative to where they stand.
            let own_directory = path.parent().unwrap_or(directory);
            jobs.iter_mut().for_each(|job| job.resolve_paths(own_directory));
            named.config.scrape_configs.append(&mut jobs);
        }
        named.config.alerting.resolve_paths(directory);
        named.config.slo_history.iter_mut().for_each(|history| history.client.resolve_paths(directory));
        for path in matching(&source, directory, &named.rule_patterns, &mut diagnostics) {
            let file = read(&path, None, &mut diagnostics)
                .and_then(|source| checked(RuleFile::parse_with(&source, unknown_keys, features), &mut diagnostics));
            named.config.rule_files.extend(file);
        }
        for path in matching(&source, directory, &named.slo_patterns, &mut diagnostics) {
            let file = read(&path, None, &mut diagnostics)
                .and_then(|source| checked(slo::parse_file(&source), &mut diagnostics));
            named.config.slo_files.extend(file);
        }
        slo::share_exclusions(&mut named.config.slo_files);
        if let Some((path, span)) = &named.router_path {
            let at = Some((&source, *span));
            let router = read(&directory.join(path), at, &mut diagnostics)
                .and_then(|source| checked(RouterConfig::parse(&source), &mut diagnostics));
            named.config.router = router.unwrap_or(named.config.router);
        }
        named.config.delivery = delivery(&named.config.router, &mut diagnostics);
        (Some(named.config).filter(|_| !diagnostics.has_errors()), diagnostics)
    }

    /// Reads the file at `path` and nothing that it names.
    pub fn load_alone(path: &Path, variable: &Variable<'_>) -> (Option<Config>, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let named = read(path, None, &mut diagnostics).and_then(|source| decode(&source, variable, &mut diagnostics));
        (named.map(|named| named.config).filter(|_| !diagnostics.has_errors()), diagnostics)
    }

    /// A configuration that comes with the program: its rule and SLO files are handed in, and it names no others.
    pub fn embedded(
        source: &SourceFile,
        rule_files: &[SourceFile],
        slo_files: &[SourceFile],
    ) -> (Option<Config>, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let Some(named) = decode(source, &|_| None, &mut diagnostics) else { return (None, diagnostics) };
        let mut config = named.config;
        for source in rule_files {
            config.rule_files.extend(checked(RuleFile::parse(source), &mut diagnostics));
        }
        for source in slo_files {
            config.slo_files.extend(checked(slo::parse_file(source), &mut diagnostics));
        }
        config.delivery = delivery(&config.router, &mut diagnostics);
        (Some(config).filter(|_| !diagnostics.has_errors()), diagnostics)
    }
}

fn delivery(router: &RouterConfig, diagnostics: &mut Diagnostics) -> DeliverConfig {
    let (config, found) = DeliverConfig::decode(router);
    diagnostics.extend(found);
    config
}

/// Keeps the diagnostics and hands on the value.
fn checked<T>((value, found): (Option<T>, Diagnostics), diagnostics: &mut Diagnostics) -> Option<T> {
    diagnostics.extend(found);
    value
}

fn read(path: &Path, named_at: Option<(&SourceFile, Span)>, diagnostics: &mut Diagnostics) -> Option<SourceFile> {
    let name = path.display().to_string();
    let message = match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => return Some(SourceFile::new(name, text)),
        Ok(Err(_)) => format!("{name} is not UTF-8 text"),
        Err(error) => format!("cannot read {name}: {error}"),
    };
    diagnostics.push(match named_at {
        Some((source, span)) => Diagnostic::error(source, span, message),
        None => Diagnostic::error_without_place(message),
    });
    None
}

/// The files that the patterns name, in order, each once. A pattern without wildcards must name a file that exists.
fn matching(
    source: &SourceFile,
    directory: &Path,
    patterns: &[(String, Span)],
    diagnostics: &mut Diagnostics,
) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for (pattern, span) in patterns {
        let path = directory.join(pattern);
        let has_wildcard = pattern.contains(['*', '?', '[']);
        if !has_wildcard && !path.is_file() {
            let message = format!("{:?} does not point to an existing file", path.display().to_string());
            diagnostics.push(Diagnostic::error(source, *span, message));
            continue;
        }
        match glob::glob(&path.to_string_lossy()) {
            Ok(paths) => found.extend(paths.flatten().filter(|path| path.is_file())),
            Err(error) => diagnostics.push(Diagnostic::error(source, *span, format!("not a file pattern: {error}"))),
        }
    }
    let mut seen = HashSet::new();
    found.retain(|path| seen.insert(path.clone()));
    found
}

fn decode(source: &SourceFile, variable: &Variable<'_>, diagnostics: &mut Diagnostics) -> Option<Named> {
    let root = checked(yaml::parse(source), diagnostics)?;
    let mut decoder = Decoder::new(source);
    let named = decode_root(&mut decoder, &root, variable);
    diagnostics.extend(decoder.finish());
    named
}

fn decode_root(decoder: &mut Decoder<'_>, root: &Node, variable: &Variable<'_>) -> Option<Named> {
    let mut fields = decoder.section(root, &keys::CONFIGURATION)?;
    let (global, defaults) = decode_global(&mut fields, variable);
    let rule_patterns = fields.or("rule_files", Vec::new(), patterns);
    let slo_patterns = fields.or("slo_files", Vec::new(), patterns);
    let slo_history = fields.optional("slo_history", HistoryConfig::decode);
    let scrape_patterns = fields.or("scrape_config_files", Vec::new(), patterns);
    let mut job_names = HashSet::new();
    let scrape_configs = fields.or("scrape_configs", Vec::new(), |decoder, node| {
        ScrapeConfig::decode_list(decoder, node, &defaults, &mut job_names)
    });
    let alerting = fields.or("alerting", AlertingConfig::default(), AlertingConfig::decode);
    let (router, router_path) = decode_router(&mut fields);
    let (storage, out_of_order_time_window) =
        fields.or("storage", Default::default(), |decoder, node| Some(global::decode_storage(decoder, node)));
    fields.finish();
    let config = Config {
        shown: masked(root),
        global,
        scrape_configs,
        alerting,
        router: router.unwrap_or_else(told_to_nobody),
        delivery: DeliverConfig::default(),
        storage,
        out_of_order_time_window,
        rule_files: Vec::new(),
        slo_files: Vec::new(),
        slo_history,
    };
    Some(Named { config, defaults, job_names, scrape_patterns, rule_patterns, slo_patterns, router_path })
}

/// The jobs of a file that holds nothing but `scrape_configs`.
fn decode_jobs(
    source: &SourceFile,
    defaults: &ScrapeDefaults,
    names: &mut HashSet<String>,
    diagnostics: &mut Diagnostics,
) -> Vec<ScrapeConfig> {
    let Some(root) = checked(yaml::parse(source), diagnostics) else { return Vec::new() };
    let mut decoder = Decoder::new(source);
    let mut jobs = Vec::new();
    if let Some(mut fields) = decoder.section(&root, &keys::SCRAPE_FILE) {
        jobs = fields
            .or("scrape_configs", jobs, |decoder, node| ScrapeConfig::decode_list(decoder, node, defaults, names));
        fields.finish();
    }
    diagnostics.extend(decoder.finish());
    jobs
}

fn decode_global(fields: &mut Fields<'_, '_, '_>, variable: &Variable<'_>) -> (Global, ScrapeDefaults) {
    let Some(node) = fields.node("global") else { return (Global::default(), ScrapeDefaults::default()) };
    let Some(mut inner) = fields.decoder.section(node, &keys::GLOBAL) else {
        return (Global::default(), ScrapeDefaults::default());
    };
    let global = global::decode_global(&mut inner, variable);
    let defaults = ScrapeDefaults::decode(&mut inner);
    inner.finish();
    (global, defaults)
}

fn patterns(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<(String, Span)>> {
    decoder.list(node, |decoder, node| Some((decoder.non_empty_string(node)?, node.span)))
}

fn told_to_nobody() -> RouterConfig {
    let text = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    let (config, diagnostics) = RouterConfig::parse(&SourceFile::new("<no router>", text));
    config.unwrap_or_else(|| panic!("BUG: the router that tells nobody is wrong: {diagnostics}"))
}

/// `router` is an Alertmanager configuration, or the path of one.
fn decode_router(fields: &mut Fields<'_, '_, '_>) -> (Option<RouterConfig>, Option<(String, Span)>) {
    match fields.node("router") {
        None => (None, None),
        Some(node) if matches!(node.kind, NodeKind::Scalar { .. }) => {
            let path = fields.decoder.non_empty_string(node);
            (None, path.map(|path| (path, node.span)))
        }
        Some(node) => (RouterConfig::decode(fields.decoder, node), None),
    }
}
