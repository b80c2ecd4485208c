//! Inputs and outputs as integers.

use crate::analysis::constant;
use crate::ir::{GraphOutput, Info, Model, NodeId, TensorType, ValueId, ValueType};
use crate::passes::Report;
use crate::tensor::{DType, Tensor};

/// An input or output of the model that holds integers now.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// Name of the input or output.
    pub name: String,
    /// Integer type.
    pub dtype: DType,
    /// A float is `scale · (q - zero_point)`.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i64,
}

/// Drops the QuantizeLinear behind inputs and the DequantizeLinear before outputs: callers then give
/// and get integers. Returns what became an integer; the report names what did not, and why.
pub fn quantize_interface(model: &mut Model) -> (Vec<Port>, Report) {
    let mut ports = Vec::new();
    let mut report = Report::default();
    let main = model.main();
    for input in model.graph(main).inputs().to_vec() {
        let place = format!("input `{}`", model.value(input).name());
        match input_port(model, input) {
            Ok(port) => {
                report.did(&place, format!("is {} now", port.dtype));
                ports.push(port);
            }
            Err(reason) => report.refuse(place, reason),
        }
    }
    for slot in 0..model.graph(main).outputs().len() {
        let place = format!("output `{}`", name_of(model, &model.graph(main).outputs()[slot]));
        match output_port(model, slot) {
            Ok(port) => {
                report.did(&place, format!("is {} now", port.dtype));
                ports.push(port);
            }
            Err(reason) => report.refuse(place, reason),
        }
    }
    (ports, report)
}

fn name_of(model: &Model, output: &GraphOutput) -> String {
    model.value(output.value).name().to_owned()
}

fn input_port(model: &mut Model, input: ValueId) -> Result<Port, &'static str> {
    let Some((quantize, 0)) = model.value(input).only_consumer() else {
        return Err("is not read by one QuantizeLinear alone");
    };
    let integers = model.node(quantize).only_output();
    let (true, Some(integers)) = (model.node(quantize).is("QuantizeLinear"), integers) else {
        return Err("is not read by one QuantizeLinear alone");
    };
    let port = port(model, input, quantize)?;
    model.set_input(quantize, 0, None);
    model.replace_uses(integers, input);
    model.remove_node(quantize);
    let info = retyped(model.value(input).info(), port.dtype);
    model.set_info(input, info);
    Ok(port)
}

fn output_port(model: &mut Model, slot: usize) -> Result<Port, &'static str> {
    let main = model.main();
    let value = model.graph(main).outputs()[slot].value;
    let entry = model.value(value);
    let Some(dequantize) = entry.producer().filter(|&node| model.node(node).is("DequantizeLinear"))
    else {
        return Err("does not come out of a DequantizeLinear");
    };
    let Some(integers) = model.node(dequantize).input(0) else {
        return Err("does not come out of a DequantizeLinear");
    };
    let mut outputs = model.graph(main).outputs().iter();
    if model.value(integers).producer().is_none()
        || model.value(integers).is_output()
        || outputs.clone().filter(|output| output.value == value).count() > 1
    {
        return Err("is an input, a constant or another output, too");
    }
    let port = port(model, value, dequantize)?;
    let info = outputs.nth(slot).map(|output| retyped(&output.info, port.dtype));
    model.hand_over_outputs(value, integers);
    model.set_output_info(main, slot, info.unwrap_or_default());
    model.set_info(integers, Info::default());
    if model.value(value).uses().is_empty() {
        model.remove_node(dequantize);
    }
    Ok(port)
}

/// What a QuantizeLinear or DequantizeLinear with one scale does.
fn port(model: &Model, named: ValueId, node: NodeId) -> Result<Port, &'static str> {
    let parameter = |slot: usize| {
        let tensor = constant(model, model.node(node).input(slot)?)?;
        (tensor.len() == 1).then_some(tensor)
    };
    let (Some(scale), Some(zero)) = (parameter(1), parameter(2)) else {
        return Err("has no single constant scale and zero point");
    };
    let scale: Option<f32> = scale.to_f32().ok().and_then(|scale| scale.first().copied());
    let integer = |zero: &Tensor| zero.to_i64().ok()?.first().copied();
    let (Some(scale), Some(zero_point)) = (scale, integer(&zero)) else {
        return Err("has no integer for 0");
    };
    let name = model.value(named).name().to_owned();
    Ok(Port { name, dtype: zero.dtype(), scale, zero_point })
}

fn retyped(info: &Info, dtype: DType) -> Info {
    let mut info = info.clone();
    info.ty = Some(ValueType::Tensor(match info.ty {
        Some(ValueType::Tensor(ty)) => TensorType { dtype, ..ty },
        _ => TensorType::of(dtype),
    }));
    info
}
