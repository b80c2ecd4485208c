//! Weights that several nodes read, or that stand behind other operators: stored once, in every mode.

use onnxpress::compress;
use onnxpress::compress::QuantizePasses;
use onnxpress::exec::Tract;
use onnxpress::ir::{Model, NewNode, TensorType, ValueId};
use onnxpress::passes::{Context, Format, Granularity, QuantizeStatic, Storage};
use onnxpress::pipeline::Step;
use onnxpress::tensor::{DType, Tensor};

use crate::support::{add, encode, floats, run};

const ROWS: usize = 96;
const COLUMNS: usize = 64;

/// Numbers that look like weights, the same in every run.
fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count).map(|_| (next() + next() + next()) * 0.2).collect()
}

fn weight(dims: &[usize], dtype: DType, seed: u32) -> Tensor {
    let count = dims.iter().product();
    Tensor::from_f32_as(dtype, dims, &noise(count, seed)).expect("floats")
}

/// How the table of embeddings is read again.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Again {
    Gemm,
    Transposed,
    BothWays,
    BehindCast,
}

const ALL: [Again; 4] = [Again::Gemm, Again::Transposed, Again::BothWays, Again::BehindCast];

/// Rows of a table, and products with the table.
fn tied(again: Again, dtype: DType) -> Model {
    let mut model = Model::new(8, 17);
    let main = model.main();
    let ids = model.add_input(main, "ids", TensorType::with_dims(DType::Int64, &[6]));
    let stored = if again == Again::BehindCast { DType::Float16 } else { dtype };
    let mut table = model.add_initializer(main, "table", weight(&[ROWS, COLUMNS], stored, 7));
    if again == Again::BehindCast {
        let cast = NewNode::new("Cast", &[table], "floats");
        table = add(&mut model, cast.attr("to", i64::from(dtype.to_onnx())));
    }
    let rows = add(&mut model, NewNode::new("Gather", &[table, ids], "rows"));
    let mixed = model.add_initializer(main, "mix", weight(&[COLUMNS, COLUMNS], dtype, 3));
    let hidden = add(&mut model, NewNode::new("MatMul", &[rows, mixed], "hidden"));
    let output = match again {
        Again::Gemm | Again::BehindCast => {
            add(&mut model, NewNode::new("Gemm", &[hidden, table], "logits").attr("transB", 1))
        }
        _ => {
            let turned = NewNode::new("Transpose", &[table], "turned").attr("perm", vec![1i64, 0]);
            let turned = add(&mut model, turned);
            add(&mut model, NewNode::new("MatMul", &[hidden, turned], "logits"))
        }
    };
    let output = match again {
        Again::BothWays => add(&mut model, NewNode::new("MatMul", &[output, table], "back")),
        _ => output,
    };
    model.add_output(main, output, Some(TensorType::of(dtype)));
    model
}

fn options(dtype: DType, granularity: Granularity) -> QuantizePasses {
    let quantization = QuantizeStatic {
        weights_only: true,
        weights: Some(Format::symmetric(dtype)),
        granularity,
        ..QuantizeStatic::default()
    };
    QuantizePasses { quantization, widen: 0.0, ..QuantizePasses::default() }
}

/// The result, and what the passes said.
fn quantized(model: &Model, options: &QuantizePasses) -> (Model, Vec<Step>) {
    let cx = Context { evaluate: Some(&Tract), ..Context::default() };
    let found = compress::quantized(model.clone(), options, &cx, None).expect("it runs");
    (found.model, found.steps)
}

fn size(model: &Model) -> f64 {
    encode(model).len() as f64
}

/// The signal-to-noise ratio of what a model gives, in decibel.
fn ratio(model: &Model, found: &Model, input: &[(String, Tensor)]) -> f64 {
    let of = |model: &Model| floats(&run(model, input).expect("it runs")[0].1);
    let (before, after) = (of(model), of(found));
    let power = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>();
    let noise = power(&mut before.iter().zip(&after).map(|(a, b)| a - b));
    10.0 * (power(&mut before.iter().copied()) / noise.max(1e-30)).log10()
}

fn ids() -> Vec<(String, Tensor)> {
    vec![("ids".into(), Tensor::from_i64(&[6], &[0, 5, 95, 17, 17, 64]))]
}

#[test]
fn a_table_that_layers_read_too_is_in_the_file_once() {
    for again in ALL {
        let model = tied(again, DType::Float);
        let whole =
            size(&tied(if again == Again::BehindCast { Again::Gemm } else { again }, DType::Float));
        let blocks = Granularity::Block(32);
        let plain = options(DType::Int8, Granularity::Channel);
        let portable = QuantizePasses { nbits: false, ..options(DType::Int4, blocks) };
        let packed = QuantizeStatic { packed_tables: true, ..portable.quantization.clone() };
        let nbits = QuantizePasses { nbits: true, quantization: packed, ..portable.clone() };
        let codebook = QuantizePasses { storage: Storage::Codebook(16), ..plain.clone() };
        let dynamic = QuantizePasses { dynamic: true, ..plain.clone() };
        for (name, options, most, least) in [
            ("int8", plain, 0.36, 30.0),
            ("int4", portable, 0.25, 10.0),
            ("nbits", nbits, 0.27, 10.0),
            ("codebook", codebook, 0.28, 10.0),
            ("dynamic", dynamic, 0.42, 25.0),
        ] {
            // Products in both orders need other blocks: the integers stay unpacked.
            let (found, steps) = quantized(&model, &options);
            let share = size(&found) / whole;
            let db = ratio(&model, &found, &ids());
            assert!(share < most && db > least, "{again:?} {name}: {share:.3} {db:.1} {steps:#?}");
        }
    }
}

#[test]
fn layers_of_halves_keep_their_type_and_shrink() {
    for again in [Again::Gemm, Again::Transposed] {
        let model = tied(again, DType::Float16);
        for (bits, granularity, most, least) in [
            (DType::Int8, Granularity::Channel, 0.68, 30.0),
            (DType::Int4, Granularity::Block(32), 0.45, 10.0),
        ] {
            let options = options(bits, granularity);
            let packed = QuantizeStatic { packed_tables: true, ..options.quantization.clone() };
            let options = QuantizePasses { nbits: true, quantization: packed, ..options };
            let (found, steps) = quantized(&model, &options);
            let share = size(&found) / size(&model);
            let db = ratio(&model, &found, &ids());
            assert!(share < most && db > least, "{again:?} {share:.3} {db:.1} {steps:#?}");
        }
    }
}

#[test]
fn floats_that_must_stay_get_no_copy_of_integers() {
    let mut kept = options(DType::Int8, Granularity::Channel);
    kept.quantization.keep = vec!["logits".into()];
    let mut returned = tied(Again::Gemm, DType::Float);
    let table = returned.find_value(returned.main(), "table").expect("a table");
    let main = returned.main();
    returned.add_output(main, table, Some(TensorType::of(DType::Float)));
    let plain = options(DType::Int8, Granularity::Channel);
    for (model, options, why) in [
        (tied(Again::Gemm, DType::Float), kept, "is kept by `logits`"),
        (returned, plain, "`table` is an output"),
    ] {
        let (found, steps) = quantized(&model, &options);
        let entry = found.find_value(found.main(), "table").map(|value| found.value(value));
        let dtype = entry.and_then(|entry| entry.initializer().map(Tensor::dtype));
        assert_eq!(dtype, Some(DType::Float), "{why}");
        assert!(size(&found) < size(&model), "{why}");
        let said = steps.iter().flat_map(|step| &step.report.refused);
        assert!(said.into_iter().any(|note| note.text.contains(why)), "{why}: {steps:#?}");
    }
}

#[test]
fn whoever_else_reads_a_weight_reads_its_integers() {
    let mut model = tied(Again::Gemm, DType::Float);
    let table = model.find_value(model.main(), "table").expect("a table");
    let sums = NewNode::new("ReduceSum", &[table], "sum").attr("keepdims", 0);
    let sum: ValueId = add(&mut model, sums);
    let main = model.main();
    model.add_output(main, sum, Some(TensorType::of(DType::Float)));
    let (found, _) = quantized(&model, &options(DType::Int8, Granularity::Channel));
    assert!(size(&found) < 0.4 * size(&model), "{}", size(&found) / size(&model));
    assert!(ratio(&model, &found, &ids()) > 30.0);
}

#[test]
fn an_einsum_with_one_constant_is_a_layer() {
    for (equation, x, w) in [
        ("bsd,dhk->bshk", vec![2, 3, 64], vec![64, 4, 16]),
        ("bshk,hkd->bsd", vec![2, 3, 4, 16], vec![4, 16, 64]),
        ("...d,df->...f", vec![2, 3, 64], vec![64, 64]),
        ("bcl,oc->bol", vec![2, 64, 5], vec![64, 64]),
    ] {
        let mut model = Model::new(8, 17);
        let main = model.main();
        let input = model.add_input(main, "x", TensorType::with_dims(DType::Float, &x));
        let stored = model.add_initializer(main, "w", weight(&w, DType::Float, 5));
        let node = NewNode::new("Einsum", &[input, stored], "y").attr("equation", equation);
        let output = add(&mut model, node);
        model.add_output(main, output, Some(TensorType::of(DType::Float)));
        let (found, steps) = quantized(&model, &options(DType::Int8, Granularity::Channel));
        let share = size(&found) / size(&model);
        let values = Tensor::from_f32(&x, &noise(x.iter().product(), 11));
        let db = ratio(&model, &found, &[("x".into(), values)]);
        assert!(share < 0.37 && db > 30.0, "{equation}: {share:.3} {db:.1} {steps:#?}");
    }
}
