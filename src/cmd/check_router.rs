//! `almenara check router FILE…`: reads router configurations as the daemon would and says what is wrong.
//!
//! Exit code 0 if all files can be used (warnings allowed), 1 if not.
//! **Differs:** `amtool check-config` stops at the first mistake of a file and gives no position for most.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::deliver::DeliverConfig;
use crate::router::RouterConfig;
use crate::source::decode::Decoder;
use crate::source::{Diagnostic, Diagnostics, SourceFile, yaml};

/// Checks `files`: summaries go to `out`, diagnostics to `err`. Returns the exit code.
pub fn run(files: &[PathBuf], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let mut code = 0;
    for file in files {
        let name = file.display().to_string();
        let (config, diagnostics) = read(file, &name);
        for diagnostic in &diagnostics {
            writeln!(err, "{diagnostic}")?;
        }
        match config {
            Some(config) => summarize(&name, &config, out)?,
            None => {
                writeln!(out, "Checking {name}  FAILED")?;
                code = 1;
            }
        }
    }
    Ok(code)
}

/// Reads a router configuration together with what its receivers need for their transport. `None` when anything is an
/// error; the diagnostics are in order of position.
pub fn check(source: &SourceFile) -> (Option<RouterConfig>, Diagnostics) {
    let (node, mut diagnostics) = yaml::parse(source);
    let Some(node) = node else { return (None, diagnostics) };
    let mut decoder = Decoder::new(source);
    let config = RouterConfig::decode(&mut decoder, &node);
    // Also of a configuration that is wrong elsewhere, so that all mistakes are said at once.
    let transport = config.as_ref().map(|config| DeliverConfig::decode(config).1);
    transport.unwrap_or_default().into_iter().for_each(|diagnostic| decoder.report(diagnostic));
    diagnostics.extend(decoder.finish());
    (config.filter(|_| !diagnostics.has_errors()), diagnostics)
}

fn read(file: &PathBuf, name: &str) -> (Option<RouterConfig>, Diagnostics) {
    match std::fs::read_to_string(file) {
        Ok(text) => check(&SourceFile::new(name, text)),
        Err(error) => {
            let mut diagnostics = Diagnostics::default();
            diagnostics.push(Diagnostic::error_without_place(format!("cannot read {name}: {error}")));
            (None, diagnostics)
        }
    }
}

fn summarize(name: &str, config: &RouterConfig, out: &mut dyn Write) -> io::Result<()> {
    let integrations: usize = config.receivers.iter().map(|receiver| receiver.integrations.len()).sum();
    writeln!(out, "Checking {name}  SUCCESS")?;
    writeln!(out, "  {}", counted(config.route_count(), "route"))?;
    writeln!(out, "  {} with {}", counted(config.receivers.len(), "receiver"), counted(integrations, "integration"))?;
    writeln!(out, "  {}", counted(config.inhibit_rules.len(), "inhibit rule"))?;
    match config.heartbeats.len() {
        0 => Ok(()),
        count => writeln!(out, "  {}", counted(count, "heartbeat")),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
