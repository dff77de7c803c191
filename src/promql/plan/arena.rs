//! All nodes and selections, counted by use.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::compile::Compiler;
use super::evaluate::Settings;
use super::is_planned;
use super::node::{Key, Node, NodeId, Op};
use crate::model::Matcher;
use crate::promql::ast::Expr;
use crate::store::Selection;

/// What a series takes in a selection and in the leaf that reads it, roughly.
const SLOT_BYTES: usize = 80;

/// What a node takes besides its result, roughly.
const NODE_BYTES: usize = 600;

/// Nodes, found by number or by their keys.
#[derive(Default)]
pub(super) struct Plans {
    /// Tells engines, and the lives of an engine, apart.
    pub(super) identity: Arc<()>,
    /// Whether metric names are taken off at the end of a query.
    pub(super) delays_name_removal: bool,
    /// True while nodes may be missing: an evaluation that leaves it so has panicked.
    pub(super) is_evaluating: bool,
    /// `None`: free, or being evaluated.
    nodes: Vec<Option<Box<Node>>>,
    free: Vec<NodeId>,
    by_key: FxHashMap<Key, NodeId>,
    selections: Vec<Option<Shared>>,
    by_matchers: FxHashMap<String, usize>,
    /// Prepared expressions and what tells whether anybody still holds them.
    roots: Vec<(NodeId, Arc<()>)>,
    /// See [`super::evaluate`].
    pub(super) settings: Option<Settings>,
    pub(super) round: super::evaluate::Round,
    pub(super) versions: u64,
}

/// A selection that several leaves read.
struct Shared {
    /// `None` until the first refresh.
    selection: Option<Selection>,
    matchers: Vec<Matcher>,
    text: String,
    uses: usize,
}

impl Plans {
    pub(super) fn new(delays_name_removal: bool) -> Self {
        Plans { delays_name_removal, ..Plans::default() }
    }

    /// Compiles `expr`; `None` if nothing of it would be planned.
    pub(super) fn add_root(&mut self, expr: &Expr) -> Option<(NodeId, Arc<()>)> {
        if !is_planned(expr.value_type()) {
            return None;
        }
        let root = Compiler::new(self).compile_query(expr);
        self.node_mut(root).uses += 1;
        let mut working = self.node(root);
        while matches!(working.op, Op::Repeat | Op::Strip(_)) {
            working = self.node(working.inputs[0]);
        }
        if matches!(working.op, Op::Dynamic(_)) {
            self.release(root);
            return None;
        }
        let token = Arc::new(());
        self.roots.push((root, token.clone()));
        Some((root, token))
    }

    /// Lets go the nodes that nobody reads any more.
    pub(super) fn sweep(&mut self) {
        let (kept, dropped) =
            std::mem::take(&mut self.roots).into_iter().partition(|(_, token)| Arc::strong_count(token) > 1);
        self.roots = kept;
        for (root, _) in dropped {
            self.release(root);
        }
    }

    pub(super) fn nodes_len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// About how many bytes selections and results take.
    pub(super) fn held_bytes(&self) -> usize {
        let selections = self.selections.iter().flatten().filter_map(|shared| shared.selection.as_ref());
        let nodes = self.nodes.iter().flatten();
        selections.map(|selection| selection.slots_len() * SLOT_BYTES).sum::<usize>()
            + nodes.map(|node| NODE_BYTES + node.block.held_bytes()).sum::<usize>()
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        self.nodes[id].as_ref().expect("BUG: a node is read while it is evaluated")
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id].as_mut().expect("BUG: a node is changed while it is evaluated")
    }

    pub(super) fn all_nodes(&mut self) -> impl Iterator<Item = &mut Box<Node>> {
        self.nodes.iter_mut().flatten()
    }

    /// Takes a node out while it is evaluated.
    pub(super) fn take(&mut self, id: NodeId) -> Box<Node> {
        self.nodes[id].take().expect("BUG: a node reads itself")
    }

    pub(super) fn put_back(&mut self, id: NodeId, node: Box<Node>) {
        self.nodes[id] = Some(node);
    }

    pub(super) fn find(&self, key: &Key) -> Option<NodeId> {
        self.by_key.get(key).copied()
    }

    /// A new node, which uses its inputs; nobody uses it yet.
    pub(super) fn add(&mut self, node: Node) -> NodeId {
        for input in &node.inputs {
            self.node_mut(*input).uses += 1;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        self.by_key.insert(node.key.clone(), id);
        self.nodes[id] = Some(Box::new(node));
        id
    }

    fn release(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.uses -= 1;
        if node.uses > 0 {
            return;
        }
        let node = self.take(id);
        self.by_key.remove(&node.key);
        self.free.push(id);
        match &node.op {
            Op::Instant(instant) => self.release_selection(instant.leaf.selection),
            Op::Range(range) => {
                if let Some(leaf) = range.source.leaf() {
                    self.release_selection(leaf.selection);
                }
            }
            _ => {}
        }
        node.inputs.iter().for_each(|input| self.release(*input));
    }

    /// The selection with these matchers, used once more.
    pub(super) fn share_selection(&mut self, matchers: &[Matcher]) -> usize {
        let text = format!("{matchers:?}");
        if let Some(&index) = self.by_matchers.get(&text) {
            self.selections[index].as_mut().expect("BUG: a selection without users is known").uses += 1;
            return index;
        }
        let shared = Shared { selection: None, matchers: matchers.to_vec(), text: text.clone(), uses: 1 };
        let index = self.selections.iter().position(Option::is_none).unwrap_or_else(|| {
            self.selections.push(None);
            self.selections.len() - 1
        });
        self.by_matchers.insert(text, index);
        self.selections[index] = Some(shared);
        index
    }

    fn release_selection(&mut self, index: usize) {
        let shared = self.selections[index].as_mut().expect("BUG: a selection was released too often");
        shared.uses -= 1;
        if shared.uses == 0 {
            self.by_matchers.remove(&shared.text);
            self.selections[index] = None;
        }
    }

    /// # Panics
    /// Before its first [`Plans::refresh`].
    pub(super) fn selection(&self, index: usize) -> &Selection {
        let shared = self.selections[index].as_ref().expect("BUG: a selection is gone");
        shared.selection.as_ref().expect("BUG: a selection is read before it was made")
    }

    /// Brings a selection up to date.
    pub(super) fn refresh(&mut self, index: usize, store: &crate::store::Store, reader: &crate::store::Reader<'_>) {
        let shared = self.selections[index].as_mut().expect("BUG: a selection is gone");
        shared.selection.get_or_insert_with(|| store.prepare(&shared.matchers)).refresh(reader);
    }
}
