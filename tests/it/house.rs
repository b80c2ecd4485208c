//! The rules of the house (docs/ARCHITECTURE.md), checked on the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use onnxpress::passes::PASSES;

/// Who may use whom. `error` is free for all, a room may always use itself, `verbs` may use everything but `cli`, and
/// `cli`, `lib.rs` and `main.rs` may use everything.
const MAY_USE: &[(&str, &[&str])] = &[
    // What a tensor takes of a mapped file can be given back.
    ("tensor", &["disk"]),
    ("math", &[]),
    ("proto", &[]),
    ("wire", &[]),
    ("disk", &[]),
    ("ir", &["tensor"]),
    ("read", &["disk", "wire", "proto", "tensor", "ir"]),
    ("emit", &["disk", "wire", "proto", "tensor", "ir"]),
    ("analysis", &["tensor", "math", "ir"]),
    ("grad", &["tensor", "math", "ir", "analysis"]),
    ("passes", &["tensor", "math", "ir", "analysis"]),
    ("exec", &["tensor", "math", "ir", "analysis", "emit"]),
    // `read` because the inputs of ONNX test data are encoded tensors.
    ("data", &["disk", "tensor", "read"]),
    ("calibrate", &["tensor", "math", "ir", "analysis", "exec", "data"]),
    ("distill", &["tensor", "math", "ir", "analysis", "passes", "grad", "exec", "data"]),
    ("validate", &["tensor", "math", "ir", "analysis", "exec", "data"]),
    (
        "pipeline",
        &["ir", "analysis", "passes", "calibrate", "validate", "exec", "emit", "tensor", "data"],
    ),
    (
        "compress",
        &[
            "tensor",
            "math",
            "ir",
            "analysis",
            "passes",
            "exec",
            "emit",
            "data",
            "calibrate",
            "validate",
            "distill",
            "pipeline",
        ],
    ),
    (
        "report",
        &[
            "tensor",
            "math",
            "ir",
            "analysis",
            "passes",
            "data",
            "calibrate",
            "validate",
            "distill",
            "pipeline",
            "compress",
        ],
    ),
];

/// Rooms from which everything may be used, but for those of the program: the verbs bring all of it together.
const TOP: &[&str] = &["cli", "lib", "main", "verbs"];

/// What `passes` is made of, from the ground up: a part uses those before it, and the first five each other.
const PASS_LEVELS: &[&str] = &[
    "budget",
    "context",
    "pass",
    "report",
    "rule",
    "rewrite",
    "stored",
    "simplify",
    "quantize",
    "convert",
    "refit",
    "prune",
    "factorize",
    "registry",
];
/// Parts of `passes` that may use each other.
const PASS_GROUND: usize = 5;

/// Parts of the crate that everything may use.
const FREE: &[&str] = &["error"];

/// What to do instead of using a room that one may not use.
fn instead(used: &str) -> &'static str {
    match used {
        "exec" | "calibrate" => {
            "ask for what only running a model tells through `analysis::Evaluate` or \
             `analysis::Measure`, and let the caller hand it in"
        }
        "read" | "emit" => "take and return a `Model`, and let the caller read and write it",
        "data" => "take tensors as arguments, and let the caller load them",
        "passes" | "pipeline" | "compress" => {
            "return facts, and let the pipeline decide what to run"
        }
        "cli" | "report" => "return data, and let `report` and `cli` show it",
        "proto" => "keep the message in `read` and `emit`, and carry its bytes in the IR",
        _ => "move what both need into a room that both may use, or take it as an argument",
    }
}

/// Longest file of the house, in lines.
const HARD_STOP: usize = 600;
/// Half of the files are no longer than this.
const MEDIAN: usize = 150;
/// Nine of ten files are no longer than this.
const PERCENTILE_90: usize = 300;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rust files below `folder`, with paths relative to the root, sorted.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut pending = vec![root().join(folder)];
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .expect("a folder can be listed")
                    .map(|entry| entry.expect("listed").path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path.strip_prefix(root()).expect("below the root").to_owned());
        }
    }
    files.sort();
    files
}

fn source(path: &Path) -> String {
    fs::read_to_string(root().join(path)).expect("sources can be read")
}

/// The room of a file below `src`.
fn room(path: &Path) -> String {
    let part = path.components().nth(1).expect("below src").as_os_str().to_string_lossy();
    part.trim_end_matches(".rs").to_owned()
}

/// Code without comments and without what only tests compile: the rest of a file from
/// `#[cfg(test)] mod tests` on.
fn shipped(source: &str) -> Vec<&str> {
    let lines: Vec<&str> = source.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    });
    let lines = &lines[..tests.unwrap_or(lines.len())];
    lines.iter().map(|line| line.split("//").next().unwrap_or_default()).collect()
}

/// Files that only tests compile: those behind `#[cfg(test)] mod name;`.
fn test_files() -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for path in rust_files("src") {
        let source = source(&path);
        let lines: Vec<&str> = source.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            if let Some(name) = pair[1].strip_prefix("mod ").and_then(|m| m.strip_suffix(';')) {
                files.insert(path.with_file_name(format!("{name}.rs")));
            }
        }
    }
    files
}

/// The names right behind `crate::` or `onnxpress::`, groups in braces included, with the line.
fn uses(lines: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let text = lines.join("\n");
    for start in ["crate::", "onnxpress::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let line = text[..at].matches('\n').count() + 1;
            let rest = &text[at + start.len()..];
            let names = match rest.strip_prefix('{') {
                Some(group) => group_heads(group),
                None => vec![head(rest)],
            };
            found.extend(names.into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// The identifier at the start of a path.
fn head(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first identifiers of the paths in `a::x, b::{y, z}}`.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = vec![head(group)];
    let mut depth = 0;
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(head(&group[i + 1..])),
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

#[test]
fn rooms_use_only_what_they_may() {
    let rooms: BTreeSet<String> = rust_files("src").iter().map(|path| room(path)).collect();
    let tests = test_files();
    let mut violations = Vec::new();
    for path in rust_files("src").iter().filter(|path| !tests.contains(*path)) {
        let room = room(path);
        if room == "verbs" {
            let source = source(path);
            let upward = uses(&shipped(&source)).into_iter().filter(|(_, used)| used == "cli");
            violations.extend(upward.map(|(line, _)| {
                format!("{}:{line}: `verbs` may not use `cli`: {}", path.display(), instead("cli"))
            }));
        }
        if TOP.contains(&room.as_str()) || FREE.contains(&room.as_str()) {
            continue;
        }
        let Some((_, may)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            violations.push(format!(
                "{}: the room `{room}` is new; say in MAY_USE (tests/it/house.rs) and in \
                 docs/ARCHITECTURE.md what it may use",
                path.display()
            ));
            continue;
        };
        for (line, used) in uses(&shipped(&source(path))) {
            let fine = used == room || may.contains(&used.as_str()) || FREE.contains(&&*used);
            if rooms.contains(&used) && !fine {
                let may = if may.is_empty() { "nothing of ours".into() } else { may.join(", ") };
                violations.push(format!(
                    "{}:{line}: `{room}` may not use `{used}` (it may use {may}): {}",
                    path.display(),
                    instead(&used)
                ));
            }
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// For each name that `passes` or one of its families gives to others, the part it comes from.
fn homes_of_passes() -> BTreeMap<String, &'static str> {
    let mut homes = BTreeMap::new();
    for part in PASS_LEVELS {
        let path = root().join(format!("src/passes/{part}/mod.rs"));
        let exports = fs::read_to_string(path).unwrap_or_default();
        let whole = source(Path::new("src/passes/mod.rs"));
        let exports = exports.replace("pub(crate) use ", "pub use ");
        let here = format!("pub use {part}::");
        let lists = exports.split("pub use ").skip(1).chain(whole.split(&*here).skip(1));
        for list in lists {
            let names = list.split(';').next().unwrap_or_default();
            let names = names.split(|c: char| !c.is_alphanumeric() && c != '_');
            homes.extend(names.filter(|name| !name.is_empty()).map(|n| (n.to_owned(), *part)));
        }
    }
    homes.extend(PASS_LEVELS.iter().map(|part| ((*part).to_owned(), *part)));
    homes
}

#[test]
fn families_of_passes_use_only_those_before_them() {
    let homes = homes_of_passes();
    let level = |part: &str| PASS_LEVELS.iter().position(|known| *known == part);
    let tests = test_files();
    let mut violations = Vec::new();
    for path in rust_files("src/passes").iter().filter(|path| !tests.contains(*path)) {
        let part = path.components().nth(2).expect("below passes").as_os_str().to_string_lossy();
        let part = part.trim_end_matches(".rs");
        if part == "mod" {
            continue;
        }
        let Some(own) = level(part) else {
            violations.push(format!(
                "{}: the family `{part}` is new; say in PASS_LEVELS (tests/it/house.rs) where it stands",
                path.display()
            ));
            continue;
        };
        // Paths below `passes` alone are looked at, as if `passes` were the crate.
        let source = source(path);
        let lines: Vec<String> = shipped(&source)
            .into_iter()
            .map(|line| line.replace("crate::passes::", "onnxpress::"))
            .map(|line| if line.contains("crate::") { String::new() } else { line })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for (line, used) in uses(&lines) {
            let Some(home) = homes.get(&used) else { continue };
            let used_level = level(home).expect("a part");
            if used_level > own && used_level >= PASS_GROUND {
                violations.push(format!(
                    "{}:{line}: `passes::{part}` may not use `{used}` of `passes::{home}`, which is built on it: \
                     move what both need down, or let the caller hand it in",
                    path.display()
                ));
            }
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn uses_are_found_in_every_form() {
    let code = [
        "use crate::{",
        "    ir::{Model, Node},",
        "    error::Result, exec,",
        "};",
        "let x = crate::tensor::f(onnxpress::data::G, mycrate::other);",
    ];
    let names: Vec<String> = uses(&code).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["ir", "error", "exec", "tensor", "data"]);
}

#[test]
fn files_stay_small() {
    let files: Vec<PathBuf> = ["src", "tests", "examples", "benches"]
        .iter()
        .flat_map(
            |folder| {
                if root().join(folder).exists() { rust_files(folder) } else { Vec::new() }
            },
        )
        .collect();
    let mut sizes: Vec<(usize, &PathBuf)> =
        files.iter().map(|path| (source(path).lines().count(), path)).collect();
    sizes.sort();
    for (lines, path) in &sizes {
        assert!(
            *lines <= HARD_STOP,
            "{} has {lines} lines; no file has more than {HARD_STOP}: divide it",
            path.display()
        );
    }
    let at = |part: usize| sizes[(sizes.len() - 1) * part / 100];
    assert!(
        at(50).0 <= MEDIAN,
        "half of the files have more than {} lines, {MEDIAN} are allowed",
        at(50).0
    );
    let (lines, path) = at(90);
    assert!(
        lines <= PERCENTILE_90,
        "one of ten files is as long as {} ({lines} lines), {PERCENTILE_90} are allowed",
        path.display()
    );
}

#[test]
fn every_pass_has_its_file_page_and_tests() {
    let mut missing = Vec::new();
    for pass in PASSES.iter().map(|entry| (entry.make)()) {
        let name = pass.name();
        let file = name.replace('-', "_");
        let exists = |path: &str| root().join(path).exists();
        let found = PASS_LEVELS.iter().any(|family| {
            let path = format!("src/passes/{family}/{file}");
            exists(&format!("{path}.rs")) || exists(&format!("{path}/mod.rs"))
        });
        // A family of one pass is its folder.
        if !found && !exists(&format!("src/passes/{file}/mod.rs")) {
            missing.push(format!("src/passes/FAMILY/{file}.rs: the code of `{name}`"));
        }
        let page = format!("docs/passes/{name}.md");
        let title = format!("# {name}\n");
        match fs::read_to_string(root().join(&page)) {
            Ok(text) if text.starts_with(&title) => {}
            Ok(_) => missing.push(format!("{page} must start with the title `{}`", title.trim())),
            Err(_) => missing.push(format!("{page}: what `{name}` does, when it refuses, and why")),
        }
        let cases = format!("tests/passes/{name}.md");
        if !exists(&cases) {
            missing.push(format!("{cases}: at least one case"));
        }
    }
    assert!(missing.is_empty(), "missing:\n{}\n", missing.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    // Spelled apart, so that this file does not find itself.
    let macros = [concat!("to", "do!"), concat!("unimple", "mented!")];
    for path in rust_files("src").iter().chain(&rust_files("tests")) {
        let source = source(path);
        for name in macros {
            assert!(!source.contains(name), "{} contains {name}", path.display());
        }
    }
}

#[test]
fn every_dependency_is_explained() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let explained = fs::read_to_string(root().join("docs/DEPENDENCIES.md")).unwrap_or_default();
    let mut section = "";
    let mut missing = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]")
            && let Some((name, _)) = line.split_once('=')
            && !explained.contains(&format!("`{}`", name.trim()))
        {
            missing.push(name.trim());
        }
    }
    assert!(missing.is_empty(), "docs/DEPENDENCIES.md does not say why we need {missing:?}");
}
