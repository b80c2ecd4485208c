//! A matrix of weights in all the forms that it can take.

use crate::math::lowrank::{Matrix, Spectrum, damped, fit_last, gram};
use crate::passes::factorize::shape::{Extents, Form, Reach, Split};

/// Numbers of channels that are tried where each takes a decomposition of its own.
const TRIED: usize = 8;

/// The weights of one group, decomposed.
pub(super) struct Parts {
    /// Outputs by windows.
    outer: Spectrum,
    /// For some numbers of mixed inputs: how they are mixed, and what reads them.
    inputs: Vec<Mixed>,
    /// For some numbers of channels between: the weights along the first axis and along the others.
    spatial: Vec<Separated>,
}

struct Mixed {
    rank: usize,
    mix: Matrix,
    core: Spectrum,
    loss: f64,
}

struct Separated {
    rank: usize,
    first: Matrix,
    rest: Matrix,
    loss: f64,
}

/// Which ranks are looked at.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// Multiples of a number, of all forms.
    Multiples(usize),
    /// These alone.
    Just(Split),
}

impl Wanted {
    /// The ranks of a form that need a decomposition each, of at most `most`.
    fn ranks(&self, forms: &[Form], most: usize) -> Vec<usize> {
        match self {
            Self::Just(split) if forms.contains(&split.form) => {
                split.ranks.first().map(|&rank| rank.min(most)).into_iter().collect()
            }
            Self::Just(_) => Vec::new(),
            Self::Multiples(multiple) => {
                let share = |i: usize| (most * i / TRIED).div_ceil(*multiple) * multiple;
                let mut ranks: Vec<usize> =
                    (1..=TRIED).map(share).filter(|&rank| 0 < rank && rank <= most).collect();
                ranks.dedup();
                ranks
            }
        }
    }
}

impl Parts {
    /// Of weights `w`, with the second moments of their inputs. `None` when they cannot be decomposed.
    pub fn of(
        w: &Matrix,
        moments: Option<Matrix>,
        extents: &Extents,
        wanted: &Wanted,
    ) -> Option<Self> {
        let moments = moments.map(damped);
        let moments = moments.as_ref();
        let mut found =
            Self { outer: Spectrum::of(w, moments)?, inputs: Vec::new(), spatial: Vec::new() };
        let places = extents.places(Reach::All);
        if extents.kernel.is_empty() || places <= 1 {
            return Some(found);
        }
        let ranks = wanted.ranks(&[Form::Input, Form::Tucker], extents.inputs);
        found.mix(w, moments, extents.inputs, places, &ranks)?;
        let rest = extents.places(Reach::Rest);
        if extents.kernel.len() > 1 && rest > 1 && rest < places {
            let most = (extents.inputs * (places / rest)).min(extents.outputs * rest);
            let ranks = wanted.ranks(&[Form::Spatial], most);
            found.separate(w, moments, (extents.inputs, places / rest, rest), &ranks)?;
        }
        Some(found)
    }

    /// Columns are channels, and within each places.
    fn mix(
        &mut self,
        w: &Matrix,
        moments: Option<&Matrix>,
        channels: usize,
        places: usize,
        ranks: &[usize],
    ) -> Option<()> {
        let outputs = w.nrows();
        let tall = Matrix::from_fn(outputs * places, channels, |row, channel| {
            w[(row / places, channel * places + row % places)]
        });
        let means = moments.map(|moments| {
            diagonal_sum(moments, channels, places, |channel, place| channel * places + place)
        });
        let mixing = Spectrum::of(&tall, means.as_ref()).filter(|_| !ranks.is_empty());
        let Some(mixing) = mixing else { return ranks.is_empty().then_some(()) };
        for &rank in ranks {
            let mix = mixing.factors(rank).1;
            let rank = mix.nrows();
            // What the core reads: each place of each mixed channel.
            let read = Matrix::from_fn(rank * places, channels * places, |row, column| {
                let same = row % places == column % places;
                if same { mix[(row / places, column / places)] } else { 0.0 }
            });
            let (core, loss) = fit_last(w, moments, &read)?;
            let core = Spectrum::of(&core, Some(&damped(gram(&read, moments))))?;
            self.inputs.push(Mixed { rank, mix, core, loss });
        }
        Some(())
    }

    /// Columns are channels, within each the first axis, and within that the others.
    fn separate(
        &mut self,
        w: &Matrix,
        moments: Option<&Matrix>,
        (channels, high, wide): (usize, usize, usize),
        ranks: &[usize],
    ) -> Option<()> {
        let outputs = w.nrows();
        let at = |line: usize, x: usize| line * wide + x;
        let tall = Matrix::from_fn(outputs * wide, channels * high, |row, line| {
            w[(row / wide, at(line, row % wide))]
        });
        let means = moments.map(|moments| diagonal_sum(moments, channels * high, wide, at));
        let separated = Spectrum::of(&tall, means.as_ref()).filter(|_| !ranks.is_empty());
        let Some(separated) = separated else { return ranks.is_empty().then_some(()) };
        for &rank in ranks {
            let first = separated.factors(rank).1;
            let rank = first.nrows();
            let read = Matrix::from_fn(rank * wide, channels * high * wide, |row, column| {
                let same = row % wide == column % wide;
                if same { first[(row / wide, column / wide)] } else { 0.0 }
            });
            let (rest, loss) = fit_last(w, moments, &read)?;
            self.spatial.push(Separated { rank, first, rest, loss });
        }
        Some(())
    }

    /// The splits that were looked at, those with full ranks among them.
    pub fn splits(&self, extents: &Extents, multiple: usize) -> Vec<Split> {
        let multiples = |most: usize| (1..=most / multiple).map(move |i| i * multiple);
        let split = |form, ranks: &[usize]| Split { form, ranks: ranks.to_vec() };
        let windows = !extents.kernel.is_empty();
        let form = if windows { Form::Channel } else { Form::Matrix };
        let mut splits: Vec<Split> =
            multiples(self.outer.rank()).map(|rank| split(form, &[rank])).collect();
        for mixed in &self.inputs {
            splits.push(split(Form::Input, &[mixed.rank]));
            let most = mixed.core.rank();
            splits.extend(multiples(most).map(|rank| split(Form::Tucker, &[mixed.rank, rank])));
        }
        splits.extend(self.spatial.iter().map(|at| split(Form::Spatial, &[at.rank])));
        splits
    }

    /// Squared error of the outputs, and that of giving nothing; `None` when it was not looked at.
    pub fn loss(&self, split: &Split) -> Option<(f64, f64)> {
        let rank = *split.ranks.first()?;
        let lost = match split.form {
            Form::Matrix | Form::Channel => self.outer.loss(rank),
            Form::Input => self.mixed(rank)?.loss,
            Form::Tucker => {
                let mixed = self.mixed(rank)?;
                mixed.loss + mixed.core.loss(*split.ranks.get(1)?)
            }
            Form::Spatial => self.separated(rank)?.loss,
        };
        Some((lost, self.outer.loss(0)))
    }

    fn mixed(&self, rank: usize) -> Option<&Mixed> {
        self.inputs.iter().find(|mixed| mixed.rank == rank)
    }

    fn separated(&self, rank: usize) -> Option<&Separated> {
        self.spatial.iter().find(|separated| separated.rank == rank)
    }

    /// The matrices of the parts, in the order of [`Extents::stages`].
    pub fn weights(&self, split: &Split) -> Option<Vec<Matrix>> {
        let rank = *split.ranks.first()?;
        Some(match split.form {
            Form::Matrix | Form::Channel => {
                let (left, right) = self.outer.factors(rank);
                vec![right, left]
            }
            Form::Input => {
                let mixed = self.mixed(rank)?;
                let (left, right) = mixed.core.factors(mixed.core.rank());
                vec![mixed.mix.clone(), left * right]
            }
            Form::Tucker => {
                let mixed = self.mixed(rank)?;
                let (left, right) = mixed.core.factors(*split.ranks.get(1)?);
                vec![mixed.mix.clone(), right, left]
            }
            Form::Spatial => {
                let separated = self.separated(rank)?;
                vec![separated.first.clone(), separated.rest.clone()]
            }
        })
    }
}

/// Second moments of one part of an index, added up over the other part.
fn diagonal_sum(
    moments: &Matrix,
    outer: usize,
    inner: usize,
    at: impl Fn(usize, usize) -> usize,
) -> Matrix {
    let sums = Matrix::from_fn(outer, outer, |a, b| {
        (0..inner).map(|i| moments[(at(a, i), at(b, i))]).sum()
    });
    damped(sums)
}
