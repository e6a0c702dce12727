//! `cargo bench`: a sign of life of `tamis bench`, in seconds. Arguments behind `--` make it the real thing:
//! `cargo bench --bench relay -- --secs 4 --rounds 5`.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    // Cargo itself says `--bench`, and `--test` when tests are run.
    let given: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench" && word != "--test").collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tamis"));
    command.arg("bench");
    if given.is_empty() {
        command.args(["--secs", "0.3", "--rounds", "1", "--connections", "4"]);
    } else {
        command.args(&given);
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}
