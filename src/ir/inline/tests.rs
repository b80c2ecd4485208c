//! Calls in small models, told as nodes in execution order.

use std::time::Instant;

use crate::ir::{
    At, AttrValue, Attribute, Dim, DimSize, Function, GraphId, Info, Model, NewNode, TensorType,
    ValueId, ValueType,
};
use crate::tensor::DType;

fn call(name: &str, inputs: &[ValueId], output: &str) -> NewNode {
    NewNode { domain: "local".into(), ..NewNode::new(name, inputs, output) }
}

/// Function `local::name` from `a` and `b`, whose body `build` makes.
fn function(
    name: &str,
    build: impl FnOnce(&mut Model, GraphId, [ValueId; 2]) -> ValueId,
) -> Function {
    let mut function = Function::new("local", name, 17);
    function.body.header.opsets.push(("local".into(), 1));
    let inputs = [function.add_input("a"), function.add_input("b")];
    let main = function.body.main();
    let output = build(&mut function.body, main, inputs);
    function.add_output(output);
    function
}

/// Adds a node and gives its output.
fn add(model: &mut Model, graph: GraphId, node: NewNode) -> ValueId {
    let node = model.add_node(graph, At::End, node);
    model.node(node).only_output().unwrap()
}

/// A model with an input `x` and the functions, that returns `y`.
fn model(functions: Vec<Function>, build: impl FnOnce(&mut Model, ValueId) -> ValueId) -> Model {
    let mut model = Model::new(10, 17);
    model.header.opsets.push(("local".into(), 1));
    let x = model.add_input(model.main(), "x", TensorType::with_dims(DType::Float, &[4]));
    let y = build(&mut model, x);
    model.add_output(model.main(), y, None);
    functions.into_iter().for_each(|function| model.push_function(function));
    model
}

/// `Relu(x)->y`, one node to an entry; those of bodies behind all others.
fn nodes(model: &Model) -> Vec<String> {
    let names = |values: &[Option<ValueId>]| {
        let names = values.iter().map(|v| v.map_or("-", |v| model.value(v).name()));
        names.collect::<Vec<_>>().join(",")
    };
    let told = |id| {
        let node = model.node(id);
        let attributes: Vec<String> = node
            .attributes()
            .iter()
            .filter(|a| a.value.graphs().is_empty())
            .map(|a| format!("{}={:?}", a.name, a.value))
            .collect();
        let attributes = attributes.join(" ");
        format!("{}({}){attributes}->{}", node.op(), names(node.inputs()), names(node.outputs()))
    };
    model.all_nodes().into_iter().map(told).collect()
}

fn relu_twice() -> Function {
    function("f", |body, main, [a, _]| {
        let t = add(body, main, NewNode::new("Relu", &[a], "t"));
        add(body, main, NewNode::new("Neg", &[t], "o"))
    })
}

#[test]
fn calls_become_nodes_with_names_of_their_own() {
    let mut model = model(vec![relu_twice()], |model, x| {
        let main = model.main();
        let h = add(model, main, call("f", &[x], "h"));
        let g = add(model, main, NewNode::new("Abs", &[h], "g"));
        add(model, main, call("f", &[g], "y"))
    });
    let inlined = model.inline_functions();
    model.verify().unwrap();
    assert_eq!(
        nodes(&model),
        ["Relu(x)->h/t", "Neg(h/t)->h", "Abs(h)->g", "Relu(g)->y/t", "Neg(y/t)->y"]
    );
    let done = ("function `local::f`".to_owned(), "2 calls replaced by its nodes".to_owned());
    assert_eq!((inlined.done, inlined.refused), (vec![done], vec![]));
    assert!(model.functions().is_empty());
    assert_eq!(model.header.opsets, [(String::new(), 17)]);
    assert!(model.inline_functions().done.is_empty());
}

#[test]
fn nested_calls_resolve_attributes_and_captures() {
    let refer = |attribute: &str, name: &str| {
        let kind = Some(crate::ir::schema::AttrKind::Float);
        Attribute::new(attribute, AttrValue::Reference { name: name.into(), kind })
    };
    // g <alpha, beta = 0.5> (a, b): an If whose branch captures `a`, in it a call of f.
    let mut g = function("g", |body, main, [a, b]| {
        let mut leaky = NewNode::new("LeakyRelu", &[a], "s");
        leaky.attributes.push(refer("alpha", "beta"));
        let s = add(body, main, leaky);
        let mut branches = Vec::new();
        for (name, op) in [("then_branch", "f"), ("else_branch", "e")] {
            let branch = body.add_graph(name, None);
            let mut inner = call(op, &[s], "r");
            inner.attributes.push(refer("alpha", "alpha"));
            let r = add(body, branch, inner);
            body.add_output(branch, r, None);
            branches.push(Attribute::new(name, AttrValue::Graph(branch)));
        }
        let mut node = NewNode::new("If", &[b], "o");
        node.attributes = branches;
        add(body, main, node)
    });
    g.attributes.push("alpha".into());
    g.defaults.push(Attribute::new("beta", 0.5));
    let leaf = |name: &str| {
        let mut leaf = function(name, |body, main, [a, _]| {
            let mut node = NewNode::new("Elu", &[a], "o");
            node.attributes.push(refer("alpha", "alpha"));
            add(body, main, node)
        });
        leaf.attributes.push("alpha".into());
        leaf
    };
    let mut model = model(vec![g, leaf("f"), leaf("e")], |model, x| {
        let main = model.main();
        let c = model.add_input(main, "c", TensorType::with_dims(DType::Bool, &[]));
        let h = add(model, main, call("g", &[x, c], "h").attr("alpha", 2.0));
        add(model, main, call("g", &[h, c], "y").attr("beta", 0.25))
    });
    let inlined = model.inline_functions();
    assert_eq!(inlined.refused, []);
    model.verify().unwrap();
    assert_eq!(
        nodes(&model),
        [
            "LeakyRelu(x)alpha=Float(0.5)->h/s",
            "If(c)->h",
            "LeakyRelu(h)alpha=Float(0.25)->y/s",
            "If(c)->y",
            "Elu(h/s)alpha=Float(2.0)->h/r",
            "Elu(h/s)alpha=Float(2.0)->h/r_1",
            "Elu(y/s)->y/r",
            "Elu(y/s)->y/r_1",
        ]
    );
}

#[test]
fn inputs_left_out_and_outputs_that_are_inputs() {
    let mut clip = function("f", |body, main, [a, b]| {
        let node =
            NewNode { inputs: vec![Some(a), Some(b), Some(b)], ..NewNode::new("Clip", &[], "o") };
        add(body, main, node)
    });
    clip.add_output(clip.body.graph(clip.body.main()).inputs()[0]);
    let mut fine = model(vec![clip.clone()], |model, x| {
        let node = NewNode { outputs: vec!["y".into(), "z".into()], ..call("f", &[x], "y") };
        let node = model.add_node(model.main(), At::End, node);
        let z = model.node(node).output(1).unwrap();
        model.add_output(model.main(), z, None);
        model.node(node).output(0).unwrap()
    });
    assert_eq!(fine.inline_functions().refused, []);
    fine.verify().unwrap();
    assert_eq!(nodes(&fine), ["Clip(x)->y", "Identity(x)->z"]);
    clip.add_output(clip.body.graph(clip.body.main()).inputs()[1]);
    let mut lost = model(vec![clip], |model, x| {
        let outputs = ["y", "z", "w"].map(String::from).to_vec();
        let node = NewNode { outputs, ..call("f", &[x], "y") };
        let node = model.add_node(model.main(), At::End, node);
        model.node(node).output(0).unwrap()
    });
    let inlined = lost.inline_functions();
    assert_eq!(inlined.refused[0].1, "it leaves out input `b`, which is returned");
    assert_eq!((lost.functions().len(), inlined.done), (1, vec![]));
    lost.verify().unwrap();
}

#[test]
fn other_versions_and_imports() {
    let uses = |op: &str, version| {
        let mut f =
            function("f", |body, main, [a, _]| add(body, main, NewNode::new(op, &[a], "o")));
        f.body.header.opsets[0].1 = version;
        f.body.header.opsets.push(("acme".into(), 3));
        model(vec![f], |model, x| {
            let main = model.main();
            add(model, main, call("f", &[x], "y"))
        })
    };
    let mut same = uses("Relu", 18);
    assert_eq!(same.inline_functions().refused, []);
    assert_eq!(nodes(&same), ["Relu(x)->y"]);
    assert_eq!(same.header.opsets, [(String::new(), 17), ("acme".into(), 3)]);
    let mut other = uses("ReduceMax", 18);
    let inlined = other.inline_functions();
    assert_eq!(
        inlined.refused,
        [(
            "function `local::f`".to_owned(),
            "it imports version 18 of `ai.onnx`, the model version 17, and ReduceMax is not known \
             to be the same in both"
                .to_owned()
        )]
    );
    assert_eq!(nodes(&other), ["f(x)->y"]);
    assert_eq!(other.functions().len(), 1);
    other.verify().unwrap();
}

#[test]
fn overloads_and_symbols() {
    let overloaded = |overload: &str, op: &str| {
        let mut f = function("f", |body, main, [a, _]| {
            let t = add(body, main, NewNode::new(op, &[a], "t"));
            let dims = vec![Dim { size: DimSize::Symbol("N".into()), denotation: None }];
            let ty = TensorType { dims: Some(dims), ..TensorType::of(DType::Float) };
            body.set_info(t, Info { ty: Some(ValueType::Tensor(ty)), ..Info::default() });
            add(body, main, NewNode::new("Abs", &[t], "o"))
        });
        f.overload = overload.into();
        f
    };
    let functions = vec![overloaded("", "Relu"), overloaded("n", "Neg")];
    let mut model = model(functions, |model, x| {
        let main = model.main();
        let h = add(model, main, call("f", &[x], "h"));
        add(model, main, NewNode { overload: "n".into(), ..call("f", &[h], "y") })
    });
    model.inline_functions();
    assert_eq!(nodes(&model), ["Relu(x)->h/t", "Abs(h/t)->h", "Neg(h)->y/t", "Abs(y/t)->y"]);
    let t = model.find_value(model.main(), "y/t").unwrap();
    let dims = model.value(t).tensor_type().unwrap().dims.as_ref().unwrap();
    assert_eq!(dims[0].size, DimSize::Unknown);
}

/// `count` functions, each calling the one before it `times`.
fn tower(count: usize, times: usize) -> Model {
    let functions = (0..count).map(|i| {
        function(&format!("f{i}"), |body, main, [a, _]| {
            let node = |value: ValueId| match i {
                0 => NewNode::new("Neg", &[value], "o"),
                _ => call(&format!("f{}", i - 1), &[value], "o"),
            };
            (0..times).fold(a, |value, _| add(body, main, node(value)))
        })
    });
    model(functions.collect(), |model, x| {
        let main = model.main();
        add(model, main, call(&format!("f{}", count - 1), &[x], "y"))
    })
}

#[test]
fn growth_is_bounded_and_long_chains_are_linear() {
    let start = Instant::now();
    let mut laughs = tower(40, 2);
    let inlined = laughs.inline_functions();
    assert!(inlined.refused[0].1.contains("more than 1000000 nodes"), "{inlined:?}");
    assert_eq!((laughs.functions().len(), nodes(&laughs).len()), (40, 1));
    let mut chain = tower(3000, 1);
    assert_eq!(chain.inline_functions().refused, []);
    assert_eq!(nodes(&chain), ["Neg(x)->y"]);
    let mut wide = tower(12, 2);
    assert_eq!(wide.inline_functions().refused, []);
    wide.verify().unwrap();
    assert_eq!(nodes(&wide).len(), 1 << 12);
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn bodies_do_not_nest_deeper_than_files_may() {
    let functions = (0..40).map(|i| {
        function(&format!("f{i}"), |body, main, [a, b]| {
            let mut node = NewNode::new("If", &[b], "o");
            for name in ["then_branch", "else_branch"] {
                let branch = body.add_graph(name, None);
                let inner = match i {
                    0 => NewNode::new("Neg", &[a], "r"),
                    _ => call(&format!("f{}", i - 1), &[a, b], "r"),
                };
                let inner =
                    if name == "else_branch" { NewNode::new("Abs", &[a], "r") } else { inner };
                let r = add(body, branch, inner);
                body.add_output(branch, r, None);
                node.attributes.push(Attribute::new(name, AttrValue::Graph(branch)));
            }
            add(body, main, node)
        })
    });
    let functions: Vec<Function> = functions.collect();
    let deep = |top: usize| {
        let mut model = model(functions.clone(), |model, x| {
            let main = model.main();
            let c = model.add_input(main, "c", TensorType::with_dims(DType::Bool, &[]));
            add(model, main, call(&format!("f{top}"), &[x, c], "y"))
        });
        let refused = model.inline_functions().refused;
        model.verify().unwrap();
        refused
    };
    assert_eq!(deep(30), []);
    assert!(deep(39)[0].1.contains("would nest bodies 40 deep"));
}
