//! Free axes that are fixed.

use clap::Args;
use onnxpress::Result;
use onnxpress::ir::Model;
use onnxpress::pipeline::FixedAxes;

/// Free axes of inputs, and what becomes of them.
#[derive(Debug, Clone, Default, Args)]
pub struct FixArgs {
    /// Fix all extents of an input.
    #[arg(long, value_name = "NAME=1,3,224,224", value_parser = shape)]
    fix_shape: Vec<(String, Vec<usize>)>,
    /// Fix the extent of a named axis, everywhere.
    #[arg(long, value_name = "NAME=N", value_parser = dim)]
    fix_dim: Vec<(String, usize)>,
}

impl FixArgs {
    /// Fixes the axes of `model`.
    ///
    /// # Errors
    /// When the model has no such input or axis, or the extents contradict what it declares.
    pub fn apply(&self, model: &mut Model) -> Result<()> {
        FixedAxes { dims: self.fix_dim.clone(), shapes: self.fix_shape.clone() }.apply(model)
    }
}

fn dim(text: &str) -> Result<(String, usize), String> {
    let (name, extent) = text.rsplit_once('=').ok_or("expected NAME=N, e.g. batch=1")?;
    let extent = extent.trim().parse().map_err(|_| format!("`{extent}` is not an extent"))?;
    Ok((name.trim().to_owned(), extent))
}

fn shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let (name, dims) = text.rsplit_once('=').ok_or("expected NAME=N,N,…, e.g. x=1,3,224,224")?;
    let dims = dims
        .split([',', 'x'])
        .map(|dim| dim.trim().parse().map_err(|_| format!("`{dim}` is not an extent")));
    Ok((name.trim().to_owned(), dims.collect::<Result<_, _>>()?))
}
