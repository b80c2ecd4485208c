//! What a model is really fed, and what about it cannot be meant.

use rayon::prelude::*;

use crate::data::Samples;
use crate::data::feed::Feed;
use crate::error::Result;
use crate::tensor::{DType, Tensor};

/// What the inputs of a model are fed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fed {
    /// The inputs, in the order in which samples were opened against them.
    pub inputs: Vec<FedInput>,
    /// What the user must know.
    pub warnings: Vec<String>,
}

/// What one input is fed.
#[derive(Debug, Clone, PartialEq)]
pub struct FedInput {
    /// Its name.
    pub name: String,
    /// The array that feeds it, when that has another name.
    pub from: Option<String>,
    /// Samples that were looked at: all, unless that are very many.
    pub samples: usize,
    /// The smallest element.
    pub min: f64,
    /// The largest element.
    pub max: f64,
    /// The mean of the elements.
    pub mean: f64,
}

/// Elements that are looked at of each input, a tenth of a second; of larger sets, runs that are spread
/// over all.
const ELEMENTS: usize = 1 << 26;
/// Fewest runs that are looked at.
const RUNS: usize = 16;
/// Values beyond are no usual inputs: scaled pictures, sounds and measurements stay far below.
const HUGE: f64 = 1e6;
/// The largest number of 8-bit pictures, and one that a set of real ones reaches.
const WHITE: (f64, f64) = (255.0, 128.0);
/// Axes of a sample that is a picture: height, width, channels.
const PICTURE: usize = 3;

/// Sums over the elements of an input.
#[derive(Debug, Clone, Copy)]
struct Seen {
    min: f64,
    max: f64,
    sum: f64,
    elements: usize,
    samples: usize,
    /// Samples without an element other than 0.
    zeros: usize,
    /// All elements are whole numbers.
    whole: bool,
    /// Of the first sample; 0 for another sample that differs from it.
    digest: u64,
    alike: bool,
    rank: usize,
}

impl Seen {
    fn of(tensor: &Tensor, (count, size): (usize, usize)) -> Result<Self> {
        let elements = tensor.to_f64()?;
        let width = elements.len().checked_div(size).unwrap_or(elements.len());
        let real = &elements[..(width * count).min(elements.len())];
        let mut seen = Self {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: 0.0,
            elements: real.len(),
            samples: count,
            zeros: 0,
            whole: true,
            digest: 0,
            alike: true,
            rank: tensor.dims().len(),
        };
        for &x in real {
            seen.min = seen.min.min(x);
            seen.max = seen.max.max(x);
            seen.sum += x;
            seen.whole &= x.fract() == 0.0;
        }
        let mut samples = real.chunks(width.max(1)).map(|sample| {
            let bits = sample.iter().map(|x| x.to_bits());
            (sample.iter().all(|&x| x == 0.0), bits.fold(0, |all: u64, x| all.rotate_left(5) ^ x))
        });
        if let Some((zero, digest)) = samples.next() {
            (seen.zeros, seen.digest) = (usize::from(zero), digest);
        }
        for (zero, digest) in samples {
            seen.zeros += usize::from(zero);
            seen.alike &= digest == seen.digest;
        }
        Ok(seen)
    }

    fn merge(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            sum: self.sum + other.sum,
            elements: self.elements + other.elements,
            samples: self.samples + other.samples,
            zeros: self.zeros + other.zeros,
            whole: self.whole && other.whole,
            digest: self.digest,
            alike: self.alike && other.alike && self.digest == other.digest,
            rank: self.rank,
        }
    }
}

impl Fed {
    /// What `samples` feed.
    pub(super) fn of(samples: &Samples) -> Result<Self> {
        let runs = looked_at(samples)?;
        let one = |&run: &usize| -> Result<Vec<Seen>> {
            let run = samples.run(run)?;
            // An input without a batch belongs to the only sample of its run.
            let share = |tensor: &Tensor| match tensor.dims().first() {
                Some(&first) if first == run.size => (run.count, run.size),
                _ => (1, 1),
            };
            run.inputs.iter().map(|(_, tensor)| Seen::of(tensor, share(tensor))).collect()
        };
        let all: Vec<Vec<Seen>> = runs.par_iter().map(one).collect::<Result<_>>()?;
        let merge = |a: Vec<Seen>, b: Vec<Seen>| {
            a.into_iter().zip(b).map(|(a, b)| a.merge(b)).collect::<Vec<_>>()
        };
        let Some(seen) = all.into_iter().reduce(merge) else { return Ok(Self::default()) };
        let mut fed = Self::default();
        for (feed, seen) in samples.feeds.iter().zip(&seen) {
            fed.inputs.push(FedInput {
                name: feed.name.clone(),
                from: feed.renamed().map(ToOwned::to_owned),
                samples: seen.samples,
                min: seen.min,
                max: seen.max,
                mean: seen.sum / seen.elements.max(1) as f64,
            });
            if !samples.is_random() {
                fed.warnings.extend(concerns(feed, seen, (samples.len(), seen.rank)));
                let table = samples.tables().get(&feed.name);
                fed.warnings.extend(table.and_then(|&rows| outside(feed, seen, rows)));
            }
        }
        if !samples.is_random() {
            fed.warnings.extend(few(samples, &seen));
        }
        Ok(fed)
    }

    /// What feeds inputs of other names, in words.
    pub fn renamed(&self) -> impl Iterator<Item = String> {
        self.inputs.iter().filter_map(|FedInput { name, from, .. }| {
            Some(format!("array `{}` feeds input `{name}`", from.as_ref()?))
        })
    }
}

/// The runs that are looked at: all, or some that are spread over them.
fn looked_at(samples: &Samples) -> Result<Vec<usize>> {
    let runs = samples.runs();
    let first = samples.run(0)?;
    let largest = first.inputs.iter().map(|(_, tensor)| tensor.len()).max().unwrap_or(1);
    let most = (ELEMENTS / largest.max(1)).max(RUNS).min(runs);
    Ok((0..most).map(|i| i * runs / most).collect())
}

/// What about the values of one input cannot be meant.
fn concerns(feed: &Feed, seen: &Seen, (samples, rank): (usize, usize)) -> Vec<String> {
    let mut found = Vec::new();
    let name = &feed.name;
    let (min, max) = (seen.min, seen.max);
    let float = feed.dtype.is_float();
    let constant = min == max && seen.elements > seen.samples;
    if constant && float {
        found.push(format!("input `{name}` is {min} everywhere, in all samples"));
    } else if float && seen.zeros > 0 {
        let (zeros, all) = (seen.zeros, seen.samples);
        found.push(format!("input `{name}`: {zeros} of {all} samples are 0 everywhere"));
    }
    let raw = feed.untouched_type();
    let bytes = matches!(raw, Some(DType::Uint8 | DType::Int8));
    let like_bytes = raw.is_some_and(DType::is_float)
        && rank > PICTURE
        && seen.whole
        && min >= 0.0
        && (WHITE.1..=WHITE.0).contains(&max);
    let advice = "give --scale, --mean or --preprocess if the model was trained on other values";
    if float && !constant && (bytes || like_bytes) {
        let what = if bytes { "8-bit data reach" } else { "whole numbers as of 8-bit data reach" };
        found.push(format!(
            "input `{name}`: {what} the model as they are, from {min} to {max}; {advice}"
        ));
    }
    if float && (max > HUGE || min < -HUGE) {
        found.push(format!(
            "input `{name}` reaches from {min:e} to {max:e}; such values are hardly meant; {advice}"
        ));
    }
    if !float && constant && samples > 1 && seen.alike && feed.len.is_some() && rank > 1 {
        found.push(format!("input `{name}` is {min} everywhere, in all samples"));
    }
    found
}

/// Elements that look up rows that a table does not have.
fn outside(feed: &Feed, seen: &Seen, rows: u64) -> Option<String> {
    let rows = rows as f64;
    let worst = if seen.max >= rows { seen.max } else { seen.min };
    (seen.max >= rows || seen.min < -rows).then(|| {
        format!(
            "input `{}`: {worst} is outside of the table of {rows} rows that it reaches",
            feed.name
        )
    })
}

/// That there is next to nothing to learn from.
fn few(samples: &Samples, seen: &[Seen]) -> Option<String> {
    let alike = seen.iter().all(|seen| seen.alike);
    match samples.len() {
        1 => Some("there is one sample: figures say nothing about others".to_owned()),
        n if alike => {
            Some(format!("all {n} samples are the same: figures say nothing about others"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{npy, npy_f32, npy_i64, npz};
    use crate::data::{InputSpec, Options, Preprocess};

    fn fed(array: Vec<u8>, (dtype, dims): (DType, &[usize]), options: &Options) -> Fed {
        let folder = tempfile::tempdir().unwrap();
        let dims = [None].into_iter().chain(dims.iter().copied().map(Some)).collect();
        let input = InputSpec { name: "x".into(), dtype, dims: Some(dims) };
        let path = npz(folder.path(), &[("a", array)]);
        Samples::open(&path, &[input], options).unwrap().fed().unwrap().clone()
    }

    fn floats(values: &[f32]) -> Vec<String> {
        fed(npy_f32(&[values.len() / 2, 2], values), (DType::Float, &[2]), &Options::default())
            .warnings
    }

    #[test]
    fn what_is_fed_is_measured_after_it_was_scaled() {
        let pixels = npy("|u1", false, &[2, 3, 1, 1], &[0, 100, 200, 51, 50, 0]);
        let float = (DType::Float, &[3, 1, 1][..]);
        let raw = fed(pixels.clone(), float, &Options::default());
        assert_eq!((raw.inputs[0].min, raw.inputs[0].max), (0.0, 200.0));
        assert!(raw.warnings[0].contains("8-bit data reach the model as they are, from 0 to 200"));
        assert_eq!(raw.renamed().collect::<Vec<_>>(), ["array `a` feeds input `x`"]);
        let preprocess = Preprocess { scale: Some(1.0 / 200.0), ..Preprocess::default() };
        let scaled = fed(pixels.clone(), float, &Options { preprocess, ..Options::default() });
        assert!((scaled.inputs[0].max, scaled.warnings.len()) == (1.0, 0), "{scaled:?}");
        // For integers nothing is to be scaled.
        assert_eq!(fed(pixels, (DType::Uint8, &[3, 1, 1]), &Options::default()).warnings.len(), 0);
    }

    #[test]
    fn values_that_cannot_be_meant_are_named() {
        let cases: [(&[f32], &str); 6] = [
            (&[0.5, 0.5, 0.5, 0.5], "is 0.5 everywhere"),
            (&[0.0, 0.0, 0.5, 0.25], "1 of 2 samples are 0 everywhere"),
            (&[1.0, 0.0, 0.5, -2e6], "reaches from -2e6 to 1e0"),
            (&[1.0, 2.0], "there is one sample"),
            (&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0], "all 3 samples are the same"),
            (&[1.0, 2.0, 1.0, 2.5], ""),
        ];
        for (values, expected) in cases {
            let found = floats(values);
            let hit = found.iter().any(|text| text.contains(expected));
            assert!(
                if expected.is_empty() { found.is_empty() } else { hit },
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn floats_that_are_pictures_of_bytes_are_noticed() {
        let pixels: Vec<f32> = (0..24u8).map(|i| f32::from(i * 10)).collect();
        let like = |values: &[f32], dims: &[usize]| {
            let shape = [&[2], dims].concat();
            fed(npy_f32(&shape, values), (DType::Float, dims), &Options::default()).warnings.len()
        };
        assert_eq!(like(&pixels, &[3, 2, 2]), 1);
        assert_eq!(like(&pixels, &[12]), 0, "no picture");
        let odd: Vec<f32> = pixels.iter().map(|x| x + 0.5).collect();
        assert_eq!(like(&odd, &[3, 2, 2]), 0, "no whole numbers");
    }

    #[test]
    fn ids_outside_of_a_table_are_named() {
        let ids = |values: &[i64]| {
            let tables = [("x".to_owned(), 10)].into();
            let options = Options { tables, ..Options::default() };
            fed(npy_i64(&[2, 2], values), (DType::Int64, &[2]), &options).warnings
        };
        assert_eq!(ids(&[1, 2, 3, 9]), [""; 0]);
        assert_eq!(
            ids(&[1, 2, 3, 10]),
            ["input `x`: 10 is outside of the table of 10 rows that it reaches"]
        );
        assert_eq!(ids(&[1, 2, 3, -11]).len(), 1);
    }
}
