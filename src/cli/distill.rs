//! `distill`.

use std::path::PathBuf;

use clap::Args;
use onnxpress::Result;
use onnxpress::distill::{Augment, Loss, Options};
use onnxpress::verbs::{Data, DistillOptions, Host};

use super::compare::{BoundArgs, warn_random};
use super::{EXIT_STATUS, Ended, Talk, Work, engine, io, page, progress};

/// Arguments of `distill`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress distill small.onnx --teacher model.onnx --data samples.npz -o small.tuned.onnx
  onnxpress distill small.onnx --teacher model.onnx --data samples.npz --labels y --minutes 5 -o a.onnx
  onnxpress distill small.onnx --teacher model.onnx --data samples.npz --loss kl,feature=0.5 --steps 300 -o a.onnx
  onnxpress distill small.onnx --teacher model.onnx --data samples.npz --freeze '/backbone/*' -o a.onnx

{EXIT_STATUS}; or nothing better than STUDENT was found, and it was written as it was"))]
pub struct Distill {
    /// Model to train: a compressed version of the teacher, or any other model of the same task.
    student: PathBuf,
    /// Model to learn from.
    #[arg(long, value_name = "MODEL")]
    teacher: PathBuf,
    #[command(flatten)]
    output: io::Output,
    #[command(flatten)]
    page: page::ReportFile,
    /// Samples: x.npz, x.npy, a folder of images, ONNX test data, or random:N. A fifth of them is held out.
    #[arg(long, value_name = "DATA")]
    data: PathBuf,
    /// Array of the samples with the class of each; it is no input. Without it the teacher alone says what
    /// is right.
    #[arg(long, value_name = "NAME")]
    labels: Option<String>,
    /// What is minimized, each with a weight: kl (distributions of classes at a temperature), ce (labels),
    /// mse (outputs, relative to those of the teacher), feature (values inside that both models have),
    /// attention (where these are large, whatever their channels), relation (how alike samples are in them),
    /// gradient (how outputs change when samples change a little). By default feature, and kl where the output gives classes, else mse; with labels ce=0.1 as well.
    #[arg(long, value_name = "NAME[=WEIGHT],…", value_delimiter = ',')]
    loss: Vec<Loss>,
    /// Minutes that all may take.
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Steps; by default as many as take some minutes, which depends on the student alone.
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    steps: Option<usize>,
    /// Rate of the steps, for weights of usual size; by default 0.001.
    #[arg(long, value_name = "R")]
    learning_rate: Option<f64>,
    /// Samples of a step.
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch: usize,
    /// Temperature of kl.
    #[arg(long, value_name = "T", default_value_t = 4.0)]
    temperature: f64,
    /// Change images before both models see them: flip (left to right), shift (by up to an eighth), mixup (sums of two).
    #[arg(long, value_name = "flip,shift,mixup", value_delimiter = ',')]
    augment: Vec<Augment>,
    /// Move every other sample, each of its numbers by EPS, to where the student is worse.
    #[arg(long, value_name = "EPS")]
    adversarial: Option<f64>,
    /// A value of the student that should be like one of the teacher; instead of those that are found by name.
    #[arg(long = "match", value_name = "STUDENT=TEACHER", value_parser = pair)]
    matches: Vec<(String, String)>,
    /// Train only nodes whose names fit the pattern; `*` stands for any text. A node without a name goes by
    /// its first output.
    #[arg(long, value_name = "NODE-PATTERN")]
    train: Vec<String>,
    /// Leave nodes as they are whose names fit the pattern.
    #[arg(long, value_name = "NODE-PATTERN")]
    freeze: Vec<String>,
    #[command(flatten)]
    bounds: BoundArgs,
    /// Show the run, and each constant.
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    preprocessing: io::Preprocessing,
    #[command(flatten)]
    engine: engine::EngineArgs,
    #[command(flatten)]
    work: Work,
    #[command(flatten)]
    talk: Talk,
}

/// `A=B`.
fn pair(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(a, b)| !a.is_empty() && !b.is_empty());
    let (ours, theirs) = parts.ok_or_else(|| format!("`{text}`; expected STUDENT=TEACHER"))?;
    Ok((ours.to_owned(), theirs.to_owned()))
}

impl Distill {
    pub fn run(self) -> Result<Ended> {
        self.work.start()?;
        self.output.check(&self.student, self.talk.json)?;
        self.output.check(&self.teacher, self.talk.json)?;
        let files = [&*self.student, &*self.teacher, &*self.output.output];
        self.page.check(&files, self.output.overwrite())?;
        let student = io::load(&self.student, &self.talk.words)?;
        let teacher = io::load(&self.teacher, &self.talk.words)?;
        let labels = self.labels.as_deref();
        let samples = self.preprocessing.open(&self.data, labels, &student)?;
        io::say_fed([&samples], &self.talk.words)?;
        let engine = self.engine.start(teacher.byte_size, Some(&samples))?;
        let progress = progress::Bar::new(self.talk.words.quiet);
        let data = Data {
            samples: Some(&samples),
            seed: self.preprocessing.seed,
            host: Host {
                engine: &engine,
                progress: &progress,
                encode: &|model, external| self.output.encode(model, external),
                ..Host::default()
            },
            ..Data::default()
        };
        let mut outcome = onnxpress::distill(&student, &teacher, &self.options(), &data)?;
        let report = &mut outcome.report;
        (report.input, report.output) = self.output.named(&self.student);
        report.teacher = self.teacher.display().to_string();
        report.verbose = self.verbose;
        io::deliver(&self.output, &self.page, &self.talk, ("distill", &outcome), || {
            warn_random(Some(&self.data));
        })
    }

    fn options(&self) -> DistillOptions {
        let learning = Options {
            losses: self.loss.clone(),
            steps: self.steps,
            minutes: self.minutes,
            rate: self.learning_rate,
            batch: self.batch,
            temperature: self.temperature,
            augment: self.augment.clone(),
            adversarial: self.adversarial,
            matches: self.matches.clone(),
            train: self.train.clone(),
            freeze: self.freeze.clone(),
            seed: self.preprocessing.seed,
        };
        DistillOptions { learning, bounds: self.bounds.bounds() }
    }
}
