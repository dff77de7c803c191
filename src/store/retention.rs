//! How long each series is kept: few classes, each with a floor.
//!
//! In the flow: a series gets its class when it is born and when demand changes; [`Store::expire`](super::Store::expire) raises the floors and frees
//! what lies before them. Reading asks for the floor of the series' class.
//!
//! **Invariants.** Class 0 holds what nothing reads. A floor rises with time; a series whose demand grows moves to a lower one, and what is
//! still there of it shows again.
//! **Limits.** When memory is short, what nothing reads is kept for less, down to [`UNREAD_MIN`].

use std::time::Duration;

use super::demand::{Keep, Rank, Reach};
use crate::model::Timestamp;

/// Beyond what a window needs: evaluations come late, scrapes are committed after their time.
const MARGIN: Duration = Duration::from_secs(10 * 60);

/// What nothing reads is kept this long, even when memory is short: for the next look at a page.
const UNREAD_MIN: Duration = Duration::from_secs(10 * 60);

/// The number of a class.
pub(super) type ClassId = u32;

/// What is kept of a series beyond the windows that read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Intake {
    /// Every series for the retention time, read or not.
    #[default]
    All,
    /// What the windows need; series that nothing reads are not taken in.
    Read,
}

pub(super) struct Classes {
    retention: Duration,
    intake: Intake,
    classes: Vec<Class>,
    /// What a truncation has set for all.
    floor: Option<Timestamp>,
    /// When floors were last raised.
    now: Option<Timestamp>,
    /// For how long what nothing reads is kept now.
    unread: Duration,
}

struct Class {
    keep: Keep,
    /// Series in it.
    series: u64,
    floor: Option<Timestamp>,
}

impl Default for Classes {
    fn default() -> Self {
        Classes::new(Duration::MAX)
    }
}

impl Classes {
    pub(super) fn new(retention: Duration) -> Self {
        let unread = Class { keep: Keep::default(), series: 0, floor: None };
        Classes { retention, intake: Intake::All, classes: vec![unread], floor: None, now: None, unread: retention }
    }

    pub(super) fn set_intake(&mut self, intake: Intake) {
        self.intake = intake;
        self.raise();
    }

    pub(super) fn intake(&self) -> Intake {
        self.intake
    }

    /// Puts a series into the class for `keep`.
    pub(super) fn enter(&mut self, keep: Keep) -> ClassId {
        // Windows are few, so a search is short.
        let known = self.classes.iter().position(|class| class.keep == keep);
        let id = known.unwrap_or_else(|| {
            self.classes.push(Class { keep, series: 0, floor: None });
            self.raise();
            self.classes.len() - 1
        });
        self.classes[id].series += 1;
        id as ClassId
    }

    pub(super) fn leave(&mut self, id: ClassId) {
        self.classes[id as usize].series -= 1;
    }

    pub(super) fn rank(&self, id: ClassId) -> Rank {
        self.classes[id as usize].keep.rank
    }

    /// No sample of such a series is older.
    pub(super) fn floor(&self, id: ClassId) -> Option<Timestamp> {
        self.classes[id as usize].floor.max(self.floor)
    }

    /// No sample of any series is older.
    pub(super) fn lowest_floor(&self) -> Option<Timestamp> {
        let used = self.classes.iter().filter(|class| class.series > 0);
        let lowest = used.map(|class| class.floor).min().unwrap_or(self.classes[0].floor);
        lowest.max(self.floor)
    }

    /// For how long the series of each class are kept, and its floor.
    pub(super) fn kept(&self) -> Vec<(Duration, Timestamp)> {
        let passing = self.classes.iter().filter(|class| class.keep.reach.since.is_none());
        passing.filter_map(|class| Some((self.reach_of(&class.keep).window, class.floor.max(self.floor)?))).collect()
    }

    /// How long a series of this class is kept.
    pub(super) fn reach(&self, id: ClassId) -> Reach {
        self.reach_of(&self.classes[id as usize].keep)
    }

    /// Series of each rank, least first.
    pub(super) fn series_by_rank(&self) -> [u64; 3] {
        let mut counts = [0; 3];
        self.classes.iter().for_each(|class| counts[class.keep.rank as usize] += class.series);
        counts
    }

    /// Raises the floors to what they are at `now`.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(Some(now));
        self.raise();
    }

    /// Nothing is older than `before` from now on.
    pub(super) fn truncate(&mut self, before: Timestamp) {
        self.floor = self.floor.max(Some(before));
    }

    /// Keeps what nothing reads for half as long; `None` when it is the least already.
    pub(super) fn shorten_unread(&mut self) -> Option<Duration> {
        let shorter = (self.unread / 2).max(UNREAD_MIN.min(self.retention));
        if shorter == self.unread {
            return None;
        }
        self.unread = shorter;
        self.raise();
        Some(shorter)
    }

    /// Keeps what nothing reads for longer again, by a little, up to the retention time.
    pub(super) fn lengthen_unread(&mut self) {
        self.unread = self.unread.saturating_add(self.unread / 64).min(self.retention);
    }

    /// For how long what nothing reads is kept, if that is less than the retention time.
    pub(super) fn shortened(&self) -> Option<Duration> {
        Some(self.unread).filter(|unread| *unread < self.retention)
    }

    fn raise(&mut self) {
        let Some(now) = self.now else { return };
        for index in 0..self.classes.len() {
            let reach = self.reach_of(&self.classes[index].keep);
            let class = &mut self.classes[index];
            class.floor = class.floor.max(Some(reach.floor(now)));
        }
    }

    fn reach_of(&self, keep: &Keep) -> Reach {
        let needed = keep.reach.window.saturating_add(MARGIN);
        let window = match (keep.rank, self.intake) {
            (Rank::Unread, _) => self.unread,
            (_, Intake::Read) => needed,
            (_, Intake::All) => needed.max(self.retention),
        };
        Reach { window, since: keep.reach.since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The class of what nothing reads.
    const UNREAD: ClassId = 0;
    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_ms(hours * 3_600_000)
    }

    #[test]
    fn floors_follow_windows_and_only_rise() {
        let mut classes = Classes::new(HOUR * 24);
        let keep = |rank, hours| Keep { rank, reach: Reach { window: HOUR * hours, since: None } };
        let (unread, short, long) =
            (classes.enter(Keep::default()), classes.enter(keep(Rank::Rule, 1)), classes.enter(keep(Rank::Slo, 720)));
        assert_eq!((unread, classes.lowest_floor()), (UNREAD, None));
        classes.advance(at(1000));
        let floors = |classes: &Classes| [unread, short, long].map(|id| classes.floor(id).unwrap());
        let margin = |hours| at(hours) - MARGIN;
        assert_eq!(
            floors(&classes),
            [at(976), at(976), margin(280)],
            "a window below the retention time changes nothing"
        );
        classes.set_intake(Intake::Read);
        assert_eq!(floors(&classes), [at(976), margin(999), margin(280)]);
        classes.advance(at(900));
        assert_eq!(floors(&classes)[0], at(976), "the clock was put back");
        assert_eq!(classes.lowest_floor(), Some(margin(280)));
        classes.leave(long);
        assert_eq!(classes.lowest_floor(), Some(at(976)), "an empty class holds nothing up");
    }

    #[test]
    fn what_nothing_reads_is_kept_for_less_when_memory_is_short() {
        let mut classes = Classes::new(HOUR * 24);
        classes.advance(at(1000));
        assert_eq!(classes.shorten_unread(), Some(HOUR * 12));
        assert_eq!(classes.floor(UNREAD), Some(at(988)));
        while classes.shorten_unread().is_some() {}
        assert_eq!(classes.shortened(), Some(UNREAD_MIN));
        (0..400).for_each(|_| classes.lengthen_unread());
        assert_eq!((classes.shortened(), classes.floor(UNREAD)), (None, Some(at(1000) - UNREAD_MIN)));
    }
}
