//! Sizes as people write them: bytes with a unit.

/// Reads `512MB`; units are powers of 1024, as in Prometheus. Only 0 goes without one.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let count: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match &text[digits..] {
        "" if count == 0 => 1,
        "B" => 1,
        "KB" | "KiB" => 1 << 10,
        "MB" | "MiB" => 1 << 20,
        "GB" | "GiB" => 1 << 30,
        "TB" | "TiB" => 1 << 40,
        "PB" | "PiB" => 1 << 50,
        "EB" | "EiB" => 1 << 60,
        _ => return None,
    };
    count.checked_mul(unit)
}

/// In the largest unit of which there are ten: `120 MiB`.
pub fn format_bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let power = (1..units.len()).take_while(|power| bytes >= 10 << (10 * power)).count();
    format!("{} {}", bytes >> (10 * power), units[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, expected) in [
            ("0", Some(0)),
            ("12B", Some(12)),
            ("3KB", Some(3072)),
            ("2GiB", Some(2 << 30)),
            ("5", None),
            ("MB", None),
            ("16EB", None),
        ] {
            assert_eq!(parse_bytes(text), expected, "{text}");
        }
        for (bytes, expected) in
            [(0, "0 B"), (10_239, "10239 B"), (10_240, "10 KiB"), (3 << 30, "3072 MiB"), (u64::MAX, "16383 PiB")]
        {
            assert_eq!(format_bytes(bytes), expected);
        }
    }
}
