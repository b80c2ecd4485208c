//! `simplify`: passes settle, promises are checked, and what the user asks to keep is kept.

use onnxpress::Result;
use onnxpress::compress;
use onnxpress::compress::SimplifyPasses;
use onnxpress::exec::Tract;
use onnxpress::ir::{At, AttrValue, Attribute, Model, NewNode};
use onnxpress::passes::{Context, Pass, Promise, Report};
use onnxpress::pipeline::{self, Check, Finished, Outcome, When};
use onnxpress::read;
use onnxpress::report::SimplificationReport;
use tempfile::tempdir;

use crate::support::{encode, listing, load, models, onnxpress, shell};

fn settle(model: &Model, passes: &[Box<dyn Pass + '_>], when: When) -> Result<Finished> {
    let inputs = pipeline::probes(model, 0);
    let check = Check { engine: &Tract, inputs, enough: 2 };
    let cx = Context { evaluate: Some(&Tract), ..Context::default() };
    pipeline::settle(model.clone(), passes, &cx, Some(&check), when)
}

fn simplify(model: &Model) -> Finished {
    settle(model, &compress::simplify(&SimplifyPasses::default()), When::AtEnd)
        .expect("the passes settle")
}

fn count(model: &Model) -> usize {
    model.all_nodes().len()
}

#[test]
fn every_fixture_settles_keeps_its_promises_and_stays_so() {
    let mut fewer = 0;
    for name in models() {
        let model = load(&name);
        let finished = simplify(&model);
        for step in &finished.steps {
            let broken = matches!(step.outcome, Some(Outcome::Broken(_)));
            assert!(!broken, "{name}: {} {:?}", step.name, step.outcome);
        }
        fewer += usize::from(count(&finished.model) < count(&model));
        let again = simplify(&finished.model);
        assert_eq!(encode(&again.model), encode(&finished.model), "{name}: a second run");
    }
    assert!(fewer > 15, "only {fewer} models have fewer nodes");
}

/// A pass made on the spot, which edits wherever it can.
struct Made(&'static str, Promise, fn(&mut Model) -> bool);

impl Pass for Made {
    fn name(&self) -> &'static str {
        self.0
    }

    fn summary(&self) -> &'static str {
        "Made by a test."
    }

    fn promise(&self) -> Promise {
        self.1
    }

    fn run(&self, model: &mut Model, _: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        if self.2(model) {
            report.did("model", "edited");
        }
        Ok(report)
    }
}

/// Turns every `from` into `to`.
fn turn(model: &mut Model, from: &str, to: &str) -> bool {
    let nodes: Vec<_> = model.all_nodes().into_iter().filter(|&n| model.node(n).is(from)).collect();
    nodes.iter().for_each(|&node| model.set_op(node, to));
    !nodes.is_empty()
}

fn chain() -> Model {
    let text = r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[2] x) => (float[2] y) { a = Neg (x) b = Identity (a) y = Abs (b) }"#;
    read::text(text).expect("a text form")
}

#[test]
fn passes_that_undo_each_other_are_an_error() {
    let passes: Vec<Box<dyn Pass>> = vec![
        Box::new(Made("fuse-there", Promise::Exact, |model| turn(model, "Abs", "Relu"))),
        Box::new(Made("fuse-back", Promise::Exact, |model| turn(model, "Relu", "Abs"))),
    ];
    let error = settle(&chain(), &passes, When::AtEnd).unwrap_err().to_string();
    assert!(error.contains("fuse-there, fuse-back undo each other"), "{error}");
}

#[test]
fn a_pass_that_lies_is_found_and_the_others_go_on() {
    for when in [When::AtEnd, When::EachPass] {
        let mut passes = compress::simplify(&SimplifyPasses::default());
        let lie = Made("fuse-wrongly", Promise::Exact, |model| turn(model, "Neg", "Exp"));
        passes.insert(0, Box::new(lie));
        let finished = settle(&chain(), &passes, when).unwrap();
        let outcome = |name: &str| {
            let step = finished.steps.iter().find(|step| step.name == name).unwrap();
            step.outcome.clone().unwrap()
        };
        assert!(matches!(outcome("fuse-wrongly"), Outcome::Broken(_)));
        assert!(matches!(outcome("eliminate-identity"), Outcome::Kept(_)));
        assert_eq!(count(&finished.model), 2);
        assert_eq!(finished.executed, 1);
        assert_eq!(finished.first_broken, Some("fuse-wrongly"));
    }
}

#[test]
fn the_report_names_the_first_pass_that_lies() {
    let passes: Vec<Box<dyn Pass>> = vec![
        Box::new(Made("fuse-rightly", Promise::Exact, |model| turn(model, "Identity", "Abs"))),
        Box::new(Made("fuse-wrongly", Promise::Exact, |model| turn(model, "Neg", "Exp"))),
        Box::new(Made("fuse-more-wrongly", Promise::Exact, |model| turn(model, "Neg", "Sqrt"))),
    ];
    let text = r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[2] x) => (float[2] y) { a = Abs (x) b = Identity (a) y = Neg (b) }"#;
    let model = read::text(text).unwrap();
    let finished = settle(&model, &passes, When::EachPass).unwrap();
    let report = SimplificationReport::new(&model, &finished);
    assert_eq!(report.first_broken.as_ref().unwrap().pass, "fuse-wrongly");
    let line = report.to_string();
    let line = line.lines().find(|line| line.starts_with("first broken: ")).unwrap();
    assert!(line.starts_with("first broken: pass fuse-wrongly: output `y` keeps"), "{line}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["first_broken"]["pass"], "fuse-wrongly");
}

#[test]
fn what_cannot_be_executed_is_changed_by_exact_passes_only() {
    let text = r#"<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
        g (float[1, 1, 3] x) => (float[1, 1, 3] y)
        <float[1, 1, 1] w = {2.0}, float two = {2.0}> {
            a = Identity (x)
            b = acme.Foo (a)
            c = Conv (b, w)
            y = Mul (c, two)
        }"#;
    let model = read::text(text).unwrap();
    let finished = simplify(&model);
    // The extents of what acme.Foo makes are unknown, so nothing can stand for it.
    assert_eq!((count(&finished.model), finished.executed), (3, 1));
    let step = finished.steps.iter().find(|step| step.name == "fuse-affine").unwrap();
    assert!(step.report.refused[0].text.contains("cannot be checked by execution"));
}

/// An operator that no engine knows behind `body`, which makes `c` from `x`.
fn before_foo(body: &str) -> Model {
    let text = format!(
        r#"<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
        g (float[1, 1, 3] x) => (float[1, 1, 3] y)
        <float[1, 1, 1] w = {{2.0}}, float two = {{2.0}}> {{ {body} y = acme.Foo (c) }}"#
    );
    read::text(&text).expect("a text form")
}

#[test]
fn what_was_rewritten_is_executed_when_the_whole_cannot_be() {
    // The weight takes up the factor, which passes Relu: only both together do the same.
    for body in
        ["b = Conv (x, w) c = Mul (b, two)", "a = Conv (x, w) b = Relu (a) c = Mul (b, two)"]
    {
        let model = before_foo(body);
        let edit = Made("fuse-scale", Promise::Rounding, |model| {
            let Some(mul) = model.all_nodes().into_iter().find(|&n| model.node(n).is("Mul")) else {
                return false;
            };
            let node = model.node(mul);
            let (from, to) = (node.output(0).unwrap(), node.input(0).unwrap());
            model.substitute(from, to);
            model.remove_node(mul);
            let w = model.values().find(|(_, value)| value.name() == "w").unwrap().0;
            model.set_tensor(w, onnxpress::tensor::Tensor::from_f32(&[1, 1, 1], &[4.0]));
            true
        });
        let finished = settle(&model, &[Box::new(edit)], When::AtEnd).unwrap();
        assert!(matches!(finished.outcome, Some(Outcome::Kept(_))), "{:?}", finished.steps);
        assert_eq!((count(&finished.model), finished.executed), (count(&model) - 1, 1));
        let (reason, nodes) = finished.parts.unwrap();
        assert!(reason.contains("acme") && nodes > 0, "{nodes} {reason}");
    }
}

#[test]
fn a_lie_in_a_model_that_cannot_be_executed_is_found() {
    for when in [When::AtEnd, When::EachPass] {
        let model = before_foo("a = Identity (x) b = Neg (a) c = Identity (b)");
        let mut passes = compress::simplify(&SimplifyPasses::default());
        passes.insert(0, Box::new(Made("fuse-wrongly", Promise::Exact, |m| turn(m, "Neg", "Exp"))));
        let finished = settle(&model, &passes, when).unwrap();
        let lie = &finished.steps[0];
        let Some(Outcome::Broken(reason)) = &lie.outcome else { panic!("{:?}", lie.outcome) };
        assert!(reason.contains("promised are 120 dB"), "{reason}");
        assert_eq!(count(&finished.model), 2);
    }
}

#[test]
fn what_stands_in_bodies_is_compared_with_their_nodes() {
    let text = r#"<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
        g (float[3] x, bool p) => (float[3] y) {
            a = Neg (x)
            b = If (p) <then_branch = t () => (float[3] u) { v = Exp (a) u = Identity (v) },
                        else_branch = e () => (float[3] w) { w = Exp (a) }>
            c = Abs (b)
            y = acme.Foo (c)
        }"#;
    let model = read::text(text).unwrap();
    let honest =
        settle(&model, &compress::simplify(&SimplifyPasses::default()), When::AtEnd).unwrap();
    assert!(count(&honest.model) < count(&model));
    let lie = Made("fuse-wrongly", Promise::Exact, |model| turn(model, "Exp", "Log"));
    let finished = settle(&model, &[Box::new(lie)], When::EachPass).unwrap();
    assert!(matches!(finished.steps[0].outcome, Some(Outcome::Broken(_))), "{:?}", finished.steps);
}

#[test]
fn what_exact_passes_make_executable_is_simplified_further() {
    let text = r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[1, 1, 3] x) => (float[1, 1, 3] y)
        <float[1, 1, 1] w = {2.0}, float two = {2.0}, int64 trips = {1}> {
            y = Loop (trips, , x) <
                body = b (int64 i, bool go, float[1, 1, 3] s) => (bool go, float[1, 1, 3] next) {
                    c = Conv (s, w)
                    next = Mul (c, two)
                }
            >
        }"#;
    let model = read::text(text).unwrap();
    let finished = simplify(&model);
    assert_eq!((count(&finished.model), finished.executed), (1, 1));
    let step = |name: &str| finished.steps.iter().find(|step| step.name == name).unwrap();
    assert!(matches!(step("unroll-loop").outcome, Some(Outcome::NotExecuted(_))));
    assert_eq!(step("unroll-loop").report.done.len(), 1);
    assert!(step("fuse-affine").report.refused.is_empty());
}

#[test]
fn a_long_chain_of_edits_is_linear() {
    let mut model = chain();
    let main = model.main();
    let nodes = model.all_nodes();
    let mut last = model.node(nodes[0]).output(0).unwrap();
    for _ in 0..20_000 {
        let cast = NewNode::new("Cast", &[last], "c").attr("to", 1);
        let id = model.add_node(main, At::Before(nodes[1]), cast);
        last = model.node(id).output(0).unwrap();
        let node = NewNode::new("Transpose", &[last], "t");
        let id = model.add_node(main, At::Before(nodes[1]), node);
        model.set_attr(id, Attribute::new("perm", AttrValue::Ints(vec![0])));
        last = model.node(id).output(0).unwrap();
    }
    model.set_input(nodes[1], 0, Some(last));
    let passes = compress::simplify(&SimplifyPasses::default());
    let cx = Context { evaluate: Some(&Tract), ..Context::default() };
    let finished = pipeline::settle(model, &passes, &cx, None, When::AtEnd).unwrap();
    assert_eq!(count(&finished.model), 2);
}

#[test]
fn options_of_the_command_do_what_they_say() {
    let folder = tempdir().unwrap();
    let nodes = |options: &str| {
        let line = format!(
            "simplify fixtures/digits_resnet_bn.onnx -o TMP/s.onnx --force --json {options}"
        );
        let ran = shell(&line, folder.path());
        assert_eq!(ran.code, 0, "{options}: {}", ran.err);
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        (report["nodes"]["candidate"].as_u64().unwrap(), report)
    };
    let (all, report) = nodes("");
    let original = report["nodes"]["original"].as_u64().unwrap();
    assert!(all < original);
    assert_eq!(report["checked"], 2);
    assert_eq!(nodes("--bisect").0, all);
    assert!(nodes("--skip fuse-batch-norm").0 > all);
    assert!(nodes("--only eliminate-identity").0 > all);
    assert_eq!(nodes("--exclude *").0, original);
    assert_eq!(nodes("--check 0").1["checked"], 0);
    assert_eq!(nodes("--fix-shape input=3,1,8,8").1["checked"], 1);
    let failing = |options: &str, code: i32, text: &str| {
        let line = format!("simplify fixtures/digits_resnet_bn.onnx -o TMP/no.onnx {options}");
        let ran = shell(&line, folder.path());
        assert_eq!(ran.code, code, "{options}: {}", ran.err);
        assert!(ran.err.contains(text), "{options}: {}", ran.err);
    };
    failing("--skip nonsense", 2, "there is no pass `nonsense`");
    failing("--fix-dim nonsense=1", 2, "no input or output has an axis `nonsense`");
    failing("--fix-shape input=1,2", 2, "input `input` has 4 axes, 2 extents were given");
    failing("--fix-shape nonsense=1", 2, "the model has no input `nonsense`");
    failing("--fix-shape input=1,2,8,8", 2, "has the extent 1, which cannot become 2");
    failing("--opset 8", 2, "from 13 to 25");
    assert_eq!(listing(folder.path()), ["s.onnx"]);
    assert_eq!(onnxpress(&["simplify", "fixtures/digits_mlp.onnx"]).code, 2);
}
