//! What the execution check sees, and what it makes of it.

use onnxpress::Result;
use onnxpress::compress;
use onnxpress::compress::SimplifyPasses;
use onnxpress::exec::Tract;
use onnxpress::ir::{Model, NodeId};
use onnxpress::passes::{Context, Pass, Promise, Report};
use onnxpress::pipeline::{self, Check, Finished, Outcome, When};
use onnxpress::read;
use tempfile::tempdir;

use crate::support::{encode, shell};

fn settle(model: &Model, passes: &[Box<dyn Pass + '_>]) -> Finished {
    let check = Check { engine: &Tract, inputs: pipeline::probes(model, 0), enough: 2 };
    let cx = Context { evaluate: Some(&Tract), ..Context::default() };
    pipeline::settle(model.clone(), passes, &cx, Some(&check), When::AtEnd).expect("it settles")
}

fn simplify(text: &str) -> Finished {
    let model = read::text(text).expect("a text form");
    settle(&model, &compress::simplify(&SimplifyPasses::default()))
}

fn broken(finished: &Finished) -> Vec<&'static str> {
    let steps = finished.steps.iter();
    let broken = steps.filter(|step| matches!(step.outcome, Some(Outcome::Broken(_))));
    broken.map(|step| step.name).collect()
}

fn count(model: &Model, op: &str) -> usize {
    model.all_nodes().into_iter().filter(|&node| model.node(node).is(op)).count()
}

#[test]
fn equal_nodes_beside_what_no_engine_runs_are_merged() {
    // Each of them feeds something that cannot be executed, so random numbers stand for what stays.
    for (op, inputs) in [("Relu", "x"), ("MatMul", "x, w")] {
        let finished = simplify(&format!(
            r#"<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
            g (float[N,2] x) => (float[N,2] y) <float[2,2] w = {{1.0, 2.0, 3.0, 4.0}}> {{
                p = {op} ({inputs})
                q = {op} ({inputs})
                a = acme.Foo (p)
                b = acme.Foo (q)
                c = Neg (p)
                d = Exp (q)
                y = Sum (a, b, c, d)
            }}"#
        ));
        assert_eq!((count(&finished.model, op), broken(&finished)), (1, vec![]), "{op}");
    }
}

#[test]
fn extents_that_a_part_computes_are_no_random_numbers() {
    // The scale is computed twice from extents; merged, it is computed once.
    let finished = simplify(
        r#"<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
        g (float[N,L] x) => (float[N,L] y) {
            s = Shape (x) f = Cast <to = 1> (s) r = Sqrt (f) m = ReduceMax <keepdims = 0> (r)
            t = Shape (x) g0 = Cast <to = 1> (t) u = Sqrt (g0) n = ReduceMax <keepdims = 0> (u)
            a = acme.Foo (x)
            b = Div (x, m)
            c = Div (b, n)
            y = Add (a, c)
        }"#,
    );
    assert_eq!((count(&finished.model, "Sqrt"), broken(&finished)), (1, vec![]));
}

/// Turns Abs into Relu wherever it is asked to look.
struct AbsIsRelu;

impl Pass for AbsIsRelu {
    fn name(&self) -> &'static str {
        "fuse-abs"
    }

    fn summary(&self) -> &'static str {
        "Made by a test."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let nodes: Vec<NodeId> = cx.near.map_or_else(|| model.all_nodes(), <[_]>::to_vec);
        for node in nodes {
            if model.is_live(node) && model.node(node).is("Abs") {
                model.set_op(node, "Relu");
                report.did(model.label(node), "became Relu");
            }
        }
        Ok(report)
    }
}

#[test]
fn of_a_pass_that_breaks_its_promise_only_the_edits_go_that_do() {
    let text = r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[3] x) => (float[3] y) {
            a = Exp (x) b = Abs (a) c = Abs (x) d = Abs (b) e = Mul (x, x) f = Abs (e)
            y = Sum (c, d, f)
        }"#;
    let finished = settle(&read::text(text).unwrap(), &[Box::new(AbsIsRelu)]);
    assert_eq!((count(&finished.model, "Relu"), count(&finished.model, "Abs")), (3, 1));
    let step = &finished.steps[0];
    assert!(matches!(step.outcome, Some(Outcome::Kept(_))), "{:?}", step.outcome);
    assert_eq!((step.report.done.len(), step.report.refused.len()), (3, 1));
    assert!(step.report.refused[0].place.contains("`c`"), "{:?}", step.report.refused);
    assert!(step.report.warnings[0].contains("1 of its 4 edits"), "{:?}", step.report.warnings);
}

#[test]
fn what_moves_by_one_rounding_of_its_input_is_not_asked_to_stand_still() {
    // Rounding x moves an angle of 100,000 by as much as dividing by 3 instead.
    let text = r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[64] x) => (float[64] y) <float big = {300000.0}, float third = {0.333333343}> {
            a = Mul (x, big) b = Mul (a, third) y = Sin (b)
        }"#;
    let edit = Reordered;
    let finished = settle(&read::text(text).unwrap(), &[Box::new(edit)]);
    assert_eq!(broken(&finished), Vec::<&str>::new(), "{:?}", finished.steps);
    assert_eq!(count(&finished.model, "Div"), 1);
}

/// Divides by 3 instead of multiplying by a third.
struct Reordered;

impl Pass for Reordered {
    fn name(&self) -> &'static str {
        "fuse-thirds"
    }

    fn summary(&self) -> &'static str {
        "Made by a test."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn run(&self, model: &mut Model, _: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let products: Vec<NodeId> =
            model.all_nodes().into_iter().filter(|&n| model.node(n).is("Mul")).collect();
        if let [_, second] = products[..] {
            let main = model.main();
            let three = onnxpress::tensor::Tensor::from_f32(&[], &[3.0]);
            let three = model.add_initializer(main, "three", three);
            model.set_op(second, "Div");
            model.set_input(second, 1, Some(three));
            report.did(model.label(second), "divides");
        }
        Ok(report)
    }
}

#[test]
fn models_for_whose_inputs_nothing_can_be_made_up_are_simplified() {
    let folder = tempdir().unwrap();
    for input in ["string[N] s", "seq(float[2]) s", "float8e4m3fn[N] s", "float[1000000,1000000] s"]
    {
        let kind = input.trim_end_matches(" s");
        let text = format!(
            r#"<ir_version: 10, opset_import: ["" : 21]>
            g (float[N,2] x, {input}) => (float[N,2] y, {kind} t) {{
                a = Identity (x) b = Relu (a) c = Relu (a) y = Add (b, c) t = Identity (s)
            }}"#
        );
        let model = read::text(&text).unwrap_or_else(|error| panic!("{input}: {error}"));
        std::fs::write(folder.path().join("m.onnx"), encode(&model)).unwrap();
        let ran = shell("simplify TMP/m.onnx -o TMP/s.onnx --force", folder.path());
        assert_eq!(ran.code, 0, "{input}: {}", ran.err);
        assert!(ran.out.contains("nothing can be made up for input `s`"), "{input}: {}", ran.out);
        assert!(ran.out.contains("Relu"), "{input}: {}", ran.out);
    }
}

#[test]
fn samples_take_the_place_of_seeded_inputs() {
    let folder = tempdir().unwrap();
    let line = "simplify fixtures/digits_resnet_bn.onnx --data fixtures/digits_test.npz --labels y \
                --scale 1/16 -o TMP/s.onnx";
    let ran = shell(line, folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("executed on 2 sample runs before and after"), "{}", ran.out);
}

#[test]
fn thousands_of_uses_of_one_value_and_of_bodies_go_in_linear_time() {
    let nodes = 10_000;
    let mut text = String::from(
        r#"<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y)
        <bool yes = {1}, float one = {1.0}> {"#,
    );
    let mut sum = Vec::new();
    for i in 0..nodes {
        text += &format!(
            "a{i} = Identity (x) b{i} = If (yes) <then_branch = t{i} () => (float[2] c{i}) \
             {{ c{i} = Add (a{i}, one) }}, else_branch = e{i} () => (float[2] d{i}) {{ d{i} = Neg (x) }}>\n"
        );
        sum.push(format!("b{i}"));
    }
    text += &format!("y = Sum ({}) }}", sum.join(", "));
    let start = std::time::Instant::now();
    let finished = simplify(&text);
    assert_eq!(finished.model.all_nodes().len(), 2);
    // Quadratic it would be minutes; the rest is for slow machines.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
