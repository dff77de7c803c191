//! The counters of one group over time: `C(t)` as points.
//!
//! In the flow: [`super::accounting`] appends; [`super::figures`] asks for windows. A window `(t - w, t]` is `C(t) - C(t - w)`, each
//! read as "the value at or before".
//!
//! ```text
//! sealed: [block of 128][block of 128] ...      open: up to 256 plain points, the newest
//! block:  first point | per further point: change of distance in time, growth of part, growth of total
//! ```
//!
//! **Invariants.** Points strictly increase in time. What is decoded is what was added, to the bit: a block whose counts are not all
//! integers below 2^53, or ever fall, keeps its points as they are.
//! **Cost.** A look-up is a binary search over blocks, then over the open points or through at most [`BLOCK_LEN`] decoded ones, whatever the
//! window's length. One point for each scrape that changed the counts: 5 bytes where counts are integers (24 where not), so that
//! 30 days of one target scraped every 15 s are 0.8 MiB.

use std::collections::VecDeque;

use crate::model::Timestamp;

use super::snapshot::{Reader, Writer};
use super::spec::PartIs;

/// Points of a block. More would save little and make look-ups slower.
const BLOCK_LEN: usize = 128;

/// Event counts since the beginning of the curve.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// Events of the indicator's partial counter.
    pub(super) part: f64,
    /// All events.
    pub(super) total: f64,
}

/// What counts in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Good ones, from 0 to `total`.
    pub good: f64,
    /// Bad ones: the rest.
    pub bad: f64,
    /// All.
    pub total: f64,
}

impl Counts {
    /// From a partial counter and that of all. The counters of one scrape need not agree, since a target may count an error before its
    /// request; a share stays a share.
    pub(super) fn of(part: f64, total: f64, part_is: PartIs) -> Self {
        let total = total.max(0.0);
        let part = part.clamp(0.0, total);
        match part_is {
            PartIs::Good => Counts { good: part, bad: total - part, total },
            PartIs::Bad => Counts { good: total - part, bad: part, total },
        }
    }

    /// The share of bad ones; `None` where there is nothing.
    pub fn error_ratio(&self) -> Option<f64> {
        (self.total > 0.0).then(|| self.bad / self.total)
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Counts>>(counts: I) -> Counts {
        counts.fold(Counts::default(), |a, b| Counts {
            good: a.good + b.good,
            bad: a.bad + b.bad,
            total: a.total + b.total,
        })
    }
}

type Point = (Timestamp, Totals);

/// `C(t)`: a step function. It falls only where a count is a difference of counters that do not agree.
#[derive(Clone, Debug, Default)]
pub(super) struct Curve {
    sealed: VecDeque<Block>,
    /// After those sealed; empty only while nothing is sealed either.
    open: Vec<Point>,
}

impl Curve {
    /// Adds events at `at`, which is not before the last point. Nothing added makes no point.
    pub(super) fn add(&mut self, at: Timestamp, part: f64, total: f64) {
        if part == 0.0 && total == 0.0 {
            return;
        }
        let (last_at, before) = self.open.last().copied().unwrap_or((Timestamp::MIN, Totals::default()));
        assert!(last_at <= at, "BUG: events must be fed in order of time");
        let after = Totals { part: before.part + part, total: before.total + total };
        match self.open.last_mut() {
            Some((_, totals)) if last_at == at => *totals = after,
            _ => self.open.push((at, after)),
        }
        self.seal_some();
    }

    /// The value at or before `at`; nothing before the first point.
    pub(super) fn at(&self, at: Timestamp) -> Totals {
        if let Some(index) = self.open.partition_point(|(point_at, _)| *point_at <= at).checked_sub(1) {
            return self.open[index].1;
        }
        let after = self.sealed.partition_point(|block| block.first.0 <= at);
        after.checked_sub(1).map_or(Totals::default(), |index| self.sealed[index].at(at))
    }

    /// The values at or before each of `instants`, which increase: one pass.
    pub(super) fn sampled(&self, instants: impl Iterator<Item = Timestamp>) -> Vec<Totals> {
        let mut points = self.sealed.iter().flat_map(Block::points).chain(self.open.iter().copied()).peekable();
        let mut last = Totals::default();
        instants
            .map(|at| {
                while let Some((_, totals)) = points.next_if(|(point_at, _)| *point_at <= at) {
                    last = totals;
                }
                last
            })
            .collect()
    }

    /// What happened in `(start, end]`.
    pub(super) fn counts(&self, start: Timestamp, end: Timestamp, part_is: PartIs) -> Counts {
        let (now, then) = (self.at(end), self.at(start));
        Counts::of(now.part - then.part, now.total - then.total, part_is)
    }

    /// The instant of the first point that is kept.
    pub(super) fn first_at(&self) -> Option<Timestamp> {
        self.sealed.front().map(|block| block.first.0).or_else(|| self.open.first().map(|(at, _)| *at))
    }

    /// The instant of the first point after `at`.
    pub(super) fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let ended = self.sealed.partition_point(|block| block.first.0 <= at);
        // The block before may reach past `at`.
        let blocks = self.sealed.range(ended.saturating_sub(1)..).take(2);
        let sealed = blocks.flat_map(Block::points).map(|(point_at, _)| point_at);
        sealed.chain(self.open.iter().map(|(point_at, _)| *point_at)).find(|point_at| *point_at > at)
    }

    /// Removes the points after `at`.
    pub(super) fn truncate_after(&mut self, at: Timestamp) {
        self.open.truncate(self.open.partition_point(|(point_at, _)| *point_at <= at));
        while self.open.is_empty()
            && let Some(block) = self.sealed.pop_back()
        {
            self.open = block.points().take_while(|(point_at, _)| *point_at <= at).collect();
        }
    }

    /// Forgets what no look-up at or after `at` can see, in whole blocks.
    pub(super) fn drop_before(&mut self, at: Timestamp) {
        let next_starts =
            |curve: &Curve| curve.sealed.get(1).map_or(curve.open.first().map(|(at, _)| *at), |b| Some(b.first.0));
        while !self.sealed.is_empty() && next_starts(self).is_some_and(|start| start <= at) {
            self.sealed.pop_front();
        }
    }

    /// Writes the points up to `through`.
    pub(super) fn save(&self, through: Timestamp, out: &mut Writer) {
        let all = self.sealed.iter().flat_map(Block::points).chain(self.open.iter().copied());
        let points: Vec<Point> = all.take_while(|(at, _)| *at <= through).collect();
        out.unsigned(points.len() as u64);
        if points.is_empty() {
            return;
        }
        let Block { first: (at, totals), rest } = Block::seal(points);
        out.signed(at.as_ms());
        out.float(totals.part);
        out.float(totals.total);
        match rest {
            Rest::Packed(bytes) => {
                out.unsigned(0);
                out.bytes(&bytes);
            }
            Rest::Plain(points) => {
                out.unsigned(1);
                for (at, totals) in points {
                    out.signed(at.as_ms());
                    out.float(totals.part);
                    out.float(totals.total);
                }
            }
        }
    }

    /// Reads what [`Curve::save`] wrote.
    pub(super) fn load(input: &mut Reader<'_>) -> Option<Curve> {
        let mut curve = Curve::default();
        // A packed point takes a byte for each of its three numbers.
        let count = input.count()?;
        if count == 0 {
            return Some(curve);
        }
        let point = |input: &mut Reader<'_>| {
            let at = Timestamp::from_ms(input.signed()?);
            Some((at, Totals { part: input.float()?, total: input.float()? }))
        };
        let first = point(input)?;
        curve.push(first)?;
        if input.unsigned()? == 1 {
            for _ in 1..count {
                curve.push(point(input)?)?;
            }
            return Some(curve);
        }
        let mut packed = Reader(input.bytes()?);
        let (mut last, mut distance_ms) = (first, 0_i64);
        for _ in 1..count {
            distance_ms = distance_ms.checked_add(packed.signed()?)?;
            let (part, total) = (packed.unsigned()? as f64, packed.unsigned()? as f64);
            let totals = Totals { part: last.1.part + part, total: last.1.total + total };
            last = (last.0.plus_ms(distance_ms), totals);
            curve.push(last)?;
        }
        packed.0.is_empty().then_some(curve)
    }

    /// Adds a point as it is; `None` where it is not after the last one, or no number.
    fn push(&mut self, point: Point) -> Option<()> {
        let is_later = self.open.last().is_none_or(|(at, _)| *at < point.0);
        if !is_later || !point.1.part.is_finite() || !point.1.total.is_finite() {
            return None;
        }
        self.open.push(point);
        self.seal_some();
        Some(())
    }

    fn seal_some(&mut self) {
        if self.open.len() >= 2 * BLOCK_LEN {
            let sealed: Vec<Point> = self.open.drain(..BLOCK_LEN).collect();
            self.sealed.push_back(Block::seal(sealed));
        }
    }

    /// How many points are kept.
    pub(super) fn len(&self) -> usize {
        self.sealed.len() * BLOCK_LEN + self.open.len()
    }

    /// The instant of the last point.
    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.open.last().map(|(at, _)| *at)
    }
}

/// [`BLOCK_LEN`] points.
#[derive(Clone, Debug)]
struct Block {
    first: Point,
    rest: Rest,
}

/// The points after the first.
#[derive(Clone, Debug)]
enum Rest {
    /// Per point three variable-length integers: change of the distance in ms (zigzag), growth of part, growth of total.
    Packed(Box<[u8]>),
    /// As they are.
    Plain(Box<[Point]>),
}

/// Integers up to here are exact in a float, and so are their sums and differences.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

impl Block {
    fn seal(points: Vec<Point>) -> Self {
        let is_integer = |count: f64| (0.0..=INTEGER_MAX).contains(&count) && count.fract() == 0.0;
        // A difference of counters may fall where its two do not agree.
        let grows = |pair: &[Point]| pair[0].1.part <= pair[1].1.part && pair[0].1.total <= pair[1].1.total;
        let can_pack = points.iter().all(|(_, totals)| is_integer(totals.part) && is_integer(totals.total))
            && points.windows(2).all(grows);
        let first = points[0];
        let rest = if can_pack { Rest::Packed(pack(&points)) } else { Rest::Plain(points[1..].into()) };
        Block { first, rest }
    }

    fn at(&self, at: Timestamp) -> Totals {
        let before = self.points().take_while(|(point_at, _)| *point_at <= at).last();
        before.expect("BUG: a block was asked for a time before its first point").1
    }

    fn points(&self) -> impl Iterator<Item = Point> {
        let (mut packed, plain) = match &self.rest {
            Rest::Packed(bytes) => (Some(Unpack { bytes, last: self.first, distance_ms: 0 }), None),
            Rest::Plain(points) => (None, Some(points)),
        };
        let rest = std::iter::from_fn(move || packed.as_mut().and_then(Unpack::next_point));
        std::iter::once(self.first).chain(rest).chain(plain.into_iter().flatten().copied())
    }
}

fn pack(points: &[Point]) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(5 * points.len());
    let mut distance_ms = 0;
    for pair in points.windows(2) {
        let ((before_at, before), (at, after)) = (pair[0], pair[1]);
        let next_ms = at.ms_since(before_at);
        let change = next_ms - distance_ms;
        distance_ms = next_ms;
        put(&mut bytes, ((change << 1) ^ (change >> 63)) as u64);
        put(&mut bytes, (after.part - before.part) as u64);
        put(&mut bytes, (after.total - before.total) as u64);
    }
    bytes.into_boxed_slice()
}

/// Seven bits a byte, the least significant first; the high bit says that more follow.
pub(super) fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

struct Unpack<'a> {
    bytes: &'a [u8],
    last: Point,
    distance_ms: i64,
}

impl Unpack<'_> {
    fn next_point(&mut self) -> Option<Point> {
        if self.bytes.is_empty() {
            return None;
        }
        let change = self.take();
        self.distance_ms += (change >> 1) as i64 ^ -((change & 1) as i64);
        let (at, Totals { part, total }) = self.last;
        let totals = Totals { part: part + self.take() as f64, total: total + self.take() as f64 };
        self.last = (at.plus_ms(self.distance_ms), totals);
        Some(self.last)
    }

    fn take(&mut self) -> u64 {
        let len =
            1 + self.bytes.iter().position(|byte| *byte < 0x80).expect("BUG: a packed block ends within a number");
        let (number, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_ms(secs * 1000)
    }

    #[test]
    fn a_curve_answers_at_or_before() {
        let mut curve = Curve::default();
        for (secs, part, total) in [(10, 0.0, 5.0), (20, 1.0, 5.0), (20, 0.0, 1.0), (30, 0.0, 0.0), (40, 2.0, 2.0)] {
            curve.add(at(secs), part, total);
        }
        assert_eq!(curve.len(), 3);
        assert_eq!([9, 10, 19, 20, 39, 40].map(|secs| curve.at(at(secs)).total), [0.0, 5.0, 5.0, 11.0, 11.0, 13.0]);
        curve.truncate_after(at(39));
        assert_eq!(curve.at(at(99)), Totals { part: 1.0, total: 11.0 });
    }

    #[test]
    fn integers_cost_five_bytes_a_point() {
        let mut curve = Curve::default();
        for step in 0..10_000_i64 {
            let jitter_ms = step * 7919 % 5;
            curve.add(
                Timestamp::from_ms(15_000 * step + jitter_ms),
                f64::from(step % 100 == 0),
                150.0 + (step % 40) as f64,
            );
        }
        let bytes_of = |block: &Block| match &block.rest {
            Rest::Packed(bytes) => bytes.len() + size_of::<Block>(),
            Rest::Plain(_) => panic!("not packed"),
        };
        let bytes: usize = curve.sealed.iter().map(bytes_of).sum();
        assert!(bytes <= 5 * BLOCK_LEN * curve.sealed.len(), "{bytes} bytes for {} blocks", curve.sealed.len());
    }

    #[test]
    fn a_count_that_falls_keeps_its_points() {
        let mut curve = Curve::default();
        let mut sums = Vec::new();
        let mut sum = 0.0;
        for step in 0..3 * BLOCK_LEN {
            let part = if step % 10 == 9 { -4.0 } else { 1.0 };
            sum += part;
            sums.push(sum);
            curve.add(Timestamp::from_ms(step as i64), part, 1.0);
        }
        assert!(!curve.sealed.is_empty());
        let read = (0..sums.len()).map(|step| curve.at(Timestamp::from_ms(step as i64)).part);
        assert_eq!(read.collect::<Vec<_>>(), sums);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn blocks_answer_as_plain_points_do(
            steps in prop::collection::vec((0i64..100_000, 0u32..3, 0u32..10_000), 1..900),
            unit in prop_oneof![Just(1.0), Just(0.1)],
            cuts in prop::collection::vec(0usize..900, 3),
        ) {
            let (mut curve, mut plain) = (Curve::default(), Vec::new());
            let (mut now_ms, mut sum) = (0, Totals::default());
            for (index, (gap_ms, part, total)) in steps.iter().enumerate() {
                now_ms += gap_ms;
                let (part, total) = (f64::from(*part) * unit, f64::from(*total) * unit);
                if part != 0.0 || total != 0.0 {
                    sum = Totals { part: sum.part + part, total: sum.total + total };
                    plain.push((Timestamp::from_ms(now_ms), sum));
                }
                curve.add(Timestamp::from_ms(now_ms), part, total);
                if cuts.contains(&index) {
                    let cut = Timestamp::from_ms(now_ms / 3 * 2);
                    curve.truncate_after(cut);
                    plain.retain(|(at, _)| *at <= cut);
                    sum = plain.last().map_or(Totals::default(), |(_, totals)| *totals);
                }
            }
            let naive = |at: Timestamp| plain.iter().rfind(|(point_at, _)| *point_at <= at).map_or(Totals::default(), |p| p.1);
            for at in (0..50).map(|part| Timestamp::from_ms(now_ms / 49 * part)) {
                prop_assert_eq!(curve.at(at), naive(at));
                prop_assert_eq!(curve.next_after(at), plain.iter().map(|point| point.0).find(|next| *next > at));
            }
            let mut saved = Writer::default();
            curve.save(Timestamp::MAX, &mut saved);
            let loaded = Curve::load(&mut Reader(&saved.0)).expect("what was saved");
            for at in (0..50).map(|part| Timestamp::from_ms(now_ms / 49 * part)) {
                prop_assert_eq!(loaded.at(at), naive(at));
            }
            if let Some(cut) = saved.0.len().checked_sub(1) {
                let _ = Curve::load(&mut Reader(&saved.0[..cut]));
            }
            let horizon = Timestamp::from_ms(now_ms / 2);
            curve.drop_before(horizon);
            for at in (0..20).map(|part| horizon.plus_ms(now_ms / 40 * part)) {
                prop_assert_eq!(curve.at(at), naive(at));
            }
        }
    }
}
