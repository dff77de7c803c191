//! `limit_ratio`: a fixed choice of series, by a hash of their labels.
//!
//! **Source.** Prometheus `model/labels/labels_stringlabels.go`: XXH64 over the concatenation of names and values, each
//! after its length (one byte below 255, else 255 and three bytes). XXH64: xxHash specification by Yann Collet.

use crate::model::Labels;

/// Whether a series with these labels is in the sample. A negative ratio gives the complement of its positive rest.
pub(super) fn is_sampled(labels: &Labels, ratio: f64) -> bool {
    is_offset_sampled(offset(labels), ratio)
}

/// Where a series with these labels stands among all, from 0 to 1.
pub(in crate::promql) fn offset(labels: &Labels) -> f64 {
    label_hash(labels) as f64 / u64::MAX as f64
}

/// See [`is_sampled`].
pub(in crate::promql) fn is_offset_sampled(offset: f64, ratio: f64) -> bool {
    let ratio = ratio.clamp(-1.0, 1.0);
    if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
}

fn label_hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::new();
    for text in labels.iter().flat_map(|label| [&label.name, &label.value]) {
        match u8::try_from(text.len()) {
            Ok(length) if length < 255 => bytes.push(length),
            _ => {
                bytes.push(255);
                bytes.extend(&(text.len() as u32).to_le_bytes()[..3]);
            }
        }
        bytes.extend(text.as_bytes());
    }
    xxh64(&bytes)
}

const PRIMES: [u64; 5] =
    [0x9e37_79b1_85eb_ca87, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63, 0x27d4_eb2f_1656_67c5];

/// XXH64 with seed 0.
fn xxh64(bytes: &[u8]) -> u64 {
    let [p1, p2, p3, p4, p5] = PRIMES;
    let round = |lane: u64, input: u64| lane.wrapping_add(input.wrapping_mul(p2)).rotate_left(31).wrapping_mul(p1);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("BUG: a word that is not eight bytes"));
    let mut stripes = bytes.chunks_exact(32);
    let mut hash = p5;
    if bytes.len() >= 32 {
        let mut lanes = [p1.wrapping_add(p2), p2, 0, 0u64.wrapping_sub(p1)];
        for stripe in &mut stripes {
            for (lane, input) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, word(input));
            }
        }
        let rotated = lanes.iter().zip([1, 7, 12, 18]).map(|(lane, bits)| lane.rotate_left(bits));
        hash = rotated.fold(0, u64::wrapping_add);
        for lane in lanes {
            hash = (hash ^ round(0, lane)).wrapping_mul(p1).wrapping_add(p4);
        }
    }
    hash = hash.wrapping_add(bytes.len() as u64);
    let mut words = stripes.remainder().chunks_exact(8);
    for input in &mut words {
        hash = (hash ^ round(0, word(input))).rotate_left(27).wrapping_mul(p1).wrapping_add(p4);
    }
    let mut rest = words.remainder();
    if let Some((half, tail)) = rest.split_first_chunk::<4>() {
        let input = u64::from(u32::from_le_bytes(*half));
        hash = (hash ^ input.wrapping_mul(p1)).rotate_left(23).wrapping_mul(p2).wrapping_add(p3);
        rest = tail;
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(p5)).rotate_left(11).wrapping_mul(p1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(p2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(p3);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        for (text, hash) in [
            ("", 0xef46_db37_51d8_e999),
            ("a", 0xd24e_c4f1_a98c_6e5b),
            ("abc", 0x44bc_2cf5_ad77_0999),
            ("Nobody inspects the spammish repetition", 0xfbce_a83c_8a37_8bf1),
        ] {
            assert_eq!(xxh64(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn a_ratio_and_its_negative_rest_are_complements() {
        for index in 0..100 {
            let labels = Labels::from_pairs([("instance", index.to_string())]);
            assert!(is_sampled(&labels, 0.3) != is_sampled(&labels, -0.7), "{labels}");
        }
    }
}
