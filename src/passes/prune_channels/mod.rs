//! `prune-channels`: see `docs/passes/prune-channels.md`.

mod choose;
mod cut;
mod mask;
mod merge;
mod observed;
mod score;
mod separate;

pub use observed::Measured;
pub use score::Importance;
pub use separate::separate_vectors;

use std::collections::BTreeSet;

use crate::analysis::channels::{Channels, Group, Options, Orbit};
use crate::analysis::{Assume, Measure, Shapes};
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::passes::prune_channels::choose::{Quota, lowest};
use crate::passes::prune_channels::cut::Cut;
use crate::passes::prune_channels::score::{Norms, scores};
use crate::passes::{Context, Pass, Promise, Report, Survivors, fitting};

/// Cuts channels, hidden units and attention heads: those that give nothing, and of every group the
/// least important ones until a share is left.
#[derive(Debug, Clone, PartialEq)]
pub struct PruneChannels {
    /// Share of the orbits of each group that stays; with 1, only those go that give nothing.
    pub ratio: f64,
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

/// The orbits of a group that go.
struct Choice<'a> {
    group: &'a Group,
    gone: Vec<&'a Orbit>,
}

impl Pass for PruneChannels {
    fn name(&self) -> &'static str {
        "prune-channels"
    }

    fn summary(&self) -> &'static str {
        "Cuts channels, hidden units and attention heads that matter least, or give nothing."
    }

    fn promise(&self) -> Promise {
        if self.ratio < 1.0 { Promise::Lossy } else { Promise::Rounding }
    }

    fn run(&self, model: &mut Model, _: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let mut edited = model.clone();
        separate_vectors(&mut edited);
        // What is dead may have been all that kept something else alive; a share is cut once.
        while self.round(&mut edited, &mut report)? && self.ratio >= 1.0 && !self.mask {}
        if report.changed() {
            *model = edited;
        }
        Ok(report)
    }
}

impl PruneChannels {
    /// Learns what samples say about the importance of channels of `model`; nothing when its importance
    /// needs no samples. Pruning that model, by this pass or a clone, goes by it.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    pub fn learn(&self, model: &Model, measure: &dyn Measure) -> Result<()> {
        if !self.importance.needs_samples() {
            return Ok(());
        }
        let mut model = model.clone();
        separate_vectors(&mut model);
        let shapes = Shapes::infer(&model, &Assume::default());
        let channels = Channels::of(&model, &shapes, self.channels);
        self.measured.learn(&model, &channels, self.importance, measure)
    }

    /// Cuts once; false when nothing is to be cut.
    fn round(&self, model: &mut Model, report: &mut Report) -> Result<bool> {
        let shapes = Shapes::infer(model, &Assume::default());
        let channels = Channels::of(model, &shapes, self.channels);
        let choices = self.choose(model, &channels, report);
        let gone: Vec<&Orbit> = choices.iter().flat_map(|choice| choice.gone.clone()).collect();
        if gone.is_empty() {
            return Ok(false);
        }
        for choice in &choices {
            let (all, gone) = (choice.group.orbits.len(), choice.gone.len());
            let what = if choice.group.heads { "heads" } else { "channels" };
            let each = choice.group.members.first().map_or(1, |member| member.indices);
            let each = if each > 1 { format!(" ({each} indices each)") } else { String::new() };
            let verb = if self.mask { "unread" } else { "cut" };
            let merged = match self.merge {
                true => merge::merge(model, &channels, choice.group, &choice.gone),
                false => 0,
            };
            let merged = if merged > 0 { format!(", {merged} merged") } else { String::new() };
            report.did(
                place(model, &channels, choice.group),
                format!("{gone} of {all} {what}{each} {verb}{merged}"),
            );
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

    fn choose<'a>(
        &self,
        model: &Model,
        channels: &'a Channels,
        report: &mut Report,
    ) -> Vec<Choice<'a>> {
        let measured = self.measured.of(model, channels, self.importance);
        let norms = Norms::of(model, channels, self.importance);
        let Self { ratio, multiple, minimum, .. } = *self;
        let quota = Quota { ratio, multiple, minimum };
        let mut choices = Vec::new();
        for (i, group) in channels.groups.iter().enumerate() {
            if let Some(pattern) = self.kept(model, channels, group) {
                let text = format!("kept by `{pattern}`");
                report.refuse(place(model, channels, group), text);
                continue;
            }
            let dead = norms.dead(channels, group);
            let left = quota.left(group, dead.iter().filter(|&&dead| dead).count());
            let scores = match measured[i].clone() {
                Some(scores) => scores,
                None => scores(&norms, group, self.importance, self.seed),
            };
            let gone = lowest(&scores, &dead, left);
            let gone: Vec<&Orbit> = gone.into_iter().map(|i| &group.orbits[i]).collect();
            if !gone.is_empty() {
                choices.push(Choice { group, gone });
            } else if ratio < 1.0 {
                let all = group.orbits.len();
                let text = format!("none of {all} is cut: too few are there to keep a multiple");
                report.refuse(place(model, channels, group), text);
            }
        }
        choices
    }

    /// The pattern by which a node keeps a group.
    fn kept(&self, model: &Model, channels: &Channels, group: &Group) -> Option<&String> {
        if self.keep.is_empty() {
            return None;
        }
        touching(model, channels, group).into_iter().find_map(|n| fitting(model, n, &self.keep))
    }
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
