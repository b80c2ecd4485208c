//! Steps downhill, over fixed micro-batches whose gradients are added in a fixed order.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::distill::guard::{Guard, Verdict};
use crate::distill::lessons::Lessons;
use crate::distill::random::Random;
use crate::distill::score::{Aims, Objective, Score};
use crate::distill::student::Student;
use crate::distill::vary::{Room, Variation};
use crate::distill::{Data, Moment};
use crate::error::{Error, Result, err};
use crate::grad::optimizer::{Method, Optimizer, clip, schedule};
use crate::grad::{Given, Workspace};

/// Fewest and most looks at samples held out in a run.
const LOOKS: (f64, f64) = (5.0, 20.0);
/// Share of the work of all steps that looks may take, when there are more than the fewest.
const LOOKING: f64 = 0.15;
/// A step walks forward once and back for twice the work.
const WALKS: f64 = 3.0;
/// Most samples held out that are looked at.
const MOST_HELD_OUT: usize = 1024;
/// Longest gradient.
const LONGEST: f64 = 1.0;
/// Steps in which the rate rises.
const WARM_UP: f64 = 20.0;
/// Steps whose time says how long all will take.
const TIMED: usize = 3;
/// Share of the time that is left for the end: comparing and writing.
const RESERVE: f64 = 0.03;

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Steps(usize),
    /// Until a moment, and at most so many.
    Until {
        end: Instant,
        most: usize,
    },
}

/// What a run gave.
pub struct Outcome {
    pub guard: Guard,
    pub curve: Vec<Moment>,
    pub steps: usize,
    pub seconds: f64,
}

/// A run in the making.
pub struct Descent<'a> {
    student: &'a Student<'a>,
    lessons: &'a Lessons,
    objective: &'a Objective,
    variation: Option<&'a Variation>,
    batch: usize,
    /// Micro-batches so far.
    number: u64,
    parameters: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    places: Vec<Place>,
    order: Order,
}

/// The memory of a thread.
struct Place {
    work: Workspace<f32>,
    inputs: Vec<Vec<f32>>,
    room: Option<Room>,
    score: Score,
}

impl<'a> Descent<'a> {
    pub fn new(
        student: &'a Student<'a>,
        lessons: &'a Lessons,
        (objective, variation): (&'a Objective, Option<&'a Variation>),
        batch: usize,
        seed: u64,
    ) -> Result<Self> {
        let threads = rayon::current_num_threads().min(batch / student.size).max(1);
        let place = || Place {
            work: student.program().workspace(),
            inputs: vec![Vec::new(); student.lowered.inputs.len()],
            room: variation.map(Variation::room),
            score: Score::default(),
        };
        let places: Vec<Place> = (0..threads).map(|_| place()).collect();
        let gradients = places[0].work.gradients.clone();
        Ok(Self {
            student,
            lessons,
            objective,
            variation,
            batch,
            number: 0,
            parameters: student.parameters.clone(),
            gradients,
            places,
            order: Order::new(lessons.train.clone(), seed),
        })
    }

    /// Walks downhill.
    pub fn run(&mut self, mut rate: f64, pace: Pace, data: &Data<'_>) -> Result<Outcome> {
        let progress = data.progress;
        let zeros = self.student.zeros.clone();
        let mut optimizer =
            Optimizer::new(Method::Adam, &self.parameters, zeros, &self.student.paces());
        let classes = self.objective.classes.is_some();
        let start = self.held_out()?;
        if !start.output.is_finite() {
            return Err(err!(Data, "the loss of the student is {} at the start", start.output));
        }
        let mut guard = Guard::new(start, classes);
        let agreement = |score: &Score| classes.then(|| score.agreement());
        let mut curve = Vec::new();
        let (begin, mut done) = (Instant::now(), 0);
        let mut most = match pace {
            Pace::Steps(steps) => steps,
            Pace::Until { most, .. } => most,
        };
        let (mut since, mut looked, mut finished) = (Score::default(), 0.0, 0.0);
        progress.start("distilling", if most == usize::MAX { 0 } else { most });
        while done < most && finished < 1.0 {
            let warm_up = (WARM_UP / most as f64).clamp(0.01, 0.2);
            let share = schedule(finished, warm_up);
            let score = self.gradient()?;
            let step_loss = score.mean();
            since.add(score);
            match guard.judge(step_loss) {
                Verdict::GoOn => {
                    clip(&mut self.gradients, LONGEST);
                    optimizer.step(rate * share, &mut self.parameters, &self.gradients);
                    self.student.hold(&mut self.parameters);
                }
                Verdict::StartAgain => {
                    rate /= 2.0;
                    self.parameters =
                        guard.parameters.clone().unwrap_or_else(|| self.student.parameters.clone());
                    optimizer.restart();
                }
                Verdict::GiveUp => break,
            }
            done += 1;
            progress.step();
            if done == TIMED {
                let step = begin.elapsed() / TIMED as u32;
                if let Pace::Until { end, most: given } = pace {
                    let left = end.saturating_duration_since(Instant::now()).mul_f64(1.0 - RESERVE);
                    let more = left.as_secs_f64() / step.as_secs_f64().max(1e-9);
                    most = given.min(done + more as usize).max(done);
                }
                progress.say(&estimate(step, most));
            }
            finished = match pace {
                Pace::Until { end, .. } => {
                    let all = end.saturating_duration_since(begin).mul_f64(1.0 - RESERVE);
                    let time = begin.elapsed().as_secs_f64() / all.as_secs_f64().max(1e-9);
                    time.max(done as f64 / most as f64)
                }
                Pace::Steps(_) => done as f64 / most as f64,
            };
            if finished - looked >= 1.0 / self.looks(most) || finished >= 1.0 {
                looked = finished;
                let score = self.held_out()?;
                guard.see(score, &self.parameters);
                curve.push(Moment {
                    step: done,
                    loss: std::mem::take(&mut since).mean(),
                    held_out: score.mean_output(),
                    agreement: agreement(&score),
                });
            }
        }
        progress.finish();
        Ok(Outcome { guard, curve, steps: done, seconds: begin.elapsed().as_secs_f64() })
    }

    /// Looks at samples held out in so many steps.
    fn looks(&self, steps: usize) -> f64 {
        let held_out = self.lessons.held_out.len().clamp(1, MOST_HELD_OUT) as f64;
        let work = steps as f64 * self.batch as f64 * WALKS;
        (LOOKING * work / held_out).clamp(LOOKS.0, LOOKS.1)
    }

    /// The gradient of the next batch; gives its losses.
    fn gradient(&mut self) -> Result<Score> {
        let samples = self.order.next(self.batch);
        let chunks: Vec<&[usize]> = samples.chunks(self.student.size).collect();
        let (student, seen) = (self.student, self.student.seen(&self.parameters));
        self.gradients.iter_mut().for_each(|gradient| gradient.fill(0.0));
        let mut total = Score::default();
        for wave in chunks.chunks(self.places.len()) {
            let (lessons, objective) = (self.lessons, self.objective);
            let (parameters, batch, variation) = (&*seen, self.batch, self.variation);
            let first = self.number;
            self.number += wave.len() as u64;
            let places = &mut self.places[..wave.len()];
            places.par_iter_mut().zip(wave).enumerate().try_for_each(|(i, (place, chunk))| {
                place.fill(student, lessons, chunk)?;
                if let Some((variation, room)) = variation.zip(place.room.as_mut()) {
                    let at = (student, objective);
                    let state = (&mut place.work, parameters);
                    variation.apply(first + i as u64, at, state, &mut place.inputs, room);
                }
                let fresh = place.room.as_ref().map(|room| &room.fresh[..]);
                let aims = Aims { samples: chunk, fresh };
                let inputs: Vec<&[f32]> = place.inputs.iter().map(Vec::as_slice).collect();
                let given = Given { parameters, inputs: &inputs };
                student.program().forward(&mut place.work, given);
                let mut score = Score { samples: chunk.len(), ..Score::default() };
                student.program().backward(&mut place.work, given, |at, values, gradient| {
                    score.add(objective.losses(at, aims, values, gradient, batch));
                });
                place.score = score;
                Ok::<(), Error>(())
            })?;
            // In the order of the micro-batches, whoever computed them.
            for place in &self.places[..wave.len()] {
                total.add(place.score);
                for (sum, more) in self.gradients.iter_mut().zip(&place.work.gradients) {
                    sum.iter_mut().zip(more).for_each(|(sum, &more)| *sum += more);
                }
            }
        }
        Ok(total)
    }

    /// The losses of the samples held out.
    fn held_out(&mut self) -> Result<Score> {
        let samples = &self.lessons.held_out;
        let samples = &samples[..samples.len().min(MOST_HELD_OUT)];
        let size = self.student.size;
        let chunks: Vec<Vec<usize>> = samples.chunks(size).map(<[usize]>::to_vec).collect();
        let mut total = Score::default();
        let (student, seen) = (self.student, self.student.seen(&self.parameters));
        for wave in chunks.chunks(self.places.len()) {
            let (lessons, objective) = (self.lessons, self.objective);
            let parameters = &*seen;
            let places = &mut self.places[..wave.len()];
            places.par_iter_mut().zip(wave).try_for_each(|(place, chunk)| {
                let mut full = chunk.clone();
                full.resize(size, chunk[0]);
                place.fill(student, lessons, &full)?;
                let inputs: Vec<&[f32]> = place.inputs.iter().map(Vec::as_slice).collect();
                let given = Given { parameters, inputs: &inputs };
                student.program().forward(&mut place.work, given);
                let mut score = Score { samples: chunk.len(), ..Score::default() };
                let mut ignored = Vec::new();
                let values = student.lowered.wanted.iter().filter(|wanted| wanted.is_ok()).count();
                for at in 0..values {
                    let values = student.program().wanted(&place.work, given, at);
                    ignored.clear();
                    ignored.resize(values.len(), 0.0);
                    let aims = Aims { samples: chunk, fresh: None };
                    score.add(objective.losses(at, aims, values, &mut ignored, 1));
                }
                place.score = score;
                Ok::<(), Error>(())
            })?;
            self.places[..wave.len()].iter().for_each(|place| total.add(place.score));
        }
        Ok(total)
    }
}

impl Place {
    /// Puts the inputs of samples together.
    fn fill(&mut self, student: &Student<'_>, lessons: &Lessons, samples: &[usize]) -> Result<()> {
        let names = student.lowered.inputs.iter().zip(&mut self.inputs);
        names.into_iter().try_for_each(|(name, numbers)| lessons.gather(name, samples, numbers))
    }
}

/// How long it will take.
fn estimate(step: Duration, steps: usize) -> String {
    let seconds = step.as_secs_f64() * steps as f64;
    format!("{steps} steps of {:.0} ms: about {seconds:.0} s", step.as_secs_f64() * 1000.0)
}

/// Samples in an order that looks like none, all of them once before any comes again.
struct Order {
    samples: Vec<usize>,
    next: usize,
    random: Random,
}

impl Order {
    fn new(samples: Vec<usize>, seed: u64) -> Self {
        let next = samples.len();
        Self { samples, next, random: Random::new(seed) }
    }

    fn next(&mut self, count: usize) -> Vec<usize> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            if self.next == self.samples.len() {
                for i in (1..self.samples.len()).rev() {
                    let other = (self.random.next() % (i as u64 + 1)) as usize;
                    self.samples.swap(i, other);
                }
                self.next = 0;
            }
            taken.push(self.samples[self.next]);
            self.next += 1;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn every_sample_comes_once_before_any_comes_again() {
        let mut order = Order::new((0..10).collect(), 3);
        let mut first = order.next(10);
        let again = Order::new((0..10).collect(), 3).next(10);
        assert_eq!(first, again);
        first.sort_unstable();
        assert_eq!(first, (0..10).collect::<Vec<_>>());
        assert_ne!(order.next(10), again);
    }
}
