//! From matches and targets to losses.

use crate::distill::lessons::Lessons;
use crate::distill::matched::{Match, differing, same_channels};
use crate::distill::score::{Aim, Form, Objective, Term};
use crate::distill::student::Student;
use crate::distill::{Loss, LossName, Options};
use crate::error::{Result, err};
use crate::grad::Given;
use crate::grad::loss::Extents;

/// Samples by which channels are found again.
const LOOK: usize = 64;
/// Most classes of a distribution.
const MOST_CLASSES: usize = 100_000;
/// A value inside of which the student has less than nothing is another one with the same name.
const STRANGE: f64 = 1.0;

/// Losses with their targets, and what is to be said about them.
pub struct Prepared {
    pub objective: Objective,
    pub losses: Vec<String>,
    pub warnings: Vec<String>,
}

/// A value that both have, ready for losses.
struct Ready {
    wanted: usize,
    /// Place of the match.
    source: usize,
    /// How the student's value is made of that of the teacher; nothing when it has other extents.
    form: Option<Form>,
    output: bool,
    classes: Option<usize>,
    weight: f64,
    name: String,
    /// Mean square of the target.
    power: f64,
    /// Extents for one sample, of the student and of the teacher.
    extents: Extents,
    theirs: Extents,
}

impl Ready {
    /// The form of the target that a loss needs, and what a sum over the numbers of one sample is multiplied with;
    /// nothing when the loss is not for this value.
    fn suits(&self, name: LossName, first: bool) -> Option<(Form, f64)> {
        let len: usize = self.extents.iter().product();
        let per_number = 1.0 / (len as f64 * self.power.max(f64::MIN_POSITIVE));
        let whole = || self.form.clone();
        match name {
            LossName::Features if !self.output => Some((whole()?, per_number)),
            LossName::Squares if self.output => Some((whole()?, per_number)),
            LossName::Gradient if self.output => Some((whole()?, 1.0)),
            LossName::Divergence if self.output && self.classes.is_some() => Some((whole()?, 1.0)),
            LossName::CrossEntropy if first => Some((whole()?, 1.0)),
            LossName::Attention if !self.output => {
                let ([a, _, b], [c, _, d]) = (self.extents, self.theirs);
                ([a, b] == [c, d] && a * b > 1).then_some((Form::Map(self.theirs), 1.0))
            }
            LossName::Relation if !self.output => Some((Form::Same, 1.0)),
            _ => None,
        }
    }
}

/// Makes the losses of what both models compute. Targets are taken out of the lessons.
pub fn prepare(
    student: &Student<'_>,
    lessons: &mut Lessons,
    found: &[Match],
    options: &Options,
) -> Result<Prepared> {
    let (ready, mut warnings) = ready(student, lessons, found)?;
    let labelled = lessons.labels.is_some();
    let classes = ready.iter().find(|r| r.output && r.classes.is_some());
    let known = classes.is_some_and(|r| labelled || found[r.source].classes);
    let losses = match options.losses.is_empty() {
        false => options.losses.clone(),
        true => usual(&ready, known, labelled),
    };
    let mut objective = Objective {
        terms: Vec::new(),
        aims: Vec::new(),
        temperature: options.temperature,
        classes: None,
        labels: None,
    };
    if let Some(r) = classes {
        objective.classes = Some((r.wanted, aim(&mut objective.aims, lessons, r, &Form::Same)));
    }
    let mut said = Vec::new();
    for Loss { name, weight } in losses {
        let before = objective.terms.len();
        for ready in &ready {
            let first = classes.is_some_and(|c| c.wanted == ready.wanted);
            let Some((form, factor)) = ready.suits(name, first) else { continue };
            if name == LossName::CrossEntropy {
                objective.labels = Some(labels(lessons, ready.classes.unwrap_or(0))?);
            }
            objective.terms.push(Term {
                wanted: ready.wanted,
                target: aim(&mut objective.aims, lessons, ready, &form),
                name,
                weight: weight * ready.weight * factor,
                output: ready.output && name != LossName::Gradient,
                extents: ready.extents,
            });
        }
        let terms = &objective.terms[before..];
        if terms.is_empty() {
            warnings.push(format!("`{}`: both models compute nothing that it is for", name.name()));
            continue;
        }
        let of =
            |term: &Term| ready.iter().find(|r| r.wanted == term.wanted).map(|r| r.name.clone());
        let names: Vec<String> = terms.iter().filter_map(of).collect();
        said.push(format!("{} × {weight} of {}", name.name(), names.join(", ")));
    }
    // States are compared by outputs; without a loss of these, by their squares.
    if !objective.terms.iter().any(|term| term.output) {
        return Err(err!(Usage, "no loss of an output").help("add kl, mse or ce to --loss"));
    }
    lessons.targets.clear();
    Ok(Prepared { objective, losses: said, warnings })
}

/// The place of a target among all; it is made when it is not there yet.
fn aim(aims: &mut Vec<Aim>, lessons: &Lessons, ready: &Ready, form: &Form) -> usize {
    let same = |aim: &Aim| aim.source == ready.source && aim.form == *form;
    if let Some(place) = aims.iter().position(same) {
        return place;
    }
    let whole = lessons.targets[ready.source].clone().unwrap_or_default();
    aims.push(Aim { stored: form.of(whole), source: ready.source, form: form.clone() });
    aims.len() - 1
}

/// Labels of all samples, which the student has as classes.
fn labels(lessons: &Lessons, count: usize) -> Result<Vec<usize>> {
    let labels = lessons.labels.clone();
    let labels = labels
        .ok_or_else(|| err!(Usage, "`ce` needs labels").help("name their array with --labels"))?;
    let class = |(sample, &label): (usize, &i64)| {
        usize::try_from(label).ok().filter(|&label| label < count).ok_or_else(|| {
            err!(Data, "label {label} of sample {sample} is not one of {count} classes")
                .help("name the right array with --labels")
        })
    };
    labels.iter().enumerate().map(class).collect()
}

/// What is minimized when nothing is said.
fn usual(ready: &[Ready], classes: bool, labelled: bool) -> Vec<Loss> {
    let mut losses = Vec::new();
    if ready.iter().any(|r| !r.output) {
        losses.push(Loss { name: LossName::Features, weight: 1.0 });
    }
    // Scores of classes and other numbers look alike without a softmax or labels; squares suit both.
    if classes {
        losses.push(Loss { name: LossName::Divergence, weight: 1.0 });
    }
    if !classes || ready.iter().any(|r| r.output && r.classes.is_none()) {
        losses.push(Loss { name: LossName::Squares, weight: 1.0 });
    }
    if labelled {
        losses.push(Loss { name: LossName::CrossEntropy, weight: 0.1 });
    }
    losses
}

/// The values that the program and the engine both show.
fn ready(
    student: &Student<'_>,
    lessons: &Lessons,
    found: &[Match],
) -> Result<(Vec<Ready>, Vec<String>)> {
    let look: Vec<usize> =
        lessons.train.iter().copied().take(LOOK.next_multiple_of(student.size)).collect();
    let shown = shown(student, lessons, &look)?;
    let (mut ready, mut warnings) = (Vec::new(), Vec::new());
    let mut wanted = 0;
    for (source, m) in found.iter().enumerate() {
        let name = student.model.value(m.student).name().to_owned();
        let needed = m.output || m.asked;
        let mut dims = match &student.lowered.wanted[source] {
            Ok(dims) => dims.clone(),
            Err(reason) if needed => {
                warnings.push(format!("`{name}` is not compared: {reason}"));
                continue;
            }
            Err(_) => continue,
        };
        wanted += 1;
        let Some(target) = &lessons.targets[source] else {
            if needed {
                let theirs = &m.teacher;
                warnings
                    .push(format!("`{name}` is not compared: the engine does not show `{theirs}`"));
            }
            continue;
        };
        let numbers = &shown[wanted - 1];
        if student.size > 1 {
            dims[0] /= student.size;
        }
        let form = match differing(&dims, &target.dims) {
            Ok(None) => Some(Form::Same),
            Ok(Some(axis)) if !m.output => {
                let around = |dims: &[usize]| {
                    let outer: usize = dims[..axis].iter().product();
                    [outer * look.len(), dims[axis], dims[axis + 1..].iter().product()]
                };
                let theirs: Vec<f32> = look.iter().flat_map(|&s| target.of(s)).copied().collect();
                let channels = same_channels(
                    (numbers, around(&dims)),
                    (&theirs, around(&target.dims)),
                    m.asked,
                );
                Some(Form::Channels(axis, channels))
            }
            _ if m.output => {
                return Err(err!(
                    Usage,
                    "`{name}`: {dims:?} in the student, {:?} in the teacher",
                    target.dims
                )
                .help("outputs of both must have the same extents"));
            }
            // What does not depend on channels can be compared.
            _ if m.asked => None,
            _ => continue,
        };
        let part = form.as_ref().map(|form| form.of(target.clone()));
        let part = part.as_ref().unwrap_or(target);
        let power = mean_square(&mut part.numbers.iter().copied());
        let theirs = look.iter().flat_map(|&s| part.of(s));
        let noise = mean_square(&mut numbers.iter().zip(theirs).map(|(a, b)| a - b));
        // Layers that were merged may leave the name to another value.
        if power == 0.0 || !needed && noise > STRANGE * power {
            continue;
        }
        let long: Vec<usize> =
            dims[1.min(dims.len())..].iter().copied().filter(|&d| d > 1).collect();
        let classes = match long[..] {
            [count] if dims[0] == 1 && count <= MOST_CLASSES => Some(count),
            _ => None,
        };
        ready.push(Ready {
            wanted: wanted - 1,
            source,
            form,
            output: m.output,
            classes,
            weight: m.weight,
            name,
            power,
            extents: extents(&dims),
            theirs: extents(&target.dims),
        });
    }
    if !ready.iter().any(|r| r.output) {
        let reason = warnings.first().cloned().unwrap_or_default();
        return Err(err!(Unsupported, "no output can be compared; {reason}"));
    }
    Ok((ready, warnings))
}

/// The mean of squares of numbers that are known.
fn mean_square(numbers: &mut dyn Iterator<Item = f32>) -> f64 {
    let known = numbers.filter(|x| !x.is_nan());
    let (sum, count) =
        known.fold((0.0, 0usize), |(sum, count), x| (sum + f64::from(x) * f64::from(x), count + 1));
    sum / count.max(1) as f64
}

/// What is before, on and behind the channels: the second axis of images, else the last one.
fn extents(dims: &[usize]) -> Extents {
    let axis = if dims.len() > 3 { 1 } else { dims.len().saturating_sub(1) };
    let product = |dims: &[usize]| dims.iter().product();
    let channels = dims.get(axis).copied().unwrap_or(1);
    [product(&dims[..axis]), channels, dims.get(axis + 1..).map_or(1, product)]
}

/// What the student computes for samples, value by value.
fn shown(student: &Student<'_>, lessons: &Lessons, samples: &[usize]) -> Result<Vec<Vec<f32>>> {
    let count = student.lowered.wanted.iter().filter(|w| w.is_ok()).count();
    let mut shown = vec![Vec::new(); count];
    let mut work = student.program().workspace();
    let mut numbers = vec![Vec::new(); student.lowered.inputs.len()];
    for chunk in samples.chunks(student.size) {
        let mut full = chunk.to_vec();
        full.resize(student.size, chunk[0]);
        for (name, numbers) in student.lowered.inputs.iter().zip(&mut numbers) {
            lessons.gather(name, &full, numbers)?;
        }
        let inputs: Vec<&[f32]> = numbers.iter().map(Vec::as_slice).collect();
        student.forward(&mut work, &student.parameters, &inputs);
        let given = Given { parameters: &student.parameters, inputs: &inputs };
        for (at, shown) in shown.iter_mut().enumerate() {
            let values = student.program().wanted(&work, given, at);
            shown.extend_from_slice(&values[..values.len() / student.size * chunk.len()]);
        }
    }
    Ok(shown)
}
