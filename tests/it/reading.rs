//! What other tools write against the rules of the format is read as ONNX Runtime reads it, put in order, and noted.

use onnxpress::ir::Model;
use onnxpress::passes::{Context, ConvertOpset, Pass, UnrollLoop};
use onnxpress::read::{self, Loaded};
use onnxpress::tensor::Tensor;

use crate::support::{encode, floats, run};

fn text(model: &str) -> Loaded {
    read::text_with_notes(model).unwrap_or_else(|error| panic!("{error}\n{model}"))
}

/// A Loop of three rounds whose body has names of the values around it.
fn looped(h: &str, k: &str, y: &str) -> String {
    format!(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        main (float[2] x) => (float[2] y) <int64 n = {{3}}, bool go = {{1}}, float[2] k = {{10, 20}}> {{
            h = Mul(x, k)
            z = Loop<body = b (int64 i, bool c, float[2] {h}) => (bool d, float[2] {y}) <float[2] {k} = {{2, 3}}> {{
                d = Identity(c)
                {y} = Mul({h}, {k})
            }}>(n, go, h)
            y = Add(z, k)
        }}"#
    )
}

fn outputs(model: &Model) -> Vec<f32> {
    // tract runs no Loop.
    let mut model = model.clone();
    UnrollLoop::default().run(&mut model, &Context::default()).expect("the pass runs");
    let x = ("x".to_owned(), Tensor::from_f32(&[2], &[1.0, 1.0]));
    floats(&run(&model, &[x]).expect("the model runs")[0].1)
}

#[test]
fn values_of_bodies_that_hide_others_are_renamed() {
    let wanted = outputs(&text(&looped("v", "own", "w")).model);
    assert_eq!(wanted, [10.0 * 8.0 + 10.0, 20.0 * 27.0 + 20.0]);
    for (h, k, y, count) in
        [("h", "own", "w", 1), ("x", "own", "w", 1), ("h", "k", "w", 2), ("n", "k", "x", 3)]
    {
        let loaded = text(&looped(h, k, y));
        assert_eq!(outputs(&loaded.model), wanted, "{h} {k} {y}");
        assert_eq!(loaded.notes.len(), 1, "{:?}", loaded.notes);
        assert!(
            loaded.notes[0].contains("has the name of a value around it"),
            "{:?}",
            loaded.notes
        );
        assert_eq!(
            loaded.notes[0].contains(&format!("({count} such values)")),
            count > 1,
            "{:?}",
            loaded.notes
        );
        // What was put in order is in order.
        let again = read::bytes(encode(&loaded.model)).unwrap();
        assert_eq!(again.notes, [] as [&str; 0]);
        assert_eq!(outputs(&again.model), wanted);
    }
}

#[test]
fn bodies_of_foreign_operators_keep_their_names() {
    let model = r#"<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
        main (float[2] x) => (float[2] y) {
            ids = Neg(x)
            y = com.microsoft.BeamSearch<decoder = b (float[2] x) => (float[2] ids) { ids = Abs(x) }>(ids)
        }"#;
    let loaded = text(model);
    assert_eq!(loaded.notes, [] as [&str; 0]);
    let body = loaded.model.graphs().nth(1).unwrap();
    let names: Vec<&str> =
        loaded.model.graph(body).inputs().iter().map(|&v| loaded.model.value(v).name()).collect();
    assert_eq!(names, ["x"]);
    let again = read::bytes(encode(&loaded.model)).unwrap();
    assert!(encode(&again.model) == encode(&loaded.model));
}

#[test]
fn of_constants_with_one_name_the_last_one_counts() {
    let model = r#"<ir_version: 8, opset_import: ["" : 17]>
        main (float[2] x) => (float[2] y) {
            k = Constant<value = float[2] {1, 2}>()
            a = Mul(x, k)
            k = Constant<value = float[2] {5, 7}>()
            y = Add(a, k)
        }"#;
    let loaded = text(model);
    assert_eq!(outputs(&loaded.model), [10.0, 14.0]);
    assert!(
        loaded.notes.iter().any(|note| note.contains("several Constant nodes")),
        "{:?}",
        loaded.notes
    );
    let two = model.replace("k = Constant<value = float[2] {5, 7}>()", "k = Neg(a)");
    let error = read::text_with_notes(&two).unwrap_err().to_string();
    assert!(error.contains("`k` is defined twice"), "{error}");
}

/// A Softmax over three axes, whose meaning changed with version 13.
fn imports(list: &str) -> String {
    format!(
        "<ir_version: 8, opset_import: [{list}]> main (float[1,2,2] x) => (y) {{ y = Softmax(x) }}"
    )
}

#[test]
fn of_two_imports_the_last_one_counts() {
    for (list, version, notes) in [
        (r#""" : 13, "" : 13"#, 13, 1),
        (r#""" : 11, "" : 13"#, 13, 1),
        (r#""" : 13, "" : 11"#, 11, 1),
        (r#""" : 0, "ai.onnx" : 13"#, 13, 1),
        (r#""" : 21, "" : 1, "" : 1, "" : 12"#, 12, 3),
        (r#""" : 13, "ai.onnx" : 13"#, 13, 0),
        (r#""" : 13, "ai.onnx.ml" : 2, "ai.onnx.ml" : 3"#, 13, 1),
    ] {
        let loaded = text(&imports(list));
        assert_eq!(loaded.model.opset(), Some(version), "{list}");
        assert_eq!(loaded.notes.len(), notes, "{list}: {:?}", loaded.notes);
        assert_eq!(read::bytes(encode(&loaded.model)).unwrap().notes, [] as [&str; 0], "{list}");
    }
    let ml = text(&imports(r#""" : 13, "ai.onnx.ml" : 2, "ai.onnx.ml" : 3"#)).model;
    assert_eq!(ml.opset_of("ai.onnx.ml"), Some(3));
    let error = read::text_with_notes(&imports(r#""" : 13, "" : 0"#)).unwrap_err().to_string();
    assert!(error.contains("version 0"), "{error}");
}

#[test]
fn both_spellings_of_the_default_domain_are_raised() {
    let mut model = text(&imports(r#""" : 13, "ai.onnx" : 13"#)).model;
    ConvertOpset { target: 17 }.run(&mut model, &Context::default()).unwrap();
    model.verify().unwrap();
    assert!(model.header.opsets.iter().all(|(_, version)| *version == 17));
}

#[test]
fn domains_that_runtimes_know_need_no_import() {
    let one = |imports: &str, node: &str| {
        let model = format!(
            "<ir_version: 8, opset_import: [{imports}]> main (float[2] x) => (y) {{ y = {node}(x) }}"
        );
        read::text_with_notes(&model)
    };
    for (node, domain, version) in [
        ("com.microsoft.Gelu", "com.microsoft", 1),
        ("com.microsoft.nchwc.ReorderInput", "com.microsoft.nchwc", 1),
        ("ai.onnx.ml.Scaler", "ai.onnx.ml", 5),
        // Trees have another form since version 5.
        (r#"ai.onnx.ml.TreeEnsembleRegressor<post_transform = "NONE">"#, "ai.onnx.ml", 4),
    ] {
        let loaded = one(r#""" : 17"#, node).unwrap();
        assert_eq!(loaded.model.opset_of(domain), Some(version), "{node}");
        assert!(loaded.notes[0].contains("used but not imported"), "{:?}", loaded.notes);
        assert_eq!(loaded.model.opset(), Some(17));
    }
    // The default domain: what the IR version came with.
    let loaded = one(r#""com.microsoft" : 1"#, "Relu").unwrap();
    assert_eq!(loaded.model.opset(), Some(18));
    for (imports, node) in [(r#""" : 17"#, "acme.Gelu"), ("", "Relu")] {
        let error = one(imports, node).unwrap_err().to_string();
        assert!(error.contains("import"), "{error}");
    }
}

#[test]
fn layer_normalization_before_its_time() {
    for (target, from) in [(17, 12), (21, 9), (13, 12), (25, 16)] {
        let model = format!(
            r#"<ir_version: 8, opset_import: ["" : {from}]>
            main (float[2,3] x) => (float[2,3] y) <float[3] s = {{1, 2, 3}}, float[3] b = {{0, 1, 2}}> {{
                y = LayerNormalization<axis = -1>(x, s, b)
            }}"#
        );
        let loaded = text(&model);
        assert!(loaded.notes[0].contains("ONNX Runtime runs it"), "{:?}", loaded.notes);
        let mut model = loaded.model;
        let report = ConvertOpset { target }.run(&mut model, &Context::default()).unwrap();
        assert!(report.refused.is_empty(), "{from} to {target}");
        assert_eq!(model.opset(), Some(target));
        assert_eq!(model.warnings().is_empty(), target >= 17);
        let x = ("x".to_owned(), Tensor::from_f32(&[2, 3], &[1.0, 2.0, 3.0, -1.0, 0.0, 1.0]));
        let y = floats(&run(&model, &[x]).unwrap()[0].1);
        assert!((y[0] + 1.2247).abs() < 1e-3 && (y[5] - 3.0 * 1.2247 - 2.0).abs() < 1e-3, "{y:?}");
    }
}
