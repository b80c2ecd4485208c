//! Random graphs with free extents: what `simplify` makes of them computes the same at every extent, without
//! samples and with odd ones among them. Passes are not checked on the way, so nothing hides what they do.

use std::fmt::Write;

use onnxpress::compress;
use onnxpress::compress::SimplifyPasses;
use onnxpress::exec::Tract;
use onnxpress::ir::Model;
use onnxpress::passes::Context;
use onnxpress::pipeline::{self, When};
use onnxpress::read;
use onnxpress::tensor::{Tensor, element_count};
use onnxpress::validate::drift;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use crate::support::run;

/// Samples, height and width.
const EXTENTS: [[usize; 3]; 8] =
    [[1, 8, 8], [0, 8, 8], [3, 13, 9], [2, 1, 1], [1, 7, 5], [5, 6, 11], [0, 7, 9], [1, 16, 15]];
const CHANNELS: usize = 4;
/// Fewest decibel: rounding passes order sums differently.
const LEAST_DB: f64 = 90.0;

/// One step that makes four axes, `[N, 4, ?, ?]`, from four axes.
#[derive(Debug, Clone)]
enum Step {
    Relu,
    Pool {
        kind: usize,
        stride: usize,
        ceil: bool,
        pad: usize,
        auto: usize,
    },
    Pad {
        pad: usize,
        lowest: bool,
    },
    Conv {
        stride: usize,
        pad: usize,
    },
    /// To one row for each channel and back, by targets that are computed from Shape.
    Rows {
        samples_first: bool,
        inferred: bool,
    },
    Slice {
        from: usize,
    },
    Transpose,
    Identity,
    Double,
    /// A sum over a part that is expanded to the extents of the whole.
    Expand,
}

fn step() -> impl Strategy<Value = Step> {
    let flag = any::<bool>;
    prop_oneof![
        1 => Just(Step::Relu),
        4 => (0..2usize, 1..4usize, flag(), 0..2usize, 0..6usize)
            .prop_map(|(kind, stride, ceil, pad, auto)| Step::Pool { kind, stride, ceil, pad, auto }),
        4 => (0..2usize, flag()).prop_map(|(pad, lowest)| Step::Pad { pad, lowest }),
        2 => (1..3usize, 0..2usize).prop_map(|(stride, pad)| Step::Conv { stride, pad }),
        4 => (flag(), flag())
            .prop_map(|(samples_first, inferred)| Step::Rows { samples_first, inferred }),
        1 => (0..2usize).prop_map(|from| Step::Slice { from }),
        1 => Just(Step::Transpose),
        1 => Just(Step::Identity),
        1 => Just(Step::Double),
        2 => Just(Step::Expand),
    ]
}

/// The nodes of a step that makes `{i + 1}` of `{i}`.
fn nodes(step: &Step, i: usize) -> String {
    let (x, y) = (format!("v{i}"), format!("v{}", i + 1));
    let extent = |of: &str, axis: usize| {
        format!(
            "{of}{axis}g{i} = Gather ({of}, i{axis}) {of}{axis} = Unsqueeze ({of}{axis}g{i}, ax0)\n"
        )
    };
    match *step {
        Step::Relu => format!("{y} = Relu ({x})"),
        Step::Pool { kind, stride, ceil, pad, auto } => {
            let op = ["MaxPool", "AveragePool"][kind];
            let pads = match auto {
                0 => "auto_pad = \"SAME_UPPER\"".to_owned(),
                1 => "auto_pad = \"VALID\"".to_owned(),
                _ => format!("pads = [{pad}, {pad}, {pad}, {pad}], ceil_mode = {}", u8::from(ceil)),
            };
            format!(
                "{y} = {op} <kernel_shape = [3, 3], strides = [{stride}, {stride}], {pads}> ({x})"
            )
        }
        Step::Pad { pad, lowest } => {
            let value = if lowest { "lowest" } else { "zero" };
            format!("{y} = Pad ({x}, pads{pad}, {value})")
        }
        Step::Conv { stride, pad } => format!(
            "{y} = Conv <strides = [{stride}, {stride}], pads = [{pad}, {pad}, {pad}, {pad}]> ({x}, w)"
        ),
        Step::Rows { samples_first, inferred } => {
            let s = format!("s{i}_");
            let mut text = format!("{s} = Shape ({x})\n");
            (0..4).for_each(|axis| text += &extent(&s, axis));
            let last = if inferred { "minus".to_owned() } else { format!("{s}p") };
            writeln!(text, "{s}p = Mul ({s}2, {s}3)").expect("memory");
            let there = match samples_first {
                true => format!("({s}0, four, {last})"),
                false => format!("({last}, four, {s}0)"),
            };
            write!(
                text,
                "{s}t = Concat <axis = 0> {there}\n{s}r = Reshape ({x}, {s}t)\n\
                 {s}b = Concat <axis = 0> ({s}0, four, {s}2, {s}3)\n{y} = Reshape ({s}r, {s}b)"
            )
            .expect("memory");
            text
        }
        Step::Slice { from } => format!("{y} = Slice ({x}, from{from}, most, ax3)"),
        Step::Transpose => format!("{y} = Transpose <perm = [0, 1, 3, 2]> ({x})"),
        Step::Identity => format!("{y} = Identity ({x})"),
        Step::Double => format!("d{i} = Relu ({x}) e{i} = Relu ({x}) {y} = Add (d{i}, e{i})"),
        Step::Expand => format!(
            "z{i} = ReduceMean <axes = [2, 3], keepdims = 1> ({x}) zs{i} = Shape ({x}) \
             ze{i} = Expand (z{i}, zs{i}) {y} = Add (ze{i}, {x})"
        ),
    }
}

fn model(steps: &[Step]) -> String {
    let mut text = String::from(
        r#"<ir_version: 8, opset_import: ["" : 17]> g (float[N,4,H,W] v0) => (float[A,B,C,D] out)
        <float[4,4,2,2] w = {WEIGHTS}, float zero = {0}, float lowest = {-inf},
         int64 i0 = {0}, int64 i1 = {1}, int64 i2 = {2}, int64 i3 = {3}, int64[1] ax0 = {0},
         int64[1] ax3 = {3}, int64[1] four = {4}, int64[1] minus = {-1}, int64[1] from0 = {0},
         int64[1] from1 = {1}, int64[1] most = {9223372036854775807},
         int64[8] pads0 = {0, 0, 0, 0, 0, 0, 1, 1}, int64[8] pads1 = {0, 0, 1, 1, 0, 0, 1, 1}> {
        "#,
    );
    let weights: Vec<String> =
        (0..64).map(|i| format!("{}", (i * 37 % 19) as f32 / 19.0 - 0.4)).collect();
    text = text.replace("WEIGHTS", &weights.join(", "));
    for (i, step) in steps.iter().enumerate() {
        writeln!(text, "{}", nodes(step, i)).expect("memory");
    }
    writeln!(text, "out = Neg (v{}) }}", steps.len()).expect("memory");
    text
}

/// Elements that differ, at least one of them for each axis.
fn input(dims: [usize; 4], negative: bool) -> Vec<(String, Tensor)> {
    let count = element_count(&dims).expect("small");
    let number = |i: usize| (i * 7919 % 1009) as f32 / 1009.0 - if negative { 1.5 } else { 0.5 };
    let numbers: Vec<f32> = (0..count).map(number).collect();
    vec![("v0".to_owned(), Tensor::from_f32(&dims, &numbers))]
}

fn simplified(model: &Model) -> Model {
    let passes = compress::simplify(&SimplifyPasses::default());
    let cx = Context { evaluate: Some(&Tract), ..Context::default() };
    pipeline::settle(model.clone(), &passes, &cx, None, When::AtEnd).expect("it settles").model
}

/// The number of extents at which the original runs; the result must give the same at each.
fn compare(text: &str) -> Result<usize, String> {
    let before = read::text(text).map_err(|error| error.to_string())?;
    let after = simplified(&before);
    let mut ran = 0;
    for [n, h, w] in EXTENTS {
        let inputs = input([n, CHANNELS, h, w], n % 2 == 1);
        let Ok(expected) = run(&before, &inputs) else { continue };
        ran += 1;
        let found = run(&after, &inputs).map_err(|error| format!("{n} {h} {w}: {error}"))?;
        let drift =
            drift(&expected, &found, Tensor::len).map_err(|e| format!("{n} {h} {w}: {e}"))?;
        if drift.worst_sqnr_db() < LEAST_DB {
            return Err(format!("{n} {h} {w}: {} dB", drift.worst_sqnr_db()));
        }
    }
    Ok(ran)
}

proptest! {
    #![proptest_config(Config {
        cases: 96,
        rng_seed: RngSeed::Fixed(20_261_129),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn what_is_simplified_computes_the_same_at_every_extent(
        steps in prop::collection::vec(step(), 1..7),
    ) {
        let text = model(&steps);
        let ran = compare(&text);
        prop_assert!(ran.is_ok(), "{}\n{text}", ran.unwrap_err());
    }
}

#[test]
fn most_extents_are_run_and_so_are_empty_batches() {
    let steps = [
        Step::Pad { pad: 1, lowest: true },
        Step::Pool { kind: 0, stride: 2, ceil: true, pad: 0, auto: 5 },
        Step::Rows { samples_first: true, inferred: false },
    ];
    assert!(compare(&model(&steps)).unwrap() >= 6);
}

/// No constant target can stand for the extents of an empty batch, whatever engines here make of it.
#[test]
fn no_extent_is_left_to_reshape_beside_one_that_may_be_0() {
    let text = model(&[Step::Rows { samples_first: true, inferred: false }]);
    let result = simplified(&read::text(&text).unwrap());
    for node in result.all_nodes().into_iter().filter(|&n| result.node(n).is("Reshape")) {
        let target = result.node(node).input(1).and_then(|v| result.value(v).initializer());
        let target = target.map(|tensor| tensor.to_i64().unwrap()).unwrap_or_default();
        assert!(!(target.contains(&-1) && target.contains(&0)), "{target:?}");
    }
}

#[test]
fn declared_extents_do_not_overrule_what_elements_decide() {
    // The file says what one run had.
    for (nodes, dims) in [
        ("p = NonZero (x)", "[1,2]"),
        ("p = Compress <axis = 0> (x, c)", "[2]"),
        ("p, q1, q2, q3 = Unique <axis = 0, sorted = 1> (x)", "[2]"),
    ] {
        let kind = if nodes.contains("NonZero") { "int64" } else { "float" };
        let text = format!(
            r#"<ir_version: 8, opset_import: ["" : 17]>
            g (float[4] x, bool[4] c) => (int64[K] n, {kind}{dims} r) <{kind}{dims} p> {{
                {nodes} n = Shape (p) r = Identity (p)
            }}"#
        );
        let result = simplified(&read::text(&text).unwrap());
        let shapes = result.all_nodes().into_iter().filter(|&n| result.node(n).is("Shape"));
        assert_eq!(shapes.count(), 1, "{nodes}");
    }
}
