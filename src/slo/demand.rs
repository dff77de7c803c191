//! What the objectives of a file need kept: the raw samples of the whole window, from which the counters are made anew at a restart.

use std::sync::Arc;
use std::time::Duration;

use super::accounting::MARGIN_MS;
use super::alerts::OUTAGE_TOLERANCE;
use super::decode::SloFile;
use super::feed::sources;
use super::spec::{Indicator, Slo};
use crate::model::{METRIC_NAME, Matcher};
use crate::store::{Demand, Rank, Reach};

impl SloFile {
    /// What its objectives read, each by its name.
    pub fn demands(&self) -> Vec<Demand> {
        self.slos.iter().flat_map(|slo| demands(slo, &self.slos)).collect()
    }
}

fn demands(slo: &Slo, all: &[Slo]) -> Vec<Demand> {
    let reader: Arc<str> = format!("slo {}", slo.name).into();
    let demand = |matchers, window| Demand {
        matchers,
        reach: Reach { window, since: None },
        rank: Rank::Slo,
        reader: reader.clone(),
    };
    let window = slo.window.longest() + Duration::from_millis(MARGIN_MS.unsigned_abs());
    // A composite looks as far back over its members as its own window reaches.
    let members = match &slo.indicator {
        Indicator::Composite { members, .. } => &members[..],
        _ => &[],
    };
    let members = members.iter().filter_map(|member| all.iter().find(|slo| slo.name == member.slo));
    let counted = std::iter::once(slo).chain(members).flat_map(|slo| sources(&slo.indicator));
    let of_events = counted.map(|(_, matchers)| demand(matchers, window));
    let fired = vec![Matcher::equal(METRIC_NAME, "ALERTS_FOR_STATE"), Matcher::equal("slo", slo.name.clone())];
    of_events.chain([demand(fired, OUTAGE_TOLERANCE)]).collect()
}

#[cfg(test)]
mod tests {
    use crate::slo::parse_file;
    use crate::source::SourceFile;

    #[test]
    fn all_sources_for_the_whole_window() {
        let text = r#"
slos:
- name: orders
  service: shop
  objective: 99.9
  window: 30d
  indicator:
    errors:
      bad: http_requests_total{job="shop", code=~"5.."}
      total: http_requests_total{job="shop"}
"#;
        let (file, diagnostics) = parse_file(&SourceFile::new("slo.yml", text));
        let found: Vec<String> = file
            .unwrap_or_else(|| panic!("{diagnostics}"))
            .demands()
            .iter()
            .map(|demand| format!("{} {:?} {}", demand.reader, demand.matchers, demand.reach.window.as_secs()))
            .collect();
        let whole = 30 * 86_400 + 600;
        assert_eq!(
            found,
            [
                format!(r#"slo orders [job="shop", code=~"5..", __name__="http_requests_total"] {whole}"#),
                format!(r#"slo orders [job="shop", __name__="http_requests_total"] {whole}"#),
                format!(r#"slo orders [__name__="up", job="shop"] {whole}"#),
                format!(r#"slo orders [__name__="process_start_time_seconds", job="shop"] {whole}"#),
                r#"slo orders [__name__="ALERTS_FOR_STATE", slo="orders"] 3600"#.to_owned(),
            ]
        );
    }
}
