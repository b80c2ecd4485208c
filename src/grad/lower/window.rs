//! Convolutions and pooling.

use crate::grad::Real;
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::conv::Conv;
use crate::grad::op::conv_transpose::ConvTranspose;
use crate::grad::op::depthwise::Depthwise;
use crate::grad::op::pool::{AveragePool, MaxPool};
use crate::grad::windows::{Geometry, NOWHERE, Windows};
use crate::ir::Node;

impl<T: Real> Lower<'_, T> {
    /// The window of a node, from the extents of what moves under it to those of its places.
    fn geometry(
        node: &Node,
        input: &[usize],
        output: &[usize],
        kernel: &[usize],
    ) -> Known<Geometry> {
        let axes = input.len();
        let list = |name: &str| -> Known<Vec<usize>> {
            let given = node.attr_ints(name).map_or(vec![1; axes], <[i64]>::to_vec);
            let fits = given.len() == axes && given.iter().all(|&x| x > 0);
            if !fits {
                return Err(format!("its {name} do not fit"));
            }
            Ok(given.into_iter().filter_map(|x| usize::try_from(x).ok()).collect())
        };
        let (strides, dilations) = (list("strides")?, list("dilations")?);
        let begin = match node.attr_str("auto_pad").unwrap_or("NOTSET") {
            "NOTSET" | "" => {
                let pads = node.attr_ints("pads").map_or(vec![0; 2 * axes], <[i64]>::to_vec);
                if pads.len() != 2 * axes {
                    return Err("its pads do not fit".to_owned());
                }
                pads[..axes].to_vec()
            }
            "VALID" => vec![0; axes],
            side => (0..axes)
                .map(|axis| {
                    let reach = (output[axis] - 1) * strides[axis]
                        + (kernel[axis] - 1) * dilations[axis]
                        + 1;
                    let total = reach.saturating_sub(input[axis]) as i64;
                    if side == "SAME_LOWER" { total - total / 2 } else { total / 2 }
                })
                .collect(),
        };
        Ok(Geometry {
            input: input.to_vec(),
            output: output.to_vec(),
            kernel: kernel.to_vec(),
            strides,
            dilations,
            begin,
        })
    }

    pub fn conv(&mut self, node: &Node) -> Known<Value> {
        let x = self.input(node, 0)?;
        let dims = self.result_dims(node)?;
        let weights = node.input(1).ok_or("it has no weights")?;
        let w = self.shapes.fixed_dims(weights).ok_or("extents of its weights are not known")?;
        let groups = group(node)?;
        if x.rank() < 3 || w.len() != x.rank() || w[1] * groups != x.dims[1] || w[0] % groups != 0 {
            return Err("its weights do not fit".to_owned());
        }
        let geometry = Self::geometry(node, &x.dims[2..], &dims[2..], &w[2..])?;
        let windows = Windows::new(&geometry);
        let x = self.last(&x);
        let (channels, filters) = (w[1], w[0] / groups);
        let seen = [groups, filters, channels, windows.taps];
        let depthwise = channels == 1 && filters == 1;
        let order = if depthwise { [3, 1, 2, 0] } else { [0, 3, 2, 1] };
        let mut buffers = vec![x.buffer, self.weights(weights, &seen, &order)?];
        if let Some(bias) = self.optional(node, 2)? {
            buffers.push(bias.buffer);
        }
        let len = dims.iter().product();
        let buffer = if depthwise {
            self.tape.step(Depthwise { windows, channels: groups }, &buffers, len)
        } else {
            let kernel = Conv { windows, images: dims[0], groups, channels, filters };
            self.tape.step(kernel, &buffers, len)
        };
        Ok(Value { buffer, dims, ..x })
    }

    pub fn conv_transpose(&mut self, node: &Node) -> Known<Value> {
        let x = self.input(node, 0)?;
        let dims = self.result_dims(node)?;
        let weights = node.input(1).ok_or("it has no weights")?;
        let w = self.shapes.fixed_dims(weights).ok_or("extents of its weights are not known")?;
        let groups = group(node)?;
        if x.rank() < 3 || w.len() != x.rank() || w[0] != x.dims[1] || w[0] % groups != 0 {
            return Err("its weights do not fit".to_owned());
        }
        if node.attr_ints("output_shape").is_some() {
            return Err("an output_shape has no kernel".to_owned());
        }
        let mut geometry = Self::geometry(node, &dims[2..], &x.dims[2..], &w[2..])?;
        if let Some(side @ ("SAME_UPPER" | "SAME_LOWER")) = node.attr_str("auto_pad") {
            let extra = node.attr_ints("output_padding").unwrap_or_default();
            for axis in 0..geometry.input.len() {
                let reach = (geometry.output[axis] - 1) * geometry.strides[axis]
                    + (geometry.kernel[axis] - 1) * geometry.dilations[axis]
                    + 1;
                let total = reach as i64 + extra.get(axis).copied().unwrap_or(0)
                    - geometry.input[axis] as i64;
                let half = total.max(0) / 2;
                geometry.begin[axis] =
                    if side == "SAME_UPPER" { half } else { total.max(0) - half };
            }
        }
        let windows = Windows::new(&geometry);
        let x = self.last(&x);
        let (channels, filters) = (w[0] / groups, w[1]);
        let seen = [groups, channels, filters, windows.taps];
        let mut buffers = vec![x.buffer, self.weights(weights, &seen, &[0, 1, 3, 2])?];
        if let Some(bias) = self.optional(node, 2)? {
            buffers.push(bias.buffer);
        }
        let kernel = ConvTranspose { windows, images: dims[0], groups, channels, filters };
        let buffer = self.tape.step(kernel, &buffers, dims.iter().product());
        Ok(Value { buffer, dims, ..x })
    }

    pub fn pool(&mut self, node: &Node) -> Known<Value> {
        if node.output(1).is_some() {
            return Err("its indices are asked for".to_owned());
        }
        let x = self.input(node, 0)?;
        let dims = self.result_dims(node)?;
        let kernel = node.attr_ints("kernel_shape").unwrap_or_default();
        let kernel: Vec<usize> = kernel.iter().filter_map(|&k| usize::try_from(k).ok()).collect();
        if x.rank() < 3 || kernel.len() != x.rank() - 2 || kernel.contains(&0) {
            return Err("its kernel does not fit".to_owned());
        }
        let geometry = Self::geometry(node, &x.dims[2..], &dims[2..], &kernel)?;
        let windows = Windows::new(&geometry);
        let x = self.last(&x);
        let (channels, len) = (x.dims[1], dims.iter().product());
        let buffer = if node.op() == "MaxPool" {
            self.tape.step(MaxPool { windows, channels }, &[x.buffer], len)
        } else {
            let padded = node.attr_int("count_include_pad").unwrap_or(0) != 0;
            let axes = kernel.len();
            let end = match node.attr_ints("pads") {
                Some(pads) if pads.len() == 2 * axes => pads[axes..].to_vec(),
                // As much as the windows reach.
                _ => vec![i64::from(u32::MAX); axes],
            };
            let real = |output: usize| windows.of(output).iter().filter(|&&p| p != NOWHERE).count();
            let counts = (0..windows.outputs).map(|output| match padded {
                true => geometry.covered(&end, output),
                false => real(output),
            });
            let counts = counts.collect();
            self.tape.step(AveragePool { windows, channels, counts }, &[x.buffer], len)
        };
        Ok(Value { buffer, dims, ..x })
    }
}

fn group(node: &Node) -> Known<usize> {
    let group = usize::try_from(node.attr_int("group").unwrap_or(1)).ok();
    group.filter(|&group| group > 0).ok_or_else(|| "its groups do not fit".to_owned())
}
