//! `FunctionProto` -> function.

use crate::error::{Result, err};
use crate::ir::{AttrValue, Attribute, Function};
use crate::proto::attribute_proto::AttributeType;
use crate::read::onnx::{import, text_or_keep};
use crate::read::{Folder, attribute, graph, order};
use crate::wire::{Field, Message, Rest, Writer};

/// What is read once the name is known, so that errors can tell it.
#[derive(Default)]
struct Parts {
    imports: Vec<Message>,
    defaults: Vec<Message>,
    body: graph::Parts,
}

/// Reads a function. Its nodes go through the same door as those of a graph.
pub(super) fn read(
    message: &Message,
    folder: &mut Folder,
    notes: &mut Vec<String>,
) -> Result<Function> {
    let (mut function, mut parts, mut rest) =
        (Function::default(), Parts::default(), Rest::default());
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => function.name = text_or_keep(field, &mut rest)?,
            4 => parts.body.inputs.push(untyped(&field)?),
            5 => parts.body.outputs.push(untyped(&field)?),
            6 => function.attributes.push(field.text()?),
            7 => parts.body.nodes.push(field.message()?),
            9 => parts.imports.push(field.message()?),
            10 => function.domain = text_or_keep(field, &mut rest)?,
            11 => parts.defaults.push(field.message()?),
            12 => parts.body.declared.push(field.message()?),
            13 => function.overload = text_or_keep(field, &mut rest)?,
            _ => rest.keep(&field),
        }
    }
    function.carried = rest.finish();
    let label = function.label();
    let mut sorted = Vec::new();
    fill(&mut function, &parts, folder, &mut sorted).map_err(|error| error.at(&label))?;
    notes.extend(sorted.into_iter().map(|note| format!("{label}: {note}")));
    Ok(function)
}

fn fill(
    function: &mut Function,
    parts: &Parts,
    folder: &mut Folder,
    notes: &mut Vec<String>,
) -> Result<()> {
    for message in &parts.imports {
        import(&mut function.body.header, message)?;
    }
    graph::body(&mut function.body, &parts.body, folder)?;
    order::sort(&mut function.body, notes)?;
    for message in &parts.defaults {
        function.defaults.push(default(message, folder)?);
    }
    Ok(())
}

/// A declaration without a type: functions list their inputs and outputs by name alone.
fn untyped(field: &Field) -> Result<Message> {
    let mut declaration = Writer::default();
    declaration.bytes(1, field.clone().text()?.as_bytes());
    Ok(Message::new(declaration.finish().to_bytes()))
}

/// The default of an attribute. One that is a graph has no store it could live in: it is carried.
fn default(message: &Message, folder: &mut Folder) -> Result<Attribute> {
    let (mut name, mut kind, mut rest) = (String::new(), None, Rest::default());
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => name = field.text()?,
            20 => {
                kind = Some(field.clone().i32()?);
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
