//! `prune-channels`: see `docs/passes/prune-channels.md`.

mod allocate;
mod choose;
mod cost;
mod cut;
mod data_free;
mod mask;
mod merge;
mod observed;
mod plan;
mod score;
mod separate;

pub use allocate::Loss;

pub use observed::{Measured, Part};
pub use plan::{Fitted, Surveyed};
pub use score::Importance;
pub use separate::separate_vectors;

use std::collections::BTreeSet;

use crate::analysis::channels::{Channels, Group, Options, Orbit};
use crate::analysis::{Assume, Measure, Shapes};
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::passes::prune::prune_channels::cut::Cut;
use crate::passes::prune::prune_channels::plan::Ranked;
use crate::passes::{Allocation, Budget, Context, Pass, Promise, Report, Survivors, fitting};

/// Cuts channels, hidden units and attention heads: those that give nothing, and of every group the
/// least important ones until a share is left.
#[derive(Debug, Clone, PartialEq)]
pub struct PruneChannels {
    /// Share of the orbits of each group that stays; with 1, only those go that give nothing. With a
    /// budget or counts it says nothing.
    pub ratio: f64,
    /// What the model may cost.
    pub budget: Option<Budget>,
    /// Dims of inputs at which multiply-accumulates are counted.
    pub at: Assume,
    /// Which groups give how much for a budget.
    pub allocation: Allocation,
    /// Least share of the orbits of a group that stays when a budget is spread.
    pub floor: f64,
    /// Which ones matter.
    pub importance: Importance,
    /// Channels that stay are a multiple of this many; heads are not rounded.
    pub multiple: usize,
    /// Least number of channels that stay.
    pub minimum: usize,
    /// Nodes that keep what they read and make: patterns.
    pub keep: Vec<String>,
    /// Seed of [`Importance::Random`].
    pub seed: u64,
    /// What may be cut.
    pub channels: Options,
    /// Set the weights that read the chosen channels to zero, and cut nothing: the outputs are those of
    /// the cut model, the shapes those of the original.
    pub mask: bool,
    /// What reads a channel that is cut reads a similar one that stays instead.
    pub merge: bool,
    /// What samples say about importance, where it was [learned](Self::learn).
    pub measured: Measured,
    /// Is told what the cut leaves.
    pub survivors: Survivors,
}

impl Default for PruneChannels {
    fn default() -> Self {
        Self {
            ratio: 1.0,
            budget: None,
            at: Assume::one_sample(),
            allocation: Allocation::default(),
            floor: FLOOR,
            importance: Importance::default(),
            multiple: 1,
            minimum: 1,
            keep: Vec::new(),
            seed: 0,
            channels: Options::default(),
            mask: false,
            merge: false,
            measured: Measured::default(),
            survivors: Survivors::default(),
        }
    }
}

/// A group that has lost more than this of its channels has no room left to tell things apart.
const FLOOR: f64 = 0.125;

impl Pass for PruneChannels {
    fn name(&self) -> &'static str {
        "prune-channels"
    }

    fn summary(&self) -> &'static str {
        "Cuts channels, hidden units and attention heads that matter least, or give nothing."
    }

    fn promise(&self) -> Promise {
        if self.is_lossy() { Promise::Lossy } else { Promise::Rounding }
    }

    fn run(&self, model: &mut Model, _: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let mut edited = model.clone();
        separate_vectors(&mut edited);
        let counts = self.counts(model, &mut report)?;
        // What is dead may have been all that kept something else alive; a share is cut once.
        while self.round(&mut edited, counts.as_deref(), &mut report)?
            && !self.is_lossy()
            && !self.mask
        {}
        if report.changed() {
            *model = edited;
        }
        Ok(report)
    }
}

impl PruneChannels {
    /// Whether something goes that is not dead.
    fn is_lossy(&self) -> bool {
        let counted = matches!(self.allocation, Allocation::Counts(_));
        self.ratio < 1.0 || self.budget.is_some() || counted
    }

    /// How many orbits of each group stay, when something else than a share of each decides.
    fn counts(&self, model: &Model, report: &mut Report) -> Result<Option<Vec<usize>>> {
        if let Allocation::Counts(counts) = &self.allocation {
            return Ok(Some(counts.clone()));
        }
        let Some(budget) = self.budget else { return Ok(None) };
        let fitted = self.fit(model, budget, None)?;
        if !fitted.is_reached() {
            report.warnings.push(fitted.in_words(budget.resource));
        }
        Ok(Some(fitted.counts))
    }

    /// Learns what samples say about the importance of channels of `model`; nothing when its importance
    /// needs no samples. Pruning that model, by this pass or a clone, goes by it.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    pub fn learn(&self, model: &Model, measure: &dyn Measure, part: Part) -> Result<()> {
        if !self.importance.needs_samples() {
            return Ok(());
        }
        let mut model = model.clone();
        separate_vectors(&mut model);
        let shapes = Shapes::infer(&model, &Assume::default());
        let channels = Channels::of(&model, &shapes, self.channels);
        self.measured.learn(&model, &channels, self.importance, (measure, part))
    }

    /// Cuts once; false when nothing is to be cut.
    fn round(
        &self,
        model: &mut Model,
        counts: Option<&[usize]>,
        report: &mut Report,
    ) -> Result<bool> {
        let shapes = Shapes::infer(model, &Assume::default());
        let channels = Channels::of(model, &shapes, self.channels);
        let ranked = self.rank(model, &channels);
        let left = |(i, ranked): (usize, &Ranked<'_>)| match counts {
            Some(counts) => counts.get(i).copied().unwrap_or(ranked.stock.all),
            None => ranked.stock.at(self.ratio),
        };
        let counts: Vec<usize> = ranked.iter().enumerate().map(left).collect();
        for (ranked, &left) in ranked.iter().zip(&counts) {
            let going = ranked.gone(left);
            let merged = match self.merge && !going.is_empty() {
                true => merge::merge(model, &channels, ranked.group, &going),
                false => 0,
            };
            self.note(model, &channels, ranked, (left, merged), report);
        }
        let gone = gone(&ranked, &counts);
        if gone.is_empty() {
            return Ok(false);
        }
        if self.mask {
            mask::mask(model, &channels, &shapes, &gone)?;
        } else {
            let cut = Cut::of(&channels, &gone);
            cut.apply(model)?;
            cut.tell(&self.survivors);
        }
        Ok(true)
    }

    /// Says what becomes of a group.
    fn note(
        &self,
        model: &Model,
        channels: &Channels,
        ranked: &Ranked<'_>,
        (left, merged): (usize, usize),
        report: &mut Report,
    ) {
        let place = place(model, channels, ranked.group);
        let all = ranked.stock.all;
        if let Some(reason) = &ranked.refused {
            report.refuse(place, reason);
        } else if left < all {
            let what = if ranked.group.heads { "heads" } else { "channels" };
            let each = ranked.group.members.first().map_or(1, |member| member.indices);
            let each = if each > 1 { format!(" ({each} indices each)") } else { String::new() };
            let verb = if self.mask { "unread" } else { "cut" };
            let merged = if merged > 0 { format!(", {merged} merged") } else { String::new() };
            report.did(place, format!("{} of {all} {what}{each} {verb}{merged}", all - left));
        } else if self.ratio < 1.0 || (self.is_lossy() && ranked.stock.below(all).is_none()) {
            let text = format!("none of {all} is cut: too few are there to keep a multiple");
            report.refuse(place, text);
        }
    }

    /// The pattern by which a node keeps a group.
    fn kept(&self, model: &Model, channels: &Channels, group: &Group) -> Option<&String> {
        if self.keep.is_empty() {
            return None;
        }
        touching(model, channels, group).into_iter().find_map(|n| fitting(model, n, &self.keep))
    }
}

/// The orbits that go when so many of each group stay.
fn gone<'a>(ranked: &[Ranked<'a>], counts: &[usize]) -> Vec<&'a Orbit> {
    ranked.iter().zip(counts).flat_map(|(ranked, &left)| ranked.gone(left)).collect()
}

/// Nodes that read or make a value of a group.
fn touching(model: &Model, channels: &Channels, group: &Group) -> BTreeSet<NodeId> {
    let values = group.members.iter().map(|member| model.value(channels.axes[member.axis].value));
    values
        .flat_map(|value| {
            value.producer().into_iter().chain(value.consumers().map(|(node, _)| node))
        })
        .collect()
}

/// The layers that make the channels of a group, the first ones by name.
fn place(model: &Model, channels: &Channels, group: &Group) -> String {
    let producers = channels.producers(model, group);
    match &producers[..] {
        [] => {
            let first = group.members.first();
            let name = first.map_or("", |m| model.value(channels.axes[m.axis].value).name());
            format!("value `{name}`")
        }
        [one] => model.label(*one),
        [one, others @ ..] => format!("{} and {} more", model.label(*one), others.len()),
    }
}
