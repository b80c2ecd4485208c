//! Names of values in bodies that hide those of values around them.
//!
//! ONNX wants every name to be defined once, bodies included. Exporters write otherwise, and runtimes then let the
//! innermost definition count. References are ids here, so that another name changes nothing but the file.

use smol_str::SmolStr;

use crate::ir::names::{NameIndex, maybe_shared};
use crate::ir::{Def, GraphId, Model, NodeId, Use, ValueId};

impl Model {
    /// True for the body of an operator that is not of ONNX: runtimes may know its values by their names, as ONNX
    /// Runtime does with `input_ids` of the decoder of BeamSearch.
    pub(crate) fn keeps_names(&self, body: GraphId) -> bool {
        self.graph(body).parent.is_some_and(|owner| !self.node(owner).is_standard())
    }

    /// Gives values of bodies that have the name of a value visible there a name of their own, but for those
    /// of bodies that [keep their names](Self::keeps_names). Returns them with their former names.
    pub(crate) fn rename_hiding(&mut self) -> Vec<(ValueId, SmolStr)> {
        if self.graphs.len() < 2 {
            return Vec::new();
        }
        let shared = maybe_shared(&self.values);
        if !shared.contains(&true) {
            return Vec::new();
        }
        let mut walk =
            Walk { model: self, shared, visible: NameIndex::default(), hiding: Vec::new() };
        walk.run();
        let hiding = walk.hiding;
        let mut renamed = Vec::with_capacity(hiding.len());
        for value in hiding {
            let former = self.value(value).name.clone();
            self.name_afresh(value, &former);
            renamed.push((value, former));
        }
        renamed
    }

    /// Gives a value a name that nothing else has, whatever its name was known for.
    pub(crate) fn name_afresh(&mut self, value: ValueId, base: &str) {
        self.values[value.index()].name = self.fresh_name(base);
    }
}

struct Walk<'a> {
    model: &'a Model,
    /// Values that may have the name of another.
    shared: Vec<bool>,
    /// Those of them that are visible.
    visible: NameIndex,
    hiding: Vec<ValueId>,
}

/// A step of the walk; graphs nest on this explicit stack.
enum Step {
    Enter(GraphId),
    Node(NodeId),
    DefineOutputs(NodeId),
    Leave,
}

impl Walk<'_> {
    fn run(&mut self) {
        let model = self.model;
        let mut steps = vec![Step::Enter(model.main())];
        let mut scopes: Vec<Vec<ValueId>> = Vec::new();
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(graph) => {
                    scopes.push(Vec::new());
                    let entry = model.graph(graph);
                    let constants =
                        model.initializers_of(graph).chain(model.sparse_initializers_of(graph));
                    let constants =
                        constants.filter(|&v| matches!(model.value(v).def, Def::Initializer(_)));
                    for value in entry.inputs.iter().copied().chain(constants) {
                        self.define(value, &mut scopes);
                    }
                    steps.push(Step::Leave);
                    let first = steps.len();
                    steps.extend(model.nodes_of(graph).map(|(id, _)| Step::Node(id)));
                    steps[first..].reverse();
                }
                Step::Node(id) => {
                    steps.push(Step::DefineOutputs(id));
                    let first = steps.len();
                    steps.extend(model.node(id).bodies().map(Step::Enter));
                    steps[first..].reverse();
                }
                Step::DefineOutputs(id) => {
                    for &value in model.node(id).outputs.iter().flatten() {
                        self.define(value, &mut scopes);
                    }
                }
                Step::Leave => {
                    for value in scopes.pop().unwrap_or_default() {
                        self.visible.remove(&model.value(value).name, &model.values);
                    }
                }
            }
        }
    }

    fn define(&mut self, value: ValueId, scopes: &mut [Vec<ValueId>]) {
        let model = self.model;
        if !self.shared[value.index()] {
            return;
        }
        let entry = model.value(value);
        if self.visible.insert(value, &model.values) {
            if let Some(scope) = scopes.last_mut() {
                scope.push(value);
            }
        } else if scopes.len() > 1
            && !model.keeps_names(entry.graph)
            && !entry.uses.iter().any(|u| matches!(u, Use::Carried { .. }))
        {
            self.hiding.push(value);
        }
    }
}
