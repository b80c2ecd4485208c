//! From matches and targets to losses.

use crate::distill::lessons::{Lessons, Target};
use crate::distill::matched::{Match, differing, kept_channels, same_channels};
use crate::distill::score::{Objective, Term};
use crate::distill::student::Student;
use crate::distill::{Loss, LossName, Options};
use crate::error::{Result, err};
use crate::grad::Given;

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
    target: usize,
    output: bool,
    classes: Option<usize>,
    weight: f64,
    name: String,
    /// Mean square of the target.
    power: f64,
}

/// Makes the losses of what both models compute.
pub fn prepare(
    student: &Student<'_>,
    lessons: &Lessons,
    found: &[Match],
    options: &Options,
) -> Result<Prepared> {
    let (ready, targets, mut warnings) = ready(student, lessons, found)?;
    let labelled = lessons.labels.is_some();
    let classes = ready.iter().find(|r| r.output && r.classes.is_some());
    let known = classes.is_some_and(|r| {
        labelled
            || found.iter().any(|m| m.classes && student.model.value(m.student).name() == r.name)
    });
    let losses = match options.losses.is_empty() {
        false => options.losses.clone(),
        true => usual(&ready, known, labelled),
    };
    let mut objective = Objective {
        terms: Vec::new(),
        targets,
        temperature: options.temperature,
        classes: classes.map(|r| (r.wanted, r.target)),
        labels: None,
    };
    let mut said = Vec::new();
    for Loss { name, weight } in losses {
        let before = objective.terms.len();
        for ready in &ready {
            let len = objective.targets[ready.target].len() as f64;
            let per_number = weight * ready.weight / (len * ready.power.max(f64::MIN_POSITIVE));
            let term = |weight: f64| Term {
                wanted: ready.wanted,
                target: ready.target,
                name,
                weight,
                output: ready.output,
            };
            match name {
                LossName::Features if !ready.output => objective.terms.push(term(per_number)),
                LossName::Squares if ready.output => objective.terms.push(term(per_number)),
                LossName::Divergence if ready.output && ready.classes.is_some() => {
                    objective.terms.push(term(weight));
                }
                LossName::CrossEntropy if classes.is_some_and(|c| c.wanted == ready.wanted) => {
                    if !labelled {
                        return Err(
                            err!(Usage, "`ce` needs labels").help("name their array with --labels")
                        );
                    }
                    let count = ready.classes.unwrap_or(0);
                    let labels = lessons.labels_below(count).map_err(|label| {
                        err!(Data, "label {label}; the student has {count} classes, from 0")
                    })?;
                    objective.labels = Some(labels);
                    objective.terms.push(term(weight));
                }
                _ => {}
            }
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
    Ok(Prepared { objective, losses: said, warnings })
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
) -> Result<(Vec<Ready>, Vec<Target>, Vec<String>)> {
    let look: Vec<usize> =
        lessons.train.iter().copied().take(LOOK.next_multiple_of(student.size)).collect();
    let shown = shown(student, lessons, &look)?;
    let (mut ready, mut targets, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let mut wanted = 0;
    for (i, m) in found.iter().enumerate() {
        let name = student.model.value(m.student).name().to_owned();
        let dims = match &student.lowered.wanted[i] {
            Ok(dims) => dims.clone(),
            Err(reason) => {
                if m.output || m.asked {
                    warnings.push(format!("`{name}` is not compared: {reason}"));
                }
                continue;
            }
        };
        let place = wanted;
        wanted += 1;
        let Some(target) = &lessons.targets[i] else {
            if m.output || m.asked {
                warnings.push(format!(
                    "`{name}` is not compared: the engine does not show `{}`",
                    m.teacher
                ));
            }
            continue;
        };
        let numbers = &shown[place];
        let mut dims = dims;
        if student.size > 1 {
            dims[0] /= student.size;
        }
        let target = match differing(&dims, &target.dims) {
            Ok(None) => target.clone(),
            Ok(Some(axis)) if !m.output => {
                let around = |dims: &[usize]| {
                    let outer: usize = dims[..axis].iter().product();
                    [outer * look.len(), dims[axis], dims[axis + 1..].iter().product()]
                };
                let theirs: Vec<f32> = look.iter().flat_map(|&s| target.of(s)).copied().collect();
                let channels =
                    same_channels((numbers, around(&dims)), (&theirs, around(&target.dims)));
                kept_channels(target, axis, &channels)
            }
            _ if m.output || m.asked => {
                return Err(err!(
                    Usage,
                    "`{name}`: {dims:?} in the student, {:?} in the teacher",
                    target.dims
                )
                .help("values that are matched may differ in their channels alone"));
            }
            _ => continue,
        };
        let squares = |numbers: &mut dyn Iterator<Item = f32>| -> f64 {
            let known = numbers.filter(|x| !x.is_nan());
            let (sum, count) = known.fold((0.0, 0usize), |(sum, count), x| {
                (sum + f64::from(x) * f64::from(x), count + 1)
            });
            sum / count.max(1) as f64
        };
        let power = squares(&mut target.numbers.iter().copied());
        let theirs = look.iter().flat_map(|&s| target.of(s));
        let noise = squares(&mut numbers.iter().zip(theirs).map(|(a, b)| a - b));
        // Layers that were merged may leave the name to another value.
        if power == 0.0 || !m.output && !m.asked && noise > STRANGE * power {
            continue;
        }
        let long: Vec<usize> =
            dims[1.min(dims.len())..].iter().copied().filter(|&d| d > 1).collect();
        let classes = match long[..] {
            [count] if dims[0] == 1 && count <= MOST_CLASSES => Some(count),
            _ => None,
        };
        let target_place = targets.len();
        targets.push(target);
        ready.push(Ready {
            wanted: place,
            target: target_place,
            output: m.output,
            classes,
            weight: m.weight,
            name,
            power,
        });
    }
    if !ready.iter().any(|r| r.output) {
        let reason = warnings.first().cloned().unwrap_or_default();
        return Err(err!(Unsupported, "no output can be compared; {reason}"));
    }
    Ok((ready, targets, warnings))
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
