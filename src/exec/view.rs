//! The tract view: a copy of the model in which what tract lacks or reads differently is spelled
//! out, without changing what the model computes.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::analysis::{Assume, Shapes};
use crate::error::{Error, ErrorKind, Result, err};
use crate::exec::{
    InputShape, ellipsis, grid, half, integer, packed, quantized, recurrent, tract::Lowering,
};
use crate::ir::{Attribute, Model, NodeId};
use crate::tensor::{DType, Tensor};

/// The model without model-local functions, which tract knows only in part.
pub(super) fn inlined(model: &Model) -> Result<Cow<'_, Model>> {
    if model.functions().is_empty() {
        return Ok(Cow::Borrowed(model));
    }
    let mut copy = model.clone();
    let refused = copy.inline_functions().refused;
    match (copy.functions().first(), refused.into_iter().next()) {
        (Some(_), Some((place, reason))) => {
            Err(err!(Engine, "a model-local function cannot be inlined: {reason}").at(place))
        }
        _ => Ok(Cow::Owned(copy)),
    }
}

/// The copy for tract of a model without functions.
///
/// # Errors
/// When a sparse initializer is too large to be spelled out, or a recurrent layer cannot be turned around.
pub(super) fn of(model: Cow<'_, Model>, given: &[InputShape], lowering: Lowering) -> Result<Model> {
    let mut view = model.into_owned();
    settle_defaults(&mut view, given);
    // tract does not see sparse initializers.
    view.make_dense().map_err(|error| Error { kind: ErrorKind::Engine, ..error })?;
    name_apart(&mut view);
    // tract looks for `uint64` and `uint32` elements in the wrong fields.
    view.store_raw();
    ellipsis::spell_out(&mut view);
    for node in view.all_nodes() {
        // tract counts inputs that are left out at the end.
        view.trim_inputs(node);
        fill_constant_of_shape(&mut view, node);
        write_zero_point(&mut view, node);
    }
    if view.values().any(|(_, value)| value.initializer().is_some_and(is_half)) {
        let shapes = Shapes::infer(&view, &Assume::default());
        for node in view.all_nodes() {
            half::spell_out(&mut view, node, &shapes);
        }
    }
    for node in view.all_nodes() {
        integer::spell_out(&mut view, node);
        if view.is_live(node) {
            packed::spell_out(&mut view, node);
        }
    }
    for node in view.all_nodes() {
        recurrent::spell_out(&mut view, node)?;
    }
    for node in view.all_nodes() {
        if lowering == Lowering::Short && view.is_live(node) {
            let _ = grid::join(&mut view, node) || quantized::fold_weights(&mut view, node);
        }
    }
    for node in view.all_nodes() {
        if view.is_live(node) {
            quantized::spell_out(&mut view, node);
        }
    }
    Ok(view)
}

fn is_half(tensor: &Tensor) -> bool {
    tensor.dtype() == DType::Float16
}

/// tract needs weights as constants: inputs that are not given keep their defaults for good. Of
/// those that are given it would use the default all the same.
fn settle_defaults(view: &mut Model, given: &[InputShape]) {
    for input in view.graph(view.main()).inputs().to_vec() {
        if given.iter().any(|shape| shape.name == view.value(input).name()) {
            view.drop_default(input);
        } else {
            view.freeze_input(input);
        }
    }
}

/// In tract a node (called after its first output, when it has no name), an input and a constant
/// may not have the same name.
fn name_apart(view: &mut Model) {
    let values = view.values().filter(|(_, value)| value.producer().is_none());
    let mut taken: HashSet<String> = values.map(|(_, value)| value.name().to_owned()).collect();
    for id in view.all_nodes() {
        let name = view.name_of(id).to_owned();
        if name.is_empty() || taken.insert(name.clone()) {
            continue;
        }
        let mut others = (1usize..).map(|i| format!("{name}_{i}"));
        if let Some(other) = others.find(|other| taken.insert(other.clone())) {
            view.set_node_name(id, &other);
        }
    }
}

/// The specification's default is a `float` zero; tract takes a `double`.
fn fill_constant_of_shape(view: &mut Model, node: NodeId) {
    let entry = view.node(node);
    if entry.is("ConstantOfShape") && entry.attr("value").is_none() {
        view.set_attr(node, Attribute::new("value", Tensor::from_f32(&[1], &[0.0])));
    }
}

/// tract ignores `output_dtype`; an explicit zero point says the same.
fn write_zero_point(view: &mut Model, node: NodeId) {
    let entry = view.node(node);
    let graph = entry.graph();
    let scale = entry.input(1).and_then(|scale| view.value(scale).initializer().cloned());
    let dtype =
        entry.attr_int("output_dtype").and_then(|n| DType::from_onnx(i32::try_from(n).ok()?));
    if let (true, None, Some(scale), Some(dtype)) =
        (entry.is("QuantizeLinear"), entry.input(2), scale, dtype)
        && let Ok(zeros) = Tensor::from_f32_as(dtype, scale.dims(), &vec![0.0; scale.len()])
    {
        let zero_point = view.add_initializer(graph, "zero_point", zeros);
        view.set_input(node, 2, Some(zero_point));
    }
}
