//! How far a long run is: one line on standard error, where somebody looks at it.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::source::format_duration;

/// Nothing is shown before this: most runs are over by then.
const SILENT_FOR: Duration = Duration::from_secs(1);
/// The time between two looks.
const SHOW_EVERY: Duration = Duration::from_millis(200);
/// Characters of the bar.
const WIDTH: usize = 30;

/// A bar that fills.
pub(super) struct Progress {
    what: String,
    stopwatch: Stopwatch,
    /// `None`: nobody looks.
    shown_at: Option<Duration>,
    is_shown: bool,
}

impl Progress {
    /// For a run described by `what`, which begins now.
    pub(super) fn start(what: impl Into<String>) -> Self {
        let shown_at = std::io::stderr().is_terminal().then_some(Duration::ZERO);
        Progress { what: what.into(), stopwatch: Stopwatch::start(), shown_at, is_shown: false }
    }

    /// Shows that `ratio`, 0 to 1, is done.
    pub(super) fn at(&mut self, ratio: f64) {
        let Some(shown_at) = self.shown_at else { return };
        let elapsed = self.stopwatch.elapsed();
        if elapsed < SILENT_FOR || elapsed < shown_at + SHOW_EVERY {
            return;
        }
        self.shown_at = Some(elapsed);
        self.is_shown = true;
        let _ = write!(std::io::stderr(), "\r{}", line(&self.what, ratio, elapsed));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            // The line is in nobody's way afterwards.
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}

fn line(what: &str, ratio: f64, elapsed: Duration) -> String {
    let ratio = ratio.clamp(0.0, 1.0);
    let full = (ratio * WIDTH as f64) as usize;
    let left = match ratio {
        ratio if ratio > 0.01 => {
            let left = elapsed.mul_f64((1.0 - ratio) / ratio);
            format!(", {} left", format_duration(Duration::from_secs(left.as_secs())))
        }
        _ => String::new(),
    };
    format!("{what} [{}{}] {:3.0} %{left}\x1b[K", "=".repeat(full), " ".repeat(WIDTH - full), 100.0 * ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_and_tells_what_is_left() {
        let shown = |ratio| line("reading", ratio, Duration::from_secs(30)).replace("\x1b[K", "");
        assert_eq!(shown(0.0), format!("reading [{}]   0 %", " ".repeat(30)));
        assert_eq!(shown(0.5), format!("reading [{}{}]  50 %, 30s left", "=".repeat(15), " ".repeat(15)));
        assert_eq!(shown(2.0), format!("reading [{}] 100 %, 0s left", "=".repeat(30)));
    }
}
