//! The command `onnxpress`: parses arguments, calls the library, chooses an exit code.

mod cli;

use std::process::ExitCode;

use clap::Parser;

/// The command failed.
const FAILED: u8 = 1;
/// The arguments contradict each other or the model.
const USAGE: u8 = 2;
/// The command did its work, but a bound was missed, or two models differ.
const BOUND_MISSED: u8 = 3;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(cli::Ended::Done) => ExitCode::SUCCESS,
        Ok(cli::Ended::BoundMissed | cli::Ended::Different) => ExitCode::from(BOUND_MISSED),
        Err(error) => {
            eprintln!("error: {error}");
            match error.kind {
                onnxpress::ErrorKind::Usage => ExitCode::from(USAGE),
                _ => ExitCode::from(FAILED),
            }
        }
    }
}
