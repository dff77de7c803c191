//! What a request says it is, and its decompression.
//!
//! **Source.** Prometheus 3.5 `storage/remote/write_handler.go` (`parseProtoMsg`), whose texts these are; Go's `golang/snappy`.

use bytes::Bytes;

use super::{DECODED_BYTES_MAX, ENCODED_BYTES_MAX};

const MEDIA_TYPE: &str = "application/x-protobuf";
const MESSAGE_V1: &str = "prometheus.WriteRequest";
const MESSAGE_V2: &str = "io.prometheus.write.v2.Request";

/// Which protocol a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// From `Content-Type`. Old senders say nothing and mean version 1.
pub(super) fn version(content_type: &str) -> Result<Version, String> {
    let content_type = content_type.trim();
    if content_type.is_empty() {
        return Ok(Version::V1);
    }
    let mut parts = content_type.split(';');
    if parts.next().map(str::trim) != Some(MEDIA_TYPE) {
        return Err(format!("expected {MEDIA_TYPE} as the first (media) part, got {content_type} content-type"));
    }
    for part in parts {
        let pair: Vec<&str> = part.split('=').map(str::trim).collect();
        let [name, value] = pair[..] else {
            return Err(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {part} in \
                 {content_type} content-type"
            ));
        };
        match (name, value) {
            ("proto", MESSAGE_V1) => return Ok(Version::V1),
            ("proto", MESSAGE_V2) => return Ok(Version::V2),
            ("proto", other) => {
                return Err(format!(
                    "got {content_type} content type; unknown remote write protobuf message {other}, supported: {MESSAGE_V1}, \
                     {MESSAGE_V2}"
                ));
            }
            _ => {}
        }
    }
    Ok(Version::V1)
}

/// Refuses a `Content-Encoding` other than snappy. Old senders say nothing and mean snappy.
pub(super) fn check_encoding(encoding: &str) -> Result<(), String> {
    match encoding {
        "" => Ok(()),
        encoding if encoding.eq_ignore_ascii_case("snappy") => Ok(()),
        encoding => {
            Err(format!("{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"))
        }
    }
}

/// The body without snappy.
pub(super) fn decompress(body: &[u8]) -> Result<Bytes, String> {
    if body.len() > ENCODED_BYTES_MAX {
        return Err(format!("snappy: encoded length {} exceeds limit {ENCODED_BYTES_MAX}", body.len()));
    }
    // An empty body has no header, which the library takes for an empty message.
    if body.is_empty() {
        return Err("snappy: corrupt input".to_owned());
    }
    match snap::raw::decompress_len(body) {
        Ok(length) if length > DECODED_BYTES_MAX => {
            Err(format!("snappy: decoded length {length} exceeds limit {DECODED_BYTES_MAX}"))
        }
        Ok(_) => snap::raw::Decoder::new()
            .decompress_vec(body)
            .map(Bytes::from)
            .map_err(|_| "snappy: corrupt input".to_owned()),
        Err(snap::Error::TooBig { given, .. }) => {
            Err(format!("snappy: decoded length {given} exceeds limit {DECODED_BYTES_MAX}"))
        }
        Err(_) => Err("snappy: corrupt input".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for (text, expected) in [
            ("", Ok(Version::V1)),
            ("application/x-protobuf", Ok(Version::V1)),
            ("application/x-protobuf;proto=prometheus.WriteRequest", Ok(Version::V1)),
            ("application/x-protobuf;proto=io.prometheus.write.v2.Request", Ok(Version::V2)),
            ("application/x-protobuf; charset=utf-8; proto=io.prometheus.write.v2.Request", Ok(Version::V2)),
            ("application/x-protobuf;charset=utf-8", Ok(Version::V1)),
            (
                "application/json",
                Err("expected application/x-protobuf as the first (media) part, got application/json content-type"),
            ),
            (
                "application/x-protobuf;proto",
                Err(
                    "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got proto in application/x-protobuf;proto content-type",
                ),
            ),
            (
                "application/x-protobuf;proto=x",
                Err(
                    "got application/x-protobuf;proto=x content type; unknown remote write protobuf message x, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request",
                ),
            ),
        ] {
            assert_eq!(version(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn bodies() {
        let packed = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
        assert_eq!(decompress(&packed(b"hello")), Ok(Bytes::from_static(b"hello")));
        assert_eq!(decompress(&packed(b"")), Ok(Bytes::new()));
        for broken in [&b""[..], b"\xff", b"\x05hell", &packed(b"hello hello hello hello")[..9]] {
            assert_eq!(decompress(broken), Err("snappy: corrupt input".to_owned()), "{broken:?}");
        }
        let text = "snappy: decoded length 33554433 exceeds limit 33554432";
        assert_eq!(decompress(&packed(&vec![0; DECODED_BYTES_MAX + 1])), Err(text.to_owned()));
        assert_eq!(
            decompress(b"\x80\x80\x80\x80\x08\0"),
            Err("snappy: decoded length 2147483648 exceeds limit 33554432".to_owned())
        );
    }
}
