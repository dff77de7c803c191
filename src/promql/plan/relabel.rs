//! `label_replace` and `label_join`: labels by ordinary text work, once per slot.

use std::sync::Arc;

use super::Stop;
use super::block::Block;
use super::evaluate::View;
use super::slots::{Marks, Renaming};
use crate::model::{Labels, Pattern, Replacement};

/// How a label is made.
pub(super) enum Source {
    /// `label_replace`: from the value of a label that matches.
    Replace { source: Arc<str>, pattern: Pattern, replacement: Replacement },
    /// `label_join`
    Join { sources: Vec<Arc<str>>, separator: Arc<str> },
}

/// A function that sets a label.
pub(super) struct Relabel {
    destination: Arc<str>,
    source: Source,
    pub(super) renaming: Renaming,
    collided: Marks,
}

impl Relabel {
    pub(super) fn new(destination: Arc<str>, source: Source) -> Self {
        Relabel { destination, source, renaming: Renaming::default(), collided: Marks::default() }
    }

    /// Gives the era of the result. Stops where two elements come to have the same labels.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let node = view.node(0);
        let (destination, source) = (&self.destination, &self.source);
        self.renaming.follow(node.era, node.block.rows.len());
        self.collided.start();
        out.reset(node.block.steps);
        for (slot, row) in node.block.iter() {
            let renamed = self.renaming.slot(slot, || Ok(relabelled(&view.labels(0, slot)?, destination, source)))?;
            if !self.collided.mark(renamed) {
                return Err(Stop);
            }
            out.add_row(renamed).copy_from_slice(row);
        }
        Ok(self.renaming.era())
    }
}

fn relabelled(labels: &Labels, destination: &str, source: &Source) -> Labels {
    let value = |name: &str| labels.get(name).unwrap_or("");
    let made = match source {
        Source::Replace { source, pattern, replacement } => match pattern.captures(value(source)) {
            Some(captures) => replacement.expand(pattern, &captures),
            None => return labels.clone(),
        },
        Source::Join { sources, separator } => {
            sources.iter().map(|source| value(source)).collect::<Vec<_>>().join(separator).into()
        }
    };
    labels.to_builder().set(destination, made).build()
}
