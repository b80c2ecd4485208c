//! Casts of floats to integers. tract takes those to `int64` for dims, of which it has 32 bits of a float.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::Cast as TractCast;
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_onnx::tract_hir::internal::*;

use super::swap::{expansion, swapped};
use super::{Read, tract_reads};

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert("Cast", cast);
    register.insert("CastLike", cast_like);
}

fn cast(context: &ParsingContext<'_>, node: &NodeProto) -> Read {
    let (op, outer) = tract_reads("Cast", context, node)?;
    let to = node.get_attr::<DatumType>("to")?;
    if !to.is_integer() {
        return Ok((op, outer));
    }
    Ok((expand(Cast { inner: expansion(&*op)?, to }), outer))
}

fn cast_like(context: &ParsingContext<'_>, node: &NodeProto) -> Read {
    let (op, outer) = tract_reads("CastLike", context, node)?;
    Ok((swapped(op, instead)?, outer))
}

fn instead(op: &dyn TypedOp, inputs: &[&TypedFact]) -> Option<Box<dyn TypedOp>> {
    let to = op.downcast_ref::<TractCast>()?.to;
    let floats = inputs.first()?.datum_type.is_float();
    (floats && to.is_integer()).then(|| Truncate::to(to))
}

/// A cast to an integer, of floats by [`Truncate`].
#[derive(Debug, Clone)]
struct Cast {
    inner: Box<dyn Expansion>,
    to: DatumType,
}

impl Expansion for Cast {
    fn name(&self) -> StaticName {
        self.inner.name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].shape, &inputs[0].shape)?;
        s.given(&inputs[0].datum_type, move |s, from| {
            let dims = self.to == DatumType::I64 && !from.is_float();
            s.equals(&outputs[0].datum_type, if dims { DatumType::TDim } else { self.to })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        if model.outlet_fact(inputs[0])?.datum_type.is_float() {
            return model.wire_node(prefix, Truncate::to(self.to), inputs);
        }
        self.inner.wire(prefix, model, inputs)
    }
}

/// Floats without their fraction; what no integer of the type stands for becomes what processors of x86 and so
/// ONNX Runtime make of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Truncate(DatumType);

impl Truncate {
    fn to(to: DatumType) -> Box<dyn TypedOp> {
        Box::new(ElementWiseOp(Box::new(Self(to)), None))
    }
}

/// A number in 32 bits, the smallest when it does not fit.
fn in_32_bits(x: f64) -> i32 {
    let fits = x > f64::from(i32::MIN) - 1.0 && x < f64::from(i32::MAX) + 1.0;
    if fits { x as i32 } else { i32::MIN }
}

/// A number in 64 bits, the smallest when it does not fit.
fn in_64_bits(x: f64) -> i64 {
    let fits = (-TWO_63..TWO_63).contains(&x);
    if fits { x as i64 } else { i64::MIN }
}

const TWO_63: f64 = (1u64 << 63) as f64;

fn in_64_bits_unsigned(x: f64) -> u64 {
    if x < TWO_63 { in_64_bits(x) as u64 } else { in_64_bits(x - TWO_63) as u64 ^ (1 << 63) }
}

impl ElementWiseMiniOp for Truncate {
    fn name(&self) -> String {
        format!("Truncate<{:?}>", self.0)
    }

    fn output_type(&self, _: DatumType) -> Option<DatumType> {
        Some(self.0)
    }

    fn eval_out_of_place(&self, tensor: &Tensor, _: Option<DatumType>) -> TractResult<Tensor> {
        let wide = tensor.cast_to::<f64>()?;
        let plain = wide.try_as_plain_ram()?;
        let numbers = plain.as_slice::<f64>()?;
        fn made<T: Datum>(
            numbers: &[f64],
            shape: &[usize],
            make: impl Fn(f64) -> T,
        ) -> TractResult<Tensor> {
            let made: Vec<T> = numbers.iter().map(|&x| make(x)).collect();
            Ok(tract_ndarray::ArrayD::from_shape_vec(shape, made)?.into_tensor())
        }
        let shape = tensor.shape();
        match self.0 {
            DatumType::I64 => made(numbers, shape, in_64_bits),
            DatumType::U64 => made(numbers, shape, in_64_bits_unsigned),
            DatumType::I32 => made(numbers, shape, in_32_bits),
            DatumType::U32 => made(numbers, shape, |x| in_64_bits(x) as u32),
            DatumType::I16 => made(numbers, shape, |x| in_32_bits(x) as i16),
            DatumType::U16 => made(numbers, shape, |x| in_32_bits(x) as u16),
            DatumType::I8 => made(numbers, shape, |x| in_32_bits(x) as i8),
            DatumType::U8 => made(numbers, shape, |x| in_32_bits(x) as u8),
            other => bail!("{other:?} is no integer"),
        }
    }
}
