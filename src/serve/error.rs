//! Why the daemon cannot start or take a configuration.

use std::fmt;
use std::io;

use crate::disk::DiskError;
use crate::http::HttpError;
use crate::source::Diagnostics;

/// What went wrong, with the facts that people need.
#[derive(Debug)]
pub enum ServeError {
    /// The configuration has errors; all of them.
    Configuration(Diagnostics),
    /// An address cannot be listened on.
    Listen {
        /// The address as given.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// A setting that cannot be used, and what to write.
    Setting(String),
    /// An HTTP client of the configuration cannot be made: a certificate, say.
    Client(HttpError),
    /// Another process has the folder of samples.
    Storage(DiskError),
    /// The process lacks something of the system.
    System(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Configuration(diagnostics) => write!(f, "{diagnostics}"),
            ServeError::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            ServeError::Setting(message) => f.write_str(message),
            ServeError::Client(error) => write!(f, "{error}"),
            ServeError::Storage(error) => write!(f, "--storage.path: {error}"),
            ServeError::System(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<HttpError> for ServeError {
    fn from(error: HttpError) -> Self {
        ServeError::Client(error)
    }
}
