//! Brings a model to its budget by factorization: at once, or until it is quick enough.

use onnxpress::Result;
use onnxpress::compress;
use onnxpress::compress::{FactorizeOptions, Factorized};
use onnxpress::data::Samples;
use onnxpress::exec::Engine;
use onnxpress::ir::Model;
use onnxpress::passes::{Aim, Amount, Budget, Context, Factorize, Resource};
use onnxpress::read::Loaded;
use onnxpress::report::BudgetReport;

use super::budget::room_for_weights;
use super::compare::latency;
use super::factorize::AimArgs;
use super::io;

/// Everything that factorizing needs.
pub struct Factorizing<'a> {
    pub args: &'a AimArgs,
    pub options: FactorizeOptions,
    pub engine: &'a dyn Engine,
    pub cx: Context<'a>,
    pub samples: Option<&'a Samples>,
    pub original: &'a Loaded,
    pub prepared: &'a Model,
    pub output: &'a io::Output,
}

/// A factorized model, and what was found on the way.
#[derive(Default)]
pub struct Outcome {
    pub factorized: Factorized,
    pub budget: Option<BudgetReport>,
    /// What was asked for and missed, in words.
    pub missed: Vec<String>,
}

impl Factorizing<'_> {
    /// Factorizes the prepared model.
    pub fn run(mut self) -> Result<Outcome> {
        let plan = self.options.factorize.plan(self.prepared, self.cx.measure)?;
        self.options.factorize.plan = Some(plan.into());
        if let Some(most) = self.args.latency {
            return self.until_quick(most);
        }
        let Some(budget) = self.budget()? else {
            return Ok(Outcome {
                factorized: self.to(self.options.factorize.aim.clone())?,
                ..Outcome::default()
            });
        };
        let factorized = self.to(Aim::Budget(budget))?;
        let pass = &self.options.factorize;
        let (scope, resource) = (pass.scope(self.prepared, budget.resource), budget.resource);
        let whole = |model: &Model| resource.of(model, &self.options.factorize.at).unwrap_or(0);
        let saved = whole(self.prepared).saturating_sub(whole(&factorized.finished.model));
        let (most, left) = (budget.most.of(scope), scope.saturating_sub(saved));
        let counts = match pass.layers.is_all() || resource == Resource::WeightBytes {
            true => resource.name().to_owned(),
            false => format!("{} of the layers that were chosen", resource.name()),
        };
        let original = if pass.layers.is_all() { whole(&self.original.model) } else { scope };
        let budget = Some(BudgetReport { counts, original, most, left });
        Ok(Outcome { factorized, budget, ..Outcome::default() })
    }

    fn to(&self, aim: Aim) -> Result<Factorized> {
        let mut options = self.options.clone();
        options.factorize.aim = aim;
        let trying = self.samples.map(|samples| (self.engine, samples));
        compress::factorized(self.prepared.clone(), &options, &self.cx, trying)
    }

    /// The budget in numbers.
    fn budget(&self) -> Result<Option<Budget>> {
        let pass: &Factorize = &self.options.factorize;
        let AimArgs { macs, params, size, .. } = *self.args;
        let whole = |resource: Resource| match pass.layers.is_all() {
            true => resource.of(&self.original.model, &pass.at).unwrap_or(0),
            false => pass.scope(self.prepared, resource),
        };
        let number = |resource: Resource, most: Amount| Budget {
            resource,
            most: Amount::Number(most.of(whole(resource))),
        };
        if let Some(most) = size {
            let resource = Resource::WeightBytes;
            let most = room_for_weights(most, self.original, self.prepared, self.output)?;
            return Ok(Some(Budget { resource, most }));
        }
        let macs = macs.map(|most| number(Resource::Macs, most));
        Ok(macs.or(params.map(|most| number(Resource::Parameters, most))))
    }

    fn until_quick(&self, most: f64) -> Result<Outcome> {
        let Some(samples) = self.samples else { return Ok(Outcome::default()) };
        let resource = Resource::Macs;
        let at = |share: f64| {
            let whole = self.options.factorize.scope(self.prepared, resource);
            let most = Amount::Number(Amount::Share(share).of(whole));
            self.to(Aim::Budget(Budget { resource, most }))
        };
        let try_share = |share: f64| Ok(at(share)?.finished.model);
        let time = |model: &Model| {
            let models = [&self.original.model, model];
            latency(self.engine, models, samples).map(|measured| measured.ratio)
        };
        let found = compress::share_for_time(most, &try_share, &time)?;
        let factorized = at(found.unwrap_or(1.0))?;
        let slow = "nothing was quick enough: time does not fall as work does".to_owned();
        let missed = if found.is_none() { vec![slow] } else { Vec::new() };
        Ok(Outcome { factorized, missed, ..Outcome::default() })
    }
}
