//! `GraphProto` -> graph: first every name a graph defines, then every name it mentions.

use std::collections::HashMap;

use crate::error::{Result, err};
use crate::ir::{
    Constant, Declared, Def, GraphId, GraphOutput, Info, Model, Node, NodeId, Use, ValueId,
};
use crate::proto::{GraphProto, NodeProto, ValueInfoProto};
use crate::read::onnx::{remainder, take_entries, take_text};
use crate::read::{Folder, attribute, tensor, types};

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

pub(super) fn read(model: &mut Model, proto: GraphProto, folder: &mut Folder) -> Result<()> {
    let mut reader = Reader { model, folder, scopes: Scopes::default() };
    reader.graph(proto).map(|_| ())
}

struct Reader<'a> {
    model: &'a mut Model,
    folder: &'a mut Folder,
    scopes: Scopes,
}

impl Reader<'_> {
    /// Recursion is bounded by the decoder's limit on nested messages.
    fn graph(&mut self, mut proto: GraphProto) -> Result<GraphId> {
        let name = take_text(&mut proto.name);
        let graph = self.model.add_graph(&name, None);
        self.scopes.0.push(HashMap::new());
        self.definitions(graph, &mut proto).and_then(|()| self.mentions(graph, proto)).map_err(
            |error| match name.as_str() {
                "" => error,
                name if graph == self.model.main() => error.at(format_args!("graph `{name}`")),
                name => error.at(format_args!("body `{name}`")),
            },
        )?;
        self.scopes.0.pop();
        Ok(graph)
    }

    fn definitions(&mut self, graph: GraphId, proto: &mut GraphProto) -> Result<()> {
        for mut input in std::mem::take(&mut proto.input) {
            let name = input.name.take().unwrap_or_default();
            let value = self.define(graph, &name, Def::Input { default: None })?;
            let info = types::info(&mut input)?;
            self.model.set_info(value, info);
            self.model.graph_mut(graph).inputs.push(value);
        }
        for mut initializer in std::mem::take(&mut proto.initializer) {
            let name = initializer.name.take().unwrap_or_default();
            let stored = tensor::stored(initializer, self.folder)
                .map_err(|error| error.at(format_args!("initializer `{name}`")))?;
            let value = self.constant(graph, &name, Constant::Dense(stored))?;
            self.model.graph_mut(graph).initializers.push(value);
        }
        for mut sparse in std::mem::take(&mut proto.sparse_initializer) {
            let name = sparse.values.as_ref().and_then(|v| v.name.clone()).unwrap_or_default();
            let value = self.constant(graph, &name, Constant::Sparse(remainder(&mut sparse)))?;
            self.model.graph_mut(graph).sparse_initializers.push(value);
        }
        for name in proto.node.iter().flat_map(|node| &node.output) {
            if !name.is_empty() {
                // `push_node` fills in the producer.
                self.define(graph, name, Def::Undefined)?;
            }
        }
        Ok(())
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

    fn mentions(&mut self, graph: GraphId, mut proto: GraphProto) -> Result<()> {
        let mut order = Vec::with_capacity(proto.node.len());
        for node in std::mem::take(&mut proto.node) {
            order.push(self.node(graph, node)?);
        }
        self.model.set_order(graph, &order);
        for mut output in std::mem::take(&mut proto.output) {
            let name = output.name.take().unwrap_or_default();
            let value = self.scopes.resolve(&name).ok_or_else(|| {
                err!(Invalid, "output `{name}` is not produced by any node, input or initializer")
            })?;
            let info = types::info(&mut output)?;
            if self.model.value(value).info().ty.is_none() {
                let own = Info { ty: info.ty.clone(), ..Info::default() };
                self.model.set_info(value, own);
            }
            self.model.push_output(graph, GraphOutput { value, info });
        }
        for declared in std::mem::take(&mut proto.value_info) {
            self.declared(graph, declared)?;
        }
        for annotation in &proto.quantization_annotation {
            let parameters = annotation.quant_parameter_tensor_names.iter();
            let named = parameters.filter_map(|entry| entry.value.as_deref());
            for name in named.chain(annotation.tensor_name.as_deref()) {
                if let Some(value) = self.scopes.resolve(name) {
                    self.model.push_use(value, Use::Carried { graph });
                }
            }
        }
        self.model.graph_mut(graph).carried = remainder(&mut proto);
        Ok(())
    }

    fn node(&mut self, graph: GraphId, mut proto: NodeProto) -> Result<NodeId> {
        let op = take_text(&mut proto.op_type);
        let name = take_text(&mut proto.name);
        if op.is_empty() {
            return Err(err!(Invalid, "node `{name}` has no operator type"));
        }
        let place = format!("node `{name}` ({op})");
        let mut inputs = Vec::with_capacity(proto.input.len());
        for text in std::mem::take(&mut proto.input) {
            inputs.push(match text.as_str() {
                "" => None,
                text => Some(self.scopes.resolve(text).ok_or_else(|| {
                    err!(Invalid, "input `{text}` is not defined anywhere").at(&place)
                })?),
            });
        }
        let outputs = std::mem::take(&mut proto.output);
        let outputs: Vec<_> = outputs.iter().map(|name| self.scopes.own(name)).collect();
        let mut attributes = Vec::with_capacity(proto.attribute.len());
        for raw in std::mem::take(&mut proto.attribute) {
            let name = raw.name.clone().unwrap_or_default();
            let mut body = |graph| self.graph(graph);
            let read = attribute::read(raw, &mut body)
                .map_err(|error| error.at(format_args!("{place}: attribute `{name}`")))?;
            attributes.push(read);
        }
        let node = Node {
            name,
            domain: take_text(&mut proto.domain),
            op,
            graph,
            inputs,
            outputs,
            attributes,
            metadata: take_entries(&mut proto.metadata_props),
            carried: remainder(&mut proto),
            prev: None,
            next: None,
            alive: true,
        };
        Ok(self.model.push_node(node))
    }

    fn declared(&mut self, graph: GraphId, mut proto: ValueInfoProto) -> Result<()> {
        let own = proto.name.as_deref().and_then(|name| self.scopes.own(name));
        let info = types::info(&mut ValueInfoProto { name: None, ..proto.clone() })?;
        let entry = match own {
            Some(value) if self.accepts(value, &info) => {
                self.model.set_info(value, info);
                Declared::Value(value)
            }
            _ => Declared::Carried(remainder(&mut proto)),
        };
        self.model.push_declared(graph, entry);
        Ok(())
    }

    /// One declaration is stored at the value; a second one must say the same.
    fn accepts(&self, value: ValueId, info: &Info) -> bool {
        let known = self.model.value(value).info();
        let bare = Info { ty: known.ty.clone(), ..Info::default() };
        known.ty.is_none() || known == info || (*known == bare && known.ty == info.ty)
    }
}
