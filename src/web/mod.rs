//! The pages: server-rendered, no script, no build step, readable on a phone and in dark mode.

mod alerts;
pub mod chart;
mod frame;
mod graph;
mod page;
mod text;

/// The sheet of all pages.
pub const SHEET: &str = include_str!("style.css");

pub use alerts::{render_explanations, render_history, render_outcomes};
pub use graph::render_graph;
pub use page::{AlertLine, GroupLines, JobLines, RuleLine, SilenceLine, TargetLine, View, render};
