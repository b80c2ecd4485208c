//! What a shell and `man` know of the command, from the same source as the help.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use onnxpress::{Error, ErrorKind, Result};

use super::{Cli, EXIT_STATUS, Ended, io};

const NAME: &str = "onnxpress";

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress completions bash > ~/.local/share/bash-completion/completions/onnxpress
  onnxpress completions zsh > ~/.zfunc/_onnxpress
  onnxpress completions fish > ~/.config/fish/completions/onnxpress.fish

{EXIT_STATUS}"))]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<Ended> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut visible(), NAME, &mut script);
        print(script)
    }
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress man > onnxpress.1
  onnxpress man quantize > onnxpress-quantize.1

{EXIT_STATUS}"))]
pub struct ManPage {
    /// The command that the page is about; without one it is about all.
    command: Option<String>,
}

impl ManPage {
    pub fn run(self) -> Result<Ended> {
        let mut whole = visible();
        whole.build();
        let page = match &self.command {
            None => Man::new(whole),
            Some(name) => {
                let command = whole.find_subcommand(name).cloned().ok_or_else(|| {
                    Error::new(ErrorKind::Usage, format!("there is no command `{name}`"))
                        .help("`onnxpress --help` lists them")
                })?;
                Man::new(command)
            }
        };
        let mut text = Vec::new();
        let failed = |error: std::io::Error| Error::new(ErrorKind::Io, error.to_string());
        page.render(&mut text).map_err(failed)?;
        print(text)
    }
}

/// The command without what only onnxpress itself calls.
fn visible() -> clap::Command {
    let whole = Cli::command();
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set());
    let shown: Vec<clap::Command> = shown.cloned().collect();
    clap::Command::new(NAME)
        .about(whole.get_about().cloned().unwrap_or_default())
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .after_help(EXIT_STATUS)
        .subcommands(shown)
}

fn print(bytes: Vec<u8>) -> Result<Ended> {
    let text = String::from_utf8(bytes)
        .map_err(|error| Error::new(ErrorKind::Engine, format!("no text: {error}")))?;
    io::print(&text)?;
    Ok(Ended::Done)
}
