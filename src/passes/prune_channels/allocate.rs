//! How many orbits of each group stay, so that the model costs no more than it may.

use crate::passes::prune_channels::choose::Stock;
use crate::passes::prune_channels::cost::CostModel;

/// What is lost when so many orbits of a group stay: the group, and the number.
pub type Loss<'a> = &'a (dyn Fn(usize, usize) -> f64 + Sync);

/// Halvings of an interval of shares: more than any number of channels can tell apart.
const HALVINGS: usize = 24;

/// The same share of each group, the largest with which the cost is at most `most`.
pub(super) fn uniform(stocks: &[Stock], costs: &CostModel, most: f64) -> Vec<usize> {
    let counts =
        |share: f64| -> Vec<usize> { stocks.iter().map(|stock| stock.at_least(share)).collect() };
    let fits = |share: f64| {
        let mut costs = costs.clone();
        let counts = counts(share).into_iter().zip(stocks).enumerate();
        counts.for_each(|(group, (left, stock))| costs.take(group, stock.all - left));
        costs.total() <= most
    };
    if fits(1.0) {
        return counts(1.0);
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if fits(middle) { low = middle } else { high = middle }
    }
    counts(low)
}

/// Step by step less of the group that loses least for what it saves, until the cost is at most `most`
/// or nothing may go. What a step saves follows from all steps before it.
pub(super) fn greedy(
    stocks: &[Stock],
    mut costs: CostModel,
    most: f64,
    loss: Loss<'_>,
) -> Vec<usize> {
    let mut counts: Vec<usize> = stocks.iter().map(|stock| stock.at(1.0)).collect();
    for (group, (stock, &left)) in stocks.iter().zip(&counts).enumerate() {
        costs.take(group, stock.all - left);
    }
    while costs.total() > most {
        let mut best: Option<(f64, usize, usize)> = None;
        for (group, stock) in stocks.iter().enumerate() {
            let left = counts[group];
            let Some(next) = stock.below(left) else { continue };
            let saved = costs.saved(group, left - next);
            if saved <= 0.0 {
                continue;
            }
            let price = (loss(group, next) - loss(group, left)).max(0.0) / saved;
            if best.is_none_or(|(least, ..)| price < least) {
                best = Some((price, group, next));
            }
        }
        let Some((_, group, next)) = best else { break };
        costs.take(group, counts[group] - next);
        counts[group] = next;
    }
    refill(stocks, &mut costs, most, loss, &mut counts);
    counts
}

/// The last step took more than it had to: what fits again comes back, where it is worth most.
fn refill(
    stocks: &[Stock],
    costs: &mut CostModel,
    most: f64,
    loss: Loss<'_>,
    counts: &mut [usize],
) {
    let mut room = most - costs.total();
    while room > 0.0 {
        let mut best: Option<(f64, usize, usize, f64)> = None;
        for (group, stock) in stocks.iter().enumerate() {
            let left = counts[group];
            let Some(next) = stock.above(left) else { continue };
            let more = costs.added(group, next - left);
            let gain = loss(group, left) - loss(group, next);
            let price = gain / more.max(f64::MIN_POSITIVE);
            if more <= room && gain > 0.0 && best.is_none_or(|(most, ..)| price > most) {
                best = Some((price, group, next, more));
            }
        }
        let Some((_, group, next, more)) = best else { break };
        costs.give_back(group, next - counts[group]);
        counts[group] = next;
        room -= more;
    }
}

/// For each number of orbits that may stay, `-ln` of the share of the importance that stays with them.
/// `order` is that in which they go.
pub(super) fn losses(scores: &[f64], order: &[usize]) -> Vec<f64> {
    let mut kept = 0.0;
    let mut losses: Vec<f64> = vec![f64::INFINITY; scores.len() + 1];
    for (left, &orbit) in (1..).zip(order.iter().rev()) {
        kept += scores[orbit].max(0.0);
        losses[left] = kept;
    }
    for (left, loss) in losses.iter_mut().enumerate().skip(1) {
        // Where nothing is known, all matter alike.
        let share = if kept > 0.0 { *loss / kept } else { left as f64 / scores.len() as f64 };
        *loss = -share.ln();
    }
    losses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_logarithms_of_what_stays() {
        let found = losses(&[1.0, 4.0, 3.0], &[0, 2, 1]);
        let expected = [f64::INFINITY, 2f64.ln(), (8f64 / 7.0).ln(), 0.0];
        assert!(
            found.iter().zip(expected).all(|(a, b)| a == &b || (a - b).abs() < 1e-12),
            "{found:?}"
        );
        assert!((losses(&[0.0, 0.0], &[0, 1])[1] - 2f64.ln()).abs() < 1e-12);
    }
}
