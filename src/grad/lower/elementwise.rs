//! Functions of one, two and more numbers.

use crate::grad::Real;
use crate::grad::lower::node::float;
use crate::grad::lower::tensor::{Value, same_order};
use crate::grad::lower::{Known, Lower};
use crate::grad::op::binary::{Binary, Function};
use crate::grad::op::select::Select;
use crate::grad::op::unary::Unary;
use crate::ir::Node;
use crate::tensor::DType;

/// Of Selu, the attributes' defaults.
const SELU: (f32, f32) = (1.673_263_2, 1.050_701);

impl<T: Real> Lower<'_, T> {
    /// A function of each number.
    pub fn unary(&mut self, function: Unary, value: &Value) -> Value {
        let buffer = self.tape.step(function, &[value.buffer], value.len());
        Value { buffer, ..value.clone() }
    }

    pub fn unary_node(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let function = match node.op() {
            "Relu" => Unary::Relu,
            "LeakyRelu" => Unary::LeakyRelu(float(node, "alpha", 0.01)),
            "Clip" => self.clip(node)?,
            "Sigmoid" => Unary::Sigmoid,
            "Tanh" => Unary::Tanh,
            "Exp" => Unary::Exp,
            "Log" => Unary::Log,
            "Sqrt" => Unary::Sqrt,
            "Erf" => Unary::Erf,
            "Neg" => Unary::Neg,
            "Abs" => Unary::Abs,
            "Reciprocal" => Unary::Reciprocal,
            "Softplus" => Unary::Softplus,
            "Softsign" => Unary::Softsign,
            "Sin" => Unary::Sin,
            "Cos" => Unary::Cos,
            "HardSigmoid" => {
                Unary::HardSigmoid(float(node, "alpha", 0.2), float(node, "beta", 0.5))
            }
            "HardSwish" => Unary::HardSwish,
            "Gelu" if node.attr_str("approximate") == Some("tanh") => Unary::FastGelu,
            "Gelu" => Unary::Gelu,
            "Swish" => Unary::Swish(float(node, "alpha", 1.0)),
            "Mish" => Unary::Mish,
            "Elu" => Unary::Elu { alpha: float(node, "alpha", 1.0), gamma: 1.0, width: 1.0 },
            "Selu" => Unary::Elu {
                alpha: float(node, "alpha", SELU.0),
                gamma: float(node, "gamma", SELU.1),
                width: 1.0,
            },
            "Celu" => {
                let alpha = float(node, "alpha", 1.0);
                Unary::Elu { alpha, gamma: 1.0, width: alpha }
            }
            "Floor" => Unary::Floor,
            "Ceil" => Unary::Ceil,
            "Round" => Unary::Round,
            "Sign" => Unary::Sign,
            "Not" => Unary::Not,
            op => return Err(format!("there is no kernel for {op}")),
        };
        Ok(self.unary(function, &value))
    }

    fn clip(&mut self, node: &Node) -> Known<Unary> {
        let mut bound = |slot: usize, name: &str, default: f64| -> Known<f64> {
            let given = self.numbers(node, slot)?.and_then(|numbers| numbers.first().copied());
            Ok(given.or(node.attr_float(name).map(f64::from)).unwrap_or(default))
        };
        let low = bound(1, "min", f64::NEG_INFINITY)?;
        Ok(Unary::Clip(low, bound(2, "max", f64::INFINITY)?))
    }

    /// A function of two tensors, broadcast.
    pub fn binary(&mut self, function: Function, a: &Value, b: &Value) -> Known<Value> {
        let (dims, last, [a, b]) = self.together([a, b])?;
        let mut result = Value { buffer: 0, dims, last, dtype: a.dtype };
        let kernel = Binary::new(function, &result.physical(), &a.physical(), &b.physical());
        result.buffer = self.tape.step(kernel, &[a.buffer, b.buffer], result.len());
        Ok(result)
    }

    /// Operands with as many axes as the result and in one order, and the extents of the result.
    fn together<const N: usize>(
        &mut self,
        operands: [&Value; N],
    ) -> Known<(Vec<usize>, bool, [Value; N])> {
        let rank = operands.iter().map(|v| v.rank()).max().unwrap_or(0);
        let mut dims = vec![1; rank];
        for operand in operands {
            let extents = dims.iter_mut().rev().zip(operand.dims.iter().rev());
            for (dim, &extent) in extents {
                match (*dim, extent) {
                    (1, extent) => *dim = extent,
                    (dim, extent) if dim == extent || extent == 1 => {}
                    _ => return Err("its operands have different extents".to_owned()),
                }
            }
        }
        let whole = |v: &&Value| v.last && v.rank() == rank && !same_order(&v.dims);
        let last = operands.iter().any(whole);
        let operands = operands.map(|operand| {
            let lifted = self.lifted(operand, rank);
            self.ordered(&lifted, last)
        });
        Ok((dims, last, operands))
    }

    pub fn binary_node(&mut self, node: &Node) -> Known<Value> {
        let (a, b) = (self.input(node, 0)?, self.input(node, 1)?);
        let function = match node.op() {
            "Add" => Function::Add,
            "Sub" => Function::Sub,
            "Mul" => Function::Mul,
            "Div" if !a.dtype.is_float() => Function::WholeDiv,
            "Div" => Function::Div,
            "PRelu" => Function::PRelu,
            "Equal" => Function::Equal,
            "Less" => Function::Less,
            "LessOrEqual" => Function::LessOrEqual,
            "Greater" => Function::Greater,
            "GreaterOrEqual" => Function::GreaterOrEqual,
            "And" => Function::And,
            "Or" => Function::Or,
            "Xor" => Function::Xor,
            "Mod" if node.attr_int("fmod").unwrap_or(0) == 0 => Function::Mod,
            op => return Err(format!("there is no kernel for {op}")),
        };
        // Before operator set 7, the second operand was put at an axis.
        if self.opset < 7 && a.dims != b.dims && b.len() != 1 {
            return Err("broadcasting of this operator set has no kernel".to_owned());
        }
        self.typed(node, function, &a, &b)
    }

    /// A function of two tensors that gives what the node says.
    fn typed(&mut self, node: &Node, function: Function, a: &Value, b: &Value) -> Known<Value> {
        let result = self.binary(function, a, b)?;
        let dtype = node.output(0).and_then(|output| self.shapes.dtype(output));
        Ok(Value { dtype: dtype.unwrap_or(result.dtype), ..result })
    }

    pub fn power(&mut self, node: &Node) -> Known<Value> {
        let base = self.input(node, 0)?;
        let exponent = self.input(node, 1)?;
        match self.tape.always(exponent.buffer) {
            Some(&[exponent]) => Ok(self.unary(Unary::Power(exponent.wide()), &base)),
            _ => self.binary(Function::Pow, &base, &exponent),
        }
    }

    pub fn variadic(&mut self, node: &Node) -> Known<Value> {
        let function = match node.op() {
            "Max" => Function::Max,
            "Min" => Function::Min,
            _ => Function::Add,
        };
        let mut result = self.input(node, 0)?;
        for slot in 1..node.inputs().len() {
            let next = self.input(node, slot)?;
            result = self.binary(function, &result, &next)?;
        }
        if node.op() == "Mean" {
            let share = 1.0 / node.inputs().len() as f64;
            result = self.unary(Unary::Scale(share), &result);
        }
        Ok(result)
    }

    pub fn select(&mut self, node: &Node) -> Known<Value> {
        let given = [self.input(node, 0)?, self.input(node, 1)?, self.input(node, 2)?];
        let (dims, last, operands) = self.together([&given[0], &given[1], &given[2]])?;
        let mut result = Value { buffer: 0, dims, last, dtype: given[1].dtype };
        let extents = operands.each_ref().map(Value::physical);
        let kernel = Select::new(&result.physical(), [&extents[0], &extents[1], &extents[2]]);
        let buffers = operands.map(|operand| operand.buffer);
        result.buffer = self.tape.step(kernel, &buffers, result.len());
        Ok(result)
    }

    /// Numbers stay what they are, but for those that integers and truths cannot hold.
    pub fn cast(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let dtype = node.output(0).and_then(|output| self.shapes.dtype(output));
        let dtype = dtype.ok_or("the type of its output is not known")?;
        let result = match (value.dtype.is_float(), dtype) {
            (_, DType::Bool) if value.dtype != DType::Bool => self.unary(Unary::Truth, &value),
            (true, dtype) if !dtype.is_float() => self.unary(Unary::Truncate, &value),
            _ => value,
        };
        Ok(Value { dtype, ..result })
    }

    /// Gelu with a bias, of ONNX Runtime.
    pub fn biased_gelu(&mut self, node: &Node) -> Known<Value> {
        let mut value = self.input(node, 0)?;
        if let Some(bias) = self.optional(node, 1)? {
            value = self.binary(Function::Add, &value, &bias)?;
        }
        let function = match node.op() {
            "FastGelu" => Unary::FastGelu,
            "QuickGelu" => Unary::Swish(float(node, "alpha", 1.702)),
            _ => Unary::Gelu,
        };
        Ok(self.unary(function, &value))
    }
}
