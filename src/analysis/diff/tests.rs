//! One kind of difference after the other, on small graphs.

use super::{Diff, DiffOptions};
use crate::ir::{Attribute, Constant, Def, Model, Stored, StoredAs};
use crate::read;

/// The model; a header is added when there is none.
fn parse(source: &str) -> Model {
    let source = match source.starts_with('<') {
        true => source.to_owned(),
        false => {
            format!(r#"<ir_version: 8, opset_import: ["" : 17, "com.x" : 1]> {source}"#)
        }
    };
    read::text(&source).unwrap_or_else(|error| panic!("{error}\n{source}"))
}

/// The differences between two graphs, and the same difference seen from the other side.
fn diff(a: &str, b: &str) -> Vec<String> {
    let (a, b) = (parse(a), parse(b));
    assert!(Diff::between(&a, &a).is_empty());
    assert!(Diff::between(&b, &b).is_empty());
    let there = Diff::between(&a, &b);
    assert_eq!(there.changes.len(), Diff::between(&b, &a).changes.len());
    there.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn equal_models_have_no_differences() {
    let graph = "g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add (x, w) }";
    assert_eq!(diff(graph, graph), [""; 0]);
}

#[test]
fn versions_and_producer() {
    let graph = "g (float[2] x) => (float[2] y) { y = Relu (x) }";
    let a = format!(r#"<ir_version: 8, opset_import: ["" : 17], producer_name: "p"> {graph}"#);
    let b = format!(
        r#"<ir_version: 9, opset_import: ["ai.onnx" : 18, "com.x" : 1], producer_name: "q",
            producer_version: "2"> {graph}"#
    );
    assert_eq!(
        diff(&a, &b),
        [
            "~ model `ir_version`: 8 -> 9",
            "~ model `opset ai.onnx`: 17 -> 18",
            "~ model `opset com.x`: none -> 1",
            "~ model `producer`: \"p\" -> \"q\"",
            "~ model: producer_version: none -> \"2\"",
        ]
    );
}

#[test]
fn inputs_and_outputs() {
    assert_eq!(
        diff(
            "g (float[2] x, float[N] k, int64 n) => (float[2] y, float z)
               { y = Relu (x) z = ReduceSum (k) }",
            "h (float[?] k, float16[2] x) => (float[2] v) { v = Relu (x) }",
        ),
        [
            "~ model `graph`: name: `g` -> `h`",
            "~ input `x`: order: 0 -> 1",
            "~ input `x`: type: float[2] -> float16[2]",
            "~ input `k`: order: 1 -> 0",
            "~ input `k`: type: float[N] -> float[?]",
            "- input `n`: int64",
            "- output `y`: float[2]",
            "- output `z`: float",
            "+ output `v`: float[2]",
            "~ node `y` (Relu): output 0: `y` -> `v`",
            "- node `z` (ReduceSum): `k` -> `z`",
        ]
    );
}

#[test]
fn nodes_added_removed_and_rewired() {
    assert_eq!(
        diff(
            "g (float[2] x) => (float[2] y) { t = Abs (x) u = Relu (t) y = Neg (u) }",
            "g (float[2] x) => (float[2] y)
               { u = Relu (x) q = Clip (u, , x) y = Neg (q) }",
        ),
        [
            "- node `t` (Abs): `x` -> `t`",
            "~ node `u` (Relu): input 0: `t` -> `x`",
            "~ node `y` (Neg): input 0: `u` -> `q`",
            "+ node `q` (Clip): `u`, none, `x` -> `q`",
        ]
    );
}

#[test]
fn operators_and_attributes() {
    assert_eq!(
        diff(
            r#"g (float[2,2] x) => (float[2,2] y, float[2,2] z) {
                 y = Softmax <axis = 1> (x)
                 z = Foo <f = 0.5, s = "a", l = [1, 2], t = float[2] {1, 2}, only = 1> (x)
               }"#,
            r#"g (float[2,2] x) => (float[2,2] y, float[2,2] z) {
                 y = com.x.Softmax <axis = -1> (x)
                 z = Foo <l = [1, 3], s = "b", f = 1, t = float[2] {1, 4}, extra = 2.5> (x)
               }"#,
        ),
        [
            "~ node `y` (Softmax): operator: Softmax -> com.x.Softmax",
            "~ node `y` (Softmax): attribute axis: 1 -> -1",
            "~ node `z` (Foo): attribute f: 0.5 -> 1",
            "~ node `z` (Foo): attribute s: \"a\" -> \"b\"",
            "~ node `z` (Foo): attribute l: [1, 2] -> [1, 3]",
            "~ node `z` (Foo): attribute t: float[2] {1, 2} -> float[2] {1, 4}; \
             1 of 2 elements differ, by at most 2, SQNR 1.0 dB",
            "~ node `z` (Foo): attribute only: 1 -> none",
            "~ node `z` (Foo): attribute extra: none -> 2.5",
        ]
    );
}

#[test]
fn a_renamed_graph_is_told_apart_from_a_rewritten_one() {
    let a = "g (float[2,2] x) => (float[2,2] y)
        <float[2,2] q = {1, 2, 3, 4}, float[2,2] k = {5, 6, 7, 8}>
        { a = MatMul (x, q) b = MatMul (x, k) c = Add (a, b) d = Relu (c) y = Mul (d, c) }";
    let b = "g (float[2,2] input) => (float[2,2] output)
        <float[2,2] v1 = {5, 6, 7, 8}, float[2,2] v0 = {1, 2, 3, 4}>
        { 1 = MatMul (input, v1) 0 = MatMul (input, v0) 2 = Add (0, 1) 3 = Relu (2)
          output = Mul (2, 3) }";
    let b = b.replace(" 0", " n0").replace(" 1", " n1").replace(" 2", " n2").replace(" 3", " n3");
    let b = b
        .replace("(0", "(n0")
        .replace("(2", "(n2")
        .replace("[n", "[")
        .replace("{1, n2, n3,", "{1, 2, 3,");
    assert_eq!(
        diff(a, &b),
        [
            "~ input `x`: name: `x` -> `input`",
            "~ output `y`: name: `y` -> `output`",
            "~ node `a` (MatMul): output 0: `a` -> `n0`",
            "~ node `b` (MatMul): output 0: `b` -> `n1`",
            "~ node `c` (Add): output 0: `c` -> `n2`",
            "~ node `d` (Relu): output 0: `d` -> `n3`",
            "~ node `y` (Mul): input 0: `d` -> `n2`",
            "~ node `y` (Mul): input 1: `c` -> `n3`",
            "~ node `y` (Mul): output 0: `y` -> `output`",
            "~ model `execution of nodes`: order: differs",
            "~ initializer `q`: name: `q` -> `v0`",
            "~ initializer `k`: name: `k` -> `v1`",
        ]
    );
}

#[test]
fn a_fused_node_is_gone_and_its_neighbour_takes_over_its_output() {
    assert_eq!(
        diff(
            "g (float[2] x) => (float[2] y) <float[2] w = {1, 2}, float[2] s = {3, 4}>
               { [m] t = Mul (x, w) [n] y = Div (t, s) }",
            "g (float[2] x) => (float[2] y) <float[2] w = {0.5, 0.5}> { [m] y = Mul (x, w) }",
        ),
        [
            "~ node `m` (Mul): output 0: `t` -> `y`",
            "- node `n` (Div): `t`, `s` -> `y`",
            "~ initializer `w`: contents: 2 of 2 elements differ, by at most 1.5, SQNR 3.0 dB",
            "- initializer `s`: float[2] {3, 4}",
        ]
    );
}

#[test]
fn initializers() {
    assert_eq!(
        diff(
            r#"g (float[2] x, float[1] o = {1}) => (float[2] y)
               <float[2] h = {1, 2}, float[2] i = {1, 2}, float[2] d = {1, 2}, float[9] gone = {1,2,3,4,5,6,7,8,9},
                string[2] s = {"a", "b"}>
               { y = Foo (x, o, h, i, d, gone, s) }"#,
            r#"g (float[2] x) => (float[2] y)
               <float[1] o = {1}, float16[2] h = {15360, 0}, int8[2] i = {1, 2}, float[2,1] d = {1, 2},
                int64 new = {7}, string[2] s = {"a", "c"}>
               { y = Foo (x, o, h, i, d, new, s) }"#,
        ),
        [
            "~ node `y` (Foo): input 5: `gone` -> `new`",
            "~ initializer `o`: role: default of an input -> constant",
            "~ initializer `h`: type: float[2] -> float16[2]; \
             1 of 2 elements differ, by at most 2, SQNR 1.0 dB",
            "~ initializer `i`: type: float[2] -> int8[2]",
            "~ initializer `d`: type: float[2] -> float[2,1]",
            "- initializer `gone`: float[9]",
            "~ initializer `s`: contents: 1 of 2 elements differ",
            "+ initializer `new`: int64 {7}",
        ]
    );
}

#[test]
fn storage_counts() {
    let a = parse("g () => (float[2] w) <float[2] w = {1, 2}> { }");
    let mut b = a.clone();
    let w = b.find_value(b.main(), "w").unwrap();
    let tensor = b.value(w).initializer().unwrap().clone();
    let stored = Stored { stored_as: StoredAs::Field, ..Stored::from(tensor) };
    b.values[w.index()].def = Def::Initializer(Constant::Dense(stored));
    let text = Diff::between(&a, &b).to_string();
    assert_eq!(text, "~ initializer `w`: storage: raw data -> typed field\n");
}

#[test]
fn bodies_are_compared_with_their_path() {
    let model = |body: &str, inner: &str| {
        format!(
            "g (bool c, float[2] x) => (float[2] y) <float[2] w = {{1, 2}}> {{
               [choose] y = If (c) <
                 then_branch = t () => (float[2] a) {{ {body} }},
                 else_branch = e () => (float[2] b) {{
                   b = If (c) <then_branch = t2 () => (i) {{ {inner} }},
                               else_branch = e2 () => (j) {{ j = Abs (x) }}>
                 }}
               >
             }}"
        )
    };
    assert_eq!(
        diff(
            &model("a = Add (x, w)", "i = Relu (x)"),
            &model("k = Neg (x) a = Add (k, w)", "i = Relu (w)")
        ),
        [
            "~ node `a` (Add) in choose.then_branch: input 0: `x` -> `k`",
            "+ node `k` (Neg) in choose.then_branch: `x` -> `k`",
            "~ node `i` (Relu) in choose.else_branch > b.then_branch: input 0: `x` -> `w`",
        ]
    );
}

#[test]
fn declared_types_of_inner_values() {
    assert_eq!(
        diff(
            "g (float[2] x) => (float[2] y) <float[2] t> { t = Abs (x) y = Neg (t) }",
            "g (float[2] x) => (float[2] y) <float[N] t> { t = Abs (x) y = Neg (t) }",
        ),
        ["~ value `t`: type: float[2] -> float[N]"]
    );
}

#[test]
fn metadata_counts_only_when_asked() {
    let graph = "g (float[2] x) => (float[2] y) { y = Relu (x) }";
    let a =
        parse(&format!(r#"<ir_version: 8, opset_import: ["" : 17], doc_string: "one"> {graph}"#));
    let b =
        parse(&format!(r#"<ir_version: 8, opset_import: ["" : 17], doc_string: "two"> {graph}"#));
    assert!(Diff::between(&a, &b).is_empty());
    let text = Diff::between_with(&a, &b, DiffOptions { metadata: true }).to_string();
    assert_eq!(text, "~ model: doc_string: \"one\" -> \"two\"\n");
}

#[test]
fn an_overload_is_no_metadata() {
    assert_eq!(
        diff(
            "g (float[2] x) => (float[2] y) { y = Foo:a (x) }",
            "g (float[2] x) => (float[2] y) { y = Foo:b (x) }",
        ),
        ["~ node `y` (Foo:a): operator: Foo:a -> Foo:b"]
    );
}

#[test]
fn functions_are_compared_node_by_node() {
    let model = |functions: &str| {
        format!(
            "<ir_version: 8, opset_import: [\"\" : 17, \"l\" : 1]>
             g (float[2] x) => (float[2] y) {{ y = l.f (x) }} {functions}"
        )
    };
    let a = model(
        "<domain: \"l\", opset_import: [\"\" : 17]> f <k, m = 1, n = 2> (a) => (b) {
            t = Relu (a) b = LeakyRelu <alpha: float = @k> (t) }
         <domain: \"l\", opset_import: [\"\" : 17]> old (a) => (b) { b = Neg (a) }",
    );
    let b = model(
        "<domain: \"l\", opset_import: [\"\" : 18]> f <k = 0.5, m = 3, n = 2> (x) => (b) {
            t = Relu (x) u = Neg (t) b = LeakyRelu <alpha: float = @m> (u) }
         <domain: \"l\", overload: \"o\", opset_import: [\"\" : 17]> old (a) => (b) { b = Neg (a) }",
    );
    assert_eq!(
        diff(&a, &b),
        [
            "~ function `l.f`: attribute k: no default -> 0.5",
            "~ function `l.f`: attribute m: 1 -> 3",
            "~ model `opset ai.onnx` in function l.f: 17 -> 18",
            "~ input `a` in function l.f: name: `a` -> `x`",
            "~ node `b` (LeakyRelu) in function l.f: input 0: `t` -> `u`",
            "~ node `b` (LeakyRelu) in function l.f: attribute alpha: @k -> @m",
            "+ node `u` (Neg) in function l.f: `t` -> `u`",
            "- function `l.old`: 1 inputs, 1 outputs, 1 nodes",
            "+ function `l.old:o`: 1 inputs, 1 outputs, 1 nodes",
        ]
    );
    assert_eq!(Diff::between(&parse(&a), &parse(&b)).matched_nodes, 3);
    let branch = |op: &str| {
        model(&format!(
            "<domain: \"l\", opset_import: [\"\" : 17]> f (a, c) => (b) {{
                b = If (c) <then_branch = t () => (p) {{ p = {op} (a) }},
                            else_branch = e () => (q) {{ q = Neg (a) }}> }}"
        ))
    };
    assert_eq!(
        diff(&branch("Relu"), &branch("Abs")),
        ["~ node `p` (Relu) in function l.f > b.then_branch: operator: Relu -> Abs"]
    );
}

#[test]
fn long_lists_that_differ_where_they_are_cut() {
    let mut a = parse("g (float[2] x) => (float[2] y) { y = Foo (x) }");
    let mut b = a.clone();
    for (model, last) in [(&mut a, 1), (&mut b, 2)] {
        let node = model.all_nodes()[0];
        let mut list = vec![0i64; 20];
        list.push(last);
        model.set_attr(node, Attribute::new("l", list));
    }
    let text = Diff::between(&a, &b).to_string();
    assert_eq!(
        text,
        "~ node `y` (Foo): attribute l: [0, 0, 0, 0, ... 21 elements] -> \
         [0, 0, 0, 0, ... 21 elements] (other elements)\n"
    );
}
