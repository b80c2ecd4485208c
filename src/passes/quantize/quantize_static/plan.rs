//! Decides what is quantized, and on which grid, without editing the model.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::analysis::{Shapes, constant, origin};
use crate::error::{Result, err};
use crate::ir::{Model, Node, NodeId, ValueId};
use crate::passes::quantize::quantize_static::chain::{self, Chain, Selection};
use crate::passes::quantize::quantize_static::grids::{self, Activation, Ranges};
use crate::passes::quantize::quantize_static::lookup::Found;
use crate::passes::quantize::quantize_static::table::{self, Role};
use crate::passes::quantize::quantize_static::target::Rules;
use crate::passes::quantize::quantize_static::ties::{self, Extents};
use crate::passes::quantize::quantize_static::width::{Layout, Placed, Placement};
use crate::passes::quantize::quantize_static::{
    Format, QuantizeStatic, candidate, lookup, sharing,
};
use crate::passes::rewrite::pattern::fitting;
use crate::passes::stored::Share;
use crate::passes::{Context, Report};
use crate::tensor::{DType, Tensor};

/// Everything that will be edited.
#[derive(Default)]
pub(super) struct Plan {
    /// Nodes with weights.
    pub nodes: Vec<PlannedNode>,
    /// Gathers of tables.
    pub lookups: Vec<Lookup>,
    /// Nodes without weights that will read integers.
    pub inner: Vec<NodeId>,
    /// Constant operands of these.
    pub operands: Vec<Operand>,
    /// The format of the activations of each node that computes with integers.
    pub formats: HashMap<NodeId, Format>,
    /// Activations with their grids, in the order of the model.
    pub activations: Vec<Activation>,
}

/// A node whose weights become integers, and perhaps what else it reads.
pub(super) struct PlannedNode {
    pub node: NodeId,
    pub weights: Vec<Weight>,
    pub bias: Option<Bias>,
    /// Inputs that become integers; none when it computes with floats.
    pub activations: Vec<ValueId>,
    /// It computes with integers.
    pub kernel: bool,
    /// What the report says of its weights.
    pub text: String,
}

/// A constant factor.
pub(super) struct Weight {
    pub slot: usize,
    /// A constant, or what operators that only move or cast make of one.
    pub value: ValueId,
    /// Floats, finite; weights are decoded one by one when they are stored.
    pub tensor: Tensor,
    /// The type of the value.
    pub dtype: DType,
    pub dims: Vec<usize>,
    /// For the value as it is, even where it is read transposed.
    pub share: Share,
    /// The Transpose behind which it is read.
    pub turned: Option<NodeId>,
    /// Others read it, too.
    pub shared: bool,
}

impl Weight {
    /// The elements as `float`.
    pub fn elements(&self) -> Cow<'_, [f32]> {
        self.tensor.floats()
    }

    /// Who reads the floats of the value.
    pub fn reader(&self, node: NodeId) -> (NodeId, usize) {
        self.turned.map_or((node, self.slot), |transpose| (transpose, 0))
    }
}

/// A weight with all that read it as such.
pub(in crate::passes) struct Storable {
    pub value: ValueId,
    pub tensor: Tensor,
    /// The type of the value.
    pub dtype: DType,
    pub dims: Vec<usize>,
    pub share: Share,
    /// Nodes and slots: a Transpose in the place of layers behind it.
    pub readers: Vec<(NodeId, usize)>,
    /// The layers.
    pub layers: Vec<NodeId>,
}

impl Storable {
    /// The elements as `float`.
    pub fn elements(&self) -> Cow<'_, [f32]> {
        self.tensor.floats()
    }
}

/// A constant bias with one element for each slice of the weight.
pub(super) struct Bias {
    /// The node that adds it.
    pub node: NodeId,
    pub slot: usize,
    pub value: ValueId,
    pub tensor: Tensor,
}

/// A Gather of a table that becomes integers.
pub(super) struct Lookup {
    pub node: NodeId,
    pub weight: Weight,
    /// What its numbers become.
    pub format: Format,
    /// The axis of the result that has a scale for each slice.
    pub columns: Option<usize>,
}

impl Lookup {
    /// What the report says.
    pub fn text(&self) -> String {
        match self.columns {
            Some(_) => format!("{} table with a scale for each column", self.format.dtype),
            None => format!("{} table", self.format.dtype),
        }
    }
}

/// A constant operand of a node without weights.
pub(super) struct Operand {
    pub node: NodeId,
    pub slot: usize,
    pub value: ValueId,
    pub elements: Vec<f32>,
    pub dims: Vec<usize>,
    /// That of what the node reads beside it.
    pub format: Format,
}

impl PlannedNode {
    /// The node behind which the layer ends: itself, or the one that adds its bias.
    pub fn last(&self) -> NodeId {
        self.bias.as_ref().map_or(self.node, |bias| bias.node)
    }

    /// A product that computes with floats of another type than the kernels of a target: its weights are stored.
    pub fn of_other_floats(mut self, dtype: DType, rules: &Rules) -> Result<Self, String> {
        if !rules.unpacks_at_load {
            return Err(format!("target {} has no integer kernel for {dtype}", rules.name));
        }
        self.text =
            format!("{}: it reads {dtype}, for which there is no integer kernel", self.text);
        Ok(self)
    }

    /// Only stores the weights that are worth it; false, and nothing changes, when none is.
    fn leave_in_float(&mut self, options: &QuantizeStatic, why: &str) -> bool {
        let Some(first) = self.weights.iter().find(|weight| candidate::is_worth_storing(weight))
        else {
            return false;
        };
        let what = candidate::what(first, options);
        self.text = format!("{what}; computes with floats: {why}");
        self.weights.retain(candidate::is_worth_storing);
        (self.bias, self.activations, self.kernel) = (None, Vec::new(), false);
        true
    }
}

impl Plan {
    /// Each weight once, as it is divided for the first of its readers.
    pub fn storable(self) -> Vec<Storable> {
        let layers = self.nodes.into_iter();
        let layers =
            layers.flat_map(|layer| layer.weights.into_iter().map(move |w| (layer.node, w)));
        let tables = self.lookups.into_iter().map(|lookup| (lookup.node, lookup.weight));
        let mut found: Vec<Storable> = Vec::new();
        let mut index: HashMap<ValueId, usize> = HashMap::new();
        for (node, weight) in layers.chain(tables) {
            let reader = weight.reader(node);
            let Weight { value, tensor, dtype, dims, share, .. } = weight;
            let at = *index.entry(value).or_insert(found.len());
            if found.len() == at {
                let (readers, layers) = (Vec::new(), Vec::new());
                found.push(Storable { value, tensor, dtype, dims, share, readers, layers });
            }
            let stored = &mut found[at];
            stored.layers.push(node);
            if !stored.readers.contains(&reader) {
                stored.readers.push(reader);
            }
        }
        found
    }
}

pub(super) fn plan(
    model: &Model,
    options: &QuantizeStatic,
    cx: &Context<'_>,
    report: &mut Report,
) -> Result<Plan> {
    let shapes = &*cx.shapes_of(model);
    let (mut plan, candidates) = survey(model, options, shapes, report);
    sharing::settle(model, options, &mut plan, report);
    let mut banned: HashSet<ValueId> = HashSet::new();
    let rules = options.target.rules();
    let (inner, placement, ranges) = loop {
        let chain = Chain {
            model,
            rules,
            shapes,
            products: &plan.nodes,
            candidates: &candidates,
            banned: &banned,
            interface: options.interface,
        };
        let Selection { inner, values } = chain.select();
        if values.is_empty() && banned.is_empty() {
            return Ok(plan);
        }
        let measure = cx.measure.ok_or_else(|| {
            err!(Usage, "static quantization needs calibration data").help("give --data")
        })?;
        let mut layout = Layout {
            model,
            options,
            products: &plan.nodes,
            inner: &inner,
            values: &values,
            lookups: &plan.lookups,
            extents: None,
        };
        let placement = layout.placed();
        let mut ranges = grids::ranges(model, &placement.values, measure)?;
        let missing = without_range(&ranges);
        if missing.is_empty() {
            let extents = extents(&placement, &ranges, options);
            let mixed = ties::mixed(model, &extents, &chain.wanted_values());
            let mixed: HashMap<ValueId, String> =
                mixed.into_iter().filter(|(value, _)| values.contains(value)).collect();
            if mixed.is_empty() {
                layout.extents = Some(&extents);
                let placement = layout.placed();
                let known = |p: &Placed| ranges.contains_key(&(p.value, p.format));
                if !placement.values.iter().all(known) {
                    ranges = grids::ranges(model, &placement.values, measure)?;
                }
                break (inner, placement, ranges);
            }
            let written: Vec<Option<ValueId>> =
                plan.nodes.iter().map(|product| chain.written(product)).collect();
            let mut of_layers = written.iter();
            plan.nodes.retain_mut(|layer| {
                let value = of_layers.next().copied().flatten();
                let Some(part) = value.and_then(|value| mixed.get(&value)) else { return true };
                let reason = ties::reason(part);
                let stays = layer.leave_in_float(options, &reason);
                if !stays {
                    report.refuse(model.label(layer.node), format!("stays in float: {reason}"));
                }
                stays
            });
            for &value in values.iter().filter(|&&value| !written.contains(&Some(value))) {
                let maker = model.value(value).producer();
                if let (Some(part), Some(maker)) = (mixed.get(&value), maker) {
                    let reason = format!("stays in float: {}", ties::reason(part));
                    report.refuse(model.label(maker), reason);
                }
            }
            banned.extend(mixed.into_keys());
            continue;
        }
        let measured = |layer: &mut PlannedNode| {
            let mut read = layer.activations.iter();
            let Some((value, reason)) = read.find_map(|v| Some((v, missing.get(v)?))) else {
                return true;
            };
            let reason = format!("activation `{}` {reason}", model.value(*value).name());
            // Its weights are known all the same.
            if layer.leave_in_float(options, &reason) {
                return true;
            }
            report.refuse(model.label(layer.node), reason);
            false
        };
        plan.nodes.retain_mut(measured);
        // Without the integers of these nodes, some values are no longer needed.
        banned.extend(missing.into_keys());
    };
    for &node in &candidates {
        let alone = !inner.contains(&node) && !table::is_clipping(model, node);
        let computes = table::of(model, model.node(node));
        if alone && computes.is_some_and(|row| matches!(row.role, Role::Compute(_))) {
            report.refuse(model.label(node), "stays in float: no integers around it");
        }
    }
    let constants = |&node: &NodeId| Some(operands(model, node, *placement.formats.get(&node)?));
    plan.operands = inner.iter().filter_map(constants).flatten().collect();
    plan.inner = inner;
    plan.formats = placement.formats;
    plan.activations = grids::grids(placement.values, &ranges);
    Ok(plan)
}

/// Why values have no range.
fn without_range(ranges: &Ranges) -> HashMap<ValueId, String> {
    let reason = |(&(value, _), range): (&(ValueId, _), &Result<_, String>)| {
        Some((value, range.as_ref().err()?.clone()))
    };
    ranges.iter().filter_map(reason).collect()
}

/// What values reach that get grids of few levels.
fn extents(placement: &Placement, ranges: &Ranges, options: &QuantizeStatic) -> Extents {
    let placed = placement.values.iter().filter(|placed| ties::matter(placed.format.levels()));
    let range = |placed: &Placed| {
        let range = ranges.get(&(placed.value, placed.format))?.as_ref().ok()?;
        Some((placed.value, *range))
    };
    Extents::new(placed.filter_map(range).collect(), options.activations().symmetric)
}

/// Nodes with weights, and the nodes that may stand in a chain of integers.
fn survey(
    model: &Model,
    options: &QuantizeStatic,
    shapes: &Shapes,
    report: &mut Report,
) -> (Plan, Vec<NodeId>) {
    let rules = options.target.rules();
    let (mut plan, mut chained) = (Plan::default(), Vec::new());
    for id in model.all_nodes() {
        let node = model.node(id);
        let Some(row) = table::of(model, node) else { continue };
        if !options.looks_at(model, id) {
            continue;
        }
        let weighty = matches!(row.role, Role::Product | Role::Scaling | Role::Recurrent);
        if options.weights_only && !weighty && !is_table(model, node) {
            continue;
        }
        let computes = weighty || matches!(row.role, Role::Compute(_));
        let results = table::results(node);
        let float = |&value: &ValueId| shapes.dtype(value).is_none_or(|d| d == DType::Float);
        let table = is_table(model, node);
        if !weighty && !table && !results.iter().all(float) {
            continue;
        }
        if let Some(pattern) = fitting(model, id, &options.keep) {
            if computes {
                report.refuse(model.label(id), format!("kept in float by `{pattern}`"));
            }
            continue;
        }
        let found = match row.role {
            Role::Product | Role::Scaling if options.weights_only => {
                candidate::only_weights(model, id, row.role, options)
            }
            Role::Product | Role::Scaling => {
                candidate::product(model, id, row.role, options, shapes)
            }
            Role::Recurrent => candidate::stored(model, id, &[1, 2], options),
            Role::Move if table => {
                match lookup::find(model, id, options, shapes) {
                    Ok(Found::None) => {}
                    Ok(Found::Floats(layer)) => plan.nodes.push(layer),
                    Ok(Found::Rows(lookup)) => plan.lookups.push(lookup),
                    Err(reason) => report.refuse(model.label(id), reason),
                }
                continue;
            }
            role => {
                let known = rules.chained.iter().chain(rules.moving).any(|op| node.is(op));
                let joins_constant = role == Role::Join
                    && node.inputs().iter().any(|&value| is_constant(model, value));
                let settled = results.iter().any(|&value| chain::is_quantized(model, value));
                if known && !joins_constant && !settled {
                    chained.push(id);
                } else if computes && !known && float_known(shapes, &results) {
                    report.refuse(model.label(id), candidate::no_kernel(rules));
                }
                continue;
            }
        };
        match found {
            Ok(found) => plan.nodes.extend(found),
            Err(reason) => report.refuse(model.label(id), reason),
        }
    }
    (plan, chained)
}

/// A Gather of rows of a constant.
fn is_table(model: &Model, node: &Node) -> bool {
    node.is("Gather") && node.input(0).is_some_and(|table| origin(model, table).is_some())
}

fn is_constant(model: &Model, value: Option<ValueId>) -> bool {
    value.is_some_and(|value| constant(model, value).is_some())
}

fn float_known(shapes: &Shapes, values: &[ValueId]) -> bool {
    values.iter().all(|&value| shapes.dtype(value) == Some(DType::Float))
}

/// The constant operands of a node that will read integers.
fn operands(model: &Model, id: NodeId, format: Format) -> Vec<Operand> {
    let node = model.node(id);
    let Some(Role::Compute(slots)) = table::of(model, node).map(|row| row.role) else {
        return Vec::new();
    };
    let operand = |&slot: &usize| {
        let value = node.input(slot)?;
        let tensor = constant(model, value)?;
        let elements = tensor.to_f32().ok()?;
        let dims = tensor.dims().to_vec();
        Some(Operand { node: id, slot, value, elements, dims, format })
    };
    slots.iter().filter_map(operand).collect()
}
