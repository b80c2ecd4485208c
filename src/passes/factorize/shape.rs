//! What a layer can become, and what that costs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::math::Windows;

/// How a layer is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A matrix becomes a product of two.
    Matrix,
    /// The windows make fewer channels, from which all others are mixed.
    Channel,
    /// The windows read fewer channels, mixed from all.
    Input,
    /// Both: Tucker's decomposition along the channels.
    Tucker,
    /// Windows along the first axis, then along the others.
    Spatial,
}

impl Form {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Matrix, Self::Channel, Self::Input, Self::Tucker, Self::Spatial];

    /// The name, as options and reports give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::Channel => "channel",
            Self::Input => "input",
            Self::Tucker => "tucker",
            Self::Spatial => "spatial",
        }
    }

    /// The form of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|form| form.name() == name)
    }

    /// How many ranks it has.
    pub fn ranks(self) -> usize {
        if self == Self::Tucker { 2 } else { 1 }
    }
}

/// A form, and how many channels lie between its parts; within each group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The form.
    pub form: Form,
    /// One number, or two for [`Form::Tucker`].
    pub ranks: Vec<usize>,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranks: Vec<String> = self.ranks.iter().map(ToString::to_string).collect();
        write!(f, "{} {}", self.form.name(), ranks.join(" and "))
    }
}

/// The axes along which a part has windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    None,
    All,
    First,
    Rest,
}

impl Reach {
    pub fn covers(self, axis: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::First => axis == 0,
            Self::Rest => axis > 0,
        }
    }
}

/// One of the layers that a layer becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stage {
    /// Channels within a group.
    pub inputs: usize,
    pub outputs: usize,
    pub reach: Reach,
}

/// The extents of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extents {
    pub groups: usize,
    /// Channels within a group.
    pub inputs: usize,
    pub outputs: usize,
    /// Of a layer without windows, none.
    pub kernel: Vec<usize>,
    pub transposed: bool,
    /// Extents of a sample before and after; of a layer without windows, how many vectors it reads.
    pub positions: Option<(Vec<usize>, Vec<usize>)>,
}

/// What a layer, or several, cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub parameters: u64,
    /// Where the extents are known.
    pub macs: Option<u64>,
}

impl Extents {
    /// Elements of a window along the axes that a part reaches.
    pub fn places(&self, reach: Reach) -> usize {
        let covered = self.kernel.iter().enumerate().filter(|&(axis, _)| reach.covers(axis));
        covered.map(|(_, &extent)| extent).product()
    }

    /// The largest rank of a form, for Tucker's the one for the outputs when the other one is `first`;
    /// 0 when the layer has no such form.
    pub fn most(&self, form: Form, first: usize) -> usize {
        let (all, rest) = (self.places(Reach::All), self.places(Reach::Rest));
        let windows = !self.kernel.is_empty();
        let matrix = self.outputs.min(self.inputs.saturating_mul(all));
        match form {
            Form::Matrix if !windows => matrix,
            Form::Channel if windows => matrix,
            Form::Input if windows && all > 1 => self.inputs.min(self.outputs.saturating_mul(all)),
            Form::Tucker if windows && all > 1 => self.outputs.min(first.saturating_mul(all)),
            Form::Spatial if windows && rest > 1 && rest < all => {
                let lines = self.inputs.saturating_mul(all / rest);
                lines.min(self.outputs.saturating_mul(rest))
            }
            _ => 0,
        }
    }

    /// Whether a layer can become that.
    pub fn admits(&self, split: &Split) -> bool {
        let [first, last] =
            [split.ranks.first(), split.ranks.last()].map(|rank| *rank.unwrap_or(&0));
        let mixed = split.form != Form::Tucker || first <= self.most(Form::Input, 0);
        let fits = last <= self.most(split.form, first) && mixed;
        split.ranks.len() == split.form.ranks() && first > 0 && last > 0 && fits
    }

    /// The layers of a split.
    pub fn stages(&self, split: &Split) -> Vec<Stage> {
        let Self { inputs, outputs, .. } = *self;
        let rank = split.ranks.first().copied().unwrap_or(0);
        let last = split.ranks.last().copied().unwrap_or(0);
        let stage = |inputs, outputs, reach| Stage { inputs, outputs, reach };
        match split.form {
            Form::Matrix => {
                vec![stage(inputs, rank, Reach::None), stage(rank, outputs, Reach::None)]
            }
            Form::Channel => {
                vec![stage(inputs, rank, Reach::All), stage(rank, outputs, Reach::None)]
            }
            Form::Input => {
                vec![stage(inputs, rank, Reach::None), stage(rank, outputs, Reach::All)]
            }
            Form::Tucker => vec![
                stage(inputs, rank, Reach::None),
                stage(rank, last, Reach::All),
                stage(last, outputs, Reach::None),
            ],
            Form::Spatial => {
                vec![stage(inputs, rank, Reach::First), stage(rank, outputs, Reach::Rest)]
            }
        }
    }

    /// The layer as it is.
    pub fn whole(&self) -> Cost {
        let reach = if self.kernel.is_empty() { Reach::None } else { Reach::All };
        self.cost(&[Stage { inputs: self.inputs, outputs: self.outputs, reach }])
    }

    /// What layers in a row cost in its place, without biases.
    pub fn cost(&self, stages: &[Stage]) -> Cost {
        let mut cost = Cost { parameters: 0, macs: Some(0) };
        let mut reached = vec![false; self.kernel.len()];
        for stage in stages {
            let weights = [self.groups, stage.inputs, stage.outputs, self.places(stage.reach)];
            let weights = weights.iter().fold(1u64, |all, &n| all.saturating_mul(n as u64));
            let before = self.count(&reached);
            for (axis, reached) in reached.iter_mut().enumerate() {
                *reached |= stage.reach.covers(axis);
            }
            let after = self.count(&reached);
            let positions = if self.transposed { before } else { after };
            cost.parameters = cost.parameters.saturating_add(weights);
            cost.macs = cost
                .macs
                .zip(positions)
                .map(|(macs, n)| macs.saturating_add(weights.saturating_mul(n)));
        }
        cost
    }

    /// Positions when these axes are those of the output.
    fn count(&self, reached: &[bool]) -> Option<u64> {
        let (before, after) = self.positions.as_ref()?;
        let axes = before.iter().zip(after).enumerate();
        let extent = |(axis, (&before, &after)): (usize, (&usize, &usize))| {
            if reached.get(axis).copied().unwrap_or(true) { after } else { before }
        };
        Some(axes.map(extent).fold(1u64, |all, n| all.saturating_mul(n as u64)))
    }
}

/// The windows of a part: those of the layer along the axes that it reaches, and points elsewhere.
pub(super) fn along<T: Copy>(numbers: &[T], reach: Reach, point: T) -> Vec<T> {
    let axis = |(axis, &number): (usize, &T)| if reach.covers(axis) { number } else { point };
    numbers.iter().enumerate().map(axis).collect()
}

impl Extents {
    /// Of a layer with these windows; `positions` are its extents before and after.
    pub fn of_windows(
        windows: &Windows,
        (inputs, outputs): (usize, usize),
        positions: Option<(Vec<usize>, Vec<usize>)>,
    ) -> Self {
        Self {
            groups: windows.groups,
            inputs,
            outputs,
            kernel: windows.kernel.clone(),
            transposed: windows.transposed,
            positions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cost_what_layers_of_their_extents_cost() {
        let extents = Extents {
            groups: 1,
            inputs: 8,
            outputs: 16,
            kernel: vec![3, 5],
            transposed: false,
            positions: Some((vec![10, 10], vec![5, 10])),
        };
        let cost = |form, ranks: &[usize]| {
            extents.cost(&extents.stages(&Split { form, ranks: ranks.to_vec() }))
        };
        let of = |parameters, macs| Cost { parameters, macs: Some(macs) };
        assert_eq!(extents.whole(), of(1920, 1920 * 50));
        assert_eq!(cost(Form::Channel, &[4]), of(480 + 64, (480 + 64) * 50));
        assert_eq!(cost(Form::Input, &[4]), of(32 + 960, 32 * 100 + 960 * 50));
        assert_eq!(cost(Form::Tucker, &[4, 2]), of(32 + 120 + 32, 32 * 100 + (120 + 32) * 50));
        assert_eq!(cost(Form::Spatial, &[4]), of(96 + 320, (96 + 320) * 50));
        // A transposed one reads each position once: along the first axis 5 become 10.
        let up =
            Extents { transposed: true, positions: Some((vec![5, 10], vec![10, 10])), ..extents };
        assert_eq!(
            up.cost(&up.stages(&Split { form: Form::Spatial, ranks: vec![4] })),
            of(416, 96 * 50 + 320 * 100)
        );
        assert_eq!(up.whole(), of(1920, 1920 * 50));
    }
}
