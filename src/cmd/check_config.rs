//! `almenara check config`: the configuration and every file it names, all mistakes at once.
//!
//! Output and exit codes are promtool's: what was checked on standard output, what is wrong on standard error.

use std::path::PathBuf;

use super::{FAILED, FINE};
use crate::config::Config;
use crate::promql::Dialect;

pub(super) fn run(files: &[PathBuf], dialect: Dialect) -> u8 {
    let mut code = FINE;
    for path in files {
        say!("Checking {}", path.display());
        let (config, diagnostics) = Config::load(path, &|name| std::env::var(name).ok(), dialect.features);
        if diagnostics.has_errors() {
            eprintln!("  FAILED:");
            code = FAILED;
        }
        for diagnostic in &diagnostics {
            eprintln!("{diagnostic}");
        }
        if let Some(config) = config {
            report(path, &config);
        }
        say!();
    }
    code
}

fn report(path: &std::path::Path, config: &Config) {
    if !config.rule_files.is_empty() {
        say!("  SUCCESS: {} rule files found", config.rule_files.len());
    }
    if !config.slo_files.is_empty() {
        say!("  SUCCESS: {} SLO files found", config.slo_files.len());
    }
    say!(" SUCCESS: {} is valid prometheus config file syntax", path.display());
    for file in &config.rule_files {
        let rules: usize = file.groups.iter().map(|group| group.rules.len()).sum();
        say!("\nChecking {}\n  SUCCESS: {rules} rules found", file.source.name);
    }
}
