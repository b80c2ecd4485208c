//! `fuse-activation`: see `docs/passes/fuse-activation.md`.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use crate::analysis::Shapes;
use crate::ir::{AttrValue, Attribute, Model, NodeId, ValueId};
use crate::passes::rewrite::look::{Look, near};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::DType;

/// Makes Gelu (erf and tanh forms), Swish, HardSwish and Mish of what exporters decompose them into,
/// where the operator set has them.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseActivation {
    /// Gelu of com.microsoft, which ONNX Runtime has, may stand in for the standard one in older
    /// operator sets.
    pub microsoft: bool,
}

/// The last node of the pattern and what it becomes.
pub struct Plan {
    node: NodeId,
    x: ValueId,
    function: Function,
    domain: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    Gelu,
    GeluTanh,
    Swish,
    HardSwish,
    Mish,
}

/// The only operator set in which ONNX Runtime (1.31) runs Swish.
const SWISH: i64 = 24;

impl Function {
    /// Operator, first operator set of the default domain, and name in com.microsoft.
    fn operator(self) -> (&'static str, i64, Option<&'static str>) {
        match self {
            Self::Gelu => ("Gelu", 20, Some("Gelu")),
            Self::GeluTanh => ("Gelu", 20, Some("FastGelu")),
            Self::Swish => ("Swish", SWISH, None),
            Self::HardSwish => ("HardSwish", 14, None),
            Self::Mish => ("Mish", 18, None),
        }
    }
}

impl Function {
    /// Whether runtimes have a kernel of the operator wherever they have those of what it replaces. ONNX Runtime has
    /// few for `double`, and no Swish in newer operator sets.
    fn has_kernel(self, opset: i64, dtype: DType) -> bool {
        match (self, dtype) {
            (Self::Swish, _) => opset == SWISH,
            (Self::Gelu | Self::HardSwish | Self::Mish, DType::Double) => false,
            _ => true,
        }
    }
}

const MICROSOFT: &str = "com.microsoft";

impl Rule for FuseActivation {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-activation"
    }

    fn summary(&self) -> &'static str {
        "Makes Gelu, Swish, HardSwish and Mish of their decomposed forms."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn reach(&self) -> usize {
        /// The tanh form of Gelu is a path of eight nodes.
        const LONGEST: usize = 8;
        LONGEST
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let last = entry.is("Mul") || entry.is("Div");
        let Some(y) = entry.only_output().filter(|_| last) else { return Match::No };
        // The outermost product holds all factors.
        let inner = |(user, _): (NodeId, usize)| model.node(user).is("Mul");
        if model.value(y).only_consumer().is_some_and(inner) {
            let whole = model.value(y).only_consumer().map(|(user, _)| user);
            if whole.is_some_and(|user| self.plan(model, user, shapes).is_some()) {
                return Match::No;
            }
        }
        self.plan(model, node, shapes).map_or(Match::No, Match::Yes)
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let (op, _, contrib) = plan.function.operator();
        let mut attributes = Vec::new();
        let standard = plan.domain.is_empty();
        if plan.function == Function::GeluTanh && standard {
            attributes.push(Attribute::new("approximate", AttrValue::String("tanh".into())));
        }
        let op = if standard { op } else { contrib.unwrap_or(op) };
        if !standard {
            model.import(plan.domain, 1);
        }
        model.turn_into(plan.node, plan.domain, op, &[Some(plan.x)], attributes);
        format!("became {op} with the nodes before it")
    }
}

impl FuseActivation {
    fn plan(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Option<Plan> {
        let y = model.node(node).only_output()?;
        let look = Look::new(model, shapes);
        let (x, function) = recognize(&look, y)?;
        if !look.is_closed(node)
            || !matches!(
                shapes.dtype(x)?,
                DType::Float | DType::Double | DType::Float16 | DType::Bfloat16
            )
        {
            return None;
        }
        let (_, since, contrib) = function.operator();
        let opset = model.opset_in_force();
        if !function.has_kernel(opset, shapes.dtype(x)?) {
            return None;
        }
        let domain = if opset >= since {
            ""
        } else if self.microsoft && contrib.is_some() && shapes.dtype(x)? != DType::Double {
            MICROSOFT
        } else {
            return None;
        };
        Some(Plan { node, x, function, domain })
    }
}

/// The function that `y` is, and its argument.
fn recognize(look: &Look<'_>, y: ValueId) -> Option<(ValueId, Function)> {
    let product = look.product(y);
    let [a, b] = product.others[..] else { return None };
    let sides = [(a, b), (b, a)];
    let found = sides.into_iter().find_map(|(x, gate)| Some((x, gated(look, x, gate)?)));
    let (x, (function, scalar)) = found?;
    near(product.scalar, scalar).then_some((x, function))
}

/// The function `scalar · x · gate`, with the scalar.
fn gated(look: &Look<'_>, x: ValueId, gate: ValueId) -> Option<(Function, f64)> {
    let model = look.model;
    let op = model.node(model.value(gate).producer()?).op();
    match op {
        "Sigmoid" => (look.operand(gate, op)? == x).then_some((Function::Swish, 1.0)),
        "Tanh" => {
            let softplus = look.operand(gate, op)?;
            (look.operand(softplus, "Softplus")? == x).then_some((Function::Mish, 1.0))
        }
        "HardSigmoid" => {
            let node = look.made_by(gate, op)?;
            let alpha = f64::from(node.attr_float("alpha").unwrap_or(0.2));
            let beta = f64::from(node.attr_float("beta").unwrap_or(0.5));
            let fits = near(alpha, 1.0 / 6.0) && beta == 0.5 && node.input(0)? == x;
            fits.then_some((Function::HardSwish, 1.0))
        }
        "Clip" => {
            let node = look.made_by(gate, op)?;
            let bound = |name: &str, slot: usize| match node.input(slot) {
                Some(value) => look.scalar(value),
                None => node.attr_float(name).map(f64::from),
            };
            let fits = bound("min", 1)? == 0.0 && bound("max", 2)? == 6.0;
            let (inner, three) = look.plus(node.input(0)?)?;
            (fits && three == 3.0 && inner == x).then_some((Function::HardSwish, 1.0 / 6.0))
        }
        "Add" => {
            let (inner, one) = look.plus(gate)?;
            if one != 1.0 {
                return None;
            }
            let form = model.node(model.value(inner).producer()?).op();
            let argument = look.product(look.operand(inner, form)?);
            match (form, &argument.others[..]) {
                ("Erf", &[z]) if z == x && near(argument.scalar, FRAC_1_SQRT_2) => {
                    Some((Function::Gelu, 0.5))
                }
                ("Tanh", &[cubic]) if near(argument.scalar, FRAC_2_PI.sqrt()) => {
                    is_cubic(look, cubic, x).then_some((Function::GeluTanh, 0.5))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether `value` is `x + 0.044715 · x³`.
fn is_cubic(look: &Look<'_>, value: ValueId, x: ValueId) -> bool {
    /// Hendrycks and Gimpel 2016, equation of the approximation.
    const FACTOR: f64 = 0.044715;
    let other = |v: ValueId| (v == x).then_some(());
    let Some(((), term)) = look.either(value, "Add", other) else { return false };
    let product = look.product(term);
    let cube = |value: ValueId| {
        look.operands(value, "Pow")
            .is_some_and(|[base, e]| base == x && look.scalar(e) == Some(3.0))
    };
    near(product.scalar, FACTOR)
        && match product.others[..] {
            [value] => cube(value),
            [a, b, c] => a == x && b == x && c == x,
            _ => false,
        }
}
