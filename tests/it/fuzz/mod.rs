//! The targets of `fuzz/` on a few cases: the same ones in every run, in a few seconds.

mod bodies;
mod finds;
mod mutate;

use std::fs;
use std::path::Path;

use bodies::graphs::Tried;
use bodies::{bytes, graphs, locations, samples, text};
use mutate::Mutator;

use crate::support::{fixture, models, npy, root};

/// Cases of the target that draws models.
const CASES: usize = 100;

/// Cases of each target that reads files: most of them are soon refused.
const FILES: usize = 500;

/// Runs a target on [`FILES`] inputs and says how many it accepted. The number of the case is
/// printed, and seen when it fails.
fn accepted(mut make: impl FnMut() -> Vec<u8>, check: impl Fn(&[u8]) -> bool) -> usize {
    let accepts = |case: &usize| {
        eprintln!("case {case}");
        check(&make())
    };
    (0..FILES).filter(accepts).count()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The small models among the fixtures.
fn small_models() -> Vec<Vec<u8>> {
    let names = models().into_iter().filter(|name| name.starts_with("graphs/"));
    names.map(|name| read(&fixture(&name))).collect()
}

#[test]
fn damaged_models_are_refused_or_behave() {
    let (seeds, mut mutator) = (small_models(), Mutator::new(1));
    let accepted = accepted(|| mutator.damaged(&seeds), bytes::check);
    assert!((50..FILES).contains(&accepted), "{accepted} were accepted");
    for _ in 0..CASES {
        let noise = mutator.bytes(64);
        bytes::check(&noise);
    }
}

#[test]
fn drawn_models_go_through_every_pass() {
    let mut mutator = Mutator::new(2);
    let mut tried = Vec::new();
    for case in 0..CASES {
        eprintln!("case {case}");
        tried.push(graphs::check(&mutator.bytes(400)));
    }
    let count = |wanted: Tried| tried.iter().filter(|tried| **tried == wanted).count();
    assert!(count(Tried::Executed) >= 20, "{tried:?}");
    assert!(count(Tried::Nothing) < 5, "{tried:?}");
}

#[test]
fn damaged_text_is_refused_or_behaves() {
    let seeds = vec![read(&root().join("tests/it/everything.txt"))];
    let mut mutator = Mutator::new(3);
    let accepted = accepted(|| mutator.damaged(&seeds), text::check);
    assert!((5..FILES).contains(&accepted), "{accepted} were accepted");
}

#[test]
fn damaged_samples_are_refused_or_behave() {
    let tensor = [0x08, 2, 0x10, 1, 0x42, 1, b'x', 0x4a, 8, 0, 0, 0, 0, 0, 0, 128, 63];
    let mut seeds = vec![
        npy("<f4", &[4, 4], &[0; 64]),
        npy(">i8", &[3], &[0; 24]),
        npy("|u1", &[2, 8, 8, 3], &[7; 384]),
        tensor.to_vec(),
        read(&fixture("tokens_test.npz")),
    ];
    let mut mutator = Mutator::new(4);
    // The end chooses how a file is read.
    let make = || {
        let damaged = if mutator.below(2) == 0 {
            mutator.damaged(&seeds)
        } else {
            seeds[mutator.below(seeds.len())].clone()
        };
        seeds.rotate_left(1);
        [damaged, mutator.bytes(16)].concat()
    };
    let accepted = accepted(make, samples::check);
    assert!((20..FILES).contains(&accepted), "{accepted} were accepted");
}

#[test]
fn external_data_stays_in_its_folder() {
    let place = locations::Place::default();
    let mut mutator = Mutator::new(5);
    let accepted = accepted(|| mutator.bytes(64), |data| place.check(data));
    assert!((20..FILES).contains(&accepted), "{accepted} were accepted");
}
