//! `SparseTensorProto` -> its values and where they stand.

use smol_str::SmolStr;

use crate::error::{Result, err};
use crate::ir::Sparse;
use crate::read::{Folder, tensor};
use crate::wire::{Message, Rest};

/// The name of a sparse initializer, which belongs to its value and is not kept, and its contents.
pub(super) fn initializer(message: &Message, folder: &mut Folder) -> Result<(SmolStr, Sparse)> {
    let (mut values, mut indices, mut dims) = (None, None, Vec::new());
    let mut rest = Rest::default();
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => values = Some(tensor::initializer(&field.message()?, folder)?),
            2 => indices = Some(tensor::stored(&field.message()?, folder)?.1),
            3 => field.append_varints(&mut dims, |x| x as i64)?,
            _ => rest.keep(&field),
        }
    }
    let (name, values) = values.ok_or_else(|| err!(Invalid, "a sparse tensor has no values"))?;
    let at = |error: crate::error::Error| error.at(format_args!("sparse tensor `{name}`"));
    let sizes: Option<Vec<usize>> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let dims = sizes.ok_or_else(|| err!(Invalid, "dims {dims:?} hold a negative number"));
    let sparse = Sparse { values, indices, dims: dims.map_err(at)?, carried: rest.finish() };
    sparse.positions().map_err(at)?;
    Ok((name, sparse))
}
