//! `FunctionProto`: carried as encoded, but only when it makes sense.

use crate::error::{Error, Result, err};
use crate::ir::Model;
use crate::ir::functions::{self, Body, BodyNode, Signature};
use crate::ir::schema::AttrKind;
use crate::proto::attribute_proto::AttributeType;
use crate::wire::Message;

/// Deepest nesting of bodies, as for graphs.
const BODY_DEPTH: usize = 100 / 3;

/// Checks the functions of a model.
pub(super) fn check(model: &Model, notes: &mut Vec<String>) -> Result<()> {
    if model.functions().is_empty() {
        return Ok(());
    }
    let owned = model
        .functions()
        .iter()
        .map(|f| {
            read(&Message::new(f.encoded.clone()), true, 0)
                .map_err(|error| error.at(format_args!("function `{}::{}`", f.domain, f.name)))
        })
        .collect::<Result<Vec<_>>>()?;
    let signatures: Vec<Signature<'_>> = model
        .functions()
        .iter()
        .zip(&owned)
        .map(|(f, graph)| Signature {
            domain: &f.domain,
            name: &f.name,
            overload: &f.overload,
            opsets: graph.opsets.iter().map(|(d, v)| (d.as_str(), *v)).collect(),
            body: graph.body(),
        })
        .collect();
    let (violations, warnings) = functions::check(&signatures);
    notes.extend(warnings.iter().map(ToString::to_string));
    if violations.is_empty() { Ok(()) } else { Err(Error::from(violations)) }
}

/// What a function or an inner graph mentions.
#[derive(Default)]
struct Graph {
    opsets: Vec<(String, i64)>,
    inputs: Vec<String>,
    initializers: Vec<String>,
    nodes: Vec<Node>,
    outputs: Vec<String>,
}

#[derive(Default)]
struct Node {
    name: String,
    domain: String,
    op: String,
    overload: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    attributes: Vec<(String, Option<AttrKind>)>,
    bodies: Vec<Graph>,
}

/// Reads a `FunctionProto` (`top`) or a `GraphProto`; recursion is bounded by [`BODY_DEPTH`].
fn read(message: &Message, top: bool, depth: usize) -> Result<Graph> {
    if depth > BODY_DEPTH {
        return Err(err!(Limit, "bodies are nested deeper than {BODY_DEPTH}"));
    }
    let mut graph = Graph::default();
    for field in message.fields() {
        let field = field?;
        match (field.number, top) {
            (4, true) => graph.inputs.push(field.text()?),
            (5, true) => graph.outputs.push(field.text()?),
            (7, true) | (1, false) => graph.nodes.push(node(&field.message()?, depth)?),
            (9, true) => {
                let (mut domain, mut version) = (String::new(), 0);
                for field in field.message()?.fields() {
                    let field = field?;
                    match field.number {
                        1 => domain = field.text()?,
                        2 => version = field.i64()?,
                        _ => {}
                    }
                }
                graph.opsets.push((domain, version));
            }
            (5, false) => graph.initializers.push(text(&field.message()?, 8)?),
            (15, false) => {
                let mut name = String::new();
                for field in field.message()?.fields() {
                    let field = field?;
                    if field.number == 1 {
                        name = text(&field.message()?, 8)?;
                    }
                }
                graph.initializers.push(name);
            }
            (11, false) => graph.inputs.push(text(&field.message()?, 1)?),
            (12, false) => graph.outputs.push(text(&field.message()?, 1)?),
            _ => {}
        }
    }
    Ok(graph)
}

/// The text in field `number` of a message.
fn text(message: &Message, number: u32) -> Result<String> {
    let mut text = String::new();
    for field in message.fields() {
        let field = field?;
        if field.number == number {
            text = field.text()?;
        }
    }
    Ok(text)
}

fn node(message: &Message, depth: usize) -> Result<Node> {
    let mut node = Node::default();
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => node.inputs.push(field.text()?),
            2 => node.outputs.push(field.text()?),
            3 => node.name = field.text()?,
            4 => node.op = field.text()?,
            5 => attribute(&field.message()?, &mut node, depth)?,
            7 => node.domain = field.text()?,
            8 => node.overload = field.text()?,
            _ => {}
        }
    }
    Ok(node)
}

fn attribute(message: &Message, node: &mut Node, depth: usize) -> Result<()> {
    let (mut name, mut kind, mut reference) = (String::new(), None, false);
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => name = field.text()?,
            6 | 11 => node.bodies.push(read(&field.message()?, false, depth + 1)?),
            20 => kind = AttributeType::try_from(field.i32()?).ok(),
            21 => reference = !field.text()?.is_empty(),
            _ => {}
        }
    }
    let kind = kind.filter(|_| !reference);
    node.attributes.push((name, kind.and_then(|kind| AttrKind::from_name(kind.as_str_name()))));
    Ok(())
}

fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

impl Graph {
    fn body(&self) -> Body<'_> {
        Body {
            inputs: texts(&self.inputs),
            initializers: texts(&self.initializers),
            nodes: self
                .nodes
                .iter()
                .map(|node| BodyNode {
                    name: &node.name,
                    domain: &node.domain,
                    op: &node.op,
                    overload: &node.overload,
                    inputs: texts(&node.inputs),
                    outputs: texts(&node.outputs),
                    attributes: node.attributes.iter().map(|(n, k)| (n.as_str(), *k)).collect(),
                    bodies: node.bodies.iter().map(Self::body).collect(),
                })
                .collect(),
            outputs: texts(&self.outputs),
        }
    }
}
