//! The command line: runs one command and turns its result into an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    storagewatch::cli::run(std::env::args_os()).into()
}
