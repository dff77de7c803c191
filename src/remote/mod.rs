//! Remote write: samples that others push to us, versions 1 and 2 of the protocol; and remote read ([`read`]).
//!
//! In the flow: the API hands head and body of a request to [`Receiver::receive`], which commits to the store what is fine and says what
//! was not and why. So Almenara can stand beside a Prometheus or an agent that scrapes.
//!
//! ```text
//! body ──► content: which version, snappy ──► fields: series by series ──► request: labels, samples ──► one commit
//! ```
//!
//! **Invariants.** The samples of a request become visible at once. A request that cannot be read leaves nothing. An answer of 2xx means
//! that every sample is in the store; the statistics of version 2 count what is there and nothing else.
//! **Limits.** [`DECODED_BYTES_MAX`], [`ENCODED_BYTES_MAX`], [`ITEMS_MAX`], [`REQUESTS_MAX`], [`AHEAD_MAX`].
//! **Cost.** About 1 µs a sample of a series that is known, mostly for its labels.
//! **Source.** Prometheus 3.5 `storage/remote/write_handler.go`; the specifications of remote write 1.0 and 2.0.
//! **Differs:** what is valid in a refused request of version 1 is stored, as in version 2; Prometheus drops all of it.
//! **Differs:** a sample that is out of order within its own request is refused; Prometheus says it was written and drops it.
//! **Differs:** an old sample is refused only where its series has a newer one or it is past the retention time; Prometheus also refuses
//! what lies an hour behind the newest sample of all series.
//! **Differs:** an invalid native histogram is answered with 400 and the others of its request are stored, as in Prometheus 3.14; 3.5
//! answers 500, so that the sender tries for ever.
//! **Differs:** after a wrong encoding nothing else is looked at; a reference beyond the table of texts is answered with 400, where
//! Prometheus 3.5 breaks the connection; spaces around the parameters of a content type do not matter.
//! **Differs:** what is no protocol buffer gets an error with another text.
//! **Differs:** metadata of version 1 is kept, too, and both show in `/api/v1/metadata`.

mod content;
mod fields;
mod histogram;
pub mod history;
mod labels;
pub mod message;
mod metrics;
pub mod read;
mod receiver;
mod request;

use std::time::Duration;

pub(crate) use histogram::read as read_histogram;
pub use receiver::{Receiver, Reply, Written};

/// Bytes of a request after decompression. **Source.** Prometheus 3.5.3 `decodeWriteLimit`.
pub const DECODED_BYTES_MAX: usize = 32 << 20;
/// Bytes of a body: what [`DECODED_BYTES_MAX`] needs at worst, when nothing can be compressed.
pub const ENCODED_BYTES_MAX: usize = 32 + DECODED_BYTES_MAX + DECODED_BYTES_MAX / 6;
/// Samples, histograms, exemplars, labels, texts of a request, each by themselves. A request of full size with ordinary content has fewer;
/// one of empty messages would need a hundred times its own size in memory.
pub const ITEMS_MAX: usize = 2_000_000;
/// Requests that are decoded and stored at once; further ones wait. Each may hold some hundred MiB.
pub const REQUESTS_MAX: usize = 4;
/// A sample may lie this far ahead of us. **Source.** Prometheus 3.5 `maxAheadTime`.
pub const AHEAD_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
