//! Attention in its forms: of the standard, and those that onnxruntime fuses.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::fact::Fact;
use crate::analysis::shapes::term::Term;
use crate::tensor::DType;

/// `[N, heads, length, depth]` of an operand, split into heads when it is `[N, length, hidden]`.
fn heads(call: &Call<'_>, slot: usize, count: &str) -> Option<[Term; 4]> {
    match call.dims(slot)? {
        [n, heads, length, depth] => Some([n, heads, length, depth].map(Term::clone)),
        [n, length, hidden] => {
            let heads = call.size(count);
            Some([n.clone(), heads.clone(), length.clone(), hidden.quotient(heads)])
        }
        _ => None,
    }
}

/// Attention of operator set 23 on `[N, heads, L, E]` or `[N, L, hidden]`: the result, keys and
/// values with those of the past in front, the scores.
pub(super) fn attention(call: &Call<'_>) -> Vec<Fact> {
    let whole = |slot: usize, past: usize| {
        let [n, heads, length, depth] = heads(call, slot, "kv_num_heads")?;
        let before = if call.has(past) { call.extent(past, 2) } else { Term::Known(0) };
        Some(vec![n, heads, before + length, depth])
    };
    let query = heads(call, 0, "q_num_heads");
    let (keys, values) = (whole(1, 4), whole(2, 5));
    let depth = values.as_ref().map(|values| &values[3]);
    let result = query.as_ref().zip(depth).and_then(|([n, heads, length, _], depth)| {
        let [n, length] = [n.clone(), length.clone()];
        match call.dims(0)?.len() {
            3 => Some(vec![n, length, heads * depth]),
            _ => Some(vec![n, heads.clone(), length, depth.clone()]),
        }
    });
    let scores = query.zip(keys.as_ref());
    let scores =
        scores.map(|([n, heads, length, _], keys)| vec![n, heads, length, keys[2].clone()]);
    vec![
        Fact::new(call.dtype(0), result),
        Fact::new(call.dtype(1), keys),
        Fact::new(call.dtype(2), values),
        Fact::new(call.dtype(0), scores),
    ]
}

/// LinearAttention: the result, and a state `[N, heads, depth of keys, depth of values]`.
pub(super) fn linear_attention(call: &Call<'_>) -> Vec<Fact> {
    let (keys, values) = (heads(call, 1, "kv_num_heads"), heads(call, 2, "kv_num_heads"));
    let result = call.dims(0).zip(values.as_ref()).and_then(|(query, values)| {
        Some([query.get(..2)?, &[&values[3] * call.size("q_num_heads")]].concat())
    });
    let state = keys
        .zip(values)
        .map(|([n, heads, _, depth], values)| vec![n, heads, depth, values[3].clone()]);
    let dtype = if call.has(3) { call.dtype(3) } else { call.dtype(0) };
    vec![Fact::new(call.dtype(0), result), Fact::new(dtype, state)]
}

/// CausalConvWithState: the result, and the last `k - 1` elements of each channel.
pub(super) fn causal_conv(call: &Call<'_>) -> Vec<Fact> {
    let state = vec![call.extent(0, 0), call.extent(0, 1), call.extent(1, 2) - 1];
    vec![call.fact(0).without_content(), Fact::new(call.dtype(0), Some(state))]
}

/// Attention of onnxruntime on `[N, L, E]` with weights `[E, q + k + v]`; the second output is
/// keys and values, `[2, N, heads, P + L, depth]`.
pub(super) fn fused_attention(call: &Call<'_>) -> Vec<Fact> {
    let sizes = call.node.attr_ints("qkv_hidden_sizes");
    let hidden = match sizes.and_then(|sizes| sizes.get(2)) {
        Some(&size) => Term::Known(size),
        None => call.extent(1, 1).quotient(3),
    };
    let (batch, length) = (call.extent(0, 0), call.extent(0, 1));
    let past = if call.has(4) { call.extent(4, 3) } else { Term::Known(0) };
    let shared = call.flag("past_present_share_buffer", false);
    let total = if shared { Term::Unknown } else { past + &length };
    let heads = call.size("num_heads");
    let depth = hidden.quotient(&heads);
    let present = vec![Term::Known(2), batch.clone(), heads, total, depth];
    let result = vec![batch, length, hidden];
    vec![Fact::new(call.dtype(0), Some(result)), Fact::new(call.dtype(0), Some(present))]
}

/// MultiHeadAttention on `[N, L, hidden]`, or packed as `[N, L, heads, 3, depth]`.
pub(super) fn multi_head(call: &Call<'_>) -> Vec<Fact> {
    let hidden = match (call.dims(0), call.dims(2)) {
        (Some([_, _, heads, _, depth]), _) | (_, Some([_, heads, _, depth])) => heads * depth,
        (_, Some([_, _, hidden])) => hidden.clone(),
        _ => Term::Unknown,
    };
    let result = vec![call.extent(0, 0), call.extent(0, 1), hidden];
    vec![Fact::new(call.dtype(0), Some(result))]
}

/// GroupQueryAttention on `[N, L, hidden]`, with keys and values behind the queries in one tensor
/// when there are none of their own; caches are `[N, heads, length, depth]`.
pub(super) fn group_query(call: &Call<'_>) -> Vec<Fact> {
    let (queries, keys) = (call.size("num_heads"), call.size("kv_num_heads"));
    let groups = if call.has(1) { queries.clone() } else { &queries + &keys * 2 };
    let depth = call.extent(0, 2).quotient(groups);
    let (batch, length) = (call.extent(0, 0), call.extent(0, 1));
    let cache = vec![batch.clone(), keys, Term::Unknown, depth.clone()];
    let result = Fact::new(call.dtype(0), Some(vec![batch, length, queries * depth]));
    let cached = |slot: usize| Fact::new(call.dtype(slot).or(call.dtype(0)), Some(cache.clone()));
    vec![result, cached(3), cached(4)]
}

/// EmbedLayerNormalization of ids `[N, L]`: the embedding, an `int32` for each row, the sum before.
pub(super) fn embedding(call: &Call<'_>) -> Vec<Fact> {
    let dims = vec![call.extent(0, 0), call.extent(0, 1), call.extent(2, 1)];
    let embedded = Fact::new(call.dtype(2), Some(dims));
    let rows = Fact::new(Some(DType::Int32), Some(vec![call.extent(0, 0)]));
    vec![embedded.clone(), rows, embedded]
}

/// SkipLayerNormalization: the data, two statistics, the sum that was normalised.
pub(super) fn skip_norm(call: &Call<'_>) -> Vec<Fact> {
    let data = call.fact(0).without_content();
    vec![data.clone(), Fact::default(), Fact::default(), data]
}

/// FlexAttention: queries with the depth of the values.
pub(super) fn flex_attention(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).zip(call.dims(2)).and_then(|(query, values)| {
        Some([query.split_last()?.1, std::slice::from_ref(values.last()?)].concat())
    });
    Fact::new(call.dtype(0), dims)
}
