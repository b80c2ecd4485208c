//! Operators that tract computes by way of numbers that are too large, or in which infinities are lost; recurrent
//! layers that it takes for others; and what of these becomes a constant.

use onnxpress::exec::Tract;
use onnxpress::ir::Model;
use onnxpress::passes::{Context, FoldConstant, Pass};
use onnxpress::read;
use onnxpress::tensor::{DType, Tensor};

use crate::support::{floats, run};

const INF: f32 = f32::INFINITY;

/// The outputs of a model in text form on `x`.
fn outputs(text: &str, x: &Tensor) -> Vec<Tensor> {
    let model = read::text(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let found = run(&model, &[("x".into(), x.clone())]);
    let found = found.unwrap_or_else(|error| panic!("{error}\n{text}"));
    found.into_iter().map(|(_, tensor)| tensor).collect()
}

/// What `operators` make of `x` with the axes given in each form of ONNX: as an attribute, or as an input.
fn of_rows(op: &str, x: &Tensor) -> Vec<f32> {
    let [rows, columns] = x.dims() else { panic!("two axes") };
    let mut all = Vec::new();
    for opset in [9, 13, 18, 21] {
        let (extra, axes) = match opset {
            ..18 => ("", ", axes = [-1]"),
            _ => (", axes", ""),
        };
        let text = format!(
            "<ir_version: 10, opset_import: [\"\" : {opset}]>
             g (float[{rows},{columns}] x) => (float[{rows}] y) <int64[1] axes = {{-1}}> {{
               y = {op} <keepdims = 0{axes}> (x{extra})
             }}"
        );
        all.push(floats(&outputs(&text, x)[0]));
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{op}: {all:?}");
    all.remove(0)
}

#[test]
fn reductions_keep_infinities_and_do_not_overflow() {
    let x = Tensor::from_f32(&[4, 2], &[-INF, -INF, 1.0, INF, 100.0, 1.0, -1e30, -1e38]);
    assert_eq!(of_rows("ReduceMax", &x), [-INF, INF, 100.0, -1e30]);
    assert_eq!(of_rows("ReduceMin", &x), [-INF, 1.0, 1.0, -1e38]);
    assert_eq!(of_rows("ReduceLogSumExp", &x), [-INF, INF, 100.0, -1e30]);
    let small = Tensor::from_f32(&[1, 2], &[0.0, 0.0]);
    assert!((of_rows("ReduceLogSumExp", &small)[0] - std::f32::consts::LN_2).abs() < 1e-6);
}

#[test]
fn axes_of_reductions_may_be_any() {
    let x: Vec<f32> = (0..24).map(|i| ((i * 7) % 24) as f32 * 40.0).collect();
    let at = |a: usize, b: usize, c: usize| x[(a * 3 + b) * 4 + c];
    let text = "<ir_version: 8, opset_import: [\"\" : 18]>
        g (float[2,3,4] x) => (float[3] y, float[1,3,1] z, float[] w, float[2,3,4] n) <
          int64[2] ends = {0, -1}, int64[0] none = {}
        > {
          y = ReduceMax <keepdims = 0> (x, ends)
          z = ReduceLogSumExp (x, ends)
          w = ReduceLogSumExp <keepdims = 0> (x, none)
          n = ReduceMin <noop_with_empty_axes = 1> (x, none)
        }";
    let found = outputs(text, &Tensor::from_f32(&[2, 3, 4], &x));
    let largest: Vec<f32> =
        (0..3).map(|b| (0..8).map(|i| at(i / 4, b, i % 4)).fold(-INF, f32::max)).collect();
    assert_eq!(floats(&found[0]), largest);
    // Numbers are 40 apart: the largest is the sum, but for rounding.
    assert_eq!(floats(&found[1]), largest);
    assert_eq!((found[1].dims(), found[2].dims()), (&[1, 3, 1][..], &[][..]));
    assert_eq!(floats(&found[2]), [23.0 * 40.0]);
    assert_eq!(floats(&found[3]), x);
}

#[test]
fn log_softmax_and_softplus_are_finite_for_all_finite_numbers() {
    for (opset, axis) in [(11, 1), (13, -1), (13, 1)] {
        let text = format!(
            "<ir_version: 8, opset_import: [\"\" : {opset}]>
             g (float[2,3] x) => (float[2,3] y) {{ y = LogSoftmax <axis = {axis}> (x) }}"
        );
        let x = Tensor::from_f32(&[2, 3], &[0.0, 200.0, -300.0, 1e30, 0.0, 1e30]);
        let y = floats(&outputs(&text, &x)[0]);
        assert_eq!(y[..3], [-200.0, 0.0, -500.0]);
        assert_eq!(y[4], -1e30);
    }
    let across = "<ir_version: 8, opset_import: [\"\" : 13]>
        g (float[2,2] x) => (float[2,2] y) { y = LogSoftmax <axis = 0> (x) }";
    let x = Tensor::from_f32(&[2, 2], &[0.0, 500.0, 300.0, 0.0]);
    assert_eq!(floats(&outputs(across, &x)[0]), [-300.0, 0.0, 0.0, -500.0]);
    let softplus = "<ir_version: 8, opset_import: [\"\" : 17]>
        g (float[6] x) => (float[6] y) { y = Softplus (x) }";
    let x = Tensor::from_f32(&[6], &[200.0, 1e30, -200.0, INF, -INF, 0.0]);
    let y = floats(&outputs(softplus, &x)[0]);
    assert_eq!(y, [200.0, 1e30, 0.0, INF, 0.0, std::f32::consts::LN_2]);
    let celu = "<ir_version: 8, opset_import: [\"\" : 17]>
        g (float[2] x) => (float[2] y) { y = Celu <alpha = 2.0> (x) }";
    let y = floats(&outputs(celu, &Tensor::from_f32(&[2], &[-100.0, 3.0]))[0]);
    assert_eq!(y, [-2.0, 3.0]);
}

#[test]
fn casts_of_floats_keep_all_bits_of_integers() {
    let text = "<ir_version: 8, opset_import: [\"\" : 17]>
        g (float[3] x) => (int64[3] y, double[3] z, int32[3] w) {
          y = Cast <to = 7> (x)
          z = Cast <to = 11> (y)
          w = Cast <to = 6> (x)
        }";
    let x = Tensor::from_f32(&[3], &[1e10, -2.5, 3e4]);
    let found = outputs(text, &x);
    assert_eq!(found[0].to_i64().unwrap(), [10_000_000_000, -2, 30_000]);
    assert_eq!(found[1].to_f64().unwrap(), [1e10, -2.0, 3e4]);
    assert_eq!(found[2].to_i64().unwrap()[1..], [-2, 30_000]);
}

#[test]
fn a_query_without_keys_gets_nothing() {
    let text = "<ir_version: 11, opset_import: [\"\" : 23]>
        g (float[1,1,2,2] x) => (float[1,1,2,2] y) <bool[2,2] mask = {1, 0, 0, 0}> {
          y = Attention (x, x, x, mask)
        }";
    let x = Tensor::from_f32(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(floats(&outputs(text, &x)[0]), [1.0, 2.0, 0.0, 0.0]);
}

/// A layer with one unit for each direction.
fn layer(op: &str, gates: usize, direction: &str, lengths: &str) -> String {
    let directions = if direction == "bidirectional" { 2 } else { 1 };
    let numbers = |count: usize, factor: f32| {
        let numbers: Vec<String> =
            (0..count).map(|i| (((i * 5) % 7) as f32 * factor - 0.4).to_string()).collect();
        numbers.join(", ")
    };
    let rows = directions * gates;
    let (w, r) = (numbers(rows * 2, 0.2), numbers(rows, 0.15));
    format!(
        "<ir_version: 8, opset_import: [\"\" : 14]>
         g (float[4,3,2] x) => (float[4,{directions},3,1] y, float[{directions},3,1] h) <
           float[{directions},{gates},2] w = {{{w}}}, float[{directions},{gates},1] r = {{{r}}},
           int32[3] lens = {{4, 2, 3}}, int32[3] all = {{4, 4, 4}}
         > {{
           y, h = {op} <hidden_size = 1, direction = \"{direction}\"> (x, w, r{lengths})
         }}"
    )
}

#[test]
fn recurrent_layers_run_in_all_directions_with_lengths_and_any_batch() {
    let x: Vec<f32> = (0..24).map(|i| ((i * 11) % 24) as f32 / 12.0 - 1.0).collect();
    let x = Tensor::from_f32(&[4, 3, 2], &x);
    let turned = |x: &Tensor, width: usize| {
        let x = floats(x);
        x.chunks(3 * width).rev().flatten().copied().collect::<Vec<f32>>()
    };
    for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        let plain = outputs(&layer(op, gates, "forward", ""), &x);
        let whole = outputs(&layer(op, gates, "forward", ",,all"), &x);
        assert_eq!(floats(&plain[0]), floats(&whole[0]), "{op}");
        assert_eq!(floats(&plain[1]), floats(&whole[1]), "{op}");
        // Backwards is forward over what is turned around.
        let back = outputs(&layer(op, gates, "reverse", ""), &x);
        let x_turned = Tensor::from_f32(&[4, 3, 2], &turned(&x, 2));
        let mirrored = outputs(&layer(op, gates, "forward", ""), &x_turned);
        assert_eq!(turned(&back[0], 1), floats(&mirrored[0]), "{op}");
        assert_eq!(floats(&back[1]), floats(&mirrored[1]), "{op}");
        // The second sequence ends behind its second step.
        let short = outputs(&layer(op, gates, "forward", ",,lens"), &x);
        let (y, all, last) = (floats(&short[0]), floats(&plain[0]), floats(&short[1]));
        for step in 0..4 {
            for (sequence, length) in [4, 2, 3].into_iter().enumerate() {
                let at = step * 3 + sequence;
                assert_eq!(y[at], if step < length { all[at] } else { 0.0 }, "{op}");
            }
        }
        assert_eq!(last, [all[9], all[4], all[8]], "{op}");
        // Backwards it begins there.
        let short = outputs(&layer(op, gates, "reverse", ",,lens"), &x);
        let (y, last) = (floats(&short[0]), floats(&short[1]));
        assert_eq!((y[7], y[10]), (0.0, 0.0), "{op}");
        assert_eq!(last, y[..3], "{op}");
        let both = outputs(&layer(op, gates, "bidirectional", ",,lens"), &x);
        assert!(floats(&both[0]).iter().all(|y| y.is_finite()));
        assert_eq!(both[1].dims(), [2, 3, 1]);
    }
}

#[test]
fn what_is_as_long_as_its_elements_say_runs() {
    let text = "<ir_version: 8, opset_import: [\"\" : 17]>
        g (float[2,3] x) => (float[2,n] y, float[m] z) <float zero = {0}, int64[1] flat = {-1}, int64[1] one = {1}, int64[1] ends = {4}> {
          positive = Greater (x, zero)
          all = Reshape (positive, flat)
          z = Compress (x, all)
          some = Slice (all, one, ends)
          y = Compress <axis = 1> (x, some)
        }";
    let x = Tensor::from_f32(&[2, 3], &[1.0, -2.0, 3.0, 4.0, -5.0, 6.0]);
    let found = outputs(text, &x);
    assert_eq!(floats(&found[0]), [-2.0, 3.0, -5.0, 6.0]);
    assert_eq!(floats(&found[1]), [1.0, 3.0, 4.0, 6.0]);
    let none = Tensor::from_f32(&[2, 3], &[-1.0; 6]);
    let found = outputs(text, &none);
    assert_eq!((found[0].dims(), found[1].dims()), (&[2, 0][..], &[0][..]));
}

/// The constant that `op` of the constants `a` becomes, or why it stays.
fn folded(opset: i64, declared: &str, op: &str) -> Result<Tensor, String> {
    let text = format!(
        "<ir_version: 10, opset_import: [\"\" : {opset}]>
         g (float[1] x) => (float[1] y) <{declared}> {{
           [made] b = {op}
           c = Cast <to = 1> (b)
           d = ReduceSum <keepdims = 0> (c)
           y = Mul (x, d)
         }}"
    );
    let mut model: Model = read::text(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let cx = Context { evaluate: Some(&Tract), ..Context::default() };
    let report = FoldConstant::default().run(&mut model, &cx).expect("the pass runs");
    let constant = model.find_value(model.main(), "b");
    let constant = constant.and_then(|value| model.value(value).initializer().cloned());
    constant.ok_or_else(|| {
        let why = report.refused.iter().find(|note| note.place.contains("made"));
        why.map(|note| note.text.clone()).unwrap_or_default()
    })
}

#[test]
fn constants_are_right_or_stay() {
    let finite = folded(13, "float[2] a = {0, 200}", "LogSoftmax (a)").unwrap();
    assert_eq!(floats(&finite), [-200.0, 0.0]);
    let large = folded(18, "float[2] a = {1, 100}", "ReduceLogSumExp (a)").unwrap();
    assert_eq!(floats(&large), [100.0]);
    let cast = folded(17, "float[2] a = {10000000000, 2.5}", "Cast <to = 7> (a)").unwrap();
    assert_eq!((cast.dtype(), cast.to_i64().unwrap()), (DType::Int64, vec![10_000_000_000, 2]));
    for (declared, op, why) in [
        ("float[2] a = {300, 1}", "Cast <to = 2> (a)", "a number is out of the range of uint8"),
        ("float[2] a = {-1, 1}", "Cast <to = 13> (a)", "a number is out of the range of uint64"),
        ("float[2] a = {1e20, 1}", "Cast <to = 7> (a)", "a number is out of the range of int64"),
        ("float[2] a = {1000, 1}", "Exp (a)", "its result is not finite"),
        ("float[2] a = {0.5, 1}", "Hardmax (a)", "Hardmax of constants is not computed"),
    ] {
        let found = folded(17, declared, op).expect_err(op);
        assert!(found.contains(why), "{op}: {found}");
    }
}

#[test]
fn what_is_not_finite_is_left_to_the_runtime() {
    let mut model = read::text(
        "<ir_version: 10, opset_import: [\"\" : 18]>
         g (float[2] x) => (float[2] y) <float[2,3] a = {1, 2, 3, 4, 5, 6}, float zero = {0}, int64[1] last = {-1}> {
           i = Div (a, zero)
           [made] m = ReduceMax <keepdims = 0> (i, last)
           y = Add (x, m)
         }",
    )
    .unwrap();
    let x = Tensor::from_f32(&[2], &[1.0, 2.0]);
    let before = run(&model, &[("x".into(), x.clone())]).unwrap();
    let cx = Context { evaluate: Some(&Tract), ..Context::default() };
    let report = FoldConstant::default().run(&mut model, &cx).unwrap();
    assert!(report.refused.iter().any(|note| note.text.contains("finite")), "{report:?}");
    let after = run(&model, &[("x".into(), x)]).unwrap();
    assert_eq!(floats(&before[0].1), [INF, INF]);
    assert_eq!(floats(&after[0].1), [INF, INF]);
}
