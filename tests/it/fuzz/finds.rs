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
    let mut seen = 0;
    for target in ["bytes", "graphs", "locations", "samples", "text"] {
        for path in finds(target) {
            eprintln!("{}", path.display());
            let data = read(&path);
            match target {
                "bytes" => bytes::check(&data),
                "graphs" => graphs::check(&data) != graphs::Tried::Nothing,
                "locations" => place.check(&data),
                "samples" => samples::check(&data),
                _ => text::check(&data),
            };
            seen += 1;
        }
    }
    assert!(seen > 3, "only {seen} finds are there");
}
