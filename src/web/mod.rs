//! The pages: server-rendered, no script, no build step, readable on a phone and in dark mode.

mod alerts;
mod frame;
mod graph;
mod page;
mod text;

pub use alerts::{render_explanations, render_history, render_outcomes};
pub use graph::render_graph;
pub use page::{AlertLine, GroupLines, JobLines, RuleLine, SilenceLine, TargetLine, View, render};
