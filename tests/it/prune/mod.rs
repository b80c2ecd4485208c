//! Channels: what hangs together, what is frozen, and that a cut computes what zeros compute.

mod budget;
mod command;
mod groups;
mod heads;
mod masked;
mod repair;

use onnxpress::analysis::channels::{Channels, Options};
use onnxpress::analysis::{Assume, Shapes};
use onnxpress::data::random_tensor;
use onnxpress::ir::Model;
use onnxpress::read;
use onnxpress::tensor::DType;

/// A model in text form, with `weights` of seeded noise: `name [dims] type`.
pub fn model(opset: i64, interface: &str, weights: &[(&str, &[usize])], nodes: &str) -> Model {
    let mut text =
        format!("<ir_version: 8, opset_import: [\"\" : {opset}, \"com.microsoft\" : 1]>\n");
    text += &format!("g {interface} <\n");
    let stored = weights.iter().enumerate().map(|(i, (name, dims))| {
        let tensor = random_tensor(DType::Float, dims, 7, i as u64).expect("a small tensor");
        // Scales and variances must be positive.
        let sign = |x: f32| if name.starts_with("var") { x.abs() + 0.5 } else { x };
        let numbers = tensor.to_f32().expect("floats").into_iter().map(|x| format!("{}", sign(x)));
        let dims = dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        format!("  float[{dims}] {name} = {{{}}}", numbers.collect::<Vec<_>>().join(", "))
    });
    text += &stored.collect::<Vec<_>>().join(",\n");
    text += &format!("\n> {{\n{nodes}\n}}\n");
    read::text(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The channels of a model with the usual options.
pub fn channels(model: &Model, options: Options) -> Channels {
    Channels::of(model, &Shapes::infer(model, &Assume::default()), options)
}

/// The groups as text: number of orbits, and on each constant: name, axis, indices of an orbit.
pub fn groups(model: &Model, channels: &Channels) -> Vec<String> {
    let group = |group: &onnxpress::analysis::channels::Group| {
        let members = group.members.iter().filter_map(|member| {
            let axis = &channels.axes[member.axis];
            let value = model.value(axis.value);
            value.initializer()?;
            Some(format!("{}.{}:{}", value.name(), axis.axis, member.indices))
        });
        let mut members: Vec<String> = members.collect();
        members.sort();
        let heads = if group.heads { " heads" } else { "" };
        format!("{}{heads} {}", group.orbits.len(), members.join(" "))
    };
    channels.groups.iter().map(group).collect()
}
