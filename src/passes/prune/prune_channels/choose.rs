//! How many orbits of a group may stay, and which ones go.

use crate::analysis::channels::Group;

/// What bounds the number of orbits of a group that stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quota {
    /// Channels that stay are a multiple of this many.
    pub multiple: usize,
    /// Least number of channels that stay.
    pub minimum: usize,
    /// Least share that stays when a budget is spread.
    pub floor: f64,
}

/// The numbers of orbits that may stay in one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stock {
    /// Orbits.
    pub all: usize,
    /// Those that give nothing.
    dead: usize,
    /// What stays is a multiple of this many, or all.
    step: usize,
    /// Least number that stays, by what the user says of channels.
    minimum: usize,
    /// Least number that stays when a budget is spread.
    floor: usize,
}

impl Quota {
    /// The numbers for a group of which `dead` orbits give nothing.
    pub fn stock(&self, group: &Group, dead: usize) -> Stock {
        let all = group.orbits.len();
        // An orbit may have several channels on an axis; counts are those of its first axis.
        let each = group.members.first().map_or(1, |member| member.indices).max(1);
        // Heads are no channels: their number need not suit vector units.
        let multiple = if group.heads { 1 } else { self.multiple.max(1) };
        let step = multiple / common(multiple, each);
        let minimum = self.minimum.div_ceil(each).max(1);
        let floor = (self.floor.clamp(0.0, 1.0) * all as f64).ceil() as usize;
        Stock { all, dead, step: step.max(1), minimum, floor: floor.max(minimum) }
    }
}

impl Stock {
    /// A group of which nothing goes.
    pub fn whole(group: &Group) -> Self {
        let all = group.orbits.len();
        Self { all, dead: 0, step: 1, minimum: all, floor: all }
    }

    /// A group of which any number may stay.
    #[cfg(test)]
    pub fn free(all: usize) -> Self {
        Self { all, dead: 0, step: 1, minimum: 1, floor: 1 }
    }

    /// How many stay when a share does: rounded up, but dead ones go as far as the rounding lets them.
    pub fn at(&self, share: f64) -> usize {
        let wanted = (share.clamp(0.0, 1.0) * self.all as f64).ceil() as usize;
        self.rounded(wanted.min(self.all - self.dead).max(self.minimum))
    }

    /// The same, but never below the floor.
    pub fn at_least(&self, share: f64) -> usize {
        self.at(share).max(self.rounded(self.floor).min(self.at(1.0)))
    }

    /// The next smaller number above the floor.
    pub fn below(&self, left: usize) -> Option<usize> {
        let next = left.checked_sub(1)? / self.step * self.step;
        (next >= self.floor && next > 0).then_some(next)
    }

    /// The next larger number that is no more than what is not dead.
    pub fn above(&self, left: usize) -> Option<usize> {
        let most = self.at(1.0);
        let next = (left / self.step + 1).checked_mul(self.step)?.min(most);
        (next > left).then_some(next)
    }

    fn rounded(&self, wanted: usize) -> usize {
        wanted.next_multiple_of(self.step).min(self.all)
    }
}

fn common(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common(b, a % b) }
}

/// The orbits in the order in which they go: the least important first, dead ones before, of equal ones
/// the last.
pub(super) fn order(scores: &[f64], dead: &[bool]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| {
        let by_score = scores[a].total_cmp(&scores[b]);
        dead[b].cmp(&dead[a]).then(by_score).then(b.cmp(&a))
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_a_multiple_above_the_floor() {
        let stock = Stock { all: 20, dead: 1, step: 8, minimum: 1, floor: 5 };
        assert_eq!([1.0, 0.8, 0.4, 0.0].map(|share| stock.at(share)), [20, 16, 8, 8]);
        assert_eq!((stock.below(20), stock.below(16), stock.below(8)), (Some(16), Some(8), None));
        assert_eq!((stock.above(8), stock.above(16), stock.above(20)), (Some(16), Some(20), None));
        let fine = Stock { step: 1, dead: 3, ..stock };
        assert_eq!((fine.at(1.0), fine.at(0.0), fine.at_least(0.0)), (17, 1, 5));
        assert_eq!((fine.below(6), fine.below(5)), (Some(5), None));
    }

    #[test]
    fn dead_ones_go_first_and_of_equals_the_last() {
        let order = order(&[2.0, 1.0, 1.0, 5.0], &[false, false, false, true]);
        assert_eq!(order, [3, 2, 1, 0]);
    }
}
