//! What taking inputs away from linear layers costs, when the others make up for them.
//!
//! Hassibi and Stork, "Second Order Derivatives for Network Pruning: Optimal Brain Surgeon", 1992, for blocks of
//! columns as in Kurtić et al., "ZipLM: Inference-Aware Structured Pruning of Language Models", 2023. With `H⁻¹` the
//! inverse of the covariance of the inputs, taking the columns `M` away costs
//! `Σ_i w_iM [H⁻¹_MM]⁻¹ w_iMᵀ` of squared error, once the rest is fitted: `W -= W_M [H⁻¹_MM]⁻¹ H⁻¹_M:`.

use faer::linalg::solvers::{DenseSolveCore, Llt};
use faer::{Mat, Side};

/// A linear layer, or one of its groups, that reads what is to be taken away.
#[derive(Debug, Clone, PartialEq)]
pub struct Reader {
    /// Inputs.
    pub columns: usize,
    /// Row by row.
    pub weights: Vec<f64>,
    /// Of its inputs.
    pub covariance: Vec<f64>,
    /// For each candidate the columns that go with it.
    pub blocks: Vec<Vec<usize>>,
    /// Factor of its squared errors.
    pub weight: f64,
}

impl Reader {
    /// Sum of the variances of its outputs.
    pub fn variance(&self) -> f64 {
        super::quadratic(&self.weights, self.columns, &self.covariance)
    }
}

/// State of a reader from which some columns are gone.
struct State {
    reader: Reader,
    inverse: Mat<f64>,
    weights: Mat<f64>,
}

impl State {
    fn of(reader: Reader, damping: f64) -> Option<Self> {
        let n = reader.columns;
        let trace: f64 = (0..n).map(|i| reader.covariance[i * (n + 1)]).sum();
        let damping = (damping * trace / n.max(1) as f64).max(f64::MIN_POSITIVE);
        let damped = Mat::from_fn(n, n, |i, j| {
            reader.covariance[i * n + j] + if i == j { damping } else { 0.0 }
        });
        let inverse = Llt::new(damped.as_ref(), Side::Lower).ok()?.inverse();
        let rows = reader.weights.len() / n.max(1);
        let weights = Mat::from_fn(rows, n, |i, j| reader.weights[i * n + j]);
        Some(Self { reader, inverse, weights })
    }

    /// `[H⁻¹_MM]⁻¹`.
    fn curvature(&self, block: &[usize]) -> Option<Mat<f64>> {
        let n = block.len();
        let part = Mat::from_fn(n, n, |i, j| self.inverse[(block[i], block[j])]);
        Some(Llt::new(part.as_ref(), Side::Lower).ok()?.inverse())
    }

    fn cost(&self, candidate: usize) -> f64 {
        let block = &self.reader.blocks[candidate];
        if block.is_empty() {
            return 0.0;
        }
        let Some(curvature) = self.curvature(block) else { return f64::INFINITY };
        let mut cost = 0.0;
        // `Σ_i w_iM K w_iMᵀ` is the product of `K` and `W_Mᵀ W_M`, element by element.
        for (a, &p) in block.iter().enumerate() {
            for (b, &q) in block.iter().enumerate().take(a + 1) {
                let (left, right) = (self.weights.col(p), self.weights.col(q));
                let dot: f64 = left.iter().zip(right.iter()).map(|(x, y)| x * y).sum();
                cost += curvature[(a, b)] * dot * if a == b { 1.0 } else { 2.0 };
            }
        }
        self.reader.weight * cost.max(0.0)
    }

    fn remove(&mut self, candidate: usize) {
        let block = self.reader.blocks[candidate].clone();
        let Some(curvature) = self.curvature(&block).filter(|_| !block.is_empty()) else { return };
        let n = self.reader.columns;
        let rows = Mat::from_fn(block.len(), n, |i, j| self.inverse[(block[i], j)]);
        let scaled = &curvature * &rows;
        let read =
            Mat::from_fn(self.weights.nrows(), block.len(), |i, j| self.weights[(i, block[j])]);
        self.weights -= &read * &scaled;
        self.inverse -= rows.transpose() * &scaled;
        for &gone in &block {
            self.weights.col_mut(gone).fill(0.0);
            // A column that is gone has a curvature, so that a block that shares it has one.
            for j in 0..n {
                (self.inverse[(gone, j)], self.inverse[(j, gone)]) = (0.0, 0.0);
            }
            self.inverse[(gone, gone)] = 1.0;
        }
    }
}

/// The candidates in the order in which they are best taken away, one after the other: for each, what it
/// costs beside those that went before it. No less than what those cost, so that the order is that of
/// the costs. `damping` is added to the variances, in units of their mean.
pub fn removal_costs(readers: Vec<Reader>, candidates: usize, damping: f64) -> Vec<f64> {
    let mut states: Vec<State> =
        readers.into_iter().filter_map(|reader| State::of(reader, damping)).collect();
    let mut costs = vec![0.0; candidates];
    let mut left: Vec<usize> = (0..candidates).collect();
    let mut last = 0.0f64;
    while !left.is_empty() {
        let cost =
            |&candidate: &usize| -> f64 { states.iter().map(|state| state.cost(candidate)).sum() };
        let now: Vec<f64> = left.iter().map(cost).collect();
        // Of equal ones the last goes first.
        let Some(at) = (0..left.len()).rev().min_by(|&a, &b| now[a].total_cmp(&now[b])) else {
            break;
        };
        let candidate = left.remove(at);
        // Equal costs would lose the order.
        last = now[at].max(last * (1.0 + 1e-9));
        costs[candidate] = last;
        states.iter_mut().for_each(|state| state.remove(candidate));
    }
    costs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_replace_costs_nothing() {
        // Inputs 0 and 1 are the same, 2 is independent and hardly read, 3 is independent.
        let covariance =
            vec![1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let weights = vec![5.0, 5.0, 0.1, 1.0];
        let blocks = (0..4).map(|i| vec![i]).collect();
        let reader = Reader { columns: 4, weights, covariance, blocks, weight: 1.0 };
        let costs = removal_costs(vec![reader], 4, 1e-9);
        assert!(costs[1] < 1e-6, "{costs:?}");
        assert!((costs[2] - 0.01).abs() < 1e-6, "{costs:?}");
        assert!((costs[3] - 1.0).abs() < 1e-6, "{costs:?}");
        assert!((costs[0] - 100.0).abs() < 1e-4, "{costs:?}");
    }
}
