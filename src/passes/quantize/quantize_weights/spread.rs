//! Which width each layer gets, so that all weights together cost no more than they may.

use crate::math::allocate::{Choice, allocate};

/// A width that a layer may get.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WidthCost {
    /// What its weights cost then, in whatever unit a budget counts.
    pub cost: f64,
    /// Noise that this brings; that of layers adds up.
    pub noise: f64,
}

/// For each layer the width with which noise is least while costs add up to at most `most`, as lower convex hulls
/// tell it; `None` where it stays in float, which costs `wholes` and which `float` allows. And whether the costs are
/// met.
pub fn spread_widths(
    wholes: &[f64],
    widths: &[Vec<WidthCost>],
    float: bool,
    most: f64,
) -> (Vec<Option<usize>>, bool) {
    // Where layers must be narrowed, all start from what costs most.
    let first = |widths: &Vec<WidthCost>| -> Option<usize> {
        let costs = widths.iter().map(|width| width.cost).enumerate();
        costs.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at).filter(|_| !float)
    };
    let firsts: Vec<Option<usize>> = widths.iter().map(first).collect();
    let start = |i: usize| match firsts[i] {
        Some(at) => widths[i][at],
        None => WidthCost { cost: wholes[i], noise: 0.0 },
    };
    let costs: Vec<f64> = (0..widths.len()).map(|i| start(i).cost).collect();
    let choices = |(i, widths): (usize, &Vec<WidthCost>)| {
        let least = start(i).noise;
        let choice = |w: &WidthCost| Choice { cost: w.cost, loss: (w.noise - least).max(0.0) };
        widths.iter().map(choice).collect()
    };
    let choices: Vec<Vec<Choice>> = widths.iter().enumerate().map(choices).collect();
    let found = allocate(&costs, &choices, most);
    let found: Vec<Option<usize>> = found.into_iter().zip(firsts).map(|(a, b)| a.or(b)).collect();
    let cost = |(i, at): (usize, &Option<usize>)| at.map_or(wholes[i], |at| widths[i][at].cost);
    let total: f64 = found.iter().enumerate().map(cost).sum();
    (found, total <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_spread_and_float_is_a_choice() {
        let widths = |noise: [f64; 2]| {
            vec![WidthCost { cost: 8.0, noise: noise[0] }, WidthCost { cost: 4.0, noise: noise[1] }]
        };
        let layers = [widths([0.1, 1.0]), widths([0.1, 9.0])];
        let at = |float, most| spread_widths(&[32.0, 32.0], &layers, float, most);
        assert_eq!(at(true, 64.0), (vec![None, None], true));
        assert_eq!(at(true, 40.0), (vec![Some(0), None], true));
        assert_eq!(at(true, 12.0), (vec![Some(1), Some(0)], true));
        assert_eq!(at(false, 64.0), (vec![Some(0), Some(0)], true));
        assert_eq!(at(false, 12.0), (vec![Some(1), Some(0)], true));
        assert_eq!(at(true, 7.0), (vec![Some(1), Some(1)], false));
    }
}
