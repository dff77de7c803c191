//! Chunks read back what was sealed, whatever it was, and common data is small.

use proptest::prelude::*;

use super::*;
use crate::model::STALE_NAN_BITS;

/// Seals, reads back all, each and by time, compares bits. Gives the bytes.
fn check(at: &[i64], values: &[f64]) -> usize {
    let times: Vec<Timestamp> = at.iter().map(|&ms| Timestamp::from_ms(ms)).collect();
    let mut bytes = Vec::new();
    seal(&times, values, &mut bytes);
    let sealed = bytes.len();
    // Others follow in a block.
    bytes.extend([0xa5; 16]);
    let chunk = Chunk { first: times[0], len: at.len(), bytes: &bytes };
    let mut columns = Columns::default();
    chunk.decode(&mut columns);
    assert_eq!(columns.at(), at);
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(columns.values()), bits(values));
    for index in 0..at.len() {
        let (time, value) = chunk.sample(index);
        assert_eq!((time, value.to_bits()), (times[index], values[index].to_bits()), "at {index}");
        let neighbours = [at[index], at[index].saturating_sub(1), at[index].saturating_add(1)];
        for ms in neighbours {
            let expected = at.iter().filter(|at| **at <= ms).count();
            assert_eq!(chunk.count_through(Timestamp::from_ms(ms)), expected, "through {ms}");
        }
    }
    sealed
}

/// Bytes of the columns a sample, in a full chunk of `values`, the time regular.
fn bytes_per_sample(values: impl Fn(usize) -> f64) -> f64 {
    let at: Vec<i64> = (0..SAMPLES_MAX as i64).map(|index| 1_000 + index * 15_000).collect();
    let values: Vec<f64> = (0..SAMPLES_MAX).map(values).collect();
    check(&at, &values) as f64 / SAMPLES_MAX as f64
}

#[test]
fn odd_values_survive() {
    let odd = [
        0.0,
        -0.0,
        f64::from_bits(STALE_NAN_BITS),
        f64::from_bits(0x7ff8_0000_dead_beef),
        f64::from_bits(0xffff_ffff_ffff_ffff),
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        -5e-324,
        f64::MAX,
        f64::MIN,
        9_007_199_254_740_991.0,
        -9_007_199_254_740_991.0,
        9_007_199_254_740_992.0,
        9_007_199_254_740_993.0,
        0.1,
        0.30000000000000004,
        1e-9,
        1e15 + 0.5,
    ];
    for (first, second) in odd.iter().flat_map(|a| odd.iter().map(move |b| (*a, *b))) {
        check(&[1, 2, 3], &[first, second, first]);
    }
    let at: Vec<i64> = (0..odd.len() as i64).collect();
    check(&at, &odd);
}

#[test]
fn odd_times_survive() {
    check(&[i64::MIN], &[1.0]);
    check(&[i64::MIN, i64::MAX], &[1.0, 2.0]);
    check(&[i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX], &[1.0; 5]);
    for jitter in [0, 1, 63, 64, 65, 8_191, 8_192, 524_287, 524_288, 1 << 40] {
        check(&[0, 1 << 41, (2 << 41) + jitter, 3 << 41, (4 << 41) - jitter], &[1.0; 5]);
    }
}

#[test]
fn common_data_is_small() {
    for (name, limit, bytes) in [
        ("a constant", 0.10, bytes_per_sample(|_| 1.0)),
        ("a counter, +0 to +15", 0.65, bytes_per_sample(|i| (i * 8 + i * 7919 % 8) as f64)),
        ("a counter that restarts", 0.75, bytes_per_sample(|i| ((i % 70) * 8 + i * 7919 % 8) as f64)),
        ("a gauge with two places", 1.50, bytes_per_sample(|i| (5_000 + i * 7919 % 500) as f64 / 100.0)),
        ("arbitrary floats", 8.50, bytes_per_sample(|i| ((i + 1) as f64).sqrt().sin())),
    ] {
        assert!(bytes <= limit, "{name}: {bytes} bytes a sample");
    }
}

/// Values of one kind, so that every encoding meets runs it likes and runs it must refuse.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let bits = any::<u64>().prop_map(f64::from_bits);
    let small = (-1_000..1_000i64).prop_map(|n| n as f64);
    let integers = (-(1i64 << 54)..1 << 54).prop_map(|n| n as f64);
    let decimals = (-1_000_000..1_000_000i64, 0..12i32).prop_map(|(n, places)| n as f64 / 10f64.powi(places));
    prop_oneof![
        prop::collection::vec(bits.clone(), 1..=SAMPLES_MAX),
        prop::collection::vec(small.clone(), 1..=SAMPLES_MAX),
        prop::collection::vec(integers.clone(), 1..=SAMPLES_MAX),
        prop::collection::vec(decimals.clone(), 1..=SAMPLES_MAX),
        prop::collection::vec(prop_oneof![8 => small, 1 => integers, 1 => decimals, 1 => bits], 1..=SAMPLES_MAX),
    ]
}

proptest! {
    #[test]
    fn reads_what_was_sealed(values in values(), start in any::<i64>(), steps in prop::collection::vec(0..1i64 << 34, SAMPLES_MAX)) {
        let mut at = Vec::new();
        let mut now = start / 2;
        for (index, step) in steps.iter().enumerate().take(values.len()) {
            // Every third distance is regular.
            now += if index % 3 == 0 { 15_000 } else { 1 + (step >> (step % 34)) };
            at.push(now);
        }
        check(&at, &values);
    }
}
