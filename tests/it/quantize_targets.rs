//! What each target wants of a model, checked on what is written for it.

use onnxpress::analysis::{Asked, Measure, Range, constant};
use onnxpress::ir::{Model, NodeId};
use onnxpress::passes::{Context, Format, Pass, QuantizeStatic, Target};
use onnxpress::tensor::{DType, Tensor};

use crate::quantize_types::{nodes, quantize};
use crate::support::load;

const FIXTURES: [&str; 5] = [
    "digits_mlp.onnx",
    "digits_resnet_bn.onnx",
    "digits_resnet_opset11.onnx",
    "digits_transformer.onnx",
    "digits_transformer_dynamo.onnx",
];

/// A QuantizeLinear or DequantizeLinear.
struct Conversion {
    node: NodeId,
    /// It quantizes, or the integers that it reads were quantized while running.
    activation: bool,
    scales: Vec<f32>,
    zeros: Vec<i64>,
    dtype: DType,
}

fn conversions(model: &Model) -> Vec<Conversion> {
    let both = ["QuantizeLinear", "DequantizeLinear"].map(|op| nodes(model, op)).concat();
    let conversion = |node: NodeId| {
        let entry = model.node(node);
        let parameter = |slot: usize| Some(constant(model, entry.input(slot)?).expect("constant"));
        let integers = constant(model, entry.input(0).expect("an input"));
        let scale = parameter(1).expect("a scale");
        let zero = parameter(2);
        let dtype = zero.as_ref().or(integers.as_ref()).expect("a type").dtype();
        let zeros =
            zero.map_or(vec![0; scale.len()], |zero: Tensor| zero.to_i64().expect("integers"));
        let scales = scale.to_f32().expect("floats");
        Conversion { node, activation: integers.is_none(), scales, zeros, dtype }
    };
    both.into_iter().map(conversion).collect()
}

fn each(target: Target, check: impl Fn(&str, &Model, &[Conversion])) {
    for name in FIXTURES {
        let (model, _) = quantize(&load(name), QuantizeStatic { target, ..Default::default() });
        let conversions = conversions(&model);
        assert!(!conversions.is_empty(), "{name}");
        check(name, &model, &conversions);
    }
}

/// The nodes behind a DequantizeLinear.
fn readers(model: &Model, node: NodeId) -> Vec<String> {
    let output = model.node(node).only_output().expect("one output");
    let readers = model.value(output).consumers();
    readers.map(|(reader, _)| model.node(reader).op().to_owned()).collect()
}

#[test]
fn every_scale_is_a_positive_constant_and_activations_have_one() {
    for target in Target::ALL {
        each(target, |name, model, found| {
            let place = format!("{name} for {}", target.name());
            assert!(model.opset() >= Some(13), "{place}");
            for q in found {
                assert!(
                    q.scales.iter().all(|s| s.is_normal() && *s > 0.0),
                    "{place}: {:?}",
                    q.scales
                );
                assert!(!q.activation || q.scales.len() == 1, "{place}");
            }
        });
    }
}

#[test]
fn tensorrt_is_symmetric_int8_throughout() {
    each(Target::TensorRt, |name, _, found| {
        for q in found {
            assert_eq!(q.dtype, DType::Int8, "{name}");
            assert!(q.zeros.iter().all(|&zero| zero == 0), "{name}: {:?}", q.zeros);
        }
    });
}

#[test]
fn openvino_keeps_biases_in_float() {
    each(Target::OpenVino, |name, _, found| {
        for q in found {
            let expected = if q.activation { DType::Uint8 } else { DType::Int8 };
            assert_eq!(q.dtype, expected, "{name}");
        }
    });
}

#[test]
fn qnn_has_scales_for_channels_at_convolutions_alone() {
    each(Target::Qnn, |name, model, found| {
        for q in found.iter().filter(|q| q.scales.len() > 1) {
            let readers = readers(model, q.node);
            assert!(readers.iter().all(|op| op.starts_with("Conv")), "{name}: {readers:?}");
        }
        // Everything that it computes with integers reads and writes them.
        for op in ["Conv", "Gemm", "MatMul", "Softmax", "LayerNormalization"] {
            for node in nodes(model, op) {
                let output = model.node(node).output(0).unwrap();
                let quantized = model.value(output).consumers().all(|(reader, _)| {
                    ["QuantizeLinear", "Relu"].contains(&model.node(reader).op())
                });
                assert!(quantized, "{name}: {}", model.label(node));
            }
        }
    });
}

#[test]
fn ort_writes_integers_out_of_every_conv() {
    each(Target::Ort, |name, model, found| {
        for q in found {
            let fits = match q.activation {
                true => q.dtype == DType::Uint8,
                false => matches!(q.dtype, DType::Int8 | DType::Int32 | DType::Uint8),
            };
            assert!(fits, "{name}: {}", q.dtype);
        }
        for node in nodes(model, "Conv") {
            let output = model.node(node).only_output().unwrap();
            let (reader, _) = model.value(output).only_consumer().expect("one reader");
            assert!(model.node(reader).is("QuantizeLinear"), "{name}: {}", model.label(node));
        }
    });
}

#[test]
fn tract_and_portable_use_eight_bits_and_operators_of_onnx() {
    for target in [Target::Tract, Target::Portable] {
        each(target, |name, model, found| {
            let eight = |q: &Conversion| {
                matches!(q.dtype, DType::Uint8 | DType::Int8)
                    || q.dtype == DType::Int32 && !q.activation
            };
            assert!(found.iter().all(eight), "{name}");
            assert!(model.all_nodes().iter().all(|&node| model.node(node).is_standard()), "{name}");
        });
    }
}

/// All values reach as far.
struct Reach;

impl Measure for Reach {
    fn ranges(&self, _: &Model, asked: &[Asked]) -> onnxpress::Result<Vec<Option<Range>>> {
        Ok(vec![Some(Range { min: -3.0, max: 3.0 }); asked.len()])
    }
}

#[test]
fn int8_that_is_moved_is_quantized_again_in_newer_operator_sets() {
    // ONNX Runtime carries a DequantizeLinear of int8 over these, and then does not load the model.
    let moves = [
        "m = Transpose <perm = [0, 2, 3, 1]> (a)",
        "m = Reshape (a, dims)",
        "m = Slice (a, zero, one, one)",
        "m = Unsqueeze (a, one)",
        "n = Unsqueeze (a, one) m = Squeeze (n, one)",
        "m = MaxPool <kernel_shape = [2, 2]> (a)",
    ];
    for (opset, moved) in [(17, false), (21, true), (23, true)] {
        for body in moves {
            let text = format!(
                r#"<ir_version: 10, opset_import: ["" : {opset}]>
                g (float[1,2,4,4] x) => (float[?] y, float[?] m)
                <float[2,2,1,1] w = {{1, 2, 3, 4}}, int64[2] dims = {{2, 16}}, int64[1] zero = {{0}}, int64[1] one = {{1}}>
                {{ [conv] a = Conv (x, w) {body} y = Erf (m) }}"#
            );
            let text = text.replace("float[?] y, float[?] m", "y, m");
            let model = onnxpress::read::text(&text).expect("the text is a model");
            let activations = Some(Format::symmetric(DType::Int8));
            let options = QuantizeStatic { activations, ..Default::default() };
            let mut quantized = model.clone();
            let cx = Context { measure: Some(&Reach), ..Context::default() };
            options.run(&mut quantized, &cx).expect("the pass runs");
            assert!(quantized.verify().is_ok(), "{opset} {body}");
            for found in conversions(&quantized).iter().filter(|found| found.activation) {
                let carried = readers(&quantized, found.node);
                let carried = carried.iter().any(|op| {
                    ["MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"]
                        .contains(&&**op)
                });
                let output = quantized.node(found.node).only_output().expect("one output");
                for (mover, _) in quantized.value(output).consumers().filter(|_| carried) {
                    let after = readers(&quantized, mover);
                    let again = after.iter().all(|op| op == "QuantizeLinear") && !after.is_empty();
                    assert_eq!(again, moved, "{opset} {body}: {after:?}");
                }
            }
        }
    }
}
