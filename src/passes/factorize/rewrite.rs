//! Puts layers in a row in the place of one.

use crate::analysis::WEIGHT_SLOT;
use crate::ir::ops::{Conv, Gemm};
use crate::ir::{At, Attribute, Model, NewNode, ValueId};
use crate::math::Unfold;
use crate::math::lowrank::{Matrix, elements};
use crate::passes::factorize::plan::Planned;
use crate::passes::factorize::shape::{Reach, Split, Stage, along};
use crate::passes::rewrite::linear::{Affine, Layer};
use crate::tensor::Tensor;

/// Endings of the names of parts, in order.
const PARTS: [&str; 3] = ["_lowrank_a", "_lowrank_b", "_lowrank_c"];

/// A part that is ready to be put in.
struct Part {
    stage: Stage,
    weight: Tensor,
}

/// Splits a layer of `model`, and returns what its last part reads. The layer itself becomes that part, with
/// its bias.
///
/// # Errors
/// Why it stays as it is.
pub(super) fn split(
    model: &mut Model,
    planned: &Planned,
    split: &Split,
) -> Result<ValueId, String> {
    let site = &planned.site;
    let weights = planned.weights(split).ok_or("these ranks were not looked at")?;
    let stages = site.extents.stages(split);
    let last = stages.len() - 1;
    let tensor = |(i, (stage, groups)): (usize, (&Stage, &Vec<Matrix>))| -> Result<Part, String> {
        let weight = tensor(model, planned, *stage, groups, i == last)?;
        Ok(Part { stage: *stage, weight })
    };
    let parts: Vec<Part> =
        stages.iter().zip(&weights).enumerate().map(tensor).collect::<Result<_, _>>()?;
    let name = model.name_of(site.node).to_owned();
    let stored = model.value(site.weight).name().to_owned();
    let mut value = site.contraction.input;
    let mut next = None;
    for (i, part) in parts.into_iter().enumerate() {
        let graph = model.node(site.node).graph();
        let weight = model.add_initializer(graph, &format!("{stored}{}", PARTS[i]), part.weight);
        if i == last {
            next = Some((part.stage, weight));
            break;
        }
        let node = first_part(model, planned, part.stage, (value, weight));
        let node = NewNode { name: format!("{name}{}", PARTS[i]), ..node };
        let node = NewNode { outputs: vec![format!("{name}{}", PARTS[i])], ..node };
        let node = model.add_node(graph, At::Before(site.node), node);
        value = model.node(node).output(0).ok_or("it has no output")?;
    }
    let (stage, weight) = next.ok_or("it has no last part")?;
    last_part(model, planned, stage, (value, weight));
    model.set_node_name(site.node, &format!("{name}{}", PARTS[last]));
    drop_unused(model, site.weight);
    if let Some(offset) = shift(planned, split) {
        let factor = vec![1.0; offset.len()];
        // What has no place for an offset is refitted, or stays.
        let absorbed = Layer::of(model, site.node)
            .and_then(|layer| layer.absorb(model, &Affine { factor, offset }).ok());
        if let Some(absorbed) = absorbed {
            absorbed.apply(model);
        }
    }
    Ok(value)
}

/// What the outputs lose on average.
fn shift(planned: &Planned, split: &Split) -> Option<Vec<f64>> {
    let means = planned.means.as_ref()?;
    let site = &planned.site;
    let weights = planned.weights(split)?;
    let stages = site.extents.stages(split);
    let mut shift = Vec::new();
    for (group, mean) in means.iter().enumerate() {
        let whole = site.group(group);
        let column = |vector: &[f64]| Matrix::from_fn(vector.len(), 1, |i, _| vector[i]);
        let before = whole * column(mean);
        let matrices = weights.iter().map(|groups| &groups[group]);
        let after = through(&stages, &site.extents.kernel, mean, matrices)?;
        shift.extend((0..before.nrows()).map(|i| before[(i, 0)] - after.get(i).unwrap_or(&0.0)));
    }
    Some(shift)
}

/// What layers in a row make of one window: channels, and within each its places.
fn through<'a>(
    stages: &[Stage],
    kernel: &[usize],
    window: &[f64],
    matrices: impl Iterator<Item = &'a Matrix>,
) -> Option<Vec<f64>> {
    let mut window = window.to_vec();
    let mut left = kernel.to_vec();
    for (stage, matrix) in stages.iter().zip(matrices) {
        // The places that the stage sums over are the first ones that are left, all or none.
        let read: usize = along(&left, stage.reach, 1).iter().product();
        let all: usize = left.iter().product();
        let rest = all / read.max(1);
        let mut made = vec![0.0; stage.outputs * rest];
        for output in 0..stage.outputs {
            for other in 0..rest {
                let mut sum = 0.0;
                for column in 0..stage.inputs * read {
                    let (channel, place) = (column / read, column % read);
                    sum += matrix[(output, column)]
                        * window.get(channel * all + place * rest + other)?;
                }
                made[output * rest + other] = sum;
            }
        }
        left = left
            .iter()
            .enumerate()
            .map(|(i, &n)| if stage.reach.covers(i) { 1 } else { n })
            .collect();
        window = made;
    }
    Some(window)
}

/// The weights of a part as its operator stores them.
fn tensor(
    model: &Model,
    planned: &Planned,
    stage: Stage,
    groups: &[Matrix],
    last: bool,
) -> Result<Tensor, String> {
    let site = &planned.site;
    let extents = &site.extents;
    let entry = model.node(site.node);
    let one = groups.first().ok_or("it has no groups")?;
    let transposed = |matrix: &Matrix| matrix.transpose().to_owned();
    let (dims, values) = if let Unfold::Windows(_) = &site.contraction.unfold {
        let places = extents.places(stage.reach);
        let kernel = along(&extents.kernel, stage.reach, 1);
        let column_first = extents.transposed && (last || stage.reach != Reach::None);
        let (first, second) = match column_first {
            true => (groups.len() * stage.inputs, stage.outputs),
            false => (groups.len() * stage.outputs, stage.inputs),
        };
        let by_input = |matrix: &Matrix| -> Vec<f64> {
            let input = |i: usize| {
                (0..stage.outputs)
                    .flat_map(move |o| (0..places).map(move |p| matrix[(o, i * places + p)]))
            };
            (0..stage.inputs).flat_map(input).collect()
        };
        let values: Vec<f64> = match column_first {
            true => groups.iter().flat_map(by_input).collect(),
            false => groups.iter().flat_map(elements).collect(),
        };
        ([vec![first, second], kernel].concat(), values)
    } else if !last
        || site.table
        || entry.is("MatMul")
        || Gemm::of(model, site.node).is_some_and(|gemm| !gemm.trans_b)
    {
        (vec![stage.inputs, stage.outputs], elements(&transposed(one)))
    } else if entry.is("Gemm") {
        (vec![stage.outputs, stage.inputs], elements(one))
    } else {
        // Recurrent: directions, gates and units, inputs.
        let directions = if entry.attr_str("direction") == Some("bidirectional") { 2 } else { 1 };
        (vec![directions, stage.outputs / directions, stage.inputs], elements(one))
    };
    let floats: Vec<f32> = values.iter().map(|&x| x as f32).collect();
    let made = match site.dtype {
        crate::tensor::DType::Double => Ok(Tensor::from_f64(&dims, &values)),
        dtype => Tensor::from_f32_as(dtype, &dims, &floats),
    };
    let finite =
        |tensor: &Tensor| tensor.to_f32().is_ok_and(|values| values.iter().all(|x| x.is_finite()));
    let made = made.map_err(|error| error.to_string())?;
    if finite(&made) {
        Ok(made)
    } else {
        Err("its factors do not fit the type of its weights".into())
    }
}

/// A part before the last one.
fn first_part(
    model: &Model,
    planned: &Planned,
    stage: Stage,
    (value, weight): (ValueId, ValueId),
) -> NewNode {
    let site = &planned.site;
    match &site.contraction.unfold {
        Unfold::Windows(_) => {
            let transposed = site.extents.transposed && stage.reach != Reach::None;
            let op = if transposed { "ConvTranspose" } else { "Conv" };
            let mut node = NewNode::new(op, &[value, weight], "");
            node.attributes = windows(model, planned, stage).into_iter().flatten().collect();
            node
        }
        Unfold::Rows if site.table => NewNode::new("Gather", &[weight, value], ""),
        Unfold::Columns => NewNode::new("Gemm", &[value, weight], "").attr("transA", 1),
        Unfold::Rows => NewNode::new("MatMul", &[value, weight], ""),
    }
}

/// Makes the layer its own last part.
fn last_part(
    model: &mut Model,
    planned: &Planned,
    stage: Stage,
    (value, weight): (ValueId, ValueId),
) {
    let node = planned.site.node;
    if Conv::of(model, node).is_some() {
        let attributes = windows(model, planned, stage);
        for name in ["kernel_shape", "strides", "dilations", "pads", "auto_pad", "output_padding"] {
            model.remove_attr(node, name);
        }
        attributes.into_iter().flatten().for_each(|attribute| model.set_attr(node, attribute));
    }
    if planned.site.table {
        model.remove_attr(node, "axis");
        model.set_op(node, "MatMul");
    }
    if planned.site.contraction.unfold == Unfold::Columns {
        model.remove_attr(node, "transA");
    }
    model.set_input(node, 0, Some(value));
    model.set_input(node, WEIGHT_SLOT, Some(weight));
}

/// The attributes of a part of a layer with windows. Padding by SAME is told axis by axis, so parts that
/// reach one axis each keep it.
fn windows(model: &Model, planned: &Planned, stage: Stage) -> Vec<Option<Attribute>> {
    let extents = &planned.site.extents;
    let entry = model.node(planned.site.node);
    let (axes, reach) = (extents.kernel.len(), stage.reach);
    let integers =
        |numbers: Vec<usize>| numbers.into_iter().map(|n| n as i64).collect::<Vec<i64>>();
    let ints = |name: &str, point: i64| -> Option<Attribute> {
        let given = entry.attr_ints(name)?;
        let (begin, end) = given.split_at(axes.min(given.len()));
        let mut numbers = along(begin, reach, point);
        numbers.extend(along(end, reach, point));
        (reach != Reach::None).then(|| Attribute::new(name, numbers))
    };
    let auto = entry.attr_str("auto_pad").filter(|_| reach != Reach::None);
    vec![
        Some(Attribute::new("kernel_shape", integers(along(&extents.kernel, reach, 1)))),
        ints("strides", 1),
        ints("dilations", 1),
        ints("pads", 0),
        ints("output_padding", 0),
        auto.map(|auto| Attribute::new("auto_pad", auto)),
        (extents.groups > 1).then(|| Attribute::new("group", extents.groups as i64)),
    ]
}

/// Removes weights that nobody reads any more.
fn drop_unused(model: &mut Model, value: ValueId) {
    if !model.value(value).uses().is_empty() {
        return;
    }
    match model.value(value).producer() {
        Some(node) => model.remove_node(node),
        None => {
            model.remove_initializer(value);
        }
    }
}
