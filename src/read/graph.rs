//! `GraphProto` -> graph: first every name a graph defines, then every name it mentions.

use std::collections::HashMap;

use bytes::Bytes;

use crate::error::{Result, err};
use crate::ir::{
    Constant, Declared, Def, GraphId, GraphOutput, Info, Model, Node, NodeId, Use, ValueId, label,
};
use crate::read::onnx::{entry, text_or_keep};
use crate::read::{Folder, attribute, sparse, tensor, types};
use crate::wire::{Message, Rest};

/// Names visible at some depth, innermost graph last.
#[derive(Default)]
struct Scopes(Vec<HashMap<String, ValueId>>);

impl Scopes {
    fn resolve(&self, name: &str) -> Option<ValueId> {
        self.0.iter().rev().find_map(|scope| scope.get(name).copied())
    }

    fn own(&self, name: &str) -> Option<ValueId> {
        self.0.last()?.get(name).copied()
    }

    fn define(&mut self, name: &str, value: ValueId) -> Result<()> {
        let scope = self.0.last_mut().ok_or_else(|| err!(Invalid, "a value outside any graph"))?;
        match scope.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(err!(Invalid, "value `{name}` is defined twice")
                .help("every name of a graph must be defined once")),
        }
    }
}

/// Reads the main graph.
pub(super) fn read(model: &mut Model, message: &Message, folder: &mut Folder) -> Result<()> {
    let mut reader = Reader { model, scopes: Scopes::default() };
    reader.graph(message, folder).map(|_| ())
}

/// Deepest nesting of bodies. The format's own readers stop at 100 nested messages, of which each
/// body takes three.
const BODY_DEPTH: usize = 100 / 3;

struct Reader<'a> {
    model: &'a mut Model,
    scopes: Scopes,
}

/// The fields of a graph message.
#[derive(Default)]
struct Parts {
    nodes: Vec<Message>,
    initializers: Vec<Message>,
    sparse: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    declared: Vec<Message>,
    annotations: Vec<Message>,
}

impl Reader<'_> {
    /// Recursion is bounded by [`BODY_DEPTH`].
    fn graph(&mut self, message: &Message, folder: &mut Folder) -> Result<GraphId> {
        if self.scopes.0.len() > BODY_DEPTH {
            return Err(err!(Limit, "bodies are nested deeper than {BODY_DEPTH}"));
        }
        let (mut name, mut parts, mut rest) = (String::new(), Parts::default(), Rest::default());
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => parts.nodes.push(field.message()?),
                2 => name = text_or_keep(field, &mut rest)?,
                5 => parts.initializers.push(field.message()?),
                11 => parts.inputs.push(field.message()?),
                12 => parts.outputs.push(field.message()?),
                13 => parts.declared.push(field.message()?),
                14 => {
                    rest.keep(&field);
                    parts.annotations.push(field.message()?);
                }
                15 => parts.sparse.push(field.message()?),
                _ => rest.keep(&field),
            }
        }
        let graph = self.model.add_graph(&name, None);
        self.model.graph_mut(graph).carried = rest.finish();
        self.scopes.0.push(HashMap::new());
        self.definitions(graph, &parts, folder)
            .and_then(|nodes| self.mentions(graph, &parts, nodes, folder))
            .map_err(|error| match name.as_str() {
                "" => error,
                name if graph == self.model.main() => error.at(format_args!("graph `{name}`")),
                name => error.at(format_args!("body `{name}`")),
            })?;
        self.scopes.0.pop();
        Ok(graph)
    }

    fn definitions(
        &mut self,
        graph: GraphId,
        parts: &Parts,
        folder: &mut Folder,
    ) -> Result<Vec<NodeParts>> {
        for message in &parts.inputs {
            let (name, info) = types::info(message)?;
            let value = self.define(graph, &name, Def::Input { default: None })?;
            self.model.set_info(value, info);
            self.model.graph_mut(graph).inputs.push(value);
        }
        for message in &parts.initializers {
            let (name, stored) = tensor::initializer(message, folder)?;
            let value = self.constant(graph, &name, Constant::Dense(stored))?;
            self.model.graph_mut(graph).initializers.push(value);
        }
        for message in &parts.sparse {
            let name = sparse::check(message, folder)?;
            let constant = Constant::Sparse(message.bytes().clone());
            let value = self.constant(graph, &name, constant)?;
            self.model.graph_mut(graph).sparse_initializers.push(value);
        }
        let mut nodes = Vec::with_capacity(parts.nodes.len());
        for message in &parts.nodes {
            let node = NodeParts::read(message)?;
            for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                // `push_node` fills in the producer.
                self.define(graph, name, Def::Undefined)?;
            }
            nodes.push(node);
        }
        Ok(nodes)
    }

    fn define(&mut self, graph: GraphId, name: &str, def: Def) -> Result<ValueId> {
        if name.is_empty() {
            return Err(err!(Invalid, "a graph input or initializer has no name"));
        }
        let value = self.model.add_value(graph, name, def);
        self.scopes.define(name, value)?;
        Ok(value)
    }

    /// An initializer; one that is also a graph input becomes the input's default.
    fn constant(&mut self, graph: GraphId, name: &str, constant: Constant) -> Result<ValueId> {
        let Some(value) = self.scopes.own(name) else {
            return self.define(graph, name, Def::Initializer(constant));
        };
        match self.model.def_mut(value) {
            Def::Input { default: default @ None } => *default = Some(constant),
            _ => return Err(err!(Invalid, "initializer `{name}` is defined twice")),
        }
        Ok(value)
    }

    fn mentions(
        &mut self,
        graph: GraphId,
        parts: &Parts,
        nodes: Vec<NodeParts>,
        folder: &mut Folder,
    ) -> Result<()> {
        let mut order = Vec::with_capacity(nodes.len());
        for node in nodes {
            order.push(self.node(graph, node, folder)?);
        }
        self.model.set_order(graph, &order);
        for message in &parts.outputs {
            let (name, info) = types::info(message)?;
            let value = self.scopes.resolve(&name).ok_or_else(|| {
                err!(Invalid, "output `{name}` is not produced by any node, input or initializer")
            })?;
            // What an input says is written as it was read.
            let known = self.model.value(value);
            if known.info().ty.is_none() && !known.is_input() {
                let own = Info { ty: info.ty.clone(), ..Info::default() };
                self.model.set_info(value, own);
            }
            self.model.push_output(graph, GraphOutput { value, info });
        }
        for message in &parts.declared {
            self.declared(graph, message)?;
        }
        for message in &parts.annotations {
            self.annotation(graph, message)?;
        }
        Ok(())
    }

    fn node(&mut self, graph: GraphId, parts: NodeParts, folder: &mut Folder) -> Result<NodeId> {
        let place = parts.place();
        let mut inputs = Vec::with_capacity(parts.inputs.len());
        for name in &parts.inputs {
            inputs.push(match name.as_str() {
                "" => None,
                name => Some(self.scopes.resolve(name).ok_or_else(|| {
                    err!(Invalid, "input `{name}` is not defined anywhere").at(&place)
                })?),
            });
        }
        let outputs = parts.outputs.iter().map(|name| self.scopes.own(name)).collect();
        let mut attributes = Vec::with_capacity(parts.attributes.len());
        for message in &parts.attributes {
            let mut body = |body: &Message, folder: &mut Folder| self.graph(body, folder);
            let read =
                attribute::read(message, folder, &mut body).map_err(|error| error.at(&place))?;
            attributes.push(read);
        }
        Ok(self.model.push_node(Node {
            name: parts.name,
            domain: parts.domain,
            op: parts.op,
            graph,
            inputs,
            outputs,
            attributes,
            metadata: parts.metadata,
            carried: parts.carried,
            prev: None,
            next: None,
            alive: true,
        }))
    }

    fn declared(&mut self, graph: GraphId, message: &Message) -> Result<()> {
        let (name, info) = types::info(message)?;
        let entry = match self.scopes.own(&name) {
            Some(value) if self.accepts(value, &info) => {
                self.model.set_info(value, info);
                Declared::Value(value)
            }
            _ => Declared::Carried(message.bytes().clone()),
        };
        self.model.push_declared(graph, entry);
        Ok(())
    }

    /// One declaration is stored at the value; a second one, or that of an input, must say the same.
    fn accepts(&self, value: ValueId, info: &Info) -> bool {
        let known = self.model.value(value).info();
        if self.model.value(value).is_input() {
            return known == info;
        }
        let bare = Info { ty: known.ty.clone(), ..Info::default() };
        known.ty.is_none() || known == info || (*known == bare && known.ty == info.ty)
    }

    /// The values that a `TensorAnnotation` names are needed.
    fn annotation(&mut self, graph: GraphId, message: &Message) -> Result<()> {
        for field in message.fields() {
            let field = field?;
            let name = match field.number {
                1 => Some(field.text()?),
                2 => entry(&field.message()?)?.map(|(_, value)| value),
                _ => None,
            };
            if let Some(value) = name.and_then(|name| self.scopes.resolve(&name)) {
                self.model.push_use(value, Use::Carried { graph });
            }
        }
        Ok(())
    }
}

/// The fields of a node message.
#[derive(Default)]
struct NodeParts {
    name: String,
    op: String,
    domain: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    attributes: Vec<Message>,
    metadata: Vec<(String, String)>,
    carried: Bytes,
}

impl NodeParts {
    fn read(message: &Message) -> Result<Self> {
        let (mut parts, mut rest) = (Self::default(), Rest::default());
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => parts.inputs.push(field.text()?),
                2 => parts.outputs.push(field.text()?),
                3 => parts.name = text_or_keep(field, &mut rest)?,
                4 => parts.op = field.text()?,
                5 => parts.attributes.push(field.message()?),
                7 => parts.domain = text_or_keep(field, &mut rest)?,
                9 => match entry(&field.clone().message()?)? {
                    Some(entry) => parts.metadata.push(entry),
                    None => rest.keep(&field),
                },
                _ => rest.keep(&field),
            }
        }
        if parts.op.is_empty() {
            return Err(err!(Invalid, "{} has no operator type", parts.place()));
        }
        parts.carried = rest.finish();
        Ok(parts)
    }

    /// How messages name the node.
    fn place(&self) -> String {
        label(&self.name, &self.op, self.outputs.first().map(String::as_str))
    }
}
