//! How the extents of an array fit those of a model's input.

use crate::data::{InputSpec, Layout};
use crate::error::{Result, err};
use crate::tensor::element_count;

/// What the first axis of an input means for the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The first axis is the batch: samples are its rows. The batch may be fixed.
    Rows(Option<usize>),
    /// Each sample is a complete input.
    Whole,
    /// One value for all runs: a scalar.
    Shared,
}

/// How an array feeds an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fit {
    pub mode: Mode,
    /// Extents of one sample as the array has them.
    pub sample: Vec<usize>,
    /// Extents of one sample as the model takes it, without the batch.
    pub dims: Vec<usize>,
    /// The samples change between channels first and channels last.
    pub transposed: bool,
    /// Layout of the samples after that, when it was given and they have three axes.
    pub layout: Option<Layout>,
}

/// Finds the one way in which an array of extents `array` feeds `spec`. In this order:
///
/// 1. A scalar array feeds a scalar input: one value for all runs.
/// 2. As many axes as the input: the first is the batch, the others match extent by extent,
///    if need be after changing the layout.
/// 3. One axis more than the input, and all others match: each sample is a complete input.
/// 4. The input's extents behind the batch are all fixed and differ from the sample's only by
///    axes of 1, or one of the two is a single axis of as many elements (`[1, 8, 8]` into `[64]`).
///
/// An input of undeclared rank takes samples as they are.
///
/// # Errors
/// When nothing fits: expected and found, and what to do.
pub(super) fn fit(spec: &InputSpec, array: &[usize], layout: Option<Layout>) -> Result<Fit> {
    let Some((_, sample)) = array.split_first() else {
        return match &spec.dims {
            Some(dims) if !dims.is_empty() => Err(mismatch(spec, dims, array)),
            _ => Ok(plain(Mode::Shared, &[])),
        };
    };
    let Some(dims) = &spec.dims else {
        return Ok(arranged(Mode::Rows(None), sample, layout, None));
    };
    let Some((&batch, rest)) = dims.split_first() else {
        let whole = sample.is_empty().then(|| plain(Mode::Whole, sample));
        return whole.ok_or_else(|| mismatch(spec, dims, array));
    };
    let rows = arranged(Mode::Rows(batch), sample, layout, Some(rest));
    if matches(rest, &rows.dims) {
        return Ok(rows);
    }
    if matches(dims, sample) {
        return Ok(plain(Mode::Whole, sample));
    }
    match rest.iter().copied().collect::<Option<Vec<usize>>>() {
        Some(fixed) if same_order(sample, &fixed) => Ok(Fit { dims: fixed, ..rows }),
        _ => Err(mismatch(spec, dims, array)),
    }
}

fn plain(mode: Mode, sample: &[usize]) -> Fit {
    let dims = sample.to_vec();
    Fit { mode, sample: dims.clone(), dims, transposed: false, layout: None }
}

/// The samples in the layout that `model` wants; see [`crate::data::Preprocess::layout`].
fn arranged(
    mode: Mode,
    sample: &[usize],
    layout: Option<Layout>,
    model: Option<&[Option<usize>]>,
) -> Fit {
    let mut fit = plain(mode, sample);
    let (Some(layout), &[a, b, c]) = (layout, sample) else { return fit };
    let (other, turned) = match layout {
        Layout::Nchw => (Layout::Nhwc, vec![b, c, a]),
        Layout::Nhwc => (Layout::Nchw, vec![c, a, b]),
    };
    let fits = |dims: &[usize]| model.is_none_or(|model| matches(model, dims));
    fit.transposed = fits(&turned) && (layout == Layout::Nhwc || !fits(sample));
    fit.layout = Some(if fit.transposed { other } else { layout });
    if fit.transposed {
        fit.dims = turned;
    }
    fit
}

fn matches(model: &[Option<usize>], dims: &[usize]) -> bool {
    model.len() == dims.len()
        && model.iter().zip(dims).all(|(model, dim)| model.is_none_or(|model| model == *dim))
}

/// Do both extents name the same elements in the same order, with only axes folded or of 1? Two
/// images of different layouts have as many elements too, which is why more is not taken.
fn same_order(a: &[usize], b: &[usize]) -> bool {
    let long = |dims: &[usize]| dims.iter().copied().filter(|&dim| dim != 1).collect::<Vec<_>>();
    let (short_a, short_b) = (long(a), long(b));
    short_a == short_b
        || (element_count(a).is_some() && element_count(a) == element_count(b))
            && (short_a.len() <= 1 || short_b.len() <= 1)
}

fn mismatch(spec: &InputSpec, dims: &[Option<usize>], array: &[usize]) -> crate::Error {
    let name = &spec.name;
    let shown = show(dims);
    let error = err!(Data, "input `{name}` takes {shown}, found an array of shape {array:?}");
    let turned = [Layout::Nhwc, Layout::Nchw].into_iter().find(|&layout| {
        let (Some((_, sample)), Some((_, rest))) = (array.split_first(), dims.split_first()) else {
            return false;
        };
        let fit = arranged(Mode::Whole, sample, Some(layout), Some(rest));
        fit.transposed
    });
    match (turned, dims) {
        (Some(Layout::Nhwc), _) => error.help("the samples have channels last: --layout nhwc"),
        (Some(Layout::Nchw), _) => error.help("the samples have channels first: --layout nchw"),
        (None, []) => error.help("give one number for each sample, or a single number for all"),
        (None, [_, rest @ ..]) => error.help(format!(
            "give an array of shape [samples{}{}]",
            if rest.is_empty() { "" } else { ", " },
            show(rest).trim_start_matches('[').trim_end_matches(']')
        )),
    }
}

/// Extents in words; a free one is `?`.
pub(super) fn show(dims: &[Option<usize>]) -> String {
    let dims: Vec<String> =
        dims.iter().map(|dim| dim.map_or("?".to_owned(), |dim| dim.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;

    fn spec(dims: &[i64]) -> InputSpec {
        let dims = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
        InputSpec { name: "x".into(), dtype: DType::Float, dims: Some(dims) }
    }

    fn check(dims: &[i64], array: &[usize]) -> Result<(Mode, Vec<usize>)> {
        fit(&spec(dims), array, None).map(|fit| (fit.mode, fit.dims))
    }

    #[test]
    fn rows_wholes_and_scalars() {
        let ok = |dims, array| check(dims, array).unwrap();
        assert_eq!(ok(&[-1, 3, -1, -1], &[9, 3, 5, 6]), (Mode::Rows(None), vec![3, 5, 6]));
        assert_eq!(ok(&[2, 1, 128], &[10, 1, 128]), (Mode::Rows(Some(2)), vec![1, 128]));
        assert_eq!(ok(&[2, 1, 128], &[10, 2, 1, 128]), (Mode::Whole, vec![2, 1, 128]));
        assert_eq!(ok(&[], &[10]), (Mode::Whole, vec![]));
        assert_eq!(ok(&[], &[]), (Mode::Shared, vec![]));
        assert_eq!(ok(&[1], &[10]), (Mode::Rows(Some(1)), vec![]));
    }

    #[test]
    fn flat_and_unit_axes_are_folded_but_layouts_are_not() {
        let ok = |dims, array| check(dims, array).unwrap().1;
        assert_eq!(ok(&[1, 64], &[9, 1, 8, 8]), [64]);
        assert_eq!(ok(&[-1, 1, 28, 28], &[9, 784]), [1, 28, 28]);
        assert_eq!(ok(&[-1, 1, 28, 28], &[9, 28, 28]), [1, 28, 28]);
        assert!(check(&[-1, 3, 32, 32], &[9, 32, 32, 3]).is_err());
        assert!(check(&[-1, 4, 6], &[9, 6, 4]).is_err());
        assert!(check(&[-1, -1, 64], &[9, 64]).is_err());
    }

    #[test]
    fn layouts_follow_the_model() {
        let turn = |dims: &[i64], array: &[usize], layout| {
            let fit = fit(&spec(dims), array, Some(layout)).unwrap();
            (fit.transposed, fit.dims, fit.layout)
        };
        let (first, last) = (Layout::Nchw, Layout::Nhwc);
        assert_eq!(turn(&[1, 3, 4, 5], &[9, 4, 5, 3], last), (true, vec![3, 4, 5], Some(first)));
        assert_eq!(turn(&[1, 4, 5, 3], &[9, 4, 5, 3], last), (false, vec![4, 5, 3], Some(last)));
        assert_eq!(turn(&[1, 4, 5, 3], &[9, 3, 4, 5], first), (true, vec![4, 5, 3], Some(last)));
        assert_eq!(turn(&[1, -1, -1, -1], &[9, 4, 5, 3], last).1, [3, 4, 5]);
        assert_eq!(turn(&[1, -1, -1, -1], &[9, 3, 4, 5], first).1, [3, 4, 5]);
    }

    #[test]
    fn errors_say_what_to_do() {
        let message = |dims, array| check(dims, array).unwrap_err().to_string();
        assert_eq!(
            message(&[-1, 3, 4, 5], &[9, 4, 5, 3]),
            "input `x` takes [?, 3, 4, 5], found an array of shape [9, 4, 5, 3]; \
             the samples have channels last: --layout nhwc"
        );
        assert!(message(&[1, 32], &[9, 16]).ends_with("give an array of shape [samples, 32]"));
        assert!(message(&[1, 32], &[]).contains("shape []"));
    }
}
