//! Remote write, beside a real Prometheus: the same requests to both, real senders, and the same data queried from both.

mod late;
mod peer;
mod requests;
mod senders;

pub(crate) use peer::{Pair, V1, pack, send};
