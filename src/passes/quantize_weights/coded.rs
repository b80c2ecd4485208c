//! Weights as indices into tables.

use rayon::prelude::*;

use crate::error::Result;
use crate::ir::Model;
use crate::math::codebook::{Alphabet, Member, fit};
use crate::math::rounding::Points;
use crate::passes::quantize_static::{Share, Storable};
use crate::passes::stored::{Code, Layout, Writer};
use crate::passes::{Context, QuantizeStatic, Report, Storage};

/// Weights that are worked on at once; each is held as floats and as indices.
const TOGETHER: usize = 8;
/// Bytes of the nodes and names of a weight, about.
const NODES: usize = 400;

/// Stores weights of layers and tables as `storage` says, which is one with indices.
pub(super) fn apply(
    model: &mut Model,
    (storage, alphabet): (Storage, Alphabet),
    options: &QuantizeStatic,
    cx: &Context<'_>,
    report: &mut Report,
) -> Result<()> {
    let weights = options.storable(model, cx, report)?;
    let mut writer = Writer::new(model);
    for weights in weights.chunks(TOGETHER) {
        let codes: Vec<Code> = weights.par_iter().map(|weight| code(weight, alphabet)).collect();
        for (weight, code) in weights.iter().zip(codes) {
            let places = weight.readers.iter().map(|&(node, _)| writer.label(node));
            let places: Vec<String> = places.collect();
            let before = weight.elements.len() * size_of::<f32>();
            let worth = code.bytes() + NODES < before;
            if worth {
                writer.write(weight.value, &weight.readers, &code);
            }
            for place in places {
                match worth {
                    true => report.did(place, what(storage, weight.share)),
                    false => report
                        .refuse(place, "stays in float: table and scales would take what is saved"),
                }
            }
        }
    }
    Ok(())
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
    let layout = Layout { dims: weight.dims.clone(), share: weight.share };
    let part = weight.share.index(&weight.dims);
    let parts = weight.share.dims(&weight.dims).iter().product();
    let value = |i: usize| f64::from(weight.elements[i]);
    let at = |i: usize| Member { value: value(i), importance: 1.0, part: part(i) as u32 };
    let count = weight.elements.len();
    let points = fit(alphabet, count, parts, at);
    let indices = (0..count).map(|i| points.nearest(part(i) as u32, value(i))).collect();
    let (numbers, scales) = match points {
        Points::Table { numbers, scales } => (numbers, scales),
        Points::Grids(_) => (Vec::new(), Vec::new()),
    };
    Code { layout, numbers, scales, indices }
}
