//! Remote read: samples that others have, and ours for others.
//!
//! In the flow: `almenara store import` and whoever needs the history of another server ask with a [`ReadClient`]; the API answers with
//! [`Answering`].
//!
//! ```text
//! asked:     POST, snappy: queries (range, matchers), which answers are understood
//! answered:  samples    snappy: all series of each query, sample by sample
//!            chunks     frames: length, checksum, some series with chunks as the server has them on disk
//! ```
//!
//! **Invariants.** Ranges include both ends; staleness markers are samples like others. A series comes in one or more parts, in order of
//! time.
//! **Limits.** [`FRAME_BYTES_MAX`], [`ANSWER_BYTES_MAX`], [`SAMPLES_MAX`].
//! **Source.** Prometheus 3.5 `prompb/remote.proto`, `prompb/types.proto`, `storage/remote/{chunked,codec,read_handler}.go`,
//! `tsdb/chunkenc/xor.go`; <https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/>.
//! **Differs:** we answer with samples, never with chunks; native histograms leave with fractional counts.

mod answering;
mod client;
mod crc32c;
mod frames;
mod message;
mod xor;

pub use answering::{Answering, ReadRefusal};
pub use client::{ReadClient, ReadError, ReadStats};

/// Bytes of a frame. Servers make frames of about 1 MiB; one series with its labels may be longer.
pub const FRAME_BYTES_MAX: usize = 64 << 20;
/// Bytes of an answer with samples, before and after decompression.
pub const ANSWER_BYTES_MAX: usize = 1 << 30;
/// Samples of one answer of ours. **Source.** Prometheus 3.5 `storage.remote.read-sample-limit`.
pub const SAMPLES_MAX: usize = 50_000_000;

#[cfg(test)]
mod tests;
