//! Native histograms as text, the form in which `count_values` shows them.

use std::fmt::Write;

use crate::model::Histogram;

use super::native::uses_custom_buckets;
use super::native_layout::whole_buckets;
use super::number::format_go_float;

/// `{count:4, sum:5, [-1,1]:1, (1,2]:3}`: buckets that are not empty.
pub(crate) fn histogram_text(histogram: &Histogram) -> String {
    let mut text = format!("{{count:{}, sum:{}", format_go_float(histogram.count), format_go_float(histogram.sum));
    // Negated or NaN: in all other places upstream has the bucket around zero only where its count is above zero.
    let buckets = whole_buckets(histogram, histogram.zero_count != 0.0);
    for (index, bucket) in buckets.into_iter().enumerate().filter(|(_, bucket)| bucket.count != 0.0) {
        let is_zero_bucket = bucket.lower <= 0.0 && bucket.upper >= 0.0 && !uses_custom_buckets(histogram);
        let is_first_custom = uses_custom_buckets(histogram) && index == 0 && bucket.lower == f64::NEG_INFINITY;
        let open = if is_zero_bucket || bucket.upper <= 0.0 || is_first_custom { '[' } else { '(' };
        let close = if !is_zero_bucket && bucket.upper <= 0.0 && !is_first_custom { ')' } else { ']' };
        let [lower, upper, count] = [bucket.lower, bucket.upper, bucket.count].map(format_go_float);
        write!(text, ", {open}{lower},{upper}{close}:{count}").expect("BUG: writing to a string failed");
    }
    text.push('}');
    text
}
