//! The Go `text/template` dialect of rules.
