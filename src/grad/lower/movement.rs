//! Operators that only move elements.

use crate::analysis::unpacked_table;
use crate::grad::Real;
use crate::grad::lower::node::axis_of;
use crate::grad::lower::tensor::{Value, same_order};
use crate::grad::lower::{Known, Lower};
use crate::grad::op::blend::Blend;
use crate::grad::op::concat::Concat;
use crate::grad::op::gather::Gather;
use crate::grad::op::pick::{Pick, Places};
use crate::ir::{Node, NodeId};

/// Longest axis of a cumulative sum, whose terms are listed.
const LONGEST_SUM: usize = 2048;

/// Every place of an axis.
fn all(extent: usize) -> Places {
    (0..extent).map(Some).collect()
}

impl<T: Real> Lower<'_, T> {
    /// Elements that are picked along each axis; `places` are in the order of the model.
    fn picked(&mut self, value: &Value, places: Vec<Places>, fill: f64) -> Value {
        let dims: Vec<usize> = places.iter().map(Vec::len).collect();
        let rank = value.rank();
        let whole = |(axis, places): (usize, &Places)| {
            places.len() == value.dims[axis]
                && places.iter().enumerate().all(|(i, p)| *p == Some(i))
        };
        if places.iter().enumerate().all(whole) {
            return value.clone();
        }
        let mut ordered = vec![Places::new(); rank];
        for (axis, places) in places.into_iter().enumerate() {
            ordered[value.place(axis)] = places;
        }
        let kernel = Pick::new(&value.physical(), ordered, fill);
        let buffer = self.tape.step(kernel, &[value.buffer], dims.iter().product());
        Value { buffer, dims, ..value.clone() }
    }

    /// Places of one axis that are all there.
    pub fn places(&mut self, value: &Value, axis: usize, places: Vec<usize>) -> Value {
        let value = self.plain(value);
        self.picked_along(&value, axis, places.into_iter().map(Some).collect())
    }

    /// Some places of one axis.
    fn picked_along(&mut self, value: &Value, axis: usize, places: Places) -> Value {
        let mut axes: Vec<Places> = value.dims.iter().map(|&extent| all(extent)).collect();
        axes[axis] = places;
        self.picked(value, axes, 0.0)
    }

    pub fn view(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let dims = self.result_dims(node)?;
        if dims.iter().product::<usize>() != value.len() {
            return Err("its extents do not fit".to_owned());
        }
        Ok(self.reshaped(&value, &dims))
    }

    pub fn transpose(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let rank = value.rank();
        let order: Vec<usize> = match node.attr_ints("perm") {
            Some(perm) => perm.iter().map(|&axis| axis_of(axis, rank)).collect::<Known<_>>()?,
            None => (0..rank).rev().collect(),
        };
        if order.len() != rank {
            return Err("its axes do not fit".to_owned());
        }
        Ok(self.transposed(&value, &order))
    }

    pub fn slice(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let given = |slot: usize, name: &str| -> Known<Option<Vec<i64>>> {
            Ok(match node.attr_ints(name) {
                Some(ints) => Some(ints.to_vec()),
                None => self.ints(node, slot)?,
            })
        };
        let starts = given(1, "starts")?.ok_or("it has no starts")?;
        let ends = given(2, "ends")?.ok_or("it has no ends")?;
        let axes = given(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.ints(node, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
        let mut places: Vec<Places> = value.dims.iter().map(|&extent| all(extent)).collect();
        for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
            let axis = axis_of(axis, value.rank())?;
            let extent = value.dims[axis] as i64;
            let bound = |x: i64, least: i64, most: i64| {
                (if x < 0 { x.saturating_add(extent) } else { x }).clamp(least, most)
            };
            let taken: Vec<i64> = match step {
                0 => return Err("a step is 0".to_owned()),
                1.. => (bound(start, 0, extent)..bound(end, 0, extent))
                    .step_by(usize::try_from(step).unwrap_or(usize::MAX))
                    .collect(),
                _ => {
                    let (first, end) = (bound(start, 0, extent - 1), bound(end, -1, extent - 1));
                    let step = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
                    (end + 1..=first).rev().step_by(step).collect()
                }
            };
            places[axis] = taken.into_iter().map(|place| usize::try_from(place).ok()).collect();
        }
        Ok(self.picked(&value, places, 0.0))
    }

    pub fn split(&mut self, node: &Node) -> Known<Vec<Option<Value>>> {
        let value = self.input(node, 0)?;
        let axis = axis_of(node.attr_int("axis").unwrap_or(0), value.rank())?;
        let mut start = 0;
        let mut parts = Vec::new();
        for slot in 0..node.outputs().len() {
            if node.output(slot).is_none() {
                return Err("an output of Split is left out".to_owned());
            }
            let extent = *self.output_dims(node, slot)?.get(axis).ok_or("its axis does not fit")?;
            let places = (start..start + extent).map(Some).collect();
            start += extent;
            parts.push(Some(self.picked_along(&value, axis, places)));
        }
        Ok(parts)
    }

    pub fn pad(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let rank = value.rank();
        let pads = match node.attr_ints("pads").or(node.attr_ints("paddings")) {
            Some(pads) => pads.to_vec(),
            None => self.ints(node, 1)?.ok_or("it has no pads")?,
        };
        let fill = match self.numbers(node, 2)? {
            Some(numbers) => numbers.first().copied().unwrap_or(0.0),
            None => node.attr_float("value").map_or(0.0, f64::from),
        };
        let axes = match self.ints(node, 3)? {
            Some(axes) => axes.iter().map(|&a| axis_of(a, rank)).collect::<Known<Vec<_>>>()?,
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return Err("its pads do not fit".to_owned());
        }
        let mode = node.attr_str("mode").unwrap_or("constant");
        let mut places: Vec<Places> = value.dims.iter().map(|&extent| all(extent)).collect();
        for (i, &axis) in axes.iter().enumerate() {
            let extent = value.dims[axis] as i64;
            let inside = |at: i64| -> Option<usize> {
                let at = match mode {
                    _ if (0..extent).contains(&at) => at,
                    "edge" => at.clamp(0, extent - 1),
                    "wrap" => at.rem_euclid(extent.max(1)),
                    "reflect" if extent > 1 => {
                        let turn = at.rem_euclid(2 * (extent - 1));
                        if turn < extent { turn } else { 2 * (extent - 1) - turn }
                    }
                    _ => return None,
                };
                usize::try_from(at).ok()
            };
            places[axis] = (-pads[i]..extent + pads[axes.len() + i]).map(inside).collect();
        }
        Ok(self.picked(&value, places, fill))
    }

    /// Expand and Tile.
    pub fn repeat(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let dims = self.result_dims(node)?;
        let value = self.lifted(&value, dims.len());
        if value.rank() != dims.len() {
            return Err("its extents do not fit".to_owned());
        }
        let along = |(&extent, &dim): (&usize, &usize)| -> Places {
            (0..extent).map(|i| i.checked_rem(dim)).collect()
        };
        let places = dims.iter().zip(&value.dims).map(along).collect();
        Ok(self.picked(&value, places, 0.0))
    }

    pub fn gather(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        self.gathered(node, value, "axis")
    }

    /// Rows of integers that stay what they are, of ONNX Runtime.
    pub fn packed_gather(&mut self, id: NodeId) -> Known<Value> {
        let table = unpacked_table(self.model, id).ok_or("its table is no constant")?;
        let table = self.constant_of(&table)?;
        self.gathered(self.model.node(id), table, "gather_axis")
    }

    fn gathered(&mut self, node: &Node, value: Value, axis: &str) -> Known<Value> {
        let axis = axis_of(node.attr_int(axis).unwrap_or(0), value.rank())?;
        let dims = self.result_dims(node)?;
        let extent = value.dims[axis];
        if let Ok(Some(indices)) = self.ints(node, 1) {
            let place = |&i: &i64| axis_of(i, extent).map(Some);
            let places = indices.iter().map(place).collect::<Known<Places>>()?;
            let along = places.len() == 1 && extent == 1 || dims.len() == value.rank();
            let picked = self.picked_along(&value, axis, places);
            // One index on an axis keeps the order of the others, so that nothing needs to be moved.
            return Ok(if along && picked.dims == dims {
                picked
            } else {
                self.reshaped(&picked, &dims)
            });
        }
        let indices = self.input(node, 1)?;
        let (value, indices) = (self.plain(&value), self.plain(&indices));
        let kernel = Gather { extents: value.around(axis) };
        let buffers = [value.buffer, indices.buffer];
        let buffer = self.tape.step(kernel, &buffers, dims.iter().product());
        Ok(Value::plain(buffer, &dims, value.dtype))
    }

    pub fn concat(&mut self, node: &Node) -> Known<Value> {
        let slots = 0..node.inputs().len();
        let parts = slots.map(|slot| self.input(node, slot)).collect::<Known<Vec<_>>>()?;
        let first = parts.first().ok_or("it has no inputs")?;
        let axis = axis_of(node.attr_int("axis").unwrap_or(1), first.rank())?;
        let last = parts.iter().any(|part| part.last && !same_order(&part.dims));
        let parts: Vec<Value> = parts.iter().map(|part| self.ordered(part, last)).collect();
        let mut dims = parts[0].dims.clone();
        dims[axis] = parts.iter().map(|part| part.dims[axis]).sum();
        let rows = parts.iter().map(|part| {
            let [_, extent, behind] = part.around(axis);
            extent * behind
        });
        let kernel = Concat { rows: rows.collect() };
        let buffers: Vec<usize> = parts.iter().map(|part| part.buffer).collect();
        let buffer = self.tape.step(kernel, &buffers, dims.iter().product());
        Ok(Value { buffer, dims, ..parts[0].clone() })
    }

    pub fn depth_to_space(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let (&[n, c, h, w], b) = (&value.dims[..], block(node)?) else {
            return Err("it is for four axes".to_owned());
        };
        let depth = c / (b * b);
        let (dims, order) = match node.attr_str("mode") {
            Some("CRD") => ([n, depth, b, b, h, w], [0, 1, 4, 2, 5, 3]),
            _ => ([n, b, b, depth, h, w], [0, 3, 4, 1, 5, 2]),
        };
        let split = self.reshaped(&value, &dims);
        let turned = self.transposed(&split, &order);
        Ok(self.reshaped(&turned, &[n, depth, h * b, w * b]))
    }

    pub fn space_to_depth(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let (&[n, c, h, w], b) = (&value.dims[..], block(node)?) else {
            return Err("it is for four axes".to_owned());
        };
        let split = self.reshaped(&value, &[n, c, h / b, b, w / b, b]);
        let turned = self.transposed(&split, &[0, 3, 5, 1, 2, 4]);
        Ok(self.reshaped(&turned, &[n, c * b * b, h / b, w / b]))
    }

    pub fn constant_of_shape(&mut self, node: &Node) -> Known<Value> {
        let dims = self.result_dims(node)?;
        let fill = node.attr_tensor("value").map(|tensor| tensor.to_f64());
        let fill = fill.transpose().map_err(|error| error.to_string())?;
        let fill = fill.and_then(|fill| fill.first().copied()).unwrap_or(0.0);
        let buffer = self.tape.constant(vec![T::of(fill); dims.iter().product()]);
        let dtype = node.output(0).and_then(|output| self.shapes.dtype(output));
        Ok(Value::plain(buffer, &dims, dtype.ok_or("the type of its output is not known")?))
    }

    pub fn cumulative(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let axes = self.ints(node, 1)?.ok_or("it has no axis")?;
        let axis = axis_of(*axes.first().ok_or("it has no axis")?, value.rank())?;
        let extent = value.dims[axis];
        if extent > LONGEST_SUM {
            return Err(format!("there is no kernel for sums of more than {LONGEST_SUM} numbers"));
        }
        let flag = |name: &str| node.attr_int(name).unwrap_or(0) != 0;
        let (exclusive, reverse) = (flag("exclusive"), flag("reverse"));
        let part = |to: usize, from: usize| {
            let (to, from) = if reverse { (from, to) } else { (to, from) };
            from < to || from == to && !exclusive
        };
        let terms =
            |to: usize| (0..extent).filter(|&from| part(to, from)).map(|i| (i, 1.0)).collect();
        let terms = (0..extent).map(terms).collect();
        let kernel = Blend { extents: value.around(axis), terms };
        let buffer = self.tape.step(kernel, &[value.buffer], value.len());
        Ok(Value { buffer, ..value })
    }
}

fn block(node: &Node) -> Known<usize> {
    let block = node.attr_int("blocksize").and_then(|block| usize::try_from(block).ok());
    block.filter(|&block| block > 0).ok_or_else(|| "it has no block size".to_owned())
}
