//! YAML as a tree in which every node knows where it stands.
//!
//! In the flow: text in, [`Node`] out; [`super::decode`] turns nodes into typed values. Scalars keep their raw text, because
//! what `1.0` or `0x10` means depends on who reads it (a duration, a label value, a number).
//!
//! **Why not serde.** A serde data format stops at the first mistake and has forgotten positions and spelling by the time a
//! value is checked. We read the events of `granit-parser`, the parser under serde-saphyr, which keep all of it. Texts of the kind that
//! rule files mostly are go a shorter way to the same tree: [`super::everyday`].
//! **Limits.** [`NODES_MAX`] nodes after aliases are expanded, [`DEPTH_MAX`] levels: a small file must not become a large tree. What an
//! anchor keeps counts too, and so does the text of what is copied, because both are memory.
//! **Cost.** O(n log n) for a mapping of n keys.
//! YAML 1.1 words (`yes`, `on`) are booleans only where a boolean is expected, as in Prometheus. Of a file with further documents the
//! first is read, as Prometheus does with rule files.
//! **Differs:** a second document is told of in a warning.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};

use super::{Diagnostic, Diagnostics, SourceFile, Span, everyday};

/// Nodes of all documents, aliases and what anchors keep included.
pub const NODES_MAX: usize = 2_000_000;
/// A copied node counts once more for each so many bytes of its text.
const BYTES_PER_NODE: usize = 64;
/// Nesting of one document.
pub const DEPTH_MAX: usize = 100;

/// A value with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Where it stands; an alias stands where its anchor is.
    pub span: Span,
    /// What it is.
    pub kind: NodeKind,
}

/// What a node is.
#[derive(Clone, PartialEq, Debug)]
pub enum NodeKind {
    /// Nothing, `~` or `null`.
    Null,
    /// Text as written, quotes and escapes resolved.
    Scalar {
        /// The text.
        text: String,
        /// Whether it was written without quotes, so that it may also be a number or a boolean.
        plain: bool,
        /// Whether it was a block scalar (`|`, `>`), whose text does not stand in the source byte by byte.
        block: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Pairs in the order written; keys are unique.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// A word for the node's kind in messages.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Scalar { .. } => "a plain value",
            NodeKind::Sequence(_) => "a list",
            NodeKind::Mapping(_) => "a mapping",
        }
    }

    /// The text of a scalar.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether nothing was written.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, NodeKind::Null)
    }

    /// The value under `key` of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            NodeKind::Mapping(pairs) => {
                pairs.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }
}

/// Reads the first document of `source`. An empty file is [`NodeKind::Null`]. `None` when the text is not YAML; the
/// diagnostics then say where.
pub fn parse(source: &SourceFile) -> (Option<Node>, Diagnostics) {
    match everyday::parse(&source.text) {
        Some(root) => (Some(root), Diagnostics::default()),
        None => parse_any(source),
    }
}

/// As [`parse`], by the parser of all of YAML alone.
fn parse_any(source: &SourceFile) -> (Option<Node>, Diagnostics) {
    let (mut documents, mut diagnostics) = parse_documents(source);
    if documents.len() > 1 {
        let second = documents[1].span;
        diagnostics.push(Diagnostic::warning(source, second, "only the first YAML document of a file is read"));
    }
    if documents.is_empty() {
        let root = Node { span: Span::new(0, 0), kind: NodeKind::Null };
        return (if diagnostics.has_errors() { None } else { Some(root) }, diagnostics);
    }
    let root = documents.swap_remove(0);
    (if diagnostics.has_errors() { None } else { Some(root) }, diagnostics)
}

/// Reads all documents of `source`.
pub fn parse_documents(source: &SourceFile) -> (Vec<Node>, Diagnostics) {
    let mut builder = Builder {
        source,
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        documents: Vec::new(),
        diagnostics: Diagnostics::default(),
    };
    let mut parser = Parser::new_from_str(&source.text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => {
                let start = span.start.byte_offset().unwrap_or(0);
                let end = span.end.byte_offset().unwrap_or(start);
                if builder.handle(event, Span::new(start, end)).is_err() {
                    break;
                }
            }
            Err(error) => {
                let offset = error.marker().byte_offset().unwrap_or(source.text.len());
                builder.error(Span::new(offset, offset), format!("not valid YAML: {}", error.info()));
                break;
            }
        }
    }
    (builder.documents, builder.diagnostics)
}

/// A container whose end has not come yet.
struct Open {
    anchor: usize,
    span: Span,
    items: Vec<Node>,
    is_mapping: bool,
}

struct Builder<'a> {
    source: &'a SourceFile,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: Vec<Node>,
    diagnostics: Diagnostics,
}

/// The document is given up; the reason is among the diagnostics.
struct GiveUp;

impl Builder<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(self.source, span, message));
    }

    fn handle(&mut self, event: Event<'_>, span: Span) -> Result<(), GiveUp> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let kind = scalar(&text, style);
                self.add(Node { span, kind }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.open(span, anchor, false),
            Event::MappingStart(_, anchor, _) => self.open(span, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => match self.anchors.remove(&anchor) {
                Some(node) => {
                    let copy = self.copied(&node);
                    self.anchors.insert(anchor, node);
                    self.add(copy?, 0)
                }
                None => {
                    self.error(span, "this alias refers to itself or to an anchor that does not exist");
                    Err(GiveUp)
                }
            },
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, span: Span, anchor: usize, is_mapping: bool) -> Result<(), GiveUp> {
        if self.stack.len() >= DEPTH_MAX {
            self.error(span, format!("nested deeper than {DEPTH_MAX} levels"));
            return Err(GiveUp);
        }
        self.stack.push(Open { anchor, span, items: Vec::new(), is_mapping });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), GiveUp> {
        let open = self.stack.pop().expect("BUG: the YAML parser closed what it had not opened");
        let last = open.items.last().map_or(span.start, |node| node.span.end);
        let span = Span::new(open.span.start, last.max(open.span.end));
        let kind =
            if open.is_mapping { NodeKind::Mapping(self.pairs(open.items)) } else { NodeKind::Sequence(open.items) };
        self.add(Node { span, kind }, open.anchor)
    }

    /// Pairs keys with values, expands `<<`, and refuses a key that stands twice.
    fn pairs(&mut self, items: Vec<Node>) -> Vec<(Node, Node)> {
        let mut pairs: Vec<(Node, Node)> = Vec::with_capacity(items.len() / 2);
        let mut merged: Vec<(Node, Node)> = Vec::new();
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            if key.as_str() == Some("<<") {
                self.merge(value, &mut merged);
            } else {
                pairs.push((key, value));
            }
        }
        let own_len = pairs.len();
        pairs.append(&mut merged);
        let keys = pairs.iter().enumerate().filter_map(|(index, (key, _))| Some((key.as_str()?, index))).collect();
        let repeated = repeated(keys);
        for index in repeated.iter().copied().filter(|index| *index < own_len) {
            let key = &pairs[index].0;
            let name = key.as_str().unwrap_or_default();
            self.error(key.span, format!("the key {name:?} stands twice in this mapping"));
        }
        let mut repeated = repeated.into_iter().peekable();
        let mut index = 0;
        pairs.retain(|_| {
            let is_repeated = repeated.next_if_eq(&index).is_some();
            index += 1;
            !is_repeated
        });
        pairs
    }

    fn merge(&mut self, value: Node, merged: &mut Vec<(Node, Node)>) {
        match value.kind {
            NodeKind::Mapping(pairs) => merged.extend(pairs),
            NodeKind::Sequence(nodes) => nodes.into_iter().for_each(|node| self.merge(node, merged)),
            _ => self.error(value.span, "`<<` takes a mapping or a list of mappings"),
        }
    }

    /// A copy of `node`, if there is room for it.
    fn copied(&mut self, node: &Node) -> Result<Node, GiveUp> {
        self.count(weight(node), node.span)?;
        Ok(node.clone())
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), GiveUp> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            self.error(span, format!("more than {NODES_MAX} values, aliases expanded"));
            return Err(GiveUp);
        }
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), GiveUp> {
        self.count(1, node.span)?;
        if anchor != 0 {
            let kept = self.copied(&node)?;
            self.anchors.insert(anchor, kept);
        }
        match self.stack.last_mut() {
            Some(open) => open.items.push(node),
            None => self.documents.push(node),
        }
        Ok(())
    }
}

/// How much a copy of `node` counts.
fn weight(node: &Node) -> usize {
    match &node.kind {
        NodeKind::Null => 1,
        NodeKind::Scalar { text, .. } => 1 + text.len() / BYTES_PER_NODE,
        NodeKind::Sequence(nodes) => 1 + nodes.iter().map(weight).sum::<usize>(),
        NodeKind::Mapping(pairs) => 1 + pairs.iter().map(|(key, value)| weight(key) + weight(value)).sum::<usize>(),
    }
}

/// The places of keys that stand before, in order. Sorting finds them: comparing each key with all before would take minutes for a
/// mapping of 100,000.
fn repeated<K: Ord>(mut keys: Vec<(K, usize)>) -> Vec<usize> {
    keys.sort_unstable();
    let mut repeated: Vec<usize> =
        keys.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1).collect();
    repeated.sort_unstable();
    repeated
}

fn scalar(text: &str, style: ScalarStyle) -> NodeKind {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return NodeKind::Null;
    }
    let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
    NodeKind::Scalar { text: text.to_string(), plain, block }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let (node, diagnostics) = parse(&SourceFile::new("f.yml", text));
        (node, diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn keeps_places_and_spelling() {
        let (node, errors) = read("a: 1.0\nb:\n  - 'x'\n  - {c: ~}\n");
        assert!(errors.is_empty(), "{errors:?}");
        let node = node.unwrap();
        assert_eq!(node.get("a").unwrap().as_str(), Some("1.0"));
        assert_eq!(node.get("a").unwrap().span, Span::new(3, 6));
        let NodeKind::Sequence(items) = &node.get("b").unwrap().kind else { panic!() };
        assert!(matches!(&items[0].kind, NodeKind::Scalar { plain: false, .. }));
        assert!(items[1].get("c").unwrap().is_null());
    }

    #[test]
    fn expands_anchors_and_merges() {
        let (node, errors) = read("base: &b {x: 1, y: 2}\nc:\n  <<: *b\n  y: 3\n");
        assert!(errors.is_empty(), "{errors:?}");
        let node = node.unwrap();
        let c = node.get("c").unwrap();
        assert_eq!(c.get("x").unwrap().as_str(), Some("1"));
        assert_eq!(c.get("y").unwrap().as_str(), Some("3"));
    }

    #[test]
    fn refuses_with_a_place() {
        for (text, expected) in [
            ("a: 1\na: 2\n", "f.yml:2:1: the key \"a\" stands twice in this mapping"),
            ("a: [1\nb: 2", "f.yml:2:2: not valid YAML"),
            ("a: &x [*x]", "this alias refers to itself"),
        ] {
            let (node, errors) = read(text);
            assert!(node.is_none(), "{text}");
            assert!(errors[0].contains(expected), "{text}: {errors:?}");
        }
        assert!(read(&"- ".repeat(200)).1[0].contains("nested deeper"));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let before = level - 1;
            text += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", "));
        }
        assert!(read(&text).1[0].contains("more than"));
        let nested = format!("{}[{}]{}", "&a [".repeat(90), "x, ".repeat(30_000), "]".repeat(90));
        assert!(read(&nested).1[0].contains("more than"), "each anchor would keep a copy of the whole");
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1_000_000), "*a, ".repeat(1000));
        assert!(read(&long).1[0].contains("more than"), "a gigabyte of text");
        let usual = format!("a: &a {}\nb: [{}]\n", "x".repeat(100), "*a, ".repeat(10_000));
        assert!(read(&usual).1.is_empty());
    }

    #[test]
    fn every_repeated_key_is_told_in_order_and_merged_ones_yield() {
        let (_, errors) = read("b: 1\na: 1\nb: 2\na: 2\nb: 3\n");
        let places: Vec<&str> = errors.iter().map(|error| &error[..10]).collect();
        assert_eq!(places, ["f.yml:3:1:", "f.yml:4:1:", "f.yml:5:1:"]);
        let text = "p: &p {x: 1, y: 1}\nq: &q {x: 2, z: 2}\nc: {<<: [*p, *q], y: 3}\n";
        let node = read(text).0.unwrap();
        let NodeKind::Mapping(pairs) = &node.get("c").unwrap().kind else { panic!() };
        let shown: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str().unwrap(), v.as_str().unwrap())).collect();
        assert_eq!(shown, [("y", "3"), ("x", "1"), ("z", "2")]);
    }

    /// A key that counts how often it is compared.
    struct Counted<'a>(usize, &'a std::cell::Cell<u64>);

    impl Ord for Counted<'_> {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.1.set(self.1.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted<'_> {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for Counted<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other).is_eq()
        }
    }

    impl Eq for Counted<'_> {}

    #[test]
    fn twice_the_keys_are_little_more_than_twice_the_work() {
        let comparisons = |count: usize| {
            let counter = std::cell::Cell::new(0);
            let keys = (0..count).map(|index| (Counted(index * 7919 % count, &counter), index)).collect();
            assert!(repeated(keys).is_empty());
            counter.get()
        };
        let (once, twice) = (comparisons(10_000), comparisons(20_000));
        assert!(twice < once * 5 / 2, "{once} comparisons of 10,000 keys, {twice} of 20,000");
    }

    #[test]
    fn an_empty_file_is_null_and_a_second_document_a_warning() {
        assert!(read("").0.unwrap().is_null());
        assert!(read("# only a comment\n").0.unwrap().is_null());
        assert!(read("a: 1\n---\nb: 2\n").1[0].contains("warning: only the first"));
    }

    /// Each YAML file of the repository, and of the corpus where that stands beside it.
    fn files() -> Vec<String> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folders: Vec<_> =
            ["rules", "slo", "fixtures", "deploy", "../shared/corpus"].map(|name| root.join(name)).into();
        let mut texts = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
                    texts.extend(std::fs::read_to_string(path));
                }
            }
        }
        texts
    }

    /// Gives whether `text` went the short way.
    fn is_same_both_ways(text: &str) -> bool {
        let Some(short) = everyday::parse(text) else { return false };
        let (long, errors) = parse_any(&SourceFile::new("f.yml", text));
        assert_eq!(Some(&short), long.as_ref(), "{text}");
        assert!(errors.is_empty(), "{text}\n{errors}");
        true
    }

    #[test]
    fn the_short_way_gives_the_same_tree() {
        let texts = files();
        let short = texts.iter().filter(|text| is_same_both_ways(text)).count();
        assert!(texts.len() > 50 && short * 4 > texts.len(), "{short} of {}", texts.len());
        for (text, is_short) in [
            ("a: 1\nb: x # c\nc:\n- 1\n- k: v\n  w: v\n-  x\n", false),
            ("a: 1\nb: x # c\n\n# c\nc:\n- 1\n- k: v\n  w: v\nd: 'it''s' \ne: \"a\\\"\\n\" # x\n", true),
            (
                "---\n# x\na:\n  b: |\n\n    x\n     y\n\n    z\n\n  c: >-\n    a\n    b\n\n    c\n\nd: |+\n  x\n\n",
                true,
            ),
            ("a: |-\n  x # y\n\n# comment\nb: -5\n", true),
            ("- - a\n  - b: c\n- d", true),
            ("a: {b: c, d: 'e, }', f:  g h , i: {j: [1, 2.5, \"x\"], k: 5m}} # z\nb: [x, {y: /z}]\n- \n", false),
            ("a: {b: c, d: 'e, }', f:  g h , i: {j: [1, 2.5, \"x\"], k: 5m}} # z\nb: [x, {y: /z}, null, ~]\n", false),
            (
                "a: {b: c, d: 'e, }', f:  g h , i: {j: [1, 2.5, \"x\"], k: 5m}} # z\nb: [x, {y: /z}, null]\nc:\n- {d: e}\n",
                true,
            ),
            ("a: {b: c,\n  d: e}\n", false),
            ("a: {b: c, b: d}\n", false),
            ("a: {b, c: d}\n", false),
            ("a: {}\n", false),
            ("a: [b: c]\n", false),
            ("a: b: c\n", false),
            ("a: b\n  c\n", false),
            ("a:\nb: 1\n", false),
            ("a: 1\n- b\n", false),
            ("a:\n  b: 1\n c: 1\n", false),
            ("a: |\n  x", false),
            ("a: 1\na: 2\n", false),
            ("a: 1\n---\nb: 1\n", false),
            ("a: 'x\n", false),
            ("a: {b: c}\n", true),
            ("a: http://x:80/#y\nb: a#b\n", true),
        ] {
            assert_eq!(is_same_both_ways(text), is_short, "{text}");
        }
    }

    #[test]
    fn what_the_short_way_takes_of_mutations_is_the_same() {
        let texts: Vec<String> = files().into_iter().filter(|text| text.len() < 4_000).collect();
        let mut state = 20_261_130_u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        const PIECES: &[&str] = &[
            " ", "  ", "\n", "\n\n", ":", ": ", "- ", "#", " #", "\"", "'", "|", ">", "|-\n", "\t", "a", "{", "}", "[",
            "]", ",", ", ", "&a ", "~", "\\", "0", "null",
        ];
        let mut short = 0;
        for _ in 0..4_000 {
            let mut text = texts[below(texts.len())].clone();
            for _ in 0..1 + below(3) {
                let mut at = below(text.len() + 1);
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                match below(3) {
                    0 if at < text.len() => drop(text.remove(at)),
                    1 if text.is_char_boundary(at.max(20).min(text.len())) => text.truncate(at.max(20)),
                    _ => text.insert_str(at, PIECES[below(PIECES.len())]),
                }
                if text.is_empty() {
                    break;
                }
            }
            short += usize::from(is_same_both_ways(&text));
        }
        assert!(short > 500, "{short}");
    }
}
