//! Which series have which label: a bitmap of slots for each name and value.
//!
//! In the flow: [`Postings::select`] turns matchers into the slots of the series that pass all of them.
//!
//! A matcher that the empty string passes (`a=""`, `a!="x"`, `a=~".*"`) also passes series without the label. So each matcher
//! becomes either "only these" or, if it passes the empty string, "all but those": the values that do *not* pass, subtracted.
//! **Cost.** One look-up for equality; a regular expression runs once over the distinct values of its label, or over the
//! candidates that the other matchers left, whichever is fewer.
//! **Source.** Prometheus 3.5 `tsdb/querier.go`, `PostingsForMatchers`.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::symbols::{Pair, Symbol, Symbols};
use crate::model::{MatchOp, Matcher};

#[derive(Default)]
pub(super) struct Postings {
    all: RoaringBitmap,
    names: BTreeMap<Symbol, Name>,
}

/// The series that have a label of one name.
#[derive(Default)]
struct Name {
    any: RoaringBitmap,
    values: BTreeMap<Symbol, RoaringBitmap>,
}

/// What a matcher says about the set of series.
enum Effect {
    Only(RoaringBitmap),
    AllBut(RoaringBitmap),
}

impl Postings {
    pub(super) fn insert(&mut self, slot: u32, labels: &[Pair]) {
        self.all.insert(slot);
        for pair in labels {
            let name = self.names.entry(pair.name).or_default();
            name.any.insert(slot);
            name.values.entry(pair.value).or_default().insert(slot);
        }
    }

    pub(super) fn remove(&mut self, slot: u32, labels: &[Pair]) {
        self.all.remove(slot);
        for pair in labels {
            let name = self.names.get_mut(&pair.name).expect("BUG: a series' label name has no postings");
            let series = name.values.get_mut(&pair.value).expect("BUG: a series' label value has no postings");
            series.remove(slot);
            if series.is_empty() {
                name.values.remove(&pair.value);
            }
            name.any.remove(slot);
            if name.any.is_empty() {
                self.names.remove(&pair.name);
            }
        }
    }

    /// The slots whose series pass all `matchers`. `label` gives the value of a name in a slot's series.
    pub(super) fn select(
        &self,
        matchers: &[Matcher],
        symbols: &Symbols,
        label: impl Fn(u32, Symbol) -> Option<Symbol>,
    ) -> RoaringBitmap {
        let is_cheap = |matcher: &&Matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::NotEqual);
        let (cheap, dear): (Vec<_>, Vec<_>) = matchers.iter().partition(is_cheap);
        // Start from the smallest set rather than from all.
        let effects: Vec<Effect> = cheap.into_iter().map(|matcher| self.effect(matcher, symbols)).collect();
        let mut only: Vec<&RoaringBitmap> = effects.iter().filter_map(Effect::only).collect();
        only.sort_by_key(|bitmap| bitmap.len());
        let mut result = only.first().map_or_else(|| self.all.clone(), |smallest| (*smallest).clone());
        for bitmap in only.iter().skip(1) {
            result &= *bitmap;
        }
        for bitmap in effects.iter().filter_map(Effect::all_but) {
            result -= bitmap;
        }
        for matcher in dear {
            let name = symbols.get(&matcher.name);
            let values = name.and_then(|name| self.names.get(&name)).map_or(0, |name| name.values.len());
            if let Some(name) = name.filter(|_| result.len() < values as u64) {
                let value = |slot| label(slot, name).map_or("", |value| symbols.text(value));
                result = result.iter().filter(|&slot| matcher.matches(value(slot))).collect();
                continue;
            }
            match self.effect(matcher, symbols) {
                Effect::Only(bitmap) => result &= bitmap,
                Effect::AllBut(bitmap) => result -= bitmap,
            }
        }
        result
    }

    /// Whether a series has a label of this name.
    pub(super) fn has_name(&self, name: Symbol) -> bool {
        self.names.contains_key(&name)
    }

    /// Names in use.
    pub(super) fn names(&self) -> impl Iterator<Item = Symbol> {
        self.names.keys().copied()
    }

    /// Values of `name` in use, and how many series have each.
    pub(super) fn values(&self, name: Symbol) -> impl Iterator<Item = (Symbol, u64)> {
        let values = self.names.get(&name).into_iter().flat_map(|name| &name.values);
        values.map(|(value, series)| (*value, series.len()))
    }

    /// How many series have this label.
    pub(super) fn count(&self, name: Symbol, value: Symbol) -> u64 {
        self.names.get(&name).and_then(|name| name.values.get(&value)).map_or(0, RoaringBitmap::len)
    }

    /// How many series there are.
    pub(super) fn len(&self) -> u64 {
        self.all.len()
    }

    fn effect(&self, matcher: &Matcher, symbols: &Symbols) -> Effect {
        let name = symbols.get(&matcher.name).and_then(|name| self.names.get(&name));
        let Some(name) = name else {
            let nothing = RoaringBitmap::new();
            return if matcher.matches_empty() { Effect::AllBut(nothing) } else { Effect::Only(nothing) };
        };
        let of_value = || symbols.get(&matcher.value).and_then(|value| name.values.get(&value)).cloned();
        match (matcher.op, &*matcher.value) {
            (MatchOp::Equal, "") => Effect::AllBut(name.any.clone()),
            (MatchOp::NotEqual, "") => Effect::Only(name.any.clone()),
            (MatchOp::Equal, _) => Effect::Only(of_value().unwrap_or_default()),
            (MatchOp::NotEqual, _) => Effect::AllBut(of_value().unwrap_or_default()),
            (MatchOp::Regex | MatchOp::NotRegex, _) => {
                let passes_empty = matcher.matches_empty();
                let mut series = RoaringBitmap::new();
                for (value, bitmap) in &name.values {
                    if matcher.matches(symbols.text(*value)) != passes_empty {
                        series |= bitmap;
                    }
                }
                if passes_empty { Effect::AllBut(series) } else { Effect::Only(series) }
            }
        }
    }
}

impl Effect {
    fn only(&self) -> Option<&RoaringBitmap> {
        match self {
            Effect::Only(bitmap) => Some(bitmap),
            Effect::AllBut(_) => None,
        }
    }

    fn all_but(&self) -> Option<&RoaringBitmap> {
        match self {
            Effect::AllBut(bitmap) => Some(bitmap),
            Effect::Only(_) => None,
        }
    }
}
