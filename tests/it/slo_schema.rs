//! Holds `docs/slo.schema.json`, which editors use, to the decoders: the same keys in both, and every example of the guide and every shipped file fits.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use almenara::slo;
use almenara::source::SourceFile;
use almenara::source::yaml::{self, Node, NodeKind};
use regex::Regex;
use serde_json::Value;

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schema() -> Value {
    serde_json::from_str(&read("docs/slo.schema.json")).unwrap()
}

/// The names of all properties.
fn properties(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(own)) = object.get("properties") {
                found.extend(own.keys().cloned());
            }
            object.values().for_each(|value| properties(value, found));
        }
        Value::Array(all) => all.iter().for_each(|value| properties(value, found)),
        _ => {}
    }
}

#[test]
fn the_schema_has_the_keys_that_are_read() {
    let mut of_schema = BTreeSet::new();
    properties(&schema(), &mut of_schema);
    let files = [
        "decode",
        "decode_alerting",
        "decode_copies",
        "decode_exclusion",
        "decode_indicator",
        "decode_latency",
        "decode_query",
        "decode_window",
    ];
    let code: String = files.iter().map(|file| read(&format!("src/slo/{file}.rs"))).collect();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let call = Regex::new(r#"\b(?:optional|or|required|node)\(\s*"([a-z_0-9.]+)""#).unwrap();
    let mut read: BTreeSet<String> = call.captures_iter(&code).map(|found| found[1].to_owned()).collect();
    // Keys of tables, and those that are taken before the rest is read.
    let quantiles = Regex::new(r#"\("(p[0-9.]+)", [0-9.]+\)"#).unwrap();
    read.extend(quantiles.captures_iter(&code).map(|found| found[1].to_owned()));
    read.extend(["template", "with", "objectives", "threshold"].map(str::to_owned));
    let of_channels = ["page", "ticket"];
    assert!(of_channels.iter().all(|key| read.contains(*key)));
    assert_eq!(of_schema.difference(&read).collect::<Vec<_>>(), Vec::<&String>::new(), "in the schema, but not read");
    assert_eq!(read.difference(&of_schema).collect::<Vec<_>>(), Vec::<&String>::new(), "read, but not in the schema");
}

/// Whether `node` fits, as far as the words that our schema uses go; says where not.
fn fits(node: &Node, schema: &Value, root: &Value, place: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        return fits(node, &root["$defs"][name.rsplit('/').next().unwrap()], root, place);
    }
    if let Some(all) = schema["anyOf"].as_array() {
        return if all.iter().any(|one| fits(node, one, root, place).is_ok()) { Ok(()) } else { Err(place.to_owned()) };
    }
    let fail = || Err(format!("{place}: {:?} does not fit {schema}", node.kind));
    if let Some(words) = schema["enum"].as_array() {
        return if words.iter().any(|word| word.as_str() == node.as_str()) { Ok(()) } else { fail() };
    }
    if !schema["const"].is_null() {
        return if schema["const"].as_str() == node.as_str() { Ok(()) } else { fail() };
    }
    match (&node.kind, schema["type"].as_str()) {
        (NodeKind::Mapping(pairs), Some("object")) => {
            for (key, value) in pairs {
                let key = key.as_str().unwrap_or_default();
                let known = &schema["properties"][key];
                let other = &schema["additionalProperties"];
                match (known.is_null(), other) {
                    (false, _) => fits(value, known, root, &format!("{place}.{key}"))?,
                    (true, Value::Bool(false)) => return Err(format!("{place}: no key {key}")),
                    (true, Value::Null) => {}
                    (true, other) => fits(value, other, root, &format!("{place}.{key}"))?,
                }
            }
            let missing = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            missing
                .into_iter()
                .find(|key| node.get(key).is_none())
                .map_or(Ok(()), |key| Err(format!("{place}: {key} is missing")))
        }
        (NodeKind::Sequence(nodes), Some("array")) => {
            nodes.iter().try_for_each(|node| fits(node, &schema["items"], root, &format!("{place}[]")))
        }
        (NodeKind::Scalar { text, .. }, kind) => match kind {
            Some("number") if text.parse::<f64>().is_err() => fail(),
            Some("boolean") if text != "true" && text != "false" => fail(),
            Some("object" | "array") => fail(),
            _ => match schema["pattern"].as_str() {
                Some(pattern) if !Regex::new(pattern).unwrap().is_match(text) => fail(),
                _ => Ok(()),
            },
        },
        _ => fail(),
    }
}

#[test]
fn what_is_read_fits_the_schema_and_what_is_wrong_does_not() {
    let schema = schema();
    let check = |text: &str| {
        let (root, _) = yaml::parse(&SourceFile::new("slo.yml", text));
        fits(&root.unwrap(), &schema, &schema, "")
    };
    let guide = read("docs/src/slos.md");
    let examples: Vec<&str> =
        guide.split("```yaml slo\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 4);
    for example in examples
        .into_iter()
        .chain([read("slo/almenara.yml").as_str(), read("fixtures/novatech/slo/services.yml").as_str()])
    {
        assert!(slo::parse_file(&SourceFile::new("slo.yml", example)).0.is_some(), "{example}");
        check(example).unwrap();
    }
    for wrong in [
        "slos: [{nmae: a}]",
        "slos: [{name: a, window: 30 days}]",
        "slos: [{name: a, alerting: {guard: {confidence: high}}}]",
        "slos: [{name: a, indicator: {errors: {bad: a}}}]",
        "slos: [{name: a, indicator: {ratio: errors:ratio}}]",
        "exclusions: [{reason: r}]",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
