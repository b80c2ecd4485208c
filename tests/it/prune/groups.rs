//! What hangs together, operator by operator; every model is then cut at random and compared with the
//! one whose weights are zero instead.

use onnxpress::analysis::channels::Options;
use onnxpress::ir::Model;

use super::masked::holds;
use super::{channels, groups, model};

/// The groups are those expected, and cuts compute what zeros compute.
#[track_caller]
fn expect(model: &Model, expected: &[&str]) {
    expect_with(model, Options::default(), expected);
}

#[track_caller]
fn expect_with(model: &Model, options: Options, expected: &[&str]) {
    assert_eq!(groups(model, &channels(model, options)), expected);
    let cut = holds("model", model, options);
    assert_eq!(cut > 0, !expected.is_empty(), "cuts that were executed");
}

#[test]
fn a_convolution_ends_and_starts_channels() {
    let m = model(
        17,
        "(float[N,3,8,8] x) => (float[N,2,8,8] y)",
        &[("a", &[6, 3, 3, 3]), ("ab", &[6]), ("b", &[2, 6, 1, 1])],
        "h = Conv <pads = [1, 1, 1, 1]> (x, a, ab)
         r = Relu (h)
         y = Conv (r, b)",
    );
    expect(&m, &["6 a.0:1 ab.0:1 b.1:1"]);
}

#[test]
fn depthwise_convolutions_and_batch_norms_carry_channels() {
    let m = model(
        17,
        "(float[N,3,8,8] x) => (float[N,2,6,6] y)",
        &[
            ("a", &[6, 3, 1, 1]),
            ("d", &[12, 1, 3, 3]),
            ("s", &[12]),
            ("o", &[12]),
            ("mean", &[12]),
            ("var", &[12]),
            ("b", &[2, 12, 1, 1]),
        ],
        "h = Conv (x, a)
         k = Conv <group = 6> (h, d)
         n = BatchNormalization (k, s, o, mean, var)
         c = HardSwish (n)
         y = Conv (c, b)",
    );
    expect(&m, &["6 a.0:1 b.1:2 d.0:2 mean.0:2 o.0:2 s.0:2 var.0:2"]);
}

#[test]
fn groups_stay_equal() {
    let m = model(
        17,
        "(float[N,3,4,4] x) => (float[N,2,4,4] y)",
        &[("a", &[8, 3, 1, 1]), ("g", &[6, 4, 1, 1]), ("b", &[2, 6, 1, 1])],
        "h = Conv (x, a)
         k = Conv <group = 2> (h, g)
         y = Conv (k, b)",
    );
    expect(&m, &["4 a.0:2 g.1:1", "3 b.1:2 g.0:2"]);
}

#[test]
fn a_shuffle_between_grouped_convolutions() {
    let m = model(
        17,
        "(float[N,3,4,4] x) => (float[N,2,4,4] y)",
        &[("a", &[8, 3, 1, 1]), ("g", &[16, 4, 1, 1]), ("h", &[4, 8, 1, 1]), ("b", &[2, 4, 1, 1])],
        "p = Conv (x, a)
         q = Conv <group = 2> (p, g)
         t = Constant <value_ints = [-1, 2, 8, 4, 4]> ()
         r = Reshape (q, t)
         s = Transpose <perm = [0, 2, 1, 3, 4]> (r)
         u = Constant <value_ints = [-1, 16, 4, 4]> ()
         v = Reshape (s, u)
         w = Conv <group = 2> (v, h)
         y = Conv (w, b)",
    );
    expect(&m, &["4 a.0:2 g.1:1", "4 g.0:4 h.1:2", "2 b.1:2 h.0:2"]);
}

#[test]
fn sums_tie_and_concatenations_do_not() {
    let m = model(
        17,
        "(float[N,3,4,4] x) => (float[N,2,4,4] y)",
        &[("a", &[4, 3, 1, 1]), ("b", &[4, 3, 1, 1]), ("c", &[5, 3, 1, 1]), ("d", &[2, 9, 1, 1])],
        "p = Conv (x, a)
         q = Conv (x, b)
         s = Add (p, q)
         r = Conv (x, c)
         j = Concat <axis = 1> (s, r)
         y = Conv (j, d)",
    );
    expect(&m, &["4 a.0:1 b.0:1 d.1:1", "5 c.0:1 d.1:1"]);
}

#[test]
fn split_slice_and_gather_follow() {
    let m = model(
        17,
        "(float[N,3] x) => (float[N,2] y)",
        &[("a", &[3, 8]), ("b", &[3, 2]), ("c", &[5, 2]), ("d", &[4, 2])],
        "h = MatMul (x, a)
         parts = Constant <value_ints = [3, 5]> ()
         p, q = Split <axis = 1> (h, parts)
         u = MatMul (p, b)
         v = MatMul (q, c)
         i = Constant <value_ints = [7, 0, -3, 2]> ()
         g = Gather <axis = 1> (h, i)
         w = MatMul (g, d)
         s = Add (u, v)
         y = Add (s, w)",
    );
    // Index 1 is alone in its way, and stays.
    expect(&m, &["2 a.1:1 b.0:1 d.0:1", "3 a.1:1 c.0:1", "2 a.1:1 c.0:1 d.0:1"]);
}

#[test]
fn slices_of_a_part() {
    let m = model(
        17,
        "(float[N,3] x) => (float[N,2] y)",
        &[("a", &[3, 8]), ("b", &[4, 2]), ("c", &[8, 2])],
        "h = MatMul (x, a)
         starts = Constant <value_ints = [2]> ()
         ends = Constant <value_ints = [-2]> ()
         axes = Constant <value_ints = [1]> ()
         s = Slice (h, starts, ends, axes)
         u = MatMul (s, b)
         v = MatMul (h, c)
         y = Add (u, v)",
    );
    expect(&m, &["4 a.1:1 c.0:1", "4 a.1:1 b.0:1 c.0:1"]);
}

#[test]
fn flattened_images_keep_their_positions() {
    let m = model(
        17,
        "(float[N,3,4,4] x) => (float[N,2] y)",
        &[("a", &[5, 3, 1, 1]), ("f", &[2, 80]), ("fb", &[2])],
        "h = Conv (x, a)
         r = Flatten (h)
         y = Gemm <transB = 1> (r, f, fb)",
    );
    expect(&m, &["5 a.0:1 f.1:16"]);
}

#[test]
fn squeeze_and_excite() {
    let m = model(
        17,
        "(float[N,3,4,4] x) => (float[N,2,4,4] y)",
        &[("a", &[6, 3, 1, 1]), ("d", &[4, 6, 1, 1]), ("u", &[6, 4, 1, 1]), ("b", &[2, 6, 1, 1])],
        "h = Conv (x, a)
         p = GlobalAveragePool (h)
         q = Conv (p, d)
         r = Relu (q)
         s = Conv (r, u)
         t = Sigmoid (s)
         m = Mul (h, t)
         y = Conv (m, b)",
    );
    expect(&m, &["6 a.0:1 b.1:1 d.1:1 u.0:1", "4 d.0:1 u.1:1"]);
}

#[test]
fn transposed_convolutions() {
    let m = model(
        17,
        "(float[N,3,4,4] x) => (float[N,2,10,10] y)",
        &[
            ("a", &[8, 3, 1, 1]),
            ("t", &[8, 3, 2, 2]),
            ("tb", &[6]),
            ("u", &[6, 1, 2, 2]),
            ("b", &[6, 2, 2, 2]),
        ],
        "h = Conv (x, a)
         k = ConvTranspose <group = 2, strides = [2, 2]> (h, t, tb)
         l = ConvTranspose <group = 6, strides = [1, 1]> (k, u)
         m = Relu (l)
         y = ConvTranspose (m, b)",
    );
    expect(&m, &["4 a.0:2 t.0:2", "3 b.0:2 t.1:1 tb.0:2 u.0:2"]);
}

#[test]
fn products_of_matrices() {
    // A constant on the left: rows of the product are channels.
    let m = model(
        17,
        "(float[3,5] x) => (float[2,5] y)",
        &[("a", &[6, 3]), ("b", &[2, 6])],
        "h = MatMul (a, x)
         y = MatMul (b, h)",
    );
    expect(&m, &["6 a.0:1 b.1:1"]);
    let m = model(
        17,
        "(float[5,3] x) => (float[5,2] y)",
        &[("a", &[6, 3]), ("ab", &[6, 1]), ("b", &[6, 2])],
        "h = Gemm <transB = 1, alpha = 0.5> (a, x, ab)
         y = Gemm <transA = 1> (h, b)",
    );
    expect(&m, &["6 a.0:1 ab.0:1 b.0:1"]);
    let m = model(
        17,
        "(float[N,4,3] x) => (float[N,2,4] y)",
        &[("a", &[3, 6]), ("b", &[6, 2])],
        "h = Einsum <equation = \"nsk,kc->ncs\"> (x, a)
         y = Einsum <equation = \"ncs,cd->nds\"> (h, b)",
    );
    expect(&m, &["6 a.1:1 b.0:1"]);
}

/// Attention out of single operators, with `kv` heads of keys for 4 heads of queries.
fn attention(kv: usize) -> Model {
    let rep = 4 / kv;
    let stretch = |name: &str| match rep {
        1 => format!("{name}s = Identity ({name}t)"),
        _ => format!(
            "{name}i = Unsqueeze ({name}t, two)
             {name}e = Expand ({name}i, five{rep})
             {name}s = Reshape ({name}e, four)"
        ),
    };
    let nodes = format!(
        "two = Constant <value_ints = [2]> ()
         five{rep} = Constant <value_ints = [1, {kv}, {rep}, 5, 3]> ()
         four = Constant <value_ints = [-1, 4, 5, 3]> ()
         qh = Constant <value_ints = [0, 5, 4, 3]> ()
         kh = Constant <value_ints = [0, 5, {kv}, 3]> ()
         flat = Constant <value_ints = [0, 5, 12]> ()
         scale = Constant <value_float = 0.577> ()
         q0 = MatMul (x, wq)
         k0 = MatMul (x, wk)
         v0 = MatMul (x, wv)
         kb = Add (k0, bk)
         q1 = Reshape (q0, qh)
         k1 = Reshape (kb, kh)
         v1 = Reshape (v0, kh)
         qt = Transpose <perm = [0, 2, 1, 3]> (q1)
         kt = Transpose <perm = [0, 2, 1, 3]> (k1)
         vt = Transpose <perm = [0, 2, 1, 3]> (v1)
         {}
         {}
         kk = Transpose <perm = [0, 1, 3, 2]> (ks)
         s0 = MatMul (qt, kk)
         s1 = Mul (s0, scale)
         s = Softmax <axis = -1> (s1)
         o0 = MatMul (s, vs)
         o1 = Transpose <perm = [0, 2, 1, 3]> (o0)
         o = Reshape (o1, flat)
         y = MatMul (o, wo)",
        stretch("k"),
        stretch("v"),
    );
    let dim = kv * 3;
    model(
        17,
        "(float[N,5,6] x) => (float[N,5,6] y)",
        &[("wq", &[6, 12]), ("wk", &[6, dim]), ("bk", &[dim]), ("wv", &[6, dim]), ("wo", &[12, 6])],
        &nodes,
    )
}

#[test]
fn attention_heads_and_their_dimensions() {
    expect(&attention(4), &["4 heads bk.0:3 wk.1:3 wo.0:3 wq.1:3 wv.1:3"]);
    let dimensions = Options { heads: false, ..Options::default() };
    expect_with(&attention(4), dimensions, &["3 bk.0:4 wk.1:4 wq.1:4", "3 wo.0:4 wv.1:4"]);
}

#[test]
fn a_head_of_keys_goes_with_all_its_queries() {
    expect(&attention(2), &["2 heads bk.0:3 wk.1:3 wo.0:6 wq.1:6 wv.1:3"]);
}

#[test]
fn hidden_units_of_recurrent_layers() {
    for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        let weights: [(&str, &[usize]); 6] = [
            ("w", &[1, 5 * gates, 3]),
            ("r", &[1, 5 * gates, 5]),
            ("b", &[1, 10 * gates]),
            ("w2", &[1, 4 * gates, 5]),
            ("r2", &[1, 4 * gates, 4]),
            ("o", &[4, 2]),
        ];
        let m = model(
            17,
            "(float[6,2,3] x) => (float[6,2,2] y)",
            &weights,
            &format!(
                "one = Constant <value_ints = [1]> ()
                 h1, last = {op} <hidden_size = 5> (x, w, r, b)
                 s1 = Squeeze (h1, one)
                 h2 = {op} <hidden_size = 4> (s1, w2, r2)
                 s2 = Squeeze (h2, one)
                 y = MatMul (s2, o)"
            ),
        );
        let first = format!("5 b.1:{} r.1:{gates} r.2:1 w.1:{gates} w2.2:1", 2 * gates);
        let second = format!("4 o.0:1 r2.1:{gates} r2.2:1 w2.1:{gates}");
        expect(&m, &[&first, &second]);
    }
}

#[test]
fn both_directions_go_together() {
    let m = model(
        17,
        "(float[6,2,3] x) => (float[6,2,2] y)",
        &[("w", &[2, 15, 3]), ("r", &[2, 15, 5]), ("o", &[10, 2])],
        "h = GRU <hidden_size = 5, direction = \"bidirectional\"> (x, w, r)
         t = Transpose <perm = [0, 2, 1, 3]> (h)
         f = Constant <value_ints = [6, 2, 10]> ()
         s = Reshape (t, f)
         y = MatMul (s, o)",
    );
    expect(&m, &["5 o.0:2 r.1:3 r.2:1 w.1:3"]);
}

#[test]
fn embeddings_and_layer_norms() {
    let nodes = "e = Gather (table, ids)
         n = LayerNormalization (e, s, o)
         y = MatMul (n, b)";
    let weights: [(&str, &[usize]); 4] =
        [("table", &[10, 6]), ("s", &[6]), ("o", &[6]), ("b", &[6, 2])];
    let m = model(17, "(int64[N,5] ids) => (float[N,5,2] y)", &weights, nodes);
    expect(&m, &[]);
    let through = Options { normalized: true, ..Options::default() };
    assert_eq!(groups(&m, &channels(&m, through)), ["6 b.0:1 o.0:1 s.0:1 table.1:1"]);
    let plain = "e = Gather (table, ids)
         y = MatMul (e, b)";
    let m = model(17, "(int64[N,5] ids) => (float[N,5,2] y)", &weights, plain);
    expect(&m, &["6 b.0:1 table.1:1"]);
}

#[test]
fn group_norms_keep_whole_groups_and_instance_norms_any() {
    let weights: [(&str, &[usize]); 4] =
        [("a", &[6, 3, 1, 1]), ("s", &[6]), ("o", &[6]), ("b", &[2, 6, 1, 1])];
    let interface = "(float[N,3,4,4] x) => (float[N,2,4,4] y)";
    let nodes = "h = Conv (x, a)
         n = InstanceNormalization (h, s, o)
         y = Conv (n, b)";
    expect(&model(17, interface, &weights, nodes), &["6 a.0:1 b.1:1 o.0:1 s.0:1"]);
    // Out of single operators: statistics over two channels and all positions.
    let nodes = "h = Conv (x, a)
         t = Constant <value_ints = [0, 3, -1]> ()
         r = Reshape (h, t)
         i = InstanceNormalization (r, s3, o3)
         u = Constant <value_ints = [-1, 6, 4, 4]> ()
         v = Reshape (i, u)
         y = Conv (v, b)";
    let weights: [(&str, &[usize]); 4] =
        [("a", &[6, 3, 1, 1]), ("s3", &[3]), ("o3", &[3]), ("b", &[2, 6, 1, 1])];
    expect(&model(17, interface, &weights, nodes), &["3 a.0:2 b.1:2 o3.0:1 s3.0:1"]);
}

#[test]
fn quantized_weights_lose_their_scales() {
    let m = model(
        17,
        "(float[N,3] x) => (float[N,2] y)",
        &[("a", &[3, 6]), ("vars", &[6]), ("b", &[6, 2])],
        "q = QuantizeLinear <axis = 1> (a, vars)
         d = DequantizeLinear <axis = 1> (q, vars)
         h = MatMul (x, d)
         y = MatMul (h, b)",
    );
    expect(&m, &["6 a.1:1 b.0:1 vars.0:1"]);
}

#[test]
fn images_in_and_out_of_channels() {
    let m = model(
        17,
        "(float[N,3,4,4] x) => (float[N,2,8,8] y)",
        &[("a", &[12, 3, 1, 1]), ("slope", &[3, 1, 1]), ("b", &[2, 3, 1, 1])],
        "h = Conv (x, a)
         d = DepthToSpace <blocksize = 2, mode = \"CRD\"> (h)
         p = PRelu (d, slope)
         y = Conv (p, b)",
    );
    expect(&m, &["3 a.0:4 b.1:1 slope.0:1"]);
    let m = model(
        17,
        "(float[N,3,4,4] x) => (float[N,2,2,2] y)",
        &[("a", &[3, 3, 1, 1]), ("b", &[2, 12, 1, 1])],
        "h = Conv (x, a)
         d = SpaceToDepth <blocksize = 2> (h)
         pads = Constant <value_ints = [0, 0, 1, 1, 0, 0, 1, 1]> ()
         p = Pad (d, pads)
         m = MaxPool <kernel_shape = [3, 3]> (p)
         y = Conv (m, b)",
    );
    expect(&m, &["3 a.0:1 b.1:4"]);
}

#[test]
fn sizes_and_targets_follow() {
    // The target of the Reshape is put together from an extent that is read and constants.
    let m = model(
        17,
        "(float[N,4,3] x) => (float[N,4,2] y)",
        &[("a", &[3, 6]), ("b", &[6, 2])],
        "s = Shape (x)
         zero = Constant <value_ints = [0]> ()
         n = Gather (s, zero)
         rest = Constant <value_ints = [4, 6]> ()
         t = Concat <axis = 0> (n, rest)
         h = MatMul (x, a)
         c = Constant <value_ints = [-1, 6]> ()
         f = Reshape (h, c)
         g = Reshape (f, t)
         e = ConstantOfShape (t)
         z = Add (g, e)
         y = MatMul (z, b)",
    );
    expect(&m, &["6 a.1:1 b.0:1"]);
}

#[test]
fn what_mixes_or_is_unknown_is_frozen() {
    for between in [
        "m = Softmax <axis = 1> (h)",
        "m = CumSum (h, one)",
        "s = ReduceSum <keepdims = 1> (h, axes)
         m = Sub (h, s)",
        "m = LpNormalization (h)",
        "m = Trilu (h)",
        "s = Shape (h)
         c = Cast <to = 1> (s)
         r = ReduceMax <keepdims = 0> (c)
         m = Mul (h, r)",
    ] {
        let m = model(
            17,
            "(float[N,3] x) => (float[N,2] y)",
            &[("a", &[3, 6]), ("b", &[6, 2])],
            &format!(
                "one = Constant <value_int = 1> ()
                 axes = Constant <value_ints = [1]> ()
                 h = MatMul (x, a)
                 {between}
                 y = MatMul (m, b)"
            ),
        );
        expect(&m, &[]);
    }
}

#[test]
fn weights_that_two_layers_share_go_together() {
    let nodes = "h = MatMul (x, a)
         p = Relu (h)
         q = MatMul (p, w)
         r = Relu (q)
         s = MatMul (r, w)
         y = MatMul (s, b)";
    let weights: [(&str, &[usize]); 3] = [("a", &[3, 6]), ("w", &[6, 6]), ("b", &[6, 2])];
    let m = model(17, "(float[N,3] x) => (float[N,2] y)", &weights, nodes);
    expect(&m, &["6 a.1:1 b.0:1 w.0:1 w.1:1"]);
}

#[test]
fn what_a_body_reads_stays() {
    let nodes = "h = MatMul (x, a)
         z = If (c) <
            then_branch = t () => (float[N,6] p) { p = Relu (h) },
            else_branch = e () => (float[N,6] q) { q = Identity (h) }
         >
         y = MatMul (z, b)";
    let weights: [(&str, &[usize]); 2] = [("a", &[3, 6]), ("b", &[6, 2])];
    let m = model(17, "(float[N,3] x, bool c) => (float[N,2] y)", &weights, nodes);
    expect(&m, &[]);
}
