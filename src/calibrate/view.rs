//! A model that shows the values of its bodies.
//!
//! Engines show values of the main graph. In the view, a value of a body comes out of it as one more
//! output of the node that the body belongs to, from body to body. Out of a branch comes the value
//! itself, and from the other branch a tensor without elements. Out of a Loop or a Scan, which run a body
//! many times, and out of branches when the engine takes no others, come the ends of its range, stacked:
//! two numbers for each run.

use std::borrow::Cow;

use crate::analysis::{Assume, Range, Shapes};
use crate::calibrate::Calibration;
use crate::error::Result;
use crate::exec::{Executed, Observation, Observe, Runner, Tap};
use crate::ir::{At, GraphId, Model, NewNode, ValueId};
use crate::tensor::{DType, Tensor};

/// A model, and where it shows the values asked for.
pub(super) struct View<'a> {
    pub model: Cow<'a, Model>,
    /// For each value asked for, its place in the main graph, and what is to be learned of it; `None` when
    /// it cannot be shown.
    shown: Vec<Option<(Shown, Observe)>>,
}

/// A value of the main graph that stands for a value asked for.
struct Shown {
    name: String,
    form: Form,
}

/// What of a value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    Ends,
}

/// A value, and what is to be learned of it.
pub(super) type Look = (ValueId, Observe);

impl Calibration<'_> {
    /// The view that shows as many values as the engine can run it with.
    pub(super) fn view<'m>(&self, model: &'m Model, wanted: &[Look]) -> View<'m> {
        let view = View::of(model, wanted, self.engine.takes_uneven_branches());
        let runs = |view: &View<'_>| -> Result<Executed> {
            let (_, taps) = view.taps().into_iter().unzip::<usize, Tap, Vec<_>, _>();
            Runner::new(self.engine, &view.model, taps).run(&self.samples.run(0)?.inputs)
        };
        match view.looks_into_bodies() && runs(&view).is_err() {
            true => View::of_main(model, wanted),
            false => view,
        }
    }
}

impl<'a> View<'a> {
    /// The view that shows as many values as it can; `uneven` when branches may give tensors of different
    /// ranks. Of values in bodies, those of type `float` are shown.
    pub fn of(model: &'a Model, wanted: &[Look], uneven: bool) -> Self {
        let mut view = Self::of_main(model, wanted);
        let hidden = |&i: &usize| view.shown[i].is_none();
        let hidden: Vec<usize> = (0..wanted.len()).filter(hidden).collect();
        if !hidden.is_empty() {
            let shapes = Shapes::infer(model, &Assume::default());
            for i in hidden {
                let (value, observe) = &wanted[i];
                if shapes.dtype(*value) == Some(DType::Float) {
                    let shown = show(&mut view.model, *value, observe, uneven);
                    view.shown[i] = shown.map(|shown| (shown, observe.clone()));
                }
            }
        }
        view
    }

    /// The model as it is, which shows the values of its main graph.
    pub fn of_main(model: &'a Model, wanted: &[Look]) -> Self {
        let named = |(value, observe): &Look| {
            let entry = model.value(*value);
            let shown = Shown { name: entry.name().to_owned(), form: Form::Whole };
            (entry.graph() == model.main()).then(|| (shown, observe.clone()))
        };
        Self { model: Cow::Borrowed(model), shown: wanted.iter().map(named).collect() }
    }

    /// The part of the model that makes the values `asked` for, which are of its main graph.
    pub fn of_part(model: &'a Model, wanted: &[Look], asked: &[ValueId]) -> Self {
        let main = Self::of_main(model, wanted);
        let shown = main.shown.into_iter().zip(wanted);
        let shown = shown.map(|(shown, (value, _))| shown.filter(|_| asked.contains(value)));
        let shown = shown.collect();
        Self { model: Cow::Owned(model.part(&[], asked)), shown }
    }

    fn looks_into_bodies(&self) -> bool {
        matches!(self.model, Cow::Owned(_))
    }

    /// Taps for the values that are shown, each with the number of the value.
    pub fn taps(&self) -> Vec<(usize, Tap)> {
        let tap = |(shown, observe): &(Shown, Observe)| Tap {
            value: shown.name.clone(),
            observe: match shown.form {
                Form::Whole => observe.clone(),
                Form::Ends => Observe::Value,
            },
        };
        let shown = self.shown.iter().enumerate();
        shown.filter_map(|(i, shown)| Some((i, tap(shown.as_ref()?)))).collect()
    }

    /// What was observed of a value, from what was observed of what stands for it.
    pub fn observed(&self, value: usize, seen: Observation) -> Option<Observation> {
        let (shown, _) = self.shown[value].as_ref()?;
        match (shown.form, seen) {
            (Form::Ends, Observation::Value(ends)) => range(&ends).map(Observation::Range),
            (Form::Ends, _) => None,
            (Form::Whole, seen) => Some(seen),
        }
    }
}

/// Brings a value of a body to the main graph, in a form from which that can be learned.
fn show(
    view: &mut Cow<'_, Model>,
    value: ValueId,
    observe: &Observe,
    uneven: bool,
) -> Option<Shown> {
    let model = &**view;
    let bodies = bodies_around(model, value);
    let branches =
        |&body: &GraphId| model.graph(body).parent().is_some_and(|node| model.node(node).is("If"));
    let form = if uneven && bodies.iter().all(branches) { Form::Whole } else { Form::Ends };
    if form == Form::Ends && !matches!(observe, Observe::Range | Observe::Histogram) {
        return None;
    }
    let model = view.to_mut();
    let (mut shown, otherwise) = match form {
        Form::Whole => (copy(model, value), Tensor::from_f32(&[0], &[])),
        Form::Ends => (ends(model, value), Tensor::from_f32(&[2], &NEUTRAL)),
    };
    for body in bodies {
        shown = model.return_from(body, shown, &otherwise)?;
    }
    Some(Shown { name: model.value(shown).name().to_owned(), form })
}

/// The bodies that a value must leave, from the inside out.
fn bodies_around(model: &Model, value: ValueId) -> Vec<GraphId> {
    let outer = |&body: &GraphId| model.owner(body).map(|(node, _)| model.node(node).graph());
    let around = std::iter::successors(Some(model.value(value).graph()), outer);
    around.take_while(|&graph| graph != model.main()).collect()
}

/// Ends of the range of nothing: any other range is the union of both.
const NEUTRAL: [f32; 2] = [f32::INFINITY, f32::NEG_INFINITY];

/// A value that is no output yet, and no input.
fn copy(model: &mut Model, value: ValueId) -> ValueId {
    node(model, model.value(value).graph(), "Identity", &[value])
}

/// Smallest and largest element of a value; both are NaN when one is NaN or infinite. Engines do not agree
/// on minima of nothing, nor of NaN.
fn ends(model: &mut Model, value: ValueId) -> ValueId {
    let body = model.value(value).graph();
    let flat = model.add_initializer(body, "flat", Tensor::from_i64(&[1], &[-1]));
    let flat = node(model, body, "Reshape", &[value, flat]);
    // 0, or NaN.
    let odd = node(model, body, "Sub", &[flat, flat]);
    let odd = node(model, body, "ReduceSum", &[odd]);
    let mut ends = Vec::new();
    for (reduce, neutral) in ["ReduceMin", "ReduceMax"].into_iter().zip(NEUTRAL) {
        let neutral = model.add_initializer(body, "neutral", Tensor::from_f32(&[1], &[neutral]));
        let some = node(model, body, "Concat", &[flat, neutral]);
        let end = node(model, body, reduce, &[some]);
        ends.push(node(model, body, "Add", &[end, odd]));
    }
    node(model, body, "Concat", &ends)
}

fn node(model: &mut Model, graph: GraphId, op: &str, inputs: &[ValueId]) -> ValueId {
    let new = NewNode::new(op, inputs, "shown");
    let new = if op == "Concat" { new.attr("axis", 0i64) } else { new };
    let node = model.add_node(graph, At::End, new);
    model.node(node).output(0).expect("made with one output")
}

/// The union of ranges, two ends after two ends; `None` when there was nothing.
fn range(ends: &Tensor) -> Option<Range> {
    let ends = ends.view().as_f32()?;
    let every_other = |first| ends.iter().copied().skip(first).step_by(2).collect::<Vec<f32>>();
    let (low, high) = (Range::of(&every_other(0))?, Range::of(&every_other(1))?);
    let range = Range { min: low.min, max: high.max };
    (range.min.is_nan() || range.min <= range.max).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Engine, Runner, Tract};
    use crate::read;

    /// `h` is made in one branch, where `x` is positive.
    const BRANCHES: &str = r#"
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[3] x) => (float[3] y) <float zero = {0}> {
            sum = ReduceSum <keepdims = 0> (x)
            go = Greater (sum, zero)
            y = If (go) <
                then_branch = then () => (float[3] a) { h = Neg (x) a = Exp (h) },
                else_branch = other () => (float[3] b) { h = Abs (x) b = Exp (h) }
            >
        }"#;

    /// Running sums, in a branch of each step.
    const STEPS: &str = r#"
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[2] s, float[3, 2] xs) => (float[2] last, float[3, 2] all) <float zero = {0}> {
            last, all = Scan <num_scan_inputs = 1, scan_output_axes = [0], body = step
                (float[2] old, float[2] x) => (float[2] new, float[2] out) {
                new = Add (old, x)
                sum = ReduceSum <keepdims = 0> (x)
                go = Greater (sum, zero)
                out = If (go) <
                    then_branch = then () => (float[2] a) { h = Neg (x) a = Exp (h) },
                    else_branch = other () => (float[2] b) { b = Abs (x) }
                >
            }> (s, xs)
        }"#;

    fn found(model: &Model, path: &str) -> ValueId {
        model.values().map(|(id, _)| id).find(|&id| model.path_of(id) == path).unwrap()
    }

    /// What a view shows of values, by path, in one run of tract.
    fn seen(text: &str, paths: &[&str], inputs: &[(&str, Tensor)]) -> Vec<Option<(f32, f32)>> {
        let model = read::text(text).unwrap();
        let wanted: Vec<Look> =
            paths.iter().map(|path| (found(&model, path), Observe::Range)).collect();
        let view = View::of(&model, &wanted, Tract.takes_uneven_branches());
        assert!(view.model.verify().is_ok());
        let taps = view.taps();
        assert_eq!(taps.len(), wanted.len());
        let runner = Runner::new(&Tract, &view.model, taps.into_iter().map(|(_, t)| t).collect());
        let inputs: Vec<(String, Tensor)> =
            inputs.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
        let observed = runner.run(&inputs).unwrap().observed.into_iter().enumerate();
        let range = |(i, seen): (usize, Option<Observation>)| view.observed(i, seen?)?.range();
        observed.map(|seen| range(seen).map(|range| (range.min, range.max))).collect()
    }

    #[test]
    fn a_branch_shows_its_values_when_it_runs() {
        let paths = ["y.then_branch/h", "y.else_branch/h", "x"];
        let x = |x: [f32; 3]| [("x", Tensor::from_f32(&[3], &x))];
        let up = seen(BRANCHES, &paths, &x([4.0, -1.0, 2.0]));
        assert_eq!(up, [Some((-4.0, 1.0)), None, Some((-1.0, 4.0))]);
        let down = seen(BRANCHES, &paths, &x([1.0, -5.0, 0.0]));
        assert_eq!(down, [None, Some((0.0, 5.0)), Some((-5.0, 1.0))]);
    }

    #[test]
    fn what_is_not_finite_is_seen() {
        for odd in [f32::NAN, f32::INFINITY] {
            let x = Tensor::from_f32(&[3], &[1.0, odd, 2.0]);
            let seen = seen(BRANCHES, &["y.then_branch/h", "y.else_branch/h"], &[("x", x)]);
            let seen: Vec<_> = seen.into_iter().flatten().collect();
            assert!(matches!(seen[..], [(min, max)] if min.is_nan() && max.is_nan()));
        }
    }

    #[test]
    fn steps_are_seen_together_and_only_those_that_ran() {
        let paths = ["last.body/new", "last.body/out.then_branch/h", "last.body/old"];
        let s = || Tensor::from_f32(&[2], &[10.0, 20.0]);
        let xs = Tensor::from_f32(&[3, 2], &[1.0, 2.0, -5.0, 1.0, 3.0, -1.0]);
        let some = seen(STEPS, &paths, &[("s", s()), ("xs", xs)]);
        assert_eq!(some, [Some((6.0, 23.0)), Some((-3.0, 1.0)), Some((6.0, 23.0))]);
        let none =
            seen(STEPS, &paths[1..2], &[("s", s()), ("xs", Tensor::from_f32(&[3, 2], &[-1.0; 6]))]);
        assert_eq!(none, [None]);
    }

    /// What is tapped for an observation of a value.
    fn tapped(text: &str, path: &str, observe: Observe, uneven: bool) -> Option<Observe> {
        let model = read::text(text).unwrap();
        let view = View::of(&model, &[(found(&model, path), observe)], uneven);
        view.model.verify().map(drop).unwrap();
        view.taps().pop().map(|(_, tap)| tap.observe)
    }

    #[test]
    fn engines_with_uneven_branches_see_the_value_itself() {
        let branch = |observe, uneven| tapped(BRANCHES, "y.then_branch/h", observe, uneven);
        assert_eq!(branch(Observe::Histogram, true), Some(Observe::Histogram));
        let rows = || Observe::Rows(crate::math::Unfold::Rows, 8);
        assert_eq!(branch(rows(), true), Some(rows()));
        assert_eq!(
            (branch(Observe::Histogram, false), branch(rows(), false)),
            (Some(Observe::Value), None)
        );
        let step = |observe| tapped(STEPS, "last.body/out.then_branch/h", observe, true);
        assert_eq!((step(Observe::Histogram), step(rows())), (Some(Observe::Value), None));
    }
}
