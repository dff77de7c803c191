//! The integration tests, one binary so that it links once.

mod alertmanager_peer;
mod api_v2;
mod broken_config;
mod broken_router;
mod broken_rules;
mod broken_slo;
mod deliver;
mod discovery;
mod docs;
mod incidents;
mod layers;
mod loopback;
mod notifier;
mod notifier_peer;
mod oauth2;
mod own_rules;
mod prometheus_peer;
mod promql_scripts;
mod promtool_peer;
mod real;
mod receivers_peer;
mod scrape;
mod scrape_config_files;
mod silences;
mod silences_peer;
mod smtp;
