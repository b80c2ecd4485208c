//! The data files that a model names, without opening them.

use std::collections::BTreeSet;
use std::path::Path;

use crate::disk;
use crate::error::Result;
use crate::ir::BODY_DEPTH;
use crate::wire::Message;

/// The names under which the model file `path` refers to files with data of its tensors.
///
/// # Errors
/// When the file cannot be read, or is not encoded as a model.
pub fn data_files(path: &Path) -> Result<BTreeSet<String>> {
    let (handle, size) = disk::open_regular(path)?;
    let model = Message::new(disk::contents(handle, size, path)?);
    let mut found = BTreeSet::new();
    for field in model.fields() {
        let field = field?;
        match field.number {
            7 => graph(&field.message()?, 0, &mut found)?,
            25 => function(&field.message()?, &mut found)?,
            _ => {}
        }
    }
    Ok(found)
}

fn graph(message: &Message, depth: usize, found: &mut BTreeSet<String>) -> Result<()> {
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => node(&field.message()?, depth, found)?,
            5 => tensor(&field.message()?, found)?,
            15 => sparse(&field.message()?, found)?,
            _ => {}
        }
    }
    Ok(())
}

fn function(message: &Message, found: &mut BTreeSet<String>) -> Result<()> {
    for field in message.fields() {
        let field = field?;
        if field.number == 7 {
            node(&field.message()?, 0, found)?;
        }
    }
    Ok(())
}

fn node(message: &Message, depth: usize, found: &mut BTreeSet<String>) -> Result<()> {
    for field in message.fields() {
        let field = field?;
        if field.number == 5 {
            attribute(&field.message()?, depth, found)?;
        }
    }
    Ok(())
}

/// Recursion is bounded by [`BODY_DEPTH`].
fn attribute(message: &Message, depth: usize, found: &mut BTreeSet<String>) -> Result<()> {
    for field in message.fields() {
        let field = field?;
        match field.number {
            5 | 10 => tensor(&field.message()?, found)?,
            6 | 11 if depth < BODY_DEPTH => graph(&field.message()?, depth + 1, found)?,
            22 | 23 => sparse(&field.message()?, found)?,
            _ => {}
        }
    }
    Ok(())
}

fn sparse(message: &Message, found: &mut BTreeSet<String>) -> Result<()> {
    for field in message.fields() {
        let field = field?;
        if matches!(field.number, 1 | 2) {
            tensor(&field.message()?, found)?;
        }
    }
    Ok(())
}

fn tensor(message: &Message, found: &mut BTreeSet<String>) -> Result<()> {
    for field in message.fields() {
        let field = field?;
        if field.number == 13
            && let Some((key, value)) = super::onnx::entry(&field.message()?)?
            && key == "location"
        {
            found.insert(value);
        }
    }
    Ok(())
}
