//! The runner itself: what passes, what fails, and with which words.

use super::*;

fn check(script: &str, passed: usize, failures: &[(usize, &str)]) {
    let report = run(&SourceFile::new("test", script));
    let found: Vec<(usize, &str)> = report.failures.iter().map(|f| (f.line, f.message.as_str())).collect();
    assert_eq!(report.passed, passed, "{found:#?}");
    assert_eq!(found.len(), failures.len(), "{found:#?}");
    for ((line, message), (expected_line, part)) in found.iter().zip(failures) {
        assert!(line == expected_line && message.contains(part), "{line}: {message}: no {part:?}");
    }
}

#[test]
fn values_are_compared() {
    let load = "load 1m\n  a{x=\"1\"} 0+1x10\n  a{x=\"2\"} 5\n\n";
    check(&format!("{load}eval instant at 2m a{{x=\"1\"}}\n  a{{x=\"1\"}} 2"), 1, &[]);
    check(&format!("{load}eval instant at 2m a{{x=\"1\"}}\n  a{{x=\"1\"}} 3"), 0, &[(5, "expected 3 but got 2")]);
    check(&format!("{load}eval instant at 2m a\n  a{{x=\"1\"}} 2"), 0, &[(5, "unexpected a{x=\"2\"} with value 5")]);
    check(
        &format!("{load}eval instant at 2m a{{x=\"1\"}}\n  a{{x=\"1\"}} 2\n  a{{x=\"3\"}} 2"),
        0,
        &[(5, "was not found")],
    );
    check(&format!("{load}eval range from 0 to 2m step 1m a{{x=\"1\"}}\n  a{{x=\"1\"}} 0 1 2"), 1, &[]);
    check(&format!("{load}eval range from 0 to 2m step 1m a{{x=\"1\"}}\n  a{{x=\"1\"}} 0 1"), 0, &[(5, "2 points")]);
    check("eval instant at 0 1 + 1\n  2\n\neval instant at 0 \"x\"\n  expect string \"x\"", 2, &[]);
    check("eval instant at 0 1\n  2", 0, &[(1, "expected 2 but got 1")]);
}

#[test]
fn order_errors_and_annotations_are_compared() {
    let load = "load 1m\n  a{x=\"1\"} 7\n  a{x=\"2\"} 5\n\n";
    let ordered = |first: &str, second: &str| {
        format!("{load}eval instant at 0 sort(a)\n  expect ordered\n  a{{x=\"{first}\"}} {second}\n")
    };
    check(&(ordered("2", "5") + "  a{x=\"1\"} 7"), 1, &[]);
    check(&(ordered("1", "7") + "  a{x=\"2\"} 5"), 0, &[(5, "position")]);
    let fails = "eval instant at 0 topk(NaN, a)\n  expect fail";
    check(&format!("{load}{fails}"), 1, &[]);
    check(&format!("{load}{fails} msg: Parameter value is NaN"), 1, &[]);
    check(&format!("{load}{fails} msg: no"), 0, &[(5, "Parameter value is NaN")]);
    check(&format!("{load}eval instant at 0 a{{x=\"1\"}}\n  expect fail"), 0, &[(5, "expected an error")]);
    let warns = "eval instant at 0 quantile(2, a)\n  {} Inf\n  expect ";
    check(&format!("{load}{warns}warn"), 1, &[]);
    check(
        &format!("{load}{warns}warn msg: PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"),
        1,
        &[],
    );
    check(&format!("{load}{warns}no_warn"), 0, &[(5, "unexpected warning")]);
    check(&format!("{load}{warns}info"), 0, &[(5, "expected info")]);
}

#[test]
fn what_cannot_be_read_fails_alone() {
    check("load 1m\n  a{ 1\n\neval instant at 0 a\n\nclear\n\neval instant at 0 a", 1, &[(4, "could not be loaded")]);
    check("what is this\n\neval instant at 0 a", 1, &[(1, "invalid command")]);
    check("eval instant at 0 sum(", 0, &[(1, "parse error")]);
    check("eval instant at x a", 0, &[(1, "not a valid duration")]);
}

#[test]
fn start_times_are_loaded() {
    let load = "load 1m\n  a@st _ -30s -30s\n  a 1 2 3\n\n";
    let eval = "eval instant at 2m start_timestamp(a)\n  {} 90\n\neval instant at 2m resets(a[5m])\n  {} 2";
    check(&format!("{load}{eval}"), 2, &[]);
    check("load 1m\n  a@st 0\n\neval instant at 0 a", 0, &[(4, "no following sample line")]);
    check("load 1m\n  a@st 0\n  b 0\n\neval instant at 0 a", 0, &[(5, "does not match")]);
}
