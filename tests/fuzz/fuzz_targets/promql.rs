//! Any text through the parser: no panic, an error for each refusal with a place inside the text, and what is accepted is printed so that
//! it reads the same.

#![no_main]

use almenara::promql::{Features, parse_with};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for features in [Features::STABLE, Features::ALL] {
        match parse_with(text, features) {
            Ok(expr) => {
                let line = expr.to_string();
                // Prometheus prints `Inf ^ x` as `+Inf ^ x`, which reads as `+(Inf ^ x)`.
                let is_exempt = line.contains("Inf ^");
                for printed in [&line, &expr.pretty()] {
                    let again = parse_with(printed, features);
                    let again = again.unwrap_or_else(|errors| panic!("printed as {printed:?}: {}", errors[0]));
                    assert!(is_exempt || again.to_string() == line, "printed as {printed:?}, then as {again}");
                }
            }
            Err(errors) => {
                assert!(!errors.is_empty());
                for error in errors {
                    assert!(text.get(error.span.start..error.span.end).is_some(), "{error}: {:?}", error.span);
                }
            }
        }
    }
});
