//! Specifications that are right; the wrong ones stand in `fixtures/broken/slo`.

use std::time::Duration;

use super::file;
use crate::slo::{Indicator, PartIs, Severity, parse_file};
use crate::source::SourceFile;

#[test]
fn a_full_specification_is_read() {
    let file = file(
        r#"
interval: 15s
slos:
  - name: checkout-requests
    service: checkout
    description: Checkouts succeed.
    owner: team-checkout
    runbook: https://example.org/r
    labels: {area: shop}
    objective: "99.5%"
    window: 28d
    group_by: [region]
    indicator:
      errors:
        good: http_requests_total{job="checkout",code!~"5.."}
        total: http_requests_total{job="checkout"}
    alerting:
      labels: {team: shop}
      annotations: {dashboard: d, note: n}
      page: {labels: {pager: "yes"}, annotations: {note: wake up}}
      ticket: {disable: true}
"#,
    );
    assert_eq!(file.interval, Some(Duration::from_secs(15)));
    let slo = &file.slos[0];
    assert_eq!(slo.labels.to_string(), r#"{area="shop",service="checkout"}"#);
    assert_eq!((slo.objective.percent(), slo.objective.budget_ratio()), (99.5, 0.005));
    let Indicator::Errors { part, part_is, total } = &slo.indicator else { panic!("{:?}", slo.indicator) };
    assert_eq!((*part_is, part[0].selector.matchers.len(), total[0].selector.matchers.len()), (PartIs::Good, 3, 2));
    assert_eq!(
        slo.policy.tiers.iter().map(|tier| (tier.severity, tier.factor)).collect::<Vec<_>>(),
        [(Severity::Page, 13.44), (Severity::Page, 5.6)]
    );
    assert_eq!(slo.policy.page.labels.to_string(), r#"{pager="yes",team="shop"}"#);
    assert_eq!(slo.policy.page.annotations.to_string(), r#"{dashboard="d",note="wake up"}"#);
}

#[test]
fn a_default_tier_that_cannot_hold_is_left_out_with_a_warning() {
    let text = "slos:\n  - name: a\n    objective: 90\n    indicator: {availability: up}\n";
    let (file, diagnostics) = parse_file(&SourceFile::new("slo.yml", text));
    assert_eq!(
        diagnostics.to_string(),
        "slo.yml:3:16: warning: the default tier page-fast is left out: \
         14.4 cannot fire below an objective of 93.06%, \
         since at 90% a burn rate is at most 10"
    );
    assert_eq!(file.unwrap().slos[0].policy.tiers.len(), 3);
}

#[test]
fn an_empty_list_is_a_file() {
    assert!(file("slos: []\n").slos.is_empty());
}
