//! The binary: see [`almenara::cmd`].

use std::process::ExitCode;

fn main() -> ExitCode {
    almenara::cmd::main(std::env::args_os())
}
