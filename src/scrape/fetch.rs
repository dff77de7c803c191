//! One request to a target: headers, streamed body, limits, decompression.
//!
//! **Limits.** The time covers connection, answer and body. A body is refused as soon as it is over its limit, as it comes
//! and again while it is decompressed, so that neither an endless body nor a bomb takes more memory than twice the limit.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use super::BODY_BYTES_MAX;
use super::config::ScrapeConfig;
use super::error::ScrapeError;
use super::protocol::accept_header;
use super::target::Target;
use crate::http::Client;

/// Bytes that a body is first given room for when it is decompressed.
const DECOMPRESS_ROOM: usize = 64 << 10;

/// What a target answered, not decompressed yet.
#[derive(Debug)]
pub(super) struct Fetched {
    bytes: Bytes,
    is_gzip: bool,
    /// Of the uncompressed body, empty where the target sent none.
    pub(super) content_type: String,
    limit: usize,
}

/// Asks `target`.
pub(super) async fn fetch(client: &Client, config: &ScrapeConfig, target: &Target) -> Result<Fetched, ScrapeError> {
    let accept = accept_header(&config.scrape_protocols);
    let timeout_secs = seconds(target.timeout);
    let headers = [
        ("accept", accept.as_str()),
        ("accept-encoding", if config.enable_compression { "gzip" } else { "identity" }),
        ("x-prometheus-scrape-timeout-seconds", timeout_secs.as_str()),
    ];
    let response = client.get(&target.url, &headers, target.timeout).await?;
    if response.status() != 200 {
        return Err(ScrapeError::Status(response.status_text()));
    }
    let header = |name| response.header(name).unwrap_or_default().to_owned();
    let (content_type, encoding) = (header("content-type"), header("content-encoding"));
    let limit = match config.limits.body_bytes {
        0 => BODY_BYTES_MAX,
        bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
    };
    let bytes = response.bytes(limit).await?;
    Ok(Fetched { bytes, is_gzip: encoding.eq_ignore_ascii_case("gzip"), content_type, limit })
}

impl Fetched {
    /// Whether reading it takes so long that it must not be done on a thread that serves others.
    pub(super) fn is_large(&self) -> bool {
        self.is_gzip || self.bytes.len() > super::INLINE_BYTES_MAX
    }

    /// The body as the target wrote it.
    pub(super) fn body(&self) -> Result<Bytes, ScrapeError> {
        if !self.is_gzip {
            return Ok(self.bytes.clone());
        }
        let mut body = Vec::with_capacity(DECOMPRESS_ROOM);
        // One byte over the limit tells a body of exactly the limit from a longer one.
        let readable = (self.limit as u64).saturating_add(1);
        let read = MultiGzDecoder::new(&*self.bytes).take(readable).read_to_end(&mut body);
        read.map_err(|error| ScrapeError::Gzip(error.to_string()))?;
        if body.len() > self.limit { Err(ScrapeError::BodySize) } else { Ok(body.into()) }
    }
}

/// As Prometheus writes it: `10`, `1.5`.
fn seconds(duration: Duration) -> String {
    format!("{}", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzipped(bytes: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let fetched = |bytes, limit| Fetched { bytes, is_gzip: true, content_type: String::new(), limit };
        let body = vec![b'x'; 1 << 20];
        assert_eq!(fetched(gzipped(&body), 1 << 20).body().unwrap().len(), 1 << 20);
        assert_eq!(fetched(gzipped(&body), (1 << 20) - 1).body(), Err(ScrapeError::BodySize));
        assert!(matches!(fetched(Bytes::from_static(b"no gzip"), 10).body(), Err(ScrapeError::Gzip(_))));
    }

    #[test]
    fn timeouts_are_told_in_seconds() {
        assert_eq!(seconds(Duration::from_secs(10)), "10");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5");
    }
}
