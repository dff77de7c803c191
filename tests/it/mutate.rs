//! Broken expressions and files from good ones: seeded, so that every run sees the same.

/// Makes one mistake, sometimes several.
pub(crate) struct Mutator {
    state: u64,
}

/// What people write by mistake, and what a parser may trip over.
const SNIPPETS: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    "=",
    "==",
    "=~",
    "!=",
    "!~",
    "!",
    "&",
    "&&",
    "||",
    "|",
    ";",
    ":",
    "@",
    "#",
    "$",
    "\"",
    "'",
    "`",
    "\\",
    "/",
    "*",
    "^",
    "%",
    "+",
    "-",
    "<",
    ">",
    ">=",
    "<=",
    "<>",
    " ",
    "\n",
    "\t",
    ".",
    "..",
    "_",
    "0",
    "1",
    "5m",
    "1h30m",
    "5 m",
    "0x1f",
    "1e3",
    "1e",
    "Inf",
    "NaN",
    "and",
    "or",
    "unless",
    "not",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "sum",
    "topk",
    "rate",
    "count_values",
    "start()",
    "end()",
    "[5m]",
    "[5m:1m]",
    "{a=\"b\"}",
    "by (a)",
    "on (a)",
    "@ end()",
    "offset 5m",
    "é",
    "\u{fffd}",
    "\"\\x\"",
    "'it''s'",
    "atan2",
];

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Mutator { state: seed }
    }

    /// Splitmix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// `text` with one to three changes: a token taken out, doubled, moved or replaced, or a snippet put in.
    pub(crate) fn mutate_expression(&mut self, text: &str) -> String {
        let mut tokens = tokens(text);
        for _ in 0..1 + self.below(6) / 3 {
            let (from, to) = (self.below(tokens.len()), self.below(tokens.len()));
            let snippet = SNIPPETS[self.below(SNIPPETS.len())];
            match self.below(6) {
                _ if tokens.is_empty() => tokens.push(snippet),
                0 | 1 => drop(tokens.remove(from)),
                2 => tokens.insert(to, tokens[from]),
                3 => tokens.swap(from, to),
                4 => tokens[from] = snippet,
                _ => tokens.insert(to, snippet),
            }
        }
        tokens.concat()
    }

    /// `text` with one to four changes of its bytes, kept as valid UTF-8.
    pub(crate) fn mutate_bytes(&mut self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len());
            match self.below(5) {
                _ if bytes.is_empty() => bytes.push(b'('),
                0 => drop(bytes.remove(at)),
                1 => bytes[at] = self.next() as u8,
                2 => bytes.insert(at, self.next() as u8 & 0x7f),
                3 => drop(bytes.splice(at..at, SNIPPETS[self.below(SNIPPETS.len())].bytes())),
                _ => {
                    let (end, to) = ((at + self.below(40)).min(bytes.len()), self.below(bytes.len()));
                    let piece = bytes[at..end].to_vec();
                    drop(bytes.splice(to..to, piece));
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Words, quoted texts, spaces and single other characters, which is near enough to tokens.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_:.".contains(c);
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' | '\'' | '`' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c if c.is_whitespace() => rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()),
            '=' | '!' | '<' | '>' if rest[1..].starts_with(['=', '~']) => 2,
            c => c.len_utf8(),
        };
        out.push(&rest[..len]);
        rest = &rest[len..];
    }
    out
}
