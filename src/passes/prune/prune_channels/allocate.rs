//! How many orbits of each group stay, so that the model costs no more than it may.

use rayon::prelude::*;

use crate::passes::prune::prune_channels::choose::Stock;
use crate::passes::prune::prune_channels::cost::CostModel;

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

/// Numbers that cost at most `most`, or as little as may be, and lose as little as can be found: step by
/// step less of the group that loses least for what it saves, and then, for as long as that loses
/// less in all, a group gets a step back and others give for it.
pub(super) fn least(stocks: &[Stock], costs: CostModel, most: f64, loss: Loss<'_>) -> Vec<usize> {
    let whole: Vec<usize> = stocks.iter().map(|stock| stock.at(1.0)).collect();
    let mut plan = Plan { stocks, costs, counts: whole, loss };
    for (group, (stock, &left)) in stocks.iter().zip(&plan.counts).enumerate() {
        plan.costs.take(group, stock.all - left);
    }
    plan.lower(most, None);
    plan.refill(most);
    while let Some(better) = plan.better(most) {
        plan = better;
    }
    plan.counts
}

/// Least share of all losses that a change of plan must gain: less is rounding.
const WORTH: f64 = 1e-3;

/// How many orbits of each group stay.
#[derive(Clone)]
struct Plan<'a> {
    stocks: &'a [Stock],
    costs: CostModel,
    counts: Vec<usize>,
    loss: Loss<'a>,
}

impl Plan<'_> {
    fn loss(&self) -> f64 {
        self.counts.iter().enumerate().map(|(group, &left)| (self.loss)(group, left)).sum()
    }

    fn set(&mut self, group: usize, left: usize) {
        let now = std::mem::replace(&mut self.counts[group], left);
        match left < now {
            true => self.costs.take(group, now - left),
            false => self.costs.give_back(group, left - now),
        }
    }

    /// The plan that loses least of those in which one group has a step more, or all it had.
    fn better(&self, most: f64) -> Option<Self> {
        let fitting = self.costs.total() <= most;
        let plans = (0..self.stocks.len()).into_par_iter().flat_map_iter(|group| {
            let stock = self.stocks[group];
            let mut more: Vec<usize> = stock.above(self.counts[group]).into_iter().collect();
            more.extend(
                Some(stock.at(1.0)).filter(|whole| more.first().is_some_and(|next| next < whole)),
            );
            more.into_iter().map(move |left| {
                let mut plan = self.clone();
                plan.set(group, left);
                plan.lower(most, Some(group));
                plan.refill(most);
                plan
            })
        });
        let best = plans
            .filter(|plan| fitting && plan.costs.total() <= most)
            .map(|plan| (plan.loss(), plan))
            .collect::<Vec<_>>()
            .into_iter()
            .min_by(|a, b| a.0.total_cmp(&b.0));
        best.filter(|(loss, _)| *loss < (1.0 - WORTH) * self.loss()).map(|(_, plan)| plan)
    }

    /// Step by step less of the group that loses least for what it saves, but not of `spared`, until the
    /// cost is at most `most` or nothing may go. What a step saves follows from all steps before it.
    fn lower(&mut self, most: f64, spared: Option<usize>) {
        while self.costs.total() > most {
            let mut best: Option<(f64, usize, usize)> = None;
            for (group, stock) in self.stocks.iter().enumerate() {
                let left = self.counts[group];
                let Some(next) = stock.below(left).filter(|_| spared != Some(group)) else {
                    continue;
                };
                let saved = self.costs.saved(group, left - next);
                if saved <= 0.0 {
                    continue;
                }
                let price = ((self.loss)(group, next) - (self.loss)(group, left)).max(0.0) / saved;
                if best.is_none_or(|(least, ..)| price < least) {
                    best = Some((price, group, next));
                }
            }
            let Some((_, group, next)) = best else { break };
            self.set(group, next);
        }
    }

    /// The last step took more than it had to: what fits again comes back, where it is worth most.
    fn refill(&mut self, most: f64) {
        let mut room = most - self.costs.total();
        while room > 0.0 {
            let mut best: Option<(f64, usize, usize, f64)> = None;
            for (group, stock) in self.stocks.iter().enumerate() {
                let left = self.counts[group];
                let Some(next) = stock.above(left) else { continue };
                let more = self.costs.added(group, next - left);
                let gain = (self.loss)(group, left) - (self.loss)(group, next);
                let price = gain / more.max(f64::MIN_POSITIVE);
                if more <= room && gain > 0.0 && best.is_none_or(|(most, ..)| price > most) {
                    best = Some((price, group, next, more));
                }
            }
            let Some((_, group, next, more)) = best else { break };
            self.set(group, next);
            room -= more;
        }
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
    fn a_large_step_is_taken_back_for_small_ones_that_lose_less() {
        let stocks = [Stock::free(2), Stock::free(4)];
        let costs = CostModel::of_groups(&[(10.0, 2), (8.0, 4)]);
        let loss = |group: usize, left: usize| match group {
            0 => [9.0, 0.38, 0.0][left],
            _ => [9.0, 1.0, 0.3, 0.1, 0.0][left],
        };
        // By what it saves, half of the first group is the cheapest second step.
        assert_eq!(least(&stocks, costs.clone(), 15.0, &loss), [2, 2]);
        assert_eq!(least(&stocks, costs.clone(), 16.0, &loss), [2, 3]);
        assert_eq!(least(&stocks, costs.clone(), 18.0, &loss), [2, 4]);
        // What cannot be reached is come as near to as may be.
        assert_eq!(least(&stocks, costs, 1.0, &loss), [1, 1]);
    }

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
