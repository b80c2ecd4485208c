//! Runs models with the built-in engine, as the peer checks need it: for each folder given, `model.onnx` on the
//! initializers of `given.onnx`; writes a model whose initializers are the outputs to `found.onnx`, or why there
//! are none to `refused.txt`.

use std::error::Error;
use std::path::Path;

use onnxpress::emit::{self, Overwrite};
use onnxpress::exec::{Runner, Tract};
use onnxpress::ir::Model;
use onnxpress::{Error as Failure, read};

fn main() -> Result<(), Box<dyn Error>> {
    for folder in std::env::args_os().skip(1) {
        let folder = Path::new(&folder);
        match outputs(folder) {
            Ok(found) => {
                let encoded = emit::onnx(found.verify().map_err(Failure::from)?)?;
                emit::save(&folder.join("found.onnx"), &encoded, Overwrite::Replace)?;
            }
            Err(error) => std::fs::write(folder.join("refused.txt"), error.to_string())?,
        }
    }
    Ok(())
}

/// A model that holds what the model in `folder` makes of the inputs beside it.
fn outputs(folder: &Path) -> onnxpress::Result<Model> {
    let model = read::file(&folder.join("model.onnx"))?.model;
    let given = read::file(&folder.join("given.onnx"))?.model;
    let tensors = given
        .values()
        .filter_map(|(_, value)| Some((value.name().to_owned(), value.initializer()?.clone())));
    let inputs: Vec<_> = tensors.collect();
    let executed = Runner::new(&Tract, &model, Vec::new()).run(&inputs)?;
    let mut found = Model::new(8, 17);
    let main = found.main();
    for (name, tensor) in executed.outputs {
        let output = found.add_initializer(main, &name, tensor);
        found.add_output(main, output, None);
    }
    Ok(found)
}
