//! One model for each way in which an operator is used.

use super::check;

/// Models of operator set `opset` that map the inputs to `y`.
pub(super) fn each(opset: u32, cases: &[(&str, &str)]) {
    for (inputs, nodes) in cases {
        check(&format!(
            "<ir_version: 8, opset_import: [\"\": {opset}]>\nagraph ({inputs}) => (float[] y) {{ {nodes} }}"
        ));
    }
}

#[test]
fn functions_of_one_number() {
    for op in [
        "Relu",
        "LeakyRelu<alpha = 0.3>",
        "Sigmoid",
        "Tanh",
        "Exp",
        "Erf",
        "Neg",
        "Abs",
        "Reciprocal",
        "Softplus",
        "Softsign",
        "Sin",
        "Cos",
        "HardSigmoid<alpha = 0.4>",
        "HardSwish",
        "Elu<alpha = 0.7>",
        "Selu",
        "Celu",
        "Mish",
    ] {
        each(18, &[("float[2,3,4] x", &format!("y = {op}(x)"))]);
    }
    for op in ["Gelu", "Gelu<approximate = \"tanh\">"] {
        each(20, &[("float[2,3,4] x", &format!("y = {op}(x)"))]);
    }
    each(
        18,
        &[
            ("float[5] x", "a = Mul(x, x) y = Sqrt(a)"),
            ("float[5] x", "a = Mul(x, x) y = Log(a)"),
            (
                "float[2,5] x",
                "low = Constant<value_float = -0.5>() high = Constant<value_float = 0.4>() y = Clip(x, low, high)",
            ),
            ("float[2,5] x", "p = Constant<value_float = 3.0>() y = Pow(x, p)"),
            ("float[2,5] x", "p = Constant<value_float = 2.0>() y = Pow(x, p)"),
            ("float[2,5] x", "a = Exp(x) p = Constant<value_float = 0.5>() y = Pow(a, p)"),
            (
                "float[2,5] x",
                "a = Exp(x) p = Constant<value_floats = [1.5, 2.5, 0.5, 1.0, 3.0]>() y = Pow(a, p)",
            ),
            ("float[4] x", "a = Identity(x) b = Dropout(a) y = Mul(b, x)"),
            ("float[4] x", "a = Cast<to = 1>(x) y = Mul(a, a)"),
        ],
    );
}

#[test]
fn functions_of_two_numbers() {
    let shapes = [
        ("2,3,4", "2,3,4"),
        ("2,3,4", "4"),
        ("2,3,4", "3,1"),
        ("2,3,4", "2,1,1"),
        ("3,1", "2,1,4"),
        ("2,3,4", ""),
        ("1", "2,3"),
        ("2,3,4,5", "1,3,1,5"),
    ];
    for op in ["Add", "Sub", "Mul", "Div", "Max", "Min"] {
        for (a, b) in shapes {
            let b = if b.is_empty() { String::new() } else { format!("[{b}]") };
            each(13, &[(&format!("float[{a}] a, float{b} b"), &format!("y = {op}(a, b)"))]);
        }
    }
    each(
        16,
        &[
            ("float[2,3,4] x, float[3,1] s", "y = PRelu(x, s)"),
            ("float[2,3] a, float[3] b, float[1] c", "y = Sum(a, b, c)"),
            ("float[2,3] a, float[3] b", "y = Mean(a, b, a)"),
            ("float[2,3] a", "y = Add(a, a)"),
            ("float[2,3] a", "y = Mul(a, a)"),
            ("float[2,3] a, float[3] b", "c = Greater(a, b) y = Where(c, a, b)"),
            ("float[2,3] a, float[2,1] b", "c = Less(a, b) d = Not(c) y = Where(d, a, b)"),
        ],
    );
}

#[test]
fn reductions() {
    for op in [
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSumExp",
    ] {
        for attributes in
            ["axes = [1]", "axes = [0, 2], keepdims = 0", "axes = [-1]", "keepdims = 0"]
        {
            each(13, &[("float[2,3,4] x", &format!("y = {op}<{attributes}>(x)"))]);
        }
    }
    each(
        13,
        &[
            (
                "float[2,3,4] x",
                "a = Constant<value_ints = [1, 2]>() y = ReduceSum<keepdims = 0>(x, a)",
            ),
            ("float[2,3,4] x", "y = ReduceSum(x)"),
            ("float[2,3,4] x", "y = Softmax(x)"),
            ("float[2,3,4] x", "y = Softmax<axis = 1>(x)"),
            ("float[2,3,4] x", "y = LogSoftmax<axis = 0>(x)"),
            ("float[2,3,4] x", "a = Constant<value_int = 1>() y = CumSum(x, a)"),
            (
                "float[2,3,4] x",
                "a = Constant<value_int = 2>() y = CumSum<exclusive = 1, reverse = 1>(x, a)",
            ),
            ("float[2,3,4,5] x", "y = GlobalAveragePool(x)"),
            ("float[2,3,4,5] x", "y = GlobalMaxPool(x)"),
        ],
    );
    each(11, &[("float[2,3,4] x", "y = Softmax(x)"), ("float[2,3,4] x", "y = LogSoftmax(x)")]);
}

#[test]
fn products_of_matrices() {
    for (a, b) in [
        ("3,4", "4,5"),
        ("2,3,4", "4,5"),
        ("2,3,4", "2,4,5"),
        ("2,1,3,4", "3,4,2"),
        ("4", "4,3"),
        ("2,3,4", "4"),
        ("4", "4"),
        ("3,4", "2,4,5"),
    ] {
        each(13, &[(&format!("float[{a}] a, float[{b}] b"), "y = MatMul(a, b)")]);
    }
    each(
        13,
        &[
            ("float[3,4] a, float[4,5] b", "y = Gemm(a, b)"),
            ("float[4,3] a, float[5,4] b, float[5] c", "y = Gemm<transA = 1, transB = 1>(a, b, c)"),
            (
                "float[3,4] a, float[5,4] b, float[3,1] c",
                "y = Gemm<transB = 1, alpha = 0.5, beta = 2.0>(a, b, c)",
            ),
        ],
    );
}

#[test]
fn convolutions() {
    each(
        13,
        &[
            ("float[2,3,5,6] x, float[4,3,3,3] w", "y = Conv(x, w)"),
            (
                "float[2,3,5,6] x, float[4,3,3,3] w, float[4] b",
                "y = Conv<pads = [1, 0, 2, 1], strides = [2, 1]>(x, w, b)",
            ),
            (
                "float[2,3,7,7] x, float[4,3,3,3] w",
                "y = Conv<dilations = [2, 2], pads = [1, 1, 1, 1]>(x, w)",
            ),
            (
                "float[2,4,5,5] x, float[6,2,3,3] w, float[6] b",
                "y = Conv<group = 2, pads = [1, 1, 1, 1]>(x, w, b)",
            ),
            (
                "float[2,4,5,5] x, float[4,1,3,3] w, float[4] b",
                "y = Conv<group = 4, pads = [1, 1, 1, 1], strides = [2, 2]>(x, w, b)",
            ),
            ("float[2,4,5,5] x, float[8,1,3,3] w", "y = Conv<group = 4>(x, w)"),
            ("float[2,4,5,5] x, float[3,4,1,1] w, float[3] b", "y = Conv(x, w, b)"),
            ("float[2,4,5,5] x, float[3,4,1,1] w", "y = Conv<strides = [2, 2]>(x, w)"),
            ("float[2,4,5,5] x, float[6,2,1,1] w", "y = Conv<group = 2>(x, w)"),
            (
                "float[2,3,9] x, float[4,3,4] w, float[4] b",
                "y = Conv<auto_pad = \"SAME_UPPER\", strides = [2]>(x, w, b)",
            ),
            ("float[2,3,9] x, float[4,3,4] w", "y = Conv<auto_pad = \"SAME_LOWER\">(x, w)"),
            ("float[1,2,4,4,4] x, float[3,2,2,2,2] w", "y = Conv(x, w)"),
            (
                "float[2,3,4,4] x, float[4,3,3,3] w, float[5,4,1,1] v",
                "a = Conv<pads = [1, 1, 1, 1]>(x, w) b = Relu(a) c = Conv(b, v) y = ReduceMean<axes = [2, 3], keepdims = 0>(c)",
            ),
            (
                "float[2,3,4,4] x, float[3,3,3,3] w",
                "a = Conv<pads = [1, 1, 1, 1]>(x, w) y = Conv<pads = [1, 1, 1, 1]>(a, w)",
            ),
            (
                "float[2,3,4,4] x, float[4,2,3,3] w",
                "y = ConvTranspose<group = 1, pads = [1, 1, 1, 1]>(z, w) z = Concat<axis = 1>(x, q) q = ReduceMean<axes = [1]>(x)",
            ),
        ][..14],
    );
    each(
        13,
        &[
            ("float[2,3,4,4] x, float[3,2,3,3] w, float[2] b", "y = ConvTranspose(x, w, b)"),
            (
                "float[2,3,4,4] x, float[3,2,3,3] w",
                "y = ConvTranspose<strides = [2, 2], pads = [1, 0, 0, 1], output_padding = [1, 0]>(x, w)",
            ),
            (
                "float[2,4,4,4] x, float[4,3,2,3] w",
                "y = ConvTranspose<group = 2, dilations = [2, 1]>(x, w)",
            ),
            (
                "float[2,4,6] x, float[4,3,4] w",
                "y = ConvTranspose<strides = [2], auto_pad = \"SAME_UPPER\">(x, w)",
            ),
        ],
    );
}

#[test]
fn pooling() {
    each(
        12,
        &[
            ("float[2,3,5,6] x", "y = MaxPool<kernel_shape = [2, 3]>(x)"),
            (
                "float[2,3,5,6] x",
                "y = MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(x)",
            ),
            (
                "float[2,3,6,6] x",
                "y = MaxPool<kernel_shape = [2, 2], dilations = [2, 2], strides = [2, 1]>(x)",
            ),
            (
                "float[2,3,6,6] x",
                "y = MaxPool<kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1>(x)",
            ),
            (
                "float[2,3,7] x",
                "y = MaxPool<kernel_shape = [2], auto_pad = \"SAME_UPPER\", strides = [2]>(x)",
            ),
            ("float[2,3,5,6] x", "y = AveragePool<kernel_shape = [2, 3], strides = [1, 2]>(x)"),
            ("float[2,3,5,5] x", "y = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x)"),
            (
                "float[2,3,5,5] x",
                "y = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1>(x)",
            ),
        ],
    );
}

#[test]
fn normalizations() {
    each(
        17,
        &[
            (
                "float[2,3,4,5] x, float[3] s, float[3] b",
                "m = Constant<value_floats = [0.1, 0.2, -0.3]>() v = Constant<value_floats = [1.0, 0.5, 2.0]>() y = BatchNormalization(x, s, b, m, v)",
            ),
            (
                "float[4,3] x, float[3] s, float[3] b",
                "m = Constant<value_floats = [0.1, 0.2, -0.3]>() v = Constant<value_floats = [1.0, 0.5, 2.0]>() y = BatchNormalization(x, s, b, m, v)",
            ),
            ("float[2,3,6] x, float[6] s, float[6] b", "y = LayerNormalization(x, s, b)"),
            ("float[2,3,6] x, float[3,6] s", "y = LayerNormalization<axis = 1>(x, s)"),
            ("float[2,3,4,5] x, float[3] s, float[3] b", "y = InstanceNormalization(x, s, b)"),
        ],
    );
    each(
        18,
        &[(
            "float[2,6,4] x, float[3] s, float[3] b",
            "y = GroupNormalization<num_groups = 3>(x, s, b)",
        )],
    );
    each(
        21,
        &[(
            "float[2,6,4] x, float[6] s, float[6] b",
            "y = GroupNormalization<num_groups = 3>(x, s, b)",
        )],
    );
    each(23, &[("float[2,3,6] x, float[6] s", "y = RMSNormalization(x, s)")]);
}

#[test]
fn movements() {
    each(
        13,
        &[
            (
                "float[2,3,4] x",
                "s = Constant<value_ints = [4, -1]>() a = Reshape(x, s) y = Mul(a, a)",
            ),
            ("float[2,3,4] x", "a = Flatten<axis = 2>(x) y = Mul(a, a)"),
            (
                "float[2,1,4] x",
                "s = Constant<value_ints = [1]>() a = Squeeze(x, s) b = Unsqueeze(a, s) y = Mul(b, x)",
            ),
            ("float[2,3,4] x", "a = Transpose<perm = [2, 0, 1]>(x) y = Mul(a, a)"),
            ("float[2,3,4] x", "y = Transpose(x)"),
            (
                "float[2,5,4] x",
                "s = Constant<value_ints = [1]>() e = Constant<value_ints = [-1]>() a = Constant<value_ints = [1]>() t = Constant<value_ints = [2]>() y = Slice(x, s, e, a, t)",
            ),
            (
                "float[2,5,4] x",
                "s = Constant<value_ints = [-1, 3]>() e = Constant<value_ints = [-6, 0]>() a = Constant<value_ints = [1, 2]>() t = Constant<value_ints = [-2, -1]>() y = Slice(x, s, e, a, t)",
            ),
            ("float[2,6,4] x", "a, b, c = Split<axis = 1>(x) d = Mul(a, b) y = Add(d, c)"),
            (
                "float[2,5] x",
                "s = Constant<value_ints = [2, 3]>() a, b = Split<axis = 1>(x, s) c = Concat<axis = 1>(b, a, x) y = Mul(c, c)",
            ),
            (
                "float[2,3] x",
                "p = Constant<value_ints = [1, 0, 2, 3]>() v = Constant<value_float = 0.5>() y = Pad(x, p, v)",
            ),
            (
                "float[4,5] x",
                "p = Constant<value_ints = [1, 2, 2, 3]>() y = Pad<mode = \"reflect\">(x, p)",
            ),
            (
                "float[4,5] x",
                "p = Constant<value_ints = [1, -1, 2, 3]>() y = Pad<mode = \"edge\">(x, p)",
            ),
            ("float[3,1] x", "s = Constant<value_ints = [2, 1, 4]>() y = Expand(x, s)"),
            ("float[2,3] x", "r = Constant<value_ints = [2, 3]>() y = Tile(x, r)"),
            ("float[5,3] x", "i = Constant<value = int64[2,2] {0, 4, -1, 0}>() y = Gather(x, i)"),
            ("float[5,3] x", "i = Constant<value_int = 2>() y = Gather<axis = 1>(x, i)"),
            ("float[4,3] x, int64[2,3] i", "y = Gather(x, i)"),
            ("float[2,4,3] x, int64[5] i", "y = Gather<axis = 2>(x, i)"),
            ("float[2,8,2,3] x", "y = DepthToSpace<blocksize = 2>(x)"),
            ("float[2,8,2,3] x", "y = DepthToSpace<blocksize = 2, mode = \"CRD\">(x)"),
            ("float[2,2,4,6] x", "y = SpaceToDepth<blocksize = 2>(x)"),
            (
                "float[2,4,5,5] x, float[4,4,1,1] w",
                "a = Conv(x, w) b = Transpose<perm = [0, 2, 3, 1]>(a) c = Mul(b, b) y = Transpose<perm = [0, 3, 1, 2]>(c)",
            ),
            (
                "float[2,4,5,3] x, float[4,4,1,1] w",
                "a = Conv(x, w) s = Constant<value_ints = [2, 2, 2, 5, 3]>() b = Reshape(a, s) c = Transpose<perm = [0, 2, 1, 3, 4]>(b) t = Constant<value_ints = [2, 4, 5, 3]>() d = Reshape(c, t) e = Conv(d, w) f = Concat<axis = 1>(e, a) y = ReduceMean<axes = [1, 3], keepdims = 0>(f)",
            ),
        ],
    );
}

#[test]
fn resizing() {
    for attributes in [
        "mode = \"nearest\", coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"",
        "mode = \"linear\", coordinate_transformation_mode = \"half_pixel\"",
        "mode = \"linear\", coordinate_transformation_mode = \"align_corners\"",
        "mode = \"linear\", coordinate_transformation_mode = \"pytorch_half_pixel\"",
        "mode = \"cubic\", coordinate_transformation_mode = \"half_pixel\"",
        "mode = \"cubic\", coordinate_transformation_mode = \"align_corners\"",
    ] {
        each(
            13,
            &[
                (
                    "float[1,2,3,4] x",
                    &format!(
                        "s = Constant<value_floats = [1.0, 1.0, 2.0, 2.0]>() y = Resize<{attributes}>(x, , s)"
                    ),
                ),
                (
                    "float[1,2,5,4] x",
                    &format!(
                        "s = Constant<value_ints = [1, 2, 8, 3]>() y = Resize<{attributes}>(x, , , s)"
                    ),
                ),
            ],
        );
    }
}

#[test]
fn integers_with_scales() {
    each(
        21,
        &[
            (
                "float[4,3,2,2] x, float[4] s",
                "i = Constant<value = int8[4,3,2,2] {1, -2, 3, 4, 5, -6, 7, 8, 9, 10, 11, -12, 1, -2, 3, 4, 5, -6, 7, 8, 9, 10, 11, -12, 1, -2, 3, 4, 5, -6, 7, 8, 9, 10, 11, -12, 1, -2, 3, 4, 5, -6, 7, 8, 9, 10, 11, -12}>() w = DequantizeLinear<axis = 0>(i, s) y = Mul(x, w)",
            ),
            (
                "float[2,4] x, float[2,2] s",
                "i = Constant<value = int8[2,4] {1, -2, 3, 4, 5, -6, 7, 8}>() w = DequantizeLinear<axis = 1, block_size = 2>(i, s) y = Mul(x, w)",
            ),
            (
                "float[2,4] x, float s",
                "i = Constant<value = uint8[2,4] {1, 2, 3, 4, 5, 6, 7, 8}>() z = Constant<value = uint8 {3}>() w = DequantizeLinear(i, s, z) y = Mul(x, w)",
            ),
        ],
    );
}

#[test]
fn recurrent_layers() {
    let lstm = "float[3,2,4] x, float[1,12,4] w, float[1,12,3] r";
    let both = "float[3,2,4] x, float[2,12,4] w, float[2,12,3] r, float[2,24] b, float[2,2,3] h, float[2,2,3] c";
    let gru = "float[3,2,4] x, float[1,9,4] w, float[1,9,3] r, float[1,18] b, float[1,2,3] h";
    each(
        14,
        &[
            (lstm, "y = LSTM<hidden_size = 3>(x, w, r)"),
            (lstm, "y = LSTM<hidden_size = 3, direction = \"reverse\">(x, w, r)"),
            (
                both,
                "a, q, k = LSTM<hidden_size = 3, direction = \"bidirectional\">(x, w, r, b, , h, c) s = Mul(q, k) y = Add(a, s)",
            ),
            (gru, "y = GRU<hidden_size = 3>(x, w, r, b, , h)"),
            (
                gru,
                "a, q = GRU<hidden_size = 3, linear_before_reset = 1>(x, w, r, b, , h) s = Mul(q, q) y = Add(a, s)",
            ),
            (
                gru,
                "y = GRU<hidden_size = 3, linear_before_reset = 1, direction = \"reverse\">(x, w, r, b, , h)",
            ),
        ],
    );
}
