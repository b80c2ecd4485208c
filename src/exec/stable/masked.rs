//! Attention with a mask. tract adds a mask of yes and no as ones and zeros, and divides by zero for queries for which
//! a mask leaves no key.

use tract_onnx::tract_core::dyn_clone;
use tract_onnx::tract_hir::internal::*;

/// Instead of tract's attention with a mask.
pub(super) fn instead(op: &dyn TypedOp, inputs: &[&TypedFact]) -> Option<Box<dyn TypedOp>> {
    let with_mask = op.name() == "SDPA" && inputs.len() > MASK;
    with_mask.then(|| Box::new(Masked { inner: dyn_clone::clone_box(op) }) as Box<dyn TypedOp>)
}

/// The slot of the mask; the others are queries, keys and values.
const MASK: usize = 3;

/// tract's attention, and zeros where the mask leaves nothing.
#[derive(Debug, Clone)]
struct Masked {
    inner: Box<dyn TypedOp>,
}

impl PartialEq for Masked {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Masked {}

/// For each row of a mask whether it keeps any key.
fn kept(mask: &Tensor) -> TractResult<tract_ndarray::ArrayD<bool>> {
    let keys = mask.shape().last().copied().unwrap_or(1);
    let yes = if mask.datum_type() == DatumType::Bool {
        mask.try_as_plain_ram()?.as_slice::<bool>()?.to_vec()
    } else {
        let wide = mask.cast_to::<f32>()?;
        let plain = wide.try_as_plain_ram()?;
        plain.as_slice::<f32>()?.iter().map(|&x| x != f32::NEG_INFINITY).collect()
    };
    let rows: Vec<bool> = yes.chunks(keys.max(1)).map(|row| row.contains(&true)).collect();
    let mut dims = mask.shape().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = 1;
    }
    Ok(tract_ndarray::ArrayD::from_shape_vec(dims, rows)?)
}

/// What is added to the products for a mask of yes and no, which tract would add as ones and zeros.
fn added(mask: &Tensor) -> TractResult<Tensor> {
    let plain = mask.try_as_plain_ram()?;
    let kept = plain.as_slice::<bool>()?.iter();
    let added = kept.map(|&kept| if kept { 0.0 } else { f32::NEG_INFINITY }).collect();
    Ok(tract_ndarray::ArrayD::from_shape_vec(mask.shape(), added)?.into_tensor())
}

impl Op for Masked {
    fn name(&self) -> StaticName {
        "MaskedSDPA".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Masked {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let kept = kept(&inputs[MASK])?;
        let mut inputs = inputs;
        if inputs[MASK].datum_type() == DatumType::Bool {
            inputs[MASK] = added(&inputs[MASK])?.into_tvalue();
        }
        let outputs = self.inner.eval(context, inputs)?;
        if kept.iter().all(|&kept| kept) {
            return Ok(outputs);
        }
        let output = args_1!(outputs).into_tensor();
        let dt = output.datum_type();
        let mut wide = output.cast_to_dt(DatumType::F32)?.into_owned();
        {
            let mut plain = wide.try_as_plain_ram_mut()?;
            let mut view = plain.to_array_view_mut::<f32>()?;
            let Some(kept) = kept.broadcast(view.raw_dim()) else {
                bail!("the mask has other dims than the result")
            };
            tract_ndarray::Zip::from(&mut view).and(&kept).for_each(|x, &kept| {
                if !kept {
                    *x = 0.0;
                }
            });
        }
        Ok(tvec!(wide.cast_to_dt(dt)?.into_owned().into_tvalue()))
    }
}

impl TypedOp for Masked {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.inner.output_facts(inputs)
    }

    as_op!();
}
