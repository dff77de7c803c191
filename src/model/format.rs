//! Floats as Prometheus prints them.

/// Prints `value` as Go's `strconv.FormatFloat(v, 'f', -1, 64)` does: shortest digits, never an exponent,
/// `NaN`, `+Inf`, `-Inf`. This is the form of the HTTP API and of the text exposition.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        // Rust's `Display` for f64 is the shortest round-trip form without exponent, as Go's 'f' with precision -1.
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::format_float;

    #[test]
    fn like_go() {
        assert_eq!(format_float(1.0), "1");
        assert_eq!(format_float(-0.0), "-0");
        assert_eq!(format_float(0.1 + 0.2), "0.30000000000000004");
        assert_eq!(format_float(1e21), "1000000000000000000000");
        assert_eq!(format_float(f64::NEG_INFINITY), "-Inf");
        assert_eq!(format_float(5e-324), format!("0.{}5", "0".repeat(323)));
    }
}
