//! Weights as indices into tables.

use rayon::prelude::*;

use crate::error::Result;
use crate::ir::Model;
use crate::math::codebook::{Alphabet, Member, fit};
use crate::math::rounding::Points;
use crate::passes::quantize::quantize_static::Storable;
use crate::passes::stored::Share;
use crate::passes::stored::{Code, Layout, Writer, shared_bytes};
use crate::passes::{Context, QuantizeStatic, Report, Storage};

/// Weights that are worked on at once; each is held as floats and as indices.
const TOGETHER: usize = 8;
/// Bytes of the nodes and names of a weight, about.
const NODES: usize = 400;
/// Why a weight is not worth it.
const NO_GAIN: &str = "stays in float: what stores it would take what is saved";

/// Stores weights of layers and tables as `storage` says, which is one with indices.
pub(super) fn apply(
    model: &mut Model,
    (storage, alphabet): (Storage, Alphabet),
    options: &QuantizeStatic,
    cx: &Context<'_>,
    report: &mut Report,
) -> Result<()> {
    let weights = options.storable(model, cx, report)?;
    let saved: usize = weights.iter().map(|weight| saved(weight, alphabet)).sum();
    let any = saved > shared_bytes(alphabet.entries());
    let (worth, others): (Vec<_>, Vec<_>) =
        weights.into_iter().partition(|weight| any && self::saved(weight, alphabet) > 0);
    for node in others.iter().flat_map(|weight| &weight.layers) {
        report.refuse(model.label(*node), NO_GAIN);
    }
    let mut writer = Writer::new(model);
    for weights in worth.chunks(TOGETHER) {
        let codes: Vec<Code> = weights.par_iter().map(|weight| code(weight, alphabet)).collect();
        for (weight, code) in weights.iter().zip(codes) {
            for &node in &weight.layers {
                report.did(writer.label(node), what(storage, weight.share));
            }
            writer.write((weight.value, weight.dtype), &weight.readers, &code);
        }
    }
    Ok(())
}

/// Bytes that storing a weight so saves, at least.
fn saved(weight: &Storable, alphabet: Alphabet) -> usize {
    let (layout, entries) = (layout(weight), alphabet.entries());
    let table = if matches!(alphabet, Alphabet::Free(_)) { entries } else { 0 };
    let scales: usize = weight.share.dims(&weight.dims).iter().product();
    let floats = (table + scales) * size_of::<f32>();
    let before = weight.tensor.byte_size();
    before.saturating_sub(layout.packed_bytes(entries) + floats + NODES)
}

fn layout(weight: &Storable) -> Layout {
    Layout { dims: weight.dims.clone(), share: weight.share }
}

fn what(storage: Storage, share: Share) -> String {
    let name = match storage {
        Storage::Codebook(entries) => format!("weight from a table of {entries} numbers"),
        other => format!("{other} weight"),
    };
    let scales = match share {
        Share::Tensor => String::new(),
        Share::Axis(_) => " with a scale for each channel".to_owned(),
        Share::Block { size, .. } => format!(" with scales for blocks of {size}"),
    };
    format!("{name}{scales}; computes with floats")
}

fn code(weight: &Storable, alphabet: Alphabet) -> Code {
    let layout = layout(weight);
    let part = weight.share.index(&weight.dims);
    let parts = weight.share.dims(&weight.dims).iter().product();
    let elements = weight.elements();
    let value = |i: usize| f64::from(elements[i]);
    let at = |i: usize| Member { value: value(i), importance: 1.0, part: part(i) as u32 };
    let count = elements.len();
    let points = fit(alphabet, count, parts, at);
    let indices = (0..count).map(|i| points.nearest(part(i) as u32, value(i))).collect();
    let (numbers, scales) = match points {
        Points::Table { numbers, scales } => (numbers, scales),
        Points::Grids(_) => (Vec::new(), Vec::new()),
    };
    Code { layout, numbers, scales, indices }
}
