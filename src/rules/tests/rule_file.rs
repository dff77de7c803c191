//! Rule files: what is read. What is refused stands in `fixtures/broken/rules`.

use super::*;

#[test]
fn reads_every_key() {
    let text = "groups:
- name: g
  interval: 30s
  query_offset: 5s
  limit: 3
  labels: {team: a, severity: low}
  rules:
  - alert: A
    expr: up == 0
    for: 5m
    keep_firing_for: 1h
    labels: {severity: page}
    annotations: {summary: '{{ $labels.x }}', plain: text}
  - record: r
    expr: |
      sum(
        up
      )
";
    let source = SourceFile::new("f.yml", text);
    let (file, diagnostics) = RuleFile::parse(&source);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let file = file.unwrap();
    let group = &file.groups[0];
    assert_eq!((group.interval, group.query_offset), (Some(Duration::from_secs(30)), Some(Duration::from_secs(5))));
    let alert = &group.rules[0];
    assert_eq!((alert.kind, &*alert.name, alert.hold_duration.as_secs()), (RuleKind::Alerting, "A", 300));
    assert_eq!(alert.keep_firing_for.as_secs(), 3600);
    let labels: Vec<_> = alert.labels.iter().map(|entry| (&*entry.name, &*entry.value)).collect();
    assert_eq!(labels, [("team", "a"), ("severity", "page")]);
    assert!(alert.annotations[0].template.is_some() && alert.annotations[1].template.is_none());
    let record = &group.rules[1];
    assert_eq!((record.kind, record.expr.to_string().as_str()), (RuleKind::Recording, "sum(up)"));
    let place = record.expr_place(&source, record.expr_node.as_str().unwrap().find("up").unwrap());
    assert_eq!(source.position(place.start).line, 17);
    assert_eq!(source.position(place.start).column, 9);
}

#[test]
fn nothing_is_a_file_without_groups() {
    for text in ["", "groups:\n", "groups: []\n", "# only a comment\n"] {
        let (file, diagnostics) = RuleFile::parse(&SourceFile::new("f.yml", text));
        assert!(diagnostics.is_empty() && file.unwrap().groups.is_empty(), "{text}");
    }
}

#[test]
fn a_second_document_is_a_warning() {
    let (file, diagnostics) = RuleFile::parse(&SourceFile::new("f.yml", "groups: []\n---\nnot: read\n"));
    assert!(file.is_some() && diagnostics.len() == 1 && !diagnostics.has_errors());
}
