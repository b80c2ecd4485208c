//! The report of `compare`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::data::{Fed, FedInput};
use crate::report::drifts::SAMPLES;
use crate::report::text::{bytes, decibel, finite, finite_decibel, grouped, percent};
use crate::report::{Latency, LayersReport, ProfileReport, SampleReport};
use crate::validate::{Comparison, Divergence, OutputDrift, WeakSlice};

/// Two models side by side. The field names are the contract of `compare --json`.
#[derive(Debug, Clone, Serialize)]
pub struct ComparisonReport {
    /// Samples compared; 0 when the models were not run.
    pub samples: usize,
    /// The samples are seeded noise, which says nothing about real inputs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub random: bool,
    /// What each input was fed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputReport>,
    /// What about the samples cannot be meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the samples are to the result: `test`, `held_out` and `folds` say that nothing was fitted to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<Source>,
    /// Drift of each output.
    pub outputs: Vec<OutputReport>,
    /// `top1`, `top5`, …: accuracy and agreement; empty without labels.
    pub accuracy: BTreeMap<String, Top>,
    /// File sizes.
    pub size_bytes: Pair<u64>,
    /// Numbers of weights.
    pub parameters: Pair<u64>,
    /// Multiply-accumulates for batch 1, of the layers whose shapes are known.
    pub macs: Pair<u64>,
    /// The dims of inputs at which these were counted, where the model leaves them open.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub macs_at: BTreeMap<String, Vec<usize>>,
    /// How many layers are not counted, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macs_uncounted: Option<String>,
    /// Median time of one run in the engine; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// Which operators take the time, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileReport>,
    /// The samples that differ most, when they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub worst: Vec<SampleReport>,
    /// The values inside both models, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<LayersReport>,
    /// Why the models were not run, when they were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_validated: Option<String>,
    /// What was asked for and missed, in words: bounds, budgets, and that nothing was done.
    pub missed: Vec<String>,
    /// True when nothing was missed.
    pub passed: bool,
    /// Show all that is known of each output in the text view.
    #[serde(skip)]
    pub verbose: bool,
}

/// What samples are to a result that is judged on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Others than it was made with.
    Test,
    /// Some that were kept aside.
    HeldOut,
    /// Models that were made in the same way, each without the samples that it is judged on.
    Folds,
    /// Ranges were made from them.
    Calibration,
    /// It was fitted to them.
    Fitted,
}

impl Source {
    /// What a reader must know of them.
    fn in_words(self) -> Option<&'static str> {
        match self {
            Self::Test | Self::Calibration => None,
            Self::HeldOut => Some("of samples that were kept aside: nothing was fitted to them"),
            Self::Folds => Some(
                "of models made in the same way, each without the samples that it is judged on",
            ),
            Self::Fitted => {
                Some("OF SAMPLES THAT THE RESULT WAS FITTED TO: others will be further off")
            }
        }
    }
}

/// What one input was fed, after scaling.
#[derive(Debug, Clone, Serialize)]
pub struct InputReport {
    /// Its name.
    pub name: String,
    /// The array that fed it, when that has another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The smallest element.
    pub min: Option<f64>,
    /// The largest element.
    pub max: Option<f64>,
    /// The mean of the elements.
    pub mean: Option<f64>,
}

impl From<&FedInput> for InputReport {
    fn from(input: &FedInput) -> Self {
        let FedInput { name, from, min, max, mean, .. } = input;
        let [min, max, mean] = [*min, *max, *mean].map(finite);
        Self { name: name.clone(), from: from.clone(), min, max, mean }
    }
}

impl fmt::Display for InputReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |x: Option<f64>| x.map_or("?".to_owned(), short);
        let from = self.from.as_ref().map_or(String::new(), |from| format!(" from array `{from}`"));
        write!(
            f,
            "`{}`{from}: {} to {}, mean {}",
            self.name,
            number(self.min),
            number(self.max),
            number(self.mean)
        )
    }
}

/// A number in a few digits.
fn short(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_owned(),
        size if (1e-3..1e6).contains(&size) => {
            let text = format!("{x:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{x:.2e}"),
    }
}

/// Drift of one output.
#[derive(Debug, Clone, Serialize)]
pub struct OutputReport {
    /// Name.
    pub name: String,
    /// Signal-to-noise ratio in decibel; 300 stands for equal outputs, -300 for NaN, or for dims that are unlike in
    /// all runs. It says nothing of indices.
    pub sqnr_db: f64,
    /// Share of elements that are equal, when the output is made of indices: classes, places, boxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// Cosine similarity.
    pub cosine: f64,
    /// Largest absolute difference; `null` when one side is not finite.
    pub max_abs: Option<f64>,
    /// Mean absolute difference.
    pub mean_abs: f64,
    /// Mean difference, candidate less original: a bias.
    pub mean_error: f64,
    /// Elements that are NaN.
    pub nan: Pair<u64>,
    /// Elements that are infinite.
    pub infinite: Pair<u64>,
    /// How far the classes are apart, for outputs with class scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassesReport>,
    /// Parts that keep less than 10 dB while the whole keeps more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceReport>,
    /// Runs in which the dims, which depend on the data, are unlike: nothing was compared there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlike_dims: Option<UnlikeReport>,
}

/// Runs in which two models give an output of unlike dims.
#[derive(Debug, Clone, Serialize)]
pub struct UnlikeReport {
    /// So many.
    pub runs: usize,
    /// There are others, in which the output was compared.
    pub others: bool,
    /// The dims in the first of them: of the original.
    pub original: Vec<usize>,
    /// Of the candidate.
    pub candidate: Vec<usize>,
}

impl fmt::Display for UnlikeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, others, original, candidate } = self;
        let runs = match (others, runs) {
            (false, _) => "all runs".to_owned(),
            (true, 1) => "1 run".to_owned(),
            (true, runs) => format!("{runs} runs"),
        };
        write!(
            f,
            "dims depend on the data and are unlike in {runs}, as {original:?} in the original and \
                   {candidate:?} in the candidate: not compared there"
        )
    }
}

/// A part of an output of which little is left.
#[derive(Debug, Clone, Serialize)]
pub struct SliceReport {
    /// The axis along which it is a part, from 0.
    pub axis: usize,
    /// Its first index there.
    pub first: usize,
    /// Its last index there.
    pub last: usize,
    /// The value that a Concat of the original puts there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Signal-to-noise ratio in decibel.
    pub sqnr_db: f64,
}

impl SliceReport {
    fn all(output: &OutputDrift) -> Vec<Self> {
        let report = |WeakSlice { axis, first, last, of, sqnr_db }| Self {
            axis,
            first,
            last,
            of,
            sqnr_db: finite_decibel(sqnr_db),
        };
        output.lost().into_iter().map(report).collect()
    }
}

impl fmt::Display for SliceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { axis, first, last, of, sqnr_db } = self;
        match last - first {
            0 => write!(f, "index {first}")?,
            _ => write!(f, "indices {first} to {last}")?,
        }
        write!(f, " of axis {axis}")?;
        if let Some(of) = of {
            write!(f, " (`{of}`)")?;
        }
        write!(f, ": {}", decibel(*sqnr_db))
    }
}

/// Outputs that keep less, in decibel, are warned of: the error is a third of the signal.
pub const POOR_DB: f64 = 10.0;
/// Parts that the text view names of an output.
const NAMED: usize = 4;

/// How far apart the classes are that two models believe in.
#[derive(Debug, Clone, Serialize)]
pub struct ClassesReport {
    /// Rows of scores that were compared.
    pub rows: u64,
    /// Mean Kullback-Leibler divergence of the candidate from the original, in nats.
    pub kl_mean: f64,
    /// The largest of a row, in nats.
    pub kl_max: f64,
    /// Share of the rows in which both put the same class first.
    pub agreement: f64,
}

impl From<&Divergence> for ClassesReport {
    fn from(divergence: &Divergence) -> Self {
        Self {
            rows: divergence.rows(),
            kl_mean: divergence.mean(),
            kl_max: divergence.largest(),
            agreement: divergence.agreement(),
        }
    }
}

impl From<&OutputDrift> for OutputReport {
    fn from(output: &OutputDrift) -> Self {
        let distance = &output.distance;
        let pair = |[original, candidate]: [u64; 2]| Pair { original, candidate };
        let unknown = output.is_unknown();
        let unlike = output.unlike.as_ref().map(|unlike| UnlikeReport {
            runs: unlike.runs,
            others: !unknown,
            original: unlike.first[0].clone(),
            candidate: unlike.first[1].clone(),
        });
        let ratio = if unknown { f64::NEG_INFINITY } else { distance.sqnr_db() };
        Self {
            name: output.name.clone(),
            sqnr_db: finite_decibel(ratio),
            agreement: output.is_indices.then(|| if unknown { 0.0 } else { distance.agreement() }),
            cosine: distance.cosine(),
            max_abs: finite(distance.max_abs()),
            mean_abs: distance.mean_abs(),
            mean_error: distance.mean(),
            nan: pair(distance.nan()),
            infinite: pair(distance.infinite()),
            classes: output.divergence.as_ref().map(ClassesReport::from),
            slices: SliceReport::all(output),
            unlike_dims: unlike,
        }
    }
}

impl OutputReport {
    /// Whether it has numbers that were compared.
    pub fn is_measured(&self) -> bool {
        self.agreement.is_none() && self.unlike_dims.as_ref().is_none_or(|unlike| unlike.others)
    }
}

/// Shares of the samples.
#[derive(Debug, Clone, Serialize)]
pub struct Top {
    /// Accuracy of the original.
    pub original: f64,
    /// Accuracy of the candidate.
    pub candidate: f64,
    /// Share of samples on which both choose the same: the same set of `k` classes.
    pub agreement: f64,
    /// The original is hardly more often right than chance is: it is not fed what it was trained on, or the
    /// labels are others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_chance: bool,
}

/// A figure of both models.
#[derive(Debug, Clone, Serialize)]
pub struct Pair<T> {
    /// Of the original.
    pub original: T,
    /// Of the candidate.
    pub candidate: T,
}

impl ComparisonReport {
    /// Fills in what the samples feed.
    pub fn fed(&mut self, fed: &Fed) {
        self.inputs = fed.inputs.iter().map(InputReport::from).collect();
        self.warnings.clone_from(&fed.warnings);
    }

    /// Writes the warnings, which belong in front of everything else.
    pub(super) fn warn(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }

    /// Fills in what execution measured.
    pub fn measured(&mut self, comparison: &Comparison) {
        self.samples = comparison.samples;
        self.outputs = comparison.outputs.iter().map(OutputReport::from).collect();
        for (k, counts) in &comparison.accuracy {
            let score = counts.score();
            let top = Top {
                original: score.original,
                candidate: score.candidate,
                agreement: score.agreement,
                at_chance: score.at_chance,
            };
            self.accuracy.insert(format!("top{k}"), top);
        }
        self.note_chance();
    }

    /// Warns of an original at chance level.
    pub fn note_chance(&mut self) {
        for (name, top) in self.accuracy.iter().filter(|(_, top)| top.at_chance) {
            let found = percent(top.original);
            self.warnings.push(format!(
                "the original is right in {found} of the samples ({name}): hardly more than chance; \
                 check --scale, --mean, --channels and the labels"
            ));
        }
    }

    /// Says what the samples are to the result.
    pub fn source(&mut self, source: Source) {
        if self.not_validated.is_none() {
            self.figures = Some(source);
        }
    }

    /// Records what was asked for and missed.
    pub fn miss(&mut self, missed: impl IntoIterator<Item = String>) {
        self.missed.extend(missed);
        self.passed = self.missed.is_empty();
    }
}

/// The ratio of two sizes as a percentage.
pub(super) fn share(original: u64, candidate: u64) -> String {
    if original == 0 { "-".into() } else { percent(candidate as f64 / original as f64) }
}

impl fmt::Display for ComparisonReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row =
            |f: &mut fmt::Formatter<'_>, what: &str, pair: &Pair<u64>, unit: fn(u64) -> String| {
                let ratio = share(pair.original, pair.candidate);
                writeln!(
                    f,
                    "{what:<12}{} -> {} ({ratio})",
                    grouped(pair.original),
                    unit(pair.candidate)
                )
            };
        if self.verbose {
            self.warn(f)?;
        }
        row(f, "size", &self.size_bytes, bytes)?;
        row(f, "parameters", &self.parameters, grouped)?;
        row(f, "MACs", &self.macs, grouped)?;
        for (name, dims) in &self.macs_at {
            writeln!(f, "counted at  `{name}` {dims:?}")?;
        }
        if let Some(why) = &self.macs_uncounted {
            writeln!(f, "            {why}")?;
        }
        match &self.not_validated {
            Some(reason) => writeln!(f, "NOT VALIDATED BY EXECUTION: {reason}")?,
            None => self.write_measured(f)?,
        }
        for missed in &self.missed {
            writeln!(f, "MISSED      {missed}")?;
        }
        Ok(())
    }
}

impl ComparisonReport {
    /// What execution measured.
    fn write_measured(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "samples     {}", grouped(self.samples as u64))?;
        if let Some(text) = self.figures.and_then(Source::in_words) {
            writeln!(f, "figures     {text}")?;
        }
        for input in &self.inputs {
            writeln!(f, "input       {input}")?;
        }
        for (name, top) in &self.accuracy {
            writeln!(
                f,
                "{name:<12}{} -> {}, agreement {}",
                percent(top.original),
                percent(top.candidate),
                percent(top.agreement)
            )?;
        }
        for output in &self.outputs {
            output.write(f, self.verbose)?;
        }
        if !self.worst.is_empty() {
            writeln!(f, "{SAMPLES}")?;
        }
        for sample in &self.worst {
            writeln!(f, "{sample}")?;
        }
        if let Some(layers) = &self.layers {
            write!(f, "{layers}")?;
        }
        if let Some(latency) = &self.latency_ms {
            write!(f, "{latency}")?;
        }
        if let Some(profile) = &self.profile {
            write!(f, "{profile}")?;
        }
        Ok(())
    }
}

impl OutputReport {
    /// One line, and with `verbose` all that is known.
    fn write(&self, f: &mut fmt::Formatter<'_>, verbose: bool) -> fmt::Result {
        let name = &self.name;
        if let Some(unlike) =
            self.unlike_dims.as_ref().filter(|_| !self.is_measured() && self.agreement.is_none())
        {
            return writeln!(f, "output      `{name}`: {unlike}");
        }
        if let Some(agreement) = self.agreement {
            let share = percent(agreement);
            return writeln!(f, "output      `{name}`: indices, {share} of them equal");
        }
        let largest = self.max_abs.map_or("not finite".into(), |x| format!("{x:.4}"));
        writeln!(
            f,
            "output      `{name}`: SQNR {}, cosine {:.5}, largest error {largest}, mean error {:.5}",
            decibel(self.sqnr_db),
            self.cosine,
            self.mean_abs
        )?;
        for (what, count) in [("NaN", &self.nan), ("infinite", &self.infinite)] {
            if count.original > 0 || count.candidate > 0 {
                let (a, b) = (grouped(count.original), grouped(count.candidate));
                writeln!(f, "  {what:<10}{a} elements -> {b}")?;
            }
        }
        if let Some(unlike) = &self.unlike_dims {
            writeln!(f, "  UNLIKE    {unlike}")?;
        }
        for slice in self.slices.iter().take(if verbose { usize::MAX } else { NAMED }) {
            writeln!(f, "  LOST      {slice}")?;
        }
        if !verbose {
            return Ok(());
        }
        writeln!(f, "  bias      {:.2e}", self.mean_error)?;
        if let Some(ClassesReport { rows, kl_mean, kl_max, agreement }) = &self.classes {
            let agreement = percent(*agreement);
            writeln!(f, "  classes   KL divergence {kl_mean:.2e} nats, at most {kl_max:.2e}")?;
            writeln!(f, "            the same first in {agreement} of {rows}")?;
        }
        Ok(())
    }
}
