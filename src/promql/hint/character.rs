//! Help for a character that cannot stand where it is, and for numbers that are none.

/// What is being read where a character cannot stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::promql) enum Inside {
    Braces,
    Brackets,
    Neither,
}

/// For a character that cannot stand at `start`.
pub(in crate::promql) fn for_lexer(text: &str, start: usize, inside: Inside) -> Option<String> {
    let (before, rest) = (text[..start].trim_end(), &text[start..]);
    anywhere(rest).or_else(|| match inside {
        Inside::Braces => inside_braces(before, rest),
        Inside::Brackets => inside_brackets(before, rest),
        Inside::Neither => outside(before, rest),
    })
}

fn anywhere(rest: &str) -> Option<String> {
    let c = rest.chars().next()?;
    let help = match c {
        '$' => {
            let name_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let end = match rest[1..].starts_with('{') {
                true => rest.find('}').map_or(rest.len(), |at| at + 1),
                false => rest[1..].find(name_end).map_or(rest.len(), |len| len + 1),
            };
            let name = &rest[..end];
            return Some(format!(
                "variables such as `{name}` belong to Grafana; write a duration or value, such as 5m"
            ));
        }
        '“' | '”' | '‘' | '’' => "write plain quotes: \"…\"",
        '–' | '—' | '−' => "write a plain minus: -",
        '≥' => "write `>=`",
        '≤' => "write `<=`",
        '≠' => "write `!=`",
        '×' | '·' => "write `*`",
        '÷' => "write `/`",
        '`' => "close the text with another backquote",
        '"' | '\'' if !is_closed(rest, c) => return Some(format!("close the text with another {c}")),
        _ => return None,
    };
    Some(help.to_owned())
}

/// Whether the text that begins `rest` ends on its line: then an escape in it is wrong.
fn is_closed(rest: &str, quote: char) -> bool {
    let mut is_escaped = false;
    for c in rest[1..].chars().take_while(|c| *c != '\n') {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return true,
            _ => {}
        }
    }
    false
}

const ESCAPE: &str = "write `\\\\` for a backslash, or put the text in backquotes";

fn inside_braces(before: &str, rest: &str) -> Option<String> {
    let value_expected = before.ends_with(['=', '~']);
    let help = match rest.chars().next() {
        None => "close the braces: }",
        Some('"' | '\'') => ESCAPE,
        Some('!') => "write `!=` or `!~`",
        Some('~') => "write `=~`",
        Some('<') if rest.starts_with("<>") => "write `!=`",
        Some('<' | '>') => "labels are texts: they compare by =, !=, =~ and !~",
        Some('&') => "separate matchers by commas; all of them must hold",
        Some('|') => "write a regular expression of the values, `label=~\"a|b\"`, or join two selectors by `or`",
        Some(';') => "separate matchers by commas",
        Some(':') => "compare labels by =: `{label=\"value\"}`",
        Some('(' | '[') => "write a regular expression of the values: `label=~\"a|b\"`",
        Some(')') => "close the braces with }",
        Some('{') => "one pair of braces is enough",
        Some('+') => "the value of a label is one text; nothing is computed here",
        Some(c) if c.is_ascii_digit() && value_expected => {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
            return Some(format!("put the value in quotes: \"{}\"", &rest[..end]));
        }
        Some(c) if c.is_ascii_digit() => "a name begins with a letter; put another in quotes: `{\"1st\"=\"value\"}`",
        Some('.' | '/' | '-') if !before.ends_with(['"', '\'', '`']) => {
            "put a name with such characters in quotes: `{\"my.label\"=\"value\"}`"
        }
        _ => return None,
    };
    Some(help.to_owned())
}

fn inside_brackets(before: &str, rest: &str) -> Option<String> {
    let word_end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let word = &rest[..word_end];
    let help = match rest.chars().next() {
        Some('"' | '\'') => "a duration stands without quotes: [5m]",
        Some('{') => "templates are not filled in here; write a duration, such as [5m]",
        Some(_) if matches!(word.to_ascii_lowercase().as_str(), "offset" | "by") => {
            return Some(format!("`{word}` stands after the bracket"));
        }
        Some(_) if !word.is_empty() && rest[word_end..].trim_start().starts_with('=') => {
            "matchers stand in braces: `metric{label=\"value\"}`"
        }
        Some(c) if c.is_ascii_alphabetic() => {
            let digits = before.len() - before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            let number = &before[before.len() - digits..];
            match unit_of(word).filter(|_| digits > 0).and_then(|unit| shown_duration(number, unit)) {
                Some(duration) => return Some(format!("write number and unit together: [{duration}]")),
                None => "a range is a number and a unit, such as [5m]",
            }
        }
        Some(c) if c.is_ascii_digit() => return Some(for_bad_number(rest)),
        _ if before.ends_with(':') => "write the range before the colon: [30m:1m]",
        None => "close the bracket: ]",
        _ => return None,
    };
    Some(help.to_owned())
}

fn outside(before: &str, rest: &str) -> Option<String> {
    let help = match rest.chars().next()? {
        '&' => "write `and`",
        '|' => "write `or`",
        '=' | '!' if rest.starts_with("=~") || rest.starts_with("!~") => {
            "regular expressions match labels, inside braces: `metric{label=~\"a|b\"}`"
        }
        '!' => "write `!=` to compare, or `unless` to take series out",
        '?' => "there is no `? :`; a comparison with `bool` gives 0 or 1",
        ';' => "an expression ends without a semicolon",
        '.' => "put a name with dots in quotes, inside braces: `{\"my.metric\"}`",
        '}' => "this brace closes nothing",
        ']' => "this bracket closes nothing",
        '\\' => "a line goes on without a mark",
        '"' | '\'' => ESCAPE,
        c if c.is_ascii_digit() && before.contains('@') && before.ends_with('-') => SECONDS,
        c if c.is_ascii_digit() => return Some(for_bad_number(rest)),
        _ => return None,
    };
    Some(help.to_owned())
}

/// For `@`.
pub(super) const SECONDS: &str = "write the time in seconds since 1970, such as `metric @ 1704067200`";

/// For what begins with a digit and is neither number nor duration.
fn for_bad_number(rest: &str) -> String {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_')).unwrap_or(rest.len());
    let word = &rest[..end];
    let number_len = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    let (number, unit) = word.split_at(number_len);
    if number.matches('.').count() > 1 {
        return "a number has one dot".to_owned();
    }
    if let Some(duration) = unit_of(unit).and_then(|unit| shown_duration(number, unit)) {
        return format!("write {duration}");
    }
    if let Some(exponent) = size_of(unit) {
        return format!("sizes have no units; write {number}e{exponent}");
    }
    if word.contains("__") || word.ends_with('_') {
        return "single underscores stand between digits: 1_000".to_owned();
    }
    if unit.len() > 2 && unit.contains('_') {
        return format!("a name begins with a letter; put another in quotes, inside braces: `{{\"{word}\"}}`");
    }
    "write a number, or a duration with the units y, w, d, h, m, s, ms in this order, such as 1h30m".to_owned()
}

/// The unit that people mean by a word, and how many of it.
fn unit_of(word: &str) -> Option<(u64, &'static str)> {
    Some(match word.to_ascii_lowercase().as_str() {
        "ms" | "msec" | "millis" | "milliseconds" => (1, "ms"),
        "s" | "sec" | "secs" | "second" | "seconds" => (1, "s"),
        "m" | "min" | "mins" | "minute" | "minutes" => (1, "m"),
        "h" | "hr" | "hrs" | "hour" | "hours" => (1, "h"),
        "d" | "day" | "days" => (1, "d"),
        "w" | "week" | "weeks" => (1, "w"),
        "mo" | "month" | "months" => (30, "d"),
        "y" | "year" | "years" => (1, "y"),
        _ => return None,
    })
}

fn shown_duration(number: &str, (factor, unit): (u64, &str)) -> Option<String> {
    let count: u64 = number.parse().ok()?;
    Some(format!("{}{unit}", count.checked_mul(factor)?))
}

/// The power of ten of a size such as `GB`.
fn size_of(unit: &str) -> Option<u32> {
    match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" => Some(3),
        "mb" => Some(6),
        "g" | "gb" => Some(9),
        "t" | "tb" => Some(12),
        _ => None,
    }
}
