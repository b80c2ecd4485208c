//! Tables and scales that cost weights the least.

use rayon::prelude::*;

use super::centroids;
use crate::math::rounding::Points;

/// What a table may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// So many numbers, whatever suits.
    Free(usize),
    /// -1, 0 and 1.
    Ternary,
    /// -1 and 1.
    Binary,
}

impl Alphabet {
    /// How many numbers a table has at most.
    pub fn entries(self) -> usize {
        match self {
            Self::Free(entries) => entries,
            Self::Ternary => 3,
            Self::Binary => 2,
        }
    }

    /// What holds these numbers.
    pub fn of(numbers: &[f32]) -> Self {
        match numbers {
            [-1.0, 0.0, 1.0] => Self::Ternary,
            [-1.0, 1.0] => Self::Binary,
            _ => Self::Free(numbers.len()),
        }
    }
}

/// A weight.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// What is to be stood for.
    pub value: f64,
    /// What its squared error counts.
    pub importance: f64,
    /// The part that it shares a scale with.
    pub part: u32,
}

/// Rounds in which table and scales are fitted to each other; later ones change little.
const ROUNDS: usize = 6;

/// The table, and a scale for each of `parts`, with the least squared error of `count` weights. With a
/// free table and one part the scale is 1, and with fixed tables scales are the best of all.
///
/// Rastegari et al., "XNOR-Net", 2016; Li et al., "Ternary Weight Networks", 2016, where the threshold is
/// approximated that is searched here.
pub fn fit(
    alphabet: Alphabet,
    count: usize,
    parts: usize,
    at: impl Fn(usize) -> Member + Sync,
) -> Points {
    let numbers = match alphabet {
        Alphabet::Free(entries) => return free(entries, count, parts, at),
        Alphabet::Ternary => vec![-1.0, 0.0, 1.0],
        Alphabet::Binary => vec![-1.0, 1.0],
    };
    let mut members: Vec<Vec<(f32, f32)>> = vec![Vec::new(); parts];
    for Member { value, importance, part } in (0..count).map(&at) {
        members[part as usize].push((value.abs() as f32, importance as f32));
    }
    let best = |members: &mut Vec<(f32, f32)>| match alphabet {
        Alphabet::Ternary => best_of_largest(members),
        _ => mean(members),
    };
    Points::Table { numbers, scales: members.par_iter_mut().map(best).collect() }
}

/// The scale of least error for members that are all ±1 times it.
fn mean(members: &[(f32, f32)]) -> f32 {
    let sums = members.iter().fold((0f64, 0f64), |sums, &(x, weight)| {
        (sums.0 + f64::from(x) * f64::from(weight), sums.1 + f64::from(weight))
    });
    if sums.1 > 0.0 { (sums.0 / sums.1) as f32 } else { 0.0 }
}

/// The scale of least error where the smaller ones become 0: those above half of it stay. Of all sets of
/// the largest, that one is best for which `(Σ h x)² / Σ h` is largest.
fn best_of_largest(members: &mut [(f32, f32)]) -> f32 {
    members.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut sums, mut best) = ((0f64, 0f64), (0f64, 0f32));
    for &(x, weight) in &*members {
        sums.0 += f64::from(x) * f64::from(weight);
        sums.1 += f64::from(weight);
        let gain = if sums.1 > 0.0 { sums.0 * sums.0 / sums.1 } else { 0.0 };
        if gain > best.0 {
            best = (gain, (sums.0 / sums.1) as f32);
        }
    }
    best.1
}

fn free(entries: usize, count: usize, parts: usize, at: impl Fn(usize) -> Member + Sync) -> Points {
    let members = (0..count).map(&at);
    let single = |numbers: Vec<f64>| -> Vec<f32> {
        let mut numbers: Vec<f32> = numbers.into_iter().map(|x| x as f32).collect();
        numbers.dedup();
        numbers
    };
    if parts == 1 {
        let weighed = members.map(|member| (member.value, member.importance));
        return Points::Table { numbers: single(centroids(weighed, entries)), scales: vec![1.0] };
    }
    let mut scales = vec![0f32; parts];
    for Member { value, part, .. } in members.clone() {
        let scale = &mut scales[part as usize];
        *scale = scale.max(value.abs() as f32);
    }
    let mut numbers = Vec::new();
    for _ in 0..ROUNDS {
        let scaled = members.clone().filter_map(|member| {
            let scale = f64::from(scales[member.part as usize]);
            let relative = (member.value / scale, member.importance * scale * scale);
            (scale > 0.0).then_some(relative)
        });
        numbers = single(centroids(scaled, entries));
        if numbers.is_empty() {
            break;
        }
        let points = Points::Table { numbers: numbers.clone(), scales: scales.clone() };
        scales = rescaled(&points, count, parts, &at);
    }
    if numbers.is_empty() {
        numbers.push(0.0);
    }
    Points::Table { numbers, scales }
}

/// The scales of least error when each weight keeps the number of the table that is nearest now.
fn rescaled(points: &Points, count: usize, parts: usize, at: impl Fn(usize) -> Member) -> Vec<f32> {
    let Points::Table { numbers, scales } = points else { return Vec::new() };
    let mut sums = vec![(0f64, 0f64); parts];
    for Member { value, importance, part } in (0..count).map(at) {
        let number = f64::from(numbers[points.nearest(part, value) as usize]);
        let sums = &mut sums[part as usize];
        *sums = (sums.0 + importance * value * number, sums.1 + importance * number * number);
    }
    let scale = |(&(product, square), &old): (&(f64, f64), &f32)| {
        let fitted = (product / square) as f32;
        if square > 0.0 && fitted.is_normal() && fitted > 0.0 { fitted } else { old }
    };
    sums.iter().zip(scales).map(scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(x: f64) -> Member {
        Member { value: x, importance: 1.0, part: 0 }
    }

    fn scale(points: Points) -> f32 {
        match points {
            Points::Table { scales, .. } => scales[0],
            Points::Grids(_) => 0.0,
        }
    }

    fn error(points: &Points, members: &[Member]) -> f64 {
        let moved = |m: &Member| points.point(m.part, points.nearest(m.part, m.value)) - m.value;
        members.iter().map(|m| m.importance * moved(m).powi(2)).sum()
    }

    #[test]
    fn the_scale_of_signs_is_their_mean() {
        let x = [0.5, -1.5, 1.0, -1.0];
        assert_eq!(scale(fit(Alphabet::Binary, 4, 1, |i| member(x[i]))), 1.0);
    }

    #[test]
    fn no_other_scale_of_three_numbers_is_better() {
        let members: Vec<Member> = (0..97)
            .map(|i| Member {
                importance: 1.0 + f64::from(i % 4),
                ..member((f64::from(i * 31 % 97) / 48.0 - 1.0).powi(3))
            })
            .collect();
        let found = fit(Alphabet::Ternary, members.len(), 1, |i| members[i]);
        let least = error(&found, &members);
        for step in 1..400 {
            let scales = vec![step as f32 / 400.0];
            let other = Points::Table { numbers: vec![-1.0, 0.0, 1.0], scales };
            assert!(least <= error(&other, &members) + 1e-9);
        }
    }

    #[test]
    fn a_table_with_scales_fits_parts_of_all_sizes() {
        let members: Vec<Member> = (0..400u32)
            .map(|i| Member {
                part: i / 100,
                ..member(10f64.powi((i / 100) as i32) * f64::from(i * 7 % 9) / 9.0)
            })
            .collect();
        let found = fit(Alphabet::Free(16), 400, 4, |i| members[i]);
        assert!(error(&found, &members) < 1e-6, "{found:?}");
        // Parts of zeros have no scale, and nothing but zeros is a table of one.
        let zeros = fit(Alphabet::Free(4), 8, 2, |i| Member { part: i as u32 / 4, ..member(0.0) });
        assert_eq!(zeros, Points::Table { numbers: vec![0.0], scales: vec![0.0; 2] });
    }
}
