//! `histogram_quantile` and `histogram_fraction` of classic histograms.
//!
//! Which histogram a slot is a bucket of, and its upper bound, are read from the labels once. A step gathers the counts of each
//! histogram and hands them to the plain evaluator's functions.

use super::Stop;
use super::block::{Block, Collector};
use super::evaluate::View;
use super::map::Drops;
use super::set_operation::present;
use super::slots::{SlotMap, SlotTable, is_overgrown};
use crate::promql::eval::buckets::{self, ClassicBucket};
use crate::promql::eval::histogram_functions::BUCKET_LABEL;
use crate::promql::eval::matrix::without_metadata;

/// What is computed; the numbers stand before the vector among the inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Figure {
    /// `histogram_quantile(q, v)`
    Quantile,
    /// `histogram_fraction(lower, upper, v)`
    Fraction,
}

/// A function of classic histograms.
#[derive(Debug)]
pub(super) struct ClassicHistograms {
    figure: Figure,
    drops: Drops,
    era: u64,
    /// By slot of the input: an index into `known`.
    bucket_of: SlotMap,
    known: Vec<Bucket>,
    /// The labels of histograms without `le`, by number.
    histograms: SlotTable,
    /// The slot of the result, by histogram.
    result_of: Vec<u32>,
    pub(super) results: SlotTable,
    /// By histogram: the step in which it was met (counted over all passes), its place in `gathered`.
    met: Vec<(u64, u32)>,
    steps_done: u64,
    gathered: Vec<Gathered>,
    collector: Collector,
}

/// What the labels of a slot say.
#[derive(Clone, Copy, Debug)]
enum Bucket {
    Of { histogram: u32, upper: f64 },
    Malformed,
}

#[derive(Debug, Default)]
struct Gathered {
    histogram: u32,
    buckets: Vec<ClassicBucket>,
}

impl ClassicHistograms {
    pub(super) fn new(figure: Figure, drops: Drops) -> Self {
        ClassicHistograms {
            figure,
            drops,
            era: 0,
            bucket_of: SlotMap::default(),
            known: Vec::new(),
            histograms: SlotTable::default(),
            result_of: Vec::new(),
            results: SlotTable::default(),
            met: Vec::new(),
            steps_done: 0,
            gathered: Vec::new(),
            collector: Collector::default(),
        }
    }

    /// Gives the era of the result.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let vector = view.inputs_len() - 1;
        let (node, scope) = (view.node(vector), view.scope);
        if self.bucket_of.follow(node.era) || is_overgrown(self.known.len(), node.block.rows.len()) {
            self.forget();
        }
        let block = &node.block;
        self.collector.start(out, block.steps);
        for step in 0..block.steps {
            let parameter = |index: usize| view.scalar(index, step);
            if self.figure == Figure::Quantile && !(0.0..=1.0).contains(&parameter(0)) {
                scope.note()?;
            }
            let used = self.gather(block, step, view)?;
            for index in 0..used {
                let Gathered { histogram, buckets } = &mut self.gathered[index];
                let value = match self.figure {
                    Figure::Quantile => {
                        let (value, forced) = buckets::quantile(parameter(0), buckets);
                        if forced.is_some() {
                            scope.note()?;
                        }
                        value
                    }
                    Figure::Fraction => buckets::fraction(parameter(0), parameter(1), buckets),
                };
                self.collector.set(out, self.result_of[*histogram as usize], step, value).map_err(|_| Stop)?;
            }
        }
        Ok(self.era)
    }

    fn forget(&mut self) {
        self.era += 1;
        self.bucket_of.clear();
        self.known.clear();
        self.histograms.clear();
        self.result_of.clear();
        self.results.clear();
        self.met.clear();
    }

    /// Gathers the buckets of the step by histogram, in order of first buckets; how many histograms there are.
    fn gather(&mut self, block: &Block, step: usize, view: &View<'_>) -> Result<usize, Stop> {
        self.steps_done += 1;
        let mut used = 0;
        for (row, count) in present(block, step) {
            let Bucket::Of { histogram, upper } = self.bucket(block.rows[row], view)? else {
                view.scope.note()?;
                continue;
            };
            let met = &mut self.met[histogram as usize];
            if met.0 != self.steps_done {
                *met = (self.steps_done, used as u32);
                if self.gathered.len() == used {
                    self.gathered.push(Gathered::default());
                }
                self.gathered[used].histogram = histogram;
                self.gathered[used].buckets.clear();
                used += 1;
            }
            self.gathered[met.1 as usize].buckets.push(ClassicBucket { upper, count });
        }
        Ok(used)
    }

    fn bucket(&mut self, slot: u32, view: &View<'_>) -> Result<Bucket, Stop> {
        if let Some(index) = self.bucket_of.get(slot) {
            return Ok(self.known[index as usize]);
        }
        let labels = view.labels(view.inputs_len() - 1, slot)?;
        let bucket = match labels.get(BUCKET_LABEL).unwrap_or("").parse::<f64>() {
            Ok(upper) => {
                let key = labels.filtered(|label| &*label.name != BUCKET_LABEL);
                let histogram = self.histograms.slot(key.clone());
                if self.result_of.len() == histogram as usize {
                    self.result_of.push(self.results.slot(match self.drops {
                        Drops::Name => without_metadata(&key),
                        Drops::Nothing => key,
                    }));
                    self.met.push((0, 0));
                }
                Bucket::Of { histogram, upper }
            }
            Err(_) => Bucket::Malformed,
        };
        self.bucket_of.set(slot, self.known.len() as u32);
        self.known.push(bucket);
        Ok(bucket)
    }
}
