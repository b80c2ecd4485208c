//! `ModelProto` -> model.

use std::path::Path;

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result, err};
use crate::ir::{Function, Model};
use crate::proto::{ModelProto, StringStringEntryProto};
use crate::read::{Folder, disk, graph, order, sniff};

/// How to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Read a file with fields this version does not know, and drop them.
    pub drop_unknown: bool,
}

/// A model as read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model.
    pub model: Model,
    /// What the reader changed or noticed, e.g. nodes that arrived out of order.
    pub notes: Vec<String>,
    /// Size of the model file in bytes, plus the external data it refers to.
    pub byte_size: u64,
}

/// Reads the model file `path`. Weights stay windows of the mapped file.
///
/// # Errors
/// When the file cannot be read, is not ONNX, holds data that would be lost, or breaks a rule of
/// the format; the message names the place.
pub fn file(path: &Path, options: Options) -> Result<Loaded> {
    let (handle, size) = disk::open_regular(path)?;
    let encoded = if size == 0 { Bytes::new() } else { disk::map(&handle, path)? };
    let mut folder = Folder::of(path);
    let mut loaded = decode(encoded, &mut folder, options).map_err(|error| error.in_file(path))?;
    loaded.byte_size = size + folder.bytes_read();
    Ok(loaded)
}

/// Reads an encoded model that keeps all its data inside.
///
/// # Errors
/// As [`file()`], and when a tensor lies in another file.
pub fn bytes(encoded: Bytes, options: Options) -> Result<Loaded> {
    decode(encoded, &mut Folder::none(), options)
}

fn decode(encoded: Bytes, folder: &mut Folder, options: Options) -> Result<Loaded> {
    let size = encoded.len();
    if let Some(what) = sniff::not_onnx(&encoded) {
        return Err(err!(Format, "expected an ONNX model, found {what}"));
    }
    let mut proto = ModelProto::decode(encoded).map_err(|error| {
        err!(Format, "not a readable ONNX model: {error}")
            .help("the file may be truncated or of another format")
    })?;
    let understood = proto.encoded_len();
    if understood != size && !options.drop_unknown {
        return Err(err!(
            Unsupported,
            "{} of {size} bytes hold fields or encodings that this version does not know",
            size.abs_diff(understood)
        )
        .help("they would be lost; `--drop-unknown` reads the model without them"));
    }
    let mut model = Model::default();
    let mut notes = Vec::new();
    header(&mut model, &mut proto)?;
    let main = proto.graph.take().ok_or_else(|| err!(Format, "the model has no graph"))?;
    for mut function in std::mem::take(&mut proto.functions) {
        model.push_function(Function {
            domain: function.domain.clone().unwrap_or_default(),
            name: function.name.clone().unwrap_or_default(),
            overload: function.overload.clone().unwrap_or_default(),
            encoded: remainder(&mut function),
        });
    }
    model.header.carried = remainder(&mut proto);
    graph::read(&mut model, main, folder)?;
    order::sort(&mut model, &mut notes)?;
    if understood != size {
        notes.push(format!("{} bytes of unknown fields were dropped", size.abs_diff(understood)));
    }
    model.verify().map_err(Error::from)?;
    Ok(Loaded { model, notes, byte_size: size as u64 })
}

fn header(model: &mut Model, proto: &mut ModelProto) -> Result<()> {
    model.header.ir_version = proto.ir_version.take();
    model.header.producer = proto.producer_name.clone().unwrap_or_default();
    for mut import in std::mem::take(&mut proto.opset_import) {
        let domain = take_text(&mut import.domain);
        let version = import.version.take().unwrap_or_default();
        if model.header.opsets.iter().any(|(known, _)| *known == domain) {
            return Err(err!(Invalid, "operator set `{domain}` is imported twice"));
        }
        model.header.opsets.push((domain, version));
        model.header.opsets_carried.push(remainder(&mut import));
    }
    Ok(())
}

/// What is left of a message after the modelled fields were taken.
pub(super) fn remainder<M: Message>(message: &mut M) -> Bytes {
    if message.encoded_len() == 0 { Bytes::new() } else { message.encode_to_vec().into() }
}

/// Takes a text field, but leaves one that is present and empty: so its presence survives.
pub(super) fn take_text(field: &mut Option<String>) -> String {
    field.take_if(|text| !text.is_empty()).unwrap_or_default()
}

/// Takes a list of keys and values, unless an entry lacks one of them: then all are left.
pub(super) fn take_entries(field: &mut Vec<StringStringEntryProto>) -> Vec<(String, String)> {
    if field.iter().any(|entry| entry.key.is_none() || entry.value.is_none()) {
        return Vec::new();
    }
    let entries = std::mem::take(field).into_iter();
    entries.map(|e| (e.key.unwrap_or_default(), e.value.unwrap_or_default())).collect()
}
