//! Which orbits go.

use crate::analysis::channels::Group;

/// How many orbits of a group stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quota {
    /// Share that stays, at most 1.
    pub ratio: f64,
    /// Channels that stay are a multiple of this many.
    pub multiple: usize,
    /// Least number of channels that stay.
    pub minimum: usize,
}

impl Quota {
    /// How many orbits stay, of which `dead` give nothing: the share of what there is, rounded up,
    /// but dead ones go as far as the rounding lets them.
    pub fn left(&self, group: &Group, dead: usize) -> usize {
        let all = group.orbits.len();
        // An orbit may have several channels on an axis; counts are those of its first axis.
        let each = group.members.first().map_or(1, |member| member.indices).max(1);
        let wanted = (self.ratio.clamp(0.0, 1.0) * all as f64).ceil() as usize;
        let wanted = wanted.min(all - dead).max(self.minimum.div_ceil(each)).max(1);
        // Heads are no channels: their number need not suit vector units.
        let multiple = if group.heads { 1 } else { self.multiple.max(1) };
        let step = multiple / common(multiple, each);
        wanted.next_multiple_of(step.max(1)).min(all)
    }
}

fn common(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common(b, a % b) }
}

/// The orbits that go: the least important ones, dead ones first, of equal ones the last.
pub(super) fn lowest(scores: &[f64], dead: &[bool], left: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| {
        let by_score = scores[a].total_cmp(&scores[b]);
        dead[b].cmp(&dead[a]).then(by_score).then(b.cmp(&a))
    });
    order.truncate(scores.len().saturating_sub(left));
    order.sort_unstable();
    order
}
