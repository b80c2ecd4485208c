//! Weights that are stored as indices into a table: trained as floats, of which the nearest numbers are seen.

use std::collections::BTreeMap;

use crate::analysis::WEIGHT_SLOT;
use crate::error::Result;
use crate::grad::Parameter;
use crate::ir::{Model, NodeId, ValueId};
use crate::math::rounding::Points;
use crate::passes::StoredWeight;
use crate::tensor::Tensor;

/// Times that numbers and scales are fitted to the floats, and indices chosen anew.
const ROUNDS: usize = 2;

/// A weight of the student whose numbers are those of a table.
pub struct Coded {
    /// How it is stored.
    stored: StoredWeight,
    /// For each float, in the order of the model, its part.
    parts: Vec<u32>,
}

/// A copy of the student in which such weights are constants of floats, with what each of them is.
///
/// # Errors
/// None for weights that are not stored so; they stay as they are.
pub fn view(
    student: &Model,
    wanted: &dyn Fn(NodeId) -> bool,
) -> Result<(Model, BTreeMap<ValueId, Coded>)> {
    let (mut view, mut found) = (student.clone(), BTreeMap::new());
    let layers = ["Conv", "ConvTranspose", "Gemm", "MatMul"];
    for (id, node) in student.nodes_of(student.main()) {
        if !layers.iter().any(|op| node.is(op)) || !wanted(id) {
            continue;
        }
        // What cannot be stored anew is not trained.
        let Ok(Some(stored)) = StoredWeight::of(student, id) else { continue };
        let Some(floats) = node.input(WEIGHT_SLOT).filter(|_| stored.on_grids().is_none()) else {
            continue;
        };
        let numbers: Vec<f32> = stored.floats().map(|x| x as f32).collect();
        let name = student.value(floats).name();
        let tensor = Tensor::from_f32(&stored.dims, &numbers);
        let value = view.add_initializer(view.main(), name, tensor);
        view.replace_uses(floats, value);
        let parts = stored.part_of.clone();
        found.insert(value, Coded { stored, parts });
    }
    Ok((view, found))
}

impl Coded {
    /// Brings the parts into the order of a program.
    pub fn ordered(mut self, parameter: &Parameter) -> Self {
        let parts: Vec<f64> = self.parts.iter().map(|&part| f64::from(part)).collect();
        self.parts = parameter.inwards(&parts).into_iter().map(|part| part as u32).collect();
        self
    }

    /// Numbers and scales of least squared error for floats in the order of a program.
    fn fitted(&self, floats: &[f32]) -> Points {
        let mut points = self.stored.points.clone();
        let free = self.stored.freedom();
        for _ in 0..ROUNDS {
            let Points::Table { numbers, scales } = &points else { return points };
            let mut of_scales = vec![(0.0f64, 0.0f64); scales.len()];
            let mut of_numbers = vec![(0.0f64, 0.0f64); numbers.len()];
            for (&x, &part) in floats.iter().zip(&self.parts) {
                let index = points.nearest(part, f64::from(x)) as usize;
                let (x, scale) = (f64::from(x), f64::from(scales[part as usize]));
                let number = f64::from(numbers[index]);
                let of = &mut of_scales[part as usize];
                *of = (of.0 + x * number, of.1 + number * number);
                let of = &mut of_numbers[index];
                *of = (of.0 + x * scale, of.1 + scale * scale);
            }
            // A quotient without members leaves what it was.
            let quotients = |old: &[f32], sums: &[(f64, f64)]| -> Vec<f32> {
                let each = old.iter().zip(sums);
                each.map(|(&old, s)| if s.1 > 0.0 { (s.0 / s.1) as f32 } else { old }).collect()
            };
            let (mut numbers, mut scales) = (numbers.clone(), scales.clone());
            if free.scales {
                let new = quotients(&scales, &of_scales);
                scales =
                    new.iter().zip(scales).map(|(&n, o)| if n > 0.0 { n } else { o }).collect();
            } else if free.numbers {
                let new = quotients(&numbers, &of_numbers);
                let rises = new.windows(2).all(|pair| pair[0] < pair[1]);
                numbers = if rises { new } else { numbers };
            }
            points = Points::Table { numbers, scales };
        }
        points
    }

    /// What layers read of floats.
    pub fn seen(&self, floats: &[f32]) -> Vec<f32> {
        let points = self.fitted(floats);
        let each = floats.iter().zip(&self.parts);
        each.map(|(&x, &part)| points.point(part, points.nearest(part, f64::from(x))) as f32)
            .collect()
    }

    /// Stores floats in a model that has this weight.
    pub fn store(&self, model: &mut Model, parameter: &Parameter, floats: &[f32]) {
        let points = self.fitted(floats);
        let floats = parameter.outwards(floats);
        let each = floats.iter().zip(&self.stored.part_of);
        let integers: Vec<i32> =
            each.map(|(&x, &part)| points.nearest(part, f64::from(x))).collect();
        self.stored.replace(model, &integers, &points);
    }
}
