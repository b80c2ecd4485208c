//! `factorize`: see `docs/passes/factorize.md`.

mod parts;
mod plan;
mod rewrite;
mod shape;
mod site;

pub use plan::{Plan, Splittable};
pub use shape::{Form, Split};
pub use site::Layers;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::analysis::{Assume, Measure};
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::math::allocate::{Choice, allocate};
use crate::passes::factorize::parts::Wanted;
use crate::passes::factorize::plan::{Candidate, Planned};
use crate::passes::{Budget, Context, Pass, Promise, Report, Resource, Survivors};

/// What counts as close to the weights of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The weights themselves, without samples.
    Svd,
    /// What the layer gives on samples; without these, the weights.
    #[default]
    Whitened,
    /// The same, about the mean of what it gives.
    Pca,
}

impl Method {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Svd, Self::Whitened, Self::Pca];

    /// The name, as options give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Svd => "svd",
            Self::Whitened => "whitened",
            Self::Pca => "pca",
        }
    }
}

/// Which samples decompositions are fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Known {
    /// Those that are not held out; on the others is judged what each layer loses. What is then chosen is
    /// fitted to all.
    #[default]
    Fitting,
    /// All.
    All,
}

/// For layers by name, what they become. A layer that is not named stays as it is.
pub type Ranks = BTreeMap<String, Split>;

/// How far layers are split.
#[derive(Debug, Clone, PartialEq)]
pub enum Aim {
    /// As far as it takes to keep a budget, of which the layers that are not looked at are no part.
    Budget(Budget),
    /// Each as far as this share of what it gives is left.
    Energy(f64),
    /// As it is given.
    Ranks(Ranks),
}

/// Replaces layers by products of smaller ones.
#[derive(Debug, Clone)]
pub struct Factorize {
    /// How near a layer comes.
    pub method: Method,
    /// How far layers are split.
    pub aim: Aim,
    /// Dims of inputs at which multiply-accumulates are counted.
    pub at: Assume,
    /// Ranks are multiples of this many.
    pub multiple: usize,
    /// Which layers are looked at.
    pub layers: Layers,
    /// What was found out about the model, where it is known: a plan of the same model, options and samples.
    pub plan: Option<Arc<Plan>>,
    /// How far each of its layers is split, where that is decided.
    pub chosen: Option<Chosen>,
    /// Which samples decompositions are fitted to.
    pub known: Known,
    /// What is decided for layers by node; the others stay as they are.
    pub splits: Option<BTreeMap<NodeId, Split>>,
    /// Is told which values are new.
    pub survivors: Survivors,
}

/// What is left of each layer when nothing else is asked for.
const ENERGY: f64 = 0.95;

impl Default for Factorize {
    fn default() -> Self {
        Self {
            method: Method::default(),
            aim: Aim::Energy(ENERGY),
            at: Assume::one_sample(),
            multiple: 1,
            layers: Layers::default(),
            plan: None,
            chosen: None,
            known: Known::default(),
            splits: None,
            survivors: Survivors::default(),
        }
    }
}

impl Pass for Factorize {
    fn name(&self) -> &'static str {
        "factorize"
    }

    fn summary(&self) -> &'static str {
        "Replaces layers by products of smaller ones."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let plan = match &self.plan {
            Some(plan) => Arc::clone(plan),
            None => Arc::new(self.plan(model, cx.measure)?),
        };
        let mut report = Report { refused: plan.refused.clone(), ..Report::default() };
        report.warnings.clone_from(&plan.warnings);
        let chosen = match &self.chosen {
            Some(chosen) => chosen.clone(),
            None => self.choose(&plan, model, None),
        };
        let judged = cx.measure.filter(|_| self.plan.is_none() && self.known() == Known::Fitting);
        let (plan, chosen) = match judged {
            Some(measure) => {
                let (plan, chosen) = self.settled((&*plan, &chosen), model, Some(measure))?;
                (Arc::new(plan), chosen)
            }
            None => (plan, chosen),
        };
        self.split(model, &plan, &chosen, &mut report);
        Ok(report)
    }
}

/// What a layer loses, in whatever unit: the number of the layer in the plan, and the share of what it
/// gives that is lost.
pub type LayerLoss<'a> = &'a dyn Fn(usize, f64) -> f64;

/// For each layer of a plan the number of its candidate; `None` where it stays whole.
pub type Chosen = Vec<Option<usize>>;

impl Factorize {
    /// Decomposes the layers of `model`.
    ///
    /// # Errors
    /// When it cannot be run on the samples.
    pub fn plan(&self, model: &Model, measure: Option<&dyn Measure>) -> Result<Plan> {
        Plan::of(model, self, measure)
    }

    /// Which samples decompositions are fitted to: ranks that were given are no choice to be judged.
    pub fn known(&self) -> Known {
        if matches!(self.aim, Aim::Ranks(_)) { Known::All } else { self.known }
    }

    /// The ranks that are looked at for a layer; `None` when it stays as it is.
    fn wanted(&self, model: &Model, node: NodeId) -> Option<Wanted> {
        if let Some(splits) = &self.splits {
            return splits.get(&node).cloned().map(Wanted::Just);
        }
        match &self.aim {
            Aim::Ranks(ranks) => ranks.get(model.name_of(node)).cloned().map(Wanted::Just),
            _ => Some(Wanted::Multiples(self.multiple.max(1))),
        }
    }

    /// A plan of just what was `chosen` of another one, fitted to all samples, and how far its layers are split.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    pub fn settled(
        &self,
        (judged, chosen): (&Plan, &Chosen),
        model: &Model,
        measure: Option<&dyn Measure>,
    ) -> Result<(Plan, Chosen)> {
        let splits = Some(judged.splits(chosen));
        let pass = Self { known: Known::All, splits, ..self.clone() };
        let plan = pass.plan(model, measure)?.told(judged, chosen, model);
        let chosen = plan.sites.iter().map(|_| Some(0)).collect();
        Ok((plan, chosen))
    }

    /// How far each layer is split. With a `loss`, it decides which give most.
    pub fn choose(&self, plan: &Plan, model: &Model, loss: Option<LayerLoss<'_>>) -> Chosen {
        let budget = match &self.aim {
            Aim::Ranks(_) => return plan.sites.iter().map(|_| Some(0)).collect(),
            Aim::Energy(share) => {
                let chosen = |planned: &Planned| cheapest(planned, 1.0 - share);
                return plan.sites.iter().map(chosen).collect();
            }
            Aim::Budget(budget) => budget,
        };
        let resource = budget.resource;
        let cost = |planned: &Planned, candidate: Option<&Candidate>| {
            let cost = candidate.map_or(planned.whole, |candidate| candidate.cost);
            cost.of(resource, planned.bytes()).map(|cost| cost as f64)
        };
        // What has no cost is not split: it would save nothing that is known.
        let wholes: Vec<f64> =
            plan.sites.iter().map(|planned| cost(planned, None).unwrap_or(0.0)).collect();
        let choices = |(i, planned): (usize, &Planned)| {
            let choice = |candidate: &Candidate| Choice {
                cost: cost(planned, Some(candidate)).unwrap_or(0.0),
                loss: loss.map_or(candidate.loss, |loss| loss(i, candidate.loss)),
            };
            planned.candidates.iter().map(choice).collect()
        };
        let choices: Vec<Vec<Choice>> = plan.sites.iter().enumerate().map(choices).collect();
        let scope = self.scope(model, resource);
        let aside = scope as f64 - wholes.iter().sum::<f64>();
        allocate(&wholes, &choices, budget.most.of(scope) as f64 - aside)
    }

    /// How much of a resource the layers have that are looked at; all of the model when all are.
    pub fn scope(&self, model: &Model, resource: Resource) -> u64 {
        use crate::analysis::{Cost, Shapes};
        if self.layers.is_all() || resource == Resource::WeightBytes {
            return resource.of(model, &self.at).unwrap_or(0);
        }
        let cost = Cost::of(model, &Shapes::infer(model, &self.at));
        let layers = cost.layers.iter().filter(|layer| self.layers.includes(model, layer.node));
        let of = |layer: &crate::analysis::cost::Layer| match resource {
            Resource::Macs => layer.macs.unwrap_or(0),
            Resource::WeightBytes => layer.weight_bytes,
            Resource::Parameters | Resource::Channels => layer.parameters,
        };
        let tables = model.all_nodes().into_iter().filter_map(|n| self.layers.table(model, n));
        let tables = match resource {
            Resource::Macs => 0,
            _ => tables.map(|numbers| numbers as u64).sum(),
        };
        layers.map(of).sum::<u64>() + tables
    }

    /// Splits layers of `model`, of which the plan was made.
    pub fn split(&self, model: &mut Model, plan: &Plan, chosen: &Chosen, report: &mut Report) {
        for (planned, &chosen) in plan.sites.iter().zip(chosen) {
            let place = model.label(planned.site.node);
            let Some(candidate) = chosen.and_then(|at| planned.candidates.get(at)) else {
                report.refuse(place, plan::WHOLE);
                continue;
            };
            match rewrite::split(model, planned, &candidate.split) {
                Ok(value) => {
                    self.survivors.moved(value);
                    report.did(place, in_words(planned, candidate));
                }
                Err(reason) => report.refuse(place, reason),
            }
        }
    }
}

/// The candidate that costs least of those that lose no more than a share.
fn cheapest(planned: &Planned, most: f64) -> Option<usize> {
    let fitting = planned.candidates.iter().enumerate();
    let fitting = fitting.filter(|(_, candidate)| candidate.loss <= most);
    let cost = |candidate: &Candidate| (candidate.cost.macs, candidate.cost.parameters);
    fitting.min_by_key(|(_, candidate)| cost(candidate)).map(|(at, _)| at)
}

fn in_words(planned: &Planned, candidate: &Candidate) -> String {
    let share = |a: u64, b: u64| 100.0 * a as f64 / b.max(1) as f64;
    let parameters = share(candidate.cost.parameters, planned.whole.parameters);
    let macs = candidate.cost.macs.zip(planned.whole.macs);
    let macs = macs.map_or(String::new(), |(a, b)| format!(", {:.0} % of the MACs", share(a, b)));
    let loss = 100.0 * candidate.loss;
    format!(
        "{}: {parameters:.0} % of the parameters{macs}, {loss:.2} % of the output lost",
        candidate.split
    )
}
