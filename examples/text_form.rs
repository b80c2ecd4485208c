//! Prints a model, given as a file or as text, in text form with all elements.

use std::error::Error;

use onnxpress::emit::{Elements, TextOptions, text_with};
use onnxpress::{Error as Failure, read};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: text_form MODEL")?;
    let path = std::path::Path::new(&path);
    let model = if path.extension().is_some_and(|extension| extension == "onnx") {
        read::file(path)?.model
    } else {
        read::text(&std::fs::read_to_string(path)?).map_err(|error| error.in_file(path))?
    };
    let verified = model.verify().map_err(Failure::from)?;
    #[expect(clippy::print_stdout, reason = "it is what this example is for")]
    {
        print!("{}", text_with(verified, TextOptions { elements: Elements::All }));
    }
    Ok(())
}
