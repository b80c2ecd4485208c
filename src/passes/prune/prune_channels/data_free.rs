//! Importances that follow from the weights alone, beside their norms.

use std::collections::BTreeSet;

use crate::analysis::channels::{AxisId, Channels, Group};
use crate::analysis::constant;
use crate::ir::Model;
use crate::ir::ops::BatchNorm;
use crate::passes::prune::prune_channels::PruneChannels;
use crate::passes::prune::prune_channels::score::{Importance, Norms, scores, weight};

/// The importance of each orbit of a group.
///
/// # Errors
/// Why the group has none.
pub(super) fn importances(
    model: &Model,
    channels: &Channels,
    norms: &Norms,
    group: &Group,
    pass: &PruneChannels,
) -> Result<Vec<f64>, String> {
    let found = match pass.importance {
        Importance::Fpgm => distances(model, channels, group),
        Importance::BnScale => return bn_scale(model, channels, group).map(normalised),
        Importance::Lamp => lamp(&scores(norms, group, Importance::L2, pass.seed)),
        importance => return Ok(scores(norms, group, importance, pass.seed)),
    };
    Ok(normalised(found))
}

/// Divided by the mean, so that groups compare.
fn normalised(scores: Vec<f64>) -> Vec<f64> {
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let scale = if mean > 0.0 && mean.is_finite() { mean } else { 1.0 };
    scores.into_iter().map(|score| score / scale).collect()
}

/// Squares over the sum of all squares that are no smaller (Lee et al., "Layer-adaptive Sparsity for the
/// Magnitude-based Pruning", 2021, equation 1, with orbits for weights).
fn lamp(squares: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..squares.len()).collect();
    order.sort_by(|&a, &b| squares[a].total_cmp(&squares[b]).then(b.cmp(&a)));
    let mut rest = 0.0;
    let mut scores = vec![0.0; squares.len()];
    for &i in order.iter().rev() {
        rest += squares[i];
        scores[i] = if rest > 0.0 { squares[i] / rest } else { 0.0 };
    }
    scores
}

/// Sum of the distances to all other orbits of the group, in the weights that make them (He et al.,
/// "Filter Pruning via Geometric Median", 2019): what lies in the middle, others can stand for.
fn distances(model: &Model, channels: &Channels, group: &Group) -> Vec<f64> {
    let operands = channels.contractions.iter().flat_map(|sum| &sum.operands);
    let summed: BTreeSet<AxisId> = operands.filter_map(|operand| operand.id).collect();
    let axes: Vec<AxisId> = group.members.iter().map(|member| member.axis).collect();
    let makes = |axis: &&AxisId| !summed.contains(axis);
    let making = filters(model, channels, group, axes.iter().filter(makes));
    let filters = match making.iter().all(Vec::is_empty) {
        true => filters(model, channels, group, axes.iter()),
        false => making,
    };
    let mut sums = vec![0.0; filters.len()];
    for i in 0..filters.len() {
        for j in 0..i {
            let pairs = filters[i].iter().zip(&filters[j]);
            let squares: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
            sums[i] += squares.sqrt();
            sums[j] += squares.sqrt();
        }
    }
    sums
}

/// For each orbit all weights that it has on these axes.
fn filters<'a>(
    model: &Model,
    channels: &Channels,
    group: &Group,
    axes: impl Iterator<Item = &'a AxisId>,
) -> Vec<Vec<f32>> {
    let mut filters = vec![Vec::new(); group.orbits.len()];
    for &id in axes {
        let axis = &channels.axes[id];
        let Some(tensor) = weight(model, axis.value).filter(|tensor| tensor.dims().len() > 1)
        else {
            continue;
        };
        let Ok(elements) = tensor.to_f32() else { continue };
        let inner: usize = tensor.dims()[axis.axis + 1..].iter().product();
        for (filter, orbit) in filters.iter_mut().zip(&group.orbits) {
            for index in orbit.on(id) {
                let rows = elements.chunks(axis.extent * inner);
                let runs = rows.filter_map(|row| row.get(index * inner..(index + 1) * inner));
                runs.for_each(|run| filter.extend(run));
            }
        }
    }
    filters
}

/// Sum of the absolute scales of all BatchNormalization nodes that a channel goes through (Liu et al.,
/// "Learning Efficient Convolutional Networks through Network Slimming", 2017).
fn bn_scale(model: &Model, channels: &Channels, group: &Group) -> Result<Vec<f64>, String> {
    let mut sums = vec![0.0; group.orbits.len()];
    let mut found = false;
    for member in &group.members {
        let axis = &channels.axes[member.axis];
        let is_scale = model.value(axis.value).consumers().any(|(node, _)| {
            BatchNorm::of(model, node).is_some_and(|norm| norm.scale == axis.value)
        });
        let scale = constant(model, axis.value).filter(|_| is_scale);
        let Some(scale) = scale.and_then(|scale| scale.to_f32().ok()) else { continue };
        found = true;
        for (sum, orbit) in sums.iter_mut().zip(&group.orbits) {
            let scales = orbit.on(member.axis).filter_map(|index| scale.get(index));
            *sum += scales.map(|x| f64::from(x.abs())).sum::<f64>();
        }
    }
    match found {
        true => Ok(sums),
        false => Err("no BatchNormalization scales it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::channels::Options;
    use crate::analysis::{Assume, Shapes};

    /// Four filters of two weights, a BatchNormalization, and a layer that reads them.
    const MODEL: &str = r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,2,4] x) => (float[N,1,4] y) <
            float[4,2,1] a = {1, 2, 0, 0, 1, 1, -3, 2}, float[1,4,1] b = {5, 1, 2, -1},
            float[4] s = {0.5, -2, 1, 0.25}, float[4] o = {0, 0, 0, 0},
            float[4] m = {0, 0, 0, 0}, float[4] v = {1, 1, 1, 1}
        > {
            h = Conv (x, a)
            n = BatchNormalization (h, s, o, m, v)
            y = Conv (n, b)
        }"#;

    fn found(importance: Importance, text: &str) -> Result<Vec<f64>, String> {
        let model = crate::read::text(text).unwrap();
        let shapes = Shapes::infer(&model, &Assume::default());
        let channels = Channels::of(&model, &shapes, Options::default());
        let norms = Norms::of(&model, &channels, importance);
        let pass = PruneChannels { importance, ..PruneChannels::default() };
        importances(&model, &channels, &norms, &channels.groups[0], &pass)
    }

    /// `found` is `expected` but for a common factor.
    #[track_caller]
    fn in_proportion(found: &[f64], expected: &[f64]) {
        let scale = found.iter().sum::<f64>() / expected.iter().sum::<f64>();
        let near = |(a, b): (&f64, &f64)| (a - b * scale).abs() < 1e-6 * scale.abs();
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{found:?}");
    }

    const FILTERS: [[f64; 2]; 4] = [[1.0, 2.0], [0.0, 0.0], [1.0, 1.0], [-3.0, 2.0]];
    const READ: [f64; 4] = [5.0, 1.0, 2.0, -1.0];

    #[test]
    fn norms_are_sums_over_all_weights_of_a_channel() {
        let sums = |term: fn(f64) -> f64| -> Vec<f64> {
            let of = |(f, &r): (&[f64; 2], &f64)| f.iter().chain([&r]).map(|&x| term(x)).sum();
            FILTERS.iter().zip(&READ).map(of).collect()
        };
        in_proportion(&found(Importance::L1, MODEL).unwrap(), &sums(f64::abs));
        in_proportion(&found(Importance::L2, MODEL).unwrap(), &sums(|x| x * x));
        let elastic = sums(|x| (x.abs() + x * x) / 2.0);
        in_proportion(&found(Importance::ElasticNet, MODEL).unwrap(), &elastic);
    }

    #[test]
    fn lamp_divides_by_the_squares_that_are_no_smaller() {
        let squares: Vec<f64> =
            FILTERS.iter().zip(READ).map(|(f, r)| f[0] * f[0] + f[1] * f[1] + r * r).collect();
        let brute = |&x: &f64| x / squares.iter().filter(|&&other| other >= x).sum::<f64>();
        let expected: Vec<f64> = squares.iter().map(brute).collect();
        in_proportion(&found(Importance::Lamp, MODEL).unwrap(), &expected);
    }

    #[test]
    fn fpgm_adds_up_distances_between_filters() {
        let distance =
            |a: &[f64; 2], b: &[f64; 2]| ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt();
        let expected: Vec<f64> =
            FILTERS.iter().map(|a| FILTERS.iter().map(|b| distance(a, b)).sum()).collect();
        in_proportion(&found(Importance::Fpgm, MODEL).unwrap(), &expected);
    }

    #[test]
    fn scales_of_normalisations_count_where_there_are_some() {
        in_proportion(&found(Importance::BnScale, MODEL).unwrap(), &[0.5, 2.0, 1.0, 0.25]);
        let without = MODEL.replace("BatchNormalization (h, s, o, m, v)", "Relu (h)");
        let reason = found(Importance::BnScale, &without).unwrap_err();
        assert_eq!(reason, "no BatchNormalization scales it");
    }
}
