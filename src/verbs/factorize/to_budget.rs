//! Brings a model to its budget by factorization: at once, or until it is quick enough.

use crate::compress::{self, FactorizePasses, Factorized};
use crate::data::Samples;
use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Aim, Amount, Budget, Context, Factorize, Resource};
use crate::read::Loaded;
use crate::report::BudgetReport;
use crate::verbs::Host;
use crate::verbs::budget::{Remaining, room_for_weights};
use crate::verbs::compare::latency;

/// Everything that factorizing needs.
pub(super) struct Factorizing<'a> {
    /// What may stay; nothing when the passes say how far.
    pub remaining: Option<Remaining>,
    pub passes: FactorizePasses,
    pub host: Host<'a>,
    pub cx: Context<'a>,
    pub samples: Option<&'a Samples>,
    pub original: &'a Loaded,
    pub prepared: &'a Model,
}

/// A factorized model, and what was found on the way.
#[derive(Default)]
pub(super) struct Found {
    pub factorized: Factorized,
    pub budget: Option<BudgetReport>,
    /// What was asked for and missed, in words.
    pub missed: Vec<String>,
}

impl Factorizing<'_> {
    /// Factorizes the prepared model.
    pub fn run(mut self) -> Result<Found> {
        let plan = self.passes.factorize.plan(self.prepared, self.cx.measure)?;
        self.passes.factorize.plan = Some(plan.into());
        if let Some(Remaining::Latency(most)) = self.remaining {
            return self.until_quick(most);
        }
        let Some(budget) = self.budget()? else {
            return Ok(Found {
                factorized: self.to(self.passes.factorize.aim.clone())?,
                ..Found::default()
            });
        };
        let factorized = self.to(Aim::Budget(budget))?;
        let pass = &self.passes.factorize;
        let (scope, resource) = (pass.scope(self.prepared, budget.resource), budget.resource);
        let whole = |model: &Model| resource.of(model, &self.passes.factorize.at).unwrap_or(0);
        let saved = whole(self.prepared).saturating_sub(whole(&factorized.finished.model));
        let (most, left) = (budget.most.of(scope), scope.saturating_sub(saved));
        let counts = match pass.layers.is_all() || resource == Resource::WeightBytes {
            true => resource.name().to_owned(),
            false => format!("{} of the layers that were chosen", resource.name()),
        };
        let original = if pass.layers.is_all() { whole(&self.original.model) } else { scope };
        let budget = Some(BudgetReport { counts, original, most, left });
        Ok(Found { factorized, budget, ..Found::default() })
    }

    fn to(&self, aim: Aim) -> Result<Factorized> {
        let mut passes = self.passes.clone();
        passes.factorize.aim = aim;
        let trying = self.samples.map(|samples| (self.host.engine, samples));
        compress::factorized(self.prepared.clone(), &passes, &self.cx, trying)
    }

    /// The budget in numbers.
    fn budget(&self) -> Result<Option<Budget>> {
        let pass: &Factorize = &self.passes.factorize;
        let whole = |resource: Resource| match pass.layers.is_all() {
            true => resource.of(&self.original.model, &pass.at).unwrap_or(0),
            false => pass.scope(self.prepared, resource),
        };
        let number = |resource: Resource, most: Amount| Budget {
            resource,
            most: Amount::Number(most.of(whole(resource))),
        };
        Ok(match self.remaining {
            Some(Remaining::Size(most)) => {
                let encode = self.host.encode;
                let most = room_for_weights(most, self.original, self.prepared, encode)?;
                Some(Budget { resource: Resource::WeightBytes, most })
            }
            Some(Remaining::Macs(most)) => Some(number(Resource::Macs, most)),
            Some(Remaining::Parameters(most)) => Some(number(Resource::Parameters, most)),
            Some(Remaining::Channels(_) | Remaining::Latency(_)) | None => None,
        })
    }

    fn until_quick(&self, most: f64) -> Result<Found> {
        let Some(samples) = self.samples else { return Ok(Found::default()) };
        let resource = Resource::Macs;
        let at = |share: f64| {
            let whole = self.passes.factorize.scope(self.prepared, resource);
            let most = Amount::Number(Amount::Share(share).of(whole));
            self.to(Aim::Budget(Budget { resource, most }))
        };
        let try_share = |share: f64| Ok(at(share)?.finished.model);
        let time = |model: &Model| {
            let models = [&self.original.model, model];
            latency(self.host.engine, models, samples).map(|measured| measured.ratio)
        };
        let found = compress::share_for_time(most, &try_share, &time)?;
        let factorized = at(found.unwrap_or(1.0))?;
        let slow = "nothing was quick enough: time does not fall as work does".to_owned();
        let missed = if found.is_none() { vec![slow] } else { Vec::new() };
        Ok(Found { factorized, missed, ..Found::default() })
    }
}
