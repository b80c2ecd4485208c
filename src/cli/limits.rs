//! Limits that a user may raise; the table of docs/LIMITS.md names the option of each.

use clap::Args;
use onnxpress::data;
use onnxpress::passes::Growth;

/// The heading of these options in the help.
pub const HEADING: &str = "Limits";

/// Limits on samples.
#[derive(Debug, Clone, Copy, Args)]
pub struct SampleLimits {
    /// Most bytes of arrays that one file may put into memory [default: 1G; of a deflated array
    /// above 64 MiB at most 100 times what it takes in the file]. Arrays above 64 MiB that are not
    /// compressed stay in the file and do not count.
    #[arg(long, help_heading = HEADING, value_name = "SIZE", value_parser = size)]
    max_data_bytes: Option<u64>,
    /// Most members of an .npz file [default: 4096].
    #[arg(long, help_heading = HEADING, value_name = "N")]
    max_data_members: Option<usize>,
    /// Most bytes that one input may take in one run, or one .pb file [default: 1G].
    #[arg(long, help_heading = HEADING, value_name = "SIZE", value_parser = size)]
    max_run_bytes: Option<u64>,
    /// Most pixels of an image, before and after it is scaled [default: 67108864].
    #[arg(long, help_heading = HEADING, value_name = "N")]
    max_image_pixels: Option<u64>,
}

impl SampleLimits {
    pub fn options(&self) -> data::Limits {
        let usual = data::Limits::default();
        data::Limits {
            entries: self.max_data_members.unwrap_or(usual.entries),
            array_bytes: self.max_data_bytes.unwrap_or(usual.array_bytes),
            // Who allows so many bytes wants them, however well they deflate.
            expansion: self.max_data_bytes.map_or(usual.expansion, |_| u64::MAX),
            run_bytes: self.max_run_bytes.unwrap_or(usual.run_bytes),
            pixels: self.max_image_pixels.unwrap_or(usual.pixels),
            ..usual
        }
    }
}

/// Limits on what folding constants may add to a model.
#[derive(Debug, Clone, Copy, Args)]
pub struct FoldLimits {
    /// Most bytes that computing one node beforehand may add to the model [default: 4K;
    /// simplify: 64K].
    #[arg(long, help_heading = HEADING, value_name = "SIZE", value_parser = size)]
    max_fold_bytes: Option<u64>,
    /// Most bytes that computing all such nodes may add together [default: 64K;
    /// simplify: 1M; or --max-fold-bytes when that is more].
    #[arg(long, help_heading = HEADING, value_name = "SIZE", value_parser = size)]
    max_fold_total: Option<u64>,
}

impl FoldLimits {
    /// The limits, `usual` where none is given.
    pub fn options(&self, usual: Growth) -> Growth {
        let bytes = |given: u64| usize::try_from(given).unwrap_or(usize::MAX);
        let tensor_growth = self.max_fold_bytes.map_or(usual.tensor_growth, bytes);
        let total = usual.total_growth.max(tensor_growth);
        Growth { tensor_growth, total_growth: self.max_fold_total.map_or(total, bytes) }
    }
}

/// `8G`, `512MiB`, `1000000`: bytes in powers of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    const UNITS: &[(char, u32)] = &[('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let plain = text.trim_end_matches(['B', 'b']).trim_end_matches(['I', 'i']);
    let (number, shift) = UNITS
        .iter()
        .find_map(|&(unit, shift)| {
            let number = plain.strip_suffix([unit, unit.to_ascii_lowercase()])?;
            Some((number, shift))
        })
        .unwrap_or((plain, 0));
    let bytes = number.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    bytes.filter(|&bytes| bytes > 0).ok_or_else(|| format!("`{text}`; expected e.g. 8G or 512M"))
}
