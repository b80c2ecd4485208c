//! Recurrent layers and signal transforms.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::fact::{Extent, Fact, position};

/// LSTM, GRU, RNN: all outputs, then the last one, then (LSTM) the last cell.
pub(super) fn recurrent(call: &Call<'_>) -> Vec<Fact> {
    let dims = |slot, axis: usize| call.dims(slot).and_then(|d| d.get(axis).copied().flatten());
    let batch_first = call.flag("layout", false);
    let [time, batch] = if batch_first { [1, 0] } else { [0, 1] };
    let (length, batch) = (dims(0, time), dims(0, batch));
    // DynamicQuantizeLSTM stores its weights transposed.
    let hidden_axis = if call.node.op() == "DynamicQuantizeLSTM" { 1 } else { 2 };
    let hidden: Extent = dims(2, hidden_axis).or(call.size("hidden_size"));
    let both = call.text("direction", "forward") == "bidirectional";
    let directions = Some(if both { 2 } else { 1 });
    let (all, last) = if batch_first {
        (vec![batch, length, directions, hidden], vec![batch, directions, hidden])
    } else {
        (vec![length, directions, batch, hidden], vec![directions, batch, hidden])
    };
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
            return Some(vec![None; rank]);
        };
        let length = if call.has(1) {
            call.one_int(1).and_then(|n| usize::try_from(n).ok())
        } else {
            dims[axis]
        };
        dims[axis] = if one_sided && inverse {
            None
        } else if one_sided {
            length.map(|n| n / 2 + 1)
        } else {
            length
        };
        *dims.last_mut()? = if one_sided && inverse { None } else { Some(2) };
        Some(dims)
    });
    Fact::new(call.dtype(0), dims)
}

/// STFT: `[batch, frames, bins, 2]`.
pub(super) fn stft(call: &Call<'_>) -> Fact {
    let extent = |slot: usize| call.one_int(slot).and_then(|n| usize::try_from(n).ok());
    let batch = call.dims(0).and_then(|dims| dims.first().copied().flatten());
    let signal = call.dims(0).and_then(|dims| dims.get(1).copied().flatten());
    let length = if call.has(3) {
        extent(3)
    } else {
        call.dims(2).and_then(|dims| dims.first().copied().flatten())
    };
    let frames = signal.zip(length).zip(extent(1)).and_then(|((signal, length), step)| {
        signal.checked_sub(length)?.checked_div(step)?.checked_add(1)
    });
    let bins = if call.flag("onesided", true) { length.map(|n| n / 2 + 1) } else { length };
    Fact::new(call.dtype(0), Some(vec![batch, frames, bins, Some(2)]))
}
