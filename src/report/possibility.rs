//! What could be done to a model, as `inspect --possible` shows it.

use std::fmt;

use serde::Serialize;

use crate::compress::Possible;

/// What one command could do with its usual options, and what is in the way.
#[derive(Debug, Clone, Serialize)]
pub struct PossibilityReport {
    /// The command.
    pub command: String,
    /// What it would do: place and text.
    pub would: Vec<[String; 2]>,
    /// What it would decline: place and reason.
    pub declines: Vec<[String; 2]>,
}

impl From<&Possible> for PossibilityReport {
    fn from(possible: &Possible) -> Self {
        let notes = |notes: &[crate::passes::Note]| {
            notes.iter().map(|note| [note.place.clone(), note.text.clone()]).collect()
        };
        Self {
            command: possible.command.to_owned(),
            would: notes(&possible.report.done),
            declines: notes(&possible.report.refused),
        }
    }
}

impl fmt::Display for PossibilityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (would, declines) = (self.would.len(), self.declines.len());
        writeln!(f, "{}: {would} edits, {declines} declined", self.command)?;
        for [place, text] in &self.would {
            writeln!(f, "  would     {place}: {text}")?;
        }
        for [place, text] in &self.declines {
            writeln!(f, "  declines  {place}: {text}")?;
        }
        Ok(())
    }
}
