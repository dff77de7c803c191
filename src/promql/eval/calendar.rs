//! `hour()`, `month()` and the like: fields of the proleptic Gregorian calendar in UTC.
//!
//! **Source.** Howard Hinnant, "chrono-compatible low-level date algorithms": days since the epoch to year, month, day.

use crate::promql::functions::FunctionId;

const SECS_PER_DAY: i64 = 86_400;
/// 2^63: from here on seconds are no 64-bit number.
const SECS_MAX: f64 = 9_223_372_036_854_775_808.0;
/// A Gregorian cycle of 400 years.
const DAYS_PER_ERA: i64 = 146_097;

/// Whether `id` is one of them.
pub(in crate::promql) fn is_calendar(id: FunctionId) -> bool {
    use FunctionId::{DayOfMonth, DayOfWeek, DayOfYear, DaysInMonth, Hour, Minute, Month, Year};
    matches!(id, DayOfMonth | DayOfWeek | DayOfYear | DaysInMonth | Hour | Minute | Month | Year)
}

/// The field `id` of the instant `secs` after the epoch. What is no 64-bit number, NaN and infinities among it, is 2^63 seconds, as
/// processors of servers convert it and Go's library goes on.
pub(in crate::promql) fn field(id: FunctionId, secs: f64) -> f64 {
    let secs = if secs.abs() < SECS_MAX { secs as i128 } else { SECS_MAX as i128 };
    let days = secs.div_euclid(SECS_PER_DAY.into()) as i64;
    let second_of_day = secs.rem_euclid(SECS_PER_DAY.into()) as i64;
    let (year, month, day) = civil(days);
    let field = match id {
        FunctionId::Hour => second_of_day / 3600,
        FunctionId::Minute => second_of_day / 60 % 60,
        // The epoch was a Thursday.
        FunctionId::DayOfWeek => (days + 4).rem_euclid(7),
        FunctionId::DayOfMonth => day,
        FunctionId::DayOfYear => days - days_from_civil(year, 1, 1) + 1,
        FunctionId::DaysInMonth if month == 12 => 31,
        FunctionId::DaysInMonth => days_from_civil(year, month + 1, 1) - days_from_civil(year, month, 1),
        FunctionId::Month => month,
        FunctionId::Year => year,
        _ => unreachable!("BUG: {id:?} is not a calendar function"),
    };
    field as f64
}

/// Year, month, day. Years begin in March here, so that the leap day is the last one.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        use FunctionId::{DayOfMonth, DayOfWeek, DayOfYear, DaysInMonth, Hour, Minute, Month, Year};
        let check = |secs: f64, expected: [i64; 8]| {
            let ids = [Year, Month, DayOfMonth, Hour, Minute, DayOfWeek, DayOfYear, DaysInMonth];
            assert_eq!(ids.map(|id| field(id, secs) as i64), expected, "{secs}");
        };
        check(0.0, [1970, 1, 1, 0, 0, 4, 1, 31]);
        check(-1.0, [1969, 12, 31, 23, 59, 3, 365, 31]);
        check(951_782_400.0, [2000, 2, 29, 0, 0, 2, 60, 29]);
        check(1_136_239_445.0, [2006, 1, 2, 22, 4, 1, 2, 31]);
        check(-2_203_891_200.0, [1900, 3, 1, 0, 0, 4, 60, 31]);
        for none in [f64::NAN, f64::INFINITY, -1e300] {
            check(none, [292_277_026_596, 12, 4, 15, 30, 0, 339, 31]);
        }
    }
}
