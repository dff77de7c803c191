//! What counters tell together of scrapes and restarts, beside what each of them tells.

use std::time::Duration;

use proptest::prelude::*;

use super::replicas::recording;
use super::{counting, file, secs};
use crate::model::{Label, Labels, Series};
use crate::slo::backtest::{Witnessed, account};
use crate::slo::{Accounting, Grid, History, Role, sources};

/// Counters of two codes; whatever else its targets count shows restarts.
const WITNESSED: &str = r#"
slos:
  - name: s
    objective: 99
    window: 1d
    group_by: [zone]
    indicator: {errors: {bad: 'requests_total{code="500"}', total: 'requests_total{code="404"}'}}
"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_counters_tell_together_is_what_each_of_them_tells(
        gaps in prop::collection::vec(prop_oneof![4 => 10i64..60, 1 => 200i64..30_000], 30),
        steps in prop::collection::vec(prop::collection::vec(counting::step(), counting::TARGETS), 30),
        are_copies in any::<bool>(),
    ) {
        // As they are, or as three copies of one target.
        let relabelled = |label: &Label| match (&*label.name, are_copies) {
            ("instance", true) => Label { name: "replica".into(), value: label.value.clone() },
            ("zone", true) => Label { name: "zone".into(), value: "z".into() },
            _ => label.clone(),
        };
        let mut tape = counting::play(&gaps, &steps);
        for series in &mut tape.series {
            series.labels = Labels::new(series.labels.iter().map(relabelled).collect());
        }
        let spec = if are_copies { WITNESSED.replace("group_by:", "replica_labels: [replica]\n    group_by:") } else { WITNESSED.to_owned() };
        let slo = file(&spec).slos.remove(0);
        let recording = recording(&tape);
        let end = secs(1000 + gaps.iter().sum::<i64>() + 60);
        let grid = Grid { start: end, end, step: Duration::from_secs(60) };
        let reach = slo.window.longest();
        let witnessed = Witnessed::of(std::slice::from_ref(&slo), &recording);
        let together = account(&slo, &recording, &witnessed, (grid, reach));

        let mut each = Accounting::reaching(&slo, reach + end.since(secs(0)));
        let mut batch: Vec<(Role, &[Series])> = Vec::new();
        for (role, tests) in sources(&slo.indicator) {
            let passes = |series: &&Series| tests.iter().all(|test| test.matches_labels(&series.labels));
            let found = recording.series().map(|(series, _)| series).filter(passes);
            batch.extend(found.map(|series| (role, std::slice::from_ref(series))));
        }
        batch.extend(recording.series().filter_map(|(series, role)| Some((role?, std::slice::from_ref(series)))));
        each.feed(&batch, end, History::Complete);
        prop_assert_eq!(together.groups().collect::<Vec<_>>(), each.groups().collect::<Vec<_>>());
        for group in each.groups() {
            for at in (1000..end.as_ms() / 1000).step_by(97).map(secs) {
                prop_assert_eq!(together.events_total(group, at), each.events_total(group, at));
                prop_assert_eq!(together.outage_since(group, at), each.outage_since(group, at));
            }
            let covered = |accounting: &Accounting| accounting.coverage_ratio(group, secs(0), end);
            prop_assert_eq!(covered(&together), covered(&each));
        }
    }
}
