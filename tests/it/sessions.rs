//! The sessions of docs/GUIDE.md are run again: a guide that has gone stale fails.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::support::{listing, root};

/// Stands for any lines that are left out.
const LEFT_OUT: &str = "…";

/// The commands of a document, each with the lines that it is said to print.
fn sessions(document: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut open = false;
    let mut continued = false;
    let mut inside = false;
    for line in document.lines() {
        if line.starts_with("```") {
            (open, continued, inside) = (!open, false, false);
        } else if open && continued {
            let (command, _) = found.last_mut().expect("a line before");
            command.push_str(line.trim_end_matches('\\').trim_start());
            continued = line.ends_with('\\');
        } else if open && line.starts_with("$ onnxpress ") {
            let command = line.trim_start_matches("$ onnxpress ").trim_end_matches('\\');
            found.push((command.to_owned(), Vec::new()));
            (continued, inside) = (line.ends_with('\\'), true);
        } else if inside && let Some((_, lines)) = found.last_mut() {
            lines.push(line.to_owned());
        }
    }
    found
}

/// Fractions differ with the processor: `38.8` and `4.34e-5` become `#`.
fn without_fractions(line: &str) -> String {
    let mut text = String::new();
    for (at, word) in line.split(' ').enumerate() {
        if at > 0 {
            text.push(' ');
        }
        let number = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let fraction = number.contains('.') && number.trim_end_matches("dB").parse::<f64>().is_ok();
        text.push_str(&if fraction { word.replace(number, "#") } else { word.to_owned() });
    }
    // Columns are as wide as their numbers.
    text.split_whitespace().filter(|word| *word != "-#").collect::<Vec<_>>().join(" ")
}

/// Whether the lines told stand in the output, in their order.
fn check(command: &str, told: &[String], out: &str) {
    let mut rest = out.lines().peekable();
    let mut skipping = false;
    for line in told.iter().filter(|line| !line.trim().is_empty()) {
        if line.trim() == LEFT_OUT {
            skipping = true;
            continue;
        }
        let wanted = without_fractions(line).replace("-#", "#");
        loop {
            let found = rest.next();
            let found = found.unwrap_or_else(|| panic!("{command}: no line `{line}` in\n{out}"));
            if without_fractions(found).replace("-#", "#") == wanted {
                break;
            }
            assert!(skipping || found.trim().is_empty(), "{command}: `{found}`, told is `{line}`");
        }
        skipping = false;
    }
    assert!(skipping || rest.next().is_none(), "{command}: more than the guide tells:\n{out}");
}

#[test]
fn the_guide_is_true() {
    let guide = std::fs::read_to_string(root().join("docs/GUIDE.md")).expect("the guide");
    let found = sessions(&guide);
    assert_eq!(found.len(), 5, "five commands");
    let folder = tempdir().unwrap();
    link(&root().join("fixtures"), &folder.path().join("fixtures"));
    for (command, told) in &found {
        let output = Command::new(env!("CARGO_BIN_EXE_onnxpress"))
            .args(command.split_whitespace())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("the command starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {error}");
        check(command, told, &String::from_utf8(output.stdout).expect("UTF-8"));
    }
    let pages = listing(folder.path()).into_iter().filter(|name| name.ends_with(".html"));
    assert_eq!(pages.collect::<Vec<_>>(), ["digits.html", "model.html"]);
}

/// The fixtures where the guide expects them.
fn link(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a folder");
    for entry in from.read_dir().expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("room on the disk");
        }
    }
}

#[test]
fn sessions_are_read_with_their_lines() {
    let text = "```\n$ onnxpress a b \\\n    c\nsize 3\n…\n```\n\n```sh\ncargo build\n```\n";
    let expected = vec![("a b c".to_owned(), vec!["size 3".to_owned(), "…".to_owned()])];
    assert_eq!(sessions(text), expected);
    assert_eq!(
        without_fractions("SQNR 38.8 dB, KL 4.3e-5 and 241,091 (27.89 %)"),
        "SQNR # dB, KL # and 241,091 (# %)"
    );
}

#[test]
#[should_panic(expected = "told is")]
fn a_stale_line_is_found() {
    check("x", &["size 4".to_owned()], "size 3\n");
}
