//! `FunctionProto` -> function.

use crate::error::{Result, err};
use crate::ir::{AttrValue, Attribute, Function};
use crate::proto::attribute_proto::AttributeType;
use crate::read::onnx::{import, text_or_keep};
use crate::read::{Folder, attribute, graph, order, repair};
use crate::wire::{Field, Message, Rest, Rope, Writer};

/// What is read once the name is known, so that errors can tell it.
#[derive(Default)]
struct Parts {
    imports: Vec<Message>,
    defaults: Vec<Message>,
    /// The body as a `GraphProto`.
    body: Writer,
}

/// Reads a function. Its nodes go through the same door as those of a graph.
pub(super) fn read(
    message: &Message,
    folder: &mut Folder,
    ir_version: Option<i64>,
    notes: &mut Vec<String>,
) -> Result<Function> {
    let (mut function, mut parts, mut rest) =
        (Function::default(), Parts::default(), Rest::default());
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => function.name = text_or_keep(field, &mut rest)?.to_owned(),
            4 => parts.body.message(11, untyped(&field)?),
            5 => parts.body.message(12, untyped(&field)?),
            6 => function.attributes.push(field.text()?),
            7 => parts.body.shared(1, field.message()?.bytes()),
            9 => parts.imports.push(field.message()?),
            10 => function.domain = text_or_keep(field, &mut rest)?.to_owned(),
            11 => parts.defaults.push(field.message()?),
            12 => parts.body.shared(13, field.message()?.bytes()),
            13 => function.overload = text_or_keep(field, &mut rest)?.to_owned(),
            _ => rest.keep(&field),
        }
    }
    function.carried = rest.finish();
    let label = function.label();
    let mut inner = Vec::new();
    fill(&mut function, parts, folder, &mut inner).map_err(|error| error.at(&label))?;
    repair::imports(&mut function.body, ir_version, &mut inner);
    notes.extend(inner.into_iter().map(|note| format!("{label}: {note}")));
    Ok(function)
}

fn fill(
    function: &mut Function,
    parts: Parts,
    folder: &mut Folder,
    notes: &mut Vec<String>,
) -> Result<()> {
    for message in &parts.imports {
        import(&mut function.body.header, message)?;
    }
    let body = Message::new(parts.body.finish().to_bytes());
    let replaced = graph::read(&mut function.body, &body, folder)?;
    order::sort(&mut function.body, notes)?;
    repair::names(&mut function.body, &replaced, notes);
    for message in &parts.defaults {
        function.defaults.push(default(message, folder)?);
    }
    Ok(())
}

/// A declaration without a type: functions list their inputs and outputs by name alone.
fn untyped(field: &Field<'_>) -> Result<Rope> {
    let mut declaration = Writer::default();
    declaration.bytes(1, field.str()?.as_bytes());
    Ok(declaration.finish())
}

/// The default of an attribute. One that is a graph has no store it could live in: it is carried.
fn default(message: &Message, folder: &mut Folder) -> Result<Attribute> {
    let (mut name, mut kind, mut rest) = (String::new(), None, Rest::default());
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => name = field.text()?,
            20 => {
                kind = Some(field.i32()?);
                rest.keep(&field);
            }
            _ => rest.keep(&field),
        }
    }
    let graphs = [AttributeType::Graph, AttributeType::Graphs].map(|kind| kind as i32);
    if kind.is_some_and(|kind| graphs.contains(&kind)) {
        let mut carried = Attribute::new(name, AttrValue::Opaque);
        carried.carried = rest.finish();
        return Ok(carried);
    }
    let mut no_graph = |_: &Message, _: &mut Folder| {
        Err(err!(Invalid, "a default that is a graph must state its type"))
    };
    attribute::read(message, folder, &mut no_graph)
}
