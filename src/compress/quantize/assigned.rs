//! How the weights of each layer are stored, by what that does to the outputs and what it saves.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::analysis::{Assume, Progress, Shapes, constant, constant_floats};
use crate::compress::recipe::Stored;
use crate::compress::trial::counted::counted_at;
use crate::compress::trial::held_out::held_out_inputs;
use crate::compress::trial::noise::noise_power;
use crate::compress::trial::score_trials::{self, ScoreTrials, Scores};
use crate::data::Samples;
use crate::emit;
use crate::error::{Result, err};
use crate::exec::{Engine, Runner};
use crate::ir::{Model, NodeId};
use crate::passes::{
    Context, Pass, QuantizeStatic, QuantizeWeights, Report, Resource, RoundWeights, Rounding,
    WeightSite, Width, WidthCost, spread_widths,
};
use crate::tensor::DType;
use crate::validate::fed_at;

/// What is asked for.
pub enum Aim {
    /// At most so many bits for each weight, in the mean over those that can be narrowed, without scales.
    AverageBits(f64),
    /// At most so many bytes of the file.
    Bytes(u64),
    /// For layers by name the name of a width, or `float`; all others stay in float.
    Given(BTreeMap<String, String>),
}

/// How weights may be stored, and how much of that.
pub struct Widths {
    /// One of these for each layer.
    pub widths: Vec<Width>,
    /// Or it stays in float.
    pub float: bool,
    /// What is asked for.
    pub aim: Aim,
}

/// How the weights of each layer are stored.
#[derive(Debug, Clone, Default)]
pub struct Assigned {
    /// All layers with weights that could be narrowed, in order.
    pub layers: Vec<AssignedLayer>,
    /// Whether what was asked for is met.
    pub reached: bool,
}

/// A layer, what storing its weights alone in each width does, and what they became.
#[derive(Debug, Clone, PartialEq)]
pub struct AssignedLayer {
    /// The layer, or the layers that share weights.
    pub site: WeightSite,
    /// Widths that make it smaller.
    pub tried: Vec<Tried>,
    /// The width that it has; `None` for float.
    pub width: Option<Width>,
}

/// A width for one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tried {
    /// The width.
    pub width: Width,
    /// Bytes of the file that are saved.
    pub saved: u64,
    /// With samples, the noise in the outputs relative to the signal, on those held out; without, the squared
    /// error of the weights by their squares.
    pub noise: f64,
}

/// The name of a weight that stays what it is.
pub const FLOAT: &str = "float";
/// Bits of a weight that is not narrowed.
const FLOAT_BITS: f64 = 32.0;
/// Fewest held-out samples of a trial, and most.
const SAMPLES: (usize, usize) = (4, 32);
/// Multiply-accumulates of all trials together, of which about half are spared because only what follows a
/// layer is run: about 15 s on two cores.
const WORK: u64 = 500_000_000_000;

/// The name of what a weight is stored as.
pub fn width_name(width: Option<&Width>) -> String {
    width.map_or_else(|| FLOAT.to_owned(), Width::to_string)
}

impl Assigned {
    /// Bits of a weight in the mean, without scales.
    pub fn average_bits(&self) -> f64 {
        let elements: usize = self.layers.iter().map(|layer| layer.site.elements).sum();
        let bits = |layer: &AssignedLayer| bits(layer.width.as_ref()) * layer.site.elements as f64;
        self.layers.iter().map(bits).sum::<f64>() / elements.max(1) as f64
    }

    /// For layers by name, the name of their width.
    pub fn by_name(&self) -> BTreeMap<String, String> {
        let names = |layer: &AssignedLayer| {
            let width = width_name(layer.width.as_ref());
            layer
                .site
                .names
                .iter()
                .map(move |name| (name.clone(), width.clone()))
                .collect::<Vec<_>>()
        };
        self.layers.iter().flat_map(names).collect()
    }

    /// What the passes are told: for each width that is used, its layers.
    pub(in crate::compress) fn stored(&self) -> Vec<Stored> {
        let mut stored: Vec<Stored> = Vec::new();
        for layer in &self.layers {
            let Some(width) = layer.width else { continue };
            let names = layer.site.names.iter().cloned();
            match stored.iter_mut().find(|(known, _)| *known == width) {
                Some((_, known)) => known.extend(names),
                None => stored.push((width, names.collect())),
            }
        }
        stored
    }
}

fn bits(width: Option<&Width>) -> f64 {
    width.map_or(FLOAT_BITS, Width::bits)
}

/// Decides how the weights of each layer of `prepared` are stored. The noise of layers is taken to add up; which
/// gives most for what it saves is told by the lower convex hulls of what was measured for each alone.
///
/// # Errors
/// When a pass fails, a trial cannot be run, or an assignment that was given names what is not there.
pub(in crate::compress) fn assign(
    prepared: &Model,
    options: &QuantizeStatic,
    widths: &Widths,
    (engine, samples): (&dyn Engine, Option<&Samples>),
    progress: &dyn Progress,
) -> Result<Assigned> {
    let sites = QuantizeWeights::sites(options, prepared, &mut Report::default())?;
    if let Aim::Given(given) = &widths.aim {
        return assigned(sites, widths, given);
    }
    // Edits never change type or extents of an existing value.
    let shapes = Shapes::infer(prepared, &Assume::default());
    let trials =
        Trials { prepared, shapes: &shapes, options, widths: &widths.widths, engine, progress };
    let layers = match samples {
        Some(samples) => {
            let scores = Scores::of(prepared, &fed_at(samples));
            let inputs = {
                let count = sites.len() * widths.widths.len();
                let macs = Resource::Macs.of(prepared, &counted_at(prepared, Some(samples)));
                let most = score_trials::affordable(macs.unwrap_or(0), count, WORK, SAMPLES);
                held_out_inputs(samples, most)?
            };
            let scored = ScoreTrials::of(engine, &scores, inputs)?;
            trials.of_all(sites, &|model, _, _| Ok(noise_power(scored.sqnr_db(model)?)))?
        }
        None => trials.of_all(sites, &|model, site, width| trials.moved(model, site, width))?,
    };
    Ok(chosen(layers, prepared, widths))
}

/// What was given, for the layers that there are.
fn assigned(
    sites: Vec<WeightSite>,
    widths: &Widths,
    given: &BTreeMap<String, String>,
) -> Result<Assigned> {
    let known = |name: &String| sites.iter().any(|site| site.names.contains(name));
    if let Some(name) = given.keys().find(|name| !known(name)) {
        return Err(err!(Usage, "no layer `{name}` has weights that could be narrowed"));
    }
    let layer = |site: WeightSite| -> Result<AssignedLayer> {
        let mut names = site.names.iter().filter_map(|name| given.get(name));
        let name = names.next();
        if names.any(|other| Some(other) != name) {
            let text = format!(
                "{} shares its weights with layers that were given another width",
                site.place
            );
            return Err(err!(Usage, "{text}"));
        }
        let width = match name.map(String::as_str) {
            None | Some(FLOAT) => None,
            Some(name) => {
                let width = widths.widths.iter().find(|width| width.to_string() == name);
                let width = width.filter(|width| site.admits(width));
                Some(*width.ok_or_else(|| err!(Usage, "{}: not stored as `{name}`", site.place))?)
            }
        };
        Ok(AssignedLayer { site, tried: Vec::new(), width })
    };
    let layers = sites.into_iter().map(layer).collect::<Result<_>>()?;
    Ok(Assigned { layers, reached: true })
}

/// Bytes of the file, or, where one file cannot hold it, of the weights.
fn bytes(model: &Model) -> u64 {
    let file = model.verify().ok().and_then(|verified| emit::onnx(verified).ok());
    match file {
        Some(file) => file.len() as u64,
        None => Resource::WeightBytes.of(model, &Assume::default()).unwrap_or(0),
    }
}

/// Widths for layers alone.
struct Trials<'a> {
    prepared: &'a Model,
    shapes: &'a Shapes,
    options: &'a QuantizeStatic,
    widths: &'a [Width],
    engine: &'a dyn Engine,
    progress: &'a dyn Progress,
}

/// What the weights of a layer lose in a model in which they alone are narrowed.
type Noise<'a> = &'a (dyn Fn(&Model, &WeightSite, &Width) -> Result<f64> + Sync);

impl Trials<'_> {
    fn of_all(&self, sites: Vec<WeightSite>, noise: Noise<'_>) -> Result<Vec<AssignedLayer>> {
        let before = bytes(self.prepared);
        self.progress.start("trying widths", sites.len());
        let of_site = |site: WeightSite| -> Result<AssignedLayer> {
            let mut tried = Vec::new();
            for width in self.widths.iter().filter(|width| site.admits(width)) {
                let Some(model) = self.narrowed(&site, width)? else { continue };
                let after = bytes(&model);
                if let Some(saved) = before.checked_sub(after).filter(|&saved| saved > 0) {
                    tried.push(Tried { width: *width, saved, noise: noise(&model, &site, width)? });
                }
            }
            self.progress.step();
            Ok(AssignedLayer { site, tried, width: None })
        };
        let found = sites.into_par_iter().map(of_site).collect();
        self.progress.finish();
        found
    }

    /// The model with the weights of one layer in one width; `None` when that is not possible.
    fn narrowed(&self, site: &WeightSite, width: &Width) -> Result<Option<Model>> {
        let mut model = self.prepared.clone();
        let shapes = Some(self.shapes);
        let cx = Context { reference: Some(self.prepared), shapes, ..Context::default() };
        let report = width.pass(self.options, site.names.clone()).run(&mut model, &cx)?;
        if report.done.is_empty() {
            return Ok(None);
        }
        // Without samples: the best scales for the weights alone.
        RoundWeights::named(Rounding::Scale).run(&mut model, &cx)?;
        Ok(Some(model))
    }

    /// Squared error of the weights of a layer, by their squares.
    fn moved(&self, model: &Model, site: &WeightSite, width: &Width) -> Result<f64> {
        // Each bit halves the distance of neighbours.
        let usual = 0.25f64.powf(width.bits());
        let (mut error, mut all) = (0.0, 0.0);
        for &(value, node, slot) in &site.weights {
            let before = constant_floats(self.prepared, value);
            let Some(before) = before.and_then(|before| before.tensor.to_f32().ok()) else {
                continue;
            };
            let Some(after) = self.floats(model, node, slot)? else {
                return Ok(usual);
            };
            let pairs = before.iter().zip(&after).map(|(&a, &b)| (f64::from(a), f64::from(b)));
            pairs.for_each(|(a, b)| {
                error += (a - b).powi(2);
                all += a.powi(2);
            });
        }
        Ok(error / f64::max(all, f64::MIN_POSITIVE))
    }

    /// What a node reads in a slot, as numbers; nothing for the integers of a table.
    fn floats(&self, model: &Model, node: NodeId, slot: usize) -> Result<Option<Vec<f32>>> {
        let Some(value) = model.node(node).input(slot) else { return Ok(None) };
        if let Some(tensor) = constant(model, value).filter(|t| t.dtype() == DType::Float) {
            return Ok(Some(tensor.to_f32()?.to_vec()));
        }
        let part = model.part(&[], &[value]);
        if !part.graph(part.main()).inputs().is_empty() || part.node_count() == 0 {
            return Ok(None);
        }
        let found = Runner::new(self.engine, &part, Vec::new()).run(&[])?;
        let first = found.outputs.first();
        first.map(|(_, tensor)| tensor.to_f32().map(|x| x.to_vec())).transpose()
    }
}

/// For each layer the width with which what is asked for is met.
fn chosen(mut layers: Vec<AssignedLayer>, prepared: &Model, widths: &Widths) -> Assigned {
    let whole = |layer: &AssignedLayer| match widths.aim {
        Aim::AverageBits(_) => FLOAT_BITS * layer.site.elements as f64,
        _ => (size_of::<f32>() * layer.site.elements) as f64,
    };
    let cost = |layer: &AssignedLayer, tried: &Tried| match widths.aim {
        Aim::AverageBits(_) => tried.width.bits() * layer.site.elements as f64,
        _ => whole(layer) - tried.saved as f64,
    };
    let wholes: Vec<f64> = layers.iter().map(whole).collect();
    let costs = |layer: &AssignedLayer| {
        let of = |tried: &Tried| WidthCost { cost: cost(layer, tried), noise: tried.noise };
        layer.tried.iter().map(of).collect()
    };
    let costs: Vec<Vec<WidthCost>> = layers.iter().map(costs).collect();
    let elements: usize = layers.iter().map(|layer| layer.site.elements).sum();
    let all: f64 = wholes.iter().sum();
    let most = match &widths.aim {
        Aim::AverageBits(bits) => bits * elements as f64,
        Aim::Bytes(most) => all - bytes(prepared).saturating_sub(*most) as f64,
        Aim::Given(_) => all,
    };
    let (found, reached) = spread_widths(&wholes, &costs, widths.float, most);
    for (layer, at) in layers.iter_mut().zip(found) {
        layer.width = at.map(|at| layer.tried[at].width);
    }
    Assigned { layers, reached }
}
