//! Open runs of series that come in company, beside plain lists.

use proptest::prelude::*;

use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// Takes a batch as a commit does: a full run is emptied first.
fn commit(runs: &mut [Open], batch: &[(usize, i64)]) {
    let mut company = Company::default();
    for (index, (series, ms)) in batch.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| &batch[index]);
        company.is_there = before.into_iter().chain(batch.get(index + 1)).any(|other| other.1 == *ms);
        if runs[*series].is_full() {
            runs[*series] = Open::default();
        }
        runs[*series].push(at(*ms), &Value::Float(*ms as f64), &mut company);
    }
}

fn times(run: &Open) -> &Times {
    match run {
        Open::Floats { at, .. } => at,
        Open::Histograms(_) => panic!("no histogram was pushed"),
    }
}

fn column(run: &Open) -> Option<&Arc<Column>> {
    match times(run) {
        Times::Own(_) => None,
        Times::Shared { column, .. } => Some(column),
    }
}

proptest! {
    /// Of each step a series has the time of the batch, or one of its own, or none.
    #[test]
    fn shared_times_are_those_of_each_series(
        steps in prop::collection::vec(prop::collection::vec(prop_oneof![6 => Just(Some(0)), 1 => Just(None), 1 => (1..3i64).prop_map(Some)], 5), 1..300),
        seals in prop::collection::vec((0..300usize, 0..5usize), 0..6),
        late in prop::collection::vec((0..300usize, 0..5usize), 0..3),
    ) {
        let mut runs: Vec<Open> = (0..5).map(|_| Open::default()).collect();
        let mut expected: Vec<Vec<Timestamp>> = vec![Vec::new(); 5];
        for (number, step) in steps.iter().enumerate() {
            let batch: Vec<(usize, i64)> = step.iter().enumerate().filter_map(|(series, offset)| Some((series, number as i64 * 10 + (*offset)?))).collect();
            for (series, _) in &batch {
                if runs[*series].is_full() {
                    prop_assert!(expected[*series].len() >= ROOM_MIN);
                    expected[*series].clear();
                }
            }
            commit(&mut runs, &batch);
            batch.iter().for_each(|(series, ms)| expected[*series].push(at(*ms)));
            for (_, series) in seals.iter().filter(|(when, _)| *when == number) {
                (runs[*series], expected[*series]) = (Open::default(), Vec::new());
            }
            for (_, series) in late.iter().filter(|(when, _)| *when == number) {
                let time = at(number as i64 * 10 - 25);
                let fits = expected[*series].first().is_some_and(|first| *first < time) && expected[*series].len() < SAMPLES_MAX;
                if fits && !runs[*series].has(time) {
                    prop_assert!(runs[*series].insert(time, &Value::Float(0.0)));
                    let place = expected[*series].partition_point(|at| *at < time);
                    expected[*series].insert(place, time);
                }
            }
            for (run, expected) in runs.iter().zip(&expected) {
                prop_assert_eq!(&times(run).to_vec(), expected);
                prop_assert_eq!(run.last(), expected.last().copied());
                for back in [0, 7, 10, 95] {
                    let probe = at(number as i64 * 10 - back);
                    prop_assert_eq!(times(run).count_through(probe), expected.partition_point(|at| *at <= probe));
                    prop_assert_eq!(run.has(probe), expected.contains(&probe));
                }
            }
        }
    }
}

#[test]
fn series_of_a_scrape_share_a_column() {
    let mut runs: Vec<Open> = (0..3).map(|_| Open::default()).collect();
    let all = |ms: i64| [(0, ms), (1, ms), (2, ms)];
    (0..10).for_each(|scrape| commit(&mut runs, &all(scrape)));
    let shared = column(&runs[0]).expect("it is in company").clone();
    assert!(runs.iter().all(|run| column(run).is_some_and(|column| Arc::ptr_eq(column, &shared))));
    // One misses a scrape.
    commit(&mut runs, &all(10)[..2]);
    commit(&mut runs, &all(11));
    assert!(column(&runs[2]).is_none(), "its times are others now");
    assert_eq!(times(&runs[2]).to_vec(), (0..12).filter(|ms| *ms != 10).map(at).collect::<Vec<_>>());
    // It comes back to the others with its next run.
    runs[2] = Open::default();
    commit(&mut runs, &all(12));
    assert!(column(&runs[2]).is_some_and(|column| Arc::ptr_eq(column, &shared)));
    assert_eq!(times(&runs[2]).to_vec(), [at(12)]);
    // All are full at once, where the column ends.
    (13..120).for_each(|scrape| commit(&mut runs, &all(scrape)));
    assert!(runs.iter().all(Open::is_full));
    commit(&mut runs, &all(120));
    assert!(runs.iter().all(|run| run.len() == 1 && column(run).is_some_and(|column| !Arc::ptr_eq(column, &shared))));
}

#[test]
fn a_series_without_company_has_times_of_its_own() {
    let mut runs = [Open::default(), Open::default()];
    commit(&mut runs, &[(0, 1), (0, 2), (1, 3)]);
    assert!(runs.iter().all(|run| column(run).is_none()));
    // Nor does a lone sample lengthen a column that others have.
    let mut runs = [Open::default(), Open::default()];
    commit(&mut runs, &[(0, 1), (1, 1)]);
    commit(&mut runs, &[(0, 2)]);
    commit(&mut runs, &[(1, 3)]);
    assert_eq!([times(&runs[0]).to_vec(), times(&runs[1]).to_vec()], [vec![at(1), at(2)], vec![at(1), at(3)]]);
    assert!(runs.iter().all(|run| column(run).is_none()));
}
