//! `almenara check slo FILE…`: reads specifications and says what is wrong with them, or what they will do.
//!
//! Diagnostics go to stderr as `file:line:column: message`. For a file without errors, stdout shows each objective with its tiers and
//! the error ratio above which each holds. Exit code 0 when no file has an error, else 1; warnings do not count.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::slo::{self, Indicator, Slo, SloFile};
use crate::source::{SourceFile, format_duration};

/// Checks the files and prints what it finds.
pub(super) fn run(files: &[impl AsRef<Path>]) -> ExitCode {
    let (mut stdout, mut stderr) = (io::stdout().lock(), io::stderr().lock());
    match check(files, &mut stdout, &mut stderr) {
        Ok(true) => ExitCode::SUCCESS,
        // Nobody reads on (`| head`): what could be told has been told.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// Whether all files can be used.
fn check(files: &[impl AsRef<Path>], stdout: &mut impl Write, stderr: &mut impl Write) -> io::Result<bool> {
    let mut is_fine = true;
    for path in files.iter().map(AsRef::as_ref) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                writeln!(stderr, "{}: {error}", path.display())?;
                is_fine = false;
                continue;
            }
        };
        let (file, diagnostics) = slo::parse_file(&SourceFile::new(path.display().to_string(), text));
        if !diagnostics.is_empty() {
            writeln!(stderr, "{diagnostics}")?;
        }
        match file {
            Some(file) => describe(&file, stdout)?,
            None => is_fine = false,
        }
    }
    Ok(is_fine)
}

fn describe(file: &SloFile, stdout: &mut impl Write) -> io::Result<()> {
    let count = file.slos.len();
    writeln!(stdout, "{}: {count} {}", file.path, if count == 1 { "SLO" } else { "SLOs" })?;
    for slo in &file.slos {
        describe_slo(slo, stdout)?;
    }
    Ok(())
}

fn describe_slo(slo: &Slo, stdout: &mut impl Write) -> io::Result<()> {
    write!(stdout, "  {}: {}% {}", slo.name, slo.objective.percent(), slo.window.phrase())?;
    if !slo.group_by.is_empty() {
        write!(stdout, " by {}", slo.group_by.join(", "))?;
    }
    writeln!(stdout)?;
    if let Indicator::Latency { buckets, total, threshold_ms, .. } = &slo.indicator {
        let bound_secs = *threshold_ms as f64 / 1000.0;
        writeln!(stdout, "    good: {} where le is {bound_secs}; all: {}", buckets.text, total.text)?;
    }
    if let Indicator::Queried(queried) = &slo.indicator {
        writeln!(stdout, "    not event-exact: evaluated as a query over each window")?;
        for (key, query) in queried.queries() {
            writeln!(stdout, "    {key}: {}", query.text())?;
        }
    }
    for tier in &slo.policy.tiers {
        let threshold_percent = 100.0 * tier.threshold_ratio(slo.objective);
        writeln!(
            stdout,
            "    {:<12} {:<6} burn rate above {} over {} and {}: more than {}% errors",
            tier.name,
            tier.severity,
            tier.factor,
            format_duration(tier.long),
            format_duration(tier.short),
            (threshold_percent * 1e9).round() / 1e9,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> (bool, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slo.yml");
        std::fs::write(&path, text).unwrap();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let is_fine = check(&[&path], &mut stdout, &mut stderr).unwrap();
        let read = |bytes| String::from_utf8(bytes).unwrap().replace(path.to_str().unwrap(), "slo.yml");
        (is_fine, read(stdout), read(stderr))
    }

    #[test]
    fn prints_the_tiers_with_their_thresholds() {
        let (is_fine, stdout, stderr) =
            output("slos: [{name: a, objective: 99.9, group_by: [zone], indicator: {availability: up}}]");
        let expected = "slo.yml: 1 SLO\n  a: 99.9% over 30d by zone\n\
            \x20   page-fast    page   burn rate above 14.4 over 1h and 5m: more than 1.44% errors\n\
            \x20   page-slow    page   burn rate above 6 over 6h and 30m: more than 0.6% errors\n\
            \x20   ticket-fast  ticket burn rate above 3 over 1d and 2h: more than 0.3% errors\n\
            \x20   ticket-slow  ticket burn rate above 1 over 3d and 6h: more than 0.1% errors\n";
        assert_eq!((is_fine, stdout.as_str(), stderr.as_str()), (true, expected, ""));
    }

    #[test]
    fn shows_what_a_latency_counts() {
        let latency = r#"{histogram: 'd_seconds{job="a"}', p95: 300ms}"#;
        let (is_fine, stdout, _) = output(&format!("slos: [{{name: a, indicator: {{latency: {latency}}}}}]"));
        let expected = "slo.yml: 1 SLO\n  a: 95% over 30d\n\
            \x20   good: d_seconds_bucket{job=\"a\"} where le is 0.3; all: d_seconds_count{job=\"a\"}\n";
        assert!(is_fine && stdout.starts_with(expected), "{stdout}");
    }

    #[test]
    fn marks_a_query_as_not_event_exact() {
        let ratio = "'1 - avg_over_time(job:success:ratio[$window])'";
        let (is_fine, stdout, _) =
            output(&format!("slos: [{{name: a, objective: 99, indicator: {{ratio: {ratio}}}}}]"));
        let expected = "slo.yml: 1 SLO\n  a: 99% over 30d\n\
            \x20   not event-exact: evaluated as a query over each window\n\
            \x20   ratio: 1 - avg_over_time(job:success:ratio[$window])\n";
        assert!(is_fine && stdout.starts_with(expected), "{stdout}");
    }

    #[test]
    fn an_error_is_placed_and_fails() {
        let (is_fine, stdout, stderr) = output("slos: [{name: a, objective: 100, indicator: {availability: up}}]");
        assert!(!is_fine && stdout.is_empty());
        assert!(stderr.starts_with("slo.yml:1:29: an objective lies above 0 and below 100 percent"), "{stderr}");
        assert!(!check(&["/nonexistent/slo.yml"], &mut Vec::new(), &mut Vec::new()).unwrap());
    }
}
