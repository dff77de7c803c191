//! The integration tests, one binary so that it links once.

mod broken_slo;
mod layers;
mod loopback;
mod notifier;
