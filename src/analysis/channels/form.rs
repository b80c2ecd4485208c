//! Changes of form: elements keep their order, axes are split and merged.
//!
//! Both shapes fall into blocks of equal numbers of elements. Within a block each axis is a range of
//! the digits of one number, and cutting an index of an axis cuts all numbers with that digit. An axis
//! whose digits are among those of an axis of the other side can therefore be cut if that axis is cut
//! along the same digits; when several can, one is followed and the others are frozen.

use crate::analysis::Term;
use crate::analysis::channels::reason::Reason;
use crate::analysis::channels::space::{Axis, AxisId, Sets, Space};
use crate::ir::{NodeId, ValueId};

/// How often parts that leave no choice are passed over; each round leaves a state that holds.
const ROUNDS: usize = 64;

/// An axis and its digits: `(number / inner) % extent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Digits {
    axis: AxisId,
    extent: usize,
    inner: usize,
}

/// A wide axis and those of the other side that are parts of it.
#[derive(Debug, Clone)]
pub(super) struct Form {
    node: NodeId,
    wide: Digits,
    parts: Vec<Digits>,
}

impl Digits {
    /// All digits of `self` are digits of `other`, with whole numbers around them.
    fn within(&self, other: &Self) -> bool {
        self.inner.is_multiple_of(other.inner)
            && other.extent.is_multiple_of(self.inner / other.inner * self.extent)
    }

    fn apart(&self, other: &Self) -> bool {
        self.inner >= other.inner * other.extent || other.inner >= self.inner * self.extent
    }

    /// Joins each index with all indices of `wide` that have it.
    fn join(&self, wide: &Self, space: &mut Space) {
        let (from, to) = (space.axes[self.axis], space.axes[wide.axis]);
        let inner = self.inner / wide.inner;
        for j in 0..wide.extent {
            space.sets.join(from.first + j / inner % self.extent, to.first + j);
        }
    }
}

/// What a change of form from `input` to `output` says: equal axes are joined at once, splits and
/// merges are returned, to be decided when it is known what is frozen. Axes of no block are frozen.
pub(super) fn relate(
    space: &mut Space,
    node: NodeId,
    (input, output): (ValueId, ValueId),
    (from, to): (&[Term], &[Term]),
) -> Vec<Form> {
    let mut forms = Vec::new();
    let mut met = Vec::new();
    for (left, right) in blocks(from, to) {
        let left = digits(space, input, from, left);
        let right = digits(space, output, to, right);
        let (Some(left), Some(right)) = (left, right) else { continue };
        for (wide, narrow) in sides(&left, &right) {
            met.push(wide.axis);
            let parts: Vec<Digits> = narrow.iter().copied().filter(|d| d.within(&wide)).collect();
            // Of two axes that share only some digits, the inner one must stay as it is.
            let crossing = |d: &&Digits| !d.apart(&wide) && !d.within(&wide) && !wide.within(d);
            for crossing in narrow.iter().filter(crossing).filter(|d| d.inner <= wide.inner) {
                let axis = space.axes[crossing.axis];
                space.sets.freeze(&axis, Some(node), Reason::Form);
            }
            match parts[..] {
                [part] if part.extent == wide.extent => part.join(&wide, space),
                // It is itself a part of a wider axis.
                [] if narrow.iter().any(|d| wide.within(d)) => {}
                [] => space.sets.freeze(&space.axes[wide.axis].clone(), Some(node), Reason::Form),
                _ => forms.push(Form { node, wide, parts }),
            }
        }
    }
    for axis in space.axes_of(input).chain(space.axes_of(output)).collect::<Vec<_>>() {
        if !met.contains(&axis) {
            let axis = space.axes[axis];
            space.sets.freeze(&axis, Some(node), Reason::Form);
        }
    }
    forms
}

/// Each axis of one side with all axes of the other.
fn sides<'a>(
    left: &'a [Digits],
    right: &'a [Digits],
) -> impl Iterator<Item = (Digits, &'a [Digits])> {
    let of = |these: &'a [Digits], others: &'a [Digits]| these.iter().map(move |&d| (d, others));
    of(left, right).chain(of(right, left))
}

/// Ranges of axes of both sides that hold equally many elements.
fn blocks(from: &[Term], to: &[Term]) -> Vec<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut cuts = vec![(0, 0)];
    // From the front, and, behind an extent that is not known, from the back.
    let products = |dims: &[Term]| {
        let mut product = Term::ONE;
        let mut all = Vec::with_capacity(dims.len());
        for dim in dims {
            product = &product * dim;
            all.push(product.clone());
        }
        all
    };
    let reversed = |dims: &[Term]| dims.iter().rev().cloned().collect::<Vec<_>>();
    let equal = |a: &[Term], b: &[Term]| {
        let (a, b) = (products(a), products(b));
        let mut equal = Vec::new();
        for (i, x) in a.iter().enumerate().filter(|(_, x)| x.is_determined()) {
            equal
                .extend(b.iter().enumerate().filter(|(_, y)| *y == x).map(|(j, _)| (i + 1, j + 1)));
        }
        equal
    };
    cuts.extend(equal(from, to));
    let back = equal(&reversed(from), &reversed(to));
    cuts.extend(back.into_iter().map(|(i, j)| (from.len() - i, to.len() - j)));
    cuts.push((from.len(), to.len()));
    cuts.sort_unstable();
    // Of cuts around extents of 1 any will do, as long as both sides go forward.
    let mut chosen = vec![(0, 0)];
    for cut in cuts {
        let last = chosen[chosen.len() - 1];
        if cut.0 >= last.0 && cut.1 >= last.1 && cut != last {
            chosen.push(cut);
        }
    }
    chosen.windows(2).map(|pair| (pair[0].0..pair[1].0, pair[0].1..pair[1].1)).collect()
}

/// The axes of a block without those of extent 1; nothing when one is not followed.
fn digits(
    space: &Space,
    value: ValueId,
    dims: &[Term],
    block: std::ops::Range<usize>,
) -> Option<Vec<Digits>> {
    let mut inner = 1usize;
    let mut all = Vec::new();
    for axis in block.rev() {
        let extent = dims[axis].extent()?;
        if extent == 1 {
            continue;
        }
        all.push(Digits { axis: space.axis(value, axis)?, extent, inner });
        inner = inner.checked_mul(extent)?;
    }
    all.reverse();
    Some(all)
}

/// What the parts are ordered by when one must be chosen: the largest first.
fn rank(sets: &mut Sets, axes: &[Axis], part: &Digits, heads: bool) -> (bool, usize) {
    let axis = &axes[part.axis];
    let batch = sets.is_batch(axis.first);
    // Of two that count products (heads of keys, and queries of each), the outer one has the weights.
    (batch == heads, if batch { 0 } else { sets.choices(axis) })
}

/// Decides the forms in order: of the parts that are free, one is followed, the others are frozen.
/// The part that counts products of a batch (attention heads) comes first, unless `heads` is false, then the one with
/// the most indices to choose from. A part that leaves no choice after all is passed over.
pub(super) fn decide(space: &mut Space, forms: &[Form], heads: bool) {
    // A batch that is put together of several axes is one in each of them.
    for form in forms.iter().rev() {
        if space.sets.is_batch(space.axes[form.wide.axis].first) {
            form.parts.iter().for_each(|part| space.sets.mark_batch(&space.axes[part.axis]));
        }
    }
    let start = space.sets.clone();
    let mut passed: Vec<Vec<AxisId>> = vec![Vec::new(); forms.len()];
    for _ in 0..ROUNDS {
        space.sets = start.clone();
        let followed: Vec<Option<(Digits, bool)>> = forms
            .iter()
            .zip(&passed)
            .map(|(form, passed)| form.follow(space, passed, heads))
            .collect();
        let mut again = false;
        for ((form, followed), passed) in forms.iter().zip(followed).zip(&mut passed) {
            let Some((part, true)) = followed else { continue };
            let axis = space.axes[part.axis];
            if space.sets.choices(&axis) < 2 && passed.len() + 1 < form.parts.len() {
                passed.push(part.axis);
                again = true;
                break;
            }
        }
        if !again {
            return;
        }
    }
}

impl Form {
    /// Follows one part; returns it, and whether there were others to choose from.
    fn follow(&self, space: &mut Space, passed: &[AxisId], heads: bool) -> Option<(Digits, bool)> {
        let Space { axes, sets, .. } = &mut *space;
        let mut free: Vec<Digits> = self.parts.clone();
        free.retain(|part| !passed.contains(&part.axis) && sets.choices(&axes[part.axis]) > 1);
        free.sort_by_key(|part| std::cmp::Reverse(rank(sets, axes, part, heads)));
        for part in self.parts.iter().filter(|part| Some(*part) != free.first()) {
            sets.freeze(&axes[part.axis], Some(self.node), Reason::Factor);
        }
        match free.first() {
            Some(part) => part.join(&self.wide, space),
            // Its parts say why.
            None => {
                let first = self.parts.first().map(|part| axes[part.axis].first);
                let known = first.and_then(|element| sets.frozen(element));
                let known = known.map(|number| sets.reasons[number].clone());
                let (node, reason) = known
                    .map_or((Some(self.node), Reason::Form), |frozen| (frozen.node, frozen.reason));
                sets.freeze(&axes[self.wide.axis], node, reason);
            }
        }
        free.first().map(|&part| (part, free.len() > 1))
    }
}
