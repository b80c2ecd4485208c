//! Models of operators that become several kernels, or whose indices are computed.

use super::cases::each;

#[test]
fn indices_that_are_computed() {
    each(
        18,
        &[
            ("float[3,4] x, int64[2,4] i", "a = GatherElements(x, i) y = Mul(a, a)"),
            ("float[2,3,4] x, int64[2,3,2] i", "a = GatherElements<axis = -1>(x, i) y = Mul(a, a)"),
            ("float[3,4,2] x, int64[5,1] i", "a = GatherND(x, i) y = Mul(a, a)"),
            ("float[3,4,2] x, int64[2,2,2] i", "a = GatherND(x, i) y = Mul(a, a)"),
            ("float[2,3,4] x, int64[2,5,1] i", "a = GatherND<batch_dims = 1>(x, i) y = Mul(a, a)"),
            (
                "float[4,3] x, float[2,3] u",
                "i = Constant<value = int64[2,1] {3, 0}>() a = Exp(x) b = ScatterND(a, i, u) y = Mul(b, b)",
            ),
            (
                "float[4,3] x, float[3,3] u, int64[3,1] i",
                "a = ScatterND<reduction = \"add\">(x, i, u) y = Mul(a, a)",
            ),
            (
                "float[4,3] x, float[2,3] u",
                "i = Constant<value = int64[2,3] {3, 0, 1, 2, 2, -1}>() a = ScatterElements(x, i, u) y = Mul(a, a)",
            ),
            (
                "float[2,4] x, float[2,3] u, int64[2,3] i",
                "a = ScatterElements<axis = 1, reduction = \"add\">(x, i, u) y = Mul(a, a)",
            ),
        ],
    );
}

#[test]
fn sums_of_products() {
    for (inputs, equation) in [
        ("float[2,3] a, float[3,4] b", "ij,jk->ik"),
        ("float[2,3] a, float[3,4] b", "ij,jk"),
        ("float[2,3,4] a, float[2,4,5] b", "bij,bjk->bik"),
        ("float[2,3,4] a, float[5,4] b", "...i,ji->...j"),
        ("float[2,5,3,4] a, float[2,6,3,4] b", "bqhd,bkhd->bhqk"),
        ("float[2,3] a, float[2] b", "ij,i->j"),
        ("float[3] a, float[4] b", "i,j->ji"),
        ("float[2,3] a, float[2,3] b", "ij,ij->"),
        ("float[2,3,4] a, float[4,5] b", "abc,cd->d"),
    ] {
        each(13, &[(inputs, &format!("y = Einsum<equation = \"{equation}\">(a, b)"))]);
    }
    each(
        13,
        &[
            ("float[2,3,4] a", "y = Einsum<equation = \"ijk->kj\">(a)"),
            (
                "float[2,3] a, float[3,4] b, float[4,2] c",
                "y = Einsum<equation = \"ij,jk,kl->il\">(a, b, c)",
            ),
        ],
    );
}

#[test]
fn attention() {
    each(
        23,
        &[
            ("float[2,3,4,5] q, float[2,3,6,5] k, float[2,3,6,2] v", "y = Attention(q, k, v)"),
            (
                "float[2,4,3,5] q, float[2,2,3,5] k, float[2,2,3,5] v, float[3,3] m",
                "y = Attention<is_causal = 1, scale = 0.3>(q, k, v, m)",
            ),
            (
                "float[2,3,8] q, float[2,5,4] k, float[2,5,4] v",
                "y = Attention<q_num_heads = 4, kv_num_heads = 2>(q, k, v)",
            ),
        ],
    );
}

#[test]
fn branches() {
    for truth in ["true", "false"] {
        each(
            16,
            &[(
                "float[2,3] x, float[2,3] z",
                &format!(
                    "c = Constant<value = bool {{{}}}>() y = If(c) <
                        then_branch = then () => (float[2,3] a) {{ a = Mul(x, z) }},
                        else_branch = other () => (float[2,3] b) {{ b = Exp(x) }}
                    >",
                    u8::from(truth == "true")
                ),
            )],
        );
    }
    each(
        16,
        &[(
            "float[2,3] x, float[2,3] z",
            "s = ReduceSum<keepdims = 0>(x) t = ReduceSum<keepdims = 0>(z) c = Less(s, t) y = If(c) <
                then_branch = then () => (float[2,3] a) { h = Mul(x, z) a = Exp(h) },
                else_branch = other () => (float[2,3] b) { b = Sub(x, z) }
            >",
        )],
    );
}

#[test]
fn integers_that_are_packed_in_bytes() {
    super::check(
        "<ir_version: 8, opset_import: [\"\": 18, \"com.microsoft\": 1]>
        agraph (float[3,16] x) => (float[] y) {
            w = Constant<value = uint8[2,1,8] {1, 35, 69, 103, 137, 171, 205, 239, 16, 50, 84, 118, 152, 186, 220, 254}>()
            s = Constant<value_floats = [0.5, 0.25]>()
            y = com.microsoft.MatMulNBits<K = 16, N = 2, bits = 4, block_size = 16>(x, w, s)
        }",
    );
}
