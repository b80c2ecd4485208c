//! Samples that are changed on their way, and a teacher who is asked about what they became.

use crate::distill::lessons::Target;
use crate::distill::matched::Match;
use crate::distill::random::Random;
use crate::distill::score::{Objective, best};
use crate::distill::student::Student;
use crate::distill::{Augment, LossName, Options};
use crate::error::{Result, err};
use crate::grad::{Given, Lowered, Request, Workspace, loss, lower};
use crate::ir::Model;

/// Images are moved by at most one in so many of their extents.
const SHIFT: usize = 8;
/// Exponent of the distribution of shares in sums of two images: most are mostly one.
const MIXED: f64 = 0.2;
/// How far samples are moved to see how outputs change, beside the size of their numbers.
const LITTLE: f64 = 0.05;

/// How samples are changed.
pub struct Variation {
    augment: Vec<Augment>,
    adversarial: Option<f64>,
    /// The second half of a micro-batch is the first one, changed a little.
    pairs: bool,
    teacher: Lowered<f32>,
    /// For each input of the student, whether it holds floats, its elements for one sample, and its extents when it is an image.
    inputs: Vec<Fed>,
    size: usize,
    seed: u64,
}

struct Fed {
    float: bool,
    len: usize,
    image: Option<[usize; 3]>,
}

/// The memory of a thread.
pub struct Room {
    work: Workspace<f32>,
    /// What the teacher gives for the samples at hand.
    pub fresh: Vec<Target>,
}

impl Variation {
    /// What the options ask for; nothing when samples stay as they are.
    ///
    /// # Errors
    /// When they ask for what the models cannot do.
    pub fn new(
        options: &Options,
        student: &Student<'_>,
        teacher: &Model,
        found: &[Match],
        shapes: &[(String, Vec<usize>, bool)],
    ) -> Result<Option<Self>> {
        let pairs = options.losses.iter().any(|loss| loss.name == LossName::Gradient);
        if options.augment.is_empty() && options.adversarial.is_none() && !pairs {
            return Ok(None);
        }
        let size = student.size;
        let grown = |(name, dims, stacks): &(String, Vec<usize>, bool)| {
            let mut dims = dims.clone();
            if *stacks {
                dims[0] *= size;
            }
            (name.clone(), dims)
        };
        let wanted = found.iter().filter_map(|m| teacher.find_value(teacher.main(), &m.teacher));
        let wanted: Vec<_> = wanted.collect();
        let request = Request {
            inputs: shapes.iter().map(grown).collect(),
            wanted: &wanted,
            train: &|_| false,
            inputs_too: false,
        };
        let lowered = lower::<f32>(teacher, &request)?;
        if let Some(Err(reason)) = lowered.wanted.iter().find(|wanted| wanted.is_err()) {
            return Err(err!(
                Unsupported,
                "samples that are changed need a teacher with kernels: {reason}"
            )
            .help("leave out --augment, --adversarial and the loss `gradient`"));
        }
        let fed = student.lowered.inputs.iter().map(|name| {
            let shape = shapes.iter().find(|shape| shape.0 == *name);
            let (dims, stacks) = shape.map_or((&[][..], false), |shape| (&shape.1[..], shape.2));
            let id = student.model.find_value(student.model.main(), name);
            let ty = id.and_then(|id| student.model.value(id).tensor_type());
            let float = stacks && ty.is_none_or(|ty| ty.dtype.is_float());
            let image = match dims[..] {
                [1, c, h, w] if float && c <= 4 && h > 1 && w > 1 => Some([c, h, w]),
                _ => None,
            };
            Fed { float, len: dims.iter().product(), image }
        });
        let inputs: Vec<Fed> = fed.collect();
        if !options.augment.is_empty() && inputs.iter().all(|fed| fed.image.is_none()) {
            return Err(err!(Usage, "--augment is for images; no input is one")
                .help("an image has the axes batch, channels (at most 4), height, width"));
        }
        if (pairs || options.adversarial.is_some()) && inputs.iter().all(|fed| !fed.float) {
            return Err(err!(Usage, "no input has numbers that can be changed a little"));
        }
        if (pairs || options.augment.contains(&Augment::Mixup)) && size < 2 {
            return Err(err!(
                Unsupported,
                "the student takes one sample at a time; `gradient` and mixup need two"
            ));
        }
        Ok(Some(Self {
            augment: options.augment.clone(),
            adversarial: options.adversarial,
            pairs,
            teacher: lowered,
            inputs,
            size,
            seed: options.seed,
        }))
    }

    /// Memory for a thread.
    pub fn room(&self) -> Room {
        Room { work: self.teacher.program.workspace(), fresh: Vec::new() }
    }

    /// Changes the samples of a micro-batch, which is the `number`th of all, and asks the teacher about them.
    pub fn apply(
        &self,
        number: u64,
        (student, objective): (&Student<'_>, &Objective),
        (work, parameters): (&mut Workspace<f32>, &[Vec<f32>]),
        inputs: &mut [Vec<f32>],
        room: &mut Room,
    ) {
        let mut random = Random::new(self.seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        for (fed, numbers) in self.inputs.iter().zip(&mut *inputs) {
            if let Some(image) = fed.image {
                self.augmented(numbers, image, &mut random);
            }
        }
        if let Some(eps) = self.adversarial {
            self.ask(objective, student, inputs, room);
            self.attack(eps as f32, (student, objective), (work, parameters), inputs, room);
        }
        if self.pairs {
            for (fed, numbers) in self.inputs.iter().zip(&mut *inputs) {
                let (first, second) = numbers.split_at_mut(fed.len * (self.size / 2));
                if !fed.float {
                    continue;
                }
                let power: f64 = first.iter().map(|&x| f64::from(x * x)).sum();
                let far = LITTLE * (power / first.len().max(1) as f64).sqrt();
                for (to, from) in second.iter_mut().zip(&*first) {
                    *to = from + (far * random.sign()) as f32;
                }
            }
        }
        self.ask(objective, student, inputs, room);
    }

    fn augmented(&self, numbers: &mut [f32], [c, h, w]: [usize; 3], random: &mut Random) {
        let len = c * h * w;
        let mut before = vec![0.0; len];
        for image in numbers.chunks_exact_mut(len) {
            let flips = self.augment.contains(&Augment::Flip) && random.next().is_multiple_of(2);
            let moves = |random: &mut Random, extent: usize| -> isize {
                let most = if self.augment.contains(&Augment::Shift) { extent / SHIFT } else { 0 };
                (random.next() % (2 * most as u64 + 1)) as isize - most as isize
            };
            let (down, right) = (moves(random, h), moves(random, w));
            if !flips && down == 0 && right == 0 {
                continue;
            }
            before.copy_from_slice(image);
            for (at, to) in image.iter_mut().enumerate() {
                let (plane, y, x) = (at / (h * w), at / w % h, at % w);
                let x = if flips { w - 1 - x } else { x };
                let (y, x) = (reflected(y as isize + down, h), reflected(x as isize + right, w));
                *to = before[(plane * h + y) * w + x];
            }
        }
        if self.augment.contains(&Augment::Mixup) {
            let all = numbers.to_vec();
            for (i, image) in numbers.chunks_exact_mut(len).enumerate() {
                let share = random.share(MIXED);
                // Labels stay those of the image that weighs more.
                let share = share.max(1.0 - share) as f32;
                let other = &all[(i + 1) % self.size * len..][..len];
                image.iter_mut().zip(other).for_each(|(x, o)| *x = share * *x + (1.0 - share) * o);
            }
        }
    }

    /// Moves every other sample to where the student is less sure of what the teacher says.
    fn attack(
        &self,
        eps: f32,
        (student, objective): (&Student<'_>, &Objective),
        (work, parameters): (&mut Workspace<f32>, &[Vec<f32>]),
        inputs: &mut [Vec<f32>],
        room: &Room,
    ) {
        let views: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let given = Given { parameters, inputs: &views };
        let program = student.program();
        program.forward(work, given);
        program.backward(work, given, |at, values, gradient| {
            let aimed = objective.terms.iter().find(|term| term.output && term.wanted == at);
            let Some(target) = aimed.map(|term| &room.fresh[term.target]) else { return };
            let len = target.len().max(1);
            let rows = values.chunks_exact(len).zip(gradient.chunks_exact_mut(len));
            for (row, (values, gradient)) in rows.enumerate() {
                match objective.classes {
                    Some((classes, _)) if classes == at => {
                        loss::cross_entropy(values, best(target.of(row)), 1.0, gradient);
                    }
                    _ => {
                        loss::squares(values, target.of(row), 1.0, gradient);
                    }
                }
            }
        });
        for (at, (fed, numbers)) in self.inputs.iter().zip(inputs).enumerate() {
            let Some(gradient) = program.input_gradient(work, at).filter(|_| fed.float) else {
                continue;
            };
            let rows = numbers.chunks_exact_mut(fed.len).zip(gradient.chunks_exact(fed.len));
            for (numbers, gradient) in rows.skip(1).step_by(2) {
                for (x, &g) in numbers.iter_mut().zip(gradient).filter(|(_, g)| **g != 0.0) {
                    *x += eps * g.signum();
                }
            }
        }
    }

    /// Runs the teacher.
    fn ask(
        &self,
        objective: &Objective,
        student: &Student<'_>,
        inputs: &[Vec<f32>],
        room: &mut Room,
    ) {
        let place = |name: &String| student.lowered.inputs.iter().position(|own| own == name);
        let views: Vec<&[f32]> = self
            .teacher
            .inputs
            .iter()
            .map(|name| place(name).map_or(&[][..], |at| inputs[at].as_slice()))
            .collect();
        let given = Given { parameters: &[], inputs: &views };
        self.teacher.program.forward(&mut room.work, given);
        let fresh = objective.aims.iter().map(|aim| {
            let numbers = self.teacher.program.wanted(&room.work, given, aim.source).to_vec();
            let mut dims =
                self.teacher.wanted[aim.source].as_ref().map_or(Vec::new(), Clone::clone);
            if let Some(first) = dims.first_mut().filter(|_| self.size > 1) {
                *first /= self.size;
            }
            aim.form.of(Target { dims, numbers })
        });
        room.fresh = fresh.collect();
    }
}

/// A place that is beyond the edge, mirrored there.
fn reflected(at: isize, extent: usize) -> usize {
    let last = extent as isize - 1;
    let at = at.abs();
    usize::try_from(if at > last { 2 * last - at } else { at }).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_beyond_the_edge_are_mirrored() {
        let found: Vec<usize> = (-2..7).map(|at| reflected(at, 5)).collect();
        assert_eq!(found, [2, 1, 0, 1, 2, 3, 4, 3, 2]);
    }
}
