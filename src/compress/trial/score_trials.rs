//! What cuts and splits do to the outputs of a model, on samples that nothing is fitted to.

use crate::analysis::{Assume, Decision, OutputKind, Shapes, chosen_from, constant, decision};
use crate::compress::trial::downstream::Known;
use crate::error::Result;
use crate::exec::{Engine, Runner};
use crate::ir::{Model, ValueId};
use crate::pipeline::Inputs;
use crate::tensor::Tensor;
use crate::validate::{Comparison, drift_of};

/// A value by which a model is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Judged {
    value: ValueId,
    /// The number of the output that it is; `None` when it is none itself.
    output: Option<usize>,
    /// What is added to all elements that differ in these axes alone makes no difference: first and end.
    shift: Option<Axes>,
}

/// Axes that stand side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Axes {
    first: i64,
    /// All from the first one on, else that one alone.
    rest: bool,
}

/// What a model is judged by: its outputs, but what a final Softmax, LogSoftmax or Sigmoid reads instead of
/// what it gives. Behind them large errors look like small ones. Instead of indices, what they were chosen by.
pub(in crate::compress) struct Scores {
    judged: Vec<Judged>,
    /// For each output, how two versions of it can be compared.
    kinds: Vec<OutputKind>,
    /// The part of the model that makes them.
    part: Model,
}

/// Tensors by name.
type Named = Vec<(String, Tensor)>;

/// Samples, and what a model makes of them.
pub(in crate::compress) struct ScoreTrials<'a> {
    engine: &'a dyn Engine,
    inputs: Vec<Inputs>,
    scores: &'a Scores,
    known: Known,
}

/// Samples, within `bounds`, on which so many `trials` of a model that takes so many multiply-accumulates take at
/// most `work` of them.
pub(in crate::compress) fn affordable(
    macs: u64,
    trials: usize,
    work: u64,
    bounds: (usize, usize),
) -> usize {
    let all = macs.saturating_mul(trials as u64).max(1);
    usize::try_from(work / all).unwrap_or(usize::MAX).clamp(bounds.0, bounds.1)
}

impl<'a> ScoreTrials<'a> {
    /// Trials of edited clones of the model that has these scores.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn of(engine: &'a dyn Engine, scores: &'a Scores, inputs: Vec<Inputs>) -> Result<Self> {
        let known = Known::of(engine, scores.part.clone(), &inputs)?;
        Ok(Self { engine, inputs, scores, known })
    }

    /// Smallest signal-to-noise ratio of the scores, in decibel. Only what follows the edits is run.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn sqnr_db(&self, edited: &Model) -> Result<f64> {
        let (part, inputs) = self.known.changed(&self.scores.part_of(edited), &self.inputs)?;
        let runner = Runner::new(self.engine, &part, Vec::new());
        let drifts = runner.each(&inputs, |run, executed| {
            self.scores.drift(&self.known.outputs[run], &executed.outputs)
        });
        let drifts = drifts.into_iter().collect::<Result<Vec<_>>>()?;
        let whole = drifts.into_iter().reduce(Comparison::merge);
        Ok(whole.map_or(f64::INFINITY, |whole| whole.worst_sqnr_db()))
    }
}

impl Scores {
    /// Of a `model` whose inputs have fixed dims `at` what it is run on.
    pub fn of(model: &Model, at: &Assume) -> Self {
        let shapes = Shapes::infer(model, at);
        let outputs = model.graph(model.main()).outputs().iter().map(|output| output.value);
        let outputs: Vec<ValueId> = outputs.collect();
        let numbers = |at: usize| {
            let value = outputs[at];
            let itself = Judged { value, output: Some(at), shift: None };
            before_activation(model, value).unwrap_or(itself)
        };
        let kinds = OutputKind::all(model, &shapes);
        let decision = |(&value, kind): (&ValueId, &OutputKind)| {
            // Unlike numbers of rows cannot be compared; what they were chosen from and by can.
            let open = kind.is_open.then(|| chosen_from(model, &shapes, value));
            match open.filter(|from| !from.is_empty()) {
                Some(from) => {
                    Some(Decision { reads: from.into_iter().map(|value| (value, None)).collect() })
                }
                None => decision(model, value),
            }
        };
        let decisions: Vec<Option<Decision>> = outputs.iter().zip(&kinds).map(decision).collect();
        let mut judged: Vec<Judged> =
            (0..outputs.len()).filter(|&at| decisions[at].is_none()).map(numbers).collect();
        for (value, axis) in decisions.into_iter().flatten().flat_map(|found| found.reads) {
            let shift = axis.map(|first| Axes { first, rest: false });
            let output = outputs.iter().position(|&output| output == value);
            let read = before_activation(model, value).unwrap_or(Judged { value, output, shift });
            // The scores may be an output beside the indices.
            if constant(model, read.value).is_none()
                && !judged.iter().any(|known| known.value == read.value)
            {
                judged.push(read);
            }
        }
        if judged.is_empty() {
            // Better judged by indices than by nothing.
            judged = (0..outputs.len()).map(numbers).collect();
        }
        let part = part(model, &judged);
        Self { judged, kinds, part }
    }

    /// For each output of the model, how two versions of it can be compared.
    pub fn kinds(&self) -> &[OutputKind] {
        &self.kinds
    }

    /// That model or an edited clone of it, with the scores that are no outputs as outputs behind its own.
    pub fn behind_outputs(&self, model: &Model) -> Model {
        let outputs = model.graph(model.main()).outputs().iter().map(|output| output.value);
        let hidden = self.judged.iter().filter(|judged| judged.output.is_none());
        let scores = hidden.map(|judged| judged.value);
        model.part(&[], &outputs.chain(scores).collect::<Vec<ValueId>>())
    }

    /// The outputs and the scores of what [`Self::behind_outputs`] gave.
    pub fn split(&self, mut outputs: Named) -> (Named, Named) {
        let mut hidden = outputs.split_off(self.kinds.len().min(outputs.len())).into_iter();
        let score = |judged: &Judged| match judged.output {
            Some(at) => outputs.get(at).cloned(),
            None => hidden.next(),
        };
        let scores = self.judged.iter().filter_map(score).collect();
        (outputs, scores)
    }

    /// How far scores are from what they were, where each stands for an output.
    ///
    /// # Errors
    /// When shapes or types differ.
    pub fn drift(
        &self,
        expected: &[(String, Tensor)],
        found: &[(String, Tensor)],
    ) -> Result<Comparison> {
        // Without anything better, outputs of open dims are judged themselves.
        let kinds = vec![OutputKind { is_open: true, is_indices: false }; self.judged.len()];
        drift_of(&self.centred(expected)?, &self.centred(found)?, Tensor::len, &kinds)
    }

    /// The scores by number, as parts of models have other names for them.
    fn centred(&self, scores: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let judged = self.judged.iter().zip(scores).enumerate();
        judged
            .map(|(i, (judged, (_, tensor)))| Ok((i.to_string(), judged.centred(tensor)?)))
            .collect()
    }

    /// The part of an edited clone of that model.
    fn part_of(&self, edited: &Model) -> Model {
        part(edited, &self.judged)
    }
}

fn part(model: &Model, judged: &[Judged]) -> Model {
    let values: Vec<ValueId> = judged.iter().map(|judged| judged.value).collect();
    model.part(&[], &values)
}

impl Judged {
    /// The elements, without the mean over the axes that only know differences.
    fn centred(&self, tensor: &Tensor) -> Result<Tensor> {
        let dims = tensor.dims();
        let Some(Axes { first, rest }) = self.shift else { return Ok(tensor.clone()) };
        let first = if first < 0 { first + dims.len() as i64 } else { first };
        let Some(first) = usize::try_from(first).ok().filter(|&first| first < dims.len()) else {
            return Ok(tensor.clone());
        };
        let mut elements = tensor.to_f32()?.to_vec();
        let end = if rest { dims.len() } else { first + 1 };
        let count: usize = dims[first..end].iter().product();
        let inner: usize = dims[end..].iter().product();
        for block in elements.chunks_exact_mut((count * inner).max(1)) {
            for i in 0..inner {
                let column = block.iter().skip(i).step_by(inner);
                let mean = column.map(|&x| f64::from(x)).sum::<f64>() / count as f64;
                block.iter_mut().skip(i).step_by(inner).for_each(|x| *x -= mean as f32);
            }
        }
        Ok(Tensor::from_f32(dims, &elements))
    }
}

/// Operators that only rename or reorder what a final activation gives.
const PASSING: &[&str] =
    &["Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Dropout"];

/// First operator set in which Softmax runs over one axis rather than all from one on.
const ONE_AXIS: i64 = 13;

/// What the final activation behind which `output` stands reads.
fn before_activation(model: &Model, output: ValueId) -> Option<Judged> {
    let mut value = output;
    for _ in 0..model.node_count() {
        let entry = model.node(model.value(value).producer()?);
        value = entry.input(0)?;
        if entry.is("Sigmoid") {
            return Some(Judged { value, output: None, shift: None });
        }
        if ["Softmax", "LogSoftmax"].iter().any(|op| entry.is(op)) {
            let rest = model.opset_of("").is_some_and(|version| version < ONE_AXIS);
            let first = entry.attr_int("axis").unwrap_or(if rest { 1 } else { -1 });
            let shift = Some(Axes { first, rest });
            return Some(Judged { value, output: None, shift });
        }
        if !PASSING.iter().any(|op| entry.is(op)) {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read;

    fn scores(opset: i64, body: &str) -> (Model, Scores) {
        let text = format!(
            "<ir_version: 8, opset_import: [\"\" : {opset}]> g (float[1,2,3] x) => (y) {{ {body} }}"
        );
        let model = read::text(&text).unwrap();
        let scores = Scores::of(&model, &Assume::default());
        (model, scores)
    }

    #[test]
    fn what_a_final_activation_reads_counts() {
        let cases = [
            (17, "r = Relu (x) s = Softmax (r) y = Identity (s)", "r", Some((-1, false))),
            (11, "r = Relu (x) y = LogSoftmax (r)", "r", Some((1, true))),
            (17, "r = Relu (x) y = Sigmoid (r)", "r", None),
            (17, "s = Softmax (x) y = Relu (s)", "y", None),
        ];
        for (opset, body, value, shift) in cases {
            let (model, scores) = scores(opset, body);
            let judged = scores.judged[0];
            assert_eq!(model.value(judged.value).name(), value, "{body}");
            assert_eq!(judged.shift.map(|axes| (axes.first, axes.rest)), shift, "{body}");
        }
    }

    #[test]
    fn indices_are_judged_by_what_they_were_chosen_by() {
        let judged = |outputs: &str, body: &str| {
            let text = format!(
                "<ir_version: 8, opset_import: [\"\" : 17]> g (float[1,3] x) => ({outputs}) {{ {body} }}"
            );
            let model = read::text(&text).unwrap();
            let scores = Scores::of(&model, &Assume::default());
            let names = scores.judged.iter().map(|j| model.value(j.value).name().to_owned());
            let decided = scores.kinds.iter().map(|kind| kind.is_indices).collect::<Vec<_>>();
            (names.collect::<Vec<_>>(), decided)
        };
        // The scores are an output: the indices add nothing.
        let both = judged("r, y", "r = Relu (x) y = ArgMax <axis = 1> (r)");
        assert_eq!(both, (vec!["r".to_owned()], vec![false, true]));
        let behind = judged("y", "r = Relu (x) p = Softmax (r) y = ArgMax <axis = 1> (p)");
        assert_eq!(behind, (vec!["r".to_owned()], vec![true]));
        let beside = judged("p, y", "r = Relu (x) p = Softmax (r) y = ArgMax <axis = 1> (p)");
        assert_eq!(beside, (vec!["r".to_owned()], vec![false, true]));
        // What is chosen in unlike numbers is judged by what it was chosen from and by.
        let open = judged(
            "y, z",
            "r = Relu (x) s = Sigmoid (x) i = NonZero (s) t = Transpose (i) y = GatherND (r, t) z = Identity (i)",
        );
        assert_eq!(open, (vec!["r".to_owned(), "x".to_owned()], vec![false, true]));
        // Shapes say nothing of numbers.
        let plain = judged("y", "y = Shape (x)");
        assert_eq!(plain, (vec!["y".to_owned()], vec![false]));
    }

    #[test]
    fn shifts_that_softmax_does_not_see_do_not_count() {
        let (_, scores) = scores(17, "r = Relu (x) y = Softmax <axis = 1> (r)");
        let a = Tensor::from_f32(&[1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0]);
        let b = Tensor::from_f32(&[1, 2, 3], &[2.0, 2.0, 5.0, 5.0, 6.0, 10.0]);
        let [a, b] = [a, b].map(|tensor| scores.judged[0].centred(&tensor).unwrap());
        assert_eq!(a.to_f32().unwrap().to_vec(), [-1.5, -2.0, -2.5, 1.5, 2.0, 2.5]);
        assert_eq!(a, b);
    }
}
