//! The text form of models: what is printed can be read, and reads back as the same.

use std::path::Path;

use onnxpress::emit::{Elements, TextOptions, text, text_with};
use onnxpress::ir::{Model, NewNode};
use onnxpress::tensor::{DType, Tensor};
use onnxpress::{emit, ir, read};
use proptest::prelude::*;

/// All element types, attributes of all kinds, bodies, names that must be quoted.
const EVERYTHING: &str = include_str!("everything.txt");

fn full(model: &Model) -> String {
    let options = TextOptions { elements: Elements::All };
    text_with(model.verify().expect("the model is valid"), options)
}

fn parse(source: &str) -> Model {
    read::text(source).unwrap_or_else(|error| panic!("{error}\n{source}"))
}

#[test]
fn everything_reads_back_as_the_same_text() {
    let model = parse(EVERYTHING);
    assert_eq!(full(&model), EVERYTHING);
    assert_eq!(full(&parse(&full(&model))), EVERYTHING);
}

#[test]
fn text_and_file_say_the_same() {
    let model = parse(EVERYTHING);
    let encoded = emit::onnx(model.verify().unwrap()).unwrap();
    let again = read::bytes(encoded.to_bytes()).unwrap().model;
    assert_eq!(full(&again), EVERYTHING);
}

#[test]
fn every_fixture_reads_back_from_its_text() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/graphs");
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut seen = 0;
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "onnx")) {
        let model = read::file(path).unwrap().model;
        let sparse = model.graphs().any(|g| model.sparse_initializers_of(g).next().is_some());
        if sparse {
            continue;
        }
        let printed = full(&model);
        let again = full(&parse(&printed));
        assert_eq!(again, printed, "{}", path.display());
        seen += 1;
    }
    assert!(seen > 20, "only {seen} fixtures were tried");
}

#[test]
fn long_tensors_are_cut_and_carry_a_digest() {
    let numbers: Vec<f32> = (0..20).map(|i| i as f32 / 2.0).collect();
    let mut model = Model::new(8, 17);
    let main = model.main();
    let w = model.add_initializer(main, "w", Tensor::from_f32(&[4, 5], &numbers));
    let node = NewNode::new("Identity", &[w], "y");
    let node = model.add_node(main, ir::At::End, node);
    let y = model.node(node).output(0).unwrap();
    model.add_output(main, y, Some(ir::TensorType::of(DType::Float)));
    insta::assert_snapshot!(text(model.verify().unwrap()), @r##"
    <ir_version: 8, opset_import: ["" : 17]>
    main () => (float[] y) <
       float[4,5] w = {0, 0.5, 1, 1.5, ...}  # w: 20 elements, fnv1a 4dec23726a3ba098
    > {
       [y] y = Identity (w)
    }
    "##);
    let error = read::text(&text(model.verify().unwrap())).unwrap_err();
    insta::assert_snapshot!(error, @"line 3, column 36: the elements of this tensor were left out when the text was printed; print the model with all elements");
}

#[test]
fn errors_name_line_column_expected_and_found() {
    let message = |source: &str| read::text(source).unwrap_err().to_string();
    let cases = [
        "",
        "g (float[2] x) -> (float[2] y) {}",
        "g (float[2] x) => (float[2] y) { y = Relu (x }",
        "g (float[2] x) => (float[2] y)\n{\n  y = Relu <alpha=> (x)\n}",
        "g (float[2] x) => (float[2] y) <float[3] w = {1, 2}> { y = Add (x, w) }",
        "g (float[2] x) => (float[2] y) <int8[1] w = {300}> { y = Add (x, w) }",
        "g (float[2] x) => (float[2] y) <float[n] w = {1}> { y = Add (x, w) }",
        "g () => (y) { y = Constant <value_ints = []> () }",
        "g () => (y) { y = Constant <value_ints = [1, 2.5]> () }",
        "g () => (y) { y = Constant <value_int: int = 2.5> () }",
        "g () => (y) { y = Constant <value_string = \"a> () }",
        "<ir_version: 99999999999999999999> g () => () {}",
        "g (float[2] x) => (float[2] y) { y = Relu (z) }",
        "g (float[2] x) => (float[2] y) {} h",
        "g () => () {} <domain: \"d\", ir_version: 8> f () => () {}",
        "g () => () {} <domain: \"d\"> f <a, b: int> () => () {}",
        "g () => () {} <domain: \"d\"> f () => () <float[1] w = {1}> {}",
        "g () => () {} <domain: \"d\", opset_import: [\"\" : 17]> f (a) => (b) { b = Relu (c) }",
    ];
    let report: Vec<String> = cases
        .iter()
        .map(|source| format!("{}\n  {}", source.replace('\n', "⏎"), message(source)))
        .collect();
    insta::assert_snapshot!(report.join("\n"), @r##"

      line 1, column 1: expected the name of a graph, found the end of the text
    g (float[2] x) -> (float[2] y) {}
      line 1, column 16: expected `=>` and the outputs, found `-`
    g (float[2] x) => (float[2] y) { y = Relu (x }
      line 1, column 46: expected `)`, found `}`
    g (float[2] x) => (float[2] y)⏎{⏎  y = Relu <alpha=> (x)⏎}
      line 3, column 19: expected a number or a string, found `>`
    g (float[2] x) => (float[2] y) <float[3] w = {1, 2}> { y = Add (x, w) }
      line 1, column 46: float dims [3] hold 3 elements, found 2
    g (float[2] x) => (float[2] y) <int8[1] w = {300}> { y = Add (x, w) }
      line 1, column 46: expected an element of type int8, found 300
    g (float[2] x) => (float[2] y) <float[n] w = {1}> { y = Add (x, w) }
      line 1, column 33: expected a tensor type whose dims are all numbers, because elements follow
    g () => (y) { y = Constant <value_ints = []> () }
      line 1, column 43: an empty list needs a list type, e.g. `axes: ints = []`
    g () => (y) { y = Constant <value_ints = [1, 2.5]> () }
      line 1, column 46: expected an element of the same type as the first, found `2.5`
    g () => (y) { y = Constant <value_int: int = 2.5> () }
      line 1, column 46: expected a value of type INT, found one of another type
    g () => (y) { y = Constant <value_string = "a> () }
      line 1, column 44: this string has no closing `"`
    <ir_version: 99999999999999999999> g () => () {}
      line 1, column 14: expected the IR version, found 99999999999999999999: too large
    g (float[2] x) => (float[2] y) { y = Relu (z) }
      graph `g`: node producing `y` (Relu): input `z` is not defined anywhere
    g (float[2] x) => (float[2] y) {} h
      line 1, column 35: expected a function, or the end of the text, found `h`
    g () => () {} <domain: "d", ir_version: 8> f () => () {}
      line 1, column 29: expected `domain`, `overload`, `opset_import` or `doc_string` of a function, found `ir_version`
    g () => () {} <domain: "d"> f <a, b: int> () => () {}
      line 1, column 41: expected `=`, found `>`
    g () => () {} <domain: "d"> f () => () <float[1] w = {1}> {}
      line 1, column 41: expected types of values, found elements: functions have no initializers
    g () => () {} <domain: "d", opset_import: ["" : 17]> f (a) => (b) { b = Relu (c) }
      function `d::f`: node producing `b` (Relu): input `c` is not defined anywhere
    "##);
}

#[test]
fn what_onnx_parser_also_accepts_is_accepted() {
    let source = r#"
        # Untyped values, blank inputs, attributes behind the inputs.
        <ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>
        agraph (float x, float y0 = {1}) => (y) {
            a, , b = Foo:over (x, , y0,) <k = 1, "l" : floats = [1, 2.5, -inf]>
            y = com.example.Bar <t = float[2] {1, 2}, p = seq(float[N])> (a, b)
        }
        <domain : "d", opset_import : [ "" : 17 ]>
        f <outer, e : int = 3> (x, y,) => (z)
        { z = Foo (x, y) <r: int = @outer, s : int=@e> }
        <opset_import : [ "" : 17 ], domain : "d"> g () => () {}"#;
    insta::assert_snapshot!(full(&parse(source)), @r##"
    <ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>
    agraph (float x, float y0 = {1}) => (y) {
       a, "", b = Foo:over <k = 1, l = [1.0, 2.5, -inf]> (x, "", y0)
       y = com.example.Bar <t = float[2] {1, 2}, p: type_proto = seq(float[N])> (a, b)
    }
    <domain: "d", opset_import: ["" : 17]>
    f <outer, e = 3> (x, y) => (z) {
       z = Foo <r: int = @outer, s: int = @e> (x, y)
    }
    <domain: "d", opset_import: ["" : 17]>
    g () => () {
    }
    "##);
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    let nested = |depth: usize| {
        let mut body = "z = Relu (x)".to_owned();
        for i in 0..depth {
            body = format!("z = If (x) <then_branch = b{i} () => (z) {{ {body} }}>")
                .replace(" z ", &format!(" z{i} "));
        }
        format!("g (x) => () {{ {body} }}")
    };
    let error = read::text(&nested(1000)).unwrap_err().to_string();
    assert!(error.ends_with("graphs nest deeper than 30"), "{error}");
    let types = format!("g ({}float{} x) => () {{}}", "seq(".repeat(1000), ")".repeat(1000));
    let error = read::text(&types).unwrap_err().to_string();
    assert!(error.ends_with("types nest deeper than 16"), "{error}");
}

proptest! {
    /// Hostile text gives an error, never a panic: characters are replaced, removed and repeated.
    #[test]
    fn mutated_text_never_panics(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<char>()), 1..6),
        token in prop::sample::select(vec!["[", "]", "<", ">", "{", "}", "(", ")", "=", "-", "@", "\"", "\\", "inf", "9999999999999999999", "é", "...", ""]),
    ) {
        let mut text: Vec<String> = EVERYTHING.chars().map(String::from).collect();
        for (index, what, character) in edits {
            let at = index.index(text.len());
            match what {
                0 => text[at] = character.to_string(),
                1 => text[at] = String::new(),
                2 => text[at] = token.to_owned(),
                _ => text.truncate(at.max(1)),
            }
        }
        if let Ok(model) = read::text(&text.concat()) {
            let printed = full(&model);
            prop_assert_eq!(full(&parse(&printed)), printed);
        }
    }

    #[test]
    fn tensors_of_every_type_read_back(bytes in proptest::collection::vec(any::<u8>(), 48)) {
        for &dtype in DType::ALL {
            if dtype == DType::String {
                continue;
            }
            let count = 48 * 8 / dtype.bits();
            // A NaN keeps its sign, not its payload.
            let mut bytes = bytes.clone();
            let nan = |chunk: &[u8]| match dtype {
                DType::Float | DType::Complex64 => f32::from_le_bytes(chunk.try_into().unwrap()).is_nan(),
                DType::Double | DType::Complex128 => f64::from_le_bytes(chunk.try_into().unwrap()).is_nan(),
                _ => false,
            };
            let width = match dtype {
                DType::Float | DType::Complex64 => 4,
                _ => 8,
            };
            for chunk in bytes.chunks_mut(width) {
                if nan(chunk) {
                    chunk.fill(0);
                }
            }
            let tensor = Tensor::new(dtype, vec![count], bytes.into()).unwrap();
            let mut model = Model::new(13, 25);
            let main = model.main();
            let w = model.add_initializer(main, "w", tensor.clone());
            model.add_output(main, w, None);
            let again = parse(&full(&model));
            let w = again.find_value(again.main(), "w").unwrap();
            prop_assert_eq!(again.value(w).initializer().unwrap().bytes(), tensor.bytes());
        }
    }
}
