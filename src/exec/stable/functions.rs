//! Functions of one number.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::element_wise::ElementWiseIntoHir;

use super::Read;

pub(super) fn register(register: &mut OnnxOpRegister) {
    for op in ["Softplus", "Celu", "Acosh", "Asinh"] {
        register.insert(op, read);
    }
}

fn read(_: &ParsingContext<'_>, node: &NodeProto) -> Read {
    let function = match node.op_type.as_str() {
        "Softplus" => Function::Softplus,
        "Acosh" => Function::Acosh,
        "Asinh" => Function::Asinh,
        _ => Function::Celu(node.get_attr_opt("alpha")?.unwrap_or(1.0)),
    };
    Ok((ElementWiseOp(Box::new(function), None).into_hir(), Vec::new()))
}

/// A function that tract computes by way of numbers that are too large, or wrongly.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    Softplus,
    /// With its `alpha`, which tract does not multiply with.
    Celu(f32),
    Acosh,
    Asinh,
}

impl Eq for Function {}

impl Function {
    fn of(self, x: f64) -> f64 {
        match self {
            // Never larger than 1 before the logarithm.
            Self::Softplus if x > 0.0 => x + (-x).exp().ln_1p(),
            Self::Softplus => x.exp().ln_1p(),
            Self::Celu(_) if x >= 0.0 => x,
            Self::Celu(alpha) => f64::from(alpha) * (x / f64::from(alpha)).exp_m1(),
            Self::Acosh => arc(x, -1.0),
            Self::Asinh if x == 0.0 => x,
            Self::Asinh => arc(x.abs(), 1.0).copysign(x),
        }
    }
}

/// `log(x + sqrt(x² + sign))`, also where the square is too large.
fn arc(x: f64, sign: f64) -> f64 {
    /// Where adding 1 to the square no longer changes it.
    const LARGE: f64 = 1e9;
    match sign > 0.0 {
        _ if x > LARGE => x.ln() + std::f64::consts::LN_2,
        true => x.asinh(),
        false => x.acosh(),
    }
}

impl ElementWiseMiniOp for Function {
    fn name(&self) -> String {
        format!("{self:?}")
    }

    fn eval_in_place(&self, tensor: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        let mut plain = tensor.try_as_plain_ram_mut()?;
        match plain.datum_type() {
            DatumType::F32 => {
                let elements = plain.as_slice_mut::<f32>()?;
                elements.iter_mut().for_each(|x| *x = self.of(f64::from(*x)) as f32);
            }
            DatumType::F64 => {
                plain.as_slice_mut::<f64>()?.iter_mut().for_each(|x| *x = self.of(*x));
            }
            DatumType::F16 => {
                let elements = plain.as_slice_mut::<f16>()?;
                elements.iter_mut().for_each(|x| *x = f16::from_f64(self.of(x.to_f64())));
            }
            other => bail!("{} of {other:?}", ElementWiseMiniOp::name(self)),
        }
        Ok(())
    }
}
