//! Model-local functions: what may stand in them, and what is said of what may not.

use onnxpress::ir::Model;
use onnxpress::{Result, read};

/// Reads a model that calls `local::f` with these functions behind it.
fn model(functions: &str) -> Result<Model> {
    let graph = "<ir_version: 10, opset_import: [\"\" : 17, \"local\" : 1]>
                 g (float[2] x) => (float[2] y) { y = local.f (x) }";
    let text = functions.replace(
        "fn ",
        "<domain: \"local\", opset_import: [\"\" : 17, \"local\" : 1, \"acme\" : 1]> ",
    );
    read::text(&format!("{graph} {text}"))
}

#[track_caller]
fn refused(functions: &str) -> String {
    model(functions).expect_err("a rule is broken").to_string()
}

#[track_caller]
fn notes(functions: &str) -> Vec<String> {
    let model = model(functions).expect("no rule is broken");
    model.warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn functions_must_not_call_themselves() {
    assert_eq!(
        refused("fn f (a) => (o) { o = local.f (a) }"),
        "function `local::f`: calls itself: f -> f; functions must not be recursive"
    );
    let mutual = "fn f (a) => (o) { o = local.g (a) } fn g (a) => (o) { o = local.h (a) }
                  fn h (a) => (o) { o = local.g (a) }";
    assert!(refused(mutual).contains("function `local::g`: calls itself: g -> h -> g"));
    let hidden = "fn f (a) => (o) { o = acme.Foo (a) < body = b () => (p) { p = local.f (a) } > }";
    assert!(refused(hidden).contains("calls itself"));
    let unused = "fn f (a) => (o) { o = Relu (a) } fn u (a) => (o) { o = local.u (a) }";
    assert!(refused(unused).contains("function `local::u`: calls itself"));
}

#[test]
fn bodies_see_only_their_own_names() {
    assert_eq!(
        refused("fn f (a) => (o) { o = Relu (x) }"),
        "function `local::f`: node producing `o` (Relu): input `x` is not defined anywhere"
    );
    assert!(refused("fn f (a) => (o) { p = Relu (a) }").contains("output `o` is not produced"));
    let twice = "fn f (a) => (o) { o = Relu (a) o = Neg (a) }";
    assert!(refused(twice).contains("`o` is defined twice"));
    let captures = "fn f (a) => (o) {
        o = acme.Foo (a) < body = b (float i = {1}) => (k, p) <float k = {2}> { p = Add (a, i) } >
    }";
    assert_eq!(notes(captures), [""; 0]);
}

#[test]
fn nodes_must_fit_their_operators() {
    let place = "function `local::f`: node producing `o`";
    let foreign = refused("fn f (a) => (o) { o = other.Foo (a) }");
    assert!(foreign.starts_with(&format!("{place} (Foo): its domain `other`")), "{foreign}");
    assert!(
        refused("fn f (a) => (o) { o = Relu (a, a) }")
            .contains("number of inputs: expected 1, found 2")
    );
    let typed = "fn f <n> (a) => (o) { o = LeakyRelu <alpha: int = @n> (a) }";
    assert!(refused(typed).contains("attribute `alpha` has type INT, but LeakyRelu takes FLOAT"));
    let lone = "fn f (a) => (o) { k = Constant <value = float {1}> () o = Relu (k, k, k) }";
    assert!(refused(lone).contains("expected 1, found 3"));
    let old =
        "<domain: \"local\", opset_import: [\"\" : 17, \"\" : 18]> f (a) => (o) { o = Neg (a) }";
    assert!(model(old).is_ok(), "the last import counts");
    let zero = "<domain: \"local\", opset_import: [\"\" : 0]> f (a) => (o) { o = Neg (a) }";
    assert!(refused(zero).contains("operator set `ai.onnx`: version 0"));
}

#[test]
fn signatures_and_calls() {
    let relu = "fn f (a) => (o) { o = Relu (a) }";
    assert!(refused(&format!("{relu} {relu}")).contains("`local::f`: is defined twice"));
    let attributes = "fn f <k, k = 1> (a) => (o) { o = Relu (a) }";
    assert!(refused(attributes).contains("declares attribute `k` twice"));
    let none = "fn f () => (o) { o = Constant <value_float = 1.0> () }";
    assert_eq!(
        refused(none),
        "node producing `y` (f): lists 1 inputs, but function `local::f` has 0"
    );
    let inner = "fn f (a) => (o) { o, p = local.g (a) } fn g (a) => (o) { o = Relu (a) }";
    assert!(
        refused(inner).starts_with("function `local::f`: node producing `o` (g): lists 2 outputs")
    );
    let undeclared = "fn f (a) => (o) { o = LeakyRelu <alpha: float = @nope> (a) }";
    assert!(
        notes(undeclared)[0]
            .ends_with("attribute `alpha` refers to `nope`, which the function does not declare")
    );
    let outside = read::text(
        "<ir_version: 8, opset_import: [\"\" : 17]>
         g (float[2] x) => (float[2] y) { y = LeakyRelu <alpha: float = @a> (x) }",
    );
    assert!(outside.unwrap_err().to_string().ends_with(
        "attribute `alpha` refers to attribute `a` of a function, but the node stands in none"
    ));
}

#[test]
fn nodes_out_of_order_are_sorted() {
    let unsorted = "fn f (a) => (o) { o = Neg (t) t = Relu (a) }";
    let sorted = model(unsorted).unwrap();
    let body = &sorted.functions()[0].body;
    let operators: Vec<&str> = body.nodes_of(body.main()).map(|(_, node)| node.op()).collect();
    assert_eq!(operators, ["Relu", "Neg"]);
    let cycle = "fn f (a) => (o) { o = Neg (t) t = Relu (o) }";
    assert!(refused(cycle).starts_with("function `local::f`: the graph has a cycle"));
}
