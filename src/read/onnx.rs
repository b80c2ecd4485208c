//! `ModelProto` -> model.
//!
//! Messages are walked on the wire: what the IR models is taken out, every other field is kept as
//! the bytes it was read from, also fields that no version of the format knew when this was written.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;

use crate::disk;
use crate::error::{Error, Result, err};
use crate::ir::{Header, Model};
use crate::read::{Folder, function, graph, order, repair, sniff};
use crate::wire::{Field, Message, Rest};

/// A model as read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model.
    pub model: Model,
    /// What the reader changed or noticed, e.g. nodes that arrived out of order.
    pub notes: Vec<String>,
    /// Tensors lie in other files.
    pub external: bool,
    /// Size of the model file in bytes, plus the external data it refers to.
    pub byte_size: u64,
}

/// Reads the model file `path`. Weights stay windows of the mapped file.
///
/// # Errors
/// When the file cannot be read, is not ONNX, or breaks a rule of the format; the message names the
/// place.
pub fn file(path: &Path) -> Result<Loaded> {
    let (handle, size) = disk::open_regular(path)?;
    let encoded = disk::contents(handle, size, path)?;
    let mut folder = Folder::of(path);
    let mut loaded = decode(encoded, &mut folder).map_err(|error| error.in_file(path))?;
    loaded.external = folder.bytes_read() > 0;
    loaded.byte_size = size + folder.bytes_read();
    Ok(loaded)
}

/// Reads an encoded model that keeps all its data inside.
///
/// # Errors
/// As [`file()`], and when a tensor lies in another file.
pub fn bytes(encoded: Bytes) -> Result<Loaded> {
    decode(encoded, &mut Folder::none())
}

fn decode(encoded: Bytes, folder: &mut Folder) -> Result<Loaded> {
    let size = encoded.len();
    if let Some(what) = sniff::not_onnx(&encoded) {
        return Err(err!(Format, "not a valid ONNX model: found {what}"));
    }
    let mut model = Model::default();
    let mut notes = Vec::new();
    let (graphs, functions) = header(&mut model, &Message::new(encoded))?;
    let main = Message::merged(graphs).ok_or_else(|| {
        err!(Format, "not a valid ONNX model: it has no graph")
            .help("the file may be truncated or of another format")
    })?;
    let replaced = graph::read(&mut model, &main, folder)?;
    folder.verify_checksums()?;
    order::sort(&mut model, &mut notes)?;
    let ir_version = model.header.ir_version;
    repair::imports(&mut model, ir_version, &mut notes);
    repair::names(&mut model, &replaced, &mut notes);
    for message in &functions {
        let function = function::read(message, folder, ir_version, &mut notes)?;
        model.push_function(function);
    }
    let odd = model.verify_with_warnings().map_err(Error::from)?;
    notes.extend(odd.iter().map(ToString::to_string));
    Ok(Loaded { model, notes, external: false, byte_size: size as u64 })
}

/// Everything but the parts of the graph and the functions, which are returned.
fn header(model: &mut Model, message: &Message) -> Result<(Vec<Message>, Vec<Message>)> {
    let (mut graphs, mut functions, mut rest) = (Vec::new(), Vec::new(), Rest::default());
    let mut keys = HashSet::new();
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => model.header.ir_version = Some(field.i64()?),
            7 => graphs.push(field.message()?),
            8 => import(&mut model.header, &field.message()?)?,
            25 => functions.push(field.message()?),
            2 => {
                rest.keep(&field);
                model.header.producer = field.text()?;
            }
            14 => {
                rest.keep(&field);
                if let Some((key, _)) = entry(&field.message()?)?
                    && !keys.insert(key.clone())
                {
                    return Err(err!(Invalid, "metadata key `{key}` is given twice"));
                }
            }
            _ => rest.keep(&field),
        }
    }
    model.header.carried = rest.finish();
    Ok((graphs, functions))
}

/// An import of an operator set.
pub(super) fn import(header: &mut Header, message: &Message) -> Result<()> {
    let (mut domain, mut stated, mut rest) = (String::new(), None, Rest::default());
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => domain = text_or_keep(field, &mut rest)?.to_owned(),
            2 => stated = Some((field.i64()?, field)),
            _ => rest.keep(&field),
        }
    }
    let version = stated.as_ref().map_or(0, |(version, _)| *version);
    // A zero is kept, so that its presence survives.
    if let Some((0, field)) = &stated {
        rest.keep(field);
    }
    header.opsets.push((domain, version));
    header.opsets_carried.push(rest.finish());
    Ok(())
}

/// The text of a field; one that is present and empty is kept, so that its presence survives.
pub(super) fn text_or_keep<'a>(field: Field<'a>, rest: &mut Rest) -> Result<&'a str> {
    let text = field.str()?;
    if text.is_empty() {
        rest.keep(&field);
    }
    Ok(text)
}

/// A list entry of key and value; `None` when it lacks one of them or holds something else.
pub(super) fn entry(message: &Message) -> Result<Option<(String, String)>> {
    let (mut key, mut value) = (None, None);
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => key = Some(field.text()?),
            2 => value = Some(field.text()?),
            _ => return Ok(None),
        }
    }
    Ok(key.zip(value))
}
