//! Resize and Upsample: along each axis, a weighted sum of places.

use crate::grad::Real;
use crate::grad::lower::node::float;
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::blend::Blend;
use crate::ir::Node;

/// How places of the result are found in the input, and what is made of them.
struct Way<'a> {
    mode: &'a str,
    coordinates: &'a str,
    nearest: &'a str,
    cubic: f64,
    exclude: bool,
}

impl<T: Real> Lower<'_, T> {
    pub fn resize(&mut self, node: &Node) -> Known<Value> {
        let mut value = self.input(node, 0)?;
        let dims = self.result_dims(node)?;
        let upsample = node.op() == "Upsample" || self.opset < 11;
        let way = Way {
            mode: node.attr_str("mode").unwrap_or("nearest"),
            coordinates: match upsample {
                true => "asymmetric",
                false => node.attr_str("coordinate_transformation_mode").unwrap_or("half_pixel"),
            },
            nearest: match upsample {
                true => "floor",
                false => node.attr_str("nearest_mode").unwrap_or("round_prefer_floor"),
            },
            cubic: float(node, "cubic_coeff_a", -0.75),
            exclude: node.attr_int("exclude_outside").unwrap_or(0) != 0,
        };
        let odd = node.attr_int("antialias").unwrap_or(0) != 0
            || node.attr_str("keep_aspect_ratio_policy").is_some_and(|p| p != "stretch")
            || way.coordinates == "tf_crop_and_resize";
        if odd || dims.len() != value.rank() {
            return Err("this way of resizing has no kernel".to_owned());
        }
        let slot = if upsample { 1 } else { 2 };
        let given = match node.attr(if upsample { "scales" } else { "" }) {
            Some(crate::ir::AttrValue::Floats(scales)) => {
                Some(scales.iter().map(|&s| f64::from(s)).collect())
            }
            _ => self.numbers(node, slot).unwrap_or(None),
        };
        let axes = node.attr_ints("axes").map(<[i64]>::to_vec);
        for axis in 0..dims.len() {
            let at = match &axes {
                Some(axes) => {
                    axes.iter().position(|&a| a.rem_euclid(dims.len() as i64) == axis as i64)
                }
                None => Some(axis),
            };
            let scale = given.as_ref().filter(|scales: &&Vec<f64>| !scales.is_empty());
            let scale = scale.and_then(|scales| at.and_then(|at| scales.get(at).copied()));
            let (from, to) = (value.dims[axis], dims[axis]);
            let scale = scale.unwrap_or(to as f64 / from.max(1) as f64);
            if from == to && scale == 1.0 {
                continue;
            }
            let terms = (0..to).map(|place| way.terms(place, from, to, scale));
            let terms = terms.collect::<Known<Vec<_>>>()?;
            let kernel = Blend { extents: value.around(axis), terms };
            value.dims[axis] = to;
            value.buffer = self.tape.step(kernel, &[value.buffer], value.len());
        }
        Ok(value)
    }
}

impl Way<'_> {
    /// The places of the input that make a place of the result, with their weights.
    fn terms(&self, place: usize, from: usize, to: usize, scale: f64) -> Known<Vec<(usize, f64)>> {
        let (x, length, resized) = (place as f64, from as f64, to as f64);
        let at = match self.coordinates {
            "asymmetric" => x / scale,
            "half_pixel" => (x + 0.5) / scale - 0.5,
            "pytorch_half_pixel" if to == 1 => 0.0,
            "pytorch_half_pixel" => (x + 0.5) / scale - 0.5,
            "tf_half_pixel_for_nn" => (x + 0.5) / scale,
            "align_corners" if to == 1 => 0.0,
            "align_corners" => x * (length - 1.0) / (resized - 1.0),
            "half_pixel_symmetric" => {
                let adjustment = resized / (scale * length);
                let offset = length / 2.0 * (1.0 - adjustment);
                offset + (x + 0.5) / scale - 0.5
            }
            other => return Err(format!("there is no kernel for resizing with {other}")),
        };
        let inside = |at: f64| at.clamp(0.0, length - 1.0) as usize;
        Ok(match self.mode {
            "nearest" => {
                let at = match self.nearest {
                    "floor" => at.floor(),
                    "ceil" => at.ceil(),
                    "round_prefer_ceil" => (at + 0.5).floor(),
                    _ => (at - 0.5).ceil(),
                };
                vec![(inside(at), 1.0)]
            }
            "linear" => {
                let first = at.floor();
                let share = at - first;
                self.weighted(&[(first, 1.0 - share), (first + 1.0, share)], length)
            }
            "cubic" => {
                let first = at.floor();
                let terms: Vec<(f64, f64)> = (-1..=2)
                    .map(|i| {
                        let place = first + f64::from(i);
                        (place, self.cubic_weight((at - place).abs()))
                    })
                    .collect();
                self.weighted(&terms, length)
            }
            other => return Err(format!("there is no kernel for resizing by {other}")),
        })
    }

    /// Terms outside count as those at the edge, or not at all.
    fn weighted(&self, terms: &[(f64, f64)], length: f64) -> Vec<(usize, f64)> {
        let outside = |place: f64| self.exclude && !(0.0..length).contains(&place);
        let kept = terms.iter().filter(|&&(place, weight)| weight != 0.0 && !outside(place));
        let kept: Vec<(usize, f64)> = kept
            .map(|&(place, weight)| (place.clamp(0.0, length - 1.0) as usize, weight))
            .collect();
        let sum: f64 = if self.exclude { kept.iter().map(|(_, weight)| weight).sum() } else { 1.0 };
        kept.into_iter().map(|(place, weight)| (place, weight / sum)).collect()
    }

    fn cubic_weight(&self, x: f64) -> f64 {
        let a = self.cubic;
        match x {
            x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
            x if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
            _ => 0.0,
        }
    }
}
