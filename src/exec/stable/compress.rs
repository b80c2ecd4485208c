//! Compress, whose result is as long as its condition says, which is known while running.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::Read;

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert("Compress", read);
}

fn read(context: &ParsingContext<'_>, node: &NodeProto) -> Read {
    let length = context.template.symbols.new_with_prefix("compressed");
    Ok((expand(Compress { axis: node.get_attr_opt("axis")?, length }), Vec::new()))
}

/// The elements along an axis, of all of them in a row without one, for which the condition is true.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Compress {
    axis: Option<i64>,
    /// How many these are.
    length: Symbol,
}

impl Compress {
    fn dims(&self, input: &[TDim]) -> TVec<TDim> {
        let length = self.length.to_dim();
        let Some(axis) = self.axis else { return tvec!(length) };
        let mut dims: TVec<TDim> = input.into();
        let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
        if let Some(dim) = usize::try_from(axis).ok().and_then(|axis| dims.get_mut(axis)) {
            *dim = length;
        }
        dims
    }
}

impl Expansion for Compress {
    fn name(&self) -> StaticName {
        "Compress".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        s.given(&inputs[0].shape, move |s, dims| s.equals(&outputs[0].shape, self.dims(&dims)))
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for Compress {
    fn name(&self) -> StaticName {
        "Compress".into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        true
    }

    op_as_typed_op!();
}

impl EvalOp for Compress {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (input, condition) = args_2!(inputs);
        let condition = condition.try_as_plain_ram()?.as_slice::<bool>()?.to_vec();
        let mut input = input.into_tensor();
        let axis = match self.axis {
            Some(axis) if axis < 0 => usize::try_from(axis + input.rank() as i64)?,
            Some(axis) => usize::try_from(axis)?,
            None => {
                let length = input.len();
                input.set_shape(&[length])?;
                0
            }
        };
        ensure!(axis < input.rank(), "Compress: axis {axis} of {} axes", input.rank());
        let chosen = (0..input.shape()[axis]).filter(|&i| condition.get(i) == Some(&true));
        let slices = chosen.map(|i| input.slice(axis, i, i + 1));
        let slices: Vec<Tensor> = slices.collect::<TractResult<_>>()?;
        let output = if slices.is_empty() {
            let mut dims = input.shape().to_vec();
            dims[axis] = 0;
            Tensor::zero_dt(input.datum_type(), &dims)?
        } else {
            Tensor::stack_tensors(axis, &slices)?
        };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Compress {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let dims = self.dims(inputs[0].shape.dims());
        Ok(tvec!(inputs[0].datum_type.fact(dims)))
    }

    as_op!();
}
