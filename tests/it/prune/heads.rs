//! Heads as exporters write them are seen, and a cut of them computes what zeros compute.

use onnxpress::analysis::channels::Options;
use onnxpress::compress;
use onnxpress::compress::PrunePasses;
use onnxpress::ir::Model;
use onnxpress::passes::Context;
use onnxpress::pipeline::{self, When};

use super::masked::holds;
use super::{channels, groups, model};

fn prepared(model: Model) -> Model {
    let passes = compress::prepare_prune(&PrunePasses::default());
    let settled = pipeline::settle(model, &passes, &Context::default(), None, When::AtEnd);
    settled.expect("it can be prepared").model
}

/// Four heads of six, and that cutting them holds.
#[track_caller]
fn four_heads(name: &str, model: Model) {
    let model = prepared(model);
    let found = groups(&model, &channels(&model, Options::default()));
    assert!(found.iter().any(|group| group.starts_with("4 heads ")), "{name}: {found:?}");
    assert!(holds(name, &model, Options::default()) > 0, "{name}: nothing was executed");
}

const SQUARE: &[usize] = &[24, 24];

/// Keys are turned by way of three axes, whose extents are computed.
#[test]
fn keys_that_are_turned_between_reshapes() {
    let nodes = "
        four = Constant <value = int64[4] {0, 0, 4, 6}> ()
        any = Constant <value = int64[1] {-1}> ()
        last = Constant <value = int64[1] {-2}> ()
        start = Constant <value = int64[1] {-9223372036854775808}> ()
        width = Constant <value = int64[1] {6}> ()
        flat = Constant <value = int64[3] {0, 0, 24}> ()
        q0 = MatMul (x, wq)
        k0 = MatMul (x, wk)
        v0 = MatMul (x, wv)
        q1 = Reshape (q0, four)
        k1 = Reshape (k0, four)
        v1 = Reshape (v0, four)
        q = Transpose <perm = [0, 2, 1, 3]> (q1)
        k = Transpose <perm = [0, 2, 1, 3]> (k1)
        v = Transpose <perm = [0, 2, 1, 3]> (v1)
        shape = Shape (k)
        length = Slice (shape, last, any)
        outer = Slice (shape, start, last)
        three = Concat <axis = 0> (any, length, width)
        merged = Reshape (k, three)
        turned = Transpose <perm = [0, 2, 1]> (merged)
        back = Concat <axis = 0> (outer, width, length)
        keys = Reshape (turned, back)
        scores = MatMul (q, keys)
        weights = Softmax <axis = -1> (scores)
        made = MatMul (weights, v)
        joined = Transpose <perm = [0, 2, 1, 3]> (made)
        rows = Reshape (joined, flat)
        out = MatMul (rows, wo)
        y = Add (out, x)";
    let weights = [("wq", SQUARE), ("wk", SQUARE), ("wv", SQUARE), ("wo", SQUARE)];
    four_heads("computed", model(17, "(float[N,S,24] x) => (float[N,S,24] y)", &weights, nodes));
}

/// One product makes queries, keys and values, and heads are split beside an open batch.
#[test]
fn queries_keys_and_values_of_one_product() {
    let mut nodes = "
        four = Constant <value = int64[4] {7, -1, 3, 24}> ()
        axis0 = Constant <value = int64[1] {0}> ()
        axis3 = Constant <value = int64[1] {3}> ()
        view = Constant <value = int64[3] {7, -1, 6}> ()
        heads = Constant <value = int64[4] {-1, 4, 7, 6}> ()
        flat = Constant <value = int64[2] {-1, 24}> ()
        rows = Constant <value = int64[3] {7, -1, 24}> ()
        tx = Transpose <perm = [1, 0, 2]> (x)
        p0 = MatMul (tx, w)
        p1 = Add (p0, b)
        p2 = Reshape (p1, four)
        p3 = Unsqueeze (p2, axis0)
        p4 = Transpose <perm = [3, 1, 2, 0, 4]> (p3)
        p5 = Squeeze (p4, axis3)"
        .to_owned();
    for (part, name) in ["q", "k", "v"].iter().enumerate() {
        nodes += &format!(
            "
        {name}i = Constant <value = int64 {{{part}}}> ()
        {name}0 = Gather <axis = 0> (p5, {name}i)
        {name}1 = Reshape ({name}0, view)
        {name}2 = Transpose <perm = [1, 0, 2]> ({name}1)
        {name} = Reshape ({name}2, heads)"
        );
    }
    nodes += "
        keys = Transpose <perm = [0, 1, 3, 2]> (k)
        scores = MatMul (q, keys)
        weights = Softmax <axis = -1> (scores)
        made = MatMul (weights, v)
        joined = Transpose <perm = [2, 0, 1, 3]> (made)
        all = Reshape (joined, flat)
        out = Gemm <transB = 1> (all, wo, bo)
        back = Reshape (out, rows)
        turned = Transpose <perm = [1, 0, 2]> (back)
        y = Add (turned, x)";
    let weights: [(&str, &[usize]); 4] =
        [("w", &[24, 72]), ("b", &[72]), ("wo", SQUARE), ("bo", &[24])];
    four_heads("packed", model(17, "(float[N,7,24] x) => (float[N,7,24] y)", &weights, &nodes));
}
