//! One request to a target: headers, streamed body, limits, decompression.
//!
//! **Limits.** The time covers connection, answer and body. A body is refused as soon as it is over its limit, as it comes
//! and again while it is decompressed; what unpacks to more than [`PLAUSIBLE_RATIO`] times its length is measured before it is kept.
//! So an endless body takes no more memory than the limit, and a bomb no more than some times what came; and all bodies together
//! take no more than there is room for.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;

use super::BODY_BYTES_MAX;
use super::config::ScrapeConfig;
use super::error::ScrapeError;
use super::protocol::accept_header;
use super::room::Lease;
use super::target::Target;
use crate::http::{Client, Response};

/// Bytes that a body is first given room for when it is decompressed.
const DECOMPRESS_ROOM: usize = 64 << 10;
/// Bytes that are unpacked before more room is asked for.
const UNPACK_PIECE: u64 = 1 << 20;
/// How many times as long as it came a page may be without being measured first. Real ones shrink to a tenth or a thirtieth;
/// a bomb, to a thousandth.
const PLAUSIBLE_RATIO: usize = 64;

/// What a target answered, not decompressed yet.
#[derive(Debug)]
pub(super) struct Fetched {
    bytes: Bytes,
    is_gzip: bool,
    /// Of the uncompressed body, empty where the target sent none.
    pub(super) content_type: String,
    limit: usize,
    /// For the body as it came and unpacked.
    lease: Lease,
}

/// Asks `target`. `lease` is for the body, whose last one had `last_len` bytes as it came.
pub(super) async fn fetch(
    client: &Client,
    config: &ScrapeConfig,
    target: &Target,
    (mut lease, last_len): (Lease, usize),
) -> Result<Fetched, ScrapeError> {
    let accept = accept_header(&config.scrape_protocols, config.names.escaping);
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
    let bytes = read(response, limit, (&mut lease, last_len)).await?;
    Ok(Fetched { bytes, is_gzip: encoding.eq_ignore_ascii_case("gzip"), content_type, limit, lease })
}

async fn read(
    mut response: Response,
    limit: usize,
    (lease, last_len): (&mut Lease, usize),
) -> Result<Bytes, ScrapeError> {
    // Bodies are about as long as the last: one that grows by doubling is copied as often as it is long.
    let mut body = BytesMut::with_capacity((last_len + last_len / 16).min(limit));
    while let Some(piece) = response.chunk().await.map_err(ScrapeError::Body)? {
        let length = body.len() + piece.len();
        if length > limit {
            return Err(ScrapeError::BodySize);
        }
        lease.grow_to(length)?;
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

impl Fetched {
    /// Bytes as they came.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether reading it takes so long that it must not be done on a thread that serves others.
    pub(super) fn is_large(&self) -> bool {
        self.is_gzip || self.bytes.len() > super::INLINE_BYTES_MAX
    }

    /// The body as the target wrote it.
    pub(super) fn body(&mut self) -> Result<Bytes, ScrapeError> {
        if !self.is_gzip {
            return Ok(self.bytes.clone());
        }
        let plausible = self.bytes.len().saturating_mul(PLAUSIBLE_RATIO).max(DECOMPRESS_ROOM).min(self.limit);
        let body = self.unpack(DECOMPRESS_ROOM, plausible)?;
        if body.len() <= plausible {
            return Ok(body.into());
        }
        drop(body);
        // More than a page can shrink: measured before it gets the room.
        let mut rest = MultiGzDecoder::new(&*self.bytes).take(one_more_than(self.limit));
        let length = io::copy(&mut rest, &mut io::sink()).map_err(|error| ScrapeError::of_gzip(&error))?;
        match usize::try_from(length) {
            Ok(length) if length <= self.limit => Ok(self.unpack(length, self.limit)?.into()),
            _ => Err(ScrapeError::BodySize),
        }
    }

    /// At most `limit` bytes, and one more where there are more. `room` is what is made ready for them.
    fn unpack(&mut self, room: usize, limit: usize) -> Result<Vec<u8>, ScrapeError> {
        let mut body = Vec::with_capacity(room);
        let mut rest = MultiGzDecoder::new(&*self.bytes).take(one_more_than(limit));
        loop {
            let piece = (&mut rest).take(UNPACK_PIECE).read_to_end(&mut body);
            if piece.map_err(|error| ScrapeError::of_gzip(&error))? == 0 {
                return Ok(body);
            }
            self.lease.grow_to(self.bytes.len() + body.len())?;
        }
    }
}

/// One byte over the limit tells a body of exactly the limit from a longer one.
fn one_more_than(limit: usize) -> u64 {
    (limit as u64).saturating_add(1)
}

/// As Prometheus writes it: `10`, `1.5`.
fn seconds(duration: Duration) -> String {
    format!("{}", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::room::Room;
    use std::io::Write;
    use std::sync::Arc;

    fn gzipped(bytes: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let lease = || Arc::new(Room::default()).lease();
        let fetched =
            |bytes, limit| Fetched { bytes, is_gzip: true, content_type: String::new(), limit, lease: lease() };
        let body = vec![b'x'; 1 << 20];
        assert_eq!(fetched(gzipped(&body), 1 << 20).body().unwrap().len(), 1 << 20);
        assert_eq!(fetched(gzipped(&body), (1 << 20) - 1).body(), Err(ScrapeError::BodySize));
        assert!(matches!(fetched(Bytes::from_static(b"no gzip"), 10).body(), Err(ScrapeError::Gzip(_))));
    }

    #[test]
    fn what_is_packed_badly_is_named_as_go_names_it() {
        let said = |bytes: &[u8]| {
            let bytes = Bytes::copy_from_slice(bytes);
            let lease = Arc::new(Room::default()).lease();
            let mut fetched = Fetched { bytes, is_gzip: true, content_type: String::new(), limit: 1 << 20, lease };
            fetched.body().map_err(|error| error.to_string())
        };
        let whole = gzipped(&b"a 1\n".repeat(1000));
        assert_eq!(said(&whole).unwrap(), b"a 1\n".repeat(1000));
        assert_eq!(said(&whole[..whole.len() / 2]), Err("unexpected EOF".to_owned()));
        assert_eq!(said(b"a 1\na 2\na 3\na 4\n"), Err("gzip: invalid header".to_owned()));
        let mut wrong = whole.to_vec();
        let at = wrong.len() - 6;
        wrong[at] ^= 1;
        assert_eq!(said(&wrong), Err("gzip: invalid checksum".to_owned()));
    }

    #[test]
    fn timeouts_are_told_in_seconds() {
        assert_eq!(seconds(Duration::from_secs(10)), "10");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5");
    }
}
