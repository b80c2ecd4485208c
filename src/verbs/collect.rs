//! `calibrate`: what `quantize` measures, written down.

use crate::calibrate::{Calibration, Collect, Shard, Statistics, digest};
use crate::compress;
use crate::error::{Error, ErrorKind, Result};
use crate::passes::Context;
use crate::pipeline::Check;
use crate::read::Loaded;
use crate::verbs::{CHECK_RUNS, Data, QuantizeOptions};

/// Statistics of the values that [`quantize`](crate::quantize()) with the same options asks for, over one part of the
/// samples: for [`Data::statistics`], or to be merged with those of other parts.
///
/// # Errors
/// When there are no samples, or the model cannot be run on them.
pub fn collect(
    original: &Loaded,
    options: &QuantizeOptions,
    data: &Data<'_>,
    part: Shard,
) -> Result<Statistics> {
    let samples = data.samples;
    let samples = samples.ok_or_else(|| Error::new(ErrorKind::Usage, "samples are needed"))?;
    let (engine, progress) = (data.host.engine, data.host.progress);
    let calibration = Calibration { engine, samples, progress };
    let collect = Collect::new(&calibration, part, digest(&original.model));
    let cx = Context { evaluate: Some(&engine), measure: Some(&collect), ..Context::default() };
    // The values measured are those that are asked for in the model as it is prepared.
    let check = Check::on(engine, samples, CHECK_RUNS)?;
    compress::quantized(original.model.clone(), &options.passes()?, &cx, Some(&check))?;
    collect.finish()
}
