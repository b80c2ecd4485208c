//! Why a value is needed: a list from which one reason goes in constant time, however many there are.

use std::collections::HashMap;
use std::ops::Deref;

use smallvec::SmallVec;

use crate::ir::Use;

/// Reasons why a value is needed; most have one, which needs no memory of its own. They stand in the order in
/// which they came, as long as there are few.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uses {
    list: SmallVec<[Use; 1]>,
    /// Where each stands, once one of many was removed.
    #[expect(
        clippy::box_collection,
        reason = "most values have few uses and no places: a pointer keeps them small"
    )]
    places: Option<Box<HashMap<Use, usize>>>,
}

/// So many are searched one by one: that is faster than a table, and keeps their order.
const FEW: usize = 64;

impl Uses {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, new: Use) {
        if let Some(places) = &mut self.places {
            places.insert(new, self.list.len());
        }
        self.list.push(new);
    }

    /// Removes one that equals `gone`, if there is one.
    pub fn remove(&mut self, gone: Use) {
        if self.list.len() <= FEW {
            self.places = None;
            if let Some(place) = self.list.iter().rposition(|u| *u == gone) {
                self.list.remove(place);
            }
            return;
        }
        let list = &self.list;
        let table = || Box::new(list.iter().enumerate().map(|(i, &u)| (u, i)).collect());
        let places = self.places.get_or_insert_with(table);
        // Of equal ones the table knows one.
        let known = places.remove(&gone);
        let place = known.or_else(|| self.list.iter().rposition(|u| *u == gone));
        if let Some(place) = place {
            self.list.swap_remove(place);
            if let Some(&moved) = self.list.get(place) {
                places.insert(moved, place);
            }
        }
    }

    pub fn retain(&mut self, wanted: impl Fn(&Use) -> bool) {
        self.places = None;
        self.list.retain(|u| wanted(u));
    }

    /// Those that `wanted` accepts, and the others.
    pub fn split(self, mut wanted: impl FnMut(&Use) -> bool) -> (Self, Self) {
        let (yes, no) = self.list.into_iter().partition::<SmallVec<[Use; 1]>, _>(|u| wanted(u));
        (Self { list: yes, places: None }, Self { list: no, places: None })
    }
}

impl Deref for Uses {
    type Target = [Use];

    fn deref(&self) -> &[Use] {
        &self.list
    }
}

impl Extend<Use> for Uses {
    fn extend<T: IntoIterator<Item = Use>>(&mut self, more: T) {
        more.into_iter().for_each(|new| self.push(new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{GraphId, NodeId};

    fn input(node: usize) -> Use {
        Use::Input { node: NodeId::new(node), slot: node % 3 }
    }

    #[test]
    fn each_of_many_goes_once_and_the_others_stay() {
        let mut uses = Uses::new();
        uses.extend((0..1000).map(input));
        // Equal ones, as pins are.
        let pin = Use::Carried { graph: GraphId::new(0) };
        uses.extend([pin, pin]);
        for node in (0..1000).step_by(2) {
            uses.remove(input(node));
            uses.remove(input(node));
        }
        uses.remove(pin);
        assert_eq!(uses.len(), 501);
        assert_eq!(uses.iter().filter(|u| **u == pin).count(), 1);
        assert!((0..500).all(|i| uses.contains(&input(2 * i + 1))));
        uses.push(input(0));
        uses.remove(pin);
        (0..500).for_each(|i| uses.remove(input(2 * i + 1)));
        assert_eq!(&uses[..], [input(0)]);
    }

    #[test]
    fn few_keep_their_order() {
        let mut uses = Uses::new();
        uses.extend((0..5).map(input));
        uses.remove(input(1));
        let (low, high) = uses.split(|u| *u == input(0) || *u == input(3));
        assert_eq!((&low[..], &high[..]), (&[input(0), input(3)][..], &[input(2), input(4)][..]));
    }
}
