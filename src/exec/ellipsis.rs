//! Einsum with an ellipsis, which tract reads as one axis: labels take its place.

use crate::analysis::{Assume, Shapes};
use crate::ir::{Attribute, Model, Node, NodeId};

/// Names the axes behind every ellipsis whose number is known.
pub(super) fn spell_out(view: &mut Model) {
    let hides = |&node: &NodeId| equation(view.node(node)).is_some_and(|text| text.contains("..."));
    let nodes: Vec<NodeId> = view.all_nodes().into_iter().filter(hides).collect();
    if nodes.is_empty() {
        return;
    }
    let shapes = Shapes::infer(view, &Assume::default());
    for id in nodes {
        let node = view.node(id);
        let ranks = node.inputs().iter().map(|input| shapes.rank((*input)?));
        let ranks: Option<Vec<usize>> = ranks.collect();
        let named = ranks.and_then(|ranks| labelled(equation(node)?, &ranks));
        if let Some(named) = named {
            view.set_attr(id, Attribute::new("equation", named.as_str()));
        }
    }
}

fn equation(node: &Node) -> Option<&str> {
    node.attr_str("equation").filter(|_| node.is("Einsum"))
}

/// The equation with labels for the axes behind ellipses: operands of fewer have the last ones.
fn labelled(equation: &str, ranks: &[usize]) -> Option<String> {
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = equation.split_once("->")?;
    let terms: Vec<&str> = left.split(',').collect();
    let hidden = |(term, &rank): (&&str, &usize)| match term.contains("...") {
        false => Some(0),
        true => rank.checked_sub(term.len() - "...".len()),
    };
    let counts: Option<Vec<usize>> = terms.iter().zip(ranks).map(hidden).collect();
    let counts = counts.filter(|counts| counts.len() == terms.len())?;
    let most = counts.iter().copied().max()?;
    let free: String = ('A'..='Z').filter(|&c| !equation.contains(c)).take(most).collect();
    if free.len() < most {
        return None;
    }
    let of = |count: usize| &free[most - count..];
    let terms = terms.iter().zip(&counts).map(|(term, &count)| term.replace("...", of(count)));
    Some(format!("{}->{}", terms.collect::<Vec<_>>().join(","), right.replace("...", of(most))))
}

#[cfg(test)]
mod tests {
    use super::labelled;

    #[test]
    fn axes_behind_an_ellipsis_get_labels() {
        assert_eq!(labelled("...d, df -> ...f", &[4, 2]).unwrap(), "ABCd,df->ABCf");
        assert_eq!(labelled("...ij,...jk->...ik", &[3, 4]).unwrap(), "Bij,ABjk->ABik");
        assert_eq!(labelled("...A,A->...", &[2, 1]).unwrap(), "BA,A->B");
        assert!(labelled("...d,df", &[4, 2]).is_none());
        assert!(labelled("...dd,df->...f", &[1, 2]).is_none());
    }
}
