//! Markdown files whose `## sections` hold fenced blocks, read and rewritten in place.

use std::path::{Path, PathBuf};

/// A file with its sections.
pub struct Document {
    pub path: PathBuf,
    lines: Vec<String>,
    pub sections: Vec<Section>,
}

/// What stands under one `## title`.
pub struct Section {
    pub title: String,
    pub blocks: Vec<Block>,
    /// Line of the title, from 0.
    line: usize,
}

/// A fenced block.
pub struct Block {
    /// What stands behind the opening fence, e.g. `onnx before`.
    pub kind: String,
    /// Lines of the two fences, from 0.
    fences: (usize, usize),
    pub body: String,
}

/// New text for a block of a section; a block that is missing is added behind the others.
pub struct Edit {
    pub section: usize,
    pub kind: &'static str,
    pub body: String,
}

const FENCE: &str = "```";

impl Document {
    /// Reads a file; a fence that is never closed is a failure.
    pub fn read(path: &Path) -> Result<Self, String> {
        let source = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let lines: Vec<String> = source.lines().map(str::to_owned).collect();
        let mut sections: Vec<Section> = Vec::new();
        let mut open: Option<(usize, &str)> = None;
        for (i, line) in lines.iter().enumerate() {
            if let Some((start, kind)) = open {
                if line.trim_end() == FENCE {
                    let body = lines[start + 1..i].join("\n");
                    let block = Block { kind: kind.trim().to_owned(), fences: (start, i), body };
                    let section = sections.last_mut();
                    section.ok_or("a block stands before the first section")?.blocks.push(block);
                    open = None;
                }
            } else if let Some(kind) = line.strip_prefix(FENCE) {
                open = Some((i, kind));
            } else if let Some(title) = line.strip_prefix("## ") {
                sections.push(Section { title: title.to_owned(), blocks: Vec::new(), line: i });
            }
        }
        if let Some((start, _)) = open {
            return Err(format!("the block that starts in line {} is never closed", start + 1));
        }
        Ok(Self { path: path.to_owned(), lines, sections })
    }

    /// Writes the file back with `edits` made.
    pub fn rewrite(mut self, mut edits: Vec<Edit>) -> Result<(), String> {
        // From the last line to the first, so that line numbers stay true; of two blocks added at
        // the same place the first must be inserted last.
        edits.reverse();
        edits.sort_by_key(|edit| std::cmp::Reverse(self.place(edit)));
        for edit in edits {
            let (from, to) = self.place(&edit);
            let mut new = vec![format!("{FENCE}{}", edit.kind)];
            new.extend(edit.body.lines().map(str::to_owned));
            new.push(FENCE.to_owned());
            if from == to {
                new.insert(0, String::new());
            }
            self.lines.splice(from..to, new);
        }
        std::fs::write(&self.path, self.lines.join("\n") + "\n").map_err(|e| e.to_string())
    }

    /// The lines that an edit replaces; none where a block is added.
    fn place(&self, edit: &Edit) -> (usize, usize) {
        let section = &self.sections[edit.section];
        match section.block(edit.kind) {
            Some(block) => (block.fences.0, block.fences.1 + 1),
            None => {
                let end = section.blocks.last().map_or(section.line, |block| block.fences.1) + 1;
                (end, end)
            }
        }
    }
}

impl Section {
    pub fn block(&self, kind: &str) -> Option<&Block> {
        self.blocks.iter().find(|block| block.kind == kind)
    }
}
