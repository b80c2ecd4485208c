//! `passes`.

use clap::Args;
use onnxpress::Result;
use onnxpress::passes::PASSES;
use serde_json::json;

use super::{EXIT_STATUS, Ended};

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
            println!("{:#}", serde_json::Value::Array(rows.collect()));
        } else {
            for pass in passes {
                println!("{:<26}{:<10}{}", pass.name(), pass.promise().to_string(), pass.summary());
            }
        }
        Ok(Ended::Done)
    }
}
