//! `SparseTensorProto`: carried as encoded, but only when it makes sense.

use smol_str::SmolStr;

use crate::error::{Result, err};
use crate::read::{Folder, tensor};
use crate::tensor::{Tensor, element_count};
use crate::wire::Message;

/// Checks a sparse tensor and returns its name.
pub(super) fn check(message: &Message, folder: &mut Folder) -> Result<SmolStr> {
    let (mut values, mut indices, mut dims) = (None, None, Vec::new());
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => values = Some(tensor::stored(&field.message()?, folder)?),
            2 => indices = Some(tensor::stored(&field.message()?, folder)?.1.tensor),
            3 => field.append_varints(&mut dims, |x| x as i64)?,
            _ => {}
        }
    }
    let (name, values) = values.ok_or_else(|| err!(Invalid, "a sparse tensor has no values"))?;
    let at = |error: crate::error::Error| error.at(format_args!("sparse tensor `{name}`"));
    fits(&values.tensor, indices.as_ref(), &dims).map_err(at)?;
    Ok(name)
}

/// `values` is `[NNZ]`; `indices` is `[NNZ]` (positions in the flattened tensor) or `[NNZ, rank]`,
/// in ascending order without repetition.
fn fits(values: &Tensor, indices: Option<&Tensor>, dims: &[i64]) -> Result<()> {
    let sizes: Option<Vec<usize>> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let sizes = sizes.ok_or_else(|| err!(Invalid, "dims {dims:?} hold a negative number"))?;
    let total = element_count(&sizes)
        .ok_or_else(|| err!(Invalid, "the product of dims {dims:?} overflows"))?;
    let [nonzero] = *values.dims() else {
        return Err(err!(Invalid, "its values have dims {:?}, expected one axis", values.dims()));
    };
    let empty = Tensor::from_i64(&[0], &[]);
    let indices = indices.unwrap_or(&empty);
    let rows: Vec<i64> = indices.to_i64()?;
    let width = match *indices.dims() {
        [count] if count == nonzero => 1,
        [count, rank] if count == nonzero && rank == sizes.len() => rank.max(1),
        _ => {
            return Err(err!(
                Invalid,
                "{nonzero} values of dims {dims:?} do not fit indices of dims {:?}",
                indices.dims()
            ));
        }
    };
    let flat = indices.dims().len() == 1;
    let mut last = None;
    for row in rows.chunks(width) {
        let position = match flat {
            true => usize::try_from(row[0]).ok().filter(|&index| index < total),
            false => row.iter().zip(&sizes).try_fold(0usize, |position, (&index, &size)| {
                let index = usize::try_from(index).ok().filter(|&index| index < size)?;
                position.checked_mul(size)?.checked_add(index)
            }),
        };
        let position =
            position.ok_or_else(|| err!(Invalid, "index {row:?} lies outside dims {dims:?}"))?;
        if last.is_some_and(|last| last >= position) {
            return Err(err!(Invalid, "index {row:?} is not in ascending order"));
        }
        last = Some(position);
    }
    Ok(())
}
