//! Recurrent layers and signal transforms.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::fact::{Fact, unknown};
use crate::analysis::shapes::term::Term;
use crate::ir::position;

/// LSTM, GRU, RNN: all outputs, then the last one, then (LSTM) the last cell.
pub(super) fn recurrent(call: &Call<'_>) -> Vec<Fact> {
    let batch_first = call.flag("layout", false);
    let [time, batch] = if batch_first { [1, 0] } else { [0, 1] };
    let (length, batch) = (call.extent(0, time), call.extent(0, batch));
    // DynamicQuantizeLSTM stores its weights transposed.
    let hidden_axis = if call.node.op() == "DynamicQuantizeLSTM" { 1 } else { 2 };
    let hidden = call.extent(2, hidden_axis).also(&call.size("hidden_size"));
    let both = call.text("direction", "forward") == "bidirectional";
    let directions = Term::Known(if both { 2 } else { 1 });
    let (all, last) = if batch_first {
        (vec![batch, length, directions, hidden], [0, 2, 3])
    } else {
        (vec![length, directions, batch, hidden], [1, 2, 3])
    };
    let last = last.map(|axis: usize| all[axis].clone()).to_vec();
    let last = Fact::new(call.dtype(0), Some(last));
    vec![Fact::new(call.dtype(0), Some(all)), last.clone(), last]
}

/// DFT: the transformed axis may change its extent, the last one holds real and imaginary part.
pub(super) fn dft(call: &Call<'_>) -> Fact {
    let dims = call.shape(0).and_then(|mut dims| {
        let rank = dims.len();
        let axis = if call.opset < 20 {
            Some(call.int("axis", 1))
        } else if call.has(2) {
            call.one_int(2)
        } else {
            Some(-2)
        };
        let (one_sided, inverse) = (call.flag("onesided", false), call.flag("inverse", false));
        let Some(axis) = axis.and_then(|axis| position(axis, rank)) else {
            if !one_sided && !call.has(1) {
                *dims.last_mut()? = Term::Known(2);
                return Some(dims);
            }
            return Some(unknown(rank));
        };
        let length = if call.has(1) { call.element(1) } else { dims[axis].clone() };
        dims[axis] = if one_sided && inverse {
            Term::Unknown
        } else if one_sided {
            length.floor_div(2) + 1
        } else {
            length
        };
        *dims.last_mut()? = if one_sided && inverse { Term::Unknown } else { Term::Known(2) };
        Some(dims)
    });
    Fact::new(call.dtype(0), dims)
}

/// STFT: `[batch, frames, bins, 2]`.
pub(super) fn stft(call: &Call<'_>) -> Fact {
    let length = if call.has(3) { call.element(3) } else { call.extent(2, 0) };
    let frames = (call.extent(0, 1) - &length).floor_div(call.element(1)) + 1;
    let bins = if call.flag("onesided", true) { length.floor_div(2) + 1 } else { length };
    Fact::new(call.dtype(0), Some(vec![call.extent(0, 0), frames, bins, Term::Known(2)]))
}
