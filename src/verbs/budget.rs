//! What a model may keep.

use serde::{Deserialize, Serialize};

use crate::analysis::Assume;
use crate::compress;
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Model;
use crate::passes::{Amount, Resource};
use crate::read::Loaded;
use crate::report::{BudgetReport, percent};
use crate::verbs::Encode;

/// What a model may keep of what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remaining {
    /// A share of the channels, hidden units and heads.
    Channels(f64),
    /// Multiply-accumulates of one sample.
    Macs(Amount),
    /// Stored elements.
    Parameters(Amount),
    /// Bytes of the file.
    Size(Amount),
    /// A share of the time of one run, as the engine takes it.
    Latency(f64),
}

impl Remaining {
    /// The same, where work that was found to take so long stands for a time.
    pub(super) fn timed(self, macs: u64) -> Self {
        match self {
            Self::Latency(_) => Self::Macs(Amount::Number(macs)),
            other => other,
        }
    }

    /// Whether multiply-accumulates are counted.
    pub(super) fn counts_work(self) -> bool {
        matches!(self, Self::Macs(_) | Self::Latency(_))
    }

    /// How many bytes a file may have, beside how many it has.
    pub(super) fn of_file(self, original: u64, left: u64) -> Option<BudgetReport> {
        let Self::Size(most) = self else { return None };
        let counts = "bytes of the file".to_owned();
        Some(BudgetReport { counts, original, most: most.of(original), left })
    }
}

/// That a budget is missed, and what binds, in words.
pub(super) fn missed(budget: &BudgetReport, binds: Option<&str>) -> String {
    let BudgetReport { counts, original, most, left } = budget;
    let share = |part: u64| percent(part as f64 / (*original).max(1) as f64);
    let binds = binds.map_or(String::new(), |binds| format!(": {binds}"));
    format!(
        "{} of the {counts} are left ({left}), {} may be ({most}){binds}",
        share(*left),
        share(*most)
    )
}

/// Bytes of weights that a file of `most` bytes, of the original's, has room for: the rest of the
/// file of the prepared model keeps its size.
pub(super) fn room_for_weights(
    most: Amount,
    original: &Loaded,
    prepared: &Model,
    encode: &Encode<'_>,
) -> Result<Amount> {
    let file = encode(prepared, original.external)?.len() as u64;
    let weights = Resource::WeightBytes.of(prepared, &Assume::default());
    let rest = file.saturating_sub(weights.unwrap_or(0));
    Ok(Amount::Number(most.of(original.byte_size).saturating_sub(rest)))
}

/// What a budget of multiply-accumulates cannot see, in words.
///
/// # Errors
/// When nothing can be counted before the user says how large the inputs are.
pub(super) fn countable(model: &Model, at: &Assume) -> Result<Option<String>> {
    let counted = compress::counted(model, at);
    let Some(text) = counted.in_words() else { return Ok(None) };
    if counted.free.is_empty() && counted.unknown < counted.layers {
        return Ok(Some(format!("the budget leaves out work: {text}")));
    }
    let text = format!("multiply-accumulates cannot be counted: {text}");
    let help = match counted.free.is_empty() {
        true => "--params and --ratio need no count",
        false => {
            "give samples with --data, whose dims then count, or fix the axes with --fix-dim NAME=N or --fix-shape"
        }
    };
    Err(Error::new(ErrorKind::Usage, text).help(help))
}
