//! Turns words into options and reports into output; one file for each subcommand.

mod accuracy;
mod budget;
mod calibrate;
mod compare;
mod convert;
#[cfg(test)]
mod defaults;
mod diff;
mod distill;
mod engine;
mod factorize;
mod fixing;
mod inspect;
mod io;
mod leftovers;
mod limits;
mod page;
mod passes;
mod progress;
mod prune;
mod quantization;
mod quantize;
mod shell;
mod simplify;
mod sparsity;
mod standard;
mod statistics;
mod widths;
mod worker;

use clap::{Args, Parser, Subcommand};

/// How a command ended, apart from errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything was done.
    Done,
    /// The result is there, but it is not what was asked for: a bound or a budget was missed, or nothing was done.
    Missed,
    /// The models compared are not the same, and the caller asked to be told by the exit code.
    Different,
}

/// Makes ONNX models smaller and faster, and proves by execution that they still work.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_STATUS, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Ends the help of every command.
const EXIT_STATUS: &str = "Exit status:
  0  done
  1  failed
  2  wrong arguments
  3  written, but not what was asked for: a bound (--min-sqnr, --max-drop) or a budget was missed,
     or nothing was done that could be; the report says what, and why";

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what a model is made of.
    Inspect(inspect::Inspect),
    /// Remove and merge nodes without changing what the model computes.
    Simplify(simplify::Simplify),
    /// Cut channels, hidden units and attention heads.
    Prune(prune::Prune),
    /// Replace layers by products of smaller ones.
    Factorize(factorize::Factorize),
    /// Train a model to compute what another one computes.
    Distill(distill::Distill),
    /// Store weights and compute with integers.
    Quantize(quantize::Quantize),
    /// Run a model over samples and write down what its values are, for `quantize --stats`.
    Calibrate(calibrate::Calibrate),
    /// Put statistics of several parts of the samples together.
    Merge(calibrate::Merge),
    /// Run two models on the same samples and say how far apart they are.
    Compare(compare::Compare),
    /// Say what differs between two models, node by node and weight by weight.
    Diff(diff::DiffCommand),
    /// Write a model again, with its weights inside or in a file of their own.
    Convert(convert::Convert),
    /// Print a model in ONNX text syntax.
    Print(convert::Print),
    /// List the passes: name, promise, summary.
    Passes(passes::Passes),
    /// Print what a shell needs to complete commands and options.
    Completions(shell::Completions),
    /// Print the page for `man`, of all commands or of one.
    Man(shell::ManPage),
    /// Execute models for another process of onnxpress.
    #[command(name = onnxpress::exec::WORKER, hide = true)]
    Worker,
}

/// How a command with a report talks.
#[derive(Debug, Args)]
struct Talk {
    /// Print the report as JSON on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    words: Words,
}

/// What a command says besides its result.
#[derive(Debug, Args)]
struct Words {
    /// Print nothing but the result, errors and warnings.
    #[arg(short, long)]
    quiet: bool,
}

/// How a command computes.
#[derive(Debug, Args)]
struct Work {
    /// Number of threads, at most 256; by default, or with 0, one for each processor.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Stack of a worker in bytes: the engine recurses over deep graphs.
pub const WORKER_STACK: usize = 64 << 20;

/// Threads beyond these wait for each other on any machine, and take memory. More are not started.
const MOST_THREADS: usize = 256;

impl Work {
    fn start(&self) -> onnxpress::Result<()> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads.unwrap_or(0).min(MOST_THREADS))
            .stack_size(WORKER_STACK)
            .build_global()
            .map_err(|error| onnxpress::Error::new(onnxpress::ErrorKind::Engine, error.to_string()))
    }
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// As the command says.
    pub fn run(self) -> onnxpress::Result<Ended> {
        match self.command {
            Command::Inspect(command) => command.run(),
            Command::Simplify(command) => command.run(),
            Command::Quantize(command) => command.run(),
            Command::Prune(command) => command.run(),
            Command::Factorize(command) => command.run(),
            Command::Distill(command) => command.run(),
            Command::Calibrate(command) => command.run(),
            Command::Merge(command) => command.run(),
            Command::Compare(command) => command.run(),
            Command::Diff(command) => command.run(),
            Command::Convert(command) => command.run(),
            Command::Print(command) => command.run(),
            Command::Passes(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
            Command::Worker => worker::run(),
        }
    }
}
