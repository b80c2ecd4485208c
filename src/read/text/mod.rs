//! ONNX text syntax -> model.
//!
//! The grammar is that of `onnx.parser`; the text becomes the message that a file would hold, and
//! that message goes through the same door as a file. Beyond the grammar: names of operators,
//! domains and attributes may be quoted, lists may hold tensors and graphs, a float16 or bfloat16
//! element may be a decimal, `\xHH` in a string is a byte, and elements of the 2- to 6-bit types
//! are written one by one.

mod attribute;
mod cursor;
mod function;
mod tensor;
mod types;

use prost::Message as _;

use crate::error::Result;
use crate::ir::Model;
use crate::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    ValueInfoProto,
};
use crate::read::{Loaded, bytes};
use cursor::Cursor;

/// How deep graphs may nest: more would pass the limit of the decoder on nested messages.
const DEEPEST: usize = 30;

/// Reads a model from ONNX text syntax, the form that [`emit::text`](crate::emit::text()) writes
/// when it shows all elements.
///
/// # Errors
/// When the text breaks the grammar, with line, column, what was expected and what was found; and
/// as [`bytes()`] when the model breaks a rule of the format.
pub fn text(source: &str) -> Result<Model> {
    Ok(text_with_notes(source)?.model)
}

/// As [`text`], with what the reader changed or noticed.
///
/// # Errors
/// As [`text`].
pub fn text_with_notes(source: &str) -> Result<Loaded> {
    let mut parser = Parser { cursor: Cursor::new(source), depth: 0 };
    let encoded = parser.model()?.encode_to_vec();
    bytes(encoded.into())
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    depth: usize,
}

impl Parser<'_> {
    fn model(&mut self) -> Result<ModelProto> {
        let mut model = ModelProto::default();
        if self.cursor.eat('<') {
            loop {
                self.header(&mut model)?;
                if !self.cursor.eat(',') {
                    break;
                }
            }
            self.cursor.expect('>')?;
        }
        model.graph = Some(self.graph()?);
        while !self.cursor.at_end() {
            let function = self.function()?;
            model.functions.push(function);
        }
        Ok(model)
    }

    fn header(&mut self, model: &mut ModelProto) -> Result<()> {
        let cursor = &mut self.cursor;
        let start = *cursor;
        let key = cursor.identifier().unwrap_or_default();
        cursor.expect(':')?;
        match key {
            "ir_version" => model.ir_version = Some(cursor.int("the IR version")?),
            "model_version" => model.model_version = Some(cursor.int("the model version")?),
            "producer_name" => model.producer_name = Some(cursor.string()?),
            "producer_version" => model.producer_version = Some(cursor.string()?),
            "domain" => model.domain = Some(cursor.string()?),
            "doc_string" => model.doc_string = Some(cursor.string()?),
            "opset_import" => imports(cursor, &mut model.opset_import)?,
            "metadata_props" => pairs(cursor, |cursor, key| {
                let value = Some(cursor.string()?);
                model.metadata_props.push(StringStringEntryProto { key: Some(key), value });
                Ok(())
            })?,
            _ => {
                return Err(start.expected(
                    "`ir_version`, `opset_import`, `producer_name`, `producer_version`, `domain`, \
                     `model_version`, `doc_string` or `metadata_props`",
                ));
            }
        }
        Ok(())
    }

    /// `name (inputs) => (outputs) <initializers and types> { nodes }`; graphs nest by recursion,
    /// at most [`DEEPEST`] deep.
    fn graph(&mut self) -> Result<GraphProto> {
        if self.depth > DEEPEST {
            return Err(self.cursor.error(format_args!("graphs nest deeper than {DEEPEST}")));
        }
        self.depth += 1;
        let mut graph = GraphProto {
            name: Some(self.cursor.name("the name of a graph")?),
            ..Default::default()
        };
        let cursor = &mut self.cursor;
        cursor.expect('(')?;
        values(cursor, ')', |value, default| {
            graph.input.push(value);
            graph.initializer.extend(default);
        })?;
        cursor.arrow()?;
        cursor.expect('(')?;
        let before = *cursor;
        let mut initialized = false;
        values(cursor, ')', |value, default| {
            graph.output.push(value);
            initialized |= default.is_some();
        })?;
        if initialized {
            return Err(before.error("expected outputs, found elements: outputs have no defaults"));
        }
        if cursor.eat('<') {
            values(cursor, '>', |value, elements| match elements {
                Some(tensor) => graph.initializer.push(tensor),
                None => graph.value_info.push(value),
            })?;
        }
        graph.node = self.nodes()?;
        self.depth -= 1;
        Ok(graph)
    }

    /// `{ nodes }`.
    fn nodes(&mut self) -> Result<Vec<NodeProto>> {
        self.cursor.expect('{')?;
        let mut nodes = Vec::new();
        while !self.cursor.eat('}') {
            nodes.push(self.node()?);
        }
        Ok(nodes)
    }

    /// `[name] outputs = domain.Op:overload <attributes> (inputs)`; the attributes may also follow.
    fn node(&mut self) -> Result<NodeProto> {
        let mut node = NodeProto::default();
        let cursor = &mut self.cursor;
        if cursor.eat('[') {
            node.name = cursor.optional_name()?;
            cursor.expect(']')?;
        }
        node.output = names(cursor)?;
        cursor.expect('=')?;
        let mut path = vec![cursor.name("an operator")?];
        while cursor.eat('.') {
            path.push(cursor.name("the next part of the operator's name")?);
        }
        node.op_type = path.pop();
        if !path.is_empty() {
            node.domain = Some(path.join("."));
        }
        if cursor.eat(':') {
            node.overload = Some(cursor.name("an overload")?);
        }
        self.attributes(&mut node)?;
        self.cursor.expect('(')?;
        node.input = names(&mut self.cursor)?;
        self.cursor.expect(')')?;
        if node.attribute.is_empty() {
            self.attributes(&mut node)?;
        }
        Ok(node)
    }

    fn attributes(&mut self, node: &mut NodeProto) -> Result<()> {
        if !self.cursor.eat('<') || self.cursor.eat('>') {
            return Ok(());
        }
        loop {
            let attribute = self.attribute()?;
            node.attribute.push(attribute);
            if !self.cursor.eat(',') {
                break;
            }
        }
        self.cursor.expect('>')
    }
}

/// `["domain" : version, …]`.
fn imports(cursor: &mut Cursor<'_>, to: &mut Vec<OperatorSetIdProto>) -> Result<()> {
    pairs(cursor, |cursor, domain| {
        let version = Some(cursor.int("the version of an operator set")?);
        to.push(OperatorSetIdProto { domain: Some(domain), version });
        Ok(())
    })
}

/// `["key" : value, …]`.
fn pairs<'a>(
    cursor: &mut Cursor<'a>,
    mut each: impl FnMut(&mut Cursor<'a>, String) -> Result<()>,
) -> Result<()> {
    cursor.expect('[')?;
    if cursor.eat(']') {
        return Ok(());
    }
    loop {
        let key = cursor.string()?;
        cursor.expect(':')?;
        each(cursor, key)?;
        if !cursor.eat(',') {
            return cursor.expect(']');
        }
    }
}

/// Values up to `close`: a type (perhaps), a name, and `= {elements}` (perhaps). A comma may follow
/// the last one.
fn values(
    cursor: &mut Cursor<'_>,
    close: char,
    mut each: impl FnMut(ValueInfoProto, Option<TensorProto>),
) -> Result<()> {
    while !cursor.eat(close) {
        let start = *cursor;
        let typed = cursor.peek_identifier().is_some_and(types::is_type);
        let r#type = if typed { Some(types::value_type(cursor)?) } else { None };
        let name = Some(cursor.name("the name of a value")?);
        let elements = if cursor.eat('=') {
            let tensor = tensor::elements(cursor, &start, r#type.as_ref())?;
            Some(TensorProto { name: name.clone(), ..tensor })
        } else {
            None
        };
        each(ValueInfoProto { name, r#type, ..ValueInfoProto::default() }, elements);
        if !cursor.eat(',') {
            return cursor.expect(close);
        }
    }
    Ok(())
}

/// Names with commas between them; an empty one is `""`, or nothing before a comma.
fn names(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    loop {
        match cursor.optional_name()? {
            Some(name) => names.push(name),
            None if cursor.peek() == Some(',') => names.push(String::new()),
            None => return Ok(names),
        }
        if !cursor.eat(',') {
            return Ok(names);
        }
    }
}
