//! The configuration file, composed of the parts' own.
