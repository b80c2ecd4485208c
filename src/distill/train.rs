//! The run: from samples and two models to a student that is nearer to its teacher.

use std::time::{Duration, Instant};

use crate::analysis::{Assume, Cost, Progress, Shapes};
use crate::data::Samples;
use crate::distill::agreement::agreement_db;
use crate::distill::descent::{Descent, Pace};
use crate::distill::lessons::Lessons;
use crate::distill::matched::matches;
use crate::distill::objective::Prepared;
use crate::distill::score::Score;
use crate::distill::student::Student;
use crate::distill::told::{frozen, gap, moved};
use crate::distill::vary::Variation;
use crate::distill::weights::trainable;
use crate::distill::{Options, coded, objective};
use crate::error::{Result, err};
use crate::exec::Engine;
use crate::ir::{Model, NodeId, Sparse, ValueId};

/// Most samples of a micro-batch: more fall out of the caches, fewer make thin matrices.
const MICRO_BATCH: usize = 8;
/// Multiply-accumulates that all steps take when nothing else is said: some minutes on two cores.
const WORK: u64 = 4_000_000_000_000;
/// Fewest and most steps of such a run.
const STEPS: (u64, u64) = (60, 1500);
/// Share of the time that is left at most for the comparison at the end.
const MOST_RESERVE: f64 = 0.3;
/// A step computes each product once forward and twice back.
const PASSES: u64 = 3;
/// Rate for weights of usual size.
const RATE: f64 = 1e-3;
/// Signal-to-noise ratio in decibel from which on the engine computes what was trained.
const AGREEMENT_DB: f64 = 40.0;

/// A student after its lessons.
#[derive(Debug, Clone, Default)]
pub struct Distilled {
    /// The model; that which was given when nothing better was found.
    pub model: Model,
    /// Whether it is better on the samples held out than what was given.
    pub improved: bool,
    /// Steps that were made, and samples of each.
    pub steps: usize,
    /// Samples of a step.
    pub batch: usize,
    /// Samples that were learned from.
    pub train: usize,
    /// Samples that only decided which state is the best.
    pub held_out: usize,
    /// Losses that were minimized, in words.
    pub losses: Vec<String>,
    /// What was held out at the start, and in the best state: loss of the outputs, and share of samples with
    /// the teacher's class.
    pub before: (f64, Option<f64>),
    /// The same of the best state.
    pub after: (f64, Option<f64>),
    /// How it went.
    pub curve: Vec<Moment>,
    /// Constants that were trained, by how far they moved.
    pub moved: Vec<Moved>,
    /// Constants that were not, and why.
    pub frozen: Vec<(String, String)>,
    /// Signal-to-noise ratio between what was trained and what the engine computes, in decibel.
    pub agreement_db: Option<f64>,
    /// Times that the run went astray.
    pub restarts: usize,
    /// Seconds of the steps alone.
    pub seconds: f64,
    /// What the user must know.
    pub warnings: Vec<String>,
}

/// A look at a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// After so many steps.
    pub step: usize,
    /// Mean loss since the last look.
    pub loss: f64,
    /// Loss of the outputs on samples held out.
    pub held_out: f64,
    /// Share of them with the class of the teacher, when the output gives classes.
    pub agreement: Option<f64>,
}

/// A constant that was trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// Its name.
    pub name: String,
    /// Root mean square of its change, relative to that of itself.
    pub by: f64,
}

/// What a run is made with.
#[derive(Clone, Copy)]
pub struct Data<'a> {
    /// Runs the teacher, and the result once.
    pub engine: &'a dyn Engine,
    /// What is learned from; labels are used when there are any.
    pub samples: &'a Samples,
    /// Sees every step, and is told what is going to happen before it takes time.
    pub progress: &'a dyn Progress,
}

/// Trains `student` to be like `teacher`.
///
/// # Errors
/// When options make no sense, the interfaces of both models differ, there is nothing to train or nothing to
/// compare, or the teacher cannot be run.
pub fn distill(
    student: &Model,
    teacher: &Model,
    options: &Options,
    data: &Data<'_>,
) -> Result<Distilled> {
    let &Data { engine, samples, progress } = data;
    let begin = Instant::now();
    options.check()?;
    same_inputs(student, teacher)?;
    let (given, sparse) = (student, sparse_initializers(student));
    let mut dense = student.clone();
    dense.make_dense()?;
    let student = &dense;
    let wanted = |node: NodeId| is_chosen(student, node, options);
    let (view, coded) = coded::view(student, &wanted)?;
    let weights = trainable(&view, &wanted);
    if weights.is_empty() {
        return Err(err!(Usage, "the student has no weight to train")
            .help("--train and --freeze may leave nothing"));
    }
    let found = matches(&view, teacher, options)?;
    let names: Vec<String> = found.iter().map(|m| m.teacher.clone()).collect();
    let asked = Instant::now();
    let mut lessons = Lessons::new(engine, student, teacher, samples, &names, progress)?;
    let asking = asked.elapsed();
    let values: Vec<_> = found.iter().map(|m| m.student).collect();
    let lens: Vec<Option<usize>> = found
        .iter()
        .zip(&lessons.targets)
        .map(|(m, target)| target.as_ref().filter(|_| m.output).map(|target| target.len()))
        .collect();
    let most = MICRO_BATCH.min(options.batch).min(lessons.train.len());
    let adversarial = options.adversarial.is_some();
    let shapes = lessons.shapes();
    let models = (student, &view);
    let learner = Student::new(models, &shapes, &values, &lens, &weights, (most, adversarial))?
        .with_coded(coded);
    let Prepared { objective, losses, mut warnings } =
        objective::prepare(&learner, &mut lessons, &found, options)?;
    let shapes: Vec<_> =
        shapes.into_iter().map(|(name, (dims, more))| (name, dims, more)).collect();
    let variation = Variation::new(options, &learner, teacher, &found, &shapes)?;
    let trained = learner.program().trained();
    if !trained.contains(&true) {
        return Err(err!(Unsupported, "no weight of the student moves its outputs"));
    }
    let frozen = frozen(&view, &learner, &weights.keys().copied().collect::<Vec<_>>());
    if samples.is_random() {
        warnings
            .push("THE SAMPLES ARE RANDOM: what is learned from them may be of no use".to_owned());
    }
    let batch = (options.batch.min(lessons.train.len()) / learner.size).max(1) * learner.size;
    let rate = options.rate.unwrap_or(RATE);
    let mut descent =
        Descent::new(&learner, &lessons, (&objective, variation.as_ref()), batch, options.seed)?;
    let pace = match (options.steps, options.minutes) {
        (Some(steps), None) => Pace::Steps(steps),
        (steps, Some(minutes)) => {
            // The comparison at the end runs both models on all samples.
            let all = Duration::from_secs_f64(minutes * 60.0);
            let end = begin + all - (2 * asking).min(all.mul_f64(MOST_RESERVE));
            Pace::Until { end, most: steps.unwrap_or(usize::MAX) }
        }
        (None, None) => Pace::Steps(affordable(student, batch)),
    };
    let size = student_size(&learner);
    progress.say(&format!(
        "{size} numbers are trained on {} samples, {} are held out",
        lessons.train.len(),
        lessons.held_out.len()
    ));
    let outcome = descent.run(rate, pace, data)?;
    let classes = objective.classes.is_some();
    let agreement = |score: &Score| classes.then(|| score.agreement());
    let mut result = Distilled {
        model: given.clone(),
        steps: outcome.steps,
        batch,
        train: lessons.train.len(),
        held_out: lessons.held_out.len(),
        losses,
        before: (outcome.guard.start.mean_output(), agreement(&outcome.guard.start)),
        after: (outcome.guard.start.mean_output(), agreement(&outcome.guard.start)),
        curve: outcome.curve,
        frozen,
        restarts: outcome.guard.restarts,
        seconds: outcome.seconds,
        warnings,
        ..Distilled::default()
    };
    let Some(best) = &outcome.guard.parameters else {
        let text = "nothing better than the student was found on the samples held out: it is returned as it was";
        result.warnings.push(text.to_owned());
        return Ok(result);
    };
    let mut model = learner.with(best)?;
    for &value in &sparse {
        let stored = model.value(value).initializer().map(Sparse::of);
        if let Some(Ok(stored)) = stored {
            model.make_sparse(value, stored);
        }
    }
    match agreement_db(engine, &model, &learner, &lessons, &found, best) {
        Ok(db) if db < AGREEMENT_DB => {
            return Err(err!(
                Engine,
                "the engine does not compute what was trained: {db:.1} dB, expected {AGREEMENT_DB} dB"
            ));
        }
        Ok(db) => result.agreement_db = Some(db),
        Err(error) => result.warnings.push(format!("the result was not executed: {error}")),
    }
    result.model = model;
    result.improved = true;
    result.after = (outcome.guard.best.mean_output(), agreement(&outcome.guard.best));
    result.moved = moved(&view, &learner, best);
    result.warnings.extend(gap(&result));
    Ok(result)
}

/// Constants that are stored sparsely.
fn sparse_initializers(model: &Model) -> Vec<ValueId> {
    model.graphs().flat_map(|graph| model.sparse_initializers_of(graph)).collect()
}

/// Refuses models that take different inputs.
fn same_inputs(student: &Model, teacher: &Model) -> Result<()> {
    let names = |model: &Model| -> Vec<String> {
        let inputs = model.graph(model.main()).inputs().iter().map(|&input| model.value(input));
        let free = inputs.filter(|v| matches!(v.def(), crate::ir::Def::Input { default: None }));
        let mut names: Vec<String> = free.map(|v| v.name().to_owned()).collect();
        names.sort();
        names
    };
    let (ours, theirs) = (names(student), names(teacher));
    if ours != theirs {
        return Err(err!(
            Usage,
            "the student takes {}, the teacher {}",
            ours.join(", "),
            theirs.join(", ")
        )
        .help("teacher and student must have the same inputs"));
    }
    Ok(())
}

/// Whether constants of a node may be trained.
fn is_chosen(model: &Model, node: NodeId, options: &Options) -> bool {
    let name = model.name_of(node);
    let fits = |patterns: &[String]| patterns.iter().any(|pattern| is_like(pattern, name));
    (options.train.is_empty() || fits(&options.train)) && !fits(&options.freeze)
}

/// Whether `name` fits `pattern`, in which `*` stands for any text.
pub(super) fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => {
            let ends = |at: usize| name.is_char_boundary(at) && is_like(rest, &name[at..]);
            name.starts_with(start) && (start.len()..=name.len()).any(ends)
        }
    }
}

/// Steps that some minutes have room for, whatever else the machine does: the same in every run.
fn affordable(student: &Model, batch: usize) -> usize {
    let macs = Cost::of(student, &Shapes::infer(student, &Assume::one_sample())).macs;
    let steps = WORK / (macs.max(1) * PASSES * batch as u64).max(1);
    usize::try_from(steps.clamp(STEPS.0, STEPS.1)).unwrap_or(usize::MAX)
}

fn student_size(learner: &Student<'_>) -> usize {
    let trained = learner.program().trained().iter().zip(&learner.parameters);
    trained.filter(|(on, _)| **on).map(|(_, numbers)| numbers.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn patterns() {
        assert!(is_like("conv1", "conv1") && !is_like("conv1", "conv10"));
        assert!(is_like("*", "") && is_like("/layer*/Conv", "/layer3/Conv"));
        assert!(is_like("*Conv*", "/a/Conv_1") && !is_like("a*a", "a"));
    }
}
