//! Stores weights with many zeros sparsely, where that makes the file smaller.

use crate::ir::{Model, Sparse, ValueId};

/// The IR version that brought sparse initializers (`onnx.proto`, 2019-09-19).
const SPARSE_SINCE: i64 = 6;

/// Which weights are stored how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SparseStorage {
    /// Names of those that became sparse, in file order.
    pub sparse: Vec<String>,
    /// Names of those that stay dense, and why.
    pub dense: Vec<(String, String)>,
}

/// Stores each float initializer of the main graph that has at least two axes sparsely, if that takes fewer
/// bytes. The model computes the same; passes see a sparse weight no longer as a constant, so this comes
/// last.
pub fn store_sparsely(model: &mut Model) -> SparseStorage {
    let version = model.header.ir_version.unwrap_or(0);
    let main: Vec<ValueId> = model.initializers_of(model.main()).collect();
    let mut storage = SparseStorage::default();
    for value in main {
        let entry = model.value(value);
        let Some(tensor) = entry.initializer() else { continue };
        if !tensor.dtype().is_float() || tensor.dims().len() < 2 {
            continue;
        }
        let name = entry.name().to_owned();
        let found = match version {
            SPARSE_SINCE.. => Sparse::of(tensor).map_err(|error| error.message),
            _ => Err(format!("IR version {version} has no sparse tensors, {SPARSE_SINCE} has")),
        };
        match found {
            Ok(sparse) => {
                model.make_sparse(value, sparse);
                storage.sparse.push(name);
            }
            Err(reason) => storage.dense.push((name, reason)),
        }
    }
    storage
}
