//! The configuration file, composed of the parts' own configurations, and the process's settings.
//!
//! In the flow: `serve`, the checks and the incident runner load a [`Config`]; the daemon's [`Settings`] come from flags, environment and
//! the file's `storage`. The file is Prometheus 3's `prometheus.yml` plus `slo_files`, `slo_history` and `router`.
//! **Invariants.** A [`Config`] that was returned has no error in it or in any file it names. A key that we do not act on is an
//! error that says why.
//! **Differs:** keys of Prometheus that are not built yet are refused where Prometheus would act on them.

mod features;
mod global;
mod load;
mod settings;

pub use features::{FeatureFlags, FeatureNote, feature_names};
pub use global::{Global, Variable};
pub use load::Config;
pub use settings::{Layer, SETTINGS, Setting, SettingError, SettingKind, Settings};
