//! Figures as people read them.

use std::time::Duration;

use crate::model::{Labels, Timestamp};
use crate::source::format_duration;

/// `99.87 %`; a dash where there is no figure.
pub(super) fn percent(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) => {
            let text = format!("{:.2}", ratio * 100.0);
            let text = text.trim_end_matches('0').trim_end_matches('.');
            format!("{} %", if text == "-0" { "0" } else { text })
        }
        None => "–".to_owned(),
    }
}

/// The two largest units of the time from `earlier` to `now`: `3d 4h`, `2m 5s`, `0s`.
pub(super) fn since_text(now: Timestamp, earlier: Timestamp) -> String {
    let secs = now.since(earlier).as_secs();
    let parts = [(secs / 86_400, "d"), (secs / 3600 % 24, "h"), (secs / 60 % 60, "m"), (secs % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = parts[first..].iter().take(2).filter(|(count, unit)| *count > 0 || first == 3 && *unit == "s");
    shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

/// As it would be written in a file.
pub(super) fn duration_text(duration: Duration) -> String {
    format_duration(duration)
}

/// The labels but for the hidden ones.
pub(super) fn labels_without<'a>(labels: &'a Labels, hidden: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    labels.iter().filter(|label| !hidden.contains(&&*label.name)).map(|label| (&*label.name, &*label.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_can_read_them() {
        assert_eq!(percent(Some(0.9987)), "99.87 %");
        assert_eq!(percent(Some(1.0)), "100 %");
        assert_eq!(percent(Some(-0.00001)), "0 %");
        assert_eq!(percent(None), "–");
        let ago = |secs: i64| since_text(Timestamp::from_ms(secs * 1000), Timestamp::EPOCH);
        assert_eq!(
            [ago(0), ago(5), ago(60), ago(125), ago(3_600), ago(90_061)],
            ["0s", "5s", "1m", "2m 5s", "1h", "1d 1h"]
        );
    }
}
