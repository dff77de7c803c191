//! Text that people wrote, and what is wrong with it: files with positions, diagnostics, YAML with positions.
//!
//! In the flow: every format that users write (configuration, rules, SLOs, routers, tests) is read through [`yaml`] and
//! decoded through [`decode`], with the keys of [`keys`], so that a file gives *all* its errors at once, each with line and column.
//! **No I/O.** A [`SourceFile`] is handed in with its text.

pub mod decode;
mod diagnostic;
mod duration;
pub mod edit;
mod everyday;
pub mod keys;
mod mask;
mod secret;
mod size;
pub mod suggest;
pub mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Level, Position, SourceFile, Span};
pub use duration::{DurationError, format_duration, parse_duration};
pub use mask::masked;
pub use secret::Secret;
pub use size::{format_bytes, parse_bytes};
