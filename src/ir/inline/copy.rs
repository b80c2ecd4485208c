//! The nodes of a function, copied to where it is called; and those of a body, copied out of it.

use std::collections::{HashMap, HashSet};

use crate::ir::{
    AttrValue, Attribute, Declared, Def, DimSize, Function, GraphId, GraphOutput, Info, Model,
    Node, NodeId, Use, ValueId, ValueType,
};

/// Longest name, in bytes, that goes in front of the names inside: calls may nest thousands deep.
const LONGEST_PREFIX: usize = 200;

/// Puts the nodes of `function` into the model in place of `call`, which is removed. Gives the new
/// nodes of the call's graph in execution order; order and use lists are left to the caller.
///
/// # Errors
/// Why this call cannot be replaced; nothing is changed then.
pub(super) fn splice(
    model: &mut Model,
    function: &Function,
    call: NodeId,
) -> Result<Vec<NodeId>, String> {
    let site = model.node(call).clone();
    check(&site, function)?;
    let body = &function.body;
    let main = body.graph(body.main());
    let mut copy = Copy {
        prefix: prefix(model, &site),
        model,
        function: Some(function),
        values: HashMap::new(),
        annotated: annotated(body),
        site,
    };
    for (slot, &input) in main.inputs().iter().enumerate() {
        let given = copy.site.input(slot);
        copy.values.insert(input, given);
    }
    // Outputs of the call stay the values that they are, but for aliases.
    let mut identities = Vec::new();
    for (slot, output) in main.outputs().iter().enumerate() {
        let Some(wanted) = copy.site.output(slot) else { continue };
        if !is_alias(body, output.value) && !copy.values.contains_key(&output.value) {
            copy.values.insert(output.value, Some(wanted));
        } else {
            identities.push((output.value, wanted));
        }
    }
    let graph = copy.site.graph;
    let mut nodes: Vec<NodeId> =
        body.nodes_of(body.main()).map(|(_, node)| copy.node(node, graph)).collect();
    for (source, wanted) in identities {
        nodes.push(copy.identity(source, wanted));
    }
    let removed = &mut model.nodes[call.index()];
    removed.alive = false;
    removed.inputs.clear();
    removed.outputs.clear();
    Ok(nodes)
}

/// Whether a function's output is no node's output, so that only an Identity can give it a name.
fn is_alias(body: &Model, output: ValueId) -> bool {
    !matches!(body.value(output).def, Def::Output { .. })
}

/// The most Identity nodes that a call becomes: for outputs that are inputs, or returned before.
pub(super) fn aliases(body: &Model) -> u64 {
    let mut seen = HashSet::new();
    let outputs = body.graph(body.main()).outputs().iter().map(|output| output.value);
    outputs.filter(|&value| is_alias(body, value) || !seen.insert(value)).count() as u64
}

/// Whether a call can be replaced: bodies that it gives stay where they are, and an input that it
/// leaves out cannot be returned.
fn check(call: &Node, function: &Function) -> Result<(), String> {
    if let Some(given) = call.attributes.iter().find(|a| !a.value.graphs().is_empty()) {
        return Err(format!("it gives a body to the function, as attribute `{}`", given.name));
    }
    let body = &function.body;
    for (slot, &input) in body.graph(body.main()).inputs().iter().enumerate() {
        let value = body.value(input);
        if call.input(slot).is_none() && value.is_output() {
            return Err(format!("it leaves out input `{}`, which is returned", value.name()));
        }
    }
    Ok(())
}

/// What stands in front of the names inside: the name of the call, or of its first output.
pub(super) fn prefix(model: &Model, call: &Node) -> String {
    let output = call.outputs.iter().flatten().next().map(|&value| model.value(value).name());
    let name = match call.name() {
        "" => output.unwrap_or(call.op()),
        name => name,
    };
    name[..name.floor_char_boundary(LONGEST_PREFIX)].to_owned()
}

/// Graphs whose carried data names values, which get other names.
fn annotated(body: &Model) -> HashSet<GraphId> {
    let uses = body.values().flat_map(|(_, value)| value.uses());
    uses.filter_map(|u| match *u {
        Use::Carried { graph } => Some(graph),
        _ => None,
    })
    .collect()
}

/// A copy of the nodes of `body`, a graph of the model itself, made for the node `site`: they become
/// nodes of `graph`, where order is left to the caller. `values` says what stands for the values of
/// the body; it learns those that are made. Values from outside are read as they are.
pub(super) fn copy_nodes(
    model: &mut Model,
    (site, prefix): (&Node, String),
    body: GraphId,
    graph: GraphId,
    values: &mut HashMap<ValueId, Option<ValueId>>,
) -> Vec<NodeId> {
    let nodes: Vec<Node> = model.nodes_of(body).map(|(_, node)| node.clone()).collect();
    let mut copy = Copy {
        model,
        function: None,
        site: site.clone(),
        prefix,
        values: std::mem::take(values),
        annotated: HashSet::new(),
    };
    let made = nodes.iter().map(|node| copy.node(node, graph)).collect();
    *values = copy.values;
    made
}

struct Copy<'a> {
    model: &'a mut Model,
    /// Where the nodes come from; nothing for a body of the model itself.
    function: Option<&'a Function>,
    site: Node,
    prefix: String,
    /// What stands for the values of the function; nothing for inputs that the call leaves out.
    values: HashMap<ValueId, Option<ValueId>>,
    annotated: HashSet<GraphId>,
}

impl Copy<'_> {
    /// The store that the nodes come from.
    fn source(&self) -> &Model {
        self.function.map_or(&*self.model, |function| &function.body)
    }

    fn name(&self, inner: &str) -> String {
        format!("{}/{inner}", self.prefix)
    }

    /// The value that stands for one of the function, made in `graph` when it is not known yet.
    fn define(&mut self, value: ValueId, graph: GraphId, def: Def) -> ValueId {
        if let Some(&Some(known)) = self.values.get(&value) {
            return known;
        }
        let entry = self.source().value(value);
        let (name, info) = (self.name(entry.name()), local(entry.info()));
        let name = self.model.fresh_name(&name);
        let copy = self.model.add_value(graph, name, def);
        self.model.set_info(copy, info);
        self.values.insert(value, Some(copy));
        copy
    }

    fn find(&self, value: ValueId) -> Option<ValueId> {
        let outside = || self.function.is_none().then_some(value);
        self.values.get(&value).copied().unwrap_or_else(outside)
    }

    fn node(&mut self, from: &Node, graph: GraphId) -> NodeId {
        let inputs = from.inputs.iter().map(|input| self.find((*input)?)).collect();
        let attributes = from.attributes.iter().filter_map(|a| self.attribute(a)).collect();
        let outputs = from.outputs.iter();
        let outputs =
            outputs.map(|output| Some(self.define((*output)?, graph, Def::Undefined))).collect();
        let name = match from.name() {
            "" => String::new(),
            name => self.name(name),
        };
        let name = self.model.fresh_node_name(&name);
        let copy = Node {
            name,
            inputs,
            outputs,
            attributes,
            domain: from.domain.clone(),
            op: from.op.clone(),
            overload: from.overload.clone(),
            metadata: from.metadata.clone(),
            carried: from.carried.clone(),
            ..Node::empty(graph)
        };
        let id = self.model.push_node(copy);
        if from.inputs.last().is_some_and(Option::is_some) {
            self.model.trim_inputs(id);
        }
        id
    }

    /// `wanted`, which the call lists as output, is what stands for `source`.
    fn identity(&mut self, source: ValueId, wanted: ValueId) -> NodeId {
        let input = self.find(source);
        let name = self.name("Identity");
        let name = self.model.fresh_node_name(&name);
        self.model.push_node(Node {
            name,
            inputs: [input].into_iter().collect(),
            outputs: [Some(wanted)].into_iter().collect(),
            op: "Identity".into(),
            ..Node::empty(self.site.graph)
        })
    }

    /// References become what the call gives, else the default; without either they are left out.
    fn attribute(&mut self, from: &Attribute) -> Option<Attribute> {
        let value = match &from.value {
            AttrValue::Reference { name, .. } => {
                let named = |attribute: &&Attribute| attribute.name == *name;
                let given = self.site.attributes.iter().find(named);
                let defaults = self.function.map_or(&[][..], |function| &function.defaults);
                let given = given.or_else(|| defaults.iter().find(named))?;
                return Some(Attribute { name: from.name.clone(), ..given.clone() });
            }
            AttrValue::Graph(body) => AttrValue::Graph(self.graph(*body)),
            AttrValue::Graphs(bodies) => {
                AttrValue::Graphs(bodies.iter().map(|&body| self.graph(body)).collect())
            }
            other => other.clone(),
        };
        Some(Attribute { value, ..from.clone() })
    }

    /// A body with values of its own; what it captures is resolved. Recursion is bounded by the
    /// nesting that `read` accepted.
    fn graph(&mut self, from: GraphId) -> GraphId {
        let source = self.source();
        let entry = source.graph(from);
        let (name, inputs, outputs) =
            (entry.name().to_owned(), entry.inputs().to_vec(), entry.outputs().to_vec());
        let carried = entry.carried.clone();
        let initializers: Vec<ValueId> = source.initializers_of(from).collect();
        let nodes: Vec<Node> = source.nodes_of(from).map(|(_, node)| node.clone()).collect();
        let declared: Vec<Declared> = source.declared_of(from).cloned().collect();
        let to = self.model.add_graph(&name, None);
        for input in inputs {
            let def = self.source().value(input).def.clone();
            let copy = self.define(input, to, def);
            self.model.graph_mut(to).inputs.push(copy);
        }
        for value in initializers {
            let def = self.source().value(value).def.clone();
            let copy = self.define(value, to, def);
            self.model.graph_mut(to).initializers.push(copy);
        }
        let order: Vec<NodeId> = nodes.iter().map(|node| self.node(node, to)).collect();
        self.model.set_order(to, &order);
        for output in outputs {
            if let Some(value) = self.find(output.value) {
                self.model.push_output(to, GraphOutput { value, info: local(&output.info) });
            }
        }
        for entry in declared {
            if let Declared::Value(value) = entry
                && let Some(copy) = self.find(value)
            {
                self.model.push_declared(to, Declared::Value(copy));
            }
        }
        if !self.annotated.contains(&from) {
            self.model.graph_mut(to).carried = carried;
        }
        to
    }
}

/// A declaration as it holds at any call: symbols of the function mean nothing around it.
fn local(info: &Info) -> Info {
    let ty = match &info.ty {
        Some(ValueType::Tensor(ty)) => {
            let mut ty = ty.clone();
            for dim in ty.dims.iter_mut().flatten() {
                if matches!(dim.size, DimSize::Symbol(_)) {
                    dim.size = DimSize::Unknown;
                }
            }
            Some(ValueType::Tensor(ty))
        }
        _ => None,
    };
    Info { ty, ..info.clone() }
}
