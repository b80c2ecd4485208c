//! Reductions to the largest, the smallest, and the logarithm of a sum of powers, and LogSoftmax: along axes of floats.

use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, Softmax};
use tract_onnx::tract_hir::internal::tract_ndarray::ArrayD;
use tract_onnx::tract_hir::internal::*;

/// What is computed of the elements along the axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    Max,
    Min,
    /// The index of the largest; the last one when that is asked for.
    ArgMax {
        last: bool,
    },
    ArgMin {
        last: bool,
    },
    LogSumExp,
    /// An element for each element.
    LogSoftmax,
}

/// An operator of tract. Reduced axes have one element.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rows {
    of: Of,
    axes: TVec<usize>,
}

impl Rows {
    /// Instead of tract's reductions; integers are right there.
    pub(super) fn instead(op: &dyn TypedOp, inputs: &[&TypedFact]) -> Option<Box<dyn TypedOp>> {
        if !inputs.first()?.datum_type.is_float() {
            return None;
        }
        let reduce = op.downcast_ref::<Reduce>()?;
        let of = match reduce.reducer {
            Reducer::Max => Of::Max,
            Reducer::Min => Of::Min,
            Reducer::ArgMax(last) => Of::ArgMax { last },
            Reducer::ArgMin(last) => Of::ArgMin { last },
            _ => return None,
        };
        Some(Box::new(Self { of, axes: reduce.axes.clone() }))
    }

    /// LogSoftmax, instead of a Softmax.
    pub(super) fn instead_of_softmax(
        op: &dyn TypedOp,
        _: &[&TypedFact],
    ) -> Option<Box<dyn TypedOp>> {
        let axes = op.downcast_ref::<Softmax>()?.axes.clone();
        Some(Box::new(Self { of: Of::LogSoftmax, axes }))
    }

    /// ReduceLogSumExp, instead of a reduction to the largest.
    pub(super) fn instead_of_max(op: &dyn TypedOp, _: &[&TypedFact]) -> Option<Box<dyn TypedOp>> {
        let reduce = op.downcast_ref::<Reduce>()?;
        (reduce.reducer == Reducer::Max).then_some(())?;
        Some(Box::new(Self { of: Of::LogSumExp, axes: reduce.axes.clone() }))
    }

    fn output_type(&self, input: DatumType) -> DatumType {
        match self.of {
            Of::ArgMax { .. } | Of::ArgMin { .. } => DatumType::I64,
            _ => input,
        }
    }

    /// The elements with the reduced axes behind the others, and the order that brings them there.
    fn turned(&self, input: &Tensor) -> TractResult<(ArrayD<f64>, Vec<usize>)> {
        let wide = input.cast_to::<f64>()?;
        let view = wide.to_plain_array_view::<f64>()?;
        let (reduced, mut order): (Vec<usize>, Vec<usize>) =
            (0..view.ndim()).partition(|axis| self.axes.contains(axis));
        order.extend(reduced);
        let turned = view.permuted_axes(order.clone()).as_standard_layout().into_owned();
        Ok((turned, order))
    }

    fn compute(&self, input: &Tensor) -> TractResult<Tensor> {
        let output = self.output_type(input.datum_type());
        let (mut turned, order) = self.turned(input)?;
        let reduced = self.axes.len();
        let length: usize = turned.shape()[order.len() - reduced..].iter().product();
        let Some(elements) = turned.as_slice_mut() else { bail!("elements are not in a row") };
        if self.of == Of::LogSoftmax {
            for row in elements.chunks_mut(length.max(1)) {
                // Not taken off at once: the logarithm is lost beside a large number.
                let most = largest(row);
                let rest = log_of_powers(row, most);
                row.iter_mut().for_each(|x| *x = *x - most - rest);
            }
            let mut back = vec![0; order.len()];
            for (from, &to) in order.iter().enumerate() {
                back[to] = from;
            }
            let there = turned.permuted_axes(back).as_standard_layout().into_owned();
            return Ok(there.into_tensor().cast_to_dt(output)?.into_owned());
        }
        let dims: Vec<usize> = input
            .shape()
            .iter()
            .enumerate()
            .map(|(axis, &dim)| if self.axes.contains(&axis) { 1 } else { dim })
            .collect();
        let rows = dims.iter().product();
        let results: Vec<f64> = match length {
            0 => vec![self.of(&[]); rows],
            _ => elements.chunks(length).map(|row| self.of(row)).collect(),
        };
        let results = ArrayD::from_shape_vec(dims, results)?.into_tensor();
        Ok(results.cast_to_dt(output)?.into_owned())
    }

    /// One number of a row; indices are exact, too.
    fn of(&self, row: &[f64]) -> f64 {
        match self.of {
            Of::Max => largest(row),
            Of::Min => -largest_of(row.iter().map(|x| -x)),
            Of::ArgMax { last } => index(row.iter().copied(), last),
            Of::ArgMin { last } => index(row.iter().map(|x| -x), last),
            Of::LogSumExp | Of::LogSoftmax => log_sum_exp(row),
        }
    }
}

/// The largest number: NaN when there is one, minus infinity of nothing.
fn largest(row: &[f64]) -> f64 {
    largest_of(row.iter().copied())
}

fn largest_of(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(f64::NEG_INFINITY, |most, x| if x > most || x.is_nan() { x } else { most })
}

/// The index of the largest number, the first or the last such. As in ONNX Runtime, a NaN is not larger than anything.
fn index(numbers: impl Iterator<Item = f64>, last: bool) -> f64 {
    let mut best: Option<(usize, f64)> = None;
    for (place, x) in numbers.enumerate() {
        if best.is_none_or(|(_, most)| x > most || last && x == most) {
            best = Some((place, x));
        }
    }
    best.map_or(0.0, |(place, _)| place as f64)
}

/// `log(sum(exp(x)))` with the largest number taken out first, so that nothing overflows.
fn log_sum_exp(row: &[f64]) -> f64 {
    let most = largest(row);
    if most.is_infinite() { most } else { most + log_of_powers(row, most) }
}

/// `log(sum(exp(x - most)))`.
fn log_of_powers(row: &[f64], most: f64) -> f64 {
    row.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
}

impl Op for Rows {
    fn name(&self) -> StaticName {
        format!("Rows<{:?}>", self.of).into()
    }

    op_as_typed_op!();
}

impl EvalOp for Rows {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(self.compute(&inputs[0])?.into_tvalue()))
    }
}

impl TypedOp for Rows {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.clone();
        if self.of != Of::LogSoftmax {
            for &axis in &self.axes {
                shape.set(axis, 1.to_dim());
            }
        }
        Ok(tvec!(self.output_type(inputs[0].datum_type).fact(shape)))
    }

    as_op!();
}
