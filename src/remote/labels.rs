//! Which label sets are stored: a metric name, names and values of UTF-8, no name twice.
//!
//! **Source.** Prometheus 3.5 `storage/remote/write_handler.go`; `model/labels`, `IsValid`, `String`.

use bytes::Bytes;

use crate::model::{Label, Labels, METRIC_NAME, quote};

/// A label set that is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid(pub(super) String);

/// The label set of these names and values, in whatever order they came. An empty value means that the label is not there.
pub(super) fn read(mut pairs: Vec<(Bytes, Bytes)>) -> Result<Labels, Invalid> {
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let text = |bytes: &Bytes| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let labels: Option<Vec<Label>> = pairs
        .iter()
        .map(|(name, value)| {
            let (name, value) = (text(name).filter(|name| !name.is_empty())?, text(value)?);
            (name != METRIC_NAME || !value.is_empty()).then(|| Label { name: name.into(), value: value.into() })
        })
        .collect();
    let has_name = pairs.iter().any(|(name, _)| **name == *METRIC_NAME.as_bytes());
    let Some(labels) = labels.filter(|_| has_name) else {
        return Err(Invalid(format!("invalid metric name or labels, got {}", shown(&pairs))));
    };
    if let Some(twice) = labels.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let name = &twice[0].name;
        return Err(Invalid(format!("invalid labels for series, labels {}, duplicated label {name}", shown(&pairs))));
    }
    Ok(Labels::new(labels))
}

/// As Go prints a label set: `{a="1", b="2"}`, the metric name among the others.
pub(super) fn shown(pairs: &[(Bytes, Bytes)]) -> String {
    let pair = |(name, value): &(Bytes, Bytes)| {
        let is_plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            && name.first().is_some_and(|byte| !byte.is_ascii_digit());
        let name = if is_plain { String::from_utf8_lossy(name).into_owned() } else { quoted(name) };
        format!("{name}={}", quoted(value))
    };
    format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// As [`shown`], of a label set that is fine.
pub(super) fn shown_set(labels: &Labels) -> String {
    let pair =
        |label: &Label| (Bytes::copy_from_slice(label.name.as_bytes()), Bytes::copy_from_slice(label.value.as_bytes()));
    shown(&labels.iter().map(pair).collect::<Vec<_>>())
}

/// As Go's `%q`: what is no UTF-8 byte by byte.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let valid = quote(chunk.valid());
        out.push_str(&valid[1..valid.len() - 1]);
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_and_what_is_not() {
        let ok = |text: &str| Ok(text.to_owned());
        let no = |text: &str| Err(Invalid(text.to_owned()));
        for (pairs, expected) in [
            (vec![("b", "1"), ("__name__", "up"), ("a", "")], ok(r#"up{b="1"}"#)),
            (vec![("__name__", "up"), ("my label", "é")], ok(r#"up{"my label"="é"}"#)),
            (vec![("a", "1")], no(r#"invalid metric name or labels, got {a="1"}"#)),
            (vec![("__name__", "")], no(r#"invalid metric name or labels, got {__name__=""}"#)),
            (vec![("__name__", "up"), ("", "1")], no(r#"invalid metric name or labels, got {""="1", __name__="up"}"#)),
            (
                vec![("__name__", "up"), ("a", "1"), ("a", "2")],
                no(r#"invalid labels for series, labels {__name__="up", a="1", a="2"}, duplicated label a"#),
            ),
        ] {
            let pairs = pairs.into_iter().map(|(name, value)| (Bytes::from(name), Bytes::from(value))).collect();
            assert_eq!(read(pairs).map(|labels| labels.to_string()), expected);
        }
        let broken = vec![("__name__".into(), "up".into()), ("a".into(), Bytes::from_static(b"\xe2\x82x\n"))];
        let expected = no(r#"invalid metric name or labels, got {__name__="up", a="\xe2\x82x\n"}"#);
        assert_eq!(read(broken).map(|labels| labels.to_string()), expected);
    }
}
