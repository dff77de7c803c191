//! Label names and values, each held once.
//!
//! In the flow: a series keeps pairs of [`Symbol`]s; [`Labels`] are materialised from them only for what leaves the store.
//!
//! **Invariants.** Equal texts have equal symbols. A symbol lives as long as a series uses it; its number is then given to
//! another text.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Label, Labels};

/// The number of a text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Symbol(u32);

/// A label of a series.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Pair {
    pub(super) name: Symbol,
    pub(super) value: Symbol,
}

#[derive(Default)]
pub(super) struct Symbols {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Keyed by texts that targets choose, so with the standard library's keyed hash.
    by_text: HashMap<Arc<str>, Symbol>,
    /// Letters of all texts.
    text_bytes: u64,
}

struct Entry {
    text: Arc<str>,
    /// Labels of series that name it.
    uses: u64,
}

impl Symbols {
    /// The symbol of `text`, if a series uses it.
    pub(super) fn get(&self, text: &str) -> Option<Symbol> {
        self.by_text.get(text).copied()
    }

    /// The text of `symbol`.
    pub(super) fn text(&self, symbol: Symbol) -> &Arc<str> {
        &self.entries[symbol.0 as usize].text
    }

    /// How many texts there are.
    pub(super) fn len(&self) -> u64 {
        self.by_text.len() as u64
    }

    /// Their letters.
    pub(super) fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// `labels` as pairs, if all their texts are known. In order of name, as `labels` are.
    pub(super) fn find(&self, labels: &Labels) -> Option<Vec<Pair>> {
        let pair = |label: &Label| Some(Pair { name: self.get(&label.name)?, value: self.get(&label.value)? });
        labels.iter().map(pair).collect()
    }

    /// `labels` as pairs for a new series, which must [`Symbols::release`] them at its end.
    pub(super) fn acquire(&mut self, labels: &Labels) -> Arc<[Pair]> {
        labels.iter().map(|label| Pair { name: self.intern(&label.name), value: self.intern(&label.value) }).collect()
    }

    /// Ends the use of `pairs`.
    pub(super) fn release(&mut self, pairs: &[Pair]) {
        for symbol in pairs.iter().flat_map(|pair| [pair.name, pair.value]) {
            let entry = &mut self.entries[symbol.0 as usize];
            entry.uses -= 1;
            if entry.uses == 0 {
                let text = std::mem::replace(&mut entry.text, Arc::from(""));
                self.by_text.remove(&text);
                self.text_bytes -= text.len() as u64;
                self.free.push(symbol.0);
            }
        }
    }

    /// The labels that `pairs` stand for.
    pub(super) fn materialise(&self, pairs: &[Pair]) -> Labels {
        let label = |pair: &Pair| Label { name: self.text(pair.name).clone(), value: self.text(pair.value).clone() };
        Labels::new(pairs.iter().map(label).collect())
    }

    fn intern(&mut self, text: &Arc<str>) -> Symbol {
        if let Some(symbol) = self.get(text) {
            self.entries[symbol.0 as usize].uses += 1;
            return symbol;
        }
        let entry = Entry { text: text.clone(), uses: 1 };
        let symbol = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                Symbol(number)
            }
            None => {
                self.entries.push(entry);
                Symbol(u32::try_from(self.entries.len() - 1).expect("BUG: more than 2^32 label texts"))
            }
        };
        self.by_text.insert(text.clone(), symbol);
        self.text_bytes += text.len() as u64;
        symbol
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_live_as_long_as_they_are_used() {
        let mut symbols = Symbols::default();
        let (one, two) = (Labels::from_pairs([("a", "b"), ("b", "c")]), Labels::from_pairs([("b", "b")]));
        let first = symbols.acquire(&one);
        let second = symbols.acquire(&two);
        assert_eq!(symbols.materialise(&first), one);
        assert_eq!(symbols.find(&two).as_deref(), Some(&*second));
        symbols.release(&first);
        assert_eq!((symbols.get("a"), symbols.get("c")), (None, None));
        assert_eq!(symbols.materialise(&second), two);
        symbols.release(&second);
        assert_eq!((symbols.by_text.len(), symbols.free.len()), (0, symbols.entries.len()));
        assert_eq!(symbols.text_bytes(), 0);
    }
}
