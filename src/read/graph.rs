//! `GraphProto` -> graph: first every name a graph defines, then every name it mentions.

use std::collections::HashSet;

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::error::{Result, err};
use crate::ir::names::NameIndex;
use crate::ir::{
    BODY_DEPTH, Constant, Declared, Def, GraphId, GraphOutput, Info, Model, Node, NodeId, Use,
    ValueId, label,
};
use crate::read::onnx::{entry, text_or_keep};
use crate::read::{Folder, attribute, sparse, tensor, types};
use crate::wire::{Message, Rest, Span};

/// Reads the main graph of a model, or of the body of a function. Returns values of Constant nodes that nothing
/// means any more, because a later Constant node has the same name, and takes the name from them.
pub(super) fn read(
    model: &mut Model,
    message: &Message,
    folder: &mut Folder,
) -> Result<Vec<(ValueId, SmolStr)>> {
    let mut reader = Reader { model, scopes: Vec::new(), replaced: Vec::new() };
    reader.graph(message, folder)?;
    Ok(reader.replaced)
}

struct Reader<'a> {
    model: &'a mut Model,
    /// Names visible at this place, those of the innermost graph last.
    scopes: Vec<NameIndex>,
    /// Values of Constant nodes whose name a later Constant node took.
    replaced: Vec<(ValueId, SmolStr)>,
}

/// Where the fields of a graph message stand.
#[derive(Default)]
struct Parts {
    nodes: Span,
    initializers: Span,
    sparse: Span,
    inputs: Span,
    outputs: Span,
    declared: Span,
    annotations: Span,
}

impl Reader<'_> {
    /// Recursion is bounded by [`BODY_DEPTH`].
    fn graph(&mut self, message: &Message, folder: &mut Folder) -> Result<GraphId> {
        if self.scopes.len() > BODY_DEPTH {
            return Err(err!(Limit, "bodies are nested deeper than {BODY_DEPTH}"));
        }
        let (mut name, mut parts, mut rest) = ("", Parts::default(), Rest::default());
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => parts.nodes.add(&field),
                2 => name = text_or_keep(field, &mut rest)?,
                5 => parts.initializers.add(&field),
                11 => parts.inputs.add(&field),
                12 => parts.outputs.add(&field),
                13 => parts.declared.add(&field),
                14 => {
                    rest.keep(&field);
                    parts.annotations.add(&field);
                }
                15 => parts.sparse.add(&field),
                _ => rest.keep(&field),
            }
        }
        let graph = self.model.add_graph(name, None);
        self.model.graph_mut(graph).carried = rest.finish();
        self.scopes.push(NameIndex::default());
        self.definitions(graph, message, &parts, folder)
            .and_then(|outputs| self.mentions(graph, message, &parts, outputs, folder))
            .map_err(|error| match name {
                "" => error,
                name if graph == self.model.main() => error.at(format_args!("graph `{name}`")),
                name => error.at(format_args!("body `{name}`")),
            })?;
        self.scopes.pop();
        Ok(graph)
    }

    /// Defines every name of the graph; gives the outputs of all nodes in order.
    fn definitions(
        &mut self,
        graph: GraphId,
        message: &Message,
        parts: &Parts,
        folder: &mut Folder,
    ) -> Result<impl Iterator<Item = ValueId> + use<>> {
        if let Some(scope) = self.scopes.last_mut() {
            // Most nodes have one output.
            scope.expect(parts.nodes.count() + parts.initializers.count(), &self.model.values);
        }
        for message in parts.inputs.messages(message) {
            let (name, info) = types::info(&message?)?;
            let value = self.define(graph, name, Def::Input { default: None })?;
            self.model.set_info(value, info);
            self.model.graph_mut(graph).inputs.push(value);
        }
        for message in parts.initializers.messages(message) {
            let (name, stored) = tensor::initializer(&message?, folder)?;
            let value = self.constant(graph, name, Constant::Dense(stored))?;
            self.model.graph_mut(graph).initializers.push(value);
        }
        for message in parts.sparse.messages(message) {
            let (name, sparse) = sparse::initializer(&message?, folder)?;
            let value = self.constant(graph, name, Constant::Sparse(sparse))?;
            self.model.graph_mut(graph).sparse_initializers.push(value);
        }
        let first = self.model.values.len();
        let mut constants = HashSet::new();
        for node in parts.nodes.messages(message) {
            let node = node?;
            let (mut op, mut domain) = ("", "");
            let mut outputs: SmallVec<[&str; 2]> = SmallVec::new();
            for field in node.fields() {
                let field = field?;
                match field.number {
                    node::OUTPUT => outputs.push(field.str()?),
                    node::OP => op = field.str()?,
                    node::DOMAIN => domain = field.str()?,
                    _ => {}
                }
            }
            let is_constant = op == "Constant" && matches!(domain, "" | "ai.onnx");
            for name in outputs.into_iter().filter(|name| !name.is_empty()) {
                if is_constant {
                    self.replace_constant(name, &constants);
                }
                // `push_node` fills in the producer.
                let value = self.define(graph, name.into(), Def::Undefined)?;
                if is_constant {
                    constants.insert(value);
                }
            }
        }
        Ok((first..self.model.values.len()).map(ValueId::new))
    }

    fn define(&mut self, graph: GraphId, name: SmolStr, def: Def) -> Result<ValueId> {
        if name.is_empty() {
            return Err(err!(Invalid, "a graph input or initializer has no name"));
        }
        let scope = self.scopes.last_mut().ok_or_else(|| err!(Invalid, "a value without graph"))?;
        let value = self.model.add_value(graph, name, def);
        if !scope.insert(value, &self.model.values) {
            let name = self.model.value(value).name();
            return Err(err!(Invalid, "value `{name}` is defined twice")
                .help("every name of a graph must be defined once"));
        }
        Ok(value)
    }

    /// Takes the name from a value of the innermost graph that a Constant node makes.
    fn replace_constant(&mut self, name: &str, constants: &HashSet<ValueId>) {
        let Some(value) = self.own(name).filter(|value| constants.contains(value)) else { return };
        if let Some(scope) = self.scopes.last_mut() {
            scope.remove(name, &self.model.values);
            // Without a name nothing finds it.
            let former = std::mem::take(&mut self.model.values[value.index()].name);
            self.replaced.push((value, former));
        }
    }

    /// The value of that name in the innermost graph.
    fn own(&self, name: &str) -> Option<ValueId> {
        self.scopes.last()?.get(name, &self.model.values)
    }

    /// The value of that name in the innermost graph, or in those around it; most often it is the
    /// one made last.
    fn resolve(&self, name: &str, last: Option<ValueId>) -> Option<ValueId> {
        let is_last = |&last: &ValueId| self.model.value(last).name == name;
        last.filter(is_last).or_else(|| self.find(name))
    }

    fn find(&self, name: &str) -> Option<ValueId> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name, &self.model.values))
    }

    /// An initializer; one that is also a graph input becomes the input's default.
    fn constant(&mut self, graph: GraphId, name: SmolStr, constant: Constant) -> Result<ValueId> {
        let Some(value) = self.own(&name) else {
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
        message: &Message,
        parts: &Parts,
        mut outputs: impl Iterator<Item = ValueId>,
        folder: &mut Folder,
    ) -> Result<()> {
        let mut order = Vec::new();
        let mut last = None;
        for node in parts.nodes.messages(message) {
            let id = self.node(graph, &node?, last, &mut outputs, folder)?;
            last = self.model.node(id).output(0);
            order.push(id);
        }
        self.model.set_order(graph, &order);
        for message in parts.outputs.messages(message) {
            let (name, info) = types::info(&message?)?;
            let value = self.find(&name).ok_or_else(|| {
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
        for message in parts.declared.messages(message) {
            self.declared(graph, &message?)?;
        }
        for message in parts.annotations.messages(message) {
            self.annotation(graph, &message?)?;
        }
        Ok(())
    }

    /// `last` is the value made last, `outputs` gives the values of the outputs that have names.
    fn node(
        &mut self,
        graph: GraphId,
        message: &Message,
        last: Option<ValueId>,
        outputs: &mut impl Iterator<Item = ValueId>,
        folder: &mut Folder,
    ) -> Result<NodeId> {
        let mut node = Node::empty(graph);
        let (mut unknown, mut rest) = (None, Rest::default());
        for field in message.fields() {
            let field = field?;
            match field.number {
                node::INPUT => node.inputs.push(match field.str()? {
                    "" => None,
                    name => {
                        let value = self.resolve(name, last);
                        unknown = unknown.or(value.is_none().then_some(name));
                        value
                    }
                }),
                node::OUTPUT => {
                    let named = !field.str()?.is_empty();
                    node.outputs.push(if named { outputs.next() } else { None });
                }
                node::NAME => node.name = text_or_keep(field, &mut rest)?.into(),
                node::OP => node.op = field.str()?.into(),
                node::ATTRIBUTE => {
                    let mut body = |body: &Message, folder: &mut Folder| self.graph(body, folder);
                    let read = attribute::read(&field.message()?, folder, &mut body);
                    node.attributes.push(read.map_err(|error| error.at(place(message)))?);
                }
                node::DOMAIN => node.domain = text_or_keep(field, &mut rest)?.into(),
                node::OVERLOAD => node.overload = text_or_keep(field, &mut rest)?.into(),
                node::METADATA => match entry(&field.message()?)? {
                    Some(entry) => node.metadata.push(entry),
                    None => rest.keep(&field),
                },
                _ => rest.keep(&field),
            }
        }
        if node.op.is_empty() {
            return Err(err!(Invalid, "{} has no operator type", place(message)));
        }
        if let Some(name) = unknown {
            return Err(err!(Invalid, "input `{name}` is not defined anywhere").at(place(message)));
        }
        node.carried = rest.finish();
        Ok(self.model.push_node(node))
    }

    fn declared(&mut self, graph: GraphId, message: &Message) -> Result<()> {
        let (name, info) = types::info(message)?;
        let entry = match self.own(&name) {
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
            if let Some(value) = name.and_then(|name| self.find(&name)) {
                self.model.push_use(value, Use::Carried { graph });
            }
        }
        Ok(())
    }
}

/// Numbers of the fields of a `NodeProto`.
mod node {
    pub(super) const INPUT: u32 = 1;
    pub(super) const OUTPUT: u32 = 2;
    pub(super) const NAME: u32 = 3;
    pub(super) const OP: u32 = 4;
    pub(super) const ATTRIBUTE: u32 = 5;
    pub(super) const DOMAIN: u32 = 7;
    pub(super) const OVERLOAD: u32 = 8;
    pub(super) const METADATA: u32 = 9;
}

/// How messages name a node that is being read; for errors alone.
fn place(message: &Message) -> String {
    let (mut name, mut op, mut output) = ("", "", None);
    for field in message.fields().map_while(Result::ok) {
        match (field.number, field.str()) {
            (node::NAME, Ok(text)) => name = text,
            (node::OP, Ok(text)) => op = text,
            (node::OUTPUT, Ok(text)) => output = output.or(Some(text)),
            _ => {}
        }
    }
    label(name, op, output)
}
