//! The defaults of the command are those of the library.

use clap::Parser;
use onnxpress::passes::Amount;
use onnxpress::verbs::{Goal, Remaining};
use onnxpress::{CompareOptions, FactorizeOptions, PruneOptions, QuantizeOptions, SimplifyOptions};

use super::{Cli, Command};

fn parsed(words: &str) -> Command {
    Cli::try_parse_from(words.split(' ')).expect("words that fit").command
}

#[test]
fn options_that_are_not_given_are_the_defaults_of_the_library() {
    let Command::Quantize(found) = parsed("onnxpress quantize m.onnx --data d -o o") else {
        panic!("another command")
    };
    assert_eq!(found.options().expect("options"), QuantizeOptions::default());
    let Command::Prune(found) = parsed("onnxpress prune m.onnx --ratio 100% -o o") else {
        panic!("another command")
    };
    assert_eq!(found.options(), PruneOptions::default());
    let Command::Factorize(found) = parsed("onnxpress factorize m.onnx --macs 100% -o o") else {
        panic!("another command")
    };
    let goal = Goal::Remaining(Remaining::Macs(Amount::Share(1.0)));
    let expected = FactorizeOptions { goal, ..FactorizeOptions::default() };
    assert_eq!(found.options().expect("options"), expected);
    let Command::Simplify(found) = parsed("onnxpress simplify m.onnx -o o") else {
        panic!("another command")
    };
    assert_eq!(found.options(), SimplifyOptions::default());
    let Command::Compare(found) = parsed("onnxpress compare a.onnx b.onnx") else {
        panic!("another command")
    };
    assert_eq!(found.options(), CompareOptions::default());
}
