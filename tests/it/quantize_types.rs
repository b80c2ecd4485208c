//! Quantization for other targets and to other types: what is written, and that it still computes.

use onnxpress::analysis::{Asked, Measure, Range};
use onnxpress::calibrate::Calibration;
use onnxpress::compress;
use onnxpress::compress::QuantizePasses;
use onnxpress::data::Options;
use onnxpress::exec::Tract;
use onnxpress::ir::{At, Model, NewNode, NodeId, TensorType};
use onnxpress::passes::{
    Context, EliminateDead, Existing, Format, Granularity, Pass, QuantizeStatic, RoundWeights,
    Rounding, StripQuantization, Target, quantize_interface,
};
use onnxpress::pipeline::{self, Check, Outcome};
use onnxpress::tensor::{DType, Tensor};
use onnxpress::validate;

use crate::support::{encode, fixture, floats, load, pixels, samples};

/// Quantizes a model of digits, checked by execution; returns it with its signal-to-noise ratio.
pub fn quantize(model: &Model, quantization: QuantizeStatic) -> (Model, f64) {
    let options = QuantizePasses { quantization, ..QuantizePasses::default() };
    quantize_with(model, &options)
}

/// As [`quantize`], with all options.
pub fn quantize_with(model: &Model, options: &QuantizePasses) -> (Model, f64) {
    let calib = samples(model, fixture("digits_calib.npz"), &Options { batch: 32, ..pixels() });
    let calibration = Calibration { engine: &Tract, samples: &calib, progress: &() };
    let cx = Context { evaluate: Some(&Tract), measure: Some(&calibration), ..Context::default() };
    let check = Check::on(&Tract, &calib, 2).expect("samples can be read");
    let finished = compress::quantized(model.clone(), options, &cx, Some(&check)).expect("it runs");
    for step in &finished.steps {
        let kept = matches!(step.outcome, None | Some(Outcome::Kept(_)));
        assert!(kept, "{}: {:?}", step.name, step.outcome);
    }
    let compared = validate::Options::default();
    let found =
        validate::compare(&Tract, model, &finished.model, &calib, &compared).expect("both run");
    (finished.model, found.worst_sqnr_db())
}

pub fn nodes(model: &Model, op: &str) -> Vec<NodeId> {
    model.all_nodes().into_iter().filter(|&node| model.node(node).is(op)).collect()
}

/// Element types of the stored tensors of more than one axis.
fn stored(model: &Model) -> Vec<DType> {
    let tensors = model.values().filter_map(|(_, value)| value.initializer());
    tensors.filter(|tensor| tensor.dims().len() > 1).map(|tensor| tensor.dtype()).collect()
}

#[test]
fn more_bits_are_closer() {
    let model = load("digits_mlp.onnx");
    let quantized = |weights: DType, activations: DType| {
        let (weights, activations) =
            (Some(Format::symmetric(weights)), Some(Format::asymmetric(activations)));
        quantize(&model, QuantizeStatic { weights, activations, ..QuantizeStatic::default() })
    };
    let (four, low) = quantized(DType::Int4, DType::Uint8);
    let (_, middle) = quantized(DType::Int8, DType::Uint8);
    let (sixteen, high) = quantized(DType::Int16, DType::Uint16);
    assert!(low + 6.0 < middle && middle + 20.0 < high, "{low:.1}, {middle:.1}, {high:.1} dB");
    assert!(high > 70.0, "{high:.1} dB");
    // DequantizeLinear reads neither before operator set 21.
    assert_eq!((four.opset(), sixteen.opset()), (Some(21), Some(21)));
    assert!(stored(&four).iter().all(|&dtype| dtype == DType::Int4));
    assert!(stored(&sixteen).iter().all(|&dtype| dtype == DType::Int16));
}

#[test]
fn eight_bit_floats_are_stored_and_executed() {
    let model = load("digits_resnet_bn.onnx");
    for (dtype, least) in [(DType::Float8E4M3FN, 20.0), (DType::Float8E5M2, 14.0)] {
        let format = Some(Format::symmetric(dtype));
        let weights = QuantizeStatic { weights: format, ..QuantizeStatic::default() };
        let target = Target::Portable;
        let both = QuantizeStatic { target, activations: format, ..weights.clone() };
        for options in [weights, both] {
            let (result, ratio) = quantize(&model, options);
            assert!(ratio > least, "{dtype}: {ratio:.1} dB");
            assert!(result.opset() >= Some(19), "{:?}", result.opset());
            assert!(stored(&result).contains(&dtype));
        }
    }
}

#[test]
fn targets_that_read_no_eight_bit_floats_say_so() {
    let model = load("digits_mlp.onnx");
    let format = Some(Format::symmetric(DType::Float8E5M2));
    for target in [Target::TensorRt, Target::Qnn, Target::Tract] {
        let pass = QuantizeStatic { target, weights: format, ..QuantizeStatic::default() };
        let error = pass.run(&mut model.clone(), &Context::default()).unwrap_err().to_string();
        let expected = format!("target {} reads no weights of type float8e5m2", target.name());
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn blocks_are_closer_than_channels() {
    let model = load("digits_mlp.onnx");
    let quantized = |granularity: Granularity| {
        let weights = Some(Format::symmetric(DType::Int4));
        quantize(&model, QuantizeStatic { weights, granularity, ..QuantizeStatic::default() })
    };
    let (blocks, fine) = quantized(Granularity::Block(8));
    let (_, coarse) = quantized(Granularity::Channel);
    assert!(fine > coarse, "blocks {fine:.1} dB, channels {coarse:.1} dB");
    let blocked = |&node: &NodeId| blocks.node(node).attr_int("block_size") == Some(8);
    assert!(nodes(&blocks, "DequantizeLinear").iter().any(blocked));
}

#[test]
fn scales_can_be_powers_of_two() {
    let model = load("digits_resnet_bn.onnx");
    let power = |format: Format| Some(Format { power_of_two: true, ..format });
    let (result, ratio) = quantize(
        &model,
        QuantizeStatic {
            weights: power(Format::symmetric(DType::Int8)),
            activations: power(Format::symmetric(DType::Int8)),
            ..QuantizeStatic::default()
        },
    );
    assert!(ratio > 20.0, "{ratio:.1} dB");
    for node in nodes(&result, "QuantizeLinear") {
        let scale = result.node(node).input(1).and_then(|v| result.value(v).initializer());
        for scale in floats(scale.unwrap()) {
            assert_eq!(scale.log2().fract(), 0.0, "{scale}");
        }
    }
}

#[test]
fn every_target_gives_a_model_that_computes() {
    for name in ["digits_resnet_bn.onnx", "digits_transformer.onnx"] {
        let model = load(name);
        for target in Target::ALL {
            let options = QuantizeStatic { target, ..QuantizeStatic::default() };
            let (result, ratio) = quantize(&model, options);
            assert!(ratio > 15.0, "{name} for {}: {ratio:.1} dB", target.name());
            assert!(stored(&result).contains(&DType::Int8), "{name} for {}", target.name());
        }
    }
}

#[test]
fn tensorrt_gets_symmetric_int8_and_float_biases() {
    let model = load("digits_resnet_bn.onnx");
    let options = QuantizeStatic { target: Target::TensorRt, ..QuantizeStatic::default() };
    let (result, _) = quantize(&model, options);
    for (_, value) in result.values() {
        let Some(tensor) = value.initializer() else { continue };
        assert!(tensor.dtype() != DType::Int32, "`{}` is an integer bias", value.name());
        if value.name().starts_with("zero_point") {
            assert!(tensor.to_i64().unwrap().iter().all(|&zero| zero == 0), "{}", value.name());
        }
    }
}

#[test]
fn inputs_and_outputs_become_integers() {
    let model = load("digits_resnet_bn.onnx");
    let options = QuantizeStatic { interface: true, ..QuantizeStatic::default() };
    let (mut result, _) = quantize(&model, options);
    let (ports, report) = quantize_interface(&mut result);
    assert_eq!(report.refused, []);
    result.verify().unwrap();
    let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    let main = result.graph(result.main());
    let declared = main.inputs().iter().chain(main.outputs().iter().map(|output| &output.value));
    let declared: Vec<&str> = declared.map(|&value| result.value(value).name()).collect();
    assert_eq!(names, declared);
    assert!(ports.iter().all(|port| port.dtype == DType::Uint8 && port.scale > 0.0));
    let inputs = pipeline::inputs(&result).unwrap();
    assert!(inputs.iter().all(|input| input.dtype == DType::Uint8));
}

#[test]
fn a_quantized_model_is_kept_completed_or_begun_again() {
    let model = load("digits_resnet_bn.onnx");
    let keep = vec!["/head/*".to_owned()];
    let (half, _) = quantize(&model, QuantizeStatic { keep, ..QuantizeStatic::default() });
    let int8 = |model: &Model| stored(model).iter().filter(|&&d| d == DType::Int8).count();
    let again = |existing: Existing| {
        quantize(&half, QuantizeStatic { existing, ..QuantizeStatic::default() }).0
    };
    assert_eq!(int8(&again(Existing::Keep)), int8(&half));
    assert_eq!(int8(&again(Existing::Complete)), int8(&half) + 1);
    assert_eq!(int8(&again(Existing::Strip)), int8(&half) + 1);
    let mut stripped = half.clone();
    let report = StripQuantization.run(&mut stripped, &Context::default()).unwrap();
    assert_eq!(report.refused, []);
    EliminateDead.run(&mut stripped, &Context::default()).unwrap();
    assert_eq!(nodes(&stripped, "DequantizeLinear"), []);
    assert_eq!(int8(&stripped), 0);
}

/// A Gather of a table of 32 rows, and a GRU of 16 units over the rows.
fn words() -> Model {
    let mut model = Model::new(8, 17);
    let main = model.main();
    let ids = model.add_input(main, "ids", TensorType::with_dims(DType::Int64, &[5, 1]));
    let mut weight = |name: &str, dims: &[usize]| {
        let count = dims.iter().product::<usize>();
        let elements: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
        model.add_initializer(main, name, Tensor::from_f32(dims, &elements))
    };
    let (table, w, r) =
        (weight("table", &[32, 16]), weight("w", &[1, 48, 16]), weight("r", &[1, 48, 16]));
    let gather = model.add_node(main, At::End, NewNode::new("Gather", &[table, ids], "rows"));
    let rows = model.node(gather).output(0).expect("one output");
    let gru = NewNode::new("GRU", &[rows, w, r], "states").attr("hidden_size", 16);
    let gru = model.add_node(main, At::End, gru);
    let states = model.node(gru).output(0).expect("one output");
    model.add_output(main, states, Some(TensorType::with_dims(DType::Float, &[5, 1, 1, 16])));
    model
}

/// A Scan over rows of 32 numbers with a product of each row in its body.
fn scanned() -> Model {
    let elements: Vec<String> = (0..1024).map(|i| format!("{:.3}", (i as f32).sin())).collect();
    let weight = elements.join(", ");
    let text = format!(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[32] start, float[4,32] rows) => (float[32] last, float[4,32] all)
          <float[32,32] w = {{{weight}}}> {{
          last, all = Scan <num_scan_inputs = 1, body = step (float[32] state, float[32] row)
            => (float[32] next, float[32] seen) {{
              p = MatMul (row, w)
              next = Add (state, p)
              seen = Identity (next)
            }}> (start, rows)
        }}"#
    );
    onnxpress::read::text(&text).expect("valid")
}

/// Calibration that saw nothing.
struct Blind;

impl Measure for Blind {
    fn ranges(&self, _: &Model, asked: &[Asked]) -> onnxpress::Result<Vec<Option<Range>>> {
        Ok(vec![None; asked.len()])
    }
}

#[test]
fn weights_of_layers_in_bodies_that_never_ran_are_stored() {
    for target in [Target::Ort, Target::Portable] {
        let original = scanned();
        let mut model = original.clone();
        let pass = QuantizeStatic { target, ..QuantizeStatic::default() };
        let cx = Context { measure: Some(&Blind), ..Context::default() };
        let report = pass.run(&mut model, &cx).unwrap();
        let texts: Vec<&str> = report.done.iter().map(|note| note.text.as_str()).collect();
        let expected = "int8 weight for each channel; computes with floats: activation `row` was \
                        not measured: no sample ran its body, or the engine does not show it";
        assert_eq!(texts, [expected], "{report:?}");
        model.verify().unwrap();
        assert!(stored(&model).contains(&DType::Int8));
        let tensors = model.values().filter_map(|(_, value)| value.initializer());
        let floats = tensors.filter(|tensor| tensor.dtype() == DType::Float);
        assert!(floats.into_iter().all(|tensor| tensor.len() < 1024), "{}", target.name());
        let inputs = samples(&original, "random:4", &Options::default());
        let compared = validate::Options::default();
        let found = validate::compare(&Tract, &original, &model, &inputs, &compared).unwrap();
        assert!(found.worst_sqnr_db() > 30.0, "{:.1} dB", found.worst_sqnr_db());
    }
}

#[test]
fn tables_and_recurrent_weights_are_stored_without_samples() {
    for (target, unpacked) in [(Target::Ort, 2), (Target::TensorRt, 0)] {
        let original = words();
        let mut model = original.clone();
        let pass = QuantizeStatic { target, ..QuantizeStatic::default() };
        let report = pass.run(&mut model, &Context::default()).unwrap();
        assert_eq!((report.done.len(), report.refused.len()), (2, 0), "{report:?}");
        model.verify().unwrap();
        assert_eq!(stored(&model).iter().filter(|&&d| d == DType::Int8).count(), 3);
        // onnxruntime computes a Cast once, when it loads the model.
        assert_eq!(nodes(&model, "Cast").len(), unpacked, "{}", target.name());
        assert_eq!(nodes(&model, "DequantizeLinear").len(), 3 - unpacked, "{}", target.name());
        let inputs = samples(&original, "random:4", &Options::default());
        let compared = validate::Options::default();
        let found = validate::compare(&Tract, &original, &model, &inputs, &compared).unwrap();
        assert!(found.worst_sqnr_db() > 30.0, "{:.1} dB", found.worst_sqnr_db());
    }
}

#[test]
fn few_bits_are_rounded_by_what_layers_read() {
    let format = Format::symmetric(DType::Int4);
    let quantization = QuantizeStatic { weights: Some(format), ..QuantizeStatic::default() };
    for (name, gain) in [("digits_resnet_bn.onnx", 7.0), ("digits_mlp.onnx", 7.0)] {
        let original = load(name);
        let open =
            |file: &str| samples(&original, fixture(file), &Options { batch: 1, ..pixels() });
        let (calib, test) = (open("digits_calib.npz"), open("digits_tune.npz"));
        let calibration = Calibration { engine: &Tract, samples: &calib, progress: &() };
        let cx =
            Context { evaluate: Some(&Tract), measure: Some(&calibration), ..Context::default() };
        let options = QuantizePasses { quantization: quantization.clone(), ..Default::default() };
        let ratio = |options: &QuantizePasses| {
            let finished = compress::quantized(original.clone(), options, &cx, None).unwrap();
            let compared = validate::Options::default();
            let found =
                validate::compare(&Tract, &original, &finished.model, &test, &compared).unwrap();
            (finished, found.worst_sqnr_db())
        };
        let (finished, with) = ratio(&options);
        let (_, without) = ratio(&options.plain());
        assert!(with > without + gain, "{name}: {without:.1} dB, {with:.1} dB by what layers read");
        let notes = finished.steps.iter().flat_map(|step| &step.report.layers);
        let rounded: Vec<_> = notes.filter(|note| note.signal > 0.0).collect();
        assert!(!rounded.is_empty() && rounded.iter().all(|note| note.errors.1 < note.errors.0));
        let (again, _) = ratio(&options);
        assert!(encode(&again.model) == encode(&finished.model), "{name}: another result");
    }
}

#[test]
fn scales_of_two_powers_and_of_biases_survive_rounding() {
    let format = Format { power_of_two: true, ..Format::symmetric(DType::Int4) };
    let quantization = QuantizeStatic { weights: Some(format), ..QuantizeStatic::default() };
    let (model, _) = quantize(&load("digits_mlp.onnx"), quantization);
    for node in nodes(&model, "DequantizeLinear") {
        let scale = model.node(node).input(1).unwrap();
        let scales = model.value(scale).initializer().unwrap().to_f32().unwrap();
        let weight = model.value(model.node(node).input(0).unwrap()).initializer();
        if weight.is_some_and(|weight| weight.dtype() == DType::Int4) {
            assert!(scales.iter().all(|scale| scale.log2().fract() == 0.0), "{scales:?}");
        }
    }
    // The scale of a bias is that of the input times that of the weight, whatever was chosen.
    let quantization = QuantizeStatic {
        weights: Some(Format::symmetric(DType::Int4)),
        ..QuantizeStatic::default()
    };
    let (model, _) = quantize(&load("digits_resnet_bn.onnx"), quantization);
    let mut seen = 0;
    for node in nodes(&model, "Conv") {
        let scales = |slot: usize| {
            let dequantize = model.value(model.node(node).input(slot)?).producer()?;
            model.value(model.node(dequantize).input(1)?).initializer()?.to_f32().ok()
        };
        let (Some(x), Some(w), Some(b)) = (scales(0), scales(1), scales(2)) else { continue };
        for (w, b) in w.iter().zip(&b) {
            assert!((x[0] * w / b - 1.0).abs() < 1e-5, "{} {w} {b}", x[0]);
        }
        seen += 1;
    }
    assert!(seen > 2);
}

#[test]
fn weights_alone_need_no_samples_and_gain_by_them() {
    let model = load("digits_resnet_bn.onnx");
    let quantized = |dtype: DType, rounding: Rounding| {
        let quantization = QuantizeStatic {
            weights_only: true,
            weights: Some(Format::symmetric(dtype)),
            granularity: Granularity::Block(16),
            ..QuantizeStatic::default()
        };
        let rounding = RoundWeights::named(rounding);
        QuantizePasses { quantization, rounding, ..QuantizePasses::default() }
    };
    let alone = |dtype: DType, rounding: Rounding| {
        let cx = Context { evaluate: Some(&Tract), ..Context::default() };
        let options = quantized(dtype, rounding);
        let found = compress::quantized(model.clone(), &options, &cx, None).expect("it runs").model;
        let calib = samples(&model, fixture("digits_calib.npz"), &pixels());
        let compared = validate::Options::default();
        let drift = validate::compare(&Tract, &model, &found, &calib, &compared).expect("both run");
        assert!(nodes(&found, "QuantizeLinear").is_empty(), "activations stay float");
        assert!(stored(&found).contains(&dtype), "{dtype}");
        drift.worst_sqnr_db()
    };
    let nearest = alone(DType::Int4, Rounding::Nearest);
    let scaled = alone(DType::Int4, Rounding::Auto);
    let (_, fitted) = quantize_with(&model, &quantized(DType::Int4, Rounding::Auto));
    assert!(nearest < scaled && scaled + 3.0 < fitted, "{nearest} {scaled} {fitted}");
    assert!(fitted > 20.0, "{fitted}");
    // Two bits are noise until they are fitted.
    let (_, fitted) = quantize_with(&model, &quantized(DType::Int2, Rounding::Auto));
    assert!(fitted > alone(DType::Int2, Rounding::Auto), "{fitted}");
    assert!(fitted > 5.0, "{fitted}");
}
