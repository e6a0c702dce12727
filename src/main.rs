//! The program `tamis`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tamis::cli::main()
}
