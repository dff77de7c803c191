//! The binary: see [`almenara::cmd`].

fn main() {}
