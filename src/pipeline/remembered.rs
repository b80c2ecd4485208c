//! Ranges that are measured once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::analysis::{Asked, Measure, Range, VectorMoments, Vectors};
use crate::error::Result;
use crate::ir::{Model, ValueId};

/// What identifies a question: the name of the value, the levels of its grid, whether it is symmetric.
type Question = (String, u32, bool);

/// Asks another [`Measure`] once for each value, by name: for trials with models that differ in what
/// is quantized, but not in what their float values are.
pub struct Remembered<'a> {
    measure: &'a dyn Measure,
    known: Mutex<HashMap<Question, Option<Range>>>,
    means: Mutex<Vec<(String, Vectors, Option<VectorMoments>)>>,
}

impl<'a> Remembered<'a> {
    /// Nothing is known yet.
    pub fn new(measure: &'a dyn Measure) -> Self {
        Self { measure, known: Mutex::default(), means: Mutex::default() }
    }
}

impl Measure for Remembered<'_> {
    fn ranges(&self, model: &Model, asked: &[Asked]) -> Result<Vec<Option<Range>>> {
        let question = |asked: &Asked| -> Question {
            (model.value(asked.value).name().to_owned(), asked.levels, asked.symmetric)
        };
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock();
        let new: Vec<Asked> =
            asked.iter().filter(|asked| !known.contains_key(&question(asked))).copied().collect();
        // Not held while measuring, which other threads help with.
        drop(known);
        if !new.is_empty() {
            let measured = self.measure.ranges(model, &new)?;
            lock().extend(new.iter().map(question).zip(measured));
        }
        let known = lock();
        Ok(asked.iter().map(|asked| known.get(&question(asked)).copied().flatten()).collect())
    }

    /// Means are remembered; products are large, and who asks for them remembers what follows.
    fn moments(&self, model: &Model, asked: &[Vectors]) -> Result<Vec<Option<VectorMoments>>> {
        if asked.iter().any(|vectors| vectors.products) {
            return self.measure.moments(model, asked);
        }
        let lock = || self.means.lock().unwrap_or_else(PoisonError::into_inner);
        let name = |vectors: &Vectors| model.value(vectors.value).name().to_owned();
        let find = |vectors: &Vectors| {
            let (known, name) = (lock(), name(vectors));
            let found = known.iter().find(|(of, known, _)| *of == name && known == vectors);
            found.map(|(_, _, moments)| moments.clone())
        };
        let new: Vec<Vectors> =
            asked.iter().filter(|vectors| find(vectors).is_none()).cloned().collect();
        if !new.is_empty() {
            let measured = self.measure.moments(model, &new)?;
            let entries = new.into_iter().zip(measured);
            let entries: Vec<_> =
                entries.map(|(vectors, found)| (name(&vectors), vectors, found)).collect();
            lock().extend(entries);
        }
        Ok(asked.iter().map(|vectors| find(vectors).flatten()).collect())
    }

    fn magnitudes(
        &self,
        model: &Model,
        asked: &[(ValueId, usize)],
    ) -> Result<Vec<Option<Vec<f32>>>> {
        self.measure.magnitudes(model, asked)
    }
}
