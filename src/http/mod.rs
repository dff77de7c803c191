//! HTTP clients with TLS and authentication.
