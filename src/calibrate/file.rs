//! Statistics as a file: JSON, so that people and other programs can read it. Version 1 is described
//! in `docs/CALIBRATION.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::Range;
use crate::calibrate::{Statistics, ValueStatistics};
use crate::error::{Error, ErrorKind, Result, err};
use crate::math::{BINS, ExactSum, Histogram};

/// Says what the file is.
const FORMAT: &str = "onnxpress statistics";
/// Version of the format.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    version: u64,
    model: String,
    inputs: String,
    samples: u64,
    runs: u64,
    values: BTreeMap<String, Option<Value>>,
}

#[derive(Serialize, Deserialize)]
struct Value {
    min: Number,
    max: Number,
    runs: u64,
    sum_of_minima: String,
    sum_of_maxima: String,
    fitting: Option<Counts>,
    held_out: Option<Counts>,
}

/// A negative number stands for so many empty bins.
#[derive(Serialize, Deserialize)]
struct Counts {
    min: f64,
    max: f64,
    counts: Vec<i64>,
}

/// A number, or the name of what JSON has no number for. Every `f32` is a `f64`, whose decimal form
/// leads back to it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Other(String),
}

impl Number {
    fn of(x: f32) -> Self {
        if x.is_finite() { Self::Finite(x.into()) } else { Self::Other(x.to_string()) }
    }

    fn get(&self) -> Option<f32> {
        match self {
            Self::Finite(x) => Some(*x as f32).filter(|x| x.is_finite()),
            Self::Other(name) => match name.as_str() {
                "NaN" => Some(f32::NAN),
                "inf" => Some(f32::INFINITY),
                "-inf" => Some(f32::NEG_INFINITY),
                _ => None,
            },
        }
    }
}

impl Statistics {
    /// The contents of a file: the same for the same statistics.
    ///
    /// # Errors
    /// When JSON cannot be written.
    pub fn to_json(&self) -> Result<String> {
        let value = |value: &ValueStatistics| Value {
            min: Number::of(value.range.min),
            max: Number::of(value.range.max),
            runs: value.runs,
            sum_of_minima: value.minima.to_hex(),
            sum_of_maxima: value.maxima.to_hex(),
            fitting: value.fitting.as_ref().map(Counts::of),
            held_out: value.held_out.as_ref().map(Counts::of),
        };
        let values = self.values.iter().map(|(name, v)| (name.clone(), v.as_ref().map(value)));
        let file = File {
            format: FORMAT.to_owned(),
            version: VERSION,
            model: format!("{:016x}", self.model),
            inputs: format!("{:016x}", self.inputs),
            samples: self.samples,
            runs: self.runs,
            values: values.collect(),
        };
        let text = serde_json::to_string(&file);
        text.map(|text| text + "\n").map_err(|error| err!(Engine, "no JSON: {error}"))
    }

    /// Statistics from the contents of a file.
    ///
    /// # Errors
    /// When these are no statistics, of another version, or contradict themselves.
    pub fn from_json(text: &str) -> Result<Self> {
        let file: File = serde_json::from_str(text)
            .map_err(|error| err!(Format, "is no file of statistics: {error}"))?;
        if file.format != FORMAT || file.version != VERSION {
            return Err(err!(
                Format,
                "is `{}` of version {}, expected `{FORMAT}` of version {VERSION}",
                file.format,
                file.version
            ));
        }
        let digest = |text: &str| {
            u64::from_str_radix(text, 16).map_err(|_| err!(Format, "`{text}` is no digest"))
        };
        let value = |(name, value): (String, Option<Value>)| match value.map(Value::get) {
            None => Ok((name, None)),
            Some(Some(value)) => Ok((name, Some(value))),
            Some(None) => Err(contradiction(&name)),
        };
        Ok(Self {
            model: digest(&file.model)?,
            inputs: digest(&file.inputs)?,
            samples: file.samples,
            runs: file.runs,
            values: file.values.into_iter().map(value).collect::<Result<_>>()?,
        })
    }
}

fn contradiction(name: &str) -> Error {
    let message = "its range, sums and counts do not belong together";
    Error::new(ErrorKind::Format, message).at(format_args!("value `{name}`"))
}

impl Value {
    fn get(self) -> Option<ValueStatistics> {
        let range = Range { min: self.min.get()?, max: self.max.get()? };
        // A histogram that is there must be a valid one, and lie within the range.
        let histogram = |counts: Option<Counts>| match counts.map(Counts::get) {
            None => Some(None),
            Some(None) => None,
            Some(Some(h)) if h.min() < range.min || h.max() > range.max => None,
            Some(valid) => Some(valid),
        };
        let found = ValueStatistics {
            range,
            runs: self.runs,
            minima: ExactSum::from_hex(&self.sum_of_minima)?,
            maxima: ExactSum::from_hex(&self.sum_of_maxima)?,
            fitting: histogram(self.fitting)?,
            held_out: histogram(self.held_out)?,
        };
        let ordered = range.min <= range.max || range.min.is_nan() && range.max.is_nan();
        (ordered && found.runs > 0).then_some(found)
    }
}

impl Counts {
    fn of(histogram: &Histogram) -> Self {
        let mut counts: Vec<i64> = Vec::new();
        for &count in histogram.counts() {
            match counts.last_mut() {
                Some(empty) if count == 0 && *empty < 0 => *empty -= 1,
                _ if count == 0 => counts.push(-1),
                _ => counts.push(i64::try_from(count).unwrap_or(i64::MAX)),
            }
        }
        Self { min: histogram.min().into(), max: histogram.max().into(), counts }
    }

    fn get(self) -> Option<Histogram> {
        let mut counts: Vec<u64> = Vec::new();
        for count in self.counts {
            let empty = usize::try_from(count.checked_neg()?).unwrap_or(0);
            if counts.len() + empty >= BINS {
                return None;
            }
            match u64::try_from(count) {
                Ok(count) => counts.push(count),
                Err(_) => counts.resize(counts.len() + empty, 0),
            }
        }
        Histogram::from_parts(self.min as f32, self.max as f32, counts)
    }
}
