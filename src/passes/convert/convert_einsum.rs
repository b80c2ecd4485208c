//! `convert-einsum`: see `docs/passes/convert-einsum.md`.

use crate::analysis::{Shapes, constant_floats};
use crate::ir::{At, Model, NewNode, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Makes a MatMul of an Einsum that multiplies a value with one constant matrix.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConvertEinsum;

/// What stands in the place of the Einsum.
pub struct Plan {
    node: NodeId,
    /// What varies, how its axes are put into order, and the extents that are merged.
    x: Operand,
    /// The constant.
    w: Operand,
    /// Extents in front of which those of the runs stay, where the outputs of the product are several axes.
    split: Option<Vec<i64>>,
    /// The order of the axes of the result.
    order: Option<Vec<i64>>,
}

struct Operand {
    value: ValueId,
    order: Option<Vec<i64>>,
    dims: Option<Vec<i64>>,
}

impl Rule for ConvertEinsum {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "convert-einsum"
    }

    fn summary(&self) -> &'static str {
        "Makes a MatMul of an Einsum with one constant operand."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let (Some(equation), [Some(a), Some(b)]) = (entry.attr_str("equation"), entry.inputs())
        else {
            return Match::No;
        };
        if !entry.is("Einsum") {
            return Match::No;
        }
        let slot = match [*a, *b].map(|value| constant_floats(model, value).is_some()) {
            [false, true] => 1,
            [true, false] => 0,
            _ => return Match::No,
        };
        let (x, w) = if slot == 1 { (*a, *b) } else { (*b, *a) };
        Match::from(plan(model, node, (equation, slot), (x, w), shapes))
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let name = model.node(plan.node).only_output();
        let name = name.map(|y| model.value(y).name().to_owned()).unwrap_or_default();
        let mut made = Steps { model, node: plan.node, name };
        let x = made.operand(plan.x);
        let w = made.operand(plan.w);
        let mut last = NewNode::new("MatMul", &[x, w], &made.role("product"));
        if let Some(dims) = plan.split {
            let product = made.add(last);
            let shape = made.shape(&dims);
            last = NewNode::new("Reshape", &[product, shape], &made.role("split"));
        }
        if let Some(order) = plan.order {
            let split = made.add(last);
            last = NewNode::new("Transpose", &[split], &made.role("ordered")).attr("perm", order);
        }
        let (node, inputs) = (made.node, last.inputs);
        made.model.turn_into(node, "", &last.op, &inputs, last.attributes);
        "became a MatMul".into()
    }
}

/// Nodes in front of the one that is replaced.
struct Steps<'a> {
    model: &'a mut Model,
    node: NodeId,
    name: String,
}

impl Steps<'_> {
    fn role(&self, role: &str) -> String {
        format!("{}_{role}", self.name)
    }

    fn add(&mut self, node: NewNode) -> ValueId {
        let graph = self.model.node(self.node).graph();
        let node = NewNode { name: String::new(), ..node };
        let node = self.model.add_node(graph, At::Before(self.node), node);
        self.model.node(node).only_output().expect("made with one output")
    }

    fn shape(&mut self, dims: &[i64]) -> ValueId {
        let main = self.model.main();
        self.model.add_initializer(main, "shape", Tensor::from_i64(&[dims.len()], dims))
    }

    fn operand(&mut self, Operand { value, order, dims }: Operand) -> ValueId {
        let name = self.model.value(value).name().to_owned();
        let mut value = value;
        if let Some(order) = order {
            let node = NewNode::new("Transpose", &[value], &format!("{name}_ordered"));
            value = self.add(node.attr("perm", order));
        }
        if let Some(dims) = dims {
            let shape = self.shape(&dims);
            value = self.add(NewNode::new("Reshape", &[value, shape], &format!("{name}_merged")));
        }
        value
    }
}

/// An axis of an operand: a label, or one of those behind the ellipsis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Label(char),
    Hidden(usize),
}

/// The axes that a term names, of an operand of so many; nothing where it does not fit, or names one twice.
fn axes(term: &str, rank: Option<usize>) -> Option<Vec<Axis>> {
    let (before, after) = term.split_once("...").unwrap_or((term, ""));
    let labels = |text: &str| -> Option<Vec<Axis>> {
        text.chars().map(|c| c.is_ascii_alphabetic().then_some(Axis::Label(c))).collect()
    };
    let (before, after) = (labels(before)?, labels(after)?);
    let named = before.len() + after.len();
    let hidden = match term.contains("...") {
        true => rank?.checked_sub(named)?,
        false => 0,
    };
    let all: Vec<Axis> =
        before.into_iter().chain((0..hidden).map(Axis::Hidden)).chain(after).collect();
    let once = all.iter().enumerate().all(|(i, axis)| !all[..i].contains(axis));
    (once && rank.is_none_or(|rank| rank == all.len())).then_some(all)
}

fn plan(
    model: &Model,
    node: NodeId,
    (equation, slot): (&str, usize),
    (x, w): (ValueId, ValueId),
    shapes: &Shapes,
) -> Result<Plan, String> {
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let plain = "it is no plain product of a value with a matrix";
    let (left, right) = equation.split_once("->").ok_or("its equation names no result")?;
    let terms: Vec<&str> = left.split(',').collect();
    let &[first, second] = &terms[..] else { return Err(plain.into()) };
    let (of_x, of_w) = if slot == 1 { (first, second) } else { (second, first) };
    let weight = constant_floats(model, w).ok_or(plain)?;
    let dims = weight.tensor.dims();
    if of_w.contains("...") {
        return Err(plain.into());
    }
    let w_axes = axes(of_w, Some(dims.len())).ok_or(plain)?;
    let rank = shapes.rank(x);
    if rank.is_none() && of_x.contains("...") {
        return Err("the rank of what it reads is not known".into());
    }
    let x_axes = axes(of_x, rank).ok_or(plain)?;
    let out_rank = right.contains("...").then(|| {
        let hidden = x_axes.iter().filter(|axis| matches!(axis, Axis::Hidden(_))).count();
        right.len() - 3 + hidden
    });
    let out = axes(right, out_rank).ok_or(plain)?;
    let (runs, summed): (Vec<Axis>, Vec<Axis>) =
        x_axes.iter().copied().partition(|axis| out.contains(axis));
    let outputs: Vec<Axis> = out.iter().copied().filter(|axis| w_axes.contains(axis)).collect();
    let is_plain = !runs.is_empty()
        && !summed.is_empty()
        && !outputs.is_empty()
        && summed.iter().all(|axis| w_axes.contains(axis))
        && !runs.iter().any(|axis| w_axes.contains(axis))
        && w_axes.len() == summed.len() + outputs.len()
        && out.len() == runs.len() + outputs.len();
    if !is_plain {
        return Err(plain.into());
    }
    let extent = |axis: &Axis| w_axes.iter().position(|other| other == axis).map(|at| dims[at]);
    // An extent of 1 would be broadcast.
    let known = shapes.dims(x).ok_or("the extents of what it reads are not known")?;
    let fits = summed.iter().all(|axis| {
        let at = x_axes.iter().position(|other| other == axis);
        at.and_then(|at| known.get(at)?.extent()) == extent(axis)
    });
    if !fits {
        return Err("what it sums over has no known extent, or another one than its matrix".into());
    }
    let size = |axes: &[Axis]| -> Vec<i64> {
        axes.iter().filter_map(extent).map(|extent| extent as i64).collect()
    };
    let merged = |axes: &[Axis]| size(axes).iter().product::<i64>();
    let copied = || vec![0i64; runs.len()];
    let several = summed.len() > 1;
    let x_order: Vec<Axis> = runs.iter().chain(&summed).copied().collect();
    let w_order: Vec<Axis> = summed.iter().chain(&outputs).copied().collect();
    let product: Vec<Axis> = runs.iter().chain(&outputs).copied().collect();
    Ok(Plan {
        node,
        x: Operand {
            value: x,
            order: order(&x_axes, &x_order),
            dims: several.then(|| [copied(), vec![merged(&summed)]].concat()),
        },
        w: Operand {
            value: w,
            order: order(&w_axes, &w_order),
            dims: (dims.len() > 2).then(|| vec![merged(&summed), merged(&outputs)]),
        },
        split: (outputs.len() > 1).then(|| [copied(), size(&outputs)].concat()),
        order: order(&product, &out),
    })
}

/// The `perm` of a Transpose; nothing where axes are in order already.
fn order(from: &[Axis], to: &[Axis]) -> Option<Vec<i64>> {
    let place = |axis: &Axis| from.iter().position(|other| other == axis).map(|at| at as i64);
    (from != to).then(|| to.iter().filter_map(place).collect())
}
