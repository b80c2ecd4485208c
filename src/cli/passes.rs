//! `passes`.

use clap::Args;
use onnxpress::passes::{PASSES, Pass};
use onnxpress::{Error, ErrorKind, Result};
use serde_json::json;

use super::{EXIT_STATUS, Ended, io};

/// Arguments of `passes`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub struct Passes {
    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
}

impl Passes {
    pub fn run(self) -> Result<Ended> {
        let passes: Vec<_> = PASSES.iter().map(|entry| (entry.make)()).collect();
        if self.json {
            let rows = passes.iter().map(|pass| {
                json!({
                    "name": pass.name(),
                    "promise": pass.promise().to_string(),
                    "summary": pass.summary(),
                })
            });
            io::print(&io::json(&rows.collect::<Vec<_>>())?)?;
        } else {
            let line = |pass: &dyn Pass| {
                let promise = pass.promise().to_string();
                format!("{:<26}{promise:<10}{}\n", pass.name(), pass.summary())
            };
            let lines: String = passes.iter().map(|pass| line(pass.as_ref())).collect();
            io::show(&lines)?;
        }
        Ok(Ended::Done)
    }
}

/// Names that the user gives must be passes.
pub fn check_names<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<()> {
    match names.into_iter().find(|name| onnxpress::passes::find(name).is_none()) {
        None => Ok(()),
        Some(name) => Err(Error::new(ErrorKind::Usage, format!("there is no pass `{name}`"))
            .help("`onnxpress passes` lists them")),
    }
}
