//! What fuzzing found stays fixed: each file of `fixtures/fuzz/<target>/` is a case that once
//! failed.

use std::path::PathBuf;

use super::bodies::{bytes, graphs, locations, samples, text};
use super::read;
use crate::support::fixture;

fn finds(target: &str) -> Vec<PathBuf> {
    let Ok(entries) = fixture("fuzz").join(target).read_dir() else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_find_stays_fixed() {
    let place = locations::Place::default();
    let targets: [(&str, &dyn Fn(&[u8])); 5] = [
        ("bytes", &|data| drop(bytes::check(data))),
        ("graphs", &|data| drop(graphs::check(data))),
        ("locations", &|data| drop(place.check(data))),
        ("samples", &|data| drop(samples::check(data))),
        ("text", &|data| drop(text::check(data))),
    ];
    for (target, check) in targets {
        for path in finds(target) {
            println!("{}", path.display());
            check(&read(&path));
        }
    }
}
