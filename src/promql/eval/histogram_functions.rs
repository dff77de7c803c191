//! `histogram_quantile` and kin, for classic and native histograms.

use rustc_hash::FxHashMap;

use crate::model::{Labels, Timestamp, Value, format_float};
use crate::promql::ast::Expr;
use crate::promql::functions::FunctionId;
use crate::source::Span;

use super::annotations::{ForcedMonotonicity, for_metric};
use super::buckets::{self, ClassicBucket};
use super::call::text_of;
use super::evaluator::Evaluator;
use super::matrix::Element;
use super::native_quantile::{self, NanNote};

pub(in crate::promql) const BUCKET_LABEL: &str = "le";

/// The histograms of a vector.
struct Histograms {
    native: Vec<Element>,
    classic: Vec<ClassicHistogram>,
}

struct ClassicHistogram {
    /// Without `le`.
    labels: Labels,
    at: Timestamp,
    buckets: Vec<ClassicBucket>,
}

impl Evaluator<'_> {
    pub(super) fn histogram_quantile(
        &mut self,
        args: &[&Expr],
        q: f64,
        vector: &[Element],
        step: Timestamp,
    ) -> Vec<Element> {
        self.check_quantile(q, args[0].span);
        let histograms = self.histograms(vector, args[1].span);
        self.quantiles(&histograms, q, args[1].span, step)
    }

    pub(super) fn histogram_quantiles(
        &mut self,
        args: &[&Expr],
        quantiles: &[f64],
        vector: &[Element],
        step: Timestamp,
    ) -> Vec<Element> {
        let label = text_of(args[1]);
        for (q, arg) in quantiles.iter().zip(&args[2..]) {
            self.check_quantile(*q, arg.span);
        }
        let histograms = self.histograms(vector, args[0].span);
        let mut result = Vec::new();
        for q in quantiles {
            for mut element in self.quantiles(&histograms, *q, args[0].span, step) {
                let labels = element.labels.to_builder().set(label.clone(), open_metrics_float(*q)).build();
                element.labels = labels;
                result.push(element);
            }
        }
        result
    }

    fn quantiles(&mut self, histograms: &Histograms, q: f64, span: Span, step: Timestamp) -> Vec<Element> {
        let mut result = Vec::new();
        for element in &histograms.native {
            let Value::Histogram(histogram) = &element.value else { continue };
            let (value, note) = native_quantile::quantile(q, histogram);
            if let Some(note) = note {
                let text = match note {
                    NanNote::ResultIsNan => "input to histogram_quantile has NaN observations, result is NaN",
                    NanNote::Skewed => "input to histogram_quantile has NaN observations, result is skewed higher",
                };
                let labels = self.without_name(&element.labels);
                self.annotations.info(span, for_metric(text, labels.metric_name()));
            }
            result.push(self.unnamed(&element.labels, element.at, value));
        }
        for classic in &histograms.classic {
            let (value, forced) = buckets::quantile(q, &mut classic.buckets.clone());
            if let Some(forced) = forced {
                let forced = ForcedMonotonicity {
                    first_at: step,
                    last_at: step,
                    lowest_bucket: forced.lowest_bucket,
                    highest_bucket: forced.highest_bucket,
                    largest_difference: forced.largest_difference,
                    histograms: 1,
                };
                let metric = self.shown_name(classic.labels.metric_name()).to_owned();
                self.annotations.forced_monotonicity(span, &metric, forced);
            }
            result.push(self.unnamed(&classic.labels, classic.at, value));
        }
        result
    }

    pub(super) fn histogram_fraction(
        &mut self,
        args: &[&Expr],
        [lower, upper]: [f64; 2],
        vector: &[Element],
    ) -> Vec<Element> {
        let span = args[2].span;
        let histograms = self.histograms(vector, span);
        let mut result = Vec::new();
        for element in &histograms.native {
            let Value::Histogram(histogram) = &element.value else { continue };
            let (value, has_nan) = native_quantile::fraction(lower, upper, histogram);
            if has_nan {
                let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
                let labels = self.without_name(&element.labels);
                self.annotations.info(span, for_metric(text, labels.metric_name()));
            }
            result.push(self.unnamed(&element.labels, element.at, value));
        }
        for classic in &histograms.classic {
            let value = buckets::fraction(lower, upper, &mut classic.buckets.clone());
            result.push(self.unnamed(&classic.labels, classic.at, value));
        }
        result
    }

    /// `histogram_count`, `_sum`, `_avg`, `_stddev`, `_stdvar`; floats vanish.
    pub(super) fn histogram_statistic(&mut self, id: FunctionId, vector: &[Element]) -> Vec<Element> {
        self.map_values(vector, |element| {
            let Value::Histogram(histogram) = &element.value else { return None };
            Some(match id {
                FunctionId::HistogramCount => histogram.count,
                FunctionId::HistogramSum => histogram.sum,
                FunctionId::HistogramAvg => histogram.sum / histogram.count,
                FunctionId::HistogramStddev => native_quantile::variance(histogram).sqrt(),
                _ => native_quantile::variance(histogram),
            })
        })
    }

    /// Sorts a vector into histograms. Where a classic and a native one have the same labels, neither counts.
    fn histograms(&mut self, vector: &[Element], span: Span) -> Histograms {
        let mut classic: Vec<ClassicHistogram> = Vec::new();
        let mut by_labels: FxHashMap<Labels, usize> = FxHashMap::default();
        let mut native: Vec<Element> = Vec::new();
        for element in vector {
            let Value::Float(count) = element.value else {
                native.push(element.clone());
                continue;
            };
            let metric = element.labels.metric_name();
            let bound = element.labels.get(BUCKET_LABEL).unwrap_or("");
            let Ok(upper) = bound.parse::<f64>() else {
                let text = format!("bucket label \"le\" is missing or has a malformed value of {bound:?}");
                let text = for_metric(&text, self.shown_name(metric));
                self.annotations.warn(span, text);
                continue;
            };
            let key = element.labels.filtered(|label| &*label.name != BUCKET_LABEL);
            let index = *by_labels.entry(key.clone()).or_insert_with(|| {
                classic.push(ClassicHistogram { labels: key, at: element.at, buckets: Vec::new() });
                classic.len() - 1
            });
            classic[index].buckets.push(ClassicBucket { upper, count });
        }
        native.retain(|element| match by_labels.get(&element.labels) {
            None => true,
            Some(&index) => {
                classic[index].buckets.clear();
                let text = "vector contains a mix of classic and native histograms";
                let text = for_metric(text, self.shown_name(element.labels.metric_name()));
                self.annotations.warn(span, text);
                false
            }
        });
        classic.retain(|histogram| !histogram.buckets.is_empty());
        Histograms { native, classic }
    }

    fn check_quantile(&mut self, q: f64, span: Span) {
        if !(0.0..=1.0).contains(&q) {
            self.annotations.invalid_quantile(span, q);
        }
    }

    /// Messages name the metric only where its name is still known.
    fn shown_name<'m>(&self, metric: &'m str) -> &'m str {
        if self.options.delayed_name_removal { metric } else { "" }
    }

    fn unnamed(&self, labels: &Labels, at: Timestamp, value: f64) -> Element {
        Element { drop_name: true, ..Element::new(self.without_name(labels), at, value) }
    }
}

/// OpenMetrics wants a decimal point in whole numbers.
fn open_metrics_float(value: f64) -> String {
    let text = format_float(value);
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_whole { text + ".0" } else { text }
}
