//! What is kept, what is refused, copies and imports: our own binary, and a real Prometheus as source and as reader.

mod demand;
mod federation;
mod import;
mod limits;
mod snapshot;
