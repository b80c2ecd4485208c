//! Writers for tests only.

use std::io::Write;
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// An `.npy` file, version 1.0, laid out as NumPy does.
pub(super) fn npy(descr: &str, fortran: bool, dims: &[usize], data: &[u8]) -> Vec<u8> {
    let shape: String = dims.iter().map(|dim| format!("{dim}, ")).collect();
    let order = if fortran { "True" } else { "False" };
    let mut text =
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({shape}), }}");
    text.extend(std::iter::repeat_n(' ', 63 - (text.len() + 10) % 64));
    text.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((text.len() as u16).to_le_bytes());
    file.extend(text.as_bytes());
    file.extend(data);
    file
}

/// An `.npy` file of little-endian `f32`.
pub(super) fn npy_f32(dims: &[usize], data: &[f32]) -> Vec<u8> {
    npy("<f4", false, dims, &data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
}

/// An `.npy` file of little-endian `i64`.
pub(super) fn npy_i64(dims: &[usize], data: &[i64]) -> Vec<u8> {
    npy("<i8", false, dims, &data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
}

/// Writes a deflated `data.npz` with these members (without `.npy`) into `folder`.
pub(super) fn npz(folder: &Path, members: &[(&str, Vec<u8>)]) -> PathBuf {
    npz_with(folder, members, CompressionMethod::Deflated)
}

/// Writes `data.npz` with one compression method.
pub(super) fn npz_with(
    folder: &Path,
    members: &[(&str, Vec<u8>)],
    method: CompressionMethod,
) -> PathBuf {
    let path = folder.join("data.npz");
    let mut zip = ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, bytes) in members {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    path
}
