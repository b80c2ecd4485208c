//! What may go from each group, and how much of it has to.

use crate::analysis::channels::{Channels, Group, Orbit};
use crate::analysis::{Assume, Shapes};
use crate::error::Result;
use crate::ir::Model;
use crate::passes::budget::{Allocation, Budget, Resource};
use crate::passes::prune::prune_channels::allocate::{Loss, least, losses, uniform};
use crate::passes::prune::prune_channels::choose::{Quota, Stock, order};
use crate::passes::prune::prune_channels::cost::CostModel;
use crate::passes::prune::prune_channels::cut::Cut;
use crate::passes::prune::prune_channels::data_free::importances;
use crate::passes::prune::prune_channels::score::Norms;
use crate::passes::prune::prune_channels::{PruneChannels, gone, place, separate_vectors};

/// A group, and the order in which its orbits go.
pub(super) struct Ranked<'a> {
    pub group: &'a Group,
    pub scores: Vec<f64>,
    pub order: Vec<usize>,
    pub stock: Stock,
    /// Why nothing goes.
    pub refused: Option<String>,
}

impl<'a> Ranked<'a> {
    /// The orbits that go when so many stay.
    pub fn gone(&self, left: usize) -> Vec<&'a Orbit> {
        if self.refused.is_some() {
            return Vec::new();
        }
        let order = self.order.iter().take(self.stock.all.saturating_sub(left.max(1)));
        order.map(|&orbit| &self.group.orbits[orbit]).collect()
    }
}

/// Numbers of orbits that keep a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// How many of each group stay, in the order of groups.
    pub counts: Vec<usize>,
    /// What the cut model has of the resource.
    pub left: u64,
    /// What it may have.
    pub most: u64,
    /// All groups are down to the least that may stay of each.
    pub exhausted: bool,
    /// What no group could give: about so much is in nothing that can be cut.
    pub beyond: u64,
    /// Groups that a pattern keeps, or whose importance is not known.
    pub kept: usize,
}

impl Fitted {
    /// Whether the budget is kept.
    pub fn is_reached(&self) -> bool {
        self.left <= self.most
    }

    /// That it is not, and what binds, in words.
    pub fn in_words(&self, resource: Resource) -> String {
        let Self { left, most, .. } = self;
        format!("{left} {} are left, {most} may be: {}", resource.name(), self.binds(resource))
    }

    /// What binds, in words.
    pub fn binds(&self, resource: Resource) -> String {
        let groups = self.counts.len();
        if groups == 0 {
            return "no group of channels can be cut, `inspect --prunable` says why".to_owned();
        }
        let kept = match self.kept {
            0 => String::new(),
            kept => format!(" ({kept} are kept)"),
        };
        let mut text = match self.exhausted {
            true => format!(
                "all {groups} groups{kept} are down to the least that --min-share, --min-channels and --multiple let stay"
            ),
            false => {
                format!("no cut of the {groups} groups{kept} comes nearer within the multiples")
            }
        };
        // What is little beside the budget does not bind.
        if self.beyond > self.most / LITTLE && resource != Resource::Channels {
            let (beyond, name) = (self.beyond, resource.name());
            text += &format!(
                ", and {beyond} {name} are in nothing that can be cut, `inspect --prunable` says why"
            );
        }
        text
    }
}

/// A group as others see it that decide how much of it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// The layers that make its channels, in words.
    pub place: String,
    /// Orbits.
    pub orbits: usize,
    /// How many stay at each share that was asked for; those at which none goes are left out.
    pub counts: Vec<usize>,
}

/// One part of so many is little.
const LITTLE: u64 = 4;

/// What is left when all groups are gone.
fn beyond(stocks: &[Stock], mut costs: CostModel) -> f64 {
    stocks.iter().enumerate().for_each(|(group, stock)| costs.take(group, stock.all));
    costs.total()
}

/// Times that an aim is corrected by what the cut model really has.
const CORRECTIONS: usize = 12;
/// Of what a corrected aim asks, so much less is asked: the estimate is off by a little.
const CAUTION: f64 = 0.998;

impl PruneChannels {
    /// All groups with their orbits in order.
    pub(super) fn rank<'a>(&self, model: &Model, channels: &'a Channels) -> Vec<Ranked<'a>> {
        let measured = self.measured.of(model, channels, self.importance);
        let norms = Norms::of(model, channels, self.importance);
        let Self { multiple, minimum, floor, .. } = *self;
        let quota = Quota { multiple, minimum, floor };
        let rank = |(group, measured): (&'a Group, Option<Vec<f64>>)| {
            let dead = norms.dead(channels, group);
            let scores = match measured {
                Some(scores) => Ok(scores),
                None => importances(model, channels, &norms, group, self),
            };
            let refused = match (self.kept(model, channels, group), &scores) {
                (Some(pattern), _) => Some(format!("kept by `{pattern}`")),
                (None, Err(reason)) => Some(reason.clone()),
                (None, Ok(_)) => None,
            };
            let stock = match refused {
                Some(_) => Stock::whole(group),
                None => quota.stock(group, dead.iter().filter(|&&dead| dead).count()),
            };
            let scores = scores.unwrap_or_else(|_| vec![1.0; group.orbits.len()]);
            let order = order(&scores, &dead);
            Ranked { group, scores, order, stock, refused }
        };
        channels.groups.iter().zip(measured).map(rank).collect()
    }

    /// How many orbits of each group stay so that the model keeps `budget`, as near to it as the
    /// multiples allow. With a `loss`, it decides which groups give most; else [`Self::allocation`] does.
    ///
    /// # Errors
    /// When a cut fails (a bug).
    pub fn fit(&self, model: &Model, budget: Budget, loss: Option<Loss<'_>>) -> Result<Fitted> {
        let mut model = model.clone();
        separate_vectors(&mut model);
        let shapes = Shapes::infer(&model, &Assume::default());
        let channels = Channels::of(&model, &shapes, self.channels);
        let ranked = self.rank(&model, &channels);
        let stocks: Vec<Stock> = ranked.iter().map(|ranked| ranked.stock).collect();
        let all: usize = stocks.iter().map(|stock| stock.all).sum();
        let whole = budget.resource.of(&model, &self.at).unwrap_or(all as u64);
        let most = budget.most.of(whole);
        let costs = CostModel::of(&model, &channels, budget.resource, &self.at);
        let by_importance: Vec<Vec<f64>> =
            ranked.iter().map(|ranked| losses(&ranked.scores, &ranked.order)).collect();
        let kept = |group: usize, left: usize| by_importance[group][left];
        let loss = match (&self.allocation, loss) {
            (_, Some(loss)) => Some(loss),
            (Allocation::Global, None) => Some(&kept as Loss<'_>),
            (_, None) => None,
        };
        // What the terms do not tell (a layer without known shapes) stays as it is.
        let aside = whole as f64 - costs.total();
        let mut aim = most as f64 - aside;
        let kept = ranked.iter().filter(|ranked| ranked.refused.is_some()).count();
        let beyond = (aside.max(0.0) + beyond(&stocks, costs.clone())).round() as u64;
        let mut found =
            Fitted { counts: Vec::new(), left: u64::MAX, most, exhausted: false, beyond, kept };
        for _ in 0..CORRECTIONS {
            let counts = match loss {
                Some(loss) => least(&stocks, costs.clone(), aim, loss),
                None => uniform(&stocks, &costs, aim),
            };
            let left = match budget.resource {
                Resource::Channels => counts.iter().sum::<usize>() as u64,
                resource => {
                    let mut cut = model.clone();
                    let lost: Vec<_> = gone(&ranked, &counts);
                    if !lost.is_empty() {
                        Cut::of(&channels, &lost).apply(&mut cut)?;
                    }
                    resource.of(&cut, &self.at).unwrap_or(u64::MAX)
                }
            };
            let least =
                stocks.iter().zip(&counts).all(|(stock, &left)| stock.below(left).is_none());
            (found.counts, found.left, found.exhausted) = (counts, left, least);
            if found.is_reached() || found.exhausted {
                break;
            }
            let excess = left.saturating_sub(most) as f64;
            aim = (aim * CAUTION * most as f64 / left as f64).min(aim - excess);
        }
        Ok(found)
    }

    /// The groups of `model`, and how many orbits stay of each at some shares.
    pub fn survey(&self, model: &Model, shares: &[f64]) -> Vec<Surveyed> {
        let mut model = model.clone();
        separate_vectors(&mut model);
        let shapes = Shapes::infer(&model, &Assume::default());
        let channels = Channels::of(&model, &shapes, self.channels);
        let survey = |ranked: &Ranked<'_>| {
            let counts = shares.iter().map(|&share| ranked.stock.at_least(share));
            let mut counts: Vec<usize> = counts.filter(|&left| left < ranked.stock.all).collect();
            counts.dedup();
            let place = place(&model, &channels, ranked.group);
            Surveyed { place, orbits: ranked.stock.all, counts }
        };
        self.rank(&model, &channels).iter().map(survey).collect()
    }
}
