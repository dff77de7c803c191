//! Patterns with the answers of a Prometheus 3.5 that was asked for them, and properties.

use proptest::prelude::*;

use super::*;

/// Pattern, text, and what `label_replace` makes of them with the replacement `<$0|$1|$2>`.
const MATCHES: &[(&str, &str, &str)] = &[
    ("ab|cd", "ab", "<ab||>"),
    ("a.b", "a\nb", "<a\nb||>"),
    ("{x}", "{x}", "<{x}||>"),
    ("a{", "a{", "<a{||>"),
    ("a{,2}", "a{,2}", "<a{,2}||>"),
    ("a{01}", "a{01}", "<a{01}||>"),
    ("a{2}", "aa", "<aa||>"),
    ("a{2,}b", "aaab", "<aaab||>"),
    ("a{1,2}", "aaa", "no match"),
    ("a{1000}", "a", "no match"),
    ("(a{0}b{10}){100}", "a", "no match"),
    ("((a{100}){2}){1}", "a", "no match"),
    ("(?:(a{100}){0}){1000}", "a", "no match"),
    ("a??", "a", "<a||>"),
    ("a(?i)*", "aa", "<aa||>"),
    ("a*(?i)*", "aaa", "<aaa||>"),
    ("a+(?i)?", "", "<||>"),
    ("a(?i)+?(b*)", "aaB", "<aaB|B|>"),
    (r"ab\Q\E*", "abb", "<abb||>"),
    (r"\Qa.b\E*", "a.bb", "<a.bb||>"),
    (r"\Q[\E]", "[]", "<[]||>"),
    (r"\Q\\E", r"\", r"<\||>"),
    ("(?:^)*a$+", "a", "<a||>"),
    ("[a[b]", "[", "<[||>"),
    ("[a&&b]", "&", "<&||>"),
    ("[a&&b]", "a", "<a||>"),
    ("[+--]", ",", "<,||>"),
    ("[a~~b]", "~", "<~||>"),
    ("[[:alpha:]]", "q", "<q||>"),
    ("[[:^alpha:]]", "é", "<é||>"),
    (r"[^[:alpha:]\d]", "-", "<-||>"),
    ("[[:word:]]", "_", "<_||>"),
    ("[:alpha:]", ":", "<:||>"),
    ("[]a]", "]", "<]||>"),
    ("[^]a]", "b", "<b||>"),
    (r"[\d-z]", "-", "<-||>"),
    ("[a-]", "-", "<-||>"),
    ("[-a]", "-", "<-||>"),
    (r"[a\]b]", "]", "<]||>"),
    (r"[#\-\x20 ]", "#", "<#||>"),
    ("[<>]+", "<>", "<<>||>"),
    (r"\<", "<", "<<||>"),
    (r"\d", "٣", "no match"),
    (r"\d+", "12", "<12||>"),
    (r"\D", "٣", "<٣||>"),
    (r"\w", "é", "no match"),
    (r"\W", "é", "<é||>"),
    (r"\s", "\u{a0}", "no match"),
    (r"\s", "\u{b}", "no match"),
    ("[[:space:]]", "\u{b}", "<\u{b}||>"),
    (r"\S", "\u{a0}", "<\u{a0}||>"),
    (r"[^\W]", "x", "<x||>"),
    (r"[^\W]", "é", "no match"),
    (r"(a\b)(é)", "aé", "<aé|a|é>"),
    (r"é\b", "é", "no match"),
    (r"\b(é)", "é", "no match"),
    (r"a\Bé", "aé", "no match"),
    (r"é\Bñ", "éñ", "<éñ||>"),
    ("(?i)k", "\u{212a}", "<\u{212a}||>"),
    (r"(?i)\w", "\u{212a}", "<\u{212a}||>"),
    (r"(?i)\W", "\u{212a}", "no match"),
    (r"(?i)[^\W]", "\u{17f}", "<\u{17f}||>"),
    ("(?i)[k]", "\u{212a}", "<\u{212a}||>"),
    ("(?i)[^k]", "\u{212a}", "no match"),
    ("(?i)straße", "STRASSE", "no match"),
    ("(?i)ÉTÉ", "été", "<été||>"),
    ("(?i)Σ", "ς", "<ς||>"),
    (r"(?i)\x{212a}", "k", "<k||>"),
    ("(?i)[[:lower:]]", "Q", "<Q||>"),
    (r"(?i)\p{Lu}", "a", "<a||>"),
    (r"(?i)\P{Lu}", "a", "no match"),
    ("a(?i)b|c", "C", "<C||>"),
    ("a(?i)b|c", "AB", "no match"),
    ("(a(?i)b)c", "aBC", "no match"),
    ("(?i:a)b", "AB", "no match"),
    ("(?-i:a)(?i)b", "aB", "<aB||>"),
    ("(?i-i)a", "A", "no match"),
    ("(?ii)a", "A", "<A||>"),
    ("(?)a", "a", "<a||>"),
    ("(?-s).", "\n", "no match"),
    ("(?-s:.)|x", "\n", "no match"),
    ("(?s-s:a.)", "a\n", "no match"),
    ("(?U)(a+)(a*)", "aaa", "<aaa|a|aa>"),
    ("(?U)(a+?)(a*)", "aaa", "<aaa|aaa|>"),
    ("(?U:(a+))(a*)", "aaa", "<aaa|a|aa>"),
    ("(?U)(a{1,2})(a*)", "aaa", "<aaa|a|aa>"),
    ("(a+?)(a*)", "aaa", "<aaa|a|aa>"),
    (r"(?m)a$\n^b", "a\nb", "<a\nb||>"),
    (r"a$\nb", "a\nb", "no match"),
    ("(?m:^)a", "a", "<a||>"),
    (r"\Aa\z", "a", "<a||>"),
    (r"\a\f\t\n\r\v", "\u{7}\u{c}\t\n\r\u{b}", "<\u{7}\u{c}\t\n\r\u{b}||>"),
    (r"\101\0\12", "A\u{0}\n", "<A\u{0}\n||>"),
    (r"\0123", "\n3", "<\n3||>"),
    (r"\377", "ÿ", "<ÿ||>"),
    (r"\x41\x{1F600}", "A😀", "<A😀||>"),
    (r"\x{D800}", "a", "no match"),
    (r"[\x{D7FF}-\x{E000}]", "\u{e000}", "<\u{e000}||>"),
    (r"[^\x{D800}-\x{DFFF}]", "a", "<a||>"),
    (r"[\x{D800}a]", "a", "<a||>"),
    (r"[^\x00-\x{10FFFF}]", "a", "no match"),
    (r#"\_\-\/\"\&\#\~\%\ \<"#, r#"_-/"&#~% <"#, r#"<_-/"&#~% <||>"#),
    (r"\b{start}", "b{start}", "no match"),
    (r"\pN", "٣", "<٣||>"),
    (r"\pL+", "aé", "<aé||>"),
    (r"\PL", "1", "<1||>"),
    (r"\p{^L}", "1", "<1||>"),
    (r"\P{^L}", "a", "<a||>"),
    (r"\p{Greek}", "α", "<α||>"),
    (r"\p{Old_Italic}", "𐌀", "<𐌀||>"),
    (r"\p{SignWriting}", "𝠀", "<𝠀||>"),
    (r"\p{Cham}", "ꨀ", "<ꨀ||>"),
    (r"\p{LC}", "a", "<a||>"),
    (r"\p{Any}", "a", "<a||>"),
    (r"\p{Cs}", "a", "no match"),
    (r"\P{Cs}", "a", "<a||>"),
    (r"\p{C}", "\u{378}", "<\u{378}||>"),
    (r"[\p{Greek}\pN-]+", "α1-", "<α1-||>"),
    (r"[^\p{Cs}]", "a", "<a||>"),
    ("(?P<n>a)(?<n>b)", "ab", "<ab|a|b>"),
    ("(?P<1a>a)", "a", "<a|a|>"),
    ("()", "", "<||>"),
    ("a||b", "", "<||>"),
    ("|a", "a", "<a||>"),
    ("(a|)(b*)", "bb", "<bb||bb>"),
    (r"http://[^/:]+(:\d+)?/.*", "http://h:1/x", "<http://h:1/x|:1|>"),
    (r"api|web-\d{1,3}", "web-12", "<web-12||>"),
    (r".*\.(json|ya?ml)", "a.b.yml", "<a.b.yml|yml|>"),
];

/// Pattern, and why a matcher with it is refused.
const MISTAKES: &[(&str, &str)] = &[
    ("a{2,1}", "invalid repeat count: `{2,1}`"),
    ("a{1001}", "invalid repeat count: `{1001}`"),
    ("a{99999999999999999999}", "invalid repeat count: `{99999999999999999999}`"),
    ("(a{10}){101}", "invalid repeat count: `{101}`"),
    ("((a{100}){10}){0}{5}", "invalid nested repetition operator: `{0}{5}`"),
    ("a**", "invalid nested repetition operator: `**`"),
    ("a*+", "invalid nested repetition operator: `*+`"),
    ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
    ("a*??", "invalid nested repetition operator: `*??`"),
    ("a*?*", "invalid nested repetition operator: `*?*`"),
    ("a|*", "missing argument to repetition operator: `*`"),
    ("(*)", "missing argument to repetition operator: `*`"),
    ("?", "missing argument to repetition operator: `?`"),
    ("+?", "missing argument to repetition operator: `+?`"),
    ("[a--z]", "invalid character class range: `a--`"),
    ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
    ("[[:alpha:]", "missing closing ]: `[[:alpha:]`"),
    ("[]", "missing closing ]: `[]`"),
    ("[a", "missing closing ]: `[a`"),
    ("[a-", "missing closing ]: `[a-`"),
    (r"[a-\d]", r"invalid escape sequence: `\d`"),
    ("[z-a]", "invalid character class range: `z-a`"),
    ("(?-)a", "invalid or unsupported Perl syntax: `(?-)`"),
    ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
    ("(?i--s)a", "invalid or unsupported Perl syntax: `(?i--`"),
    (r"a\Z", r"invalid escape sequence: `\Z`"),
    (r"\1", r"invalid escape sequence: `\1`"),
    (r"\8", r"invalid escape sequence: `\8`"),
    (r"\18", r"invalid escape sequence: `\1`"),
    (r"\x4", r"invalid escape sequence: `\x4`"),
    (r"\x{}", r"invalid escape sequence: `\x{}`"),
    (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
    (r"\x{41", r"invalid escape sequence: `\x{41`"),
    (r"\xZZ", r"invalid escape sequence: `\xZZ`"),
    (r"\é", r"invalid escape sequence: `\é`"),
    (r"\q", r"invalid escape sequence: `\q`"),
    (r"\y", r"invalid escape sequence: `\y`"),
    (r"\C", r"invalid escape sequence: `\C`"),
    (r"\K", r"invalid escape sequence: `\K`"),
    (r"\G", r"invalid escape sequence: `\G`"),
    (r"a\", "trailing backslash at end of expression: ``"),
    (r"\p{greek}", r"invalid character class range: `\p{greek}`"),
    (r"\p{Grek}", r"invalid character class range: `\p{Grek}`"),
    (r"\p{IsGreek}", r"invalid character class range: `\p{IsGreek}`"),
    (r"\p{sc=Greek}", r"invalid character class range: `\p{sc=Greek}`"),
    (r"\p{Zzzz}", r"invalid character class range: `\p{Zzzz}`"),
    (r"\p{Alphabetic}", r"invalid character class range: `\p{Alphabetic}`"),
    (r"\p{Letter}", r"invalid character class range: `\p{Letter}`"),
    (r"\p{Lc}", r"invalid character class range: `\p{Lc}`"),
    (r"\p{Greek", r"invalid character class range: `\p{Greek`"),
    (r"\p", r"invalid character class range: `\p`"),
    (r"\pé", r"invalid character class range: `\pé`"),
    ("(?P<n-x>a)", "invalid named capture: `(?P<n-x>`"),
    ("(?P<>a)", "invalid named capture: `(?P<>`"),
    ("(?P<n", "invalid named capture: `(?P<n`"),
    ("(?P<", "invalid or unsupported Perl syntax: `(?P`"),
    ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
    ("(?<=a)b", "invalid named capture: `(?<=a)b`"),
    ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
    ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
    ("(?>a)", "invalid or unsupported Perl syntax: `(?>`"),
    ("(?u)a", "invalid or unsupported Perl syntax: `(?u`"),
    ("(?x) a", "invalid or unsupported Perl syntax: `(?x`"),
    ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
    ("(", "missing closing ): `(`"),
    ("(?:a", "missing closing ): `(?:a`"),
    ("a)", "unexpected ): `a)`"),
    ("a)(b", "unexpected ): `a)(b`"),
    ("(a|b", "missing closing ): `(a|b`"),
    ("(?#x)a", "invalid or unsupported Perl syntax: `(?#`"),
    ("(?'n'a)", "invalid or unsupported Perl syntax: `(?'`"),
];

#[test]
fn matches_as_in_prometheus() {
    let replacement = Replacement::new("<$0|$1|$2>");
    for &(text, subject, expected) in MATCHES {
        let pattern = Pattern::new(text, Anchoring::Whole).unwrap_or_else(|error| panic!("{text}: {error}"));
        let captures = pattern.captures(subject);
        let expanded = captures.map(|captures| replacement.expand(&pattern, &captures));
        assert_eq!(expanded.as_deref().unwrap_or("no match"), expected, "{text} on {subject:?}");
    }
}

#[test]
fn mistakes_in_the_words_of_go() {
    for &(text, expected) in MISTAKES {
        for anchoring in [Anchoring::Whole, Anchoring::Anywhere] {
            let error = Pattern::new(text, anchoring).expect_err(text);
            assert_eq!(error.to_string(), format!("error parsing regexp: {expected}"));
        }
    }
}

#[test]
fn anywhere_is_not_anchored_and_stops_at_line_breaks() {
    let pattern = |text| Pattern::new(text, Anchoring::Anywhere).unwrap();
    assert!(pattern("b").is_match("abc"));
    assert!(!pattern("a.c").is_match("a\nc"));
    assert!(pattern("(?s)a.c").is_match("a\nc"));
    assert_eq!(pattern(r"\d+").replace_all("a1b22\u{663}", &Replacement::new("<$0>")), "a<1>b<22>\u{663}");
}

#[test]
fn replacements_expand_as_in_prometheus() {
    for (text, pattern, replacement, expected) in [
        ("ab", "(a)(b)", "$2x-${2}x-$$-$-${1", "-bx-$-$-${1"),
        ("ab", "(a)(b)", "$01 ${01} $0", "  ab"),
        ("ab", "(a)(b)", "$1é ${1}é $3 ${1.2} ${}", " aé  ${1.2} ${}"),
        ("b", "(?P<n>a)|(?P<n>b)b?", "[$n]", "[b]"),
    ] {
        let pattern = Pattern::new(pattern, Anchoring::Whole).unwrap();
        let captures = pattern.captures(text).unwrap();
        assert_eq!(&*Replacement::new(replacement).expand(&pattern, &captures), expected);
    }
}

#[test]
fn limits() {
    let mistake = |text: &str| Pattern::new(text, Anchoring::Whole).unwrap_err().mistake;
    assert!(Pattern::new(format!("{}ab*{}", "(".repeat(100), ")".repeat(100)), Anchoring::Whole).is_ok());
    assert_eq!(mistake(r"\pL{1000}"), "expression too large");
    assert_eq!(mistake(&format!("{}a{}", "(".repeat(1000), ")".repeat(1000))), "expression nests too deeply");
    assert_eq!(mistake(&format!("a{}", "*(?i)".repeat(1000))), "expression nests too deeply");
}

/// Each would take minutes if reading it took quadratic time.
#[test]
fn hostile_patterns_are_read_in_linear_time() {
    const TOKENS: usize = 1 << 20;
    for (start, token) in [("", "{"), ("", "{1,"), ("[", "[:"), ("a", "*(?i)"), ("a", "(?i)"), ("", r"\Q\E")] {
        let pattern = start.to_owned() + &token.repeat(TOKENS);
        let result = translator::translate(&pattern, Flags::default());
        let mistake = result.map_or_else(|error| error.mistake, |_| "none");
        let expected = match (start, token) {
            ("[", _) => "missing closing ]",
            (_, "*(?i)") => "expression nests too deeply",
            _ => "none",
        };
        assert_eq!(mistake, expected, "{token}");
    }
}

/// Patterns that mean the same in both dialects.
fn common_pattern() -> impl Strategy<Value = String> {
    let atom =
        prop::sample::select(vec!["a", "b", "0", "é", ".", "-", "_", "/", ":", r"\.", "^", "$", "(?i:a)", "[ab]"]);
    let repeat = prop::sample::select(vec!["", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}"]);
    atom.prop_map(str::to_owned).prop_recursive(4, 24, 4, move |inner| {
        let repeated = (prop::collection::vec(inner, 0..4), repeat.clone());
        (prop::collection::vec(repeated, 1..3)).prop_map(|branches| {
            let branches: Vec<String> =
                branches.iter().map(|(atoms, repeat)| format!("({}){repeat}", atoms.concat())).collect();
            format!("(?:{})", branches.join("|"))
        })
    })
}

/// Texts dense in what means something in patterns.
fn any_pattern() -> impl Strategy<Value = String> {
    let tokens = vec![
        "a",
        "é",
        "-",
        "&&",
        "~~",
        "--",
        "[",
        "]",
        "[^",
        "[:alpha:]",
        "[:",
        ":]",
        "(",
        ")",
        "(?",
        "(?i)",
        "(?s-i:",
        "(?P<a>",
        "U",
        "{",
        "}",
        "{2}",
        "{0,3}?",
        ",",
        "*",
        "+",
        "?",
        "|",
        "^",
        "$",
        ".",
        "\\",
        r"\d",
        r"\W",
        r"\b",
        r"\B",
        r"\pL",
        r"\P{Greek}",
        r"\p{Cs}",
        r"\Q",
        r"\E",
        r"\x{D800}",
        r"\x41",
        r"\07",
        " ",
        "#",
        "<",
        ">",
        "\n",
        "1",
    ];
    prop::collection::vec(prop::sample::select(tokens), 0..16).prop_map(|tokens| tokens.concat())
}

#[test]
fn the_largest_plain_pattern_compiles() {
    for text in
        [".".repeat(LAZY_PLAIN_BYTES_MAX), ".+".repeat(LAZY_PLAIN_BYTES_MAX / 2), "a|".repeat(LAZY_PLAIN_BYTES_MAX / 2)]
    {
        assert!(is_plain(&text));
        assert!(build(&anchored(&text, Anchoring::Whole)).is_ok());
    }
}

proptest! {
    #[test]
    fn common_patterns_mean_the_same(text in common_pattern(), subject in "[abA0é./:-]{0,8}") {
        let pattern = Pattern::new(text.as_str(), Anchoring::Whole).unwrap();
        let untranslated = Regex::new(&format!("^(?s:{text})$")).unwrap();
        let spans = |captures: Captures<'_>| -> Vec<_> { captures.iter().map(|group| group.map(|g| g.range())).collect() };
        prop_assert_eq!(pattern.captures(&subject).map(spans), untranslated.captures(&subject).map(spans));
    }

    /// Whatever the translator accepts, the engine takes.
    #[test]
    fn the_engine_takes_every_translation(text in any_pattern()) {
        if let Ok(translated) = translator::translate(&text, Flags::default()) {
            prop_assert!(Regex::new(&translated.source).is_ok(), "{} became {}", text, translated.source);
        }
    }

    /// What is taken as it stands would have been translated to the same.
    #[test]
    fn plain_patterns_are_their_own_translation(text in "[a1.*+?|_/ :-]{0,12}") {
        if is_plain(&text) {
            let translated = translator::translate(&text, Flags::default()).map(|translation| translation.source);
            prop_assert_eq!(translated.ok(), Some(text));
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        if let Ok(pattern) = Pattern::new(text.as_str(), Anchoring::Anywhere) {
            pattern.is_match(&text);
        }
    }
}
