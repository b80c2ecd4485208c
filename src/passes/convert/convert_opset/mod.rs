//! `convert-opset`: raises the default operator set and rewrites what changed its form or meaning.

mod facts;
mod known;
mod misc;
mod moved;
mod norm;
mod plan;
mod resize;
mod softmax;
#[cfg(test)]
mod testing;

use std::ops::RangeInclusive;

use crate::error::{Result, err};
use crate::ir::{Model, NodeId};
use crate::passes::{Context, Pass, Promise, Report};

use plan::{Additions, Planned};

/// The oldest operator set that can be raised; below it, `Add` and its kin broadcast by an `axis`
/// attribute, and `BatchNormalization` and `Dropout` have an `is_test` mode.
const OLDEST: i64 = 7;

/// Targets: below 13 most of the inputs that attributes became do not exist yet, and the changes
/// above 25 have not been gone through.
const TARGETS: RangeInclusive<i64> = 13..=25;

/// Raises the default operator set to `target`, in all graphs of the model, or not at all: a model
/// with one node that cannot be carried over is left untouched and the node is named.
///
/// Operators of other domains are left alone. A model with model-local functions is refused: the
/// standard wants their nodes to mean the same in the version that the function imports and in the
/// one that the model imports. Inline them first ([`InlineFunctions`](crate::passes::InlineFunctions)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvertOpset {
    /// Version to raise to, 13 to 25; a model that already has it, or a higher one, is left alone.
    /// 13 by default: the first with quantization for each channel.
    pub target: i64,
}

impl Default for ConvertOpset {
    fn default() -> Self {
        Self { target: *TARGETS.start() }
    }
}

/// The operator sets a model is raised from and to.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: i64,
    to: i64,
}

impl Span {
    /// True when the change made by `version` takes effect.
    fn crosses(self, version: i64) -> bool {
        self.from < version && version <= self.to
    }
}

impl Pass for ConvertOpset {
    fn name(&self) -> &'static str {
        "convert-opset"
    }

    fn summary(&self) -> &'static str {
        "Raises the default operator set and rewrites the nodes whose form or meaning changed."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn run(&self, model: &mut Model, _cx: &Context<'_>) -> Result<Report> {
        let (low, high) = (TARGETS.start(), TARGETS.end());
        if !TARGETS.contains(&self.target) {
            return Err(err!(
                Usage,
                "expected a target operator set from {low} to {high}, found {}",
                self.target
            ));
        }
        let mut report = Report::default();
        let Some(from) = model.opset() else {
            report.refuse("model", "does not import the default operator set");
            return Ok(report);
        };
        if from >= self.target {
            return Ok(report);
        }
        if from < OLDEST {
            report.refuse(
                "model",
                format!("uses operator set {from}; the oldest that can be raised is {OLDEST}"),
            );
            return Ok(report);
        }
        for function in model.functions() {
            report.refuse(
                function.label(),
                "operators inside model-local functions are not rewritten, and the operator set \
                 of the model applies to them too; use --inline-functions",
            );
        }
        let span = Span { from, to: self.target };
        let mut plans = Vec::new();
        for node in model.all_nodes() {
            match plan_node(model, node, span) {
                Ok(None) => {}
                Ok(Some(plan)) => plans.push((node, plan)),
                Err(reason) => report.refuse(model.label(node), reason),
            }
        }
        if !report.refused.is_empty() {
            return Ok(report);
        }
        let before = model.clone();
        let mut additions = Additions::to(model);
        for (node, plan) in plans {
            report.did(model.label(node), plan.text);
            plan.apply(model, node, &mut additions);
        }
        model.set_opset(self.target);
        // What an old or deprecated form was not checked for, the new one may forbid.
        if let Err(violations) = model.verify() {
            report = Report::default();
            for violation in violations {
                report.refuse(violation.place, format!("in the new form: {}", violation.message));
            }
            *model = before;
            return Ok(report);
        }
        let raised = format!("opset raised from {from} to {}", self.target);
        report.did("model", raised.as_str());
        report.warnings.push(raised);
        Ok(report)
    }
}

/// What becomes of one node: nothing when its form and meaning stay.
fn plan_node(model: &Model, id: NodeId, span: Span) -> Planned {
    let node = model.node(id);
    if !node.is_standard() {
        return Ok(None);
    }
    known::check(node.op(), span.from)?;
    match node.op() {
        "Squeeze" | "Unsqueeze" | "ReduceSum" => moved::axes(node, span, 13),
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax"
        | "ReduceMean" | "ReduceMin" | "ReduceProd" | "ReduceSumSquare" => {
            moved::axes(node, span, 18)
        }
        "Split" => moved::split(node, span),
        "Slice" => moved::slice(node, span),
        "Clip" => moved::clip(model, node, span),
        "Pad" => moved::pad(model, node, span),
        "Dropout" => moved::dropout(model, node, span),
        "TopK" => moved::top_k(node, span),
        "DFT" => moved::dft(node, span),
        "Softmax" | "LogSoftmax" | "Hardmax" => softmax::softmax(model, node, span),
        "Upsample" => resize::upsample(model, node),
        "Resize" => resize::resize(model, node, span),
        "BatchNormalization" => norm::batch(node, span),
        "GroupNormalization" => norm::group(model, node, span),
        "Scatter" => misc::scatter(),
        "GridSample" => misc::grid_sample(node, span),
        "RoiAlign" => misc::roi_align(span),
        "Scan" => misc::scan(span),
        "AveragePool" | "MaxPool" => misc::pool(node, span),
        "Attention" => misc::attention(span),
        "Cast" | "CastLike" => misc::cast(model, node, span),
        "Erf" => misc::erf(model, node, span),
        "MeanVarianceNormalization" => misc::mean_variance(node, span),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{At, AttrValue, Attribute, Function, NewNode, TensorType};
    use crate::tensor::{DType, Tensor};

    fn run(model: &mut Model, target: i64) -> Report {
        ConvertOpset { target }.run(model, &Context::default()).unwrap()
    }

    fn unsqueeze(model: &mut Model, axis: i64) -> NodeId {
        let main = model.main();
        let x = model.add_input(main, "x", TensorType::of(DType::Float));
        let new = NewNode::new("Unsqueeze", &[x], "y").attr("axes", vec![axis]);
        let node = model.add_node(main, At::End, new);
        let y = model.node(node).only_output().unwrap();
        model.add_output(main, y, None);
        node
    }

    #[test]
    fn raises_opset_and_ir_version_and_says_so() {
        let mut model = Model::new(3, 9);
        unsqueeze(&mut model, 1);
        let report = run(&mut model, 13);
        assert_eq!((model.opset(), model.header.ir_version), (Some(13), Some(7)));
        assert_eq!(report.warnings, ["opset raised from 9 to 13"]);
        assert_eq!(report.done[0].place, "node `y` (Unsqueeze)");
        assert_eq!(report.done[0].text, "axes became an input");
        model.verify().unwrap();
        assert!(!run(&mut model, 13).changed());
    }

    #[test]
    fn equal_constants_of_a_graph_are_one_initializer() {
        let mut model = Model::new(7, 11);
        let nodes: Vec<_> = [1, 1, 2].into_iter().map(|axis| unsqueeze(&mut model, axis)).collect();
        run(&mut model, 13);
        let axes = |i: usize| model.node(nodes[i]).input(1).unwrap();
        assert_eq!(axes(0), axes(1));
        assert_ne!(axes(0), axes(2));
        assert_eq!(model.initializers_of(model.main()).count(), 2);
    }

    #[test]
    fn bodies_are_converted_with_constants_of_their_own() {
        let mut model = Model::new(7, 11);
        let outer = unsqueeze(&mut model, 1);
        let main = model.main();
        let condition = model.add_input(main, "c", TensorType::with_dims(DType::Bool, &[]));
        let body = model.add_graph("then", None);
        let x = model.node(outer).input(0).unwrap();
        let new = NewNode::new("Unsqueeze", &[x], "inner").attr("axes", vec![1]);
        let inner = model.add_node(body, At::End, new);
        let result = model.node(inner).only_output().unwrap();
        model.add_output(body, result, None);
        let mut branch = NewNode::new("If", &[condition], "picked");
        branch.attributes.push(Attribute::new("then_branch", AttrValue::Graph(body)));
        let other = model.add_graph("else", None);
        model.add_output(other, x, None);
        branch.attributes.push(Attribute::new("else_branch", AttrValue::Graph(other)));
        model.add_node(main, At::End, branch);
        run(&mut model, 13);
        let axes = model.node(inner).input(1).unwrap();
        assert_eq!(model.value(axes).graph(), body);
        assert_ne!(Some(axes), model.node(outer).input(1));
        model.verify().unwrap();
    }

    #[test]
    fn one_impossible_node_leaves_the_model_untouched() {
        let mut model = Model::new(3, 8);
        let fine = unsqueeze(&mut model, 0);
        let main = model.main();
        let x = model.node(fine).input(0).unwrap();
        model.add_node(main, At::End, NewNode::new("Scan", &[x], "s"));
        let report = run(&mut model, 13);
        assert!(!report.changed());
        assert_eq!(report.refused.len(), 1);
        assert_eq!(report.refused[0].place, "node `s` (Scan)");
        assert_eq!((model.opset(), model.header.ir_version), (Some(8), Some(3)));
        assert!(model.node(fine).attr_ints("axes").is_some());
        assert_eq!(model.initializers_of(main).count(), 0);
    }

    #[test]
    fn other_domains_are_untouched() {
        let mut model = Model::new(7, 11);
        let main = model.main();
        model.header.opsets.push(("com.microsoft".into(), 1));
        let x = model.add_initializer(main, "x", Tensor::from_f32(&[1], &[1.0]));
        let mut new = NewNode::new("Squeeze", &[x], "y").attr("axes", vec![0]);
        new.domain = "com.microsoft".into();
        let node = model.add_node(main, At::End, new);
        let y = model.node(node).output(0).unwrap();
        model.add_output(main, y, None);
        let report = run(&mut model, 21);
        assert_eq!(report.done.len(), 1);
        assert_eq!(model.node(node).attr_ints("axes"), Some(&[0][..]));
        assert_eq!(model.opset_of("com.microsoft"), Some(1));
    }

    #[test]
    fn refuses_old_models_and_unknown_operators() {
        let mut old = Model::new(3, 6);
        assert_eq!(
            run(&mut old, 13).refused[0].text,
            "uses operator set 6; the oldest that can be raised is 7"
        );
        let mut odd = Model::new(3, 9);
        let main = odd.main();
        odd.add_node(main, At::End, NewNode::new("ImageScaler", &[], "y"));
        odd.add_node(main, At::End, NewNode::new("Gelu", &[], "z"));
        let report = run(&mut odd, 13);
        assert_eq!(report.refused.len(), 2);
        assert!(report.refused[0].text.contains("not an operator"), "{}", report.refused[0].text);
        assert!(report.refused[1].text.contains("version 20"), "{}", report.refused[1].text);
    }

    #[test]
    fn a_model_with_functions_is_refused() {
        let mut model = Model::new(8, 12);
        model.push_function(Function::new("local", "f", 12));
        let report = run(&mut model, 13);
        assert_eq!((report.changed(), model.opset()), (false, Some(12)));
        assert_eq!(report.refused[0].place, "function `local::f`");
    }

    #[test]
    fn a_target_out_of_range_is_a_usage_error() {
        for target in [12, 26] {
            let mut model = Model::new(7, 11);
            assert!(ConvertOpset { target }.run(&mut model, &Context::default()).is_err());
        }
    }
}
