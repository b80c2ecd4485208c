//! `--engine ort` where ONNX Runtime is missing, or is something else. What it does where it is there is
//! checked by `tests/peers/check_engine_ort.py`.

#[cfg(all(feature = "ort", target_os = "linux"))]
use std::path::Path;
use std::process::Command;

use onnxpress::ErrorKind;
use onnxpress::exec::{Engine, Isolated, Limits, OnnxRuntime, trial};
use tempfile::tempdir;

use crate::support::fixture;

/// Exit code and standard error of a comparison with ONNX Runtime in a process of its own.
fn compare(arguments: &[&str], variable: &str) -> (i32, String) {
    let model = fixture("digits_mlp.onnx");
    let ran = Command::new(env!("CARGO_BIN_EXE_onnxpress"))
        .arg("compare")
        .args([&model, &model])
        .args(["--data", "random:1"])
        .args(arguments)
        .env("ORT_DYLIB_PATH", variable)
        .output()
        .expect("the command starts");
    assert!(ran.stdout.is_empty(), "a failure prints no report");
    let said = String::from_utf8(ran.stderr).expect("text");
    (ran.status.code().expect("a code"), said)
}

#[test]
fn no_library() {
    for arguments in [&["--engine", "ort"][..], &["--engine", "ort", "--engine-in-process"]] {
        let (code, said) = compare(arguments, "/nowhere/libonnxruntime.so");
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("/nowhere/libonnxruntime.so"), "{said}");
        assert!(said.contains("there is no such shared library of ONNX Runtime"), "{said}");
        assert!(said.contains("as ORT_DYLIB_PATH says"), "{said}");
        assert!(said.contains("name the library with --ort-library"), "{said}");
    }
    // What the user names is meant, whatever the environment says.
    let (code, said) = compare(&["--engine", "ort", "--ort-library", "/elsewhere.so"], "/nowhere");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/elsewhere.so") && !said.contains("ORT_DYLIB_PATH says"), "{said}");
    let folder = tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let (code, said) = compare(&["--engine", "ort", "--ort-library", folder], "");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the folder holds no shared library of ONNX Runtime"), "{said}");
}

#[test]
fn the_library_belongs_to_the_engine() {
    let (code, said) = compare(&["--ort-library", "libonnxruntime.so"], "");
    assert_eq!((code, said.as_str()), (2, "error: --ort-library needs --engine ort\n"));
    let (code, said) = compare(&["--ort-optimization", "all"], "");
    assert_eq!((code, said.as_str()), (2, "error: --ort-optimization needs --engine ort\n"));
}

/// What an engine says that cannot work.
fn refused(engine: &dyn Engine) -> String {
    let error = trial(engine).expect_err("this is no ONNX Runtime");
    assert_eq!(error.kind, ErrorKind::Engine, "{error}");
    error.to_string()
}

/// ONNX Runtime in a process of its own.
fn isolated(engine: &OnnxRuntime) -> Isolated {
    let program = env!("CARGO_BIN_EXE_onnxpress");
    Isolated::new(program, Limits::default()).onnxruntime(engine.clone())
}

#[cfg(feature = "ort")]
#[test]
fn a_file_that_is_no_library() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("libonnxruntime.so");
    std::fs::write(&file, "not a library").unwrap();
    let engine = OnnxRuntime::find(Some(&file), 1).unwrap();
    // Asked twice: a process tries once.
    for said in [refused(&isolated(&engine)), refused(&engine), refused(&engine)] {
        assert!(said.contains("libonnxruntime.so"), "{said}");
        assert!(said.contains("the system cannot load this shared library"), "{said}");
    }
    let another = folder.path().join("another.so");
    std::fs::write(&another, "not a library").unwrap();
    let said = refused(&OnnxRuntime::find(Some(&another), 1).unwrap());
    assert!(said.contains("this process has tried another shared library already"), "{said}");
}

/// The library of C that this test runs with.
#[cfg(all(feature = "ort", target_os = "linux"))]
#[test]
fn another_library() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let Some(library) = mapped.into_iter().find(|path| path.contains("/libc.")) else {
        // A program that is linked statically has none.
        return;
    };
    let engine = OnnxRuntime::find(Some(Path::new(library)), 1).unwrap();
    let said = refused(&isolated(&engine));
    assert!(said.contains("this shared library is no ONNX Runtime"), "{said}");
}

#[cfg(not(feature = "ort"))]
#[test]
fn a_build_without_the_feature() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("libonnxruntime.so");
    std::fs::write(&file, "not a library").unwrap();
    let engine = OnnxRuntime::find(Some(&file), 1).unwrap();
    for said in [refused(&isolated(&engine)), refused(&engine)] {
        assert!(said.contains("build it with the cargo feature `ort`"), "{said}");
    }
}
