//! Where the exponential buckets of native histograms end.
//!
//! In every power of two the bounds are those between 0.5 and 1, times that power. Those are computed from the finest schema's
//! predecessors, so that a bound has the same bits in every schema that has it.
//! **Source.** Prometheus `model/histogram/generic.go`, whose table has a square root of two that is one bit low, and client_golang
//! `prometheus/histogram.go`, which says how the table was made.

use std::f64::consts::SQRT_2;
use std::sync::LazyLock;

/// The finest schema.
const SCHEMA_MAX: usize = 8;
/// From one bucket to the next at schema 1 to 8. The first is √2 with its last bit as in the source.
const FACTORS: [f64; SCHEMA_MAX] = [
    SQRT_2.next_down(),
    1.189207115002721,
    1.0905077326652577,
    1.0442737824274138,
    1.0218971486541166,
    1.0108892860517005,
    1.0054299011128027,
    1.0027112750502025,
];

/// For each schema the lower bounds of the buckets in `[0.5, 1)`.
static FRACTIONS: LazyLock<Vec<Vec<f64>>> = LazyLock::new(|| {
    let mut table = vec![vec![0.5]];
    for factor in FACTORS {
        let coarser = table.last().expect("BUG: the table starts empty");
        let finer = coarser.iter().flat_map(|bound| [*bound, bound * factor]).collect();
        table.push(finer);
    }
    table
});

/// The upper bound of the bucket `index`; the last finite one ends at the largest float.
pub(super) fn exponential(index: i32, schema: i32) -> f64 {
    if schema <= 0 {
        let exponent = i64::from(index) << -schema;
        return if exponent == 1024 { f64::MAX } else { scaled(1.0, exponent) };
    }
    let fractions = &FRACTIONS[schema as usize];
    let fraction = fractions[(index & ((1 << schema) - 1)) as usize];
    let exponent = i64::from(index >> schema) + 1;
    if fraction == 0.5 && exponent == 1025 { f64::MAX } else { scaled(fraction, exponent) }
}

/// `fraction · 2^exponent`, rounded once also where the result is subnormal.
fn scaled(fraction: f64, exponent: i64) -> f64 {
    let exponent = exponent.clamp(-2000, 2000) as i32;
    // Each step but the last is exact.
    let (half, rest) = (exponent / 2, exponent - exponent / 2);
    let (quarter, other) = (half / 2, half - half / 2);
    match exponent {
        -1000..=1000 => fraction * 2f64.powi(exponent),
        1001.. => fraction * 2f64.powi(half) * 2f64.powi(rest),
        _ => fraction * 2f64.powi(quarter) * 2f64.powi(other) * 2f64.powi(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_has_the_bits_of_prometheus() {
        let bits = FRACTIONS.iter().flatten().map(|bound| bound.to_bits());
        // FNV-1a over 64-bit words of Prometheus's table.
        let sum = bits.fold(0xcbf2_9ce4_8422_2325_u64, |sum, bits| (sum ^ bits).wrapping_mul(0x100_0000_01b3));
        assert_eq!(sum, 0x618c_4f38_8d68_9095);
    }

    #[test]
    fn bounds() {
        for (index, schema, expected) in [
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 0, 0.5),
            (1, -2, 16.0),
            (1, 1, SQRT_2.next_down()),
            (-1, 1, 0.7071067811865475),
            (1024, 0, f64::MAX),
            (1025, 0, f64::INFINITY),
            (256, -2, f64::MAX),
            (2048, 1, f64::MAX),
            (2049, 1, f64::INFINITY),
            (-1074, 0, 5e-324),
            (-1076, 0, 0.0),
            (-2148, 1, 5e-324),
            (i32::MAX, -4, f64::INFINITY),
            (i32::MIN, 8, 0.0),
        ] {
            assert_eq!(exponential(index, schema), expected, "{index} {schema}");
        }
    }
}
