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

#[test]
fn old_names_of_flags_still_work() {
    let quantize = |words: &str| match parsed(&format!("onnxpress quantize m -o o {words}")) {
        Command::Quantize(found) => found.options().expect("options"),
        other => panic!("{other:?}"),
    };
    for (old, new) in [
        ("--keep-worst 2", "--float-worst 2"),
        ("--spare 1%", "--float-share 1%"),
        ("--keep /head/*", "--exclude /head/*"),
        ("--widen 3%", "--small-layers-8bit 3%"),
        ("--existing strip", "--quantized-input strip"),
        ("--latency", "--measure-latency"),
    ] {
        assert_eq!(quantize(old), quantize(new), "{old}");
        assert_ne!(quantize(new), QuantizeOptions::default(), "{new}");
    }
    let prune = |words: &str| match parsed(&format!("onnxpress prune m -o o {words}")) {
        Command::Prune(found) => found.options(),
        other => panic!("{other:?}"),
    };
    for (old, new) in [
        ("--floor 20%", "--min-share 20%"),
        ("--minimum 3", "--min-channels 3"),
        ("--multiple 4", "--channel-multiple 4"),
        ("--keep a", "--exclude a"),
    ] {
        let with = |flag: &str| prune(&format!("--ratio 100% {flag}"));
        assert_eq!(with(old), with(new), "{old}");
        assert_ne!(with(new), PruneOptions::default(), "{new}");
    }
    let zeros = |flag: &str| prune(&format!("--unstructured magnitude {flag}"));
    assert_eq!(zeros("--n-m 2:4"), zeros("--nm 2:4"));
}
