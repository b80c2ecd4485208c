//! What samples must feed.

use crate::data::InputSpec;
use crate::error::{Result, err};
use crate::ir::{Def, Dim, Model};

/// The inputs of the main graph that have no default, as samples are opened against.
///
/// # Errors
/// When an input is no tensor, or of an element type this version does not know.
pub fn inputs(model: &Model) -> Result<Vec<InputSpec>> {
    let inputs = model.graph(model.main()).inputs().iter().map(|&input| model.value(input));
    inputs
        .filter(|input| matches!(input.def(), Def::Input { default: None }))
        .map(|input| {
            let ty = input.tensor_type().ok_or_else(|| {
                err!(Unsupported, "is not a tensor of a known type")
                    .at(format_args!("input `{}`", input.name()))
            })?;
            let dims = ty.dims.as_ref().map(|dims| dims.iter().map(Dim::fixed).collect());
            Ok(InputSpec { name: input.name().to_owned(), dtype: ty.dtype, dims })
        })
        .collect()
}
