//! Names: values found by name, and names that nothing has yet.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hashbrown::HashTable;
use smol_str::{SmolStr, format_smolstr};

use crate::ir::{Model, Value, ValueId};

/// Values of one arena by name. Holds ids only: the names stay where they are.
#[derive(Debug, Default)]
pub(crate) struct NameIndex(HashTable<ValueId>);

/// Seeds that no file can foresee, so that its names cannot be made to collide.
static SEEDS: LazyLock<(u64, SharedSeed)> = LazyLock::new(|| {
    let random = || RandomState::new().hash_one(0);
    (random(), SharedSeed::from_u64(random()))
});

/// A fast hash under those seeds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seeded;

impl BuildHasher for Seeded {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        let (own, shared) = &*SEEDS;
        FoldHasher::with_seed(*own, shared)
    }
}

fn hash(name: &str) -> u64 {
    Seeded.hash_one(name)
}

impl NameIndex {
    /// Makes room for `count` names; only a hint.
    pub(crate) fn expect(&mut self, count: usize, values: &[Value]) {
        let _ = self.0.try_reserve(count, |id| hash(&values[id.index()].name));
    }

    /// The value of that name.
    pub(crate) fn get(&self, name: &str, values: &[Value]) -> Option<ValueId> {
        self.0.find(hash(name), |id| values[id.index()].name == name).copied()
    }

    /// Adds a value; false, and nothing changes, when one of its name is there.
    pub(crate) fn insert(&mut self, value: ValueId, values: &[Value]) -> bool {
        let name = |id: &ValueId| &values[id.index()].name;
        let own = name(&value);
        let entry = self.0.entry(hash(own), |id| name(id) == own, |id| hash(name(id)));
        match entry {
            hashbrown::hash_table::Entry::Occupied(_) => false,
            hashbrown::hash_table::Entry::Vacant(entry) => {
                entry.insert(value);
                true
            }
        }
    }

    /// Takes out the value of that name.
    pub(crate) fn remove(&mut self, name: &str, values: &[Value]) {
        if let Ok(entry) = self.0.find_entry(hash(name), |id| values[id.index()].name == name) {
            entry.remove();
        }
    }
}

/// For each value of the arena whether others may have its name, too: false is certain.
///
/// Hashes are sorted rather than looked up one by one: sorting goes through memory in order, and
/// large tables do not fit into the caches.
pub(crate) fn maybe_shared(values: &[Value]) -> Vec<bool> {
    let hashed = values.iter().enumerate().filter(|(_, value)| value.alive);
    let mut hashes: Vec<(u64, usize)> = hashed.map(|(i, value)| (hash(&value.name), i)).collect();
    hashes.sort_unstable();
    let mut shared = vec![false; values.len()];
    for pair in hashes.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        (shared[pair[0].1], shared[pair[1].1]) = (true, true);
    }
    shared
}

/// Names that are in use, made when the first new one is asked for: a model that is only read and
/// written needs none of this.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    names: Option<HashSet<SmolStr, Seeded>>,
    suffixes: HashMap<SmolStr, u32>,
}

impl Taken {
    /// Notes that `name` is in use.
    pub(crate) fn note(&mut self, name: &SmolStr) {
        if let Some(names) = &mut self.names {
            names.insert(name.clone());
        }
    }

    /// `base`, or `base_1`, `base_2`, …: the first that is neither empty nor in use. `all` are the
    /// names in use so far.
    pub(crate) fn fresh(&mut self, base: &str, all: impl Iterator<Item = SmolStr>) -> SmolStr {
        let names = self.names.get_or_insert_with(|| all.collect());
        if !base.is_empty() && names.insert(base.into()) {
            return base.into();
        }
        let counter = self.suffixes.entry(base.into()).or_insert(0);
        loop {
            *counter += 1;
            let name = format_smolstr!("{base}_{counter}");
            if names.insert(name.clone()) {
                return name;
            }
        }
    }
}

impl Model {
    /// Gives inputs and outputs of the model other names; what else has one of these names gets a fresh one.
    pub fn rename_ports(&mut self, names: &[(ValueId, String)]) {
        let wanted: HashSet<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
        let renamed: HashSet<ValueId> = names.iter().map(|&(value, _)| value).collect();
        let in_the_way = |&(id, value): &(ValueId, &Value)| {
            !renamed.contains(&id) && wanted.contains(value.name.as_str())
        };
        let others: Vec<ValueId> = self.values().filter(in_the_way).map(|(id, _)| id).collect();
        for value in others {
            let base = self.values[value.index()].name.clone();
            self.values[value.index()].name = self.fresh_name(&base);
        }
        for (value, name) in names {
            let name = SmolStr::from(name);
            self.value_names.note(&name);
            self.values[value.index()].name = name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Def, Model};

    #[test]
    fn values_are_found_by_name_and_refused_twice() {
        let mut model = Model::new(8, 17);
        let ids: Vec<ValueId> = ["a", "b", "a", "a much longer name than fits inline"]
            .map(|name| model.add_value(model.main(), name.into(), Def::Undefined))
            .to_vec();
        let mut index = NameIndex::default();
        index.expect(3, &model.values);
        let inserted = ids.iter().map(|&id| index.insert(id, &model.values));
        assert_eq!(inserted.collect::<Vec<_>>(), [true, true, false, true]);
        assert_eq!(index.get("a", &model.values), Some(ids[0]));
        assert_eq!(index.get(model.value(ids[3]).name(), &model.values), Some(ids[3]));
        assert_eq!(maybe_shared(&model.values), [true, false, true, false]);
        index.remove("a", &model.values);
        assert_eq!(index.get("a", &model.values), None);
        assert_eq!(index.get("b", &model.values), Some(ids[1]));
    }

    #[test]
    fn fresh_names_know_what_was_there_before() {
        let mut taken = Taken::default();
        let all = || ["x", "x_1"].map(SmolStr::from).into_iter();
        assert_eq!(taken.fresh("x", all()), "x_2");
        taken.note(&"y".into());
        assert_eq!(taken.fresh("y", all()), "y_1");
        assert_eq!(taken.fresh("z", all()), "z");
        assert_eq!(taken.fresh("", all()), "_1");
    }
}
