//! Files that are in the way, go away, or are none: standard input and output.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::support::{
    Ran, add, add_input, add_output, fixture, listing, npy, npy_f32, onnxpress, write_npz,
};

const MODEL: &str = "digits_mlp.onnx";

/// Runs a line of the shell in `folder`; `onnxpress` is the command.
fn sh(line: &str, folder: &Path) -> Ran {
    let program = Path::new(env!("CARGO_BIN_EXE_onnxpress"));
    let own = program.parent().expect("a folder").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("PATH", format!("{own}:{path}"))
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn model() -> String {
    fixture(MODEL).display().to_string()
}

fn convert(folder: &Path, options: &str) -> Ran {
    sh(&format!("onnxpress convert {options}"), folder)
}

#[test]
fn force_replaces_the_data_file_of_what_it_replaces_and_no_other() {
    let folder = tempdir().unwrap();
    let at = folder.path();
    let convert = |options: &str| convert(at, options);
    let input = model();
    let external = format!("{input} --external-data -o out.onnx");
    // Alone, it is the same file again.
    assert_eq!(convert(&external).code, 0);
    assert_eq!(convert(&format!("{external} --force")).code, 0);
    assert_eq!(listing(at), ["out.onnx", "out.onnx.data"]);
    // Another model leaves nothing of it behind.
    let other = fixture("digits_transformer.onnx").display().to_string();
    assert_eq!(convert(&format!("{other} --external-data -o out.onnx --force")).code, 0);
    assert_eq!(listing(at).len(), 2, "{:?}", listing(at));
    assert_eq!(convert("out.onnx --inline-data -o inline.onnx").code, 0);
    assert_eq!(convert(&format!("{input} --inline-data -o out.onnx --force")).code, 0);
    assert_eq!(listing(at), ["inline.onnx", "out.onnx"]);
    // A stranger's file stays, however often.
    fs::remove_file(at.join("out.onnx")).unwrap();
    fs::write(at.join("out.onnx.data"), "not ours").unwrap();
    for force in ["", "--force", "--force"] {
        let ran = convert(&format!("{external} {force}"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(listing(at).len(), 4, "{:?}", listing(at));
        assert_eq!(fs::read(at.join("out.onnx.data")).unwrap(), b"not ours");
        assert_eq!(sh("onnxpress inspect out.onnx", at).code, 0);
    }
    // So does one that another model needs, or that is read.
    fs::copy(at.join("out.onnx"), at.join("copy.onnx")).unwrap();
    assert_eq!(convert(&format!("{other} --external-data -o out.onnx --force")).code, 0);
    assert_eq!(sh("onnxpress inspect copy.onnx", at).code, 0);
    assert_eq!(convert("copy.onnx --external-data -o out.onnx --force").code, 0);
    for name in ["copy.onnx", "out.onnx"] {
        assert_eq!(sh(&format!("onnxpress inspect {name}"), at).code, 0, "{name}");
    }
}

#[test]
fn a_dash_is_standard_input_and_output() {
    let folder = tempdir().unwrap();
    let at = folder.path();
    let input = model();
    let line = |line: &str| sh(line, at);
    let ran = line(&format!("onnxpress simplify - -o - < {input} > s.onnx"));
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(ran.err.contains("passes"), "{}", ran.err);
    let ran = line(&format!(
        "cat {input} | onnxpress quantize - --mode weights -o - | onnxpress inspect -"
    ));
    assert!(ran.code == 0 && ran.out.contains("opset"), "{}{}", ran.out, ran.err);
    for command in
        ["print -", "diff - s.onnx", "compare - s.onnx --data random:2", "convert - -o c.onnx"]
    {
        let ran = line(&format!("onnxpress {command} < s.onnx"));
        assert_eq!(ran.code, 0, "{command}: {}", ran.err);
    }
    assert!(fs::read(at.join("c.onnx")).unwrap() == fs::read(at.join("s.onnx")).unwrap());
    for (command, said) in [
        ("simplify - -o - --json", "--json"),
        ("convert - -o - --external-data", "--external-data"),
        ("diff - -", "only one model"),
    ] {
        let ran = line(&format!("onnxpress {command} < s.onnx > out"));
        assert_eq!(ran.code, 2, "{command}: {}", ran.err);
        assert!(ran.err.contains(said), "{command}: {}", ran.err);
    }
    line(&format!("onnxpress convert {input} --external-data -o e.onnx"));
    let ran = line("onnxpress inspect - < e.onnx");
    assert!(ran.code == 1 && ran.err.contains("e.onnx.data"), "{}", ran.err);
    assert!(ran.err.contains("instead of `-`"), "{}", ran.err);
}

#[test]
fn outputs_that_cannot_be_written_are_found_before_the_work() {
    let folder = tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("d")).unwrap();
    fs::write(at.join("file"), "").unwrap();
    // The model is not even read.
    for (output, said) in [
        ("d", "a folder"),
        ("d/", "a folder"),
        ("none/x.onnx", "no folder"),
        ("file/x.onnx", "no folder"),
    ] {
        let ran = sh(&format!("onnxpress simplify nothing.onnx -o {output}"), at);
        assert_eq!(ran.code, 2, "{output}: {}", ran.err);
        assert!(ran.err.contains(said), "{output}: {}", ran.err);
    }
    let ran = sh("onnxpress simplify nothing.onnx -o /proc/x.onnx", at);
    assert!(ran.code == 1 && ran.err.contains("/proc/x.onnx"), "{}", ran.err);
}

#[test]
fn labels_that_are_no_class_are_found_before_the_work() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("bad.npz");
    let labels: Vec<u8> = [3_i64, 10].iter().flat_map(|label| label.to_le_bytes()).collect();
    let x = npy_f32(&[2, 1, 8, 8], &[0.5; 128]);
    write_npz(&data, &[("x", x), ("y", npy("<i8", &[2], &labels))]);
    let data = data.display().to_string();
    let model = model();
    // The engine would not start.
    for command in [
        format!(
            "quantize {model} --data {data} --labels y -o out.onnx --ort-library /none --engine ort"
        ),
        format!(
            "factorize {model} --params 50% --data {data} --labels y -o out.onnx --ort-library /none --engine ort"
        ),
        format!(
            "compare {model} {model} --data {data} --labels y --ort-library /none --engine ort"
        ),
    ] {
        let ran = sh(&format!("onnxpress {command}"), folder.path());
        assert_eq!(ran.code, 1, "{command}: {}", ran.err);
        assert!(ran.err.contains("label 10 of sample 1 is not one of 10 classes"), "{}", ran.err);
    }
}

#[test]
fn threads_are_capped() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.onnx").display().to_string();
    for threads in ["0", "1", "100000"] {
        let ran = onnxpress(&[
            "quantize",
            &model(),
            "--mode",
            "weights",
            "--threads",
            threads,
            "-o",
            &out,
            "--force",
        ]);
        assert_eq!(ran.code, 0, "{threads}: {}", ran.err);
    }
}

/// Weights above what is read into memory.
fn large(at: &Path) {
    let mut model = onnxpress::ir::Model::new(8, 17);
    let main = model.main();
    let x = add_input(&mut model, "x", &[1, 2048]);
    let tensor = onnxpress::tensor::Tensor::from_f32(&[2048, 2048], &vec![0.25; 2048 * 2048]);
    let made = model.add_initializer(main, "weight", tensor);
    let y = add(&mut model, onnxpress::ir::NewNode::new("MatMul", &[x, made], "y"));
    add_output(&mut model, y);
    onnxpress::emit::save(
        &at.join("large.onnx"),
        &onnxpress::emit::onnx(model.verify().expect("a model that can be written"))
            .expect("a model that can be written"),
        onnxpress::emit::Overwrite::Replace,
    )
    .expect("a model that can be written");
}

#[test]
fn a_model_that_is_truncated_while_it_is_mapped_is_named() {
    let folder = tempdir().unwrap();
    let at = folder.path();
    for length in ["0", "1000", "8M"] {
        large(at);
        // The samples come through a pipe-like wait: the model is mapped by then.
        let ran = sh(
            &format!(
                "(sleep 0.05; truncate -s {length} large.onnx) & \
                 for i in 1 2 3 4 5 6 7 8; do onnxpress quantize large.onnx --mode weights --weights int8 -o out$i.onnx -q || exit $?; done"
            ),
            at,
        );
        assert_eq!(ran.code, 1, "{length}: {}", ran.err);
        assert!(ran.err.contains("large.onnx"), "{length}: {}", ran.err);
        assert!(!ran.err.contains("signal"), "{}", ran.err);
        // Whatever was written is whole.
        for name in listing(at).iter().filter(|name| name.starts_with("out")) {
            assert_eq!(sh(&format!("onnxpress inspect {name}"), at).code, 0, "{name}");
            fs::remove_file(at.join(name)).unwrap();
        }
        assert!(
            listing(at).iter().all(|name| !name.starts_with(".onnxpress")),
            "{:?}",
            listing(at)
        );
    }
}

/// Models of a few hundred bytes that ask for terabytes or years end soon, whatever is done to them.
#[test]
fn tiny_models_cost_little() {
    let folder = tempdir().unwrap();
    let at = folder.path();
    let model = |inside: &str, weights: &str| {
        format!(
            "<ir_version: 8, opset_import: [\"\" : 17]> main (float[1,1,4,4] x) => (y) <{weights}> {{ {inside} }}"
        )
    };
    let models = [
        (
            "resize",
            model(
                r#"y = Resize<mode = "nearest">(x, "", s)"#,
                "float[4] s = {1, 1, 1000000, 1000000}",
            ),
        ),
        ("tile", model("y = Tile(x, r)", "int64[4] r = {1000, 1000, 1000, 1000}")),
        (
            "loop",
            model(
                "y = Loop<body = b (int64 i, bool c, float[1,1,4,4] v) => (bool d, float[1,1,4,4] w) \
                 { d = Identity(c) w = Neg(v) }>(n, go, x)",
                "int64 n = {1152921504606846976}, bool go = {1}",
            ),
        ),
    ];
    for (name, text) in models {
        let model = onnxpress::read::text(&text).unwrap();
        let path = at.join(format!("{name}.onnx"));
        let encoded = onnxpress::emit::onnx(model.verify().unwrap()).unwrap();
        onnxpress::emit::save(&path, &encoded, onnxpress::emit::Overwrite::Never).unwrap();
        let begun = std::time::Instant::now();
        let ran = sh(
            &format!(
                "ulimit -v 20000000; onnxpress compare {name}.onnx {name}.onnx --data random:2"
            ),
            at,
        );
        assert!(ran.out.contains("NOT VALIDATED") || ran.code != 0, "{name}: {}", ran.out);
        assert!(begun.elapsed().as_secs() < 60, "{name} took {:?}", begun.elapsed());
    }
}
