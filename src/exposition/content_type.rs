//! Which format a body has, by its `Content-Type`.
//!
//! **Source.** Prometheus 3.5 `model/textparse/interface.go`, its texts included. **Differs:** only the media type is read;
//! malformed parameters after it are no error.

use std::fmt;

/// A text format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The Prometheus text format, versions 0.0.4 and 1.0.0.
    Text,
    /// OpenMetrics text, versions 0.0.1 and 1.0.0.
    OpenMetrics,
}

/// How a body is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyFormat {
    /// As lines of text.
    Text(Format),
    /// As length-delimited messages.
    Protobuf,
}

impl BodyFormat {
    /// The format that `content_type` names. Where it names none, the configured `fallback` counts.
    pub fn from_content_type(content_type: &str, fallback: Option<BodyFormat>) -> Result<BodyFormat, ContentTypeError> {
        let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match media_type.as_str() {
            "text/plain" => Ok(BodyFormat::Text(Format::Text)),
            "application/openmetrics-text" => Ok(BodyFormat::Text(Format::OpenMetrics)),
            "application/vnd.google.protobuf" => Ok(BodyFormat::Protobuf),
            _ if fallback.is_some() => fallback.ok_or(ContentTypeError::Blank),
            _ if content_type.is_empty() => Err(ContentTypeError::Blank),
            "" => Err(ContentTypeError::Malformed(content_type.to_owned())),
            _ => Err(ContentTypeError::Unsupported(content_type.to_owned())),
        }
    }
}

/// Why a body cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ContentTypeError {
    /// The header is missing or empty.
    Blank,
    /// It holds no media type.
    Malformed(String),
    /// Another format, such as JSON or HTML.
    Unsupported(String),
}

impl fmt::Display for ContentTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContentTypeError::Blank => f.write_str(
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target",
            ),
            ContentTypeError::Malformed(text) => {
                write!(f, "cannot parse Content-Type {text:?} and no fallback_scrape_protocol for target")
            }
            ContentTypeError::Unsupported(text) => {
                write!(f, "received unsupported Content-Type {text:?} and no fallback_scrape_protocol specified for target")
            }
        }
    }
}

impl std::error::Error for ContentTypeError {}
