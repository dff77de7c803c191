//! `almenara fmt [--check | --write] [--expr EXPR] [FILE…]`: expressions in their normal form, alone or in rule files.
//!
//! An expression becomes what Prometheus's formatter makes of it (`promtool promql format`, `/api/v1/format_query`), but keeps its comments.
//! In a rule file nothing but expressions changes. Arguments are those of gofmt and rustfmt: formatted text goes to standard output unless
//! `--write` or `--check` say otherwise.
//!
//! Exit codes: 0 fine, 1 where something is wrong with a file or, with `--check`, where a file would change.
//! **Source.** Prometheus 3.5 `promql/parser/prettier.go`, compared with the program itself.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{FAILED, FINE};
use crate::promql::{Features, parse_with};
use crate::rules::format_rule_file;
use crate::source::edit::{Edit, apply, unified_diff};
use crate::source::{Diagnostic, Diagnostics, SourceFile, Span, yaml};

/// The name of standard input, as an argument and in messages.
const STDIN: &str = "-";

pub(super) fn command() -> Command {
    Command::new("fmt")
        .about("Format expressions, alone or in rule files, as Prometheus does; comments stay")
        .long_about(
            "Format expressions as Prometheus does (promtool promql format), comments kept.\n\nOf a rule file only the expressions change: \
             short ones stay on their line, long ones become blocks. A file without `groups:` is taken for one expression.",
        )
        .arg(
            Arg::new("check")
                .long("check")
                .action(ArgAction::SetTrue)
                .conflicts_with("write")
                .help("Show what would change as a diff, change nothing, and exit with 1 if anything would"),
        )
        .arg(Arg::new("write").long("write").short('w').action(ArgAction::SetTrue).help("Write the files anew"))
        .arg(
            Arg::new("expr")
                .long("expr")
                .short('e')
                .value_name("EXPR")
                .conflicts_with_all(["files", "write"])
                .help("Format this expression"),
        )
        .arg(
            Arg::new("files")
                .value_name("FILE")
                .action(ArgAction::Append)
                .value_parser(clap::value_parser!(PathBuf))
                .help("Rule files, or files with an expression; none, or -, reads standard input"),
        )
}

/// What becomes of formatted text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Print,
    Check,
    Write,
}

pub(super) fn run(matches: &ArgMatches) -> u8 {
    let mode = match (matches.get_flag("check"), matches.get_flag("write")) {
        (true, _) => Mode::Check,
        (_, true) => Mode::Write,
        _ => Mode::Print,
    };
    let mut session = Session { mode, out: &mut io::stdout().lock(), err: &mut io::stderr().lock() };
    let done = match matches.get_one::<String>("expr") {
        Some(expr) => session.text("<expr>", expr.clone()),
        None => {
            let mut files: Vec<PathBuf> = matches.get_many("files").into_iter().flatten().cloned().collect();
            if files.is_empty() {
                files.push(STDIN.into());
            }
            session.files(&files)
        }
    };
    match done {
        Ok(code) => code,
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => FINE,
        Err(_) => FAILED,
    }
}

struct Session<'a> {
    mode: Mode,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

impl Session<'_> {
    /// All files, also after one that cannot be formatted.
    fn files(&mut self, files: &[PathBuf]) -> io::Result<u8> {
        let mut worst = FINE;
        for path in files {
            worst = worst.max(self.file(path)?);
        }
        Ok(worst)
    }

    fn file(&mut self, path: &Path) -> io::Result<u8> {
        let is_stdin = path.as_os_str() == STDIN;
        if is_stdin && self.mode == Mode::Write {
            writeln!(self.err, "almenara: error: standard input cannot be written anew")?;
            return Ok(FAILED);
        }
        let name = if is_stdin { "<stdin>".to_owned() } else { path.display().to_string() };
        let read = if is_stdin { read_stdin() } else { fs::read(path) };
        let text = match read.map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => {
                writeln!(self.err, "{name}: the file is not UTF-8")?;
                return Ok(FAILED);
            }
            Err(error) => {
                writeln!(self.err, "{name}: {error}")?;
                return Ok(FAILED);
            }
        };
        match self.mode {
            Mode::Write => self.write(path, &name, text),
            Mode::Print | Mode::Check => self.text(&name, text),
        }
    }

    fn text(&mut self, name: &str, text: String) -> io::Result<u8> {
        let source = SourceFile::new(name, text);
        let Some(edits) = self.edits(&source)? else { return Ok(FAILED) };
        if self.mode == Mode::Print {
            let formatted = apply(&source.text, &edits);
            write!(self.out, "{formatted}{}", if formatted.ends_with('\n') { "" } else { "\n" })?;
            return Ok(FINE);
        }
        let diff = unified_diff(name, &source.text, &edits);
        write!(self.out, "{diff}")?;
        Ok(if diff.is_empty() { FINE } else { FAILED })
    }

    fn write(&mut self, path: &Path, name: &str, text: String) -> io::Result<u8> {
        let source = SourceFile::new(name, text);
        let Some(edits) = self.edits(&source)? else { return Ok(FAILED) };
        if edits.is_empty() {
            return Ok(FINE);
        }
        match replace(path, &apply(&source.text, &edits)) {
            Ok(()) => Ok(FINE),
            Err(error) => {
                writeln!(self.err, "{name}: {error}")?;
                Ok(FAILED)
            }
        }
    }

    /// What to change; `None` where something is wrong, which has been told.
    fn edits(&mut self, source: &SourceFile) -> io::Result<Option<Vec<Edit>>> {
        let edits = if is_rule_file(source) { format_rule_file(source) } else { format_expression(source) };
        match edits {
            Ok(edits) => Ok(Some(edits)),
            Err(diagnostics) => {
                writeln!(self.err, "{diagnostics}")?;
                Ok(None)
            }
        }
    }
}

fn read_stdin() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A rule file is a mapping with `groups`, or has nothing but comments under a name that says YAML. No expression reads as such a mapping.
fn is_rule_file(source: &SourceFile) -> bool {
    let is_yaml = source.name.ends_with(".yml") || source.name.ends_with(".yaml");
    is_yaml || yaml::parse(source).0.is_some_and(|root| root.get("groups").is_some())
}

fn format_expression(source: &SourceFile) -> Result<Vec<Edit>, Diagnostics> {
    let text = &*source.text;
    match parse_with(text, Features::ALL) {
        Ok(expr) => {
            let pretty = expr.pretty_with_comments(text);
            let line_end = if text.ends_with('\n') { "\n" } else { "" };
            let edit = Edit { span: Span::new(0, text.len()), text: pretty + line_end };
            Ok(if edit.text == text { Vec::new() } else { vec![edit] })
        }
        Err(errors) => {
            let mut diagnostics = Diagnostics::default();
            for error in errors {
                let mut diagnostic = Diagnostic::error(source, error.span, format!("parse error: {}", error.message));
                diagnostic.help = error.help;
                diagnostics.push(diagnostic);
            }
            Err(diagnostics)
        }
    }
}

/// Writes `text` beside the file and puts it into its place, so that a crash leaves the old file or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // Behind a symbolic link the file itself is replaced, and the link stays.
    let path = fs::canonicalize(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".almenara-fmt");
    let new = path.with_file_name(name);
    fs::write(&new, text)?;
    let renamed = fs::set_permissions(&new, fs::metadata(&path)?.permissions()).and_then(|()| fs::rename(&new, &path));
    if renamed.is_err() {
        // What went wrong is told; that the copy stays as well would only distract.
        let _ = fs::remove_file(&new);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "groups:\n- name: g\n  rules:\n  - record: r\n    expr: sum( a ) by (b) # why\n";
    const FORMATTED: &str = "groups:\n- name: g\n  rules:\n  - record: r\n    expr: sum by (b) (a) # why\n";

    /// Runs over files of these names and texts; gives exit code, stdout, stderr, and the files afterwards.
    fn run_over(mode: Mode, files: &[(&str, &str)]) -> (u8, String, String, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| folder.path().join(name)).collect();
        files.iter().zip(&paths).for_each(|((_, text), path)| fs::write(path, text).unwrap());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = Session { mode, out: &mut out, err: &mut err }.files(&paths).unwrap();
        let read = |bytes| String::from_utf8(bytes).unwrap().replace(&format!("{}/", folder.path().display()), "");
        let after = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), files.len(), "a copy was left behind");
        (code, read(out), read(err), after)
    }

    #[test]
    fn prints() {
        let (code, out, err, after) = run_over(Mode::Print, &[("a.yml", FILE), ("b.promql", "a+b")]);
        assert_eq!((code, out, err.as_str()), (0, format!("{FORMATTED}a + b\n"), ""));
        assert_eq!(after, [FILE, "a+b"]);
    }

    #[test]
    fn checks() {
        let (code, out, err, after) = run_over(Mode::Check, &[("a.yml", FILE), ("b.yml", FORMATTED), ("c", "a + b\n")]);
        let diff = "--- a.yml\n+++ a.yml (formatted)\n@@ -2,4 +2,4 @@\n - name: g\n   rules:\n   - record: r\n\
                    -    expr: sum( a ) by (b) # why\n+    expr: sum by (b) (a) # why\n";
        assert_eq!((code, out.as_str(), err.as_str()), (1, diff, ""));
        assert_eq!(after, [FILE, FORMATTED, "a + b\n"]);
        assert_eq!(run_over(Mode::Check, &[("b.yml", FORMATTED)]).0, 0);
    }

    #[test]
    fn writes_what_can_be_read_and_tells_of_the_rest() {
        let broken = FILE.replace(")", "");
        let (code, out, err, after) = run_over(Mode::Write, &[("a.yml", &broken), ("b.yml", FILE), ("c", "a b")]);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(
            err.starts_with("a.yml:5:") && err.contains("\nc:1:3: parse error: unexpected identifier \"b\""),
            "{err}"
        );
        assert_eq!(after, [broken.as_str(), FORMATTED, "a b"]);
    }
}
