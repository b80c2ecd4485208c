//! Data files of a model that is replaced.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use onnxpress::read;

/// Models beside one that is replaced are looked through for its data file up to this size; larger ones are taken
/// to need it. 64 MiB.
const LARGEST: u64 = 64 << 20;

/// The data files that the model at `output` alone needs and that are named after it: they go when it goes. Files that this
/// run reads, and those that another model of the folder mentions, stay.
pub fn of(output: &Path) -> BTreeSet<PathBuf> {
    let (Ok(old), Some(name)) = (read::data_files(output), output.file_name()) else {
        return BTreeSet::new();
    };
    let name = name.to_string_lossy();
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let own = old.into_iter().filter(|location| is_named_after(location, &name));
    let own = own.map(|location| (output.with_file_name(&location), location));
    own.filter(|(path, location)| {
        let plain = path.symlink_metadata().is_ok_and(|found| found.is_file());
        plain && !read::was_read(path) && !is_mentioned(folder, &name, location)
    })
    .map(|(path, _)| path)
    .collect()
}

/// `model.onnx.data` or `model.onnx.0123456789abcdef.data`.
fn is_named_after(location: &str, name: &str) -> bool {
    let rest = location.strip_prefix(name).and_then(|rest| rest.strip_suffix(".data"));
    rest.is_some_and(|rest| {
        let digits = rest.strip_prefix('.');
        let hexadecimal = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
        rest.is_empty() || digits.is_some_and(|text| text.len() == 16 && hexadecimal(text))
    })
}

/// Whether another model of the folder may need a data file.
fn is_mentioned(folder: &Path, name: &str, location: &str) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return true };
    let others = entries.flatten().filter(|entry| {
        let other = entry.file_name();
        other.to_string_lossy() != name
            && Path::new(&other).extension().is_some_and(|extension| extension == "onnx")
    });
    others.into_iter().any(|entry| mentions(&entry.path(), location.as_bytes()))
}

fn mentions(model: &Path, location: &[u8]) -> bool {
    let regular = fs::metadata(model).is_ok_and(|found| found.is_file());
    if !regular {
        return false;
    }
    match fs::metadata(model) {
        Ok(found) if found.len() <= LARGEST => fs::read(model)
            .map_or(true, |bytes| bytes.windows(location.len()).any(|window| window == location)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_after_a_model() {
        for (location, wanted) in [
            ("m.onnx.data", true),
            ("m.onnx.0123456789abcdef.data", true),
            ("m.onnx.0123.data", false),
            ("m.onnx.weights.data", false),
            ("other.onnx.data", false),
            ("m.onnx", false),
        ] {
            assert_eq!(is_named_after(location, "m.onnx"), wanted, "{location}");
        }
    }
}
