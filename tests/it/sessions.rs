//! The sessions of README.md and docs/GUIDE.md are run again: a document that has gone stale fails.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::support::{listing, root};

/// Stands for any lines that are left out.
const LEFT_OUT: &str = "…";

/// What the command is called in documents: as it is installed, or in a checkout.
const CALLS: [&str; 2] = ["$ onnxpress ", "$ cargo run --release -- "];
/// Asks for the status of the command before; the next line is the answer.
const STATUS: &str = "$ echo $?";

/// A command of a document.
#[derive(Debug, Default, PartialEq)]
struct Session {
    command: String,
    /// What it is said to print.
    lines: Vec<String>,
    /// How it is said to end.
    status: i32,
}

/// The commands of a document, in their order.
fn sessions(document: &str) -> Vec<Session> {
    let mut found: Vec<Session> = Vec::new();
    let mut open = false;
    let mut continued = false;
    let mut inside = false;
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let call = CALLS.iter().find_map(|call| line.strip_prefix(call));
        if line.starts_with("```") {
            (open, continued, inside) = (!open, false, false);
        } else if open && continued {
            let session = found.last_mut().expect("a line before");
            session.command.push_str(line.trim_end_matches('\\').trim_start());
            continued = line.ends_with('\\');
        } else if let Some(call) = call.filter(|_| open) {
            let command = call.trim_end_matches('\\').to_owned();
            found.push(Session { command, ..Session::default() });
            (continued, inside) = (line.ends_with('\\'), true);
        } else if inside && let Some(session) = found.last_mut() {
            match line == STATUS {
                true => {
                    session.status = lines.next().and_then(|n| n.parse().ok()).expect("a status")
                }
                false => session.lines.push(line.to_owned()),
            }
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
    assert!(skipping || rest.next().is_none(), "{command}: more than is told:\n{out}");
}

/// Runs the sessions of a document in an empty folder with the fixtures; the pages that they leave.
fn repeat(document: &str, count: usize) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(document)).expect("the document");
    let found = sessions(&text);
    assert_eq!(found.len(), count, "commands of {document}");
    let folder = tempdir().expect("a folder");
    link(&root().join("fixtures"), &folder.path().join("fixtures"));
    for Session { command, lines, status } in &found {
        let output = Command::new(env!("CARGO_BIN_EXE_onnxpress"))
            .args(command.split_whitespace())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("the command starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*status), "{command}: {error}");
        check(command, lines, &String::from_utf8(output.stdout).expect("UTF-8"));
    }
    listing(folder.path()).into_iter().filter(|name| name.ends_with(".html")).collect()
}

#[test]
fn the_guide_is_true() {
    assert_eq!(repeat("docs/GUIDE.md", 5), ["digits.html", "model.html"]);
}

#[test]
fn the_readme_is_true() {
    assert!(repeat("README.md", 8).is_empty());
}

/// The fixtures where documents expect them, with those of folders.
fn link(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a folder");
    for entry in from.read_dir().expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_file() {
            std::fs::copy(entry.path(), to).expect("room on the disk");
        } else {
            link(&entry.path(), &to);
        }
    }
}

#[test]
fn sessions_are_read_with_their_lines() {
    let text =
        "```\n$ onnxpress a b \\\n    c\nsize 3\n…\n$ echo $?\n3\n```\n\n```sh\ncargo build\n```\n";
    let lines = vec!["size 3".to_owned(), "…".to_owned()];
    assert_eq!(sessions(text), [Session { command: "a b c".to_owned(), lines, status: 3 }]);
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
