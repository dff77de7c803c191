//! The configuration file, composed of the parts' own configurations, and the process's settings.

mod settings;

pub use settings::{Layer, SETTINGS, Setting, SettingError, SettingKind, Settings};
