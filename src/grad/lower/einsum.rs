//! Einsum as a chain of products of matrices.

use crate::grad::Real;
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::reduce::Reduction;
use crate::ir::Node;

/// An operand with the label of each of its axes.
type Labelled = (Value, Vec<char>);

/// Stand for the axes of an ellipsis, the last one first.
const HIDDEN: [char; 8] = ['\u{1}', '\u{2}', '\u{3}', '\u{4}', '\u{5}', '\u{6}', '\u{7}', '\u{8}'];

impl<T: Real> Lower<'_, T> {
    pub fn einsum(&mut self, node: &Node) -> Known<Value> {
        let slots = 0..node.inputs().len();
        let operands = slots.map(|slot| self.input(node, slot)).collect::<Known<Vec<_>>>()?;
        let ranks: Vec<usize> = operands.iter().map(Value::rank).collect();
        let (terms, result) = labels(node.attr_str("equation").unwrap_or_default(), &ranks)?;
        let mut rest = operands.into_iter().zip(terms.iter().cloned());
        let mut sum = rest.next().ok_or("it has no operands")?;
        for (at, operand) in rest.enumerate() {
            let later: Vec<char> =
                terms[at + 2..].iter().flatten().chain(&result).copied().collect();
            sum = self.contracted(sum, operand, &later)?;
        }
        let (value, names) = self.summed(sum, &result);
        let place = |label: &char| names.iter().position(|name| name == label);
        let order: Option<Vec<usize>> = result.iter().map(place).collect();
        let order = order.ok_or("a label of its result is in no operand")?;
        Ok(self.transposed(&value, &order))
    }

    /// Sums over axes whose labels nobody needs.
    fn summed(&mut self, (value, names): Labelled, needed: &[char]) -> Labelled {
        let gone: Vec<usize> = (0..names.len()).filter(|&i| !needed.contains(&names[i])).collect();
        if gone.is_empty() {
            return (value, names);
        }
        let value = self.reduced(&value, Reduction::Sum, &gone, false);
        (value, names.into_iter().filter(|name| needed.contains(name)).collect())
    }

    /// The product of two operands, summed over labels of both that are not needed later.
    fn contracted(&mut self, a: Labelled, b: Labelled, later: &[char]) -> Known<Labelled> {
        let needed = |other: &[char]| [other, later].concat();
        let (a, b) = {
            let (of_a, of_b) = (needed(&b.1), needed(&a.1));
            (self.summed(a, &of_a), self.summed(b, &of_b))
        };
        let shared = |name: &&char| b.1.contains(*name);
        let both: Vec<char> = a.1.iter().filter(shared).copied().collect();
        let (batch, inner): (Vec<char>, Vec<char>) =
            both.iter().partition(|name| later.contains(name));
        let own = |names: &[char]| -> Vec<char> {
            names.iter().filter(|name| !both.contains(name)).copied().collect()
        };
        let (rows, columns) = (own(&a.1), own(&b.1));
        let extents = |(value, names): &Labelled, wanted: &[char]| -> Vec<usize> {
            let place = |name| names.iter().position(|own| own == name);
            wanted.iter().filter_map(|name| Some(value.dims[place(name)?])).collect()
        };
        for names in [&batch, &inner] {
            if extents(&a, names) != extents(&b, names) {
                return Err("its operands have different extents".to_owned());
            }
        }
        let dims = [extents(&a, &batch), extents(&a, &rows), extents(&b, &columns)].concat();
        let left = self.as_matrices(&a, [&batch, &rows, &inner]);
        let right = self.as_matrices(&b, [&batch, &inner, &columns]);
        let product = self.matmul(&left, &right)?;
        Ok((self.reshaped(&product, &dims), [batch, rows, columns].concat()))
    }

    /// One matrix for each place of the first labels, with rows and columns of the others.
    fn as_matrices(&mut self, (value, names): &Labelled, groups: [&[char]; 3]) -> Value {
        let place = |name| names.iter().position(|own| own == name);
        let order: Vec<usize> = groups.concat().iter().filter_map(place).collect();
        let turned = self.transposed(value, &order);
        let mut axes = order.iter().map(|&axis| value.dims[axis]);
        let dims = groups.map(|group| axes.by_ref().take(group.len()).product());
        self.reshaped(&turned, &dims)
    }
}

/// The labels of each operand and of the result.
fn labels(equation: &str, ranks: &[usize]) -> Known<(Vec<Vec<char>>, Vec<char>)> {
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (&*equation, None),
    };
    let mut hidden = 0;
    let mut terms = Vec::new();
    let parts: Vec<&str> = left.split(',').collect();
    if parts.len() != ranks.len() {
        return Err("its equation does not fit".to_owned());
    }
    for (part, &rank) in parts.iter().zip(ranks) {
        let named = part.chars().filter(|&c| c != '.').count();
        let open = rank.checked_sub(named).filter(|&open| open <= HIDDEN.len());
        let open = open.ok_or("its equation does not fit")?;
        hidden = hidden.max(open);
        let term = spelled(part, open);
        let repeated = |(i, name): (usize, &char)| term[..i].contains(name);
        if term.len() != rank || term.iter().enumerate().any(repeated) {
            return Err("there is no kernel for its equation".to_owned());
        }
        terms.push(term);
    }
    let result = match right {
        Some(right) => spelled(right, hidden),
        None => {
            let count = |name: char| left.chars().filter(|&c| c == name).count();
            let mut once: Vec<char> =
                left.chars().filter(|&c| c.is_alphabetic() && count(c) == 1).collect();
            once.sort_unstable();
            [spelled("...", hidden), once].concat()
        }
    };
    Ok((terms, result))
}

/// A term with the axes of its ellipsis.
fn spelled(part: &str, hidden: usize) -> Vec<char> {
    let axes: String = HIDDEN[..hidden].iter().rev().collect();
    part.replace("...", &axes).chars().collect()
}
