//! Grids of activations, by what was measured.

use std::collections::HashMap;

use crate::analysis::{Asked, Measure, Range};
use crate::error::Result;
use crate::ir::{Model, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::quantize_static::width::{Placed, Readers};
use crate::passes::quantize_static::{Format, table};

/// A grid, and the type of the numbers on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct On {
    pub format: Format,
    pub grid: Grid,
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
        match &self.converted {
            Some((on, readers)) if readers.nodes.contains(&node) => *on,
            _ => self.on,
        }
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
            let range = match is_finer(format, on.format) {
                // With its ends each number of a coarse grid is one of the fine grid.
                true => Range {
                    min: on.grid.dequantize(on.grid.low),
                    max: on.grid.dequantize(on.grid.high),
                },
                false => range(value, format)?,
            };
            Some((On { format, grid: format.grid(range) }, readers))
        });
        Some(Activation { value, on, converted })
    };
    placed.into_iter().filter_map(activation).collect()
}

/// Whether a grid of `format` has more numbers than one of `other`.
fn is_finer(format: Format, other: Format) -> bool {
    format.levels() > other.levels()
}
