//! A matrix of weights in all the forms that it can take.

use crate::math::lowrank::{Matrix, Spectrum, damped, gram};
use crate::math::separable::{Separable, core, separate};
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
    spatial: Vec<Separable>,
}

struct Mixed {
    rank: usize,
    mix: Matrix,
    core: Spectrum,
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
    /// Of weights `w`, with the second moments of their inputs; with `others`, those of inputs on which errors
    /// are judged. `None` when they cannot be decomposed.
    pub fn of(
        w: &Matrix,
        (moments, others): (Option<Matrix>, Option<Matrix>),
        extents: &Extents,
        wanted: &Wanted,
    ) -> Option<Self> {
        let moments = moments.map(damped);
        let moments = moments.as_ref();
        let judged = |spectrum: Spectrum| match &others {
            Some(others) => spectrum.judged(others),
            None => spectrum,
        };
        let outer = judged(Spectrum::of(w, moments)?);
        let mut found = Self { outer, inputs: Vec::new(), spatial: Vec::new() };
        let told = |product: Separable, places: usize| match &others {
            Some(others) => product.judged(w, others, places),
            None => product,
        };
        let places = extents.places(Reach::All);
        let ranks = wanted.ranks(&[Form::Input, Form::Tucker], extents.most(Form::Input, 0));
        for product in separate(w, moments, places, &ranks)? {
            let core = core(&product, moments, places)?;
            let core = match &others {
                Some(others) => core.judged(&gram(&product.reading(places), Some(others))),
                None => core,
            };
            let Separable { first, loss, .. } = told(product, places);
            found.inputs.push(Mixed { rank: first.nrows(), mix: first, core, loss });
        }
        let ranks = wanted.ranks(&[Form::Spatial], extents.most(Form::Spatial, 0));
        let rest = extents.places(Reach::Rest);
        let spatial = separate(w, moments, rest, &ranks)?;
        found.spatial = spatial.into_iter().map(|product| told(product, rest)).collect();
        Some(found)
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
        splits.extend(self.spatial.iter().map(|at| split(Form::Spatial, &[at.first.nrows()])));
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

    fn separated(&self, rank: usize) -> Option<&Separable> {
        self.spatial.iter().find(|separated| separated.first.nrows() == rank)
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
                vec![separated.first.clone(), separated.last.clone()]
            }
        })
    }
}
