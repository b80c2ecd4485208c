//! What parent and worker say to each other.

use std::time::Duration;

use bytes::Bytes;

use crate::analysis::Range;
use crate::error::{Error, ErrorKind, Place, Result};
use crate::exec::backend::Lowered;
use crate::exec::clock::Clock;
use crate::exec::isolated::wire::{Frame, Received, Wire, unreadable};
use crate::exec::{
    Executed, InputShape, Observation, Observe, OnnxRuntime, OperatorTimes, Tap, onnxruntime,
};
use crate::math::{BINS, Histogram, Moments, Padding, Unfold, Windows};
use crate::tensor::{DType, Tensor};

/// The parent asks.
#[derive(Debug)]
pub(super) enum Request {
    /// Comes first: take these limits upon yourself.
    Start { memory: u64, threads: usize },
    /// Make the model ready.
    Prepare { model: Lowered, inputs: Vec<InputShape>, taps: Vec<Tap> },
    /// Run the model that is ready.
    Run { inputs: Vec<(String, Tensor)> },
    /// Tell what operators took.
    Operators,
    /// Tell the most memory that was taken since [`Request::Prepare`].
    Memory,
    /// Forget the model.
    Release,
}

/// The worker answers, each request once.
#[derive(Debug)]
pub(super) enum Reply {
    /// To [`Request::Start`]: the version of the program.
    Ready(String),
    /// To [`Request::Prepare`] and [`Request::Release`].
    Done,
    /// To [`Request::Run`].
    Executed(Executed),
    /// To [`Request::Operators`].
    Operators(Vec<OperatorTimes>),
    /// To [`Request::Memory`], in bytes, when the system tells.
    Memory(Option<u64>),
    /// To any request.
    Failed(Error),
}

impl Wire for Request {
    fn put(&self, frame: &mut Frame) {
        match self {
            Self::Start { memory, threads } => {
                frame.put(&0u64);
                frame.put(memory);
                frame.put(threads);
            }
            Self::Prepare { model, inputs, taps } => {
                frame.put(&1u64);
                frame.put(model);
                frame.put(inputs);
                frame.put(taps);
            }
            Self::Run { inputs } => {
                frame.put(&2u64);
                frame.put(inputs);
            }
            Self::Release => frame.put(&3u64),
            Self::Operators => frame.put(&4u64),
            Self::Memory => frame.put(&5u64),
        }
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok(match u64::take(frame)? {
            0 => Self::Start { memory: frame.take()?, threads: frame.take()? },
            1 => Self::Prepare { model: frame.take()?, inputs: frame.take()?, taps: frame.take()? },
            2 => Self::Run { inputs: frame.take()? },
            3 => Self::Release,
            4 => Self::Operators,
            5 => Self::Memory,
            _ => return Err(unreadable()),
        })
    }
}

impl Wire for Lowered {
    fn put(&self, frame: &mut Frame) {
        match self {
            Self::Tract(model, clock) => {
                frame.put(&0u64);
                frame.put(model);
                frame.put(clock);
            }
            Self::OnnxRuntime(onnxruntime::Lowered { engine, model, outputs }) => {
                let (library, threads, all, clock) = engine.parts();
                frame.put(&1u64);
                frame.put(library);
                frame.put(&threads);
                frame.put(&u64::from(all));
                frame.put(&clock);
                frame.put(model);
                frame.put(outputs);
            }
        }
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok(match u64::take(frame)? {
            0 => Self::Tract(frame.take()?, frame.take()?),
            1 => {
                let (library, threads) = (frame.take()?, frame.take()?);
                let all = u64::take(frame)? != 0;
                let engine = OnnxRuntime::from_parts(library, threads, all, frame.take()?);
                let (model, outputs) = (frame.take()?, frame.take()?);
                Self::OnnxRuntime(onnxruntime::Lowered { engine, model, outputs })
            }
            _ => return Err(unreadable()),
        })
    }
}

impl Wire for Clock {
    fn put(&self, frame: &mut Frame) {
        frame.put(&u64::from(*self == Self::Operators));
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok(if u64::take(frame)? == 0 { Self::Runs } else { Self::Operators })
    }
}

impl Wire for Duration {
    fn put(&self, frame: &mut Frame) {
        frame.put(&u64::try_from(self.as_nanos()).unwrap_or(u64::MAX));
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok(Self::from_nanos(frame.take()?))
    }
}

impl Wire for OperatorTimes {
    fn put(&self, frame: &mut Frame) {
        frame.put(&self.name);
        frame.put(&self.op);
        frame.put(&self.runs);
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok(Self { name: frame.take()?, op: frame.take()?, runs: frame.take()? })
    }
}

impl Wire for Reply {
    fn put(&self, frame: &mut Frame) {
        match self {
            Self::Ready(version) => {
                frame.put(&0u64);
                frame.put(version);
            }
            Self::Done => frame.put(&1u64),
            Self::Executed(executed) => {
                frame.put(&2u64);
                frame.put(&executed.outputs);
                frame.put(&executed.observed);
                frame.put(&executed.time);
            }
            Self::Failed(error) => {
                frame.put(&3u64);
                frame.put(error);
            }
            Self::Operators(operators) => {
                frame.put(&4u64);
                frame.put(operators);
            }
            Self::Memory(bytes) => {
                frame.put(&5u64);
                frame.put(bytes);
            }
        }
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok(match u64::take(frame)? {
            0 => Self::Ready(frame.take()?),
            1 => Self::Done,
            2 => Self::Executed(Executed {
                outputs: frame.take()?,
                observed: frame.take()?,
                time: frame.take()?,
            }),
            3 => Self::Failed(frame.take()?),
            4 => Self::Operators(frame.take()?),
            5 => Self::Memory(frame.take()?),
            _ => return Err(unreadable()),
        })
    }
}

impl Wire for DType {
    fn put(&self, frame: &mut Frame) {
        frame.put(&u64::from(self.to_onnx().unsigned_abs()));
    }

    fn take(frame: &mut Received) -> Result<Self> {
        let number = i32::try_from(u64::take(frame)?).ok();
        number.and_then(Self::from_onnx).ok_or_else(unreadable)
    }
}

/// Not for tensors of strings.
impl Wire for Tensor {
    fn put(&self, frame: &mut Frame) {
        frame.put(&self.dtype());
        frame.put(&self.dims().to_vec());
        frame.put(self.bytes());
    }

    fn take(frame: &mut Received) -> Result<Self> {
        let (dtype, dims, bytes) = (frame.take()?, frame.take()?, frame.take()?);
        Self::new(dtype, dims, bytes).map_err(|_| unreadable())
    }
}

impl Wire for InputShape {
    fn put(&self, frame: &mut Frame) {
        frame.put(&self.name);
        frame.put(&self.dtype);
        frame.put(&self.dims);
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok(Self { name: frame.take()?, dtype: frame.take()?, dims: frame.take()? })
    }
}

impl Wire for Tap {
    fn put(&self, frame: &mut Frame) {
        frame.put(&self.value);
        match &self.observe {
            Observe::Range => frame.put(&0u64),
            Observe::Value => frame.put(&1u64),
            Observe::Histogram => frame.put(&2u64),
            Observe::Rows(unfold, most) => {
                frame.put(&3u64);
                frame.put(unfold);
                frame.put(most);
            }
            Observe::Moments(unfold, most) => {
                frame.put(&4u64);
                frame.put(unfold);
                frame.put(most);
            }
            Observe::Magnitudes(axis) => {
                frame.put(&5u64);
                frame.put(axis);
            }
        }
    }

    fn take(frame: &mut Received) -> Result<Self> {
        let value = frame.take()?;
        let observe = match u64::take(frame)? {
            0 => Observe::Range,
            1 => Observe::Value,
            2 => Observe::Histogram,
            3 => Observe::Rows(frame.take()?, frame.take()?),
            4 => Observe::Moments(frame.take()?, frame.take()?),
            5 => Observe::Magnitudes(frame.take()?),
            _ => return Err(unreadable()),
        };
        Ok(Self { value, observe })
    }
}

impl Wire for Unfold {
    fn put(&self, frame: &mut Frame) {
        match self {
            Self::Rows => frame.put(&0u64),
            Self::Columns => frame.put(&1u64),
            Self::Windows(windows) => {
                frame.put(&2u64);
                frame.put(windows);
            }
        }
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok(match u64::take(frame)? {
            0 => Self::Rows,
            1 => Self::Columns,
            2 => Self::Windows(frame.take()?),
            _ => return Err(unreadable()),
        })
    }
}

impl Wire for Windows {
    fn put(&self, frame: &mut Frame) {
        frame.put(&self.groups);
        frame.put(&usize::from(self.transposed));
        frame.put(&self.kernel);
        frame.put(&self.strides);
        frame.put(&self.dilations);
        match &self.padding {
            Padding::SameUpper => frame.put(&0u64),
            Padding::SameLower => frame.put(&1u64),
            Padding::Explicit { begin, end } => {
                frame.put(&2u64);
                frame.put(begin);
                frame.put(end);
            }
        }
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok(Self {
            groups: frame.take()?,
            transposed: usize::take(frame)? != 0,
            kernel: frame.take()?,
            strides: frame.take()?,
            dilations: frame.take()?,
            padding: match u64::take(frame)? {
                0 => Padding::SameUpper,
                1 => Padding::SameLower,
                2 => Padding::Explicit { begin: frame.take()?, end: frame.take()? },
                _ => return Err(unreadable()),
            },
        })
    }
}

impl Wire for Observation {
    fn put(&self, frame: &mut Frame) {
        match self {
            Self::Range(range) => {
                frame.put(&0u64);
                frame.put(&u64::from(range.min.to_bits()));
                frame.put(&u64::from(range.max.to_bits()));
            }
            Self::Value(tensor) => {
                frame.put(&1u64);
                frame.put(tensor);
            }
            Self::Histogram(histogram) => {
                frame.put(&2u64);
                frame.put(histogram);
            }
            Self::Moments(groups) => {
                frame.put(&3u64);
                frame.put(groups);
            }
        }
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok(match u64::take(frame)? {
            0 => Self::Range(Range { min: float(frame)?, max: float(frame)? }),
            1 => Self::Value(frame.take()?),
            2 => Self::Histogram(frame.take()?),
            3 => Self::Moments(frame.take()?),
            _ => return Err(unreadable()),
        })
    }
}

/// First moments alone.
impl Wire for Moments {
    fn put(&self, frame: &mut Frame) {
        let (rows, sum, squares) = self.parts();
        frame.put(&rows);
        for numbers in [sum, squares] {
            frame.put(&numbers.iter().map(|x| x.to_bits()).collect::<Vec<u64>>());
        }
    }

    fn take(frame: &mut Received) -> Result<Self> {
        let rows = frame.take()?;
        let mut numbers = || -> Result<Vec<f64>> {
            Ok(Vec::<u64>::take(frame)?.into_iter().map(f64::from_bits).collect())
        };
        Self::from_parts(rows, numbers()?, numbers()?).ok_or_else(unreadable)
    }
}

fn float(frame: &mut Received) -> Result<f32> {
    u32::try_from(u64::take(frame)?).map(f32::from_bits).map_err(|_| unreadable())
}

/// Counts are bulk data of seven bits in each byte, the lowest first, all but the last byte marked:
/// most bins of one run hold few elements.
impl Wire for Histogram {
    fn put(&self, frame: &mut Frame) {
        frame.put(&u64::from(self.min().to_bits()));
        frame.put(&u64::from(self.max().to_bits()));
        let mut bytes = Vec::with_capacity(self.counts().len() * 2);
        for &count in self.counts() {
            prost::encoding::encode_varint(count, &mut bytes);
        }
        frame.put(&Bytes::from(bytes));
    }

    fn take(frame: &mut Received) -> Result<Self> {
        let (min, max) = (float(frame)?, float(frame)?);
        let mut bytes: Bytes = frame.take()?;
        let mut counts = Vec::with_capacity(bytes.len().min(BINS));
        while !bytes.is_empty() {
            let count = prost::encoding::decode_varint(&mut bytes);
            counts.push(count.map_err(|_| unreadable())?);
        }
        Self::from_parts(min, max, counts).ok_or_else(unreadable)
    }
}

/// The kinds that running a model can give; others become [`ErrorKind::Engine`].
const KINDS: &[ErrorKind] = &[
    ErrorKind::Engine,
    ErrorKind::Data,
    ErrorKind::Invalid,
    ErrorKind::Unsupported,
    ErrorKind::Limit,
];

impl Wire for Error {
    fn put(&self, frame: &mut Frame) {
        frame.put(&KINDS.iter().position(|kind| *kind == self.kind).unwrap_or(0));
        frame.put(&self.place.item);
        frame.put(&self.message);
        frame.put(&self.help);
    }

    fn take(frame: &mut Received) -> Result<Self> {
        let kind = *KINDS.get(usize::take(frame)?).ok_or_else(unreadable)?;
        let place = Place { item: frame.take()?, ..Place::default() };
        Ok(Self { kind, place: Box::new(place), message: frame.take()?, help: frame.take()? })
    }
}
