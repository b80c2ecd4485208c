//! Grids of activations, by what was measured.

use std::collections::HashMap;

use crate::analysis::{Asked, Measure, Range};
use crate::error::Result;
use crate::ir::{Model, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::quantize::quantize_static::width::{Placed, Readers};
use crate::passes::quantize::quantize_static::{Format, table};

/// A grid, and the type of the numbers on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct On {
    pub format: Format,
    pub grid: Grid,
}

impl On {
    /// With the same ends, so that what lies on this grid lies on the finer one, too.
    fn in_finer(self, format: Format) -> Self {
        let Grid { low, high, .. } = self.grid;
        let [min, max] = [low, high].map(|end| self.grid.dequantize(end));
        Self { format, grid: format.grid(Range { min, max }) }
    }
}

/// A value that gets QuantizeLinear and DequantizeLinear.
pub(super) struct Activation {
    pub value: ValueId,
    pub on: On,
    /// A second grid, and who reads the value there.
    pub converted: Option<(On, Readers)>,
}

impl Activation {
    /// Where a node finds the value.
    pub fn read_by(&self, node: NodeId) -> On {
        self.second(node).unwrap_or(self.on)
    }

    /// The second grid, when that is where a node finds the value.
    pub fn second(&self, node: NodeId) -> Option<On> {
        let second = self.converted.as_ref().filter(|(_, readers)| readers.nodes.contains(&node));
        second.map(|(on, _)| *on)
    }
}

/// For each value in a format its range, or why there is none.
pub(super) type Ranges = HashMap<(ValueId, Format), Result<Range, String>>;

/// The ranges that the grids of `placed` take.
///
/// # Errors
/// When measuring fails.
pub(super) fn ranges(model: &Model, placed: &[Placed], measure: &dyn Measure) -> Result<Ranges> {
    let mut found = Ranges::new();
    let own = placed.iter().map(|placed| (placed.value, placed.format));
    let narrower = placed.iter().filter_map(|placed| {
        let (format, _) = placed.converted.as_ref()?;
        (!is_finer(*format, placed.format)).then_some((placed.value, *format))
    });
    // What a value is made in comes last: it is what is remembered of the value.
    for wanted in [narrower.collect::<Vec<_>>(), own.collect()] {
        let asked = |&(value, format): &(ValueId, Format)| {
            let symmetric = format.symmetric || format.is_float();
            Asked { value, levels: format.levels(), symmetric }
        };
        let asked: Vec<Asked> = wanted.iter().map(asked).collect();
        if asked.is_empty() {
            continue;
        }
        let measured = measure.ranges(model, &asked)?;
        let judged = wanted.into_iter().zip(measured);
        found.extend(judged.map(|((v, format), range)| ((v, format), judge(model, v, range))));
    }
    Ok(found)
}

fn judge(model: &Model, value: ValueId, range: Option<Range>) -> Result<Range, String> {
    match range {
        None if model.value(value).graph() != model.main() => {
            Err("was not measured: no sample ran its body, or the engine does not show it".into())
        }
        None => {
            Err("cannot be measured: it is no float tensor, or the engine does not show it".into())
        }
        Some(range) if !range.min.is_finite() || !range.max.is_finite() => {
            Err(format!("reaches from {} to {} on the calibration data", range.min, range.max))
        }
        Some(range) => {
            let producer = model.value(value).producer();
            let row = producer.and_then(|node| table::of(model, model.node(node)));
            let known = row.and_then(|row| row.range);
            Ok(known.map_or(range, |(min, max)| Range { min, max }))
        }
    }
}

/// One grid for each group, and one for each conversion. Values without a range are left out.
pub(super) fn grids(placed: Vec<Placed>, ranges: &Ranges) -> Vec<Activation> {
    let range =
        |value: ValueId, format: Format| ranges.get(&(value, format))?.as_ref().ok().copied();
    let mut shared: HashMap<usize, Range> = HashMap::new();
    for placed in &placed {
        if let Some(range) = range(placed.value, placed.format) {
            shared.entry(placed.group).and_modify(|r| *r = r.union(range)).or_insert(range);
        }
    }
    let activation = |Placed { value, group, format, converted }: Placed| {
        let on = On { format, grid: format.grid(*shared.get(&group)?) };
        let converted = converted.and_then(|(format, readers)| {
            let on = match is_finer(format, on.format) {
                true => on.in_finer(format),
                false => On { format, grid: format.grid(range(value, format)?) },
            };
            Some((on, readers))
        });
        Some(Activation { value, on, converted })
    };
    placed.into_iter().filter_map(activation).collect()
}

/// Whether a grid of `format` has more numbers than one of `other`.
fn is_finer(format: Format, other: Format) -> bool {
    format.levels() > other.levels()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tensor::DType;

    proptest! {
        #[test]
        fn what_gets_more_bits_stays_what_it_is(
            a in -100f32..100.0, b in -100f32..100.0, symmetric: bool, power_of_two: bool,
        ) {
            let usual = Format { dtype: DType::Uint8, symmetric, power_of_two };
            let wide = Format { dtype: DType::Uint16, ..usual };
            let range = Range { min: a.min(b).min(0.0), max: a.max(b).max(0.0) };
            let on = On { format: usual, grid: usual.grid(range) };
            let fine = on.in_finer(wide);
            for q in on.grid.low..=on.grid.high {
                let x = on.grid.dequantize(q);
                let again = fine.grid.dequantize(fine.grid.quantize(x));
                prop_assert!((again - x).abs() < 5e-3 * on.grid.scale, "{x} {again} {}", on.grid.scale);
            }
        }
    }
}
