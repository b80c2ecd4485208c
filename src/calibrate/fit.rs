//! Ranges by a calibrator. What was measured is remembered: trials with models that differ in what is
//! quantized, but not in what their float values are, ask for the same again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::analysis::{Asked, Contraction, Measure, Range, VectorMoments, Vectors};
use crate::calibrate::choose::choose;
use crate::calibrate::collect::{Values, Wanted};
use crate::calibrate::magnitudes::Channels;
use crate::calibrate::{
    Calibration, Calibrator, Choice, Method, Shard, Statistics, ValueStatistics,
};
use crate::error::{Error, ErrorKind, Result, err};
use crate::ir::{Model, ValueId};

/// Where statistics come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// The model is run.
    Samples(&'a Calibration<'a>),
    /// It was run before.
    Statistics(&'a Statistics),
}

/// Ranges that a calibrator fits to statistics. Values are known by their paths and measured once.
pub struct Fit<'a> {
    source: Source<'a>,
    method: Method,
    /// That of grids with more than [`COARSE`] levels.
    finer: Method,
    /// Elements are counted.
    counts: bool,
    /// The means of what layers read are measured along with ranges.
    means: bool,
    measured: Arc<Measured>,
    chosen: Mutex<Chosen>,
}

/// What was seen, whatever the calibrator.
#[derive(Default)]
struct Measured {
    values: Mutex<HashMap<String, Option<Arc<ValueStatistics>>>>,
    /// Of each value, by path, for all ways in which it is read.
    means: Mutex<HashMap<String, Vec<Means>>>,
    /// By path and axis.
    magnitudes: Mutex<HashMap<(String, usize), Channels>>,
    /// Why nothing could be measured at all, when that is so.
    obstacle: Mutex<Option<Error>>,
}

/// Vectors, and their moments.
type Means = (Vectors, Option<VectorMoments>);

impl Measured {
    /// What was measured; `nothing` where the engine runs no part of the model: then that is remembered.
    fn or_nothing<T>(&self, found: Result<T>, nothing: impl FnOnce() -> T) -> Result<T> {
        match found {
            Err(error) if error.kind == ErrorKind::Engine => {
                lock(&self.obstacle).get_or_insert(error);
                Ok(nothing())
            }
            found => found,
        }
    }

    /// The means of these vectors of a model, or that there are none, when they were measured.
    fn mean(&self, model: &Model, vectors: &Vectors) -> Option<Option<VectorMoments>> {
        let known = lock(&self.means);
        let mut known = known.get(&model.path_of(vectors.value))?.iter();
        known.find(|(known, _)| known == vectors).map(|(_, moments)| moments.clone())
    }

    fn add_means(&self, model: &Model, of: Vec<Vectors>, means: Vec<Option<VectorMoments>>) {
        let mut known = lock(&self.means);
        for (vectors, found) in of.into_iter().zip(means) {
            known.entry(model.path_of(vectors.value)).or_default().push((vectors, found));
        }
    }
}

/// Calibrators that were seen to be better for some model than the best one for each value.
const FOR_ALL: [Calibrator; 4] =
    [Calibrator::Minmax, Calibrator::Percentile, Calibrator::Entropy, Calibrator::Mse];

/// Levels of a grid of 8 bits. A calibrator for all values is better than the best one for each where some of
/// the elements are worth more than others; with many levels none of them needs to be cut off.
const COARSE: u32 = 1 << 8;

/// What identifies a question: the path of the value, the levels of its grid, whether it is symmetric.
type Question = (String, u32, bool);

/// What was answered.
#[derive(Default)]
struct Chosen {
    answers: HashMap<Question, Option<Choice>>,
    /// The names of values, in the order in which they were asked for first, ...
    names: Vec<String>,
    /// ... and what was asked of each last: for another width another range is chosen.
    last: HashMap<String, Question>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Fit<'a> {
    /// Ranges from a source by a method.
    pub fn new(source: Source<'a>, method: Method) -> Self {
        let (measured, chosen) = (Arc::default(), Mutex::default());
        let (counts, means) = (method.counts(), false);
        Self { source, method, finer: method, counts, means, measured, chosen }
    }

    /// Measures the means of what layers read whenever ranges are measured: somebody will ask for them, as
    /// [`CorrectBias`](crate::passes::CorrectBias) does, and the samples are run once instead of twice.
    pub fn with_means(self) -> Self {
        Self { means: true, ..self }
    }

    /// Ranges by another calibrator for grids of up to 8 bits, from the same measurements. Without counts,
    /// calibrators that need them fall back on the ends.
    fn by(&self, calibrator: Calibrator) -> Self {
        Self {
            source: self.source,
            method: Method { calibrator, ..self.method },
            finer: self.finer,
            counts: self.counts,
            means: self.means,
            measured: self.measured.clone(),
            chosen: Mutex::default(),
        }
    }

    /// The same by each single calibrator that may be better for a model as a whole; none when a
    /// calibrator was asked for.
    pub fn others(&self) -> Vec<Self> {
        match self.method.calibrator {
            Calibrator::Auto => FOR_ALL.iter().map(|&calibrator| self.by(calibrator)).collect(),
            _ => Vec::new(),
        }
    }

    /// The calibrator.
    pub fn calibrator(&self) -> Calibrator {
        self.method.calibrator
    }

    /// Why nothing could be measured, when the engine runs no part of the model that makes what was asked for.
    pub fn obstacle(&self) -> Option<Error> {
        lock(&self.measured.obstacle).clone()
    }

    /// What was chosen, in the order in which values were asked for; of each the last one.
    pub fn choices(&self) -> Vec<Choice> {
        let chosen = lock(&self.chosen);
        let choice = |name: &String| chosen.answers.get(chosen.last.get(name)?)?.clone();
        chosen.names.iter().filter_map(choice).collect()
    }

    /// Measures what was not measured before.
    fn measure(&self, model: &Model, asked: &[Asked]) -> Result<()> {
        let Source::Samples(calibration) = self.source else { return Ok(()) };
        let name = |asked: &Asked| model.path_of(asked.value);
        let known = lock(&self.measured.values);
        let new: Vec<Asked> =
            asked.iter().filter(|asked| !known.contains_key(&name(asked))).copied().collect();
        // Not held while measuring, which other threads help with.
        drop(known);
        if !new.is_empty() {
            let vectors = if self.means { self.unknown_means(model) } else { Vec::new() };
            let wanted = Wanted { ranges: &new, spread: self.counts, vectors: &vectors };
            let found = calibration.values(model, &wanted, Shard::default());
            let nothing = || Values::nothing(&wanted);
            let found = self.measured.or_nothing(found, nothing)?;
            let values = found.ranges.into_iter().map(|value| value.map(Arc::new));
            lock(&self.measured.values).extend(new.iter().map(name).zip(values));
            // Otherwise they are measured when somebody asks, and parted in another way.
            if found.samples.is_parted() {
                self.measured.add_means(model, vectors, found.moments);
            }
        }
        Ok(())
    }

    /// The vectors that layers of a model read, of which no means are known.
    fn unknown_means(&self, model: &Model) -> Vec<Vectors> {
        let vectors = Contraction::all(model).map(|(_, layer)| layer.vectors(false));
        let mut unknown: BTreeMap<ValueId, Vec<Vectors>> = BTreeMap::new();
        for vectors in vectors {
            let found = unknown.entry(vectors.value).or_default();
            if !found.contains(&vectors) && self.measured.mean(model, &vectors).is_none() {
                found.push(vectors);
            }
        }
        unknown.into_values().flatten().collect()
    }

    /// Chooses the range of a value; `None` when it could not be observed.
    fn choose(&self, model: &Model, asked: &Asked) -> Result<Option<Choice>> {
        let name = &model.path_of(asked.value);
        let method = if asked.levels > COARSE { self.finer } else { self.method };
        let found = match self.source {
            Source::Samples(_) => {
                let measured = lock(&self.measured.values).get(name).cloned();
                measured.flatten().map(|value| choose(name, &value, asked, method))
            }
            // Statistics are as old as they may be, and bodies were not always looked into.
            Source::Statistics(statistics)
                if model.value(asked.value).graph() != model.main()
                    && !statistics.values.contains_key(name) =>
            {
                None
            }
            Source::Statistics(statistics) => {
                let value = statistics.values.get(name).ok_or_else(|| {
                    err!(Data, "the statistics do not hold value `{name}`")
                        .help("collect them again with `onnxpress calibrate` and the same options")
                })?;
                value.as_ref().map(|value| choose(name, value, asked, method))
            }
        };
        Ok(found)
    }
}

impl Measure for Fit<'_> {
    /// The ranges that the calibrator chooses; bit-identical for any order of the samples (in whole
    /// batches) and any number of threads, and the same from samples as from their statistics.
    fn ranges(&self, model: &Model, asked: &[Asked]) -> Result<Vec<Option<Range>>> {
        let question = |asked: &Asked| -> Question {
            (model.path_of(asked.value), asked.levels, asked.symmetric)
        };
        let known = lock(&self.chosen);
        let new: Vec<Asked> = asked
            .iter()
            .filter(|asked| !known.answers.contains_key(&question(asked)))
            .copied()
            .collect();
        drop(known);
        self.measure(model, &new)?;
        let choices =
            new.par_iter().map(|asked| self.choose(model, asked)).collect::<Result<Vec<_>>>()?;
        let mut known = lock(&self.chosen);
        for (asked, choice) in new.iter().zip(choices) {
            known.answers.insert(question(asked), choice);
        }
        let answer = |asked: &Asked| {
            let question = question(asked);
            let name = question.0.clone();
            if known.last.insert(name.clone(), question.clone()).is_none() {
                known.names.push(name);
            }
            known.answers.get(&question).and_then(|choice| Some(choice.as_ref()?.range))
        };
        Ok(asked.iter().map(answer).collect())
    }

    /// Remembered. Statistics hold none.
    fn magnitudes(
        &self,
        model: &Model,
        asked: &[(ValueId, usize)],
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let Source::Samples(calibration) = self.source else {
            return Ok(vec![None; asked.len()]);
        };
        let known = &self.measured.magnitudes;
        let name = |&(value, axis): &(ValueId, usize)| (model.path_of(value), axis);
        let is_new = |asked: &&(ValueId, usize)| !lock(known).contains_key(&name(asked));
        let new: Vec<_> = asked.iter().filter(is_new).copied().collect();
        if !new.is_empty() {
            let measured = calibration.magnitudes(model, &new);
            let measured = self.measured.or_nothing(measured, || vec![None; new.len()])?;
            lock(known).extend(new.iter().map(name).zip(measured));
        }
        let known = lock(known);
        Ok(asked.iter().map(|asked| known.get(&name(asked)).cloned().flatten()).collect())
    }

    /// Means are remembered; products are large, and who asks for them remembers what follows. Statistics
    /// hold neither.
    fn moments(&self, model: &Model, asked: &[Vectors]) -> Result<Vec<Option<VectorMoments>>> {
        let Source::Samples(calibration) = self.source else {
            return Ok(vec![None; asked.len()]);
        };
        if asked.iter().any(|vectors| vectors.products) {
            let found = calibration.moments(model, asked);
            return self.measured.or_nothing(found, || vec![None; asked.len()]);
        }
        let known = |vectors: &Vectors| self.measured.mean(model, vectors);
        let new: Vec<Vectors> =
            asked.iter().filter(|vectors| known(vectors).is_none()).cloned().collect();
        if !new.is_empty() {
            let measured = calibration.moments(model, &new);
            let measured = self.measured.or_nothing(measured, || vec![None; new.len()])?;
            self.measured.add_means(model, new, measured);
        }
        Ok(asked.iter().map(|vectors| known(vectors).flatten()).collect())
    }
}
