//! Operators that compute on quantized integers, beside the float operator that each stands for.
//!
//! QLinearConv and QLinearMatMul are of ONNX; the others are ONNX Runtime's (domain com.microsoft).

use crate::ir::Node;

/// The domain of ONNX Runtime's own operators.
pub const MICROSOFT: &str = "com.microsoft";

/// What stands for a float operator: it reads integers with their scales and zero points.
#[derive(Debug)]
pub struct IntegerForm {
    /// The float operator, of the default domain.
    pub float: &'static str,
    /// The operator on integers.
    pub op: &'static str,
    /// Its domain: the default one or com.microsoft.
    pub domain: &'static str,
    /// Operands: input of the float operator, and inputs for integers, scale and zero point.
    pub operands: Operands,
    /// Inputs that hold scale and zero point of the output.
    pub result: Output,
    /// Input with the bias.
    pub bias: Option<(usize, BiasType)>,
    /// Inputs that are the same in both.
    pub shared: &'static [usize],
    /// Attributes that only the operator on integers has.
    pub extra: &'static [&'static str],
}

/// Where operands stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operands {
    /// One entry for each.
    Fixed(&'static [Operand]),
    /// Any number of triples from this input on.
    From(usize),
}

/// One operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// Input of the float operator.
    pub float: usize,
    /// Inputs for integers, scale and zero point.
    pub integer: [usize; 3],
}

/// What an operator on integers gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Integers, with scale and zero point in these inputs.
    Integer([usize; 2]),
    /// Integers when scale and zero point are given in these inputs, else floats.
    Either([usize; 2]),
    /// Floats.
    Float,
}

/// How a bias is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BiasType {
    /// `int32` in units of the product of both scales.
    Integer,
    /// `float`.
    Float,
}

const fn operand(float: usize, integer: [usize; 3]) -> Operand {
    Operand { float, integer }
}

const ONE: Operands = Operands::Fixed(&[operand(0, [0, 1, 2])]);
const TWO: Operands = Operands::Fixed(&[operand(0, [0, 1, 2]), operand(1, [3, 4, 5])]);

const fn one(float: &'static str, op: &'static str) -> IntegerForm {
    IntegerForm {
        float,
        op,
        domain: MICROSOFT,
        operands: ONE,
        result: Output::Integer([3, 4]),
        bias: None,
        shared: &[],
        extra: &[],
    }
}

const fn two(float: &'static str, op: &'static str) -> IntegerForm {
    IntegerForm { operands: TWO, result: Output::Integer([6, 7]), ..one(float, op) }
}

/// All operators, for one float operator the preferred one first.
const TABLE: &[IntegerForm] = &[
    IntegerForm { domain: "", bias: Some((8, BiasType::Integer)), ..two("Conv", "QLinearConv") },
    IntegerForm {
        bias: Some((6, BiasType::Integer)),
        result: Output::Either([7, 8]),
        ..two("Gemm", "QGemm")
    },
    IntegerForm { domain: "", ..two("MatMul", "QLinearMatMul") },
    IntegerForm {
        operands: Operands::Fixed(&[operand(0, [0, 2, 4]), operand(1, [1, 3, 5])]),
        bias: Some((6, BiasType::Float)),
        result: Output::Float,
        ..two("MatMul", "MatMulIntegerToFloat")
    },
    two("Add", "QLinearAdd"),
    two("Mul", "QLinearMul"),
    one("AveragePool", "QLinearAveragePool"),
    IntegerForm {
        extra: &["channels_last"],
        ..one("GlobalAveragePool", "QLinearGlobalAveragePool")
    },
    one("LeakyRelu", "QLinearLeakyRelu"),
    one("Sigmoid", "QLinearSigmoid"),
    IntegerForm { extra: &["opset"], ..one("Softmax", "QLinearSoftmax") },
    IntegerForm {
        operands: Operands::Fixed(&[operand(1, [1, 2, 3]), operand(2, [4, 5, 6])]),
        result: Output::Integer([7, 8]),
        shared: &[0],
        ..one("Where", "QLinearWhere")
    },
    IntegerForm {
        operands: Operands::From(2),
        result: Output::Integer([0, 1]),
        ..one("Concat", "QLinearConcat")
    },
];

impl IntegerForm {
    /// The forms of a float operator of the default domain, the preferred one first.
    pub fn of_float(node: &Node) -> impl Iterator<Item = &'static Self> {
        TABLE.iter().filter(move |form| node.is(form.float))
    }

    /// The preferred form of a float operator of this name.
    pub fn of_float_named(op: &str) -> Option<&'static Self> {
        TABLE.iter().find(|form| form.float == op)
    }

    /// What `node` is when it computes on integers. ONNX Runtime knows the operators of ONNX in its
    /// own domain, too.
    pub fn of(node: &Node) -> Option<&'static Self> {
        let form = TABLE.iter().find(|form| form.op == node.op())?;
        let known = node.domain() == MICROSOFT || form.domain.is_empty() && node.is_standard();
        known.then_some(form)
    }

    /// The operands of a node of so many inputs.
    pub fn operands(&self, inputs: usize) -> Vec<Operand> {
        match self.operands {
            Operands::Fixed(operands) => operands.to_vec(),
            Operands::From(first) => {
                let count = inputs.saturating_sub(first) / 3;
                let triple = |i: usize| first + 3 * i;
                (0..count).map(|i| operand(i, [triple(i), triple(i) + 1, triple(i) + 2])).collect()
            }
        }
    }

    /// Multiplies its operands: the second may be a weight with a scale for each output channel.
    pub fn is_product(&self) -> bool {
        ["Conv", "Gemm", "MatMul"].contains(&self.float)
    }
}
