//! Which indices of a model a cut has left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ir::ValueId;

/// Value and axis.
type Place = (ValueId, usize);

/// For each axis of a value that was cut, the indices that are left, as they were numbered before any
/// cut. Clones share what they know: the pass that cuts writes it down, the pass that repairs reads it.
#[derive(Debug, Clone, Default)]
pub struct Survivors(Arc<Mutex<Known>>);

#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    left: BTreeMap<Place, Vec<usize>>,
    moved: BTreeSet<ValueId>,
}

impl PartialEq for Survivors {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || *self.lock() == *other.lock()
    }
}

impl Survivors {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing was cut.
    pub fn clear(&self) {
        *self.lock() = Known::default();
    }

    /// A value that was not there before: what reads it does not read what it read.
    pub fn moved(&self, value: ValueId) {
        self.lock().moved.insert(value);
    }

    /// What is known now, for [`restore`](Self::restore).
    pub fn saved(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }

    /// Takes back what was said since something was `saved`.
    pub fn restore(&self, saved: &Self) {
        self.lock().clone_from(&*saved.lock());
    }

    /// An axis was cut, perhaps again: `kept` are its indices before this cut.
    pub fn keep(&self, value: ValueId, axis: usize, kept: &[usize]) {
        let all = &mut self.lock().left;
        let left = match all.get(&(value, axis)) {
            Some(before) => kept.iter().filter_map(|&index| before.get(index).copied()).collect(),
            None => kept.to_vec(),
        };
        all.insert((value, axis), left);
    }

    /// What is left of an axis; `None` when it was not cut.
    pub fn on(&self, value: ValueId, axis: usize) -> Option<Vec<usize>> {
        self.lock().left.get(&(value, axis)).cloned()
    }

    /// Whether any axis of a value was cut, or the value is new.
    pub fn cut(&self, value: ValueId) -> bool {
        let known = self.lock();
        known.moved.contains(&value)
            || known.left.range((value, 0)..=(value, usize::MAX)).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Model;

    #[test]
    fn a_second_cut_counts_in_the_numbers_of_the_first() {
        let mut model = Model::new(8, 17);
        let main = model.main();
        let value = model.add_input(
            main,
            "x",
            crate::ir::TensorType::with_dims(crate::tensor::DType::Float, &[8]),
        );
        let survivors = Survivors::default();
        survivors.clone().keep(value, 1, &[0, 2, 5, 7]);
        let saved = survivors.saved();
        survivors.keep(value, 1, &[1]);
        survivors.restore(&saved);
        survivors.keep(value, 1, &[1, 3]);
        assert_eq!(survivors.on(value, 1), Some(vec![2, 7]));
        assert!(survivors.cut(value) && survivors.on(value, 0).is_none());
    }
}
