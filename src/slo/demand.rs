//! What the objectives of a file need kept: the raw samples of the whole window, from which the counters are made anew at a restart, or what
//! their queries read over their longest window.

use std::sync::Arc;
use std::time::Duration;

use super::accounting::MARGIN_MS;
use super::alerts::OUTAGE_TOLERANCE;
use super::decode::SloFile;
use super::feed::sources;
use super::partly;
use super::spec::{Indicator, Slo};
use crate::model::{METRIC_NAME, Matcher};
use crate::promql::reach::{self, Reads};
use crate::store::{Demand, Rank, Reach};

impl SloFile {
    /// What its objectives read, each by its name, where an instant selector looks back by `lookback_delta`.
    pub fn demands(&self, lookback_delta: Duration) -> Vec<Demand> {
        let reader = format!("slos {}", self.path).into();
        let reach = Reach { window: OUTAGE_TOLERANCE, since: None };
        let of_file = Demand { matchers: partly::fired(&self.path), reach, rank: Rank::Slo, reader };
        self.slos.iter().flat_map(|slo| demands(slo, &self.slos, lookback_delta)).chain([of_file]).collect()
    }
}

/// What the queries of an objective read: over its longest window, and as long before as a new process looks back for conditions that are met.
pub(super) fn reads(slo: &Slo, lookback_delta: Duration) -> Vec<Reads> {
    let Indicator::Queried(queried) = &slo.indicator else { return Vec::new() };
    let tiers = &slo.policy.tiers;
    let longest = tiers.iter().map(|tier| tier.long.max(tier.short)).fold(slo.window.longest(), Duration::max);
    let held = tiers.iter().map(|tier| tier.hold).max().unwrap_or_default();
    let exprs = queried.queries().into_iter().filter_map(|(_, query)| query.expr(longest).ok());
    let mut reads: Vec<Reads> = exprs.flat_map(|expr| reach::reads(&expr, lookback_delta)).collect();
    reads.iter_mut().for_each(|reads| reads.reach.window += held);
    reads
}

fn demands(slo: &Slo, all: &[Slo], lookback_delta: Duration) -> Vec<Demand> {
    let reader: Arc<str> = format!("slo {}", slo.name).into();
    let of = |matchers, reach| Demand { matchers, reach, rank: Rank::Slo, reader: reader.clone() };
    let demand = |matchers, window| of(matchers, Reach { window, since: None });
    let asked = reads(slo, lookback_delta).into_iter().map(|reads| of(reads.matchers, reads.reach));
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
    asked.chain(of_events).chain([demand(fired, OUTAGE_TOLERANCE)]).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            .demands(Duration::from_secs(300))
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
                r#"slos slo.yml [__name__="ALERTS_FOR_STATE", slo_file="slo.yml"] 3600"#.to_owned(),
            ]
        );
    }

    #[test]
    fn queries_over_the_longest_window() {
        let text = "slos: [{name: a, objective: 99, window: 7d, indicator: {ratio: '1 - avg_over_time(ok{job=\"x\"}[$window] offset 1h)'}}]";
        let (file, diagnostics) = parse_file(&SourceFile::new("slo.yml", text));
        let demands = file.unwrap_or_else(|| panic!("{diagnostics}")).demands(Duration::from_secs(300));
        let found: Vec<_> =
            demands.iter().map(|demand| (format!("{:?}", demand.matchers), demand.reach.window.as_secs())).collect();
        assert_eq!(found[0], (r#"[job="x", __name__="ok"]"#.to_owned(), 7 * 86_400 + 3600));
        assert_eq!((&*demands[0].reader, found.len()), ("slo a", 3));
    }
}
