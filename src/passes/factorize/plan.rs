//! What each layer can become, and what that costs and loses.

use std::collections::BTreeMap;
use std::fmt;

use rayon::prelude::*;

use crate::analysis::{Measure, Shapes, VectorMoments, constant};
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::math::Estimate;
use crate::math::lowrank::{Matrix, matrix};
use crate::passes::factorize::parts::{Parts, Wanted};
use crate::passes::factorize::shape::{Cost, Form, Split};
use crate::passes::factorize::site::Site;
use crate::passes::factorize::{Aim, Chosen, Factorize, Known, Method};
use crate::passes::stored::{MOST_COLUMNS, in_chunks};
use crate::passes::{Note, Report, Resource};

/// Why a layer is not split that could be.
pub(super) const WHOLE: &str = "stays whole: it would lose more than others for what it saves";

/// Most inputs of each output of a layer with windows whose forms are fitted to samples: 42 MB for a
/// matrix of them, and seconds for a fit.
const MOST_WINDOW: usize = 2304;

/// All that is known of a model before it is decided how far each layer is split.
pub struct Plan {
    pub(super) sites: Vec<Planned>,
    /// Layers that stay as they are, and why.
    pub(super) refused: Vec<Note>,
    pub(super) warnings: Vec<String>,
}

/// A layer, and what it can become.
pub(super) struct Planned {
    pub site: Site,
    /// One for each group.
    pub parts: Vec<Parts>,
    /// Means of what each group reads, where they are known.
    pub means: Option<Vec<Vec<f64>>>,
    pub whole: Cost,
    /// Those that cost less than the whole layer.
    pub candidates: Vec<Candidate>,
}

/// What a layer can become.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub split: Split,
    pub cost: Cost,
    /// Squared error of the outputs, of their squares.
    pub loss: f64,
}

impl Cost {
    /// How much of a resource that is, with `bytes` for each parameter.
    pub fn of(&self, resource: Resource, bytes: usize) -> Option<u64> {
        match resource {
            Resource::Macs => self.macs,
            Resource::Parameters | Resource::Channels => Some(self.parameters),
            Resource::WeightBytes => Some(self.parameters.saturating_mul(bytes as u64)),
        }
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan of {} layers", self.sites.len())
    }
}

impl Planned {
    /// Bytes of a weight.
    pub fn bytes(&self) -> usize {
        self.site.dtype.bits().div_ceil(8)
    }
}

impl Plan {
    /// Decomposes the layers of `model` as `options` say.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    pub fn of(model: &Model, options: &Factorize, measure: Option<&dyn Measure>) -> Result<Self> {
        let mut report = Report::default();
        let shapes = Shapes::infer(model, &options.at);
        let sites = Site::all(model, &shapes, &options.layers, &mut report);
        let measure = measure.filter(|_| options.method != Method::Svd);
        let mut plan = Self { sites: Vec::new(), refused: Vec::new(), warnings: Vec::new() };
        let splittable = |site: &Site| {
            let wanted = options.wanted(model, site.node);
            let ranks = Form::ALL.iter().map(|&form| site.extents.most(form, 1));
            let most = ranks.max().unwrap_or(0);
            match wanted {
                None => Err("is not among the ranks that were given".to_owned()),
                Some(Wanted::Just(split)) if !site.extents.admits(&split) => {
                    Err(format!("cannot become {split}"))
                }
                Some(_) if most < 2 => Err("its matrices have rank 1".to_owned()),
                Some(wanted) => Ok(wanted),
            }
        };
        let mut left = Vec::new();
        for site in sites {
            match splittable(&site) {
                Ok(wanted) => left.push((site, wanted)),
                Err(reason) => report.refuse(model.label(site.node), reason),
            }
        }
        let (left, wanted): (Vec<Site>, Vec<Wanted>) = left.into_iter().unzip();
        let mut known: Vec<Option<Decomposed>> = Vec::new();
        known.resize_with(left.len(), || None);
        let index = |node: NodeId| left.iter().position(|site| site.node == node);
        if let Some(measure) = measure {
            let narrow: Vec<SiteRef<'_>> =
                left.iter().filter(|s| is_narrow(s)).map(SiteRef).collect();
            let mut unknown = Report::default();
            let measured = in_chunks(&narrow, (model, measure), true, &mut unknown, |chunk, _| {
                let decompose = |(site, moments): &(&SiteRef<'_>, VectorMoments)| {
                    let at = index(site.0.node)?;
                    Some((
                        at,
                        decompose(
                            model,
                            site.0,
                            &wanted[at],
                            Some(moments),
                            (options.method, options.known()),
                        )?,
                    ))
                };
                let found: Vec<_> = chunk.par_iter().filter_map(decompose).collect();
                found.into_iter().for_each(|(at, parts)| known[at] = Some(parts));
            });
            // What the engine cannot run is decomposed by the weights alone, and that is said.
            if let Err(error) = measured {
                plan.warnings.push(format!("the model does not run on the samples: {error}"));
            }
            let blind =
                left.iter().zip(&known).filter(|(s, known)| !s.table && known.is_none()).count();
            if blind > 0 {
                plan.warnings.push(format!(
                    "{blind} layers are decomposed without samples: too wide, or nothing usable is known of what they read"
                ));
            }
        }
        let blind: Vec<usize> = (0..left.len()).filter(|&at| known[at].is_none()).collect();
        let found: Vec<_> = blind
            .par_iter()
            .map(|&at| {
                (at, decompose(model, &left[at], &wanted[at], None, (Method::Svd, Known::All)))
            })
            .collect();
        found.into_iter().for_each(|(at, parts)| known[at] = parts);
        for ((site, wanted), known) in left.into_iter().zip(&wanted).zip(known) {
            let place = model.label(site.node);
            let Some(known) = known else {
                report.refuse(place, "its weights could not be decomposed");
                continue;
            };
            let planned = Planned::of(site, known, wanted);
            match planned.candidates.is_empty() {
                true => report.refuse(place, "no rank makes it smaller"),
                false => plan.sites.push(planned),
            }
        }
        if let Aim::Ranks(ranks) = &options.aim {
            let known = |name: &String| model.all_nodes().iter().any(|&n| model.name_of(n) == name);
            let strange = ranks.keys().filter(|name| !known(name));
            plan.warnings.extend(
                strange.map(|name| format!("ranks were given for `{name}`, which is no node")),
            );
        }
        plan.refused = report.refused;
        Ok(plan)
    }
}

/// A layer of a plan, for those who decide how far it is split.
#[derive(Debug, Clone, PartialEq)]
pub struct Splittable {
    /// The layer in words.
    pub place: String,
    /// Its name.
    pub name: String,
    /// For each candidate what it becomes, its cost as a share of the layer's, and the share of its output
    /// that is lost; rising losses.
    pub candidates: Vec<(Split, f64, f64)>,
}

impl Plan {
    /// What the layers of another plan of the same model become, by node.
    pub(super) fn splits(&self, chosen: &Chosen) -> BTreeMap<NodeId, Split> {
        let sites = self.sites.iter().zip(chosen);
        let split = |(planned, &chosen): (&Planned, &Option<usize>)| {
            Some((planned.site.node, planned.candidates.get(chosen?)?.split.clone()))
        };
        sites.filter_map(split).collect()
    }

    /// Makes this plan, which has just what was `chosen` of `judged`, one of all layers of that: what they lose
    /// was judged there.
    pub(super) fn told(mut self, judged: &Self, chosen: &Chosen, model: &Model) -> Self {
        self.refused.clone_from(&judged.refused);
        self.warnings.clone_from(&judged.warnings);
        for (planned, &chosen) in judged.sites.iter().zip(chosen) {
            let node = planned.site.node;
            let known = chosen.and_then(|at| planned.candidates.get(at));
            let mine = self.sites.iter_mut().find(|mine| mine.site.node == node);
            match (known, mine) {
                (Some(known), Some(mine)) => {
                    mine.candidates.iter_mut().for_each(|candidate| candidate.loss = known.loss);
                }
                (Some(_), None) => {}
                (None, _) => {
                    self.refused.push(Note { place: model.label(node), text: WHOLE.into() })
                }
            }
        }
        self
    }

    /// The layers of a plan of `model`.
    pub fn layers(&self, model: &Model) -> Vec<Splittable> {
        let layer = |planned: &Planned| {
            let share = |candidate: &Candidate| {
                let macs = candidate.cost.macs.zip(planned.whole.macs);
                let parameters = (candidate.cost.parameters, planned.whole.parameters);
                let (part, whole) = macs.unwrap_or(parameters);
                part as f64 / whole.max(1) as f64
            };
            let candidate = |c: &Candidate| (c.split.clone(), share(c), c.loss);
            Splittable {
                place: model.label(planned.site.node),
                name: model.name_of(planned.site.node).to_owned(),
                candidates: planned.candidates.iter().map(candidate).collect(),
            }
        };
        self.sites.iter().map(layer).collect()
    }
}

/// The weights of a layer, decomposed, and the means of what each group reads, where they are known.
struct Decomposed {
    parts: Vec<Parts>,
    means: Option<Vec<Vec<f64>>>,
}

/// A borrowed site: layers are measured in place.
struct SiteRef<'a>(&'a Site);

impl crate::passes::stored::Linear for SiteRef<'_> {
    fn node(&self) -> NodeId {
        self.0.node
    }

    fn contraction(&self) -> &crate::analysis::Contraction {
        &self.0.contraction
    }
}

fn is_narrow(site: &Site) -> bool {
    let most = if site.extents.kernel.is_empty() { MOST_COLUMNS } else { MOST_WINDOW };
    !site.table && site.contraction.columns <= most
}

/// The parts of all groups, and the means of what they read.
fn decompose(
    model: &Model,
    site: &Site,
    wanted: &Wanted,
    moments: Option<&VectorMoments>,
    (method, known): (Method, Known),
) -> Option<Decomposed> {
    let (columns, groups) = (site.contraction.columns, site.contraction.groups);
    let centred = method == Method::Pca && has_offset(model, site.node);
    let second = |estimate: &Estimate| match centred {
        true => matrix(columns, columns, &estimate.covariance),
        false => matrix(columns, columns, &estimate.second_moments()),
    };
    let of_group = |group: usize| -> Option<(Parts, Option<Vec<f64>>)> {
        let of = |moments| Parts::of(&site.group(group), moments, &site.extents, wanted);
        let Some(VectorMoments { fitting, held_out }) = moments else {
            return Some((of((None, None))?, None));
        };
        let (fitting, held_out) = (&fitting[group], &held_out[group]);
        let (estimate, others) = match known {
            Known::Fitting => {
                let estimate = Estimate::of_fitting(fitting, held_out)?;
                let centre = if centred { estimate.mean.clone() } else { vec![0.0; columns] };
                let others = matrix(columns, columns, &held_out.about(&centre)?);
                (estimate, Some(others))
            }
            Known::All => (Estimate::of_all(fitting, held_out)?, None),
        };
        Some((of((Some(second(&estimate)), others))?, Some(estimate.mean)))
    };
    let parts: Option<Vec<_>> = (0..groups).into_par_iter().map(of_group).collect();
    let (parts, means): (Vec<Parts>, Vec<Option<Vec<f64>>>) = parts?.into_iter().unzip();
    Some(Decomposed { parts, means: means.into_iter().collect() })
}

/// Whether a constant is added to the output of a layer, or could be.
fn has_offset(model: &Model, node: NodeId) -> bool {
    let entry = model.node(node);
    if !entry.is("MatMul") {
        return true;
    }
    let reader = entry.only_output().and_then(|y| model.value(y).only_consumer());
    let added = reader.filter(|&(add, _)| model.node(add).is("Add"));
    let other = added.and_then(|(add, slot)| model.node(add).input(1 - slot.min(1)));
    other.is_some_and(|value| constant(model, value).is_some())
}

impl Planned {
    fn of(site: Site, known: Decomposed, wanted: &Wanted) -> Self {
        let Decomposed { parts, means } = known;
        let extents = &site.extents;
        let whole = extents.whole();
        let splits = match wanted {
            Wanted::Just(split) => vec![split.clone()],
            Wanted::Multiples(multiple) => {
                parts.first().map(|parts| parts.splits(extents, *multiple)).unwrap_or_default()
            }
        };
        let asked = matches!(wanted, Wanted::Just(_));
        let candidate = |split: Split| {
            let cost = extents.cost(&extents.stages(&split));
            let cheaper = cost.parameters < whole.parameters
                && cost.macs.zip(whole.macs).is_none_or(|(a, b)| a < b);
            let mut losses = parts.iter().map(|parts| parts.loss(&split));
            let (lost, all) = losses.try_fold((0.0, 0.0), |sum, loss| {
                loss.map(|loss| (sum.0 + loss.0, sum.1 + loss.1))
            })?;
            let loss = (lost / f64::max(all, f64::MIN_POSITIVE)).max(0.0);
            (asked || cheaper).then_some(Candidate { split, cost, loss })
        };
        let mut candidates: Vec<Candidate> = splits.into_iter().filter_map(candidate).collect();
        candidates.sort_by(|a, b| a.loss.total_cmp(&b.loss));
        Self { site, parts, means, whole, candidates }
    }

    /// The weights of a split: for each part, the matrices of all groups.
    pub fn weights(&self, split: &Split) -> Option<Vec<Vec<Matrix>>> {
        let groups: Option<Vec<Vec<Matrix>>> =
            self.parts.iter().map(|parts| parts.weights(split)).collect();
        let mut groups: Vec<_> = groups?.into_iter().map(Vec::into_iter).collect();
        let count = groups.first()?.len();
        Some((0..count).map(|_| groups.iter_mut().filter_map(Iterator::next).collect()).collect())
    }
}
