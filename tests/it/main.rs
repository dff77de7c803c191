//! The integration tests, one binary so that it links once.

mod layers;
mod loopback;
mod notifier;
