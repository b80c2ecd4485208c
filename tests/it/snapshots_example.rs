//! The example of docs/SNAPSHOTS.md: the page and this file must say the same.

// example: begin
use onnxpress::analysis::Diff;
use onnxpress::emit;
use onnxpress::ir::Model;
use onnxpress::read;

/// A rewrite of our own: `Relu` behind `Relu` does nothing.
fn drop_double_relu(model: &mut Model) {
    for id in model.all_nodes() {
        let node = model.node(id);
        let (Some(input), Some(output)) = (node.input(0), node.output(0)) else { continue };
        let Some(before) = model.value(input).producer() else { continue };
        if node.is("Relu") && model.node(before).is("Relu") && model.substitute(output, input) {
            model.remove_node(id);
        }
    }
}

#[test]
fn the_second_relu_goes() {
    let before = read::text(
        r#"<ir_version: 8, opset_import: ["" : 17]>
           net (float[N,4] x) => (float[N,2] y) <float[4,2] w = {1, 0, 0, 1, 1, 0, 0, 1}> {
               [relu1] a = Relu (x)
               [relu2] b = Relu (a)
               [head] y = MatMul (b, w)
           }"#,
    )
    .unwrap();
    let mut after = before.clone();
    drop_double_relu(&mut after);

    // The whole model, as the rewrite left it.
    insta::assert_snapshot!(emit::text(after.verify().unwrap()), @r#"
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,4] x) => (float[N,2] y) <
       float[4,2] w = {1, 0, 0, 1, 1, 0, 0, 1}
    > {
       [relu1] a = Relu (x)
       [head] y = MatMul (a, w)
    }
    "#);

    // Only what the rewrite changed: short, even when the model is long.
    insta::assert_snapshot!(Diff::between(&before, &after), @r#"
    - node `relu2` (Relu): `a` -> `b`
    ~ node `head` (MatMul): input 0: `b` -> `a`
    "#);

    // A second run changes nothing.
    let mut again = after.clone();
    drop_double_relu(&mut again);
    assert!(Diff::between(&after, &again).is_empty());
}
// example: end

#[test]
fn the_page_shows_this_file() {
    let between = |text: &str, from: &str, to: &str| {
        let start = text.find(from).expect("the example begins") + from.len();
        let end = text[start..].find(to).expect("the example ends") + start;
        text[start..end].trim().to_owned()
    };
    let shown = between(include_str!("../../docs/SNAPSHOTS.md"), "```rust\n", "\n```");
    let tested =
        between(include_str!("snapshots_example.rs"), "// example: begin\n", "// example: end");
    assert_eq!(shown, tested, "docs/SNAPSHOTS.md must show the example that is tested");
}
