//! Which values of the student should be like which of the teacher.

use std::collections::{BTreeSet, HashMap};

use crate::distill::Options;
use crate::distill::lessons::Target;
use crate::error::{Result, err};
use crate::ir::{Model, NodeId, ValueId};

/// A value of the student, and the one of the teacher that it should be like.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    pub student: ValueId,
    pub teacher: String,
    /// An output, or what becomes one by a softmax; else a value inside.
    pub output: bool,
    /// Known to be the scores of classes.
    pub classes: bool,
    /// Weight among the features.
    pub weight: f64,
    /// Asked for by name.
    pub asked: bool,
}

/// Values inside that are matched beside the last one, and their weight.
const STAGES: usize = 3;
const STAGE_WEIGHT: f64 = 0.2;

/// The matches of outputs, and of values inside when they are wanted.
pub fn matches(student: &Model, teacher: &Model, options: &Options) -> Result<Vec<Match>> {
    let mut found = outputs(student, teacher)?;
    let inside = options.losses.is_empty() || options.losses.iter().any(|l| l.name.is_inside());
    if !inside && options.matches.is_empty() {
        return Ok(found);
    }
    for (ours, theirs) in &options.matches {
        let value = |model: &Model, name: &str, which: &str| {
            let id = model.find_value(model.main(), name);
            id.ok_or_else(|| err!(Usage, "the {which} has no value `{name}`"))
        };
        let id = value(student, ours, "student")?;
        value(teacher, theirs, "teacher")?;
        found.push(Match {
            student: id,
            teacher: theirs.clone(),
            output: false,
            classes: false,
            weight: 1.0,
            asked: true,
        });
    }
    if options.matches.is_empty() {
        found.extend(features(student, teacher, &found));
    }
    Ok(found)
}

/// Outputs by name, or by their place.
fn outputs(student: &Model, teacher: &Model) -> Result<Vec<Match>> {
    let list = |model: &Model| -> Vec<ValueId> {
        model.graph(model.main()).outputs().iter().map(|output| output.value).collect()
    };
    let (ours, theirs) = (list(student), list(teacher));
    let named: HashMap<&str, ValueId> =
        theirs.iter().map(|&value| (teacher.value(value).name(), value)).collect();
    let mut found = Vec::new();
    for (place, &value) in ours.iter().enumerate() {
        let name = student.value(value).name();
        let by_place = || (ours.len() == theirs.len()).then(|| theirs[place]);
        let other = named.get(name).copied().or_else(by_place);
        let other = other.ok_or_else(|| {
            err!(Usage, "the teacher has no output `{name}`")
                .help("teacher and student must do the same task")
        })?;
        let float = student.value(value).tensor_type().is_none_or(|ty| ty.dtype.is_float());
        if !float {
            continue;
        }
        let ((student_scores, a), (teacher_scores, b)) =
            (scores(student, value), scores(teacher, other));
        let both = a && b;
        found.push(Match {
            student: if both { student_scores } else { value },
            teacher: teacher.value(if both { teacher_scores } else { other }).name().to_owned(),
            output: true,
            classes: both,
            weight: 1.0,
            asked: false,
        });
    }
    if found.is_empty() {
        return Err(err!(Unsupported, "the student has no output of floats"));
    }
    Ok(found)
}

/// What an output is before a softmax at its end, and whether there is one.
fn scores(model: &Model, output: ValueId) -> (ValueId, bool) {
    let mut value = output;
    loop {
        let Some(node) = model.value(value).producer() else { return (output, false) };
        let node = model.node(node);
        let Some(input) = node.input(0) else { return (output, false) };
        match node.op() {
            "Softmax" | "LogSoftmax" => return (input, true),
            "Identity" => value = input,
            _ => return (output, false),
        }
    }
}

/// The last value before the end of both models, and some on the way.
fn features(student: &Model, teacher: &Model, outputs: &[Match]) -> Vec<Match> {
    let inner = |model: &Model| -> HashMap<String, ValueId> {
        let nodes = model.nodes_of(model.main());
        let made = nodes.flat_map(|(_, node)| node.outputs().iter().flatten().copied());
        made.map(|value| (model.value(value).name().to_owned(), value)).collect()
    };
    let theirs = inner(teacher);
    let taken: BTreeSet<&str> = outputs.iter().map(|m| m.teacher.as_str()).collect();
    let shared = |value: ValueId| {
        let name = student.value(value).name();
        theirs.contains_key(name) && !taken.contains(name)
    };
    let make = |value: ValueId, weight: f64| Match {
        student: value,
        teacher: student.value(value).name().to_owned(),
        output: false,
        classes: false,
        weight,
        asked: false,
    };
    let Some(end) = outputs.iter().find_map(|m| student.value(m.student).producer()) else {
        return Vec::new();
    };
    let last = last_feature(student, end).filter(|&value| shared(value));
    let stages: Vec<ValueId> = student
        .nodes_of(student.main())
        .filter(|(_, node)| node.is("Add") && is_residual(student, node.inputs()))
        .filter_map(|(_, node)| Some(behind(student, node.output(0)?)))
        .filter(|&value| shared(value) && Some(value) != last)
        .collect();
    let count = stages.len().min(STAGES);
    let picked = (1..=count).map(|i| stages[i * stages.len() / count - 1]);
    let stages: BTreeSet<ValueId> = picked.collect();
    let last = last.map(|value| make(value, 1.0));
    last.into_iter().chain(stages.into_iter().map(|value| make(value, STAGE_WEIGHT))).collect()
}

/// Both summands are computed.
fn is_residual(model: &Model, inputs: &[Option<ValueId>]) -> bool {
    inputs.iter().flatten().all(|&input| model.value(input).producer().is_some())
}

/// The activation right behind a value, when nothing else reads it.
fn behind(model: &Model, value: ValueId) -> ValueId {
    let activation = |(node, _): (NodeId, usize)| {
        let node = model.node(node);
        matches!(node.op(), "Relu" | "Clip" | "LeakyRelu" | "HardSwish").then(|| node.output(0))?
    };
    model.value(value).only_consumer().and_then(activation).unwrap_or(value)
}

/// What is pooled or flattened last before the output.
fn last_feature(model: &Model, end: NodeId) -> Option<ValueId> {
    /// Nodes from the end at which is looked.
    const REACH: usize = 12;
    let mut node = end;
    for _ in 0..REACH {
        let entry = model.node(node);
        let input = entry.input(0)?;
        let pools = ["GlobalAveragePool", "ReduceMean", "AveragePool", "Flatten", "GlobalMaxPool"];
        let producer = model.value(input).producer();
        if pools.contains(&entry.op()) && producer.is_some() {
            let before = producer.map(|producer| model.node(producer).op());
            if !before.is_some_and(|op| pools.contains(&op)) {
                return Some(input);
            }
        }
        node = producer?;
    }
    None
}

/// Correlation from which on channels are taken for the same.
const ALIKE: f64 = 0.5;

/// For each channel of a student's value the channel of the teacher's that it correlates with most; nothing
/// for one that is like none, unless it must have one. Both are given for the same samples; `axes` are the extents
/// before, on and behind the axis of channels.
pub fn same_channels(
    (ours, our_axes): (&[f32], [usize; 3]),
    (theirs, their_axes): (&[f32], [usize; 3]),
    must: bool,
) -> Vec<Option<usize>> {
    let rows = |numbers: &[f32], [outer, channels, inner]: [usize; 3]| -> Vec<Vec<f64>> {
        (0..channels)
            .map(|c| {
                let mut row: Vec<f64> = (0..outer)
                    .flat_map(|o| {
                        let start = (o * channels + c) * inner;
                        numbers[start..start + inner].iter().map(|&x| f64::from(x))
                    })
                    .collect();
                let mean = row.iter().sum::<f64>() / row.len().max(1) as f64;
                row.iter_mut().for_each(|x| *x -= mean);
                let length = row.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-30);
                row.iter_mut().for_each(|x| *x /= length);
                row
            })
            .collect()
    };
    let (ours, theirs) = (rows(ours, our_axes), rows(theirs, their_axes));
    let mut free = vec![true; theirs.len()];
    ours.iter()
        .map(|row| {
            let like = |other: &Vec<f64>| row.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
            let candidates = theirs.iter().map(like).enumerate().filter(|&(c, _)| free[c]);
            let (channel, likeness) = candidates.max_by(|a, b| a.1.total_cmp(&b.1))?;
            (must || likeness >= ALIKE).then(|| {
                free[channel] = false;
                channel
            })
        })
        .collect()
}

/// The axis on which the extents of two values differ; nothing when they are the same.
///
/// # Errors
/// When they differ on more.
pub fn differing(ours: &[usize], theirs: &[usize]) -> Result<Option<usize>, ()> {
    let differ: Vec<usize> = (0..ours.len()).filter(|&i| ours.get(i) != theirs.get(i)).collect();
    match differ[..] {
        _ if ours.len() != theirs.len() => Err(()),
        [] => Ok(None),
        [axis] if axis > 0 && ours[axis] < theirs[axis] => Ok(Some(axis)),
        _ => Err(()),
    }
}

/// Keeps of a target the channels that the student has; those that it has alone are left out by a mask.
pub fn kept_channels(target: &Target, axis: usize, channels: &[Option<usize>]) -> Target {
    let outer: usize = target.dims[..axis].iter().product();
    let inner: usize = target.dims[axis + 1..].iter().product();
    let samples = target.numbers.len() / target.len().max(1);
    let mut numbers = Vec::with_capacity(samples * outer * channels.len() * inner);
    for row in 0..samples * outer {
        for channel in channels {
            match channel {
                Some(channel) => {
                    let start = (row * target.dims[axis] + channel) * inner;
                    numbers.extend_from_slice(&target.numbers[start..start + inner]);
                }
                // Unknown: no difference to anything.
                None => numbers.extend(std::iter::repeat_n(f32::NAN, inner)),
            }
        }
    }
    let mut dims = target.dims.clone();
    dims[axis] = channels.len();
    Target { dims, numbers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_found_again() {
        let theirs: Vec<f32> = (0..24).map(|i| ((i * 7 % 11) as f32).sin() * 3.0).collect();
        // Two samples, three channels of four places; the student has the third and the first.
        let ours: Vec<f32> = [2, 0]
            .iter()
            .chain(&[5, 3])
            .flat_map(|&c: &usize| theirs[c * 4..c * 4 + 4].iter().map(|x| x * 1.1 + 0.2))
            .collect();
        let found = same_channels((&ours, [2, 2, 4]), (&theirs, [2, 3, 4]), false);
        assert_eq!(found, [Some(2), Some(0)]);
        let target = Target { dims: vec![1, 3, 4], numbers: theirs.clone() };
        let kept = kept_channels(&target, 1, &[Some(2), None]);
        assert_eq!(kept.dims, [1, 2, 4]);
        assert_eq!(kept.of(1)[..4], theirs[20..24]);
        assert!(kept.of(0)[4..].iter().all(|x| x.is_nan()));
    }

    #[test]
    fn one_axis_may_differ() {
        assert_eq!(differing(&[1, 4, 8], &[1, 4, 8]), Ok(None));
        assert_eq!(differing(&[1, 3, 8], &[1, 4, 8]), Ok(Some(1)));
        assert!(differing(&[1, 5, 8], &[1, 4, 8]).is_err());
        assert!(differing(&[1, 3, 7], &[1, 4, 8]).is_err());
    }
}
