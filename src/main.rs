//! The command `onnxpress`: parses arguments, calls the library, chooses an exit code.

mod cli;

use std::process::ExitCode;

use clap::Parser;

/// The command failed.
const FAILED: u8 = 1;
/// The arguments contradict each other or the model.
const USAGE: u8 = 2;
/// The result is not what was asked for: a bound or a budget was missed, nothing was done, or two models differ.
const MISSED: u8 = 3;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    onnxpress::read::watch_mapped_files();
    // The whole command runs on a large stack: the engine recurses over deep graphs.
    let work = std::thread::Builder::new().stack_size(cli::WORKER_STACK).spawn(|| cli.run());
    let Ok(ended) = work.map(std::thread::JoinHandle::join) else {
        eprintln!("error: the operating system gives no thread");
        return ExitCode::from(FAILED);
    };
    // A panic has printed its message.
    let ended = ended.unwrap_or_else(|_| {
        Err(onnxpress::Error::new(onnxpress::ErrorKind::Engine, "onnxpress crashed (a bug)"))
    });
    // Whatever was found out about a file that has changed since, or went wrong with it: this is why.
    match onnxpress::read::check_unchanged().and(ended) {
        Ok(cli::Ended::Done) => ExitCode::SUCCESS,
        Ok(cli::Ended::Missed | cli::Ended::Different) => ExitCode::from(MISSED),
        Err(error) => {
            eprintln!("error: {error}");
            match error.kind {
                onnxpress::ErrorKind::Usage => ExitCode::from(USAGE),
                _ => ExitCode::from(FAILED),
            }
        }
    }
}
