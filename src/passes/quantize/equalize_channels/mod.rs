//! `equalize-channels`: see `docs/passes/equalize-channels.md`.

mod reader;
mod search;
mod site;

use crate::error::Result;
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::quantize::equalize_channels::site::Site;
use crate::passes::rewrite::linear::Affine;
use crate::passes::{Context, Pass, Promise, Report, Width};

/// Divides channels by factors where a layer makes them, and multiplies the weights of the layers that
/// read them by the same, so that channels share a grid with less error. The model computes what it did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EqualizeChannels {
    /// What the factors follow from.
    pub by: Equalize,
    /// Only the channels that these layers make, by node name or that of the output; all when `None`.
    pub only: Option<Vec<String>>,
}

/// What the factors of channels follow from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Equalize {
    /// Both sides get weights of the same range: `s = √(r₁ / r₂)` with the largest weights that make and
    /// read a channel (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
    /// Correction", 2019, section 4.1).
    #[default]
    Weights,
    /// Outliers of activations move into weights: `s = max|x|^share / max|w|^(1 - share)` (Xiao et al.,
    /// "SmoothQuant", 2023, equation 4). Needs samples.
    Activations {
        /// 0 leaves all to the activations, 1 to the weights.
        share: f64,
    },
    /// The outputs of the layers that read change least when their weights are rounded (Lin et al., "AWQ",
    /// 2023). Needs samples.
    Outputs {
        /// What these weights will be stored as; nothing is found for other than integers.
        width: Width,
    },
}

/// Rounds until the weights between two sites suit both.
const ROUNDS: usize = 30;
/// Factors of less than 2 % are not worth an edit.
const SMALL: f64 = 0.02;
/// Most that channels are moved apart: what is hardly ever used must not become huge.
const MOST: f64 = 1024.0;

impl Pass for EqualizeChannels {
    fn name(&self) -> &'static str {
        "equalize-channels"
    }

    fn summary(&self) -> &'static str {
        "Scales channels between two layers, so that one grid suits them."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        Ok(self.divide(model, cx)?.0)
    }
}

impl EqualizeChannels {
    /// Runs the pass; gives besides its report the layers whose channels were divided, as
    /// [`only`](Self::only) takes them.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    pub fn divide(&self, model: &mut Model, cx: &Context<'_>) -> Result<(Report, Vec<String>)> {
        let mut report = Report::default();
        let mut names = Vec::new();
        let shapes = &*cx.shapes_of(model);
        let mut sites = Vec::new();
        for (node, _) in model.nodes_of(model.main()) {
            if !self.wanted(model, node) {
                continue;
            }
            match Site::of(model, node, shapes) {
                Ok(Some(site)) => sites.push(site),
                Ok(None) => {}
                Err(reason) => report.refuse(model.label(node), reason),
            }
        }
        let seen = match (self.by, cx.measure) {
            (Equalize::Outputs { width }, Some(measure)) => {
                search::search(model, measure, &sites, width, &mut report)?
            }
            _ => self.seen(model, cx, &sites)?,
        };
        let mut scaled: Vec<Option<Vec<f64>>> = vec![None; sites.len()];
        for _ in 0..ROUNDS {
            let mut changed = false;
            for ((site, seen), scaled) in sites.iter().zip(&seen).zip(&mut scaled) {
                let before = scaled.as_deref();
                let Some(factors) = self.factors(model, site, seen.as_deref(), before) else {
                    continue;
                };
                if let Err(reason) = site.scale(model, &factors) {
                    report.refuse(model.label(site.layer()), reason);
                    continue;
                }
                changed = true;
                match scaled {
                    Some(all) => all.iter_mut().zip(&factors).for_each(|(a, b)| *a *= b),
                    None => *scaled = Some(factors),
                }
            }
            if !changed {
                break;
            }
        }
        for (site, factors) in sites.iter().zip(scaled) {
            let Some(factors) = factors else { continue };
            names.push(model.name_of(site.layer()).to_owned());
            site.values().iter().for_each(|&value| rename(model, value));
            let least = factors.iter().copied().fold(f64::INFINITY, f64::min);
            let most = factors.iter().copied().fold(0.0, f64::max);
            let channels = factors.len();
            let text = format!("{channels} channels divided by {least:.3} to {most:.3}");
            report.did(model.label(site.layer()), text);
        }
        Ok((report, names))
    }
}

/// What has other numbers now has another name, so that nobody takes old ranges for its own.
fn rename(model: &mut Model, value: ValueId) {
    let name = format!("{}_equalized", model.value(value).name());
    model.rename(value, &name);
}

impl EqualizeChannels {
    fn wanted(&self, model: &Model, node: NodeId) -> bool {
        let name = model.name_of(node);
        self.only.as_ref().is_none_or(|only| only.iter().any(|wanted| wanted == name))
    }

    /// The largest magnitudes of the channels that layers read, by site; none for weights.
    fn seen(
        &self,
        model: &Model,
        cx: &Context<'_>,
        sites: &[Site],
    ) -> Result<Vec<Option<Vec<f64>>>> {
        let (Equalize::Activations { .. }, Some(measure)) = (self.by, cx.measure) else {
            return Ok(vec![None; sites.len()]);
        };
        let asked: Vec<(ValueId, usize)> = sites.iter().flat_map(Site::read).collect();
        let mut found = measure.magnitudes(model, &asked)?.into_iter();
        let of_site = |site: &Site| -> Option<Vec<f64>> {
            let mut all = vec![0f64; site.channels()];
            let mut known = true;
            for channels in found.by_ref().take(site.read().count()) {
                match channels.filter(|channels| channels.len() == all.len()) {
                    Some(new) => {
                        all.iter_mut().zip(new).for_each(|(a, b)| *a = a.max(f64::from(b)));
                    }
                    None => known = false,
                }
            }
            known.then_some(all)
        };
        Ok(sites.iter().map(of_site).collect())
    }

    /// By what the channels of a site had better be divided; `None` when that is nothing. `seen` is what
    /// they were before they were divided by `scaled`, or the factors that were searched.
    fn factors(
        &self,
        model: &Model,
        site: &Site,
        seen: Option<&[f64]>,
        scaled: Option<&[f64]>,
    ) -> Option<Vec<f64>> {
        if let Equalize::Outputs { .. } = self.by {
            return seen.filter(|_| scaled.is_none()).map(<[f64]>::to_vec);
        }
        let read = site.weights_read(model).ok()?;
        let factor: Vec<f64> = match self.by {
            Equalize::Weights => {
                let made = site.weights_made(model).ok()?;
                made.iter().zip(&read).map(|(made, read)| (made / read).sqrt()).collect()
            }
            Equalize::Activations { share } => {
                let now = |(channel, seen): (usize, &f64)| {
                    seen / scaled.and_then(|scaled| scaled.get(channel)).unwrap_or(&1.0)
                };
                let seen = seen?.iter().enumerate().map(now);
                let pair = seen.zip(&read);
                pair.map(|(x, w)| x.powf(share) / w.powf(1.0 - share)).collect()
            }
            Equalize::Outputs { .. } => return None,
        };
        balanced(factor)
    }
}

/// Factors whose geometric mean is 1; channels that nothing is known of keep what they have.
fn balanced(mut factors: Vec<f64>) -> Option<Vec<f64>> {
    let known = |factor: &&mut f64| factor.is_normal() && **factor > 0.0;
    let logs: Vec<f64> = factors.iter_mut().filter(known).map(|factor| factor.ln()).collect();
    let mean = (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp();
    let mut worth = false;
    for factor in &mut factors {
        let relative = *factor / mean;
        *factor = match relative.is_normal() && relative > 0.0 {
            true => relative.clamp(1.0 / MOST, MOST),
            false => 1.0,
        };
        worth |= factor.ln().abs() > SMALL;
    }
    worth.then_some(factors)
}

impl Site {
    /// Divides the channels by `factors`.
    fn scale(&self, model: &mut Model, factors: &[f64]) -> Result<(), String> {
        let inverse = factors.iter().map(|factor| 1.0 / factor).collect();
        let affine = Affine { factor: inverse, offset: vec![0.0; factors.len()] };
        let made = self.made(model, &affine)?;
        let read = self.readers(model, factors)?;
        made.apply(model);
        read.into_iter().for_each(|read| read.apply(model));
        self.scale_offsets(model, &affine.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::balanced;

    #[test]
    fn factors_are_balanced() {
        let found = balanced(vec![1.0, 4.0, 0.0, f64::INFINITY, f64::NAN]).unwrap();
        assert_eq!(found, [0.5, 2.0, 1.0, 1.0, 1.0]);
        assert_eq!(balanced(vec![3.0, 3.01]), None);
        assert_eq!(balanced(vec![0.0, 0.0]), None);
    }
}
